//! The whole node against devices, a network that loses packets, a disk that is late or full, and power cuts: one
//! seed, virtual time, judged from the clients' side. `steps` says what can happen, `world` does it.

pub mod device;
mod disk;
mod pair;
mod scenarios;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use super::seeds::{Telling, for_seeds};
use world::World;

/// Settings that an admin changes between. Pools are smaller than the household, so that addresses change hands.
pub const SETTINGS: [&str; 4] = [
    "[server]\nprobe = \"200ms\"\ndecline-quarantine = \"10m\"\n[lease]\nmin = \"1m\"\ndefault = \"5m\"\nmax = \"10m\"\n\
     [[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.10-192.0.2.12\"]\n\
     [[subnet]]\nnetwork = \"198.51.100.0/24\"\npools = [\"198.51.100.10-198.51.100.11\"]\n",
    "[server]\nprobe = false\nrapid-commit = true\ndecline-quarantine = \"1m\"\n[lease]\nmin = \"1m\"\ndefault = \"2m\"\nmax = \"10m\"\n\
     [[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.10-192.0.2.12\"]\n\
     [[subnet]]\nnetwork = \"198.51.100.0/24\"\npools = [\"198.51.100.10-198.51.100.11\"]\n",
    "[server]\nprobe = \"200ms\"\nrapid-commit = true\nauthoritative = false\n[lease]\nmin = \"1m\"\ndefault = \"5m\"\nmax = \"10m\"\n\
     [[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.11-192.0.2.13\"]\n\
     [[reservation]]\nmac = \"02:00:00:00:00:01\"\naddress = \"192.0.2.11\"\n\
     [[reservation]]\nmac = \"02:00:00:00:00:02\"\naddress = \"192.0.2.40\"\n",
    "[server]\nprobe = false\n[lease]\nmin = \"1m\"\ndefault = \"5m\"\nmax = \"10m\"\n\
     [[subnet]]\nnetwork = \"198.51.100.0/24\"\npools = [\"198.51.100.10-198.51.100.11\"]\n",
];
/// Devices 3 and 4 are clones (one client-id), 5 has a client-id of its own, 6 is behind a relay.
pub const DEVICES: usize = 7;

#[derive(Debug, Clone)]
pub enum Step {
    Device {
        who: usize,
        does: Does,
        network: Network,
    },
    Wait(Duration),
    /// So many commits in one transaction.
    DiskWrites(usize),
    DiskFails,
    DiskHeals,
    /// The node hears what the disk reported, all of it or only the first.
    NodeHears {
        all: bool,
    },
    /// Power cut; the machine is off for so long, which is known at the boot, or later (`ClockConfirmed`).
    Restart {
        off: Duration,
        is_known: bool,
    },
    ClockConfirmed,
    Admin {
        settings: usize,
    },
    /// The admin says that the holder of an address is gone; only where that is true.
    AdminFrees {
        address: u8,
    },
    /// An ARP packet of a device that has given itself this address.
    Stranger {
        address: u8,
    },
}

#[derive(Debug, Clone, Copy)]
pub enum Does {
    Discover,
    /// Takes up the offer.
    Take,
    /// Asks for the same again, as a retransmission.
    Again,
    TakeFromAnother,
    AskFor {
        address: u8,
    },
    Reboot,
    Renew,
    Rebind,
    Release,
    Decline,
    /// Claims an address that is not its own.
    Steal {
        address: u8,
        kind: u8,
    },
    PowerOff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Delivers,
    LosesRequest,
    LosesReply,
    Doubles,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let address = 9..15u8;
    let does = prop_oneof![
        6 => Just(Does::Discover),
        8 => Just(Does::Take),
        2 => Just(Does::Again),
        1 => Just(Does::TakeFromAnother),
        1 => address.clone().prop_map(|address| Does::AskFor { address }),
        2 => Just(Does::Reboot),
        3 => Just(Does::Renew),
        2 => Just(Does::Rebind),
        1 => Just(Does::Release),
        1 => Just(Does::Decline),
        1 => (address.clone(), prop::sample::select(vec![device::REQUEST, device::DECLINE, device::RELEASE]))
            .prop_map(|(address, kind)| Does::Steal { address, kind }),
        1 => Just(Does::PowerOff),
    ];
    let network = prop_oneof![
        8 => Just(Network::Delivers),
        1 => Just(Network::LosesRequest),
        1 => Just(Network::LosesReply),
        1 => Just(Network::Doubles),
    ];
    let durations = prop_oneof![
        4 => (1..400u64).prop_map(Duration::from_millis),
        3 => (1..12u64).prop_map(Duration::from_secs),
        2 => (30..400u64).prop_map(Duration::from_secs),
    ];
    let step = prop_oneof![
        20 => (0..DEVICES, does, network).prop_map(|(who, does, network)| Step::Device { who, does, network }),
        8 => durations.clone().prop_map(Step::Wait),
        8 => (1..4usize).prop_map(Step::DiskWrites),
        8 => prop::bool::weighted(0.7).prop_map(|all| Step::NodeHears { all }),
        1 => Just(Step::DiskFails),
        2 => Just(Step::DiskHeals),
        1 => (durations, any::<bool>()).prop_map(|(off, is_known)| Step::Restart { off, is_known }),
        1 => Just(Step::ClockConfirmed),
        1 => (0..SETTINGS.len()).prop_map(|settings| Step::Admin { settings }),
        1 => address.clone().prop_map(|address| Step::AdminFrees { address }),
        1 => address.prop_map(|address| Step::Stranger { address }),
    ];
    prop::collection::vec(step, 1..150)
}

/// No two devices hold one address, no ACK without its commit, nothing that was ACKed is forgotten; and when all
/// is well again, every address can be given.
#[test]
fn no_address_has_two_holders_whatever_happens() {
    for_seeds(250, &steps(), |steps, telling| run(steps, telling));
}

fn run(steps: &[Step], telling: Telling) {
    let mut world = World::new(telling);
    for step in steps {
        world.take(step);
        world.judge();
    }
    world.everybody_is_served_in_the_end();
}
