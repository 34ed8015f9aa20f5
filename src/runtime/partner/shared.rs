//! What the tasks of the link have in common, and what they tell the server's loop.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::Instant,
};

use super::{
    desk::Desk,
    facts::{Facts, Found, Live},
    identity::Identity,
    key::PublicKey,
    pairing::{Hello, Introduction, PROTOCOL},
    queue::Queue,
    record::Record,
    snapshot::Snapshots,
};
use crate::{
    protocol::failover::{Envelope, Rank},
    runtime::{
        clock::{Wall, WallTrust},
        presence::Presence,
        update::Updates,
    },
};

/// Bodies up to this size have room of their own, so that pages never keep a heartbeat out.
pub const SMALL_BODY_BYTES: usize = 256 << 10;
/// Every setting goes with the last page: room for some 100,000 kept addresses.
pub const BODY_BYTES_MAX: usize = 32 << 20;
/// Batches that were taken from the network and not yet handled by the server.
const SMALL_BODIES_MAX: usize = 64;
const LARGE_BODIES_MAX: usize = 2;
/// A link that comes and goes in many ways fills no log.
const TROUBLE_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// What the link tells the server. The channel shall have room for `INBOUND_MAX`.
#[derive(Debug)]
pub enum Inbound {
    /// From the twin's proven key.
    Envelopes(Received),
    /// Just now, and on this node's disk already. Told before the first envelope of the new twin.
    Paired(Box<Record>),
    /// Unpaired, at the wish of this node's owner.
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

pub struct Shared {
    pub identity: Identity,
    /// Random, new at each start.
    pub session: u64,
    pub wall_trust: WallTrust,
    pub presence: Presence,
    pub configured: Vec<SocketAddr>,
    pub queue: Queue,
    pub snapshots: Snapshots,
    pub updates: Arc<Updates>,
    pub desk: tokio::sync::Mutex<Desk>,
    pub standing: watch::Sender<Standing>,
    pub live: watch::Sender<Live>,
    /// The key that alone may speak; `None`: not paired.
    pub partner: watch::Sender<Option<PublicKey>>,
    pub closing: watch::Sender<bool>,
    pub inbound: mpsc::Sender<Inbound>,
    pub news: mpsc::Sender<News>,
    /// The twin has called: whoever waits before the next attempt need not wait any longer.
    pub called: Notify,
    /// A heartbeat was not answered: connections that nobody uses at this moment are most likely dead too.
    pub broken: Notify,
    pub small_room: Arc<Semaphore>,
    pub large_room: Arc<Semaphore>,
    /// Files of updates come one at a time: they are written to one place.
    pub file_room: Arc<Semaphore>,
    connections: AtomicUsize,
    handshakes: Mutex<BTreeMap<IpAddr, usize>>,
}

impl Shared {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        identity: Identity,
        session: u64,
        wall_trust: WallTrust,
        presence: Presence,
        configured: Vec<SocketAddr>,
        desk: Desk,
        snapshots: Snapshots,
        updates: Arc<Updates>,
        standing: Standing,
        inbound: mpsc::Sender<Inbound>,
        news: mpsc::Sender<News>,
    ) -> Shared {
        let record = desk.record().cloned();
        let partner = record.as_ref().and_then(Record::in_force).map(|record| record.key);
        Shared {
            identity,
            session,
            wall_trust,
            presence,
            configured,
            queue: Queue::default(),
            snapshots,
            updates,
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
            called: Notify::new(),
            broken: Notify::new(),
            small_room: Arc::new(Semaphore::new(SMALL_BODIES_MAX)),
            large_room: Arc::new(Semaphore::new(LARGE_BODIES_MAX)),
            file_room: Arc::new(Semaphore::new(1)),
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

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.live.borrow().addresses(&self.configured)
    }

    /// To be called after whatever may have changed the desk.
    pub fn publish(&self, desk: &Desk, now: Instant) {
        self.live.send_modify(|live| {
            live.record = desk.record().cloned();
            live.code = desk.code(now).cloned();
        });
    }

    pub fn trouble(&self, trouble: String) {
        let now = Instant::now();
        let is_news = self.live.send_if_modified(|live| {
            let is_news = live.trouble.as_ref() != Some(&trouble)
                && live.trouble_logged.is_none_or(|logged| now - logged >= TROUBLE_LOG_INTERVAL);
            live.trouble = Some(trouble.clone());
            if is_news {
                live.trouble_logged = Some(now);
            }
            is_news
        });
        if is_news {
            tracing::warn!("the link to the twin: {trouble}");
        }
    }

    /// One more connection for heartbeats, until the guard is dropped.
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
        self.live.send_modify(|live| live.note_found(found, now));
    }

    pub fn facts(&self, now: Instant) -> Facts {
        self.live.borrow().facts(self.identity.key.fingerprint(), self.queue.dropped(), now)
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
