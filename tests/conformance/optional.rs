//! What is off until it is switched on: rapid commit (RFC 4039), BOOTP (RFC 1534), LEASEQUERY (RFC 4388).

use twinlease::protocol::{
    Destination,
    explain::{Outcome, Silence},
    lease::BindingState,
};

use super::{
    net::{ALICE, BOB, Disk, HOME, Net, SERVER, ip},
    packet::{LEASE_QUERY, Packet},
};

const RAPID: &str = "[server]\nrapid-commit = true";
const LEASE_ACTIVE: u8 = 13;
const LEASE_UNKNOWN: u8 = 12;
const LEASE_UNASSIGNED: u8 = 11;

fn rapid(mac: super::packet::Mac) -> Packet {
    Packet::discover(mac).option(80, &[])
}

/// RFC 4039 §3
#[test]
fn rapid_commit_is_a_committed_ack_with_option_80() {
    let mut net = Net::home_and(RAPID);
    let ack = net.send(&rapid(ALICE)).expect_ack(ip("192.0.2.10"));
    assert_eq!(ack.option(80), Some(vec![]));
    assert_eq!(net.state(ip("192.0.2.10")), BindingState::Leased);
}

/// RFC 4039 §3
#[test]
fn rapid_commit_needs_both_sides() {
    let offer = Net::home().send(&rapid(ALICE)).offer();
    assert_eq!(offer.option(80), None);
    let offer = Net::home_and(RAPID).discover(ALICE).offer();
    assert_eq!(offer.option(80), None);
}

/// RFC 4039 §3: durable first here too
#[test]
fn rapid_commit_waits_for_the_disk_once() {
    let mut net = Net::home_and(RAPID);
    net.disk = Disk::Slow;
    net.send(&rapid(ALICE)).expect_silence();
    net.at(1).send(&rapid(ALICE)).expect_silence();
    assert_eq!(net.waiting.len(), 1, "the second asks for nothing new");
    net.commits_all().expect_ack(ip("192.0.2.10"));
}

const BOOTP: &str = r#"
[server]
bootp = true
[[reservation]]
mac = "00:16:3e:00:00:a1"
address = "192.0.2.50"
name = "terminal"
[reservation.options]
boot-file = "terminal.img"
tftp-server-name = "192.0.2.9"
"#;

fn bootp_net() -> Net {
    // Long lists, to see that the 64 bytes of BOOTP are kept to.
    let more = "ntp = [\"192.0.2.3\", \"192.0.2.4\"]\ndomain = \"a-rather-long-domain.example.org\"\nsearch = [\"example.org\"]";
    Net::with(&format!("{BOOTP}{HOME}{more}"))
}

/// RFC 1534 §2
#[test]
fn a_reserved_bootp_client_is_answered_as_bootp_does() {
    let mut net = bootp_net();
    let reply = net.send(&Packet::bare(ALICE)).one().expect_to(Destination::Frame { mac: ALICE, address: ip("192.0.2.50") });
    assert_eq!((reply.kind(), reply.yiaddr(), reply.siaddr()), (0, ip("192.0.2.50"), ip("192.0.2.9")));
    assert_eq!(reply.bytes().len(), 300, "a vend field of 64 bytes");
    for code in [50, 51, 52, 53, 54, 58, 59] {
        assert_eq!(reply.option(code), None, "option {code}");
    }
    assert_eq!(reply.option(1), Some(vec![255, 255, 255, 0]));
    assert!(reply.file().starts_with(b"terminal.img\0"));
    assert_eq!(net.outcome(ALICE), Outcome::BootpReply { address: ip("192.0.2.50") });
}

/// RFC 951: without a cookie, too
#[test]
fn a_bootp_request_without_vendor_field_is_answered() {
    let mut net = bootp_net();
    net.send(&Packet { options: None, ..Packet::bare(ALICE) }).one();
    // Its address never runs out, and nobody else gets it.
    net.at(400 * 86_400).send(&Packet::discover(BOB).option(50, &[192, 0, 2, 50])).expect_offer(ip("192.0.2.10"));
}

/// RFC 1534 §2
#[test]
fn bootp_is_for_reserved_devices_and_only_where_it_is_switched_on() {
    let mut net = bootp_net();
    net.send(&Packet::bare(BOB)).expect_silence();
    assert_eq!(net.outcome(BOB), Outcome::Silent { why: Silence::BootpNotKept });
    let mut net = Net::home();
    net.send(&Packet::bare(ALICE)).expect_silence();
    assert_eq!(net.outcome(ALICE), Outcome::Silent { why: Silence::BootpOff });
}

/// RFC 1534: durable first here too
#[test]
fn a_bootp_reply_waits_for_the_disk_the_first_time() {
    let mut net = bootp_net();
    net.disk = Disk::Slow;
    net.send(&Packet::bare(ALICE)).expect_silence();
    net.commits_one().one();
    net.send(&Packet::bare(ALICE)).one();
    assert!(net.waiting.is_empty());
}

fn query(relay: &str) -> Packet {
    Packet { hlen: 0, htype: 0, ..Packet::of(LEASE_QUERY, [0; 6]) }.relayed(ip(relay), SERVER)
}

fn leasequery_net() -> Net {
    Net::home_and("[server]\nleasequery = true")
}

/// RFC 4388 §6
#[test]
fn a_leasequery_is_not_answered_unless_switched_on() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.send(&Packet::of(LEASE_QUERY, ALICE).ciaddr(address).relayed(ip("192.0.2.254"), SERVER)).expect_silence();
    assert_eq!(net.outcome(ALICE), Outcome::Silent { why: Silence::LeaseQueryOff });
}

/// RFC 4388 §6.1, §6.4: a query by address has neither hardware address nor client-id
#[test]
fn a_leasequery_by_address_tells_who_has_it() {
    let mut net = leasequery_net();
    let address = net.lease_by(&Packet::discover(ALICE).id(b"\x00me"));
    let answer = net.at(3200).send(&query("192.0.2.254").ciaddr(address)).one();
    assert_eq!((answer.kind(), answer.ciaddr(), answer.mac()), (LEASE_ACTIVE, address, ALICE));
    // The lease began with the answer to its probe, 200 ms after the start.
    assert_eq!((answer.number(51), answer.number(91)), (Some(40_001), Some(3199)));
    assert_eq!(answer.option(61).as_deref(), Some(&b"\x00me"[..]));
    assert_eq!(answer.reply.to, Destination::Relay(ip("192.0.2.254")));
    assert_eq!(net.send(&query("192.0.2.254").ciaddr(ip("192.0.2.17"))).one().kind(), LEASE_UNASSIGNED);
    assert_eq!(net.send(&query("192.0.2.254").ciaddr(ip("203.0.113.17"))).one().kind(), LEASE_UNKNOWN);
}

/// RFC 4388 §6.4.1
#[test]
fn a_leasequery_by_mac_or_client_id_tells_its_address() {
    let mut net = leasequery_net();
    let address = net.lease_by(&Packet::discover(ALICE).id(b"\x00me"));
    let by_mac = Packet::of(LEASE_QUERY, ALICE).relayed(ip("192.0.2.254"), SERVER);
    assert_eq!(net.send(&by_mac).one().ciaddr(), address);
    assert_eq!(net.send(&query("192.0.2.254").id(b"\x00me")).one().ciaddr(), address);
    assert_eq!(net.send(&query("192.0.2.254").id(b"\x00you")).one().kind(), LEASE_UNKNOWN);
}

/// RFC 4388 §6.3
#[test]
fn a_leasequery_without_giaddr_is_not_answered() {
    let mut net = leasequery_net();
    let address = net.lease(ALICE);
    net.send(&Packet::of(LEASE_QUERY, BOB).ciaddr(address)).expect_silence();
    assert_eq!(net.outcome(BOB), Outcome::Silent { why: Silence::NowhereToSend });
}
