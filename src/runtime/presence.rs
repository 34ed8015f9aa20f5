//! Which device was heard in which hour, by whatever it sent: for timelines, "last heard" and "new". A lease is no presence.
//!
//! Kept in memory, bounded, and written once an hour and at the stop. Twins tell each other, so that both show the same: one may
//! have been off, or wiped, or stand where a device's renewals are not heard.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::clock;
use crate::protocol::{Map, lease::HwAddr};

/// Devices known; beyond it, one that was silent for long is forgotten.
pub const DEVICES_MAX: usize = 4096;
/// Days of which the hours are kept.
pub const DAYS_KEPT: u32 = 31;
const HOUR_MS: i64 = 3_600_000;
/// Of devices that all were heard lately, so many get a second chance before the next one goes.
const SECOND_CHANCES: usize = 8;
/// What was heard longer ago was heard by a clock that was wrong.
const AGE_MAX_MS: i64 = 10 * 365 * 24 * HOUR_MS;
/// BOOTREQUEST, and what a BOOTP packet has before its options.
const FROM_CLIENT: u8 = 1;
const HEADER_BYTES: usize = 236;

/// A device, and when it was heard. By the wall clock, since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub hw: HwAddr,
    pub first_wall_ms: i64,
    pub last_wall_ms: i64,
}

/// Hours of a day (UTC): bit n is the hour n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Since 1970.
    pub day: u32,
    pub hours: u32,
}

/// What a twin tells of a device. Ages, because the clocks of the two may differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub hw: HwAddr,
    pub first_ms_ago: i64,
    pub last_ms_ago: i64,
}

/// What the store writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unwritten {
    pub known: Vec<Known>,
    pub days: Vec<(HwAddr, Day)>,
}

/// Clones are of the same.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    devices: Map<HwAddr, Device>,
    /// In the order in which they came, for `make_room`.
    queue: VecDeque<HwAddr>,
    unwritten: BTreeMap<(HwAddr, u32), u32>,
    /// In hours since 1970.
    written: Option<i64>,
    /// Counts what was heard here.
    count: u64,
}

#[derive(Debug)]
struct Device {
    /// The count when it was heard last; 0: only the disk and the twin know of it.
    heard: u64,
    first_wall_ms: i64,
    last_wall_ms: i64,
    /// The last one that was marked, since 1970.
    hour: i64,
    is_written: bool,
}

/// Takes what is heard within one batch of packets.
pub(super) struct Ear<'a> {
    heard: MutexGuard<'a, Heard>,
    wall_ms: i64,
}

impl Ear<'_> {
    /// A datagram to a DHCP server.
    pub fn datagram(&mut self, payload: &[u8]) {
        if payload.len() < HEADER_BYTES || payload[0] != FROM_CLIENT {
            return;
        }
        let length = usize::from(payload[2]);
        if (1..=16).contains(&length)
            && let Some(hw) = HwAddr::new(payload[1], &payload[28..28 + length])
        {
            self.device(hw);
        }
    }

    pub fn device(&mut self, hw: HwAddr) {
        self.heard.hear(hw, self.wall_ms);
    }
}

impl Presence {
    /// What the disk knows.
    pub(super) fn load(known: impl IntoIterator<Item = Known>) -> Presence {
        let mut heard = Heard::default();
        for Known { hw, first_wall_ms, last_wall_ms } in known {
            if heard.devices.len() < DEVICES_MAX {
                heard.devices.insert(hw, Device { heard: 0, first_wall_ms, last_wall_ms, hour: -1, is_written: true });
                heard.queue.push_back(hw);
            }
        }
        Presence { heard: Arc::new(Mutex::new(heard)) }
    }

    pub(super) fn listen(&self) -> Ear<'_> {
        Ear { heard: self.lock(), wall_ms: clock::wall_ms() }
    }

    pub fn of(&self, hw: HwAddr) -> Option<Known> {
        self.lock().devices.get(&hw).map(|device| device.known(hw))
    }

    /// In no order.
    pub fn all(&self) -> Vec<Known> {
        self.lock().devices.iter().map(|(hw, device)| device.known(*hw)).collect()
    }

    /// Hours that are not on the disk yet, in the order of their days.
    pub fn unwritten(&self, hw: HwAddr) -> Vec<Day> {
        let heard = self.lock();
        let days = heard.unwritten.range((hw, 0)..=(hw, u32::MAX));
        days.map(|(&(_, day), &hours)| Day { day, hours }).collect()
    }

    /// An hour has begun since the last time, and something was heard.
    pub(super) fn is_due(&self) -> bool {
        let hour = clock::wall_ms() / HOUR_MS;
        let mut heard = self.lock();
        *heard.written.get_or_insert(hour) != hour && !heard.unwritten.is_empty()
    }

    pub(super) fn take(&self) -> Unwritten {
        let mut heard = self.lock();
        heard.written = Some(clock::wall_ms() / HOUR_MS);
        let days = std::mem::take(&mut heard.unwritten);
        let days: Vec<_> = days.into_iter().map(|((hw, day), hours)| (hw, Day { day, hours })).collect();
        let mut known = Vec::new();
        for (hw, _) in &days {
            if let Some(device) = heard.devices.get_mut(hw)
                && known.last().is_none_or(|last: &Known| last.hw != *hw)
            {
                device.is_written = true;
                known.push(device.known(*hw));
            }
        }
        Unwritten { known, days }
    }

    /// It could not be written.
    pub(super) fn put_back(&self, unwritten: Unwritten) {
        let mut heard = self.lock();
        for (hw, Day { day, hours }) in unwritten.days {
            if heard.devices.contains_key(&hw) {
                *heard.unwritten.entry((hw, day)).or_default() |= hours;
            }
        }
    }

    /// For the twin: those that were heard here since this count, and the count now. From the beginning (`None`), all.
    pub(super) fn news(&self, since: Option<u64>) -> (u64, Vec<Told>) {
        self.lock().news(since, clock::wall_ms())
    }

    /// The earliest first time and the latest last one count.
    pub(super) fn learn(&self, told: &[Told]) {
        self.lock().learn(told, clock::wall_ms());
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device {
    fn known(&self, hw: HwAddr) -> Known {
        Known { hw, first_wall_ms: self.first_wall_ms, last_wall_ms: self.last_wall_ms }
    }
}

impl Heard {
    fn hear(&mut self, hw: HwAddr, wall_ms: i64) {
        self.count += 1;
        let count = self.count;
        self.device(hw, wall_ms).heard = count;
        self.mark(hw, wall_ms);
    }

    /// Room is made for one that is new.
    fn device(&mut self, hw: HwAddr, wall_ms: i64) -> &mut Device {
        if !self.devices.contains_key(&hw) {
            if self.devices.len() >= DEVICES_MAX {
                self.make_room(wall_ms / HOUR_MS);
            }
            self.queue.push_back(hw);
        }
        let new = || Device { heard: 0, first_wall_ms: wall_ms, last_wall_ms: wall_ms, hour: -1, is_written: false };
        self.devices.entry(hw).or_insert_with(new)
    }

    fn mark(&mut self, hw: HwAddr, wall_ms: i64) {
        let hour = wall_ms / HOUR_MS;
        let Some(device) = self.devices.get_mut(&hw) else { return };
        device.last_wall_ms = wall_ms;
        if device.hour == hour {
            return;
        }
        device.hour = hour;
        let day = u32::try_from(hour / 24).unwrap_or(0);
        *self.unwritten.entry((hw, day)).or_default() |= 1 << (hour.rem_euclid(24));
    }

    fn news(&self, since: Option<u64>, now_ms: i64) -> (u64, Vec<Told>) {
        let is_news = |device: &&Device| since.is_none_or(|since| device.heard > since);
        let told = self.devices.iter().filter(|(_, device)| is_news(device)).map(|(hw, device)| Told {
            hw: *hw,
            first_ms_ago: now_ms - device.first_wall_ms,
            last_ms_ago: now_ms - device.last_wall_ms,
        });
        // What is yet to come was heard by a clock that was ahead, and says nothing.
        (self.count, told.filter(|told| told.first_ms_ago >= 0 && told.last_ms_ago >= 0).collect())
    }

    fn learn(&mut self, told: &[Told], now_ms: i64) {
        let is_age = |ms: i64| (0..=AGE_MAX_MS).contains(&ms);
        for Told { hw, first_ms_ago, last_ms_ago } in told.iter().filter(|told| is_age(told.last_ms_ago)) {
            let last_wall_ms = now_ms - last_ms_ago;
            let device = self.device(*hw, last_wall_ms);
            let first_wall_ms = now_ms - first_ms_ago;
            let is_earlier = is_age(*first_ms_ago) && first_wall_ms < device.first_wall_ms;
            if is_earlier || !is_age(now_ms - device.first_wall_ms) {
                device.first_wall_ms = first_wall_ms;
            }
            if is_earlier || last_wall_ms > device.last_wall_ms || !device.is_written {
                let last_wall_ms = last_wall_ms.max(device.last_wall_ms);
                self.mark(*hw, last_wall_ms);
            }
        }
    }

    /// The oldest goes; those that were heard within the last hour, or are no passers-by, get a few second chances. Looking
    /// for the one that was silent for longest would let a flood of invented devices cost too much.
    fn make_room(&mut self, hour: i64) {
        for chance in 0..=SECOND_CHANCES {
            let Some(oldest) = self.queue.pop_front() else { return };
            let is_wanted = self.devices.get(&oldest).is_some_and(|device| device.hour >= hour - 1 && device.is_written);
            if is_wanted && chance < SECOND_CHANCES {
                self.queue.push_back(oldest);
                continue;
            }
            self.devices.remove(&oldest);
            let days: Vec<_> = self.unwritten.range((oldest, 0)..=(oldest, u32::MAX)).map(|(key, _)| *key).collect();
            for key in days {
                self.unwritten.remove(&key);
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hw(nth: u32) -> HwAddr {
        let [a, b, c, d] = nth.to_be_bytes();
        HwAddr::ethernet([2, 0, a, b, c, d])
    }

    fn hear(presence: &Presence, hw: HwAddr, wall_ms: i64) {
        presence.lock().hear(hw, wall_ms);
    }

    #[test]
    fn hours_are_marked_once_and_kept_by_day() {
        let presence = Presence::load([Known { hw: hw(1), first_wall_ms: 5, last_wall_ms: 6 }]);
        let day = 24 * HOUR_MS;
        for at in [20 * day, 20 * day + 1, 20 * day + 23 * HOUR_MS, 21 * day] {
            hear(&presence, hw(1), at);
        }
        let days = [Day { day: 20, hours: 1 | 1 << 23 }, Day { day: 21, hours: 1 }];
        assert_eq!(presence.unwritten(hw(1)), days);
        assert_eq!(presence.of(hw(1)), Some(Known { hw: hw(1), first_wall_ms: 5, last_wall_ms: 21 * day }));
        let taken = presence.take();
        assert_eq!(taken.days, days.map(|day| (hw(1), day)));
        assert_eq!(taken.known.len(), 1);
        assert!(presence.unwritten(hw(1)).is_empty());
        hear(&presence, hw(1), 21 * day + HOUR_MS);
        presence.put_back(taken);
        assert_eq!(presence.unwritten(hw(1)), [days[0], Day { day: 21, hours: 3 }]);
    }

    #[test]
    fn invented_devices_are_bounded_and_do_not_push_out_those_of_the_house_at_once() {
        let presence = Presence::load((1..=20).map(|nth| Known { hw: hw(nth), first_wall_ms: 0, last_wall_ms: 0 }));
        for nth in 1..=20 {
            hear(&presence, hw(nth), HOUR_MS);
        }
        for nth in 1000..1000 + DEVICES_MAX as u32 + 50 {
            hear(&presence, hw(nth), HOUR_MS);
        }
        assert_eq!(presence.all().len(), DEVICES_MAX);
        assert_eq!(presence.lock().queue.len(), DEVICES_MAX);
        assert!(presence.lock().unwritten.len() <= DEVICES_MAX);
        let kept = (1..=20).filter(|nth| presence.of(hw(*nth)).is_some()).count();
        assert!(kept >= 15, "{kept}");
    }

    #[test]
    fn twins_that_tell_each_other_know_the_same_of_every_device() {
        const NOW: i64 = 500_000 * HOUR_MS;
        // The clock of the second one is an hour ahead.
        const AHEAD: i64 = HOUR_MS;
        let (one, other) = (Presence::default(), Presence::default());
        hear(&one, hw(1), NOW - 70 * HOUR_MS);
        hear(&one, hw(1), NOW - 9);
        hear(&other, hw(1), NOW - 60 * HOUR_MS + AHEAD);
        hear(&other, hw(2), NOW - 50 + AHEAD);
        hear(&one, hw(3), NOW + 5);
        let tell = |from: &Presence, since: Option<u64>, now_ms: i64, to: &Presence, its_now_ms: i64| {
            let (count, told) = from.lock().news(since, now_ms);
            to.lock().learn(&told, its_now_ms);
            count
        };
        let told = tell(&one, None, NOW, &other, NOW + AHEAD);
        tell(&other, None, NOW + AHEAD, &one, NOW);
        let known = |of: &Presence, nth: u32, ahead: i64| {
            let Known { first_wall_ms, last_wall_ms, .. } = of.of(hw(nth)).expect("it is known");
            (NOW + ahead - first_wall_ms, NOW + ahead - last_wall_ms)
        };
        assert_eq!((known(&one, 1, 0), known(&other, 1, AHEAD)), ((70 * HOUR_MS, 9), (70 * HOUR_MS, 9)));
        assert_eq!((known(&one, 2, 0), known(&other, 2, AHEAD)), ((50, 50), (50, 50)));
        assert_eq!(other.of(hw(3)), None, "what a clock that was ahead has heard is told to nobody");
        // What was learned is written, and is nothing that the one who told it has to hear again.
        assert!(!one.unwritten(hw(2)).is_empty() && one.lock().news(Some(told), NOW).1.is_empty());
        hear(&one, hw(2), NOW + 1);
        assert_eq!(one.lock().news(Some(told), NOW + 1).1.iter().map(|told| told.hw).collect::<Vec<_>>(), [hw(2)]);
    }

    #[test]
    fn a_clock_that_stood_at_1970_makes_no_device_old_on_the_other_one() {
        const NOW: i64 = 500_000 * HOUR_MS;
        let (one, other) = (Presence::default(), Presence::default());
        hear(&one, hw(1), 1000);
        hear(&one, hw(1), NOW - 5);
        hear(&other, hw(1), NOW - 2000);
        let (_, told) = one.lock().news(None, NOW);
        other.lock().learn(&told, NOW);
        assert_eq!(other.of(hw(1)).map(|known| NOW - known.first_wall_ms), Some(2000));
        let (_, told) = other.lock().news(None, NOW);
        one.lock().learn(&told, NOW);
        assert_eq!(one.of(hw(1)), other.of(hw(1)), "and the one is set right by the other");
    }

    #[test]
    fn only_what_a_client_says_counts() {
        let presence = Presence::default();
        let mut packet = [0; 240];
        (packet[0], packet[1], packet[2]) = (1, 1, 6);
        packet[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
        presence.listen().datagram(&packet[..100]);
        packet[0] = 2;
        presence.listen().datagram(&packet);
        (packet[0], packet[2]) = (1, 200);
        presence.listen().datagram(&packet);
        assert_eq!(presence.all(), []);
        packet[2] = 6;
        presence.listen().datagram(&packet);
        assert_eq!(presence.all()[0].hw, HwAddr::ethernet([2, 0, 0, 0, 0, 7]));
    }
}
