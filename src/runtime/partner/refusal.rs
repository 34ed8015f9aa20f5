//! Why two nodes do not become twins, each cause with its sentence and its remedy.

use serde::{Deserialize, Serialize};

use super::pairing::{PROTOCOL, clean};
use crate::protocol::failover::Rank;

/// Sent as it is, so each side says its own sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Refusal {
    OwnAddress,
    SameIdentity,
    HasTwin,
    OtherPair,
    NoCode,
    WrongCode { tries_left: u32 },
    TooFast { wait_secs: u64 },
    Version { theirs: [u32; 2], software: String },
    BothHaveLeases,
    BothHaveRank { rank: Rank },
    Busy,
    Forgotten,
    Garbage { why: String },
    Disk { why: String },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::OwnAddress => f.write_str("That is this very node's own address. Give the address of the other one."),
            Refusal::SameIdentity => f.write_str(
                "The other one has the very same identity as this node: one card is a copy of the other. Stop twinlease on one of \
                 them, delete `identity.json` in its data folder, start it again, then pair.",
            ),
            Refusal::HasTwin => f.write_str("The other one already has a twin, and it is not this node. Unpair it there first."),
            Refusal::OtherPair => f.write_str(
                "The other one belongs to another pair: its pair key is not this node's. Put the same `pair-key` into both, or leave it out there.",
            ),
            Refusal::NoCode => f.write_str(
                "The other one shows no code now. Let it show one (`twinlease twin pair --show-code`), and type it here within ten minutes.",
            ),
            Refusal::WrongCode { tries_left: 0 } => f.write_str(
                "The code is wrong, for the fifth time: it is void, and the other one shows a new one. Type that.",
            ),
            Refusal::WrongCode { tries_left } => {
                write!(f, "The code is wrong; {tries_left} tries are left. Type the one that the other node shows now.")
            }
            Refusal::TooFast { wait_secs } => {
                write!(f, "Too many wrong codes were tried lately. Wait {wait_secs} seconds, then type the one that is shown now.")
            }
            Refusal::Version { theirs: [low, high], software } => write!(
                f,
                "The other one speaks version {low} to {high} of the link (twinlease {software}), this node {} to {} (twinlease {}). Update {}.",
                PROTOCOL[0],
                PROTOCOL[1],
                env!("CARGO_PKG_VERSION"),
                if *low > PROTOCOL[1] { "this one" } else { "the other one" }
            ),
            Refusal::BothHaveLeases => f.write_str(
                "Both nodes have given addresses on their own, and the two lists may contradict. Choose the one to keep; on the \
                 other, stop twinlease, move its data folder away, start it again, then pair.",
            ),
            Refusal::BothHaveRank { rank } => {
                let which = match rank {
                    Rank::First => "even",
                    Rank::Second => "odd",
                };
                write!(
                    f,
                    "Both nodes own the {which} addresses, each from an earlier pair, and that is never changed while leases rest \
                     on it. On one of them, stop twinlease, move its data folder away, start it again, then pair."
                )
            }
            Refusal::Busy => f.write_str("The other one is being paired at this moment. Try again in some seconds."),
            Refusal::Forgotten => f.write_str("The other one knows nothing of this pairing any more, so it is undone here too. Pair again."),
            Refusal::Garbage { why } => write!(f, "What was said does not make a pairing: {}. Look whether both run twinlease.", clean(why)),
            Refusal::Disk { why } => write!(f, "The pairing cannot be kept: {}. Look at that node's disk.", clean(why)),
        }
    }
}
