//! What waits to be sent, in lanes that never wait for each other: a page of 4 MB costs no heartbeat, and a slow answer
//! to a thousand updates neither.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::protocol::failover::{Body, Envelope};

/// More than a whole table's worth of what can change between two answers of the partner.
pub const RECORDS_MAX: usize = 8192;
/// One is asked for after the other.
pub const PAGES_MAX: usize = 4;
/// Sent with one POST: some 100 KB, so that what comes next does not wait long.
pub const BATCH_MAX: usize = 256;
/// Whoever sent it has asked again by then.
pub const STALE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The newest heartbeat only.
    Beats,
    /// Updates, acks, settings: in order.
    Records,
    /// Pages of a pull.
    Pages,
}

impl Lane {
    fn of(body: &Body) -> Lane {
        match body {
            Body::Heartbeat(_) => Lane::Beats,
            Body::Page(_) => Lane::Pages,
            Body::Update(_)
            | Body::Ack(_)
            | Body::Setting(_)
            | Body::SettingAck(_)
            | Body::GiveUp(_)
            | Body::ShuttingDown
            | Body::Pull(_) => Lane::Records,
        }
    }
}

struct Waiting {
    envelope: Envelope,
    since: Instant,
}

#[derive(Default)]
struct Lanes {
    beat: Option<Waiting>,
    records: VecDeque<Waiting>,
    pages: VecDeque<Waiting>,
    dropped: u64,
}

/// Filled by the server's loop, emptied by the tasks that send. Its lock is held for a few instructions only.
#[derive(Default)]
pub struct Queue {
    lanes: Mutex<Lanes>,
    beats: Notify,
    records: Notify,
    pages: Notify,
}

impl Queue {
    /// Never blocks. What finds no room is dropped: the protocol sends it again.
    pub fn push(&self, envelope: Envelope, now: Instant) {
        let lane = Lane::of(&envelope.body);
        let waiting = Waiting { envelope, since: now };
        {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            match lane {
                Lane::Beats => lanes.beat = Some(waiting),
                Lane::Records if lanes.records.len() < RECORDS_MAX => lanes.records.push_back(waiting),
                Lane::Pages if lanes.pages.len() < PAGES_MAX => lanes.pages.push_back(waiting),
                Lane::Records | Lane::Pages => lanes.dropped += 1,
            }
        }
        self.notify(lane).notify_one();
    }

    /// What goes next, once there is something. Cancel safe.
    pub async fn take(&self, lane: Lane) -> Batch {
        loop {
            if let Some(batch) = self.take_now(lane, Instant::now()) {
                return batch;
            }
            self.notify(lane).notified().await;
        }
    }

    /// Without what nobody waits for any more.
    pub fn take_now(&self, lane: Lane, now: Instant) -> Option<Batch> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let (queue, at_most) = match lane {
            Lane::Beats => {
                let beat = lanes.beat.take().filter(|beat| now - beat.since < STALE)?;
                return Some(Batch { envelopes: vec![beat.envelope], since: beat.since });
            }
            Lane::Records => (&mut lanes.records, BATCH_MAX),
            Lane::Pages => (&mut lanes.pages, 1),
        };
        let stale = queue.iter().take_while(|waiting| now - waiting.since >= STALE).count();
        queue.drain(..stale);
        let since = queue.front()?.since;
        let many = queue.len().min(at_most);
        let envelopes = queue.drain(..many).map(|waiting| waiting.envelope).collect();
        lanes.dropped += stale as u64;
        Some(Batch { envelopes, since })
    }

    /// For another partner, what was meant for the one before is nothing.
    pub fn clear(&self) {
        *self.lanes.lock().unwrap_or_else(PoisonError::into_inner) = Lanes::default();
    }

    /// How many found no room, or nobody who took them in time.
    pub fn dropped(&self) -> u64 {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    fn notify(&self, lane: Lane) -> &Notify {
        match lane {
            Lane::Beats => &self.beats,
            Lane::Records => &self.records,
            Lane::Pages => &self.pages,
        }
    }
}

/// Goes with one POST.
#[derive(Debug)]
pub struct Batch {
    pub envelopes: Vec<Envelope>,
    /// Of the oldest.
    pub since: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::failover::{Page, Session, State},
        runtime::partner::tests::{beat, record_message as record},
    };

    fn page() -> Envelope {
        let body = Body::Page(Box::new(Page {
            pull: 1,
            after: None,
            records: Vec::new(),
            settings: None,
            more: false,
            state: State::Normal,
            forgot: None,
        }));
        Envelope { from: Session(1), to: None, body }
    }

    #[tokio::test]
    async fn the_backlog_is_bounded_and_the_oldest_of_it_stays() {
        let (queue, now) = (Queue::default(), Instant::now());
        for generation in 0..RECORDS_MAX as u32 + 5 {
            queue.push(record(generation), now);
            queue.push(page(), now);
            queue.push(beat(u64::from(generation)), now);
        }
        let batch = queue.take_now(Lane::Records, now).expect("a batch");
        assert_eq!((batch.envelopes.len(), &batch.envelopes[0]), (BATCH_MAX, &record(0)));
        let rest = std::iter::from_fn(|| queue.take_now(Lane::Records, now)).map(|batch| batch.envelopes.len()).sum::<usize>();
        assert_eq!(rest, RECORDS_MAX - BATCH_MAX);
        assert_eq!(std::iter::from_fn(|| queue.take_now(Lane::Pages, now)).count(), PAGES_MAX);
        assert_eq!(queue.dropped(), 5 + (RECORDS_MAX + 5 - PAGES_MAX) as u64);
    }

    #[tokio::test]
    async fn only_the_newest_heartbeat_waits() {
        let (queue, now) = (Queue::default(), Instant::now());
        queue.push(beat(1), now);
        queue.push(beat(2), now);
        assert_eq!(queue.take(Lane::Beats).await.envelopes, [beat(2)]);
        assert!(queue.take_now(Lane::Beats, now).is_none());
    }

    #[tokio::test]
    async fn what_nobody_took_in_time_is_dropped() {
        let (queue, now) = (Queue::default(), Instant::now());
        queue.push(record(1), now);
        queue.push(beat(1), now);
        queue.push(record(2), now + STALE);
        assert!(queue.take_now(Lane::Beats, now + STALE).is_none());
        assert_eq!(queue.take_now(Lane::Records, now + STALE).expect("the newer one").envelopes, [record(2)]);
        assert_eq!(queue.dropped(), 1);
    }
}
