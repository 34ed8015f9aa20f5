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
            .map(|i| &settings.reservations[i])
            .filter(|kept| binding.is_of(&kept.identifier));
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
            kept: kept.is_some(),
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
        let mut found = Found::default();
        if let Ok(address) = what.parse::<Ipv4Addr>() {
            found.extend(node.leases().get(address).map(|binding| binding.hw));
            let about = |hw: &HwAddr| node.explain().of_device(*hw).any(|decision| decision.outcome.address() == Some(address));
            found.extend(node.explain().devices().filter(about));
        } else {
            let wanted = Wanted::new(what);
            let kept = node.settings().reservations.iter().filter(|kept| wanted.names(kept.name.as_deref()));
            found.extend(kept.filter_map(|reservation| match &reservation.identifier {
                Identifier::Mac(hw) => Some(*hw),
                Identifier::ClientId(_) | Identifier::CircuitId(_) => {
                    node.leases().get(reservation.address).map(|binding| binding.hw)
                }
            }));
            let leased = node.leases().iter().filter(|b| wanted.is_part_of(b.hw) || wanted.names(b.host_name.as_deref()));
            found.extend(leased.map(|binding| binding.hw));
            let told_name = |hw: &HwAddr| node.explain().of_device(*hw).any(|decision| wanted.names(decision.name.as_deref()));
            found.extend(node.explain().devices().filter(|hw| wanted.is_part_of(*hw) || told_name(hw)));
        }
        let mut stories: Vec<(HwAddr, Option<&Binding>)> = found.devices.into_iter().map(|hw| (hw, None)).collect();
        if stories.is_empty() {
            return Vec::new();
        }
        let rank = |binding: &Binding| (binding.is_held(clock.now()), binding.since);
        for binding in node.leases().iter() {
            if let Some((_, best)) = stories.iter_mut().find(|(hw, _)| *hw == binding.hw)
                && best.is_none_or(|best| rank(best) <= rank(binding))
            {
                *best = Some(binding);
            }
        }
        stories.into_iter().map(|(hw, binding)| DeviceStory::of(node, clock, hw, binding)).collect()
    }

    fn of(node: &Node, clock: &Clock, hw: HwAddr, binding: Option<&Binding>) -> DeviceStory {
        let mut decisions: Vec<Told> = node.explain().of_device(hw).map(|decision| Told::new(decision, clock)).collect();
        decisions.reverse();
        let told_name = node.explain().of_device(hw).filter_map(|decision| decision.name.as_deref()).last();
        let name = told_name.or_else(|| binding.and_then(|binding| binding.host_name.as_deref())).map(Into::into);
        DeviceStory { mac: hw.to_string(), name, address: binding.map(|binding| binding.address), decisions }
    }
}

/// Devices that a question points to, each once.
#[derive(Default)]
struct Found {
    devices: Vec<HwAddr>,
}

impl Found {
    /// One letter may point to every lease, and the next packet waits for this: no more is looked at than is told.
    fn extend(&mut self, devices: impl IntoIterator<Item = HwAddr>) {
        let mut devices = devices.into_iter();
        while self.devices.len() < MAX_STORIES
            && let Some(hw) = devices.next()
        {
            if !self.devices.contains(&hw) {
                self.devices.push(hw);
            }
        }
    }
}

/// A name or a part of it, or of a MAC in any notation. Held against every lease, so it makes no text of any.
struct Wanted {
    name: String,
    /// The digits of a MAC, as values; `None`: it can be none.
    digits: Option<Vec<u8>>,
}

impl Wanted {
    fn new(what: &str) -> Wanted {
        let is_mac_like = !what.is_empty() && what.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-' | '.'));
        let digits = || what.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        Wanted { name: what.to_lowercase(), digits: is_mac_like.then(digits) }
    }

    fn is_part_of(&self, hw: HwAddr) -> bool {
        let Some(digits) = &self.digits else { return false };
        let mut all = [0; 32];
        for (nth, byte) in hw.bytes().iter().enumerate() {
            (all[2 * nth], all[2 * nth + 1]) = (byte >> 4, byte & 15);
        }
        let all = &all[..2 * hw.bytes().len()];
        digits.is_empty() || all.windows(digits.len()).any(|part| part == digits)
    }

    fn names(&self, name: Option<&str>) -> bool {
        let Some(name) = name else { return false };
        if self.name.is_empty() {
            return true;
        }
        if !name.is_ascii() {
            return name.to_lowercase().contains(&self.name);
        }
        name.as_bytes().windows(self.name.len()).any(|part| part.eq_ignore_ascii_case(self.name.as_bytes()))
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
