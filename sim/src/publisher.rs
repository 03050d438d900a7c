//! Publishers, which do as the README tells them: every item has an id, and a batch that was not answered,
//! or answered 429 or 503, is sent again whole, with the same ids, until it is taken.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tradewire_server::net::Net;

use crate::balancer::Balancer;
use crate::http_client::{Answer, HttpClient, Plugs};
use crate::journal::Journal;
use crate::net::Plugged;
use crate::observation::Observation;

/// How long an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long to wait before the next try, when the answer does not say.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The longest that a server's `Retry-After` is heeded, in seconds.
const AGAIN_AFTER_MAX: u64 = 30;

/// Hands batches to one publisher, which sends them one after the other.
#[derive(Clone, Debug)]
pub struct Feed(mpsc::UnboundedSender<String>);

impl Feed {
    /// Has the JSON of a batch published.
    pub fn publish(&self, body: String) {
        // A publisher whose host lost its power publishes nothing.
        let _ = self.0.send(body);
    }
}

/// Who publishes.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// What it is called in the log.
    pub name: String,
    /// The bearer token.
    pub token: String,
    /// How often a batch is tried before it is given up.
    pub attempts_max: u32,
    /// Decides which node it goes to.
    pub seed: u64,
}

pub(crate) struct Publisher<N> {
    who: Arc<str>,
    token: String,
    attempts_max: u32,
    net: N,
    journal: Journal,
    balancer: Balancer,
    chance: StdRng,
    batches: mpsc::UnboundedReceiver<String>,
    /// The node that it talks to until that fails.
    client: Option<(String, HttpClient<N>)>,
}

/// What an answer means.
enum Verdict {
    Taken,
    Again(Duration),
    Refused,
}

impl<N: Net<Stream: Plugged>> Publisher<N> {
    pub(crate) fn new(
        publishing: Publishing,
        net: N,
        journal: Journal,
        balancer: Balancer,
    ) -> (Self, Feed) {
        let (feed, batches) = mpsc::unbounded_channel();
        let publisher = Self {
            who: Arc::from(publishing.name),
            token: format!("Bearer {}", publishing.token),
            attempts_max: publishing.attempts_max,
            net,
            journal,
            balancer,
            chance: StdRng::seed_from_u64(publishing.seed),
            batches,
            client: None,
        };
        (publisher, Feed(feed))
    }

    fn see(&self, what: Observation) {
        self.journal.observe(&self.who, what);
    }

    /// Publishes until nobody hands anything over any more.
    pub(crate) async fn run(mut self) {
        let mut batch = 0;
        while let Some(body) = self.batches.recv().await {
            self.publish(batch, &body).await;
            batch += 1;
        }
    }

    async fn publish(&mut self, batch: u64, body: &str) {
        for attempt in 1..=self.attempts_max {
            match self.attempt(batch, attempt, body).await {
                Verdict::Taken => return,
                Verdict::Again(after) => sleep(after).await,
                Verdict::Refused => break,
            }
        }
        self.see(Observation::GaveUp { batch });
    }

    async fn attempt(&mut self, batch: u64, attempt: u32, body: &str) -> Verdict {
        let Some((node, mut client)) = self.client.take().or_else(|| self.pick()) else {
            let why = "no node takes publishes".to_owned();
            self.see(Observation::Unanswered { batch, why });
            return Verdict::Again(AGAIN_AFTER);
        };
        self.see(Observation::Publishing {
            batch,
            attempt,
            node: node.clone(),
            body: body.to_owned(),
        });
        let headers = [
            ("authorization", self.token.as_str()),
            ("content-type", "application/json"),
        ];
        let asked = client.ask(Method::POST, "/api/publish", &headers, body.to_owned());
        let why = match timeout(ANSWER_MAX, asked).await {
            Ok(Ok(answer)) => {
                self.see(Observation::Answered {
                    batch,
                    status: answer.status.as_u16(),
                    body: String::from_utf8_lossy(&answer.body).into_owned(),
                });
                let verdict = judge(&answer);
                // One that cannot take it now is left for another.
                if !matches!(verdict, Verdict::Again(_)) {
                    self.client = Some((node, client));
                }
                return verdict;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "timeout".to_owned(),
        };
        self.see(Observation::Unanswered { batch, why });
        Verdict::Again(AGAIN_AFTER)
    }

    fn pick(&mut self) -> Option<(String, HttpClient<N>)> {
        let node = self.balancer.pick(&mut self.chance)?;
        let client = HttpClient::new(self.net.clone(), node.clone(), Plugs::default());
        Some((node, client))
    }
}

fn judge(answer: &Answer) -> Verdict {
    match answer.status {
        StatusCode::ACCEPTED => Verdict::Taken,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = answer.headers.get(http::header::RETRY_AFTER);
            let seconds = after.and_then(|after| after.to_str().ok()?.parse::<u64>().ok());
            Verdict::Again(seconds.map_or(AGAIN_AFTER, |seconds| {
                Duration::from_secs(seconds.min(AGAIN_AFTER_MAX))
            }))
        }
        _ => Verdict::Refused,
    }
}
