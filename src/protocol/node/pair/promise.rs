//! Which reply may leave when, and with which lease time (rules 1, 2 and 4).
//!
//! ```text
//!  REQUEST ─► record, commit, update ─┬─ on disk here, confirmed by the partner ─► the full lease
//!                                     └─ on disk here, deadline passed ─► at most max(acked expiry, now + MCLT),
//!                                                                         or undone where the owner's word is missing
//! ```

use std::net::Ipv4Addr;

use super::super::{Node, durable::Parked};
use crate::protocol::{
    Action,
    dhcp::rules::ParkedAck,
    explain::{Asked, NakReason, Refusal, Silence, Step},
    failover::{
        loose::{Rule, is_loose},
        partnership::{Partnership, Proposal},
    },
    lease::{Binding, BindingState, ClientId, HwAddr},
    table::Halves,
    time::Time,
};

impl Node {
    /// From which addresses a client may be given a free one now (rules 3 and 4).
    pub(in crate::protocol) fn halves(&self, now: Time) -> Halves {
        match &self.twin {
            None => Halves::Any,
            Some(twin) if twin.may_give_partners_half(now) => Halves::Both(twin.half()),
            // Its word on its half cannot come.
            Some(twin) if twin.is_together() && twin.partner_in_trouble() => Halves::Own(twin.half()),
            Some(twin) if twin.is_together() && twin.is_word_late(now) => Halves::OwnFirst(twin.half()),
            Some(twin) if twin.is_together() => Halves::Both(twin.half()),
            Some(twin) => Halves::Own(twin.half()),
        }
    }

    /// A new lease of this address needs the partner's word, which has come too late of late: another address is better.
    pub(in crate::protocol) fn needs_late_word(&self, now: Time, address: Ipv4Addr) -> bool {
        self.twin.as_ref().is_some_and(|twin| {
            let is_new = self.table.get(address).is_none_or(|record| !record.is_held(now));
            is_new && twin.is_together() && !twin.owns(address) && twin.is_word_late(now)
        })
    }

    /// Why the rules of the pair keep this address from a client that might have it otherwise. `hw`: of a client for which the
    /// address is kept.
    pub(in crate::protocol) fn twin_refusal(
        &self,
        now: Time,
        client: &ClientId,
        kept_for: Option<HwAddr>,
        address: Ipv4Addr,
    ) -> Option<Refusal> {
        let twin = self.twin.as_ref()?;
        let record = self.table.get(address).filter(|record| record.state != BindingState::Free);
        let Some(record) = record else {
            let may_take = twin.owns(address) || twin.is_together() || twin.may_give_partners_half(now);
            let was_its = || is_loose(Rule::W31) && self.table.get(address).is_some_and(|freed| freed.client == *client);
            let is_granted = kept_for.is_some() && is_loose(Rule::W7);
            return (!may_take && !was_its() && !is_granted).then_some(Refusal::TwinsHalf);
        };
        let is_its = record.client == *client || kept_for == Some(record.hw);
        match record.state {
            BindingState::Free => None,
            _ if kept_for.is_some() && is_loose(Rule::W8) => None,
            BindingState::Leased | BindingState::Released if is_its && !twin.is_given_up(record) => None,
            BindingState::Tentative if is_its && twin.is_together() => None,
            BindingState::Tentative if is_its => Some(Refusal::TwinMustConfirm),
            BindingState::Leased | BindingState::Released if is_its => Some(Refusal::GivenUp),
            BindingState::Leased | BindingState::Released | BindingState::Tentative | BindingState::Declined => {
                Some(Refusal::NotFreedYet)
            }
        }
    }

    /// How a new lease of this address begins: `(state, whether the generation is raised)`.
    pub(in crate::protocol) fn new_lease_state(&self, now: Time, client: &ClientId, address: Ipv4Addr) -> (BindingState, bool) {
        let Some(twin) = &self.twin else { return (BindingState::Leased, false) };
        let record = self.table.get(address);
        let is_new = record.is_none_or(|record| matches!(record.state, BindingState::Free | BindingState::Tentative));
        if !is_new || twin.owns(address) {
            return (BindingState::Leased, false);
        }
        if twin.may_give_partners_half(now) {
            return (BindingState::Leased, !is_loose(Rule::W35));
        }
        let is_granted = (is_loose(Rule::W31) && record.is_some_and(|freed| freed.client == *client))
            || (is_loose(Rule::W7) && self.plan.reservation_at(address).is_some());
        let state = if is_granted || is_loose(Rule::W33) { BindingState::Leased } else { BindingState::Tentative };
        (state, false)
    }

    /// A lease was just given to the store: the partner is told, now or when it is on disk.
    pub(in crate::protocol) fn propose(&mut self, now: Time, before: Option<&Binding>, address: Ipv4Addr, out: &mut Vec<Action>) {
        let ack_deadline = self.plan.settings.twin.ack_deadline;
        let Some(record) = self.table.get(address) else { return };
        let Some(twin) = &mut self.twin else { return };
        let in_contact = twin.in_contact(now);
        let deadline = if in_contact { now + ack_deadline } else { now };
        let proposal = Proposal {
            client: record.client.clone(),
            generation: record.generation,
            version: record.version,
            before: before.map(|before| before.version).unwrap_or_default(),
            deadline,
            ack: None,
            is_confirmed: false,
        };
        // What is new is told by its owner only when it is on its disk; what prolongs may hurry (rule 2).
        let prolongs = before.is_some_and(|before| {
            before.state != BindingState::Free && before.client == record.client && before.generation == record.generation
        });
        let may_hurry = prolongs || !twin.owns(address) || is_loose(Rule::W30);
        twin.forget_proposal(address);
        twin.proposals.insert(address, proposal);
        twin.proposal_deadlines.insert((deadline, address));
        if may_hurry {
            self.send_update(now, address, out);
        }
    }

    /// The record of a lease is on disk here.
    pub(in crate::protocol) fn promise_committed(&mut self, now: Time, ack: ParkedAck, out: &mut Vec<Action>) {
        let address = ack.address;
        match &mut self.twin {
            None => self.release_ack(now, ack, None, out),
            Some(twin) => match twin.proposals.get_mut(&address) {
                Some(proposal) => {
                    proposal.ack = Some(Box::new(ack));
                    self.settle(now, address, out);
                }
                // The record changed under it: the client asks again.
                None => self.silent(now, ack.request, ack.asked, Silence::Superseded { address }, out),
            },
        }
    }

    /// Lets the reply go, if it is time and if it may.
    pub(in crate::protocol) fn settle(&mut self, now: Time, address: Ipv4Addr, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let Some(proposal) = twin.proposals.get(&address) else { return };
        if proposal.ack.is_none() || self.pending.contains_key(&address) {
            return;
        }
        let is_late = now >= proposal.deadline || !twin.in_contact(now);
        if !proposal.is_confirmed && !is_late {
            return;
        }
        let is_confirmed = proposal.is_confirmed;
        let is_tentative = self.table.get(address).is_some_and(|record| record.state == BindingState::Tentative);
        match (is_confirmed, is_tentative) {
            (true, true) => self.make_firm(now, address, out),
            (true, false) => self.let_go(now, address, None, out),
            (false, true) if twin.may_give_partners_half(now) => self.take_from_partner(now, address, out),
            (false, true) => self.undo_proposal(now, address, out),
            (false, false) => {
                let limit = twin.promise_limit(address, now, self.plan.settings.twin.mclt);
                self.let_go(now, address, Some(limit), out);
            }
        }
    }

    fn let_go(&mut self, now: Time, address: Ipv4Addr, limit: Option<Time>, out: &mut Vec<Action>) {
        let proposal = self.twin.as_mut().and_then(|twin| twin.forget_proposal(address));
        if let Some(mut ack) = proposal.and_then(|proposal| proposal.ack) {
            if limit.is_none() && self.twin.is_some() {
                ack.request.steps.push(Step::TwinConfirmed);
            }
            self.release_ack(now, *ack, limit, out);
        }
    }

    /// The owner has confirmed: the lease is one, durably, before its client hears of it (rule 4).
    pub(in crate::protocol) fn make_firm(&mut self, now: Time, address: Ipv4Addr, out: &mut Vec<Action>) {
        let Some(record) = self.table.get(address).filter(|record| record.state == BindingState::Tentative) else { return };
        let record = Binding { state: BindingState::Leased, ..record.clone() };
        let id = self.put(now, vec![record], false, out);
        self.parked.push_back((id, Parked::Settle(address)));
    }

    /// The partner is down for long enough: its half is given from, in a new generation (rule 10).
    fn take_from_partner(&mut self, now: Time, address: Ipv4Addr, out: &mut Vec<Action>) {
        let Some(record) = self.table.get(address) else { return };
        let mut record = Binding { state: BindingState::Leased, ..record.clone() };
        if !is_loose(Rule::W35) {
            record.generation += 1;
        }
        self.stamp_version(&mut record);
        let id = self.put(now, vec![record.clone()], true, out);
        if let Some(proposal) = self.twin.as_mut().and_then(|twin| twin.proposals.get_mut(&address)) {
            (proposal.generation, proposal.version) = (record.generation, record.version);
        }
        self.parked.push_back((id, Parked::Settle(address)));
    }

    /// No word of the owner in time: the address is free again, with a new version, and the client asks again (rule 4).
    fn undo_proposal(&mut self, now: Time, address: Ipv4Addr, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let Some(proposal) = twin.forget_proposal(address) else { return };
        twin.word_was_late = Some(now);
        if let Some(record) = self.table.get(address) {
            let mut record = Binding { state: BindingState::Free, since: now, epoch: self.epoch, ..record.clone() };
            if is_loose(Rule::W1) {
                record.version = proposal.before;
            } else {
                self.stamp_version(&mut record);
            }
            self.put(now, vec![record], true, out);
        }
        if let Some(ack) = proposal.ack {
            let ParkedAck { request, asked, client, .. } = *ack;
            self.table.forget_offer(&self.plan, now, &client);
            if asked == Asked::Select {
                // It holds nothing yet: told no, it asks anew at once.
                let why = NakReason::NotPossible { asked: address, why: Refusal::TwinMustConfirm };
                return self.nak(now, request, asked, why, out);
            }
            self.silent(now, request, asked, Silence::TwinDidNotConfirm { address }, out);
        }
    }

    /// Replies whose time has come.
    pub(super) fn settle_due(&mut self, now: Time, out: &mut Vec<Action>) {
        while let Some(twin) = &mut self.twin
            && let Some(&(deadline, address)) = twin.proposal_deadlines.first()
            && deadline <= now
        {
            // It stays among the proposals; when its commit is done it finds its deadline passed.
            twin.proposal_deadlines.pop_first();
            self.settle(now, address, out);
        }
    }

    /// Without contact nobody's confirmation is waited for.
    pub(super) fn settle_all(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &self.twin else { return };
        let mut addresses: Vec<Ipv4Addr> = twin.proposals.keys().copied().collect();
        addresses.sort_unstable();
        for address in addresses {
            self.settle(now, address, out);
        }
    }

    /// Both serve, and know the same.
    pub(in crate::protocol) fn is_together(&self) -> bool {
        self.twin.as_ref().is_none_or(|twin| twin.is_together())
    }

    /// An address of the partner's half, while apart or while the partner has news that did not arrive yet: what is not known
    /// of it here, the partner may have promised (rule 13).
    pub(in crate::protocol) fn twin_may_know(&self, address: Ipv4Addr) -> bool {
        self.twin.as_ref().is_some_and(|twin| {
            let has_news = twin.partner.as_ref().is_some_and(|partner| partner.unconfirmed > 0);
            !twin.owns(address) && (!twin.is_together() || has_news)
        })
    }

    /// A promise without end is one that the partner has confirmed as such.
    pub(in crate::protocol) fn twin_knows_for_ever(&self, address: Ipv4Addr) -> bool {
        self.twin.as_ref().is_none_or(|twin| twin.acked.get(&address) == Some(&Time::NEVER))
    }

    /// No promise beyond rule 2 from what is remembered while the disk takes nothing.
    pub(in crate::protocol) fn cut_to_limit(&self, now: Time, address: Ipv4Addr, secs: u32) -> u32 {
        let Some(twin) = &self.twin else { return secs };
        let limit = twin.promise_limit(address, now, self.plan.settings.twin.mclt);
        secs_until(now, limit).min(secs)
    }

    /// A lease time that was raised applies once the partner counts its waits by it (rule 13).
    pub(in crate::protocol) fn cut_to_known(&self, secs: u32) -> u32 {
        match &self.twin {
            Some(twin) if !is_loose(Rule::W20) => {
                secs.min(u32::try_from(twin.memory.partner_lease.as_secs()).unwrap_or(u32::MAX))
            }
            Some(_) | None => secs,
        }
    }
}

/// Whole seconds; `u32::MAX`: without end.
pub(in crate::protocol) fn secs_until(now: Time, end: Time) -> u32 {
    if end == Time::NEVER { u32::MAX } else { u32::try_from(now.until(end).as_secs()).unwrap_or(u32::MAX - 1) }
}

impl Partnership {
    /// The record of this address is another one now: what was known of the old one says nothing (rule 2).
    pub(in crate::protocol) fn record_changed(&mut self, before: Option<&Binding>, after: &Binding) {
        let address = after.address;
        let is_same = after.state != BindingState::Free
            && before.is_some_and(|before| before.generation == after.generation && before.client == after.client);
        if !is_same && !is_loose(Rule::W3) {
            self.acked.remove(&address);
        }
        let is_superseded = self.proposals.get(&address).is_some_and(|proposal| {
            !after.state.is_lease() || proposal.client != after.client || proposal.generation != after.generation
        });
        if is_superseded {
            self.forget_proposal(address);
        }
    }
}
