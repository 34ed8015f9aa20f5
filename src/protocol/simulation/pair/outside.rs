//! What comes from outside: power, disks that are lost or copied back, clocks that are set right, admins.

use super::{
    clients::Client,
    config,
    link::Direction,
    step::{Clock, Edit, Kinds, POOL, PowerDoes, name, rank},
    tell,
    world::World,
};
use crate::{
    protocol::{Command, Event, TwinCommand, failover::State, replica::Edited},
    settings::{Record, RecordKey, Twin},
};

impl World {
    pub fn start(&mut self, at: usize, mode: Clock) {
        if self.machines[at].must_be_told() || self.machines[1 - at].key_is_forgotten {
            // It reaches the other, which is on: that is what the admin's word rests on.
            if !self.machines[1 - at].is_on() || self.machines[1 - at].state() == Some(State::ShuttingDown) {
                return;
            }
            self.resume(1 - at);
            self.link.iter_mut().for_each(|direction| direction.flow(Kinds::ALL));
        }
        if self.machines[at].is_on() {
            return;
        }
        if self.machines[1 - at].key_is_forgotten {
            if self.machines[1 - at].has_lost && !self.setup.both_may_be_lost {
                return;
            }
            self.pair_anew(at);
        }
        tell!(self, "{} is switched on, clock: {mode:?}", name(at));
        let mut out = std::mem::take(&mut self.spare);
        self.machines[at].start(self.now, mode, &mut out);
        self.perform(at, &mut out);
        self.spare = out;
    }

    pub fn stop(&mut self, at: usize) -> bool {
        // Whoever declared the other down is there when it starts.
        let other = &self.machines[1 - at];
        // And the two do not wait for each other.
        if other.must_be_told() && (other.is_on() || self.machines[at].declared) {
            return false;
        }
        if self.machines[at].is_on() {
            tell!(self, "power cut at {}", name(at));
            self.machines[at].stop(self.now);
        }
        true
    }

    pub fn power(&mut self, at: usize, does: PowerDoes) {
        // Whoever was unpaired and loses its disk as well has nothing in common with anybody.
        let may_be_lost = (self.setup.both_may_be_lost || !self.machines[1 - at].has_lost) && !self.machines[at].key_is_forgotten;
        match does {
            PowerDoes::Off => drop(self.stop(at)),
            PowerDoes::On(mode) => self.start(at, mode),
            PowerDoes::OffAndWipe => {
                if may_be_lost && self.stop(at) {
                    tell!(self, "{} gets a blank disk", name(at));
                    self.machines[at].wipe(self.now);
                    self.forget_claims(at);
                }
            }
            PowerDoes::OffAndRestore { marked } => {
                // An unmarked copy is noticed only where the other can be reached, and has heard of more.
                // And one over a marked one takes the mark away.
                let noticed = marked || (self.is_linked() && self.partner_knows_all(at) && !self.machines[at].has_lost);
                if may_be_lost && noticed && self.machines[at].copy.is_some() && self.stop(at) {
                    tell!(self, "{} gets an old copy of its disk, {}", name(at), if marked { "marked" } else { "unmarked" });
                    self.machines[at].restore(marked);
                    // It reaches the other when it starts.
                    self.machines[at].declared |= !marked;
                    self.forget_claims(at);
                }
            }
        }
    }

    /// Somebody with a blank disk takes this one's place, and is paired with the other.
    fn pair_anew(&mut self, at: usize) {
        let other = 1 - at;
        tell!(self, "{} gets a blank disk, and is paired with {} anew", name(at), name(other));
        let (has_twin, has_leases) = match &self.machines[other].node {
            Some(node) => (node.memory().is_some(), !node.leases().is_empty()),
            None => return,
        };
        self.machines[at].wipe(self.now);
        // It has another key than the one before: nothing of that one is listened to, and nothing said to it reaches anybody.
        self.link.iter_mut().for_each(Direction::clear);
        if !has_twin {
            self.machines[at].joins(has_leases);
        }
        self.forget_claims(at);
        if let Some(pair) = self.machines[other].paired_anew() {
            self.handle(other, Event::Paired(Box::new(pair)));
        }
    }

    /// The other has heard of every number on this one's disk.
    fn partner_knows_all(&self, at: usize) -> bool {
        let numbers = self.machines[at].drive.disk.bindings.values().map(|binding| binding.version.of(rank(at)));
        let heard = self.machines[1 - at].node.as_ref().and_then(|node| node.memory()).map_or(0, |memory| memory.partner_number);
        numbers.max().unwrap_or(0) <= heard
    }

    fn forget_claims(&mut self, at: usize) {
        self.told = None;
        let claims = self.clients.iter_mut().flat_map(|client| &mut client.claims);
        claims.filter(|claim| claim.by == at).for_each(|claim| claim.is_forgotten = true);
        self.edits.retain(|_, edit| edit.at != at);
    }

    pub fn is_linked(&self) -> bool {
        self.link.iter().all(Direction::is_free)
            && self.machines.iter().all(|machine| machine.is_on() && machine.paused_until.is_none())
    }

    pub fn confirm_clock(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        if machine.is_on()
            && machine.paused_until.is_none()
            && let Some((before, slept)) = machine.clock.confirm(self.now)
        {
            let before = machine.aged_before(before);
            machine.drive.disk.slept(before, slept);
            tell!(self, "the clock of {} is confirmed: off for {} s", name(at), slept.as_secs());
            self.handle(at, Event::Slept { before, duration: slept });
        }
    }

    // Admins.

    pub fn command(&mut self, at: usize, command: Command) {
        if !self.machines[at].is_on() || self.machines[at].paused_until.is_some() {
            return;
        }
        self.commands += 1;
        self.last_result_is_ok = false;
        self.note_edit(at, &command);
        tell!(self, "admin at {}, command {}: {}", name(at), self.commands, tell::command(&command));
        self.handle(at, Event::Command { id: self.commands, by: Edited::default(), command: Box::new(command) });
    }

    pub fn edit(&mut self, at: usize, does: Edit) {
        let address = |last: u8| std::net::Ipv4Addr::new(192, 0, 2, last);
        let plain = config::settings(&self.setup);
        match does {
            Edit::Keep { address: last, who } => {
                self.command(at, Command::Put(Record::Reservation(config::reservation(who, address(last)))));
            }
            Edit::Unkeep { who } => self.command(at, Command::Remove(RecordKey::Reservation(config::identifier(who)))),
            Edit::RaiseMclt => {
                let twin = self.machines[at].settings().twin;
                self.command(at, Command::Put(Record::Twin(Twin { mclt: 3 * plain.twin.mclt, ..twin })));
            }
            Edit::RaiseLease => {
                let mut lease = plain.lease.clone();
                (lease.default, lease.max) = (2 * lease.default, 2 * lease.max);
                self.command(at, Command::Put(Record::Lease(lease)));
            }
            Edit::Pool { addresses } => {
                let mut subnet = plain.subnets[0].clone();
                subnet.pools[0].range.last = address(POOL + addresses - 1);
                self.command(at, Command::Put(Record::Subnet(subnet)));
            }
            Edit::Plain => {
                self.command(at, Command::Put(Record::Lease(plain.lease)));
                self.command(at, Command::Put(Record::Subnet(plain.subnets[0].clone())));
                let kept = self.machines[at].settings().reservations.clone();
                for reservation in kept {
                    self.command(at, Command::Remove(RecordKey::Reservation(reservation.identifier)));
                }
            }
            Edit::Reconcile(keep) => {
                let first = self.machines[at].node.as_ref().and_then(|node| node.to_reconcile().into_iter().next());
                if let Some(item) = first {
                    self.command(at, Command::Reconcile { key: item.key, keep });
                }
            }
            Edit::Free { address: last } => {
                // Whoever holds it is gone: nobody is about to be given it either.
                let (now, address) = (self.now, address(last));
                let has_somebody = |client: &Client| client.claims_any(address, now) || client.asks_for(address);
                if last >= POOL && !self.clients.iter().any(has_somebody) {
                    self.command(at, Command::Free(address));
                }
            }
        }
    }

    pub fn is_declared(&mut self, at: usize) {
        (self.machines[at].declared, self.machines[at].was_told) = (true, false);
    }

    pub fn twin(&mut self, at: usize, says: TwinCommand) {
        match says {
            TwinCommand::DeclareDown | TwinCommand::Serve | TwinCommand::Unpair => {
                // The admin says only what is true, and only where the node can hear it.
                let can = self.machines[at].is_on() && self.machines[at].paused_until.is_none();
                if self.machines[1 - at].is_on() || !can {
                    return;
                }
                if says == TwinCommand::Serve && !matches!(self.machines[at].state(), Some(State::Recover | State::ShuttingDown))
                {
                    return;
                }
                // The other one's place is taken by somebody with a blank disk.
                // And nobody says so at one that was itself said to be off.
                let is_lost = self.machines[at].has_lost && !self.setup.both_may_be_lost;
                if says == TwinCommand::Unpair && (is_lost || self.machines[at].declared) {
                    return;
                }
            }
            // Whoever declared the other down is there when that one starts, until it has been told.
            TwinCommand::ShutDown if self.machines[1 - at].must_be_told() && self.machines[1 - at].is_on() => return,
            TwinCommand::Switch | TwinCommand::ShutDown | TwinCommand::Drill { .. } | TwinCommand::EndDrill => {}
        }
        self.command(at, Command::Twin(says));
        let is_taken = match says {
            TwinCommand::DeclareDown => self.machines[at].state() == Some(State::PartnerDown),
            TwinCommand::Serve => self.last_result_is_ok,
            TwinCommand::Unpair => {
                self.machines[at].key_is_forgotten = true;
                true
            }
            TwinCommand::Switch | TwinCommand::ShutDown | TwinCommand::Drill { .. } | TwinCommand::EndDrill => false,
        };
        if is_taken {
            if says == TwinCommand::DeclareDown {
                self.declaration = Some((self.commands, 1 - at, self.machines[1 - at].declared));
            }
            self.is_declared(1 - at);
        }
    }
}
