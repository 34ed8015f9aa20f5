//! INFORM (§4.3.5) and BOOTP (RFC 1534): options for whoever has an address, and an address without a lease time.

use std::net::Ipv4Addr;

use super::{Link, ParkedAck, Request};
use crate::protocol::{
    Action,
    explain::{Asked, Outcome, Silence, Step},
    lease::BindingState,
    node::{BindingChange, Node},
    time::Time,
};

impl Node {
    /// The client has an address from elsewhere and wants options.
    pub(super) fn inform(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::Inform;
        let address = if request.message.ciaddr.is_unspecified() { request.source } else { request.message.ciaddr };
        if address.is_unspecified() {
            return self.silent(now, request, asked, Silence::NowhereToSend, out);
        }
        let Some(link) = self.link(&request, Some(address)) else {
            return self.silent(now, request, asked, Silence::NoSubnet, out);
        };
        // §4.3.5: the address is checked for consistency, or anybody could have replies sent to anywhere.
        let Some(own) = self.plan.subnet_of(address) else {
            return self.silent(now, request, asked, Silence::NoSubnet, out);
        };
        if self.plan.subnets()[own].is_special(address) {
            return self.silent(now, request, asked, Silence::NowhereToSend, out);
        }
        let subnet = if link.subnets.contains(&own) { own } else { link.subnets[0] };
        let link = Link { subnets: vec![subnet], ..link };
        self.note_link(&mut request, &link);
        let reply = self.inform_reply(&mut request, link.subnets[0], address);
        out.push(Action::Reply(reply));
        self.conclude(now, request, asked, Outcome::Informed { address }, out);
    }

    /// RFC 1534: for devices with a kept address only, and without end.
    pub(super) fn bootp(&mut self, now: Time, mut request: Request, out: &mut Vec<Action>) {
        let asked = Asked::Bootp;
        if !self.plan.settings.server.bootp {
            return self.silent(now, request, asked, Silence::BootpOff, out);
        }
        let Some(link) = self.link(&request, None) else { return self.silent(now, request, asked, Silence::NoSubnet, out) };
        self.note_link(&mut request, &link);
        let kept = self.reservation_for(&request.message).map(|kept| kept.address);
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
        if is_recorded && !self.is_pending(address) && self.twin_knows_for_ever(address) {
            return self.bootp_reply(now, request, address, out);
        }
        if let Some(why) = self.disk_trouble(now) {
            let why = Silence::DiskTrouble { why };
            return self.silent(now, request, asked, why, out);
        }
        if self.is_pending(address) {
            return self.silent(now, request, asked, Silence::BeingWritten { address }, out);
        }
        if self.is_behind() {
            return self.silent(now, request, asked, Silence::StoreBehind, out);
        }
        let hw = request.message.hw;
        let leased =
            BindingChange { address, client: &client, hw, state: BindingState::Leased, expiry: Time::NEVER, host_name: None };
        let before = self.table.get(address).cloned();
        let commit = self.bind(now, leased, out);
        self.propose(now, before.as_ref(), address, out);
        self.park_ack(commit, ParkedAck { request, asked, client, address, secs: u32::MAX, since: now });
    }

    pub(super) fn bootp_reply(&mut self, now: Time, request: Request, address: Ipv4Addr, out: &mut Vec<Action>) {
        let Some(subnet) = self.plan.subnet_of(address) else { return };
        out.push(Action::Reply(self.bootp_answer(&request, address, subnet)));
        self.conclude(now, request, Asked::Bootp, Outcome::BootpReply { address }, out);
    }
}
