//! The judge: looks at what clients were told, at both disks and at both nodes, and knows the true time.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    super::{device::Heard, disk::Disk},
    step::{name, rank},
    world::World,
};
use crate::protocol::{
    Change, Command, Commit, TwinCommand,
    failover::{
        Body, State,
        loose::{Rule, is_loose},
        merge::state_told,
    },
    lease::{BindingState, ClientId, HwAddr},
    time::Time,
};
use crate::settings::{Record, RecordKey};

/// Clocks that run too fast, and a server that counts whole seconds.
pub const TOLERANCE: Duration = Duration::from_millis(1400);
/// The same for what the partner's disk knows: merging lets a second pass, for which the guard is there.
const RULE_2_TOLERANCE: Duration = Duration::from_millis(2600);
/// Commits that a disk which stands still may be given to hold.
const MAX_WAITING: usize = 4096;

#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub events: u64,
    pub acks: u64,
    /// Judged against what the partner's disk knew.
    pub by_rule_2: u64,
}

/// A record as it is known by its numbers: who told it, of which address.
pub type Numbered = (usize, Ipv4Addr, [u64; 2]);
/// What the numbers stand for. Its times are not part of it: they are promised by rule 2.
pub type Told = (ClientId, u32, BindingState);

/// What an admin wanted last of a setting.
#[derive(Debug)]
pub struct LastEdit {
    pub at: usize,
    /// The command's number.
    id: u64,
    record: Option<Record>,
    /// The admin was told that it is done.
    is_acknowledged: bool,
}

impl World {
    /// An admin says something. Whatever is said of a setting later may take the place of what was said before: that is judged no more.
    pub fn note_edit(&mut self, at: usize, command: &Command) {
        let (key, record) = match command {
            Command::Put(record) => (record.key(), Some(record.clone())),
            Command::Remove(key) => (key.clone(), None),
            Command::Reconcile { key, .. } => return drop(self.edits.remove(key)),
            Command::Twin(TwinCommand::Switch) => return drop(self.edits.remove(&RecordKey::Twin)),
            _ => return,
        };
        self.edits.remove(&key);
        // What changes nothing is no edit.
        if self.machines[at].settings().record(&key) != record {
            self.edits.insert(key, LastEdit { at, id: self.commands, record, is_acknowledged: false });
        }
    }

    pub fn edit_is_answered(&mut self, id: u64, is_ok: bool) {
        if is_ok {
            self.edits.values_mut().filter(|edit| edit.id == id).for_each(|edit| edit.is_acknowledged = true);
        }
    }

    /// One is alone again: what waited for a choice between two, or was set aside, is gone, and it says so.
    pub fn choices_are_dropped(&mut self, at: usize) {
        let Disk { entries, settings, .. } = &self.machines[at].drive.disk;
        self.edits.retain(|key, edit| {
            entries.get(key).is_none_or(|entry| {
                let is_set_aside = entry.record == edit.record && settings.record(key) != edit.record;
                !is_set_aside && !entry.waiting().contains(&&edit.record)
            })
        });
    }

    /// Both are well again: what was acknowledged, and nobody changed since, is in force, or waits for somebody to choose.
    pub fn judge_edits(&mut self) {
        for (key, edit) in std::mem::take(&mut self.edits) {
            let is_there = |disk: &Disk| match disk.entries.get(&key) {
                Some(entry) => entry.record == edit.record || entry.waiting().contains(&&edit.record),
                // The pair has it from there at the next start, where the disk took the one and not the other.
                None => disk.settings.record(&key) == edit.record,
            };
            let is_lost = !self.machines.iter().all(|machine| is_there(&machine.drive.disk));
            if edit.is_acknowledged && is_lost {
                let entries = self.machines.each_ref().map(|machine| machine.drive.disk.entries.get(&key).cloned());
                self.fail(|| format!("EDIT: {edit:?} of {key:?} was acknowledged, and is nowhere: {entries:?}"));
            }
        }
    }

    /// A number stands for one record. Not where both have numbered it: two that merge what they made apart may come to differ for a moment.
    /// And one that lost its disk twice counts from the same number on again, and knows so (w48).
    pub fn judge_numbers(&mut self, at: usize, body: &Body) {
        let Some(all) = &mut self.told else { return };
        let records = match body {
            Body::Update(update) => std::slice::from_ref(&update.record),
            Body::Page(page) => &page.records,
            _ => return,
        };
        for record in records.iter().filter(|record| record.version.first == 0 || record.version.second == 0) {
            let numbered = (at, record.address, [record.version.first, record.version.second]);
            let told = (record.client.clone(), record.generation, state_told(record.state));
            let before = all.entry(numbered).or_insert_with(|| told.clone());
            if *before != told {
                let before = before.clone();
                return self.fail(|| format!("NUMBER: {} tells {told:?} by the numbers of {before:?}", name(at)));
            }
        }
    }

    /// An ACK leaves now.
    pub fn judge_promise(&mut self, at: usize, who: usize, heard: &Heard) {
        self.tally.acks += 1;
        if self.machines[at].state() == Some(State::Drilled) {
            self.fail(|| format!("DRILLED: {} promises something to client {who} in a drill", name(at)));
        }
        let (now, address) = (self.now, heard.address);
        let end = now + Duration::from_secs(heard.secs.into());
        let hw = HwAddr::ethernet(heard.mac);

        let told = self.machines[at].node_now(now) + Duration::from_secs(heard.secs.into());
        let is_its = |binding: &&crate::protocol::lease::Binding| binding.address == address && binding.hw == hw;
        let is_durable = self.machines[at]
            .drive
            .disk
            .history
            .iter()
            .rev()
            .filter(is_its)
            .any(|binding| binding.state.is_lease() && told <= binding.expiry + TOLERANCE);
        if !is_durable {
            self.fail(|| format!("DURABLE: {} acks {address} to client {who} before its commit", name(at)));
        }

        let holder = self.clients.iter().enumerate().filter(|(other, _)| *other != who).find_map(|(other, client)| {
            let claim = client.claims.iter().find(|claim| claim.address == address && now + TOLERANCE < claim.end)?;
            Some((other, claim.by, now.until(claim.end).as_secs()))
        });
        if let Some((other, by, secs)) = holder {
            self.fail(|| {
                format!(
                    "DOUBLE: {} promises {address} to client {who}, which client {other} has from {} for {secs} s more",
                    name(at),
                    name(by)
                )
            });
        }
        self.judge_rule_2(at, who, address, end);
    }

    /// No promise goes further than what the partner's disk knows of this client and generation, or now and MCLT.
    fn judge_rule_2(&mut self, at: usize, who: usize, address: Ipv4Addr, end: Time) {
        let partner = &self.machines[1 - at];
        let Some(node) = &self.machines[at].node else { return };
        if partner.has_lost
            || self.machines[at].has_lost
            || is_loose(Rule::W20)
            || self.machines[at].state() == Some(State::Alone)
        {
            return;
        }
        let Some(record) = node.leases().get(address) else { return };
        // Where it has written nothing of the pair yet, it would start as one that has forgotten, and wait for what is set.
        let set = Duration::from_secs(self.setup.mclt_secs.into());
        let mclt = partner.drive.disk.memory.as_ref().map_or(set, |memory| memory.longest_mclt);
        let known = match partner.drive.known.get(&address) {
            Some(known) if !known.is_certain => return,
            Some(known) if known.is_promise && known.client == record.client && known.generation == record.generation => {
                Time(known.end.unwrap_or(u64::MAX))
            }
            Some(_) | None => Time(0),
        };
        self.tally.by_rule_2 += 1;
        if end > known.max(self.now + mclt) + RULE_2_TOLERANCE {
            let secs = self.now.until(known).as_secs();
            self.fail(|| {
                format!("RULE2: {} promises {address} to client {who}, of which the other's disk knows {secs} s", name(at))
            });
        }
    }

    /// Something is on its way to a disk.
    pub fn judge_commit(&mut self, at: usize, commit: &Commit) {
        for change in &commit.changes {
            if let Change::Pair(Some(memory)) = change {
                let before = self.machines[at].drive.disk.memory.as_ref().and_then(|memory| memory.forgot);
                if memory.rank != rank(at) {
                    self.fail(|| format!("RANK: {} changes its rank", name(at)));
                }
                let is_false = memory.forgot.is_some() && before.is_none() && !self.machines[at].has_lost_numbers;
                if is_false {
                    self.fail(|| {
                        format!("FALSE-RECOVER: {} believes to have forgotten ({:?}), and has its disk", name(at), memory.forgot)
                    });
                }
            }
        }
    }

    /// After each step: nothing that was promised is forgotten, and nothing grows without bound.
    pub fn judge(&mut self) {
        let now = self.now;
        for who in 0..self.clients.len() {
            for claim in self.clients[who].claims.clone() {
                let machine = &self.machines[claim.by];
                let Some(node) = &machine.node else { continue };
                let is_judged = !claim.is_forgotten && machine.clock.is_confirmed && now + TOLERANCE < claim.end;
                if !is_judged {
                    continue;
                }
                let hw = self.clients[who].device.hw();
                let is_known = node.leases().get(claim.address).is_some_and(|record| {
                    let end = machine.clock.truth_of_expiry(now, record.expiry);
                    record.hw == hw && end.is_none_or(|end| claim.end <= Time(end) + TOLERANCE)
                });
                if !is_known {
                    let record = format!("{:?}", node.leases().get(claim.address));
                    let left = now.until(claim.end).as_secs();
                    self.fail(|| {
                        format!(
                            "FORGOTTEN: {} promised {} to client {who} for {left} s more, and has: {record}",
                            name(claim.by),
                            claim.address
                        )
                    });
                }
            }
        }
        for at in [0, 1] {
            let waiting = self.machines[at].drive.disk.waiting();
            if waiting > MAX_WAITING {
                self.fail(|| format!("BOUND: {waiting} commits wait for the disk of {}", name(at)));
            }
        }
    }
}
