//! DISCOVER and REQUEST: from the first question to a lease on disk, and its renewal (§4.3.1, §4.3.2).

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::v4::MessageType;

use super::{Link, ParkedAck, Request};
use crate::protocol::{
    Action,
    allocator::Identity,
    dhcp::{Message, code},
    explain::{Asked, NakReason, Outcome, Refusal, Silence, Step, SubnetBy},
    failover::loose::{Rule, is_loose},
    lease::{Binding, BindingState, ClientId},
    node::{BindingChange, MAX_STRANGERS, Node, secs_until},
    probe::{CACHE_TIME, ProbeResult},
    time::Time,
};

impl Node {
    /// §4.3.1. Also where a request goes on whose address has been probed.
    pub(in crate::protocol) fn discover(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::Discover;
        let earlier = std::mem::take(&mut request.steps);
        request.steps = earlier.iter().filter(|step| matches!(step, Step::DamagedOptions { .. })).cloned().collect();
        let Some(link) = self.link(&request, None) else { return self.silent(now, request, asked, Silence::NoSubnet, out) };
        self.note_link(&mut request, &link);
        let Identity { mut client, rival } = self.identify(now, &request.message, None, &mut request.steps);
        let can_probe = if link.by == SubnetBy::Interface { self.plan.settings.server.probe } else { None };

        if let Some(rival) = rival {
            // Two MACs under one client-id: the same device on another card, or a clone? The old one's address tells.
            // Who was served just now is there, even if it does not answer yet; a silence from before its lease says nothing.
            let was_just_served = now - rival.since < CACHE_TIME;
            match (self.probes.get(now, rival.address), can_probe) {
                (Some(ProbeResult::Silent), _) if !was_just_served => {}
                (Some(ProbeResult::UsedBy(mac)), _) if request.message.hw.mac() == Some(mac) => {}
                (None, Some(wait)) if !was_just_served => {
                    self.probe(now, wait, rival.address, request, out);
                    return;
                }
                // It lives; or it cannot be asked, and then nobody may come to share its address.
                (Some(ProbeResult::Silent | ProbeResult::NotAsked | ProbeResult::UsedBy(_)) | None, _) => {
                    request.steps.push(Step::CloneOf { hw: rival.hw });
                    if let ClientId::Given(id) = client {
                        client = ClientId::Clone(id, request.message.hw);
                    } else {
                        unreachable!("only a client-id has rivals");
                    }
                }
            }
        }

        let choice = match self.choose(now, &request.message, &client, &link.subnets, &mut request.steps) {
            Ok(choice) => choice,
            Err(why) => {
                put_detour(&mut request.steps, earlier);
                return self.silent(now, request, asked, why, out);
            }
        };
        let was_chosen_before = earlier.iter().any(|step| matches!(step, Step::NotKept | Step::KeptButNotNow { .. }));
        if was_chosen_before && matches!(request.steps.last(), Some(Step::OfferedBefore { .. })) {
            // It was held for the client while the probe ran. Why it was chosen (and whose clone this is) was found then.
            request.steps = earlier;
        } else {
            put_detour(&mut request.steps, earlier);
        }
        let address = choice.address;
        let subnet = self.plan.subnet_of(address).expect("a chosen address lies in a subnet");
        if choice.is_new {
            if let Some(why) = self.disk_trouble(now) {
                let why = Silence::DiskTrouble { why };
                return self.silent(now, request, asked, why, out);
            }
            let count = request.steps.iter().filter(|step| matches!(step, Step::ProbeAnswered { .. })).count();
            match (can_probe, self.probes.get(now, address)) {
                (None, _) => request.steps.push(Step::NotProbed),
                (Some(_), None | Some(ProbeResult::UsedBy(_))) if count >= MAX_STRANGERS => {
                    return self.silent(now, request, asked, Silence::StrangersAnswer { count }, out);
                }
                (Some(_), Some(ProbeResult::UsedBy(mac))) if request.message.hw.mac() != Some(mac) => {
                    // It was asked for another client's sake, who answered itself and then did not take it.
                    request.steps.push(Step::ProbeAnswered { address, mac });
                    self.leave_to_stranger(now, address);
                    return self.discover(now, request, out);
                }
                (Some(_), Some(ProbeResult::Silent | ProbeResult::NotAsked | ProbeResult::UsedBy(_))) => {}
                (Some(wait), None) => {
                    self.table.set_offer(&self.plan, now, &client, address, request.message.hw);
                    self.probe(now, wait, address, request, out);
                    return;
                }
            }
        }
        let secs = match self.offered_secs(now, &request.message, &client, address, subnet, &mut request.steps) {
            Ok(secs) => secs,
            Err(why) => return self.silent(now, request, asked, why, out),
        };
        let wants_rapid = self.plan.settings.server.rapid_commit && request.message.options.get(code::RAPID_COMMIT).is_some();
        if wants_rapid && self.disk_trouble(now).is_none() {
            if self.is_pending(address) {
                return self.silent(now, request, asked, Silence::BeingWritten { address }, out);
            }
            if self.is_behind() {
                return self.silent(now, request, asked, Silence::StoreBehind, out);
            }
            return self.ack(now, request, asked, client, address, out);
        }
        self.table.set_offer(&self.plan, now, &client, address, request.message.hw);
        let reply = self.lease_reply(&mut request, MessageType::Offer, address, subnet, secs);
        out.push(Action::Reply(reply));
        let outcome = Outcome::Offered { address, secs };
        self.conclude(now, request, asked, outcome, out);
    }

    /// REQUEST that answers an offer.
    pub(super) fn select(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::Select;
        let (Some(server), Some(address)) = (request.message.server_id(), request.message.requested_address()) else {
            return self.silent(now, request, asked, Silence::BareRequest, out);
        };
        let Identity { client, rival } = self.identify(now, &request.message, None, &mut request.steps);
        if !self.is_me(&request, server) {
            // It may be the twin that was chosen: no NAK.
            self.table.forget_offer(&self.plan, now, &client);
            return self.silent(now, request, asked, Silence::OtherServer { server }, out);
        }
        let Some(link) = self.link(&request, None) else { return self.silent(now, request, asked, Silence::NoSubnet, out) };
        self.note_link(&mut request, &link);
        let was_offered =
            self.table.offer_to(&client).is_some_and(|offer| offer.address == address && offer.hw == request.message.hw);
        if let Some(rival) = rival.filter(|_| !was_offered) {
            let why = NakReason::ClientIdInUse { asked: address, hw: rival.hw };
            return self.nak(now, request, asked, why, out);
        }
        if was_offered {
            request.steps.push(Step::OfferedBefore { address });
        }
        if !self.is_on(&link, address) {
            return self.nak(now, request, asked, NakReason::WrongNetwork { address }, out);
        }
        self.confirm(now, request, asked, client, address, out);
    }

    /// The client remembers an address and wants to know whether it is still right.
    pub(super) fn init_reboot(&mut self, now: Time, request: Request, out: &mut Vec<Action>) {
        let asked = Asked::InitReboot;
        let address = request.message.requested_address().expect("this is what makes it INIT-REBOOT");
        let Some((request, link, client)) = self.recognise(now, request, asked, address, None, out) else { return };
        let kept = self.reservation_for(&request.message).map(|kept| kept.address);
        let records = || self.table.of_client(&client).filter(|binding| self.is_on(&link, binding.address));
        if kept == Some(address) || records().any(|binding| binding.address == address) {
            return self.confirm(now, request, asked, client, address, out);
        }
        if self.twin_may_know(address) {
            return self.silent(now, request, asked, Silence::TwinMayKnow { address }, out);
        }
        let last = || records().max_by_key(|binding| (binding.is_held(now), binding.since)).map(|binding| binding.address);
        match kept.filter(|&kept| self.is_on(&link, kept)).or_else(last) {
            Some(has) => self.nak(now, request, asked, NakReason::OtherAddress { asked: address, has }, out),
            None if self.plan.settings.server.authoritative => {
                self.nak(now, request, asked, NakReason::Unknown { asked: address }, out)
            }
            None => self.silent(now, request, asked, Silence::UnknownClient, out),
        }
    }

    /// RENEWING and REBINDING.
    pub(super) fn prolong(&mut self, now: Time, request: Request, asked: Asked, out: &mut Vec<Action>) {
        let address = request.message.ciaddr;
        if let Some(server) = request.message.server_id()
            && !self.is_me(&request, server)
        {
            return self.silent(now, request, asked, Silence::OtherServer { server }, out);
        }
        // A relayed client renews without its relay: its address tells the subnet, not where the packet came in.
        let named = (asked == Asked::Renew).then_some(address);
        let Some((request, _, client)) = self.recognise(now, request, asked, address, named, out) else { return };
        if self.table.of_client(&client).any(|binding| binding.address == address) {
            return self.confirm(now, request, asked, client, address, out);
        }
        if self.twin_may_know(address) {
            self.silent(now, request, asked, Silence::TwinMayKnow { address }, out);
        } else if asked == Asked::Renew || self.plan.settings.server.authoritative {
            self.nak(now, request, asked, NakReason::Unknown { asked: address }, out);
        } else {
            self.silent(now, request, asked, Silence::UnknownClient, out);
        }
    }

    /// Where the client is and who it is, for an address that it says it has. `None`: it has been answered.
    fn recognise(
        &mut self,
        now: Time,
        mut request: Request,
        asked: Asked,
        address: Ipv4Addr,
        named: Option<Ipv4Addr>,
        out: &mut Vec<Action>,
    ) -> Option<(Request, Link, ClientId)> {
        let Some(link) = self.link(&request, named) else {
            self.silent(now, request, asked, Silence::NoSubnet, out);
            return None;
        };
        self.note_link(&mut request, &link);
        if !self.is_on(&link, address) {
            self.nak(now, request, asked, NakReason::WrongNetwork { address }, out);
            return None;
        }
        let Identity { client, rival } = self.identify(now, &request.message, Some(address), &mut request.steps);
        if let Some(rival) = rival {
            self.nak(now, request, asked, NakReason::ClientIdInUse { asked: address, hw: rival.hw }, out);
            return None;
        }
        Some((request, link, client))
    }

    /// The client may have the address unless something speaks against it.
    fn confirm(
        &mut self,
        now: Time,
        mut request: Request,
        asked: Asked,
        client: ClientId,
        address: Ipv4Addr,
        out: &mut Vec<Action>,
    ) {
        self.table.run_out(&self.plan, now);
        if let Some(why) = self.refusal(now, &request.message, &client, address) {
            // Given up here, and told by its owner since as a lease that goes on: that one prolongs it.
            let goes_on = || why == Refusal::GivenUp && self.table.get(address).is_some_and(|binding| binding.is_held(now));
            // Who takes up an offer has no lease yet: told no, it asks anew at once.
            if why.is_the_twins() && asked != Asked::Select && (!self.is_together() || goes_on()) {
                // What this node does not know, the twin may have promised (failover rule 13).
                return self.silent(now, request, asked, Silence::TwinMayKnow { address }, out);
            }
            return self.nak(now, request, asked, NakReason::NotPossible { asked: address, why }, out);
        }
        let kept = self.reservation_for(&request.message);
        if let Some((kept, name)) = kept.map(|kept| (kept.address, kept.name.clone())) {
            if kept == address {
                request.steps.push(Step::Kept { address, name });
            } else if self.plan.subnet_of(kept) == self.plan.subnet_of(address) {
                match self.refusal(now, &request.message, &client, kept) {
                    None => {
                        let why = NakReason::NotPossible { asked: address, why: Refusal::HasKeptAddress { kept } };
                        return self.nak(now, request, asked, why, out);
                    }
                    Some(why) => request.steps.push(Step::KeptButNotNow { address: kept, why }),
                }
            }
        }
        match self.table.get(address).filter(|binding| binding.client == client) {
            Some(binding) if binding.is_held(now) => request.steps.push(Step::Has { address, state: binding.state }),
            Some(_) => request.steps.push(Step::Had { address }),
            None => {}
        }
        if self.is_pending(address) {
            // The reply to the message before is waiting for the disk; this one repeats it.
            return self.silent(now, request, asked, Silence::BeingWritten { address }, out);
        }
        if self.is_behind() {
            return self.silent(now, request, asked, Silence::StoreBehind, out);
        }
        if self.disk_trouble(now).is_some() {
            return self.answer_from_memory(now, ParkedAck { request, asked, client, address, secs: 0, since: now }, out);
        }
        self.ack(now, request, asked, client, address, out);
    }

    /// Writes the lease down; the ACK leaves when that is on disk.
    fn ack(&mut self, now: Time, mut request: Request, asked: Asked, client: ClientId, address: Ipv4Addr, out: &mut Vec<Action>) {
        let subnet = self.plan.subnet_of(address).expect("checked by `refusal`");
        let secs = self.lease_secs(&request.message, subnet, &mut request.steps);
        let promised = if secs == u32::MAX { Time::NEVER } else { now + Duration::from_secs(secs.into()) };
        // A shorter lease may never reach the client: the longest that it was told stays on record (failover rule 7).
        // With a twin, so does what was handed back: the twin may have promised by it since.
        let counts = |b: &&Binding| match b.state {
            BindingState::Leased => b.hw == request.message.hw,
            BindingState::Tentative | BindingState::Released | BindingState::Declined => self.twin.is_some(),
            BindingState::Free => false,
        };
        let told = self.table.get(address).filter(counts).filter(|_| !is_loose(Rule::W36));
        let expiry = told.map_or(promised, |binding| promised.max(binding.expiry));
        let (hw, host_name) = (request.message.hw, request.message.host_name());
        let (state, raises_generation) = self.new_lease_state(now, &client, address);
        let leased = BindingChange { address, client: &client, hw, state, expiry, host_name };
        let mut record = self.new_record(now, leased);
        record.generation += u32::from(raises_generation);
        let before = self.table.get(address).filter(|_| self.twin.is_some()).cloned();
        let mut records = vec![record];
        if matches!(asked, Asked::Select | Asked::Discover) {
            // A client that asks from the start holds nothing any more: what it had on this link is free again.
            let left: Vec<Binding> = self
                .table
                .of_client(&client)
                .filter(|b| self.is_left(now, b, &request.message, subnet, address))
                .cloned()
                .collect();
            for binding in left {
                let released = BindingChange {
                    address: binding.address,
                    client: &client,
                    hw: binding.hw,
                    state: BindingState::Released,
                    expiry: binding.expiry,
                    host_name: None,
                };
                records.push(self.new_record(now, released));
            }
        }
        let commit = self.commit(now, records, out);
        self.propose(now, before.as_ref(), address, out);
        self.park_ack(commit, ParkedAck { request, asked, client, address, secs, since: now });
    }

    fn is_left(&self, now: Time, binding: &Binding, message: &Message, subnet: usize, address: Ipv4Addr) -> bool {
        binding.address != address
            && binding.state == BindingState::Leased
            && binding.is_held(now)
            && binding.hw == message.hw
            && self.plan.subnet_of(binding.address) == Some(subnet)
            && !self.is_pending(binding.address)
    }

    /// The lease is on disk, and confirmed by the twin where there is one: the ACK leaves. `limit`: without the twin's word
    /// the promise goes no further.
    pub(in crate::protocol) fn release_ack(&mut self, now: Time, ack: ParkedAck, limit: Option<Time>, out: &mut Vec<Action>) {
        let ParkedAck { mut request, asked, client, address, mut secs, since } = ack;
        if self.table.get(address).is_none_or(|b| b.client != client || b.state != BindingState::Leased) {
            // Declined, released or freed while it waited.
            return self.silent(now, request, asked, Silence::NotItsAddress, out);
        }
        request.steps.push(Step::Durable { after_ms: (now - since).as_millis() as u64 });
        if asked == Asked::Bootp {
            if limit.is_some_and(|limit| limit != Time::NEVER) {
                // A BOOTP client keeps its address for ever.
                return self.silent(now, request, asked, Silence::TwinDidNotConfirm { address }, out);
            }
            return self.bootp_reply(now, request, address, out);
        }
        let Some(subnet) = self.plan.subnet_of(address) else {
            // Settings changed while it waited; the client asks again.
            return self.silent(now, request, asked, Silence::NoSubnet, out);
        };
        if secs != u32::MAX {
            // A client that asked again meanwhile counts from that: what it is told must end where the record ends.
            secs = secs.saturating_sub(u32::try_from((now - since).as_secs()).unwrap_or(u32::MAX));
        }
        if let Some(limit) = limit {
            let at_most = secs_until(now, limit);
            if at_most < secs {
                secs = at_most;
                request.steps.push(Step::TwinSilent { secs });
            }
        }
        if secs == 0 {
            return self.silent(now, request, asked, Silence::StoreBehind, out);
        }
        let reply = self.lease_reply(&mut request, MessageType::Ack, address, subnet, secs);
        out.push(Action::Reply(reply));
        self.conclude(now, request, asked, Outcome::Acked { address, secs }, out);
    }

    /// The disk takes nothing: what is durable already is confirmed for the time that is left of it.
    pub(in crate::protocol) fn answer_from_memory(&mut self, now: Time, ack: ParkedAck, out: &mut Vec<Action>) {
        let ParkedAck { mut request, asked, client, address, .. } = ack;
        let why = self.disk_trouble(now).unwrap_or_default();
        let secs = self.secs_from_memory(now, asked, &client, address);
        let subnet = self.plan.subnet_of(address).filter(|_| secs > 0 && asked != Asked::Bootp);
        let Some(subnet) = subnet else { return self.silent(now, request, asked, Silence::DiskTrouble { why }, out) };
        request.steps.push(Step::DiskTrouble { why });
        let reply = self.lease_reply(&mut request, MessageType::Ack, address, subnet, secs);
        out.push(Action::Reply(reply));
        self.conclude(now, request, asked, Outcome::AckedWhatIsDurable { address, secs }, out);
    }

    /// In whole seconds. While the disk takes nothing, only what could be confirmed then.
    pub(in crate::protocol) fn offered_secs(
        &self,
        now: Time,
        message: &Message,
        client: &ClientId,
        address: Ipv4Addr,
        subnet: usize,
        steps: &mut Vec<Step>,
    ) -> Result<u32, Silence> {
        let Some(why) = self.disk_trouble(now) else { return Ok(self.lease_secs(message, subnet, steps)) };
        match self.secs_from_memory(now, Asked::Discover, client, address) {
            0 => Err(Silence::DiskTrouble { why }),
            secs => {
                steps.push(Step::DiskTrouble { why });
                Ok(secs)
            }
        }
    }

    /// For how long this client may be told again what is durable, in whole seconds.
    fn secs_from_memory(&self, now: Time, asked: Asked, client: &ClientId, address: Ipv4Addr) -> u32 {
        let is_its = |b: &&Binding| b.client == *client && b.state == BindingState::Leased && b.is_held(now);
        let record = self.table.get(address).filter(is_its);
        match record.filter(|record| self.may_tell_again(now, asked, record)) {
            Some(record) if record.expiry == Time::NEVER => self.cut_to_limit(now, address, u32::MAX),
            // For how long the machine was off is unknown: what is counted from the record now, the confirmed clock may take off it later.
            Some(record) if self.sleep_is_unknown && record.epoch < self.epoch => 0,
            Some(record) => self.cut_to_limit(now, address, secs_until(now, record.expiry)),
            None => 0,
        }
    }
}

/// Puts the steps that led to an address which turned out to be in use where the new way leaves the old one.
fn put_detour(steps: &mut Vec<Step>, earlier: Vec<Step>) {
    let fork = steps.iter().position(|step| !earlier.contains(step)).unwrap_or(steps.len());
    let detour: Vec<Step> = earlier.into_iter().filter(|step| !steps.contains(step)).collect();
    steps.splice(fork..fork, detour);
}
