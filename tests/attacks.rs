//! An adversary on the same network: spoofed messages, storms, exhaustion, a liar by ARP, names with escape sequences.

mod crafted;
mod lab;

use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crafted::{
    ACK, DECLINE, DISCOVER, INFORM, NAK, OFFER, Plug, Query, RELEASE, REQUEST, Server, broadcast_frame, fresh_folder, mac,
    on_host, program, said,
};
use lab::{Lab, wait_until};
use socket2::SockFilter;
use twinlease::runtime::{links, packet};

const PATIENCE: Duration = Duration::from_millis(1500);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SERVER_ID: [u8; 4] = [192, 0, 2, 1];

/// A pool of 50 addresses, without the pause of the ARP probe.
const SETTINGS: &str = r#"
[server]
probe = false
[lease]
min = "10s"
[[subnet]]
network = "192.0.2.0/24"
pools = ["192.0.2.100-192.0.2.149"]
[subnet.options]
router = "192.0.2.254"
[[reservation]]
mac = "00:16:00:00:0f:ff"
address = "192.0.2.10"
name = "printer"
"#;

fn world(lab: &Lab, name: &str, settings: &str) -> (Server, Plug, Plug) {
    lab.bridge("lan");
    lab.host("server", "lan", &["192.0.2.1/24"]);
    lab.host("victim", "lan", &[]);
    lab.host("bad", "lan", &[]);
    let server = Server::start(lab, "server", &program(), &fresh_folder(name), Some(settings));
    (server, Plug::at("victim"), Plug::at("bad"))
}

fn state(server: &Server, address: Ipv4Addr) -> String {
    let rows = server.leases();
    let row = rows.iter().find(|row| row["address"] == address.to_string());
    row.map_or("none", |row| row["state"].as_str().expect("a state")).to_owned()
}

#[test]
fn nobody_can_release_or_decline_what_another_holds() {
    let Some(lab) = lab::enter_or_skip("nobody_can_release_or_decline_what_another_holds") else { return };
    let (server, victim, bad) = world(&lab, "spoofed", SETTINGS);
    let server_mac = lab.mac("server").split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect::<Vec<_>>();
    let server_mac = server_mac.try_into().expect("six bytes");
    let held = victim.dora(mac(1), PATIENCE).expect("a calm server answers").yiaddr;
    for kind in [RELEASE, DECLINE] {
        let mut query = Query::new(kind, mac(2)).option(54, &SERVER_ID);
        // A RELEASE names its address in ciaddr, a DECLINE in option 50.
        if kind == RELEASE {
            query.ciaddr = held
        } else {
            query = query.option(50, &held.octets())
        }
        bad.send_from(held, SERVER, server_mac, &query);
        bad.send(&query);
        // Under another client-id it is no better.
        let query = query.option(61, &[0, 7, 7, 7]);
        bad.send_from(held, SERVER, server_mac, &query);
    }
    wait_until("all are seen", Duration::from_secs(5), || {
        server.counts().get("silent-not-its-address").is_some_and(|&count| count >= 6)
    });
    assert_eq!(state(&server, held), "leased");
}

#[test]
fn a_used_up_pool_recovers_and_kept_addresses_are_not_touched() {
    let Some(lab) = lab::enter_or_skip("a_used_up_pool_recovers_and_kept_addresses_are_not_touched") else { return };
    let (server, victim, bad) = world(&lab, "exhausted", SETTINGS);
    let had = victim.dora(mac(1), PATIENCE).expect("a calm server answers").yiaddr;
    // Offers alone, of ten times as many devices as there are addresses.
    for device in 0..500 {
        bad.send(&Query::new(DISCOVER, mac(0x1000 + device)));
    }
    wait_until("the pool is full of offers", PATIENCE, || server.counts().contains_key("silent-pool-full"));
    assert_eq!(victim.dora(mac(1), PATIENCE).expect("it holds a lease").yiaddr, had);
    assert_eq!(victim.dora(mac(0xfff), PATIENCE).expect("its address is kept").yiaddr, Ipv4Addr::new(192, 0, 2, 10));
    let start = Instant::now();
    wait_until("offers that were not taken up go to others", Duration::from_secs(8), || victim.dora(mac(3), PATIENCE).is_some());
    println!("after a flood of DISCOVERs a new device waited {:.1} s", start.elapsed().as_secs_f64());

    // An address that its holder is offered again is not free, whoever asks.
    assert!(victim.ask(&Query::new(DISCOVER, mac(1)), &[OFFER], PATIENCE).is_some());
    std::thread::sleep(Duration::from_secs(6));
    for device in 0..500 {
        let offer = bad.ask(&Query::new(DISCOVER, mac(0x2000 + device)), &[OFFER], Duration::from_millis(200));
        let Some(offer) = offer else { break };
        assert_ne!(offer.yiaddr, had, "the address of a lease was offered to another");
    }

    // Leases, as short as they can be asked for: they run out, and the pool is free again.
    std::thread::sleep(Duration::from_secs(6));
    let mut taken = 0;
    for device in 0..60 {
        let query = Query::new(DISCOVER, mac(0x3000 + device)).option(51, &10_u32.to_be_bytes());
        let Some(offer) = bad.ask(&query, &[OFFER], Duration::from_millis(200)) else { continue };
        let select = Query::select(query.mac, &offer).option(51, &10_u32.to_be_bytes());
        taken += u32::from(bad.ask(&select, &[ACK], Duration::from_millis(500)).is_some());
    }
    assert!(taken >= 40, "only {taken} leases were taken");
    wait_until("leases run out", Duration::from_secs(20), || victim.dora(mac(4), Duration::from_millis(300)).is_some());
}

#[test]
fn declines_cost_the_decliner_more_than_the_pool() {
    let Some(lab) = lab::enter_or_skip("declines_cost_the_decliner_more_than_the_pool") else { return };
    let (server, victim, bad) = world(&lab, "declined", SETTINGS);
    // One device that declines whatever it gets.
    let mut declined = 0;
    for _ in 0..60 {
        let Some(ack) = bad.dora(mac(0xbad), Duration::from_millis(200)) else { break };
        bad.send(&Query::new(DECLINE, mac(0xbad)).option(50, &ack.yiaddr.octets()).option(54, &SERVER_ID));
        declined += 1;
    }
    println!("one device declined {declined} addresses before it was left aside");
    assert!(declined < 25, "one device has {declined} of 50 addresses put aside");
    assert!(victim.dora(mac(1), PATIENCE).is_some(), "others are served");
    // Every declined address is named, with how long it rests, and can be taken back.
    let address = server.leases().into_iter().find(|row| row["state"] == "declined").expect("one is declined")["address"].clone();
    let address = address.as_str().expect("text");
    assert!(server.why(address).contains("declined an address"), "{}", server.why(address));
    assert!(server.command(&["leases", "free", address]).status.success());
    assert_eq!(state(&server, address.parse().expect("an address")), "released");
}

#[test]
fn odd_options_are_survived() {
    let Some(lab) = lab::enter_or_skip("odd_options_are_survived") else { return };
    let (server, victim, bad) = world(&lab, "options", SETTINGS);
    let all: Vec<u8> = (0..=255).collect();
    let plain = Query::new(DISCOVER, mac(1));
    let odd: Vec<(&str, Query)> = vec![
        ("a list of all options, four times", (0..4).fold(plain.clone(), |query, _| query.option(55, &all[1..]))),
        ("an option 128 times", (0..128).fold(plain.clone(), |query, _| query.option(55, &[1, 3, 6]))),
        ("a host name 200 times", (0..200).fold(plain.clone(), |query, _| query.option(12, b"ab"))),
        ("82 without giaddr", plain.clone().option(82, &[5, 4, 198, 51, 100, 1, 11, 4, 203, 0, 113, 1])),
        ("82 with lengths that lie", plain.clone().option(82, &[1, 200, 1])),
        (
            "empty 50, 51, 54, 55, 57, 61, 81",
            [50, 51, 55, 57, 61, 81].iter().fold(plain.clone(), |query, &code| query.option(code, &[])),
        ),
        ("81 with flags only", plain.clone().option(81, &[0xff, 0, 0])),
        ("81 with a label that never ends", plain.clone().option(81, &[&[4, 0, 0][..], &[63; 250]].concat())),
        ("a client-id of 1,000 bytes", (0..4).fold(plain.clone(), |query, _| query.option(61, &[0xfe; 250]))),
        ("a lease for ever", plain.clone().option(51, &[0xff; 4])),
    ];
    for (nth, (what, query)) in odd.into_iter().enumerate() {
        let device = mac(0x100 + nth as u32);
        let query = Query { mac: device, xid: 0x0dd0_0000 + nth as u32, ..query };
        let offer = bad.ask(&query, &[OFFER], PATIENCE).unwrap_or_else(|| panic!("{what}: not answered"));
        let select =
            Query { options: [Query::select(device, &offer).options, query.options.clone()].concat(), kind: REQUEST, ..query };
        let ack = bad.ask(&select, &[ACK, NAK], PATIENCE).unwrap_or_else(|| panic!("{what}: REQUEST not answered"));
        assert_eq!((ack.kind, ack.yiaddr), (ACK, offer.yiaddr), "{what}");
    }
    // INFORM from the address of the server, and from a broadcast address: answered to nobody that harms us.
    for from in [SERVER, Ipv4Addr::BROADCAST, Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(224, 0, 0, 1)] {
        let mut inform = Query::new(INFORM, mac(2));
        inform.ciaddr = from;
        bad.send(&inform);
    }
    assert!(victim.dora(mac(3), PATIENCE).is_some(), "others are served");
    assert!(!server.daemon.log().contains("panicked"));
}

#[test]
fn whoever_answers_every_arp_probe_does_not_silence_the_server_for_ever() {
    let Some(lab) = lab::enter_or_skip("whoever_answers_every_arp_probe_does_not_silence_the_server_for_ever") else { return };
    let settings = SETTINGS.replace("probe = false", "probe = \"500ms\"");
    let (server, victim, _bad) = world(&lab, "liar", &settings);
    let held = victim.dora(mac(1), PATIENCE).expect("a calm server answers").yiaddr;
    // A router with a badly set proxy ARP, or a thief: it answers for every address.
    let (is_there, over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| answer_every_arp("bad", &is_there, &over));
        wait_until("the liar listens", Duration::from_secs(10), || is_there.load(Ordering::Relaxed));
        // Who holds a lease is not asked about.
        assert_eq!(victim.dora(mac(1), PATIENCE).map(|ack| ack.yiaddr), Some(held));
        // Each new device has some addresses asked about, and is then told nothing, with the reason.
        for device in 0x200..0x20a {
            assert!(victim.ask(&Query::new(DISCOVER, mac(device)), &[OFFER], PATIENCE).is_none());
        }
        let (first, last) = (server.why("00:16:00:00:02:00"), server.why("00:16:00:00:02:09"));
        assert!(first.matches("02:00:00:00:0b:ad answered under").count() == 8 && first.contains("proxy ARP"), "{first}");
        assert!(last.contains("is full") && last.contains("49 addresses rest"), "{last}");
        over.store(true, Ordering::Relaxed);
    });
    let start = Instant::now();
    // Rested addresses are asked about again where nothing else is free.
    wait_until("service recovers", Duration::from_secs(40), || victim.dora(mac(3), PATIENCE).is_some());
    println!("after the liar had gone a new device waited {:.1} s", start.elapsed().as_secs_f64());
}

/// Claims each address that anybody asks for.
fn answer_every_arp(host: &str, is_there: &AtomicBool, over: &AtomicBool) {
    const PASS_ALL: [SockFilter; 1] = [SockFilter::new(6, 0, 0, u32::MAX)];
    const LIAR: [u8; 6] = [2, 0, 0, 0, 0x0b, 0xad];
    let socket = on_host(host, || {
        let eth0 =
            links::list().expect("rtnetlink").into_iter().find(|interface| interface.name == "eth0").expect("a host has eth0");
        packet::open_receiver(eth0.index, packet::ETHER_TYPE_ARP, &PASS_ALL).expect("root")
    });
    socket.set_nonblocking(false).expect("a socket option");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket option");
    is_there.store(true, Ordering::Relaxed);
    let mut frame = [0; 64];
    // An end of its own: a failed assertion beside it must not wait for ever.
    let start = Instant::now();
    while !over.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(120) {
        let Ok(42..) = (&socket).read(&mut frame) else { continue };
        if frame[20..22] != [0, 1] {
            continue;
        }
        let (asker, source, target) = (frame[22..28].to_vec(), frame[28..32].to_vec(), frame[38..42].to_vec());
        let reply = [&asker[..], &LIAR, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &LIAR, &target, &asker, &source].concat();
        socket.send(&reply).expect("the cable takes it");
    }
}

#[test]
fn no_escape_sequence_of_a_client_reaches_a_terminal() {
    let Some(lab) = lab::enter_or_skip("no_escape_sequence_of_a_client_reaches_a_terminal") else { return };
    let (server, _victim, bad) = world(&lab, "escapes", SETTINGS);
    let names: [&[u8]; 7] = [
        b"\x1b[2J\x1b[31mred",
        b"<script>alert(1)</script>",
        b"two\nlines\r\nINFO forged=1",
        b"\x9b31mc1",
        "\u{202e}gnp.exe\u{9b}31m".as_bytes(),
        b"\xff\xfe\x00\x07bell",
        b"a\tb\x08\x7f",
    ];
    for (nth, name) in names.iter().enumerate() {
        let device = mac(0x500 + nth as u32);
        for code in [12, 60, 77] {
            bad.send(&Query::new(DISCOVER, device).option(code, name).option(61, name));
        }
        let offer = bad
            .ask(&Query::new(DISCOVER, device).option(12, name).option(61, name), &[OFFER], PATIENCE)
            .expect("served all the same");
        let select = Query::select(device, &offer).option(12, name).option(81, &[&[0, 0, 0], *name].concat()).option(61, name);
        bad.ask(&select, &[ACK], PATIENCE).expect("served all the same");
        // A message that is no request, with the same in it.
        bad.send_frame(&broadcast_frame(device, name));
    }
    let mut shown = server.daemon.log();
    for words in
        [&["leases"][..], &["leases", "--all"], &["status"], &["why", "00:16"], &["why", "\x1b[2J"], &["leases", "--json"]]
    {
        shown.push_str(&said(&server.command(words)));
    }
    // The terminal's colours are off where the output is no terminal; every byte below is from a client.
    let raw: Vec<char> =
        shown.chars().filter(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c)).collect();
    assert!(raw.is_empty(), "{raw:?} in {shown:?}");
    assert!(!shown.lines().any(|line| line.starts_with("INFO forged")), "a line was forged");
}

#[test]
fn a_storm_of_declines_by_many_devices_is_told_and_can_be_undone() {
    let Some(lab) = lab::enter_or_skip("a_storm_of_declines_by_many_devices_is_told_and_can_be_undone") else { return };
    let (server, victim, bad) = world(&lab, "storm", SETTINGS);
    let had = victim.dora(mac(1), PATIENCE).expect("a calm server answers").yiaddr;
    for device in 0x600..0x631 {
        let ack = bad.dora(mac(device), PATIENCE).expect("the pool has 50 addresses");
        bad.send(&Query::new(DECLINE, mac(device)).option(50, &ack.yiaddr.octets()).option(54, &SERVER_ID));
    }
    assert!(victim.ask(&Query::new(DISCOVER, mac(2)), &[OFFER], Duration::from_millis(500)).is_none(), "nothing is left");
    let why = server.why("00:16:00:00:00:02");
    assert!(why.contains("is full"), "{why}");
    // Who has a lease, or a kept address, is not harmed.
    assert_eq!(victim.dora(mac(1), PATIENCE).map(|ack| ack.yiaddr), Some(had));
    assert!(victim.dora(mac(0xfff), PATIENCE).is_some());
    for row in server.leases().iter().filter(|row| row["state"] == "declined") {
        let freed = server.command(&["leases", "free", row["address"].as_str().expect("text")]);
        assert!(freed.status.success(), "{}", said(&freed));
    }
    assert!(victim.dora(mac(2), PATIENCE).is_some(), "the pool is of use again");
}
