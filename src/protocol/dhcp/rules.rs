//! RFC 2131 §4.3: what each message is answered with.

mod acquire;
mod give_back;
mod without_lease;

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;

use super::{Message, code};
use crate::protocol::{
    Action, Datagram,
    digest::Digest,
    explain::{Asked, NakReason, Outcome, Silence, Step, SubnetBy},
    lease::{ClientId, HwAddr},
    limit::Admission,
    node::Node,
    time::Time,
};

/// A request on its way through the rules.
#[derive(Debug)]
pub struct Request {
    pub message: Message,
    pub interface: u32,
    pub source: Ipv4Addr,
    /// Sent by the client itself to one of our addresses.
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

/// Whose storm it would be. Clients without a hardware address (RFC 4390) are told apart by their client-id.
fn sender(message: &Message) -> HwAddr {
    match message.options.get(code::CLIENT_ID) {
        Some(id) if message.hw.bytes().is_empty() => {
            let mut digest = Digest::default();
            digest.bytes(code::CLIENT_ID, id);
            HwAddr::new(0, &digest.mixed().to_be_bytes()).unwrap_or(message.hw)
        }
        Some(_) | None => message.hw,
    }
}

impl Node {
    pub(in crate::protocol) fn datagram(&mut self, now: Time, datagram: &Datagram<'_>, out: &mut Vec<Action>) {
        let message = match Message::decode(datagram.payload) {
            Ok(message) => message,
            Err(cause) => return *self.explain.malformed.entry(cause).or_default() += 1,
        };
        // A relay sends on by unicast what the client broadcast.
        let is_unicast = !message.is_relayed() && self.table.is_own(datagram.destination);
        let asked = kind_of(&message, is_unicast);
        let mut request = Request {
            interface: datagram.interface,
            source: datagram.source,
            is_unicast,
            server_id: Ipv4Addr::UNSPECIFIED,
            steps: Vec::with_capacity(8),
            message,
        };
        match self.limiter.admit(now, sender(&request.message)) {
            Admission::Admitted => {}
            Admission::FirstRefused => return self.silent(now, request, asked, Silence::TooOften, out),
            Admission::Refused => {
                // Told once in this window; counted each time.
                *self.explain.packets.entry((asked, Outcome::Silent { why: Silence::TooOften }.name())).or_default() += 1;
                return;
            }
        }
        if !request.message.options.damaged.is_empty() {
            request.steps.push(Step::DamagedOptions { codes: request.message.options.damaged.clone() });
        }
        match self.server_id(&request.message, datagram) {
            Some(server_id) => request.server_id = server_id,
            None => return self.silent(now, request, asked, Silence::NoAddressOfOurs, out),
        }
        let Some(request) = self.leave_to_partner(now, request, asked, out) else { return };
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

    pub(in crate::protocol) fn nak(&mut self, now: Time, request: Request, asked: Asked, why: NakReason, out: &mut Vec<Action>) {
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
        if let Outcome::Silent { why: Silence::PoolFull { network, .. } } = &outcome {
            self.turned_away.insert(*network, now);
        }
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
            && let Some(elsewhere) = one(address, SubnetBy::OwnAddress)
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
