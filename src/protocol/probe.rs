//! Is somebody using this address already? ARP answers heard, kept for a short while.

use std::{collections::VecDeque, net::Ipv4Addr, time::Duration};

use super::{Map, time::Time};

/// How long an answer, or its absence, counts.
pub const CACHE_TIME: Duration = Duration::from_secs(30);
/// Results remembered.
const MAX_RESULTS: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeResult {
    Silent,
    UsedBy([u8; 6]),
    /// The question could not be sent, so silence says nothing.
    NotAsked,
}

/// Results by address, oldest forgotten first.
#[derive(Debug, Default)]
pub struct ProbeCache {
    results: Map<Ipv4Addr, (Time, ProbeResult)>,
    order: VecDeque<(Time, Ipv4Addr)>,
}

impl ProbeCache {
    pub fn get(&self, now: Time, address: Ipv4Addr) -> Option<ProbeResult> {
        let &(at, result) = self.results.get(&address)?;
        (now - at < CACHE_TIME).then_some(result)
    }

    pub fn put(&mut self, now: Time, address: Ipv4Addr, result: ProbeResult) {
        self.results.insert(address, (now, result));
        self.order.push_back((now, address));
        while let Some(&(at, oldest)) = self.order.front() {
            if now - at < CACHE_TIME && self.order.len() <= MAX_RESULTS {
                break;
            }
            self.order.pop_front();
            if self.results.get(&oldest).is_some_and(|result| result.0 == at) {
                self.results.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_cached_for_a_while_and_bounded() {
        let mut cache = ProbeCache::default();
        let address = Ipv4Addr::new(192, 0, 2, 7);
        cache.put(Time(0), address, ProbeResult::Silent);
        assert_eq!(cache.get(Time(29_999), address), Some(ProbeResult::Silent));
        assert_eq!(cache.get(Time(30_000), address), None);
        for i in 0..10_000 {
            cache.put(Time(1), Ipv4Addr::from(i), ProbeResult::Silent);
        }
        assert!(cache.results.len() <= MAX_RESULTS && cache.order.len() <= MAX_RESULTS);
    }
}
