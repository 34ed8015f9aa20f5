//! The sockets, the interface watcher, ARP and the rival probe on real interfaces of a private world.
//!
//! Each test runs itself again inside `scripts/lab enter`: the near end of a veth pair is the server's, frames of
//! clients are written to the far end by hand. Where no world can be made, the test says so and is skipped.

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    process::Command,
    time::Duration,
};

use etherparse::{Ethernet2Header, Ipv4Header, UdpHeader};
use socket2::{SockFilter, Socket};
use twinlease::{
    protocol::{Destination, Interface, Reply},
    runtime::{
        arp::Arp,
        frame::{self, BROADCAST_MAC},
        links::{self, Links},
        outbox::Trouble,
        packet,
        rivals::find_rivals,
        served::{Notice, State},
        socket::{DHCP_PORTS, Ports, Sockets},
    },
};

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0xc, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 44);
const RELAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const PASS_ALL: [SockFilter; 1] = [SockFilter::new(6, 0, 0, u32::MAX)];

// ---- the world ------------------------------------------------------------------------------------------

/// Runs `body` inside a world of its own, on one thread with a tokio runtime.
fn in_world(name: &str, body: impl AsyncFnOnce()) {
    if env::var_os("LAB_DIR").is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(body());
    }
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab");
    let this = env::current_exe().expect("a running test");
    let output =
        Command::new(lab).args(["enter", "--"]).arg(this).args(["--exact", name, "--nocapture"]).output().expect("scripts/lab");
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        // Not by `eprintln!`, which the test harness swallows when a test passes.
        Some(77) => writeln!(std::io::stderr(), "SKIPPED {name}: {errors}").expect("stderr"),
        Some(0) => assert!(out.contains("1 passed"), "the test ran in its world: {out}"),
        code => panic!("exit {code:?}\n{out}\n{errors}"),
    }
}

fn ip(arguments: &str) {
    run("ip", arguments);
}

fn run(program: &str, arguments: &str) {
    let status = Command::new(program).args(arguments.split(' ')).status().expect("the lab's programs are there");
    assert!(status.success(), "{program} {arguments}");
}

/// A cable: `near` with `address` for the server, `far` for hand-made clients.
fn cable(near: &str, far: &str, address: &str) -> Wire {
    ip(&format!("link add {near} type veth peer name {far}"));
    // Else a captured packet still lacks the checksum that hardware would fill in.
    run("ethtool", &format!("-K {near} tx off"));
    ip(&format!("link set {near} up"));
    ip(&format!("link set {far} up arp off"));
    ip(&format!("address add {address} dev {near}"));
    Wire::open(far, packet::ETHER_TYPE_IPV4)
}

fn interface(name: &str) -> Interface {
    links::list().expect("rtnetlink").into_iter().find(|interface| interface.name == name).expect("just made")
}

fn serve(names: &[&str]) -> (Sockets, Vec<Interface>) {
    let mut sockets = Sockets::new(DHCP_PORTS);
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let interfaces = names.iter().map(|name| interface(name)).collect();
    for notice in sockets.update(&links::list().expect("rtnetlink"), &names) {
        assert_eq!(notice.state, State::Serving, "{notice}");
    }
    (sockets, interfaces)
}

/// The far end of a cable.
struct Wire(Socket);

impl Wire {
    fn open(name: &str, ether_type: u16) -> Wire {
        let socket = packet::open_receiver(interface(name).index, ether_type, &PASS_ALL).expect("a packet socket");
        socket.set_nonblocking(false).expect("an option");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("an option");
        Wire(socket)
    }

    fn write(&self, bytes: &[u8]) {
        self.0.send(bytes).expect("the cable takes it");
    }

    fn read(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        let length = (&self.0).read(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    fn send_udp(&self, to_mac: [u8; 6], from: (Ipv4Addr, u16), to: Ipv4Addr, payload: &[u8]) {
        let (from, to) = (SocketAddrV4::new(from.0, from.1), SocketAddrV4::new(to, 67));
        let mut bytes = Vec::new();
        let datagram = frame::Udp { from, to, identification: 1, payload };
        frame::append_frame(&mut bytes, CLIENT_MAC, to_mac, &datagram).expect("it fits");
        self.write(&bytes);
    }

    fn broadcast(&self, payload: &[u8]) {
        self.send_udp(BROADCAST_MAC, (Ipv4Addr::UNSPECIFIED, 68), Ipv4Addr::BROADCAST, payload);
    }
}

/// What one `receive` brings: interface, source, source port, destination, payload.
type Taken = (u32, Ipv4Addr, u16, Ipv4Addr, Vec<u8>);

async fn receive(sockets: &mut Sockets) -> Vec<Taken> {
    let mut taken = Vec::new();
    if tokio::time::timeout(Duration::from_millis(500), sockets.readable()).await.is_ok() {
        sockets.receive(|d| taken.push((d.interface, d.source, d.source_port, d.destination, d.payload.to_vec())));
    }
    taken
}

fn reply(interface: &Interface, to: Destination, payload: &[u8]) -> Reply {
    Reply { interface: interface.index, source: SERVER, to, payload: payload.to_vec() }
}

fn send(sockets: &mut Sockets, reply: Reply) {
    let troubles = sockets.send(&mut vec![reply]);
    assert!(troubles.is_empty(), "{troubles:?}");
}

fn states(notices: &[Notice]) -> Vec<&State> {
    notices.iter().map(|notice| &notice.state).collect()
}

/// The headers of a captured frame, after its checksums and constant fields were judged.
fn judge(bytes: &[u8]) -> (Ethernet2Header, Ipv4Header, UdpHeader, Vec<u8>) {
    let (ethernet, rest) = Ethernet2Header::from_slice(bytes).expect("Ethernet");
    let (ip, rest) = Ipv4Header::from_slice(rest).expect("IPv4");
    let (udp, payload) = UdpHeader::from_slice(&rest[..usize::from(ip.total_len) - 20]).expect("UDP");
    assert_eq!((ip.time_to_live, ip.dont_fragment, udp.source_port), (64, false, 67));
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    assert_ne!(udp.checksum, 0, "checksum on");
    assert_eq!(Some(udp.checksum), udp.calc_checksum_ipv4(&ip, payload).ok(), "UDP checksum");
    (ethernet, ip, udp, payload.to_vec())
}

// ---- receiving ------------------------------------------------------------------------------------------

#[test]
fn a_broadcast_from_nobody_arrives_even_with_strict_rp_filter() {
    in_world("a_broadcast_from_nobody_arrives_even_with_strict_rp_filter", async || {
        let wire = cable("near", "far", "192.0.2.1/24");
        std::fs::write("/proc/sys/net/ipv4/conf/near/rp_filter", "1").expect("a world's own setting");
        let (mut sockets, interfaces) = serve(&["near"]);
        wire.broadcast(b"discover");
        let expected = (interfaces[0].index, Ipv4Addr::UNSPECIFIED, 68, Ipv4Addr::BROADCAST, b"discover".to_vec());
        assert_eq!(receive(&mut sockets).await, [expected]);
    });
}

#[test]
fn a_unicast_tells_the_address_it_was_sent_to_also_one_of_another_interface() {
    in_world("a_unicast_tells_the_address_it_was_sent_to_also_one_of_another_interface", async || {
        let wire = cable("near", "far", "192.0.2.1/24");
        let _other = cable("near2", "far2", "198.51.100.1/24");
        ip("route add 203.0.113.0/24 via 192.0.2.9 dev near");
        let (mut sockets, interfaces) = serve(&["near", "near2"]);
        let mac = interfaces[0].mac.expect("Ethernet");
        let others = Ipv4Addr::new(198, 51, 100, 1);
        wire.send_udp(mac, (CLIENT, 68), SERVER, b"renew");
        wire.send_udp(mac, (RELAY, 67), others, b"relayed");
        let index = interfaces[0].index;
        let expected = [(index, CLIENT, 68, SERVER, b"renew".to_vec()), (index, RELAY, 67, others, b"relayed".to_vec())];
        assert_eq!(receive(&mut sockets).await, expected);
    });
}

#[test]
fn a_flooded_interface_does_not_starve_the_other() {
    in_world("a_flooded_interface_does_not_starve_the_other", async || {
        let flooded = cable("near", "far", "192.0.2.1/24");
        let calm = cable("near2", "far2", "198.51.100.1/24");
        let (mut sockets, interfaces) = serve(&["near", "near2"]);
        for _ in 0..500 {
            flooded.broadcast(&[0; 300]);
        }
        calm.broadcast(b"me too");
        let taken = receive(&mut sockets).await;
        assert_eq!(taken.len(), 65, "one batch and the one");
        assert_eq!(taken.iter().filter(|taken| taken.0 == interfaces[1].index).count(), 1);
        let mut rest = 0;
        while let count @ 1.. = receive(&mut sockets).await.len() {
            rest += count;
        }
        assert_eq!(rest, 500 - 64, "nothing is lost, nothing comes twice");
        assert_eq!(sockets.counters().received, 501);
    });
}

#[test]
fn what_the_kernel_drops_is_counted() {
    in_world("what_the_kernel_drops_is_counted", async || {
        let wire = cable("near", "far", "192.0.2.1/24");
        let (mut sockets, _) = serve(&["near"]);
        for _ in 0..8000 {
            wire.broadcast(&[0; 300]);
        }
        let mut read = 0;
        while let count @ 1.. = receive(&mut sockets).await.len() {
            read += count as u64;
        }
        assert!(read >= 1000, "the buffer holds a burst: {read}");
        assert_eq!(sockets.kernel_drops(), 8000 - read);
    });
}

#[test]
fn an_oversize_packet_is_counted_and_costs_nobody_else() {
    in_world("an_oversize_packet_is_counted_and_costs_nobody_else", async || {
        let wire = cable("near", "far", "192.0.2.1/24");
        ip("link set near mtu 4000");
        ip("link set far mtu 4000");
        let (mut sockets, _) = serve(&["near"]);
        wire.broadcast(&[0; 3000]);
        wire.broadcast(b"fine");
        assert_eq!(receive(&mut sockets).await.len(), 1);
        assert_eq!((sockets.counters().oversize, sockets.counters().received), (1, 1));
    });
}

// ---- sending --------------------------------------------------------------------------------------------

#[test]
fn each_destination_leaves_in_its_own_way() {
    in_world("each_destination_leaves_in_its_own_way", async || {
        let wire = cable("near", "far", "192.0.2.1/24");
        ip("neighbour add 192.0.2.44 lladdr 02:00:00:00:0c:01 dev near");
        // The second address of the interface, which the kernel would not choose by itself.
        let source = Ipv4Addr::new(192, 0, 2, 2);
        ip("address add 192.0.2.2/24 dev near");
        let (mut sockets, interfaces) = serve(&["near"]);
        let (near, mac) = (&interfaces[0], interfaces[0].mac.expect("Ethernet"));
        let cases = [
            (Destination::Frame { mac: [2, 9, 9, 9, 9, 9], address: CLIENT }, [2, 9, 9, 9, 9, 9], CLIENT, 68),
            (Destination::Broadcast, BROADCAST_MAC, Ipv4Addr::BROADCAST, 68),
            (Destination::Client(CLIENT), CLIENT_MAC, CLIENT, 68),
            (Destination::Relay(CLIENT), CLIENT_MAC, CLIENT, 67),
        ];
        for (to, to_mac, address, port) in cases {
            for length in [300, 301] {
                let sent: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
                send(&mut sockets, Reply { source, ..reply(near, to, &sent) });
                let (ethernet, ip, udp, payload) = judge(&wire.read().unwrap_or_else(|| panic!("{to:?} left")));
                assert_eq!((ethernet.source, ethernet.destination), (mac, to_mac), "{to:?}");
                assert_eq!((Ipv4Addr::from(ip.source), Ipv4Addr::from(ip.destination)), (source, address), "{to:?}");
                assert_eq!((udp.destination_port, payload), (port, sent), "{to:?}");
            }
        }
        assert_eq!(sockets.counters().sent, 8);
    });
}

#[test]
fn a_relay_further_away_is_answered_by_the_routing_table() {
    in_world("a_relay_further_away_is_answered_by_the_routing_table", async || {
        let came_in = cable("near", "far", "192.0.2.1/24");
        let goes_out = cable("near2", "far2", "198.51.100.1/24");
        ip("route add 203.0.113.0/24 via 198.51.100.9 dev near2");
        ip("neighbour add 198.51.100.9 lladdr 02:00:00:00:0c:01 dev near2");
        let (mut sockets, interfaces) = serve(&["near", "near2"]);
        send(&mut sockets, reply(&interfaces[0], Destination::Relay(RELAY), &[7; 301]));
        let (ethernet, ip, udp, payload) = judge(&goes_out.read().expect("through the other interface"));
        assert_eq!(ethernet.destination, CLIENT_MAC);
        assert_eq!((Ipv4Addr::from(ip.source), Ipv4Addr::from(ip.destination)), (SERVER, RELAY));
        assert_eq!((udp.destination_port, payload), (67, vec![7; 301]));
        assert_eq!(came_in.read(), None);
    });
}

#[test]
fn a_reply_that_cannot_leave_is_told_and_the_others_leave() {
    in_world("a_reply_that_cannot_leave_is_told_and_the_others_leave", async || {
        let wire = cable("near", "far", "192.0.2.1/24");
        let (mut sockets, interfaces) = serve(&["near"]);
        let near = &interfaces[0];
        let to = |last| Destination::Frame { mac: CLIENT_MAC, address: Ipv4Addr::new(192, 0, 2, last) };
        let unknown = Reply { interface: 999, ..reply(near, to(9), b"x") };
        let mut replies = vec![
            reply(near, to(1), b"first"),
            reply(near, to(2), &[0; 3000]),
            reply(near, Destination::Relay(RELAY), b"no route"),
            reply(near, to(3), &[0; 70_000]),
            unknown,
            reply(near, to(4), b"last"),
        ];
        let troubles = sockets.send(&mut replies);
        let codes: Vec<Option<i32>> = troubles
            .iter()
            .map(|trouble| match &trouble.why {
                Trouble::Refused(error) => error.raw_os_error(),
                Trouble::NotServed | Trouble::Overloaded | Trouble::TooLong => None,
            })
            .collect();
        assert_eq!(codes, [None, Some(libc::EMSGSIZE), None, Some(libc::ENETUNREACH)], "{troubles:?}");
        assert!(matches!((&troubles[0].why, &troubles[2].why), (Trouble::NotServed, Trouble::TooLong)));
        assert_eq!(judge(&wire.read().expect("the first")).3, b"first");
        assert_eq!(judge(&wire.read().expect("the last")).3, b"last");
        assert_eq!(sockets.counters().send_failures, 4);
    });
}

#[test]
fn replies_wait_for_a_slow_interface_within_bounds() {
    in_world("replies_wait_for_a_slow_interface_within_bounds", async || {
        let wire = cable("near", "far", "192.0.2.1/24");
        run("tc", "qdisc add dev near root tbf rate 4mbit burst 2000 limit 20000");
        let (mut sockets, interfaces) = serve(&["near"]);
        let to = Destination::Frame { mac: CLIENT_MAC, address: CLIENT };
        let mut replies: Vec<Reply> = (0..3000).map(|_| reply(&interfaces[0], to, &[1; 300])).collect();
        let overloaded = sockets.send(&mut replies).len();
        assert!((1800..3000 - 1024).contains(&overloaded), "{overloaded} dropped");
        let patience = tokio::time::timeout(Duration::from_secs(5), async {
            while sockets.counters().sent < (3000 - overloaded) as u64 {
                sockets.readable().await;
                assert!(sockets.send(&mut Vec::new()).is_empty());
            }
        });
        patience.await.expect("all that waited left");
        assert!(sockets.counters().deferred > 0);
        judge(&wire.read().expect("a whole frame"));
    });
}

#[test]
fn without_ethernet_a_frame_becomes_a_unicast() {
    in_world("without_ethernet_a_frame_becomes_a_unicast", async || {
        ip("link set lo up");
        let address = Ipv4Addr::new(127, 0, 0, 9);
        let client = UdpSocket::bind((address, 68)).expect("a world's own port");
        client.set_read_timeout(Some(Duration::from_secs(1))).expect("an option");
        let (mut sockets, interfaces) = serve(&["lo"]);
        let to = Destination::Frame { mac: CLIENT_MAC, address };
        send(&mut sockets, Reply { source: Ipv4Addr::LOCALHOST, ..reply(&interfaces[0], to, b"offer") });
        let mut buffer = [0; 64];
        let (length, from) = client.recv_from(&mut buffer).expect("it arrives");
        assert_eq!((&buffer[..length], from.to_string().as_str()), (&b"offer"[..], "127.0.0.1:67"));
    });
}

// ---- interfaces that come and go, and others on the port ------------------------------------------------

#[test]
fn an_interface_is_followed_through_its_life() {
    in_world("an_interface_is_followed_through_its_life", async || {
        let mut links = Links::default();
        let mut sockets = Sockets::new(DHCP_PORTS);
        let wanted = ["near".to_owned()];
        assert_eq!(states(&sockets.update(&links.changed().await, &wanted)), [&State::Absent]);

        let mut until = async |sockets: &mut Sockets, state: State| {
            let reached = tokio::time::timeout(Duration::from_secs(5), async {
                loop {
                    let interfaces = links.changed().await;
                    if sockets.update(&interfaces, &wanted).iter().any(|notice| notice.state == state) {
                        return;
                    }
                }
            });
            reached.await.unwrap_or_else(|_| panic!("never {state:?}"));
        };
        for round in 0..2 {
            let wire = cable("near", "far", "192.0.2.1/24");
            until(&mut sockets, State::Serving).await;
            wire.broadcast(b"hello");
            assert_eq!(receive(&mut sockets).await.len(), 1, "round {round}");

            ip("link set far down");
            until(&mut sockets, State::Down).await;
            ip("link set far up");
            until(&mut sockets, State::Serving).await;

            ip("address del 192.0.2.1/24 dev near");
            until(&mut sockets, State::NoAddress).await;
            ip("address add 198.51.100.1/24 dev near");
            until(&mut sockets, State::Serving).await;
            assert!(sockets.interfaces().all(|interface| interface.addresses[0].to_string() == "198.51.100.1/24"));

            // The first one has an error waiting, from when its end was down.
            Wire::open("far", packet::ETHER_TYPE_IPV4).broadcast(b"again");
            assert_eq!(receive(&mut sockets).await.len(), 1, "round {round}");
            ip("link del near");
            until(&mut sockets, State::Absent).await;
        }
    });
}

#[test]
fn a_storm_of_changes_loses_none() {
    in_world("a_storm_of_changes_loses_none", async || {
        let mut links = Links::default();
        links.changed().await;
        ip("link add storm type bridge");
        // More messages than the socket holds: the kernel drops some and says ENOBUFS.
        let batch: String = (0..4000).map(|n| format!("address add 10.77.{}.{}/16 dev storm\n", n / 250, n % 250 + 1)).collect();
        let file = format!("{}/storm.batch", env::var("LAB_DIR").expect("inside a world"));
        std::fs::write(&file, batch).expect("the world's folder");
        ip(&format!("-batch {file}"));
        let all = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                let interfaces = links.changed().await;
                if interfaces.iter().any(|interface| interface.addresses.len() == 4000) {
                    return;
                }
            }
        });
        all.await.expect("every address is known");
    });
}

#[test]
fn a_busy_caller_that_drops_the_future_sees_the_change() {
    in_world("a_busy_caller_that_drops_the_future_sees_the_change", async || {
        let mut links = Links::default();
        links.changed().await;
        ip("link add late type bridge");
        let mut tries = 0;
        while tokio::time::timeout(Duration::from_millis(5), links.changed()).await.is_err() {
            tries += 1;
            assert!(tries < 100, "the pause starts anew each time");
        }
    });
}

#[test]
fn another_server_on_the_port_is_named_and_outlived() {
    in_world("another_server_on_the_port_is_named_and_outlived", async || {
        let _wire = cable("near", "far", "192.0.2.1/24");
        let wanted = ["near".to_owned()];
        let interfaces = links::list().expect("rtnetlink");
        // As dnsmasq does: on all interfaces, with SO_REUSEADDR.
        let rival = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
        rival.set_reuse_address(true).expect("an option");
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67);
        rival.bind(&any.into()).expect("nobody is there yet");
        let mut sockets = Sockets::new(DHCP_PORTS);
        let notices = sockets.update(&interfaces, &wanted);
        let said = notices.iter().map(ToString::to_string).collect::<String>();
        let who = format!("(process {}); stop that DHCP server", std::process::id());
        assert!(said.starts_with("near: UDP port 67 is already held by ") && said.contains(&who), "{said}");
        drop(rival);
        assert_eq!(states(&sockets.update(&interfaces, &wanted)), [&State::Serving]);

        let late = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
        late.set_reuse_address(true).expect("an option");
        let refused = late.bind(&any.into()).expect_err("it would take our clients");
        assert_eq!(refused.raw_os_error(), Some(libc::EADDRINUSE));
    });
}

#[test]
fn a_server_on_an_interface_that_is_not_ours_is_left_alone() {
    in_world("a_server_on_an_interface_that_is_not_ours_is_left_alone", async || {
        let _wire = cable("near", "far", "192.0.2.1/24");
        let _other = cable("virbr", "guest", "198.51.100.1/24");
        let theirs = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("a socket");
        theirs.bind_device(Some(b"virbr")).expect("an option");
        theirs.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 67).into()).expect("free");
        let _sockets = serve(&["near"]);
    });
}

// ---- ARP and rivals -------------------------------------------------------------------------------------

#[test]
fn a_probe_finds_who_uses_an_address() {
    in_world("a_probe_finds_who_uses_an_address", async || {
        let _wire = cable("near", "far", "192.0.2.1/24");
        let wire = Wire::open("far", packet::ETHER_TYPE_ARP);
        let near = interface("near");
        let mut arp = Arp::default();
        assert_eq!(arp.update(&links::list().expect("rtnetlink"), &["near".to_owned()]), []);
        arp.send_probe(near.index, CLIENT).expect("it leaves");
        let probe = wire.read().expect("a probe");
        assert_eq!(probe[..6], BROADCAST_MAC);
        assert_eq!((&probe[28..32], &probe[38..42]), (&[0; 4][..], &CLIENT.octets()[..]), "RFC 5227: from 0.0.0.0");

        let mac = near.mac.expect("Ethernet");
        let own_claim =
            [&BROADCAST_MAC[..], &mac, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &mac, &SERVER.octets(), &[0; 6], &SERVER.octets()];
        wire.write(&own_claim.concat());
        let answer = [&mac[..], &CLIENT_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &CLIENT_MAC, &CLIENT.octets(), &mac, &[0; 4]];
        wire.write(&answer.concat());
        tokio::time::timeout(Duration::from_secs(1), arp.readable()).await.expect("an answer");
        let mut heard = Vec::new();
        arp.receive(|one| heard.push((one.interface, one.address, one.mac)));
        assert_eq!(heard, [(near.index, CLIENT, CLIENT_MAC)], "not what we said ourselves");
        assert!(arp.send_probe(999, CLIENT).is_err());
    });
}

#[test]
fn a_rival_server_is_found_and_our_twin_is_not_one() {
    in_world("a_rival_server_is_found_and_our_twin_is_not_one", async || {
        let wire = cable("near", "far", "192.0.2.1/24");
        let near = interface("near");
        let (rogue, twin) = (Ipv4Addr::new(192, 0, 2, 254), Ipv4Addr::new(192, 0, 2, 2));
        // Two servers in one thread; the first DISCOVER gets lost.
        let servers = std::thread::spawn(move || {
            wire.read().expect("a first DISCOVER");
            let discover = wire.read().expect("it is repeated");
            let (_, payload) = discover.split_at(frame::HEADERS_BYTES);
            for server in [rogue, twin] {
                let mut offer = payload[..240].to_vec();
                offer[0] = 2;
                offer[16..20].copy_from_slice(&[192, 0, 2, 77]);
                offer.extend([&[53, 1, 2, 12, 1, 0xff, 54, 4][..], &server.octets(), &[3, 4], &server.octets(), &[255]].concat());
                let datagram = frame::Udp {
                    from: SocketAddrV4::new(server, 67),
                    to: SocketAddrV4::new(Ipv4Addr::BROADCAST, 68),
                    identification: 1,
                    payload: &offer,
                };
                let mut bytes = Vec::new();
                frame::append_frame(&mut bytes, CLIENT_MAC, BROADCAST_MAC, &datagram).expect("it fits");
                wire.write(&bytes);
                wire.write(&bytes[..200]);
            }
        });
        let rivals = find_rivals(&near, &[SERVER, twin], Duration::from_millis(900)).await.expect("the probe runs");
        servers.join().expect("the servers saw what they should");
        let [rival] = &rivals[..] else { panic!("{rivals:?}") };
        assert_eq!((rival.server_id, rival.source, rival.mac), (Some(rogue), rogue, CLIENT_MAC));
        assert_eq!((rival.offered, &rival.routers[..]), (Ipv4Addr::new(192, 0, 2, 77), &[rogue][..]));
    });
}

#[test]
fn a_quiet_network_has_no_rivals_and_a_tunnel_cannot_be_probed() {
    in_world("a_quiet_network_has_no_rivals_and_a_tunnel_cannot_be_probed", async || {
        let _wire = cable("near", "far", "192.0.2.1/24");
        let found = find_rivals(&interface("near"), &[SERVER], Duration::from_millis(300)).await;
        assert_eq!(found.expect("the probe runs"), []);
        let refused = find_rivals(&interface("lo"), &[], Duration::from_millis(300)).await.expect_err("no Ethernet");
        assert_eq!(refused.to_string(), "lo is not an Ethernet interface; probe one that is");
    });
}

#[test]
fn other_ports_serve_tests_beside_a_real_server() {
    in_world("other_ports_serve_tests_beside_a_real_server", async || {
        let _wire = cable("near", "far", "192.0.2.1/24");
        let _real = serve(&["near"]);
        let mut second = Sockets::new(Ports { server: 10_067, client: 10_068 });
        assert_eq!(states(&second.update(&links::list().expect("rtnetlink"), &["near".to_owned()])), [&State::Serving]);
    });
}
