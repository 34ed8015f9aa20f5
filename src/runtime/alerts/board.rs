//! What was last seen around the node, and what was told of it: written by the watch, read by pages and by the light.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::protocol::{
    alerts::{Kind, Phase},
    time::Time,
};

#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<Around>,
}

#[derive(Debug, Clone, Default)]
pub struct Around {
    /// Other DHCP servers, at the last look.
    pub rivals: Vec<SeenRival>,
    /// `None`: nobody has looked yet.
    pub probed: Option<Time>,
    /// Why the last look did not come about.
    pub probe_trouble: Option<String>,
    /// Other machines that have an address of this one's, a sentence each.
    pub doubled: Vec<String>,
    /// When the newest backup was made.
    pub backup_made: Option<Time>,
    /// What holds now, the longest first.
    pub open: Vec<OpenAlert>,
    /// Those that are set up, by name.
    pub channels: BTreeMap<&'static str, ChannelState>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRival {
    pub interface: String,
    /// As it calls itself, or where its packet came from.
    pub server: Ipv4Addr,
    pub mac: String,
    pub offered: Ipv4Addr,
    pub routers: Vec<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
}

impl SeenRival {
    pub fn sentence(&self) -> String {
        let SeenRival { interface, server, mac, offered, .. } = self;
        format!("Another DHCP server, {server} ({mac}, on {interface}), offers {offered}.")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAlert {
    pub kind: Kind,
    pub subject: String,
    pub text: String,
    pub since: Time,
    /// Messages so far.
    pub told: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelState {
    pub waiting: usize,
    /// Messages that found no room.
    pub lost: u64,
    /// The last try.
    pub last: Option<Delivery>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub at: Time,
    pub kind: Kind,
    pub phase: Phase,
    /// Why it did not arrive, as a sentence.
    pub trouble: Option<String>,
}

impl Board {
    pub fn around(&self) -> Around {
        self.lock().clone()
    }

    /// For the light. One that has this one's address answers in its name.
    pub fn has_rival(&self) -> bool {
        let around = self.lock();
        !around.rivals.is_empty() || !around.doubled.is_empty()
    }

    /// Returns those that were not told before.
    pub fn note_doubled(&self, doubled: Vec<String>) -> Vec<String> {
        let mut around = self.lock();
        let before = std::mem::replace(&mut around.doubled, doubled);
        around.doubled.iter().filter(|sentence| !before.contains(sentence)).cloned().collect()
    }

    pub fn note_probe(&self, at: Time, outcome: Result<Vec<SeenRival>, String>) {
        let mut around = self.lock();
        around.probed = Some(at);
        // What was seen stays while nobody can look.
        match outcome {
            Ok(rivals) => (around.rivals, around.probe_trouble) = (rivals, None),
            Err(trouble) => around.probe_trouble = Some(trouble),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Around> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
