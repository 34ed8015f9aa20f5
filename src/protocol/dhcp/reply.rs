//! Which options go into a reply, in which order, and where the reply goes (RFC 2131 §4.1, table 3).

use std::{borrow::Cow, net::Ipv4Addr};

use dhcproto::v4::MessageType;

use super::{
    Message, code,
    encode::{Answer, DEFAULT_MAX_LEN, IP_UDP_LEN, MIN_LEN, encode, max_len},
    name,
    rules::Request,
};
use crate::{
    protocol::{Destination, Reply, explain::Step, node::Node, plan::OptionTable},
    settings::{FqdnPolicy, Reservation},
};

/// For clients that send no parameter request list (option 55).
const DEFAULT_LIST: [u8; 11] = [
    code::SUBNET_MASK,
    code::ROUTER,
    code::DNS,
    code::HOST_NAME,
    code::DOMAIN,
    code::BROADCAST,
    code::NTP,
    code::TFTP_SERVER_NAME,
    code::BOOT_FILE,
    code::SEARCH,
    code::ROUTES,
];

/// Put in by the rules themselves, whatever the client's list says.
const GOVERNED: [u8; 16] = [
    0,
    code::REQUESTED_ADDRESS,
    code::LEASE_TIME,
    code::OVERLOAD,
    code::MESSAGE_TYPE,
    code::SERVER_ID,
    code::PARAMETER_LIST,
    code::MESSAGE,
    code::MAX_SIZE,
    code::T1,
    code::T2,
    code::CLIENT_ID,
    code::RAPID_COMMIT,
    code::RELAY_AGENT,
    code::SUBNET_SELECTION,
    255,
];

impl Node {
    /// OFFER or ACK. Both carry the same options.
    pub(super) fn lease_reply(
        &self,
        request: &mut Request,
        kind: MessageType,
        address: Ipv4Addr,
        subnet: usize,
        secs: u32,
    ) -> Reply {
        let message = &request.message;
        let kept = self.reservation_for(message).filter(|kept| self.plan.subnet_of(kept.address) == Some(subnet));
        let table = self.options_for(kept, address, subnet);
        let times = &self.plan.subnets()[subnet].lease;
        let share = |permille: u16| (u64::from(secs) * u64::from(permille) / 1000) as u32;
        let (t1, t2) = (share(times.t1_permille), share(times.t2_permille));

        let mut options: Vec<(u8, Cow<'_, [u8]>)> = Vec::with_capacity(16);
        options.push((code::SERVER_ID, request.server_id.octets().to_vec().into()));
        // A lease without end is never renewed; one of a few seconds has no room for T1 < T2 < lease.
        let has_times = secs != u32::MAX && 0 < t1 && t1 < t2 && t2 < secs;
        for (code, value) in [(code::LEASE_TIME, secs), (code::T1, t1), (code::T2, t2)] {
            if code == code::LEASE_TIME || has_times {
                options.push((code, value.to_be_bytes().to_vec().into()));
            }
        }
        self.add_configured(message, kept, &table, &mut options);
        if kind == MessageType::Ack && message.kind == Some(MessageType::Discover) {
            options.push((code::RAPID_COMMIT, Cow::Borrowed(&[])));
        }
        self.add_echoes(message, kept, &table, &mut options);

        let boot = Boot::of(message, &table);
        let answer = Answer {
            kind: Some(kind),
            ciaddr: if message.kind == Some(MessageType::Request) { message.ciaddr } else { Ipv4Addr::UNSPECIFIED },
            yiaddr: address,
            siaddr: boot.next_server,
            server_name: boot.server_name,
            boot_file: boot.file,
            options,
            max_len: max_len(message, self.mtu(request.interface)),
            ..Answer::to(message)
        };
        let (payload, dropped) = encode(&answer);
        let to = destination(message, address, kept.is_some_and(|kept| kept.force_broadcast));
        if !dropped.is_empty() {
            request.steps.push(Step::DidNotFit { codes: dropped });
        }
        self.reply(request, to, payload)
    }

    /// §4.3.5: options only; no address, no lease time.
    pub(super) fn inform_reply(&self, request: &mut Request, subnet: usize, address: Ipv4Addr) -> Reply {
        let message = &request.message;
        let kept = self.reservation_for(message).filter(|kept| self.plan.subnet_of(kept.address) == Some(subnet));
        let table = self.options_for(kept, address, subnet);
        let mut options: Vec<(u8, Cow<'_, [u8]>)> = vec![(code::SERVER_ID, request.server_id.octets().to_vec().into())];
        self.add_configured(message, kept, &table, &mut options);
        self.add_echoes(message, kept, &table, &mut options);
        let boot = Boot::of(message, &table);
        let answer = Answer {
            kind: Some(MessageType::Ack),
            ciaddr: message.ciaddr,
            siaddr: boot.next_server,
            server_name: boot.server_name,
            boot_file: boot.file,
            options,
            max_len: max_len(message, self.mtu(request.interface)),
            ..Answer::to(message)
        };
        let (payload, dropped) = encode(&answer);
        if !dropped.is_empty() {
            request.steps.push(Step::DidNotFit { codes: dropped });
        }
        self.reply(request, Destination::Client(address), payload)
    }

    /// 53, 54, 56, 61 and 82 only; all addresses 0; broadcast, or to the relay with the B flag set.
    pub(super) fn nak_reply(&self, request: &Request, why: &str) -> Reply {
        let message = &request.message;
        let mut text = why.as_bytes();
        text = &text[..text.len().min(255)];
        let mut options: Vec<(u8, Cow<'_, [u8]>)> =
            vec![(code::SERVER_ID, request.server_id.octets().to_vec().into()), (code::MESSAGE, text.into())];
        if let Some(id) = message.options.get(code::CLIENT_ID).filter(|_| self.echoes_client_id(message)) {
            options.push((code::CLIENT_ID, id.into()));
        }
        let answer =
            Answer { kind: Some(MessageType::Nak), force_broadcast_flag: message.is_relayed(), options, ..Answer::to(message) };
        let to = if message.is_relayed() { Destination::Relay(message.giaddr) } else { Destination::Broadcast };
        self.reply(request, to, encode(&answer).0)
    }

    /// RFC 1534 §2: no DHCP options, and no more than the 64 bytes that BOOTP has.
    pub(super) fn bootp_answer(&self, request: &Request, address: Ipv4Addr, subnet: usize) -> Reply {
        let message = &request.message;
        let kept = self.reservation_for(message);
        let table = self.options_for(kept, address, subnet);
        let mut options = Vec::new();
        self.add_configured(message, kept, &table, &mut options);
        let boot = Boot::of(message, &table);
        let answer = Answer {
            ciaddr: message.ciaddr,
            yiaddr: address,
            siaddr: boot.next_server,
            server_name: boot.server_name,
            boot_file: boot.file,
            options,
            max_len: MIN_LEN,
            ..Answer::to(message)
        };
        let to = destination(message, address, kept.is_some_and(|kept| kept.force_broadcast));
        self.reply(request, to, encode(&answer).0)
    }

    pub(super) fn reply(&self, request: &Request, to: Destination, payload: Vec<u8>) -> Reply {
        // Sent from an address that we really have, whatever a relay wants us to be called.
        let source = if self.table.is_own(request.server_id) {
            request.server_id
        } else {
            let plan = self.interfaces.get(&request.interface);
            plan.and_then(|plan| plan.interface.addresses.first()).map_or(Ipv4Addr::UNSPECIFIED, |net| net.addr())
        };
        Reply { interface: request.interface, source, to, payload }
    }

    /// What is set for this address, with the kept address's own options on top.
    fn options_for(&self, kept: Option<&Reservation>, address: Ipv4Addr, subnet: usize) -> Cow<'_, OptionTable> {
        let subnet = &self.plan.subnets()[subnet];
        match kept.filter(|kept| !kept.options.is_empty()) {
            None => Cow::Borrowed(subnet.options_at(address)),
            Some(kept) => Cow::Owned(subnet.options_with(address, &kept.options)),
        }
    }

    /// 1 before everything else, then the client's list in its order, 121 before 3 (RFC 3442).
    fn add_configured<'a>(
        &self,
        message: &Message,
        kept: Option<&Reservation>,
        table: &'a OptionTable,
        options: &mut Vec<(u8, Cow<'a, [u8]>)>,
    ) {
        let list = message.options.get(code::PARAMETER_LIST).unwrap_or(&DEFAULT_LIST);
        let mut added = [false; 256];
        let early = list.contains(&code::SUBNET_MASK).then_some(code::SUBNET_MASK);
        for &code in early.iter().chain(list) {
            let routes_first = code == code::ROUTER && list.contains(&code::ROUTES);
            for code in routes_first.then_some(code::ROUTES).into_iter().chain([code]) {
                if std::mem::replace(&mut added[usize::from(code)], true) || GOVERNED.contains(&code) {
                    continue;
                }
                if let Some(value) = self.value_for(message, kept, table, code) {
                    options.push((code, value));
                }
            }
        }
    }

    fn value_for<'a>(
        &self,
        message: &Message,
        kept: Option<&Reservation>,
        table: &'a OptionTable,
        code: u8,
    ) -> Option<Cow<'a, [u8]>> {
        let configured = table.get(&code).map(|(_, value)| &**value);
        let with_nul = |text: &[u8]| [text, &[0]].concat();
        match code {
            // A client that sends 81 gets 81 (RFC 4702 §3.1), see `add_echoes`.
            code::HOST_NAME if message.options.get(code::FQDN).is_some() => None,
            code::HOST_NAME => {
                let kept_name = kept.and_then(|kept| kept.name.clone());
                let text = kept_name.or_else(|| message.host_name().as_deref().and_then(name::host_label))?.into_bytes();
                Some(if message.mirrors_nul() { with_nul(&text).into() } else { text.into() })
            }
            code::FQDN => None,
            code::DOMAIN if message.mirrors_nul() => configured.map(|text| with_nul(text).into()),
            // Boot ROMs read to the NUL.
            code::TFTP_SERVER_NAME | code::BOOT_FILE if message.is_pxe() => configured.map(|text| with_nul(text).into()),
            _ => configured.map(Cow::Borrowed),
        }
    }

    /// What the client sent and wants to see again.
    fn add_echoes<'a>(
        &self,
        message: &'a Message,
        kept: Option<&Reservation>,
        table: &OptionTable,
        options: &mut Vec<(u8, Cow<'a, [u8]>)>,
    ) {
        if let Some(asked) = message.options.get(code::FQDN) {
            let no_updates = self.plan.settings.server.fqdn == FqdnPolicy::NoUpdates;
            let domain = table.get(&code::DOMAIN).map(|(_, text)| String::from_utf8_lossy(text));
            if let Some(answer) = name::fqdn_answer(asked, no_updates, domain.as_deref()) {
                options.push((code::FQDN, answer.into()));
            }
        }
        if let Some(id) = message.options.get(code::CLIENT_ID).filter(|_| kept.is_none_or(|kept| kept.echo_client_id)) {
            options.push((code::CLIENT_ID, id.into()));
        }
        if let Some(subnet) = message.options.get(code::SUBNET_SELECTION) {
            options.push((code::SUBNET_SELECTION, subnet.into()));
        }
    }

    fn echoes_client_id(&self, message: &Message) -> bool {
        self.reservation_for(message).is_none_or(|kept| kept.echo_client_id)
    }

    fn mtu(&self, interface: u32) -> u16 {
        self.interfaces.get(&interface).map_or((DEFAULT_MAX_LEN + IP_UDP_LEN) as u16, |plan| plan.interface.mtu)
    }
}

/// Header fields that boot ROMs read.
struct Boot<'a> {
    next_server: Ipv4Addr,
    server_name: Option<&'a str>,
    file: Option<&'a str>,
}

impl<'a> Boot<'a> {
    fn of(message: &Message, table: &'a OptionTable) -> Boot<'a> {
        let text = |code| table.get(&code).and_then(|(_, value)| std::str::from_utf8(value).ok());
        let wanted = message.kind.is_none()
            || message.is_pxe()
            || message.asks_for(code::BOOT_FILE)
            || message.asks_for(code::TFTP_SERVER_NAME);
        if !wanted {
            return Boot { next_server: Ipv4Addr::UNSPECIFIED, server_name: None, file: None };
        }
        let server_name = text(code::TFTP_SERVER_NAME);
        let listed = table.get(&code::TFTP_SERVERS).and_then(|(_, value)| <[u8; 4]>::try_from(value.get(..4)?).ok());
        let next_server = server_name.and_then(|text| text.parse().ok()).or(listed.map(Ipv4Addr::from));
        Boot { next_server: next_server.unwrap_or(Ipv4Addr::UNSPECIFIED), server_name, file: text(code::BOOT_FILE) }
    }
}

/// Where it must be zero (table 5), some clients send an old address (Home Assistant OS): nobody listens there.
fn is_stray_ciaddr(message: &Message) -> bool {
    match message.kind {
        Some(MessageType::Discover) => true,
        Some(MessageType::Request) => message.options.get(code::SERVER_ID).is_some(),
        Some(_) | None => false,
    }
}

/// §4.1. Never silently by broadcast: on Wi-Fi, broadcasts are not retransmitted.
fn destination(message: &Message, yiaddr: Ipv4Addr, force_broadcast: bool) -> Destination {
    if message.is_relayed() {
        Destination::Relay(message.giaddr)
    } else if !message.ciaddr.is_unspecified() && !is_stray_ciaddr(message) {
        Destination::Client(message.ciaddr)
    } else if message.wants_broadcast() || force_broadcast {
        Destination::Broadcast
    } else {
        match message.hw.mac() {
            Some(mac) => Destination::Frame { mac, address: yiaddr },
            // No Ethernet, so there is no frame to address.
            None => Destination::Broadcast,
        }
    }
}
