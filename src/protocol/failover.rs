//! Two nodes that act as one: who may give which address, which reply may leave and with which lease time, and
//! what each must know before it serves.
//!
//! The rules are those of the design's failover.md, cited by number throughout. Where the simulation of this code found them
//! looser than they must be, they are tighter here:
//! - Rule 4: a proposal for a client that has meanwhile got the same address from the owner is firm, not undone at its deadline.
//! - Rule 2: the acked expiry is void too when the record is freed, whatever its generation.
//! - Rule 5: a release that one saw frees nothing before the known expiry while the other may have renewed the lease on a disk that
//!   was lost since; what is told to one that forgot is told when this is known on disk.
//! - Rule 2: while the disk takes nothing, what is durable is told again only to a client that renews. One that asks as after a start
//!   may have released it where only the twin saw it: it is answered when it is on the twin's disk that this may happen.
//! - Rule 2: what the partner confirmed before it was started again counts no more: it may have been given an old copy of its disk,
//!   and no page tells it of what is not durable here either.
//! - Rule 7: each start counts on far ahead: a number may have been told, and lost by a power cut before it was durable here, and two
//!   edits with one number look like one.
//! - Rule 7: a shorter lease after a release keeps the known expiry as a shorter renewal does.
//! - Rule 10: who learns that it was counted as down stays silent over restarts until it has pulled; until then it cannot know
//!   what was given of its half.
//! - Rule 11: the admin's word after a goodbye counts from the word on, plus MCLT: the twin may have given this half and gone
//!   off only then.
//! - Rule 13: a raised limit is told to the partner only when it is on disk.
//! - Rule 10: that a twin was counted as down is told it even after this node was shut down meanwhile.
//! - Rule 14: one whose pairing was cut off before the node had written it down numbers its settings anew at its next start.
//! - Rule 14: what one that forgot was told to set before it had learned from the twin may have a number that the twin knows of an
//!   older edit: it is told only when all is learned, with a new number; what the twin has stays in force, and the edit waits for a choice.
//! - Rule 12: one that was sent to serve without having learned what it forgot counts the twin as down, and tells it so: the twin is silent
//!   until it has pulled. And it lets the twin pull only when it has itself learned what that one knows: a lease that it gives meanwhile,
//!   or that still waits for its disk, may be of an address that the twin knows to be another's.
//!   What it gives when all that it forgot has run out stands against what the twin knows, also where that one is the owner.
//! - Rule 4: a proposal that the partner has confirmed is told as a lease in a page, also while the disk here still has it as a proposal: the
//!   partner may have lost its own word of it since, and would take the address for free.
//! - Rule 4: what the owner has confirmed the partner may have undone, where the word was not heard. While the owner's disk takes nothing, it
//!   tells a client that asks as after a start only what the partner has settled since; it could not write down what it hears of it.
//! - Rule 7: of one client's lease the later expiry stands, in whichever generation: one that was raised (rule 12) may meet a renewal.
//! - Rule 5: what was given up and then told by its owner as a lease that goes on is not denied to its client, who is left to the owner.
//! - Rule 10: who starts, hears that it was counted as down, and then nothing more, counts the twin as down no longer: else it would be silent,
//!   and let the twin learn nothing, for ever.
//! - Rule 10: one that is unpaired is one alone again when the longest lease has run out after MCLT: a release that is known here
//!   says nothing of what the twin has promised since.

pub mod loose;
pub mod message;
pub mod merge;
pub(in crate::protocol) mod partnership;
#[cfg(test)]
mod transcripts;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    lease::Version,
    time::{Epoch, Time},
};
pub use message::{Ack, Body, Envelope, Heartbeat, Page, Pull, Session, Update, WireBinding};

/// Which of the two a node is: fixed at pairing, never edited (rule 3). The first owns the even addresses, the second
/// the odd ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    First,
    Second,
}

impl Rank {
    pub fn other(self) -> Rank {
        match self {
            Rank::First => Rank::Second,
            Rank::Second => Rank::First,
        }
    }

    /// The owner of an address, by the raw integer's parity.
    pub fn of(address: std::net::Ipv4Addr) -> Rank {
        if u32::from(address).is_multiple_of(2) { Rank::First } else { Rank::Second }
    }
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Has no twin.
    Alone,
    /// Just started: looks for its twin.
    Startup,
    /// Answers nobody until it knows again what it may have forgotten (rule 12), or what happened while it was shut down.
    Recover,
    /// Together.
    Normal,
    CommunicationsInterrupted,
    PartnerDown,
    /// The link is back: both pull, both go on serving as if apart.
    Reconcile,
    ShuttingDown,
    /// Silent as if it had died, for a time that it ends itself.
    Drilled,
}

impl State {
    pub const ALL: [State; 9] = [
        State::Alone,
        State::Startup,
        State::Recover,
        State::Normal,
        State::CommunicationsInterrupted,
        State::PartnerDown,
        State::Reconcile,
        State::ShuttingDown,
        State::Drilled,
    ];

    /// As it stands in messages for machines.
    pub fn name(self) -> &'static str {
        match self {
            State::Alone => "alone",
            State::Startup => "startup",
            State::Recover => "recover",
            State::Normal => "normal",
            State::CommunicationsInterrupted => "communications-interrupted",
            State::PartnerDown => "partner-down",
            State::Reconcile => "reconcile",
            State::ShuttingDown => "shutting-down",
            State::Drilled => "drilled",
        }
    }
}

/// After "this one is …".
impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Alone => "alone, without a twin",
            State::Startup => "just starting, and looking for its twin",
            State::Recover => "silent until it knows again what it may have forgotten",
            State::Normal => "together with its twin",
            State::CommunicationsInterrupted => "serving, out of reach of its twin",
            State::PartnerDown => "serving alone, its twin is down",
            State::Reconcile => "serving, and comparing notes with its twin",
            State::ShuttingDown => "shut down, and can be switched off",
            State::Drilled => "in a drill: silent as if it had died",
        })
    }
}

/// Why a node may have forgotten promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forgot {
    /// The disk was empty, and this is no first pairing.
    Blank,
    /// The database was made from a snapshot.
    Restored,
    /// The partner has a number from this node that this node does not know (an old copy was put back by hand).
    RolledBack,
}

/// Whether settings of this node have numbers that may have been spent before, on a disk that is lost (rule 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Doubt {
    #[default]
    None,
    /// Those above this one: they were given before it was known what the twin has.
    Above(u64),
    /// No more, though it is not known yet what else was forgotten.
    Over,
}

/// What a node must know of its pair after a restart. One row on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub rank: Rank,
    /// Since when the partner is known to be down, and the boot in which that was stamped.
    pub partner_down: Option<(Time, Epoch)>,
    /// Ended by a shutdown of its own, of which the partner was told: silent until contact, or the admin's word.
    pub shut_down: bool,
    pub forgot: Option<Forgot>,
    /// The admin's word that the twin is one no more: nothing of it is listened to, and when nothing that it promised can be in
    /// force any more, this node is one alone again.
    #[serde(default)]
    pub unpaired: bool,
    /// Sent to serve without having learned from the twin what it forgot, or what happened while it was off: the generations
    /// that it counts may be behind.
    #[serde(default)]
    pub served_unknowing: bool,
    /// Since when it is known that one of the two has made promises that are on no disk any more, or never were, and the boot in
    /// which that was stamped: for the longest lease from then on a release frees nothing before the known expiry (rule 5).
    #[serde(default)]
    pub one_forgot: Option<(Time, Epoch)>,
    /// The partner of now may not have heard yet that it was counted as down, and its half given from: it is told so, over a
    /// shutdown of this node too (rule 10).
    #[serde(default)]
    pub counted_down: bool,
    /// Whose twin this is, by the other one's key: the settings are numbered for it. `None`: written by a version that did not say.
    #[serde(default)]
    pub partner: Option<String>,
    /// The highest of the partner's numbers that it reported as durable.
    pub partner_number: u64,
    /// This node's own numbers up to here are spent, whether or not a record on its disk has them: the partner has heard of them.
    #[serde(default)]
    pub own_number: u64,
    #[serde(default)]
    pub doubt: Doubt,
    /// The longest lead and lease that were ever in force, here or there (rule 13).
    pub longest_mclt: Duration,
    pub longest_lease: Duration,
    /// What the partner said last of its own `longest_…`: a promise goes no further.
    pub partner_mclt: Duration,
    pub partner_lease: Duration,
}

impl Memory {
    /// What is stamped with a time and the boot it was stamped in: all of it ages alike.
    pub fn stamps(&mut self) -> impl Iterator<Item = &mut (Time, Epoch)> {
        [&mut self.partner_down, &mut self.one_forgot].into_iter().flatten()
    }

    /// At pairing: both start with what is set here.
    pub fn new(rank: Rank, mclt: Duration, lease: Duration, forgot: Option<Forgot>) -> Memory {
        Memory {
            rank,
            partner_down: None,
            shut_down: false,
            forgot,
            unpaired: false,
            served_unknowing: false,
            one_forgot: None,
            counted_down: false,
            partner: None,
            partner_number: 0,
            own_number: 0,
            doubt: Doubt::None,
            longest_mclt: mclt,
            longest_lease: lease,
            partner_mclt: mclt,
            partner_lease: lease,
        }
    }
}

/// The non-owner gives up this exact record (rule 5): until it sees a newer one, it gives the address to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    pub address: std::net::Ipv4Addr,
    pub generation: u32,
    pub version: Version,
}
