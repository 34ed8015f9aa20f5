//! The end of a run: everything is mended, and then the pair must be as good as new.

use std::time::Duration;

use super::{
    clients::Client,
    config,
    link::Direction,
    step::{A, B, Clock, DRILL_SECS, DiskDoes, Does, Edit, Kinds, POOL, PowerDoes, Reach, Setup, Step, name},
    world::{CLIENTS, World},
};
use crate::protocol::{
    failover::State,
    lease::{Binding, BindingState},
};

/// How long a client that gets no answer goes on asking.
const PATIENCE_S: u32 = 12;

impl World {
    pub fn everything_is_well_in_the_end(&mut self) {
        self.mend();
        self.both_become_normal();
        self.judge_edits();
        self.holders_keep_their_addresses();
        self.everything_runs_out();
        self.new_clients_get_every_address();
        self.both_know_the_same();
    }

    fn seconds(&mut self, count: u32) {
        for _ in 0..count {
            if self.fault.is_some() {
                return;
            }
            self.wait(Duration::from_secs(1));
            self.judge();
        }
    }

    fn mend(&mut self) {
        tell!(self, "--- everything is mended");
        let Setup { link_ms, disk_ms, .. } = Setup::QUIET;
        self.setup = Setup { loss_permille: 0, link_ms, disk_ms, ..self.setup };
        for direction in &mut self.link {
            direction.flow(Kinds::ALL);
            direction.clear();
        }
        for at in [A, B] {
            self.resume(at);
            if self.machines[at].state() == Some(State::ShuttingDown) {
                self.machines[at].stop(self.now);
            }
            self.take(&Step::Disk { at, does: DiskDoes::Flow });
            self.take(&Step::Disk { at, does: DiskDoes::Heal });
        }
        // Whoever declared the other down is switched on first.
        let first = if self.machines[A].must_be_told() || self.machines[B].key_is_forgotten { B } else { A };
        for at in [first, 1 - first] {
            self.take(&Step::Power { at, does: PowerDoes::On(Clock::Right) });
            self.confirm_clock(at);
        }
    }

    /// The longest wait that a rule demands, with some air.
    fn longest_wait(&self) -> Duration {
        let memories = self.machines.iter().filter_map(|machine| machine.drive.disk.memory.as_ref());
        let longest = memories.map(|memory| memory.longest_mclt + memory.longest_lease).max().unwrap_or_default();
        longest + Duration::from_secs(60)
    }

    fn both_become_normal(&mut self) {
        let is_drilled = self.machines.iter().any(|machine| machine.state() == Some(State::Drilled));
        let drill = if is_drilled { Duration::from_secs(DRILL_SECS[2].into()) } else { Duration::ZERO };
        let start = self.now;
        while self.fault.is_none() && self.now < start + self.longest_wait() + drill {
            if self.machines.iter().all(|machine| machine.state() == Some(State::Normal)) {
                return self.seconds(3);
            }
            self.seconds(1);
            for at in [A, B] {
                self.take(&Step::Disk { at, does: DiskDoes::Heal });
            }
        }
        let states = self.machines.each_ref().map(|machine| machine.state());
        self.fail(|| format!("LIVENESS: long after everything was mended, the two are {states:?}"));
    }

    fn holders_keep_their_addresses(&mut self) {
        for who in 0..CLIENTS {
            let acks = self.clients[who].acks;
            let Some(lease) = self.clients[who].device.holds(self.now) else { continue };
            let is_forgotten = self.clients[who].claims.iter().any(|claim| claim.address == lease.address && claim.is_forgotten);
            self.take(&Step::Client { who, does: Does::Rebind, reach: Reach::Both, is_deaf: false });
            for _ in 0..PATIENCE_S {
                if self.fault.is_some() || self.clients[who].acks > acks || self.now >= lease.end {
                    break;
                }
                self.seconds(1);
                self.take(&Step::Client { who, does: Does::Again, reach: Reach::Both, is_deaf: false });
            }
            if self.setup.both_may_be_lost && is_forgotten {
                // What neither disk may know any more nobody need prolong.
                continue;
            }
            // A kept address is taken from whoever has it, and a client from the address that it has.
            let reservations = &self.machines[A].settings().reservations;
            let own = config::identifier(who);
            if reservations.iter().any(|kept| kept.address == lease.address || kept.identifier == own) {
                continue;
            }
            // The pool has become smaller.
            let pools = || self.machines[A].settings().subnets.iter().flat_map(|subnet| &subnet.pools);
            if !pools().any(|pool| pool.range.contains(lease.address)) {
                continue;
            }
            // Declined at one while the other, its disk in trouble, confirmed it from memory: it rests, and its holder is told no.
            let rests = |binding: &Binding| binding.state == BindingState::Declined;
            if self.machines.iter().any(|machine| machine.drive.disk.bindings.get(&lease.address).is_some_and(rests)) {
                continue;
            }
            let has_kept = self.clients[who].device.holds(self.now).is_some_and(|now| now.address == lease.address);
            if !has_kept && self.now < lease.end {
                self.fail(|| format!("UNANSWERED: client {who} has {} and nobody prolongs it", lease.address));
            }
        }
    }

    fn everything_runs_out(&mut self) {
        // More than once: what clashed with a setting comes up when that is gone.
        for _ in 0..CLIENTS {
            self.take(&Step::Admin { at: A, does: Edit::Plain });
            self.seconds(3);
        }
        for who in 0..CLIENTS {
            self.clients[who] = Client::new(who);
        }
        let end = self.now + self.longest_wait() + self.longest_wait();
        while self.fault.is_none() && self.now < end {
            if self.machines.iter().all(|machine| machine.node.as_ref().is_some_and(|node| node.leases().iter().all(is_free))) {
                break;
            }
            self.seconds(1);
        }
        let held = self.machines.iter().filter_map(|machine| {
            let record = machine.node.as_ref()?.leases().iter().find(|record| !is_free(record))?;
            Some(format!("{} has {record:?}", machine.name()))
        });
        if let Some(held) = held.collect::<Vec<_>>().first() {
            self.fail(|| format!("LEAK: long after all leases ran out, {held}"));
        }
        if self.machines[A].settings() != self.machines[B].settings() {
            self.fail(|| "SETTINGS: long after everything was mended, they are not the same".into());
        }
        let (settings, plain) = (self.machines[A].settings(), config::settings(&self.setup));
        let is_plain = settings.lease == plain.lease && settings.subnets == plain.subnets;
        if !is_plain || !self.machines[A].settings().reservations.is_empty() {
            self.fail(|| "SETTINGS: an edit with both well has no effect".into());
        }
    }

    fn new_clients_get_every_address(&mut self) {
        let (at, addresses) = ((self.setup.salt % 2) as usize, self.setup.addresses);
        for i in 0..usize::from(self.setup.addresses) {
            let who = self.clients.len();
            self.clients.push(Client::new(0x40 + i));
            self.take(&Step::Client { who, does: Does::Acquire(None), reach: Reach::Only(at), is_deaf: false });
            for _ in 0..PATIENCE_S {
                self.seconds(1);
                if self.fault.is_some() || self.clients[who].acks > 0 {
                    break;
                }
                self.take(&Step::Client { who, does: Does::Acquire(None), reach: Reach::Only(at), is_deaf: false });
            }
            if self.clients[who].acks == 0 {
                self.fail(|| format!("UNANSWERED: {} gives new client {i} of {} nothing", name(at), addresses));
            }
        }
        let given: std::collections::BTreeSet<_> =
            self.clients[CLIENTS..].iter().filter_map(|client| Some(client.device.lease?.address)).collect();
        if given.len() != usize::from(self.setup.addresses) {
            self.fail(|| format!("LEAK: new clients got {given:?} of {} addresses from {POOL} on", addresses));
        }
    }

    fn both_know_the_same(&mut self) {
        self.seconds(3);
        let Some(table) = self.table(A) else { return };
        if let Some(other) = self.table(B)
            && table != other
        {
            self.fail(|| format!("TABLES: A has {table:?}, B has {other:?}"));
        }
        let said = self.machines.each_ref().map(|machine| machine.said.as_ref().map(|said| (said.digest, said.settings_digest)));
        if said[A] != said[B] || !self.link.iter().all(Direction::is_free) {
            self.fail(|| format!("DIGESTS: {said:?}"));
        }
        let unconfirmed = self.machines.iter().filter_map(|machine| Some(machine.said.as_ref()?.unconfirmed)).sum::<u64>();
        if unconfirmed > 0 {
            self.fail(|| format!("BACKLOG: {unconfirmed} changes are not confirmed long after all was mended"));
        }
    }

    fn table(&self, at: usize) -> Option<Vec<String>> {
        let node = self.machines[at].node.as_ref()?;
        let mut records: Vec<&Binding> = node.leases().iter().collect();
        records.sort_by_key(|record| record.address);
        let show = |record: &&Binding| {
            let Binding { address, client, state, generation, version, .. } = record;
            format!("{address} {client} {state:?} gen {generation} v{}/{}", version.first, version.second)
        };
        Some(records.iter().map(show).collect())
    }
}

fn is_free(record: &Binding) -> bool {
    record.state == BindingState::Free
}
