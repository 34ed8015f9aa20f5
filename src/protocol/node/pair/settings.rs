//! Settings that both twins hold: edits on either, merged record by record (rule 14).

use super::super::{
    Node,
    commands::differences,
    durable::{Parked, Undo},
};
use crate::{
    protocol::{
        Action, Change, Commit, CommitId,
        failover::{
            Body,
            partnership::{BATCH, Partnership, RESEND_AFTER},
        },
        replica::{Edited, Entry, Keep, Replica},
        time::Time,
    },
    settings::{RecordKey, Settings},
};

impl Node {
    /// Settings of before the pairing become what both hold.
    pub(super) fn enter_replica(&mut self, now: Time, joins: bool, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        if !twin.replica.entries().is_empty() {
            return;
        }
        twin.replica = Replica::bootstrap(&self.plan.settings, twin.memory.rank, &mut self.version, joins);
        let entries: Vec<Entry> = twin.replica.entries().values().cloned().collect();
        if entries.is_empty() {
            return;
        }
        let id = self.next_commit(now);
        self.sent.back_mut().expect("pushed above").2 = self.version;
        out.push(Action::Commit(Commit { id, changes: entries.into_iter().map(Box::new).map(Change::Setting).collect() }));
    }

    /// For a new twin in the place of another: as it has seen none of these, what it sets must not look newer than all of them.
    pub(super) fn renumber_settings(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let entries = twin.replica.renumbered(twin.memory.rank, &mut self.version);
        if entries.is_empty() {
            return;
        }
        let before = twin.hold_settings(&entries);
        let changes = entries.into_iter().map(Box::new).map(Change::Setting).collect();
        let settings = self.plan.settings.clone();
        self.put_settings(now, settings.clone(), settings, Some(before), changes, out);
    }

    /// Changes of settings with what the twin must be told of them, in one commit; and their number in the history.
    pub(in crate::protocol::node) fn commit_settings(
        &mut self,
        now: Time,
        by: &Edited,
        after: Settings,
        mut changes: Vec<Change>,
        out: &mut Vec<Action>,
    ) -> (CommitId, Option<u64>) {
        match &self.twin {
            None => {
                let before = self.plan.settings.clone();
                let (notes, step) = self.notes(&before, &after, &changes, |_| (by.clone(), false));
                changes.extend(notes);
                (self.put_settings(now, before, after, None, changes, out), step)
            }
            Some(twin) => {
                let entries = twin.replica.edit(&changes, twin.memory.rank, &mut self.version);
                self.commit_entries(now, by, entries, out)
            }
        }
    }

    /// In force is what all entries come to: an edit may bring back what was set aside because of a clash.
    fn commit_entries(
        &mut self,
        now: Time,
        by: &Edited,
        mut entries: Vec<Entry>,
        out: &mut Vec<Action>,
    ) -> (CommitId, Option<u64>) {
        entries.iter_mut().for_each(|entry| entry.edited = Some(by.clone()));
        let before = self.plan.settings.clone();
        let (mut after, mut replica_before) = (before.clone(), None);
        if let Some(twin) = &mut self.twin {
            replica_before = Some(twin.hold_settings(&entries));
            after = twin.replica.assemble().settings.clone();
        }
        let mut changes = differences(&before, &after);
        let (notes, step) = self.notes(&before, &after, &changes, |_| (by.clone(), false));
        changes.extend(entries.into_iter().map(Box::new).map(Change::Setting).chain(notes));
        (self.put_settings(now, before, after, replica_before, changes, out), step)
    }

    /// Edits of this setting contradict, or it clashes with others.
    pub(in crate::protocol::node) fn needs_decision(&self, key: &RecordKey) -> bool {
        let Some(twin) = &self.twin else { return false };
        let contradicts = twin.replica.entries().get(key).is_some_and(|entry| !entry.waiting().is_empty());
        contradicts || twin.replica.assemble().set_aside.iter().any(|aside| aside.key == *key)
    }

    /// An admin's choice between edits made apart.
    pub(in crate::protocol::node) fn settle_setting(
        &mut self,
        now: Time,
        id: u64,
        by: &Edited,
        key: &RecordKey,
        keep: Keep,
        out: &mut Vec<Action>,
    ) -> Option<Result<(), String>> {
        let Some(twin) = &self.twin else {
            return Some(Err("This server has no twin, so there is nothing to reconcile.".into()));
        };
        let assembled = twin.replica.assemble();
        let entry = match twin.replica.settle(key, keep, assembled, twin.memory.rank, &mut self.version) {
            Ok(entry) => entry,
            Err(refusal) => return Some(Err(refusal)),
        };
        let (commit, change) = self.commit_entries(now, by, vec![entry], out);
        self.parked.push_back((commit, Parked::Command { id, change }));
        None
    }

    fn put_settings(
        &mut self,
        now: Time,
        before: Settings,
        after: Settings,
        replica_before: Option<Box<Replica>>,
        changes: Vec<Change>,
        out: &mut Vec<Action>,
    ) -> CommitId {
        let commit = self.next_commit(now);
        if let Some(twin) = &self.twin {
            let numbers = changes.iter().map(|change| match change {
                Change::Setting(entry) => entry.version.of(twin.me()),
                Change::Bind(_) | Change::Put(_) | Change::Remove(_) | Change::GiveUp(_) | Change::Pair(_) | Change::Noted(_) => {
                    0
                }
            });
            let number = numbers.max().unwrap_or(0);
            self.version = self.version.max(number);
            self.sent.back_mut().expect("pushed above").2 = number;
        }
        self.set_settings(now, after);
        self.undo.push_back((commit, Undo::Settings { settings: Box::new(before), replica: replica_before }));
        out.push(Action::Commit(Commit { id: commit, changes }));
        if self.note_limits() {
            self.store_memory(now, out);
        }
        self.parked.push_back((self.last_commit, Parked::TellSettings));
        self.last_commit
    }

    /// A raised lead or lease time counts for the waits at once (rule 13). True: the memory changed.
    pub(super) fn note_limits(&mut self) -> bool {
        if self.plan.subnets().is_empty() {
            // Nobody can have been promised anything.
            return false;
        }
        let longest_lease = self.plan.settings.longest_lease();
        let mclt = self.plan.settings.twin.mclt;
        let Some(twin) = &mut self.twin else { return false };
        let before = (twin.memory.longest_mclt, twin.memory.longest_lease);
        let after = (before.0.max(mclt), before.1.max(longest_lease));
        (twin.memory.longest_mclt, twin.memory.longest_lease) = after;
        before != after
    }

    pub(in crate::protocol::node) fn tell_settings(&mut self, now: Time, out: &mut Vec<Action>) {
        self.send_settings(now, |sent| sent.is_none(), out);
    }

    pub(super) fn resend_settings(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.twin.as_ref().is_some_and(|twin| twin.pulled.is_some()) {
            self.send_settings(now, |sent| sent.is_none_or(|sent| now - sent >= RESEND_AFTER), out);
        }
    }

    fn send_settings(&mut self, now: Time, is_due: impl Fn(&Option<Time>) -> bool, out: &mut Vec<Action>) {
        if self.undo.iter().any(|(_, undo)| matches!(undo, Undo::Settings { .. })) {
            return;
        }
        let can_tell = |twin: &&mut Box<Partnership>| twin.in_contact(now) && twin.doubted_above().is_none();
        let Some(twin) = self.twin.as_mut().filter(can_tell) else { return };
        let due = twin.unconfirmed_settings.iter_mut().filter(|(_, sent)| is_due(sent)).take(BATCH);
        let due: Vec<RecordKey> = due
            .map(|(key, sent)| {
                *sent = Some(now);
                key.clone()
            })
            .collect();
        let entries: Vec<Entry> = due.iter().filter_map(|key| twin.replica.entries().get(key).cloned()).collect();
        for entry in entries {
            self.send(Body::Setting(Box::new(entry)), out);
        }
    }

    pub(super) fn setting_came(&mut self, now: Time, entry: Entry, out: &mut Vec<Action>) {
        let is_in_doubt = self.twin.as_ref().is_some_and(|twin| twin.doubted_above().is_some());
        if is_in_doubt || self.disk_trouble(now).is_some() {
            // As with records: it is sent again. What is in doubt here is compared with all that the twin has, at once.
            return;
        }
        self.settings_came(now, vec![entry.clone()], out);
        self.send_when_durable(Body::SettingAck(Box::new(entry)), out);
    }

    pub(super) fn setting_acked(&mut self, entry: &Entry) {
        let Some(twin) = &mut self.twin else { return };
        if twin.replica.entries().get(&entry.key).is_some_and(|mine| mine.version == entry.version) {
            twin.unconfirmed_settings.remove(&entry.key);
        }
    }

    /// Merges, and puts in force what comes out of it.
    pub(super) fn settings_came(&mut self, now: Time, entries: Vec<Entry>, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let (rank, doubted_above) = (twin.memory.rank, twin.doubted_above());
        if doubted_above.is_some() {
            let known = entries.iter().map(|entry| entry.version.of(rank)).max().unwrap_or(0);
            self.version = self.version.max(known);
        }
        let replica_before = Box::new(twin.replica.clone());
        let mut changed = Vec::new();
        for entry in entries.iter().filter(|entry| entry.is_sound()) {
            let ours = twin.replica.entries().get(&entry.key).map(|ours| ours.version.of(rank));
            let is_in_doubt = doubted_above.is_some_and(|above| ours.is_some_and(|ours| ours > above));
            let merged = match is_in_doubt {
                false => twin.replica.merge(entry),
                true => twin.replica.rejoin(entry, rank, &mut self.version),
            };
            if merged.theirs_is_older {
                twin.unconfirmed_settings.entry(entry.key.clone()).or_insert(None);
            } else {
                twin.unconfirmed_settings.remove(&entry.key);
            }
            if merged.changed {
                twin.replica.put(merged.entry.clone());
                changed.push(merged.entry);
            }
        }
        if changed.is_empty() {
            return;
        }
        let after = twin.replica.assemble().settings.clone();
        let before = self.plan.settings.clone();
        let mut changes = differences(&before, &after);
        let (notes, _) = self.notes(&before, &after, &changes, |key| (edited_there(&changed, key), true));
        changes.extend(changed.into_iter().map(Box::new).map(Change::Setting).chain(notes));
        self.put_settings(now, before, after, Some(replica_before), changes, out);
    }

    /// The other one becomes the active: an edit like any other.
    pub(super) fn switch_roles(&mut self, now: Time, id: u64, by: &Edited, out: &mut Vec<Action>) -> Option<Result<(), String>> {
        let mut after = self.plan.settings.clone();
        after.twin.active = after.twin.active.other();
        let changes = differences(&self.plan.settings, &after);
        let (commit, change) = self.commit_settings(now, by, after, changes, out);
        self.parked.push_back((commit, Parked::Command { id, change }));
        None
    }
}

/// Who made the edit on the twin that changed this setting here: its own one, or one that it clashes with.
fn edited_there(changed: &[Entry], key: &RecordKey) -> Edited {
    let entry = changed.iter().find(|entry| entry.key == *key).or(changed.first());
    entry.and_then(|entry| entry.edited.clone()).unwrap_or_default()
}
