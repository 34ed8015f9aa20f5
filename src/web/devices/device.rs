//! One device: what settings, leases and the memory of requests know of it, merged.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use super::id::DeviceId;
use crate::{
    protocol::{
        Node,
        explain::{Decision, Outcome, Silence},
        lease::{Binding, BindingState, ClientId, HwAddr},
        time::Time,
    },
    runtime::oui,
    settings::{Identifier, Reservation, Settings},
    web::House,
};

/// The latest decision about each device that asked since the start. Bounded by what the node remembers.
pub type Asked = HashMap<HwAddr, Arc<Decision>>;

pub fn asked(node: &Node) -> Asked {
    node.explain().devices().filter_map(|hw| Some((hw, node.explain().of_device(hw).last()?.clone()))).collect()
}

#[derive(Debug, Clone)]
pub struct Device<'h> {
    pub id: DeviceId,
    pub hw: Option<HwAddr>,
    pub kept: Option<&'h Reservation>,
    /// The address that it has, or had last.
    pub lease: Option<&'h Binding>,
    pub asked: Option<&'h Decision>,
    /// First and last, by whatever it sent.
    pub seen: Option<(Time, Time)>,
}

/// How it stands with its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It has a lease.
    Leased,
    /// An address is kept for it, and it was never heard.
    Waiting,
    /// It asks, and is not answered.
    Unanswered,
    /// It found its address in use by another, so the address rests.
    Resting,
    /// It had a lease.
    Ended,
}

impl<'h> Device<'h> {
    pub fn standing(&self, now: Time) -> Standing {
        match self.lease {
            Some(lease) if lease.is_held(now) => match lease.state {
                BindingState::Declined => Standing::Resting,
                BindingState::Leased | BindingState::Tentative | BindingState::Released | BindingState::Free => Standing::Leased,
            },
            Some(_) | None if self.is_unanswered() => Standing::Unanswered,
            Some(_) => Standing::Ended,
            None => Standing::Waiting,
        }
    }

    /// Its latest question ended without an address, for a reason that somebody may want to know.
    fn is_unanswered(&self) -> bool {
        match self.asked.map(|asked| &asked.outcome) {
            Some(Outcome::Silent { why }) => match why {
                Silence::NoSubnet
                | Silence::PoolFull { .. }
                | Silence::NoPool { .. }
                | Silence::TooOften
                | Silence::StrangersAnswer { .. }
                | Silence::DiskTrouble { .. }
                | Silence::StoreBehind
                | Silence::BootpOff
                | Silence::BootpNotKept
                | Silence::NowhereToSend
                | Silence::NoAddressOfOurs
                | Silence::NotServing { .. }
                | Silence::WaitsForTwin
                | Silence::TwinDidNotConfirm { .. }
                | Silence::TwinMayKnow { .. } => true,
                // Answered by another, or not yet.
                Silence::OtherServer { .. }
                | Silence::UnknownClient
                | Silence::BareRequest
                | Silence::NotItsAddress
                | Silence::ProbePending { .. }
                | Silence::BeingWritten { .. }
                | Silence::LeaseQueryOff
                | Silence::TwinAnswers
                | Silence::Superseded { .. } => false,
            },
            Some(Outcome::Naked { .. }) => true,
            Some(
                Outcome::Offered { .. }
                | Outcome::Acked { .. }
                | Outcome::AckedWhatIsDurable { .. }
                | Outcome::Informed { .. }
                | Outcome::BootpReply { .. }
                | Outcome::Released { .. }
                | Outcome::Declined { .. }
                | Outcome::QueryAnswered,
            )
            | None => false,
        }
    }

    /// The name somebody gave it, else the one it gives itself.
    pub fn name(&self) -> Option<&'h str> {
        self.kept.and_then(|kept| kept.name.as_deref()).or_else(|| self.own_name())
    }

    pub fn own_name(&self) -> Option<&'h str> {
        let leased = self.lease.and_then(|lease| lease.host_name.as_deref());
        leased.or_else(|| self.asked.and_then(|asked| asked.name.as_deref()))
    }

    /// For sentences.
    pub fn called(&self) -> String {
        match (self.name(), self.hw) {
            (Some(name), _) => name.into(),
            (None, Some(hw)) => hw.to_string(),
            (None, None) => crate::settings::words::show_identifier(&self.id.identifier()),
        }
    }

    /// Held now.
    pub fn holds(&self, now: Time) -> Option<Ipv4Addr> {
        (self.standing(now) == Standing::Leased).then(|| self.lease.map(|lease| lease.address)).flatten()
    }

    /// The one it has, else the kept one, else the one it had.
    pub fn address(&self, now: Time) -> Option<Ipv4Addr> {
        self.holds(now).or(self.kept.map(|kept| kept.address)).or(self.lease.map(|lease| lease.address))
    }

    pub fn maker(&self) -> Option<&'static str> {
        self.hw.and_then(oui::maker)
    }

    pub fn is_private(&self) -> bool {
        self.hw.is_some_and(|hw| hw.is_private())
    }

    /// When it last said something. A lease is not presence.
    pub fn heard(&self) -> Option<Time> {
        let leased = self.lease.filter(|lease| match lease.state {
            BindingState::Leased | BindingState::Tentative | BindingState::Declined => true,
            // Freed by an admin or by its end: the device said nothing.
            BindingState::Released | BindingState::Free => false,
        });
        let asked = self.asked.map(|asked| asked.last_at);
        leased.map(|lease| lease.since).max(asked).max(self.seen.map(|(_, last)| last))
    }
}

/// A device by where its parts stand in a house.
#[derive(Debug)]
pub struct Entry {
    id: DeviceId,
    hw: Option<HwAddr>,
    /// Of the settings' reservations.
    kept: Option<usize>,
    /// Of the bindings.
    lease: Option<usize>,
    asked: Option<Arc<Decision>>,
    seen: Option<(Time, Time)>,
}

impl Entry {
    fn device<'h>(&'h self, house: &'h House) -> Device<'h> {
        Device {
            id: self.id.clone(),
            hw: self.hw,
            kept: self.kept.map(|at| &house.settings.reservations[at]),
            lease: self.lease.map(|at| &house.bindings[at]),
            asked: self.asked.as_deref(),
            seen: self.seen,
        }
    }
}

/// Every device that is known, by address: the usual order, so that it costs little to sort by it.
pub fn gather(house: &House) -> Vec<Device<'_>> {
    house.drawn.entries(|| merge(house)).iter().map(|entry| entry.device(house)).collect()
}

fn merge(house: &House) -> Vec<Entry> {
    let mut devices = of_leases(house);
    let mut by_hw: HashMap<HwAddr, usize> = HashMap::with_capacity(devices.len());
    let mut by_client: HashMap<&[u8], usize> = HashMap::new();
    let mut by_address: HashMap<Ipv4Addr, usize> = HashMap::with_capacity(devices.len());
    for (i, device) in devices.iter().enumerate() {
        if let Some(hw) = device.hw {
            by_hw.entry(hw).or_insert(i);
        }
        if let Some(lease) = device.lease.map(|at| &house.bindings[at]) {
            by_address.insert(lease.address, i);
            if let ClientId::Given(id) | ClientId::Clone(id, _) = &lease.client {
                by_client.entry(id).or_insert(i);
            }
        }
    }
    for (at, kept) in house.settings.reservations.iter().enumerate() {
        let at_address = by_address.get(&kept.address).copied();
        let is_leased = |&i: &usize| devices[i].device(house).standing(house.now) == Standing::Leased;
        let found = match &kept.identifier {
            Identifier::Mac(hw) => at_address.filter(|&i| devices[i].hw == Some(*hw)).or(by_hw.get(hw).copied()),
            Identifier::ClientId(id) => by_client.get(id.as_slice()).copied(),
            Identifier::CircuitId(_) => at_address.filter(is_leased),
        };
        match found.filter(|&i| devices[i].kept.is_none()) {
            Some(i) => devices[i].kept = Some(at),
            None => {
                let hw = match &kept.identifier {
                    Identifier::Mac(hw) => Some(*hw),
                    Identifier::ClientId(_) | Identifier::CircuitId(_) => None,
                };
                if let Some(hw) = hw {
                    by_hw.entry(hw).or_insert(devices.len());
                }
                let id = DeviceId::of(&kept.identifier);
                devices.push(Entry { id, hw, kept: Some(at), lease: None, asked: None, seen: None });
            }
        }
    }
    for (&hw, decision) in &house.asked {
        match by_hw.get(&hw) {
            Some(&i) => devices[i].asked = Some(Arc::clone(decision)),
            None if hw.bytes().is_empty() => {}
            None => {
                let (id, asked) = (DeviceId::Hw(hw), Some(Arc::clone(decision)));
                devices.push(Entry { id, hw: Some(hw), kept: None, lease: None, asked, seen: None });
            }
        }
    }
    // Who asked and was answered by another server, or by the twin, is not ours to list.
    devices.retain(|device| device.lease.is_some() || device.kept.is_some() || device.device(house).is_unanswered());
    let wall_ms = wall_ms(house);
    let time = |at_ms: i64| house.now.earlier(Duration::from_millis(u64::try_from(wall_ms - at_ms).unwrap_or(0)));
    for device in &mut devices {
        let known = device.hw.and_then(|hw| house.known.get(&hw));
        device.seen = known.map(|known| (time(known.first_wall_ms), time(known.last_wall_ms)));
    }
    devices.sort_by_cached_key(|device| device.device(house).address(house.now));
    devices
}

fn wall_ms(house: &House) -> i64 {
    let since = house.clock.wall_of(house.now).duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// One for each MAC; where several hold leases under one MAC (containers), one for each of those.
fn of_leases(house: &House) -> Vec<Entry> {
    let mut by_hw: BTreeMap<HwAddr, Vec<(usize, &Binding)>> = BTreeMap::new();
    for (at, binding) in house.bindings.iter().enumerate() {
        by_hw.entry(binding.hw).or_default().push((at, binding));
    }
    let mut devices = Vec::with_capacity(by_hw.len());
    for (hw, mut bindings) in by_hw {
        let is_leased = |binding: &Binding| binding.state != BindingState::Declined && binding.is_held(house.now);
        bindings.sort_unstable_by_key(|(_, binding)| std::cmp::Reverse((is_leased(binding), binding.since)));
        let has_hw = !hw.bytes().is_empty();
        let held = bindings.iter().take_while(|(_, binding)| is_leased(binding)).count();
        let shown = if has_hw { held.max(1) } else { bindings.len() };
        let mut clients: Vec<&ClientId> = Vec::new();
        for (at, lease) in bindings.into_iter().take(shown) {
            if clients.contains(&&lease.client) {
                continue;
            }
            clients.push(&lease.client);
            let id = match &lease.client {
                ClientId::Given(id) if !has_hw || (shown > 1 && clients.len() > 1) => DeviceId::Client(id.clone()),
                ClientId::Given(_) | ClientId::Hardware(_) | ClientId::Clone(..) => DeviceId::Hw(hw),
            };
            devices.push(Entry { id, hw: has_hw.then_some(hw), kept: None, lease: Some(at), asked: None, seen: None });
        }
    }
    devices
}

/// The one with this id, or the first with this identifier. An id of a device that nobody knows yet has none.
pub fn find<'h>(devices: &[Device<'h>], id: &DeviceId) -> Option<Device<'h>> {
    let by_id = devices.iter().find(|device| device.id == *id);
    let identifier = id.identifier();
    let by_kept = || devices.iter().find(|device| device.kept.is_some_and(|kept| kept.identifier == identifier));
    let by_client = || {
        let DeviceId::Client(wanted) = id else { return None };
        devices.iter().find(|device| match device.lease.map(|lease| &lease.client) {
            Some(ClientId::Given(id) | ClientId::Clone(id, _)) => id == wanted,
            Some(ClientId::Hardware(_)) | None => false,
        })
    };
    by_id.or_else(by_kept).or_else(by_client).cloned()
}

/// What holds this address now, or what it is kept for.
pub fn at_address<'d, 'h>(devices: &'d [Device<'h>], now: Time, address: Ipv4Addr) -> Option<&'d Device<'h>> {
    let holds = devices.iter().find(|device| device.holds(now) == Some(address));
    holds.or_else(|| devices.iter().find(|device| device.kept.is_some_and(|kept| kept.address == address)))
}

/// By the settings, where the list of devices is not at hand.
pub fn kept_at(settings: &Settings, address: Ipv4Addr) -> Option<&Reservation> {
    settings.reservations.binary_search_by_key(&address, |kept| kept.address).ok().map(|at| &settings.reservations[at])
}

#[cfg(test)]
mod tests;
