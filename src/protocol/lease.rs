//! Who holds which address: identities and binding records.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::time::{Epoch, Time};
use crate::settings::Identifier;

/// A hardware address as `chaddr` carries it: `htype` and up to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HwAddr {
    htype: u8,
    len: u8,
    bytes: [u8; 16],
}

impl HwAddr {
    pub const ETHERNET: u8 = 1;

    /// `None` where `addr` has more than 16 bytes.
    pub fn new(htype: u8, addr: &[u8]) -> Option<HwAddr> {
        let mut bytes = [0; 16];
        bytes.get_mut(..addr.len())?.copy_from_slice(addr);
        Some(HwAddr { htype, len: addr.len() as u8, bytes })
    }

    pub fn ethernet(mac: [u8; 6]) -> HwAddr {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&mac);
        HwAddr { htype: Self::ETHERNET, len: 6, bytes }
    }

    pub fn htype(&self) -> u8 {
        self.htype
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The six bytes of an Ethernet address; `None` for any other kind.
    pub fn mac(&self) -> Option<[u8; 6]> {
        if self.htype == Self::ETHERNET { self.bytes().try_into().ok() } else { None }
    }

    /// A randomised ("private") address: locally administered, not multicast.
    pub fn is_private(&self) -> bool {
        self.mac().is_some_and(|mac| mac[0] & 0b11 == 0b10)
    }
}

/// `a4:cf:12:9b:00:1e`; another hardware type is put in front: `32/00:01:…`.
impl fmt::Display for HwAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.htype != Self::ETHERNET {
            write!(f, "{}/", self.htype)?;
        }
        write_hex(f, self.bytes())
    }
}

impl fmt::Debug for HwAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes as pairs of hex digits with colons between.
pub fn write_hex(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            f.write_char(':')?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    #[error("MAC `{0}` has {1} parts, one of them incomplete. Use 6 pairs, like a4:cf:12:9b:00:1e.")]
    Incomplete(String, usize),
    #[error("MAC `{0}` has {1} parts. Use 6 pairs, like a4:cf:12:9b:00:1e.")]
    Parts(String, usize),
    #[error("MAC `{0}` holds `{1}`, which is no hex digit. Use 6 pairs, like a4:cf:12:9b:00:1e.")]
    Digit(String, char),
    #[error("MAC `{0}` is a multicast address, which no device can have. Look for the address on the device's label.")]
    Multicast(String),
}

/// Reads an Ethernet address in any common notation: `a4:cf:12:9b:00:1e`, `a4-cf-…`, `a4cf.129b.001e`, `a4cf129b001e`.
impl FromStr for HwAddr {
    type Err = MacError;
    fn from_str(text: &str) -> Result<HwAddr, MacError> {
        let given = text.trim();
        if let Some(odd) = given.chars().find(|c| !c.is_ascii_hexdigit() && !matches!(c, ':' | '-' | '.' | ' ')) {
            return Err(MacError::Digit(given.into(), odd));
        }
        let parts: Vec<&str> = given.split([':', '-', '.', ' ']).collect();
        let pair_len = match parts.len() {
            1 => 12,
            3 => 4,
            _ => 2,
        };
        if parts.iter().any(|part| part.len() != pair_len && !(pair_len == 2 && part.len() == 1 && parts.len() == 6)) {
            return Err(MacError::Incomplete(given.into(), parts.len()));
        }
        if !matches!(parts.len(), 1 | 3 | 6) {
            return Err(MacError::Parts(given.into(), parts.len()));
        }
        let digits: String = parts.iter().map(|part| if part.len() == 1 { format!("0{part}") } else { (*part).into() }).collect();
        let value = u64::from_str_radix(&digits, 16).expect("twelve hex digits, checked above");
        let mac: [u8; 6] = value.to_be_bytes()[2..].try_into().expect("six of eight bytes");
        if mac[0] & 1 == 1 {
            return Err(MacError::Multicast(given.into()));
        }
        Ok(HwAddr::ethernet(mac))
    }
}

/// Who asks (RFC 2131 §4.2). The key under which bindings are found again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ClientId {
    /// Option 61, all bytes as sent, the type byte included.
    Given(Box<[u8]>),
    /// No option 61: htype and chaddr.
    Hardware(HwAddr),
    /// A second live device that sends an option 61 that is already in use by another hardware address
    /// (cloned disks, containers): told apart by its hardware address.
    Clone(Box<[u8]>, HwAddr),
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientId::Given(id) => {
                f.write_str("client-id ")?;
                write_hex(f, id)
            }
            ClientId::Hardware(hw) => write!(f, "{hw}"),
            ClientId::Clone(id, hw) => {
                f.write_str("client-id ")?;
                write_hex(f, id)?;
                write!(f, " of {hw}")
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BindingState {
    /// Belonged to the client named, and may now be given to anybody.
    Free,
    /// Given, not yet confirmed by the address's owner: no right to renew (failover rule 4).
    Tentative,
    /// Promised to the client until `expiry`. Past it the record still says who had the address.
    Leased,
    /// Handed back by the client.
    Released,
    /// A client found the address in use by somebody else: quarantined until `expiry`.
    Declined,
}

impl BindingState {
    /// Given to its client, whether the address's owner has confirmed that yet or not.
    pub fn is_lease(self) -> bool {
        matches!(self, BindingState::Leased | BindingState::Tentative)
    }
}

/// Two counters, one per node of the pair (failover rule 7). A node alone counts as the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Version {
    pub first: u64,
    pub second: u64,
}

/// What is known of one address. There is at most one record for an address; records are never deleted,
/// so that a client that returns gets the address it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub address: Ipv4Addr,
    pub client: ClientId,
    pub hw: HwAddr,
    pub state: BindingState,
    /// Start of the present lease, or when the present state was entered.
    pub since: Time,
    /// The promise: the longest end of lease that the client was told (or the end of the quarantine).
    pub expiry: Time,
    /// The boot in which `since` and `expiry` were stamped.
    pub epoch: Epoch,
    /// Raised each time the address is given to another client.
    pub generation: u32,
    pub version: Version,
    /// The name that the client gave itself, made safe to show (see `dhcp::decode`). At most 255 bytes.
    pub host_name: Option<Box<str>>,
}

impl Binding {
    /// Held by its client now: nobody else may have the address.
    pub fn is_held(&self, now: Time) -> bool {
        match self.state {
            BindingState::Leased | BindingState::Tentative | BindingState::Declined => now < self.expiry,
            BindingState::Free | BindingState::Released => false,
        }
    }

    /// Its client is the one that this identifier means. Which port of a relay it came from is not kept: there, whoever has the address.
    pub fn is_of(&self, identifier: &Identifier) -> bool {
        match identifier {
            Identifier::Mac(hw) => *hw == self.hw,
            Identifier::ClientId(wanted) => match &self.client {
                ClientId::Given(id) | ClientId::Clone(id, _) => **id == **wanted,
                ClientId::Hardware(_) => false,
            },
            Identifier::CircuitId(_) => true,
        }
    }
}

impl Serialize for HwAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The inverse of `Display`: any hardware type, any length up to 16.
impl<'de> Deserialize<'de> for HwAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<HwAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (htype, hex) = match text.split_once('/') {
            Some((htype, hex)) => (htype.parse().map_err(serde::de::Error::custom)?, hex),
            None => (HwAddr::ETHERNET, text.as_str()),
        };
        let bytes = hex.split(':').filter(|part| !part.is_empty()).map(|part| u8::from_str_radix(part, 16));
        let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().map_err(serde::de::Error::custom)?;
        HwAddr::new(htype, &bytes).ok_or_else(|| serde::de::Error::custom("a hardware address has at most 16 bytes"))
    }
}
