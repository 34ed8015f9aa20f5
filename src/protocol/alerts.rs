//! What somebody must hear of though he looks at no page: which conditions hold (`rules`), and when each is told
//! (`ledger`).

mod ledger;
mod rules;

use serde::{Deserialize, Serialize};

use super::time::Time;
pub use ledger::{Ledger, Open, Voice};
pub use rules::{ClockFacts, DiskFacts, Facts, findings, speaks};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nobody is answered here, and nobody at the twin either.
    NotServing,
    TwinSilent,
    /// Heard, but it cannot take over.
    TwinUnwell,
    PoolNearlyFull,
    Rival,
    /// An address of ours is in use by somebody else, or a device said so.
    Conflict,
    /// Devices that call themselves the same.
    Clones,
    Disk,
    BackupLate,
    ClockWrong,
    ToReconcile,
    /// A new version went back, or an update stands still.
    UpdateFailed,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::NotServing,
        Kind::TwinSilent,
        Kind::TwinUnwell,
        Kind::PoolNearlyFull,
        Kind::Rival,
        Kind::Conflict,
        Kind::Clones,
        Kind::Disk,
        Kind::BackupLate,
        Kind::ClockWrong,
        Kind::ToReconcile,
        Kind::UpdateFailed,
    ];

    /// As it stands in messages for machines.
    pub fn name(self) -> &'static str {
        match self {
            Kind::NotServing => "not-serving",
            Kind::TwinSilent => "twin-silent",
            Kind::TwinUnwell => "twin-unwell",
            Kind::PoolNearlyFull => "pool-nearly-full",
            Kind::Rival => "rival",
            Kind::Conflict => "conflict",
            Kind::Clones => "clones",
            Kind::Disk => "disk",
            Kind::BackupLate => "backup-late",
            Kind::ClockWrong => "clock-wrong",
            Kind::ToReconcile => "to-reconcile",
            Kind::UpdateFailed => "update-failed",
        }
    }

    /// For the subject of a mail.
    pub fn title(self) -> &'static str {
        match self {
            Kind::NotServing => "Nobody is answering DHCP",
            Kind::TwinSilent => "The twin is silent",
            Kind::TwinUnwell => "The twin is not well",
            Kind::PoolNearlyFull => "A pool is nearly full",
            Kind::Rival => "Another DHCP server answers",
            Kind::Conflict => "An address is used twice",
            Kind::Clones => "Two devices call themselves the same",
            Kind::Disk => "The disk is in trouble",
            Kind::BackupLate => "The backup is late",
            Kind::ClockWrong => "The clock is wrong",
            Kind::ToReconcile => "Two edits contradict",
            Kind::UpdateFailed => "An update has failed",
        }
    }

    /// Somebody is without an address, or the next fault leaves somebody without.
    pub fn is_urgent(self) -> bool {
        match self {
            Kind::NotServing | Kind::TwinSilent | Kind::TwinUnwell | Kind::Rival | Kind::Disk => true,
            Kind::PoolNearlyFull
            | Kind::Conflict
            | Kind::Clones
            | Kind::BackupLate
            | Kind::ClockWrong
            | Kind::ToReconcile
            // One of the two is always as it was, and answers.
            | Kind::UpdateFailed => false,
        }
    }
}

/// Who can know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// This node alone (its disk, its clock): it tells it itself.
    Own,
    /// Both of a pair: one of them tells it, as long as both are well.
    Shared,
}

/// A condition that holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    /// Tells several of one kind apart, a network for instance. May be empty.
    pub subject: String,
    pub scope: Scope,
    /// What is wrong and what to do.
    pub text: String,
    /// What is said when it is over.
    pub over: String,
    /// How many things are meant: when more are, it is told again sooner.
    pub weight: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Begins,
    /// It still holds.
    GoesOn,
    Over,
}

/// To be sent now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub kind: Kind,
    pub subject: String,
    pub phase: Phase,
    pub text: String,
    pub since: Time,
}
