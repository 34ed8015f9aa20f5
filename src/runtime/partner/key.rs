//! Who a node is on the link: an Ed25519 public key, known by its fingerprint.

use std::fmt;

use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};

/// What stands before the 32 bytes of every Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 §4).
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The public half of a node's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    pub fn new(raw: [u8; 32]) -> PublicKey {
        PublicKey(raw)
    }

    /// As it travels in the handshake (RFC 7250); `None`: a key of another kind.
    pub fn from_spki(spki: &[u8]) -> Option<PublicKey> {
        spki.strip_prefix(&ED25519_SPKI_PREFIX)?.try_into().ok().map(PublicKey)
    }

    pub fn spki(&self) -> Vec<u8> {
        [&ED25519_SPKI_PREFIX[..], &self.0].concat()
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = digest::digest(&digest::SHA256, &self.spki());
        Fingerprint(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex(&self.0))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<PublicKey, Self::Error> {
        let bytes = unhex(&text).ok_or("a public key is written in hexadecimal digits")?;
        bytes.try_into().map(PublicKey).map_err(|_| "a public key has 32 bytes")
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        hex(&key.0)
    }
}

/// A node's identity, as it is shown and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// As much as a beacon tells and a person can compare.
    pub fn prefix(&self) -> Prefix {
        Prefix(*self.0.first_chunk().expect("8 of 32"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The first bytes of a fingerprint: a hint, never a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix([u8; 8]);

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl TryFrom<String> for Prefix {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Prefix, Self::Error> {
        let bytes = unhex(&text).ok_or("a fingerprint is written in hexadecimal digits")?;
        bytes.try_into().map(Prefix).map_err(|_| "the first part of a fingerprint has 8 bytes")
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> String {
        prefix.to_string()
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

/// From the kernel.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the kernel gives random bytes once it has started");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_fingerprints_are_read_as_they_are_written() {
        let key = PublicKey([7; 32]);
        assert_eq!(PublicKey::from_spki(&key.spki()), Some(key));
        assert_eq!(PublicKey::try_from(String::from(key)), Ok(key));
        let prefix = key.fingerprint().prefix();
        assert_eq!(Prefix::try_from(String::from(prefix)), Ok(prefix));
        assert!(key.fingerprint().to_string().starts_with(&prefix.to_string()));
    }

    #[test]
    fn what_is_no_key_is_none() {
        let mut spki = PublicKey([7; 32]).spki();
        spki.push(0);
        assert_eq!(PublicKey::from_spki(&spki), None);
        spki.truncate(40);
        assert_eq!(PublicKey::from_spki(&spki), None);
        assert!(["", "0", "zz", "0123", "é"].iter().all(|text| PublicKey::try_from(text.to_string()).is_err()));
        assert!(Prefix::try_from("00".to_string()).is_err());
    }
}
