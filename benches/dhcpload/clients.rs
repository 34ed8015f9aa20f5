//! The clients of a run: a MAC is a function of an index, and what each was given is remembered, also between runs in a state file.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::packet::Mac;

/// Odd, so multiplication by it can be undone; it spreads neighbouring indexes far apart, as the MACs of real devices are.
const SCATTER: u32 = 0x9E37_79B1;
const GATHER: u32 = inverse(SCATTER);
const STATE_MAGIC: &[u8; 8] = b"dhcpld01";

#[derive(Clone, Copy, Default)]
pub struct Lease {
    pub address: u32,
    /// Unix seconds; 0 for a client that never got an ACK.
    pub expires_secs: u32,
}

/// The server as the clients saw it, needed to renew by unicast.
#[derive(Clone, Copy, Default)]
pub struct ServerSeen {
    pub address: u32,
    pub mac: Mac,
}

pub struct Clients {
    mac_space: u8,
    leases: Vec<Lease>,
    /// Address → index of the client that was ACKed last.
    owners: HashMap<u32, u32, BuildHasherDefault<AddressHasher>>,
    pub server: ServerSeen,
}

impl Clients {
    pub fn new(mac_space: u8) -> Self {
        Self { mac_space, leases: Vec::new(), owners: HashMap::default(), server: ServerSeen::default() }
    }

    /// Continues with the clients of an earlier run if `path` exists.
    pub fn load_or_new(path: Option<&Path>, mac_space: u8) -> anyhow::Result<Self> {
        let mut clients = Self::new(mac_space);
        let Some(path) = path.filter(|path| path.exists()) else { return Ok(clients) };
        let bytes = std::fs::read(path).with_context(|| format!("state file {}: cannot be read", path.display()))?;
        let wrong = || format!("state file {}: not written by this version of dhcpload; delete it", path.display());
        ensure!(bytes.len() >= 20 && &bytes[..8] == STATE_MAGIC && bytes[18] == mac_space, wrong());
        let (entries, rest) = bytes[20..].as_chunks::<8>();
        ensure!(rest.is_empty(), wrong());
        let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        clients.server = ServerSeen { address: word(&bytes, 8), mac: bytes[12..18].try_into().expect("six bytes") };
        for (index, entry) in entries.iter().enumerate() {
            let lease = Lease { address: word(entry, 0), expires_secs: word(entry, 4) };
            if lease.expires_secs != 0 {
                clients.owners.insert(lease.address, index as u32);
            }
            clients.leases.push(lease);
        }
        Ok(clients)
    }

    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let mut bytes = Vec::with_capacity(20 + self.leases.len() * 8);
        bytes.extend_from_slice(STATE_MAGIC);
        bytes.extend_from_slice(&self.server.address.to_le_bytes());
        bytes.extend_from_slice(&self.server.mac);
        bytes.extend_from_slice(&[self.mac_space, 0]);
        for lease in &self.leases {
            bytes.extend_from_slice(&lease.address.to_le_bytes());
            bytes.extend_from_slice(&lease.expires_secs.to_le_bytes());
        }
        std::fs::write(path, bytes).with_context(|| format!("state file {}: cannot be written", path.display()))
    }

    /// The first index that no run has used yet.
    pub fn next_index(&self) -> u32 {
        self.leases.len() as u32
    }

    pub fn lease(&self, index: u32) -> Option<Lease> {
        self.leases.get(index as usize).copied().filter(|lease| lease.expires_secs != 0)
    }

    /// Makes sure that `index` counts as used, so that a later run starts behind it.
    pub fn reserve(&mut self, index: u32) {
        if self.leases.len() <= index as usize {
            self.leases.resize(index as usize + 1, Lease::default());
        }
    }

    pub fn active(&self, now_secs: u32) -> u64 {
        self.leases.iter().filter(|lease| lease.expires_secs > now_secs).count() as u64
    }

    /// Notes an ACK. Returns the index of another client that still holds the same address: the one thing a server must never do.
    pub fn acked(&mut self, index: u32, address: Ipv4Addr, now_secs: u32, lease_secs: u32) -> Option<u32> {
        self.reserve(index);
        let address = u32::from(address);
        let before = self.owners.insert(address, index).filter(|before| *before != index);
        let rival = before.filter(|before| {
            let lease = self.leases[*before as usize];
            lease.address == address && lease.expires_secs > now_secs
        });
        self.leases[index as usize] = Lease { address, expires_secs: now_secs.saturating_add(lease_secs.max(1)) };
        rival
    }

    pub fn owner_of(&self, address: Ipv4Addr) -> Option<u32> {
        self.owners.get(&u32::from(address)).copied()
    }

    pub fn mac(&self, index: u32) -> Mac {
        let [a, b, c, d] = index.wrapping_mul(SCATTER).to_be_bytes();
        [0x02, self.mac_space, a, b, c, d]
    }

    pub fn index(&self, mac: Mac) -> Option<u32> {
        let [first, space, a, b, c, d] = mac;
        let index = u32::from_be_bytes([a, b, c, d]).wrapping_mul(GATHER);
        (first == 0x02 && space == self.mac_space).then_some(index)
    }
}

/// Addresses are spread enough by one multiplication; the default hasher would cost more than the packet.
#[derive(Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.0 = (self.0 ^ u64::from(value)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(20);
    }
}

/// Newton's iteration for the inverse modulo 2^32; five rounds are exact.
const fn inverse(odd: u32) -> u32 {
    let mut found = odd;
    let mut round = 0;
    while round < 5 {
        found = found.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(found)));
        round += 1;
    }
    found
}
