//! The interfaces of the machine as they are now, by rtnetlink.
//!
//! Messages of the kernel are only a sign that something has changed; each makes us read everything again. So nothing
//! can drift, and a lost message (ENOBUFS) is a sign like any other. We read the four attributes that we need
//! ourselves: a decoder of all of them would lose an interface over an attribute of a newer kernel.

use std::{
    io::{self, Read},
    net::Ipv4Addr,
    os::fd::AsRawFd,
    time::Duration,
};

use ipnet::Ipv4Net;
use nix::sys::socket::{NetlinkAddr, bind};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::unix::AsyncFd, time::Instant};

use crate::{protocol::Interface, runtime::watch};

/// Changes come in bursts (link, carrier, address); they are read as one.
const SETTLE: Duration = Duration::from_millis(50);
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The kernel answers a dump while it is asked, so this only guards against a kernel that does not.
const DUMP_TIMEOUT: Duration = Duration::from_secs(1);
/// A dump that others disturb is begun anew this often, then after a pause.
const DUMP_TRIES: usize = 3;
/// The kernel packs up to 32 KB into one message of a dump.
const BUFFER_BYTES: usize = 64 << 10;
const GROUPS: u32 = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR) as u32;

/// Follows the interfaces. Never fails: what goes wrong is logged and tried again.
#[derive(Default)]
pub struct Links {
    signs: Option<AsyncFd<Socket>>,
    known: Option<Vec<Interface>>,
    /// When to read again; `None`: once a sign comes. Kept here and not in the future, which a busy caller drops and
    /// makes anew many times before a pause is over.
    due: Option<Instant>,
}

impl Links {
    /// The interfaces once they differ from what was returned before; the first call returns them at once. Cancel
    /// safe. Needs the tokio runtime.
    pub async fn changed(&mut self) -> Vec<Interface> {
        loop {
            match (self.due, &self.signs) {
                (None, None) => {}
                (None, Some(signs)) => {
                    watch::any_readable(|| std::iter::once(signs)).await;
                    self.due = Some(Instant::now() + SETTLE);
                    continue;
                }
                (Some(due), _) => tokio::time::sleep_until(due).await,
            }
            match self.read() {
                Ok(now) => {
                    self.due = None;
                    if self.known.as_ref() != Some(&now) {
                        self.known = Some(now.clone());
                        return now;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the interfaces of this machine cannot be followed; trying again");
                    self.signs = None;
                    self.due = Some(Instant::now() + RETRY_PAUSE);
                }
            }
        }
    }

    fn read(&mut self) -> io::Result<Vec<Interface>> {
        // Signs are listened to before the reading, so that no change falls between.
        if self.signs.is_none() {
            self.signs = Some(watch::watch(open(GROUPS)?)?);
        }
        self.signs.iter().for_each(drain);
        list()
    }
}

/// Empties the socket; what the messages say does not matter.
fn drain(signs: &AsyncFd<Socket>) {
    let mut buffer = [0; 8192];
    // `try_io` ends with `WouldBlock` when the socket is empty, which clears the readiness.
    let _ = signs.try_io(tokio::io::Interest::READABLE, |mut socket| -> io::Result<()> {
        // Bounded, as a storm of messages may go on: the rest wakes us again.
        for _ in 0..1024 {
            match socket.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // ENOBUFS too: messages were lost, and everything is read anew anyway.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    });
}

/// The interfaces now, by index.
pub fn list() -> io::Result<Vec<Interface>> {
    for _ in 0..DUMP_TRIES {
        let socket = open(0)?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(DUMP_TIMEOUT))?;
        // `ifinfomsg` and `ifaddrmsg` of any interface.
        let Some(links) =
            dump(&socket, libc::RTM_GETLINK, &[libc::AF_UNSPEC as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])?
        else {
            continue;
        };
        let Some(addresses) = dump(&socket, libc::RTM_GETADDR, &[libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0])? else { continue };
        let mut interfaces: Vec<Interface> = links.iter().filter_map(|body| parse_link(body)).collect();
        interfaces.sort_by_key(|interface| interface.index);
        let mut addresses: Vec<Address> = addresses.iter().filter_map(|body| parse_address(body)).collect();
        addresses.sort_by_key(|address| address.secondary);
        for address in addresses {
            if let Some(interface) = interfaces.iter_mut().find(|interface| interface.index == address.interface) {
                interface.addresses.push(address.net);
            }
        }
        return Ok(interfaces);
    }
    Err(io::Error::other("the interfaces change too fast to be read"))
}

fn open(groups: u32) -> io::Result<Socket> {
    let protocol = Protocol::from(libc::NETLINK_ROUTE);
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW.nonblocking().cloexec(), Some(protocol))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

const HEADER_BYTES: usize = 16;

/// Asks for everything of one kind; the bodies of the answers, or `None` where it changed meanwhile.
fn dump(socket: &Socket, kind: u16, body: &[u8]) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut request = Vec::with_capacity(HEADER_BYTES + body.len());
    request.extend_from_slice(&((HEADER_BYTES + body.len()) as u32).to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(body);
    socket.send(&request)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut bodies, mut disturbed) = (Vec::new(), false);
    loop {
        let length = (&mut &*socket).read(&mut buffer)?;
        for message in messages(&buffer[..length]) {
            disturbed |= i32::from(message.flags) & libc::NLM_F_DUMP_INTR != 0;
            match i32::from(message.kind) {
                libc::NLMSG_DONE => return Ok((!disturbed).then_some(bodies)),
                libc::NLMSG_ERROR => {
                    let code = message.body.first_chunk().map_or(-libc::EPROTO, |code| i32::from_ne_bytes(*code));
                    return Err(io::Error::from_raw_os_error(-code));
                }
                _ => bodies.push(message.body.to_vec()),
            }
        }
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

/// Splits what one read returned; ends at the first message that is not whole.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        let message = Message { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, body: bytes.get(HEADER_BYTES..length)? };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes behind the fixed part of a body: their kind without flag bits, and their value.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let attribute = (u16_at(bytes, 2)? & 0x3fff, bytes.get(4..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(attribute)
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|value| u16::from_ne_bytes(*value))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|value| u32::from_ne_bytes(*value))
}

/// `ifinfomsg`: family, pad, type (2 bytes), index, flags, change mask.
fn parse_link(body: &[u8]) -> Option<Interface> {
    let is_ethernet = u16_at(body, 2)? == libc::ARPHRD_ETHER;
    let flags = u32_at(body, 8)?;
    let wanted = (libc::IFF_UP | libc::IFF_RUNNING) as u32;
    let (mut name, mut mac, mut mtu) = (None, None, u16::MAX);
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => name = std::str::from_utf8(value).ok().map(|name| name.trim_end_matches('\0').to_owned()),
            libc::IFLA_ADDRESS if is_ethernet => mac = value.try_into().ok(),
            // The loopback has 65536.
            libc::IFLA_MTU => mtu = u16::try_from(u32_at(value, 0)?).unwrap_or(u16::MAX),
            _ => {}
        }
    }
    let up = flags & wanted == wanted;
    Some(Interface { index: u32_at(body, 4)?, name: name?, mac, mtu, addresses: Vec::new(), up })
}

struct Address {
    interface: u32,
    net: Ipv4Net,
    secondary: bool,
}

/// `ifaddrmsg`: family, prefix length, flags, scope (1 byte each), index.
fn parse_address(body: &[u8]) -> Option<Address> {
    let [family, prefix, flags, ..] = *body else { return None };
    if i32::from(family) != libc::AF_INET {
        return None;
    }
    let (mut local, mut address) = (None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        let value: Option<[u8; 4]> = value.try_into().ok();
        match kind {
            libc::IFA_LOCAL => local = value,
            libc::IFA_ADDRESS => address = value,
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the peer's.
    let own = Ipv4Addr::from(local.or(address)?);
    let secondary = u32::from(flags) & libc::IFA_F_SECONDARY != 0;
    Some(Address { interface: u32_at(body, 4)?, net: Ipv4Net::new(own, prefix).ok()?, secondary })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = [&((4 + value.len()) as u16).to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link(flags: i32, kind: u16) -> Vec<u8> {
        let mut body = vec![0; 2];
        body.extend(kind.to_ne_bytes());
        body.extend(7_u32.to_ne_bytes());
        body.extend((flags as u32).to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attribute(libc::IFLA_IFNAME, b"eth0\0"));
        body.extend(attribute(0x8000 | 200, &[1; 13]));
        body.extend(attribute(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]));
        body.extend(attribute(libc::IFLA_MTU, &1500_u32.to_ne_bytes()));
        body
    }

    #[test]
    fn a_link_is_read_past_attributes_that_nobody_knows() {
        let interface = parse_link(&link(libc::IFF_UP | libc::IFF_RUNNING, libc::ARPHRD_ETHER)).expect("a link");
        assert_eq!((interface.index, interface.name.as_str(), interface.mtu, interface.up), (7, "eth0", 1500, true));
        assert_eq!(interface.mac, Some([2, 0, 0, 0, 0, 1]));
    }

    #[test]
    fn a_link_without_carrier_is_not_up_and_a_tunnel_has_no_mac() {
        assert!(!parse_link(&link(libc::IFF_UP, libc::ARPHRD_ETHER)).expect("a link").up);
        assert_eq!(parse_link(&link(0, libc::ARPHRD_NONE)).expect("a link").mac, None);
    }

    #[test]
    fn the_own_end_of_a_point_to_point_link_counts() {
        let mut body = vec![libc::AF_INET as u8, 32, 0, 0];
        body.extend(7_u32.to_ne_bytes());
        body.extend(attribute(libc::IFA_ADDRESS, &[192, 0, 2, 2]));
        body.extend(attribute(libc::IFA_LOCAL, &[192, 0, 2, 1]));
        let address = parse_address(&body).expect("an address");
        assert_eq!((address.interface, address.net.to_string().as_str()), (7, "192.0.2.1/32"));
    }

    #[test]
    fn cut_messages_end_the_walk_and_never_panic() {
        let body = link(0, libc::ARPHRD_ETHER);
        for cut in 0..body.len() {
            let _ = parse_link(&body[..cut]);
            let _ = parse_address(&body[..cut]);
            assert_eq!(messages(&body[..cut]).count(), 0);
        }
        for first in 0..=u8::MAX {
            let mut bytes = vec![first, 0, 0, 0];
            bytes.extend([first; 60]);
            assert!(messages(&bytes).count() <= 4, "each takes at least its header");
            assert!(attributes(&bytes).count() <= 16);
        }
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let interfaces = list().expect("rtnetlink needs no rights");
        let loopback = interfaces.iter().find(|interface| interface.name == "lo").expect("every namespace has one");
        assert_eq!((loopback.mac, loopback.mtu), (None, u16::MAX));
    }
}
