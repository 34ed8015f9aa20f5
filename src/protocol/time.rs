//! The node's own timeline: milliseconds of uptime, summed over all boots. It never jumps and never goes back.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A moment on this node's timeline, in milliseconds since its first start. `protocol` is handed the
/// present moment with every event and reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    pub const ZERO: Time = Time(0);
    /// The end of time: the expiry of an infinite lease.
    pub const NEVER: Time = Time(u64::MAX);

    /// How long until `later`; zero where it has passed.
    pub fn until(self, later: Time) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// Earlier by `by`, but never before the beginning. `NEVER` stays.
    pub fn earlier(self, by: Duration) -> Time {
        if self == Time::NEVER {
            return self;
        }
        Time(self.0.saturating_sub(millis(by)))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, after: Duration) -> Time {
        Time(self.0.saturating_add(millis(after)))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;
    /// Time passed since `earlier`; zero where `earlier` is later.
    fn sub(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Which run of the machine (boot) a time was stamped in, counted from 1. See `runtime::clock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(pub u32);
