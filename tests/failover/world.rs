//! Where a pair lives: one LAN, two segments, or a LAN and a link of its own; and how each part of it is lost.

use crate::lab::Lab;
use crate::pair::{Pair, Side};

/// Both servers, and the host `client`, on one segment: a house.
pub fn one_lan(lab: &Lab) {
    lab.bridge("lan");
    for side in Side::BOTH {
        lab.host(side.host(), "lan", &[&format!("{}/16", side.address())]);
    }
    lab.host("client", "lan", &[]);
}

/// A with `near` on the left and B with `far` on the right, joined by the wire `cord`. Without it, each half is a LAN
/// that works and the twins have lost each other.
pub fn two_segments(lab: &Lab) {
    for (side, segment, client) in [(Side::A, "left", "near"), (Side::B, "right", "far")] {
        lab.bridge(segment);
        lab.host(side.host(), segment, &[&format!("{}/16", side.address())]);
        lab.host(client, segment, &[]);
    }
    lab.lab(&["wire", "cord", "left", "right"]);
}

/// As `one_lan`, and the servers cannot reach each other on it: they talk on a link of their own, eth1, whose two ends lie
/// apart for a `Cable` to join.
pub fn with_own_link(lab: &Lab) {
    one_lan(lab);
    lab.lab(&["part", "a", "b"]);
    for side in Side::BOTH {
        let bridge = format!("{}-end", side.host());
        lab.bridge(&bridge);
        lab.leg(side.host(), &bridge, &[&format!("{}/24", side.link_address())]);
    }
}

/// How a server is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    Killed,
    /// Its LAN cable is dead, and with it the twin's link; the carrier stays.
    Cut,
    /// SIGSTOP.
    Frozen,
    /// It hears no client, while its heart beats.
    Deaf,
}

impl Loss {
    pub const ALL: [Loss; 4] = [Loss::Killed, Loss::Cut, Loss::Frozen, Loss::Deaf];

    pub fn words(self) -> &'static str {
        match self {
            Loss::Killed => "killed (-9)",
            Loss::Cut => "its cable cut",
            Loss::Frozen => "frozen (SIGSTOP)",
            Loss::Deaf => "DHCP port deaf, heart beats",
        }
    }

    pub fn strike(self, lab: &Lab, pair: &mut dyn Pair, side: Side) {
        match self {
            Loss::Killed => pair.kill(side),
            Loss::Frozen => pair.signal(side, "STOP"),
            Loss::Cut => drop(lab.lab(&["cut", side.host()])),
            Loss::Deaf => drop(lab.lab(&["deafen", side.host()])),
        }
    }

    pub fn repair(self, lab: &Lab, pair: &mut dyn Pair, side: Side) {
        match self {
            Loss::Killed => pair.start(side),
            Loss::Frozen => pair.signal(side, "CONT"),
            Loss::Cut => drop(lab.lab(&["heal", side.host()])),
            Loss::Deaf => drop(lab.lab(&["hear", side.host()])),
        }
    }
}
