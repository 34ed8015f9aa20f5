//! DECIDES. A `Node` is handed events with the present moment and answers with actions; it reads no clock,
//! opens no socket or file, takes no lock and starts no thread.

pub mod node;
pub mod dhcp;
pub mod allocator;
pub mod what_if;
pub mod table;
pub mod lease;
pub mod time;
pub mod plan;
pub mod replica;
pub mod failover;
pub mod probe;
pub mod limit;
mod digest;
pub mod explain;
pub mod alerts;
pub mod update;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod simulation;

use std::{collections::BTreeMap, fmt, net::Ipv4Addr, ops::RangeInclusive, sync::Arc, time::Duration};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::settings::{Record, RecordKey, Settings};
use explain::Decision;
use failover::{Envelope, GivenUp, Memory};
use lease::Binding;
pub use node::Node;
use node::{Noted, Pair, Reversal};
use replica::{Edited, Entry, Keep};
use time::Epoch;

/// Keys come from the wire, so the hash is seeded at random; it costs a fraction of the standard one, and every packet
/// looks up a dozen.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, foldhash::quality::RandomState>;

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    Datagram(Datagram<'a>),
    /// All interfaces as they are now; the whole list at each change.
    Interfaces(Vec<Interface>),
    /// An ARP packet said that this MAC uses this address.
    ArpHeard {
        address: Ipv4Addr,
        mac: [u8; 6],
    },
    /// What `Action::Probe` asked for could not be sent.
    NotAsked {
        address: Ipv4Addr,
    },
    /// Everything up to and including this commit is on disk.
    Committed {
        up_to: CommitId,
    },
    /// None of these is on disk, nor will be.
    CommitFailed {
        ids: RangeInclusive<CommitId>,
        trouble: StoreTrouble,
    },
    /// The disk takes the commits that are sent from now on; whatever was sent before and is not reported as durable is lost.
    StoreRecovered,
    /// From the command line or the dashboard. Answered by `Action::Done` with the same id.
    Command {
        id: u64,
        by: Edited,
        command: Box<Command>,
    },
    /// The clock was confirmed: the machine was off for `duration` before the epoch `before` began.
    Slept {
        before: Epoch,
        duration: Duration,
    },
    /// Something that a person should know, as a sentence: shown until the next start.
    Notice(String),
    /// Interfaces whose sockets cannot be opened now, each with a sentence that says why.
    NotListening(BTreeMap<String, String>),
    /// The twin said something. It is who it says it is; everything else about it may be wrong.
    Partner(Envelope),
    /// A pairing was made just now.
    Paired(Box<Pair>),
    /// `next_deadline` has passed.
    Timer,
}

/// What to do about it. In order.
#[derive(Debug)]
pub enum Action {
    Reply(Reply),
    /// Ask by ARP who uses this address.
    Probe {
        interface: u32,
        address: Ipv4Addr,
    },
    Commit(Commit),
    /// For the twin; may be lost.
    Send(Envelope),
    /// A command is durable, or refused with a sentence.
    Done {
        id: u64,
        result: Result<(), String>,
        /// What it changed, in the history.
        change: Option<u64>,
    },
    /// A decision worth a line in the log.
    Decided(Arc<Decision>),
}

/// What an admin wants changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// A record that must not be there yet.
    Add(Record),
    /// Several of them, together or not at all.
    AddAll(Vec<Record>),
    Put(Record),
    /// Several of them, together or not at all.
    PutAll(Vec<Record>),
    Remove(RecordKey),
    /// All settings at once: what is not in them goes. Who may sign in stays as it is, whatever they say.
    Replace(Box<Settings>),
    /// Whoever holds this address is gone: anybody may have it.
    Free(Ipv4Addr),
    Twin(TwinCommand),
    /// Which of two edits that contradict stays; or that what clashes with other settings is dropped.
    Reconcile {
        key: RecordKey,
        keep: Keep,
    },
    /// Takes changes back, together or not at all.
    Revert(Vec<Reversal>),
}

/// What an admin says about the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TwinCommand {
    /// The other one becomes the active.
    Switch,
    /// "The other one is off": it is off, and when it starts again it can reach this one (rule 10).
    DeclareDown,
    /// This one is about to be switched off; the twin is told.
    ShutDown,
    /// The twin is one no more, and off: a declaration, after which this node becomes one alone.
    Unpair,
    /// Goes on without the twin after a shutdown of its own, or though it may have forgotten (rules 11, 12).
    Serve,
    /// This one is silent for so long, as if it had died: people shall see the twin take over.
    Drill {
        secs: u32,
    },
    EndDrill,
}

/// One durable step: the after-image of one record. Bindings and settings travel the same way, to the disk
/// and to the partner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    Bind(Binding),
    Put(Record),
    Remove(RecordKey),
    /// A setting as both twins hold it. `Put` and `Remove` beside it say what it makes of the settings in force.
    Setting(Box<Entry>),
    GiveUp(GivenUp),
    /// What the node must know of its pair; `None`: it has none any more.
    Pair(Option<Memory>),
    /// For the history; nothing rests on it.
    Noted(Box<Noted>),
}

/// Numbers the commits that a node asks for; later is larger. The store makes them durable in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// Changes that become durable together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    pub id: CommitId,
    pub changes: Vec<Change>,
}

/// Why a commit did not become durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreTrouble {
    DiskFull,
    /// Anything else, as a sentence.
    Other(String),
}

/// An interface as the system has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub index: u32,
    pub name: String,
    pub mac: Option<[u8; 6]>,
    pub mtu: u16,
    /// Addresses with their prefix; the first is the primary.
    pub addresses: Vec<Ipv4Net>,
    /// Up and running (carrier).
    pub up: bool,
}

/// A datagram that arrived on port 67.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    pub interface: u32,
    pub source: Ipv4Addr,
    pub source_port: u16,
    /// Where it was sent to: an own address or a broadcast address.
    pub destination: Ipv4Addr,
    pub payload: &'a [u8],
}

/// A datagram that shall leave from port 67.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub interface: u32,
    /// Own address to send from.
    pub source: Ipv4Addr,
    pub to: Destination,
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// UDP to a relay, port 67, by routing.
    Relay(Ipv4Addr),
    /// UDP to a client that has the address, port 68.
    Client(Ipv4Addr),
    /// 255.255.255.255 port 68 in a broadcast frame on the interface.
    Broadcast,
    /// To `address` port 68 in a frame to `mac`, with no ARP: the client has no address yet.
    Frame { mac: [u8; 6], address: Ipv4Addr },
}

impl fmt::Display for StoreTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreTrouble::DiskFull => write!(f, "the disk is full"),
            StoreTrouble::Other(why) => f.write_str(why),
        }
    }
}
