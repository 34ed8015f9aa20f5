//! REQUEST in its four forms (§4.3.2).

use twinlease::protocol::{
    Destination,
    explain::{NakReason, Outcome, Silence},
    lease::BindingState,
};

use super::{
    net::{ALICE, BOB, HOME, Net, SERVER, ip},
    packet::{Packet, REQUEST},
};

const TWIN: &str = "192.0.2.2";
const NOT_AUTHORITATIVE: &str = "[server]\nauthoritative = false";

/// SELECTING
#[test]
fn a_request_that_takes_up_our_offer_is_acked() {
    let mut net = Net::home();
    let address = net.discover(ALICE).offer().yiaddr();
    let ack = net.request(ALICE, address).expect_ack(address);
    assert_eq!((ack.ip(54), ack.lease_secs()), (Some(SERVER), 43_200));
    assert_eq!(net.state(address), BindingState::Leased);
}

/// SELECTING
#[test]
fn a_request_to_us_for_what_it_cannot_have_is_naked() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:c0\"\naddress = \"192.0.2.16\"");
    let mut net = Net::with(&toml);
    let held = net.lease(BOB);
    for wrong in [held, ip("192.0.2.16"), ip("192.0.2.200"), ip("192.0.2.1"), ip("192.0.2.255"), ip("198.51.100.10")] {
        net.discover(ALICE).offer();
        net.request(ALICE, wrong).expect_nak();
    }
    assert_eq!(net.record(held).hw.mac(), Some(BOB));
}

/// SELECTING: the twin may be the one chosen
#[test]
fn a_request_to_another_server_is_never_naked_and_the_offer_is_forgotten() {
    let mut net = Net::home();
    let address = net.discover(ALICE).offer().yiaddr();
    for wanted in [address, ip("192.0.2.200"), ip("198.51.100.10")] {
        net.send(&Packet::select(ALICE, ip(TWIN), wanted)).expect_silence();
    }
    assert_eq!(net.outcome(ALICE), Outcome::Silent { why: Silence::OtherServer { server: ip(TWIN) } });
    net.discover(BOB).expect_offer(address);
}

/// SELECTING
#[test]
fn a_lease_survives_the_clients_choice_of_another_server() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.send(&Packet::select(ALICE, ip(TWIN), ip("192.0.2.77"))).expect_silence();
    assert_eq!(net.state(address), BindingState::Leased);
    net.discover(BOB).expect_offer(ip("192.0.2.11"));
}

/// SELECTING
#[test]
fn taking_up_an_offer_ends_the_lease_it_had_before_on_this_network() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"");
    let mut before = Net::home();
    let old = before.lease(ALICE);
    let mut net = Net::holding(&toml, vec![before.record(old).clone()]);
    assert_eq!(net.lease(ALICE), ip("192.0.2.50"));
    assert_eq!(net.state(old), BindingState::Released);
}

/// INIT-REBOOT
#[test]
fn a_rebooting_client_on_the_wrong_network_is_naked() {
    for authority in ["", NOT_AUTHORITATIVE] {
        let mut net = Net::home_and(authority);
        net.reboot(ALICE, ip("198.51.100.7")).expect_nak().expect_to(Destination::Broadcast);
        assert_eq!(net.outcome(ALICE), Outcome::Naked { why: NakReason::WrongNetwork { address: ip("198.51.100.7") } });
    }
}

/// INIT-REBOOT
#[test]
fn a_rebooting_client_that_asks_for_its_address_is_acked() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.at(600).reboot(ALICE, address).expect_ack(address);
}

/// INIT-REBOOT
#[test]
fn a_rebooting_client_whose_lease_ran_out_gets_it_again_while_nobody_has_it() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.at(90_000).reboot(ALICE, address).expect_ack(address);
    net.send(&Packet::release(ALICE, SERVER, address)).expect_silence();
    net.send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(address);
    net.request(BOB, address).expect_ack(address);
    net.reboot(ALICE, address).expect_nak();
}

/// INIT-REBOOT
#[test]
fn a_rebooting_client_that_asks_for_another_address_than_its_own_is_naked() {
    for authority in ["", NOT_AUTHORITATIVE] {
        let mut net = Net::home_and(authority);
        let address = net.lease(ALICE);
        net.reboot(ALICE, ip("192.0.2.17")).expect_nak();
        let why = NakReason::OtherAddress { asked: ip("192.0.2.17"), has: address };
        assert_eq!(net.outcome(ALICE), Outcome::Naked { why });
    }
}

/// INIT-REBOOT: a reservation is knowledge too
#[test]
fn a_rebooting_client_with_a_reservation_is_naked_when_it_asks_for_another_address() {
    let toml = format!("{NOT_AUTHORITATIVE}\n{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"");
    let mut net = Net::with(&toml);
    net.reboot(ALICE, ip("192.0.2.17")).expect_nak();
    net.reboot(ALICE, ip("192.0.2.50")).expect_ack(ip("192.0.2.50"));
}

/// INIT-REBOOT
#[test]
fn a_rebooting_client_that_nobody_knows_is_naked_where_the_pair_owns_the_network() {
    let mut net = Net::home();
    net.reboot(ALICE, ip("192.0.2.17")).expect_nak();
    assert_eq!(net.outcome(ALICE), Outcome::Naked { why: NakReason::Unknown { asked: ip("192.0.2.17") } });
}

/// INIT-REBOOT
#[test]
fn a_rebooting_client_that_nobody_knows_is_left_alone_where_the_pair_is_a_guest() {
    let mut net = Net::home_and(NOT_AUTHORITATIVE);
    net.reboot(ALICE, ip("192.0.2.17")).expect_silence();
    assert_eq!(net.outcome(ALICE), Outcome::Silent { why: Silence::UnknownClient });
}

/// RENEWING
#[test]
fn a_renewal_is_acked_to_ciaddr_for_a_full_new_term() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    let ack = net.at(21_600).renew(ALICE, address).expect_ack(address).expect_to(Destination::Client(address));
    assert_eq!((ack.ciaddr(), ack.lease_secs()), (address, 43_200));
    // The B flag is for clients without an address.
    net.send(&Packet::renew(ALICE, SERVER, address).broadcast_flag()).ack().expect_to(Destination::Client(address));
    // A second device cannot have it while it is renewed.
    net.at(50_000).send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(ip("192.0.2.11"));
}

/// RENEWING
#[test]
fn a_renewal_of_what_the_client_does_not_hold_is_naked() {
    let mut net = Net::home();
    let address = net.lease(BOB);
    net.renew(ALICE, address).expect_nak().expect_to(Destination::Broadcast);
    net.renew(ALICE, ip("192.0.2.17")).expect_nak();
    net.renew(ALICE, ip("198.51.100.7")).expect_nak();
    assert_eq!(net.record(address).hw.mac(), Some(BOB));
}

/// RENEWING
#[test]
fn a_renewal_gives_way_to_a_reservation_made_since() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"");
    let mut before = Net::home();
    let old = before.lease(ALICE);
    let mut net = Net::holding(&toml, vec![before.record(old).clone()]);
    net.renew(ALICE, old).expect_nak();
    net.discover(ALICE).expect_offer(ip("192.0.2.50"));
}

/// RENEWING
#[test]
fn an_address_reserved_for_another_since_is_not_renewed() {
    let mut before = Net::home();
    let old = before.lease(ALICE);
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:b0\"\naddress = \"{old}\"");
    let mut net = Net::holding(&toml, vec![before.record(old).clone()]);
    net.renew(ALICE, old).expect_nak();
}

/// REBINDING
#[test]
fn a_rebinding_client_is_acked_where_the_pair_knows_it() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.at(38_000).rebind(ALICE, address).expect_ack(address).expect_to(Destination::Client(address));
}

/// REBINDING
#[test]
fn a_rebinding_client_that_nobody_knows_is_treated_as_a_rebooting_one() {
    Net::home().rebind(ALICE, ip("192.0.2.17")).expect_nak();
    Net::home_and(NOT_AUTHORITATIVE).rebind(ALICE, ip("192.0.2.17")).expect_silence();
}

#[test]
fn a_request_with_neither_50_nor_ciaddr_is_left_alone() {
    let mut net = Net::home();
    net.send(&Packet::of(REQUEST, ALICE)).expect_silence();
    net.send(&Packet::of(REQUEST, ALICE).option(54, &SERVER.octets())).expect_silence();
    assert_eq!(net.outcome(ALICE), Outcome::Silent { why: Silence::BareRequest });
}

/// §4.1, table 3
#[test]
fn a_nak_carries_53_54_56_61_and_82_and_no_address() {
    let mut net = Net::home();
    let asks = Packet::reboot(ALICE, ip("198.51.100.7")).id(b"\x01me").wants(&[1, 3, 6, 51]).option(57, &[5, 220]);
    let nak = net.send(&asks).expect_nak().expect_to(Destination::Broadcast);
    assert_eq!(nak.codes(), [53, 54, 56, 61]);
    assert_eq!([nak.ciaddr(), nak.yiaddr(), nak.siaddr(), nak.giaddr()], [ip("0.0.0.0"); 4]);
    assert_eq!(nak.text(56).unwrap(), "198.51.100.7 is not on this network");
}

/// §4.3.2: the relay has to broadcast it
#[test]
fn a_nak_by_way_of_a_relay_has_the_b_flag_set() {
    let mut net = Net::home_and("[[subnet]]\nnetwork = \"198.51.100.0/24\"\npools = [\"198.51.100.10-198.51.100.19\"]");
    let relay = ip("198.51.100.1");
    let asks = Packet::reboot(ALICE, ip("192.0.2.17")).option(82, &[1, 2, b'p', b'1']).relayed(relay, SERVER);
    let nak = net.send(&asks).expect_nak().expect_to(Destination::Relay(relay));
    assert_eq!((nak.flags(), nak.giaddr()), (0x8000, relay));
    assert_eq!(nak.codes(), [53, 54, 56, 82]);
}

/// Table 5: it must be zero. Some clients send an old address, where nobody listens.
#[test]
fn a_stray_ciaddr_in_a_select_is_not_answered_to() {
    let mut net = Net::home();
    let offer = net.discover(ALICE).offer();
    let ack = net.send(&super::net::taking_up(&Packet::discover(ALICE), &offer).ciaddr(ip("203.0.113.9"))).ack();
    assert!(matches!(ack.reply.to, twinlease::protocol::Destination::Frame { .. }), "{:?}", ack.reply.to);
}
