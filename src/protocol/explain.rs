//! The recorded reason for every answer and every silence: data first, sentences on demand.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use ipnet::Ipv4Net;
use serde::Serialize;

use super::{
    dhcp::Malformed,
    lease::{BindingState, HwAddr},
    time::Time,
};

/// Decisions kept for one device.
pub const MAX_PER_DEVICE: usize = 16;
/// Decisions kept in all; the device that was silent for longest is forgotten first.
pub const MAX_DECISIONS: usize = 8192;

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

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Asked::Discover => "asked for an address (DISCOVER)",
            Asked::Select => "took up an offer (REQUEST)",
            Asked::InitReboot => "came back and asked for the address it had (REQUEST, INIT-REBOOT)",
            Asked::Renew => "renewed its lease (REQUEST)",
            Asked::Rebind => "asked anybody to renew its lease (REQUEST, REBINDING)",
            Asked::BareRequest => "sent a REQUEST that names neither an address nor a server",
            Asked::Decline => "declined an address (DECLINE)",
            Asked::Release => "gave its address back (RELEASE)",
            Asked::Inform => "asked for options only (INFORM)",
            Asked::Bootp => "asked by BOOTP",
            Asked::LeaseQuery => "a relay asked who has a lease (LEASEQUERY)",
        })
    }
}

/// How the subnet was found (in order of strength).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubnetBy {
    LinkSelection,
    SubnetSelection,
    Giaddr,
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
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotOnThisNetwork => write!(f, "it belongs to another network"),
            Refusal::OutsidePools => write!(f, "it is outside the pools"),
            Refusal::Special => write!(f, "it belongs to the network or to this server itself"),
            Refusal::KeptForAnother { name: Some(name) } => write!(f, "it is kept for {name}"),
            Refusal::KeptForAnother { name: None } => write!(f, "it is kept for another device"),
            Refusal::HasKeptAddress { kept } => write!(f, "{kept} is kept for this device"),
            Refusal::HeldBy { hw, secs_left } => write!(f, "{hw} holds it for another {}", spell(*secs_left)),
            Refusal::OfferedToAnother => write!(f, "it was just offered to another device"),
            Refusal::Quarantined { secs_left } => {
                write!(f, "a device found it in use; it rests for another {}", spell(*secs_left))
            }
            Refusal::InUseByStranger => write!(f, "somebody answers under it who has no lease here"),
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
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Subnet { network, by } => match by {
                SubnetBy::LinkSelection => write!(f, "network {network}, named by the relay (option 82)"),
                SubnetBy::SubnetSelection => write!(f, "network {network}, named by the client (option 118)"),
                SubnetBy::Giaddr => write!(f, "network {network}, where its relay stands"),
                SubnetBy::Interface => write!(f, "network {network}, where it was heard"),
            },
            Step::DamagedOptions { codes } => write!(f, "damaged options left aside: {}", list(codes)),
            Step::CloneOf { hw } => write!(f, "its client-id is in use by {hw} too: told apart by MAC"),
            Step::RecognisedByAddress { address } => {
                write!(f, "sent another client-id than before; recognised by its MAC and {address}")
            }
            Step::Kept { address, name: Some(name) } => write!(f, "{address} is kept for it as {name}"),
            Step::Kept { address, name: None } => write!(f, "{address} is kept for it"),
            Step::NotKept => write!(f, "no address is kept for it"),
            Step::KeptButNotNow { address, why } => write!(f, "{address} is kept for it but cannot be given now: {why}"),
            Step::Has { address, state: BindingState::Declined } => write!(f, "it declined {address}"),
            Step::Has { address, .. } => write!(f, "it holds {address}"),
            Step::Had { address } => write!(f, "it had {address} before"),
            Step::HadButNotNow { address, why } => write!(f, "it had {address} before, which cannot be given now: {why}"),
            Step::AskedFor { address } => write!(f, "it asked for {address}, which is free"),
            Step::AskedForButNot { address, why } => write!(f, "it asked for {address}, which it cannot have: {why}"),
            Step::NextFree { address, network } => write!(f, "{address} is the next free address of {network}"),
            Step::OfferedBefore { address } => write!(f, "{address} was offered to it a moment ago"),
            Step::NotProbed => write!(f, "not asked whether the address is in use"),
            Step::ProbeSilent { address, waited_ms } => write!(f, "nobody answered under {address} within {waited_ms} ms"),
            Step::ProbeAnswered { address, mac } => write!(f, "{} answered under {address}", HwAddr::ethernet(*mac)),
            Step::LeaseClamped { asked_secs, given_secs } => {
                write!(f, "it asked for {}; the settings allow {}", spell(u64::from(*asked_secs)), spell(u64::from(*given_secs)))
            }
            Step::PrivateMac { secs } => write!(f, "private MAC: lease shortened to {}", spell(u64::from(*secs))),
            Step::DiskTrouble { why } => write!(f, "the disk takes nothing at present ({why})"),
            Step::DidNotFit { codes } => write!(f, "options that did not fit into the packet: {}", list(codes)),
            Step::Durable { after_ms } => write!(f, "on disk after {after_ms} ms"),
        }
    }
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

impl fmt::Display for NakReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NakReason::WrongNetwork { address } => write!(f, "{address} is not on this network"),
            NakReason::OtherAddress { asked, has } => write!(f, "{asked} is not its address, {has} is"),
            NakReason::Unknown { asked } => write!(f, "no lease of {asked} to this device is known"),
            NakReason::NotPossible { asked, why } => write!(f, "{asked} cannot be given: {why}"),
            NakReason::ClientIdInUse { asked, hw } => write!(f, "{asked} belongs to {hw}, which uses the same client-id"),
        }
    }
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
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::NoSubnet => write!(f, "no subnet is set up where it was heard. Add a [[subnet]] for its network"),
            Silence::PoolFull { network, size, aside: 0 } => {
                write!(f, "the pool of {network} is full, {size} of {size}. Grow the pool, or shorten the leases")
            }
            Silence::PoolFull { network, size, aside } => write!(
                f,
                "the pool of {network} is full, {size} of {size}. {aside} addresses rest because devices without a lease \
                 answered under them: look for a router with proxy ARP, or for addresses set by hand"
            ),
            Silence::NoPool { network } => {
                write!(f, "{network} has no pool, and no address is kept for this device. Add a pool, or keep an address for it")
            }
            Silence::OtherServer { server } => write!(f, "it chose another server, {server}"),
            Silence::UnknownClient => write!(f, "its lease is not known here, and this server is not set as authoritative"),
            Silence::BareRequest => write!(f, "it says neither which address it wants nor from whom"),
            Silence::NotItsAddress => write!(f, "the address is not its own"),
            Silence::TooOften => write!(f, "it asks too often; others must not wait for it"),
            Silence::ProbePending { address } => write!(f, "{address} is just being asked for by ARP"),
            Silence::StrangersAnswer { count } => write!(
                f,
                "devices without a lease answered under {count} addresses in a row. Look for a router with proxy ARP, or for \
                 addresses set by hand"
            ),
            Silence::BeingWritten { address } => write!(f, "its lease of {address} is just being written to disk"),
            Silence::DiskTrouble { why } => {
                write!(f, "the disk takes nothing at present ({why}), so nothing new can be promised")
            }
            Silence::StoreBehind => write!(f, "the disk is too far behind; it may ask again"),
            Silence::BootpOff => write!(f, "BOOTP is switched off. Set bootp = true under [server] to answer it"),
            Silence::BootpNotKept => write!(f, "BOOTP is answered only for devices with a kept address. Keep one for it"),
            Silence::LeaseQueryOff => write!(f, "LEASEQUERY is switched off. Set leasequery = true under [server] to answer it"),
            Silence::NowhereToSend => write!(f, "it gave no address to answer to"),
            Silence::NoAddressOfOurs => write!(f, "this server has no address on that interface"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Offered { address, secs } => write!(f, "offered {address} for {}", spell(u64::from(*secs))),
            Outcome::Acked { address, secs } => write!(f, "given {address} for {}", spell(u64::from(*secs))),
            Outcome::AckedWhatIsDurable { address, secs } => {
                write!(
                    f,
                    "told again that it has {address} for {}; no longer, because the disk takes nothing",
                    spell(u64::from(*secs))
                )
            }
            Outcome::Informed { address } => write!(f, "options sent to {address}"),
            Outcome::BootpReply { address } => write!(f, "given {address} by BOOTP"),
            Outcome::Naked { why } => write!(f, "told to ask anew (NAK): {why}"),
            Outcome::Released { address } => write!(f, "{address} is free again"),
            Outcome::Declined { address, quarantine_secs } => write!(f, "{address} rests for {}", spell(*quarantine_secs)),
            Outcome::QueryAnswered => write!(f, "answered"),
            Outcome::Silent { why } => write!(f, "not answered: {why}"),
        }
    }
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
            Outcome::Silent { why: Silence::ProbePending { address } | Silence::BeingWritten { address } } => Some(*address),
            Outcome::Silent { .. } | Outcome::QueryAnswered => None,
        }
    }
}

/// One decision with the way that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub at: Time,
    pub hw: HwAddr,
    /// The name the device gave itself, or the name of its kept address.
    pub name: Option<Box<str>>,
    pub asked: Asked,
    pub xid: u32,
    pub steps: Vec<Step>,
    pub outcome: Outcome,
    /// How often the same was asked and answered again since, folded into this one.
    pub repeats: u32,
    pub last_at: Time,
}

impl Decision {
    fn same_as(&self, other: &Decision) -> bool {
        self.asked == other.asked && same_outcome(&self.outcome, &other.outcome)
    }
}

/// Equal but for figures that run with the clock.
fn same_outcome(a: &Outcome, b: &Outcome) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && a.name() == b.name() && a.address() == b.address()
}

/// The last decisions of each device, bounded in all.
#[derive(Debug, Default)]
pub struct Explain {
    devices: HashMap<HwAddr, Device>,
    /// Devices by when they last got a decision: (sequence, device).
    order: BTreeMap<u64, HwAddr>,
    sequence: u64,
    kept: usize,
    /// Datagrams that were no request, by cause.
    pub malformed: BTreeMap<Malformed, u64>,
    /// Decisions by `Outcome::name`.
    pub outcomes: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
struct Device {
    sequence: u64,
    decisions: VecDeque<Arc<Decision>>,
}

impl Explain {
    /// Keeps a decision. Returns it, as it now stands, where it is worth a line in the log: it is new, or it
    /// was repeated 10, 100, 1000 … times.
    pub fn record(&mut self, decision: Decision) -> Option<Arc<Decision>> {
        *self.outcomes.entry(decision.outcome.name()).or_default() += 1;
        self.sequence += 1;
        let device = self.devices.entry(decision.hw).or_default();
        self.order.remove(&device.sequence);
        device.sequence = self.sequence;
        self.order.insert(self.sequence, decision.hw);
        if let Some(last) = device.decisions.back_mut()
            && last.same_as(&decision)
        {
            let last = Arc::make_mut(last);
            last.repeats += 1;
            last.last_at = decision.at;
            last.steps = decision.steps;
            last.outcome = decision.outcome;
            last.xid = decision.xid;
            let power_of_ten = last.repeats >= 10 && last.repeats == 10u32.pow(last.repeats.ilog10());
            // Renewals are worth a line each; the same question over and over is not.
            return (power_of_ten || matches!(last.outcome, Outcome::Acked { .. }))
                .then(|| device.decisions.back().expect("just looked at").clone());
        }
        if device.decisions.len() == MAX_PER_DEVICE {
            device.decisions.pop_front();
            self.kept -= 1;
        }
        let decision = Arc::new(decision);
        device.decisions.push_back(decision.clone());
        self.kept += 1;
        while self.kept > MAX_DECISIONS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.kept -= self.devices.remove(&oldest).map_or(0, |device| device.decisions.len());
        }
        Some(decision)
    }

    /// Oldest first.
    pub fn of_device(&self, hw: HwAddr) -> impl Iterator<Item = &Arc<Decision>> {
        self.devices.get(&hw).into_iter().flat_map(|device| &device.decisions)
    }

    /// Devices with decisions kept, the latest first.
    pub fn devices(&self) -> impl Iterator<Item = HwAddr> {
        self.order.values().rev().copied()
    }
}

/// `3 min`, `2 h`, `5 d`: as precise as a person wants it.
pub fn spell(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ if secs >= u64::from(u32::MAX) => "ever".into(),
        _ => format!("{} d", secs / 86_400),
    }
}

/// Whole seconds, rounded up.
pub fn whole_secs(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn list(codes: &[u8]) -> String {
    codes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ")
}
