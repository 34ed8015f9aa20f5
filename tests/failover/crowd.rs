//! Clients by the hundred on one host: when each asked first, when it first heard an OFFER, and all that it was promised.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::crafted::{self, ACK, Answer, DISCOVER, Mac, NAK, OFFER, Plug, Query, REQUEST};
use crate::lab::wait_until;

/// How a client repeats itself, and what it says of its waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Every half second, with rising `secs`: one of many impatient devices.
    Eager,
    /// The same, but its `secs` stays 0, as with many cheap devices.
    Uncounted,
    /// As RFC 2131 §4.1 wants it: after 4 s, then 8 s, 16 s, …
    Standard,
}

impl Manner {
    fn pause(self, sent: u32) -> Duration {
        match self {
            Manner::Eager | Manner::Uncounted => Duration::from_millis(500),
            Manner::Standard => Duration::from_secs(4 << sent.saturating_sub(1).min(4)),
        }
    }
}

/// What becomes of a client after its ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Holds its address to the last moment and is not heard again.
    Holds,
    /// Asks again (as after a reboot) at half of its time, so that it keeps its address for ever.
    Keeps,
}

#[derive(Clone, Debug)]
pub struct Client {
    pub mac: Mac,
    pub manner: Manner,
    then: Then,
    /// Its first question.
    pub born: Instant,
    pub first_offer: Option<Instant>,
    /// DISCOVERs up to its first OFFER.
    pub discovers: u32,
    pub first_ack: Option<Instant>,
    /// NAKs for an address that it had. Who takes up an offer in vain loses nothing by it.
    pub naks: u32,
    stage: Stage,
    sent_at: Instant,
    next_send: Option<Instant>,
}

#[derive(Clone, Debug)]
enum Stage {
    /// DISCOVERs of this round so far.
    Asking(u32),
    /// REQUESTs for this offer so far.
    Taking(Query, u32),
    /// INIT-REBOOT for this address, so often.
    Recalling(Ipv4Addr, u32),
    Bound(Ipv4Addr),
}

/// A client that hears nothing on its REQUEST asks from the start again after so many.
const REQUESTS_MAX: u32 = 4;

impl Client {
    fn new(number: u32, manner: Manner, then: Then, now: Instant) -> Client {
        Client::at(crafted::mac(number), manner, then, Stage::Asking(0), now)
    }

    fn at(mac: Mac, manner: Manner, then: Then, stage: Stage, now: Instant) -> Client {
        let (first_offer, first_ack, next_send) = (None, None, Some(now));
        Client { mac, manner, then, born: now, first_offer, discovers: 0, first_ack, naks: 0, stage, sent_at: now, next_send }
    }

    /// From its first DISCOVER to its first OFFER; while there is none, to now.
    pub fn wait(&self) -> Duration {
        self.first_offer.unwrap_or_else(Instant::now).duration_since(self.born)
    }

    /// From its first DISCOVER to its first ACK; while there is none, to now.
    pub fn wait_for_lease(&self) -> Duration {
        self.first_ack.unwrap_or_else(Instant::now).duration_since(self.born)
    }

    pub fn address(&self) -> Option<Ipv4Addr> {
        match self.stage {
            Stage::Bound(address) => Some(address),
            Stage::Asking(_) | Stage::Taking(..) | Stage::Recalling(..) => None,
        }
    }

    /// The packet that is due, if one is.
    fn speak(&mut self, now: Instant) -> Option<Query> {
        if self.next_send? > now {
            return None;
        }
        if let Stage::Taking(_, REQUESTS_MAX) = self.stage {
            self.stage = Stage::Asking(0);
        }
        let (query, sent) = match &mut self.stage {
            Stage::Asking(sent) => {
                *sent += 1;
                self.discovers += u32::from(self.first_offer.is_none());
                (Query::new(DISCOVER, self.mac), *sent)
            }
            Stage::Taking(query, sent) => {
                *sent += 1;
                (query.clone(), *sent)
            }
            Stage::Recalling(address, sent) => {
                *sent += 1;
                (Query::new(REQUEST, self.mac).option(50, &address.octets()), *sent)
            }
            Stage::Bound(address) => {
                let query = Query::new(REQUEST, self.mac).option(50, &address.octets());
                self.stage = Stage::Recalling(*address, 1);
                (query, 1)
            }
        };
        self.sent_at = now;
        self.next_send = Some(now + self.manner.pause(sent));
        let secs = match self.manner {
            Manner::Uncounted => 0,
            Manner::Eager | Manner::Standard => now.duration_since(self.born).as_secs() as u16,
        };
        Some(Query { secs, ..query })
    }

    fn hear(&mut self, answer: &Answer, now: Instant) -> Option<Promise> {
        match (answer.kind, &self.stage) {
            (OFFER, Stage::Asking(_)) => {
                self.first_offer.get_or_insert(now);
                self.stage = Stage::Taking(Query::select(self.mac, answer), 0);
                self.next_send = Some(now);
                None
            }
            // Late, doubled or from the other server: it was promised.
            (ACK, _) => {
                self.first_ack.get_or_insert(now);
                self.stage = Stage::Bound(answer.yiaddr);
                let lease = Duration::from_secs(answer.lease_secs().into());
                self.next_send = (self.then == Then::Keeps).then(|| now + lease / 2);
                Some(Promise {
                    address: answer.yiaddr,
                    mac: self.mac,
                    server: server_of(answer),
                    from: now,
                    until: self.sent_at + lease,
                })
            }
            (NAK, Stage::Taking(..) | Stage::Recalling(..)) => {
                self.naks += u32::from(matches!(self.stage, Stage::Recalling(..)));
                self.stage = Stage::Asking(0);
                self.next_send = Some(now);
                None
            }
            _ => None,
        }
    }
}

pub fn server_of(answer: &Answer) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = answer.option(54)?.try_into().ok()?;
    Some(octets.into())
}

/// A client was told that the address is its own, and trusts in it from the ACK on.
#[derive(Clone, Debug)]
pub struct Promise {
    pub address: Ipv4Addr,
    pub mac: Mac,
    pub server: Option<Ipv4Addr>,
    pub from: Instant,
    /// Counted from the REQUEST (RFC 2131 §4.4.1).
    pub until: Instant,
}

/// Everything that clients were promised: the judge. No server has a say here.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub promises: Vec<Promise>,
}

impl Ledger {
    pub fn merge(&mut self, other: Ledger) {
        self.promises.extend(other.promises);
    }

    /// Addresses that two clients held at one moment, with a sentence on each.
    pub fn duplicates(&self) -> Vec<String> {
        let mut by_address: HashMap<Ipv4Addr, Vec<&Promise>> = HashMap::new();
        for promise in &self.promises {
            by_address.entry(promise.address).or_default().push(promise);
        }
        let overlap = |one: &&Promise, other: &&Promise| one.mac != other.mac && one.from < other.until && other.from < one.until;
        let twice = by_address.values().filter_map(|promises| {
            let (first, second) = promises
                .iter()
                .enumerate()
                .find_map(|(at, one)| promises[at + 1..].iter().find(|other| overlap(one, other)).map(|other| (one, other)))?;
            let (first, second) = if first.from <= second.from { (first, second) } else { (second, first) };
            let left = first.until.duration_since(second.from);
            Some(format!(
                "{} was promised to {} by {:?}, and with {left:?} of that left to {} by {:?}",
                first.address,
                text_of(first.mac),
                first.server,
                text_of(second.mac),
                second.server
            ))
        });
        twice.collect()
    }

    /// Who holds which address now, as clients see it.
    pub fn holders(&self) -> HashMap<Ipv4Addr, Mac> {
        let now = Instant::now();
        let mut sorted: Vec<_> = self.promises.iter().filter(|promise| promise.until > now).collect();
        sorted.sort_by_key(|promise| promise.from);
        sorted.iter().map(|promise| (promise.address, promise.mac)).collect()
    }
}

pub fn text_of(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

// ---- a thread that plays them all -----------------------------------------------------------------------

/// No two crowds of a test have a MAC in common.
static NEXT_MAC: AtomicU32 = AtomicU32::new(1);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

enum Order {
    Admit(u32, Manner, Then),
    /// One new client each interval, by turns of these manners.
    Arrivals(Duration, Vec<Manner>, Then),
    NoArrivals,
    Recall(Vec<(Ipv4Addr, Mac)>),
}

#[derive(Default)]
struct Seen {
    orders_taken: usize,
    clients: Vec<Client>,
    by_mac: HashMap<Mac, usize>,
    ledger: Ledger,
}

/// Clients behind one plug. They go on by themselves until `leave`.
pub struct Crowd {
    orders: mpsc::Sender<Order>,
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<()>,
}

impl Crowd {
    pub fn at(host: &str) -> Crowd {
        let plug = Plug::at(host);
        let (orders, inbox) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let thread = std::thread::spawn(move || play(&plug, &inbox, &shared));
        Crowd { orders, seen, thread }
    }

    /// So many new clients, all at once.
    pub fn admit(&self, count: u32, manner: Manner, then: Then) {
        self.order(Order::Admit(count, manner, then));
    }

    /// From now on a new client each interval; `manners` take turns.
    pub fn arrive(&self, interval: Duration, manners: &[Manner]) {
        self.order(Order::Arrivals(interval, manners.to_vec(), Then::Holds));
    }

    pub fn nobody_arrives(&self) {
        self.order(Order::NoArrivals);
    }

    /// These devices reboot and ask for the address that they remember.
    pub fn recall(&self, holders: impl IntoIterator<Item = (Ipv4Addr, Mac)>) {
        self.order(Order::Recall(holders.into_iter().collect()));
    }

    pub fn clients(&self) -> Vec<Client> {
        self.seen().clients.clone()
    }

    pub fn ledger(&self) -> Ledger {
        self.seen().ledger.clone()
    }

    /// All who asked so far have had an ACK.
    pub fn all_bound(&self) -> bool {
        let seen = self.seen();
        !seen.clients.is_empty() && seen.clients.iter().all(|client| client.first_ack.is_some())
    }

    pub fn wait_until_bound(&self, count: usize, within: Duration) {
        wait_until(&format!("{count} clients have their lease"), within, || self.clients().len() >= count && self.all_bound());
    }

    /// The clients fall silent; what they saw.
    pub fn leave(self) -> (Vec<Client>, Ledger) {
        drop(self.orders);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut seen = self.seen.lock().expect("the crowd is sound");
        (std::mem::take(&mut seen.clients), std::mem::take(&mut seen.ledger))
    }

    fn order(&self, order: Order) {
        let before = self.seen().orders_taken;
        self.orders.send(order).expect("the crowd is there");
        // A caller that looks at once shall see it.
        while self.seen().orders_taken == before {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("the crowd is sound")
    }
}

fn play(plug: &Plug, inbox: &mpsc::Receiver<Order>, seen: &Mutex<Seen>) {
    let mut arrivals: Option<(Instant, Duration, Vec<Manner>, Then, usize)> = None;
    loop {
        let mut now = Instant::now();
        let due: Vec<Query> = {
            let mut seen = seen.lock().expect("one crowd");
            loop {
                let order = inbox.try_recv();
                seen.orders_taken += usize::from(order.is_ok());
                match order {
                    Ok(Order::Admit(count, manner, then)) => {
                        (0..count)
                            .for_each(|_| seen.add(Client::new(NEXT_MAC.fetch_add(1, Ordering::Relaxed), manner, then, now)));
                    }
                    Ok(Order::Arrivals(interval, manners, then)) => arrivals = Some((now, interval, manners, then, 0)),
                    Ok(Order::NoArrivals) => arrivals = None,
                    Ok(Order::Recall(holders)) => {
                        for (address, mac) in holders {
                            seen.add(Client::at(mac, Manner::Eager, Then::Holds, Stage::Recalling(address, 0), now));
                        }
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if let Some((next, interval, manners, then, turn)) = &mut arrivals {
                while *next <= now {
                    let number = NEXT_MAC.fetch_add(1, Ordering::Relaxed);
                    seen.add(Client::new(number, manners[*turn % manners.len()], *then, now));
                    *turn += 1;
                    *next += *interval;
                }
            }
            seen.clients.iter_mut().filter_map(|client| client.speak(now)).collect()
        };
        for query in due {
            plug.send(&query);
        }
        let over = now + POLL_INTERVAL;
        while let Some(answer) = plug.next(over.saturating_duration_since(now)) {
            now = Instant::now();
            seen.lock().expect("one crowd").take(&answer, now);
            // Sent at once: the time between OFFER and REQUEST is no part of what is measured.
        }
    }
}

impl Seen {
    /// A device that comes again is the same device, asking anew.
    fn add(&mut self, client: Client) {
        match self.by_mac.get(&client.mac) {
            Some(&at) => self.clients[at] = client,
            None => {
                self.by_mac.insert(client.mac, self.clients.len());
                self.clients.push(client);
            }
        }
    }

    fn take(&mut self, answer: &Answer, now: Instant) {
        let Some(&at) = self.by_mac.get(&answer.mac) else { return };
        let promise = self.clients[at].hear(answer, now);
        self.ledger.promises.extend(promise);
    }
}
