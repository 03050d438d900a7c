//! The named scenarios: which there are, what each shows, and on which networks it can be played.

use super::NetworkKind;
use super::named::{
    crash_with_leases, graceful_shutdown, partition, reconnect_storm, redis_outage, rolling_deploy,
    session_revoked, slow_client,
};
use super::stage::{Played, Setup, Stage};
use crate::net::Network;

/// A scenario that reads like a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// A node's site is cut off.
    Partition,
    /// Everyone loses the connection at once.
    ReconnectStorm,
    /// Nodes are replaced one after the other.
    RollingDeploy,
    /// Redis is away, and comes back with and without its data.
    RedisOutage,
    /// A client does not read.
    SlowClient,
    /// A node is asked to leave.
    GracefulShutdown,
    /// A node loses its power while a user's connections are counted there.
    CrashWithLeases,
    /// A session ends, and Redis loses all of them.
    SessionRevoked,
}

impl Script {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Partition,
        Self::ReconnectStorm,
        Self::RollingDeploy,
        Self::RedisOutage,
        Self::SlowClient,
        Self::GracefulShutdown,
        Self::CrashWithLeases,
        Self::SessionRevoked,
    ];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::ReconnectStorm => "reconnect-storm",
            Self::RollingDeploy => "rolling-deploy",
            Self::RedisOutage => "redis-outage",
            Self::SlowClient => "slow-client",
            Self::GracefulShutdown => "graceful-shutdown",
            Self::CrashWithLeases => "crash-with-leases",
            Self::SessionRevoked => "session-revoked",
        }
    }

    /// What it shows, in one line.
    #[must_use]
    pub const fn shows(self) -> &'static str {
        match self {
            Self::Partition => {
                "a site that is cut off serves its own; then nothing is lost, doubled or missing in silence"
            }
            Self::ReconnectStorm => {
                "everyone is back over the balancer after all connections are lost at once"
            }
            Self::RollingDeploy => {
                "nodes are replaced under load; every trade arrives exactly once"
            }
            Self::RedisOutage => {
                "values go on without Redis, trades wait for it; lost data is told"
            }
            Self::SlowClient => {
                "one that does not read gets the newest values and all trades, at nobody's cost"
            }
            Self::GracefulShutdown => {
                "clients are told, closed one after the other and resume elsewhere; exit 0"
            }
            Self::CrashWithLeases => "the slots of a node without power are free within 60 s",
            Self::SessionRevoked => {
                "a session that ends closes its connections; an emptied Redis closes nobody's"
            }
        }
    }

    /// Whether a network can show it.
    #[must_use]
    pub fn can_be_on(self, network: NetworkKind) -> bool {
        // A turmoil connection takes whatever is sent, so nobody ever is slow there.
        network == NetworkKind::Stack || self != Self::SlowClient
    }

    /// The command that runs a seed again.
    #[must_use]
    pub fn reproduce(self, network: NetworkKind, seed: u64) -> String {
        let network = match network {
            NetworkKind::Stack => "",
            NetworkKind::Turmoil => " --network turmoil",
        };
        let name = self.name();
        format!(
            "cargo run --release -p tradewire-sim -- run --scenario {name}{network} --seed {seed}"
        )
    }

    pub(super) fn setup(self) -> Setup {
        let usual = Setup::default();
        match self {
            Self::SlowClient => slow_client::SETUP,
            Self::SessionRevoked => Setup {
                sessions: true,
                ..usual
            },
            Self::Partition
            | Self::ReconnectStorm
            | Self::RollingDeploy
            | Self::RedisOutage
            | Self::GracefulShutdown
            | Self::CrashWithLeases => usual,
        }
    }

    pub(super) fn play<W: Network>(self, stage: &mut Stage<W>) -> Played {
        match self {
            Self::Partition => partition::play(stage),
            Self::ReconnectStorm => reconnect_storm::play(stage),
            Self::RollingDeploy => rolling_deploy::play(stage),
            Self::RedisOutage => redis_outage::play(stage),
            Self::SlowClient => slow_client::play(stage),
            Self::GracefulShutdown => graceful_shutdown::play(stage),
            Self::CrashWithLeases => crash_with_leases::play(stage),
            Self::SessionRevoked => session_revoked::play(stage),
        }
    }
}
