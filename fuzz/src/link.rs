//! Any bytes as what comes over the twin link, before and after a pairing: never a panic, and what is read says the
//! same when it is written again.

use std::{fmt::Debug, net::Ipv4Addr, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use twinlease::{
    protocol::failover::{Envelope, Rank},
    runtime::partner::{
        Identity, Record,
        beacon::{BEACON_BYTES_MAX, Beacon},
        desk::Desk,
        key::PublicKey,
        pairing::{Exchange, Hello, Introduction, NAME_CHARS_MAX, PROTOCOL, Proof, Refusal, Secret, Start, Started, own_rank},
    },
};

use super::paired;

/// Whether these bytes are anything that one twin says to the other.
pub fn is_said(bytes: &[u8]) -> bool {
    fn reads<T: DeserializeOwned>(bytes: &[u8]) -> bool {
        serde_json::from_slice::<T>(bytes).is_ok()
    }
    let talk = reads::<Vec<Envelope>>(bytes) || Beacon::decode(bytes).is_some() || reads::<Hello>(bytes);
    let pairing = reads::<Start>(bytes) || reads::<Started>(bytes) || reads::<Proof>(bytes) || reads::<Refusal>(bytes);
    talk || pairing || reads::<Introduction>(bytes) || reads::<Record>(bytes)
}

pub fn run(bytes: &[u8]) {
    if let Some(messages) = reads_again::<Vec<Envelope>>(bytes) {
        paired::hears(&messages);
    }
    if let Some(beacon) = Beacon::decode(bytes) {
        let encoded = beacon.encode();
        assert!(bytes.len() <= BEACON_BYTES_MAX && beacon.name.chars().count() <= NAME_CHARS_MAX);
        assert_eq!(Beacon::decode(&encoded), (encoded.len() <= BEACON_BYTES_MAX).then_some(beacon));
    }
    if let Some(hello) = reads_again::<Hello>(bytes) {
        match hello.common_version() {
            Ok(version) => assert!((PROTOCOL[0]..=PROTOCOL[1]).contains(&version) && version >= hello.protocol[0]),
            Err(refusal) => is_sentence(&refusal),
        }
    }
    if let Some(other) = reads_again::<Introduction>(bytes) {
        ranks_agree(&other);
    }
    reads_again::<Start>(bytes);
    if let Some(started) = reads_again::<Started>(bytes) {
        finishes(&started.share, bytes);
    }
    reads_again::<Proof>(bytes);
    reads_again::<Record>(bytes);
    if let Some(refusal) = reads_again::<Refusal>(bytes) {
        is_sentence(&refusal);
    }
    asked(bytes);
}

fn reads_again<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let message: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&message).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).as_ref().ok(), Some(&message));
    Some(message)
}

/// Of a stranger, so it must not tell the screen what to do.
fn is_sentence(refusal: &Refusal) {
    let words = refusal.to_string();
    assert!(words.len() > 20 && words.len() < 1000 && !words.chars().any(char::is_control), "{words:?}");
}

fn introduction() -> Introduction {
    Introduction {
        name: "attic".into(),
        serial: Some("100".into()),
        fixed_rank: None,
        has_leases: true,
        is_blank_first: false,
        link_port: 8067,
    }
}

/// Whatever the other says of itself, both come to the same.
fn ranks_agree(other: &Introduction) {
    let keys = [PublicKey::new([1; 32]), PublicKey::new([2; 32])];
    let own = introduction();
    let here = own_rank((&keys[0], &own), (&keys[1], other));
    let there = own_rank((&keys[1], other), (&keys[0], &own));
    match (here, there) {
        (Ok(here), Ok(there)) => assert_eq!(here, Rank::other(there)),
        (here, there) => assert_eq!(here, there),
    }
}

fn finishes(share: &str, said: &[u8]) {
    let keys = [PublicKey::new([1; 32]), PublicKey::new([2; 32])];
    let (exchange, _) = Exchange::initiate(&Secret::code("123456").expect("six digits"), &keys[0], &keys[1]);
    if let Err(refusal) = exchange.finish(share, [&keys[0], &keys[1]], said, said) {
        is_sentence(&refusal);
    }
}

/// A node that shows a code is asked with these bytes, as the beginning and as the proof.
fn asked(bytes: &[u8]) {
    thread_local! {
        static IDENTITY: Identity = Identity::generate(None);
    }
    let identity = IDENTITY.with(Clone::clone);
    let (now, peer) = (tokio::time::Instant::now(), PublicKey::new([3; 32]));
    // Nothing is ever agreed here, so nothing is ever written.
    let mut desk = Desk::new(identity, PathBuf::from("/nonexistent"), None, None);
    desk.show_code(now).expect("not paired");
    if let Err(refusal) = desk.start(now, peer, bytes) {
        is_sentence(&refusal);
    }
    let refusal =
        desk.confirm(now, (peer, Ipv4Addr::LOCALHOST.into()), &introduction(), bytes).expect_err("nobody knows the code");
    is_sentence(&refusal);
    assert!(desk.commit(peer).is_err() && !desk.is_paired());
}
