//! What processes cost, as the operating system tells it.

use std::fs;

use crate::error::BenchError;

/// Clock ticks a second in `/proc/PID/stat`: 100 wherever Linux runs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processes that are looked at as one: a server, or a cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processes<'p>(pub(crate) &'p [u32]);

impl Processes<'_> {
    /// CPU seconds used so far, their own and the kernel's for them.
    pub(crate) fn cpu_s(self) -> Result<f64, BenchError> {
        self.0.iter().map(|pid| cpu_s(*pid)).sum()
    }

    /// Bytes of memory in use.
    pub(crate) fn rss_bytes(self) -> Result<u64, BenchError> {
        self.0.iter().map(|pid| rss_bytes(*pid)).sum()
    }

    /// Open files.
    pub(crate) fn files(self) -> Result<usize, BenchError> {
        self.0.iter().map(|pid| files(*pid)).sum()
    }
}

fn cpu_s(pid: u32) -> Result<f64, BenchError> {
    let stat = read(pid, "stat")?;
    // The name before may hold anything but ends with the last parenthesis.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks: Vec<f64> = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn rss_bytes(pid: u32) -> Result<u64, BenchError> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1_024)
        .ok_or_else(|| BenchError::Process {
            pid,
            why: "it has no VmRSS".into(),
        })
}

fn files(pid: u32) -> Result<usize, BenchError> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| failed(pid, &error))?;
    Ok(entries.count())
}

fn read(pid: u32, file: &str) -> Result<String, BenchError> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|error| failed(pid, &error))
}

fn failed(pid: u32, error: &std::io::Error) -> BenchError {
    BenchError::Process {
        pid,
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_memory_and_files() {
        let own = [std::process::id()];
        let this = Processes(&own);
        let before = this.cpu_s().unwrap();
        let mut hash = 0_u64;
        while this.cpu_s().unwrap() <= before {
            for n in 0..1_000_000_u64 {
                hash = std::hint::black_box(hash.wrapping_mul(31) ^ n);
            }
        }
        assert!(this.rss_bytes().unwrap() > 100_000);
        assert!(this.files().unwrap() >= 3);
    }

    #[test]
    fn several_are_added_up() {
        let own = std::process::id();
        let (one, two) = ([own], [own, own]);
        let files = |pids| Processes(pids).files().unwrap();
        assert!(files(&two) > files(&one));
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Processes(&[0]).rss_bytes().unwrap_err().to_string();
        assert!(error.contains("process 0"), "{error}");
    }
}
