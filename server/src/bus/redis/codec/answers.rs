//! Redis' replies to requests as the engine's inputs.
//!
//! A reply that does not fit is a failure of its request, never a panic and never an answer.

use std::time::Duration;

use redis::{ServerErrorKind, Value};
use tradewire_engine::Input;
use tradewire_engine::bus::{BusRequest, Renewal};
use tradewire_engine::event::{StateValue, Topic};
use tradewire_engine::ids::{Epoch, RequestId};
use tradewire_engine::input::{BusOutcome, ChargeVerdict, ClaimVerdict, SlotLoss};

use super::{Codec, Unreadable, hex, list, number, requests, text, values};

/// How much of an error's text is kept for the log, in characters.
const REFUSED_CHARS_MAX: usize = 200;

/// What the replies to a request come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What the engine is told.
    pub(crate) input: Option<Input>,
    /// This connection will not serve: it must be set up again.
    pub(crate) broken: bool,
    /// Values that were left out because they are none.
    pub(crate) unreadable: u32,
    /// What Redis said when it refused, for the log.
    pub(crate) refused: Option<String>,
}

/// What both clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The state's epoch.
    pub(crate) state_epoch: Epoch,
    /// The log's epoch.
    pub(crate) log_epoch: Epoch,
    /// Log events appended in this epoch: the number of the latest.
    pub(crate) log_count: u64,
    /// The time by Redis' clock, in ms since the Unix epoch.
    pub(crate) now_ms: u64,
}

impl Codec {
    /// What the engine is told of a request that did not reach Redis, or whose replies were lost.
    pub(crate) fn failed(request: &BusRequest) -> Option<Input> {
        match request {
            BusRequest::Append { request, .. } => Some(appended(*request, BusOutcome::Failed)),
            BusRequest::Charge { request, .. } => Some(charged(*request, ChargeVerdict::Failed)),
            BusRequest::Claim { request, .. } => Some(claimed(*request, ClaimVerdict::Failed)),
            BusRequest::Fetch { request, topics: _ } => Some(Input::Fetched {
                request: *request,
                values: None,
            }),
            BusRequest::Lead { request } => Some(led(*request, None)),
            BusRequest::Share { request, .. } => Some(shared(*request, BusOutcome::Failed)),
            BusRequest::Listen { .. }
            | BusRequest::Probe
            | BusRequest::Release { .. }
            | BusRequest::Renew { .. } => None,
        }
    }

    /// Reads the replies to the commands of [`Self::commands`], one each and in their order.
    pub(crate) fn answer(&self, request: &BusRequest, replies: &[Value]) -> Answer {
        let mut unreadable = 0;
        let first = replies.first();
        let input = match request {
            BusRequest::Append { request, .. } => first
                .and_then(number)
                .map(|_| appended(*request, BusOutcome::Done)),
            BusRequest::Charge { request, .. } => first.and_then(number).map(|wait| {
                let verdict = if wait == 0 {
                    ChargeVerdict::Admitted
                } else {
                    let wait = Duration::from_millis(wait);
                    ChargeVerdict::Refused { wait }
                };
                charged(*request, verdict)
            }),
            BusRequest::Claim { request, .. } => {
                let verdict = match first.and_then(text) {
                    Some("granted") => Some(ClaimVerdict::Granted),
                    Some("full") => Some(ClaimVerdict::Full),
                    Some("often") => Some(ClaimVerdict::TooOften),
                    Some(_) | None => None,
                };
                verdict.map(|verdict| claimed(*request, verdict))
            }
            BusRequest::Fetch { request, topics } => first
                .and_then(|reply| self.fetched(topics, reply, &mut unreadable))
                .map(|values| Input::Fetched {
                    request: *request,
                    values: Some(values),
                }),
            BusRequest::Lead { request } => first
                .and_then(number)
                .map(|held| led(*request, Some(held == 1))),
            // Whatever it says, it is there.
            BusRequest::Probe => first.map(|_| Input::BusReached),
            BusRequest::Renew { users } => slots_lost(users, replies),
            BusRequest::Share {
                request, values, ..
            } => {
                let calls = requests::shares(values).count();
                let all = replies.len() == calls && replies.iter().all(|r| number(r).is_some());
                all.then(|| shared(*request, BusOutcome::Done))
            }
            BusRequest::Listen { .. } | BusRequest::Release { .. } => None,
        };
        let mut errors = replies.iter().filter_map(|reply| {
            if let Value::ServerError(error) = reply {
                Some(error)
            } else {
                None
            }
        });
        Answer {
            input: input.or_else(|| Self::failed(request)),
            broken: errors.clone().any(is_broken),
            unreadable,
            refused: errors.next().map(|error| {
                let text = format!("{} {}", error.code(), error.details().unwrap_or_default());
                text.chars().take(REFUSED_CHARS_MAX).collect()
            }),
        }
    }

    /// The values among a reply that has the epoch first and then one item for each topic.
    fn fetched(
        &self,
        topics: &[Topic],
        reply: &Value,
        unreadable: &mut u32,
    ) -> Option<Vec<StateValue>> {
        let (epoch, items) = list(reply)?.split_first()?;
        let epoch = Epoch::new(text(epoch).and_then(hex)?);
        if items.len() != topics.len() {
            return None;
        }
        let mut read = Vec::new();
        for (topic, item) in topics.iter().zip(items) {
            if matches!(item, Value::Nil) {
                continue;
            }
            match values::kept(topic, epoch, item, self.payload_bytes_max) {
                Ok(value) => read.push(value),
                Err(_) => *unreadable += 1,
            }
        }
        Some(read)
    }
}

/// Errors after which the next command would fare no better on this connection.
fn is_broken(error: &redis::ServerError) -> bool {
    let by_kind = matches!(
        error.kind(),
        Some(
            ServerErrorKind::NoScript
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::Moved
                | ServerErrorKind::ReadOnly
        )
    );
    // Before Redis 7 what a script met is told in the text.
    let in_script = || {
        error
            .details()
            .is_some_and(|text| text.contains("READONLY"))
    };
    by_kind || error.code() == "NOAUTH" || in_script()
}

fn slots_lost(users: &[Renewal], replies: &[Value]) -> Option<Input> {
    let mut slots = Vec::new();
    for (renewal, reply) in users.iter().zip(replies) {
        for pair in list(reply).unwrap_or_default().chunks_exact(2) {
            let [place, cause] = pair else {
                continue;
            };
            let cause = match text(cause) {
                Some("excess") => SlotLoss::Excess,
                Some("replaced") => SlotLoss::Replaced,
                Some(_) | None => continue,
            };
            let place = number(place).and_then(|place| usize::try_from(place).ok());
            if let Some((slot, _)) = place.and_then(|place| renewal.slots.get(place)) {
                slots.push((renewal.user.clone(), slot.clone(), cause));
            }
        }
    }
    if slots.is_empty() {
        None
    } else {
        Some(Input::SlotsLost { slots })
    }
}

pub(super) fn opened(replies: &[Value]) -> Result<Opened, Unreadable> {
    let [state, log] = replies else {
        return Err(Unreadable::Shape);
    };
    let clock = |reply: &Value| {
        if matches!(reply, Value::ServerError(_)) {
            return Err(Unreadable::Refused);
        }
        let Some([epoch, count, now_ms]) = list(reply) else {
            return Err(Unreadable::Shape);
        };
        let epoch = text(epoch).and_then(hex).map(Epoch::new);
        match (epoch, number(count), number(now_ms)) {
            (Some(epoch), Some(count), Some(now_ms)) => Ok((epoch, count, now_ms)),
            (_, _, _) => Err(Unreadable::Shape),
        }
    };
    let (state_epoch, _, _) = clock(state)?;
    let (log_epoch, log_count, now_ms) = clock(log)?;
    Ok(Opened {
        state_epoch,
        log_epoch,
        log_count,
        now_ms,
    })
}

fn appended(request: RequestId, outcome: BusOutcome) -> Input {
    Input::Appended { request, outcome }
}

fn shared(request: RequestId, outcome: BusOutcome) -> Input {
    Input::Shared { request, outcome }
}

fn charged(request: RequestId, verdict: ChargeVerdict) -> Input {
    Input::Charged { request, verdict }
}

fn claimed(request: RequestId, verdict: ClaimVerdict) -> Input {
    Input::Claimed { request, verdict }
}

fn led(request: RequestId, held: Option<bool>) -> Input {
    Input::Led { request, held }
}
