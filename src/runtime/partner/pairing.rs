//! How two nodes become twins: what they say, and what each may conclude from it.
//!
//! ```text
//!  initiator                                   responder
//!    │ ── start: SPAKE2 share ────────────────►  │  asks: is a code shown, do both have a pair key?
//!    │ ◄─ started: SPAKE2 share ──────────────── │
//!    │ ── proof: MAC, sealed introduction ────►  │  wrong → one of five tries is gone
//!    │ ◄─ proof: MAC, sealed introduction ────── │  `Proposed` is on its disk
//!  `Agreed` is on its disk: decided              │
//!    │ ── commit ─────────────────────────────►  │  `Paired` is on its disk
//!    │ ◄─ 200 ────────────────────────────────── │
//!  `Paired`
//! ```
//!
//! The code or the pair key is never sent, and nobody who listens or answers in between can try more than one guess per
//! exchange (SPAKE2, RFC 9382). The MACs cover both keys as TLS has proven them, and all that was said byte by byte: so
//! whoever sat in between would have been seen. What a node says of itself can be read with the exchange's key alone, so a
//! stranger who begins one learns neither its name nor its serial number. Order does not matter to safety: a node that is paired and blank answers
//! nobody before it has pulled from its twin, and the twin answers a pull only once it is paired too.

use ring::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    hkdf, hmac,
};
use serde::{Deserialize, Serialize};
use spake2::{Ed25519Group, Identity as Side, Password, Spake2};

use super::key::{PublicKey, hex, unhex};
pub use super::refusal::Refusal;
use crate::protocol::failover::Rank;

/// Spoken here, the lowest and the highest. A pair is updated one node at a time, and this version and the one before it
/// understand each other; but not where the settings have a kind of record that the older one does not know. It would be lost on
/// its way, and the two would never agree: then both ends are raised, each goes on alone, and says which one to update.
pub const PROTOCOL: [u32; 2] = [2, 3];
/// Since which both introductions are sealed. Before, a pairing was said otherwise.
const PAIRING: u32 = 3;
pub const CODE_DIGITS: usize = 6;
/// A pair key guards every automatic pairing for as long as it stands in the file.
pub const PAIR_KEY_CHARS_MIN: usize = 12;
/// What a person may name a node, and what is taken from others.
pub const NAME_CHARS_MAX: usize = 64;
const SHARE_BYTES: usize = 33;

/// The answer to the first question, before anything else is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The lowest and the highest version that is spoken.
    pub protocol: [u32; 2],
    pub software: String,
    /// Random, new at each start: who hears its own has called itself.
    pub session: u64,
    pub paired: bool,
}

impl Hello {
    /// The version to speak with the one who has sent this.
    pub fn common_version(&self) -> Result<u32, Refusal> {
        let version = self.protocol[1].min(PROTOCOL[1]);
        if version < self.protocol[0].max(PROTOCOL[0]) {
            return Err(Refusal::Version { theirs: self.protocol, software: clean(&self.software) });
        }
        Ok(version)
    }

    /// It is understood here, and so is how it pairs.
    pub fn check_pairing(&self) -> Result<(), Refusal> {
        if self.common_version()? < PAIRING {
            return Err(Refusal::Version { theirs: self.protocol, software: clean(&self.software) });
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Six digits, shown by one and typed on the other.
    Code,
    /// The same words in both settings files.
    PairKey,
}

/// What both know and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub method: Method,
    words: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Secret {
    /// As a person types it: spaces and dashes do not count.
    pub fn code(typed: &str) -> Result<Secret, String> {
        let digits: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if digits.len() != CODE_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(format!("A pairing code has {CODE_DIGITS} digits. Type the one that the other node shows."));
        }
        Ok(Secret { method: Method::Code, words: digits.into_bytes() })
    }

    pub fn pair_key(words: &str) -> Result<Secret, String> {
        let words = words.trim();
        if words.chars().count() < PAIR_KEY_CHARS_MIN {
            return Err(format!(
                "The pair key is too short: whoever guesses it becomes the twin. Use at least {PAIR_KEY_CHARS_MIN} characters, the same on both."
            ));
        }
        Ok(Secret { method: Method::PairKey, words: words.as_bytes().to_vec() })
    }
}

/// What a node says of itself to one who knows the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    pub name: String,
    pub serial: Option<String>,
    /// The rank that it had with an earlier twin, and keeps.
    pub fixed_rank: Option<Rank>,
    /// It has given addresses to devices.
    pub has_leases: bool,
    /// It has never had a lease nor a twin.
    pub is_blank_first: bool,
    /// Where its link listens.
    pub link_port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub method: Method,
    pub share: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub share: String,
}

/// Made with the exchange's key: that its sender knows the secret, and who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Of `introduction` as it stands here, and of all that was said before.
    pub mac: String,
    /// An [`Introduction`], encrypted.
    pub introduction: String,
}

/// What two that may pair have in common; the same at both, as both know the same.
pub fn own_rank(own: (&PublicKey, &Introduction), other: (&PublicKey, &Introduction)) -> Result<Rank, Refusal> {
    let ((own_key, own), (other_key, other)) = (own, other);
    if own_key == other_key {
        return Err(Refusal::SameIdentity);
    }
    if own.has_leases && other.has_leases {
        return Err(Refusal::BothHaveLeases);
    }
    match (own.fixed_rank, other.fixed_rank) {
        (Some(rank), Some(same)) if rank == same => Err(Refusal::BothHaveRank { rank }),
        (Some(rank), _) => Ok(rank),
        (None, Some(theirs)) => Ok(theirs.other()),
        (None, None) => {
            // Without two different serials, fingerprints decide.
            let serials = own.serial.as_ref().zip(other.serial.as_ref()).map(|(own, other)| own.cmp(other));
            let order = serials.filter(|order| order.is_ne());
            let order = order.unwrap_or_else(|| own_key.fingerprint().cmp(&other_key.fingerprint()));
            Ok(if order.is_lt() { Rank::First } else { Rank::Second })
        }
    }
}

/// Whether this one joins the other: then the other one's password counts on both. Exactly one of the two does. One that has
/// had a twin or devices is there already; else it is the one where the code of the other was typed.
pub fn joins(method: Method, role: Role, own: &Introduction, other: &Introduction, own_rank: Rank) -> bool {
    let is_settled = |one: &Introduction| one.has_leases || !one.is_blank_first;
    match (is_settled(own), is_settled(other)) {
        (true, false) => false,
        (false, true) => true,
        (true, true) | (false, false) => match method {
            Method::Code => matches!(role, Role::Initiator),
            Method::PairKey => own_rank == Rank::Second,
        },
    }
}

/// One side of an exchange, until the other's share is there.
pub struct Exchange(Spake2<Ed25519Group>);

impl Exchange {
    pub fn initiate(secret: &Secret, initiator: &PublicKey, responder: &PublicKey) -> (Exchange, String) {
        let (state, share) = Spake2::start_a(&password(secret), &side(initiator), &side(responder));
        (Exchange(state), hex(&share))
    }

    pub fn respond(secret: &Secret, initiator: &PublicKey, responder: &PublicKey) -> (Exchange, String) {
        let (state, share) = Spake2::start_b(&password(secret), &side(initiator), &side(responder));
        (Exchange(state), hex(&share))
    }

    /// `start` and `started` are the very bytes that were sent and received.
    pub fn finish(self, share: &str, parties: [&PublicKey; 2], start: &[u8], started: &[u8]) -> Result<Seal, Refusal> {
        let garbage = || Refusal::Garbage { why: "the share is no point of the curve".into() };
        let share = unhex(share).filter(|share| share.len() == SHARE_BYTES).ok_or_else(garbage)?;
        let key = self.0.finish(&share).map_err(|_| garbage())?;
        let mut transcript = Vec::new();
        for part in [b"twinlease pairing 2", &parties[0].spki()[..], &parties[1].spki(), start, started] {
            transcript.extend_from_slice(&(part.len() as u64).to_be_bytes());
            transcript.extend_from_slice(part);
        }
        Ok(Seal(hkdf::Salt::new(hkdf::HKDF_SHA256, &transcript).extract(&key)))
    }
}

/// What only the two can make and open who know the secret and have said the same.
pub struct Seal(hkdf::Prk);

#[derive(Debug, Clone, Copy)]
pub enum Role {
    Initiator,
    Responder,
}

impl Role {
    fn label(self) -> &'static [u8] {
        match self {
            Role::Initiator => b"initiator",
            Role::Responder => b"responder",
        }
    }
}

impl Seal {
    /// To be made once for each side of an exchange: its keys are good for one message.
    pub fn prove(&self, role: Role, own: &Introduction) -> Result<Proof, Refusal> {
        let mut bytes = serde_json::to_vec(own).map_err(|error| Refusal::Garbage { why: error.to_string() })?;
        let failed = |_| Refusal::Garbage { why: "what this node says of itself cannot be sealed".into() };
        let key = self.cipher(role).map_err(failed)?;
        key.seal_in_place_append_tag(only_nonce(), Aad::empty(), &mut bytes).map_err(failed)?;
        let mac = hmac::sign(&self.authenticator(role).map_err(failed)?, &bytes);
        Ok(Proof { mac: hex(mac.as_ref()), introduction: hex(&bytes) })
    }

    /// Constant time.
    pub fn is_proof(&self, role: Role, proof: &Proof) -> bool {
        let (Some(mac), Some(sealed), Ok(key)) = (unhex(&proof.mac), unhex(&proof.introduction), self.authenticator(role)) else {
            return false;
        };
        hmac::verify(&key, &sealed, &mac).is_ok()
    }

    /// Who has made this proof.
    pub fn open(&self, role: Role, proof: &Proof) -> Result<Introduction, Refusal> {
        let unreadable = || Refusal::Garbage { why: "what the other node says of itself cannot be read".into() };
        let mut sealed = unhex(&proof.introduction).ok_or_else(unreadable)?;
        let key = self.cipher(role).map_err(|_| unreadable())?;
        let bytes = key.open_in_place(only_nonce(), Aad::empty(), &mut sealed).map_err(|_| unreadable())?;
        serde_json::from_slice(bytes).map_err(|error| Refusal::Garbage { why: error.to_string() })
    }

    fn authenticator(&self, role: Role) -> Result<hmac::Key, Unspecified> {
        Ok(self.0.expand(&[b"mac ", role.label()], hmac::HMAC_SHA256)?.into())
    }

    fn cipher(&self, role: Role) -> Result<LessSafeKey, Unspecified> {
        let key: UnboundKey = self.0.expand(&[b"introduction ", role.label()], &aead::CHACHA20_POLY1305)?.into();
        Ok(LessSafeKey::new(key))
    }
}

/// Each key encrypts one message.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

fn password(secret: &Secret) -> Password {
    let label: &[u8] = match secret.method {
        Method::Code => b"code:",
        Method::PairKey => b"pair-key:",
    };
    Password::new([label, &secret.words].concat())
}

fn side(key: &PublicKey) -> Side {
    Side::new(&key.spki())
}

/// Words of another node, fit for a screen and a log.
pub fn clean(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::new([byte; 32])
    }

    fn introduction(serial: Option<&str>, fixed_rank: Option<Rank>, has_leases: bool) -> Introduction {
        Introduction {
            name: "n".into(),
            serial: serial.map(str::to_owned),
            fixed_rank,
            has_leases,
            is_blank_first: !has_leases,
            link_port: 8067,
        }
    }

    #[test]
    fn the_ranks_of_two_are_never_the_same() {
        let ranks = [None, Some(Rank::First), Some(Rank::Second)];
        let serials = [None, Some("100"), Some("200")];
        for (own_rank_before, other_rank) in ranks.iter().flat_map(|a| ranks.iter().map(move |b| (*a, *b))) {
            for (own_serial, other_serial) in serials.iter().flat_map(|a| serials.iter().map(move |b| (*a, *b))) {
                let own = introduction(own_serial, own_rank_before, false);
                let other = introduction(other_serial, other_rank, true);
                let here = own_rank((&key(1), &own), (&key(2), &other));
                let there = own_rank((&key(2), &other), (&key(1), &own));
                match (here, there) {
                    (Ok(here), Ok(there)) => {
                        assert_eq!(here, there.other());
                        assert!(own_rank_before.is_none_or(|rank| rank == here) && other_rank.is_none_or(|rank| rank == there));
                    }
                    (here, there) => {
                        assert_eq!((&here, own_rank_before), (&there, other_rank));
                        assert!(matches!(here, Err(Refusal::BothHaveRank { .. })));
                    }
                }
            }
        }
    }

    #[test]
    fn one_of_two_joins_the_other_and_never_one_that_devices_know() {
        let kinds = [(false, true), (true, false), (false, false)];
        let introductions =
            kinds.map(|(has_leases, is_blank_first)| Introduction { is_blank_first, ..introduction(None, None, has_leases) });
        for method in [Method::Code, Method::PairKey] {
            for (here, there) in introductions.iter().flat_map(|here| introductions.iter().map(move |there| (here, there))) {
                for rank in [Rank::First, Rank::Second] {
                    let initiator = joins(method, Role::Initiator, here, there, rank);
                    let responder = joins(method, Role::Responder, there, here, rank.other());
                    assert!(initiator != responder, "{method:?} {here:?} {there:?}");
                    if here.has_leases && there.is_blank_first {
                        assert!(!initiator);
                    }
                }
            }
        }
        let [blank, ..] = &introductions;
        assert!(joins(Method::Code, Role::Initiator, blank, blank, Rank::First), "where the code was typed");
    }

    #[test]
    fn the_lower_serial_is_first() {
        let (low, high) = (introduction(Some("100"), None, false), introduction(Some("200"), None, false));
        assert_eq!(own_rank((&key(2), &low), (&key(1), &high)), Ok(Rank::First));
        assert_eq!(own_rank((&key(1), &high), (&key(2), &low)), Ok(Rank::Second));
    }

    #[test]
    fn two_with_leases_and_two_with_one_key_are_refused() {
        let (own, other) = (introduction(None, None, true), introduction(None, None, true));
        assert_eq!(own_rank((&key(1), &own), (&key(2), &other)), Err(Refusal::BothHaveLeases));
        assert_eq!(own_rank((&key(1), &own), (&key(1), &other)), Err(Refusal::SameIdentity));
    }

    /// Both seals, where the responder sees what `tamper` makes of the start.
    fn exchange(words: [&str; 2], tamper: fn(&mut Vec<u8>)) -> (Seal, Seal) {
        let secrets = words.map(|words| Secret::code(words).expect("six digits"));
        let (initiator, share_a) = Exchange::initiate(&secrets[0], &key(1), &key(2));
        let (responder, share_b) = Exchange::respond(&secrets[1], &key(1), &key(2));
        let start = b"start".to_vec();
        let mut heard = start.clone();
        tamper(&mut heard);
        let here = initiator.finish(&share_b, [&key(1), &key(2)], &start, b"started").expect("a share");
        let there = responder.finish(&share_a, [&key(1), &key(2)], &heard, b"started").expect("a share");
        (here, there)
    }

    #[test]
    fn only_the_same_code_and_the_same_words_make_the_same_seal() {
        let own = introduction(Some("100"), None, false);
        let prove = |seal: &Seal, role| seal.prove(role, &own).expect("sealed");
        let (here, there) = exchange(["123456", "123 456"], |_| {});
        let proof = prove(&here, Role::Initiator);
        assert!(there.is_proof(Role::Initiator, &proof));
        assert_eq!(there.open(Role::Initiator, &proof), Ok(own.clone()));
        assert!(here.is_proof(Role::Responder, &prove(&there, Role::Responder)));
        assert!(!here.is_proof(Role::Responder, &proof), "no side can send back what it has heard");
        assert!(here.open(Role::Responder, &proof).is_err());
        let (here, there) = exchange(["123456", "123457"], |_| {});
        let proof = prove(&here, Role::Initiator);
        assert!(!there.is_proof(Role::Initiator, &proof) && there.open(Role::Initiator, &proof).is_err());
        let (here, there) = exchange(["123456", "123456"], |heard| heard[0] ^= 1);
        assert!(!there.is_proof(Role::Initiator, &prove(&here, Role::Initiator)));
    }

    #[test]
    fn an_introduction_is_read_by_nobody_else_and_as_it_was_sent() {
        let (here, there) = exchange(["123456", "123456"], |_| {});
        let own = introduction(Some("100"), None, false);
        let proof = here.prove(Role::Initiator, &own).expect("sealed");
        let sealed = unhex(&proof.introduction).expect("hex");
        let plain = serde_json::to_vec(&own).expect("json");
        assert!(!sealed.windows(8).any(|part| plain.windows(8).any(|words| words == part)), "nothing of it is in the clear");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let changed = Proof { introduction: hex(&changed), ..proof.clone() };
            assert!(!there.is_proof(Role::Initiator, &changed) && there.open(Role::Initiator, &changed).is_err());
        }
        let without = Proof { introduction: String::new(), ..proof };
        assert!(!there.is_proof(Role::Initiator, &without) && there.open(Role::Initiator, &without).is_err());
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        let secret = Secret::code("123456").expect("six digits");
        for share in ["", "00", "zz", &"00".repeat(33), &"ff".repeat(34)] {
            let (exchange, _) = Exchange::respond(&secret, &key(1), &key(2));
            assert!(exchange.finish(share, [&key(1), &key(2)], b"", b"").is_err(), "{share}");
        }
    }

    #[test]
    fn codes_and_pair_keys_are_read_as_people_write_them() {
        assert_eq!(Secret::code("123-456"), Secret::code(" 123 456 "));
        assert!(["", "12345", "1234567", "12345a", "１２３４５６"].iter().all(|typed| Secret::code(typed).is_err()));
        assert!(Secret::pair_key("too short").is_err());
        assert_eq!(Secret::pair_key("correct horse battery\n"), Secret::pair_key("correct horse battery"));
    }

    /// A new kind of setting does not compile here: raise both ends of `PROTOCOL`, then name it with the version that it came with.
    #[test]
    fn every_kind_of_setting_is_known_to_all_who_speak_with_this_one() {
        use crate::settings::{Record, Settings};
        let since = |record: &Record| match record {
            Record::Server(_)
            | Record::Lease(_)
            | Record::Twin(_)
            | Record::Options(_)
            | Record::CustomOptions(_)
            | Record::Subnet(_)
            | Record::Reservation(_) => 1,
            Record::Access(_) | Record::Alerts(_) => 2,
        };
        let newest = Settings::default().records().iter().map(since).max();
        assert!(newest.is_some_and(|newest| newest <= PROTOCOL[0]));
    }

    #[test]
    fn versions_meet_or_are_refused() {
        let hello = |protocol| Hello { protocol, software: "9".into(), session: 1, paired: false };
        let [low, high] = PROTOCOL;
        assert_eq!(hello([low, high + 2]).common_version(), Ok(high));
        assert_eq!(hello([low - 1, low]).common_version(), Ok(low));
        assert_eq!(hello([low, high]).check_pairing(), Ok(()));
        let refused = hello([low, PAIRING - 1]).check_pairing().expect_err("pairs otherwise").to_string();
        assert!(refused.ends_with("Update the other one."), "{refused}");
        let refused = hello([high + 1, high + 2]).common_version().expect_err("too new").to_string();
        let versions = format!("version {} to {}", high + 1, high + 2);
        assert!(refused.contains(&versions) && refused.ends_with("Update this one."), "{refused}");
        let refused = hello([low - 1, low - 1]).common_version().expect_err("too old").to_string();
        assert!(refused.ends_with("Update the other one."), "{refused}");
    }
}
