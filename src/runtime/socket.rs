//! The DHCP sockets: per served interface one UDP socket on port 67 and one packet socket for clients that have no
//! address yet, and one raw socket for replies that leave by the routing table.
//!
//! The UDP sockets are bound to their device *before* the port, so they do not collide among themselves and need no
//! SO_REUSEADDR. Without it the kernel refuses the port while any other DHCP server of this machine may hear the same
//! packets, in either order of starting.
//!
//! The kernel takes a broadcast from 0.0.0.0 whatever `rp_filter` says. It drops packets *from an address* that it
//! would route elsewhere where `rp_filter` is 1 (strict): a rebinding client that brought an address of another
//! network, or a relay on an asymmetric route. That is told once per opening, in the log.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use nix::sys::{
    socket::{setsockopt, sockopt},
    stat::fstat,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::unix::AsyncFd;

use crate::{
    protocol::{Datagram, Destination, Interface, Reply},
    runtime::{
        batch::{ReceiveBatch, To},
        frame,
        outbox::{Counters, Outbox, SendTrouble, Trouble, trouble},
        packet, port,
        served::{Entry, Notice, Served},
        watch,
    },
};

/// Longest DHCP message taken in. Clients send 300 to 600 bytes, and none sends more than an Ethernet MTU.
const RECEIVE_BYTES: usize = 2048;

/// The kernel doubles it for its own bookkeeping and counts 1.3 to 2 KB for a DHCP packet: 1,000 to 1,600 packets wait,
/// the burst of a whole office after a power cut. Read at 40,000 packets/s they have waited 25 to 40 ms; with more room
/// a flood would make every other client wait longer, and clients ask again anyway.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// Room for the replies to a full receive buffer, so that they leave without a detour.
const SEND_BUFFER_BYTES: usize = 1 << 20;

/// How soon waiting replies are tried again: a full interface queue tells nobody when it drains.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// The ports that the sockets use; others than 67 and 68 serve tests only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub server: u16,
    pub client: u16,
}

pub const DHCP_PORTS: Ports = Ports { server: 67, client: 68 };

pub struct Sockets {
    ports: Ports,
    served: Served<Pair>,
    routed: Option<Socket>,
    routed_waiting: VecDeque<Reply>,
    batch: ReceiveBatch,
    outbox: Outbox,
}

/// The sockets of one interface and the replies that wait for them.
struct Pair {
    udp: AsyncFd<Socket>,
    udp_waiting: VecDeque<Reply>,
    /// `None`: no Ethernet (loopback, tun, WireGuard), so no frames.
    frames: Option<Socket>,
    frames_waiting: VecDeque<Reply>,
}

/// How a reply leaves.
enum Path {
    /// From the UDP socket of its interface.
    Device,
    /// In a frame of ours.
    Frame,
    /// By the routing table, through whatever interface it names.
    Routed,
}

impl Sockets {
    pub fn new(ports: Ports) -> Sockets {
        Sockets {
            ports,
            served: Served::default(),
            routed: None,
            routed_waiting: VecDeque::new(),
            batch: ReceiveBatch::new(RECEIVE_BYTES),
            outbox: Outbox::default(),
        }
    }

    pub fn counters(&self) -> Counters {
        self.outbox.counters
    }

    /// Datagrams that the kernel dropped because they were not read in time, summed over the open sockets.
    pub fn kernel_drops(&self) -> u64 {
        self.served.entries().iter().map(|entry| u64::from(drops(entry.open.udp.get_ref()))).sum()
    }

    /// The interfaces that are served now.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.served.entries().iter().map(|entry| &entry.interface)
    }

    /// Brings the sockets in line with `interfaces` as they are now. To be called on every change, and every few
    /// seconds so that what failed is tried again. Needs the tokio runtime.
    pub fn update(&mut self, interfaces: &[Interface], wanted: &[String]) -> Vec<Notice> {
        let ports = self.ports;
        self.served.update(interfaces, wanted, |interface, open| Pair::open(interface, ports, open))
    }

    /// The wanted interfaces that could not be opened at the last `update`, each with a sentence.
    pub fn failures(&self) -> BTreeMap<String, String> {
        self.served.failures()
    }

    /// Waits until `receive` has something to read or `send` should try waiting replies again. Cancel safe.
    pub async fn readable(&mut self) {
        let read = watch::any_readable(|| self.served.entries().iter().map(|entry| &entry.open.udp));
        if self.is_waiting() {
            let _ = tokio::time::timeout(RETRY_PAUSE, read).await;
        } else {
            read.await;
        }
    }

    /// Hands over what has arrived: at most one batch per interface, so that a flooded one neither starves the
    /// others nor keeps the caller from sending. Returns how many datagrams it handed over.
    pub fn receive(&mut self, mut handle: impl FnMut(Datagram<'_>)) -> usize {
        let mut handed = 0;
        for entry in self.served.entries() {
            let count = watch::receive_batch(&entry.open.udp, &mut self.batch, &mut self.outbox.counters.receive_errors);
            for index in 0..count {
                let received = self.batch.get(index);
                if received.truncated {
                    self.outbox.counters.oversize += 1;
                    continue;
                }
                let source = received.source();
                handle(Datagram {
                    interface: entry.interface.index,
                    source: *source.ip(),
                    source_port: source.port(),
                    destination: received.destination.unwrap_or(Ipv4Addr::UNSPECIFIED),
                    payload: received.bytes,
                });
                handed += 1;
            }
        }
        self.outbox.counters.received += handed as u64;
        handed
    }

    /// Sends all of `replies` and what waited from before. What the kernel does not take now waits, within
    /// `WAITING_MAX` per path, for the next call; the rest of the trouble is returned, none of it fatal.
    pub fn send(&mut self, replies: &mut Vec<Reply>) -> Vec<SendTrouble> {
        let mut troubles = Vec::new();
        for reply in replies.drain(..) {
            let Some(index) = self.served.position(reply.interface) else {
                troubles.push(trouble(&reply, Trouble::NotServed));
                continue;
            };
            let Entry { interface, open } = &mut self.served.entries_mut()[index];
            match path(interface, open.frames.is_some() && interface.mac.is_some(), reply.to) {
                Path::Device => open.udp_waiting.push_back(reply),
                Path::Frame => open.frames_waiting.push_back(reply),
                Path::Routed => self.routed_waiting.push_back(reply),
            }
        }
        let (ports, outbox) = (self.ports, &mut self.outbox);
        for Entry { interface, open } in self.served.entries_mut() {
            let udp = open.udp.get_ref();
            outbox.flush(udp, &mut open.udp_waiting, &mut troubles, |reply, _, out| {
                out.extend_from_slice(&reply.payload);
                Some(To::Ipv4 { address: address(ports, reply.to), source: reply.source, interface: interface.index })
            });
            let (Some(frames), Some(mac)) = (&open.frames, interface.mac) else { continue };
            outbox.flush(frames, &mut open.frames_waiting, &mut troubles, |reply, identification, out| {
                let to = match reply.to {
                    Destination::Frame { mac, .. } => mac,
                    Destination::Broadcast | Destination::Client(_) | Destination::Relay(_) => frame::BROADCAST_MAC,
                };
                frame::append_frame(out, mac, to, &datagram(ports, reply, identification))?;
                Some(To::Ethernet { interface: interface.index, ether_type: packet::ETHER_TYPE_IPV4 })
            });
        }
        self.send_routed(&mut troubles);
        self.outbox.counters.send_failures += troubles.len() as u64;
        troubles
    }

    fn send_routed(&mut self, troubles: &mut Vec<SendTrouble>) {
        if self.routed_waiting.is_empty() {
            return;
        }
        if self.routed.is_none() {
            match open_routed() {
                Ok(socket) => self.routed = Some(socket),
                Err(error) => {
                    let code = error.raw_os_error().unwrap_or(libc::EIO);
                    let refused = |reply: Reply| trouble(&reply, Trouble::Refused(io::Error::from_raw_os_error(code)));
                    troubles.extend(self.routed_waiting.drain(..).map(refused));
                    return;
                }
            }
        }
        let (Some(socket), ports) = (&self.routed, self.ports) else { return };
        self.outbox.flush(socket, &mut self.routed_waiting, troubles, |reply, identification, out| {
            frame::append_packet(out, &datagram(ports, reply, identification))?;
            Some(To::Ipv4 { address: address(ports, reply.to), source: reply.source, interface: 0 })
        });
    }

    fn is_waiting(&self) -> bool {
        let pair = |entry: &Entry<Pair>| !entry.open.udp_waiting.is_empty() || !entry.open.frames_waiting.is_empty();
        !self.routed_waiting.is_empty() || self.served.entries().iter().any(pair)
    }
}

/// A neighbour is answered on the interface that it asked on; whoever is further away, by the routing table, because
/// the way back may differ from the way in. Without Ethernet there are no frames: a unicast reaches the client, as
/// such links resolve no address by ARP.
fn path(interface: &Interface, has_frames: bool, to: Destination) -> Path {
    match to {
        Destination::Frame { .. } if has_frames => Path::Frame,
        Destination::Frame { .. } | Destination::Broadcast => Path::Device,
        Destination::Relay(address) | Destination::Client(address) => {
            if interface.addresses.iter().any(|net| net.contains(&address)) { Path::Device } else { Path::Routed }
        }
    }
}

fn address(ports: Ports, to: Destination) -> SocketAddrV4 {
    match to {
        Destination::Relay(address) => SocketAddrV4::new(address, ports.server),
        Destination::Client(address) | Destination::Frame { address, .. } => SocketAddrV4::new(address, ports.client),
        Destination::Broadcast => SocketAddrV4::new(Ipv4Addr::BROADCAST, ports.client),
    }
}

fn datagram(ports: Ports, reply: &Reply, identification: u16) -> frame::Udp<'_> {
    let from = SocketAddrV4::new(reply.source, ports.server);
    frame::Udp { from, to: address(ports, reply.to), identification, payload: &reply.payload }
}

impl Pair {
    fn open(interface: &Interface, ports: Ports, open: &[Entry<Pair>]) -> Result<Pair, String> {
        let udp = open_udp(interface, ports.server).map_err(|error| udp_trouble(&error, ports.server, open))?;
        let udp = watch::watch(udp)
            .map_err(|error| format!("the UDP socket cannot be watched: {error}; see the limit of open files"))?;
        let frames = match interface.mac {
            Some(_) => Some(open_frames(interface.index).map_err(|error| frames_trouble(&error))?),
            None => None,
        };
        if is_strict(interface) {
            tracing::warn!(
                interface = interface.name,
                "rp_filter is 1 (strict): the kernel drops packets of clients that bring an address of another network, \
                 and of relays with another way back; set net.ipv4.conf.{}.rp_filter to 2 where these exist",
                interface.name
            );
        }
        Ok(Pair { udp, udp_waiting: VecDeque::new(), frames, frames_waiting: VecDeque::new() })
    }
}

fn open_udp(interface: &Interface, port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    // Before the port: see the top of this file.
    socket.bind_device(Some(interface.name.as_bytes()))?;
    socket.set_broadcast(true)?;
    socket.set_ttl_v4(u32::from(frame::TTL))?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    clear_dont_fragment(&socket)?;
    size_buffers(&socket)?;
    socket.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
    Ok(socket)
}

fn open_frames(interface: u32) -> io::Result<Socket> {
    let socket = packet::open_sender(interface)?;
    size_buffers(&socket)?;
    Ok(socket)
}

/// A socket that takes packets with their IPv4 header and routes them. It holds no port, so it hides none from
/// another program and collides with none.
fn open_routed() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(libc::IPPROTO_RAW)))?;
    size_buffers(&socket)?;
    Ok(socket)
}

/// Beyond the system's limit where we may (CAP_NET_ADMIN), else up to it.
fn size_buffers(socket: &Socket) -> io::Result<()> {
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    }
    if setsockopt(socket, sockopt::SndBufForce, &SEND_BUFFER_BYTES).is_err() {
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    }
    Ok(())
}

/// Some PXE ROMs choke on DF, which path MTU discovery sets.
fn clear_dont_fragment(socket: &Socket) -> io::Result<()> {
    let value: libc::c_int = libc::IP_PMTUDISC_DONT;
    let bytes = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is a live `c_int`, which is what IP_MTU_DISCOVER takes, and `bytes` its size.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, (&raw const value).cast(), bytes)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel dropped at this socket; 0 where it does not say.
fn drops(socket: &Socket) -> u32 {
    let mut values = [0_u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut bytes = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes to `values`, which is that long.
    unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, values.as_mut_ptr().cast(), &raw mut bytes);
    }
    values[libc::SK_MEMINFO_DROPS as usize]
}

/// The kernel applies the stricter of both settings.
fn is_strict(interface: &Interface) -> bool {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter")).unwrap_or_default();
        text.trim().parse().unwrap_or(0_u8)
    };
    read("all").max(read(&interface.name)) == 1
}

fn udp_trouble(error: &io::Error, port: u16, open: &[Entry<Pair>]) -> String {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            let own: Vec<u64> =
                open.iter().filter_map(|entry| fstat(entry.open.udp.as_fd()).ok()).map(|stat| stat.st_ino).collect();
            let holders: Vec<String> = port::holders(port, &own).iter().map(ToString::to_string).collect();
            let who = if holders.is_empty() { "another process".to_owned() } else { holders.join(" and ") };
            format!("UDP port {port} is already held by {who}; stop that DHCP server, or leave this interface to it")
        }
        Some(libc::EACCES | libc::EPERM) => {
            format!("no right to open UDP port {port}; start twinlease as root or with CAP_NET_BIND_SERVICE and CAP_NET_RAW")
        }
        _ => format!("UDP port {port} cannot be opened: {error}; see whether the interface is in order"),
    }
}

fn frames_trouble(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "no right to send Ethernet frames; start twinlease as root or with CAP_NET_RAW".to_owned()
        }
        _ => format!("the packet socket cannot be opened: {error}; see whether the interface is in order"),
    }
}
