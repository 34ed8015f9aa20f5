//! The only reader of clocks. Makes the node's own timeline (`protocol::time::Time`) out of what the system
//! offers: the boot id, the time since boot and a wall clock that is right only sometimes.
//!
//! ```text
//!  boot 1            off      boot 2 (wall clock not set)     NTP answers
//!  ├──────────────┤ ·······  ├───────────────────────────────┼────────────
//!  node time 0…90             goes on at 90…                  `confirm`: off for 40 s before epoch 2
//! ```
//!
//! Node time counts uptime only. How long the machine was off is learned from the wall clock alone, at the
//! start or later, and is then taken off the times of records stamped before (failover rule 8).

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::time::{ClockId, clock_gettime};

use crate::protocol::time::{Epoch, Time};

/// When the wall clock may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallTrust {
    /// While the kernel says that something (NTP) keeps it right.
    Kernel,
    /// Always: the admin vouches for it.
    Always,
}

/// What the system's clocks say at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Random, new at every boot of the machine.
    pub boot_id: String,
    /// Since boot, sleep included.
    pub boottime_ms: i64,
    /// Since 1970.
    pub wall_ms: i64,
    pub wall_trusted: bool,
}

impl Reading {
    pub fn take(trust: WallTrust) -> Reading {
        let wall_trusted = trust == WallTrust::Always || kernel_keeps_wall_clock();
        Reading { boot_id: boot_id(), boottime_ms: boottime_ms(), wall_ms: wall_ms(), wall_trusted }
    }
}

/// The last moment at which the wall clock was trusted: what later sleep is measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    pub wall_ms: i64,
    pub node_ms: i64,
    pub epoch: Epoch,
}

/// Where the timeline stood when it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub boot_id: String,
    pub boottime_ms: i64,
    pub node_ms: i64,
    pub epoch: Epoch,
    /// `None`: the wall clock was never trusted.
    pub anchor: Option<Anchor>,
}

/// The machine was off for `duration` in all, before `before` began: records stamped in an earlier epoch are
/// that much older than node time shows. Where several boots passed with an untrusted clock, the sum is told
/// of the first of them, so that no record is made older than is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    pub before: Epoch,
    pub duration: Duration,
}

/// How long the machine was off since the stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slept {
    /// Not at all: the same boot, or the first start ever.
    SameBoot,
    Known(Sleep),
    /// The wall clock is not trusted yet. See `Clock::confirm`.
    Unknown,
}

/// The timeline of this boot. A clone shows the same time; each knows for itself whether it was confirmed.
#[derive(Debug, Clone)]
pub struct Clock {
    boot_id: String,
    epoch: Epoch,
    /// Node time at boottime zero. Negative where the machine was up long before the first start.
    base_ms: i64,
    anchor: Option<Anchor>,
    trust: WallTrust,
}

impl Clock {
    /// Goes on where the stamp stood. In the same boot, node time goes on by the time passed; in another boot
    /// it starts at the stamp, because only the wall clock could tell what passed in between.
    pub fn resume(saved: Option<Stamp>, reading: &Reading, trust: WallTrust) -> (Clock, Slept) {
        let (epoch, start_ms, anchor, same_boot) = match saved {
            None => (Epoch(1), 0, None, true),
            Some(stamp) if stamp.boot_id == reading.boot_id => {
                // Never negative: a stamp from the future (boottime is set back inside a time namespace) stands still.
                let passed_ms = reading.boottime_ms.saturating_sub(stamp.boottime_ms).max(0);
                (stamp.epoch, stamp.node_ms.saturating_add(passed_ms), stamp.anchor, true)
            }
            Some(stamp) => (Epoch(stamp.epoch.0.saturating_add(1)), stamp.node_ms, stamp.anchor, false),
        };
        let base_ms = start_ms.saturating_sub(reading.boottime_ms);
        let mut clock = Clock { boot_id: reading.boot_id.clone(), epoch, base_ms, anchor, trust };
        let slept = match (same_boot, clock.confirm(reading)) {
            (_, Some(sleep)) => Slept::Known(sleep),
            (true, None) => Slept::SameBoot,
            (false, None) => Slept::Unknown,
        };
        (clock, slept)
    }

    /// Gives the sleep that was unknown so far, once, as soon as the wall clock is trusted.
    pub fn confirm(&mut self, reading: &Reading) -> Option<Sleep> {
        let anchor = self.anchor.filter(|anchor| anchor.epoch < self.epoch)?;
        if !reading.wall_trusted {
            return None;
        }
        let awake_ms = self.node_ms(reading).saturating_sub(anchor.node_ms);
        let passed_ms = reading.wall_ms.saturating_sub(anchor.wall_ms);
        // A wall clock that went backwards proves nothing: no sleep.
        let slept_ms = passed_ms.saturating_sub(awake_ms).max(0);
        self.anchor = Some(self.anchor_at(reading));
        Some(Sleep { before: Epoch(anchor.epoch.0 + 1), duration: Duration::from_millis(slept_ms.unsigned_abs()) })
    }

    /// As `confirm`, by the system's clocks as they are now.
    pub fn confirm_now(&mut self) -> Option<Sleep> {
        self.confirm(&self.reading())
    }

    /// As `confirm`, by the twin's wall clock, which the twin trusts: for a machine whose own is not set yet.
    pub fn confirm_by_twin(&mut self, wall_ms: i64) -> Option<Sleep> {
        let own = self.reading();
        if own.wall_trusted {
            return None;
        }
        self.confirm(&Reading { wall_ms, wall_trusted: true, ..own })
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn now(&self) -> Time {
        self.time_at(boottime_ms())
    }

    pub fn wall_trusted(&self) -> bool {
        self.reading().wall_trusted
    }

    /// For display only: ms since 1970.
    pub fn wall_ms_of(&self, time: Time) -> i64 {
        let moved = self.wall_of(time).duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(moved.as_millis()).unwrap_or(i64::MAX)
    }

    /// For display only.
    pub fn wall_of(&self, time: Time) -> SystemTime {
        let (now, wall) = (self.now(), SystemTime::now());
        let moved = if time >= now { wall.checked_add(time - now) } else { wall.checked_sub(now - time) };
        moved.unwrap_or(wall)
    }

    pub fn stamp(&self) -> Stamp {
        self.stamp_at(&self.reading())
    }

    /// The stamp to save at this moment. While a sleep is unknown, the anchor stays in the earlier epoch.
    pub fn stamp_at(&self, reading: &Reading) -> Stamp {
        let unknown_sleep = self.anchor.is_some_and(|anchor| anchor.epoch < self.epoch);
        let anchor = if reading.wall_trusted && !unknown_sleep { Some(self.anchor_at(reading)) } else { self.anchor };
        Stamp {
            boot_id: self.boot_id.clone(),
            boottime_ms: reading.boottime_ms,
            node_ms: self.node_ms(reading),
            epoch: self.epoch,
            anchor,
        }
    }

    fn reading(&self) -> Reading {
        let wall_trusted = self.trust == WallTrust::Always || kernel_keeps_wall_clock();
        Reading { boot_id: self.boot_id.clone(), boottime_ms: boottime_ms(), wall_ms: wall_ms(), wall_trusted }
    }

    fn anchor_at(&self, reading: &Reading) -> Anchor {
        Anchor { wall_ms: reading.wall_ms, node_ms: self.node_ms(reading), epoch: self.epoch }
    }

    fn node_ms(&self, reading: &Reading) -> i64 {
        self.base_ms.saturating_add(reading.boottime_ms).max(0)
    }

    fn time_at(&self, boottime_ms: i64) -> Time {
        Time(self.base_ms.saturating_add(boottime_ms).max(0).unsigned_abs())
    }
}

/// The day by the wall clock, `YYYY-MM-DD` in UTC, and the second, for the names of files.
pub fn wall_day_and_second() -> (String, String) {
    let now = jiff::Timestamp::now();
    (now.strftime("%Y-%m-%d").to_string(), now.strftime("%Y%m%dT%H%M%SZ").to_string())
}

/// The wall clock as it is told to the twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wall {
    /// Since 1970.
    pub ms: i64,
    pub trusted: bool,
}

impl Wall {
    pub fn now(trust: WallTrust) -> Wall {
        Wall { ms: wall_ms(), trusted: trust == WallTrust::Always || kernel_keeps_wall_clock() }
    }
}

/// An empty id (no /proc) never happens on the systems that this runs on; it would count as the same boot,
/// which ends no lease early.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn boottime_ms() -> i64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux since 2.6.39 has CLOCK_BOOTTIME");
    time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000
}

/// Ms since 1970, trusted or not: to show people when something happened.
pub fn wall_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

/// The kernel's own flag: set at boot, cleared by whatever disciplines the clock (adjtimex(2), STA_UNSYNC).
fn kernel_keeps_wall_clock() -> bool {
    // SAFETY: `timex` is plain integers; with `modes` zero the call only fills it in.
    let (state, status) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&mut timex), timex.status)
    };
    state >= 0 && state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_2026_MS: i64 = 1_780_000_000_000;

    fn reading(boot: &str, boottime_ms: i64, wall_ms: i64, wall_trusted: bool) -> Reading {
        Reading { boot_id: boot.into(), boottime_ms, wall_ms, wall_trusted }
    }

    fn first(reading: &Reading) -> Clock {
        Clock::resume(None, reading, WallTrust::Kernel).0
    }

    #[test]
    fn no_stamp_begins_at_zero_in_epoch_one() {
        let at = reading("a", 5_000_000, DAY_2026_MS, true);
        let (clock, slept) = Clock::resume(None, &at, WallTrust::Kernel);
        assert_eq!((clock.epoch(), slept), (Epoch(1), Slept::SameBoot));
        assert_eq!(clock.time_at(5_000_000), Time::ZERO);
        assert_eq!(clock.time_at(5_000_250), Time(250));
    }

    #[test]
    fn process_restart_goes_on_in_the_same_epoch() {
        let clock = first(&reading("a", 1000, DAY_2026_MS, true));
        let saved = clock.stamp_at(&reading("a", 4000, DAY_2026_MS + 3000, true));
        let (clock, slept) = Clock::resume(Some(saved), &reading("a", 9000, DAY_2026_MS + 8000, true), WallTrust::Kernel);
        assert_eq!((clock.epoch(), slept), (Epoch(1), Slept::SameBoot));
        assert_eq!(clock.time_at(9000), Time(8000));
    }

    #[test]
    fn reboot_with_a_good_clock_knows_the_sleep_at_once() {
        let clock = first(&reading("a", 0, DAY_2026_MS, true));
        let saved = clock.stamp_at(&reading("a", 90_000, DAY_2026_MS + 90_000, true));
        let (mut clock, slept) = Clock::resume(Some(saved), &reading("b", 7000, DAY_2026_MS + 130_000, true), WallTrust::Kernel);
        assert_eq!(slept, Slept::Known(Sleep { before: Epoch(2), duration: Duration::from_secs(40) }));
        assert_eq!(clock.time_at(7000), Time(90_000));
        assert_eq!(clock.confirm(&reading("b", 8000, DAY_2026_MS + 131_000, true)), None, "told once");
    }

    #[test]
    fn reboot_with_a_1970_clock_learns_the_sleep_when_the_clock_is_set() {
        let clock = first(&reading("a", 0, DAY_2026_MS, true));
        let saved = clock.stamp_at(&reading("a", 90_000, DAY_2026_MS + 90_000, true));
        let (mut clock, slept) = Clock::resume(Some(saved), &reading("b", 5000, 5000, false), WallTrust::Kernel);
        assert_eq!(slept, Slept::Unknown);
        assert_eq!(clock.confirm(&reading("b", 6000, 6000, false)), None);
        // 25 s awake since, 40 s asleep before.
        let set = reading("b", 30_000, DAY_2026_MS + 90_000 + 25_000 + 40_000, true);
        assert_eq!(clock.confirm(&set), Some(Sleep { before: Epoch(2), duration: Duration::from_secs(40) }));
        assert_eq!(clock.confirm(&set), None, "told once");
        assert_eq!(clock.time_at(30_000), Time(115_000), "node time never jumps");
    }

    #[test]
    fn several_boots_without_a_clock_are_told_of_the_first_of_them() {
        let clock = first(&reading("a", 0, DAY_2026_MS, true));
        let saved = clock.stamp_at(&reading("a", 1000, DAY_2026_MS + 1000, true));
        let (clock, _) = Clock::resume(Some(saved), &reading("b", 0, 0, false), WallTrust::Kernel);
        let saved = clock.stamp_at(&reading("b", 2000, 2000, false));
        let (mut clock, slept) = Clock::resume(Some(saved), &reading("c", 0, 0, false), WallTrust::Kernel);
        assert_eq!((clock.epoch(), slept), (Epoch(3), Slept::Unknown));
        let set = reading("c", 3000, DAY_2026_MS + 1000 + 2000 + 3000 + 60_000, true);
        assert_eq!(clock.confirm(&set), Some(Sleep { before: Epoch(2), duration: Duration::from_secs(60) }));
    }

    #[test]
    fn a_sleep_that_was_not_confirmed_is_still_due_after_a_process_restart() {
        let clock = first(&reading("a", 0, DAY_2026_MS, true));
        let saved = clock.stamp_at(&reading("a", 0, DAY_2026_MS, true));
        let (clock, _) = Clock::resume(Some(saved), &reading("b", 0, 0, false), WallTrust::Kernel);
        // The wall clock is trusted by now, but nobody has asked `confirm`: the anchor must not move.
        let saved = clock.stamp_at(&reading("b", 1000, DAY_2026_MS + 11_000, true));
        let (_, slept) = Clock::resume(Some(saved), &reading("b", 2000, DAY_2026_MS + 12_000, true), WallTrust::Kernel);
        assert_eq!(slept, Slept::Known(Sleep { before: Epoch(2), duration: Duration::from_secs(10) }));
    }

    #[test]
    fn a_wall_clock_gone_backwards_means_no_sleep() {
        let clock = first(&reading("a", 0, DAY_2026_MS, true));
        let saved = clock.stamp_at(&reading("a", 1000, DAY_2026_MS + 1000, true));
        let (_, slept) = Clock::resume(Some(saved), &reading("b", 0, DAY_2026_MS - 5000, true), WallTrust::Kernel);
        assert_eq!(slept, Slept::Known(Sleep { before: Epoch(2), duration: Duration::ZERO }));
    }

    #[test]
    fn a_stamp_from_the_future_does_not_set_node_time_back() {
        let clock = first(&reading("a", 0, DAY_2026_MS, false));
        let saved = clock.stamp_at(&reading("a", 50_000, DAY_2026_MS, false));
        let (clock, slept) = Clock::resume(Some(saved), &reading("a", 10_000, DAY_2026_MS, false), WallTrust::Kernel);
        assert_eq!(slept, Slept::SameBoot);
        assert_eq!(clock.time_at(10_000), Time(50_000));
    }

    #[test]
    fn a_wall_clock_never_trusted_leaves_the_sleep_unknown_for_ever() {
        let clock = first(&reading("a", 0, 0, false));
        let saved = clock.stamp_at(&reading("a", 1000, 1000, false));
        let at = reading("b", 0, DAY_2026_MS, true);
        let (mut clock, slept) = Clock::resume(Some(saved), &at, WallTrust::Kernel);
        assert_eq!(slept, Slept::Unknown);
        assert_eq!(clock.confirm(&at), None);
    }

    #[test]
    fn the_system_can_be_read() {
        let at = Reading::take(WallTrust::Always);
        assert!(!at.boot_id.is_empty() && at.boottime_ms > 0 && at.wall_trusted);
        let clock = Clock::resume(None, &at, WallTrust::Kernel).0;
        let tomorrow = clock.now() + Duration::from_secs(86_400);
        assert!(clock.wall_of(tomorrow) > SystemTime::now() + Duration::from_secs(86_000));
    }
}
