//! How many connections there may be, in all and from one source: who opens more than that is not let in, and the others
//! go on.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// A browser opens six to one host, and one stream for each tab.
const FROM_ONE_MAX: usize = 40;
const ALL_MAX: usize = 200;

#[derive(Debug, Default)]
pub struct Crowd(Mutex<HashMap<IpAddr, usize>>);

/// Given back when the connection ends.
pub struct Seat {
    crowd: Arc<Crowd>,
    from: IpAddr,
}

impl Crowd {
    pub fn admit(self: &Arc<Crowd>, from: IpAddr) -> Option<Seat> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = sources.values().sum();
        let count = sources.get(&from).copied().unwrap_or_default();
        if all >= ALL_MAX || count >= FROM_ONE_MAX {
            return None;
        }
        sources.insert(from, count + 1);
        Some(Seat { crowd: Arc::clone(self), from })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sources = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_does_not_take_all_seats_and_gives_them_back() {
        let crowd = Arc::new(Crowd::default());
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let greedy: Vec<_> = (0..100).filter_map(|_| crowd.admit(ip(1))).collect();
        assert_eq!(greedy.len(), FROM_ONE_MAX);
        let others: Vec<_> = (2..250).filter_map(|last| crowd.admit(ip(last))).collect();
        assert_eq!(others.len(), ALL_MAX - FROM_ONE_MAX);
        drop((greedy, others));
        assert!(crowd.admit(ip(1)).is_some());
        assert!(crowd.0.lock().expect("unpoisoned").is_empty());
    }
}
