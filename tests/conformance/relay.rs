//! Clients behind relays: across subnets, by port, and by unicast without their relay.

use twinlease::protocol::{Destination, explain::Step, explain::SubnetBy};

use super::{
    net::{ALICE, BOB, Net, SERVER, ip, taking_up},
    packet::{Packet, REQUEST},
};

const FAR: &str = r#"
[[subnet]]
network = "198.51.100.0/24"
pools = ["198.51.100.10-198.51.100.19"]
[subnet.options]
router = "198.51.100.1"
"#;
const RELAY: &str = "198.51.100.1";
const PORT_3: &[u8] = &[1, 5, b'p', b'o', b'r', b't', b'3'];

fn far_net() -> Net {
    Net::home_and(FAR)
}

fn relayed(packet: Packet) -> Packet {
    packet.option(82, PORT_3).relayed(ip(RELAY), SERVER)
}

#[test]
fn a_relayed_client_gets_the_address_and_options_of_its_own_subnet() {
    let mut net = far_net();
    let discover = relayed(Packet::discover(ALICE).wants(&[3]));
    let offer = net.send(&discover).expect_offer(ip("198.51.100.10")).expect_to(Destination::Relay(ip(RELAY)));
    assert_eq!((offer.ip(3), offer.giaddr(), offer.bytes()[3]), (Some(ip(RELAY)), ip(RELAY), 0));
    let ack = net.send(&taking_up(&discover, &offer)).expect_ack(ip("198.51.100.10"));
    assert_eq!(ack.reply.to, Destination::Relay(ip(RELAY)));
}

/// §4.3.2: the unicast renewal does not pass the relay
#[test]
fn a_relayed_client_renews_by_unicast_without_its_relay() {
    let mut net = far_net();
    let address = net.lease_by(&relayed(Packet::discover(ALICE).wants(&[3])));
    let ack = net.at(21_600).send(&Packet::renew(ALICE, SERVER, address).wants(&[1, 3])).expect_ack(address);
    assert_eq!((ack.ip(3), ack.reply.to), (Some(ip(RELAY)), Destination::Client(address)));
    assert!(net.why(ALICE).contains("network 198.51.100.0/24, where its address belongs"), "{}", net.why(ALICE));
    net.at(22_000).release(ALICE, address).expect_silence();
    net.send(&relayed(Packet::discover(BOB).option(50, &address.octets()))).expect_offer(address);
}

#[test]
fn a_relayed_client_declines_by_way_of_its_relay() {
    let mut net = far_net();
    let address = net.lease_by(&relayed(Packet::discover(ALICE)));
    net.send(&relayed(Packet::decline(ALICE, SERVER, address))).expect_silence();
    net.send(&relayed(Packet::discover(ALICE))).expect_offer(ip("198.51.100.11"));
}

/// A relay sends by unicast what the client broadcast: REBINDING, not RENEWING.
#[test]
fn a_relayed_rebinding_client_that_nobody_knows_is_left_alone_where_the_pair_is_a_guest() {
    let mut net = Net::home_and(&format!("[server]\nauthoritative = false\n{FAR}"));
    net.send(&relayed(Packet::rebind(ALICE, ip("198.51.100.17")))).expect_silence();
    let address = net.lease_by(&relayed(Packet::discover(ALICE)));
    let ack = net.send(&relayed(Packet::rebind(ALICE, address))).expect_ack(address);
    assert_eq!(ack.reply.to, Destination::Relay(ip(RELAY)));
}

#[test]
fn one_device_may_hold_an_address_in_each_of_two_subnets() {
    let mut net = far_net();
    let at_home = net.lease(ALICE);
    net.same_device = vec![ALICE];
    let far = net.lease_by(&relayed(Packet::discover(ALICE)));
    assert_eq!([at_home, far], [ip("192.0.2.10"), ip("198.51.100.10")]);
    net.discover(ALICE).expect_offer(at_home);
    // It carries the address of one network into the other.
    net.send(&relayed(Packet::reboot(ALICE, at_home))).expect_nak();
    net.reboot(ALICE, at_home).expect_ack(at_home);
}

/// Twenty subnets behind one relay, of which the interface knows none.
#[test]
fn a_subnet_without_interface_of_its_own_is_served_through_relays() {
    let subnet = |i: u32| format!("[[subnet]]\nnetwork = \"10.77.{i}.0/24\"\npools = [\"10.77.{i}.10-10.77.{i}.99\"]\n");
    let mut net = Net::with(&(0..20).map(subnet).collect::<String>());
    for i in [0, 7, 19] {
        let relay = ip(&format!("10.77.{i}.1"));
        net.send(&Packet::discover(ALICE).relayed(relay, SERVER)).expect_offer(ip(&format!("10.77.{i}.10")));
        let network = format!("10.77.{i}.0/24").parse().unwrap();
        assert!(net.last_decision(ALICE).steps.contains(&Step::Subnet { network, by: SubnetBy::Giaddr }));
    }
}

const BY_PORT: &str = r#"
[[reservation]]
circuit-id = "70:6f:72:74:33"
address = "198.51.100.50"
name = "kiosk"
[reservation.options]
domain = "kiosk.example.org"
"#;

/// RFC 3046 §2.1
#[test]
fn a_reservation_by_relay_port_holds_for_whatever_hangs_there() {
    let mut net = Net::home_and(&format!("{FAR}{BY_PORT}"));
    let address = net.lease_by(&relayed(Packet::discover(ALICE)));
    assert_eq!(address, ip("198.51.100.50"));
    // Without a relay's address, the option comes from the client and counts for nothing.
    net.send(&Packet::discover(BOB).option(82, PORT_3)).expect_offer(ip("192.0.2.10"));
}

/// RFC 3046: a unicast renewal has no option 82
#[test]
fn a_reservation_by_relay_port_is_renewed_by_unicast_with_its_options() {
    let mut net = Net::home_and(&format!("{FAR}{BY_PORT}"));
    let address = net.lease_by(&relayed(Packet::discover(ALICE)));
    let ack = net.at(3600).send(&Packet::renew(ALICE, SERVER, address).wants(&[12, 15])).expect_ack(address);
    assert_eq!((ack.text(12).as_deref(), ack.text(15).as_deref()), (Some("kiosk"), Some("kiosk.example.org")));
    net.renew(BOB, address).expect_nak();
    net.send(&Packet::renew(BOB, SERVER, address).option(82, PORT_3)).expect_nak();
}

/// RFC 5107 §4
#[test]
fn sub_option_11_is_what_the_server_calls_itself() {
    let mut net = far_net();
    let relay = ip(RELAY);
    let with_override = |packet: Packet| packet.option(82, &[11, 4, 198, 51, 100, 1]).relayed(relay, SERVER);
    let discover = with_override(Packet::discover(ALICE));
    let offer = net.send(&discover).offer();
    assert_eq!((offer.ip(54), offer.reply.source), (Some(relay), SERVER));
    let ack = net.send(&taking_up(&discover, &offer)).ack();
    assert_eq!(ack.ip(54), Some(relay));
    // The client renews to the relay, which passes it on.
    let renewal = with_override(Packet::of(REQUEST, ALICE).ciaddr(ack.yiaddr()));
    assert_eq!(net.send(&renewal).expect_ack(ack.yiaddr()).ip(54), Some(relay));
}

/// RFC 3046 §2.2
#[test]
fn option_82_is_echoed_as_sent_and_last() {
    let mut net = far_net();
    let odd: &[u8] = &[1, 0, 2, 3, 0xde, 0xad, 0, 9, 1, 7];
    let discover = Packet::discover(ALICE).option(82, odd).id(b"\x01me").wants(&[3, 1]).relayed(ip(RELAY), SERVER);
    let offer = net.send(&discover).offer();
    assert_eq!(offer.option(82).as_deref(), Some(odd));
    assert_eq!(offer.codes().last(), Some(&82));
}
