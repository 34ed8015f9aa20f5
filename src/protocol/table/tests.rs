//! Random histories of a table: after every step, each dynamic address is in exactly one place.

use proptest::prelude::*;

use super::{free::Half, *};
use crate::{
    protocol::{
        lease::{BindingState, Version},
        seeds::{Telling, for_seeds},
    },
    settings::{Identifier, parse},
};

/// Settings that follow one another: pools grow and shrink, an address becomes a kept one, a subnet goes.
const SETTINGS: [&str; 4] = [
    "[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.10-192.0.2.13\", \"192.0.2.20-192.0.2.21\"]\nexclude = [\"192.0.2.12\"]\n\
     [[subnet]]\nnetwork = \"198.51.100.0/24\"\npools = [\"198.51.100.10-198.51.100.11\"]\n",
    "[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.11-192.0.2.14\"]\n\
     [[reservation]]\nmac = \"02:00:00:00:00:01\"\naddress = \"192.0.2.11\"\n",
    "[[subnet]]\nnetwork = \"198.51.100.0/24\"\npools = [\"198.51.100.11-198.51.100.12\"]\n",
    "[[subnet]]\nnetwork = \"192.0.2.0/24\"\n",
];
const ADDRESSES: [[u8; 4]; 12] = [
    [192, 0, 2, 10],
    [192, 0, 2, 11],
    [192, 0, 2, 12],
    [192, 0, 2, 13],
    [192, 0, 2, 14],
    [192, 0, 2, 20],
    [192, 0, 2, 21],
    [192, 0, 2, 99],
    [198, 51, 100, 10],
    [198, 51, 100, 11],
    [198, 51, 100, 12],
    [203, 0, 113, 5],
];
const CLIENTS: usize = 5;
const HALVES: [Halves; 7] = [
    Halves::Any,
    Halves::Own(Rank::First),
    Halves::Own(Rank::Second),
    Halves::Both(Rank::First),
    Halves::Both(Rank::Second),
    Halves::OwnFirst(Rank::First),
    Halves::OwnFirst(Rank::Second),
];

#[derive(Debug, Clone)]
enum Step {
    Insert {
        at: usize,
        client: usize,
        state: BindingState,
        secs: u64,
    },
    /// Takes back the latest `Insert` that was not taken back yet, as a failed commit does.
    Restore,
    /// All of them are durable.
    Settle,
    OfferNext {
        client: usize,
        subnet: usize,
    },
    OfferThis {
        client: usize,
        at: usize,
    },
    ForgetOffer {
        client: usize,
    },
    SetAside {
        at: usize,
        secs: u64,
    },
    Wait {
        ms: u64,
    },
    Settings {
        which: usize,
    },
    OwnAddresses {
        at: usize,
    },
    Slept {
        secs: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (at, client) = (0..ADDRESSES.len(), 0..CLIENTS);
    let states = prop::sample::select(vec![
        BindingState::Leased,
        BindingState::Leased,
        BindingState::Leased,
        BindingState::Declined,
        BindingState::Released,
        BindingState::Free,
        BindingState::Tentative,
    ]);
    let secs = prop_oneof![3 => 1..100u64, 1 => Just(u64::MAX)];
    let step = prop_oneof![
        6 => (at.clone(), client.clone(), states, secs)
            .prop_map(|(at, client, state, secs)| Step::Insert { at, client, state, secs }),
        2 => Just(Step::Restore),
        1 => Just(Step::Settle),
        6 => (client.clone(), 0..2usize).prop_map(|(client, subnet)| Step::OfferNext { client, subnet }),
        2 => (client.clone(), at.clone()).prop_map(|(client, at)| Step::OfferThis { client, at }),
        1 => client.prop_map(|client| Step::ForgetOffer { client }),
        1 => (at.clone(), 1..100u64).prop_map(|(at, secs)| Step::SetAside { at, secs }),
        4 => prop_oneof![0..10u64, 1000..7000u64, 20_000..60_000u64].prop_map(|ms| Step::Wait { ms }),
        1 => (0..SETTINGS.len()).prop_map(|which| Step::Settings { which }),
        1 => at.prop_map(|at| Step::OwnAddresses { at }),
        1 => (1..100u64).prop_map(|secs| Step::Slept { secs }),
    ];
    prop::collection::vec(step, 1..80)
}

struct World {
    plans: Vec<Plan>,
    plan: usize,
    table: LeaseTable,
    now: Time,
    epoch: Epoch,
    /// Insertions that can be taken back: the address, what was there before, and what was put there.
    undo: Vec<(Ipv4Addr, Option<Binding>, Binding)>,
}

#[test]
fn every_dynamic_address_is_in_exactly_one_place() {
    for_seeds(250, &steps(), |steps, telling| {
        let plans: Vec<Plan> =
            SETTINGS.iter().map(|text| Plan::new(parse::parse(text).expect("the settings above are right"))).collect();
        let table = LeaseTable::new(&plans[0], Vec::new(), Vec::new(), Time(1000));
        let mut world = World { plans, plan: 0, table, now: Time(1000), epoch: Epoch(1), undo: Vec::new() };
        for step in steps {
            if telling == Telling::Aloud {
                println!("{:>8} ms  {step:?}", world.now.0);
            }
            world.take(step);
            world.check();
        }
    });
}

#[test]
fn a_kept_address_is_offered_to_its_device_alone() {
    let plan = Plan::new(parse::parse(SETTINGS[1]).expect("the settings above are right"));
    let mut table = LeaseTable::new(&plan, Vec::new(), Vec::new(), Time(1000));
    let kept = Ipv4Addr::new(192, 0, 2, 11);
    table.set_offer(&plan, Time(1000), &client_id(2), kept, hw(2));
    table.set_offer(&plan, Time(2000), &client_id(1), kept, hw(1));
    assert_eq!(table.offer_to(&client_id(2)), None);
    table.forget_offer(&plan, Time(3000), &client_id(2));
    assert_eq!(table.offered(kept), Some(&client_id(1)), "the earlier offer takes nothing with it");
}

impl World {
    fn plan(&self) -> &Plan {
        &self.plans[self.plan]
    }

    fn take(&mut self, step: &Step) {
        let plan = &self.plans[self.plan];
        let now = self.now;
        match *step {
            Step::Insert { at, client, state, secs } => {
                let binding = self.binding(at, client, state, secs);
                let before = self.table.get(binding.address).cloned();
                let plan = &self.plans[self.plan];
                let returned = self.table.insert(plan, now, binding.clone());
                assert_eq!(returned, before, "`insert` hands back what was there");
                assert_eq!(self.table.get(binding.address), Some(&binding));
                self.undo.push((binding.address, before, binding));
            }
            Step::Restore => {
                if let Some((address, before, put)) = self.undo.pop() {
                    self.table.restore(plan, now, address, before.clone());
                    assert_eq!(self.table.get(address), before.as_ref(), "`restore` undoes `insert` of {put:?}");
                    let has = |client: &ClientId| self.table.of_client(client).any(|binding| binding.address == address);
                    assert_eq!(has(&put.client), before.as_ref().is_some_and(|before| before.client == put.client));
                    assert!(before.as_ref().is_none_or(|before| has(&before.client)));
                }
            }
            Step::Settle => self.undo.clear(),
            Step::OfferNext { client, subnet } => {
                if subnet < plan.subnets().len() {
                    let free = self.free_in(subnet);
                    let plan = &self.plans[self.plan];
                    self.table.run_out(plan, now);
                    for halves in HALVES {
                        let mut other = self.table.clone();
                        let foreseen = other.would_be_next_free(plan, subnet, halves, now);
                        assert_eq!(foreseen, other.next_free(plan, subnet, halves, now), "{halves:?}");
                    }
                    match self.table.next_free(plan, subnet, Halves::Any, now) {
                        Some(address) => {
                            assert!(free.contains(&address), "{address} is given, which nobody may have now: {free:?}");
                            self.table.set_offer(plan, now, &client_id(client), address, hw(client));
                        }
                        None => assert!(free.is_empty(), "{free:?} could be given and are not found"),
                    }
                }
            }
            Step::OfferThis { client, at } => {
                let address = Ipv4Addr::from(ADDRESSES[at]);
                // What `Node::refusal` lets through.
                let is_held = self.table.get(address).is_some_and(|b| b.is_held(now) && b.client != client_id(client));
                let is_offered = self.table.offered(address).is_some_and(|other| *other != client_id(client));
                let kept = plan.reservation_at(address);
                let is_kept = kept.is_some_and(|kept| kept.identifier == Identifier::Mac(hw(client)));
                let may_have = (is_kept || kept.is_none()) && !is_held && (is_kept || !is_offered);
                if plan.subnet_of(address).is_some() && may_have {
                    self.table.set_offer(plan, now, &client_id(client), address, hw(client));
                    assert_eq!(self.table.offered(address), Some(&client_id(client)));
                }
            }
            Step::ForgetOffer { client } => {
                self.table.forget_offer(plan, now, &client_id(client));
                assert!(self.table.offer_to(&client_id(client)).is_none());
            }
            Step::SetAside { at, secs } => {
                self.table.set_aside(
                    plan,
                    ADDRESSES[at].into(),
                    now + Duration::from_secs(secs),
                    now + Duration::from_secs(secs),
                );
            }
            Step::Wait { ms } => self.now = now + Duration::from_millis(ms),
            Step::Settings { which } => {
                self.plan = which;
                self.table.rebuild(&self.plans[which], now);
            }
            Step::OwnAddresses { at } => self.table.set_own_addresses(plan, now, vec![ADDRESSES[at].into()]),
            Step::Slept { secs } => {
                // Known at a boot: what was put in before it is durable or gone.
                self.undo.clear();
                self.epoch = Epoch(self.epoch.0 + 1);
                self.table.age(plan, now, self.epoch, Duration::from_secs(secs));
            }
        }
        self.table.run_out(&self.plans[self.plan], self.now);
        assert!(self.table.next_deadline().is_none_or(|due| due > self.now), "`run_out` leaves nothing behind that is due");
    }

    fn binding(&self, at: usize, client: usize, state: BindingState, secs: u64) -> Binding {
        let expiry = if secs == u64::MAX { Time::NEVER } else { self.now + Duration::from_secs(secs) };
        Binding {
            address: ADDRESSES[at].into(),
            client: client_id(client),
            hw: hw(client),
            state,
            since: self.now,
            expiry,
            epoch: self.epoch,
            generation: 1,
            version: Version::default(),
            host_name: None,
        }
    }

    fn is_held(&self, address: Ipv4Addr) -> bool {
        self.table.get(address).is_some_and(|binding| binding.is_held(self.now))
    }

    fn may_be_given(&self, address: Ipv4Addr) -> bool {
        let Some(subnet) = self.plan().subnet_of(address) else { return false };
        may_be_given(self.plan(), &self.table.own_addresses, subnet, u32::from(address))
    }

    /// What `next_free` may answer, once all that is due has run out: free ones, else stale offers.
    fn free_in(&self, subnet: usize) -> Vec<Ipv4Addr> {
        let here = |address: &Ipv4Addr| self.plan().subnet_of(*address) == Some(subnet) && self.may_be_given(*address);
        let of_subnet: Vec<Ipv4Addr> = ADDRESSES.into_iter().map(Ipv4Addr::from).filter(here).collect();
        let is_open = |address: &Ipv4Addr| !self.is_held(*address) && !self.table.is_set_aside(*address);
        let free: Vec<Ipv4Addr> = of_subnet.iter().copied().filter(|a| is_open(a) && self.table.offered(*a).is_none()).collect();
        if !free.is_empty() {
            return free;
        }
        let is_stale = |offer: &&Offer| self.now - offer.made >= OFFER_STALE;
        let stale = self.table.offers.values().filter(is_stale).map(|offer| offer.address);
        stale.filter(|address| of_subnet.contains(address) && is_open(address)).collect()
    }

    fn check(&self) {
        let table = &self.table;
        for address in ADDRESSES.into_iter().map(Ipv4Addr::from) {
            let raw = u32::from(address);
            let (is_aside, is_offered) = (table.aside.contains_key(&raw), table.offered.contains_key(&raw));
            let listed = |half: &Half| {
                let reusable = half.reusable.iter().filter(|&&(_, other)| other == raw).count();
                let is_ahead = half.is_ahead(raw);
                let fresh = is_ahead && !is_aside && !is_offered && !table.by_address.contains_key(&raw);
                reusable + usize::from(half.returned.contains(&raw)) + usize::from(fresh && self.may_be_given(address))
            };
            let places: usize = table.free.iter().flat_map(FreeList::halves).map(listed).sum();
            let is_free = self.may_be_given(address) && !self.is_held(address) && !is_offered && !is_aside;
            assert_eq!(places, usize::from(is_free), "{address} is listed {places} times; free: {is_free}; {table:#?}");
            // An address under which a stranger answers, or that its holder is offered anew, is waited for elsewhere.
            if !is_aside && !is_offered {
                let waited_for = table.by_expiry.iter().filter(|&&(_, other)| other == raw).count();
                let runs_out = self.is_held(address) && table.by_address[&raw].expiry != Time::NEVER;
                assert_eq!(waited_for, usize::from(runs_out), "{address}: {:?}", table.by_address.get(&raw));
            }
        }
        for (client, offer) in &table.offers {
            assert_eq!(
                table.offered.get(&u32::from(offer.address)),
                Some(client),
                "an offer of {} is known by half",
                offer.address
            );
        }
        assert_eq!(table.offers.len(), table.offered.len());
        assert_eq!(table.aside.len(), table.aside_order.len());
        let by_client: usize = table.by_client.values().map(|addresses| addresses.as_slice().len()).sum();
        assert_eq!(by_client, table.by_address.len());
        for (raw, binding) in &table.by_address {
            assert!(table.by_client[&binding.client].as_slice().contains(raw));
        }
    }
}

fn client_id(client: usize) -> ClientId {
    ClientId::Given([client as u8].into())
}

fn hw(client: usize) -> HwAddr {
    HwAddr::ethernet([2, 0, 0, 0, 0, client as u8])
}
