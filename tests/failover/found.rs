//! Twins that were told no address find each other.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Needs;
use crate::pair::{Pair, Side};
use crate::report::{Figures, rounds, row};
use crate::twins::{SETTINGS, Twins};
use crate::world;

/// Nobody is found by then who cannot be heard.
const IN_VAIN: Duration = Duration::from_secs(4);

/// Whether what is sent to all, or to a group, reaches both hosts.
fn pass(what: &str, passes: bool) {
    for side in Side::BOTH {
        let port = format!("{}.0", side.host());
        let words = ["link", "set", "dev", &port, what, if passes { "on" } else { "off" }];
        let status = Command::new("bridge").args(words).status().expect("the lab has iproute2");
        assert!(status.success(), "bridge {}", words.join(" "));
    }
}

/// A network that keeps broadcasts from them, as some with many access points do: beacons get lost, mDNS passes.
#[test]
fn mdns_finds_the_twin_where_no_broadcast_passes() {
    let Some(lab) = crate::enter("found::mdns_finds_the_twin_where_no_broadcast_passes", Needs::Quiet) else { return };
    world::one_lan(&lab);
    for side in Side::BOTH {
        // ARP is a broadcast as well.
        let (to, mac) = (side.other().address().to_string(), lab.mac(side.other().host()));
        lab.exec(side.host(), &["ip", "neighbour", "replace", &to, "lladdr", &mac, "nud", "permanent", "dev", "eth0"]);
    }
    let mut found = Figures::default();
    for round in 0..rounds() {
        let mut pair = Twins::new(&lab, &format!("found-{round}"), SETTINGS);
        pair.finds_by_itself = true;
        pass("bcast_flood", false);
        pass("mcast_flood", false);
        Side::BOTH.into_iter().for_each(|side| pair.start(side));
        std::thread::sleep(IN_VAIN);
        // Else it was not mDNS that found it.
        assert!(!pair.is_together(), "found without a way:\n{}", pair.words());
        pass("mcast_flood", true);
        let began = Instant::now();
        pair.wait_until("both are paired", Duration::from_secs(20), || pair.is_paired());
        found.add(began.elapsed());
        pass("bcast_flood", true);
        pair.wait_until_together();
    }
    row("no address told, no broadcast: paired by mDNS", "twinlease", rounds(), &found);
}
