//! A card as it was flashed, with nothing in its setup.txt, or no address.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::{
    SETTINGS,
    crafted::Plug,
    home, lab,
    lab::{Daemon, Lab, wait_until},
    pi::Pi,
    power::wait_for_offer,
    visitor::Visitor,
};

const MDNS: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);

/// The DHCP server that a house has already.
const ROUTER: [&str; 6] =
    ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--dhcp-range=192.0.2.200,192.0.2.210"];

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_card_as_it_was_flashed_takes_an_address_and_shows_its_dashboard() {
    let Some(lab) = lab::enter_or_skip("first::a_card_as_it_was_flashed_takes_an_address_and_shows_its_dashboard") else {
        return;
    };
    home(&lab);
    lab.host("router", "lan", &["192.0.2.1/24"]);
    let _router = router(&lab);
    let pi = Pi::flashed(&lab, "one", "plain");
    let begin = pi.start(&[]);
    let status = pi.status("Address   192.0.2.2");
    println!("plain, Pi 3B: address and STATUS.TXT after {:.1} s", begin.elapsed().as_secs_f32());
    assert!(status.contains("Name      twinlease-") && status.contains("(not configured)"), "{status}");
    assert!(status.contains("Nothing is wrong."), "{status}");
    assert!(pi.log().contains("Nothing is wrong."), "the screen has the same text");
    let address = status.lines().find_map(|line| line.strip_prefix("Address   ")).expect("seen above").trim();
    let page = Visitor::at(address).get("/claim");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("Welcome to twinlease"), "{page}");
    wait_until("twinlease.local is found", Duration::from_secs(20), || look_up("twinlease.local").as_deref() == Some(address));
    let own = status.lines().find_map(|line| line.strip_prefix("Name      ")).expect("seen above").trim();
    assert_eq!(look_up(&format!("{own}.local")).as_deref(), Some(address));
    assert_eq!(look_up("nobody.local"), None);
    pi.wait_for_light("not configured", Duration::from_secs(90));
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_box_that_was_told_no_address_keeps_the_one_by_which_it_serves() {
    let Some(lab) = lab::enter_or_skip("first::a_box_that_was_told_no_address_keeps_the_one_by_which_it_serves") else { return };
    home(&lab);
    lab.host("router", "lan", &["192.0.2.1/24"]);
    let plug = Plug::at("laptop");
    let pi = Pi::flashed(&lab, "one", "plain");
    pi.put("home.toml", SETTINGS);
    pi.put("setup.txt", "settings = home.toml\r\n");

    // The router starts more slowly than the box.
    pi.start(&["virt"]);
    pi.status("Address   169.254.");
    let running = router(&lab);
    let status = pi.status("Address   192.0.2.2");
    assert!(!status.contains("169.254."), "what it took by itself is gone: {status}");
    let address = status.lines().find_map(|line| line.strip_prefix("Address   ")).expect("seen above").trim().to_owned();
    pi.wait_for_log(&format!("this box keeps {address}/24 from now on"));
    wait_for_offer(&pi, &plug);

    // The router's DHCP is switched off, and the power goes.
    pi.stop();
    drop(running);
    pi.start(&["virt"]);
    pi.wait_for_log(&format!("taking {address}/24, as before"));
    wait_for_offer(&pi, &plug);
    pi.stop();

    // Another machine has it meanwhile.
    lab.host("squatter", "lan", &[&format!("{address}/24")]);
    pi.start(&["virt"]);
    pi.wait_for_log(&format!("{address}/24, which this box had before, is in use by another machine"));
    pi.status("Address   169.254.");
}

fn router(lab: &Lab) -> Daemon {
    let leases = format!("--dhcp-leasefile={}", lab.host_folder("router").join("leases").display());
    lab.daemon("router", &[&ROUTER[..], &[&leases]].concat())
}

/// As a phone asks: by multicast, and whoever has the name answers by multicast.
fn look_up(name: &str) -> Option<String> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, MDNS.1)).into()).expect("a port that is shared");
    let socket = UdpSocket::from(socket);
    let own = Ipv4Addr::new(192, 0, 2, 9);
    socket.join_multicast_v4(&MDNS.0, &own).expect("a group");
    socket2::SockRef::from(&socket).set_multicast_if_v4(&own).expect("an option");
    let mut question = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(label.len() as u8);
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let labels = question[12..question.len() - 4].to_vec();
    socket.send_to(&question, MDNS).expect("sent");
    let deadline = Instant::now() + Duration::from_secs(3);
    let mut buffer = [0; 9000];
    while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        socket.set_read_timeout(Some(left)).expect("an option");
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let answer = &buffer[..length];
        // A response whose first record is of this name, type A, class IN (maybe with the bit to flush): its last four bytes.
        let is_response = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
        let record = answer.windows(labels.len()).position(|part| part.eq_ignore_ascii_case(&labels)).map(|at| at + labels.len());
        let record =
            record.and_then(|at| answer.get(at..at + 14)).filter(|record| record[..2] == [0, 1] && record[8..10] == [0, 4]);
        if let (true, Some(record)) = (is_response, record) {
            return Some(Ipv4Addr::new(record[10], record[11], record[12], record[13]).to_string());
        }
    }
    None
}
