//! The twin as the server's loop has it: the link, and what of the pair is known at the start.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{
    clock::WallTrust,
    control::twin::{Answer, ShownCode, TwinLink},
    partner::{
        CodeFacts, INBOUND_MAX, Inbound, Link, LinkConfig, LinkHandle, Record, Standing,
        identity::{self, Identity},
        key::random,
        pairing::Secret,
        record,
    },
    presence::Presence,
    store,
    update::Updates,
};
use crate::protocol::{
    Node,
    failover::{Envelope, Forgot, Memory, Session},
    node::Pair,
    time::Time,
};

/// How this node meets its twin.
#[derive(Debug, Clone)]
pub struct TwinOptions {
    /// `None`: no link, so no twin.
    pub listen: Option<SocketAddr>,
    /// Where the twin may stand, for networks that no beacon crosses.
    pub addresses: Vec<SocketAddr>,
    /// The same on both: they pair by themselves.
    pub pair_key: Option<Secret>,
}

/// Who this node is, before its database is opened.
#[derive(Debug)]
pub struct Prepared {
    identity: Identity,
    pub notices: Vec<String>,
}

/// Reads or makes the identity, in a folder that is there. A card that was copied from other hardware brings leases and a twin that are another
/// node's: all of it is set aside.
pub fn prepare(data: &Path) -> io::Result<Prepared> {
    let mut loaded = identity::load(data, identity::hardware_serial(Path::new("/")))?;
    if loaded.is_clone {
        for name in ["twinlease.db", "twinlease.db-wal", "twinlease.db-shm", "snapshots", "log", "log.1"] {
            let path = data.join(name);
            if path.exists() {
                fs::rename(&path, data.join(format!("{name}.of-other-hardware")))?;
            }
        }
    }
    if loaded.identity.serial.is_none() {
        loaded.identity.serial = system_serial();
    }
    Ok(Prepared { identity: loaded.identity, notices: loaded.notices })
}

/// What tells a machine without a serial number from others: the installed system's number, which is nobody's business and
/// goes out as a hash only. It may change, so it makes nobody a copy; the twin knows by it whom to take back.
fn system_serial() -> Option<String> {
    let id = fs::read_to_string("/etc/machine-id").ok()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("twinlease {}", id.trim()).as_bytes());
    let hex = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}"));
    (!id.trim().is_empty()).then(|| format!("system-{}", hex.collect::<String>()))
}

/// The link, or none.
pub struct Twin {
    link: Option<Link>,
    inbound: mpsc::Receiver<Inbound>,
}

impl Twin {
    pub fn start(
        data: &Path,
        prepared: Prepared,
        options: TwinOptions,
        standing: Standing,
        wall_trust: WallTrust,
        (presence, updates): (Presence, &Arc<Updates>),
    ) -> (Twin, Vec<String>) {
        let (sender, inbound) = mpsc::channel(INBOUND_MAX);
        let Some(listen) = options.listen else { return (Twin { link: None, inbound }, Vec::new()) };
        let mut config = LinkConfig::new(PathBuf::from(data), prepared.identity, standing, wall_trust);
        config.listen = listen;
        config.addresses = options.addresses;
        config.pair_key = options.pair_key;
        config.presence = presence;
        config.updates = Arc::clone(updates);
        match Link::start(config, sender) {
            Ok((link, notices)) => (Twin { link: Some(link), inbound }, notices),
            Err(error) => {
                let notice = format!(
                    "The link to the twin cannot be started ({error}), so this node goes on without its twin. Look at the folder `{}`, then start again.",
                    data.display()
                );
                (Twin { link: None, inbound }, vec![notice])
            }
        }
    }

    pub fn handle(&self) -> Option<LinkHandle> {
        self.link.as_ref().map(Link::handle)
    }

    /// The other one's; `None`: it has never been met.
    pub fn name(&self) -> Option<String> {
        self.handle()?.record().map(|record| record.name)
    }

    /// Never blocks; what finds no room is lost, and sent again by the protocol.
    pub fn send(&self, envelope: Envelope) {
        if let Some(link) = &self.link {
            link.send(envelope);
        }
    }

    pub fn send_snapshot(&self, path: PathBuf) {
        if let Some(link) = &self.link {
            link.send_snapshot(path);
        }
    }

    /// What comes over the link next; never, where there is none.
    pub async fn heard(&mut self) -> Inbound {
        match self.inbound.recv().await {
            Some(inbound) => inbound,
            None => std::future::pending().await,
        }
    }

    pub fn heard_already(&mut self) -> Option<Inbound> {
        self.inbound.try_recv().ok()
    }

    /// What this node says of itself when it is paired.
    pub fn stand(&self, node: &Node, now: Time) {
        if let Some(link) = &self.link {
            link.set_standing(standing(node, now));
        }
    }

    pub fn stop(self) {
        if let Some(link) = self.link {
            link.stop();
        }
    }
}

pub fn standing(node: &Node, now: Time) -> Standing {
    let memory = node.memory();
    Standing {
        name: host_name(),
        fixed_rank: memory.map(|memory| memory.rank),
        has_leases: !node.leases().is_empty(),
        is_blank_first: memory.is_none(),
        may_take_back: node.is_out_of_reach(now),
    }
}

/// The record of the pairing in this data folder.
pub fn paired(data: &Path) -> Option<Record> {
    // What cannot be read is told and set aside by the link.
    let (record, _) = record::load(data).ok()?;
    record.and_then(|record| record.in_force().cloned())
}

/// The link as the command line reaches it.
impl TwinLink for LinkHandle {
    fn facts(&self) -> serde_json::Value {
        serde_json::to_value(LinkHandle::facts(self)).unwrap_or_default()
    }

    fn show_code(&self) -> Answer<'_, ShownCode> {
        Box::pin(async { LinkHandle::show_code(self).await.map(shown) })
    }

    fn enter_code(&self, code: String, address: Option<SocketAddr>) -> Answer<'_, ()> {
        Box::pin(async move { LinkHandle::enter_code(self, &code, address).await })
    }

    fn unpair(&self) -> Answer<'_, ()> {
        Box::pin(LinkHandle::unpair(self))
    }

    fn is_paired(&self) -> bool {
        self.record().is_some()
    }
}

fn shown(code: CodeFacts) -> ShownCode {
    ShownCode { digits: code.digits, secs_left: code.secs_left }
}

/// What the failover rules start from; `None`: this node has never had a twin.
pub fn at_start(data: &Path, loaded: &mut store::Loaded) -> Option<Pair> {
    let limits = limits(&loaded.settings);
    let mut memory = match (loaded.memory.take(), paired(data)) {
        // Paired anew, and cut off before the node had written that down.
        (Some(memory), Some(_)) => Memory { unpaired: false, ..memory },
        (Some(memory), None) => memory,
        // The database is gone, and the pairing is not.
        (None, Some(record)) => Memory::new(record.rank, limits.0, limits.1, Some(Forgot::Blank)),
        (None, None) => return None,
    };
    if loaded.restored && memory.forgot.is_none() {
        memory.forgot = Some(Forgot::Restored);
    }
    let (given_up, entries) = (std::mem::take(&mut loaded.given_up), std::mem::take(&mut loaded.entries));
    Some(Pair { memory, session: new_session(), given_up, entries, joins: false })
}

/// What the failover rules start from when a pairing has just been made.
pub fn at_pairing(node: &Node, record: &Record) -> Pair {
    let limits = limits(node.settings());
    // Who joins one that has had a twin before may be somebody that has forgotten. Two that never had one start afresh.
    let forgot = (!record.partner_is_blank_first).then_some(Forgot::Blank);
    let memory = match node.memory() {
        Some(memory) => memory.clone(),
        // What the other one gave while it was alone, from either half, is not known here: silent until it is, over a restart too.
        None => Memory { shut_down: record.partner_has_leases, ..Memory::new(record.rank, limits.0, limits.1, forgot) },
    };
    Pair { memory, session: new_session(), given_up: Vec::new(), entries: Vec::new(), joins: record.joins }
}

/// The longest lead and lease in force; none where nobody can have been promised anything.
fn limits(settings: &crate::settings::Settings) -> (std::time::Duration, std::time::Duration) {
    if settings.subnets.is_empty() {
        return Default::default();
    }
    (settings.twin.mclt, settings.longest_lease())
}

fn new_session() -> Session {
    Session(u64::from_be_bytes(random()))
}

pub fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "twinlease".into())
}
