//! The session store, which lies in the bus: look-ups wait for contact, checks do not.

use tradewire_engine::Input;
use tradewire_engine::ids::RequestId;
use tradewire_engine::input::SessionVerdict;

use super::contact::Stage;
use super::node::Life;
use super::world::{Event, World};
use crate::oracle::{Node, Verdict};

impl World<'_> {
    /// Session look-ups that wait are answered while there is contact, or given up.
    pub(super) fn look_ups(&mut self, place: usize, node: Node) -> Verdict {
        let now = self.now;
        let free = {
            let Some(life) = self.places[place]
                .life
                .as_ref()
                .filter(|life| life.node == node)
            else {
                return Ok(());
            };
            life.contact.stage == Stage::Up && self.way_is_free(&life.contact)
        };
        let Some(life) = self.life(place, node) else {
            return Ok(());
        };
        let mut ready = Vec::new();
        life.look_ups.retain(|(request, user, until)| {
            let waits = !free && *until > now;
            if !waits {
                ready.push((*request, free.then_some(*user)));
            }
            waits
        });
        let waits = !life.look_ups.is_empty();
        for (request, user) in ready {
            let verdict = match user {
                None => SessionVerdict::Unavailable,
                Some(user) if self.sessions[user.index()] => SessionVerdict::Found {
                    user: self.names.user(user),
                },
                Some(_) => SessionVerdict::Unknown,
            };
            self.input(place, Input::SessionLookedUp { request, verdict })?;
        }
        if waits {
            self.after(100, Event::LookUps(place, node));
        }
        Ok(())
    }

    /// Asks the store which sessions are there.
    pub(super) fn check_sessions(
        &mut self,
        place: usize,
        life: &mut Life,
        request: RequestId,
        present: Vec<bool>,
    ) {
        let up = life.contact.stage == Stage::Up;
        if up && self.way_is_free(&life.contact) {
            let at = self.now + 2 * self.one_way();
            let last = life.contact.answers.back().map_or(0, |(at, ..)| *at);
            let present = Some(present);
            life.contact.answers.push_back((
                at.max(last),
                None,
                Input::SessionsChecked { request, present },
            ));
            self.at(at.max(last), Event::Hears(place, life.node));
        } else if !up {
            life.contact.local.push_back(Input::SessionsChecked {
                request,
                present: None,
            });
            self.after(1, Event::Local(place, life.node));
        }
    }
}
