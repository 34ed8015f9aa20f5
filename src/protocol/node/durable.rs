//! Promises: applied at once, parked until they are on disk, taken back where the disk refuses.

use std::{net::Ipv4Addr, ops::RangeInclusive, time::Duration};

use super::Node;
use crate::{
    protocol::{
        Action, Change, Commit, CommitId, StoreTrouble,
        dhcp::rules::ParkedAck,
        explain::{Decision, Outcome, Silence, Step},
        lease::{Binding, BindingState, ClientId, HwAddr, Version},
        time::Time,
    },
    settings::Settings,
};

/// A disk that has not answered for so long counts as one in trouble: devices are told what they have, nothing new.
const STALL: Duration = Duration::from_secs(5);
/// Commits under way; past this, clients are left to ask again.
const MAX_PENDING: usize = 16_384;

/// What shall become of an address.
#[derive(Debug)]
pub(in crate::protocol) struct BindingChange<'a> {
    pub address: Ipv4Addr,
    pub client: &'a ClientId,
    pub hw: HwAddr,
    pub state: BindingState,
    pub expiry: Time,
    /// `None`: as before, where the client is the same.
    pub host_name: Option<Box<str>>,
}

#[derive(Debug)]
pub(super) enum Undo {
    Binding { address: Ipv4Addr, before: Option<Binding> },
    Settings(Box<Settings>),
}

#[derive(Debug)]
pub(super) enum Parked {
    Ack(Box<ParkedAck>),
    /// A decision without a reply (RELEASE, DECLINE).
    Note(Box<Decision>),
    Command(u64),
}

impl Node {
    /// Writes a record of this address; the reply waits for the commit that is returned.
    pub(in crate::protocol) fn bind(&mut self, now: Time, change: BindingChange<'_>, out: &mut Vec<Action>) -> CommitId {
        let binding = self.new_record(now, change);
        self.commit(now, vec![binding], out)
    }

    /// The next record of an address.
    pub(in crate::protocol) fn new_record(&mut self, now: Time, change: BindingChange<'_>) -> Binding {
        let before = self.table.get(change.address);
        let generation = match before {
            Some(before) if before.client != *change.client => before.generation + 1,
            Some(before) => before.generation,
            None => 1,
        };
        let host_name =
            change.host_name.or_else(|| before.filter(|b| b.client == *change.client).and_then(|b| b.host_name.clone()));
        self.version += 1;
        Binding {
            address: change.address,
            client: change.client.clone(),
            hw: change.hw,
            state: change.state,
            since: now,
            expiry: change.expiry,
            epoch: self.epoch,
            generation,
            version: Version { first: self.version, second: before.map_or(0, |before| before.version.second) },
            host_name,
        }
    }

    pub(in crate::protocol) fn commit(&mut self, now: Time, bindings: Vec<Binding>, out: &mut Vec<Action>) -> CommitId {
        let id = self.next_commit(now);
        for binding in &bindings {
            let address = binding.address;
            let before = self.table.insert(&self.plan, now, binding.clone());
            self.undo.push_back((id, Undo::Binding { address, before }));
            self.pending.insert(address, id);
        }
        out.push(Action::Commit(Commit { id, changes: bindings.into_iter().map(Change::Bind).collect() }));
        id
    }

    pub(super) fn next_commit(&mut self, now: Time) -> CommitId {
        self.last_commit.0 += 1;
        self.sent.push_back((self.last_commit, now));
        self.last_commit
    }

    /// Why nothing new can be promised now, as a sentence: the disk refuses, or says nothing at all.
    pub fn disk_trouble(&self, now: Time) -> Option<String> {
        if let Some(trouble) = &self.trouble {
            return Some(trouble.to_string());
        }
        let silent_for = now - self.sent.front()?.1;
        (silent_for >= STALL).then(|| format!("the disk has not answered for {} s", silent_for.as_secs()))
    }

    pub(in crate::protocol) fn is_behind(&self) -> bool {
        self.undo.len() >= MAX_PENDING
    }

    /// A change of this address is on its way to the disk.
    pub(in crate::protocol) fn is_pending(&self, address: Ipv4Addr) -> bool {
        self.pending.contains_key(&address)
    }

    pub(in crate::protocol) fn park_ack(&mut self, id: CommitId, ack: ParkedAck) {
        self.parked.push_back((id, Parked::Ack(Box::new(ack))));
    }

    pub(in crate::protocol) fn park_note(&mut self, id: CommitId, decision: Decision) {
        self.parked.push_back((id, Parked::Note(Box::new(decision))));
    }

    pub(super) fn committed(&mut self, now: Time, up_to: CommitId, out: &mut Vec<Action>) {
        while self.sent.front().is_some_and(|(id, _)| *id <= up_to) {
            self.sent.pop_front();
        }
        while let Some((id, undo)) = self.undo.front()
            && *id <= up_to
        {
            if let Undo::Binding { address, .. } = undo
                && self.pending.get(address) == Some(id)
            {
                self.pending.remove(address);
            }
            self.undo.pop_front();
        }
        while let Some((id, _)) = self.parked.front()
            && *id <= up_to
        {
            match self.parked.pop_front().expect("looked at above").1 {
                Parked::Ack(ack) => self.release_ack(now, *ack, out),
                Parked::Note(mut decision) => {
                    decision.steps.push(Step::Durable { after_ms: (now - decision.at).as_millis() as u64 });
                    self.decided(*decision, out);
                }
                Parked::Command(id) => out.push(Action::Done { id, result: Ok(()) }),
            }
        }
    }

    pub(super) fn commit_failed(
        &mut self,
        now: Time,
        ids: &RangeInclusive<CommitId>,
        trouble: StoreTrouble,
        out: &mut Vec<Action>,
    ) {
        if *ids.end() <= self.refused_up_to {
            return;
        }
        self.trouble = Some(trouble);
        // The store refuses everything after the first failure, so what failed is the tail.
        self.take_back(now, *ids.start(), out);
    }

    /// What is still under way was sent while the store refused everything: take it back now. Its failure is reported
    /// later, among commits that count again.
    pub(super) fn store_recovered(&mut self, now: Time, out: &mut Vec<Action>) {
        self.take_back(now, CommitId(0), out);
        self.refused_up_to = self.last_commit;
        self.trouble = None;
    }

    /// Commits from this one on are not durable: undone latest first, then what waited for them is answered.
    fn take_back(&mut self, now: Time, from: CommitId, out: &mut Vec<Action>) {
        let sentence = self.trouble.as_ref().map(ToString::to_string).unwrap_or_default();
        while self.sent.back().is_some_and(|(id, _)| *id >= from) {
            self.sent.pop_back();
        }
        while let Some((id, _)) = self.undo.back()
            && *id >= from
        {
            let (id, undo) = self.undo.pop_back().expect("looked at above");
            match undo {
                Undo::Binding { address, before } => {
                    self.table.restore(&self.plan, now, address, before);
                    if self.pending.get(&address) == Some(&id) {
                        self.pending.remove(&address);
                    }
                }
                Undo::Settings(before) => self.set_settings(now, *before),
            }
        }
        let first_failed = self.parked.partition_point(|(id, _)| *id < from);
        for (_, parked) in self.parked.split_off(first_failed) {
            match parked {
                Parked::Ack(ack) => self.answer_from_memory(now, *ack, out),
                Parked::Note(mut decision) => {
                    // It was taken back: the address is neither free nor at rest.
                    decision.outcome = Outcome::Silent { why: Silence::DiskTrouble { why: sentence.clone() } };
                    self.decided(*decision, out);
                }
                Parked::Command(id) => out.push(Action::Done { id, result: Err(format!("Nothing was changed: {sentence}")) }),
            }
        }
    }
}
