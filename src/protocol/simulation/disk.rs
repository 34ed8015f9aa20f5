//! The store in the simulation: the contract of `runtime::store::writer`, and nothing of SQLite.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    ops::RangeInclusive,
    time::Duration,
};

use crate::{
    protocol::{
        Change, Commit, CommitId,
        failover::{GivenUp, Memory},
        lease::Binding,
        replica::Entry,
        time::Epoch,
    },
    settings::{RecordKey, Settings},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    Committed(CommitId),
    Failed(RangeInclusive<CommitId>),
    Recovered,
}

/// Once a write failed, all commits are refused until `resume`, which follows `Report::Recovered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Serving,
    Refusing,
    Healed,
}

#[derive(Debug, Clone)]
pub struct Disk {
    pub settings: Settings,
    pub bindings: BTreeMap<Ipv4Addr, Binding>,
    pub entries: BTreeMap<RecordKey, Entry>,
    pub given_up: BTreeMap<Ipv4Addr, GivenUp>,
    /// What the node knows of its pair.
    pub memory: Option<Memory>,
    /// Every record that was ever durable.
    pub history: Vec<Binding>,
    queue: VecDeque<Commit>,
    pub reports: VecDeque<Report>,
    mode: Mode,
    /// How long the machine was off before this epoch, as far as it is known.
    sleeps: Vec<(Epoch, Duration)>,
}

impl Disk {
    pub fn new(settings: Settings) -> Disk {
        Disk {
            settings,
            bindings: BTreeMap::new(),
            entries: BTreeMap::new(),
            given_up: BTreeMap::new(),
            memory: None,
            history: Vec::new(),
            queue: VecDeque::new(),
            reports: VecDeque::new(),
            mode: Mode::Serving,
            sleeps: Vec::new(),
        }
    }

    /// What the node stamped in an earlier epoch, it has aged by what it knows of its sleep: written is what it was then.
    pub fn hand_over(&mut self, mut commit: Commit) {
        let age =
            |epoch: Epoch| self.sleeps.iter().filter(|(before, _)| epoch < *before).map(|(_, slept)| *slept).sum::<Duration>();
        for change in &mut commit.changes {
            match change {
                Change::Bind(binding) => {
                    binding.since = binding.since + age(binding.epoch);
                    binding.expiry = binding.expiry + age(binding.epoch);
                }
                Change::Pair(Some(memory)) => {
                    for (since, epoch) in memory.stamps() {
                        *since = *since + age(*epoch);
                    }
                }
                Change::Pair(None)
                | Change::Put(_)
                | Change::Remove(_)
                | Change::Setting(_)
                | Change::GiveUp(_)
                | Change::Noted(_) => {}
            }
        }
        self.queue.push_back(commit);
    }

    /// One transaction of what came first.
    pub fn write(&mut self, commits: usize) {
        if self.mode != Mode::Serving {
            return self.refuse();
        }
        let mut last = None;
        for commit in self.queue.drain(..commits.min(self.queue.len())) {
            last = Some(commit.id);
            for change in commit.changes {
                match change {
                    Change::Bind(binding) => {
                        self.history.push(binding.clone());
                        self.bindings.insert(binding.address, binding);
                    }
                    Change::Put(record) => self.settings.put(record),
                    Change::Remove(key) => self.settings.remove(&key),
                    Change::Setting(entry) => drop(self.entries.insert(entry.key.clone(), *entry)),
                    Change::GiveUp(given_up) => drop(self.given_up.insert(given_up.address, given_up)),
                    Change::Pair(memory) => {
                        if memory.is_none() {
                            self.entries.clear();
                            self.given_up.clear();
                        }
                        self.memory = memory;
                    }
                    Change::Noted(_) => {}
                }
            }
        }
        self.reports.extend(last.map(Report::Committed));
    }

    pub fn fail(&mut self) {
        if !self.queue.is_empty() || self.mode != Mode::Serving {
            self.mode = Mode::Refusing;
            self.refuse();
        }
    }

    fn refuse(&mut self) {
        if let (Some(first), Some(last)) = (self.queue.front(), self.queue.back()) {
            self.reports.push_back(Report::Failed(first.id..=last.id));
            self.queue.clear();
        }
    }

    pub fn heal(&mut self) {
        if self.mode == Mode::Refusing {
            self.refuse();
            self.mode = Mode::Healed;
            self.reports.push_back(Report::Recovered);
        }
    }

    /// The commits that wait for the next transaction.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The node has dealt with `Recovered`.
    pub fn resume(&mut self) {
        if self.mode == Mode::Healed {
            self.refuse();
            self.mode = Mode::Serving;
        }
    }

    /// What was not written is gone. The records, aged by all sleep that is known.
    pub fn after_crash(&mut self) -> Vec<Binding> {
        self.queue.clear();
        self.reports.clear();
        self.mode = Mode::Serving;
        let aged = self.bindings.values().cloned().map(|mut binding| {
            for (_, slept) in self.sleeps.iter().filter(|(before, _)| binding.epoch < *before) {
                binding.since = binding.since.earlier(*slept);
                binding.expiry = binding.expiry.earlier(*slept);
            }
            binding
        });
        aged.collect()
    }

    /// What the node knew of its pair, its times aged as those of the records.
    pub fn memory_after_crash(&self) -> Option<Memory> {
        let mut memory = self.memory.clone()?;
        for (since, epoch) in memory.stamps() {
            for (_, slept) in self.sleeps.iter().filter(|(before, _)| *epoch < *before) {
                *since = since.earlier(*slept);
            }
        }
        Some(memory)
    }

    pub fn slept(&mut self, before: Epoch, slept: Duration) {
        self.sleeps.push((before, slept));
    }
}
