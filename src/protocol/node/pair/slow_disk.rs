//! A disk that takes its time, or nothing at all: the twin is told soon, and answers new clients until the disk is well again.

use std::time::Duration;

use super::super::Node;
use crate::protocol::{explain::Asked, lease::Binding, time::Time};

/// A commit that takes so long costs clients a wait that the twin can spare them.
const SLOW: Duration = Duration::from_secs(1);
/// So long without such a commit, and the disk is well again: it does not come and go with each of them.
const CALM: Duration = Duration::from_secs(3);

impl Node {
    pub(super) fn watch_disk(&mut self, now: Time) {
        let is_slow = self.sent.front().is_some_and(|&(_, since, _)| now - since >= SLOW);
        if let Some(twin) = self.twin.as_mut().filter(|_| is_slow) {
            twin.disk_was_slow = Some(now);
        }
        let has_trouble = self.disk_trouble(now).is_some();
        if let Some(twin) = self.twin.as_mut().filter(|twin| has_trouble && !twin.has_trouble) {
            (twin.has_trouble, twin.troubles) = (true, twin.troubles + 1);
            twin.next_heartbeat = now;
        }
    }

    /// Something was written again. That promises were made from memory meanwhile is written with the next heartbeat.
    pub(in crate::protocol::node) fn trouble_is_over(&mut self, now: Time) {
        let epoch = self.epoch;
        if let Some(twin) = self.twin.as_mut().filter(|twin| twin.has_trouble) {
            twin.has_trouble = false;
            twin.memory.one_forgot = Some((now, epoch));
            twin.memory_stored = Time::ZERO;
        }
    }

    /// While the disk takes nothing: whether this client is told again what is durable.
    pub(in crate::protocol) fn may_tell_again(&self, now: Time, asked: Asked, record: &Binding) -> bool {
        let Some(twin) = &self.twin else { return true };
        match asked {
            // It has not released what it prolongs, and was told of it.
            Asked::Renew | Asked::Rebind => true,
            _ => twin.may_promise_from_memory(now) && !twin.may_be_undone(record),
        }
    }

    /// The twin was told so, and answers whoever asks for something new.
    pub(super) fn disk_is_slow(&self, now: Time) -> bool {
        self.twin.as_ref().and_then(|twin| twin.disk_was_slow).is_some_and(|slow| now - slow < CALM)
    }
}
