//! LEASEQUERY (RFC 4388): a relay asks who has an address, or which address a device has. Off by default.

use dhcproto::v4::MessageType;

use super::{
    Message, code,
    encode::{Answer, encode},
    rules::Request,
};
use crate::protocol::{
    Action, Destination,
    explain::{Asked, Outcome, Silence, whole_secs},
    lease::{Binding, BindingState, ClientId},
    node::Node,
    time::Time,
};

impl Node {
    pub(super) fn lease_query(&mut self, now: Time, request: Request, out: &mut Vec<Action>) {
        let asked = Asked::LeaseQuery;
        if !self.plan.settings.server.leasequery {
            return self.silent(now, request, asked, Silence::LeaseQueryOff, out);
        }
        // §6.3: a query without giaddr has nowhere to be answered to.
        if !request.message.is_relayed() {
            return self.silent(now, request, asked, Silence::NowhereToSend, out);
        }
        let found = self.find(now, &request.message);
        let kind = match &found {
            Found::Active(_) => MessageType::LeaseActive,
            Found::Unassigned => MessageType::LeaseUnassigned,
            Found::Unknown => MessageType::LeaseUnknown,
        };
        let message = &request.message;
        let mut options = vec![(code::SERVER_ID, request.server_id.octets().to_vec().into())];
        let (mut hw, mut ciaddr) = (message.hw, message.ciaddr);
        if let Found::Active(bindings) = &found {
            let binding = bindings[0];
            (hw, ciaddr) = (binding.hw, binding.address);
            let left = u32::try_from(whole_secs(now.until(binding.expiry))).unwrap_or(u32::MAX);
            let ago = u32::try_from((now - binding.since).as_secs()).unwrap_or(u32::MAX);
            options.push((code::LEASE_TIME, left.to_be_bytes().to_vec().into()));
            options.push((code::LAST_TRANSACTION, ago.to_be_bytes().to_vec().into()));
            if let ClientId::Given(id) | ClientId::Clone(id, _) = &binding.client {
                options.push((code::CLIENT_ID, id.to_vec().into()));
            }
            if bindings.len() > 1 {
                let others: Vec<u8> = bindings[1..].iter().flat_map(|binding| binding.address.octets()).collect();
                options.push((code::ASSOCIATED_IP, others.into()));
            }
        }
        let answer = Answer { hw, kind: Some(kind), ciaddr, options, ..Answer::to(message) };
        let payload = encode(&answer).0;
        out.push(Action::Reply(self.reply(&request, Destination::Relay(message.giaddr), payload)));
        self.conclude(now, request, asked, Outcome::QueryAnswered, out);
    }

    /// By address, by client-id, or by hardware address (§6.4.1). Of several leases the latest comes first.
    fn find(&self, now: Time, message: &Message) -> Found<'_> {
        let is_active = |binding: &&Binding| binding.state == BindingState::Leased && binding.is_held(now);
        if !message.ciaddr.is_unspecified() {
            let binding = self.table.get(message.ciaddr).filter(is_active);
            let is_managed = || {
                self.plan.subnet_of(message.ciaddr).is_some_and(|subnet| self.plan.subnets()[subnet].is_dynamic(message.ciaddr))
            };
            return match binding {
                Some(binding) => Found::Active(vec![binding]),
                None if is_managed() => Found::Unassigned,
                None => Found::Unknown,
            };
        }
        let mut bindings: Vec<&Binding> = match message.options.get(code::CLIENT_ID) {
            Some(id) => self.table.of_client(&ClientId::Given(id.into())).filter(is_active).collect(),
            None => self.table.iter().filter(|binding| binding.hw == message.hw).filter(is_active).collect(),
        };
        bindings.sort_unstable_by_key(|binding| std::cmp::Reverse(binding.since));
        if bindings.is_empty() { Found::Unknown } else { Found::Active(bindings) }
    }
}

enum Found<'a> {
    Active(Vec<&'a Binding>),
    Unassigned,
    Unknown,
}
