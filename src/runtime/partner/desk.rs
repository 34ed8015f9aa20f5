//! The responder's side of a pairing, and all that is kept of one: codes and their tries, and the record on disk.
//! Has no clock of its own and no socket.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    identity::Identity,
    key::{PublicKey, random},
    pairing::{
        CODE_DIGITS, Exchange, Introduction, Method, Proof, Refusal, Role, Seal, Secret, Start, Started, clean, joins, own_rank,
    },
    record::{self, Record, Step},
};
use crate::protocol::failover::Rank;

/// Time to walk from one node to the other.
pub const CODE_LIFE: Duration = Duration::from_secs(600);
pub const TRIES: u32 = 5;
/// Before a new code is accepted after five wrong tries: some 90 guesses at a million codes while one is shown.
const CODE_PAUSE: Duration = Duration::from_secs(30);
/// Between two wrong pair keys, from whomever.
const KEY_PAUSE: Duration = Duration::from_millis(500);
/// Begun and not ended; the oldest goes. A start proves nothing, so it must cost little.
const EXCHANGES_MAX: usize = 4;
const EXCHANGE_LIFE: Duration = Duration::from_secs(15);

pub struct Desk {
    identity: Identity,
    data: PathBuf,
    record: Option<Record>,
    pair_key: Option<Secret>,
    code: Option<Code>,
    pauses: Pauses,
    exchanges: HashMap<PublicKey, Open>,
}

/// Shown to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub digits: String,
    pub until: Instant,
    pub tries_left: u32,
}

/// Until when no guess is taken, for each kind of secret: guesses at the pair key do not keep out who types a code.
#[derive(Default)]
struct Pauses {
    code: Option<Instant>,
    pair_key: Option<Instant>,
}

impl Pauses {
    fn of(&mut self, method: Method) -> &mut Option<Instant> {
        match method {
            Method::Code => &mut self.code,
            Method::PairKey => &mut self.pair_key,
        }
    }

    /// What is left of one.
    fn left(&mut self, method: Method, now: Instant) -> Option<Duration> {
        self.of(method).filter(|until| now < *until).map(|until| until - now)
    }
}

struct Open {
    method: Method,
    since: Instant,
    seal: Seal,
}

impl Desk {
    pub fn new(identity: Identity, data: PathBuf, record: Option<Record>, pair_key: Option<Secret>) -> Desk {
        Desk { identity, data, record, pair_key, code: None, pauses: Pauses::default(), exchanges: HashMap::new() }
    }

    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The twin that counts now.
    pub fn paired(&self) -> Option<&Record> {
        self.record.as_ref().and_then(Record::in_force)
    }

    pub fn is_paired(&self) -> bool {
        self.paired().is_some()
    }

    pub fn pair_key(&self) -> Option<&Secret> {
        self.pair_key.as_ref()
    }

    pub fn code(&self, now: Instant) -> Option<&Code> {
        self.code.as_ref().filter(|code| now < code.until)
    }

    /// A new one; the one before is void.
    pub fn show_code(&mut self, now: Instant) -> Result<Code, String> {
        if self.is_paired() {
            return Err("This node already has a twin. Unpair first (`twinlease twin unpair`), or replace a dead one (`twinlease twin replace`).".into());
        }
        let number = u32::from_be_bytes(random()) % 10_u32.pow(CODE_DIGITS as u32);
        let code = Code { digits: format!("{number:0width$}", width = CODE_DIGITS), until: now + CODE_LIFE, tries_left: TRIES };
        self.code = Some(code.clone());
        // Those that were begun with the code before are void with it.
        self.exchanges.clear();
        Ok(code)
    }

    pub fn hide_code(&mut self) {
        self.code = None;
        self.exchanges.clear();
    }

    /// Answers the very bytes that both sides put under their seal.
    pub fn start(&mut self, now: Instant, peer: PublicKey, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let start: Start = serde_json::from_slice(body).map_err(|error| Refusal::Garbage { why: error.to_string() })?;
        if self.is_paired() {
            return Err(Refusal::HasTwin);
        }
        if let Some(left) = self.pauses.left(start.method, now) {
            return Err(Refusal::TooFast { wait_secs: left.as_secs() + 1 });
        }
        let secret = match start.method {
            Method::Code => {
                let code = self.code(now).ok_or(Refusal::NoCode)?;
                Secret::code(&code.digits).map_err(|why| Refusal::Garbage { why })?
            }
            Method::PairKey => self.pair_key.clone().ok_or(Refusal::OtherPair)?,
        };
        let (exchange, share) = Exchange::respond(&secret, &peer, &self.identity.key);
        let started = Started { share };
        let answer = serde_json::to_vec(&started).map_err(|error| Refusal::Garbage { why: error.to_string() })?;
        let seal = exchange.finish(&start.share, [&peer, &self.identity.key], body, &answer)?;
        self.exchanges.retain(|_, open| now < open.since + EXCHANGE_LIFE);
        if self.exchanges.len() >= EXCHANGES_MAX
            && !self.exchanges.contains_key(&peer)
            && let Some(oldest) = self.exchanges.iter().min_by_key(|(_, open)| open.since).map(|(key, _)| *key)
        {
            self.exchanges.remove(&oldest);
        }
        self.exchanges.insert(peer, Open { method: start.method, since: now, seal });
        Ok(answer)
    }

    /// The other knows the secret, or a try is gone. Afterwards this node has said yes, on its disk, and who it is.
    pub fn confirm(
        &mut self,
        now: Instant,
        (peer, from): (PublicKey, IpAddr),
        own: &Introduction,
        body: &[u8],
    ) -> Result<Proof, Refusal> {
        let confirm: Proof = serde_json::from_slice(body).map_err(|error| Refusal::Garbage { why: error.to_string() })?;
        // Wrong or right: each exchange is good for one guess.
        let Some(open) = self.exchanges.remove(&peer).filter(|open| now < open.since + EXCHANGE_LIFE) else {
            return Err(Refusal::Garbage { why: "this exchange was not begun, or took too long".into() });
        };
        if self.pauses.left(open.method, now).is_some() {
            return Err(Refusal::Busy);
        }
        if !open.seal.is_proof(Role::Initiator, &confirm) {
            return Err(self.wrong(now, open.method));
        }
        match &self.record {
            Some(record) if record.step == Step::Paired => return Err(Refusal::HasTwin),
            // This node has decided as an initiator, maybe with the very same one: that attempt goes on.
            Some(record) if record.step == Step::Agreed => return Err(Refusal::Busy),
            Some(_) | None => {}
        }
        let other = open.seal.open(Role::Initiator, &confirm)?;
        let rank = own_rank((&self.identity.key, own), (&peer, &other))?;
        let address = (other.link_port != 0).then(|| SocketAddr::new(from, other.link_port));
        let joins = joins(open.method, Role::Responder, own, &other, rank);
        let proof = open.seal.prove(Role::Responder, own)?;
        self.keep(record_of(Step::Proposed, peer, (rank, joins), address, other))?;
        Ok(proof)
    }

    /// The initiator's decision is on its disk. Said again where the answer was lost.
    pub fn commit(&mut self, peer: PublicKey) -> Result<Record, Refusal> {
        match &self.record {
            Some(record) if record.key == peer => {
                if record.step != Step::Paired {
                    let record = Record { step: Step::Paired, replaces: None, ..record.clone() };
                    self.keep(record)?;
                }
                self.code = None;
                self.exchanges.clear();
                self.record.clone().ok_or(Refusal::Forgotten)
            }
            Some(record) if record.step == Step::Paired => Err(Refusal::HasTwin),
            Some(_) | None => Err(Refusal::Forgotten),
        }
    }

    /// As initiator: the other has said yes and has proven that it knows the secret.
    /// `takes_back`: this node's twin is out of reach, and the other may be that twin with a wiped disk: the same box, which
    /// cannot be in two places, and nothing on it.
    pub fn agree(
        &mut self,
        peer: PublicKey,
        (rank, joins): (Rank, bool),
        address: SocketAddr,
        other: Introduction,
        takes_back: bool,
    ) -> Result<Record, Refusal> {
        let is_same_box = |record: &Record| {
            let serial = other.serial.as_deref().map(clean);
            // A number that this node has too tells nobody from anybody.
            let tells = serial.is_some() && serial != self.identity.serial;
            tells && serial == record.serial && other.is_blank_first && !other.has_leases
        };
        match &self.record {
            Some(record) if record.step == Step::Paired && !(takes_back && is_same_box(record)) => Err(Refusal::HasTwin),
            Some(before) if before.step == Step::Paired => {
                let replaces = Some(Box::new(before.clone()));
                let record = Record { replaces, ..record_of(Step::Agreed, peer, (rank, joins), Some(address), other) };
                self.keep(record.clone())?;
                Ok(record)
            }
            Some(record) if record.key != peer => Err(Refusal::Busy),
            Some(before) => {
                let replaces = before.replaces.clone();
                let record = Record { replaces, ..record_of(Step::Agreed, peer, (rank, joins), Some(address), other) };
                self.keep(record.clone())?;
                Ok(record)
            }
            None => {
                let record = record_of(Step::Agreed, peer, (rank, joins), Some(address), other);
                self.keep(record.clone())?;
                Ok(record)
            }
        }
    }

    /// Where the twin is reached, for the next start.
    pub fn set_address(&mut self, address: SocketAddr) -> Result<(), Refusal> {
        match &self.record {
            Some(record) if record.address != Some(address) => {
                let record = Record { address: Some(address), ..record.clone() };
                self.keep(record)
            }
            Some(_) | None => Ok(()),
        }
    }

    pub fn set_pair_key(&mut self, pair_key: Option<Secret>) {
        self.pair_key = pair_key;
    }

    /// Nothing comes of what was agreed: the twin is who it was before, if there was one.
    pub fn break_off(&mut self) -> Result<(), Refusal> {
        match self.record.as_ref().filter(|record| record.step == Step::Agreed).map(|record| record.replaces.clone()) {
            Some(Some(before)) => self.keep(*before),
            Some(None) => self.unpair(),
            None => Ok(()),
        }
    }

    pub fn unpair(&mut self) -> Result<(), Refusal> {
        record::forget(&self.data).map_err(|error| Refusal::Disk { why: error.to_string() })?;
        self.record = None;
        Ok(())
    }

    fn keep(&mut self, record: Record) -> Result<(), Refusal> {
        record::save(&self.data, &record).map_err(|error| Refusal::Disk { why: error.to_string() })?;
        self.record = Some(record);
        Ok(())
    }

    fn wrong(&mut self, now: Instant, method: Method) -> Refusal {
        match method {
            Method::PairKey => {
                *self.pauses.of(method) = Some(now + KEY_PAUSE);
                Refusal::OtherPair
            }
            Method::Code => {
                let Some(code) = &mut self.code else { return Refusal::NoCode };
                code.tries_left = code.tries_left.saturating_sub(1);
                let (tries_left, until) = (code.tries_left, code.until);
                if tries_left == 0 {
                    *self.pauses.of(method) = Some(now + CODE_PAUSE);
                    match self.show_code(now) {
                        // The window that a person has opened does not grow by wrong tries.
                        Ok(_) => self.code.iter_mut().for_each(|code| code.until = until),
                        Err(_) => self.code = None,
                    }
                }
                Refusal::WrongCode { tries_left }
            }
        }
    }
}

fn record_of(
    step: Step,
    key: PublicKey,
    (rank, joins): (Rank, bool),
    address: Option<SocketAddr>,
    other: Introduction,
) -> Record {
    Record {
        step,
        key,
        serial: other.serial.as_deref().map(clean),
        name: clean(&other.name),
        rank,
        partner_has_leases: other.has_leases,
        partner_is_blank_first: other.is_blank_first,
        joins,
        address,
        replaces: None,
    }
}

#[cfg(test)]
mod tests;
