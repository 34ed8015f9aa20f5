//! The twin link: who this node is, how it finds and meets its twin, and how the two talk.
//!
//! ```text
//!  server's loop ── send ──► queue ──► lanes: beats ×2, records, pages ══ TLS 1.3 ══► the twin's server
//!  server's loop ◄─ Inbound ────────── server ◄═══════════════════════════ TLS 1.3 ══ the twin's lanes
//! ```
//!
//! All of it runs on a thread of its own: whatever the network or the other node does costs the link, never a packet.
//! Each direction has its own connections, made by the one that has something to say; one port is enough.

pub mod key;
pub mod identity;
pub mod record;
pub mod pairing;
mod refusal;
pub mod desk;
pub mod beacon;
pub mod tls;
pub mod file;

mod keeper;
mod meet;
mod shared;
mod facts;
mod queue;
mod lane;
mod freight;
mod snapshot;
mod heard;
mod update;
mod dial;
mod server;
mod discovery;

#[cfg(test)]
pub mod scratch;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

pub use facts::{CodeFacts, Facts, Found, TwinFacts};
pub use identity::Identity;
pub use record::Record;
pub use shared::{INBOUND_MAX, Inbound, Received, Standing};

use self::{
    desk::Desk,
    keeper::{Keeper, Order},
    key::random,
    pairing::Secret,
    shared::Shared,
    snapshot::Snapshots,
};
use super::{clock::WallTrust, presence::Presence, update::Updates};
use crate::protocol::failover::Envelope;

pub const DEFAULT_PORT: u16 = 8067;

/// A link that has just come up has more urgent things to say.
const FIRST_SNAPSHOT_AFTER: Duration = Duration::from_secs(60);
const ORDERS_MAX: usize = 16;
const NEWS_MAX: usize = 64;

#[derive(Debug)]
pub struct LinkConfig {
    /// `partner.json` lives here, beside the database and the snapshots.
    pub data: PathBuf,
    pub identity: Identity,
    pub listen: SocketAddr,
    /// Where the twin may stand, for networks that no beacon crosses.
    pub addresses: Vec<SocketAddr>,
    /// The same words in both settings files: the two pair by themselves.
    pub pair_key: Option<Secret>,
    pub standing: Standing,
    pub wall_trust: WallTrust,
    /// What this node hears of devices; the twin's adds to it.
    pub presence: Presence,
    pub discovery: Discovery,
    /// How long the link must have been up before the twin is sent a snapshot that no night has just made.
    pub first_snapshot_after: Duration,
    /// What the two tell each other of their versions, and of the file for both.
    pub updates: Arc<Updates>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// UDP, usually the link's own number.
    pub beacon_port: Option<u16>,
    pub mdns: bool,
}

impl LinkConfig {
    /// As an appliance has it.
    pub fn new(data: PathBuf, identity: Identity, standing: Standing, wall_trust: WallTrust) -> LinkConfig {
        LinkConfig {
            data,
            identity,
            listen: (Ipv4Addr::UNSPECIFIED, DEFAULT_PORT).into(),
            addresses: Vec::new(),
            pair_key: None,
            standing,
            wall_trust,
            presence: Presence::default(),
            discovery: Discovery { beacon_port: Some(DEFAULT_PORT), mdns: true },
            first_snapshot_after: FIRST_SNAPSHOT_AFTER,
            updates: Arc::default(),
        }
    }
}

/// The running link. Clones of its handle may go anywhere.
pub struct Link {
    handle: LinkHandle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
pub struct LinkHandle {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
}

impl Link {
    /// Fails only where the data folder cannot be read or no thread can be made; a port in use is told by `facts`. The
    /// second value: what of it is to be logged. Whether this node is paired already, `record` says.
    pub fn start(config: LinkConfig, inbound: mpsc::Sender<Inbound>) -> io::Result<(Link, Vec<String>)> {
        let (record, notice) = record::load(&config.data)?;
        let snapshots = Snapshots::new(config.data.clone(), config.first_snapshot_after);
        let desk = Desk::new(config.identity.clone(), config.data, record, config.pair_key);
        let session = u64::from_be_bytes(random());
        let (news, heard) = mpsc::channel(NEWS_MAX);
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        let shared = Arc::new(Shared::new(
            config.identity,
            session,
            config.wall_trust,
            config.presence,
            config.addresses,
            desk,
            snapshots,
            config.updates,
            config.standing,
            inbound,
            news,
        ));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let keeper = Keeper::new(Arc::clone(&shared));
        let (listen, discovery) = (config.listen, config.discovery);
        let thread = std::thread::Builder::new().name("twin-link".into()).spawn(move || {
            runtime.block_on(keeper.run(listen, discovery, taken, heard, stopped));
            // A blocking look at the interfaces may still be under way.
            runtime.shutdown_background();
        })?;
        let link = Link { handle: LinkHandle { shared, orders }, stop: Some(stop), thread: Some(thread) };
        Ok((link, notice.into_iter().collect()))
    }

    pub fn handle(&self) -> LinkHandle {
        self.handle.clone()
    }

    /// Never blocks.
    pub fn send(&self, envelope: Envelope) {
        self.handle.shared.queue.push(envelope, Instant::now());
    }

    /// Made just now; the twin gets it when it is in reach. Never blocks.
    pub fn send_snapshot(&self, path: PathBuf) {
        self.handle.shared.snapshots.made.send_replace(Some(path));
    }

    pub fn facts(&self) -> Facts {
        self.handle.facts()
    }

    /// The twin, once the pairing is complete.
    pub fn record(&self) -> Option<Record> {
        self.handle.record()
    }

    /// What this node says of itself to others from now on.
    pub fn set_standing(&self, standing: Standing) {
        self.handle.shared.standing.send_if_modified(|now| {
            let changed = *now != standing;
            *now = standing;
            changed
        });
    }

    /// Sends what is queued, for a moment, and ends.
    pub fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the twin link's thread has panicked");
        }
    }
}

impl LinkHandle {
    pub fn facts(&self) -> Facts {
        self.shared.facts(Instant::now())
    }

    pub fn record(&self) -> Option<Record> {
        let record = self.shared.live.borrow().record.clone();
        record.and_then(|record| record.in_force().cloned())
    }

    /// A new code to be typed on the other node. Five wrong tries, and `facts` shows another one.
    pub async fn show_code(&self) -> Result<CodeFacts, String> {
        self.ask(Order::ShowCode).await
    }

    pub async fn hide_code(&self) {
        let _ = self.orders.send(Order::HideCode).await;
    }

    /// Pairs with the node that shows this code: the one at this address, or the only one that is found.
    pub async fn enter_code(&self, typed: &str, address: Option<SocketAddr>) -> Result<(), String> {
        let secret = Secret::code(typed)?;
        self.ask(|reply| Order::EnterCode { secret, address, reply }).await
    }

    /// The words in the settings file have changed, or shall count again after `unpair`.
    pub async fn set_pair_key(&self, pair_key: Option<Secret>) {
        let _ = self.orders.send(Order::SetPairKey(pair_key)).await;
    }

    /// Forgets the twin, and the pair key until the next start or `set_pair_key`: otherwise the two would be twins again
    /// at once. To replace a dead one, pair anew afterwards; `Standing::fixed_rank` keeps this node's rank.
    pub async fn unpair(&self) -> Result<(), String> {
        self.ask(Order::Unpair).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        let stopped = || "The twin link is stopped. Start twinlease again.".to_owned();
        self.orders.send(order(reply)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}
