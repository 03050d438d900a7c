//! Reads what nodes say of their memory, as Prometheus would: `GET /metrics`, again and again.
//!
//! A node that does not answer is asked again later; that it should have is not for this to judge.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::{sleep, timeout};
use tradewire_server::net::Net;

use crate::http_client::{HttpClient, Plugs};
use crate::journal::Journal;
use crate::net::Plugged;
use crate::observation::Observation;

/// How long after one answer the next is asked for.
const EVERY: Duration = Duration::from_secs(1);

/// How long an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Reads one node's metrics for as long as the run lasts.
pub(crate) async fn read<N: Net<Stream: Plugged>>(net: N, node: String, journal: Journal) {
    let who: Arc<str> = Arc::from(node.as_str());
    let mut client = HttpClient::new(net.clone(), node.clone(), Plugs::default());
    loop {
        sleep(EVERY).await;
        let asking = client.ask(Method::GET, "/metrics", &[], String::new());
        let Ok(Ok(answer)) = timeout(ANSWER_MAX, asking).await else {
            // A node that comes back does so under another address.
            client = HttpClient::new(net.clone(), node.clone(), Plugs::default());
            continue;
        };
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status == StatusCode::OK
            && let Some(history_bytes) = gauge(&text, "tradewire_history_bytes")
            && let Some(pending_bytes) = gauge(&text, "tradewire_pending_bytes")
        {
            journal.observe(
                &who,
                Observation::Measured {
                    history_bytes,
                    pending_bytes,
                },
            );
        }
    }
}

/// The figure of a gauge without labels.
fn gauge(text: &str, name: &str) -> Option<u64> {
    let mut figures = text.lines().filter_map(|line| line.strip_prefix(name));
    figures.find_map(|rest| rest.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_found_by_its_whole_name() {
        let text = "# TYPE a_bytes gauge\na_bytes_more 7\na_bytes 12\n";
        assert_eq!(gauge(text, "a_bytes"), Some(12));
        assert_eq!(gauge(text, "a"), None);
    }
}
