//! What an admin changes: checked, made durable, then answered.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
};

use super::{BindingChange, Node, Parked, history::reverted};
use crate::{
    protocol::{
        Action, Change, Command, TwinCommand,
        lease::BindingState,
        replica::{Edited, Keep},
        time::Time,
    },
    settings::{Record, Settings, check},
};

impl Node {
    pub(super) fn command(&mut self, now: Time, id: u64, by: &Edited, command: Command, out: &mut Vec<Action>) {
        let result = self.change_settings(now, id, by, command, out);
        if let Some(result) = result {
            out.push(Action::Done { id, result, change: None });
        }
    }

    /// `None`: on its way to the disk.
    fn change_settings(
        &mut self,
        now: Time,
        id: u64,
        by: &Edited,
        command: Command,
        out: &mut Vec<Action>,
    ) -> Option<Result<(), String>> {
        let needs_disk = command != Command::Twin(TwinCommand::EndDrill);
        if let Some(trouble) = self.disk_trouble(now).filter(|_| needs_disk) {
            return Some(Err(format!("Nothing was changed: {trouble}")));
        }
        let before = self.plan.settings.clone();
        let touched = match &command {
            Command::Add(record) | Command::Put(record) => Some(record.key()),
            Command::Remove(key) => Some(key.clone()),
            Command::AddAll(_)
            | Command::PutAll(_)
            | Command::Replace(_)
            | Command::Free(_)
            | Command::Twin(_)
            | Command::Reconcile { .. }
            | Command::Revert(_) => None,
        };
        let after = match command {
            Command::Add(record) => check::after_add(&before, record),
            Command::AddAll(records) => check::after_add_all(&before, records),
            Command::Put(record) => check::after_put(&before, record),
            Command::PutAll(records) => check::after_put_all(&before, records),
            Command::Remove(key) => check::after_remove(&before, &key),
            Command::Replace(settings) => {
                // No file says who may sign in.
                let settings = Settings { access: before.access.clone(), ..*settings };
                match check::check(&settings) {
                    findings if findings.is_empty() => Ok(settings),
                    findings => Err(findings),
                }
            }
            Command::Free(address) => return self.free(now, id, address, out),
            Command::Twin(command) => return self.twin_command(now, id, by, command, out),
            Command::Reconcile { key, keep } => return self.settle_setting(now, id, by, &key, keep, out),
            Command::Revert(reversals) => match reverted(&before, reversals) {
                Ok(after) => Ok(after),
                Err(refusal) => return Some(Err(refusal)),
            },
        };
        let after = match after {
            Ok(after) => after,
            Err(findings) => return Some(Err(findings.into_iter().map(|finding| finding.text).collect::<Vec<_>>().join("\n"))),
        };
        let changes = differences(&before, &after);
        if changes.is_empty() {
            // It says what is in force: where something else waits, that is a choice.
            return match touched.filter(|key| self.needs_decision(key)) {
                Some(key) => self.settle_setting(now, id, by, &key, Keep::InForce, out),
                None => Some(Ok(())),
            };
        }
        let (commit, change) = self.commit_settings(now, by, after, changes, out);
        self.parked.push_back((commit, Parked::Command { id, change }));
        None
    }

    /// The admin's word that the holder of this address is gone.
    fn free(&mut self, now: Time, id: u64, address: Ipv4Addr, out: &mut Vec<Action>) -> Option<Result<(), String>> {
        let Some(binding) = self.table.get(address).filter(|binding| binding.is_held(now)).cloned() else {
            return Some(Err(format!("{address} is held by nobody. Nothing to do.")));
        };
        if self.is_pending(address) {
            return Some(Err(format!(
                "{address} is in use: a device is just getting or renewing it. Try again when that device is gone."
            )));
        }
        let (client, hw) = (&binding.client, binding.hw);
        let released =
            BindingChange { address, client, hw, state: BindingState::Released, expiry: binding.expiry, host_name: None };
        let commit = self.bind(now, released, out);
        self.parked.push_back((commit, Parked::Command { id, change: None }));
        None
    }
}

/// The changes that turn one into the other. Removals first: an address or identifier that moves from one
/// reservation to another is free before it is taken.
pub fn differences(before: &Settings, after: &Settings) -> Vec<Change> {
    let (old, new) = (before.records(), after.records());
    let new_keys: BTreeSet<_> = new.iter().map(Record::key).collect();
    let removed = old.iter().map(Record::key).filter(|key| !new_keys.contains(key)).map(Change::Remove);
    let old_by_key: HashMap<_, _> = old.iter().map(|record| (record.key(), record)).collect();
    let moved = new.iter().filter(|record| match record {
        Record::Reservation(kept) => {
            matches!(old_by_key.get(&record.key()), Some(Record::Reservation(was)) if was.address != kept.address)
        }
        _ => false,
    });
    let freed = moved.map(|record| Change::Remove(record.key()));
    let put = new.iter().filter(|record| old_by_key.get(&record.key()) != Some(record)).cloned().map(Change::Put);
    removed.chain(freed).chain(put).collect()
}
