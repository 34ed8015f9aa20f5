//! "Taking a packet in": what is no request, what damage costs, which subnet, and who asks.

use twinlease::protocol::{Destination, explain::Step};

use super::{
    net::{ALICE, BOB, HOME, Net, SERVER, ip},
    packet::Packet,
};

const ASKS_RELAYED: &str = r#"
[[subnet]]
network = "198.51.100.0/24"
pools = ["198.51.100.10-198.51.100.19"]
[[subnet]]
network = "203.0.113.0/24"
pools = ["203.0.113.10-203.0.113.19"]
"#;

fn three_networks() -> Net {
    Net::home_and(ASKS_RELAYED)
}

/// 1, RFC 2131 §2
#[test]
fn a_packet_shorter_than_its_header_is_counted_and_not_answered() {
    let mut net = Net::home();
    let bytes = Packet::discover(ALICE).bytes();
    for len in [0, 1, 28, 235] {
        net.send_bytes(1, ip("0.0.0.0"), ip("255.255.255.255"), &bytes[..len]).expect_silence();
    }
    assert_eq!(net.malformed()["TooShort"], 4);
}

/// 1
#[test]
fn a_reply_is_no_request() {
    let mut net = Net::home();
    net.send(&Packet { op: 2, ..Packet::discover(ALICE) }).expect_silence();
    net.send(&Packet { op: 0, ..Packet::discover(ALICE) }).expect_silence();
    assert_eq!(net.malformed()["NotRequest"], 2);
}

/// 1: dhcproto panics on these
#[test]
fn a_hardware_address_longer_than_its_field_is_counted_and_not_answered() {
    let mut net = Net::home();
    for hlen in [17, 128, 255] {
        net.send(&Packet { hlen, ..Packet::discover(ALICE) }).expect_silence();
    }
    assert_eq!(net.malformed()["HardwareAddressTooLong"], 3);
    net.send(&Packet { hlen: 16, htype: 32, ..Packet::discover(ALICE) }).offer();
}

/// 1
#[test]
fn messages_that_only_servers_send_are_counted_and_not_answered() {
    let mut net = Net::home();
    for kind in [2, 5, 6, 9, 11, 12, 13] {
        net.send(&Packet::of(kind, ALICE)).expect_silence();
    }
    net.send(&Packet::of(0, ALICE)).expect_silence();
    net.send(&Packet::of(99, ALICE)).expect_silence();
    assert_eq!(net.malformed()["ServerMessage"] + net.malformed()["UnknownType"], 9);
}

/// 2
#[test]
fn without_cookie_or_option_53_it_is_bootp() {
    let mut net = Net::home();
    net.send(&Packet { options: None, ..Packet::bare(ALICE) }).expect_silence();
    net.send(&Packet::bare(BOB).option(12, b"old")).expect_silence();
    assert!(net.why(ALICE).contains("BOOTP is switched off"), "{}", net.why(ALICE));
    assert!(net.why(BOB).contains("BOOTP is switched off"), "{}", net.why(BOB));
}

/// 3
#[test]
fn a_host_name_that_is_no_utf_8_costs_nothing_behind_it() {
    let mut net = Net::home();
    let discover = Packet::discover(ALICE).option(12, &[0xff, 0xfe, b'x']).id(b"\x01behind").wants(&[3, 6]);
    let offer = net.send(&discover).offer();
    assert_eq!(offer.option(61).as_deref(), Some(&b"\x01behind"[..]));
    assert_eq!(offer.ip(3), Some(SERVER));
}

/// 3
#[test]
fn an_ascii_option_81_costs_nothing_behind_it() {
    let mut net = Net::home();
    let discover = Packet::discover(ALICE).option(81, b"\0\0\0laptop").id(b"\x01behind").wants(&[3]);
    let offer = net.send(&discover).offer();
    assert_eq!((offer.option(61).as_deref(), offer.ip(3)), (Some(&b"\x01behind"[..]), Some(SERVER)));
}

/// 3
#[test]
fn options_of_a_wrong_length_cost_themselves_only() {
    let mut net = Net::home();
    let odd = Packet::discover(ALICE).option(50, &[192, 0, 2]).option(51, &[1]).option(57, &[9]).option(12, b"").wants(&[3, 6]);
    let offer = net.send(&odd).offer();
    assert_eq!((offer.lease_secs(), offer.ip(3)), (43_200, Some(SERVER)));
}

/// 3
#[test]
fn an_option_that_runs_past_the_end_leaves_what_stood_before() {
    let mut net = Net::home();
    let cut = Packet::discover(ALICE).wants(&[3]).raw(&[61, 200, 1, 2]);
    let offer = net.send(&cut).offer();
    assert_eq!((offer.ip(3), offer.option(61)), (Some(SERVER), None));
    assert!(net.last_decision(ALICE).steps.contains(&Step::DamagedOptions { codes: vec![61] }));
}

/// 3, RFC 2132 §2
#[test]
fn trailing_nuls_of_a_name_are_stripped() {
    let mut net = Net::home();
    let address = net.lease_by(&Packet::discover(ALICE).option(12, b"printer\0\0"));
    assert_eq!(net.record(address).host_name.as_deref(), Some("printer"));
}

/// 4, RFC 3396 §5
#[test]
fn overloaded_file_and_sname_are_read_in_this_order() {
    let mut net = Net::home();
    let discover = Packet {
        file: [&[61, 3, 1, b'a', b'b', 55, 1, 3, 255][..]].concat(),
        sname: vec![61, 2, b'c', b'd', 55, 1, 6, 255],
        ..Packet::discover(ALICE).option(52, &[3])
    };
    let offer = net.send(&discover).offer();
    assert_eq!(offer.option(61).as_deref(), Some(&b"\x01abcd"[..]));
    assert!(offer.position(3) < offer.position(6));
}

/// 4
#[test]
fn file_and_sname_are_left_alone_without_option_52() {
    let mut net = Net::home();
    let discover = Packet { file: vec![61, 3, 1, b'a', b'b', 255], sname: b"boot".to_vec(), ..Packet::discover(ALICE) };
    assert_eq!(net.send(&discover).offer().option(61), None);
    let only_sname =
        Packet { file: vec![61, 2, 1, 1, 255], sname: vec![61, 2, 1, 2, 255], ..Packet::discover(BOB).option(52, &[2]) };
    assert_eq!(net.send(&only_sname).offer().option(61), Some(vec![1, 2]));
}

/// 4, RFC 3396 §7
#[test]
fn repeated_options_are_joined_adjacent_or_not() {
    let mut net = Net::home();
    let discover = Packet::discover(ALICE).id(&[1, 2]).id(&[3]).wants(&[3]).option(12, b"x").id(&[4]).wants(&[6]);
    let offer = net.send(&discover).offer();
    assert_eq!(offer.option(61), Some(vec![1, 2, 3, 4]));
    assert!(offer.option(3).is_some() && offer.option(6).is_some());
}

/// 5
#[test]
fn a_client_heard_directly_gets_an_address_of_the_interface() {
    let mut net = three_networks();
    net.interfaces(&[(1, "lan0", &["192.0.2.1/24"]), (2, "lan1", &["203.0.113.1/24"])]);
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
    net.send(&Packet::discover(BOB).on(2)).expect_offer(ip("203.0.113.10"));
}

/// 5
#[test]
fn giaddr_beats_the_interface() {
    let mut net = three_networks();
    let relay = ip("198.51.100.1");
    let offer = net.send(&Packet::discover(ALICE).relayed(relay, SERVER)).expect_offer(ip("198.51.100.10"));
    offer.expect_to(Destination::Relay(relay));
}

/// 5, RFC 3011
#[test]
fn option_118_beats_giaddr() {
    let mut net = three_networks();
    let discover = Packet::discover(ALICE).option(118, &[203, 0, 113, 0]).relayed(ip("198.51.100.1"), SERVER);
    net.send(&discover).expect_offer(ip("203.0.113.10"));
    net.send(&Packet::discover(BOB).option(118, &[203, 0, 113, 0])).expect_offer(ip("203.0.113.11"));
}

/// 5, RFC 3527
#[test]
fn the_relays_link_selection_beats_option_118() {
    let mut net = three_networks();
    let discover = Packet::discover(ALICE).option(118, &[203, 0, 113, 0]).option(82, &[5, 4, 198, 51, 100, 0]);
    net.send(&discover.clone().relayed(ip("192.0.2.254"), SERVER)).expect_offer(ip("198.51.100.10"));
    // RFC 3046 §2.1: without giaddr, no relay wrote it.
    net.send(&Packet { chaddr: Packet::bare(BOB).chaddr, ..discover }).expect_offer(ip("203.0.113.10"));
}

/// 5
#[test]
fn where_no_subnet_fits_there_is_silence_and_it_is_counted() {
    let mut net = three_networks();
    net.interfaces(&[(1, "lan0", &["192.0.2.1/24"]), (7, "wan", &["10.77.0.5/24"])]);
    net.send(&Packet::discover(ALICE).on(7)).expect_silence();
    net.send(&Packet::discover(ALICE).relayed(ip("10.77.3.1"), SERVER)).expect_silence();
    net.send(&Packet::discover(BOB).option(118, &[10, 77, 0, 0])).expect_silence();
    assert_eq!(net.node.status(twinlease::protocol::time::Time(0)).outcomes["silent-no-subnet"], 3);
}

/// 6, §4.2
#[test]
fn a_client_is_known_by_option_61_whatever_its_hardware_address() {
    let mut net = Net::home();
    net.same_device = vec![ALICE, BOB];
    let address = net.lease_by(&Packet::discover(ALICE).id(b"\x00dock"));
    net.release(ALICE, address).expect_silence();
    net.send(&Packet::release(ALICE, SERVER, address).id(b"\x00dock")).expect_silence();
    net.send(&Packet::discover(BOB).id(b"\x00dock")).expect_offer(address);
}

/// 6, §4.2: htype belongs to the identity
#[test]
fn without_option_61_a_client_is_known_by_htype_and_chaddr() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.discover(ALICE).expect_offer(address);
    let other_kind = net.send(&Packet { htype: 6, ..Packet::discover(ALICE) }).offer();
    assert_ne!(other_kind.yiaddr(), address);
}

/// 6
#[test]
fn with_neither_hardware_address_nor_client_id_nobody_asks() {
    let mut net = Net::home();
    net.send(&Packet { hlen: 0, ..Packet::discover([0; 6]) }).expect_silence();
    assert_eq!(net.malformed()["NoIdentity"], 1);
    net.send(&Packet { hlen: 0, ..Packet::discover([0; 6]) }.id(b"\x00name")).offer();
}

/// 6, RFC 4361 §6.3
#[test]
fn a_reservation_by_mac_holds_for_a_client_that_sends_a_client_id() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"");
    let mut net = Net::with(&toml);
    net.send(&Packet::discover(ALICE).id(b"\xff\x00\x00\x00\x01duid")).expect_offer(ip("192.0.2.50"));
}

/// 6
#[test]
fn a_reservation_by_client_id_holds_whatever_the_mac() {
    let toml = format!("{HOME}\n[[reservation]]\nclient-id = \"00:64:6f:63:6b\"\naddress = \"192.0.2.50\"");
    let mut net = Net::with(&toml);
    net.send(&Packet::discover(BOB).id(b"\0dock")).expect_offer(ip("192.0.2.50"));
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
}
