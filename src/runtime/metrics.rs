//! What is counted while packets are served: atomics only, so that whoever reads them delays nobody.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::protocol::CommitId;

/// Upper bounds in microseconds. An answer from memory takes some 50 µs, a commit on a card 2 to 50 ms, ARP 200 ms.
pub const BOUNDS_US: [u64; 16] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000];

/// Durations by size. Read while it is written, its sum may be ahead of its buckets by a few.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS_US.partition_point(|bound| *bound < us)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// Upper bounds in seconds with how many fell below each but not below the one before; the last is without bound.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        bounds.zip(&self.buckets).map(|(bound, count)| (bound, count.load(Relaxed))).collect()
    }

    pub fn sum_secs(&self) -> f64 {
        self.sum_us.load(Relaxed) as f64 / 1e6
    }
}

/// What a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyKind {
    Offer,
    Ack,
    Nak,
    /// BOOTP, LEASEQUERY.
    Other,
}

impl ReplyKind {
    pub const ALL: [(ReplyKind, &'static str); 4] =
        [(ReplyKind::Offer, "offer"), (ReplyKind::Ack, "ack"), (ReplyKind::Nak, "nak"), (ReplyKind::Other, "other")];

    /// By option 53, which this server puts first.
    fn of(payload: &[u8]) -> ReplyKind {
        match payload.get(240..243) {
            Some([53, 1, 2]) => ReplyKind::Offer,
            Some([53, 1, 5]) => ReplyKind::Ack,
            Some([53, 1, 6]) => ReplyKind::Nak,
            Some(_) | None => ReplyKind::Other,
        }
    }
}

#[derive(Debug, Default)]
pub struct Metrics {
    /// From the arrival of a request to its reply, by `ReplyKind`.
    replies: [Histogram; ReplyKind::ALL.len()],
    /// From being handed to the disk to being durable.
    pub commits: Histogram,
    pub commit_failures: AtomicU64,
    pub heartbeats_sent: AtomicU64,
    pub heartbeats_received: AtomicU64,
    /// As the sockets count them; looked at every few seconds.
    pub datagrams_received: AtomicU64,
    pub datagrams_sent: AtomicU64,
    pub send_failures: AtomicU64,
    pub kernel_drops: AtomicU64,
}

impl Metrics {
    pub fn replies(&self, kind: ReplyKind) -> &Histogram {
        &self.replies[kind as usize]
    }
}

/// Requests that may be answered: a power of two, and more than one second of a house that comes back after a power cut.
const IN_FLIGHT: usize = 4096;

/// When each request came in, by `xid`. One that finds its place taken takes it over: a sample is lost, no more.
#[derive(Debug)]
pub struct InFlight {
    slots: Box<[(u32, Option<Instant>)]>,
    /// Of the replies about to leave.
    leaving: Vec<(ReplyKind, Instant)>,
}

impl Default for InFlight {
    fn default() -> InFlight {
        InFlight { slots: vec![(0, None); IN_FLIGHT].into_boxed_slice(), leaving: Vec::new() }
    }
}

fn xid(payload: &[u8]) -> Option<(usize, u32)> {
    let xid = u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?);
    Some(((xid.wrapping_mul(0x9e37_79b9) >> 20) as usize % IN_FLIGHT, xid))
}

impl InFlight {
    pub fn asked(&mut self, payload: &[u8], at: Instant) {
        if let Some((slot, xid)) = xid(payload) {
            self.slots[slot] = (xid, Some(at));
        }
    }

    /// Before the replies are handed to the kernel, which takes them away.
    pub fn answers<'a>(&mut self, replies: impl IntoIterator<Item = &'a [u8]>) {
        for payload in replies {
            let Some((slot, xid)) = xid(payload) else { continue };
            if self.slots[slot].0 == xid
                && let Some(asked) = self.slots[slot].1.take()
            {
                self.leaving.push((ReplyKind::of(payload), asked));
            }
        }
    }

    /// After that.
    pub fn left(&mut self, metrics: &Metrics) {
        if self.leaving.is_empty() {
            return;
        }
        let now = Instant::now();
        for (kind, asked) in self.leaving.drain(..) {
            metrics.replies(kind).observe(now.saturating_duration_since(asked));
        }
    }
}

/// Commits on their way to the disk, in their order. Bounded by the store's own queue.
#[derive(Debug, Default)]
pub struct UnderWay {
    sent: VecDeque<(CommitId, Instant)>,
}

impl UnderWay {
    pub fn sent(&mut self, id: CommitId, at: Instant) {
        self.sent.push_back((id, at));
    }

    pub fn committed(&mut self, up_to: CommitId, metrics: &Metrics) {
        let now = Instant::now();
        while let Some((_, at)) = self.sent.pop_front_if(|(id, _)| *id <= up_to) {
            metrics.commits.observe(now.saturating_duration_since(at));
        }
    }

    /// This one and those after it did not even find room; those before it may still become durable.
    pub fn refused(&mut self, first: CommitId, metrics: &Metrics) {
        while self.sent.pop_back_if(|(id, _)| *id >= first).is_some() {
            metrics.commit_failures.fetch_add(1, Relaxed);
        }
    }

    pub fn failed(&mut self, last: CommitId, metrics: &Metrics) {
        while self.sent.pop_front_if(|(id, _)| *id <= last).is_some() {
            metrics.commit_failures.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(xid: u32, kind: u8) -> Vec<u8> {
        let mut payload = vec![0; 243];
        payload[4..8].copy_from_slice(&xid.to_be_bytes());
        payload[240..].copy_from_slice(&[53, 1, kind]);
        payload
    }

    fn counts(metrics: &Metrics) -> Vec<u64> {
        ReplyKind::ALL.map(|(kind, _)| metrics.replies(kind).buckets().iter().map(|(_, count)| count).sum()).into()
    }

    #[test]
    fn a_reply_is_timed_from_its_own_request_and_once() {
        let (metrics, mut in_flight) = (Metrics::default(), InFlight::default());
        let long_ago = Instant::now() - Duration::from_secs(3);
        in_flight.asked(&message(7, 1), long_ago);
        in_flight.asked(&message(8, 3), Instant::now());
        let (offer, ack, unknown) = (message(7, 2), message(8, 5), message(9, 6));
        for _ in 0..2 {
            in_flight.answers([&offer[..], &ack[..], &unknown[..], &[1, 2, 3][..]]);
            in_flight.left(&metrics);
        }
        assert_eq!(counts(&metrics), [1, 1, 0, 0]);
        assert!(metrics.replies(ReplyKind::Offer).sum_secs() >= 3.0);
        assert!(metrics.replies(ReplyKind::Ack).sum_secs() < 1.0);
    }

    #[test]
    fn durations_fall_into_the_bucket_that_holds_them() {
        let histogram = Histogram::default();
        for us in [0, 50, 51, 5_000_000, 5_000_001, u64::MAX / 4] {
            histogram.observe(Duration::from_micros(us));
        }
        let buckets = histogram.buckets();
        assert_eq!(buckets[0], (0.00005, 2), "the bound itself belongs below it");
        assert_eq!(buckets[1].1, 1);
        assert_eq!((buckets[15].1, buckets[16].1), (1, 2));
    }

    #[test]
    fn a_commit_is_timed_when_all_before_it_are_durable_too() {
        let (metrics, mut under_way) = (Metrics::default(), UnderWay::default());
        (1..=5).for_each(|id| under_way.sent(CommitId(id), Instant::now()));
        under_way.committed(CommitId(3), &metrics);
        under_way.failed(CommitId(4), &metrics);
        assert_eq!(metrics.commits.buckets().iter().map(|(_, count)| count).sum::<u64>(), 3);
        assert_eq!(metrics.commit_failures.load(Relaxed), 1);
        assert_eq!(under_way.sent.len(), 1);
    }
}
