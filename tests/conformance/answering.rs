//! DECLINE, RELEASE and INFORM (§4.3.3–4.3.5).

use twinlease::protocol::{
    Destination,
    explain::{Outcome, Silence},
    lease::BindingState,
};

use super::{
    net::{ALICE, BOB, HOME, Net, SERVER, ip},
    packet::{DECLINE, INFORM, Packet, RELEASE},
};

const DAY: u64 = 86_400;

/// §4.3.3
#[test]
fn a_declined_address_rests_for_a_day_and_nobody_gets_it() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.decline(ALICE, address).expect_silence();
    assert_eq!(net.state(address), BindingState::Declined);
    assert_eq!(net.outcome(ALICE), Outcome::Declined { address, quarantine_secs: DAY });
    assert!(net.logged.iter().any(|decision| matches!(decision.outcome, Outcome::Declined { .. })), "an alert rests on this");
    for mac in [BOB, ALICE] {
        let offer = net.send(&Packet::discover(mac).option(50, &address.octets())).offer();
        assert_ne!(offer.yiaddr(), address);
        net.request(mac, address).expect_nak();
        net.reboot(mac, address).expect_nak();
        net.renew(mac, address).expect_nak();
    }
    net.at(DAY - 60).send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(ip("192.0.2.11"));
    net.at(DAY + 60).send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(address);
}

/// §4.3.3
#[test]
fn the_quarantine_is_as_long_as_the_settings_say() {
    let mut net = Net::home_and("[server]\ndecline-quarantine = \"10m\"");
    let address = net.lease(ALICE);
    net.decline(ALICE, address).expect_silence();
    net.at(500).send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(ip("192.0.2.11"));
    net.at(700).send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(address);
}

/// §4.3.3
#[test]
fn declining_the_address_of_another_is_ignored() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.decline(BOB, address).expect_silence();
    net.decline(BOB, ip("192.0.2.17")).expect_silence();
    assert_eq!(net.state(address), BindingState::Leased);
    assert_eq!(net.outcome(BOB), Outcome::Silent { why: Silence::NotItsAddress });
}

/// §4.3.3
#[test]
fn declining_to_another_server_is_ignored() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.send(&Packet::decline(ALICE, ip("192.0.2.2"), address)).expect_silence();
    assert_eq!(net.state(address), BindingState::Leased);
}

/// §4.3.3
#[test]
fn a_decline_without_server_id_is_tolerated() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.send(&Packet::of(DECLINE, ALICE).option(50, &address.octets())).expect_silence();
    assert_eq!(net.state(address), BindingState::Declined);
}

/// §4.3.3
#[test]
fn a_declined_reservation_gives_a_pool_address_until_it_has_rested() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"");
    let mut net = Net::with(&toml);
    let address = net.lease(ALICE);
    net.decline(ALICE, address).expect_silence();
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
    net.at(2 * DAY).discover(ALICE).expect_offer(address);
}

/// §4.3.4
#[test]
fn a_released_address_is_free_and_its_last_client_is_remembered() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.release(ALICE, address).expect_silence();
    assert_eq!(net.state(address), BindingState::Released);
    assert_eq!(net.record(address).hw.mac(), Some(ALICE));
    assert_eq!(net.outcome(ALICE), Outcome::Released { address });
    net.discover(ALICE).expect_offer(address);
}

/// §4.3.4
#[test]
fn a_release_by_another_or_of_another_address_changes_nothing() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.release(BOB, address).expect_silence();
    net.release(ALICE, ip("192.0.2.17")).expect_silence();
    net.send(&Packet::release(ALICE, ip("192.0.2.2"), address)).expect_silence();
    net.send(&Packet::of(RELEASE, ALICE).option(54, &SERVER.octets()).option(50, &address.octets())).expect_silence();
    assert_eq!(net.state(address), BindingState::Leased);
}

/// §4.3.4: with the client-id it leased with, or recognised by its MAC
#[test]
fn a_release_needs_the_identity_of_the_lease() {
    let mut net = Net::home();
    let address = net.lease_by(&Packet::discover(ALICE).id(b"\x00me"));
    net.send(&Packet::release(BOB, SERVER, address).id(b"\x00me")).expect_silence();
    assert_eq!(net.state(address), BindingState::Leased, "another device with a copy of the client-id");
    net.send(&Packet::release(ALICE, SERVER, address).id(b"\x00me")).expect_silence();
    assert_eq!(net.state(address), BindingState::Released);
}

/// §4.3.5
#[test]
fn an_inform_is_answered_to_ciaddr_with_options_and_without_a_lease() {
    let mut net = Net::home();
    let own = ip("192.0.2.77");
    let inform = Packet::of(INFORM, ALICE).ciaddr(own).from(own).wants(&[1, 3, 51, 58, 59, 6]).broadcast_flag();
    let ack = net.send(&inform).ack().expect_to(Destination::Client(own));
    assert_eq!((ack.yiaddr(), ack.ciaddr()), (ip("0.0.0.0"), own));
    assert_eq!(ack.codes(), [53, 54, 1, 3, 6]);
    assert!(net.node.leases().is_empty() && net.waiting.is_empty());
    assert_eq!(net.outcome(ALICE), Outcome::Informed { address: own });
}

/// §4.3.5
#[test]
fn an_inform_without_ciaddr_is_answered_to_its_source_or_not_at_all() {
    let mut net = Net::home();
    let own = ip("192.0.2.77");
    net.send(&Packet::of(INFORM, ALICE).from(own)).ack().expect_to(Destination::Client(own));
    net.send(&Packet::of(INFORM, BOB)).expect_silence();
    assert_eq!(net.outcome(BOB), Outcome::Silent { why: Silence::NowhereToSend });
}

/// §4.3.5
#[test]
fn an_inform_from_an_address_of_no_subnet_is_not_answered() {
    let mut net = Net::home();
    net.send(&Packet::of(INFORM, ALICE).ciaddr(ip("203.0.113.8"))).expect_silence();
    assert_eq!(net.outcome(ALICE), Outcome::Silent { why: Silence::NoSubnet });
}

/// §4.3.5: one packet with a forged address would be answered to the whole network
#[test]
fn an_inform_from_the_address_of_all_or_of_the_network_is_not_answered() {
    for address in ["192.0.2.255", "192.0.2.0", "255.255.255.255"] {
        let mut net = Net::home();
        net.send(&Packet::of(INFORM, ALICE).ciaddr(ip(address))).expect_silence();
        net.send(&Packet::of(INFORM, BOB).from(ip(address))).expect_silence();
    }
}

/// §4.3.5
#[test]
fn an_inform_gets_the_options_of_the_subnet_it_lives_in() {
    let second = "[[subnet]]\nnetwork = \"203.0.113.0/24\"\n[subnet.options]\nrouter = \"203.0.113.1\"";
    let mut net = Net::home_and(second);
    net.interfaces(&[(1, "lan0", &["192.0.2.1/24", "203.0.113.1/24"])]);
    for (own, router) in [("192.0.2.77", "192.0.2.1"), ("203.0.113.77", "203.0.113.1")] {
        let ack = net.send(&Packet::of(INFORM, ALICE).ciaddr(ip(own)).from(ip(own)).wants(&[3])).ack();
        assert_eq!(ack.ip(3), Some(ip(router)));
    }
}
