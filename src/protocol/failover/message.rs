//! What twins tell each other. Every message is idempotent and may be lost, doubled, late or out of order; durations
//! travel, never dates (rule 8).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Forgot, GivenUp, State};
use crate::protocol::{
    lease::{BindingState, ClientId, HwAddr, Version},
    replica::Entry,
};

/// One run of a node's process: random, new at each start (rule 9). A message for another session is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Session(pub u64);

/// What one node sends another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    pub from: Session,
    /// Whom the sender heard last; `None`: nobody yet, which only a heartbeat may say.
    pub to: Option<Session>,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    Heartbeat(Heartbeat),
    Update(Box<Update>),
    Ack(Box<Ack>),
    /// A setting as it stands on the sender's disk.
    Setting(Box<Entry>),
    /// The receiver's setting of this version is on the sender's disk.
    SettingAck(Box<Entry>),
    GiveUp(GivenUp),
    /// The sender shuts down and serves nobody from now on.
    ShuttingDown,
    Pull(Pull),
    Page(Box<Page>),
}

/// Sent every 250 ms, from memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub state: State,
    /// In `Recover`: why, where the sender may have forgotten.
    pub forgot: Option<Forgot>,
    /// All records, but not their expiries (rule 15).
    pub digest: u64,
    pub settings_digest: u64,
    /// The sender's highest number that is on its disk.
    pub number: u64,
    /// The receiver's highest number that the sender has heard to be on the receiver's disk.
    pub heard_number: u64,
    /// In ms: the longest lead and lease that the sender counts its waits by, as they are on its disk.
    pub longest_mclt_ms: u64,
    pub longest_lease_ms: u64,
    /// Requests of clients heard since its start: a count that stands still while others hear clients shows a deaf port.
    pub clients_heard: u64,
    /// It cannot promise anything now, or not soon (its disk): the receiver answers new clients.
    pub in_trouble: bool,
    /// The sender's disk takes nothing: for the how-manieth time since its start. What it confirms from memory now would be
    /// forgotten with its next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<u64>,
    /// It is on the sender's disk that the receiver is in this trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knows_trouble: Option<u64>,
    /// The sender has counted the receiver as down, and has not heard it since: what it gave of the receiver's half is not known there.
    #[serde(default)]
    pub counted_down: bool,
    /// Records whose last change the receiver has not confirmed.
    pub unconfirmed: u64,
    /// The sender falls silent for so long, in a drill. For people: no rule of failover heeds it, but that nobody can declare
    /// one down that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill_secs: Option<u32>,
}

/// A record as it travels: durations count from the moment of sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireBinding {
    pub address: Ipv4Addr,
    pub client: ClientId,
    pub hw: HwAddr,
    pub state: BindingState,
    /// Ms since the present state was entered.
    pub age_ms: u64,
    /// Ms to the expiry, negative where it has passed; `None`: never.
    pub left_ms: Option<i64>,
    pub generation: u32,
    pub version: Version,
    pub host_name: Option<Box<str>>,
}

/// The sender's record of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    pub record: WireBinding,
    /// The sender's own expiry of this record, on its own timeline: handed back in the `Ack`, and opaque to others.
    pub expiry: u64,
}

/// The record of an `Update` is on the disk of whoever sends this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub address: Ipv4Addr,
    pub client: ClientId,
    pub state: BindingState,
    pub generation: u32,
    pub version: Version,
    pub expiry: u64,
    /// Where it was not taken over as sent: what the sender of this has instead.
    pub instead: Option<WireBinding>,
}

/// Asks for all records from `after` on; `None`: from the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Tells the pages of one pull from those of another.
    pub number: u64,
    pub after: Option<Ipv4Addr>,
}

/// Committed records in the order of their addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub pull: u64,
    pub after: Option<Ipv4Addr>,
    pub records: Vec<WireBinding>,
    /// With the last page: every setting.
    pub settings: Option<Vec<Entry>>,
    /// More follows.
    pub more: bool,
    /// Where the sender stood: who pulls from one that may have forgotten waits too (w32).
    pub state: State,
    pub forgot: Option<Forgot>,
}
