//! The twin is one no more: the admin's word, its waits, and the way back to one alone (rules 10 and 12).
//!
//! ```text
//!   any state ── the admin's word ──► unpaired: the twin is not listened to any more, nor spoken to
//!     serving ──────────────────────► PartnerDown ── longest lease + MCLT + guard ──► one alone
//!     Startup, Recover: as before ──► serving, when their own waits are over
//! ```
//!
//! Until then it keeps its rank and all that it remembers, so that it can be paired anew, and a dead twin be replaced.

use super::super::{
    Node,
    durable::{Parked, Undo},
};
use crate::protocol::{
    Action, Change, Commit,
    failover::{State, partnership::Partnership},
    time::Time,
};

impl Node {
    pub(super) fn unpair(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &mut self.twin else { return };
        twin.memory.unpaired = true;
        twin.ended_session = twin.partner_session;
        (twin.last_heard, twin.pull) = (None, None);
        self.store_memory(now, out);
        self.without_twin(now, out);
    }

    /// Whoever serves and was unpaired counts its twin as down, and is one alone when the waits are over.
    pub(super) fn without_twin(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = self.twin.as_ref().filter(|twin| twin.memory.unpaired) else { return };
        match twin.state {
            State::Normal | State::CommunicationsInterrupted | State::Reconcile => self.partner_is_down(now, out),
            State::PartnerDown => self.dissolve(now, out),
            State::Alone | State::Startup | State::Recover | State::ShuttingDown | State::Drilled => {}
        }
    }

    /// Applied at once, as all changes: what leaves later waits for a later commit.
    fn dissolve(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = &self.twin else { return };
        let is_due = twin.dissolves_at().is_some_and(|at| now >= at);
        // What needs the pair when its commit is done, or is taken back, comes first.
        let is_busy = twin.proposals.values().any(|proposal| proposal.ack.is_some())
            || self.undo.iter().any(|(_, undo)| matches!(undo, Undo::Settings { .. }))
            || self.parked.iter().any(|(_, parked)| matches!(parked, Parked::Settle(_) | Parked::MemoryStored(_)));
        if !is_due || is_busy || self.trouble.is_some() {
            return;
        }
        let Some(twin) = self.twin.take() else { return };
        self.table.set_paired(&self.plan, false, now);
        let id = self.next_commit(now);
        out.push(Action::Commit(Commit { id, changes: vec![Change::Pair(None)] }));
        self.undo.push_back((id, Undo::Dissolved { twin }));
    }

    pub(in crate::protocol::node) fn dissolved(&mut self, twin: &Partnership) {
        let mut notice = "All that the former twin can have promised has run out: this is a server of its own again.".to_owned();
        let unsettled: Vec<String> =
            twin.replica.to_reconcile(twin.replica.assemble()).into_iter().map(|item| item.name).collect();
        if !unsettled.is_empty() {
            notice += " What is in force stays; what was still to be reconciled with it is gone: ";
            notice += &unsettled.join(", ");
            notice.push('.');
        }
        self.notice(notice);
    }

    /// The disk refused. It is tried again; one that was paired anew meanwhile stays so.
    pub(in crate::protocol::node) fn not_dissolved(&mut self, now: Time, twin: Box<Partnership>) {
        if self.twin.is_none() {
            self.twin = Some(twin);
            self.table.set_paired(&self.plan, true, now);
        }
    }
}
