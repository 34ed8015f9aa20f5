//! Bytes from port 67 → `Message`. Lenient: a malformed option costs that option only.
//!
//! dhcproto's decoder is not used for whole messages: it stops silently at the first option that it does not
//! like, and its `chaddr()` panics where `hlen` is above 16. Single values go through it where it is right.

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;

use super::{code, name};
use crate::protocol::lease::{ClientId, HwAddr};

/// op … file, before the magic cookie (RFC 2131 §2).
pub const HEADER_LEN: usize = 236;
pub const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const BROADCAST_FLAG: u16 = 0x8000;
/// The vendor class (option 60) of a twinlease that looks for other servers.
pub const PROBE_CLASS: &[u8] = b"twinlease-probe";
/// More options than this in one packet are hostile or broken; the rest is not read.
const MAX_OPTIONS: usize = 128;

/// Why a datagram is no request at all. Counted by cause; nothing answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Malformed {
    #[error("shorter than the 236 bytes of a BOOTP header")]
    TooShort,
    #[error("not a request (op is not 1)")]
    NotRequest,
    #[error("hardware address longer than 16 bytes")]
    HardwareAddressTooLong,
    #[error("neither a hardware address nor a client-id")]
    NoIdentity,
    #[error("message type is unknown")]
    UnknownType,
    #[error("a message type that no client sends here")]
    ServerMessage,
}

/// A request as received.
#[derive(Debug, Clone)]
pub struct Message {
    /// `None`: BOOTP (no cookie, or no option 53).
    pub kind: Option<MessageType>,
    pub hw: HwAddr,
    pub hops: u8,
    pub xid: u32,
    pub secs: u16,
    pub flags: u16,
    pub ciaddr: Ipv4Addr,
    pub giaddr: Ipv4Addr,
    pub options: Options,
}

impl Message {
    pub fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::TooShort);
        }
        if bytes[0] != 1 {
            return Err(Malformed::NotRequest);
        }
        let hlen = usize::from(bytes[2]);
        let hw =
            bytes.get(28..28 + hlen).and_then(|addr| HwAddr::new(bytes[1], addr)).ok_or(Malformed::HardwareAddressTooLong)?;
        let options = if bytes[HEADER_LEN..].starts_with(&MAGIC_COOKIE) { Options::read(bytes) } else { Options::default() };
        let kind = match options.get(code::MESSAGE_TYPE) {
            None => None,
            Some(&[kind]) => Some(match MessageType::from(kind) {
                MessageType::Unknown(_) => return Err(Malformed::UnknownType),
                kind @ (MessageType::Discover
                | MessageType::Request
                | MessageType::Decline
                | MessageType::Release
                | MessageType::Inform
                | MessageType::LeaseQuery) => kind,
                _ => return Err(Malformed::ServerMessage),
            }),
            Some(_) => return Err(Malformed::UnknownType),
        };
        // A LEASEQUERY by address or client-id has a zero hlen (RFC 4388 §6.1): it is about somebody else.
        if hlen == 0 && kind != Some(MessageType::LeaseQuery) && options.get(code::CLIENT_ID).is_none() {
            return Err(Malformed::NoIdentity);
        }
        Ok(Message {
            kind,
            hw,
            hops: bytes[3],
            xid: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            secs: u16::from_be_bytes([bytes[8], bytes[9]]),
            flags: u16::from_be_bytes([bytes[10], bytes[11]]),
            ciaddr: address(&bytes[12..16]).expect("four bytes"),
            giaddr: address(&bytes[24..28]).expect("four bytes"),
            options,
        })
    }

    pub fn wants_broadcast(&self) -> bool {
        self.flags & BROADCAST_FLAG != 0
    }

    pub fn is_relayed(&self) -> bool {
        !self.giaddr.is_unspecified()
    }

    /// §4.2: option 61, else htype and chaddr.
    pub fn client_id(&self) -> ClientId {
        match self.options.get(code::CLIENT_ID) {
            Some(id) => ClientId::Given(id.into()),
            None => ClientId::Hardware(self.hw),
        }
    }

    pub fn requested_address(&self) -> Option<Ipv4Addr> {
        self.options.address(code::REQUESTED_ADDRESS)
    }

    pub fn server_id(&self) -> Option<Ipv4Addr> {
        self.options.address(code::SERVER_ID)
    }

    pub fn requested_lease_secs(&self) -> Option<u32> {
        let bytes = self.options.get(code::LEASE_TIME)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Largest IP datagram that the client takes (option 57); below 576 counts as 576 (RFC 2132 §9.10).
    pub fn max_size(&self) -> Option<u16> {
        let bytes = self.options.get(code::MAX_SIZE)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?).max(576))
    }

    pub fn asks_for(&self, code: u8) -> bool {
        self.options.get(code::PARAMETER_LIST).is_some_and(|list| list.contains(&code))
    }

    /// A sub-option of 82, only where a relay has put its address into giaddr: without one, the option
    /// comes from the client itself and is not trusted.
    pub fn relay_option(&self, sub: u8) -> Option<&[u8]> {
        if !self.is_relayed() {
            return None;
        }
        let mut rest = self.options.get(code::RELAY_AGENT)?;
        while let [code, len, tail @ ..] = rest {
            let value = tail.get(..usize::from(*len))?;
            if *code == sub {
                return Some(value);
            }
            rest = &tail[value.len()..];
        }
        None
    }

    /// The name that the client gives itself, made safe to show: 81 beats 12 (RFC 4702 §3.1).
    pub fn host_name(&self) -> Option<Box<str>> {
        let fqdn = self.options.get(code::FQDN).and_then(name::fqdn_text);
        fqdn.or_else(|| self.options.get(code::HOST_NAME).and_then(name::printable))
    }

    /// Early Microsoft clients end text options with a NUL and want it back.
    pub fn mirrors_nul(&self) -> bool {
        self.options.get(code::HOST_NAME).is_some_and(|name| name.ends_with(&[0]))
    }

    /// Asked by a twinlease that looks for other servers, not by a device.
    pub fn is_probe(&self) -> bool {
        self.options.get(code::VENDOR_CLASS) == Some(PROBE_CLASS)
    }

    pub fn is_pxe(&self) -> bool {
        self.options.get(code::VENDOR_CLASS).is_some_and(|class| class.starts_with(b"PXEClient"))
    }
}

/// Options by code, repeated ones joined in order of appearance (RFC 3396 §7).
#[derive(Debug, Clone, Default)]
pub struct Options {
    bytes: Vec<u8>,
    /// code, start, end in `bytes`
    index: Vec<(u8, u16, u16)>,
    /// Codes whose length ran past the end of their field: lost, and said in the trace.
    pub damaged: Vec<u8>,
}

impl Options {
    /// Reads the options field, then `file`, then `sname` where option 52 says so (RFC 3396 §5).
    fn read(packet: &[u8]) -> Options {
        let mut pieces: Vec<(u8, usize, usize)> = Vec::with_capacity(16);
        let mut damaged = Vec::new();
        walk(packet, HEADER_LEN + MAGIC_COOKIE.len()..packet.len(), &mut pieces, &mut damaged);
        let overload =
            pieces.iter().find(|piece| piece.0 == code::OVERLOAD && piece.2 == piece.1 + 1).map_or(0, |piece| packet[piece.1]);
        if overload & 1 != 0 {
            walk(packet, FILE, &mut pieces, &mut damaged);
        }
        if overload & 2 != 0 {
            walk(packet, SNAME, &mut pieces, &mut damaged);
        }
        let mut options =
            Options { bytes: Vec::with_capacity(packet.len().min(2048)), index: Vec::with_capacity(pieces.len()), damaged };
        for (i, &(code, ..)) in pieces.iter().enumerate() {
            if pieces[..i].iter().any(|earlier| earlier.0 == code) {
                continue;
            }
            let start = options.bytes.len();
            for &(_, from, to) in pieces[i..].iter().filter(|piece| piece.0 == code) {
                options.bytes.extend_from_slice(&packet[from..to]);
            }
            let (Ok(start), Ok(end)) = (u16::try_from(start), u16::try_from(options.bytes.len())) else { break };
            options.index.push((code, start, end));
        }
        options
    }

    pub fn get(&self, code: u8) -> Option<&[u8]> {
        let &(_, start, end) = self.index.iter().find(|entry| entry.0 == code)?;
        // An empty option says nothing; only rapid commit (80) is meant to be empty.
        (end > start || code == code::RAPID_COMMIT).then(|| &self.bytes[usize::from(start)..usize::from(end)])
    }

    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.get(code).and_then(address)
    }
}

fn walk(packet: &[u8], field: std::ops::Range<usize>, pieces: &mut Vec<(u8, usize, usize)>, damaged: &mut Vec<u8>) {
    let mut at = field.start;
    while at < field.end && pieces.len() < MAX_OPTIONS {
        let code = packet[at];
        match code {
            0 => at += 1,
            255 => return,
            _ => {
                let Some(len) = packet[..field.end].get(at + 1) else {
                    damaged.push(code);
                    return;
                };
                let value = at + 2;
                let end = value + usize::from(*len);
                if end > field.end {
                    damaged.push(code);
                    return;
                }
                pieces.push((code, value, end));
                at = end;
            }
        }
    }
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}
