//! RFC 2131 §4.3: what each message is answered with.

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;

use super::{Message, code};
use crate::protocol::{
    Action, Datagram,
    allocator::Identity,
    explain::{Asked, NakReason, Outcome, Refusal, Silence, Step, SubnetBy, whole_secs},
    lease::{Binding, BindingState, ClientId},
    limit::Admission,
    node::{BindingChange, MAX_STRANGERS, Node},
    probe::ProbeResult,
    time::Time,
};

/// A request on its way through the rules.
#[derive(Debug)]
pub struct Request {
    pub message: Message,
    pub interface: u32,
    pub source: Ipv4Addr,
    /// Sent to one of our addresses, not to a broadcast address.
    pub is_unicast: bool,
    /// What this server calls itself towards this client (option 54).
    pub server_id: Ipv4Addr,
    pub steps: Vec<Step>,
}

/// An ACK that waits until its binding is on disk.
#[derive(Debug)]
pub struct ParkedAck {
    pub request: Request,
    pub asked: Asked,
    pub client: ClientId,
    pub address: Ipv4Addr,
    pub secs: u32,
    pub since: Time,
}

/// The subnets that a client can have an address in.
struct Link {
    subnets: Vec<usize>,
    by: SubnetBy,
}

impl Node {
    pub(in crate::protocol) fn datagram(&mut self, now: Time, datagram: &Datagram<'_>, out: &mut Vec<Action>) {
        let message = match Message::decode(datagram.payload) {
            Ok(message) => message,
            Err(cause) => return *self.explain.malformed.entry(cause).or_default() += 1,
        };
        let asked = kind_of(&message, self.table.is_own(datagram.destination));
        let mut request = Request {
            interface: datagram.interface,
            source: datagram.source,
            is_unicast: self.table.is_own(datagram.destination),
            server_id: Ipv4Addr::UNSPECIFIED,
            steps: Vec::with_capacity(8),
            message,
        };
        match self.limiter.admit(now, request.message.hw) {
            Admission::Admitted => {}
            Admission::FirstRefused => return self.silent(now, request, asked, Silence::TooOften, out),
            Admission::Refused => return,
        }
        if !request.message.options.damaged.is_empty() {
            request.steps.push(Step::DamagedOptions { codes: request.message.options.damaged.clone() });
        }
        match self.server_id(&request.message, datagram) {
            Some(server_id) => request.server_id = server_id,
            None => return self.silent(now, request, asked, Silence::NoAddressOfOurs, out),
        }
        match asked {
            Asked::Discover => self.discover(now, request, out),
            Asked::Select => self.select(now, request, out),
            Asked::InitReboot => self.init_reboot(now, request, out),
            Asked::Renew | Asked::Rebind => self.prolong(now, request, asked, out),
            Asked::BareRequest => self.silent(now, request, asked, Silence::BareRequest, out),
            Asked::Decline => self.decline(now, request, out),
            Asked::Release => self.release(now, request, out),
            Asked::Inform => self.inform(now, request, out),
            Asked::Bootp => self.bootp(now, request, out),
            Asked::LeaseQuery => self.lease_query(now, request, out),
        }
    }

    /// §4.3.1. Also where a request goes on whose address has been probed.
    pub(in crate::protocol) fn discover(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::Discover;
        let earlier = std::mem::take(&mut request.steps);
        let is_damage = |step: &&Step| matches!(step, Step::DamagedOptions { .. });
        request.steps.extend(earlier.iter().filter(is_damage).cloned());
        let Some(link) = self.link(&request, None) else { return self.silent(now, request, asked, Silence::NoSubnet, out) };
        self.note_link(&mut request, &link);
        let Identity { mut client, rival } = self.identify(now, &request.message, None, &mut request.steps);
        let can_probe = if link.by == SubnetBy::Interface { self.plan.settings.server.probe } else { None };

        if let Some(rival) = rival {
            // Two MACs under one client-id: the same device on another card, or a clone? The old one's address tells.
            match (self.probes.get(now, rival.address), can_probe) {
                (Some(ProbeResult::Silent), _) => {}
                (None, Some(wait)) => {
                    self.probe(now, wait, rival.address, request, out);
                    return;
                }
                // It lives; or it cannot be asked, and then nobody may come to share its address.
                (Some(ProbeResult::UsedBy(_)), _) | (None, None) => {
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
                request.steps.extend(earlier.into_iter().filter(is_probe));
                return self.silent(now, request, asked, why, out);
            }
        };
        if matches!(earlier.last(), Some(Step::ProbeSilent { address, .. }) if *address == choice.address) {
            // Goes on where it stopped to ask: the way that led here stands already.
            request.steps = earlier;
        } else {
            request.steps.extend(earlier.into_iter().filter(is_probe));
        }
        let address = choice.address;
        let subnet = self.plan.subnet_of(address).expect("a chosen address lies in a subnet");
        if choice.is_new {
            if let Some(trouble) = &self.trouble {
                let why = Silence::DiskTrouble { why: trouble.to_string() };
                return self.silent(now, request, asked, why, out);
            }
            match (can_probe, self.probes.get(now, address)) {
                (None, _) => request.steps.push(Step::NotProbed),
                (Some(_), Some(_)) => {}
                (Some(wait), None) => {
                    let count = request.steps.iter().filter(|step| matches!(step, Step::ProbeAnswered { .. })).count();
                    if count >= MAX_STRANGERS {
                        return self.silent(now, request, asked, Silence::StrangersAnswer { count }, out);
                    }
                    self.table.set_offer(&self.plan, now, &client, address, request.message.hw);
                    self.probe(now, wait, address, request, out);
                    return;
                }
            }
        }
        let secs = match &self.trouble {
            None => self.lease_secs(&request.message, subnet, &mut request.steps),
            Some(_) => self.durable_secs(now, address),
        };
        let wants_rapid = self.plan.settings.server.rapid_commit && request.message.options.get(code::RAPID_COMMIT).is_some();
        if wants_rapid && self.trouble.is_none() {
            return self.ack(now, request, asked, client, address, out);
        }
        self.table.set_offer(&self.plan, now, &client, address, request.message.hw);
        let reply = self.lease_reply(&mut request, MessageType::Offer, address, subnet, secs);
        out.push(Action::Reply(reply));
        let outcome = Outcome::Offered { address, secs };
        self.conclude(now, request, asked, outcome, out);
    }

    /// REQUEST that answers an offer.
    fn select(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
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
    fn init_reboot(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::InitReboot;
        let address = request.message.requested_address().expect("this is what makes it INIT-REBOOT");
        let Some(link) = self.link(&request, None) else { return self.silent(now, request, asked, Silence::NoSubnet, out) };
        self.note_link(&mut request, &link);
        if !self.is_on(&link, address) {
            return self.nak(now, request, asked, NakReason::WrongNetwork { address }, out);
        }
        let Identity { client, rival } = self.identify(now, &request.message, Some(address), &mut request.steps);
        if let Some(rival) = rival {
            let why = NakReason::ClientIdInUse { asked: address, hw: rival.hw };
            return self.nak(now, request, asked, why, out);
        }
        let kept = self.plan.reservation_for(&request.message).map(|kept| kept.address);
        let records = || self.table.of_client(&client).filter(|binding| self.is_on(&link, binding.address));
        if kept == Some(address) || records().any(|binding| binding.address == address) {
            return self.confirm(now, request, asked, client, address, out);
        }
        match records().max_by_key(|binding| (binding.is_held(now), binding.since)).map(|binding| binding.address) {
            Some(has) => self.nak(now, request, asked, NakReason::OtherAddress { asked: address, has }, out),
            None if self.plan.settings.server.authoritative => {
                self.nak(now, request, asked, NakReason::Unknown { asked: address }, out)
            }
            None => self.silent(now, request, asked, Silence::UnknownClient, out),
        }
    }

    /// RENEWING and REBINDING.
    fn prolong(&mut self, now: Time, mut request: Request, asked: Asked, out: &mut Vec<Action>) {
        let address = request.message.ciaddr;
        if let Some(server) = request.message.server_id()
            && !self.is_me(&request, server)
        {
            return self.silent(now, request, asked, Silence::OtherServer { server }, out);
        }
        // A relayed client renews without its relay: its address tells the subnet, not where the packet came in.
        let named = (asked == Asked::Renew).then_some(address);
        let Some(link) = self.link(&request, named) else { return self.silent(now, request, asked, Silence::NoSubnet, out) };
        self.note_link(&mut request, &link);
        if !self.is_on(&link, address) {
            return self.nak(now, request, asked, NakReason::WrongNetwork { address }, out);
        }
        let Identity { client, rival } = self.identify(now, &request.message, Some(address), &mut request.steps);
        if let Some(rival) = rival {
            let why = NakReason::ClientIdInUse { asked: address, hw: rival.hw };
            return self.nak(now, request, asked, why, out);
        }
        if self.table.of_client(&client).any(|binding| binding.address == address) {
            return self.confirm(now, request, asked, client, address, out);
        }
        if asked == Asked::Renew || self.plan.settings.server.authoritative {
            self.nak(now, request, asked, NakReason::Unknown { asked: address }, out);
        } else {
            self.silent(now, request, asked, Silence::UnknownClient, out);
        }
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
            return self.nak(now, request, asked, NakReason::NotPossible { asked: address, why }, out);
        }
        let kept = self.plan.reservation_for(&request.message);
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
            return;
        }
        if self.is_behind() {
            return self.silent(now, request, asked, Silence::StoreBehind, out);
        }
        if self.trouble.is_some() {
            return self.answer_from_memory(now, ParkedAck { request, asked, client, address, secs: 0, since: now }, out);
        }
        self.ack(now, request, asked, client, address, out);
    }

    /// Writes the lease down; the ACK leaves when that is on disk.
    fn ack(&mut self, now: Time, mut request: Request, asked: Asked, client: ClientId, address: Ipv4Addr, out: &mut Vec<Action>) {
        let subnet = self.plan.subnet_of(address).expect("checked by `refusal`");
        let secs = self.lease_secs(&request.message, subnet, &mut request.steps);
        let expiry = if secs == u32::MAX { Time::NEVER } else { now + std::time::Duration::from_secs(secs.into()) };
        let (hw, host_name) = (request.message.hw, request.message.host_name());
        let leased = BindingChange { address, client: &client, hw, state: BindingState::Leased, expiry, host_name };
        let mut records = vec![self.new_record(now, leased)];
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

    /// The lease is on disk: the ACK leaves.
    pub(in crate::protocol) fn release_ack(&mut self, now: Time, ack: ParkedAck, out: &mut Vec<Action>) {
        let ParkedAck { mut request, asked, address, secs, since, .. } = ack;
        request.steps.push(Step::Durable { after_ms: (now - since).as_millis() as u64 });
        if asked == Asked::Bootp {
            return self.bootp_reply(now, request, address, out);
        }
        let Some(subnet) = self.plan.subnet_of(address) else {
            // Settings changed while it waited; the client asks again.
            return self.silent(now, request, asked, Silence::NoSubnet, out);
        };
        let reply = self.lease_reply(&mut request, MessageType::Ack, address, subnet, secs);
        out.push(Action::Reply(reply));
        self.conclude(now, request, asked, Outcome::Acked { address, secs }, out);
    }

    /// The disk takes nothing: what is durable already is confirmed for the time that is left of it.
    pub(in crate::protocol) fn answer_from_memory(&mut self, now: Time, ack: ParkedAck, out: &mut Vec<Action>) {
        let ParkedAck { mut request, asked, client, address, .. } = ack;
        let why = self.trouble.as_ref().map(ToString::to_string).unwrap_or_default();
        let holds =
            self.table.get(address).is_some_and(|b| b.client == client && b.state == BindingState::Leased && b.is_held(now));
        let secs = self.durable_secs(now, address);
        let subnet = self.plan.subnet_of(address).filter(|_| holds && secs > 0 && asked != Asked::Bootp);
        let Some(subnet) = subnet else { return self.silent(now, request, asked, Silence::DiskTrouble { why }, out) };
        request.steps.push(Step::DiskTrouble { why });
        let reply = self.lease_reply(&mut request, MessageType::Ack, address, subnet, secs);
        out.push(Action::Reply(reply));
        self.conclude(now, request, asked, Outcome::AckedWhatIsDurable { address, secs }, out);
    }

    /// Whole seconds left of what was promised.
    fn durable_secs(&self, now: Time, address: Ipv4Addr) -> u32 {
        match self.table.get(address) {
            Some(binding) if binding.expiry == Time::NEVER => u32::MAX,
            Some(binding) => u32::try_from(now.until(binding.expiry).as_secs()).unwrap_or(u32::MAX - 1),
            None => 0,
        }
    }

    /// The client found its address in use by somebody else.
    fn decline(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::Decline;
        if let Some(server) = request.message.server_id()
            && !self.is_me(&request, server)
        {
            return self.silent(now, request, asked, Silence::OtherServer { server }, out);
        }
        let address = request.message.requested_address().unwrap_or(request.message.ciaddr);
        let Some(client) = self.holder(now, &mut request, address) else {
            return self.silent(now, request, asked, Silence::NotItsAddress, out);
        };
        let quarantine = self.plan.settings.server.decline_quarantine;
        let hw = request.message.hw;
        let declined = BindingChange {
            address,
            client: &client,
            hw,
            state: BindingState::Declined,
            expiry: now + quarantine,
            host_name: None,
        };
        let commit = self.bind(now, declined, out);
        let outcome = Outcome::Declined { address, quarantine_secs: whole_secs(quarantine) };
        let decision = self.decision(now, &request.message, asked, request.steps, outcome);
        self.park_note(commit, decision);
    }

    fn release(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::Release;
        if let Some(server) = request.message.server_id()
            && !self.is_me(&request, server)
        {
            return self.silent(now, request, asked, Silence::OtherServer { server }, out);
        }
        let address = request.message.ciaddr;
        let Some(client) = self.holder(now, &mut request, address) else {
            return self.silent(now, request, asked, Silence::NotItsAddress, out);
        };
        // The promise itself stays on record: nothing shortens it (failover rule 7).
        let expiry = self.table.get(address).map_or(now, |binding| binding.expiry);
        let hw = request.message.hw;
        let commit = self.bind(
            now,
            BindingChange { address, client: &client, hw, state: BindingState::Released, expiry, host_name: None },
            out,
        );
        let decision = self.decision(now, &request.message, asked, request.steps, Outcome::Released { address });
        self.park_note(commit, decision);
    }

    /// The identity under which the sender holds the address, if it does.
    fn holder(&self, now: Time, request: &mut Request, address: Ipv4Addr) -> Option<ClientId> {
        let Identity { client, rival } = self.identify(now, &request.message, Some(address), &mut request.steps);
        let binding = self.table.get(address)?;
        let holds = binding.client == client && binding.state == BindingState::Leased && binding.is_held(now) && rival.is_none();
        holds.then_some(client)
    }

    /// The client has an address from elsewhere and wants options.
    fn inform(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::Inform;
        let address = if request.message.ciaddr.is_unspecified() { request.source } else { request.message.ciaddr };
        if address.is_unspecified() {
            return self.silent(now, request, asked, Silence::NowhereToSend, out);
        }
        let Some(link) = self.link(&request, Some(address)) else {
            return self.silent(now, request, asked, Silence::NoSubnet, out);
        };
        self.note_link(&mut request, &link);
        let reply = self.inform_reply(&mut request, link.subnets[0], address);
        out.push(Action::Reply(reply));
        self.conclude(now, request, asked, Outcome::Informed { address }, out);
    }

    /// RFC 1534: for devices with a kept address only, and without end.
    fn bootp(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::Bootp;
        if !self.plan.settings.server.bootp {
            return self.silent(now, request, asked, Silence::BootpOff, out);
        }
        let Some(link) = self.link(&request, None) else { return self.silent(now, request, asked, Silence::NoSubnet, out) };
        self.note_link(&mut request, &link);
        let kept = self.plan.reservation_for(&request.message).map(|kept| kept.address);
        let Some(address) = kept.filter(|&address| self.is_on(&link, address)) else {
            return self.silent(now, request, asked, Silence::BootpNotKept, out);
        };
        let client = request.message.client_id();
        if let Some(why) = self.refusal(now, &request.message, &client, address) {
            request.steps.push(Step::KeptButNotNow { address, why });
            return self.silent(now, request, asked, Silence::BootpNotKept, out);
        }
        let is_recorded = self
            .table
            .get(address)
            .is_some_and(|b| b.client == client && b.state == BindingState::Leased && b.expiry == Time::NEVER);
        if is_recorded && !self.is_pending(address) {
            return self.bootp_reply(now, request, address, out);
        }
        if let Some(trouble) = &self.trouble {
            let why = Silence::DiskTrouble { why: trouble.to_string() };
            return self.silent(now, request, asked, why, out);
        }
        if self.is_pending(address) {
            return;
        }
        let hw = request.message.hw;
        let leased =
            BindingChange { address, client: &client, hw, state: BindingState::Leased, expiry: Time::NEVER, host_name: None };
        let commit = self.bind(now, leased, out);
        self.park_ack(commit, ParkedAck { request, asked, client, address, secs: u32::MAX, since: now });
    }

    fn bootp_reply(&mut self, now: Time, request: Request, address: Ipv4Addr, out: &mut Vec<Action>) {
        let Some(subnet) = self.plan.subnet_of(address) else { return };
        out.push(Action::Reply(self.bootp_answer(&request, address, subnet)));
        self.conclude(now, request, Asked::Bootp, Outcome::BootpReply { address }, out);
    }

    fn nak(&mut self, now: Time, request: Request, asked: Asked, why: NakReason, out: &mut Vec<Action>) {
        let text = why.to_string();
        out.push(Action::Reply(self.nak_reply(&request, &text)));
        self.conclude(now, request, asked, Outcome::Naked { why }, out);
    }

    pub(in crate::protocol) fn silent(&mut self, now: Time, request: Request, asked: Asked, why: Silence, out: &mut Vec<Action>) {
        self.conclude(now, request, asked, Outcome::Silent { why }, out);
    }

    pub(in crate::protocol) fn conclude(
        &mut self,
        now: Time,
        request: Request,
        asked: Asked,
        outcome: Outcome,
        out: &mut Vec<Action>,
    ) {
        let decision = self.decision(now, &request.message, asked, request.steps, outcome);
        self.decided(decision, out);
    }

    /// Where the client is: relay sub-option 5 (RFC 3527), option 118 (RFC 3011), giaddr, an address that the client
    /// has on good authority, the interface.
    fn link(&self, request: &Request, named: Option<Ipv4Addr>) -> Option<Link> {
        let message = &request.message;
        let one = |address, by| self.plan.subnet_of(address).map(|subnet| Link { subnets: vec![subnet], by });
        let selected = message.relay_option(code::RELAY_LINK_SELECTION).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        if let Some(address) = selected {
            return one(address.into(), SubnetBy::LinkSelection);
        }
        if let Some(address) = message.options.address(code::SUBNET_SELECTION) {
            return one(address, SubnetBy::SubnetSelection);
        }
        if message.is_relayed() {
            return one(message.giaddr, SubnetBy::Giaddr);
        }
        let subnets = &self.interfaces.get(&request.interface)?.subnets;
        let here = Link { subnets: subnets.clone(), by: SubnetBy::Interface };
        if let Some(address) = named
            && !self.is_on(&here, address)
            && let Some(elsewhere) = one(address, SubnetBy::Interface)
            && request.is_unicast
        {
            return Some(elsewhere);
        }
        (!subnets.is_empty()).then_some(here)
    }

    fn note_link(&self, request: &mut Request, link: &Link) {
        let network = self.plan.subnets()[link.subnets[0]].subnet.network;
        request.steps.push(Step::Subnet { network, by: link.by });
    }

    fn is_on(&self, link: &Link, address: Ipv4Addr) -> bool {
        self.plan.subnet_of(address).is_some_and(|subnet| link.subnets.contains(&subnet))
    }

    /// RFC 5107 lets a relay put its own address in our place.
    fn server_id(&self, message: &Message, datagram: &Datagram<'_>) -> Option<Ipv4Addr> {
        let overridden = message.relay_option(code::RELAY_SERVER_ID).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        if let Some(address) = overridden {
            return Some(address.into());
        }
        let plan = self.interfaces.get(&datagram.interface)?;
        let own = plan.interface.addresses.iter().map(|net| net.addr());
        let in_subnet =
            own.clone().find(|&address| self.plan.subnet_of(address).is_some_and(|subnet| plan.subnets.contains(&subnet)));
        let addressed = self.table.is_own(datagram.destination).then_some(datagram.destination);
        if message.is_relayed() { addressed.or(in_subnet) } else { in_subnet }.or_else(|| own.clone().next())
    }

    fn is_me(&self, request: &Request, server: Ipv4Addr) -> bool {
        server == request.server_id || self.table.is_own(server)
    }
}

fn is_probe(step: &Step) -> bool {
    matches!(step, Step::ProbeSilent { .. } | Step::ProbeAnswered { .. })
}

fn kind_of(message: &Message, is_unicast: bool) -> Asked {
    match message.kind {
        None => Asked::Bootp,
        Some(MessageType::Discover) => Asked::Discover,
        Some(MessageType::Decline) => Asked::Decline,
        Some(MessageType::Release) => Asked::Release,
        Some(MessageType::Inform) => Asked::Inform,
        Some(MessageType::Request) => match (message.server_id(), message.requested_address()) {
            (Some(_), Some(_)) => Asked::Select,
            _ if !message.ciaddr.is_unspecified() => {
                if is_unicast {
                    Asked::Renew
                } else {
                    Asked::Rebind
                }
            }
            (None, Some(_)) => Asked::InitReboot,
            (_, None) => Asked::BareRequest,
        },
        Some(_) => Asked::LeaseQuery,
    }
}
