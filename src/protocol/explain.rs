//! The recorded reason for every answer and every silence, as data. `words` makes sentences of it, `record` keeps
//! the last of each device.

mod record;
mod words;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

use super::{
    failover::State,
    lease::{BindingState, HwAddr},
};
pub use record::{Decision, Explain, MAX_DECISIONS, MAX_PER_DEVICE};
pub use words::{spell, whole_secs};

/// What a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    Discover,
    /// REQUEST that takes up an offer (option 54).
    Select,
    InitReboot,
    Renew,
    Rebind,
    /// REQUEST with neither an address nor a server.
    BareRequest,
    Decline,
    Release,
    Inform,
    Bootp,
    LeaseQuery,
}

/// How the subnet was found (in order of strength).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubnetBy {
    LinkSelection,
    SubnetSelection,
    Giaddr,
    /// A unicast from elsewhere: a relayed client that renews without its relay.
    OwnAddress,
    Interface,
}

/// Why a certain address cannot be given to this client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    NotOnThisNetwork,
    OutsidePools,
    /// Network, broadcast or an own address.
    Special,
    KeptForAnother {
        name: Option<String>,
    },
    /// This client has a kept address, and it is another one.
    HasKeptAddress {
        kept: Ipv4Addr,
    },
    HeldBy {
        hw: HwAddr,
        secs_left: u64,
    },
    OfferedToAnother,
    Quarantined {
        secs_left: u64,
    },
    InUseByStranger,
    /// The twin owns it, and the two are apart.
    TwinsHalf,
    /// The twin's to give, whose word came too late a moment ago.
    TwinIsLate,
    /// Given out here without the owner's word, which the twin could not send yet.
    TwinMustConfirm,
    /// This node told the twin that it may be freed.
    GivenUp,
    /// Its lease has run out, and the two have not freed it yet.
    NotFreedYet,
}

impl Refusal {
    /// Because there is a twin, not because of the address.
    pub fn is_the_twins(&self) -> bool {
        match self {
            Refusal::TwinsHalf | Refusal::TwinIsLate | Refusal::TwinMustConfirm | Refusal::GivenUp | Refusal::NotFreedYet => true,
            Refusal::NotOnThisNetwork
            | Refusal::OutsidePools
            | Refusal::Special
            | Refusal::KeptForAnother { .. }
            | Refusal::HasKeptAddress { .. }
            | Refusal::HeldBy { .. }
            | Refusal::OfferedToAnother
            | Refusal::Quarantined { .. }
            | Refusal::InUseByStranger => false,
        }
    }
}

/// One step on the way to a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    Subnet {
        network: Ipv4Net,
        by: SubnetBy,
    },
    DamagedOptions {
        codes: Vec<u8>,
    },
    /// Same client-id as another live device.
    CloneOf {
        hw: HwAddr,
    },
    /// No client-id this time; recognised by address and MAC.
    RecognisedByAddress {
        address: Ipv4Addr,
    },
    Kept {
        address: Ipv4Addr,
        name: Option<String>,
    },
    NotKept,
    KeptButNotNow {
        address: Ipv4Addr,
        why: Refusal,
    },
    Has {
        address: Ipv4Addr,
        state: BindingState,
    },
    Had {
        address: Ipv4Addr,
    },
    HadButNotNow {
        address: Ipv4Addr,
        why: Refusal,
    },
    AskedFor {
        address: Ipv4Addr,
    },
    AskedForButNot {
        address: Ipv4Addr,
        why: Refusal,
    },
    NextFree {
        address: Ipv4Addr,
        network: Ipv4Net,
    },
    OfferedBefore {
        address: Ipv4Addr,
    },
    NotProbed,
    ProbeSilent {
        address: Ipv4Addr,
        waited_ms: u64,
    },
    ProbeAnswered {
        address: Ipv4Addr,
        mac: [u8; 6],
    },
    LeaseClamped {
        asked_secs: u32,
        given_secs: u32,
    },
    PrivateMac {
        secs: u32,
    },
    DiskTrouble {
        why: String,
    },
    DidNotFit {
        codes: Vec<u8>,
    },
    Durable {
        after_ms: u64,
    },
    /// It is on the twin's disk too.
    TwinConfirmed,
    /// The twin did not confirm in time: a shorter lease.
    TwinSilent {
        secs: u32,
    },
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Offered {
        address: Ipv4Addr,
        secs: u32,
    },
    Acked {
        address: Ipv4Addr,
        secs: u32,
    },
    /// From memory, while the disk is in trouble: what is already durable, no longer.
    AckedWhatIsDurable {
        address: Ipv4Addr,
        secs: u32,
    },
    Informed {
        address: Ipv4Addr,
    },
    BootpReply {
        address: Ipv4Addr,
    },
    Naked {
        why: NakReason,
    },
    Released {
        address: Ipv4Addr,
    },
    Declined {
        address: Ipv4Addr,
        quarantine_secs: u64,
    },
    QueryAnswered,
    Silent {
        why: Silence,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NakReason {
    WrongNetwork { address: Ipv4Addr },
    OtherAddress { asked: Ipv4Addr, has: Ipv4Addr },
    Unknown { asked: Ipv4Addr },
    NotPossible { asked: Ipv4Addr, why: Refusal },
    ClientIdInUse { asked: Ipv4Addr, hw: HwAddr },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Silence {
    NoSubnet,
    PoolFull {
        network: Ipv4Net,
        size: u64,
        /// Addresses of all pools that rest because a stranger answered under them.
        aside: usize,
        /// It could give from its own half only; the other one is the twin's.
        is_half: bool,
    },
    NoPool {
        network: Ipv4Net,
    },
    OtherServer {
        server: Ipv4Addr,
    },
    UnknownClient,
    BareRequest,
    NotItsAddress,
    TooOften,
    ProbePending {
        address: Ipv4Addr,
    },
    /// So many addresses were asked about for this one request, and somebody answered under each.
    StrangersAnswer {
        count: usize,
    },
    BeingWritten {
        address: Ipv4Addr,
    },
    /// The disk takes nothing, so nothing new can be promised.
    DiskTrouble {
        why: String,
    },
    StoreBehind,
    BootpOff,
    BootpNotKept,
    LeaseQueryOff,
    NowhereToSend,
    NoAddressOfOurs,
    /// This one of the two may not answer anybody now.
    NotServing {
        state: State,
    },
    /// It shall be one of two and has not met the other.
    WaitsForTwin,
    /// The twin answers this device.
    TwinAnswers,
    /// The address is the twin's to give, and its word did not come in time.
    TwinDidNotConfirm {
        address: Ipv4Addr,
    },
    /// Unknown here, but the twin, out of reach, may have promised it.
    TwinMayKnow {
        address: Ipv4Addr,
    },
    /// The twin's record of this address took the place of ours.
    Superseded {
        address: Ipv4Addr,
    },
}

impl Outcome {
    /// A short name, for counting.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Offered { .. } => "offered",
            Outcome::Acked { .. } | Outcome::AckedWhatIsDurable { .. } => "acked",
            Outcome::Informed { .. } => "informed",
            Outcome::BootpReply { .. } => "bootp-reply",
            Outcome::Naked { .. } => "naked",
            Outcome::Released { .. } => "released",
            Outcome::Declined { .. } => "declined",
            Outcome::QueryAnswered => "query-answered",
            Outcome::Silent { why } => match why {
                Silence::NoSubnet => "silent-no-subnet",
                Silence::PoolFull { .. } => "silent-pool-full",
                Silence::NoPool { .. } => "silent-no-pool",
                Silence::OtherServer { .. } => "silent-other-server",
                Silence::UnknownClient => "silent-unknown-client",
                Silence::BareRequest => "silent-bare-request",
                Silence::NotItsAddress => "silent-not-its-address",
                Silence::TooOften => "silent-too-often",
                Silence::ProbePending { .. } => "silent-probe-pending",
                Silence::StrangersAnswer { .. } => "silent-strangers-answer",
                Silence::BeingWritten { .. } => "silent-being-written",
                Silence::DiskTrouble { .. } => "silent-disk-trouble",
                Silence::StoreBehind => "silent-store-behind",
                Silence::BootpOff => "silent-bootp-off",
                Silence::BootpNotKept => "silent-bootp-not-kept",
                Silence::LeaseQueryOff => "silent-leasequery-off",
                Silence::NowhereToSend => "silent-nowhere-to-send",
                Silence::NoAddressOfOurs => "silent-no-address-of-ours",
                Silence::NotServing { .. } => "silent-not-serving",
                Silence::WaitsForTwin => "silent-waits-for-twin",
                Silence::TwinAnswers => "silent-twin-answers",
                Silence::TwinDidNotConfirm { .. } => "silent-twin-did-not-confirm",
                Silence::TwinMayKnow { .. } => "silent-twin-may-know",
                Silence::Superseded { .. } => "silent-superseded",
            },
        }
    }

    /// The address that this is about, for finding decisions by address.
    pub fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Outcome::Offered { address, .. }
            | Outcome::Acked { address, .. }
            | Outcome::AckedWhatIsDurable { address, .. }
            | Outcome::Informed { address }
            | Outcome::BootpReply { address }
            | Outcome::Released { address }
            | Outcome::Declined { address, .. } => Some(*address),
            Outcome::Naked { why } => Some(match why {
                NakReason::WrongNetwork { address } => *address,
                NakReason::OtherAddress { asked, .. }
                | NakReason::Unknown { asked }
                | NakReason::NotPossible { asked, .. }
                | NakReason::ClientIdInUse { asked, .. } => *asked,
            }),
            Outcome::Silent {
                why:
                    Silence::ProbePending { address }
                    | Silence::BeingWritten { address }
                    | Silence::TwinDidNotConfirm { address }
                    | Silence::TwinMayKnow { address }
                    | Silence::Superseded { address },
            } => Some(*address),
            Outcome::Silent { .. } | Outcome::QueryAnswered => None,
        }
    }
}
