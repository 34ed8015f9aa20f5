//! Records on their way: updates and their acks, and addresses that change hands (rules 2, 5 and 7).

use std::net::Ipv4Addr;

use super::super::{
    Node,
    durable::{Parked, Undo},
};
use crate::protocol::{
    Action, Change, Commit,
    failover::{
        Ack, Body, Envelope, GivenUp, Rank, State, Update,
        loose::{Rule, is_loose},
        merge::{self, from_wire, merge, state_told, to_wire},
        partnership::{BATCH, RESEND_AFTER},
    },
    lease::{Binding, BindingState},
    time::Time,
};

/// Past this, what waits for a stalled disk is left to be asked for again.
const MAX_PARKED: usize = 32_768;
/// Records sent again at one tick.
const RESENT: usize = 4096;
/// Run-out records that are looked at in one sweep.
const SWEEP: usize = 4096;

impl Node {
    /// To the partner, if it has been heard of.
    pub(in crate::protocol) fn send(&mut self, body: Body, out: &mut Vec<Action>) {
        if let Some(twin) = &self.twin
            && twin.partner_session.is_some()
        {
            out.push(Action::Send(Envelope { from: twin.session, to: twin.partner_session, body }));
        }
    }

    /// Tells the partner the record of this address.
    pub(in crate::protocol) fn send_update(&mut self, now: Time, address: Ipv4Addr, out: &mut Vec<Action>) {
        let Some(twin) = self.twin.as_mut().filter(|twin| twin.in_contact(now)) else { return };
        let Some(record) = self.table.get(address) else { return };
        twin.unconfirmed.insert(address, Some(now));
        let update = Update { record: to_wire(record, now), expiry: record.expiry.0 };
        self.send(Body::Update(Box::new(update)), out);
    }

    /// What became durable and was not told before is told now.
    pub(in crate::protocol) fn tell_committed(&mut self, now: Time, addresses: &[Ipv4Addr], out: &mut Vec<Action>) {
        for &address in addresses {
            let is_untold = self.twin.as_ref().is_some_and(|twin| twin.unconfirmed.get(&address) == Some(&None));
            if is_untold && !self.pending.contains_key(&address) {
                self.send_update(now, address, out);
            }
        }
    }

    pub(super) fn updated(&mut self, now: Time, update: Update, out: &mut Vec<Action>) {
        if self.disk_trouble(now).is_some() {
            // Nothing can be confirmed now, and what waits to be said must not pile up: it is sent again.
            return;
        }
        let Some(twin) = &self.twin else { return };
        let sent = update.record.clone();
        let is_proposal = sent.state == BindingState::Tentative;
        if is_proposal && twin.state == State::Recover && !is_loose(Rule::W12) {
            // One that may have forgotten confirms nothing new.
            return;
        }
        let address = sent.address;
        let theirs = from_wire(update.record, now, self.epoch);
        // The owner's own promise of this address is on its way: it stands.
        let is_taken = twin.owns(address)
            && twin
                .proposals
                .get(&address)
                .is_some_and(|mine| mine.client != theirs.client && mine.generation == theirs.generation);
        if !is_taken {
            self.take_over(now, theirs, out);
        }
        let Some(record) = self.table.get(address) else { return };
        if is_loose(Rule::W2) && record.client == sent.client && record.state == BindingState::Leased {
            let expiry = record.expiry;
            self.twin.as_mut().expect("looked at above").acked.insert(address, expiry);
        }
        let Some(record) = self.table.get(address) else { return };
        let is_as_sent = record.generation == sent.generation
            && state_told(record.state) == state_told(sent.state)
            && record.client == sent.client;
        let ack = Ack {
            address,
            client: sent.client,
            state: sent.state,
            generation: sent.generation,
            version: sent.version,
            expiry: update.expiry,
            instead: (!is_as_sent).then(|| to_wire(record, now)),
        };
        self.send_when_durable(Body::Ack(Box::new(ack)), out);
    }

    /// Merges a record of the partner's into the table; the change goes to the disk.
    fn take_over(&mut self, now: Time, theirs: Binding, out: &mut Vec<Action>) {
        if let Some(record) = self.merged(now, theirs) {
            self.put(now, vec![record], false, out);
        }
    }

    /// `None`: nothing to change. Notes whether the partner has the same.
    pub(super) fn merged(&mut self, now: Time, theirs: Binding) -> Option<Binding> {
        let twin = self.twin.as_mut()?;
        let address = theirs.address;
        let mut mine = self.table.get(address).cloned();
        let ageing_is_due = self.sleep_is_unknown && mine.as_ref().is_some_and(|mine| mine.epoch < self.epoch);
        if let Some(mine) = mine.as_mut().filter(|_| ageing_is_due) {
            mine.epoch = self.epoch;
        }
        let (me, has_forgotten, is_partners) = (twin.me(), twin.memory.served_unknowing, !twin.owns(address));
        // The twin has waited for what was given here, and may have given it since.
        let was_counted_down = twin.memory.shut_down;
        let is_behind = |mine: &Binding| {
            let is_promise = mine.state == BindingState::Leased && mine.is_held(now);
            // A disk that is lost for the second time begins with the same numbers again.
            // Or it was given here, and the owner does not know that yet: of two such the owner's would stand.
            let is_covered = mine.version.of(me) <= theirs.version.of(me) || is_partners && mine.client != theirs.client;
            let is_one_tenancy = mine.generation == theirs.generation && *mine != theirs && !is_loose(Rule::W48);
            let is_older = mine.generation < theirs.generation || is_one_tenancy && is_covered;
            // All that the twin promised had run out when it was off for so long, though it may not know for how long it was.
            let was_off = !was_counted_down && !is_loose(Rule::W48);
            let has_ended = !theirs.is_held(now) || was_off && (mine.client != theirs.client || mine.expiry > theirs.expiry);
            is_promise && is_older && has_ended
        };
        if let Some(mine) = mine.as_ref().filter(|mine| has_forgotten && is_behind(mine)) {
            // Given when all that was forgotten had run out: what stands is this, in a generation that the twin takes for newer.
            let version = mine.version.join(&theirs.version);
            let mut raised = Binding { generation: theirs.generation + 1, version, ..mine.clone() };
            twin.unconfirmed.insert(address, None);
            self.version = self.version.max(version.of(twin.me()));
            self.stamp_version(&mut raised);
            return Some(raised);
        }
        let merged = merge(twin.me(), mine.as_ref(), theirs);
        // A node that has lost its disk learns from its partner which of its own numbers are spent.
        self.version = self.version.max(merged.record.version.of(twin.me()));
        if merged.is_shared {
            twin.unconfirmed.remove(&address);
        } else {
            twin.unconfirmed.entry(address).or_insert(None);
        }
        (merged.is_changed || ageing_is_due).then_some(merged.record)
    }

    /// Everything of before is on disk when this leaves.
    pub(super) fn send_when_durable(&mut self, body: Body, out: &mut Vec<Action>) {
        if self.sent.is_empty() {
            self.send(body, out);
        } else if self.parked.len() < MAX_PARKED {
            let to = self.twin.as_ref().and_then(|twin| twin.partner_session);
            self.parked.push_back((self.last_commit, Parked::Send { to, body: Box::new(body) }));
        }
    }

    pub(super) fn acked(&mut self, now: Time, ack: Ack, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let address = ack.address;
        let is_loose_match = is_loose(Rule::W3);
        let is_this = |proposal: &crate::protocol::failover::partnership::Proposal| {
            is_loose_match
                || (proposal.version == ack.version && proposal.generation == ack.generation && proposal.client == ack.client)
        };
        if let Some(instead) = ack.instead {
            // The partner has something else: the client asks again.
            if twin.proposals.get(&address).is_some_and(is_this) {
                twin.forget_proposal(address);
            }
            let theirs = from_wire(instead, now, self.epoch);
            self.take_over(now, theirs, out);
            return;
        }
        if let Some(proposal) = twin.proposals.get_mut(&address).filter(|proposal| is_this(proposal)) {
            proposal.is_confirmed = true;
        }
        let Some(record) = self.table.get(address) else { return };
        let is_same = record.generation == ack.generation && record.client == ack.client;
        if ack.state.is_lease() && (is_loose_match || (record.state.is_lease() && is_same)) {
            let acked = twin.acked.entry(address).or_insert(Time::ZERO);
            *acked = (*acked).max(Time(ack.expiry));
        }
        if record.version == ack.version && is_same {
            twin.unconfirmed.remove(&address);
            let has_reply = twin.proposals.contains_key(&address);
            if record.state == BindingState::Tentative && !has_reply {
                return self.make_firm(now, address, out);
            }
        }
        self.settle(now, address, out);
    }

    /// The non-owner has given up its record: the owner frees the address, if it is exactly this record (rule 5).
    pub(super) fn given_up(&mut self, now: Time, given_up: GivenUp, out: &mut Vec<Action>) {
        let Some(twin) = &self.twin else { return };
        let Some(record) = self.table.get(given_up.address) else { return };
        let is_exact = record.generation == given_up.generation && (record.version == given_up.version || is_loose(Rule::W5));
        let may_free = twin.is_serving() && twin.owns(given_up.address) && twin.has_run_out(record, now);
        if is_exact && may_free && !self.is_pending(given_up.address) && !self.is_kept_record(record) {
            self.free_address(now, given_up.address, out);
        }
    }

    /// Nobody's any more, in a new generation.
    fn free_address(&mut self, now: Time, address: Ipv4Addr, out: &mut Vec<Action>) {
        let Some(record) = self.table.get(address).filter(|record| record.state != BindingState::Free) else { return };
        let mut record = Binding {
            state: BindingState::Free,
            generation: record.generation + 1,
            // When it was last used: the longest-free is given first.
            since: if record.state == BindingState::Leased { record.expiry } else { record.since },
            ..record.clone()
        };
        self.stamp_version(&mut record);
        self.put(now, vec![record], true, out);
        if is_loose(Rule::W30) {
            self.send_update(now, address, out);
        }
    }

    /// The record that stands for a kept address: never recycled while it is kept for this device (rule 6).
    fn is_kept_record(&self, record: &Binding) -> bool {
        use crate::settings::Identifier;
        self.plan.reservation_at(record.address).is_some_and(|kept| match &kept.identifier {
            Identifier::Mac(hw) => *hw == record.hw,
            Identifier::ClientId(id) => {
                matches!(&record.client, crate::protocol::lease::ClientId::Given(given) if **given == id[..])
            }
            Identifier::CircuitId(_) => false,
        })
    }

    /// What has run out changes hands: given up where the partner is the owner (together), recycled where the partner is down.
    pub(super) fn sweep(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &self.twin else { return };
        let (mut give_up, mut tell_again, mut recycle) = (Vec::new(), Vec::new(), Vec::new());
        for record in self.table.lapsed().take(SWEEP) {
            let address = record.address;
            if self.is_pending(address) || self.is_kept_record(record) {
                continue;
            }
            if twin.may_recycle(record, now) {
                recycle.push(address);
            } else if twin.is_together() && !twin.owns(address) && twin.has_run_out(record, now) {
                let given_up = GivenUp { address, generation: record.generation, version: record.version };
                if twin.given_up.get(&address) == Some(&given_up) {
                    tell_again.push(given_up);
                } else if !twin.unconfirmed.contains_key(&address) && record.state != BindingState::Tentative {
                    give_up.push(given_up);
                }
            }
            if give_up.len() + tell_again.len() + recycle.len() >= BATCH {
                break;
            }
        }
        for address in recycle {
            self.free_address(now, address, out);
        }
        for given_up in tell_again {
            self.send_when_durable(Body::GiveUp(given_up), out);
        }
        if !give_up.is_empty() {
            let id = self.next_commit(now);
            let twin = self.twin.as_mut().expect("looked at above");
            for given_up in &give_up {
                let before = twin.given_up.insert(given_up.address, *given_up);
                self.undo.push_back((id, Undo::GiveUp { address: given_up.address, before }));
            }
            out.push(Action::Commit(Commit { id, changes: give_up.iter().copied().map(Change::GiveUp).collect() }));
            for given_up in give_up {
                self.send_when_durable(Body::GiveUp(given_up), out);
            }
        }
    }

    /// What the partner has not confirmed for a while is sent again.
    pub(super) fn resend(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &self.twin else { return };
        if twin.pulled.is_none() {
            // Most of it will turn out to be the same on both.
            return;
        }
        let is_due = |sent: &Option<Time>| sent.is_none_or(|sent| now - sent >= RESEND_AFTER);
        let due = twin.unconfirmed.iter().filter(|(_, sent)| is_due(sent)).map(|(address, _)| *address);
        let due: Vec<Ipv4Addr> = due.filter(|address| !self.pending.contains_key(address)).take(RESENT).collect();
        for address in due {
            self.send_update(now, address, out);
        }
    }

    /// Records for the kept addresses of this half that have none: both nodes can serve them ever after (rule 6).
    pub(super) fn keep_records(&mut self, now: Time, out: &mut Vec<Action>) {
        use crate::{protocol::lease::ClientId, settings::Identifier};
        let Some(twin) = self.twin.as_ref().filter(|twin| twin.is_together() && self.trouble.is_none()) else { return };
        let mut missing = Vec::new();
        for kept in &self.plan.settings.reservations {
            let (client, hw) = match &kept.identifier {
                Identifier::Mac(hw) => (ClientId::Hardware(*hw), *hw),
                Identifier::ClientId(id) => (ClientId::Given(id.as_slice().into()), crate::protocol::lease::HwAddr::default()),
                Identifier::CircuitId(_) => continue,
            };
            let is_free = self.table.get(kept.address).is_none_or(|record| record.state == BindingState::Free);
            if twin.owns(kept.address) && is_free && !self.is_pending(kept.address) {
                missing.push((kept.address, client, hw));
            }
            if missing.len() == BATCH {
                break;
            }
        }
        for (address, client, hw) in missing {
            let (generation, version) =
                self.table.get(address).map_or((merge::FIRST_GENERATION, Default::default()), |b| (b.generation, b.version));
            let mut record = Binding {
                address,
                client,
                hw,
                state: BindingState::Released,
                since: now,
                expiry: now,
                epoch: self.epoch,
                generation,
                version,
                host_name: None,
            };
            self.stamp_version(&mut record);
            self.put(now, vec![record], true, out);
        }
    }

    /// The next number of this node, in the record.
    pub(in crate::protocol) fn stamp_version(&mut self, record: &mut Binding) {
        self.version += 1;
        let rank = self.twin.as_ref().map_or(Rank::First, |twin| twin.me());
        record.version.set(rank, self.version);
    }
}
