//! A client in the simulation: what it asks, and what it believes it holds.

use std::net::Ipv4Addr;

use crate::protocol::{Destination, Reply, dhcp::code, lease::HwAddr, time::Time};

pub const DISCOVER: u8 = 1;
pub const OFFER: u8 = 2;
pub const REQUEST: u8 = 3;
pub const DECLINE: u8 = 4;
pub const ACK: u8 = 5;
pub const NAK: u8 = 6;
pub const RELEASE: u8 = 7;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// A promise as the client heard it: the address is its own until then, counted from when the ACK arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub end: Time,
}

#[derive(Debug, Clone, Default)]
pub struct Device {
    pub mac: [u8; 6],
    pub id: Option<Vec<u8>>,
    /// Behind a relay with this address.
    pub giaddr: Option<Ipv4Addr>,
    /// Asks for rapid commit.
    pub hurries: bool,
    pub lease: Option<Lease>,
    /// Had last: asked for after a restart.
    pub remembered: Option<Ipv4Addr>,
    /// What was offered, and by whom.
    pub offered: Option<(Ipv4Addr, Ipv4Addr)>,
    /// The message that an answer is awaited for.
    pub xid: Option<u32>,
}

/// A packet as it lies on the wire.
#[derive(Debug, Clone)]
pub struct Packet {
    pub payload: Vec<u8>,
    pub source: Ipv4Addr,
    pub is_unicast: bool,
}

impl Device {
    pub fn hw(&self) -> HwAddr {
        HwAddr::ethernet(self.mac)
    }

    pub fn holds(&self, now: Time) -> Option<Lease> {
        self.lease.filter(|lease| now < lease.end)
    }

    pub fn packet(&self, kind: u8, xid: u32, ciaddr: Option<Ipv4Addr>, options: &[(u8, &[u8])]) -> Packet {
        let giaddr = self.giaddr.filter(|_| ciaddr.is_none());
        let mut payload = vec![1, 1, 6, 0];
        payload.extend(xid.to_be_bytes());
        payload.extend([0; 4]);
        payload.extend(ciaddr.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        payload.extend([0; 8]);
        payload.extend(giaddr.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        payload.extend(self.mac);
        payload.resize(236, 0);
        payload.extend(COOKIE);
        let id = self.id.as_deref().map(|id| (code::CLIENT_ID, id));
        for (code, value) in [(code::MESSAGE_TYPE, &[kind][..])].into_iter().chain(id).chain(options.iter().copied()) {
            payload.extend([code, value.len() as u8]);
            payload.extend(value);
        }
        payload.push(255);
        let source = giaddr.or(ciaddr).unwrap_or(Ipv4Addr::UNSPECIFIED);
        Packet { payload, source, is_unicast: ciaddr.is_some() || giaddr.is_some() }
    }

    /// An answer to what it asked last. Everything else is ignored, as RFC 2131 §4.4.1 wants it.
    pub fn hear(&mut self, now: Time, heard: &Heard) {
        if self.xid != Some(heard.xid) {
            return;
        }
        match heard.kind {
            OFFER => self.offered = heard.server.map(|server| (heard.address, server)),
            ACK => {
                self.lease = Some(Lease { address: heard.address, end: now + std::time::Duration::from_secs(heard.secs.into()) });
                self.remembered = Some(heard.address);
                (self.offered, self.xid) = (None, None);
            }
            NAK => (self.lease, self.remembered, self.offered, self.xid) = (None, None, None, None),
            _ => {}
        }
    }
}

/// What a client reads out of a reply.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    pub kind: u8,
    pub xid: u32,
    pub mac: [u8; 6],
    pub address: Ipv4Addr,
    pub server: Option<Ipv4Addr>,
    pub secs: u32,
}

impl Heard {
    /// `None`: no reply with a message type.
    pub fn read(reply: &Reply) -> Option<Heard> {
        let bytes = &reply.payload[..];
        let word = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).expect("four bytes");
        let mut heard = Heard {
            kind: 0,
            xid: u32::from_be_bytes(word(4)),
            mac: bytes[28..34].try_into().expect("six bytes"),
            address: word(16).into(),
            server: None,
            secs: 0,
        };
        let mut rest = &bytes[240..];
        while let [code, len, tail @ ..] = rest
            && *code != 255
        {
            let (value, behind) = tail.split_at(usize::from(*len));
            match (*code, value) {
                (code::MESSAGE_TYPE, [kind]) => heard.kind = *kind,
                (code::SERVER_ID, &[a, b, c, d]) => heard.server = Some([a, b, c, d].into()),
                (code::LEASE_TIME, &[a, b, c, d]) => heard.secs = u32::from_be_bytes([a, b, c, d]),
                _ => {}
            }
            rest = behind;
        }
        (heard.kind != 0).then_some(heard)
    }
}

/// For the printed history.
pub fn show(to: &Destination) -> String {
    match to {
        Destination::Relay(relay) => format!("relay {relay}"),
        Destination::Client(address) => address.to_string(),
        Destination::Broadcast => "broadcast".into(),
        Destination::Frame { .. } => "its frame".into(),
    }
}
