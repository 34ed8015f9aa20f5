//! What the node knows, in the shape that people and scripts read: times as dates, identities as text.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use crate::{
    protocol::{
        Node,
        explain::Decision,
        lease::{Binding, BindingState, HwAddr},
        time::Time,
    },
    settings::{Identifier, Settings},
};

/// One line of `twinlease leases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRow {
    pub address: Ipv4Addr,
    pub mac: String,
    /// As the client sent it (option 61), or its MAC.
    pub client: String,
    /// The kept address's name, else the name the device gave itself.
    pub name: Option<String>,
    /// `leased`, `expired`, `released`, `declined`, `tentative` or `free`.
    pub state: String,
    /// The address is kept for this device.
    pub kept: bool,
    /// RFC 3339, in UTC.
    pub since: String,
    /// `None`: without end.
    pub expires: Option<String>,
    /// Zero where nobody holds it.
    pub secs_left: Option<u64>,
}

impl LeaseRow {
    /// Ordered by address.
    pub fn all(mut bindings: Vec<Binding>, settings: &Settings, clock: &Clock) -> Vec<LeaseRow> {
        bindings.sort_unstable_by_key(|binding| binding.address);
        let now = clock.now();
        bindings.iter().map(|binding| LeaseRow::new(binding, settings, clock, now)).collect()
    }

    fn new(binding: &Binding, settings: &Settings, clock: &Clock, now: Time) -> LeaseRow {
        let kept = settings
            .reservations
            .binary_search_by_key(&binding.address, |kept| kept.address)
            .ok()
            .map(|i| &settings.reservations[i]);
        let is_held = binding.is_held(now);
        let state = match binding.state {
            BindingState::Leased if is_held => "leased",
            BindingState::Leased => "expired",
            BindingState::Tentative => "tentative",
            BindingState::Released => "released",
            BindingState::Declined if is_held => "declined",
            BindingState::Declined | BindingState::Free => "free",
        };
        let is_endless = binding.expiry == Time::NEVER;
        LeaseRow {
            address: binding.address,
            mac: binding.hw.to_string(),
            client: binding.client.to_string(),
            name: kept.and_then(|kept| kept.name.clone()).or_else(|| binding.host_name.as_deref().map(Into::into)),
            state: state.into(),
            kept: kept.is_some_and(|kept| match &kept.identifier {
                Identifier::Mac(hw) => *hw == binding.hw,
                Identifier::ClientId(_) | Identifier::CircuitId(_) => true,
            }),
            since: date(clock, binding.since),
            expires: (!is_endless).then(|| date(clock, binding.expiry)),
            secs_left: if is_held && is_endless {
                None
            } else {
                Some(if is_held { now.until(binding.expiry).as_secs() } else { 0 })
            },
        }
    }
}

/// Why a device was answered as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceStory {
    pub mac: String,
    pub name: Option<String>,
    pub address: Option<Ipv4Addr>,
    /// Latest first.
    pub decisions: Vec<Told>,
}

/// A decision in sentences, and as data for scripts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// RFC 3339, in UTC: when it last happened.
    pub at: String,
    pub asked: String,
    pub steps: Vec<String>,
    pub outcome: String,
    /// How often in all.
    pub times: u32,
    pub data: serde_json::Value,
}

/// Devices told of at once.
const MAX_STORIES: usize = 16;

impl DeviceStory {
    /// Devices that a MAC (any notation, or a part), an address or a name (or a part) points to.
    pub fn find(node: &Node, clock: &Clock, what: &str) -> Vec<DeviceStory> {
        let mut devices: Vec<HwAddr> = Vec::new();
        // Bounded here already: one letter may point to every lease, and the loop waits for this.
        let mut add = |hw: HwAddr| {
            if devices.len() < MAX_STORIES && !devices.contains(&hw) {
                devices.push(hw);
            }
        };
        if let Ok(address) = what.parse::<Ipv4Addr>() {
            if let Some(binding) = node.leases().get(address) {
                add(binding.hw);
            }
            let about = |hw: &HwAddr| node.explain().of_device(*hw).any(|decision| decision.outcome.address() == Some(address));
            node.explain().devices().filter(about).for_each(&mut add);
        } else {
            let wanted = what.to_lowercase();
            let digits = |text: &str| text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_lowercase();
            let is_mac_like = !wanted.is_empty() && wanted.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-' | '.'));
            let mac_part = digits(&wanted);
            let by_mac = |hw: &HwAddr| is_mac_like && digits(&hw.to_string()).contains(&mac_part);
            let by_name = |name: Option<&str>| name.is_some_and(|name| name.to_lowercase().contains(&wanted));
            let kept = node.settings().reservations.iter().filter(|kept| by_name(kept.name.as_deref()));
            for reservation in kept {
                match &reservation.identifier {
                    Identifier::Mac(hw) => add(*hw),
                    Identifier::ClientId(_) | Identifier::CircuitId(_) => {
                        node.leases().get(reservation.address).into_iter().for_each(|binding| add(binding.hw));
                    }
                }
            }
            node.leases().iter().filter(|b| by_mac(&b.hw) || by_name(b.host_name.as_deref())).for_each(|binding| add(binding.hw));
            let told_name = |hw: &HwAddr| node.explain().of_device(*hw).any(|decision| by_name(decision.name.as_deref()));
            node.explain().devices().filter(|hw| by_mac(hw) || told_name(hw)).for_each(&mut add);
        }
        devices.into_iter().map(|hw| DeviceStory::of(node, clock, hw)).collect()
    }

    fn of(node: &Node, clock: &Clock, hw: HwAddr) -> DeviceStory {
        let binding = node.leases().iter().filter(|binding| binding.hw == hw).max_by_key(|b| (b.is_held(clock.now()), b.since));
        let mut decisions: Vec<Told> = node.explain().of_device(hw).map(|decision| Told::new(decision, clock)).collect();
        decisions.reverse();
        let told_name = node.explain().of_device(hw).filter_map(|decision| decision.name.as_deref()).last();
        let name = told_name.or_else(|| binding.and_then(|binding| binding.host_name.as_deref())).map(Into::into);
        DeviceStory { mac: hw.to_string(), name, address: binding.map(|binding| binding.address), decisions }
    }
}

impl Told {
    fn new(decision: &Decision, clock: &Clock) -> Told {
        Told {
            at: date(clock, decision.last_at),
            asked: decision.asked.to_string(),
            steps: decision.steps.iter().map(ToString::to_string).collect(),
            outcome: decision.outcome.to_string(),
            times: decision.repeats + 1,
            data: serde_json::to_value(decision).unwrap_or_default(),
        }
    }
}

/// RFC 3339 in UTC, whole seconds.
pub fn date(clock: &Clock, time: Time) -> String {
    match jiff::Timestamp::try_from(clock.wall_of(time)) {
        Ok(timestamp) => timestamp.round(jiff::Unit::Second).unwrap_or(timestamp).to_string(),
        // Beyond the year 9999.
        Err(_) => "never".into(),
    }
}
