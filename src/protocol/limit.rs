//! How often one device is answered: storms and NAK loops of one client must not cost the others.

use std::time::Duration;

use super::{Map, lease::HwAddr, time::Time};

/// A device is answered at most this often …
pub const MAX_PER_WINDOW: u16 = 30;
/// … in this time. A client that renews every second, or retransmits as RFC 2131 says, stays far below.
pub const WINDOW: Duration = Duration::from_secs(5);
/// Devices remembered; when more are seen in one window, the window ends early.
const MAX_DEVICES: usize = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    /// Refused, for the first time in this window: worth recording.
    FirstRefused,
    Refused,
}

/// Counts requests per device in the present window.
#[derive(Debug, Default)]
pub struct Limiter {
    started: Time,
    counts: Map<HwAddr, u16>,
}

impl Limiter {
    /// Whether this request may be looked at. `HwAddr` comes from the wire; a device that changes it escapes
    /// the limit, and is bounded by the pool and the speed of silence.
    pub fn admit(&mut self, now: Time, hw: HwAddr) -> Admission {
        if now - self.started >= WINDOW || self.counts.len() >= MAX_DEVICES {
            self.started = now;
            self.counts.clear();
        }
        let count = self.counts.entry(hw).or_insert(0);
        *count = count.saturating_add(1);
        match *count {
            0..=MAX_PER_WINDOW => Admission::Admitted,
            count if count == MAX_PER_WINDOW + 1 => Admission::FirstRefused,
            _ => Admission::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_cut_off_and_others_are_not() {
        let (stormy, calm) = (HwAddr::ethernet([2, 0, 0, 0, 0, 1]), HwAddr::ethernet([2, 0, 0, 0, 0, 2]));
        let mut limiter = Limiter::default();
        let admitted = (0..1000).filter(|_| limiter.admit(Time(1), stormy) == Admission::Admitted).count();
        assert_eq!(admitted, usize::from(MAX_PER_WINDOW));
        assert_eq!(limiter.admit(Time(1), calm), Admission::Admitted);
        assert_eq!(limiter.admit(Time(1) + WINDOW, stormy), Admission::Admitted, "the next window starts afresh");
    }
}
