//! Two records of one address, one answer (rule 7): whichever node merges, both end with the same.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    Rank,
    loose::{Rule, is_loose},
    message::WireBinding,
};
use crate::protocol::{
    digest::Digest,
    lease::{Binding, BindingState, ClientId, Version},
    time::{Epoch, Time},
};

/// The generation of an address that nobody has had yet.
pub const FIRST_GENERATION: u32 = 1;

impl Version {
    pub fn of(&self, rank: Rank) -> u64 {
        match rank {
            Rank::First => self.first,
            Rank::Second => self.second,
        }
    }

    pub fn set(&mut self, rank: Rank, number: u64) {
        match rank {
            Rank::First => self.first = number,
            Rank::Second => self.second = number,
        }
    }

    /// Knows all that the other knows.
    pub fn covers(&self, other: &Version) -> bool {
        if is_loose(Rule::W4) {
            return self.first.max(self.second) >= other.first.max(other.second);
        }
        self.first >= other.first && self.second >= other.second
    }

    pub fn join(&self, other: &Version) -> Version {
        Version { first: self.first.max(other.first), second: self.second.max(other.second) }
    }
}

/// What became of two records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    pub record: Binding,
    /// It is not what it was here.
    pub is_changed: bool,
    /// The sender has the same, but for its expiry.
    pub is_shared: bool,
}

/// `me`: the node that merges. Where the time that it was switched off is still unknown, a record of `mine` from before
/// must be stamped anew first (`Binding::epoch`): the sleep that becomes known later must not shorten what is told now.
pub fn merge(me: Rank, mine: Option<&Binding>, theirs: Binding) -> Merged {
    let Some(mine) = mine else {
        return Merged { record: theirs, is_changed: true, is_shared: true };
    };
    let owner = Rank::of(mine.address);
    let mut record = choose(me == owner, mine, &theirs);
    if mine.generation != theirs.generation {
        // The versions of the lost generation stay known, so that a node's own numbers never seem to go back.
        record.version = mine.version.join(&theirs.version);
    }
    let is_shared = record.version == theirs.version
        && record.generation == theirs.generation
        && state_told(record.state) == state_told(theirs.state)
        && record.client == theirs.client;
    Merged { is_changed: !is_same_but_for_the_journey(mine, &record), is_shared, record }
}

/// Times that travelled differ by their journey: that alone is worth no row on disk.
fn is_same_but_for_the_journey(mine: &Binding, record: &Binding) -> bool {
    let expiry = if record.expiry > mine.expiry + TOLERANCE { record.expiry } else { mine.expiry };
    *mine == Binding { expiry, epoch: if expiry == mine.expiry { mine.epoch } else { record.epoch }, ..record.clone() }
}

fn choose(is_owner: bool, mine: &Binding, theirs: &Binding) -> Binding {
    let is_same_client = mine.client == theirs.client;
    if theirs.generation != mine.generation {
        let (newer, older) = if theirs.generation > mine.generation { (theirs, mine) } else { (mine, theirs) };
        // One that raised its lease over the twin's record of it (`pair::records`) may meet what the twin has told that client since.
        let is_one_lease = is_same_client && newer.state.is_lease() && older.state.is_lease();
        return if is_one_lease { with_later_expiry(newer, older) } else { newer.clone() };
    }
    let both_given = is_same_client && mine.state != BindingState::Free && theirs.state != BindingState::Free;
    let (i_cover, they_cover) = (mine.version.covers(&theirs.version), theirs.version.covers(&mine.version));
    match (i_cover, they_cover) {
        (true, true) if is_same_client && state_told(mine.state) == state_told(theirs.state) => {
            Binding { state: theirs.state, ..with_later_expiry(mine, theirs) }
        }
        (true, false) if both_given && !is_loose(Rule::W36) => with_later_expiry(mine, theirs),
        (true, false) => mine.clone(),
        (false, true) if both_given && keeps_expiry(mine, theirs) => with_later_expiry(theirs, mine),
        (false, true) => {
            let mut record = theirs.clone();
            keep_tentative(&mut record, mine, theirs);
            record
        }
        (true, true) | (false, false) => {
            let mut record = concurrent(is_owner, is_same_client, mine, theirs);
            record.version = mine.version.join(&theirs.version);
            keep_tentative(&mut record, mine, theirs);
            record
        }
    }
}

/// A release or a decline never shortens what is known (rule 7), and within one generation and client nothing does.
fn keeps_expiry(mine: &Binding, theirs: &Binding) -> bool {
    !is_loose(Rule::W6) || (mine.state == BindingState::Leased && theirs.state == BindingState::Leased)
}

fn concurrent(is_owner: bool, is_same_client: bool, mine: &Binding, theirs: &Binding) -> Binding {
    match (mine.state == BindingState::Free, theirs.state == BindingState::Free) {
        (true, false) => theirs.clone(),
        (false, true) => mine.clone(),
        (false, false) if is_same_client => {
            // What is only a proposal here has been given to this client by the owner.
            let is_firmer = mine.state == BindingState::Tentative && strength(theirs.state) == strength(mine.state);
            let stronger = if is_firmer || strength(theirs.state) > strength(mine.state) { theirs } else { mine };
            with_later_expiry(stronger, if std::ptr::eq(stronger, mine) { theirs } else { mine })
        }
        // Two clients, or two that were freed.
        (false, false) | (true, true) => {
            if is_owner {
                mine.clone()
            } else {
                theirs.clone()
            }
        }
    }
}

/// A proposal stays one when the partner's word is an older freeing of the same address.
fn keep_tentative(record: &mut Binding, mine: &Binding, theirs: &Binding) {
    let is_proposal = mine.state == BindingState::Tentative && record.client == mine.client;
    if is_proposal && record.state == BindingState::Leased && theirs.state == BindingState::Free {
        record.state = BindingState::Tentative;
    }
}

/// Leased over declined over released.
fn strength(state: BindingState) -> u8 {
    match state {
        BindingState::Leased | BindingState::Tentative => 3,
        BindingState::Declined => 2,
        BindingState::Released => 1,
        BindingState::Free => 0,
    }
}

/// As the partner counts it: what is tentative here is a lease there.
pub fn state_told(state: BindingState) -> BindingState {
    match state {
        BindingState::Tentative => BindingState::Leased,
        BindingState::Free | BindingState::Leased | BindingState::Released | BindingState::Declined => state,
    }
}

/// What a message's journey may add to a time.
const TOLERANCE: Duration = Duration::from_secs(1);

fn with_later_expiry(record: &Binding, other: &Binding) -> Binding {
    let mut record = record.clone();
    if other.expiry > record.expiry {
        record.expiry = other.expiry;
        record.epoch = record.epoch.max(other.epoch);
    }
    record
}

/// What is sent of a record.
pub fn to_wire(record: &Binding, now: Time) -> WireBinding {
    let left = i128::from(record.expiry.0) - i128::from(now.0);
    WireBinding {
        address: record.address,
        client: record.client.clone(),
        hw: record.hw,
        state: record.state,
        age_ms: now.0.saturating_sub(record.since.0),
        left_ms: (record.expiry != Time::NEVER).then(|| i64::try_from(left).unwrap_or(i64::MAX)),
        generation: record.generation,
        version: record.version,
        host_name: record.host_name.clone(),
    }
}

/// What a record that was sent is here: a lease, where it is a proposal there.
pub fn from_wire(wire: WireBinding, now: Time, epoch: Epoch) -> Binding {
    let expiry = match wire.left_ms {
        None => Time::NEVER,
        // Never the end of time by addition: that means "without end".
        Some(left) => Time(now.0.saturating_add_signed(left).min(Time::NEVER.0 - 1)),
    };
    Binding {
        address: wire.address,
        client: wire.client,
        hw: wire.hw,
        state: state_told(wire.state),
        since: Time(now.0.saturating_sub(wire.age_ms)),
        expiry,
        epoch,
        generation: wire.generation,
        version: wire.version,
        host_name: wire.host_name,
    }
}

/// What a record adds to its table's digest: all but its times (rule 15). The same on every build.
pub fn digest(record: &Binding) -> u64 {
    let mut hash = Digest::default();
    match &record.client {
        ClientId::Given(id) => hash.bytes(0, id),
        ClientId::Hardware(hw) => hash.bytes(1, hw.bytes()),
        ClientId::Clone(id, hw) => {
            hash.bytes(2, id);
            hash.bytes(hw.htype(), hw.bytes());
        }
    }
    hash.bytes(state_told(record.state) as u8, &record.address.octets());
    hash.bytes(0, &record.generation.to_be_bytes());
    hash.bytes(0, &record.version.first.to_be_bytes());
    hash.bytes(0, &record.version.second.to_be_bytes());
    hash.mixed()
}

/// Whether an address is one that this rank may give when apart.
pub fn owns(rank: Rank, address: Ipv4Addr) -> bool {
    Rank::of(address) == rank
}
