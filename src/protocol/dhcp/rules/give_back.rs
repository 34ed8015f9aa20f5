//! DECLINE and RELEASE (§4.3.3, §4.3.4).

use std::net::Ipv4Addr;

use super::Request;
use crate::protocol::{
    Action,
    allocator::Identity,
    explain::{Asked, Outcome, Silence, whole_secs},
    failover::loose::{Rule, is_loose},
    lease::{BindingState, ClientId},
    node::{BindingChange, Node},
    time::Time,
};

impl Node {
    /// The client found its address in use by somebody else.
    pub(super) fn decline(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
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
        // With a twin nothing shortens the promise on record (failover rule 7).
        let told = self.table.get(address).map(|binding| binding.expiry).filter(|_| self.twin.is_some());
        let told = told.filter(|_| !is_loose(Rule::W6)).unwrap_or(Time::ZERO);
        let declined = BindingChange {
            address,
            client: &client,
            hw,
            state: BindingState::Declined,
            expiry: told.max(now + quarantine),
            host_name: None,
        };
        let commit = self.bind(now, declined, out);
        let outcome = Outcome::Declined { address, quarantine_secs: whole_secs(quarantine) };
        let decision = self.decision(now, &request.message, asked, request.steps, outcome);
        self.park_note(commit, decision);
    }

    pub(super) fn release(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
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
        let expiry = self.table.get(address).filter(|_| !is_loose(Rule::W6)).map_or(now, |binding| binding.expiry);
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
}
