//! The two interposed functions, with the C library's names and types.
//!
//! They decide only who answers: [`crate::state`] on a simulated thread, else the kernel through a system
//! call, for the C library's own functions of these names are hidden by these. They must not allocate,
//! unwind, or call anything that could call them.

#![expect(
    unsafe_code,
    reason = "functions of the C library can only be replaced by functions like them"
)]

use core::ffi::{c_int, c_uint, c_void};
use core::time::Duration;

use libc::{clockid_t, size_t, ssize_t, timespec};

use crate::state;

/// Fills `length` bytes at `buffer` with chance, as getrandom(2).
///
/// # Safety
/// `buffer` must be writable for `length` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(
    buffer: *mut c_void,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    let mut filled = 0;
    while filled < length {
        let Some(word) = state::word() else {
            // SAFETY: the caller vouches for the buffer, and the kernel for the rest.
            let answer = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
            return answer as ssize_t;
        };
        let bytes = word.to_ne_bytes();
        let count = bytes.len().min(length - filled);
        // SAFETY: `filled + count` is at most `length`, for which the caller vouches, and the word is
        // this function's own, so they do not overlap.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>().add(filled), count);
        }
        filled += count;
    }
    // No buffer is longer than what a signed size can say.
    filled as ssize_t
}

/// Writes the time of `clock` to `time`, as clock_gettime(2).
///
/// # Safety
/// `time` must be writable.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let simulated = state::time().and_then(|(monotonic, wall)| match clock {
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_BOOTTIME => Some(monotonic),
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => Some(wall),
        // What a thread or a process has used of its processor.
        _ => None,
    });
    let Some(simulated) = simulated else {
        // SAFETY: the caller vouches for `time`, and the kernel for the rest.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as c_int;
    };
    // SAFETY: the caller vouches for `time`.
    unsafe { time.write(as_timespec(simulated)) };
    0
}

fn as_timespec(time: Duration) -> timespec {
    timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}
