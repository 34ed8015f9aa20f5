//! Many datagrams in one system call: `recvmmsg` into buffers that are used again, `sendmmsg` from borrowed bytes.
//!
//! nix wraps both calls, but shares one set of control messages between all datagrams of a batch, and ours
//! differ: each reply names its own source address.

use std::{
    io,
    mem::{self, size_of},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// Datagrams per system call. At 64 the cost of the call is far below that of the datagrams themselves.
pub const BATCH: usize = 64;

/// Room for one `in_pktinfo` (12 bytes) behind its header, in words so that the header is aligned.
const CONTROL_WORDS: usize = 8;
const PACKET_INFO_BYTES: u32 = size_of::<libc::in_pktinfo>() as u32;

/// Room for a `sockaddr_in` or a `sockaddr_ll`, aligned for both.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Name([u8; 32]);

const NO_NAME: Name = Name([0; 32]);

/// Buffers for one batch, allocated once.
pub struct ReceiveBatch {
    buffer_bytes: usize,
    buffers: Box<[u8]>,
    names: Box<[Name]>,
    controls: Box<[[u64; CONTROL_WORDS]]>,
    lens: Box<[Length]>,
}

#[derive(Clone, Copy, Default)]
struct Length {
    bytes: usize,
    truncated: bool,
    destination: Option<Ipv4Addr>,
}

/// One datagram of the last batch.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    pub bytes: &'a [u8],
    /// It was longer than the buffer; the rest is lost.
    pub truncated: bool,
    /// Only where the socket asks for IP_PKTINFO.
    pub destination: Option<Ipv4Addr>,
    name: &'a [u8; 32],
}

impl Received<'_> {
    /// The sender; only meaningful for a datagram from an IPv4 socket.
    pub fn source(&self) -> SocketAddrV4 {
        let port = u16::from_be_bytes([self.name[2], self.name[3]]);
        SocketAddrV4::new(Ipv4Addr::new(self.name[4], self.name[5], self.name[6], self.name[7]), port)
    }
}

impl ReceiveBatch {
    pub fn new(buffer_bytes: usize) -> ReceiveBatch {
        ReceiveBatch {
            buffer_bytes,
            buffers: vec![0; buffer_bytes * BATCH].into_boxed_slice(),
            names: vec![NO_NAME; BATCH].into_boxed_slice(),
            controls: vec![[0; CONTROL_WORDS]; BATCH].into_boxed_slice(),
            lens: vec![Length::default(); BATCH].into_boxed_slice(),
        }
    }

    /// Takes up to `BATCH` datagrams that are there now; never waits.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: all-zero is a valid `iovec` and `mmsghdr` (null pointers with zero lengths).
        let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        let buffers = self.buffers.chunks_exact_mut(self.buffer_bytes);
        let places = buffers.zip(self.names.iter_mut()).zip(self.controls.iter_mut());
        for ((header, vector), ((buffer, name), control)) in headers.iter_mut().zip(&mut vectors).zip(places) {
            vector.iov_base = buffer.as_mut_ptr().cast();
            vector.iov_len = buffer.len();
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = size_of::<Name>() as libc::socklen_t;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = size_of::<[u64; CONTROL_WORDS]>() as _;
        }
        // SAFETY: the `BATCH` headers are on this stack frame, and each points to a vector, a name and a control
        // buffer that are exclusively borrowed for the call and as long as their headers say.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, length) in headers.iter().zip(self.lens.iter_mut()).take(count) {
            *length = Length {
                bytes: (header.msg_len as usize).min(self.buffer_bytes),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                destination: packet_destination(&header.msg_hdr),
            };
        }
        Ok(count)
    }

    /// The datagram at `index` of the last batch; `index` below the count that `receive` returned.
    pub fn get(&self, index: usize) -> Received<'_> {
        let length = self.lens[index];
        let start = index * self.buffer_bytes;
        Received {
            bytes: &self.buffers[start..start + length.bytes],
            truncated: length.truncated,
            destination: length.destination,
            name: &self.names[index].0,
        }
    }
}

/// The destination address in the header of a received datagram, from IP_PKTINFO.
#[allow(clippy::unnecessary_cast, reason = "cmsg_len is u32 with musl, usize with glibc")]
fn packet_destination(header: &libc::msghdr) -> Option<Ipv4Addr> {
    // SAFETY: the kernel has filled the control buffer, which is still borrowed by the caller, and set its length.
    // The CMSG macros stay within that length; the data is read unaligned, and only where it is long enough.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = control.as_ref() {
            let long_enough = message.cmsg_len as usize >= libc::CMSG_LEN(PACKET_INFO_BYTES) as usize;
            if message.cmsg_level == libc::IPPROTO_IP && message.cmsg_type == libc::IP_PKTINFO && long_enough {
                let info: libc::in_pktinfo = ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                return Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)));
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

/// Where a datagram or frame goes.
#[derive(Debug, Clone, Copy)]
pub enum To {
    /// An IPv4 socket. `interface` 0 leaves the choice to the routing table.
    Ipv4 { address: SocketAddrV4, source: Ipv4Addr, interface: u32 },
    /// A packet socket: the bytes hold the Ethernet header already.
    Ethernet { interface: u32, ether_type: u16 },
}

#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub bytes: &'a [u8],
    pub to: To,
}

/// Sends up to `BATCH` datagrams from the front of `messages` and returns how many left. An error is that of the
/// first of them; an error further back ends the batch and shows when the rest is tried again.
pub fn send(socket: BorrowedFd<'_>, messages: &[Outgoing<'_>]) -> io::Result<usize> {
    // SAFETY: all-zero is a valid `iovec` and `mmsghdr` (null pointers with zero lengths).
    let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) = unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut names = [NO_NAME; BATCH];
    let mut controls = [[0_u64; CONTROL_WORDS]; BATCH];
    let count = messages.len().min(BATCH);
    for index in 0..count {
        let header = &mut headers[index].msg_hdr;
        let message = &messages[index];
        vectors[index] = libc::iovec { iov_base: message.bytes.as_ptr().cast_mut().cast(), iov_len: message.bytes.len() };
        header.msg_iov = &mut vectors[index];
        header.msg_iovlen = 1;
        header.msg_name = ptr::from_mut(&mut names[index]).cast();
        match message.to {
            To::Ipv4 { address, source, interface } => {
                let name = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                // SAFETY: `Name` is larger than `sockaddr_in` and aligned to 8.
                unsafe { header.msg_name.cast::<libc::sockaddr_in>().write(name) };
                header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
                header.msg_control = controls[index].as_mut_ptr().cast();
                set_source(header, interface, source);
            }
            To::Ethernet { interface, ether_type } => {
                let name = libc::sockaddr_ll {
                    sll_family: libc::AF_PACKET as u16,
                    sll_protocol: ether_type.to_be(),
                    sll_ifindex: interface as i32,
                    sll_hatype: 0,
                    sll_pkttype: 0,
                    sll_halen: 6,
                    sll_addr: [0; 8],
                };
                // SAFETY: `Name` is larger than `sockaddr_ll` and aligned to 8.
                unsafe { header.msg_name.cast::<libc::sockaddr_ll>().write(name) };
                header.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            }
        }
    }
    // SAFETY: the first `count` headers point to names, controls and vectors on this stack frame, and through the
    // vectors to the borrowed bytes, which `sendmmsg` only reads.
    let sent =
        unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as libc::c_uint, libc::MSG_DONTWAIT as _) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Writes the IP_PKTINFO that fixes the source address (and, where not 0, the interface) of a datagram.
/// `header.msg_control` must point to `CONTROL_WORDS` words.
fn set_source(header: &mut libc::msghdr, interface: u32, source: Ipv4Addr) {
    let info = libc::in_pktinfo {
        ipi_ifindex: interface as i32,
        ipi_spec_dst: libc::in_addr { s_addr: u32::from(source).to_be() },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    // SAFETY: `CMSG_SPACE(12)` is at most 32 bytes on every Linux, and the caller's control buffer holds 64, aligned
    // to 8; so the first header lies within it, as does the data behind it.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(PACKET_INFO_BYTES) as _;
        let control = libc::CMSG_FIRSTHDR(header);
        (*control).cmsg_level = libc::IPPROTO_IP;
        (*control).cmsg_type = libc::IP_PKTINFO;
        (*control).cmsg_len = libc::CMSG_LEN(PACKET_INFO_BYTES) as _;
        ptr::write_unaligned(libc::CMSG_DATA(control).cast(), info);
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsFd};

    use nix::sys::socket::{setsockopt, sockopt::Ipv4PacketInfo};

    use super::*;

    fn v4(socket: &UdpSocket) -> SocketAddrV4 {
        match socket.local_addr().expect("bound") {
            std::net::SocketAddr::V4(address) => address,
            std::net::SocketAddr::V6(_) => unreachable!("bound to an IPv4 address"),
        }
    }

    #[test]
    fn a_batch_keeps_source_destination_and_truncation() {
        let receiver = UdpSocket::bind("0.0.0.0:0").expect("loopback");
        setsockopt(&receiver, Ipv4PacketInfo, &true).expect("an option of every IPv4 socket");
        let sender = UdpSocket::bind("0.0.0.0:0").expect("loopback");
        let port = v4(&receiver).port();
        let source = Ipv4Addr::new(127, 0, 0, 9);
        let to = |last| To::Ipv4 { address: SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), port), source, interface: 0 };
        let long = [7_u8; 300];
        let messages = [Outgoing { bytes: b"first", to: to(1) }, Outgoing { bytes: &long, to: to(2) }];
        assert_eq!(send(sender.as_fd(), &messages).expect("loopback takes both"), 2);

        let mut batch = ReceiveBatch::new(128);
        assert_eq!(batch.receive(receiver.as_fd()).expect("both are there"), 2);
        let first = batch.get(0);
        assert_eq!((first.bytes, first.truncated), (&b"first"[..], false));
        assert_eq!(first.destination, Some(Ipv4Addr::new(127, 0, 0, 1)));
        assert_eq!(first.source(), SocketAddrV4::new(source, v4(&sender).port()));
        let second = batch.get(1);
        assert_eq!((second.bytes.len(), second.truncated), (128, true));
        assert_eq!(second.destination, Some(Ipv4Addr::new(127, 0, 0, 2)));
        assert_eq!(batch.receive(receiver.as_fd()).expect_err("empty").kind(), io::ErrorKind::WouldBlock);
    }
}
