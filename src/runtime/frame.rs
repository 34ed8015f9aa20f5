//! The headers that we write ourselves: Ethernet, IPv4 and UDP around a DHCP message.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{EtherType, Ethernet2Header, IpNumber, Ipv4Header, UdpHeader};

/// Hops that a reply may take (dhcp.md 9): relays may be far away.
pub const TTL: u8 = 64;
/// Ethernet, IPv4 without options, UDP.
pub const HEADERS_BYTES: usize = 14 + 20 + 8;
/// The longest DHCP message that fits one IPv4 datagram.
pub const PAYLOAD_MAX: usize = 65_535 - 20 - 8;
pub const BROADCAST_MAC: [u8; 6] = [0xff; 6];

/// One UDP datagram to be written.
#[derive(Debug, Clone, Copy)]
pub struct Udp<'a> {
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    /// Numbers the datagrams of one sender, so that a router which must fragment keeps them apart: DF is clear.
    pub identification: u16,
    pub payload: &'a [u8],
}

/// Appends a whole Ethernet frame to `out`. `None`: the payload does not fit one datagram.
pub fn append_frame(out: &mut Vec<u8>, from: [u8; 6], to: [u8; 6], udp: &Udp<'_>) -> Option<()> {
    if udp.payload.len() > PAYLOAD_MAX {
        return None;
    }
    let ethernet = Ethernet2Header { source: from, destination: to, ether_type: EtherType::IPV4 };
    out.extend_from_slice(&ethernet.to_bytes());
    append_packet(out, udp)
}

/// Appends an IPv4 packet to `out`. `None`: the payload does not fit one datagram.
pub fn append_packet(out: &mut Vec<u8>, udp: &Udp<'_>) -> Option<()> {
    let length = u16::try_from(udp.payload.len() + 8).ok()?;
    let (source, destination) = (udp.from.ip().octets(), udp.to.ip().octets());
    let mut ip = Ipv4Header::new(length, TTL, IpNumber::UDP, source, destination).ok()?;
    ip.dont_fragment = false;
    ip.identification = udp.identification;
    ip.header_checksum = ip.calc_header_checksum();
    let header = UdpHeader::with_ipv4_checksum(udp.from.port(), udp.to.port(), &ip, udp.payload).ok()?;
    out.extend_from_slice(&ip.to_bytes());
    out.extend_from_slice(&header.to_bytes());
    out.extend_from_slice(udp.payload);
    Some(())
}

/// What a frame that carries UDP over IPv4 says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed<'a> {
    pub mac: [u8; 6],
    pub source: Ipv4Addr,
    pub payload: &'a [u8],
}

/// Reads a received Ethernet frame; `None` for all but a whole UDP datagram over IPv4.
pub fn parse(frame: &[u8]) -> Option<Parsed<'_>> {
    let (ethernet, rest) = Ethernet2Header::from_slice(frame).ok()?;
    if ethernet.ether_type != EtherType::IPV4 {
        return None;
    }
    let (ip, rest) = Ipv4Header::from_slice(rest).ok()?;
    if ip.protocol != IpNumber::UDP || ip.is_fragmenting_payload() {
        return None;
    }
    // Short frames are padded to 60 bytes: the IPv4 length ends the datagram, not the frame.
    let rest = rest.get(..usize::from(ip.payload_len().ok()?))?;
    let (udp, payload) = UdpHeader::from_slice(rest).ok()?;
    let payload = payload.get(..usize::from(udp.length).checked_sub(8)?)?;
    Some(Parsed { mac: ethernet.source, source: Ipv4Addr::from(ip.source), payload })
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    const FROM: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const TO: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn udp(payload: &[u8]) -> Udp<'_> {
        Udp {
            from: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 67),
            to: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 44), 68),
            identification: 0x1234,
            payload,
        }
    }

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append_frame(&mut out, FROM, TO, &udp(payload)).expect("it fits");
        out
    }

    /// Ones' complement sum of RFC 1071; 0xffff over data that holds its own correct checksum.
    fn sum(parts: &[&[u8]]) -> u16 {
        let words = parts.iter().flat_map(|part| part.chunks(2));
        let mut total: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
        while total > 0xffff {
            total = (total >> 16) + (total & 0xffff);
        }
        total as u16
    }

    #[test]
    fn a_frame_reads_back_with_ttl_64_and_df_clear() {
        let bytes = frame(&[9; 301]);
        let sliced = SlicedPacket::from_ethernet(&bytes).expect("a valid frame");
        let Some(NetSlice::Ipv4(ip)) = sliced.net else { panic!("not IPv4: {sliced:?}") };
        let header = ip.header();
        assert_eq!((header.ttl(), header.dont_fragment(), header.identification()), (64, false, 0x1234));
        assert_eq!((header.source_addr(), header.destination_addr()), (*udp(&[]).from.ip(), *udp(&[]).to.ip()));
        let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("not UDP") };
        assert_eq!((udp.source_port(), udp.destination_port(), udp.payload()), (67, 68, &[9; 301][..]));
        assert_eq!(&bytes[..12], [TO, FROM].concat());
    }

    #[test]
    fn both_checksums_are_right_for_even_and_odd_lengths() {
        for length in [0, 1, 300, 301, 548] {
            let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let bytes = frame(&payload);
            assert_eq!(sum(&[&bytes[14..34]]), 0xffff, "IPv4 header, {length} bytes");
            let udp_length = (8 + length as u16).to_be_bytes();
            let pseudo = [&bytes[26..34], &[0, 17], &udp_length[..], &bytes[34..]];
            assert_eq!(sum(&pseudo), 0xffff, "UDP, {length} bytes");
            assert_ne!(&bytes[40..42], [0, 0], "0 would mean that there is no checksum");
        }
    }

    #[test]
    fn padding_behind_a_short_datagram_is_not_payload() {
        let mut bytes = frame(b"hello");
        bytes.resize(60, 0xee);
        assert_eq!(parse(&bytes), Some(Parsed { mac: FROM, source: Ipv4Addr::new(192, 0, 2, 1), payload: b"hello" }));
    }

    #[test]
    fn no_cut_or_flipped_frame_panics_the_parser() {
        let bytes = frame(&[1; 60]);
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_none(), "cut at {cut}");
        }
        for index in 0..bytes.len() {
            for value in [0, 0x0f, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[index] = value;
                let _ = parse(&bytes);
            }
        }
    }

    #[test]
    fn a_payload_beyond_one_datagram_is_refused() {
        let mut out = Vec::new();
        assert!(append_frame(&mut out, FROM, TO, &udp(&vec![0; PAYLOAD_MAX + 1])).is_none());
        assert!(out.is_empty());
    }
}
