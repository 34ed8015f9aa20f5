//! What an admin may set, in types that cannot be wrong. Parsing and its sentences are in `parse`, the
//! readable file in `render`; what holds between several settings is checked in `check`.

pub mod access;
pub mod alerts;
pub mod check;
pub mod dictionary;
pub mod import;
pub mod options;
pub mod parse;
pub mod render;
pub mod setup;
pub mod words;
pub mod written;

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::protocol::{failover::Rank, lease::HwAddr};
use access::Access;
use alerts::Alerts;
use options::{OptionDefinition, OptionSet};

/// What stands in history where a secret stood.
pub const MASK: &str = "(hidden)";

/// All that an admin may set. Replicated between twins record by record (see `Record`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Settings {
    pub server: Server,
    pub lease: LeaseTimes,
    pub twin: Twin,
    /// Who may sign in. In no settings file, and not touched by one.
    #[serde(default)]
    pub access: Access,
    #[serde(default)]
    pub alerts: Alerts,
    /// Options for everybody, the weakest source.
    pub options: OptionSet,
    pub custom_options: Vec<OptionDefinition>,
    /// Ordered by network; none overlaps another.
    pub subnets: Vec<Subnet>,
    /// Ordered by address; addresses and identifiers are each unique.
    pub reservations: Vec<Reservation>,
}

/// How the server behaves, whatever the subnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Interfaces to serve; empty: every interface that has an address in one of the subnets.
    pub interfaces: Vec<String>,
    /// The pair owns its networks: a client that asks for an address unknown here is told NAK, so that it asks anew at once.
    pub authoritative: bool,
    /// RFC 4039: two packets instead of four for clients that ask for it.
    pub rapid_commit: bool,
    /// Answer BOOTP clients that have a reservation.
    pub bootp: bool,
    /// Answer LEASEQUERY (RFC 4388).
    pub leasequery: bool,
    /// How long to wait for an ARP answer before a new address is offered; `None`: not asked.
    pub probe: Option<Duration>,
    /// How long a declined address is kept from everybody.
    pub decline_quarantine: Duration,
    /// Longest lease for a randomised ("private") MAC; `None`: as for others.
    pub private_mac_lease: Option<Duration>,
    pub fqdn: FqdnPolicy,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            interfaces: Vec::new(),
            authoritative: true,
            rapid_commit: false,
            bootp: false,
            leasequery: false,
            probe: Some(Duration::from_millis(200)),
            decline_quarantine: Duration::from_secs(24 * 3600),
            private_mac_lease: None,
            fqdn: FqdnPolicy::ClientUpdates,
        }
    }
}

/// What option 81 is answered with (RFC 4702 §4): this server never updates DNS itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FqdnPolicy {
    /// The client may update its own A record.
    ClientUpdates,
    /// Nobody should.
    NoUpdates,
}

/// Lease times. `min <= default <= max`, `t1 < t2 < 1000`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTimes {
    pub default: Duration,
    pub min: Duration,
    pub max: Duration,
    /// A client may ask for a lease without end.
    pub infinite: bool,
    /// Renewal (T1) and rebinding (T2), in thousandths of the lease.
    pub t1_permille: u16,
    pub t2_permille: u16,
}

impl Default for LeaseTimes {
    fn default() -> LeaseTimes {
        LeaseTimes {
            default: Duration::from_secs(12 * 3600),
            min: Duration::from_secs(2 * 60),
            max: Duration::from_secs(7 * 24 * 3600),
            infinite: false,
            t1_permille: 500,
            t2_permille: 875,
        }
    }
}

/// How the two of a pair share the work. Without a twin nothing of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    pub mode: Mode,
    /// The one that answers in hot-standby. The standby answers whoever is not served in time.
    pub active: Rank,
    /// MCLT: how far a promise may run ahead of what the twin knows.
    pub mclt: Duration,
    /// How long an answer waits for the twin's word before it goes out with the shorter promise.
    pub ack_deadline: Duration,
    /// After so long without contact the twin counts as down, though nobody said so; `None`: never.
    pub assume_partner_down_after: Option<Duration>,
}

/// Who answers while both are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The active answers.
    HotStandby,
    /// Each answers its half of the clients (RFC 3074).
    LoadBalancing,
}

impl Default for Twin {
    fn default() -> Twin {
        Twin {
            mode: Mode::HotStandby,
            active: Rank::First,
            mclt: Duration::from_secs(3600),
            ack_deadline: Duration::from_millis(200),
            assume_partner_down_after: None,
        }
    }
}

/// A subnet's own lease times; what is `None` comes from `Settings::lease`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeaseOverrides {
    pub default: Option<Duration>,
    pub min: Option<Duration>,
    pub max: Option<Duration>,
    pub infinite: Option<bool>,
    pub t1_permille: Option<u16>,
    pub t2_permille: Option<u16>,
}

impl LeaseOverrides {
    pub fn over(&self, general: &LeaseTimes) -> LeaseTimes {
        LeaseTimes {
            default: self.default.unwrap_or(general.default),
            min: self.min.unwrap_or(general.min),
            max: self.max.unwrap_or(general.max),
            infinite: self.infinite.unwrap_or(general.infinite),
            t1_permille: self.t1_permille.unwrap_or(general.t1_permille),
            t2_permille: self.t2_permille.unwrap_or(general.t2_permille),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// Prefix /8 to /30; host bits are zero.
    pub network: Ipv4Net,
    /// Served only to clients that ask on this interface (relayed clients excepted).
    pub interface: Option<String>,
    /// Ordered, inside the network, not overlapping. May be empty: reservations only.
    pub pools: Vec<Pool>,
    /// Ordered. Never given to anybody, not even where a pool covers them; reservations excepted.
    pub exclusions: Vec<AddressRange>,
    pub lease: LeaseOverrides,
    pub options: OptionSet,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    pub range: AddressRange,
    pub options: OptionSet,
}

/// Addresses from `first` to `last`, both included; `first <= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AddressRange {
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
}

impl AddressRange {
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.first <= address && address <= self.last
    }

    /// How many addresses, 2^32 at most.
    pub fn size(&self) -> u64 {
        u64::from(u32::from(self.last)) - u64::from(u32::from(self.first)) + 1
    }
}

/// `192.0.2.10`, or `192.0.2.10-192.0.2.99`.
impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A kept address: given to this device only, and to no other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    pub identifier: Identifier,
    pub address: Ipv4Addr,
    /// A host name (letters, digits, `-`, `.`), sent as option 12 and shown. At most 255 bytes.
    pub name: Option<String>,
    pub note: Option<String>,
    pub options: OptionSet,
    /// Answers to this device always go to the broadcast address.
    pub force_broadcast: bool,
    /// Echo option 61 (RFC 6842). Off for devices that choke on it.
    pub echo_client_id: bool,
}

/// What a reservation recognises a device by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identifier {
    Mac(HwAddr),
    /// Option 61, all bytes. At most 255.
    ClientId(Vec<u8>),
    /// Relay agent information sub-option 1: whatever hangs on that port.
    CircuitId(Vec<u8>),
}

/// The unit in which settings are stored, changed and replicated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    Server(Server),
    Lease(LeaseTimes),
    Twin(Twin),
    Access(Access),
    Alerts(Alerts),
    Options(OptionSet),
    CustomOptions(Vec<OptionDefinition>),
    Subnet(Subnet),
    Reservation(Reservation),
}

/// Names a `Record`. `Server` … `CustomOptions` exist once; they cannot be removed, only set to their default.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKey {
    Server,
    Lease,
    Twin,
    Access,
    Alerts,
    Options,
    CustomOptions,
    Subnet(Ipv4Net),
    Reservation(Identifier),
}

impl Record {
    pub fn key(&self) -> RecordKey {
        match self {
            Record::Server(_) => RecordKey::Server,
            Record::Lease(_) => RecordKey::Lease,
            Record::Twin(_) => RecordKey::Twin,
            Record::Access(_) => RecordKey::Access,
            Record::Alerts(_) => RecordKey::Alerts,
            Record::Options(_) => RecordKey::Options,
            Record::CustomOptions(_) => RecordKey::CustomOptions,
            Record::Subnet(subnet) => RecordKey::Subnet(subnet.network),
            Record::Reservation(reservation) => RecordKey::Reservation(reservation.identifier.clone()),
        }
    }
}

impl Record {
    /// As history has it: every secret hidden.
    pub fn masked(self) -> Record {
        match self {
            Record::Access(access) => Record::Access(access.masked()),
            Record::Alerts(alerts) => Record::Alerts(alerts.masked()),
            open @ (Record::Server(_)
            | Record::Lease(_)
            | Record::Twin(_)
            | Record::Options(_)
            | Record::CustomOptions(_)
            | Record::Subnet(_)
            | Record::Reservation(_)) => open,
        }
    }
}

impl Settings {
    /// Every record, in the order of the file.
    pub fn records(&self) -> Vec<Record> {
        let mut records = vec![
            Record::Server(self.server.clone()),
            Record::Lease(self.lease.clone()),
            Record::Twin(self.twin),
            Record::Access(self.access.clone()),
            Record::Alerts(self.alerts.clone()),
            Record::Options(self.options.clone()),
            Record::CustomOptions(self.custom_options.clone()),
        ];
        records.extend(self.subnets.iter().cloned().map(Record::Subnet));
        records.extend(self.reservations.iter().cloned().map(Record::Reservation));
        records
    }

    /// Adds the record, or puts it in the place of the one with its key.
    pub fn put(&mut self, record: Record) {
        self.remove(&record.key());
        match record {
            Record::Server(server) => self.server = server,
            Record::Lease(lease) => self.lease = lease,
            Record::Twin(twin) => self.twin = twin,
            Record::Access(access) => self.access = access,
            Record::Alerts(alerts) => self.alerts = alerts,
            Record::Options(options) => self.options = options,
            Record::CustomOptions(definitions) => self.custom_options = definitions,
            Record::Subnet(subnet) => {
                let at = self.subnets.partition_point(|other| other.network < subnet.network);
                self.subnets.insert(at, subnet);
            }
            Record::Reservation(reservation) => {
                let at = self.reservations.partition_point(|other| other.address < reservation.address);
                self.reservations.insert(at, reservation);
            }
        }
    }

    /// Removes the record; one that exists once goes back to its default. Nothing happens where there is none.
    pub fn remove(&mut self, key: &RecordKey) {
        match key {
            RecordKey::Server => self.server = Server::default(),
            RecordKey::Lease => self.lease = LeaseTimes::default(),
            RecordKey::Twin => self.twin = Twin::default(),
            RecordKey::Access => self.access = Access::default(),
            RecordKey::Alerts => self.alerts = Alerts::default(),
            RecordKey::Options => self.options = OptionSet::default(),
            RecordKey::CustomOptions => self.custom_options = Vec::new(),
            RecordKey::Subnet(network) => self.subnets.retain(|subnet| subnet.network != *network),
            RecordKey::Reservation(identifier) => self.reservations.retain(|kept| kept.identifier != *identifier),
        }
    }

    /// The record of this key; those that exist once are always there.
    pub fn record(&self, key: &RecordKey) -> Option<Record> {
        match key {
            RecordKey::Server => Some(Record::Server(self.server.clone())),
            RecordKey::Lease => Some(Record::Lease(self.lease.clone())),
            RecordKey::Twin => Some(Record::Twin(self.twin)),
            RecordKey::Access => Some(Record::Access(self.access.clone())),
            RecordKey::Alerts => Some(Record::Alerts(self.alerts.clone())),
            RecordKey::Options => Some(Record::Options(self.options.clone())),
            RecordKey::CustomOptions => Some(Record::CustomOptions(self.custom_options.clone())),
            RecordKey::Subnet(network) => {
                self.subnets.iter().find(|subnet| subnet.network == *network).cloned().map(Record::Subnet)
            }
            RecordKey::Reservation(identifier) => {
                let kept = self.reservations.iter().find(|kept| kept.identifier == *identifier);
                kept.cloned().map(Record::Reservation)
            }
        }
    }

    /// As a settings file may have them: nothing of who may sign in.
    pub fn for_file(&self) -> Settings {
        Settings { access: Access::default(), ..self.clone() }
    }

    /// The longest lease that any subnet gives; of those without end, what stands for it on the wire.
    pub fn longest_lease(&self) -> Duration {
        let longest = self
            .subnets
            .iter()
            .map(|subnet| subnet.lease.over(&self.lease))
            .map(|lease| if lease.infinite { Duration::from_secs(u32::MAX.into()) } else { lease.max.max(lease.default) });
        longest.max().unwrap_or_default()
    }

    /// The subnet that the address belongs to.
    pub fn subnet_of(&self, address: Ipv4Addr) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.network.contains(&address))
    }
}
