//! How a node is doing, for people.

use std::{collections::BTreeMap, time::Duration};

use super::{Node, TwinStatus};
use crate::protocol::{lease::Binding, time::Time};

/// How a node is doing, for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Status {
    /// Answering clients (on at least one interface).
    pub serving: bool,
    pub interfaces: Vec<String>,
    /// Why nothing new can be promised, as a sentence.
    pub trouble: Option<String>,
    /// What else somebody should look at, as sentences.
    pub notices: Vec<String>,
    /// Interfaces whose sockets cannot be opened, a sentence each.
    pub not_listening: Vec<String>,
    pub subnets: Vec<SubnetStatus>,
    pub commits_waiting: usize,
    /// Decisions since start, by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Datagrams since start that were no request, by cause.
    pub malformed: BTreeMap<String, u64>,
    /// `None`: this server has no twin.
    pub twin: Option<TwinStatus>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SubnetStatus {
    pub network: String,
    /// Addresses that can be given to anybody.
    pub pool_size: u64,
    /// How many of them are held.
    pub pool_used: u64,
    /// A device got none of them lately, because none was free for it.
    pub turned_away: bool,
}

/// Devices without an address ask again every minute or so.
const TURNED_AWAY_TOLD: Duration = Duration::from_secs(10 * 60);

impl Node {
    pub fn status(&self, now: Time) -> Status {
        let mut used = vec![0; self.plan.subnets().len()];
        let pool_of = |binding: &Binding| {
            let subnet = self.plan.subnet_of(binding.address)?;
            (binding.is_held(now) && self.plan.subnets()[subnet].is_dynamic(binding.address)).then_some(subnet)
        };
        for subnet in self.table.iter().filter_map(pool_of) {
            used[subnet] += 1;
        }
        // Kept addresses are few, leases are many, and this is asked for at every look: what is kept is taken off again.
        let kept = self.plan.kept_addresses().filter_map(|address| self.table.get(address));
        for subnet in kept.filter_map(pool_of) {
            used[subnet] -= 1;
        }
        let subnets = self.plan.subnets().iter().zip(used).map(|(plan, pool_used)| SubnetStatus {
            network: plan.subnet.network.to_string(),
            pool_size: plan.pool_size,
            pool_used,
            turned_away: self.turned_away.get(&plan.subnet.network).is_some_and(|since| now - *since < TURNED_AWAY_TOLD),
        });
        let mut interfaces: Vec<String> = self
            .interfaces
            .values()
            .filter(|plan| !plan.subnets.is_empty() && plan.interface.up)
            .filter(|plan| !self.not_listening.contains_key(&plan.interface.name))
            .map(|plan| plan.interface.name.clone())
            .collect();
        interfaces.sort_unstable();
        let twin = self.twin_status(now);
        let mut notices: Vec<String> = self.notices.iter().cloned().collect();
        if self.waits_for_twin {
            notices.push(
                "This server shall be one of two and has not met the other yet, so it answers nobody. Start the twin; or \
                 `twinlease twin serve`, if no device here has an address of it."
                    .into(),
            );
        }
        Status {
            serving: !self.waits_for_twin && !interfaces.is_empty() && twin.as_ref().is_none_or(|twin| twin.is_serving),
            interfaces,
            trouble: self.disk_trouble(now),
            notices,
            not_listening: self.not_listening.values().cloned().collect(),
            subnets: subnets.collect(),
            commits_waiting: self.undo.len(),
            outcomes: self.explain.outcomes(),
            malformed: self.explain.malformed.iter().map(|(cause, count)| (cause.to_string(), *count)).collect(),
            twin,
        }
    }
}
