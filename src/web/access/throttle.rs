//! Who guesses passwords waits: longer at each wrong one, per source; and all who are unknown together when many guess.
//! Pure: it is given the moment.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Wrong ones that cost nothing: people mistype.
const FREE_TRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// A source is forgotten after so long without a wrong one.
const MEMORY: Duration = Duration::from_secs(3600);
/// Sources that are remembered.
const SOURCES_MAX: usize = 512;
/// So many wrong ones from everywhere in `ALL_SPAN`, and only those who signed in before may try.
const ALL_MAX: usize = 30;
const ALL_SPAN: Duration = Duration::from_secs(5 * 60);
/// Sources from which somebody has signed in: a crowd that guesses does not lock the owner out.
const KNOWN_MAX: usize = 32;

#[derive(Debug, Default)]
pub struct Throttle {
    sources: HashMap<IpAddr, Tries>,
    /// The latest wrong ones, oldest first.
    all: VecDeque<Instant>,
    known: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct Tries {
    wrong: u32,
    last: Instant,
}

impl Throttle {
    /// One more try, which counts as wrong until `succeeded`: many at once are no way around. `Err`: how long to wait.
    pub fn attempt(&mut self, now: Instant, from: IpAddr) -> Result<(), Duration> {
        let source = source(from);
        let until = self.sources.get(&source).map(|tries| tries.last + wait(tries.wrong));
        if let Some(left) = until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero()) {
            return Err(left);
        }
        while self.all.front().is_some_and(|oldest| now.saturating_duration_since(*oldest) >= ALL_SPAN) {
            self.all.pop_front();
        }
        if !self.known.contains(&source)
            && self.all.len() >= ALL_MAX
            && let Some(oldest) = self.all.front()
        {
            return Err((*oldest + ALL_SPAN).saturating_duration_since(now));
        }
        if self.all.len() >= ALL_MAX {
            self.all.pop_front();
        }
        self.all.push_back(now);
        self.make_room(now, source);
        let tries = self.sources.entry(source).or_insert(Tries { wrong: 0, last: now });
        tries.wrong = if now.saturating_duration_since(tries.last) >= MEMORY { 1 } else { tries.wrong.saturating_add(1) };
        tries.last = now;
        Ok(())
    }

    pub fn succeeded(&mut self, from: IpAddr) {
        let source = source(from);
        self.sources.remove(&source);
        self.all.pop_back();
        self.known.retain(|known| *known != source);
        if self.known.len() >= KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(source);
    }

    fn make_room(&mut self, now: Instant, source: IpAddr) {
        if self.sources.len() < SOURCES_MAX || self.sources.contains_key(&source) {
            return;
        }
        self.sources.retain(|_, tries| now.saturating_duration_since(tries.last) < MEMORY);
        if self.sources.len() >= SOURCES_MAX
            && let Some(mildest) = self.sources.iter().min_by_key(|(_, tries)| (tries.wrong, tries.last)).map(|(ip, _)| *ip)
        {
            self.sources.remove(&mildest);
        }
    }
}

fn wait(wrong: u32) -> Duration {
    match wrong.checked_sub(FREE_TRIES) {
        None => Duration::ZERO,
        Some(more) => FIRST_WAIT.saturating_mul(1 << more.min(16)).min(LONGEST_WAIT),
    }
}

/// One machine has a /64 of IPv6 to choose from.
fn source(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + number).into())
    }

    #[test]
    fn each_wrong_one_makes_the_wait_longer_and_the_right_one_ends_it() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for _ in 0..FREE_TRIES {
            assert_eq!(throttle.attempt(now, ip(1)), Ok(()));
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let left = throttle.attempt(now, ip(1)).expect_err("too soon");
            waits.push(left.as_secs());
            now += left;
            assert_eq!(throttle.attempt(now, ip(1)), Ok(()), "after the wait");
        }
        assert_eq!(waits[..5], [2, 4, 8, 16, 32]);
        assert_eq!(waits[11], LONGEST_WAIT.as_secs());
        assert_eq!(throttle.attempt(now, ip(2)), Ok(()), "another one does not wait");
        throttle.succeeded(ip(1));
        assert_eq!(throttle.attempt(now, ip(1)), Ok(()));
    }

    #[test]
    fn a_crowd_that_guesses_stops_strangers_but_not_the_owner() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.attempt(now, ip(7)), Ok(()));
        throttle.succeeded(ip(7));
        let let_in = (100..1000).filter(|number| throttle.attempt(now, ip(*number)).is_ok()).count();
        assert_eq!(let_in, ALL_MAX);
        assert_eq!(throttle.attempt(now, ip(5000)), Err(ALL_SPAN));
        assert_eq!(throttle.attempt(now, ip(7)), Ok(()), "the owner");
        assert_eq!(throttle.attempt(now + ALL_SPAN, ip(5000)), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        for number in 0..5000 {
            let _ = throttle.attempt(now, ip(number));
            now += ALL_SPAN / ALL_MAX as u32;
        }
        assert!(throttle.sources.len() <= SOURCES_MAX && throttle.all.len() <= ALL_MAX);
    }

    #[test]
    fn a_machine_with_many_ipv6_addresses_is_one_source() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let address = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        for last in 0..FREE_TRIES as u16 {
            assert!(throttle.attempt(now, address(last)).is_ok());
        }
        assert!(throttle.attempt(now, address(99)).is_err());
    }
}
