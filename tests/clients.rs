//! The four real clients against the real binary: lease, renewal, rebinding, release, reboot, NAK, options.
//!
//! Both sides are heard: what the client decoded, and what the server says the packet was. What one client cannot
//! do is a `Cannot` below, asserted where it shows, so that a client that learns it breaks the test.

mod lab;
mod node;

use std::time::Duration;

use lab::{Kind, Lab, Lease, enter_or_skip, wait_until};
use node::Node;
use serde_json::{Value, json};

/// 16 s, T1 after 4 s, T2 after 8 s: whoever renews by the clock alone does it soon.
const SHORT: &str = r#"
    [lease]
    default = "16s"
    min = "8s"
    t1 = 0.25
    t2 = 0.5
    [[subnet]]
    network = "192.0.2.0/24"
    pools = ["192.0.2.100-192.0.2.150"]
    options = { router = "192.0.2.1" }
"#;

const MOVED: &str = r#"
    [[subnet]]
    network = "198.51.100.0/24"
    pools = ["198.51.100.100-198.51.100.150"]
    options = { router = "198.51.100.1" }
"#;

/// Long leases, and every option that the issue names.
const RICH: &str = r#"
    [lease]
    default = "1h"
    [options]
    dns = ["192.0.2.1", "192.0.2.53"]
    domain = "home.example"
    ntp = ["192.0.2.1", "192.0.2.123"]
    search = ["home.example", "lab.home.example"]
    routes = [{ to = "10.77.8.0/22", via = "192.0.2.9" }, { to = "0.0.0.0/0", via = "192.0.2.1" }]
    capwap-ac = ["192.0.2.70", "192.0.2.71"]
    [[subnet]]
    network = "192.0.2.0/24"
    pools = ["192.0.2.100-192.0.2.150"]
    options = { router = "192.0.2.1" }
    [[reservation]]
    mac = "02:00:00:00:00:77"
    address = "192.0.2.31"
    name = "printer"
"#;

/// What a client cannot do, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cannot {
    /// It saves no lease: after a reboot its DISCOVER asks for the old address.
    InitReboot,
    /// It keeps options 224-254 only, beside those that it uses.
    ShowOption138,
}

fn cannot(kind: Kind) -> &'static [Cannot] {
    match kind {
        Kind::Udhcpc => &[Cannot::InitReboot],
        Kind::Networkd => &[Cannot::ShowOption138],
        Kind::Dhclient | Kind::Dhcpcd => &[],
    }
}

fn a_house(lab: &Lab) {
    lab.bridge("lan");
    lab.host("server", "lan", &["192.0.2.1/24"]);
    lab.host("device", "lan", &["mac=02:00:00:00:00:77"]);
}

/// It asked for this, and was given this lease. By itself it may have gone on since, on a slow machine: with the same lease, then.
#[track_caller]
fn assert_acked(node: &Node, mac: &str, asked: &str, lease: &Lease) {
    let told = node.why(mac);
    let nth =
        told.iter().position(|decision| decision.asked() == asked).unwrap_or_else(|| panic!("it never asked so: {told:#?}"));
    assert!(told[..=nth].iter().all(|decision| decision.outcome() == "acked"), "{told:#?}");
    let decision = &told[nth];
    assert_eq!(decision.about("address"), lease.address());
    assert_eq!(decision.about("secs"), lease.lease_secs());
    assert_eq!(node.state_of(lease.address()), "leased");
}

fn receives_its_options(kind: Kind, test_name: &str) {
    let Some(lab) = enter_or_skip(test_name) else { return };
    a_house(&lab);
    let mut node = Node::serve(&lab, "server", RICH);
    let mac = lab.mac("device");
    let lease = lab.client(kind, "device").start(&[]);
    assert_eq!((lease.address(), lease.server(), lease.lease_secs()), ("192.0.2.31", "192.0.2.1", 3600));
    assert_acked(&node, &mac, "select", &lease);
    let row = node.lease("192.0.2.31").expect("it is leased");
    assert_eq!((&row["name"], &row["kept"], &row["mac"]), (&json!("printer"), &json!(true), &json!(mac)));
    let options = [
        (1, json!("255.255.255.0")),
        (3, json!(["192.0.2.1"])),
        (6, json!(["192.0.2.1", "192.0.2.53"])),
        (12, json!("printer")),
        (15, json!("home.example")),
        (42, json!(["192.0.2.1", "192.0.2.123"])),
        (51, json!(3600)),
        (119, json!(["home.example", "lab.home.example"])),
        (121, json!(["10.77.8.0/22 192.0.2.9", "0.0.0.0/0 192.0.2.1"])),
        (138, if cannot(kind).contains(&Cannot::ShowOption138) { Value::Null } else { json!(["192.0.2.70", "192.0.2.71"]) }),
    ];
    for (code, value) in options {
        assert_eq!(*lease.option(code), value, "option {code} as {kind:?} shows it");
    }
    node.assert_well();
}

fn renews_rebinds_and_releases(kind: Kind, test_name: &str) {
    let Some(lab) = enter_or_skip(test_name) else { return };
    a_house(&lab);
    let mut node = Node::serve(&lab, "server", SHORT);
    let mac = lab.mac("device");
    let client = lab.client(kind, "device");
    let first = client.start(&[]);
    assert_eq!((first.0["t1_secs"].as_u64(), first.0["t2_secs"].as_u64()), (Some(4), Some(8)));
    assert_acked(&node, &mac, "select", &first);

    // udhcpc sends its unicast REQUEST from a second socket on its port, connected to the server, and closes it: an ACK that is there
    // before the close goes to that socket and is lost. It asks again by broadcast.
    let renewed = client.renew();
    assert_acked(&node, &mac, "renew", &renewed);
    let rebound = client.rebind();
    assert_acked(&node, &mac, "rebind", &rebound);
    assert_eq!((renewed.address(), rebound.address()), (first.address(), first.address()));

    client.release();
    wait_until("the server hears the RELEASE", Duration::from_secs(2), || node.state_of(first.address()) == "released");
    let word = node.last_word(&mac);
    assert_eq!((word.asked(), word.outcome()), ("release", "released"));
    assert_eq!(word.0["data"]["name"], "device", "also a RELEASE without a name is told with it");
    assert_eq!(client.show()["state"], "none");

    // Who comes back gets what it had.
    assert_eq!(client.start(&[]).address(), first.address());
    node.assert_well();
}

fn comes_back_after_a_reboot(kind: Kind, test_name: &str) {
    let Some(lab) = enter_or_skip(test_name) else { return };
    a_house(&lab);
    let mut node = Node::serve(&lab, "server", RICH);
    let mac = lab.mac("device");
    let client = lab.client(kind, "device");
    let before = client.start(&[]);
    let after = client.reboot();
    assert_eq!(after.address(), before.address());
    let asked = if cannot(kind).contains(&Cannot::InitReboot) { "select" } else { "init-reboot" };
    assert_acked(&node, &mac, asked, &after);
    if asked == "select" {
        let words = node.why(&mac);
        let asked: Vec<&str> = words.iter().map(node::Decision::asked).collect();
        assert_eq!(asked, ["select", "discover", "select", "discover"], "latest first: it asked anew");
    }
    node.assert_well();
}

fn is_naked_after_a_subnet_change_and_recovers(kind: Kind, test_name: &str) {
    let Some(lab) = enter_or_skip(test_name) else { return };
    a_house(&lab);
    let mut node = Node::serve(&lab, "server", SHORT);
    let mac = lab.mac("device");
    let client = lab.client(kind, "device");
    let before = client.start(&["timeout=40"]);

    node.import(MOVED);
    lab.exec("server", &["ip", "address", "flush", "dev", "eth0"]);
    lab.exec("server", &["ip", "address", "add", "198.51.100.1/24", "brd", "+", "dev", "eth0"]);
    node.wait_until_it_serves(&["eth0"]);

    // udhcpc asks for its old address only while it runs, the others also when they start.
    let asked = if cannot(kind).contains(&Cannot::InitReboot) { "rebind" } else { "init-reboot" };
    let after = if asked == "rebind" { client.rebind() } else { client.reboot() };
    assert!(after.address().starts_with("198.51.100.1"), "a new address: {}", after.address());
    assert_eq!((after.server(), after.lease_secs()), ("198.51.100.1", 12 * 3600));
    assert_eq!(*after.option(3), json!(["198.51.100.1"]));
    assert_acked(&node, &mac, "select", &after);

    let words = node.why(&mac);
    let nak = words.iter().find(|word| word.outcome() == "naked").unwrap_or_else(|| panic!("no NAK: {words:#?}"));
    assert_eq!(nak.asked(), asked);
    assert_eq!(nak.about("why")["wrong-network"]["address"], before.address());
    node.assert_well();
}

/// One test for each client and theme.
macro_rules! each_client {
    ($($kind:ident: $module:ident),*) => {$(
        mod $module {
            use super::Kind;

            #[test]
            fn receives_its_options() {
                super::receives_its_options(Kind::$kind, concat!(stringify!($module), "::receives_its_options"));
            }

            #[test]
            fn renews_rebinds_and_releases() {
                super::renews_rebinds_and_releases(Kind::$kind, concat!(stringify!($module), "::renews_rebinds_and_releases"));
            }

            #[test]
            fn comes_back_after_a_reboot() {
                super::comes_back_after_a_reboot(Kind::$kind, concat!(stringify!($module), "::comes_back_after_a_reboot"));
            }

            #[test]
            fn is_naked_after_a_subnet_change_and_recovers() {
                super::is_naked_after_a_subnet_change_and_recovers(
                    Kind::$kind,
                    concat!(stringify!($module), "::is_naked_after_a_subnet_change_and_recovers"),
                );
            }
        }
    )*};
}

each_client!(Udhcpc: udhcpc, Dhclient: dhclient, Dhcpcd: dhcpcd, Networkd: networkd);
