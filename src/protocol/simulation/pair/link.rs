//! One direction of the link between the two: what flows, what is held back, what is lost.

use std::collections::VecDeque;

use super::step::{Kinds, Which};
use crate::protocol::failover::Envelope;

/// Messages held back; the oldest beyond it are lost.
const MAX_HELD: usize = 96;

#[derive(Debug, Default)]
pub struct Direction {
    held_back: u16,
    cut: u16,
    held: VecDeque<Envelope>,
    /// Sent in all, which decides what is lost.
    pub count: u64,
}

/// What becomes of a message that was just sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Flows,
    IsHeld,
    IsLost,
}

impl Direction {
    pub fn flow(&mut self, kinds: Kinds) {
        self.held_back &= !kinds.0;
        self.cut &= !kinds.0;
    }

    pub fn hold(&mut self, kinds: Kinds) {
        self.flow(kinds);
        self.held_back |= kinds.0;
    }

    pub fn cut(&mut self, kinds: Kinds) {
        self.flow(kinds);
        self.cut |= kinds.0;
    }

    pub fn is_free(&self) -> bool {
        self.held_back == 0 && self.cut == 0
    }

    pub fn way(&self, kind: Kinds) -> Way {
        if Kinds(self.cut).has(kind) {
            Way::IsLost
        } else if Kinds(self.held_back).has(kind) {
            Way::IsHeld
        } else {
            Way::Flows
        }
    }

    pub fn put_aside(&mut self, envelope: Envelope) {
        if self.held.len() == MAX_HELD {
            self.held.pop_front();
        }
        self.held.push_back(envelope);
    }

    /// Takes messages of these kinds out of what is held.
    pub fn take(&mut self, kinds: Kinds, which: Which) -> Vec<Envelope> {
        let fits = |envelope: &Envelope| kinds.has(Kinds::of(&envelope.body));
        match which {
            Which::First => {
                let at = self.held.iter().position(fits);
                at.and_then(|at| self.held.remove(at)).into_iter().collect()
            }
            Which::Last => {
                let at = self.held.iter().rposition(fits);
                at.and_then(|at| self.held.remove(at)).into_iter().collect()
            }
            Which::All | Which::AllBackwards => {
                let (mut taken, left): (Vec<_>, Vec<_>) = self.held.drain(..).partition(fits);
                self.held = left.into();
                if which == Which::AllBackwards {
                    taken.reverse();
                }
                taken
            }
        }
    }

    pub fn clear(&mut self) {
        self.held.clear();
    }
}
