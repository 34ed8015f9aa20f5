//! The hardware's watchdog: fed only while everything that must go on does. A box that hangs starts again by itself.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::fd::AsRawFd,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::runtime::alive::Alive;

/// A Pi refuses more than 15 s. With the time that it takes to be sure of a hang: a restart within 20 s.
const TIMEOUT_SECS: libc::c_int = 10;
const FEED_INTERVAL: Duration = Duration::from_secs(2);
/// What has not moved for so long hangs. The last meal was two intervals later at the most: one until a move is seen, one until the next look.
const HANG_AFTER: Duration = Duration::from_secs(4);
/// A database that was hurt is checked and put together anew, on a slow card.
const START_MAX: Duration = Duration::from_secs(300);
/// `WDIOC_SETTIMEOUT` of linux/watchdog.h.
const SET_TIMEOUT: libc::Ioctl = 0xc004_5706_u32 as libc::Ioctl;

/// Who is watched, and when each moved last.
struct Watched {
    name: &'static str,
    alive: Alive,
    seen: u64,
    moved: Instant,
    patience: Duration,
}

impl Watched {
    fn new(name: &'static str, alive: Alive, patience: Duration) -> Watched {
        Watched { name, seen: alive.count(), alive, moved: Instant::now(), patience }
    }
}

/// The part that has hung for too long.
fn hanging(watched: &mut [Watched], now: Instant) -> Option<&'static str> {
    for part in watched.iter_mut() {
        let count = part.alive.count();
        if count != part.seen {
            part.seen = count;
            part.moved = now;
        }
    }
    watched.iter().find(|part| now.duration_since(part.moved) > part.patience).map(|part| part.name)
}

/// Of an open one, which bites from then on unless it is fed.
pub struct Watchdog {
    watched: Arc<Mutex<Vec<Watched>>>,
}

/// Opens it, and feeds it on a thread of its own: at first for as long as a start may take.
pub fn open(path: &std::path::Path) -> io::Result<Watchdog> {
    let device = OpenOptions::new().write(true).open(path)?;
    let mut timeout = TIMEOUT_SECS;
    // SAFETY: the request takes a pointer to an int, which lives until the call returns.
    if unsafe { libc::ioctl(device.as_raw_fd(), SET_TIMEOUT, &raw mut timeout) } != 0 {
        tracing::warn!("the watchdog keeps its own time-out: {}", io::Error::last_os_error());
    }
    let watched = Arc::new(Mutex::new(vec![Watched::new("the start", Alive::default(), START_MAX)]));
    let fed_for = Arc::clone(&watched);
    std::thread::Builder::new().name("watchdog".into()).spawn(move || feed(device, &fed_for))?;
    Ok(Watchdog { watched })
}

impl Watchdog {
    /// The start is over: these must move from now on.
    pub fn watch(&self, parts: Vec<(&'static str, Alive)>) {
        let parts = parts.into_iter().map(|(name, alive)| Watched::new(name, alive, HANG_AFTER));
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = parts.collect();
    }
}

fn feed(mut device: File, watched: &Mutex<Vec<Watched>>) {
    let mut told = None;
    loop {
        let hanging = hanging(&mut watched.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        match hanging {
            None => {
                if let Err(error) = device.write_all(b"\0") {
                    tracing::error!("the watchdog cannot be fed: {error}");
                }
            }
            Some(part) if told != hanging => tracing::error!("{part} hangs: the watchdog will start this box again"),
            Some(_) => {}
        }
        told = hanging;
        std::thread::sleep(FEED_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At whatever moment between two looks it hangs.
    #[test]
    fn a_box_that_hangs_starts_again_within_twenty_seconds() {
        let look = FEED_INTERVAL;
        for hung_ms in (0..2000).step_by(50) {
            let (store, start) = (Alive::default(), Instant::now());
            let mut watched = [Watched { name: "the store", alive: store.clone(), seen: 0, moved: start, patience: HANG_AFTER }];
            let hung = start + look * 3 + Duration::from_millis(hung_ms);
            let is_fed = |nth: &u32| {
                let now = start + look * *nth;
                if now <= hung + look {
                    // Its last move comes just before it hangs, and is seen with the next look.
                    store.beat();
                }
                hanging(&mut watched, now).is_none()
            };
            let last_meal = start + look * (0..20).filter(is_fed).max().expect("it is well at first");
            let reset = last_meal + Duration::from_secs(TIMEOUT_SECS as u64);
            assert!(reset - hung <= Duration::from_secs(20), "{:?}", reset - hung);
            assert!(last_meal > hung, "a part that goes on is fed for");
        }
    }

    #[test]
    fn one_part_that_stands_still_is_enough() {
        let (packets, store) = (Alive::default(), Alive::default());
        let start = Instant::now();
        let part = |name, alive: &Alive| Watched { name, alive: alive.clone(), seen: 0, moved: start, patience: HANG_AFTER };
        let mut watched = [part("the packet loop", &packets), part("the store", &store)];
        let at = |secs| start + Duration::from_secs(secs);
        assert_eq!(hanging(&mut watched, at(3)), None);
        packets.beat();
        store.beat();
        assert_eq!(hanging(&mut watched, at(6)), None);
        packets.beat();
        assert_eq!(hanging(&mut watched, at(11)), Some("the store"));
        store.beat();
        packets.beat();
        assert_eq!(hanging(&mut watched, at(12)), None, "a part that goes on is forgiven");
    }
    #[test]
    fn a_start_may_take_its_time_and_no_more() {
        let mut start = [Watched::new("the start", Alive::default(), START_MAX)];
        let begun = start[0].moved;
        assert_eq!(hanging(&mut start, begun + Duration::from_secs(299)), None);
        assert_eq!(hanging(&mut start, begun + Duration::from_secs(301)), Some("the start"));
    }
}
