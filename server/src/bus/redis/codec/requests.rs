//! The engine's requests as commands.
//!
//! Every request is a known number of commands, whose replies [`super::answers`] reads in order. No
//! command is unbounded: what a request holds the engine bounds, except values, which are split here.

use std::time::Duration;

use redis::{Cmd, Pipeline};
use tradewire_engine::INTAKE_LEASE;
use tradewire_engine::bus::{BusRequest, LogPublish, Renewal, Slot, StatePublish};
use tradewire_engine::event::{LogKind, Topic};
use tradewire_engine::ids::UserId;
use tradewire_engine::reason::Call;

use super::values::{ONE, SEVERAL, VALUES_MAX};
use super::{Codec, ID_LIFE, OWN_ID_LIFE, VALUE_LIFE, keys, millis};

/// Bytes of the values that one call sets and tells. A hand-over after an outage may hold much more;
/// told at once it would pass the bounds within which Redis buffers for its subscribers.
const SHARE_BYTES_MAX: usize = 1 << 20;

impl Codec {
    /// Writes `request` and says as how many commands.
    pub(crate) fn commands(&self, request: &BusRequest, into: &mut Pipeline) -> usize {
        let before = into.len();
        match request {
            BusRequest::Append {
                request: _,
                entries,
                wall: _,
            } => {
                into.add_command(self.append(entries));
            }
            BusRequest::Charge {
                request: _,
                user,
                call,
                admitted,
            } => {
                into.add_command(self.charge(user, *call, *admitted));
            }
            BusRequest::Claim {
                request: _,
                user,
                slot,
                replaces,
            } => {
                into.add_command(self.claim(user, slot, replaces.as_ref()));
            }
            BusRequest::Fetch { request: _, topics } => {
                into.add_command(self.fetch(topics));
            }
            BusRequest::Lead { request: _ } => {
                into.add_command(self.lead());
            }
            BusRequest::Listen { on: _ } => {}
            BusRequest::Probe => {
                into.cmd("PING");
            }
            BusRequest::Release { user, slot } => {
                into.cmd("HDEL")
                    .arg(keys::slots(user))
                    .arg(slot.to_string());
            }
            BusRequest::Renew { users } => {
                for renewal in users {
                    into.add_command(self.renew(renewal));
                }
            }
            BusRequest::Share {
                request: _,
                values,
                once,
            } => {
                for values in shares(values) {
                    into.add_command(self.share(values, *once));
                }
            }
        }
        into.len() - before
    }

    fn append(&self, entries: &[LogPublish]) -> Cmd {
        let mut command = self.scripts.append.call(2 + entries.len());
        command.arg(keys::log_clock()).arg(keys::log_stream());
        for entry in entries {
            command.arg(keys::log_id(&entry.id));
        }
        command
            .arg(self.candidate())
            .arg(self.log_max)
            .arg(millis(ID_LIFE));
        for LogPublish {
            id: _,
            lasting: _,
            kind,
            user,
            payload,
        } in entries
        {
            let kind = match kind {
                LogKind::TradeExecuted => super::entries::EXECUTED,
                LogKind::TradeFailed => super::entries::FAILED,
            };
            command.arg(kind).arg(user.as_str()).arg(payload.text());
        }
        command
    }

    fn share(&self, values: &[StatePublish], once: bool) -> Cmd {
        let ids = values.iter().filter(|value| value.id.is_some()).count();
        let mut command = self.scripts.share.call(1 + values.len() + ids);
        command.arg(keys::state_clock());
        for StatePublish { id, topic, .. } in values {
            command.arg(keys::state_value(topic));
            if let Some(id) = id {
                command.arg(keys::state_id(id));
            }
        }
        command
            .arg(self.candidate())
            .arg(keys::state_channel())
            .arg(millis(VALUE_LIFE))
            .arg(if once { ONE } else { SEVERAL });
        for StatePublish {
            id,
            lasting,
            topic,
            payload,
        } in values
        {
            let life = match (id, lasting) {
                (None, _) => 0,
                (Some(_), true) => millis(ID_LIFE),
                (Some(_), false) => millis(OWN_ID_LIFE),
            };
            command
                .arg(life)
                .arg(&*keys::topic_text(topic))
                .arg(payload.text());
        }
        command
    }

    fn fetch(&self, topics: &[Topic]) -> Cmd {
        let mut command = self.scripts.fetch.call(1 + topics.len());
        command.arg(keys::state_clock());
        for topic in topics {
            command.arg(keys::state_value(topic));
        }
        command.arg(self.candidate());
        command
    }

    fn charge(&self, user: &UserId, call: Call, admitted: bool) -> Cmd {
        let limit = self.limits.calls_max(call);
        let mut command = self.scripts.charge.call(1);
        command
            .arg(keys::rate(user, call))
            .arg(limit)
            // Redis takes no life of zero.
            .arg(millis(self.limits.calls_window).max(1))
            .arg(if admitted { "1" } else { "0" });
        command
    }

    fn claim(&self, user: &UserId, slot: &Slot, replaces: Option<&Slot>) -> Cmd {
        let mut command = self.scripts.claim.call(1);
        command
            .arg(keys::slots(user))
            .arg(slot.to_string())
            .arg(replaces.map(Slot::to_string).unwrap_or_default())
            .arg(millis(self.limits.slot_lease))
            .arg(self.limits.connections_per_user_max)
            .arg(self.limits.connects_per_user_minute_max);
        command
    }

    fn renew(&self, renewal: &Renewal) -> Cmd {
        let Renewal { user, slots } = renewal;
        let mut command = self.scripts.renew.call(1);
        command
            .arg(keys::slots(user))
            .arg(millis(self.limits.slot_lease))
            .arg(self.limits.connections_per_user_max)
            .arg(millis(self.alive()));
        for (slot, age) in slots {
            command.arg(slot.to_string()).arg(millis(*age));
        }
        command
    }

    /// What is left of a lease, at least, as long as it is renewed in time or nearly so.
    fn alive(&self) -> Duration {
        let renewal = self.limits.slot_renew_every;
        self.limits.slot_lease.saturating_sub(renewal + renewal / 4)
    }

    fn lead(&self) -> Cmd {
        let mut command = self.scripts.lead.call(1);
        command
            .arg(keys::emitter_lease())
            .arg(format!("{:016x}", self.instance))
            .arg(millis(INTAKE_LEASE));
        command
    }
}

/// Values in the portions that one call takes, in their order; at least one value each.
pub(super) fn shares(values: &[StatePublish]) -> impl Iterator<Item = &[StatePublish]> {
    let mut rest = values;
    std::iter::from_fn(move || {
        let mut bytes: usize = 0;
        let fitting = rest
            .iter()
            .take(VALUES_MAX)
            .take_while(|value| {
                bytes = bytes.saturating_add(value.payload.bytes());
                bytes <= SHARE_BYTES_MAX
            })
            .count();
        let (portion, later) = rest.split_at_checked(fitting.max(1))?;
        rest = later;
        Some(portion)
    })
}
