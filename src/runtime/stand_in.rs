//! A node with a real database behind a real handle, for tests of those who show it: the server without its sockets.

use std::path::Path;

use tokio::sync::mpsc;

use super::{
    clock::WallTrust,
    handle::{Handle, Message, Saved},
    store::{self, Archive, Report},
};
use crate::{
    protocol::{Action, Event, Interface, Node, lease::Binding, node::differences, replica::Edited},
    settings::Settings,
};

/// Serves on a thread of its own until the last handle is gone. The database is in `folder`.
pub fn serve(folder: &Path, settings: &Settings, bindings: Vec<Binding>) -> (Handle, Archive) {
    store::make_folder(folder).expect("a folder for the test");
    let (mut store, loaded) = store::open(folder, WallTrust::Always).expect("a new database");
    store.commit_now(&differences(&Settings::default(), settings)).expect("it is written");
    let clock = loaded.clock;
    let (sender, mut reports) = mpsc::unbounded_channel();
    let archive = store.archive();
    let store = store.start(move |report| drop(sender.send(report))).expect("a thread");
    let (handle, mut inbox) = Handle::new();
    let mut node = Node::new(settings.clone(), bindings, clock.epoch(), clock.now());
    std::thread::spawn(move || {
        let mut out = Vec::new();
        let addresses = settings_addresses(node.settings());
        let interface =
            Interface { index: 1, name: "test0".into(), mac: Some([2, 0, 0, 0, 0, 1]), mtu: 1500, addresses, up: true };
        node.handle(clock.now(), Event::Interfaces(vec![interface]), &mut out);
        let mut next = 0;
        while let Some(message) = inbox.blocking_recv() {
            match message {
                Message::Read(look) => look(&node, &clock),
                Message::WhoHas { answered, .. } => drop(answered.send(Err("There is no network here.".into()))),
                Message::Submit { by, command, done } => {
                    next += 1;
                    let by = Edited { by, wall_ms: 1_700_000_000_000 };
                    node.handle(clock.now(), Event::Command { id: next, by, command }, &mut out);
                    let mut outcome = None;
                    while !out.is_empty() {
                        for action in std::mem::take(&mut out) {
                            match action {
                                Action::Commit(commit) => {
                                    store.commit([commit]).expect("there is room");
                                    while let Some(report) = reports.blocking_recv() {
                                        if let Report::Committed { up_to } = report {
                                            node.handle(clock.now(), Event::Committed { up_to }, &mut out);
                                            break;
                                        }
                                    }
                                }
                                Action::Done { result, change, .. } => outcome = Some(result.map(|()| Saved { change })),
                                Action::Reply(_) | Action::Probe { .. } | Action::Send(_) | Action::Decided(_) => {}
                            }
                        }
                    }
                    let _ = done.send(outcome.expect("every command is answered"));
                }
            }
        }
    });
    (handle, archive)
}

/// The first address of each network: this machine has it.
fn settings_addresses(settings: &Settings) -> Vec<ipnet::Ipv4Net> {
    let first =
        |network: ipnet::Ipv4Net| network.hosts().next().and_then(|host| ipnet::Ipv4Net::new(host, network.prefix_len()).ok());
    settings.subnets.iter().filter_map(|subnet| first(subnet.network)).collect()
}
