//! Requests as clients and relays put them together, byte by byte. Not our encoder: that one is on trial.

use std::net::Ipv4Addr;

pub type Mac = [u8; 6];

pub const DISCOVER: u8 = 1;
pub const OFFER: u8 = 2;
pub const REQUEST: u8 = 3;
pub const DECLINE: u8 = 4;
pub const ACK: u8 = 5;
pub const NAK: u8 = 6;
pub const RELEASE: u8 = 7;
pub const INFORM: u8 = 8;
pub const LEASE_QUERY: u8 = 10;

/// A datagram to port 67 and the way it comes in.
#[derive(Debug, Clone)]
pub struct Packet {
    pub op: u8,
    pub htype: u8,
    pub hlen: u8,
    pub hops: u8,
    pub xid: u32,
    pub secs: u16,
    pub flags: u16,
    pub ciaddr: Ipv4Addr,
    pub giaddr: Ipv4Addr,
    pub chaddr: [u8; 16],
    pub sname: Vec<u8>,
    pub file: Vec<u8>,
    /// `None`: neither cookie nor options.
    pub options: Option<Vec<u8>>,
    pub interface: u32,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
}

impl Packet {
    /// A BOOTP request without options.
    pub fn bare(mac: Mac) -> Packet {
        let mut chaddr = [0; 16];
        chaddr[..6].copy_from_slice(&mac);
        Packet {
            op: 1,
            htype: 1,
            hlen: 6,
            hops: 0,
            xid: 0x1234_5678,
            secs: 3,
            flags: 0,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            chaddr,
            sname: Vec::new(),
            file: Vec::new(),
            options: Some(Vec::new()),
            interface: 1,
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::BROADCAST,
        }
    }

    pub fn of(kind: u8, mac: Mac) -> Packet {
        Packet::bare(mac).option(53, &[kind])
    }

    pub fn discover(mac: Mac) -> Packet {
        Packet::of(DISCOVER, mac)
    }

    /// REQUEST that takes up the offer of `server`.
    pub fn select(mac: Mac, server: Ipv4Addr, address: Ipv4Addr) -> Packet {
        Packet::of(REQUEST, mac).option(54, &server.octets()).option(50, &address.octets())
    }

    pub fn reboot(mac: Mac, address: Ipv4Addr) -> Packet {
        Packet::of(REQUEST, mac).option(50, &address.octets())
    }

    /// By unicast.
    pub fn renew(mac: Mac, server: Ipv4Addr, address: Ipv4Addr) -> Packet {
        Packet::of(REQUEST, mac).ciaddr(address).from(address).to(server)
    }

    /// By broadcast.
    pub fn rebind(mac: Mac, address: Ipv4Addr) -> Packet {
        Packet::of(REQUEST, mac).ciaddr(address).from(address)
    }

    pub fn release(mac: Mac, server: Ipv4Addr, address: Ipv4Addr) -> Packet {
        Packet::of(RELEASE, mac).ciaddr(address).from(address).to(server).option(54, &server.octets())
    }

    pub fn decline(mac: Mac, server: Ipv4Addr, address: Ipv4Addr) -> Packet {
        Packet::of(DECLINE, mac).option(54, &server.octets()).option(50, &address.octets())
    }

    pub fn option(mut self, code: u8, value: &[u8]) -> Packet {
        let options = self.options.get_or_insert_default();
        options.extend_from_slice(&[code, u8::try_from(value.len()).expect("short enough for one option")]);
        options.extend_from_slice(value);
        self
    }

    /// Bytes as they are, behind the options so far.
    pub fn raw(mut self, bytes: &[u8]) -> Packet {
        self.options.get_or_insert_default().extend_from_slice(bytes);
        self
    }

    pub fn id(self, client_id: &[u8]) -> Packet {
        self.option(61, client_id)
    }

    pub fn wants(self, codes: &[u8]) -> Packet {
        self.option(55, codes)
    }

    pub fn ciaddr(self, ciaddr: Ipv4Addr) -> Packet {
        Packet { ciaddr, ..self }
    }

    pub fn broadcast_flag(self) -> Packet {
        Packet { flags: 0x8000, ..self }
    }

    pub fn from(self, source: Ipv4Addr) -> Packet {
        Packet { source, ..self }
    }

    pub fn to(self, destination: Ipv4Addr) -> Packet {
        Packet { destination, ..self }
    }

    pub fn on(self, interface: u32) -> Packet {
        Packet { interface, ..self }
    }

    /// By way of the relay with this address, sent on to `server`.
    pub fn relayed(self, giaddr: Ipv4Addr, server: Ipv4Addr) -> Packet {
        Packet { giaddr, hops: 1, source: giaddr, destination: server, ..self }
    }

    /// 53, where it comes first.
    pub fn kind(&self) -> Option<u8> {
        self.options.as_deref().and_then(|options| options.strip_prefix(&[53, 1])?.first().copied())
    }

    /// The address that a RELEASE or DECLINE is about.
    pub fn names(&self) -> Option<Ipv4Addr> {
        if !self.ciaddr.is_unspecified() {
            return Some(self.ciaddr);
        }
        let options = self.options.as_deref()?;
        let at = options.windows(2).position(|pair| pair == [50, 4])?;
        Some(<[u8; 4]>::try_from(&options[at + 2..at + 6]).ok()?.into())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.op, self.htype, self.hlen, self.hops];
        bytes.extend_from_slice(&self.xid.to_be_bytes());
        bytes.extend_from_slice(&self.secs.to_be_bytes());
        bytes.extend_from_slice(&self.flags.to_be_bytes());
        bytes.extend_from_slice(&self.ciaddr.octets());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&self.giaddr.octets());
        bytes.extend_from_slice(&self.chaddr);
        for (field, room) in [(&self.sname, 64), (&self.file, 128)] {
            let mut field = field.clone();
            field.resize(room, 0);
            bytes.extend_from_slice(&field);
        }
        if let Some(options) = &self.options {
            bytes.extend_from_slice(&[99, 130, 83, 99]);
            bytes.extend_from_slice(options);
            bytes.push(255);
        }
        bytes
    }
}
