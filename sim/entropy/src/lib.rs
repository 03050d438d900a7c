//! Chance and time of a simulated thread.
//!
//! What is linked with this crate has its `getrandom` and `clock_gettime` here, and not in the C library.
//! On a thread that holds a [`Simulated`], they answer from a seed and from a time that the simulation
//! sets; on any other they ask the kernel. `rand`, `RandomState`, `Instant` and `SystemTime` all end in
//! these two calls, so nothing above them needs to know.
//!
//! The state is the thread's own: threads that simulate at once do not disturb each other. What a thread
//! drew before it was simulated stays drawn (the keys of `RandomState`, the generator behind
//! `rand::rng()`), so a simulation begins on a fresh thread, best in a fresh process.
//!
//! Out of reach: instructions that read a clock or make random numbers by themselves (`rdtsc`, `rdrand`),
//! addresses as seeds, and the time that a thread has used, which is always the kernel's.

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
compile_error!("the simulation interposes two functions of glibc: run it on Linux with glibc");

mod calls;
mod state;

pub use state::{AlreadySimulated, Simulated};
