//! Promises: applied at once, parked until they are on disk, taken back where the disk refuses.

use std::{net::Ipv4Addr, ops::RangeInclusive, time::Duration};

use super::{Node, Partnership};
use crate::{
    protocol::{
        Action, Change, Commit, CommitId, StoreTrouble,
        dhcp::rules::ParkedAck,
        explain::{Decision, Outcome, Silence, Step},
        failover::{
            Body, Forgot, GivenUp, Memory, Session, State,
            loose::{Rule, is_loose},
            merge::FIRST_GENERATION,
        },
        lease::{Binding, BindingState, ClientId, HwAddr},
        replica::Replica,
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

/// Undone latest first: what was done before one was alone again is undone as one of two.
#[derive(Debug)]
pub(super) enum Undo {
    Binding { address: Ipv4Addr, before: Option<Binding> },
    Settings { settings: Box<Settings>, replica: Option<Box<Replica>> },
    GiveUp { address: Ipv4Addr, before: Option<GivenUp> },
    Dissolved { twin: Box<Partnership> },
}

#[derive(Debug)]
pub(super) enum Parked {
    Ack(Box<ParkedAck>),
    /// A decision without a reply (RELEASE, DECLINE).
    Note(Box<Decision>),
    Command {
        id: u64,
        /// In the history.
        change: Option<u64>,
    },
    /// A reply of this address may leave now, if the twin has confirmed it (`pair::promise`).
    Settle(Ipv4Addr),
    /// For the twin, as long as it is still that session of it.
    Send {
        to: Option<Session>,
        body: Box<Body>,
    },
    /// Settings that the twin has not confirmed.
    TellSettings,
    /// This is on disk now.
    MemoryStored(Box<Memory>),
    /// All that the twin has; and where it stood.
    Pulled {
        of: Session,
        state: State,
        forgot: Option<Forgot>,
    },
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
            // With a twin a generation ends where the address is freed.
            Some(before) if before.client != *change.client && self.twin.is_none() => before.generation + 1,
            Some(before) => before.generation,
            None => FIRST_GENERATION,
        };
        let host_name =
            change.host_name.or_else(|| before.filter(|b| b.client == *change.client).and_then(|b| b.host_name.clone()));
        let version = before.map(|before| before.version).unwrap_or_default();
        let mut record = Binding {
            address: change.address,
            client: change.client.clone(),
            hw: change.hw,
            state: change.state,
            since: now,
            expiry: change.expiry,
            epoch: self.epoch,
            generation,
            version,
            host_name,
        };
        self.stamp_version(&mut record);
        record
    }

    pub(in crate::protocol) fn commit(&mut self, now: Time, bindings: Vec<Binding>, out: &mut Vec<Action>) -> CommitId {
        self.put(now, bindings, true, out)
    }

    /// `must_tell`: the twin does not have these yet.
    pub(in crate::protocol) fn put(
        &mut self,
        now: Time,
        bindings: Vec<Binding>,
        must_tell: bool,
        out: &mut Vec<Action>,
    ) -> CommitId {
        let id = self.next_commit(now);
        for binding in &bindings {
            let address = binding.address;
            let before = self.table.insert(&self.plan, now, binding.clone());
            if let Some(twin) = &mut self.twin {
                let number = &mut self.sent.back_mut().expect("pushed above").2;
                *number = (*number).max(binding.version.of(twin.me()));
                twin.record_changed(before.as_ref(), binding);
                if must_tell {
                    twin.unconfirmed.insert(address, None);
                }
            }
            self.undo.push_back((id, Undo::Binding { address, before }));
            self.pending.insert(address, id);
        }
        out.push(Action::Commit(Commit { id, changes: bindings.into_iter().map(Change::Bind).collect() }));
        id
    }

    pub(super) fn next_commit(&mut self, now: Time) -> CommitId {
        self.last_commit.0 += 1;
        self.sent.push_back((self.last_commit, now, 0));
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
        self.pending.contains_key(&address) || self.twin.as_ref().is_some_and(|twin| twin.proposals.contains_key(&address))
    }

    pub(in crate::protocol) fn park_ack(&mut self, id: CommitId, ack: ParkedAck) {
        self.parked.push_back((id, Parked::Ack(Box::new(ack))));
    }

    pub(in crate::protocol) fn park_note(&mut self, id: CommitId, decision: Decision) {
        self.parked.push_back((id, Parked::Note(Box::new(decision))));
    }

    pub(super) fn committed(&mut self, now: Time, up_to: CommitId, out: &mut Vec<Action>) {
        while let Some(&(id, _, number)) = self.sent.front()
            && id <= up_to
        {
            self.sent.pop_front();
            self.durable_number = self.durable_number.max(number);
        }
        let mut written = Vec::new();
        while let Some((id, undo)) = self.undo.front()
            && *id <= up_to
        {
            if let Undo::Binding { address, .. } = undo
                && self.pending.get(address) == Some(id)
            {
                self.pending.remove(address);
                if self.twin.is_some() {
                    written.push(*address);
                }
            }
            if let Some((_, Undo::Dissolved { twin })) = self.undo.pop_front() {
                self.dissolved(&twin);
            }
        }
        self.trouble_is_over(now);
        self.tell_committed(now, &written, out);
        while let Some((id, _)) = self.parked.front()
            && *id <= up_to
        {
            match self.parked.pop_front().expect("looked at above").1 {
                Parked::Ack(ack) => self.promise_committed(now, *ack, out),
                Parked::Note(mut decision) => {
                    decision.steps.push(Step::Durable { after_ms: (now - decision.at).as_millis() as u64 });
                    self.decided(*decision, out);
                }
                Parked::Command { id, change } => out.push(Action::Done { id, result: Ok(()), change }),
                Parked::Settle(address) => self.settle(now, address, out),
                Parked::Send { to, body } => {
                    if self.twin.as_ref().is_some_and(|twin| twin.partner_session == to) {
                        self.send(*body, out);
                    }
                }
                Parked::TellSettings => self.tell_settings(now, out),
                Parked::MemoryStored(memory) => self.memory_stored(*memory),
                Parked::Pulled { of, state, forgot } => self.pull_stored(now, of, (state, forgot), out),
            }
        }
        // A reply whose own commit was done before may have waited for another one of its address.
        for address in written {
            self.settle(now, address, out);
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
        self.trouble_is_over(now);
    }

    /// Commits from this one on are not durable: undone latest first, then what waited for them is answered.
    fn take_back(&mut self, now: Time, from: CommitId, out: &mut Vec<Action>) {
        let sentence = self.trouble.as_ref().map(ToString::to_string).unwrap_or_default();
        while self.sent.back().is_some_and(|(id, ..)| *id >= from) {
            self.sent.pop_back();
        }
        while let Some((id, _)) = self.undo.back()
            && *id >= from
        {
            let (id, undo) = self.undo.pop_back().expect("looked at above");
            match undo {
                Undo::Binding { address, before } => {
                    match (&mut self.twin, &before) {
                        (Some(twin), Some(before)) => {
                            // What was told of it may be known to the twin: it is compared anew.
                            twin.record_changed(self.table.get(address), before);
                            twin.unconfirmed.insert(address, None);
                        }
                        // Nothing is left to be told.
                        (Some(twin), None) => {
                            twin.unconfirmed.remove(&address);
                            twin.acked.remove(&address);
                        }
                        (None, _) => {}
                    }
                    self.table.restore(&self.plan, now, address, before);
                    if self.pending.get(&address) == Some(&id) {
                        self.pending.remove(&address);
                    }
                }
                Undo::GiveUp { address, before } => {
                    if let Some(twin) = self.twin.as_mut().filter(|_| !is_loose(Rule::W45)) {
                        match before {
                            Some(before) => twin.given_up.insert(address, before),
                            None => twin.given_up.remove(&address),
                        };
                    }
                }
                Undo::Dissolved { twin } => self.not_dissolved(now, twin),
                Undo::Settings { settings, replica } => {
                    self.set_settings(now, *settings);
                    if let (Some(twin), Some(replica)) = (&mut self.twin, replica) {
                        twin.replica = *replica;
                        twin.unconfirmed_settings.retain(|key, _| twin.replica.entries().contains_key(key));
                    }
                }
            }
        }
        let first_failed = self.parked.partition_point(|(id, _)| *id < from);
        for (_, parked) in self.parked.split_off(first_failed) {
            match parked {
                Parked::Ack(ack) => {
                    if let Some(twin) = &mut self.twin {
                        twin.forget_proposal(ack.address);
                    }
                    self.answer_from_memory(now, *ack, out);
                }
                Parked::Note(mut decision) => {
                    // It was taken back: the address is neither free nor at rest.
                    decision.outcome = Outcome::Silent { why: Silence::DiskTrouble { why: sentence.clone() } };
                    self.decided(*decision, out);
                }
                Parked::Command { id, .. } => {
                    let result = Err(format!("Nothing was changed: {sentence}"));
                    out.push(Action::Done { id, result, change: None });
                }
                Parked::Settle(address) => {
                    let proposal = self.twin.as_mut().and_then(|twin| twin.forget_proposal(address));
                    if let Some(ack) = proposal.and_then(|proposal| proposal.ack) {
                        self.answer_from_memory(now, *ack, out);
                    }
                }
                // Tried again by whoever waits for it.
                Parked::Send { .. } | Parked::TellSettings => {}
                Parked::Pulled { .. } => self.pull_not_stored(),
                Parked::MemoryStored(_) => self.memory_not_stored(now, out),
            }
        }
    }
}
