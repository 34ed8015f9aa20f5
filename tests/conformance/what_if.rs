//! What if a device asked now: the same answer as when it does, and nothing changes by asking.

use twinlease::protocol::{
    explain::Silence,
    lease::HwAddr,
    what_if::{Foreseen, WhatIf},
};

use super::{
    net::{ALICE, BOB, CAROL, Disk, HOME, Net, STRANGER, ip},
    packet::Mac,
};

fn ask(net: &Net, mac: Mac) -> Foreseen {
    net.node.what_if(net.now(), &WhatIf { hw: HwAddr::ethernet(mac), near: None })
}

#[test]
fn the_address_foreseen_is_the_one_that_is_offered() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:c0\"\naddress = \"192.0.2.50\"\nname = \"nas\"");
    let mut net = Net::with(&toml);
    let held = net.lease(ALICE);
    for (mac, has_it) in [(ALICE, true), (BOB, false), (CAROL, false)] {
        let foreseen = ask(&net, mac);
        let offer = foreseen.outcome.clone().expect("there are addresses");
        assert_eq!(offer.has_it, has_it);
        net.discover(mac).expect_offer(offer.address);
        let told = net.last_decision(mac).steps;
        assert!(told.starts_with(&foreseen.steps), "{:?}\n\n{told:?}", foreseen.steps);
    }
    assert_eq!(ask(&net, ALICE).outcome.map(|offer| offer.address), Ok(held));
    assert_eq!(ask(&net, CAROL).outcome.map(|offer| offer.address), Ok(ip("192.0.2.50")));
}

#[test]
fn asking_changes_nothing() {
    let mut net = Net::home();
    let first = ask(&net, BOB);
    for _ in 0..1000 {
        assert_eq!(ask(&net, BOB), first);
        assert_eq!(ask(&net, ALICE).outcome, first.outcome, "the address is promised to nobody");
    }
    assert!(net.node.leases().is_empty() && net.node.explain().devices().next().is_none());
    net.discover(ALICE).expect_offer(first.outcome.expect("there are addresses").address);
}

#[test]
fn a_full_pool_is_foreseen() {
    let mut net = Net::with(&HOME.replace("192.0.2.10-192.0.2.19", "192.0.2.10"));
    net.lease(ALICE);
    let foreseen = ask(&net, BOB);
    assert!(matches!(foreseen.outcome, Err(Silence::PoolFull { size: 1, .. })), "{foreseen:?}");
    net.discover(BOB).expect_silence();
    assert!(ask(&net, ALICE).outcome.is_ok_and(|offer| offer.has_it));
}

#[test]
fn what_a_full_disk_leaves_is_foreseen() {
    let mut net = Net::home();
    let held = net.lease(ALICE);
    net.disk = Disk::Full;
    net.at(3600).renew(ALICE, held).expect_ack(held);
    let offer = ask(&net, ALICE).outcome.expect("its lease is on disk");
    assert_eq!(offer.secs, net.discover(ALICE).expect_offer(held).lease_secs(), "what is left of it");
    assert!(matches!(ask(&net, BOB).outcome, Err(Silence::DiskTrouble { .. })));
    net.discover(BOB).expect_silence();
}

#[test]
fn a_node_without_settings_answers_nobody_and_no_question_breaks_it() {
    let mut net = Net::with("");
    assert_eq!(ask(&net, STRANGER).outcome, Err(Silence::NoSubnet));
    let home = Net::home();
    for hw in [HwAddr::default(), HwAddr::new(32, &[7; 16]).expect("sixteen bytes"), HwAddr::ethernet([0xff; 6])] {
        for near in [None, Some(ip("192.0.2.77")), Some(ip("203.0.113.1"))] {
            let foreseen = home.node.what_if(home.now(), &WhatIf { hw, near });
            assert_eq!(foreseen.outcome.is_ok(), hw != HwAddr::default() && near != Some(ip("203.0.113.1")), "{hw} {near:?}");
        }
    }
    net.interfaces(&[]);
}
