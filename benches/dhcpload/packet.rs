//! The DHCPv4 messages of the generator: what a client sends, written into a buffer, and what a server answers, read in place.

use std::net::Ipv4Addr;

/// BOOTP's smallest message (RFC 951); real clients pad to it.
pub const PAYLOAD_BYTES: usize = 300;
/// Ethernet, IPv4 and UDP headers in front of a payload.
pub const HEADER_BYTES: usize = 14 + 20 + 8;
pub const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
pub const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];

const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];
pub const OPTIONS_AT: usize = 240;
/// What perfdhcp asks for: mask, broadcast, time offset, router, domain, DNS, host name. The same here, so that replies have the same size.
const REQUEST_LIST: [u8; 7] = [1, 28, 2, 3, 15, 6, 12];

pub type Mac = [u8; 6];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    Discover,
    /// The answer to an OFFER (RFC 2131 §4.3.2, SELECTING).
    Select {
        address: Ipv4Addr,
        server_id: Ipv4Addr,
    },
    /// A client that has its address and wants to keep it (RENEWING).
    Renew {
        address: Ipv4Addr,
    },
}

/// One message of one client, however it travels.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    pub message: Message,
    pub mac: Mac,
    pub xid: u32,
    /// The relay that the message claims to come through; unspecified for a client on the same link.
    pub giaddr: Ipv4Addr,
    pub broadcast: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    Offer,
    Ack,
    Nak,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub kind: ReplyKind,
    pub xid: u32,
    pub mac: Mac,
    pub address: Ipv4Addr,
    pub server_id: Option<Ipv4Addr>,
    pub lease_secs: u32,
}

/// Writes the DHCP payload of `query`.
pub fn write_payload(buffer: &mut [u8; PAYLOAD_BYTES], query: &Query) {
    buffer.fill(0);
    buffer[0] = 1; // BOOTREQUEST
    buffer[1] = 1; // Ethernet
    buffer[2] = 6;
    buffer[3] = u8::from(!query.giaddr.is_unspecified()); // hops
    buffer[4..8].copy_from_slice(&query.xid.to_be_bytes());
    buffer[10] = if query.broadcast { 0x80 } else { 0 };
    if let Message::Renew { address } = query.message {
        buffer[12..16].copy_from_slice(&address.octets());
    }
    buffer[24..28].copy_from_slice(&query.giaddr.octets());
    buffer[28..34].copy_from_slice(&query.mac);
    buffer[236..240].copy_from_slice(&MAGIC_COOKIE);

    let mut at = OPTIONS_AT;
    let mut option = |code: u8, value: &[u8]| {
        buffer[at] = code;
        buffer[at + 1] = value.len() as u8;
        buffer[at + 2..at + 2 + value.len()].copy_from_slice(value);
        at += 2 + value.len();
    };
    option(53, &[if query.message == Message::Discover { 1 } else { 3 }]);
    let mut client_id = [1; 7];
    client_id[1..].copy_from_slice(&query.mac);
    option(61, &client_id);
    if let Message::Select { address, server_id } = query.message {
        option(50, &address.octets());
        option(54, &server_id.octets());
    }
    option(55, &REQUEST_LIST);
    buffer[at] = 255;
}

/// Reads a server's answer; `None` for anything that is not one.
pub fn parse_reply(payload: &[u8]) -> Option<Reply> {
    if payload.len() < OPTIONS_AT || payload[0] != 2 || payload[2] != 6 || payload[236..240] != MAGIC_COOKIE {
        return None;
    }
    let mut reply = Reply {
        kind: ReplyKind::Other,
        xid: u32::from_be_bytes(array(payload, 4)),
        mac: array(payload, 28),
        address: Ipv4Addr::from(array(payload, 16)),
        server_id: None,
        lease_secs: 0,
    };
    let mut options = &payload[OPTIONS_AT..];
    loop {
        match *options {
            [] | [255, ..] => break,
            [0, ..] => options = &options[1..],
            [code, length, ..] => {
                let value = options.get(2..2 + usize::from(length))?;
                match (code, value) {
                    (53, [2]) => reply.kind = ReplyKind::Offer,
                    (53, [5]) => reply.kind = ReplyKind::Ack,
                    (53, [6]) => reply.kind = ReplyKind::Nak,
                    (54, [_, _, _, _]) => reply.server_id = Some(Ipv4Addr::from(array(value, 0))),
                    (51, [_, _, _, _]) => reply.lease_secs = u32::from_be_bytes(array(value, 0)),
                    _ => {}
                }
                options = &options[2 + usize::from(length)..];
            }
            [_] => return None,
        }
    }
    Some(reply)
}

/// Turns a query of ours into the answer that a server would give at once; `None` for what is no query.
pub fn write_mirrored(
    buffer: &mut [u8; PAYLOAD_BYTES],
    query: &[u8],
    own: Ipv4Addr,
    lease: impl Fn(Mac) -> Ipv4Addr,
) -> Option<()> {
    let (header, mut options) = query.split_at_checked(OPTIONS_AT)?;
    let kind = loop {
        match *options {
            [53, 1, 1, ..] if header[0] == 1 => break 2,
            [53, 1, 3, ..] if header[0] == 1 => break 5,
            [53 | 255, ..] | [] | [_] => return None,
            [0, ..] => options = &options[1..],
            [_, length, ..] => options = options.get(2 + usize::from(length)..)?,
        }
    };
    buffer.fill(0);
    buffer[..OPTIONS_AT].copy_from_slice(header);
    buffer[0] = 2;
    buffer[16..20].copy_from_slice(&lease(array(query, 28)).octets());
    buffer[240..252].copy_from_slice(&[53, 1, kind, 51, 4, 0, 0, 14, 16, 54, 4, 0]);
    buffer[251..255].copy_from_slice(&own.octets());
    buffer[255] = 255;
    Some(())
}

/// Where a frame goes and comes from, below DHCP.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    pub from_mac: Mac,
    pub to_mac: Mac,
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
}

impl Envelope {
    /// A client that has no address yet asks everybody.
    pub fn broadcast(from_mac: Mac) -> Self {
        Self { from_mac, to_mac: [0xff; 6], from: Ipv4Addr::UNSPECIFIED, to: Ipv4Addr::BROADCAST }
    }
}

/// Writes the headers in front of the payload that already stands at `HEADER_BYTES..frame.len()`.
pub fn write_headers(frame: &mut [u8], envelope: &Envelope) {
    let udp_bytes = (frame.len() - 34) as u16;
    frame[0..6].copy_from_slice(&envelope.to_mac);
    frame[6..12].copy_from_slice(&envelope.from_mac);
    frame[12..14].copy_from_slice(&ETHERTYPE_IPV4);
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17]);
    frame[16..18].copy_from_slice(&(udp_bytes + 20).to_be_bytes());
    frame[24..26].fill(0);
    frame[26..30].copy_from_slice(&envelope.from.octets());
    frame[30..34].copy_from_slice(&envelope.to.octets());
    let header_sum = fold(sum(&frame[14..34]));
    frame[24..26].copy_from_slice(&(!header_sum).to_be_bytes());

    frame[34..36].copy_from_slice(&68_u16.to_be_bytes());
    frame[36..38].copy_from_slice(&67_u16.to_be_bytes());
    frame[38..40].copy_from_slice(&udp_bytes.to_be_bytes());
    frame[40..42].fill(0);
    let pseudo_header = sum(&frame[26..34]) + 17 + u64::from(udp_bytes);
    let checksum = !fold(sum(&frame[34..]) + pseudo_header);
    // RFC 768: zero means "none was made", so a computed zero travels as all ones.
    let checksum = if checksum == 0 { 0xffff } else { checksum };
    frame[40..42].copy_from_slice(&checksum.to_be_bytes());
}

/// The DHCP payload of an Ethernet frame to port 68, with the sender's MAC; `None` for other frames.
pub fn client_payload(frame: &[u8]) -> Option<(Mac, &[u8])> {
    if frame.len() < HEADER_BYTES || frame[12..14] != ETHERTYPE_IPV4 || frame[14] >> 4 != 4 || frame[23] != 17 {
        return None;
    }
    let udp_at = 14 + usize::from(frame[14] & 0x0f) * 4;
    let ip_end = 14 + usize::from(u16::from_be_bytes(array(frame, 16)));
    let udp = frame.get(udp_at..ip_end.min(frame.len()))?;
    if udp.len() < 8 || udp[2..4] != 68_u16.to_be_bytes() {
        return None;
    }
    Some((array(frame, 6), &udp[8..]))
}

/// Who asks by ARP, and for which address.
pub struct ArpRequest {
    pub from_mac: Mac,
    pub from: Ipv4Addr,
    pub wanted: Ipv4Addr,
}

pub fn parse_arp_request(frame: &[u8]) -> Option<ArpRequest> {
    if frame.len() < 42 || frame[12..14] != ETHERTYPE_ARP || frame[20..22] != [0, 1] {
        return None;
    }
    Some(ArpRequest {
        from_mac: array(frame, 22),
        from: Ipv4Addr::from(array(frame, 28)),
        wanted: Ipv4Addr::from(array(frame, 38)),
    })
}

pub fn arp_reply(request: &ArpRequest, owner: Mac) -> [u8; 42] {
    let mut frame = [0; 42];
    frame[0..6].copy_from_slice(&request.from_mac);
    frame[6..12].copy_from_slice(&owner);
    frame[12..14].copy_from_slice(&ETHERTYPE_ARP);
    frame[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 2]);
    frame[22..28].copy_from_slice(&owner);
    frame[28..32].copy_from_slice(&request.wanted.octets());
    frame[32..38].copy_from_slice(&request.from_mac);
    frame[38..42].copy_from_slice(&request.from.octets());
    frame
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the callers have checked the length")
}

/// The sum of all 16-bit words of RFC 1071, not folded yet.
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let total: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
    total + rest.first().map_or(0, |byte| u64::from(*byte) << 8)
}

pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
