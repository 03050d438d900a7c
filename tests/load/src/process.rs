//! What a process costs, as the operating system tells it.

use std::fs;

use crate::error::BenchError;

/// Clock ticks a second in `/proc/PID/stat`: 100 wherever Linux runs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process to be looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// CPU seconds used so far, its own and the kernel's for it.
    pub(crate) fn cpu_s(self) -> Result<f64, BenchError> {
        let stat = self.read("stat")?;
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

    /// Bytes of memory in use.
    pub(crate) fn rss_bytes(self) -> Result<u64, BenchError> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib * 1_024)
            .ok_or_else(|| BenchError::Process {
                pid: self.0,
                why: "it has no VmRSS".into(),
            })
    }

    /// Open files.
    pub(crate) fn files(self) -> Result<usize, BenchError> {
        let folder = format!("/proc/{}/fd", self.0);
        let entries = fs::read_dir(folder).map_err(|error| self.failed(&error))?;
        Ok(entries.count())
    }

    fn read(self, file: &str) -> Result<String, BenchError> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).map_err(|error| self.failed(&error))
    }

    fn failed(self, error: &std::io::Error) -> BenchError {
        BenchError::Process {
            pid: self.0,
            why: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_memory_and_files() {
        let this = Process(std::process::id());
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
    fn a_process_that_is_not_there_is_named() {
        let error = Process(0).rss_bytes().unwrap_err().to_string();
        assert!(error.contains("process 0"), "{error}");
    }
}
