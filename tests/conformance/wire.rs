//! "The reply on the wire" (§4.1, table 3): header, destination, order, defaults, lease times.

use twinlease::protocol::Destination;

use super::{
    net::{ALICE, BOB, HOME, Net, SERVER, ip, taking_up},
    packet::{INFORM, Packet},
};

const FULL: &str = r#"
[[subnet]]
network = "192.0.2.0/24"
pools = ["192.0.2.10-192.0.2.19"]
[subnet.options]
router = "192.0.2.1"
dns = ["192.0.2.1"]
domain = "example.org"
ntp = ["192.0.2.3"]
search = ["example.org", "lab.example.org"]
capwap-ac = ["192.0.2.8", "192.0.2.9"]
v6-only-preferred = 1800
captive-portal = "https://portal.example.org/api"
"#;

/// 7
#[test]
fn the_header_answers_that_of_the_request() {
    let mut net = Net::home();
    let discover = Packet { hops: 3, secs: 99, xid: 0xdead_beef, flags: 0x8001, ..Packet::discover(ALICE).id(b"\x01x") };
    let relayed = Packet { hops: 3, ..discover.relayed(ip("192.0.2.254"), SERVER) };
    let bytes = net.send(&relayed).offer().bytes().to_vec();
    assert_eq!(bytes[..4], [2, 1, 6, 0], "op, htype, hlen, hops");
    assert_eq!(bytes[4..8], [0xde, 0xad, 0xbe, 0xef], "xid");
    assert_eq!(bytes[8..10], [0, 0], "secs");
    assert_eq!(bytes[10..12], [0x80, 0x01], "flags");
    assert_eq!(bytes[24..28], [192, 0, 2, 254], "giaddr");
    assert_eq!(bytes[28..44], relayed.chaddr);
}

/// 7
#[test]
fn ciaddr_is_copied_into_an_ack_only() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    assert_eq!(net.renew(ALICE, address).ack().ciaddr(), address);
    assert_eq!(net.send(&Packet::discover(ALICE).ciaddr(address)).offer().ciaddr(), ip("0.0.0.0"));
    assert_eq!(net.renew(ALICE, ip("192.0.2.17")).expect_nak().ciaddr(), ip("0.0.0.0"));
}

/// 7: a long hardware address is copied whole
#[test]
fn chaddr_is_copied_to_its_sixteenth_byte() {
    let mut net = Net::home();
    let long = Packet { htype: 32, hlen: 16, chaddr: *b"0123456789abcdef", ..Packet::discover(ALICE) };
    let offer = net.send(&long).offer();
    assert_eq!(offer.bytes()[1..3], [32, 16]);
    assert_eq!(&offer.bytes()[28..44], b"0123456789abcdef");
}

/// 8
#[test]
fn a_client_without_address_is_answered_in_a_frame_to_its_mac() {
    let mut net = Net::home();
    let to = Destination::Frame { mac: ALICE, address: ip("192.0.2.10") };
    net.discover(ALICE).offer().expect_to(to);
    net.request(ALICE, ip("192.0.2.10")).ack().expect_to(to);
    net.reboot(ALICE, ip("192.0.2.10")).ack().expect_to(to);
}

/// 8
#[test]
fn a_client_that_sets_the_b_flag_is_answered_by_broadcast() {
    let mut net = Net::home();
    let offer = net.send(&Packet::discover(ALICE).broadcast_flag()).offer().expect_to(Destination::Broadcast);
    assert_eq!(offer.flags(), 0x8000);
}

/// 8
#[test]
fn a_relay_comes_before_ciaddr_and_the_b_flag() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    let relay = ip("192.0.2.254");
    let rebind = Packet::rebind(ALICE, address).broadcast_flag().relayed(relay, SERVER);
    net.send(&rebind).ack().expect_to(Destination::Relay(relay));
}

/// 8
#[test]
fn a_device_can_be_forced_to_broadcast() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"\nforce-broadcast = true");
    let mut net = Net::with(&toml);
    net.discover(ALICE).offer().expect_to(Destination::Broadcast);
    net.request(ALICE, ip("192.0.2.50")).ack().expect_to(Destination::Broadcast);
    net.discover(BOB).offer().expect_to(Destination::Frame { mac: BOB, address: ip("192.0.2.10") });
}

/// 9: the source address; port, TTL, DF and checksum are the sockets' part
#[test]
fn a_reply_leaves_from_the_interface_and_with_the_address_that_was_asked() {
    let mut net = Net::home_and("[[subnet]]\nnetwork = \"203.0.113.0/24\"\npools = [\"203.0.113.10-203.0.113.19\"]");
    net.interfaces(&[(1, "lan0", &["192.0.2.1/24"]), (2, "lan1", &["203.0.113.1/24"])]);
    let reply = net.send(&Packet::discover(ALICE).on(2)).offer();
    assert_eq!((reply.reply.interface, reply.reply.source, reply.ip(54)), (2, ip("203.0.113.1"), Some(ip("203.0.113.1"))));
}

/// 10, RFC 951, 1542 §2.1
#[test]
fn short_replies_are_padded_to_300_bytes_after_end() {
    let mut net = Net::home();
    assert_eq!(net.send(&Packet::discover(ALICE).wants(&[1])).offer().bytes().len(), 300);
    assert_eq!(net.reboot(BOB, ip("198.51.100.7")).expect_nak().bytes().len(), 300);
    let inform = Packet::of(INFORM, BOB).ciaddr(ip("192.0.2.77")).wants(&[1]);
    assert_eq!(net.send(&inform).ack().bytes().len(), 300);
}

/// 13
#[test]
fn options_stand_in_the_order_that_clients_want() {
    let mut net = Net::with(FULL);
    let relay = ip("192.0.2.254");
    let discover = Packet::discover(ALICE).id(b"\x01me").wants(&[15, 3, 42, 1, 138, 6]).option(82, &[1, 1, 7]);
    let offer = net.send(&discover.relayed(relay, SERVER)).offer();
    assert_eq!(offer.codes(), [53, 54, 51, 58, 59, 1, 15, 3, 42, 138, 6, 61, 82]);
}

/// 13
#[test]
fn nothing_is_sent_that_the_list_does_not_name_and_nothing_twice() {
    let mut net = Net::with(FULL);
    let discover = Packet::discover(ALICE).wants(&[6, 6, 51, 53, 54, 61, 82, 255, 0, 6, 252, 50, 57, 118]);
    assert_eq!(net.send(&discover).offer().codes(), [53, 54, 51, 58, 59, 6]);
}

/// 14
#[test]
fn without_a_list_a_sensible_set_is_sent() {
    let mut net = Net::with(FULL);
    let offer = net.send(&Packet::discover(ALICE).option(12, b"laptop")).offer();
    assert_eq!(offer.codes(), [53, 54, 51, 58, 59, 1, 3, 6, 12, 15, 28, 42, 119]);
}

/// 14
#[test]
fn offer_and_ack_carry_the_same_options() {
    let mut net = Net::with(FULL);
    let plain = Packet::discover(ALICE);
    let asking =
        Packet::discover(BOB).id(b"\x01b").wants(&[119, 3, 1, 12, 138, 108]).option(81, b"\0\0\0bob").option(51, &[0, 0, 14, 16]);
    for discover in [plain, asking] {
        let offer = net.send(&discover).offer();
        let ack = net.send(&taking_up(&discover, &offer)).ack();
        let without_kind = |seen: &super::seen::Seen| seen.pieces[1..].to_vec();
        assert_eq!(without_kind(&offer), without_kind(&ack));
        assert_eq!((offer.sname(), offer.file(), offer.siaddr()), (ack.sname(), ack.file(), ack.siaddr()));
    }
}

/// 14
#[test]
fn t1_is_half_and_t2_seven_eighths_unless_set() {
    let offer = Net::home().discover(ALICE).offer();
    assert_eq!([offer.number(51), offer.number(58), offer.number(59)], [Some(43_200), Some(21_600), Some(37_800)]);
    let offer = Net::home_and("[lease]\ndefault = \"1000s\"\nt1 = 0.25\nt2 = 0.6").discover(ALICE).offer();
    assert_eq!([offer.number(51), offer.number(58), offer.number(59)], [Some(1000), Some(250), Some(600)]);
}

/// 14
#[test]
fn t1_and_t2_are_left_out_where_they_could_not_be_in_order() {
    let settings = "[lease]\nmin = \"1s\"\ndefault = \"1h\"\ninfinite = true";
    for secs in [1u32, 2, 3, 4, 5, 7, 100, u32::MAX] {
        let mut net = Net::home_and(settings);
        let offer = net.send(&Packet::discover(ALICE).option(51, &secs.to_be_bytes())).offer();
        assert_eq!(offer.lease_secs(), secs);
        match (offer.number(58), offer.number(59)) {
            (None, None) => assert!(secs < 4 || secs == u32::MAX),
            (t1, t2) => assert!(t1 < t2 && t2 < Some(secs), "{t1:?} {t2:?} of {secs}"),
        }
    }
}

/// 15
#[test]
fn the_lease_time_asked_for_is_clamped() {
    let mut net = Net::home_and("[lease]\nmin = \"10m\"\ndefault = \"1h\"\nmax = \"1d\"");
    for (asked, given) in [(1u32, 600), (600, 600), (5000, 5000), (86_401, 86_400), (u32::MAX, 86_400)] {
        let offer = net.send(&Packet::discover(ALICE).option(51, &asked.to_be_bytes())).offer();
        assert_eq!(offer.lease_secs(), given, "asked for {asked}");
    }
    assert_eq!(net.discover(BOB).offer().lease_secs(), 3600);
}

/// 15
#[test]
fn a_lease_without_end_is_given_only_where_it_is_allowed() {
    let forever = u32::MAX.to_be_bytes();
    let mut net = Net::home();
    assert_eq!(net.send(&Packet::discover(ALICE).option(51, &forever)).offer().lease_secs(), 7 * 86_400);
    let mut net = Net::home_and("[lease]\ninfinite = true");
    let address = net.lease_by(&Packet::discover(ALICE).option(51, &forever));
    net.at(4_000_000_000).send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(ip("192.0.2.11"));
    assert_eq!(net.send(&Packet::discover(ALICE).option(51, &forever)).expect_offer(address).lease_secs(), u32::MAX);
}

/// 15
#[test]
fn a_subnet_may_have_lease_times_of_its_own() {
    let toml = HOME.replace("[subnet.options]", "[subnet.lease]\nmax = \"30m\"\ndefault = \"20m\"\n[subnet.options]");
    let mut net = Net::with(&toml);
    assert_eq!(net.discover(ALICE).offer().lease_secs(), 1200);
    assert_eq!(net.send(&Packet::discover(BOB).option(51, &[0, 1, 0, 0])).offer().lease_secs(), 1800);
}
