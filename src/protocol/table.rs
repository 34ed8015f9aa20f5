//! All binding records and offers, found by address, by client, by expiry, and by who is free next.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

mod free;

use super::{
    Map,
    failover::{Rank, merge},
    lease::{Binding, BindingState, ClientId, HwAddr},
    plan::Plan,
    time::{Epoch, Time},
};
use free::FreeList;
pub use free::Halves;

/// How long an address is held for a client that was offered it.
pub const OFFER_HOLD: Duration = Duration::from_secs(30);
/// When nothing else is free, an offer this old that was not taken up is given to somebody else.
const OFFER_STALE: Duration = Duration::from_secs(5);

/// An address held for a client, in memory only: an offer is no promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub address: Ipv4Addr,
    pub hw: HwAddr,
    pub made: Time,
}

/// Every dynamic address is in exactly one place: held by a record, offered, set aside, or in its subnet's
/// free lists (`fresh`, `returned` or `reusable`).
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub struct LeaseTable {
    by_address: Map<u32, Binding>,
    by_client: Map<ClientId, Addresses>,
    /// Held records that will run out.
    by_expiry: BTreeSet<(Time, u32)>,
    offers: Map<ClientId, Offer>,
    offered: Map<u32, ClientId>,
    /// Offers in order of making, by address.
    offer_order: BTreeSet<(Time, u32)>,
    /// Found in use by a stranger: nobody gets them until then.
    aside: Map<u32, Aside>,
    aside_order: BTreeSet<(Time, u32)>,
    /// By subnet, as in `Plan::subnets`.
    free: Vec<FreeList>,
    /// The node has a twin: what has run out is nobody's until it is freed (failover rule 5).
    is_paired: bool,
    /// With a twin: records that have run out and are not freed yet, the longest first.
    lapsed: BTreeSet<(Time, u32)>,
    /// The sum of `merge::digest` of all records.
    digest: u64,
    own_addresses: Vec<Ipv4Addr>,
    /// Some record or offer is a clone's: only then a packet costs the look-up.
    has_clones: bool,
}

/// How long an address rests.
#[derive(Debug, Clone, Copy)]
struct Aside {
    /// Not even where nothing else is free.
    at_least: Time,
    until: Time,
}

/// A client has one address, or one in each of several subnets.
#[derive(Debug, Clone)]
enum Addresses {
    One(u32),
    Several(Vec<u32>),
}

impl Addresses {
    fn as_slice(&self) -> &[u32] {
        match self {
            Addresses::One(address) => std::slice::from_ref(address),
            Addresses::Several(addresses) => addresses,
        }
    }
}

impl LeaseTable {
    pub fn new(plan: &Plan, bindings: Vec<Binding>, own_addresses: Vec<Ipv4Addr>, now: Time) -> LeaseTable {
        let mut table = LeaseTable { own_addresses, ..LeaseTable::default() };
        table.by_address.reserve(bindings.len());
        table.by_client.reserve(bindings.len());
        for binding in bindings {
            let address = u32::from(binding.address);
            table.link_client(&binding.client, address);
            table.by_address.insert(address, binding);
        }
        table.rebuild(plan, now);
        table
    }

    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    pub fn get(&self, address: Ipv4Addr) -> Option<&Binding> {
        self.by_address.get(&u32::from(address))
    }

    /// All records, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.by_address.values()
    }

    pub fn of_client(&self, client: &ClientId) -> impl Iterator<Item = &Binding> {
        self.by_client.get(client).map_or(&[][..], Addresses::as_slice).iter().map(|address| &self.by_address[address])
    }

    /// Records of devices whose client-id another one has, too. Nearly always there are none, and then nobody looks for them.
    pub fn clones(&self) -> impl Iterator<Item = &Binding> {
        let all = self.has_clones.then(|| self.iter());
        all.into_iter().flatten().filter(|binding| matches!(binding.client, ClientId::Clone(..)))
    }

    /// Whether this device is known as a clone: another one has the same client-id.
    pub fn is_clone(&self, id: &[u8], hw: HwAddr) -> bool {
        self.has_clones && {
            let clone = ClientId::Clone(id.into(), hw);
            self.by_client.contains_key(&clone) || self.offers.contains_key(&clone)
        }
    }

    pub fn offer_to(&self, client: &ClientId) -> Option<&Offer> {
        self.offers.get(client)
    }

    /// Who is offered the address at present.
    pub fn offered(&self, address: Ipv4Addr) -> Option<&ClientId> {
        self.offered.get(&u32::from(address))
    }

    pub fn is_own(&self, address: Ipv4Addr) -> bool {
        self.own_addresses.contains(&address)
    }

    pub fn is_set_aside(&self, address: Ipv4Addr) -> bool {
        self.aside.contains_key(&u32::from(address))
    }

    /// Puts a record in the place of the one for its address, which is returned.
    pub fn insert(&mut self, plan: &Plan, now: Time, binding: Binding) -> Option<Binding> {
        let address = u32::from(binding.address);
        let before = self.take(plan, address);
        if let Some(client) = self.offered.remove(&address)
            && let Some(offer) = self.offers.remove(&client)
        {
            self.offer_order.remove(&(offer.made, address));
        }
        self.link_client(&binding.client, address);
        if self.is_paired {
            self.digest = self.digest.wrapping_add(merge::digest(&binding));
        }
        self.by_address.insert(address, binding);
        self.index(plan, address, now);
        before
    }

    /// Puts back what was there before `insert`.
    pub fn restore(&mut self, plan: &Plan, now: Time, address: Ipv4Addr, before: Option<Binding>) {
        match before {
            Some(binding) => drop(self.insert(plan, now, binding)),
            None => {
                self.take(plan, u32::from(address));
                self.index(plan, u32::from(address), now);
            }
        }
    }

    /// Holds an address for a client; an earlier offer to it is forgotten.
    pub fn set_offer(&mut self, plan: &Plan, now: Time, client: &ClientId, address: Ipv4Addr, hw: HwAddr) {
        let raw = u32::from(address);
        if let Some(offer) = self.offers.get_mut(client)
            && offer.address == address
        {
            self.offer_order.remove(&(offer.made, raw));
            (offer.made, offer.hw) = (now, hw);
            self.offer_order.insert((now, raw));
            return;
        }
        self.forget_offer(plan, now, client);
        // A kept address may have been offered to somebody else before it was kept: that offer is off.
        if let Some(other) = self.offered.get(&raw).cloned() {
            self.forget_offer(plan, now, &other);
        }
        self.unlist(plan, raw);
        self.has_clones |= matches!(client, ClientId::Clone(..));
        self.offers.insert(client.clone(), Offer { address, hw, made: now });
        self.offered.insert(raw, client.clone());
        self.offer_order.insert((now, raw));
    }

    pub fn forget_offer(&mut self, plan: &Plan, now: Time, client: &ClientId) {
        if let Some(offer) = self.offers.remove(client) {
            let address = u32::from(offer.address);
            self.offered.remove(&address);
            self.offer_order.remove(&(offer.made, address));
            self.index(plan, address, now);
        }
    }

    /// A stranger answers under this address: nobody is given it until then; where nothing else is free, only `at_least`.
    pub fn set_aside(&mut self, plan: &Plan, address: Ipv4Addr, at_least: Time, until: Time) {
        let raw = u32::from(address);
        self.unlist(plan, raw);
        if let Some(earlier) = self.aside.insert(raw, Aside { at_least, until }) {
            self.aside_order.remove(&(earlier.until, raw));
        }
        self.aside_order.insert((until, raw));
    }

    /// Addresses that rest at present.
    pub fn aside_len(&self) -> usize {
        self.aside.len()
    }

    /// Addresses under which a stranger answered.
    pub fn aside(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.aside_order.iter().map(|&(_, address)| Ipv4Addr::from(address))
    }

    /// The address that anybody may have next in this subnet, of the halves that this node may give from: never used ones
    /// first, then the longest free. It stays listed until it is offered.
    pub fn next_free(&mut self, plan: &Plan, subnet: usize, halves: Halves, now: Time) -> Option<Ipv4Addr> {
        self.run_out(plan, now);
        let mut list = std::mem::take(&mut self.free[subnet]);
        let next = list.next(halves, |address| {
            may_be_given(plan, &self.own_addresses, subnet, address)
                && !self.by_address.contains_key(&address)
                && !self.offered.contains_key(&address)
                && !self.aside.contains_key(&address)
        });
        self.free[subnet] = list;
        let next = next.map(Ipv4Addr::from);
        next.or_else(|| self.stale_offer(plan, subnet, halves, now)).or_else(|| self.rested(plan, subnet, halves, now))
    }

    /// What `next_free` would give, and nothing changes. What has run out by `now` must have been noted.
    pub fn would_be_next_free(&self, plan: &Plan, subnet: usize, halves: Halves, now: Time) -> Option<Ipv4Addr> {
        let next = self.free[subnet].would_be_next(halves, |address| {
            may_be_given(plan, &self.own_addresses, subnet, address)
                && !self.by_address.contains_key(&address)
                && !self.offered.contains_key(&address)
                && !self.aside.contains_key(&address)
        });
        let rested = || {
            let address = self.first_rested(plan, subnet, now)?;
            (self.is_free_in(halves, address, now) && !self.offered.contains_key(&address)).then_some(address)
        };
        next.or_else(|| self.first_stale_offer(plan, subnet, halves, now)).or_else(rested).map(Ipv4Addr::from)
    }

    /// Free for whoever may give from these halves.
    fn is_free_in(&self, halves: Halves, address: u32, now: Time) -> bool {
        let binding = self.by_address.get(&address);
        let is_free = match halves {
            Halves::Any => !binding.is_some_and(|binding| binding.is_held(now)),
            Halves::Own(_) | Halves::OwnFirst(_) | Halves::Both(_) => {
                binding.is_none_or(|binding| binding.state == BindingState::Free)
            }
        };
        is_free
            && match halves {
                Halves::Own(rank) => Rank::of(Ipv4Addr::from(address)) == rank,
                Halves::Any | Halves::OwnFirst(_) | Halves::Both(_) => true,
            }
    }

    /// The address of this subnet that has rested longest, if it is long enough for an emergency; it rests no more.
    fn rested(&mut self, plan: &Plan, subnet: usize, halves: Halves, now: Time) -> Option<Ipv4Addr> {
        let address = self.first_rested(plan, subnet, now)?;
        let Aside { until, .. } = self.aside.remove(&address)?;
        self.aside_order.remove(&(until, address));
        self.index(plan, address, now);
        (self.is_free_in(halves, address, now) && !self.offered.contains_key(&address)).then(|| Ipv4Addr::from(address))
    }

    fn first_rested(&self, plan: &Plan, subnet: usize, now: Time) -> Option<u32> {
        let has_rested = |address: &u32| self.aside[address].at_least <= now;
        let is_here = |address: &u32| plan.subnet_of(Ipv4Addr::from(*address)) == Some(subnet);
        let mut by_age = self.aside_order.iter().map(|&(_, address)| address).take_while(has_rested).filter(is_here);
        by_age.find(|&address| may_be_given(plan, &self.own_addresses, subnet, address))
    }

    fn first_stale_offer(&self, plan: &Plan, subnet: usize, halves: Halves, now: Time) -> Option<u32> {
        let mut stale = self.offer_order.iter().take_while(|(made, _)| now - *made >= OFFER_STALE).map(|&(_, address)| address);
        stale.find(|&address| {
            // A client is also offered what it holds already, and an address under which it answers itself.
            self.is_free_in(halves, address, now)
                && !self.aside.contains_key(&address)
                && plan.subnet_of(Ipv4Addr::from(address)) == Some(subnet)
                && may_be_given(plan, &self.own_addresses, subnet, address)
        })
    }

    /// The oldest offer in this subnet that was not taken up in good time; it is forgotten.
    fn stale_offer(&mut self, plan: &Plan, subnet: usize, halves: Halves, now: Time) -> Option<Ipv4Addr> {
        let address = self.first_stale_offer(plan, subnet, halves, now)?;
        let client = self.offered.get(&address).cloned()?;
        self.forget_offer(plan, now, &client);
        Some(Ipv4Addr::from(address))
    }

    /// From now on as one of two, or as one alone.
    pub fn set_paired(&mut self, plan: &Plan, is_paired: bool, now: Time) {
        self.is_paired = is_paired;
        self.digest = self.by_address.values().fold(0, |sum, binding| sum.wrapping_add(merge::digest(binding)));
        self.rebuild(plan, now);
    }

    /// With a twin: all records but their times (failover rule 15).
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// With a twin: records that have run out and are not freed, the longest first.
    pub fn lapsed(&self) -> impl Iterator<Item = &Binding> {
        self.lapsed.iter().map(|(_, address)| &self.by_address[address])
    }

    /// Moves what has run out by now (leases, quarantines, offers) to the free lists.
    pub fn run_out(&mut self, plan: &Plan, now: Time) {
        while let Some(&(expiry, address)) = self.by_expiry.first()
            && expiry <= now
        {
            self.by_expiry.pop_first();
            self.index(plan, address, now);
        }
        while let Some(&(until, address)) = self.aside_order.first()
            && until <= now
        {
            self.aside_order.pop_first();
            self.aside.remove(&address);
            self.index(plan, address, now);
        }
        while let Some(&(made, address)) = self.offer_order.first()
            && now - made >= OFFER_HOLD
        {
            let client = self.offered.get(&address).cloned().expect("every entry has its offer");
            self.forget_offer(plan, now, &client);
        }
    }

    /// When `run_out` has something to do next.
    pub fn next_deadline(&self) -> Option<Time> {
        let offer = self.offer_order.first().map(|&(made, _)| made + OFFER_HOLD);
        let lease = self.by_expiry.first().map(|&(expiry, _)| expiry);
        let aside = self.aside_order.first().map(|&(until, _)| until);
        [offer, lease, aside].into_iter().flatten().min()
    }

    /// Sets all lists up anew, after a change of settings or of own addresses.
    pub fn rebuild(&mut self, plan: &Plan, now: Time) {
        self.free = plan.subnets().iter().map(|subnet| FreeList::new(&subnet.subnet.pools)).collect();
        self.by_expiry.clear();
        self.lapsed.clear();
        let addresses: Vec<u32> = self.by_address.keys().copied().collect();
        for address in addresses {
            self.index(plan, address, now);
        }
    }

    pub fn set_own_addresses(&mut self, plan: &Plan, now: Time, addresses: Vec<Ipv4Addr>) {
        if self.own_addresses != addresses {
            self.own_addresses = addresses;
            self.rebuild(plan, now);
        }
    }

    /// The machine was off for `slept` before this boot: records stamped before it are that much older.
    pub fn age(&mut self, plan: &Plan, now: Time, epoch: Epoch, slept: Duration) {
        for binding in self.by_address.values_mut().filter(|binding| binding.epoch < epoch) {
            binding.since = binding.since.earlier(slept);
            binding.expiry = binding.expiry.earlier(slept);
        }
        self.rebuild(plan, now);
    }

    /// Lists an address where it belongs, from what is known of it now.
    fn index(&mut self, plan: &Plan, address: u32, now: Time) {
        let binding = self.by_address.get(&address);
        if let Some(binding) = binding
            && binding.is_held(now)
        {
            if binding.expiry != Time::NEVER {
                self.by_expiry.insert((binding.expiry, address));
            }
            return;
        }
        if self.is_paired
            && let Some(binding) = binding
            && binding.state != BindingState::Free
        {
            self.lapsed.insert((free_since(binding), address));
            return;
        }
        let Some(subnet) = plan.subnet_of(Ipv4Addr::from(address)) else { return };
        if self.offered.contains_key(&address)
            || self.aside.contains_key(&address)
            || !may_be_given(plan, &self.own_addresses, subnet, address)
        {
            return;
        }
        let half = self.free[subnet].half_of(address);
        match binding {
            Some(binding) => drop(half.reusable.insert((free_since(binding), address))),
            // Still ahead in `fresh`: it will be found there.
            None if half.is_ahead(address) => {}
            None => drop(half.returned.insert(address)),
        }
    }

    fn unlist(&mut self, plan: &Plan, address: u32) {
        let binding = self.by_address.get(&address);
        if let Some(binding) = binding {
            self.by_expiry.remove(&(binding.expiry, address));
            if self.is_paired {
                self.lapsed.remove(&(free_since(binding), address));
            }
        }
        if let Some(subnet) = plan.subnet_of(Ipv4Addr::from(address)) {
            let half = self.free[subnet].half_of(address);
            half.returned.remove(&address);
            if let Some(binding) = binding {
                half.reusable.remove(&(free_since(binding), address));
            }
        }
    }

    fn take(&mut self, plan: &Plan, address: u32) -> Option<Binding> {
        self.unlist(plan, address);
        let binding = self.by_address.remove(&address)?;
        if self.is_paired {
            self.digest = self.digest.wrapping_sub(merge::digest(&binding));
        }
        if let Some(addresses) = self.by_client.get_mut(&binding.client) {
            let rest: Vec<u32> = addresses.as_slice().iter().copied().filter(|&other| other != address).collect();
            match rest[..] {
                [] => drop(self.by_client.remove(&binding.client)),
                [one] => *addresses = Addresses::One(one),
                _ => *addresses = Addresses::Several(rest),
            }
        }
        Some(binding)
    }

    fn link_client(&mut self, client: &ClientId, address: u32) {
        self.has_clones |= matches!(client, ClientId::Clone(..));
        match self.by_client.get_mut(client) {
            None => drop(self.by_client.insert(client.clone(), Addresses::One(address))),
            Some(Addresses::Several(addresses)) if !addresses.contains(&address) => addresses.push(address),
            Some(Addresses::One(one)) if *one != address => {
                let several = vec![*one, address];
                self.by_client.insert(client.clone(), Addresses::Several(several));
            }
            Some(_) => {}
        }
    }
}

/// Since when nobody holds it, for a record that is not held.
fn free_since(binding: &Binding) -> Time {
    use BindingState::*;
    match binding.state {
        Leased | Tentative | Declined => binding.expiry,
        Free | Released => binding.since,
    }
}

/// In a pool, not excluded, kept for nobody, not our own.
fn may_be_given(plan: &Plan, own: &[Ipv4Addr], subnet: usize, address: u32) -> bool {
    let address = Ipv4Addr::from(address);
    plan.subnets()[subnet].is_dynamic(address) && plan.reservation_at(address).is_none() && !own.contains(&address)
}

#[cfg(test)]
mod tests;
