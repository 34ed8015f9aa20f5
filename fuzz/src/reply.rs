//! What holds for every reply, whatever was asked: read by a strict walker of its own, and by dhcproto.

use std::net::Ipv4Addr;

use dhcproto::{Decodable, Decoder, v4::MessageType};
use twinlease::protocol::{Destination, Reply, dhcp::Message};

/// The header, and the magic cookie.
const OPTIONS_START: usize = 240;
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;
const LEASE_QUERY: u8 = 10;

/// Options as they stand: code and value, by field.
struct Read<'a> {
    main: Vec<(u8, &'a [u8])>,
    overloaded: Vec<(u8, &'a [u8])>,
}

impl<'a> Read<'a> {
    fn of(payload: &'a [u8]) -> Read<'a> {
        let (main, rest) = walk(&payload[OPTIONS_START..]);
        assert!(rest.iter().all(|byte| *byte == 0), "padding behind END is zero");
        let overload = main.iter().find(|(code, _)| *code == 52).map_or(0, |(_, value)| value[0]);
        let mut overloaded = Vec::new();
        for (bit, field) in [(1, &payload[108..236]), (2, &payload[44..108])] {
            if overload & bit != 0 {
                let (options, rest) = walk(field);
                assert!(!options.is_empty() && rest.iter().all(|byte| *byte == 0), "an overloaded field is for options");
                overloaded.extend(options);
            }
        }
        Read { main, overloaded }
    }

    /// Joined, as RFC 3396 wants it.
    fn get(&self, code: u8) -> Option<Vec<u8>> {
        let pieces: Vec<&[u8]> = self.main.iter().chain(&self.overloaded).filter(|(c, _)| *c == code).map(|(_, v)| *v).collect();
        (!pieces.is_empty()).then(|| pieces.concat())
    }

    fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.get(code).map(|value| Ipv4Addr::from(<[u8; 4]>::try_from(&value[..]).expect("an address has four bytes")))
    }

    fn secs(&self, code: u8) -> Option<u32> {
        self.get(code).map(|value| u32::from_be_bytes(value[..].try_into().expect("a time has four bytes")))
    }
}

/// Options up to END, and what stands behind it.
fn walk(field: &[u8]) -> (Vec<(u8, &[u8])>, &[u8]) {
    let mut options = Vec::new();
    let mut rest = field;
    loop {
        match rest {
            [255, padding @ ..] => return (options, padding),
            [0, ..] => panic!("no padding is expected between options"),
            [code, len, tail @ ..] => {
                let (value, behind) = tail.split_at_checked(usize::from(*len)).expect("an option ends inside its field");
                options.push((*code, value));
                rest = behind;
            }
            _ => panic!("options without END"),
        }
    }
}

fn address_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).expect("four bytes"))
}

/// The requests sent so far are searched for those that this may answer.
pub fn check<'r>(reply: &Reply, requests: impl Iterator<Item = &'r [u8]>) {
    let bytes = &reply.payload[..];
    assert!(bytes.len() >= 300, "a reply of {} bytes is dropped by some relays", bytes.len());
    assert_eq!((bytes[0], bytes[3], &bytes[8..10]), (2, 0, &[0, 0][..]), "op, hops and secs");
    assert_eq!(bytes[236..OPTIONS_START], [99, 130, 83, 99]);
    let read = Read::of(bytes);
    let kind = read.get(53).map(|value| value[0]);
    let same_header = requests.filter(|request| same_header(request, bytes, kind));
    let asked: Vec<Message> =
        same_header.filter_map(|request| Message::decode(request).ok()).filter(|asked| answers(&read, kind, asked)).collect();
    assert!(!asked.is_empty(), "nobody sent what this answers: {bytes:02x?}");
    dhcproto::v4::Message::decode(&mut Decoder::new(bytes)).expect("dhcproto reads the reply");
    size_and_order(bytes, &read, kind, &asked);
    by_kind(bytes, &read, kind);
    destination(reply, kind);
}

/// The reply's kind is one for this request, and 82 is echoed.
fn answers(read: &Read, kind: Option<u8>, asked: &Message) -> bool {
    let expected: &[MessageType] = match kind {
        None => return asked.kind.is_none() && read.get(82).as_deref() == asked.options.get(82),
        Some(OFFER) => &[MessageType::Discover],
        Some(ACK) if read.get(80).is_some() => &[MessageType::Discover],
        Some(ACK) => &[MessageType::Request, MessageType::Inform, MessageType::Discover],
        Some(NAK) => &[MessageType::Request],
        Some(_) => &[MessageType::LeaseQuery],
    };
    asked.kind.is_some_and(|kind| expected.contains(&kind)) && read.get(82).as_deref() == asked.options.get(82)
}

/// xid, giaddr and flags are copied; so are htype, hlen and chaddr, except in an answer about another device.
fn same_header(request: &[u8], bytes: &[u8], kind: Option<u8>) -> bool {
    let flags = u16::from_be_bytes([request[10], request[11]]);
    let answered = u16::from_be_bytes([bytes[10], bytes[11]]);
    let is_relayed = request[24..28] != [0; 4];
    let expected_flags = if kind == Some(NAK) && is_relayed { flags | 0x8000 } else { flags };
    let hlen = usize::from(request[2]);
    let same_device = bytes[1..3] == request[1..3] && bytes[28..28 + hlen] == request[28..28 + hlen];
    let is_about_others = kind.is_some_and(|kind| kind > LEASE_QUERY);
    bytes[4..8] == request[4..8]
        && answered == expected_flags
        && bytes[24..28] == request[24..28]
        && (same_device || is_about_others)
}

fn size_and_order(bytes: &[u8], read: &Read, kind: Option<u8>, asked: &[Message]) {
    let codes: Vec<u8> = read.main.iter().map(|(code, _)| *code).collect();
    if kind.is_some() {
        assert_eq!(codes[0], 53, "53 comes first: {codes:?}");
        assert_eq!(read.main[0].1.len(), 1);
    } else {
        assert!(![51, 53, 54].iter().any(|code| codes.contains(code)), "BOOTP knows none of 51, 53, 54: {codes:?}");
        assert!(!codes.contains(&52), "a BOOTP client reads `file` and `sname` as they are");
    }
    let relay_agent = read.get(82);
    let relay_agent_len = relay_agent.as_ref().map_or(0, |value| value.len() + 2 * value.len().div_ceil(255));
    if relay_agent.is_some() {
        assert_eq!(codes.last(), Some(&82), "82 comes last: {codes:?}");
    }
    assert!(!read.overloaded.iter().any(|(code, _)| *code == 82));
    let limit = match (kind, asked.iter().filter_map(Message::max_size).max()) {
        (None, _) => 300,
        // Some of the requests may have had no option 57.
        (Some(OFFER | ACK), Some(size)) => usize::from(size).clamp(576, 1500) - 28,
        (Some(_), _) => 548,
    };
    // A relay takes 82 out again; where it leaves no room, it goes alone, with the message type.
    let alone = OPTIONS_START + 4 + relay_agent_len;
    assert!(bytes.len() <= limit.max(alone).max(300), "{} bytes for a client that takes {limit}", bytes.len());
    let mut seen = Vec::new();
    for code in codes {
        assert!(seen.last() == Some(&code) || !seen.contains(&code), "option {code} stands in two places");
        seen.push(code);
    }
}

fn by_kind(bytes: &[u8], read: &Read, kind: Option<u8>) {
    let yiaddr = address_at(bytes, 16);
    match kind {
        Some(OFFER | ACK) if !yiaddr.is_unspecified() => {
            let (lease, t1, t2) = (read.secs(51), read.secs(58), read.secs(59));
            if read.get(82).is_none() {
                let (lease, t1, t2) = (lease.expect("lease time"), t1.expect("T1"), t2.expect("T2"));
                assert!(lease > 0, "a lease of no time");
                assert!(lease == u32::MAX || t1 <= t2 && t2 <= lease, "T1 {t1}, T2 {t2}, lease {lease}");
                assert!(read.address(54).is_some(), "no server-id");
            }
            assert!([192, 198, 203].contains(&yiaddr.octets()[0]), "{yiaddr} is in no subnet");
            let is_reply_to_discover = read.get(80).is_some() || kind == Some(OFFER);
            if is_reply_to_discover {
                assert_eq!(address_at(bytes, 12), Ipv4Addr::UNSPECIFIED, "ciaddr");
            }
        }
        Some(ACK) => assert!([51, 58, 59].iter().all(|code| read.get(*code).is_none()), "an INFORM is given no lease"),
        Some(NAK) => {
            assert!(read.main.iter().all(|(code, _)| [53, 54, 56, 61, 82].contains(code)), "a NAK says only what it must");
            assert!(bytes[12..24].iter().all(|byte| *byte == 0), "the addresses of a NAK are 0");
        }
        Some(11..=13) | None => {}
        Some(other) => panic!("message type {other} is no reply of a server"),
    }
}

fn destination(reply: &Reply, kind: Option<u8>) {
    let bytes = &reply.payload[..];
    let (giaddr, ciaddr, yiaddr) = (address_at(bytes, 24), address_at(bytes, 12), address_at(bytes, 16));
    let wants_broadcast = bytes[10] & 0x80 != 0;
    match reply.to {
        Destination::Relay(relay) => assert_eq!(relay, giaddr),
        _ if !giaddr.is_unspecified() => panic!("a relayed client is answered by way of its relay"),
        Destination::Client(address) => assert!(!address.is_unspecified() && (ciaddr.is_unspecified() || ciaddr == address)),
        Destination::Broadcast => {}
        Destination::Frame { mac, address } => {
            assert!(!wants_broadcast && kind != Some(NAK), "asked for a broadcast");
            assert_eq!((&mac[..], address), (&bytes[28..34], yiaddr));
        }
    }
}
