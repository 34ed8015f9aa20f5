//! Networks as they are: relays, interfaces that come late and move, squatters, rival servers, two of us on one port.

mod lab;
mod node;

use std::time::Duration;

use lab::{Kind, Lab, enter_or_skip, wait_until};
use node::Node;
use serde_json::{Value, json};

const LAN: &str = r#"
    [[subnet]]
    network = "192.0.2.0/24"
    pools = ["192.0.2.100-192.0.2.150"]
    options = { router = "192.0.2.1" }
"#;

const FAR: &str = r#"
    [[subnet]]
    network = "198.51.100.0/24"
    pools = ["198.51.100.100-198.51.100.150"]
    options = { router = "198.51.100.1" }
"#;

/// What makes a dnsmasq a relay or a rival and nothing else. Undaemonised it stays the user it is: a rootless world has no other.
const DNSMASQ: [&str; 4] = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0"];

fn a_house(lab: &Lab) {
    lab.bridge("lan");
    lab.host("server", "lan", &["192.0.2.1/24"]);
    lab.host("device", "lan", &[]);
}

#[test]
fn clients_behind_a_relay_are_served_and_renew_by_unicast() {
    let Some(lab) = enter_or_skip("clients_behind_a_relay_are_served_and_renew_by_unicast") else { return };
    lab.bridge("lan");
    lab.bridge("far");
    lab.host("server", "lan", &["192.0.2.1/24"]);
    lab.host("relay", "lan", &["192.0.2.2/24"]);
    lab.leg("relay", "far", &["198.51.100.1/24"]);
    lab.lab(&["route", "relay"]);
    lab.exec("server", &["ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.2"]);
    let times = "[lease]\ndefault = \"24s\"\nmin = \"8s\"\nt1 = 0.25\nt2 = 0.75\n";
    let mut node = Node::start(&lab, "server", "data", &format!("{times}{LAN}{FAR}"));
    wait_until("the server serves", Duration::from_secs(10), || node.serving().contains(&"eth0".to_owned()));
    let mut relay = lab.daemon("relay", &[&DNSMASQ[..], &["--dhcp-relay=198.51.100.1,192.0.2.1"]].concat());
    wait_until("the relay listens", Duration::from_secs(5), || relay.log().contains("relay from 198.51.100.1"));

    for kind in Kind::ALL {
        lab.host(kind.name(), "far", &[]);
    }
    std::thread::scope(|scope| {
        for kind in Kind::ALL {
            let (lab, node) = (&lab, &node);
            scope.spawn(move || {
                let lease = lab.client(kind, kind.name()).start(&[]);
                assert!(lease.address().starts_with("198.51.100.1"), "{kind:?} has {}", lease.address());
                assert_eq!((lease.server(), lease.option(3)), ("192.0.2.1", &json!(["198.51.100.1"])), "{kind:?}");
                let word = node.last_word(&lab.mac(kind.name()));
                assert_eq!((word.asked(), word.outcome()), ("select", "acked"), "{kind:?}");
                assert!(word.steps().contains("198.51.100.0/24, where its relay stands"), "{}", word.steps());
            });
        }
    });

    // A broadcast renewal goes by the relay.
    let rebound = lab.client(Kind::Udhcpc, "udhcpc").rebind();
    let word = node.last_word(&lab.mac("udhcpc"));
    assert_eq!((word.asked(), word.outcome()), ("rebind", "acked"), "{}", word.steps());
    assert_eq!(word.about("address"), rebound.address());
    assert!(word.steps().contains("where its relay stands"), "{}", word.steps());

    // Without the relay only what the client sends to the server itself can arrive, and only routed answers come back.
    relay.kill();
    std::thread::scope(|scope| {
        for kind in Kind::ALL {
            let (lab, node) = (&lab, &node);
            scope.spawn(move || {
                let lease = lab.client(kind, kind.name()).renew();
                let word = node.last_word(&lab.mac(kind.name()));
                assert_eq!((word.asked(), word.outcome()), ("renew", "acked"), "{kind:?}: {}", word.steps());
                assert_eq!(word.about("address"), lease.address());
            });
        }
    });
    node.assert_well();
}

#[test]
fn two_subnets_on_two_interfaces_are_served_at_once() {
    let Some(lab) = enter_or_skip("two_subnets_on_two_interfaces_are_served_at_once") else { return };
    a_house(&lab);
    lab.bridge("guests");
    lab.leg("server", "guests", &["198.51.100.1/24"]);
    lab.host("guest", "guests", &[]);
    let mut node = Node::start(&lab, "server", "data", &format!("{LAN}{FAR}"));
    node.wait_until_it_serves(&["eth0", "eth1"]);
    let (device, guest) = std::thread::scope(|scope| {
        let device = scope.spawn(|| lab.client(Kind::Udhcpc, "device").start(&[]));
        let guest = scope.spawn(|| lab.client(Kind::Dhclient, "guest").start(&[]));
        (device.join().expect("the device is served"), guest.join().expect("the guest is served"))
    });
    assert_eq!((device.server(), device.option(3)), ("192.0.2.1", &json!(["192.0.2.1"])));
    assert_eq!((guest.server(), guest.option(3)), ("198.51.100.1", &json!(["198.51.100.1"])));
    assert!(device.address().starts_with("192.0.2.1") && guest.address().starts_with("198.51.100.1"));

    // Whoever moves over with its old address hears NAK there, and gets one of that network.
    lab.client(Kind::Dhclient, "guest").release();
    lab.host("roamer", "lan", &["mac=02:00:00:00:00:55"]);
    let roamer = lab.client(Kind::Dhcpcd, "roamer");
    let before = roamer.start(&[]);
    lab.lab(&["cut", "roamer"]);
    // The cable goes into the other segment; `heal` would bring it back to the first.
    let moved = std::process::Command::new("ip").args(["link", "set", "dev", "roamer.0", "master", "guests"]).status();
    assert!(moved.expect("ip starts").success());
    let after = roamer.reboot();
    assert!(before.address().starts_with("192.0.2.1") && after.address().starts_with("198.51.100.1"));
    let words = node.why("02:00:00:00:00:55");
    assert!(words.iter().any(|word| (word.asked(), word.outcome()) == ("init-reboot", "naked")), "{words:#?}");
    node.assert_well();
}

#[test]
fn an_interface_that_comes_late_loses_and_changes_its_address_is_followed() {
    let Some(lab) = enter_or_skip("an_interface_that_comes_late_loses_and_changes_its_address_is_followed") else { return };
    lab.bridge("office");
    lab.bridge("lan");
    lab.host("server", "office", &["203.0.113.1/24"]);
    lab.host("device", "lan", &[]);
    let settings = format!("[server]\ninterfaces = [\"eth1\"]\n[lease]\ndefault = \"20s\"\nmin = \"8s\"\n{LAN}");
    let mut node = Node::start(&lab, "server", "data", &settings);
    wait_until("it says what it waits for", Duration::from_secs(10), || {
        node.daemon.log().contains("eth1: there is no such interface; waiting for it to appear")
    });
    assert_eq!(node.serving(), Vec::<String>::new());

    lab.leg("server", "lan", &[]);
    wait_until("it misses an address", Duration::from_secs(5), || node.daemon.log().contains("eth1: the interface has no IPv4"));
    lab.exec("server", &["ip", "address", "add", "192.0.2.1/24", "dev", "eth1"]);
    node.wait_until_it_serves(&["eth1"]);
    let client = lab.client(Kind::Udhcpc, "device");
    let first = client.start(&[]);
    assert_eq!(first.server(), "192.0.2.1");

    // It loses its address: silence, no crash.
    lab.exec("server", &["ip", "address", "flush", "dev", "eth1"]);
    node.wait_until_it_serves(&[]);
    lab.host("early", "lan", &[]);
    lab.client(Kind::Udhcpc, "early").attempt("start", &["timeout=2"]).expect_err("nobody may answer");

    // It comes back as another: who asks anybody gets the same lease from the new address.
    lab.exec("server", &["ip", "address", "add", "192.0.2.2/24", "dev", "eth1"]);
    node.wait_until_it_serves(&["eth1"]);
    let rebound = client.rebind();
    assert_eq!((rebound.address(), rebound.server()), (first.address(), "192.0.2.2"));
    assert_eq!(node.last_word(&lab.mac("device")).asked(), "rebind");

    // The same without a gap: the new address is there before the old one goes. Without this setting the kernel
    // would drop the second address of a network together with the first.
    lab.exec("server", &["sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth1/promote_secondaries"]);
    lab.exec("server", &["ip", "address", "add", "192.0.2.3/24", "dev", "eth1"]);
    lab.exec("server", &["ip", "address", "del", "192.0.2.2/24", "dev", "eth1"]);
    lab.host("late", "lan", &[]);
    let late = lab.client(Kind::Dhclient, "late");
    wait_until("the new address answers", Duration::from_secs(15), || {
        late.attempt("start", &["timeout=10"]).is_ok_and(|_| late.lease().server() == "192.0.2.3")
    });

    // The plug is pulled and put back.
    lab.lab(&["link-down", "server", "eth1"]);
    node.wait_until_it_serves(&[]);
    lab.lab(&["link-up", "server", "eth1"]);
    node.wait_until_it_serves(&["eth1"]);
    assert_eq!(client.renew().server(), "192.0.2.3");
    node.assert_well();
}

/// As a card that was copied does beside the one it was copied from.
#[test]
fn another_machine_with_the_servers_own_address_is_said() {
    let Some(lab) = enter_or_skip("another_machine_with_the_servers_own_address_is_said") else { return };
    a_house(&lab);
    let node = Node::serve(&lab, "server", LAN);
    let said = "192.0.2.1 is an address of this server, and another machine (02:00:00:00:00:66, on eth0) has it, too";
    std::thread::sleep(Duration::from_secs(3));
    assert!(!node.daemon.log().contains("another machine"), "nobody is there");
    lab.host("copy", "lan", &["192.0.2.1/24", "mac=02:00:00:00:00:66"]);
    // It says nothing by itself: the next question to the segment finds it.
    wait_until("the server says so", Duration::from_secs(60), || node.daemon.log().contains(said));
}

#[test]
fn an_address_that_a_squatter_uses_is_not_given_and_why_says_so() {
    let Some(lab) = enter_or_skip("an_address_that_a_squatter_uses_is_not_given_and_why_says_so") else { return };
    a_house(&lab);
    lab.host("squatter", "lan", &["192.0.2.100/24", "mac=02:00:00:00:00:66"]);
    let mut node = Node::serve(&lab, "server", LAN);
    let lease = lab.client(Kind::Udhcpc, "device").start(&[]);
    assert_eq!(lease.address(), "192.0.2.101", "the next free one was 192.0.2.100");
    let words = node.why(&lab.mac("device"));
    let ways = [
        "192.0.2.100 is the next free address",
        "02:00:00:00:00:66 answered under 192.0.2.100",
        "192.0.2.101 is the next free address",
        "nobody answered under 192.0.2.101",
    ];
    // A client that asks once more while the squatter is looked for is offered the same again, and that way is shorter.
    let tells_all = |steps: &str| {
        let places: Vec<_> = ways.iter().map(|way| steps.find(way)).collect();
        places.iter().all(Option::is_some) && places.is_sorted()
    };
    assert!(words.iter().any(|word| word.outcome() == "offered" && tells_all(&word.steps())), "{words:#?}");
    node.assert_well();
}

/// The client's own check (RFC 2131 §3.1 step 5) sees a squatter that was off when the server looked.
#[test]
fn an_address_that_a_client_declines_rests_and_the_client_gets_another() {
    let Some(lab) = enter_or_skip("an_address_that_a_client_declines_rests_and_the_client_gets_another") else { return };
    a_house(&lab);
    lab.host("squatter", "lan", &["192.0.2.100/24"]);
    let mut node = Node::serve(&lab, "server", &format!("[server]\nprobe = false\n{LAN}"));
    let lease = lab.client(Kind::Udhcpc, "device").start(&["arp=yes", "timeout=40"]);
    assert_eq!((lease.address(), node.state_of("192.0.2.100").as_str()), ("192.0.2.101", "declined"));
    let words = node.why(&lab.mac("device"));
    assert!(words.iter().any(|word| (word.asked(), word.outcome()) == ("decline", "declined")), "{words:#?}");
    node.assert_well();
}

#[test]
fn probe_finds_a_rival_server_and_not_ourselves() {
    let Some(lab) = enter_or_skip("probe_finds_a_rival_server_and_not_ourselves") else { return };
    a_house(&lab);
    let node = Node::serve(&lab, "server", LAN);
    let probe = ["probe", "--wait", "1", "--json"];
    assert_eq!(node.command(&probe).trim(), "[]", "nobody else is there");

    lab.host("rival", "lan", &["192.0.2.66/24", "mac=02:00:00:00:00:66"]);
    let range = ["--dhcp-range=192.0.2.200,192.0.2.210,1h", "--dhcp-authoritative", "--leasefile-ro"];
    let rival = lab.daemon("rival", &[&DNSMASQ[..], &range].concat());
    wait_until("the rival serves", Duration::from_secs(5), || rival.log().contains("IP range"));
    let found = node.try_command(&["probe", "--wait", "4", "--json"]).expect_err("finding one is exit code 1");
    let found: Value = serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}"));
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!((&found[0]["server"], &found[0]["mac"]), (&json!("192.0.2.66"), &json!("02:00:00:00:00:66")));
    assert!(found[0]["offered"].as_str().is_some_and(|address| address.starts_with("192.0.2.2")), "{found}");
    let said = node.try_command(&["probe", "--wait", "4"]).expect_err("exit code 1 again");
    assert!(said.contains("DHCP server 192.0.2.66") && said.contains("Switch it off"), "{said}");
}

#[test]
fn a_second_server_on_one_machine_names_the_first_and_takes_over_when_it_ends() {
    let Some(lab) = enter_or_skip("a_second_server_on_one_machine_names_the_first_and_takes_over_when_it_ends") else { return };
    a_house(&lab);
    let mut first = Node::serve(&lab, "server", LAN);
    let pid = first.daemon.pid();

    // The same data: it ends with a sentence.
    let mut twin = Node::start(&lab, "server", "data", LAN);
    wait_until("the twin ends", Duration::from_secs(10), || !twin.daemon.is_running());
    let sentence = format!("is in use by another twinlease (process {pid}). Stop that one first");
    assert!(twin.daemon.log().contains(&sentence), "{}", twin.daemon.log());

    // Other data: it waits for the port and says who has it.
    let mut second = Node::start(&lab, "server", "other", LAN);
    let sentence = format!("eth0: UDP port 67 is already held by twinlease (process {pid})");
    wait_until("the second names the first", Duration::from_secs(10), || second.daemon.log().contains(&sentence));
    let said = second.try_command(&["status"]).expect_err("nobody is served, so the exit code is 1");
    assert!(said.contains("Nobody is answered.") && said.contains(&sentence), "{said}");
    assert_eq!(lab.client(Kind::Udhcpc, "device").start(&[]).server(), "192.0.2.1");
    first.assert_well();

    assert!(first.daemon.terminate().success());
    second.wait_until_it_serves(&["eth0"]);
    lab.host("next", "lan", &[]);
    assert_eq!(lab.client(Kind::Dhclient, "next").start(&[]).server(), "192.0.2.1");
    second.assert_well();
}
