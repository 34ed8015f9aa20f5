//! Packets out and in, many per system call: raw frames of clients on the link, or the UDP socket of a relay.
//!
//! Arrival times are the kernel's (`SO_TIMESTAMPNS`), so a generator that wakes late still measures the server, not itself.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::packet::{self, ArpRequest, Envelope, HEADER_BYTES, Mac, PAYLOAD_BYTES, Query, Reply};

/// Small, so that the time noted for a packet is close to the time it left.
const SEND_BATCH: usize = 16;
const RECEIVE_BATCH: usize = 64;
const SLOT_BYTES: usize = 1536;
const CONTROL_BYTES: usize = 64;
const RECEIVE_BUFFER_BYTES: libc::c_int = 32 << 20;
/// `SK_MEMINFO_DROPS`, the ninth word of `SO_MEMINFO`.
const MEMINFO_DROPS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Clients on the server's own link, in raw frames.
    Direct,
    /// A relay agent at this address sends all (RFC 2131 §4.1), as perfdhcp does.
    Relay { own: Ipv4Addr, server: Ipv4Addr },
}

pub enum Incoming {
    Reply {
        reply: Reply,
        server_mac: Mac,
    },
    ArpRequest(ArpRequest),
    /// Passed the socket's filter and is still no answer of a DHCP server.
    Other,
}

pub struct Wire {
    socket: OwnedFd,
    link: Link,
    own_mac: Mac,
    staged: usize,
    outgoing: Ring,
    incoming: Ring,
    drops_seen: u64,
}

impl Wire {
    /// With `kernel_time` a packet's arrival is when the kernel got it, otherwise when this program does.
    pub fn open(interface: &str, link: Link, kernel_time: bool) -> anyhow::Result<Self> {
        let (socket, own_mac) = match link {
            Link::Direct => open_packet_socket(interface)?,
            Link::Relay { own, server } => (open_relay_socket(own, server)?, [0; 6]),
        };
        set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, libc::c_int::from(kernel_time))?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
            .or_else(|_| set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER_BYTES))?;
        // The default slack of 50 µs would blur the pacing.
        // SAFETY: this option takes one integer and touches no memory.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000_usize) };
        Ok(Self {
            socket,
            link,
            own_mac,
            staged: 0,
            outgoing: Ring::new(SEND_BATCH),
            incoming: Ring::new(RECEIVE_BATCH),
            drops_seen: 0,
        })
    }

    pub fn link(&self) -> Link {
        self.link
    }

    pub fn own_mac(&self) -> Mac {
        self.own_mac
    }

    /// What a query's `giaddr` has to be on this link.
    pub fn giaddr(&self) -> Ipv4Addr {
        match self.link {
            Link::Direct => Ipv4Addr::UNSPECIFIED,
            Link::Relay { own, .. } => own,
        }
    }

    /// Puts a query into the next batch and returns the time it counts as sent.
    pub fn stage(&mut self, query: &Query, envelope: &Envelope) -> io::Result<u64> {
        let slot = self.next_slot()?;
        match self.link {
            Link::Relay { .. } => {
                packet::write_payload(self.outgoing.front(slot), query);
                self.outgoing.set_length(slot, PAYLOAD_BYTES);
            }
            Link::Direct => {
                let frame = &mut self.outgoing.slot(slot)[..HEADER_BYTES + PAYLOAD_BYTES];
                let payload = &mut frame[HEADER_BYTES..];
                packet::write_payload(payload.try_into().expect("one payload is left"), query);
                packet::write_headers(frame, envelope);
                self.outgoing.set_length(slot, HEADER_BYTES + PAYLOAD_BYTES);
            }
        }
        Ok(now_ns())
    }

    /// Puts any payload into the next batch; on a relay's socket the envelope is the kernel's.
    pub fn stage_payload(&mut self, payload: &[u8], envelope: &Envelope) -> io::Result<()> {
        let slot = self.next_slot()?;
        let headers = if self.link == Link::Direct { HEADER_BYTES } else { 0 };
        let buffer = &mut self.outgoing.slot(slot)[..headers + payload.len()];
        buffer[headers..].copy_from_slice(payload);
        if headers != 0 {
            packet::write_headers(buffer, envelope);
        }
        let bytes = buffer.len();
        self.outgoing.set_length(slot, bytes);
        Ok(())
    }

    /// Puts a whole Ethernet frame into the next batch (only on the link itself).
    pub fn stage_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let slot = self.next_slot()?;
        self.outgoing.slot(slot)[..frame.len()].copy_from_slice(frame);
        self.outgoing.set_length(slot, frame.len());
        Ok(())
    }

    /// Sends what is staged.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut from = 0;
        while from < self.staged {
            let messages = self.outgoing.headers[from..self.staged].as_mut_ptr();
            let count = (self.staged - from) as u32;
            // SAFETY: the headers from `from` on are valid, and point into buffers that the ring owns.
            let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), messages, count, 0) };
            if sent > 0 {
                from += sent as usize;
                continue;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR | libc::ENOBUFS | libc::EAGAIN) => {}
                // The server is down: that is an answer (loss), not a failure of the generator.
                Some(libc::ECONNREFUSED) => {}
                _ => return Err(error),
            }
        }
        self.staged = 0;
        Ok(())
    }

    /// Hands all that has arrived to `take`, understood, with its arrival time; returns how many there were.
    pub fn receive(&mut self, mut take: impl FnMut(Incoming, u64)) -> io::Result<usize> {
        let link = self.link;
        self.receive_bytes(|bytes, arrived_ns| take(understand(link, bytes), arrived_ns))
    }

    /// The same before it is understood: payloads on a relay's socket, frames on the link.
    pub fn receive_bytes(&mut self, mut take: impl FnMut(&[u8], u64)) -> io::Result<usize> {
        let mut total = 0;
        loop {
            let count = self.incoming.receive(&self.socket)?;
            for index in 0..count {
                let arrived_ns = self.incoming.arrival_ns(index).unwrap_or_else(now_ns);
                take(self.incoming.received(index), arrived_ns);
            }
            total += count;
            if count < RECEIVE_BATCH {
                return Ok(total);
            }
        }
    }

    /// Sleeps until a packet arrives or `timeout` is over.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = libc::timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        // SAFETY: both structures live on this stack for the whole call.
        let found = unsafe { libc::ppoll(&raw mut poll, 1, &raw const timeout, std::ptr::null()) };
        match io::Error::last_os_error() {
            error if found < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// How many packets the kernel had to drop because this program was too slow, since the last call.
    pub fn take_drops(&mut self) -> io::Result<u64> {
        match self.link {
            Link::Direct => {
                // The kernel resets its count at every reading.
                // SAFETY: plain integers, for which all zeroes is a value.
                let mut statistics: libc::tpacket_stats = unsafe { zeroed() };
                get_option(&self.socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut statistics)?;
                Ok(u64::from(statistics.tp_drops))
            }
            Link::Relay { .. } => {
                let mut words = [0_u32; MEMINFO_DROPS + 1];
                get_option(&self.socket, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut words)?;
                let drops = u64::from(words[MEMINFO_DROPS]);
                Ok(drops - std::mem::replace(&mut self.drops_seen, drops))
            }
        }
    }

    fn next_slot(&mut self) -> io::Result<usize> {
        if self.staged == SEND_BATCH {
            self.flush()?;
        }
        self.staged += 1;
        Ok(self.staged - 1)
    }
}

fn understand(link: Link, bytes: &[u8]) -> Incoming {
    let (server_mac, payload) = match link {
        Link::Relay { .. } => ([0; 6], bytes),
        Link::Direct => match packet::client_payload(bytes) {
            Some(found) => found,
            None => return packet::parse_arp_request(bytes).map_or(Incoming::Other, Incoming::ArpRequest),
        },
    };
    packet::parse_reply(payload).map_or(Incoming::Other, |reply| Incoming::Reply { reply, server_mac })
}

/// The one clock of the generator: the clock that stamps arriving packets.
pub fn now_ns() -> u64 {
    // SAFETY: the structure is valid and the clock exists on every Linux.
    let time = unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time);
        time
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Buffers with the message headers that point at them; neither ever moves.
struct Ring {
    buffers: Box<[[u8; SLOT_BYTES]]>,
    control: Box<[[u64; CONTROL_BYTES / 8]]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl Ring {
    fn new(slots: usize) -> Self {
        let mut buffers = vec![[0; SLOT_BYTES]; slots].into_boxed_slice();
        let control = vec![[0; CONTROL_BYTES / 8]; slots].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> =
            buffers.iter_mut().map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: SLOT_BYTES }).collect();
        let headers = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: all zeroes is a valid, empty message header.
                let mut header: libc::mmsghdr = unsafe { zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { buffers, control, vectors, headers }
    }

    fn slot(&mut self, index: usize) -> &mut [u8; SLOT_BYTES] {
        &mut self.buffers[index]
    }

    fn front<const N: usize>(&mut self, index: usize) -> &mut [u8; N] {
        self.buffers[index].first_chunk_mut().expect("a slot is larger than any payload")
    }

    fn set_length(&mut self, index: usize, bytes: usize) {
        self.vectors[index].iov_len = bytes;
    }

    fn receive(&mut self, socket: &OwnedFd) -> io::Result<usize> {
        for (header, control) in self.headers.iter_mut().zip(&mut self.control) {
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
        }
        let (messages, count) = (self.headers.as_mut_ptr(), self.headers.len() as u32);
        // SAFETY: every header points at a vector, a buffer and a control area that this ring owns.
        let count = unsafe { libc::recvmmsg(socket.as_raw_fd(), messages, count, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        if count >= 0 {
            return Ok(count as usize);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR | libc::ECONNREFUSED) => Ok(0),
            _ => Err(error),
        }
    }

    fn received(&self, index: usize) -> &[u8] {
        &self.buffers[index][..self.headers[index].msg_len as usize]
    }

    fn arrival_ns(&self, index: usize) -> Option<u64> {
        // SAFETY: the kernel filled the control area of this header; its first message is all that was asked for.
        unsafe {
            let message = libc::CMSG_FIRSTHDR(&raw const self.headers[index].msg_hdr);
            if message.is_null() || (*message).cmsg_type != libc::SCM_TIMESTAMPNS {
                return None;
            }
            let time: libc::timespec = libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned();
            Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
        }
    }
}

fn open_relay_socket(own: Ipv4Addr, server: Ipv4Addr) -> anyhow::Result<OwnedFd> {
    let socket = std::net::UdpSocket::bind((own, 67))
        .with_context(|| format!("relay address {own}: UDP port 67 cannot be bound; is it an address of this host?"))?;
    socket.connect((server, 67)).with_context(|| format!("server {server}: no route"))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn open_packet_socket(interface: &str) -> anyhow::Result<(OwnedFd, Mac)> {
    let index = match std::ffi::CString::new(interface) {
        // SAFETY: the string ends with NUL.
        Ok(name) => unsafe { libc::if_nametoindex(name.as_ptr()) },
        Err(_) => 0,
    };
    if index == 0 {
        bail!("interface {interface}: there is none of this name; see `ip link`");
    }
    // Protocol 0: nothing arrives before the filter stands.
    // SAFETY: a plain system call; the descriptor is owned at once.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0);
        if fd < 0 {
            bail!("packet socket: {}; the generator needs CAP_NET_RAW", io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    attach_filter(&socket)?;
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
    let membership =
        libc::packet_mreq { mr_ifindex: index as i32, mr_type: libc::PACKET_MR_PROMISC as u16, mr_alen: 0, mr_address: [0; 8] };
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, membership)?;
    // SAFETY: all zeroes is a valid address, and its length is right.
    let bound = unsafe {
        let mut address: libc::sockaddr_ll = zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as i32;
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32)
    };
    if bound < 0 {
        bail!("interface {interface}: {}", io::Error::last_os_error());
    }
    let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/address")).unwrap_or_default();
    Ok((socket, parse_mac(text.trim()).unwrap_or([0x02, 0, 0, 0, 0, 1])))
}

fn parse_mac(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    Some(mac)
}

/// Lets through UDP to port 68 and ARP requests, so that other traffic costs nothing.
fn attach_filter(socket: &OwnedFd) -> io::Result<()> {
    const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const LOAD_HALF_BEHIND: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
    const LOAD_IP_LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const IF_BITS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        step(LOAD_HALF, 0, 0, 12),
        step(IF_EQUAL, 0, 7, 0x0800), // 1: IPv4, or go to 9
        step(LOAD_BYTE, 0, 0, 23),
        step(IF_EQUAL, 0, 9, 17), // 3: UDP, or drop
        step(LOAD_HALF, 0, 0, 20),
        step(IF_BITS, 7, 0, 0x1fff), // 5: a later fragment is dropped
        step(LOAD_IP_LENGTH, 0, 0, 14),
        step(LOAD_HALF_BEHIND, 0, 0, 16),
        step(IF_EQUAL, 3, 4, 68),     // 8
        step(IF_EQUAL, 0, 3, 0x0806), // 9: ARP, or drop
        step(LOAD_HALF, 0, 0, 20),
        step(IF_EQUAL, 0, 1, 1), // 11: a request, or drop
        step(RETURN, 0, 0, 0xffff),
        step(RETURN, 0, 0, 0),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, filter)
}

fn set_option<T>(socket: &OwnedFd, level: i32, name: i32, value: T) -> io::Result<()> {
    let bytes = size_of::<T>() as u32;
    // SAFETY: `value` lives until the end of the call and `bytes` is its size.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), bytes) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn get_option<T>(socket: &OwnedFd, level: i32, name: i32, value: &mut T) -> io::Result<()> {
    let mut bytes = size_of::<T>() as u32;
    // SAFETY: the kernel writes at most `bytes` bytes into `value`.
    let done = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, std::ptr::from_mut(value).cast(), &raw mut bytes) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
