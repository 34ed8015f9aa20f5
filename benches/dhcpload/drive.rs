//! The loop that plays many clients at once: starts exchanges by the plan, answers OFFERs, times ACKs, counts what is missing.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::clients::{Clients, ServerSeen};
use crate::packet::{Envelope, Message, Query, Reply, ReplyKind, arp_reply};
use crate::report::Tally;
use crate::wire::{Incoming, Link, Wire, now_ns};

/// From here on the loop wakes at fixed ticks instead of for every packet; arrival times come from the kernel anyway.
const TICKING_FROM_PER_S: f64 = 500.0;
const CATCH_UP_FACTOR: f64 = 3.0;
const SHORTEST_TICK: Duration = Duration::from_micros(200);
const IDLE_WAIT_NS: u64 = 50_000_000;
/// Of a wrong server's duplicates, print only the first few.
const DUPLICATES_SHOWN: u64 = 5;
/// How many clients a renewal looks at to find one that is not busy.
const RENEW_CANDIDATES: u32 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// DISCOVER, OFFER, REQUEST, ACK: each by a client that no run used before.
    Dora,
    /// REQUEST with `ciaddr`, ACK: clients that have leases, in turn.
    Renew,
}

#[derive(Clone, Copy)]
pub enum Pace {
    /// So many starts per second, whatever the server answers; nothing is sent twice.
    Open { rate: f64, duration: Duration },
    /// So many exchanges in all, `window` of them at a time, repeated after a timeout up to `tries` times; none is begun after `limit`.
    Closed { count: u64, window: u64, tries: u8, limit: Duration },
}

#[derive(Clone, Copy)]
pub struct Plan {
    pub scenario: Scenario,
    pub pace: Pace,
    pub timeout: Duration,
    /// How often the loop wakes at high rates; `None` wakes it for every packet.
    pub tick: Option<Duration>,
    pub broadcast: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Discovering,
    Requesting,
}

#[derive(Clone, Copy, Default)]
struct Exchange {
    phase: Phase,
    tries: u8,
    xid: u32,
    sent_ns: u64,
    offer_ns: u64,
    address: u32,
    server_id: u32,
}

struct Waiting {
    until_ns: u64,
    index: u32,
    sent_ns: u64,
}

pub struct Driver<'a> {
    wire: &'a mut Wire,
    clients: &'a mut Clients,
    plan: Plan,
    /// The client of `exchanges[0]`.
    first: u32,
    exchanges: Vec<Exchange>,
    /// In the order of their ends, as the timeout is the same for all.
    waiting: VecDeque<Waiting>,
    outstanding: u64,
    renew_cursor: u32,
    xid_salt: u32,
    xids: u32,
    start_ns: u64,
    tally: Tally,
}

impl<'a> Driver<'a> {
    pub fn new(wire: &'a mut Wire, clients: &'a mut Clients, plan: Plan) -> Self {
        let first = match plan.scenario {
            Scenario::Dora => clients.next_index(),
            Scenario::Renew => 0,
        };
        let start_ns = now_ns();
        Self {
            wire,
            clients,
            plan,
            first,
            exchanges: Vec::new(),
            waiting: VecDeque::new(),
            outstanding: 0,
            renew_cursor: 0,
            xid_salt: (start_ns >> 10) as u32,
            xids: 0,
            start_ns,
            tally: Tally::new(),
        }
    }

    /// Runs the plan to its end and returns what was counted, and over which time.
    pub fn run(mut self) -> io::Result<(Tally, Duration)> {
        let mut inbox = Vec::new();
        loop {
            self.wire.receive(|incoming, at_ns| inbox.push((incoming, at_ns)))?;
            for (incoming, at_ns) in inbox.drain(..) {
                self.take(incoming, at_ns)?;
            }
            self.expire(now_ns())?;
            self.start_due(now_ns())?;
            self.wire.flush()?;
            if self.is_over(now_ns()) {
                break;
            }
            self.pause()?;
        }
        let elapsed = match self.plan.pace {
            Pace::Open { duration, .. } => duration,
            Pace::Closed { .. } => Duration::from_nanos(now_ns() - self.start_ns),
        };
        Ok((self.tally, elapsed))
    }

    fn is_over(&self, now_ns: u64) -> bool {
        let all_started = match self.plan.pace {
            Pace::Open { duration, .. } => now_ns >= self.start_ns + duration.as_nanos() as u64,
            Pace::Closed { count, limit, .. } => self.tally.started >= count || now_ns >= self.start_ns + limit.as_nanos() as u64,
        };
        all_started && self.outstanding == 0
    }

    fn start_due(&mut self, now_ns: u64) -> io::Result<()> {
        let wanted = match self.plan.pace {
            Pace::Open { rate, duration } => {
                let elapsed_ns = (now_ns - self.start_ns).min(duration.as_nanos() as u64);
                let due = (elapsed_ns as f64 * rate / 1e9) as u64;
                let done = self.tally.started + self.tally.skipped;
                if due > done {
                    let lag_ns = (elapsed_ns as f64 - done as f64 * 1e9 / rate) as u64;
                    self.tally.worst_lag_ns = self.tally.worst_lag_ns.max(lag_ns);
                }
                due.saturating_sub(done).min(self.most_at_once(rate))
            }
            Pace::Closed { limit, .. } if now_ns >= self.start_ns + limit.as_nanos() as u64 => 0,
            Pace::Closed { count, window, .. } => (count - self.tally.started).min(window.saturating_sub(self.outstanding)),
        };
        for _ in 0..wanted {
            match self.plan.scenario {
                Scenario::Dora => {
                    let index = self.first.wrapping_add(self.tally.started as u32);
                    self.clients.reserve(index);
                    self.exchanges.push(Exchange::default());
                    self.begin(index)?;
                }
                Scenario::Renew => match self.next_to_renew() {
                    Some(index) => self.begin(index)?,
                    None => self.tally.skipped += 1,
                },
            }
        }
        Ok(())
    }

    /// A generator that was held up catches up at a few times its rate: one burst of all that is missing would
    /// overflow the server's socket, and count as the server's loss what was this machine's hiccup.
    fn most_at_once(&self, rate: f64) -> u64 {
        let tick = self.plan.tick.unwrap_or(SHORTEST_TICK);
        (rate * tick.as_secs_f64() * CATCH_UP_FACTOR).ceil() as u64 + 1
    }

    fn begin(&mut self, index: u32) -> io::Result<()> {
        self.tally.started += 1;
        self.outstanding += 1;
        self.send_first(index)
    }

    fn next_to_renew(&mut self) -> Option<u32> {
        let known = self.clients.next_index();
        self.exchanges.resize(known as usize, Exchange::default());
        for _ in 0..RENEW_CANDIDATES.min(known) {
            let index = self.renew_cursor % known;
            self.renew_cursor = index + 1;
            if self.exchanges[index as usize].phase == Phase::Idle && self.clients.lease(index).is_some() {
                return Some(index);
            }
        }
        None
    }

    /// The first message of an exchange, also when it is repeated.
    fn send_first(&mut self, index: u32) -> io::Result<()> {
        let (message, phase) = match (self.plan.scenario, self.clients.lease(index)) {
            (Scenario::Renew, Some(lease)) => (Message::Renew { address: Ipv4Addr::from(lease.address) }, Phase::Requesting),
            _ => (Message::Discover, Phase::Discovering),
        };
        self.xids = self.xids.wrapping_add(1);
        let xid = self.xids.wrapping_mul(0x9E37_79B1) ^ self.xid_salt;
        let exchange = &mut self.exchanges[(index - self.first) as usize];
        exchange.phase = phase;
        exchange.xid = xid;
        exchange.tries += 1;
        self.send(index, message)
    }

    fn send(&mut self, index: u32, message: Message) -> io::Result<()> {
        let mac = self.clients.mac(index);
        let slot = (index - self.first) as usize;
        let query =
            Query { message, mac, xid: self.exchanges[slot].xid, giaddr: self.wire.giaddr(), broadcast: self.plan.broadcast };
        let envelope = match message {
            Message::Renew { address } => Envelope {
                from_mac: mac,
                to_mac: self.clients.server.mac,
                from: address,
                to: Ipv4Addr::from(self.clients.server.address),
            },
            Message::Discover | Message::Select { .. } => Envelope::broadcast(mac),
        };
        let sent_ns = self.wire.stage(&query, &envelope)?;
        self.exchanges[slot].sent_ns = sent_ns;
        let until_ns = sent_ns + self.plan.timeout.as_nanos() as u64;
        self.waiting.push_back(Waiting { until_ns, index, sent_ns });
        Ok(())
    }

    fn take(&mut self, incoming: Incoming, at_ns: u64) -> io::Result<()> {
        match incoming {
            Incoming::Reply { reply, server_mac } => {
                let slot = self.clients.index(reply.mac).map(|index| index.wrapping_sub(self.first) as usize);
                let Some(slot) = slot.filter(|slot| *slot < self.exchanges.len()) else {
                    self.tally.other += 1;
                    return Ok(());
                };
                let index = self.first + slot as u32;
                if let (Some(server_id), true) = (reply.server_id, reply.kind != ReplyKind::Nak) {
                    self.clients.server = ServerSeen { address: u32::from(server_id), mac: server_mac };
                }
                self.take_reply(index, slot, &reply, at_ns)
            }
            Incoming::ArpRequest(request) => match self.clients.owner_of(request.wanted) {
                Some(index) => self.wire.stage_frame(&arp_reply(&request, self.clients.mac(index))),
                None => Ok(()),
            },
            Incoming::Other => {
                self.tally.other += 1;
                Ok(())
            }
        }
    }

    fn take_reply(&mut self, index: u32, slot: usize, reply: &Reply, at_ns: u64) -> io::Result<()> {
        let exchange = self.exchanges[slot];
        let latency_ns = at_ns.saturating_sub(exchange.sent_ns);
        let expected = exchange.xid == reply.xid;
        if reply.kind == ReplyKind::Ack {
            // Late or not: the server believes that this client now has the address.
            self.note_lease(index, reply, at_ns);
        }
        match (reply.kind, exchange.phase) {
            (ReplyKind::Offer, Phase::Discovering) if expected => {
                self.tally.offers += 1;
                self.tally.offer.record(latency_ns);
                let server_id = reply.server_id.unwrap_or(Ipv4Addr::UNSPECIFIED);
                let exchange = &mut self.exchanges[slot];
                exchange.phase = Phase::Requesting;
                exchange.offer_ns = latency_ns;
                exchange.address = u32::from(reply.address);
                exchange.server_id = u32::from(server_id);
                self.send(index, Message::Select { address: reply.address, server_id })
            }
            (ReplyKind::Ack, Phase::Requesting) if expected => {
                self.tally.acks += 1;
                self.tally.completed += 1;
                self.tally.ack.record(latency_ns);
                self.tally.whole.record(exchange.offer_ns + latency_ns);
                self.finish(slot);
                Ok(())
            }
            (ReplyKind::Nak, Phase::Requesting) if expected => {
                self.tally.naks += 1;
                self.repeat_or_give_up(index, slot)
            }
            (ReplyKind::Other, _) => {
                self.tally.other += 1;
                Ok(())
            }
            (ReplyKind::Offer | ReplyKind::Ack | ReplyKind::Nak, _) => {
                self.tally.late += 1;
                Ok(())
            }
        }
    }

    fn note_lease(&mut self, index: u32, reply: &Reply, at_ns: u64) {
        let now_secs = (at_ns / 1_000_000_000) as u32;
        if let Some(rival) = self.clients.acked(index, reply.address, now_secs, reply.lease_secs) {
            self.tally.duplicates += 1;
            if self.tally.duplicates <= DUPLICATES_SHOWN {
                let [holder, taker] =
                    [rival, index].map(|index| self.clients.mac(index).map(|byte| format!("{byte:02x}")).join(":"));
                eprintln!("DUPLICATE ADDRESS: {} was ACKed to {taker} while {holder} holds it", reply.address);
            }
        }
    }

    /// Counts or repeats what has had no answer in time.
    fn expire(&mut self, now_ns: u64) -> io::Result<()> {
        while self.waiting.front().is_some_and(|waiting| waiting.until_ns <= now_ns) {
            let Some(Waiting { index, sent_ns, .. }) = self.waiting.pop_front() else { break };
            let slot = (index - self.first) as usize;
            let exchange = self.exchanges[slot];
            if exchange.sent_ns != sent_ns {
                continue; // it has gone on since
            }
            match exchange.phase {
                Phase::Idle => continue,
                Phase::Discovering => self.tally.lost_offers += 1,
                Phase::Requesting => self.tally.lost_acks += 1,
            }
            self.repeat_or_give_up(index, slot)?;
        }
        Ok(())
    }

    fn repeat_or_give_up(&mut self, index: u32, slot: usize) -> io::Result<()> {
        match self.plan.pace {
            Pace::Closed { tries, .. } if self.exchanges[slot].tries < tries => {
                self.tally.retransmitted += 1;
                self.send_first(index)
            }
            Pace::Closed { .. } | Pace::Open { .. } => {
                self.finish(slot);
                Ok(())
            }
        }
    }

    fn finish(&mut self, slot: usize) {
        self.exchanges[slot] = Exchange::default();
        self.outstanding -= 1;
    }

    fn pause(&mut self) -> io::Result<()> {
        let now = now_ns();
        let timeout_ns = self.waiting.front().map_or(now + IDLE_WAIT_NS, |waiting| waiting.until_ns);
        let Pace::Open { rate, duration } = self.plan.pace else {
            return self.wire.wait(Duration::from_nanos(timeout_ns.saturating_sub(now)));
        };
        let end_ns = self.start_ns + duration.as_nanos() as u64;
        let done = self.tally.started + self.tally.skipped;
        let due_ns = self.start_ns + ((done + 1) as f64 * 1e9 / rate) as u64;
        let next_ns = if now >= end_ns { timeout_ns } else { timeout_ns.min(due_ns.min(end_ns)) };
        let until_due = Duration::from_nanos(next_ns.saturating_sub(now));
        match self.plan.tick {
            Some(tick) if rate >= TICKING_FROM_PER_S && now < end_ns => {
                std::thread::sleep(until_due.max(tick));
                Ok(())
            }
            _ => self.wire.wait(until_due),
        }
    }
}

/// Renewals by unicast need to know where the server is.
pub fn can_renew(link: Link, clients: &Clients) -> bool {
    matches!(link, Link::Relay { .. }) || clients.server.mac != [0; 6]
}
