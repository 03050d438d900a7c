//! What the servers of a scenario are set to, and what they promise by it. What is not said is the contract's.

use crate::oracle::Promises;

/// The settings of a scenario's servers.
#[derive(Clone, Copy, Debug)]
pub(in crate::scenarios) struct Setup {
    /// Users are who their sessions say.
    pub(in crate::scenarios) sessions: bool,
    /// Pending bytes of one connection that are not congestion yet.
    pub(in crate::scenarios) outbox_bytes: u64,
    /// Log events that a congested connection is owed at most.
    pub(in crate::scenarios) congested_log: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            sessions: false,
            outbox_bytes: 1 << 20,
            congested_log: 1_024,
        }
    }
}

impl Setup {
    /// The servers' command line.
    pub(super) fn flags(self) -> Vec<String> {
        let mode = if self.sessions { "session" } else { "trust" };
        vec![
            "--redis-url=redis://redis:6379".to_owned(),
            format!("--auth-mode={mode}"),
            format!("--outbox-bytes-max={}", self.outbox_bytes),
            format!("--congested-log-events-max={}", self.congested_log),
        ]
    }

    pub(super) fn promises(self) -> Promises {
        Promises {
            only_subscribers: false,
            connections_max: 5,
            calls_max: [1, 1, 10],
            calls_window_ms: 60_000,
            bus_request_max_ms: 1_000,
            session_check_ms: 10_000,
            outbox_bytes_max: self.outbox_bytes,
            // What the network holds is on its way, and counted nowhere.
            outbox_packets_max: 4_096 + 2_000,
            congested_log_max: self.congested_log,
            congested_ms: 30_000,
            pending_bytes_max: 256 << 20,
            history_bytes_max: 64 << 20,
            payload_bytes_max: 2_000,
            drain_window_ms: 5_000,
            drain_deadline_ms: 10_000,
            // Clocks are within 200 in a million.
            skew_permille: 1,
            transit_ms: 300,
        }
    }
}
