//! Where sessions are looked up.
//!
//! A store only tells what it knows; whether that lets a client in is the engine's to decide.

mod redis;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use tradewire_engine::Input;
use tradewire_engine::ids::{RequestId, SessionId};
use tradewire_engine::input::SessionVerdict;

pub(crate) use redis::{RedisSessions, SessionSettings};

/// A session store.
pub(crate) trait Sessions: Send {
    /// Takes a question. A store that can answer at once writes to `answers`; another sends its
    /// answer through the inbox that it was made with.
    fn look_up(&mut self, request: RequestId, session: SessionId, answers: &mut VecDeque<Input>);

    /// Takes a question which of these sessions exist; answered in the same way.
    fn check(
        &mut self,
        request: RequestId,
        sessions: Vec<SessionId>,
        answers: &mut VecDeque<Input>,
    );
}

/// `AUTH_MODE=trust`: any session will do, and the client's word is taken for its user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust;

impl Sessions for Trust {
    fn look_up(&mut self, request: RequestId, _: SessionId, answers: &mut VecDeque<Input>) {
        answers.push_back(Input::SessionLookedUp {
            request,
            verdict: SessionVerdict::Trusted,
        });
    }

    fn check(
        &mut self,
        request: RequestId,
        sessions: Vec<SessionId>,
        answers: &mut VecDeque<Input>,
    ) {
        let present = Some(vec![true; sessions.len()]);
        answers.push_back(Input::SessionsChecked { request, present });
    }
}
