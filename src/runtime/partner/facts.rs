//! What others may know of the link: its state as it is shown, and as it is kept.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

use super::{
    desk::Code,
    key::{Fingerprint, Prefix},
    record::{Record, Step},
};
use crate::protocol::failover::Rank;

/// Tried in turn; more would keep the right one waiting.
const ADDRESSES_MAX: usize = 8;
/// Nodes on this network that are remembered.
const FOUND_MAX: usize = 32;
const FOUND_LIFE: Duration = Duration::from_secs(30);

/// A node that was heard on this network. A hint: whoever stands there must prove its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    pub id: Prefix,
    pub name: String,
    pub address: SocketAddr,
    pub paired: bool,
}

/// The state of the link for `status` and the dashboard.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// Who this node is.
    pub fingerprint: Fingerprint,
    /// Where the link listens; `None`: nowhere, and `trouble` says why.
    pub listening: Option<SocketAddr>,
    pub trouble: Option<String>,
    pub twin: Option<TwinFacts>,
    /// What has become of the last attempt to pair.
    pub pairing: Option<String>,
    pub code: Option<CodeFacts>,
    /// Other nodes on this network.
    pub found: Vec<Found>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TwinFacts {
    pub name: String,
    pub fingerprint: Fingerprint,
    pub serial: Option<String>,
    /// This node's own.
    pub rank: Rank,
    pub address: Option<SocketAddr>,
    /// For how long; `None`: not connected.
    pub connected_ms: Option<u64>,
    /// Since its last message.
    pub heard_ms: Option<u64>,
    pub round_trip_ms: Option<f64>,
    /// Its wall clock minus this node's.
    pub clock_skew_ms: Option<i64>,
    pub software: Option<String>,
    /// The newest trouble, as long as it lasts.
    pub trouble: Option<String>,
    /// Messages that found no room or were too old to be sent.
    pub dropped: u64,
    /// Since it has stored a snapshot of this node's database; `None`: not yet in this run.
    pub snapshot_sent_ms: Option<u64>,
    /// Since this node has stored one of the twin's; `None`: not yet in this run.
    pub snapshot_kept_ms: Option<u64>,
    pub snapshot_trouble: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CodeFacts {
    pub digits: String,
    pub secs_left: u64,
    pub tries_left: u32,
}

/// As `Facts`, in moments instead of durations.
#[derive(Debug, Default, Clone)]
pub struct Live {
    pub listening: Option<SocketAddr>,
    pub listen_trouble: Option<String>,
    pub record: Option<Record>,
    pub connected_since: Option<Instant>,
    pub heard: Option<Instant>,
    pub round_trip: Option<Duration>,
    pub clock_skew_ms: Option<i64>,
    pub software: Option<String>,
    pub trouble: Option<String>,
    pub trouble_logged: Option<Instant>,
    pub snapshot_sent: Option<Instant>,
    pub snapshot_kept: Option<Instant>,
    pub snapshot_trouble: Option<String>,
    /// Where it answered last.
    pub address: Option<SocketAddr>,
    /// From where it called last, and where it listens there.
    pub called_from: Option<SocketAddr>,
    pub pairing: Option<String>,
    pub code: Option<Code>,
    pub found: BTreeMap<Prefix, (Found, Instant)>,
}

impl Live {
    /// Where the twin may be: where it answered last, from where it calls, where the owner says it is, where it was heard.
    pub fn addresses(&self, configured: &[SocketAddr]) -> Vec<SocketAddr> {
        let id = self.record.as_ref().map(|record| record.key.fingerprint().prefix());
        let heard = self.found.values().filter(|(found, _)| Some(found.id) == id).map(|(found, _)| found.address);
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in self.address.into_iter().chain(self.called_from).chain(configured.iter().copied()).chain(heard) {
            if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
                addresses.push(address);
            }
        }
        addresses
    }

    pub fn note_found(&mut self, found: Found, now: Instant) {
        self.found.retain(|_, (_, since)| now < *since + FOUND_LIFE);
        if self.found.len() >= FOUND_MAX
            && !self.found.contains_key(&found.id)
            && let Some(id) = self.dispensable(found.id)
        {
            self.found.remove(&id);
        }
        if self.found.len() < FOUND_MAX || self.found.contains_key(&found.id) {
            self.found.insert(found.id, (found, now));
        }
    }

    /// Whoever makes up nodes by the dozen shall not keep out the one that is meant: of the address from which most are heard, the
    /// one that was not heard for longest. The twin stays; it also comes in where all have addresses of their own.
    fn dispensable(&self, comes: Prefix) -> Option<Prefix> {
        let twin = self.record.as_ref().map(|record| record.key.fingerprint().prefix());
        let others = || self.found.iter().filter(|(id, _)| Some(**id) != twin);
        let from = |address: IpAddr| others().filter(|(_, (found, _))| found.address.ip() == address).count();
        let most = others().map(|(_, (found, _))| from(found.address.ip())).max()?;
        let may_go = others().filter(|(_, (found, _))| from(found.address.ip()) == most);
        let oldest = may_go.min_by_key(|(_, (_, heard))| *heard).map(|(id, _)| *id);
        oldest.filter(|_| most > 1 || Some(comes) == twin)
    }

    pub fn facts(&self, fingerprint: Fingerprint, dropped: u64, now: Instant) -> Facts {
        let since_ms = |moment: Instant| (now.saturating_duration_since(moment)).as_millis() as u64;
        let twin = self.record.as_ref().map(|record| TwinFacts {
            name: record.name.clone(),
            fingerprint: record.key.fingerprint(),
            serial: record.serial.clone(),
            rank: record.rank,
            address: self.address,
            connected_ms: self.connected_since.map(since_ms),
            heard_ms: self.heard.map(since_ms),
            round_trip_ms: self.round_trip.map(|trip| trip.as_secs_f64() * 1000.0),
            clock_skew_ms: self.clock_skew_ms,
            software: self.software.clone(),
            trouble: match record.step {
                Step::Paired => self.trouble.clone(),
                Step::Proposed => {
                    Some("The pairing is not ended: the other one has not said its last word. Pair again if it does not.".into())
                }
                Step::Agreed => Some(
                    "The pairing is not ended: the other one has not heard the last word. It is told again and again.".into(),
                ),
            },
            dropped,
            snapshot_sent_ms: self.snapshot_sent.map(since_ms),
            snapshot_kept_ms: self.snapshot_kept.map(since_ms),
            snapshot_trouble: self.snapshot_trouble.clone(),
        });
        let code = self.code.as_ref().filter(|code| now < code.until).map(|code| code.facts(now));
        let found = self.found.values().filter(|(_, since)| now < *since + FOUND_LIFE).map(|(found, _)| found.clone()).collect();
        Facts {
            fingerprint,
            listening: self.listening,
            trouble: self.listen_trouble.clone(),
            twin,
            pairing: self.pairing.clone(),
            code,
            found,
        }
    }
}

impl Code {
    pub fn facts(&self, now: Instant) -> CodeFacts {
        let secs_left = self.until.saturating_duration_since(now).as_secs();
        CodeFacts { digits: self.digits.clone(), secs_left, tries_left: self.tries_left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::partner::key::PublicKey;

    fn found(number: u8) -> Found {
        let id = PublicKey::new([number; 32]).fingerprint().prefix();
        Found { id, name: String::new(), address: SocketAddr::from(([192, 0, 2, number], 8067)), paired: false }
    }

    #[test]
    fn those_who_are_heard_are_bounded_and_forgotten() {
        let (mut live, now) = (Live::default(), Instant::now());
        for number in 0..200 {
            live.note_found(found(number), now);
        }
        assert_eq!(live.found.len(), FOUND_MAX);
        let later = now + FOUND_LIFE;
        assert_eq!(live.facts(PublicKey::new([0; 32]).fingerprint(), 0, later).found, []);
        live.note_found(found(250), later);
        assert_eq!(live.found.len(), 1);
    }

    #[test]
    fn names_that_one_host_makes_up_keep_nobody_out() {
        let (mut live, now) = (Live::default(), Instant::now());
        for number in 0..200 {
            let made_up = Found { address: SocketAddr::from(([192, 0, 2, 66], 8067)), ..found(number) };
            live.note_found(made_up, now);
        }
        let twin = found(250);
        live.note_found(twin.clone(), now + Duration::from_secs(1));
        assert_eq!((live.found.len(), live.found.contains_key(&twin.id)), (FOUND_MAX, true));
        for number in 0..100 {
            let made_up = Found { address: SocketAddr::from(([192, 0, 2, 66], 8067)), ..found(number) };
            live.note_found(made_up, now + Duration::from_secs(2));
        }
        assert!(live.found.contains_key(&twin.id), "nor do they take its place");
    }

    #[test]
    fn every_address_is_tried_once_and_the_last_good_one_first() {
        let address = |number: u8| SocketAddr::from(([192, 0, 2, number], 8067));
        let mut live = Live { address: Some(address(1)), called_from: Some(address(2)), ..Live::default() };
        live.note_found(found(9), Instant::now());
        assert_eq!(live.addresses(&[address(3), address(1)]), [address(1), address(2), address(3)], "9 is not the twin");
        let many: Vec<SocketAddr> = (10..200).map(address).collect();
        assert_eq!(live.addresses(&many).len(), ADDRESSES_MAX);
    }
}
