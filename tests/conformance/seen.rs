//! Replies as a client sees them, read twice: byte by byte here, and by dhcproto.

use std::net::Ipv4Addr;

use dhcproto::{Decodable, v4};
use twinlease::protocol::{Destination, Reply};

use super::packet::{ACK, Mac, NAK, OFFER};

#[derive(Debug, Clone)]
pub struct Seen {
    pub reply: Reply,
    /// Options in the order of the wire: those of the options field, then of `file` and `sname` where overloaded.
    pub pieces: Vec<(u8, Vec<u8>)>,
}

impl Seen {
    pub fn read(reply: Reply) -> Seen {
        let bytes = &reply.payload;
        assert!(bytes.len() >= 300, "padded to {} bytes, not to 300", bytes.len());
        assert_eq!(bytes[236..240], [99, 130, 83, 99], "the magic cookie");
        let mut pieces = Vec::new();
        let used = walk(&bytes[240..], &mut pieces);
        assert!(bytes[240 + used..].iter().all(|&byte| byte == 0), "nothing but zeros after END");
        let overload = pieces.iter().find(|(code, _)| *code == 52).map_or(0, |(_, value)| value[0]);
        if overload & 1 != 0 {
            walk(&bytes[108..236], &mut pieces);
        }
        if overload & 2 != 0 {
            walk(&bytes[44..108], &mut pieces);
        }
        let seen = Seen { reply, pieces };
        seen.compare_with_dhcproto();
        seen
    }

    /// The judge from outside reads the same header and the same options.
    fn compare_with_dhcproto(&self) {
        let message = v4::Message::from_bytes(self.bytes()).expect("dhcproto reads the reply");
        assert_eq!(message.opcode(), v4::Opcode::BootReply);
        assert_eq!(message.yiaddr(), self.yiaddr());
        assert_eq!(message.giaddr(), self.giaddr());
        assert_eq!(message.ciaddr(), self.ciaddr());
        let kind = message.opts().msg_type().map(u8::from);
        assert_eq!(kind, self.option(53).map(|value| value[0]));
        // It knows nothing of overload, and stops at the older encoding of option 81.
        let is_beyond_it = self.option(52).is_some() || self.option(81).is_some_and(|value| value[0] & 0b100 == 0);
        for (code, _) in &self.pieces {
            assert!(is_beyond_it || message.opts().contains((*code).into()), "dhcproto does not see option {code}");
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.reply.payload
    }

    /// 53; 0 for a BOOTP reply.
    pub fn kind(&self) -> u8 {
        self.option(53).map_or(0, |value| value[0])
    }

    fn address(&self, at: usize) -> Ipv4Addr {
        <[u8; 4]>::try_from(&self.bytes()[at..at + 4]).expect("four bytes").into()
    }

    pub fn ciaddr(&self) -> Ipv4Addr {
        self.address(12)
    }

    pub fn yiaddr(&self) -> Ipv4Addr {
        self.address(16)
    }

    pub fn siaddr(&self) -> Ipv4Addr {
        self.address(20)
    }

    pub fn giaddr(&self) -> Ipv4Addr {
        self.address(24)
    }

    pub fn mac(&self) -> Mac {
        self.bytes()[28..34].try_into().expect("six bytes")
    }

    pub fn flags(&self) -> u16 {
        u16::from_be_bytes([self.bytes()[10], self.bytes()[11]])
    }

    pub fn sname(&self) -> &[u8] {
        &self.bytes()[44..108]
    }

    pub fn file(&self) -> &[u8] {
        &self.bytes()[108..236]
    }

    /// All pieces joined (RFC 3396).
    pub fn option(&self, code: u8) -> Option<Vec<u8>> {
        let mut pieces = self.pieces.iter().filter(|piece| piece.0 == code).map(|piece| piece.1.clone()).peekable();
        pieces.peek().is_some().then(|| pieces.flatten().collect())
    }

    pub fn number(&self, code: u8) -> Option<u32> {
        self.option(code).map(|value| u32::from_be_bytes(value.try_into().expect("four bytes")))
    }

    pub fn ip(&self, code: u8) -> Option<Ipv4Addr> {
        self.option(code).map(|value| <[u8; 4]>::try_from(value).expect("four bytes").into())
    }

    pub fn text(&self, code: u8) -> Option<String> {
        self.option(code).map(|value| String::from_utf8(value).expect("text"))
    }

    pub fn lease_secs(&self) -> u32 {
        self.number(51).expect("a lease time")
    }

    /// Codes in the order of the wire.
    pub fn codes(&self) -> Vec<u8> {
        self.pieces.iter().map(|piece| piece.0).collect()
    }

    pub fn position(&self, code: u8) -> usize {
        self.codes().iter().position(|&other| other == code).unwrap_or_else(|| panic!("no option {code} in {:?}", self.codes()))
    }

    #[track_caller]
    pub fn expect_to(self, to: Destination) -> Seen {
        assert_eq!(self.reply.to, to);
        self
    }
}

/// Reads up to END; returns how much that was.
fn walk(field: &[u8], pieces: &mut Vec<(u8, Vec<u8>)>) -> usize {
    let mut at = 0;
    loop {
        match *field.get(at).expect("END before the end of the field") {
            255 => return at + 1,
            0 => at += 1,
            code => {
                let len = usize::from(field[at + 1]);
                pieces.push((code, field[at + 2..at + 2 + len].to_vec()));
                at += 2 + len;
            }
        }
    }
}

/// What came back at once for one packet (or one event).
#[derive(Debug)]
#[must_use]
pub struct Answers(pub Vec<Seen>);

impl Answers {
    #[track_caller]
    pub fn one(self) -> Seen {
        assert_eq!(self.0.len(), 1, "one answer expected: {:?}", self.summary());
        self.0.into_iter().next().expect("just counted")
    }

    #[track_caller]
    fn expect(self, kind: u8, name: &str) -> Seen {
        let summary = self.summary();
        let seen = self.one();
        assert_eq!(seen.kind(), kind, "{name} expected: {summary:?}");
        seen
    }

    #[track_caller]
    pub fn offer(self) -> Seen {
        self.expect(OFFER, "OFFER")
    }

    #[track_caller]
    pub fn ack(self) -> Seen {
        self.expect(ACK, "ACK")
    }

    #[track_caller]
    pub fn expect_offer(self, address: Ipv4Addr) -> Seen {
        let seen = self.offer();
        assert_eq!(seen.yiaddr(), address);
        seen
    }

    #[track_caller]
    pub fn expect_ack(self, address: Ipv4Addr) -> Seen {
        let seen = self.ack();
        assert_eq!(seen.yiaddr(), address);
        seen
    }

    #[track_caller]
    pub fn expect_nak(self) -> Seen {
        self.expect(NAK, "NAK")
    }

    #[track_caller]
    pub fn expect_silence(self) {
        assert!(self.0.is_empty(), "silence expected: {:?}", self.summary());
    }

    fn summary(&self) -> Vec<(u8, Ipv4Addr, Option<String>)> {
        let text = |seen: &Seen| seen.option(56).map(|text| String::from_utf8_lossy(&text).into_owned());
        self.0.iter().map(|seen| (seen.kind(), seen.yiaddr(), text(seen))).collect()
    }
}
