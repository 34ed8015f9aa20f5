//! The few bytes by which a node says on its network that it is there. Signed by nobody, so it is a hint where to call.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{
    facts::Found,
    key::Prefix,
    pairing::{NAME_CHARS_MAX, clean},
};

const MAGIC: &[u8] = b"TWINLEASE ";
/// Longer ones come from somebody else.
pub const BEACON_BYTES_MAX: usize = 512;
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beacon {
    version: u32,
    pub id: Prefix,
    /// Random, new at each start: who hears its own id with another session has been copied.
    pub session: u64,
    pub port: u16,
    pub name: String,
    pub paired: bool,
    /// Wants to hear the others at once.
    #[serde(default)]
    pub asks: bool,
}

impl Beacon {
    pub fn new(id: Prefix, session: u64, port: u16, name: &str, paired: bool) -> Beacon {
        let name = name.chars().take(NAME_CHARS_MAX).collect();
        Beacon { version: VERSION, id, session, port, name, paired, asks: false }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(serde_json::to_vec(self).expect("words and numbers"));
        bytes
    }

    /// `None`: not one of ours. A later version may say more, never less.
    pub fn decode(bytes: &[u8]) -> Option<Beacon> {
        if bytes.len() > BEACON_BYTES_MAX {
            return None;
        }
        let beacon: Beacon = serde_json::from_slice(bytes.strip_prefix(MAGIC)?).ok()?;
        (beacon.version >= VERSION && beacon.port != 0).then(|| Beacon { name: clean(&beacon.name), ..beacon })
    }

    pub fn found_at(&self, from: SocketAddr) -> Found {
        let address = SocketAddr::new(from.ip(), self.port);
        Found { id: self.id, name: self.name.clone(), address, paired: self.paired }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::partner::key::PublicKey;

    #[test]
    fn a_beacon_is_read_as_it_was_sent_and_always_fits() {
        let id = PublicKey::new([5; 32]).fingerprint().prefix();
        for name in ["attic", &"é".repeat(100), ""] {
            let beacon = Beacon::new(id, u64::MAX, 8067, name, true);
            let bytes = beacon.encode();
            assert_eq!(Beacon::decode(&bytes), Some(beacon));
            for cut in 0..bytes.len() {
                assert_eq!(Beacon::decode(&bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn a_name_with_control_characters_reaches_no_screen() {
        let id = PublicKey::new([5; 32]).fingerprint().prefix();
        let beacon = Beacon::new(id, 1, 8067, "a\u{1b}[31mb\n", false);
        assert_eq!(Beacon::decode(&beacon.encode()).expect("a beacon").name, "a[31mb");
    }

    #[test]
    fn what_says_no_port_or_an_older_version_is_none() {
        let id = PublicKey::new([5; 32]).fingerprint().prefix();
        let text = String::from_utf8(Beacon::new(id, 1, 8067, "a", false).encode()).expect("text");
        for (from, to) in [("8067", "0"), ("8067", "80670"), ("\"version\":1", "\"version\":0"), ("TWIN", "LOOK")] {
            assert_eq!(Beacon::decode(text.replace(from, to).as_bytes()), None, "{to}");
        }
        assert!(Beacon::decode(text.replace("\"version\":1", "\"version\":2,\"more\":[]").as_bytes()).is_some());
        assert_eq!(Beacon::decode(&[text.as_bytes(), &[b' '; 512]].concat()), None);
    }
}
