//! A node's own timeline against true time: drift, power cuts, and a wall clock that is right only sometimes. The same
//! reckoning as `runtime::clock`, of which it needs no system.

use std::time::Duration;

use crate::protocol::time::{Epoch, Time};

/// A moment at which the wall clock was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    truth: u64,
    node: u64,
    epoch: Epoch,
}

/// What the disk keeps of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    node: u64,
    epoch: Epoch,
    anchor: Anchor,
}

#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    drift_ppm: i64,
    /// When it was switched on, on both timelines.
    truth_at_start: u64,
    node_at_start: u64,
    pub epoch: Epoch,
    anchor: Anchor,
    pub is_confirmed: bool,
}

const MILLION: i64 = 1_000_000;

impl Timeline {
    pub fn new(truth: Time, drift_ppm: i32) -> Timeline {
        let anchor = Anchor { truth: truth.0, node: 1, epoch: Epoch(1) };
        Timeline {
            drift_ppm: drift_ppm.into(),
            truth_at_start: truth.0,
            node_at_start: 1,
            epoch: Epoch(1),
            anchor,
            is_confirmed: true,
        }
    }

    /// The timeline of the next boot; its wall clock has not been looked at.
    pub fn resume(stamp: Stamp, truth: Time, drift_ppm: i32) -> Timeline {
        Timeline {
            drift_ppm: drift_ppm.into(),
            truth_at_start: truth.0,
            node_at_start: stamp.node,
            epoch: Epoch(stamp.epoch.0 + 1),
            anchor: stamp.anchor,
            is_confirmed: false,
        }
    }

    pub fn node(&self, truth: Time) -> Time {
        let passed = (truth.0 - self.truth_at_start) as i64;
        Time(self.node_at_start + (passed + passed * self.drift_ppm / MILLION) as u64)
    }

    /// The first true moment at which the node's time is this.
    pub fn truth(&self, node: Time) -> Time {
        let ahead = node.0.saturating_sub(self.node_at_start) as i64;
        let mut truth = self.truth_at_start + (ahead * MILLION / (MILLION + self.drift_ppm)) as u64;
        while self.node(Time(truth)) < node {
            truth += 1;
        }
        Time(truth)
    }

    /// A true moment of a node's moment, both past and to come; `None` where it never comes.
    pub fn truth_of_expiry(&self, now: Time, expiry: Time) -> Option<u64> {
        let node = self.node(now);
        (expiry != Time::NEVER)
            .then(|| if expiry >= node { now.0 + (expiry.0 - node.0) } else { now.0.saturating_sub(node.0 - expiry.0) })
    }

    /// The wall clock is right now: how long the machine was off before which epoch, where that was not known.
    pub fn confirm(&mut self, truth: Time) -> Option<(Epoch, Duration)> {
        if self.is_confirmed {
            return None;
        }
        self.is_confirmed = true;
        let node = self.node(truth).0;
        let (passed, awake) = (truth.0.saturating_sub(self.anchor.truth), node.saturating_sub(self.anchor.node));
        let before = Epoch(self.anchor.epoch.0 + 1);
        self.anchor = Anchor { truth: truth.0, node, epoch: self.epoch };
        Some((before, Duration::from_millis(passed.saturating_sub(awake))))
    }

    pub fn stamp(&self, truth: Time) -> Stamp {
        let node = self.node(truth).0;
        let anchor = if self.is_confirmed { Anchor { truth: truth.0, node, epoch: self.epoch } } else { self.anchor };
        Stamp { node, epoch: self.epoch, anchor }
    }
}
