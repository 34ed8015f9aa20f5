//! A disk that takes its time: the twin is told soon, and answers new clients until the disk is well again.

use std::time::Duration;

use super::super::Node;
use crate::protocol::time::Time;

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
    }

    /// The twin was told so, and answers whoever asks for something new.
    pub(super) fn disk_is_slow(&self, now: Time) -> bool {
        self.twin.as_ref().and_then(|twin| twin.disk_was_slow).is_some_and(|slow| now - slow < CALM)
    }
}
