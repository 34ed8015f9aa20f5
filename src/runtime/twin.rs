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
    links,
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
    Interface, Node,
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

/// Reads or makes the identity, in a folder that is there.
pub fn prepare(data: &Path) -> io::Result<Prepared> {
    let mut loaded = identity::load(data, identity::hardware_serial(Path::new("/")))?;
    if loaded.identity.serial.is_none() {
        let machine_id = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        loaded.identity.serial = system_serial(&machine_id, &links::list().unwrap_or_default());
    }
    Ok(Prepared { identity: loaded.identity, notices: loaded.notices })
}

/// The card that this folder is on has moved here, and is no copy, somebody says. The error is a sentence.
pub fn adopt(data: &Path) -> Result<(), String> {
    identity::adopt(data, identity::hardware_serial(Path::new("/")))
}

/// What tells a machine without a serial number from others: the installed system's number, which machines that were set up from
/// one image have in common, and the address of its first network card, which they have not. Both are nobody's business and go
/// out as a hash only. They may change, so that makes nobody a copy; the twin knows by it whom to take back. A machine that has
/// only one of the two is not taken back by itself.
fn system_serial(machine_id: &str, interfaces: &[Interface]) -> Option<String> {
    let first = interfaces.iter().filter(|interface| interface.mac.is_some_and(|mac| mac != [0; 6])).min_by_key(|one| one.index);
    let (id, mac) = (Some(machine_id.trim()).filter(|id| !id.is_empty())?, first?.mac?);
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("twinlease {id} {mac:02x?}").as_bytes());
    let hex = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}"));
    Some(format!("system-{}", hex.collect::<String>()))
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
    let (mut is_new, mut joins) = (false, false);
    let mut memory = match (loaded.memory.take(), paired(data)) {
        (Some(memory), Some(record)) => {
            let partner = Some(String::from(record.key));
            // Paired anew, and cut off before the node had written that down.
            is_new = memory.unpaired || memory.partner.is_some() && memory.partner != partner;
            Memory { unpaired: false, partner, ..memory }
        }
        (Some(memory), None) => memory,
        // The database is gone, and the pairing is not; or the very first pairing was cut off.
        (None, Some(record)) => {
            joins = record.joins;
            is_new = !loaded.is_new;
            Memory { partner: Some(record.key.into()), ..Memory::new(record.rank, limits.0, limits.1, Some(Forgot::Blank)) }
        }
        (None, None) => return None,
    };
    if loaded.restored && memory.forgot.is_none() {
        memory.forgot = Some(Forgot::Restored);
    }
    let (given_up, entries) = (std::mem::take(&mut loaded.given_up), std::mem::take(&mut loaded.entries));
    Some(Pair { memory, session: new_session(), given_up, entries, joins, is_new })
}

/// What the failover rules start from when a pairing has just been made.
pub fn at_pairing(node: &Node, record: &Record) -> Pair {
    let limits = limits(node.settings());
    // Who joins one that has had a twin before may be somebody that has forgotten. Two that never had one start afresh.
    let forgot = (!record.partner_is_blank_first).then_some(Forgot::Blank);
    let partner = Some(String::from(record.key));
    let memory = match node.memory() {
        Some(memory) => Memory { partner, ..memory.clone() },
        // What the other one gave while it was alone, from either half, is not known here: silent until it is, over a restart too.
        None => Memory { shut_down: record.partner_has_leases, partner, ..Memory::new(record.rank, limits.0, limits.1, forgot) },
    };
    Pair { memory, session: new_session(), given_up: Vec::new(), entries: Vec::new(), joins: record.joins, is_new: true }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{
            Action, Change,
            failover::{
                Rank,
                loose::{Rule, with_loose},
            },
            lease::Version,
            replica::Entry,
        },
        runtime::partner::{key::PublicKey, record::Step, scratch::Scratch},
        settings::{LeaseTimes, Record as Setting},
    };

    fn record(key: u8) -> Record {
        Record {
            step: Step::Paired,
            key: PublicKey::new([key; 32]),
            serial: None,
            name: "attic".into(),
            rank: Rank::First,
            partner_has_leases: false,
            partner_is_blank_first: true,
            joins: false,
            address: None,
            replaces: None,
        }
    }

    /// Its link has this twin when it starts; what it writes then.
    fn starts_with(data: &Scratch, key: u8) -> (Pair, Vec<Change>) {
        record::save(data.path(), &record(key)).expect("saved");
        let (_store, mut loaded) = store::open(data.path(), WallTrust::Kernel).expect("opens");
        let pair = at_start(data.path(), &mut loaded).expect("one of two");
        let mut node = Node::new(loaded.settings, loaded.bindings, loaded.clock.epoch(), loaded.clock.now());
        let mut actions = Vec::new();
        let copy = Pair { given_up: Vec::new(), entries: pair.entries.clone(), memory: pair.memory.clone(), ..pair };
        node.pair(loaded.clock.now(), copy, &mut actions);
        let commits = actions.into_iter().filter_map(|action| match action {
            Action::Commit(commit) => Some(commit.changes),
            _ => None,
        });
        (pair, commits.flatten().collect())
    }

    #[test]
    fn machines_that_were_set_up_from_one_image_are_told_apart() {
        let card = |index, last| Interface {
            index,
            name: "lan".into(),
            mac: Some([2, 0, 0, 0, 0, last]),
            mtu: 1500,
            addresses: Vec::new(),
            up: true,
        };
        let loopback = Interface { mac: Some([0; 6]), ..card(1, 0) };
        let serial = |cards: &[Interface]| system_serial("0123\n", &[std::slice::from_ref(&loopback), cards].concat());
        let one = serial(&[card(2, 1), card(3, 9)]).expect("enough to go by");
        assert_ne!(Some(&one), serial(&[card(2, 2), card(3, 9)]).as_ref());
        assert_eq!(Some(&one), serial(&[card(7, 4), card(2, 1)]).as_ref(), "a card more changes nothing");
        assert_ne!(Some(one), system_serial("4567", &[card(2, 1)]));
        assert_eq!((serial(&[]), system_serial(" ", &[card(2, 1)])), (None, None));
    }

    #[test]
    fn a_blank_disk_of_one_of_two_is_told_from_a_first_pairing_that_was_cut_off() {
        let data = Scratch::new("blank");
        let (blank, _) = starts_with(&data, 1);
        assert!(!blank.is_new, "what the twin has counts for more than a settings file");
        let (cut_off, _) = starts_with(&data, 1);
        assert!(cut_off.is_new, "it brings what it had set before");
    }

    /// The pairing is in partner.json before the node hears of it: whenever it is cut off in between, it makes up for that.
    #[test]
    fn a_pairing_that_was_cut_off_before_the_node_heard_of_it_is_made_good_at_the_next_start() {
        let data = Scratch::new("cut-off");
        let (mut store, _) = store::open(data.path(), WallTrust::Kernel).expect("opens");
        let lease = Setting::Lease(LeaseTimes::default());
        let of_former = Entry {
            key: lease.key(),
            version: Version { first: 3, second: 1 << 50 },
            record: Some(lease),
            other: None,
            also: Vec::new(),
            edited: None,
        };
        let memory = Memory {
            partner_number: 9,
            partner: Some(record(1).key.into()),
            ..Memory::new(Rank::First, Default::default(), Default::default(), None)
        };
        store.commit_now(&[Change::Pair(Some(memory)), Change::Setting(Box::new(of_former))]).expect("stored");
        drop(store);
        let (same, changes) = starts_with(&data, 1);
        assert!(!same.is_new && !changes.iter().any(|change| matches!(change, Change::Setting(_))), "the twin that it had");

        let (other, changes) = starts_with(&data, 2);
        assert!(other.is_new);
        // What the new one numbers has not seen what the former one numbered.
        let renumbered = |changes: &[Change]| {
            changes.iter().position(|change| matches!(change, Change::Setting(entry) if entry.version.second == 0))
        };
        let written = changes.iter().position(|change| matches!(change, Change::Pair(Some(_)))).expect("written down");
        assert!(renumbered(&changes).is_some_and(|at| at < written), "cut off once more in between, it is done once more");
        let Change::Pair(Some(memory)) = &changes[written] else { unreachable!("found as such") };
        assert_eq!((memory.partner.clone(), memory.partner_number), (Some(record(2).key.into()), 0));
        let (_, forgotten) = with_loose(&[Rule::W50], || starts_with(&data, 2));
        assert!(renumbered(&forgotten).is_none(), "the test can see it");
    }
}
