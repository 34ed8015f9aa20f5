//! What the tasks of the link have in common, and what others may know of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::Instant,
};

use super::{
    desk::Desk,
    identity::Identity,
    key::{Fingerprint, Prefix, PublicKey},
    pairing::{Hello, Introduction, PROTOCOL},
    queue::Queue,
    record::{Record, Step},
};
use crate::{
    protocol::failover::{Envelope, Rank},
    runtime::clock::{Wall, WallTrust},
};

/// Bodies up to this size have room of their own, so that pages never keep a heartbeat out.
pub const SMALL_BODY_BYTES: usize = 64 << 10;
/// Every setting goes with the last page: room for some 100,000 kept addresses.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// Batches that were taken from the network and not yet handled by the server.
const SMALL_BODIES_MAX: usize = 64;
const LARGE_BODIES_MAX: usize = 2;
/// Tried in turn; more would keep the right one waiting.
const ADDRESSES_MAX: usize = 8;
/// Nodes on this network that are remembered.
const FOUND_MAX: usize = 32;
const FOUND_LIFE: Duration = Duration::from_secs(30);

/// What the link tells the server. The channel shall have room for `INBOUND_MAX`.
#[derive(Debug)]
pub enum Inbound {
    /// From the twin's proven key.
    Envelopes(Received),
    /// Just now, and on this node's disk already. Told before the first envelope of the new twin.
    Paired(Box<Record>),
    /// Unpaired, at the wish of this node's owner or because the other had forgotten the pairing before its end.
    Unpaired,
    /// The twin's wall clock, which the twin trusts, as it stands now: in ms since 1970.
    PartnerWall(i64),
    /// To be logged and shown.
    Notice(String),
}

pub const INBOUND_MAX: usize = 128;

/// A batch from the twin. Its room is free again when this is dropped: after handling, not before.
#[derive(Debug)]
pub struct Received {
    pub envelopes: Vec<Envelope>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// What a node must say of itself to pair; it changes while the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Shown on the other.
    pub name: String,
    /// The rank that this node had with an earlier twin.
    pub fixed_rank: Option<Rank>,
    pub has_leases: bool,
    pub is_blank_first: bool,
    /// Its twin is out of reach: one that was wiped, in the same box and with the same pair key, is taken back.
    pub may_take_back: bool,
}

/// What the tasks tell the one that keeps the link.
#[derive(Debug)]
pub enum News {
    /// The desk has another record than before.
    Settle,
    Found(Found),
    /// Both nodes on this network say that they are this one.
    Cloned(SocketAddr),
}

/// A node that was heard on this network. A hint: whoever stands there must prove its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    pub id: Prefix,
    pub name: String,
    pub address: SocketAddr,
    pub paired: bool,
}

/// The state of the link for `status` and the dashboard.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// Who this node is.
    pub fingerprint: Fingerprint,
    /// Where the link listens; `None`: nowhere, and `trouble` says why.
    pub listening: Option<SocketAddr>,
    pub trouble: Option<String>,
    pub twin: Option<TwinFacts>,
    /// What has become of the last attempt to pair.
    pub pairing: Option<String>,
    pub code: Option<CodeFacts>,
    /// Other nodes on this network.
    pub found: Vec<Found>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TwinFacts {
    pub name: String,
    pub fingerprint: Fingerprint,
    pub serial: Option<String>,
    /// This node's own.
    pub rank: Rank,
    pub address: Option<SocketAddr>,
    /// For how long; `None`: not connected.
    pub connected_ms: Option<u64>,
    /// Since its last message.
    pub heard_ms: Option<u64>,
    pub round_trip_ms: Option<f64>,
    /// Its wall clock minus this node's.
    pub clock_skew_ms: Option<i64>,
    pub software: Option<String>,
    /// The newest trouble, as long as it lasts.
    pub trouble: Option<String>,
    /// Messages that found no room or were too old to be sent.
    pub dropped: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct CodeFacts {
    pub digits: String,
    pub secs_left: u64,
    pub tries_left: u32,
}

/// As `Facts`, in moments instead of durations.
#[derive(Debug, Default, Clone)]
pub struct Live {
    pub listening: Option<SocketAddr>,
    pub listen_trouble: Option<String>,
    pub record: Option<Record>,
    pub connected_since: Option<Instant>,
    pub heard: Option<Instant>,
    pub round_trip: Option<Duration>,
    pub clock_skew_ms: Option<i64>,
    pub software: Option<String>,
    pub trouble: Option<String>,
    pub address: Option<SocketAddr>,
    pub pairing: Option<String>,
    pub code: Option<super::desk::Code>,
    pub found: BTreeMap<Prefix, (Found, Instant)>,
}

pub struct Shared {
    pub identity: Identity,
    /// Random, new at each start.
    pub session: u64,
    pub wall_trust: WallTrust,
    pub configured: Vec<SocketAddr>,
    pub queue: Queue,
    pub desk: tokio::sync::Mutex<Desk>,
    pub standing: watch::Sender<Standing>,
    pub live: watch::Sender<Live>,
    /// The key that alone may speak; `None`: not paired.
    pub partner: watch::Sender<Option<PublicKey>>,
    pub closing: watch::Sender<bool>,
    pub inbound: mpsc::Sender<Inbound>,
    pub news: mpsc::Sender<News>,
    /// The twin was heard: whoever waits before the next attempt need not wait any longer.
    pub heard: Notify,
    pub small_room: Arc<Semaphore>,
    pub large_room: Arc<Semaphore>,
    connections: AtomicUsize,
    handshakes: Mutex<BTreeMap<IpAddr, usize>>,
}

impl Shared {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        identity: Identity,
        session: u64,
        wall_trust: WallTrust,
        configured: Vec<SocketAddr>,
        desk: Desk,
        standing: Standing,
        inbound: mpsc::Sender<Inbound>,
        news: mpsc::Sender<News>,
    ) -> Shared {
        let record = desk.record().cloned();
        let partner = record.as_ref().filter(|record| record.step == Step::Paired).map(|record| record.key);
        Shared {
            identity,
            session,
            wall_trust,
            configured,
            queue: Queue::default(),
            standing: watch::Sender::new(standing),
            live: watch::Sender::new(Live {
                address: record.as_ref().and_then(|record| record.address),
                record,
                ..Live::default()
            }),
            desk: tokio::sync::Mutex::new(desk),
            partner: watch::Sender::new(partner),
            closing: watch::Sender::new(false),
            inbound,
            news,
            heard: Notify::new(),
            small_room: Arc::new(Semaphore::new(SMALL_BODIES_MAX)),
            large_room: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
            connections: AtomicUsize::new(0),
            handshakes: Mutex::default(),
        }
    }

    pub fn hello(&self) -> Hello {
        let paired = self.partner.borrow().is_some();
        Hello { protocol: PROTOCOL, software: env!("CARGO_PKG_VERSION").into(), session: self.session, paired }
    }

    pub fn introduction(&self) -> Introduction {
        let standing = self.standing.borrow();
        Introduction {
            protocol: PROTOCOL,
            software: env!("CARGO_PKG_VERSION").into(),
            name: standing.name.clone(),
            serial: self.identity.serial.clone(),
            fixed_rank: standing.fixed_rank,
            has_leases: standing.has_leases,
            is_blank_first: standing.is_blank_first,
            link_port: self.link_port().unwrap_or(0),
        }
    }

    pub fn link_port(&self) -> Option<u16> {
        self.live.borrow().listening.map(|address| address.port())
    }

    pub fn wall(&self) -> Wall {
        Wall::now(self.wall_trust)
    }

    /// Where the twin may be: where it was last, where the owner says it is, where it was heard.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let live = self.live.borrow();
        let id = live.record.as_ref().map(|record| record.key.fingerprint().prefix());
        let heard = live.found.values().filter(|(found, _)| Some(found.id) == id).map(|(found, _)| found.address);
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in live.address.into_iter().chain(self.configured.iter().copied()).chain(heard) {
            if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
                addresses.push(address);
            }
        }
        addresses
    }

    /// To be called after whatever may have changed the desk.
    pub fn publish(&self, desk: &Desk, now: Instant) {
        self.live.send_modify(|live| {
            live.record = desk.record().cloned();
            live.code = desk.code(now).cloned();
        });
    }

    pub fn trouble(&self, trouble: String) {
        let changed = self.live.send_if_modified(|live| {
            let changed = live.trouble.as_ref() != Some(&trouble);
            live.trouble = Some(trouble.clone());
            changed
        });
        if changed {
            tracing::warn!("the link to the twin: {trouble}");
        }
    }

    /// One more connection to the twin, until the guard is dropped.
    pub fn connected(self: &Arc<Self>, address: SocketAddr) -> Connected {
        if self.connections.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::info!(%address, "the link to the twin is up");
        }
        self.live.send_modify(|live| {
            live.connected_since.get_or_insert_with(Instant::now);
            live.address = Some(address);
            live.trouble = None;
        });
        Connected(Arc::clone(self))
    }

    /// `None`: too many from this host have not ended their handshake.
    pub fn handshake(self: &Arc<Self>, from: IpAddr, each_max: usize, all_max: usize) -> Option<Handshake> {
        let mut handshakes = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        if handshakes.values().sum::<usize>() >= all_max {
            return None;
        }
        let many = handshakes.entry(from).or_default();
        if *many >= each_max {
            return None;
        }
        *many += 1;
        Some(Handshake { shared: Arc::clone(self), from })
    }

    pub fn note_found(&self, found: Found, now: Instant) {
        self.live.send_modify(|live| {
            live.found.retain(|_, (_, since)| now < *since + FOUND_LIFE);
            if live.found.len() < FOUND_MAX || live.found.contains_key(&found.id) {
                live.found.insert(found.id, (found, now));
            }
        });
    }

    pub fn facts(&self, now: Instant) -> Facts {
        let live = self.live.borrow();
        let since_ms = |moment: Instant| (now.saturating_duration_since(moment)).as_millis() as u64;
        let twin = live.record.as_ref().map(|record| TwinFacts {
            name: record.name.clone(),
            fingerprint: record.key.fingerprint(),
            serial: record.serial.clone(),
            rank: record.rank,
            address: live.address,
            connected_ms: live.connected_since.map(since_ms),
            heard_ms: live.heard.map(since_ms),
            round_trip_ms: live.round_trip.map(|trip| trip.as_secs_f64() * 1000.0),
            clock_skew_ms: live.clock_skew_ms,
            software: live.software.clone(),
            trouble: match record.step {
                Step::Paired => live.trouble.clone(),
                Step::Proposed => {
                    Some("The pairing is not ended: the other one has not said its last word. Pair again if it does not.".into())
                }
                Step::Agreed => Some(
                    "The pairing is not ended: the other one has not heard the last word. It is told again and again.".into(),
                ),
            },
            dropped: self.queue.dropped(),
        });
        let code = live.code.as_ref().filter(|code| now < code.until).map(|code| CodeFacts {
            digits: code.digits.clone(),
            secs_left: (code.until - now).as_secs(),
            tries_left: code.tries_left,
        });
        let found = live.found.values().filter(|(_, since)| now < *since + FOUND_LIFE).map(|(found, _)| found.clone()).collect();
        Facts {
            fingerprint: self.identity.key.fingerprint(),
            listening: live.listening,
            trouble: live.listen_trouble.clone(),
            twin,
            pairing: live.pairing.clone(),
            code,
            found,
        }
    }
}

/// Counts a connection to the twin.
pub struct Connected(Arc<Shared>);

impl Drop for Connected {
    fn drop(&mut self) {
        if self.0.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.live.send_modify(|live| live.connected_since = None);
        }
    }
}

/// Counts a handshake under way.
pub struct Handshake {
    shared: Arc<Shared>,
    from: IpAddr,
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut handshakes = self.shared.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(many) = handshakes.get_mut(&self.from) {
            *many -= 1;
            if *many == 0 {
                handshakes.remove(&self.from);
            }
        }
    }
}
