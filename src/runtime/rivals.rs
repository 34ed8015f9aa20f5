//! The rogue-server probe: sends a DISCOVER as a client would and lists who else offers an address.
//!
//! The made-up client has a hardware address of its own in `chaddr`, but the frames come from the interface's: a
//! switch with port security may shut a port over a second address, and Wi-Fi carries no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsFd,
    time::Duration,
};

use dhcproto::{
    Decodable, Decoder, Encodable,
    v4::{DhcpOption, Flags, Message, MessageType, OptionCode},
};
use tokio::time::Instant;

use crate::{
    protocol::{Interface, dhcp::PROBE_CLASS, lease::HwAddr},
    runtime::{
        batch::{self, Outgoing, ReceiveBatch, To},
        frame, packet, watch,
    },
};

/// Most servers answer within a second; dnsmasq first asks by ping for 3 s whether the address is free.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// DISCOVERs in one probe, spread over the wait: a frame gets lost, and a server may keep back at first.
const TRIES: u16 = 3;
/// More than any real network has; a flood of forged offers stops here.
const RIVALS_MAX: usize = 64;
const RECEIVE_BYTES: usize = 2048;
/// RFC 1542 §2.1: some drop shorter ones.
const MESSAGE_BYTES_MIN: usize = 300;

/// Another DHCP server on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// As it calls itself (option 54).
    pub server_id: Option<Ipv4Addr>,
    /// Where its packet came from: itself, or a relay.
    pub source: Ipv4Addr,
    pub mac: [u8; 6],
    pub offered: Ipv4Addr,
    pub routers: Vec<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    pub lease_secs: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{0} is not an Ethernet interface; probe one that is")]
    NotEthernet(String),
    #[error("no right to send a DHCP probe on {0}; run it as root or with CAP_NET_RAW")]
    NotAllowed(String),
    #[error("the DHCP probe on {interface} failed: {error}; see whether the interface is up")]
    Failed { interface: String, error: io::Error },
}

/// Probes for `wait` and returns every other server that offered an address. `own` are the addresses that are not
/// rivals: ours, and the partner's.
pub async fn find_rivals(interface: &Interface, own: &[Ipv4Addr], wait: Duration) -> Result<Vec<Rival>, ProbeError> {
    let mac = interface.mac.ok_or_else(|| ProbeError::NotEthernet(interface.name.clone()))?;
    probe(interface.index, mac, own, wait).await.map_err(|error| match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ProbeError::NotAllowed(interface.name.clone()),
        _ => ProbeError::Failed { interface: interface.name.clone(), error },
    })
}

async fn probe(interface: u32, mac: [u8; 6], own: &[Ipv4Addr], wait: Duration) -> io::Result<Vec<Rival>> {
    let socket = packet::open_receiver(interface, packet::ETHER_TYPE_IPV4, &packet::REPLY_FILTER)?;
    let sockets = [watch::watch(socket)?];
    let client = Client { xid: random_xid()?, chaddr: made_up(mac), name: None };
    let mut batch = ReceiveBatch::new(RECEIVE_BYTES);
    let mut found = BTreeMap::new();
    let (start, pause) = (Instant::now(), wait / u32::from(TRIES));
    for attempt in 0..TRIES {
        let secs = u16::try_from(start.elapsed().as_secs()).unwrap_or(u16::MAX);
        let bytes = discover_frame(&client, mac, secs, attempt)?;
        let to = To::Ethernet { interface, ether_type: packet::ETHER_TYPE_IPV4 };
        batch::send(sockets[0].get_ref().as_fd(), &[Outgoing { bytes: &bytes, to }])?;
        let end = start + pause * u32::from(attempt + 1);
        while tokio::time::timeout_at(end, watch::any_readable(|| sockets.iter())).await.is_ok() {
            let count = watch::receive_batch(&sockets[0], &mut batch, &mut 0);
            let offers = (0..count).filter_map(|index| read_offer(batch.get(index).bytes, &client));
            for rival in offers.filter(|rival| !is_own(rival, own)) {
                let key = (rival.server_id, rival.mac);
                if found.len() < RIVALS_MAX || found.contains_key(&key) {
                    found.insert(key, rival);
                }
            }
            // A flood keeps the socket readable; others on this thread get their turn, and the end its check.
            tokio::task::yield_now().await;
            if Instant::now() >= end {
                break;
            }
        }
    }
    Ok(found.into_values().collect())
}

fn is_own(rival: &Rival, own: &[Ipv4Addr]) -> bool {
    own.contains(&rival.server_id.unwrap_or(rival.source))
}

/// The client that we pretend to be.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    pub xid: u32,
    pub chaddr: [u8; 6],
    /// As it calls itself (option 12). One without a name is a probe, and says so (option 60).
    pub name: Option<&'static str>,
}

pub fn random_xid() -> io::Result<u32> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u32::from_ne_bytes(bytes))
}

/// A locally administered unicast address that differs from `mac` but stays the same from probe to probe: a rival
/// that we ask every hour sees one client, not a new one each time that drains its pool.
pub fn made_up(mac: [u8; 6]) -> [u8; 6] {
    let [first, second, third, fourth, fifth, sixth] = mac;
    [(first | 0x02) & !0x01, second, third, fourth ^ 0x7e, fifth ^ 0x1e, sixth ^ 0xa5]
}

pub fn discover_frame(client: &Client, mac: [u8; 6], secs: u16, attempt: u16) -> io::Result<Vec<u8>> {
    let mut message = Message::default();
    // Broadcast: the answer is for an address that the interface does not listen to.
    message.set_xid(client.xid).set_secs(secs).set_flags(Flags::default().set_broadcast()).set_chaddr(&client.chaddr);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(MessageType::Discover));
    options.insert(DhcpOption::ParameterRequestList(vec![
        OptionCode::SubnetMask,
        OptionCode::Router,
        OptionCode::DomainNameServer,
        OptionCode::DomainName,
    ]));
    options.insert(match client.name {
        Some(name) => DhcpOption::Hostname(name.into()),
        None => DhcpOption::ClassIdentifier(PROBE_CLASS.into()),
    });
    let mut payload = message.to_vec().map_err(io::Error::other)?;
    payload.resize(payload.len().max(MESSAGE_BYTES_MIN), 0);
    let datagram = frame::Udp {
        from: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
        to: SocketAddrV4::new(Ipv4Addr::BROADCAST, 67),
        identification: attempt,
        payload: &payload,
    };
    let mut bytes = Vec::with_capacity(frame::HEADERS_BYTES + payload.len());
    frame::append_frame(&mut bytes, mac, frame::BROADCAST_MAC, &datagram).ok_or(io::ErrorKind::InvalidData)?;
    Ok(bytes)
}

const FIXED_BYTES: usize = 236;
const MAGIC: [u8; 4] = [99, 130, 83, 99];

/// Reads a frame as an OFFER to `client`; `None` for anything else, however broken.
pub fn read_offer(bytes: &[u8], client: &Client) -> Option<Rival> {
    let parsed = frame::parse(bytes)?;
    let (fixed, rest) = parsed.payload.split_at_checked(FIXED_BYTES)?;
    // op, hlen, xid and chaddr where BOOTP has them; read here, as dhcproto's chaddr() panics above hlen 16.
    if fixed[0] != 2 || fixed[2] != 6 || fixed[4..8] != client.xid.to_be_bytes() || fixed[28..34] != client.chaddr {
        return None;
    }
    let offered = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    let mut rival = Rival {
        server_id: None,
        source: parsed.source,
        mac: parsed.mac,
        offered,
        routers: Vec::new(),
        dns: Vec::new(),
        lease_secs: None,
    };
    let mut kind = None;
    for bytes in options(rest.strip_prefix(&MAGIC)?) {
        // Each alone: a broken option of a rival must not hide what stands behind it.
        match DhcpOption::decode(&mut Decoder::new(bytes)) {
            Ok(DhcpOption::MessageType(value)) => kind = Some(value),
            Ok(DhcpOption::ServerIdentifier(address)) => rival.server_id = Some(address),
            Ok(DhcpOption::Router(addresses)) => rival.routers = addresses,
            Ok(DhcpOption::DomainNameServer(addresses)) => rival.dns = addresses,
            Ok(DhcpOption::AddressLeaseTime(secs)) => rival.lease_secs = Some(secs),
            _ => {}
        }
    }
    (kind == Some(MessageType::Offer)).then_some(rival)
}

/// The options as code, length and value; ends at END or at the first that is not whole.
fn options(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while let [0, rest @ ..] = bytes {
            bytes = rest;
        }
        let [code, length, ..] = *bytes else { return None };
        if code == 255 {
            return None;
        }
        let (option, rest) = bytes.split_at_checked(2 + usize::from(length))?;
        bytes = rest;
        Some(option)
    })
}

/// Without the twin, whose link is at this address. It is no rival: it is known by that address, and by the hardware address that goes
/// with it, which its other networks share where they are VLANs of one port.
pub fn strangers(rivals: Vec<Rival>, twin: Option<Ipv4Addr>) -> Vec<Rival> {
    let twins = twin.map(macs_of).unwrap_or_default();
    rivals.into_iter().filter(|rival| !twins.contains(&HwAddr::ethernet(rival.mac).to_string())).collect()
}

/// Where the twin's link is; `facts` as the link tells them.
pub fn twin_address(facts: &serde_json::Value) -> Option<Ipv4Addr> {
    let address = facts.get("twin")?.get("address")?.as_str()?;
    let (host, _) = address.rsplit_once(':')?;
    host.parse().ok()
}

/// As the kernel has heard by ARP.
fn macs_of(address: Ipv4Addr) -> BTreeSet<String> {
    in_arp_table(&fs::read_to_string("/proc/net/arp").unwrap_or_default(), address)
}

fn in_arp_table(table: &str, address: Ipv4Addr) -> BTreeSet<String> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let its = rows.filter(|row| row.first().is_some_and(|first| first.parse() == Ok(address)));
    let macs = its.filter_map(|row| row.get(3).map(|mac| (*mac).to_owned()));
    macs.filter(|mac| mac != "00:00:00:00:00:00").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Client = Client { xid: 0x0102_0304, chaddr: [2, 0, 0, 0x7e, 0x1e, 0xa4], name: None };
    const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

    fn payload(options: &[u8]) -> Vec<u8> {
        let mut payload = vec![0; FIXED_BYTES];
        payload[..4].copy_from_slice(&[2, 1, 6, 0]);
        payload[4..8].copy_from_slice(&CLIENT.xid.to_be_bytes());
        payload[16..20].copy_from_slice(&[192, 0, 2, 77]);
        payload[28..34].copy_from_slice(&CLIENT.chaddr);
        payload.extend(MAGIC);
        payload.extend(options);
        payload
    }

    fn frame(payload: &[u8]) -> Vec<u8> {
        let (from, to) = (SocketAddrV4::new(SERVER, 67), SocketAddrV4::new(Ipv4Addr::BROADCAST, 68));
        let mut bytes = Vec::new();
        let datagram = frame::Udp { from, to, identification: 1, payload };
        frame::append_frame(&mut bytes, SERVER_MAC, frame::BROADCAST_MAC, &datagram).expect("it fits");
        bytes
    }

    /// A host name that is no UTF-8, then what matters.
    const OPTIONS: [u8; 36] = [
        53, 1, 2, 12, 2, 0xff, 0xfe, 0, 54, 4, 192, 0, 2, 254, 3, 4, 192, 0, 2, 254, 6, 4, 192, 0, 2, 53, 51, 4, 0, 0, 2, 88, 1,
        1, 9, 255,
    ];

    #[test]
    fn an_offer_tells_who_sends_it_and_what_it_would_hand_out() {
        let rival = read_offer(&frame(&payload(&OPTIONS)), &CLIENT).expect("an offer");
        assert_eq!((rival.server_id, rival.source, rival.mac), (Some(SERVER), SERVER, SERVER_MAC));
        assert_eq!(rival.offered, Ipv4Addr::new(192, 0, 2, 77));
        assert_eq!((rival.routers, rival.dns), (vec![SERVER], vec![Ipv4Addr::new(192, 0, 2, 53)]));
        assert_eq!(rival.lease_secs, Some(600));
    }

    #[test]
    fn what_is_no_offer_to_us_is_left_out() {
        let good = payload(&OPTIONS);
        for (index, value, what) in
            [(0, 1, "op"), (2, 255, "hlen"), (7, 9, "xid"), (33, 9, "chaddr"), (236, 0, "cookie"), (242, 5, "an ACK")]
        {
            let mut wrong = good.clone();
            wrong[index] = value;
            assert_eq!(read_offer(&frame(&wrong), &CLIENT), None, "{what}");
        }
    }

    #[test]
    fn no_cut_or_flipped_offer_panics_the_reader() {
        let good = payload(&OPTIONS);
        for cut in 0..good.len() {
            let _ = read_offer(&frame(&good[..cut]), &CLIENT);
        }
        for index in 0..good.len() {
            for value in [0, 1, 16, 17, 127, 255] {
                let mut wrong = good.clone();
                wrong[index] = value;
                let _ = read_offer(&frame(&wrong), &CLIENT);
            }
        }
    }

    #[test]
    fn our_own_server_and_its_twin_are_no_rivals() {
        let mut rival = read_offer(&frame(&payload(&OPTIONS)), &CLIENT).expect("an offer");
        assert!(is_own(&rival, &[SERVER]));
        assert!(!is_own(&rival, &[Ipv4Addr::new(192, 0, 2, 1)]));
        rival.server_id = None;
        assert!(is_own(&rival, &[SERVER]), "by the source where it does not name itself");
    }

    #[test]
    fn the_discover_is_a_broadcast_of_a_made_up_client_from_our_own_hardware_address() {
        let mac = [2, 0, 0, 0, 0, 1];
        let client = Client { xid: 7, chaddr: made_up(mac), name: None };
        assert_ne!(client.chaddr, mac);
        assert_eq!(client.chaddr[0] & 3, 2, "locally administered, unicast");
        let bytes = discover_frame(&client, mac, 3, 1).expect("a valid message");
        let parsed = frame::parse(&bytes).expect("a valid frame");
        assert_eq!((parsed.mac, parsed.source), (mac, Ipv4Addr::UNSPECIFIED));
        assert!(parsed.payload.len() >= MESSAGE_BYTES_MIN);
        let message = Message::decode(&mut Decoder::new(parsed.payload)).expect("a valid message");
        assert_eq!((message.xid(), message.secs(), message.chaddr()), (7, 3, &client.chaddr[..]));
        assert!(message.flags().broadcast());
        assert_eq!(message.opts().msg_type(), Some(MessageType::Discover));
    }

    #[test]
    fn the_twin_is_known_by_the_address_of_its_link_and_what_arp_says_of_it() {
        let facts = serde_json::json!({ "twin": { "address": "192.0.2.3:8067" } });
        assert_eq!(twin_address(&facts), Some(Ipv4Addr::new(192, 0, 2, 3)));
        assert_eq!(twin_address(&serde_json::json!({ "twin": null })), None);
        assert_eq!(twin_address(&serde_json::json!({ "twin": { "address": null } })), None);
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     192.0.2.3        0x1         0x2         02:00:00:00:00:03     *        eth0\n\
                     192.0.2.4        0x1         0x2         02:00:00:00:00:04     *        eth0\n\
                     192.0.2.3        0x1         0x0         00:00:00:00:00:00     *        eth1\n";
        assert_eq!(in_arp_table(table, Ipv4Addr::new(192, 0, 2, 3)), ["02:00:00:00:00:03".to_owned()].into());
    }
}
