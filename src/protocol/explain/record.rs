//! The last decisions of each device, bounded in all, repeats folded.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde::Serialize;

use super::{Asked, Outcome, Step};
use crate::protocol::{Map, dhcp::Malformed, lease::HwAddr, time::Time};

/// Decisions kept for one device.
pub const MAX_PER_DEVICE: usize = 16;
/// Decisions kept in all; the device that was silent for longest is forgotten first, of those that were heard but once.
pub const MAX_DECISIONS: usize = 4096;
/// So many that were heard but once count as newcomers, not as made-up senders: each of them may be about to be heard again.
const NEWCOMERS: usize = 512;

/// One decision with the way that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub at: Time,
    pub hw: HwAddr,
    /// The name the device gave itself, or the name of its kept address.
    pub name: Option<Box<str>>,
    pub asked: Asked,
    pub xid: u32,
    pub steps: Vec<Step>,
    pub outcome: Outcome,
    /// How often the same was asked and answered again since, folded into this one.
    pub repeats: u32,
    pub last_at: Time,
}

impl Decision {
    fn same_as(&self, other: &Decision) -> bool {
        self.asked == other.asked && same_outcome(&self.outcome, &other.outcome)
    }
}

/// Equal but for figures that run with the clock.
fn same_outcome(a: &Outcome, b: &Outcome) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && a.name() == b.name() && a.address() == b.address()
}

/// The last decisions of each device, bounded in all.
#[derive(Debug, Default)]
pub struct Explain {
    devices: Map<HwAddr, Device>,
    /// Devices by when they last got a decision: (sequence, device).
    order: BTreeMap<u64, HwAddr>,
    /// The sequences in `order` of those that were heard but once. Looked for among all at each packet, they would cost more than
    /// all else that a packet costs.
    once: BTreeSet<u64>,
    sequence: u64,
    kept: usize,
    /// Datagrams that were no request, by cause.
    pub malformed: BTreeMap<Malformed, u64>,
    /// Decisions by what was asked and `Outcome::name`.
    pub packets: BTreeMap<(Asked, &'static str), u64>,
}

#[derive(Debug, Default)]
struct Device {
    sequence: u64,
    decisions: VecDeque<Arc<Decision>>,
}

impl Explain {
    /// Keeps a decision. Returns it, as it now stands, where it is worth a line in the log: it is new, or it
    /// was repeated 10, 100, 1000 … times.
    pub fn record(&mut self, decision: Decision) -> Option<Arc<Decision>> {
        *self.packets.entry((decision.asked, decision.outcome.name())).or_default() += 1;
        self.sequence += 1;
        let device = self.devices.entry(decision.hw).or_default();
        self.order.remove(&device.sequence);
        self.once.remove(&device.sequence);
        device.sequence = self.sequence;
        self.order.insert(self.sequence, decision.hw);
        if device.decisions.is_empty() {
            self.once.insert(self.sequence);
        }
        if let Some(last) = device.decisions.back_mut()
            && last.same_as(&decision)
        {
            let last = Arc::make_mut(last);
            last.repeats += 1;
            last.last_at = decision.at;
            last.steps = decision.steps;
            last.outcome = decision.outcome;
            last.xid = decision.xid;
            let power_of_ten = last.repeats >= 10 && last.repeats == 10u32.pow(last.repeats.ilog10());
            // Renewals are worth a line each; the same question over and over is not.
            return (power_of_ten || matches!(last.outcome, Outcome::Acked { .. }))
                .then(|| device.decisions.back().expect("just looked at").clone());
        }
        if device.decisions.len() == MAX_PER_DEVICE {
            device.decisions.pop_front();
            self.kept -= 1;
        }
        let decision = Arc::new(decision);
        device.decisions.push_back(decision.clone());
        self.kept += 1;
        while self.kept > MAX_DECISIONS
            && let Some((sequence, hw)) = self.least_missed()
        {
            self.order.remove(&sequence);
            self.once.remove(&sequence);
            self.kept -= self.devices.remove(&hw).map_or(0, |device| device.decisions.len());
        }
        Some(decision)
    }

    /// The one that was silent for longest, of those that were heard but once where these are many: made-up senders shall not push
    /// out the household.
    fn least_missed(&self) -> Option<(u64, HwAddr)> {
        let (longest_ago, hw) = self.order.first_key_value()?;
        let made_up = self.once.first().filter(|_| self.once.len() > NEWCOMERS);
        Some(made_up.map_or((*longest_ago, *hw), |sequence| (*sequence, self.order[sequence])))
    }

    /// Decisions by `Outcome::name`.
    pub fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        let mut outcomes = BTreeMap::new();
        for ((_, outcome), count) in &self.packets {
            *outcomes.entry(*outcome).or_default() += count;
        }
        outcomes
    }

    /// Oldest first.
    pub fn of_device(&self, hw: HwAddr) -> impl Iterator<Item = &Arc<Decision>> {
        self.devices.get(&hw).into_iter().flat_map(|device| &device.decisions)
    }

    /// Those of the device that was heard last come first; of each the oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Decision>> {
        self.devices().flat_map(|hw| self.of_device(hw))
    }

    /// Devices with decisions kept, the latest first.
    pub fn devices(&self) -> impl Iterator<Item = HwAddr> {
        self.order.values().rev().copied()
    }
}
