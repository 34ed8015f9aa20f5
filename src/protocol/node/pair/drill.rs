//! The drill: this node is silent as if it had died, towards devices and its twin, for a time that it ends itself.
//!
//! To the twin it is a crash: a last heartbeat says that a drill begins, for people to read, and nothing else tells it apart. When
//! the time is up this node goes on as after a restart with its disk intact (rule 11): it looks for its twin, and pulls all before
//! it serves. A real restart ends the drill in the same way, since nothing on disk knows of it.

use std::{ops::RangeInclusive, time::Duration};

use super::super::Node;
use crate::protocol::{
    Action,
    failover::{State, partnership::Partnership},
    time::Time,
};

/// Shorter shows nothing; longer, and somebody forgets that it is a drill.
pub const DRILL_SECS: RangeInclusive<u32> = 30..=600;

/// One of the things that must hold when a drill begins.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Precheck {
    pub holds: bool,
    /// What holds, or what is in the way.
    pub text: String,
    /// While devices ask it may fail for a moment, again and again.
    #[serde(skip)]
    pub is_fleeting: bool,
}

impl Node {
    pub fn is_drilled(&self) -> bool {
        self.pair_state() == State::Drilled
    }

    /// All that must hold for a drill to begin.
    pub fn drill_prechecks(&self, now: Time) -> Vec<Precheck> {
        let check = |holds: bool, yes: &str, no: String| {
            let text = if holds { yes.into() } else { no };
            Precheck { holds, text, is_fleeting: false }
        };
        let Some(twin) = &self.twin else {
            return vec![check(false, "", "This server has no twin, so nobody would take over.".into())];
        };
        let partner = twin.partner.as_ref();
        let partner_state = partner.map_or(State::Alone, |partner| partner.state);
        let both_normal = twin.state == State::Normal && partner_state == State::Normal;
        let is_same = partner
            .is_some_and(|partner| partner.digest == self.table.digest() && partner.settings_digest == twin.replica.digest());
        let trouble = self.disk_trouble(now);
        let partner_in_trouble = partner.is_some_and(|partner| partner.in_trouble);
        let is_deaf = twin.partner_is_deaf(now);
        vec![
            check(
                both_normal,
                "Both twins are together.",
                match twin.state {
                    State::Normal => format!("The twins are not together yet: the other one is {partner_state}."),
                    state => format!("The twins are not together: this one is {state}."),
                },
            ),
            check(
                twin.in_contact(now),
                "The twin was heard a moment ago.",
                "The twin is not heard. Look whether it is on, and at its cable.".into(),
            ),
            Precheck {
                is_fleeting: true,
                ..check(
                    is_same,
                    "Both have the same leases and the same settings.",
                    "The twin does not have everything yet. Wait a few seconds.".into(),
                )
            },
            check(
                trouble.is_none(),
                "The disk of this one is well.",
                format!("This one has trouble with its disk: {}.", trouble.unwrap_or_default()),
            ),
            check(
                twin.in_contact(now) && partner.is_some() && !partner_in_trouble && !is_deaf,
                "The twin could answer alone.",
                if !twin.in_contact(now) {
                    "Whether the twin could answer alone is not known.".into()
                } else if is_deaf {
                    "The twin does not hear the devices that are heard here: look at its cable and its DHCP port.".into()
                } else {
                    "The twin could not promise anything new: look at its disk.".into()
                },
            ),
        ]
    }

    pub(super) fn start_drill(&mut self, now: Time, secs: u32, out: &mut Vec<Action>) -> Result<(), String> {
        if !DRILL_SECS.contains(&secs) {
            return Err(format!(
                "A drill of {secs} s is not possible. Choose {} s to {} min.",
                DRILL_SECS.start(),
                DRILL_SECS.end() / 60
            ));
        }
        if let Some(obstacle) = self.drill_prechecks(now).into_iter().find(|check| !check.holds) {
            return Err(format!("No drill now. {}", obstacle.text));
        }
        self.beat(now, Some(secs), out);
        let Some(twin) = &mut self.twin else { return Ok(()) };
        // Nobody is told what is on its way now, as after a crash.
        let addresses: Vec<_> = twin.proposals.keys().copied().collect();
        for address in addresses {
            twin.forget_proposal(address);
        }
        twin.drill_ends = now + Duration::from_secs(secs.into());
        self.enter(now, State::Drilled, out);
        if let Some(twin) = &mut self.twin {
            twin.next_heartbeat = twin.drill_ends;
        }
        Ok(())
    }

    /// As after a restart: the same disk, nothing of what was heard.
    pub(super) fn end_drill(&mut self, now: Time, out: &mut Vec<Action>) {
        let Some(twin) = self.twin.as_mut().filter(|twin| twin.state == State::Drilled) else { return };
        (twin.partner_session, twin.partner, twin.last_heard, twin.pulled, twin.pull) = (None, None, None, None, None);
        twin.serving_pull = None;
        twin.acked.clear();
        twin.unserved.clear();
        (twin.unheard_since, twin.partner_heard_moved) = (None, now);
        (twin.network_since, twin.may_serve_alone, twin.word_was_late) = (None, None, None);
        twin.booted = now;
        self.enter(now, State::Startup, out);
        self.twin_tick(now, out);
    }

    /// In a drill nothing leaves, whatever became due.
    pub(in crate::protocol::node) fn hold_tongue(&self, from: usize, out: &mut Vec<Action>) {
        let mut index = 0;
        out.retain(|action| {
            index += 1;
            let is_talk = matches!(action, Action::Reply(_) | Action::Send(_) | Action::Probe { .. });
            index <= from || !is_talk
        });
    }
}

impl Partnership {
    /// The last that was heard of the partner is that it falls silent for a drill; `None`: no, or that time is over.
    pub fn partner_drill_left(&self, now: Time) -> Option<Duration> {
        let secs = self.partner.as_ref()?.drill_secs?;
        let end = self.last_heard? + Duration::from_secs(secs.into());
        (now < end).then(|| end - now)
    }
}
