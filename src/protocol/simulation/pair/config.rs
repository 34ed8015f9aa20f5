//! The settings of the pair in the simulation: one small pool, short leases.

use std::{cell::RefCell, collections::HashMap};

use super::step::{POOL, Setup};
use crate::{
    protocol::lease::HwAddr,
    settings::{Identifier, Reservation, Settings, options::OptionSet, parse},
};

/// All of a `Setup` that settings are made of.
type Key = (u8, u32, u32, bool, bool);

pub fn settings(setup: &Setup) -> Settings {
    thread_local!(static PARSED: RefCell<HashMap<Key, Settings>> = RefCell::default());
    let key = (setup.addresses, setup.lease_secs, setup.mclt_secs, setup.balanced, setup.assumes);
    PARSED.with_borrow_mut(|parsed| parsed.entry(key).or_insert_with(|| parse_settings(setup)).clone())
}

fn parse_settings(setup: &Setup) -> Settings {
    let last = POOL + setup.addresses - 1;
    let text = format!(
        "[server]\nprobe = false\ndecline-quarantine = \"1m\"\n[lease]\nmin = \"10s\"\ndefault = \"{0}s\"\nmax = \"{0}s\"\n\
         [twin]\nmode = \"{1}\"\nmclt = \"{2}s\"\n{3}\
         [[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.{POOL}-192.0.2.{last}\"]\n",
        setup.lease_secs,
        if setup.balanced { "load-balancing" } else { "hot-standby" },
        setup.mclt_secs,
        if setup.assumes { "assume-partner-down-after = \"1m\"\n" } else { "" },
    );
    parse::parse(&text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

pub fn mac(who: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, who as u8]
}

pub fn identifier(who: usize) -> Identifier {
    Identifier::Mac(HwAddr::ethernet(mac(who)))
}

pub fn reservation(who: usize, address: std::net::Ipv4Addr) -> Reservation {
    Reservation {
        identifier: identifier(who),
        address,
        name: None,
        note: None,
        options: OptionSet::default(),
        force_broadcast: false,
        echo_client_id: true,
    }
}
