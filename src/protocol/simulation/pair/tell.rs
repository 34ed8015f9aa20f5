//! Events as a capture shows them.

use std::net::Ipv4Addr;

use super::step::Kinds;
use crate::protocol::{
    Change, Command,
    dhcp::code,
    failover::{Body, WireBinding},
    lease::{Binding, Version},
};

fn version(version: Version) -> String {
    format!("{}/{}", version.first, version.second)
}

fn wire(record: &WireBinding) -> String {
    let left = record.left_ms.map_or("for ever".into(), |ms| format!("{:.1} s", ms as f64 / 1000.0));
    let WireBinding { address, client, state, generation, .. } = record;
    format!("{address} {state:?} {client} {left} gen {generation} v{}", version(record.version))
}

fn binding(binding: &Binding) -> String {
    let Binding { address, client, state, generation, expiry, .. } = binding;
    format!("{address} {state:?} {client} until {} gen {generation} v{}", expiry.0, version(binding.version))
}

pub fn body(body: &Body) -> String {
    match body {
        Body::Heartbeat(heartbeat) => format!("heartbeat {:?}", heartbeat.state),
        Body::Update(update) => format!("update {}", wire(&update.record)),
        Body::Ack(ack) => {
            let instead = ack.instead.as_ref().map(|record| format!(", but has {}", wire(record))).unwrap_or_default();
            let v = version(ack.version);
            format!("ack {} {:?} {} gen {} v{v}{instead}", ack.address, ack.state, ack.client, ack.generation)
        }
        Body::Setting(entry) => format!("setting {:?} v{}", entry.key, version(entry.version)),
        Body::SettingAck(entry) => format!("setting ack {:?} v{}", entry.key, version(entry.version)),
        Body::GiveUp(given) => format!("gives up {} gen {} v{}", given.address, given.generation, version(given.version)),
        Body::ShuttingDown => "shuts down".into(),
        Body::Pull(pull) => format!("pull {} after {:?}", pull.number, pull.after),
        Body::Page(page) => {
            let records: Vec<String> = page.records.iter().map(wire).collect();
            let settings = page.settings.as_ref().map_or(0, Vec::len);
            format!(
                "page of pull {} ({:?}), {settings} settings, more: {}: [{}]",
                page.pull,
                page.state,
                page.more,
                records.join("; ")
            )
        }
    }
}

pub fn changes(changes: &[Change]) -> String {
    let one = |change: &Change| match change {
        Change::Bind(record) => binding(record),
        Change::Put(record) => format!("put {:?}", record.key()),
        Change::Remove(key) => format!("remove {key:?}"),
        Change::Setting(entry) => format!("setting {:?} v{}", entry.key, version(entry.version)),
        Change::GiveUp(given) => format!("gives up {} gen {} v{}", given.address, given.generation, version(given.version)),
        Change::Pair(memory) => format!("pair {memory:?}"),
        Change::Noted(noted) => format!("notes {:?}", noted.key),
    };
    changes.iter().map(one).collect::<Vec<_>>().join("; ")
}

pub fn command(command: &Command) -> String {
    match command {
        Command::Add(record) => format!("add {:?}", record.key()),
        Command::PutAll(records) => format!("put {:?}", records.iter().map(|record| record.key()).collect::<Vec<_>>()),
        Command::AddAll(records) => format!("add {:?}", records.iter().map(|record| record.key()).collect::<Vec<_>>()),
        Command::Put(record) => format!("put {:?}", record.key()),
        Command::Remove(key) => format!("remove {key:?}"),
        Command::Replace(_) => "replace all settings".into(),
        Command::Free(address) => format!("free {address}"),
        Command::Reconcile { .. } => "reconcile".into(),
        Command::Revert(_) => "revert".into(),
        Command::Twin(command) => format!("{command:?}"),
    }
}

pub fn kinds(kinds: Kinds) -> String {
    if kinds == Kinds::ALL {
        return "all".into();
    }
    let names = ["heartbeats", "updates", "acks", "settings", "setting acks", "give-ups", "shutdown notices", "pulls", "pages"];
    let named = names.iter().enumerate().filter(|(bit, _)| kinds.has(Kinds(1 << bit))).map(|(_, name)| *name);
    named.collect::<Vec<_>>().join(", ")
}

/// The address that a request names.
pub fn named_address(payload: &[u8]) -> String {
    let word = |at: usize| payload.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(Ipv4Addr::from);
    if let Some(ciaddr) = word(12).filter(|address| !address.is_unspecified()) {
        return format!(" {ciaddr}");
    }
    let mut at = 240;
    while let Some(&[option, len]) = payload.get(at..at + 2).and_then(|head| <&[u8; 2]>::try_from(head).ok()) {
        if option == code::REQUESTED_ADDRESS {
            return word(at + 2).map(|address| format!(" {address}")).unwrap_or_default();
        }
        at += 2 + usize::from(len);
    }
    String::new()
}
