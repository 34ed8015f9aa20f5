//! Which address may this client have, and the trace of why.

use std::net::Ipv4Addr;

use super::{
    dhcp::Message,
    explain::{Refusal, Silence, Step, whole_secs},
    failover::loose::{Rule, is_loose},
    lease::{Binding, BindingState, ClientId},
    node::Node,
    probe::ProbeResult,
    table::Halves,
    time::Time,
};
use crate::settings::{Identifier, Reservation};

/// Who asks, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub client: ClientId,
    /// A device with another MAC that holds a lease under the same client-id.
    pub rival: Option<Binding>,
}

/// An address that the client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    pub address: Ipv4Addr,
    /// The client does not hold it already: make sure that nobody else uses it.
    pub is_new: bool,
}

impl Node {
    /// §4.2, and what clients do in the field. `named` is the address that the message claims as its own.
    pub(super) fn identify(&self, now: Time, request: &Message, named: Option<Ipv4Addr>, steps: &mut Vec<Step>) -> Identity {
        let client = request.client_id();
        if let ClientId::Given(id) = &client
            && self.table.is_clone(id, request.hw)
        {
            return Identity { client: ClientId::Clone(id.clone(), request.hw), rival: None };
        }
        let is_known = self.table.of_client(&client).next().is_some();
        if !is_known && let Some(binding) = named.and_then(|address| self.table.get(address)) {
            // lwIP leaves out option 61 when it renews; it is the same device all the same. Two different ones behind
            // one MAC (ipvlan containers) are two devices.
            let one_is_nameless = matches!(client, ClientId::Hardware(_)) || matches!(binding.client, ClientId::Hardware(_));
            if one_is_nameless && binding.hw == request.hw && binding.state == BindingState::Leased && binding.is_held(now) {
                steps.push(Step::RecognisedByAddress { address: binding.address });
                return Identity { client: binding.client.clone(), rival: None };
            }
        }
        let rival = match client {
            ClientId::Given(_) => self
                .table
                .of_client(&client)
                .find(|binding| binding.hw != request.hw && binding.state == BindingState::Leased && binding.is_held(now)),
            ClientId::Hardware(_) | ClientId::Clone(..) => None,
        };
        Identity { rival: rival.cloned(), client }
    }

    /// In this order: kept address, the one it holds, the one just offered, the one it had, the one it asks for, a free one (§4.3.1).
    pub(super) fn choose(
        &mut self,
        now: Time,
        request: &Message,
        client: &ClientId,
        subnets: &[usize],
        steps: &mut Vec<Step>,
    ) -> Result<Choice, Silence> {
        self.table.run_out(&self.plan, now);
        if let Some(choice) = self.choose_its_own(now, request, client, subnets, steps) {
            return Ok(choice);
        }
        let halves = self.halves(now);
        for &subnet in subnets {
            if let Some(address) = self.table.next_free(&self.plan, subnet, halves, now) {
                steps.push(self.next_free_step(address, subnet));
                return Ok(self.choice(now, client, address));
            }
        }
        Err(self.none_free(now, subnets))
    }

    /// What `choose` would say, and nothing changes. What has run out by `now` must have been noted.
    pub(super) fn would_choose(
        &self,
        now: Time,
        request: &Message,
        client: &ClientId,
        subnets: &[usize],
        steps: &mut Vec<Step>,
    ) -> Result<Choice, Silence> {
        if let Some(choice) = self.choose_its_own(now, request, client, subnets, steps) {
            return Ok(choice);
        }
        let halves = self.halves(now);
        for &subnet in subnets {
            if let Some(address) = self.table.would_be_next_free(&self.plan, subnet, halves, now) {
                steps.push(self.next_free_step(address, subnet));
                return Ok(self.choice(now, client, address));
            }
        }
        Err(self.none_free(now, subnets))
    }

    /// An address with which this client has something to do; `None`: any free one will do.
    fn choose_its_own(
        &self,
        now: Time,
        request: &Message,
        client: &ClientId,
        subnets: &[usize],
        steps: &mut Vec<Step>,
    ) -> Option<Choice> {
        let on_link = |node: &Node, address| node.plan.subnet_of(address).is_some_and(|subnet| subnets.contains(&subnet));

        let kept = self
            .reservation_for(request)
            .filter(|kept| on_link(self, kept.address))
            .map(|kept| (kept.address, kept.name.clone()));
        match kept {
            None => steps.push(Step::NotKept),
            Some((address, name)) => match self.refusal(now, request, client, address) {
                None => {
                    steps.push(Step::Kept { address, name });
                    return Some(self.choice(now, client, address));
                }
                Some(why) => steps.push(Step::KeptButNotNow { address, why }),
            },
        }

        let mut records: Vec<(bool, Time, Ipv4Addr)> = self
            .table
            .of_client(client)
            .filter(|b| on_link(self, b.address))
            .map(|b| (b.is_held(now), b.since, b.address))
            .collect();
        records.sort_unstable_by(|a, b| b.cmp(a));
        let late_word = |node: &Node, address| node.needs_late_word(now, address).then_some(Refusal::TwinIsLate);
        for &(is_held, _, address) in &records {
            match self.refusal(now, request, client, address).or_else(|| late_word(self, address)) {
                None => {
                    steps.push(if is_held { Step::Has { address, state: BindingState::Leased } } else { Step::Had { address } });
                    return Some(self.choice(now, client, address));
                }
                Some(why) => steps.push(Step::HadButNotNow { address, why }),
            }
        }

        if let Some(address) = self.table.offer_to(client).map(|offer| offer.address)
            && on_link(self, address)
            && self.refusal(now, request, client, address).is_none()
            && late_word(self, address).is_none()
        {
            steps.push(Step::OfferedBefore { address });
            return Some(self.choice(now, client, address));
        }

        if let Some(address) = request.requested_address() {
            let refusal = if on_link(self, address) {
                self.refusal(now, request, client, address).or_else(|| late_word(self, address))
            } else {
                Some(Refusal::NotOnThisNetwork)
            };
            match refusal {
                None => {
                    steps.push(Step::AskedFor { address });
                    return Some(self.choice(now, client, address));
                }
                Some(why) => steps.push(Step::AskedForButNot { address, why }),
            }
        }
        None
    }

    fn next_free_step(&self, address: Ipv4Addr, subnet: usize) -> Step {
        Step::NextFree { address, network: self.plan.subnets()[subnet].subnet.network }
    }

    fn none_free(&self, now: Time, subnets: &[usize]) -> Silence {
        let largest = subnets.iter().map(|&subnet| &self.plan.subnets()[subnet]).max_by_key(|plan| plan.pool_size);
        match largest {
            Some(plan) if plan.pool_size > 0 => {
                let is_half = matches!(self.halves(now), Halves::Own(_));
                Silence::PoolFull { network: plan.subnet.network, size: plan.pool_size, aside: self.table.aside_len(), is_half }
            }
            Some(plan) => Silence::NoPool { network: plan.subnet.network },
            None => Silence::NoSubnet,
        }
    }

    /// Why this client cannot have this address now; `None`: it can.
    pub(super) fn refusal(&self, now: Time, request: &Message, client: &ClientId, address: Ipv4Addr) -> Option<Refusal> {
        let Some(subnet) = self.plan.subnet_of(address) else { return Some(Refusal::NotOnThisNetwork) };
        let subnet = &self.plan.subnets()[subnet];
        if subnet.is_special(address) || self.table.is_own(address) {
            return Some(Refusal::Special);
        }
        let is_kept_for_it = match self.plan.reservation_at(address) {
            None if !subnet.is_dynamic(address) => return Some(Refusal::OutsidePools),
            None => false,
            Some(kept) if self.is_for(kept, request) => true,
            Some(kept) => return Some(Refusal::KeptForAnother { name: kept.name.clone() }),
        };
        let kept_for = is_kept_for_it.then_some(request.hw);
        if let Some(why) = self.twin_refusal(now, client, kept_for, address)
            && !self.table.get(address).is_some_and(|binding| binding.is_held(now))
        {
            return Some(why);
        }
        if let Some(binding) = self.table.get(address).filter(|binding| binding.is_held(now)) {
            let secs_left = whole_secs(now.until(binding.expiry));
            if binding.state == BindingState::Declined {
                return Some(Refusal::Quarantined { secs_left });
            }
            // A kept address goes with the device: a boot ROM and the system after it send different client-ids.
            if binding.client != *client && !(is_kept_for_it && (binding.hw == request.hw || is_loose(Rule::W8))) {
                return Some(Refusal::HeldBy { hw: binding.hw, secs_left });
            }
            return self.twin_refusal(now, client, kept_for, address);
        }
        if self.table.offered(address).is_some_and(|other| other != client) && !is_kept_for_it {
            return Some(Refusal::OfferedToAnother);
        }
        let is_used = match self.probes.get(now, address) {
            Some(ProbeResult::UsedBy(mac)) => request.hw.mac() != Some(mac),
            Some(ProbeResult::Silent | ProbeResult::NotAsked) => false,
            None => self.table.is_set_aside(address),
        };
        is_used.then_some(Refusal::InUseByStranger)
    }

    /// The reservation that this device has. A device that is known by its relay's port renews by unicast, without its
    /// relay and so without option 82: then the lease that it has tells.
    pub(super) fn reservation_for(&self, request: &Message) -> Option<&Reservation> {
        let by_lease = || {
            let binding = self.table.get(request.ciaddr).filter(|_| !request.is_relayed())?;
            let has_it = binding.state == BindingState::Leased && binding.hw == request.hw;
            let kept = self.plan.reservation_at(binding.address)?;
            (has_it && matches!(kept.identifier, Identifier::CircuitId(_))).then_some(kept)
        };
        self.plan.reservation_for(request).or_else(by_lease)
    }

    /// Whether the reservation is the one that this device has.
    pub(super) fn is_for(&self, kept: &Reservation, request: &Message) -> bool {
        self.reservation_for(request).is_some_and(|own| own.identifier == kept.identifier)
    }

    fn choice(&self, now: Time, client: &ClientId, address: Ipv4Addr) -> Choice {
        let holds = self.table.get(address).is_some_and(|binding| binding.is_held(now) && binding.client == *client);
        Choice { address, is_new: !holds }
    }

    /// Lease time in seconds for this client on this subnet: what it asks for, within the settings.
    pub(super) fn lease_secs(&self, request: &Message, subnet: usize, steps: &mut Vec<Step>) -> u32 {
        const INFINITE: u32 = u32::MAX;
        let times = &self.plan.subnets()[subnet].lease;
        let secs = |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(INFINITE - 1).min(INFINITE - 1);
        let mut given = match request.requested_lease_secs() {
            None => secs(times.default),
            Some(INFINITE) if times.infinite => INFINITE,
            Some(asked) => {
                let given = asked.clamp(secs(times.min), secs(times.max));
                if given != asked {
                    steps.push(Step::LeaseClamped { asked_secs: asked, given_secs: given });
                }
                given
            }
        };
        if let Some(longest) = self.plan.settings.server.private_mac_lease.map(secs)
            && request.hw.is_private()
            && given > longest
            && self.reservation_for(request).is_none()
        {
            given = longest;
            steps.push(Step::PrivateMac { secs: given });
        }
        self.cut_to_known(given)
    }
}
