//! A node behind a handle, for the tests of those who hold one: its disk is at once done, and no packet comes.

use super::{Handle, Message, Saved};
use crate::{
    protocol::{Action, Event, Interface, Node, replica::Edited, time::Epoch},
    runtime::clock::{Clock, Reading, WallTrust},
    settings::Settings,
};

/// Serves 192.0.2.0/24 on `eth0`, where the settings have that subnet.
pub fn handle(settings: Settings) -> Handle {
    handle_of(settings, |_| {})
}

/// `prepare`: what else is so with this node.
pub fn handle_of(settings: Settings, prepare: impl FnOnce(&mut Node) + Send + 'static) -> Handle {
    let (handle, mut inbox) = Handle::new();
    std::thread::spawn(move || {
        let (clock, _) = Clock::resume(None, &Reading::take(WallTrust::Kernel), WallTrust::Kernel);
        let mut node = Node::new(settings, Vec::new(), Epoch(1), clock.now());
        prepare(&mut node);
        let mut out = Vec::new();
        let addresses = vec!["192.0.2.1/24".parse().expect("an address")];
        let interface = Interface { index: 1, name: "eth0".into(), mac: None, mtu: 1500, addresses, up: true };
        node.handle(clock.now(), Event::Interfaces(vec![interface]), &mut out);
        while let Some(message) = inbox.blocking_recv() {
            match message {
                Message::Read(look) => look(&node, &clock),
                Message::WhoHas { answered, .. } => drop(answered.send(Err("Nobody can be asked in a test.".into()))),
                Message::Submit { by, command, done } => {
                    node.handle(clock.now(), Event::Command { id: 1, by: Edited::new(&by, 0), command }, &mut out);
                    let mut outcome = Ok(());
                    while !out.is_empty() {
                        for action in std::mem::take(&mut out) {
                            match action {
                                Action::Commit(commit) => {
                                    node.handle(clock.now(), Event::Committed { up_to: commit.id }, &mut out);
                                }
                                Action::Done { result, .. } => outcome = result,
                                Action::Reply(_) | Action::Probe { .. } | Action::Send(_) | Action::Decided(_) => {}
                            }
                        }
                    }
                    let _ = done.send(outcome.map(|()| Saved::default()));
                }
            }
        }
    });
    handle
}
