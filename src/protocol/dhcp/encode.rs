//! `Answer` → bytes: header (table 3), option order, splitting, overload and padding.
//!
//! dhcproto writes options in code order; some clients want 53 first, so the encoder is ours.

use std::{borrow::Cow, net::Ipv4Addr};

use dhcproto::v4::MessageType;

use super::{
    code,
    decode::{HEADER_LEN, MAGIC_COOKIE, Message},
};
use crate::protocol::lease::HwAddr;

/// Shorter BOOTP messages are padded to this (RFC 951; RFC 1542 §2.1): some relays drop shorter ones.
pub const MIN_LEN: usize = 300;
/// Largest payload for a client that did not send option 57: 576 bytes of IP datagram.
pub const DEFAULT_MAX_LEN: usize = 548;
/// IPv4 and UDP headers.
pub const IP_UDP_LEN: usize = 28;
/// Room for options in `file` and `sname`, less END.
const FILE_ROOM: usize = 127;
const SNAME_ROOM: usize = 63;
/// What makes the reply valid or must be echoed (RFC 6842, 3011, 4039): these get their room first, wherever they stand.
const NEEDED: [u8; 7] =
    [code::SERVER_ID, code::LEASE_TIME, code::T1, code::T2, code::CLIENT_ID, code::RAPID_COMMIT, code::SUBNET_SELECTION];
const BROADCAST_FLAG: u16 = 0x8000;

/// A reply, not yet laid out.
#[derive(Debug)]
pub struct Answer<'a> {
    pub request: &'a Message,
    /// htype, hlen and chaddr.
    pub hw: HwAddr,
    /// `None`: BOOTP.
    pub kind: Option<MessageType>,
    pub ciaddr: Ipv4Addr,
    pub yiaddr: Ipv4Addr,
    pub siaddr: Ipv4Addr,
    /// Header field `sname`, where a boot ROM looks for it. Given up where the room is needed for options.
    pub server_name: Option<&'a str>,
    /// Header field `file`, likewise.
    pub boot_file: Option<&'a str>,
    /// Set the B flag whatever the client sent (a NAK by way of a relay, §4.1).
    pub force_broadcast_flag: bool,
    /// In the order of sending, most important first; without 53, 52 and 82.
    pub options: Vec<(u8, Cow<'a, [u8]>)>,
    /// Option 82 as received: echoed, last.
    pub relay_agent: Option<&'a [u8]>,
    /// Largest payload in bytes.
    pub max_len: usize,
}

impl<'a> Answer<'a> {
    /// An answer of nothing but what is copied from the request (table 3). The rest stands in its own line where it differs.
    pub fn to(request: &'a Message) -> Answer<'a> {
        Answer {
            request,
            hw: request.hw,
            kind: None,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            server_name: None,
            boot_file: None,
            force_broadcast_flag: false,
            options: Vec::new(),
            relay_agent: request.options.get(code::RELAY_AGENT),
            max_len: DEFAULT_MAX_LEN,
        }
    }
}

/// Largest payload for this client on a link of this MTU.
pub fn max_len(request: &Message, mtu: u16) -> usize {
    match request.max_size() {
        Some(size) => usize::from(size.min(mtu.max(576))) - IP_UDP_LEN,
        None => DEFAULT_MAX_LEN,
    }
}

/// The bytes, and the codes of options that did not fit anywhere.
pub fn encode(answer: &Answer<'_>) -> (Vec<u8>, Vec<u8>) {
    let request = answer.request;
    let mut bytes = Vec::with_capacity(answer.max_len.clamp(MIN_LEN, 1500));
    bytes.extend_from_slice(&[2, answer.hw.htype(), answer.hw.bytes().len() as u8, 0]);
    bytes.extend_from_slice(&request.xid.to_be_bytes());
    bytes.extend_from_slice(&[0, 0]);
    let flags = if answer.force_broadcast_flag { request.flags | BROADCAST_FLAG } else { request.flags };
    bytes.extend_from_slice(&flags.to_be_bytes());
    for address in [answer.ciaddr, answer.yiaddr, answer.siaddr, request.giaddr] {
        bytes.extend_from_slice(&address.octets());
    }
    bytes.extend_from_slice(answer.hw.bytes());
    bytes.resize(HEADER_LEN, 0);
    bytes.extend_from_slice(&MAGIC_COOKIE);

    let plan = Layout::plan(answer);
    if let Some(kind) = answer.kind {
        bytes.extend_from_slice(&[code::MESSAGE_TYPE, 1, u8::from(kind)]);
    }
    for &i in &plan.main {
        let (code, value) = &answer.options[i];
        put(&mut bytes, *code, value);
    }
    if plan.overload != 0 {
        bytes.extend_from_slice(&[code::OVERLOAD, 1, plan.overload]);
    }
    if let Some(relay_agent) = answer.relay_agent {
        put(&mut bytes, code::RELAY_AGENT, relay_agent);
    }
    bytes.push(255);
    fill(&mut bytes[108..236], answer, &plan.file, plan.overload & 1 != 0, answer.boot_file);
    fill(&mut bytes[44..108], answer, &plan.sname, plan.overload & 2 != 0, answer.server_name);
    if bytes.len() < MIN_LEN {
        bytes.resize(MIN_LEN, 0);
    }
    (bytes, plan.dropped)
}

/// Which option goes where; indices into `Answer::options`.
#[derive(Default)]
struct Layout {
    main: Vec<usize>,
    file: Vec<usize>,
    sname: Vec<usize>,
    dropped: Vec<u8>,
    overload: u8,
}

impl Layout {
    fn plan(answer: &Answer<'_>) -> Layout {
        let fixed = HEADER_LEN + MAGIC_COOKIE.len() + 1 + if answer.kind.is_some() { 3 } else { 0 };
        let relay_agent = answer.relay_agent.map_or(0, |value| encoded_len(value.len()));
        let numbered = || answer.options.iter().enumerate();
        let needed = || numbered().filter(|(_, (code, _))| NEEDED.contains(code));
        let for_client = answer.max_len.saturating_sub(fixed);
        // The relay takes 82 off again (RFC 3046 §2.1), so the client's limit is for the rest: a long one makes the datagram to the
        // relay longer, and pushes out nothing that must be there. 3: option 52.
        let needed_len = 3 + needed().map(|(_, (_, value))| encoded_len(value.len())).sum::<usize>();
        let room = for_client.saturating_sub(relay_agent).max(needed_len.min(for_client));
        let total: usize = answer.options.iter().map(|(_, value)| encoded_len(value.len())).sum();
        let mut plan = Layout::default();
        if total <= room {
            plan.main = (0..answer.options.len()).collect();
            return plan;
        }
        // Overload is for DHCP only: a BOOTP client reads `file` and `sname` as they are.
        let may_overload = answer.kind.is_some();
        let mut room = if may_overload { room.saturating_sub(3) } else { room };
        let (mut file_room, mut sname_room) = if may_overload { (FILE_ROOM, SNAME_ROOM) } else { (0, 0) };
        for (i, (code, value)) in needed().chain(numbered().filter(|(_, (code, _))| !NEEDED.contains(code))) {
            let len = encoded_len(value.len());
            if len <= room {
                room -= len;
                plan.main.push(i);
            } else if len <= file_room {
                file_room -= len;
                plan.file.push(i);
            } else if len <= sname_room {
                sname_room -= len;
                plan.sname.push(i);
            } else {
                plan.dropped.push(*code);
            }
        }
        for field in [&mut plan.main, &mut plan.file, &mut plan.sname] {
            field.sort_unstable();
        }
        plan.overload = u8::from(!plan.file.is_empty()) | u8::from(!plan.sname.is_empty()) << 1;
        plan
    }
}

/// With its headers; longer than 255 bytes is split (RFC 3396 §5).
fn encoded_len(value_len: usize) -> usize {
    value_len + 2 * value_len.div_ceil(255).max(1)
}

fn put(bytes: &mut Vec<u8>, code: u8, value: &[u8]) {
    if value.is_empty() {
        bytes.extend_from_slice(&[code, 0]);
    }
    for piece in value.chunks(255) {
        bytes.extend_from_slice(&[code, piece.len() as u8]);
        bytes.extend_from_slice(piece);
    }
}

/// A header field: overloaded with options, or the text where it fits with its NUL, or zeros.
fn fill(field: &mut [u8], answer: &Answer<'_>, options: &[usize], overloaded: bool, text: Option<&str>) {
    if overloaded {
        let mut packed = Vec::with_capacity(field.len());
        for &i in options {
            let (code, value) = &answer.options[i];
            put(&mut packed, *code, value);
        }
        packed.push(255);
        field[..packed.len()].copy_from_slice(&packed);
    } else if let Some(text) = text.filter(|text| text.len() < field.len()) {
        field[..text.len()].copy_from_slice(text.as_bytes());
    }
}
