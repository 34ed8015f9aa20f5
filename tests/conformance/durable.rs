//! Durable first: no promise leaves before it is on disk, and what the disk refuses was never promised.

use twinlease::protocol::{
    Command, StoreTrouble,
    explain::{Outcome, Silence, Step},
    lease::BindingState,
};

use super::{
    net::{ALICE, BOB, CAROL, Disk, Net, SERVER, ip, settings},
    packet::Packet,
};

fn io_error() -> StoreTrouble {
    StoreTrouble::Other("the card reader has gone".into())
}

#[test]
fn an_ack_leaves_when_its_binding_is_on_disk_and_not_before() {
    let mut net = Net::home();
    net.disk = Disk::Slow;
    let address = net.discover(ALICE).offer().yiaddr();
    net.request(ALICE, address).expect_silence();
    net.at(2).commits_one().expect_ack(address);
    assert!(matches!(net.last_decision(ALICE).steps.last(), Some(Step::Durable { after_ms: 1800..=2000 })));
}

#[test]
fn the_time_that_the_disk_took_is_taken_off_the_lease() {
    let mut net = Net::home();
    net.disk = Disk::Slow;
    let address = net.discover(ALICE).offer().yiaddr();
    net.request(ALICE, address).expect_silence();
    let ack = net.later(std::time::Duration::from_secs(40)).commits_one().expect_ack(address);
    assert_eq!(ack.lease_secs(), 43_160);
}

#[test]
fn what_was_given_back_while_it_waited_for_the_disk_is_not_acked() {
    let mut net = Net::home();
    net.disk = Disk::Slow;
    let address = net.discover(ALICE).offer().yiaddr();
    net.request(ALICE, address).expect_silence();
    net.release(ALICE, address).expect_silence();
    net.send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(address);
    net.commits_all().expect_silence();
    assert_eq!(net.state(address), BindingState::Released);
}

#[test]
fn acks_leave_in_the_order_of_the_commits() {
    let mut net = Net::home();
    net.disk = Disk::Slow;
    let asked: Vec<_> = [ALICE, BOB, CAROL].map(|mac| (mac, net.discover(mac).offer().yiaddr())).into();
    for &(mac, address) in &asked {
        net.request(mac, address).expect_silence();
    }
    net.commits_one().expect_ack(asked[0].1);
    let rest: Vec<_> = net.commits_all().0.iter().map(|seen| seen.yiaddr()).collect();
    assert_eq!(rest, [asked[1].1, asked[2].1]);
}

#[test]
fn a_request_repeated_while_the_disk_works_is_one_commit_and_one_ack() {
    let mut net = Net::home();
    net.disk = Disk::Slow;
    let address = net.discover(ALICE).offer().yiaddr();
    net.request(ALICE, address).expect_silence();
    net.at(1).request(ALICE, address).expect_silence();
    assert_eq!(net.outcome(ALICE), Outcome::Silent { why: Silence::BeingWritten { address } });
    assert_eq!(net.waiting.len(), 1);
    net.commits_all().expect_ack(address);
}

#[test]
fn an_address_under_way_to_the_disk_is_given_to_nobody_else() {
    let mut net = Net::home();
    net.disk = Disk::Slow;
    let address = net.discover(ALICE).offer().yiaddr();
    net.request(ALICE, address).expect_silence();
    net.at(4).send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(ip("192.0.2.11"));
    net.request(BOB, address).expect_nak();
}

/// A card that stalls reports no error, it says nothing.
#[test]
fn a_disk_that_does_not_answer_is_a_disk_in_trouble() {
    let mut net = Net::home();
    let held = net.lease(ALICE);
    net.disk = Disk::Slow;
    let promised = net.at(100).discover(BOB).offer().yiaddr();
    net.request(BOB, promised).expect_silence();
    // Alice is told what she has, and no more; Carol is promised nothing.
    let ack = net.at(110).renew(ALICE, held).expect_ack(held);
    assert!(ack.lease_secs() < 12 * 3600 - 100, "{}", ack.lease_secs());
    net.discover(CAROL).expect_silence();
    assert!(matches!(net.outcome(CAROL), Outcome::Silent { why: Silence::DiskTrouble { .. } }));
    // It was only slow.
    net.commits_all().expect_ack(promised);
    net.discover(CAROL).offer();
}

#[test]
fn a_failed_commit_is_taken_back_and_nothing_is_handed_out() {
    let mut net = Net::home();
    net.disk = Disk::Slow;
    let address = net.discover(ALICE).offer().yiaddr();
    net.request(ALICE, address).expect_silence();
    net.fails(io_error()).expect_silence();
    assert!(net.node.leases().get(address).is_none());
    assert_eq!(net.outcome(ALICE), Outcome::Silent { why: Silence::DiskTrouble { why: "the card reader has gone".into() } });
    net.recovers().discover(BOB).expect_offer(address);
}

#[test]
fn a_failed_renewal_is_confirmed_for_what_is_left_of_the_lease() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.disk = Disk::Slow;
    net.at(21_600).renew(ALICE, address).expect_silence();
    let ack = net.fails(StoreTrouble::DiskFull).expect_ack(address);
    assert!((21_590..=21_600).contains(&ack.lease_secs()), "{}", ack.lease_secs());
    assert!(matches!(net.outcome(ALICE), Outcome::AckedWhatIsDurable { .. }));
}

#[test]
fn while_the_disk_is_full_old_clients_are_answered_from_memory_and_new_ones_are_not() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.disk = Disk::Full;
    let ack = net.at(3600).renew(ALICE, address).expect_ack(address);
    let left = ack.lease_secs();
    assert!((39_590..=39_600).contains(&left), "{left}");
    assert!(ack.number(58) < ack.number(59) && ack.number(59) < Some(left));
    // Again, and in every form.
    for answer in [net.at(7200).renew(ALICE, address), net.rebind(ALICE, address), net.reboot(ALICE, address)] {
        assert!(answer.expect_ack(address).lease_secs() <= left - 3600);
    }
    let offer = net.discover(ALICE).expect_offer(address);
    assert!(offer.lease_secs() <= left - 3600);
    assert!(net.last_decision(ALICE).steps.contains(&Step::DiskTrouble { why: "the disk is full".into() }));
    net.request(ALICE, address).expect_ack(address);
    net.discover(BOB).expect_silence();
    net.reboot(BOB, ip("192.0.2.15")).expect_nak();
    assert!(net.why(BOB).contains("the disk is full"), "{}", net.why(BOB));
    assert_eq!(net.node.status(twinlease::protocol::time::Time(0)).trouble.as_deref(), Some("the disk is full"));
}

#[test]
fn when_the_disk_recovers_new_promises_are_made_again() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.disk = Disk::Full;
    net.at(3600).renew(ALICE, address).ack();
    net.discover(BOB).expect_silence();
    net.recovers();
    assert_eq!(net.renew(ALICE, address).ack().lease_secs(), 43_200);
    assert_eq!(net.lease(BOB), ip("192.0.2.11"));
}

#[test]
fn a_lease_that_runs_out_while_the_disk_is_full_is_not_prolonged() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.disk = Disk::Full;
    assert_eq!(net.at(43_190).renew(ALICE, address).expect_ack(address).lease_secs(), 10);
    net.at(43_300).renew(ALICE, address).expect_silence();
    net.discover(ALICE).expect_silence();
}

#[test]
fn no_lease_of_no_time_at_all_is_offered_from_memory() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.disk = Disk::Full;
    net.at(43_199).renew(ALICE, address).expect_ack(address);
    net.at_ms(43_199_900).discover(ALICE).expect_silence();
    assert!(matches!(net.outcome(ALICE), Outcome::Silent { why: Silence::DiskTrouble { .. } }));
}

#[test]
fn a_release_that_the_disk_refused_did_not_happen() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.disk = Disk::Full;
    net.release(ALICE, address).expect_silence();
    assert_eq!(net.state(address), BindingState::Leased);
    assert!(matches!(net.outcome(ALICE), Outcome::Silent { why: Silence::DiskTrouble { .. } }), "{}", net.why(ALICE));
}

#[test]
fn what_follows_a_failed_commit_fails_with_it() {
    let mut net = Net::home();
    let held = net.lease(ALICE);
    net.disk = Disk::Slow;
    net.at(100).release(ALICE, held).expect_silence();
    net.send(&Packet::discover(BOB).option(50, &held.octets())).expect_offer(held);
    net.request(BOB, held).expect_silence();
    net.fails(StoreTrouble::DiskFull).expect_silence();
    assert_eq!((net.state(held), net.record(held).hw.mac()), (BindingState::Leased, Some(ALICE)));
    net.renew(BOB, held).expect_nak();
}

#[test]
fn a_change_of_settings_that_the_disk_refused_is_taken_back() {
    let mut net = Net::home();
    let smaller = settings("[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.90-192.0.2.91\"]");
    net.disk = Disk::Slow;
    net.orders(Command::Replace(Box::new(smaller)));
    net.fails(StoreTrouble::DiskFull).expect_silence();
    net.recovers().discover(ALICE).expect_offer(ip("192.0.2.10"));
}

#[test]
fn an_address_freed_by_the_admin_is_free_when_that_is_on_disk() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.disk = Disk::Slow;
    net.orders(Command::Free(address));
    assert!(net.done.is_empty(), "not told as done before it is");
    net.commits_all().expect_silence();
    assert_eq!(net.done, [Ok(())]);
    assert_eq!(net.state(address), BindingState::Released);
    net.orders(Command::Free(ip("192.0.2.17")));
    assert_eq!(net.done[1], Err("192.0.2.17 is held by nobody. Nothing to do.".into()));
}

#[test]
fn while_the_disk_is_full_settings_stay_as_they_are() {
    let mut net = Net::home();
    net.disk = Disk::Full;
    net.lease_fails(ALICE);
    let before = net.node.settings().clone();
    let smaller = settings("[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.90-192.0.2.91\"]");
    net.orders(Command::Replace(Box::new(smaller)));
    assert_eq!(net.done, [Err("Nothing was changed: the disk is full".into())]);
    assert_eq!(*net.node.settings(), before);
}

#[test]
fn records_from_disk_are_honoured_after_a_restart() {
    let mut first = Net::home();
    let address = first.lease_by(&Packet::discover(ALICE).id(b"\x00me").option(12, b"laptop"));
    let mut net = Net::holding(super::net::HOME, vec![first.record(address).clone()]);
    net.send(&Packet::discover(BOB).option(50, &address.octets())).expect_offer(ip("192.0.2.11"));
    net.send(&Packet::renew(ALICE, SERVER, address).id(b"\x00me")).expect_ack(address);
    assert_eq!(net.record(address).host_name.as_deref(), Some("laptop"));
}

#[test]
fn the_end_of_the_lease_that_is_told_is_the_end_that_is_on_disk() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    // One second before the end it is hers, one after it may be given away.
    net.at(43_199).request(BOB, address).expect_nak();
    net.at(43_202).request(BOB, address).expect_ack(address);
}
