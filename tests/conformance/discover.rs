//! DISCOVER (§4.3.1): which address, in which order, and when there is none.

use twinlease::protocol::explain::{Outcome, Silence};

use super::{
    net::{ALICE, BOB, CAROL, HOME, Net, SERVER, ip},
    packet::{Mac, Packet},
};

const DAY: u64 = 86_400;

fn small_pool(addresses: &str) -> String {
    format!("[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"{addresses}\"]")
}

fn asks_for(mac: Mac, address: &str) -> Packet {
    Packet::discover(mac).option(50, &ip(address).octets())
}

#[test]
fn a_reservation_comes_before_all_else() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"\nname = \"nas\"");
    let mut net = Net::home();
    let before = net.lease(ALICE);
    let held = net.record(before).clone();
    // The same client, after somebody kept another address for it.
    let mut net = Net::holding(&toml, vec![held]);
    net.send(&asks_for(ALICE, "192.0.2.15")).expect_offer(ip("192.0.2.50"));
}

#[test]
fn the_address_it_holds_comes_before_the_one_it_asks_for() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.at(60).send(&asks_for(ALICE, "192.0.2.17")).expect_offer(address);
}

#[test]
fn the_address_it_had_comes_before_the_one_it_asks_for() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.at(3 * DAY).send(&asks_for(ALICE, "192.0.2.17")).expect_offer(address);
}

#[test]
fn the_address_it_asks_for_comes_before_a_free_one() {
    let mut net = Net::home();
    net.send(&asks_for(ALICE, "192.0.2.17")).expect_offer(ip("192.0.2.17"));
}

#[test]
fn asking_for_what_is_not_to_be_had_gives_a_free_address() {
    let exclusion = "exclude = [\"192.0.2.18\"]\n[subnet.options]";
    let toml = HOME.replace("[subnet.options]", exclusion);
    let mut net = Net::with(&format!("{toml}\n[[reservation]]\nmac = \"00:16:3e:00:00:c0\"\naddress = \"192.0.2.16\""));
    let held = net.lease(BOB);
    let refused = [&held.to_string(), "192.0.2.18", "192.0.2.16", "192.0.2.200", "198.51.100.7", "192.0.2.0", "192.0.2.1"];
    for (wanted, after) in refused.into_iter().zip(1..) {
        // Past the hold of the offer before, which would come first.
        net.at(after * 40).send(&asks_for(ALICE, wanted)).expect_offer(ip("192.0.2.11"));
    }
}

/// §4.3.1: what it had is just being given away; then what it asks for comes next.
#[test]
fn where_its_old_address_is_not_to_be_had_it_gets_the_one_it_asks_for() {
    let mut net = Net::with(&small_pool("192.0.2.10-192.0.2.12"));
    let old = net.lease(ALICE);
    net.release(ALICE, old).expect_silence();
    net.send(&asks_for(BOB, &old.to_string())).expect_offer(old);
    net.send(&asks_for(ALICE, "192.0.2.12")).expect_offer(ip("192.0.2.12"));
}

#[test]
fn the_same_client_asking_twice_gets_the_same_offer() {
    let mut net = Net::home();
    let first = net.discover(ALICE).offer().yiaddr();
    net.at(1).send(&asks_for(ALICE, "192.0.2.19")).expect_offer(first);
    net.discover(BOB).expect_offer(ip("192.0.2.11"));
    net.at(3).discover(ALICE).expect_offer(first);
}

#[test]
fn an_offered_address_is_offered_to_nobody_else() {
    let mut net = Net::home();
    let first = net.discover(ALICE).offer().yiaddr();
    net.send(&asks_for(BOB, &first.to_string())).expect_offer(ip("192.0.2.11"));
}

/// Home Assistant OS sends one.
#[test]
fn a_ciaddr_in_a_discover_is_ignored() {
    let mut net = Net::home();
    let offer = net.send(&Packet::discover(ALICE).ciaddr(ip("203.0.113.77"))).expect_offer(ip("192.0.2.10"));
    assert_eq!(offer.ciaddr(), ip("0.0.0.0"));
    assert!(matches!(offer.reply.to, twinlease::protocol::Destination::Frame { .. }));
}

#[test]
fn a_full_pool_is_silence_with_its_reason_and_a_line_in_the_log() {
    let mut net = Net::with(&small_pool("192.0.2.10-192.0.2.11"));
    net.lease(ALICE);
    net.lease(BOB);
    net.logged.clear();
    net.at(40).discover(CAROL).expect_silence();
    assert!(matches!(net.outcome(CAROL), Outcome::Silent { why: Silence::PoolFull { size: 2, .. } }));
    assert!(net.logged.iter().any(|decision| matches!(decision.outcome, Outcome::Silent { why: Silence::PoolFull { .. } })));
    // Who holds an address is served all the same.
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
}

/// Two of three are kept for devices that are away: neither the reason nor the status counts them as free, and an alert rests on it.
#[test]
fn kept_addresses_are_no_room_in_a_pool() {
    let kept = |last: u8| format!("\n[[reservation]]\nmac = \"00:16:3e:00:01:{last:02}\"\naddress = \"192.0.2.{last}\"");
    let mut net = Net::with(&format!("{}{}{}", small_pool("192.0.2.10-192.0.2.12"), kept(10), kept(11)));
    net.lease(ALICE);
    let status = |net: &Net| net.node.status(net.now()).subnets.remove(0);
    assert_eq!((status(&net).pool_used, status(&net).pool_size, status(&net).turned_away), (1, 1, false));
    net.discover(BOB).expect_silence();
    assert!(matches!(net.outcome(BOB), Outcome::Silent { why: Silence::PoolFull { size: 1, .. } }));
    assert!(status(&net).turned_away);
    assert!(!status(net.at(11 * 60)).turned_away, "not for ever");
}

#[test]
fn a_subnet_without_pool_serves_reservations_only() {
    let toml = "[[subnet]]\nnetwork = \"192.0.2.0/24\"\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"";
    let mut net = Net::with(toml);
    net.discover(ALICE).expect_offer(ip("192.0.2.50"));
    net.discover(BOB).expect_silence();
    assert!(matches!(net.outcome(BOB), Outcome::Silent { why: Silence::NoPool { .. } }));
}

#[test]
fn a_reserved_address_inside_the_pool_goes_to_nobody_else() {
    let toml = small_pool("192.0.2.10-192.0.2.11");
    let mut net = Net::with(&format!("{toml}\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.10\""));
    net.discover(BOB).expect_offer(ip("192.0.2.11"));
    net.discover(CAROL).expect_silence();
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
}

#[test]
fn an_offer_not_taken_up_is_free_again_after_half_a_minute() {
    let mut net = Net::with(&small_pool("192.0.2.10"));
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
    net.at(2).discover(BOB).expect_silence();
    net.at(31).discover(BOB).expect_offer(ip("192.0.2.10"));
}

#[test]
fn in_a_full_pool_a_stale_offer_gives_way_early() {
    let mut net = Net::with(&small_pool("192.0.2.10"));
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
    net.at(6).discover(BOB).expect_offer(ip("192.0.2.10"));
    net.request(BOB, ip("192.0.2.10")).expect_ack(ip("192.0.2.10"));
    net.request(ALICE, ip("192.0.2.10")).expect_nak();
}

/// The offer of an address that the client holds is no promise to be taken back: the lease is.
#[test]
fn a_stale_offer_of_a_held_address_gives_way_to_nobody() {
    for probe in ["\"200ms\"", "false"] {
        let server = format!("[server]\nrapid-commit = true\nprobe = {probe}");
        let mut net = Net::with(&format!("{server}\n{}", small_pool("192.0.2.10")));
        let address = net.lease(ALICE);
        net.at(60).discover(ALICE).expect_offer(address);
        net.at(70).discover(BOB).expect_silence();
        net.send(&Packet::discover(CAROL).option(80, &[])).expect_silence();
        net.renew(ALICE, address).expect_ack(address);
    }
}

#[test]
fn the_longest_free_address_is_given_again_first() {
    let mut net = Net::with(&small_pool("192.0.2.10-192.0.2.12"));
    let (a, b, c) = (net.lease(ALICE), net.lease(BOB), net.lease(CAROL));
    net.at(100).release(BOB, b).expect_silence();
    net.at(200).release(ALICE, a).expect_silence();
    net.at(300).release(CAROL, c).expect_silence();
    let fresh = |last| [0x00, 0x16, 0x3e, 0, 1, last];
    assert_eq!([net.at(400).lease(fresh(1)), net.lease(fresh(2)), net.lease(fresh(3))], [b, a, c]);
}

#[test]
fn the_servers_own_address_is_never_offered() {
    let mut net = Net::with(&small_pool("192.0.2.1-192.0.2.2"));
    net.discover(ALICE).expect_offer(ip("192.0.2.2"));
    net.discover(BOB).expect_silence();
    assert_eq!(SERVER, ip("192.0.2.1"));
}
