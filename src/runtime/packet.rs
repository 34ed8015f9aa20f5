//! AF_PACKET sockets: whole Ethernet frames in and out of one interface, and the filters that keep the rest away.

use std::io;

use nix::sys::socket::{SockaddrLike, SockaddrStorage, bind};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::os::fd::AsRawFd;

pub const ETHER_TYPE_IPV4: u16 = 0x0800;
pub const ETHER_TYPE_ARP: u16 = 0x0806;

/// Opens a socket that only sends. Its protocol is 0, so that the kernel copies no received frame to it.
pub fn open_sender(interface: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
    bind_interface(&socket, interface, 0)?;
    Ok(socket)
}

/// Opens a socket that sends, and receives the frames of one ether type that pass `filter`.
pub fn open_receiver(interface: u32, ether_type: u16, filter: &[SockFilter]) -> io::Result<Socket> {
    // Protocol 0 until the filter is in place: nothing slips in before it.
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(0)))?;
    socket.attach_filter(filter)?;
    bind_interface(&socket, interface, ether_type)?;
    Ok(socket)
}

fn bind_interface(socket: &Socket, interface: u32, ether_type: u16) -> io::Result<()> {
    let name = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ether_type.to_be(),
        sll_ifindex: i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let bytes = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `name` is a whole `sockaddr_ll` and `bytes` its length; it is copied before this function returns.
    let address = unsafe { SockaddrStorage::from_raw((&raw const name).cast(), Some(bytes)) };
    bind(socket.as_raw_fd(), &address.ok_or(io::ErrorKind::InvalidInput)?)?;
    Ok(())
}

// Classic BPF, as the kernel's filter.txt names it.
const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_HALF_X: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
const LOAD_BYTE_X: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
/// X = 4 × the low half of the byte: the length of the IPv4 header.
const LOAD_HEADER_LENGTH: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_ANY_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const WHOLE_FRAME: u32 = u32::MAX;

/// ARP for IPv4 over Ethernet, whose sender claims an address. A probe (RFC 5227 §1.1) has the sender 0.0.0.0
/// and says nothing about who is there.
pub const ARP_FILTER: [SockFilter; 10] = [
    SockFilter::new(LOAD_HALF, 0, 0, 12),
    SockFilter::new(IF_EQUAL, 0, 7, ETHER_TYPE_ARP as u32),
    SockFilter::new(LOAD_WORD, 0, 0, 14),
    SockFilter::new(IF_EQUAL, 0, 5, 0x0001_0800),
    SockFilter::new(LOAD_HALF, 0, 0, 18),
    SockFilter::new(IF_EQUAL, 0, 3, 0x0604),
    SockFilter::new(LOAD_WORD, 0, 0, 28),
    SockFilter::new(IF_EQUAL, 1, 0, 0),
    SockFilter::new(RETURN, 0, 0, WHOLE_FRAME),
    SockFilter::new(RETURN, 0, 0, 0),
];

/// BOOTP replies to a client: UDP over IPv4, the first or only fragment, to port 68, op 2.
pub const REPLY_FILTER: [SockFilter; 13] = [
    SockFilter::new(LOAD_HALF, 0, 0, 12),
    SockFilter::new(IF_EQUAL, 0, 10, ETHER_TYPE_IPV4 as u32),
    SockFilter::new(LOAD_BYTE, 0, 0, 23),
    SockFilter::new(IF_EQUAL, 0, 8, 17),
    SockFilter::new(LOAD_HALF, 0, 0, 20),
    SockFilter::new(IF_ANY_SET, 6, 0, 0x1fff),
    SockFilter::new(LOAD_HEADER_LENGTH, 0, 0, 14),
    SockFilter::new(LOAD_HALF_X, 0, 0, 16),
    SockFilter::new(IF_EQUAL, 0, 3, 68),
    SockFilter::new(LOAD_BYTE_X, 0, 0, 22),
    SockFilter::new(IF_EQUAL, 0, 1, 2),
    SockFilter::new(RETURN, 0, 0, WHOLE_FRAME),
    SockFilter::new(RETURN, 0, 0, 0),
];

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{Ipv4Addr, SocketAddrV4},
    };

    use super::*;
    use crate::runtime::{arp, frame};

    /// Lets the kernel itself judge: it runs the same filter on a local datagram as on a frame.
    fn passes(filter: &[SockFilter], frame: &[u8]) -> bool {
        let (mut inside, outside) = Socket::pair(Domain::UNIX, Type::DGRAM, None).expect("a socket pair");
        inside.attach_filter(filter).expect("the kernel accepts the program");
        inside.set_nonblocking(true).expect("a socket option");
        outside.send(frame).expect("a filter drops silently");
        let mut buffer = [0; 2048];
        match inside.read(&mut buffer) {
            Ok(length) => {
                assert_eq!(&buffer[..length], frame, "the frame arrives whole");
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                false
            }
        }
    }

    fn changed(frame: &[u8], index: usize, value: u8) -> Vec<u8> {
        let mut frame = frame.to_vec();
        frame[index] = value;
        frame
    }

    #[test]
    fn arp_filter_passes_claims_and_drops_probes_and_garbage() {
        let claim = arp::request([2, 0, 0, 0, 0, 1], Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9));
        assert!(passes(&ARP_FILTER, &claim));
        assert!(passes(&ARP_FILTER, &changed(&claim, 21, 2)), "a reply");
        let probe = arp::request([2, 0, 0, 0, 0, 1], Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(192, 0, 2, 9));
        assert!(!passes(&ARP_FILTER, &probe));
        for (index, what) in [(13, "ether type"), (15, "hardware"), (16, "protocol"), (18, "hlen"), (19, "plen")] {
            assert!(!passes(&ARP_FILTER, &changed(&claim, index, 0x77)), "{what}");
        }
        assert!(!passes(&ARP_FILTER, &claim[..30]), "cut short");
    }

    #[test]
    fn reply_filter_passes_offers_only() {
        let datagram = frame::Udp {
            from: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 67),
            to: SocketAddrV4::new(Ipv4Addr::BROADCAST, 68),
            identification: 1,
            payload: &[2; 300],
        };
        let mut offer = Vec::new();
        frame::append_frame(&mut offer, [2; 6], frame::BROADCAST_MAC, &datagram).expect("it fits");
        assert!(passes(&REPLY_FILTER, &offer));
        assert!(passes(&REPLY_FILTER, &changed(&offer, 20, 0x20)), "the first of several fragments");
        let options = [&offer[..34], &[0; 4], &offer[34..]].concat();
        assert!(passes(&REPLY_FILTER, &changed(&options, 14, 0x46)), "IPv4 options");
        let wrong = [(12, 0x86, "ether type"), (23, 6, "TCP"), (21, 1, "fragment"), (37, 67, "port"), (42, 1, "request")];
        for (index, value, what) in wrong {
            assert!(!passes(&REPLY_FILTER, &changed(&offer, index, value)), "{what}");
        }
        assert!(!passes(&REPLY_FILTER, &offer[..30]), "cut short");
    }
}
