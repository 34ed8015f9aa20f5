//! When the next snapshot is due: once a day, on the node's own timeline, which no wall clock moves.

use std::time::Duration;

use crate::protocol::time::Time;

const INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// The first snapshot of a new database, and the next try after one that failed.
const RETRY: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nightly {
    due: Time,
}

impl Nightly {
    /// `newest`: when the newest snapshot was made. One that lies ahead (of another database) puts nothing off for longer than a day.
    pub fn new(newest: Option<Time>, now: Time) -> Nightly {
        Nightly { due: newest.map_or(now + RETRY, |made| made.min(now) + INTERVAL) }
    }

    pub fn due(self) -> Time {
        self.due
    }

    pub fn ask_now(&mut self) {
        self.due = Time::ZERO;
    }

    /// It is being made. What becomes of it may never be heard.
    pub fn begun(&mut self, now: Time) {
        self.due = now + RETRY;
    }

    pub fn done(&mut self, now: Time, was_made: bool) {
        self.due = now + if was_made { INTERVAL } else { RETRY };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600 * 1000;

    #[test]
    fn a_start_makes_one_when_a_day_has_passed_since_the_newest() {
        let now = Time(1000 * HOUR);
        for (newest_hours, due_hours, what) in [
            (None, 1001, "the first one soon"),
            (Some(1000), 1024, "just made"),
            (Some(997), 1021, "what is left of the day"),
            (Some(976), 1000, "now"),
            (Some(900), 924, "nights were missed: at once"),
            (Some(0), 24, "from the first hour"),
            (Some(5000), 1024, "a timeline that was ahead"),
        ] {
            let nightly = Nightly::new(newest_hours.map(|hours| Time(hours * HOUR)), now);
            assert_eq!(nightly.due(), Time(due_hours * HOUR), "{what}");
        }
    }

    #[test]
    fn a_night_is_never_doubled_and_missed_ones_are_made_up_for_once() {
        let mut nightly = Nightly::new(Some(Time(0)), Time(100 * HOUR));
        let mut made = Vec::new();
        // Each hour, then a leap over three days (the machine's clock stood still, say), then each hour again.
        for hour in (100..160).chain(232..280) {
            let now = Time(hour * HOUR);
            if nightly.due() <= now {
                nightly.begun(now);
                assert!(nightly.due() > now, "not a second one beside it");
                nightly.done(now, true);
                made.push(hour);
            }
        }
        assert_eq!(made, [100, 124, 148, 232, 256]);
    }

    #[test]
    fn one_that_failed_or_was_never_heard_of_is_tried_again_in_an_hour_and_asked_for_it_is_made_at_once() {
        let now = Time(50 * HOUR);
        let mut nightly = Nightly::new(Some(now), now);
        nightly.ask_now();
        assert!(nightly.due() <= now);
        nightly.begun(now);
        assert_eq!(nightly.due(), Time(51 * HOUR));
        nightly.done(now, false);
        assert_eq!(nightly.due(), Time(51 * HOUR));
        nightly.done(now, true);
        assert_eq!(nightly.due(), Time(74 * HOUR));
    }
}
