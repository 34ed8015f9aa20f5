//! Everything the partner knows, page by page, from what is on its disk (rules 2, 7 and 11).

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use super::super::{
    Node,
    durable::{Parked, Undo},
};
use crate::protocol::{
    Action,
    failover::{
        Body, Heartbeat, Page, Pull, State,
        loose::{Rule, is_loose},
        merge::{from_wire, to_wire},
        partnership::{BATCH, PullUnderWay},
    },
    lease::{Binding, BindingState},
    time::Time,
};

/// A page that has not come by then is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Node {
    /// From the beginning. Until a record turns out to be the same on both, it counts as not confirmed.
    pub(super) fn start_pull(&mut self, now: Time, out: &mut Vec<Action>) {
        let records: Vec<Ipv4Addr> = self.table.iter().map(|record| record.address).collect();
        let Some(twin) = &mut self.twin else { return };
        for address in records {
            twin.unconfirmed.entry(address).or_insert(None);
        }
        for key in twin.replica.entries().keys() {
            twin.unconfirmed_settings.entry(key.clone()).or_insert(None);
        }
        twin.pulls += 1;
        twin.pull = Some(PullUnderWay { number: twin.pulls, after: None, asked: now });
        self.ask(out);
    }

    fn ask(&mut self, out: &mut Vec<Action>) {
        let Some(pull) = self.twin.as_ref().and_then(|twin| twin.pull) else { return };
        self.send(Body::Pull(Pull { number: pull.number, after: pull.after }), out);
    }

    /// Starts what is due, and asks again for a page that does not come.
    pub(super) fn keep_pulling(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let wants = match twin.state {
            State::Recover | State::Reconcile => twin.pulled.is_none(),
            State::Normal => twin.pull.is_some(),
            State::Alone
            | State::Startup
            | State::CommunicationsInterrupted
            | State::PartnerDown
            | State::ShuttingDown
            | State::Drilled => false,
        };
        // What came of the last one is on its way to the disk.
        let is_stored = !self.parked.iter().any(|(_, parked)| matches!(parked, Parked::Pulled { .. }));
        if !wants || !is_stored || !twin.in_contact(now) || self.trouble.is_some() {
            return;
        }
        match &mut twin.pull {
            None => self.start_pull(now, out),
            Some(pull) if now - pull.asked >= ASK_AGAIN => {
                pull.asked = now;
                self.ask(out);
            }
            Some(_) => {}
        }
    }

    /// The partner asks. Nothing is told while this node counts it as down, in memory or on disk (rule 10).
    pub(super) fn pulled_from(&mut self, now: Time, pull: Pull, out: &mut Vec<Action>) {
        if self.trouble.is_none() && self.disk_trouble(now).is_some() {
            // What waits for a disk that stands still may be newer than what is on it: one that has forgotten must not
            // count on the old.
            return;
        }
        let Some(twin) = &mut self.twin else { return };
        let may_pull = match twin.state {
            State::Startup | State::PartnerDown | State::Alone | State::ShuttingDown | State::Drilled => false,
            State::Recover | State::Normal | State::CommunicationsInterrupted | State::Reconcile => true,
        };
        if !may_pull || (twin.down_on_disk && !is_loose(Rule::W28)) {
            return;
        }
        let is_silent = |partner: &Heartbeat| matches!(partner.state, State::Startup | State::Recover);
        let waits_for_this = twin.state != State::Recover && twin.partner.as_ref().is_some_and(is_silent);
        if twin.memory.served_unknowing && twin.pulled.is_none() && waits_for_this && !is_loose(Rule::W53) {
            // What is not known here may be given this moment to a second client. Who is silent can wait until that is over.
            return;
        }
        let has_forgotten = twin.partner.as_ref().is_some_and(|partner| partner.forgot.is_some());
        if has_forgotten && twin.on_disk.one_forgot != twin.memory.one_forgot {
            // With all records it may serve again, and nothing would tell of its loss after a start of this node (rule 5).
            return;
        }
        let is_first = pull.after.is_none() || twin.serving_pull.as_ref().is_none_or(|(number, _)| *number != pull.number);
        if is_first {
            let mut addresses: Vec<Ipv4Addr> = self.table.iter().map(|record| record.address).collect();
            addresses.sort_unstable();
            twin.serving_pull = Some((pull.number, addresses));
        }
        let Some((_, addresses)) = &twin.serving_pull else { return };
        let start = pull.after.map_or(0, |after| addresses.partition_point(|address| *address <= after));
        let page = addresses[start..(start + BATCH).min(addresses.len())].to_vec();
        let more = start + page.len() < addresses.len();
        let on_disk = self.images_on_disk(&page);
        let records = page.iter().filter_map(|address| {
            let record = self.table.get(*address);
            match on_disk.get(address) {
                Some(Some(image)) => Some(as_confirmed(image, record)),
                Some(None) => None,
                None => record.cloned(),
            }
        });
        let records = records.map(|record| to_wire(&record, now)).collect();
        let settings_are_on_disk = !self.undo.iter().any(|(_, undo)| matches!(undo, Undo::Settings { .. }));
        if !more && !settings_are_on_disk {
            // Asked for again in a moment, when they are.
            return;
        }
        let Some(twin) = &mut self.twin else { return };
        let page = Page {
            pull: pull.number,
            after: pull.after,
            records,
            // What is in doubt is told when it has a number of its own.
            settings: (!more).then(|| match twin.doubted_above() {
                None => twin.replica.entries().values().cloned().collect(),
                Some(_) => Vec::new(),
            }),
            more,
            state: twin.state,
            forgot: twin.memory.forgot,
        };
        if !more {
            twin.serving_pull = None;
        }
        self.send(Body::Page(Box::new(page)), out);
    }

    /// Records with a commit under way, as they are on disk: what was there before the first of them.
    fn images_on_disk(&self, page: &[Ipv4Addr]) -> BTreeMap<Ipv4Addr, Option<Binding>> {
        let mut images = BTreeMap::new();
        let (Some(first), Some(last)) = (page.first(), page.last()) else { return images };
        if is_loose(Rule::W30) {
            return images;
        }
        for (_, undo) in &self.undo {
            if let Undo::Binding { address, before } = undo
                && first <= address
                && address <= last
            {
                images.entry(*address).or_insert_with(|| before.clone());
            }
        }
        images
    }

    pub(super) fn page_came(&mut self, now: Time, page: Page, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        let Some(pull) = twin.pull.as_mut().filter(|pull| pull.number == page.pull && pull.after == page.after) else { return };
        let last = page.records.last().map(|record| record.address);
        if page.more {
            let Some(last) = last else { return };
            (pull.after, pull.asked) = (Some(last), now);
        }
        let mut changed = Vec::new();
        for record in page.records {
            let Some(twin) = &mut self.twin else { return };
            let address = record.address;
            if twin.proposals.contains_key(&address) {
                if !twin.memory.served_unknowing || is_loose(Rule::W53) {
                    continue;
                }
                // Made without knowing this: its client asks again.
                twin.forget_proposal(address);
            }
            let mine = self.table.get(address);
            let is_older = mine.is_none_or(|mine| mine.generation < record.generation);
            let is_unasked_proposal = record.state == BindingState::Tentative
                && twin.owns(address)
                && mine.is_none_or(|mine| is_older || mine.state == BindingState::Free && mine.generation == record.generation);
            if is_unasked_proposal {
                // Confirmed by nobody, so it is no lease here. But that the address was freed before, this node may have forgotten.
                if is_older {
                    let (me, partner) = (twin.me(), twin.me().other());
                    let before = mine.map(|mine| mine.version).unwrap_or_default();
                    let mut freed = Binding { state: BindingState::Free, ..from_wire(record, now, self.epoch) };
                    freed.version.set(me, freed.version.of(me).max(before.of(me)));
                    freed.version.set(partner, before.of(partner));
                    self.version = self.version.max(freed.version.of(me));
                    changed.push(freed);
                }
                continue;
            }
            changed.extend(self.merged(now, from_wire(record, now, self.epoch)));
        }
        if !changed.is_empty() {
            self.put(now, changed, false, out);
        }
        if page.more {
            return self.ask(out);
        }
        if let Some(entries) = page.settings {
            if let Some(twin) = self.twin.as_mut().filter(|twin| twin.doubted_above().is_some()) {
                // The twin has heard of numbers that no setting may have any more after this.
                twin.memory.own_number = twin.memory.own_number.max(self.version);
                self.store_memory(now, out);
            }
            self.settings_came(now, entries, out);
        }
        let Some(twin) = &mut self.twin else { return };
        twin.pull = None;
        let Some(of) = twin.partner_session else { return };
        // What is known now must be on disk before it counts.
        self.store_memory(now, out);
        self.parked.push_back((self.last_commit, Parked::Pulled { of, state: page.state, forgot: page.forgot }));
    }
}

/// What the partner has confirmed is a lease, though the disk still has it as a proposal: one that lost its own word of it since
/// must not take the address for free.
fn as_confirmed(image: &Binding, record: Option<&Binding>) -> Binding {
    let is_confirmed = image.state == BindingState::Tentative
        && record.is_some_and(|record| {
            record.state == BindingState::Leased && record.client == image.client && record.generation == image.generation
        });
    let state = if is_confirmed && !is_loose(Rule::W55) { BindingState::Leased } else { image.state };
    Binding { state, ..image.clone() }
}
