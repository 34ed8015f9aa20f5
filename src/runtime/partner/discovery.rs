//! Looks for other nodes on this network, and is found by them: by beacons (UDP, broadcast and multicast on each
//! interface) and by mDNS. Both say only where to call; who stands there has to prove its key.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
use socket2::{Domain, Socket, Type};
use tokio::{
    net::UdpSocket,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    beacon::{BEACON_BYTES_MAX, Beacon},
    facts::Found,
    key::Prefix,
    pairing::clean,
    shared::{News, Shared},
};
use crate::{protocol::Interface, runtime::links};

/// Of the administratively scoped ones (RFC 2365): stays on the link.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 80, 67);
const INTERVAL: Duration = Duration::from_secs(5);
const REOPEN_PAUSE: Duration = Duration::from_secs(5);
/// A flood of beacons costs no more than this.
const HEARD_PER_SECOND: u32 = 200;
/// Answers to those who ask, so that nobody can make this node a megaphone.
const ANSWER_PAUSE: Duration = Duration::from_millis(500);

const SERVICE: &str = "_twinlease._tcp.local.";
/// What the library has gathered meanwhile is looked at this often.
const MDNS_INTERVAL: Duration = Duration::from_secs(1);
const MDNS_EVENTS_MAX: usize = 64;

/// Never ends.
pub async fn beacons(shared: Arc<Shared>, port: u16) {
    let mut told = false;
    loop {
        match open(port) {
            Ok(socket) => {
                told = false;
                talk(&shared, &socket, port).await;
            }
            Err(error) if !told => {
                told = true;
                tracing::warn!(
                    "Other nodes cannot find this one by itself: UDP port {port} cannot be opened ({error}). Their address has to be typed."
                );
            }
            Err(_) => {}
        }
        sleep(REOPEN_PAUSE).await;
    }
}

fn open(port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), None)?;
    // Two nodes on one machine hear each other.
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.set_multicast_ttl_v4(1)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    UdpSocket::from_std(socket.into())
}

/// Ends when the socket does not read any more.
async fn talk(shared: &Shared, socket: &UdpSocket, port: u16) {
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buffer = [0; BEACON_BYTES_MAX + 1];
    let mut heard = Heard { since: Instant::now(), count: 0 };
    let mut answered: Option<Instant> = None;
    let mut is_first = true;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                send(shared, socket, port, is_first).await;
                is_first = false;
            }
            received = socket.recv_from(&mut buffer) => {
                let (length, from) = match received {
                    Ok(received) => received,
                    Err(error) => {
                        tracing::debug!(%error, "beacons cannot be read");
                        return;
                    }
                };
                if !heard.counts() {
                    continue;
                }
                let Some(beacon) = Beacon::decode(&buffer[..length]) else { continue };
                let asks = beacon.asks;
                if note(shared, &beacon, from) && asks && answered.is_none_or(|last| last.elapsed() >= ANSWER_PAUSE) {
                    answered = Some(Instant::now());
                    send(shared, socket, port, false).await;
                }
            }
        }
    }
}

/// False: it was our own.
fn note(shared: &Shared, beacon: &Beacon, from: SocketAddr) -> bool {
    let is_own = beacon.id == own_id(shared);
    let news = match (is_own, beacon.session == shared.session) {
        (true, true) => return false,
        (true, false) => News::Cloned(from),
        (false, _) => News::Found(beacon.found_at(from)),
    };
    // Said again in a few seconds.
    let _ = shared.news.try_send(news);
    true
}

fn own_id(shared: &Shared) -> Prefix {
    shared.identity.key.fingerprint().prefix()
}

struct Heard {
    since: Instant,
    count: u32,
}

impl Heard {
    fn counts(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            *self = Heard { since: Instant::now(), count: 0 };
        }
        self.count += 1;
        self.count <= HEARD_PER_SECOND
    }
}

async fn send(shared: &Shared, socket: &UdpSocket, port: u16, asks: bool) {
    let Some(link_port) = shared.link_port() else { return };
    let paired = shared.partner.borrow().is_some();
    let mut beacon = Beacon::new(own_id(shared), shared.session, link_port, &shared.standing.borrow().name, paired);
    beacon.asks = asks;
    let bytes = beacon.encode();
    // It asks the kernel, and waits for the answer.
    let interfaces = match tokio::task::spawn_blocking(links::list).await {
        Ok(Ok(interfaces)) => interfaces,
        Ok(Err(_)) | Err(_) => return,
    };
    for interface in interfaces.iter().filter(|interface| interface.up) {
        send_on(socket, interface, port, &bytes);
    }
}

/// What one interface does not take, another may.
fn send_on(socket: &UdpSocket, interface: &Interface, port: u16, bytes: &[u8]) {
    for net in &interface.addresses {
        let options = socket2::SockRef::from(socket);
        // Already joined: fine.
        let _ = options.join_multicast_v4(&GROUP, &net.addr());
        if options.set_multicast_if_v4(&net.addr()).is_ok() {
            let _ = socket.try_send_to(bytes, (GROUP, port).into());
        }
        if net.prefix_len() < 31 {
            let _ = socket.try_send_to(bytes, (net.broadcast(), port).into());
        }
    }
}

/// Registers this node and browses for others; never ends. The library has a thread of its own.
pub async fn mdns(shared: Arc<Shared>) {
    let daemon = match ServiceDaemon::new() {
        Ok(daemon) => Daemon(daemon),
        Err(error) => {
            tracing::warn!("Other nodes cannot find this one by mDNS ({error}); beacons go on.");
            return;
        }
    };
    let browsing = match daemon.0.browse(SERVICE) {
        Ok(browsing) => browsing,
        Err(error) => {
            tracing::warn!("Other nodes cannot be found by mDNS ({error}); beacons go on.");
            return;
        }
    };
    let mut registered = None;
    let mut tick = interval(MDNS_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let wanted = (shared.link_port(), shared.partner.borrow().is_some());
        if let (Some(port), paired) = wanted
            && registered != Some(wanted)
        {
            registered = Some(wanted);
            if let Err(error) = register(&shared, &daemon.0, port, paired) {
                tracing::debug!(%error, "not registered by mDNS");
            }
        }
        for _ in 0..MDNS_EVENTS_MAX {
            let Ok(event) = browsing.try_recv() else { break };
            if let ServiceEvent::ServiceResolved(service) = event
                && let Some(found) = resolved(&shared, &service)
            {
                let _ = shared.news.try_send(News::Found(found));
            }
        }
    }
}

struct Daemon(ServiceDaemon);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It says goodbye to the network, in its own time.
        let _ = self.0.shutdown();
    }
}

fn register(shared: &Shared, daemon: &ServiceDaemon, port: u16, paired: bool) -> mdns_sd::Result<()> {
    let id = own_id(shared).to_string();
    let name: String = shared.standing.borrow().name.clone();
    let properties = [("id", id.clone()), ("name", clean(&name)), ("paired", paired.to_string())];
    let host = format!("twinlease-{id}.local.");
    let service = ServiceInfo::new(SERVICE, &id, &host, (), port, &properties[..])?.enable_addr_auto();
    daemon.register(service)
}

fn resolved(shared: &Shared, service: &mdns_sd::ResolvedService) -> Option<Found> {
    let id = Prefix::try_from(service.get_property_val_str("id")?.to_owned()).ok()?;
    if id == own_id(shared) || service.get_port() == 0 {
        return None;
    }
    let name = clean(service.get_property_val_str("name").unwrap_or_default());
    let paired = service.get_property_val_str("paired") == Some("true");
    // One is enough, and the loopback is right only for two on one machine.
    let address = service.get_addresses_v4().into_iter().min_by_key(|address| (address.is_loopback(), *address))?;
    Some(Found { id, name, address: SocketAddr::new(IpAddr::V4(address), service.get_port()), paired })
}
