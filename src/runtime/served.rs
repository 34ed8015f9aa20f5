//! The served interfaces: what is open follows what is wanted and what is there.
//!
//! Nothing here gives up: whatever is missing or failed is tried again with every `update`.

use std::{collections::BTreeMap, fmt};

use crate::protocol::Interface;

/// An interface and what is open for it.
pub struct Entry<T> {
    pub interface: Interface,
    pub open: T,
}

/// How a wanted interface is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Serving,
    /// No interface of this name.
    Absent,
    /// It is there, but down or without carrier.
    Down,
    NoAddress,
    /// A sentence with the remedy.
    Failed(String),
    /// Taken out of the settings.
    NotWanted,
}

/// A change in how an interface is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub interface: String,
    pub state: State,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.interface)?;
        match &self.state {
            State::Serving => f.write_str("serving DHCP"),
            State::Absent => f.write_str("there is no such interface; waiting for it to appear"),
            State::Down => f.write_str("the interface is down or its cable is out; waiting for it to come up"),
            State::NoAddress => f.write_str("the interface has no IPv4 address; waiting for one, give it a fixed address"),
            State::Failed(why) => write!(f, "{why}; trying again"),
            State::NotWanted => f.write_str("no longer served"),
        }
    }
}

pub struct Served<T> {
    entries: Vec<Entry<T>>,
    states: BTreeMap<String, State>,
}

impl<T> Default for Served<T> {
    fn default() -> Self {
        Served { entries: Vec::new(), states: BTreeMap::new() }
    }
}

impl<T> Served<T> {
    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }

    pub fn entries_mut(&mut self) -> &mut [Entry<T>] {
        &mut self.entries
    }

    pub fn position(&self, interface: u32) -> Option<usize> {
        self.entries.iter().position(|entry| entry.interface.index == interface)
    }

    pub fn get(&self, interface: u32) -> Option<&Entry<T>> {
        self.position(interface).map(|index| &self.entries[index])
    }

    /// What could not be opened, with a sentence for each that names the interface.
    pub fn failures(&self) -> BTreeMap<String, String> {
        let failed = self.states.iter().filter(|(_, state)| matches!(state, State::Failed(_)));
        failed.map(|(name, state)| (name.clone(), Notice { interface: name.clone(), state: state.clone() }.to_string())).collect()
    }

    /// Closes what is gone or not wanted any more, opens what can be opened and returns what has changed.
    /// `open` is also given what is open already.
    pub fn update(
        &mut self,
        interfaces: &[Interface],
        wanted: &[String],
        mut open: impl FnMut(&Interface, &[Entry<T>]) -> Result<T, String>,
    ) -> Vec<Notice> {
        self.entries.retain_mut(|entry| {
            // The same name with another index is another interface: it was removed and made anew.
            let now = interfaces.iter().find(|i| i.index == entry.interface.index && i.name == entry.interface.name);
            match now {
                Some(now) if wanted.contains(&now.name) && missing(now).is_none() => {
                    entry.interface.clone_from(now);
                    true
                }
                _ => false,
            }
        });
        let mut states = BTreeMap::new();
        for name in wanted {
            let state = match interfaces.iter().find(|interface| interface.name == *name) {
                None => State::Absent,
                Some(interface) => match missing(interface) {
                    Some(state) => state,
                    None if self.get(interface.index).is_some() => State::Serving,
                    None => match open(interface, &self.entries) {
                        Ok(open) => {
                            self.entries.push(Entry { interface: interface.clone(), open });
                            State::Serving
                        }
                        Err(why) => State::Failed(why),
                    },
                },
            };
            states.insert(name.clone(), state);
        }
        let changed = states.iter().filter(|(name, state)| self.states.get(*name) != Some(state));
        let mut notices: Vec<Notice> =
            changed.map(|(name, state)| Notice { interface: name.clone(), state: state.clone() }).collect();
        let dropped = self.states.keys().filter(|name| !states.contains_key(*name));
        notices.extend(dropped.map(|name| Notice { interface: name.clone(), state: State::NotWanted }));
        self.states = states;
        notices
    }
}

/// What keeps an interface from being served.
fn missing(interface: &Interface) -> Option<State> {
    if !interface.up {
        return Some(State::Down);
    }
    interface.addresses.is_empty().then_some(State::NoAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        let addresses = vec!["192.0.2.1/24".parse().expect("a prefix")];
        Interface { index, name: name.to_owned(), mac: None, mtu: 1500, addresses, up: true }
    }

    fn states(notices: &[Notice]) -> Vec<(&str, &State)> {
        notices.iter().map(|notice| (notice.interface.as_str(), &notice.state)).collect()
    }

    #[test]
    fn an_interface_that_comes_goes_and_returns_is_served_again() {
        let mut served = Served::<u32>::default();
        let wanted = ["eth0".to_owned()];
        let open = |interface: &Interface, _: &[Entry<u32>]| Ok(interface.index);
        assert_eq!(states(&served.update(&[], &wanted, open)), [("eth0", &State::Absent)]);
        assert_eq!(served.update(&[], &wanted, open), [], "said once");
        let bare = Interface { addresses: vec![], ..interface(2, "eth0") };
        assert_eq!(states(&served.update(&[bare], &wanted, open)), [("eth0", &State::NoAddress)]);
        assert_eq!(states(&served.update(&[interface(2, "eth0")], &wanted, open)), [("eth0", &State::Serving)]);
        let down = Interface { up: false, ..interface(2, "eth0") };
        assert_eq!(states(&served.update(&[down], &wanted, open)), [("eth0", &State::Down)]);
        assert!(served.entries().is_empty());
        served.update(&[interface(2, "eth0")], &wanted, open);
        assert_eq!(served.update(&[interface(7, "eth0")], &wanted, open), [], "made anew between two looks");
        assert_eq!(served.get(7).map(|entry| entry.open), Some(7));
        assert!(served.get(2).is_none());
        assert_eq!(states(&served.update(&[interface(7, "eth0")], &[], open)), [("eth0", &State::NotWanted)]);
        assert!(served.entries().is_empty());
    }

    #[test]
    fn a_changed_address_keeps_the_socket_and_is_known() {
        let mut served = Served::<u32>::default();
        let wanted = ["eth0".to_owned()];
        served.update(&[interface(2, "eth0")], &wanted, |_, _| Ok(1));
        let moved = Interface { addresses: vec!["198.51.100.1/24".parse().expect("a prefix")], ..interface(2, "eth0") };
        let notices = served.update(std::slice::from_ref(&moved), &wanted, |_, _| panic!("it is open already"));
        assert_eq!(notices, []);
        assert_eq!(served.get(2).map(|entry| &entry.interface), Some(&moved));
    }

    #[test]
    fn a_failure_is_told_once_and_tried_for_ever() {
        let mut served = Served::<u32>::default();
        let wanted = ["eth0".to_owned()];
        let interfaces = [interface(2, "eth0")];
        let mut tries = 0;
        let mut notices = Vec::new();
        for _ in 0..5 {
            notices.extend(served.update(&interfaces, &wanted, |_, _| {
                tries += 1;
                Err("port 67 is held by dnsmasq".to_owned())
            }));
        }
        assert_eq!((tries, notices.len()), (5, 1));
        assert_eq!(notices[0].to_string(), "eth0: port 67 is held by dnsmasq; trying again");
        assert_eq!(served.failures().get("eth0"), Some(&notices[0].to_string()));
        assert_eq!(states(&served.update(&interfaces, &wanted, |_, _| Ok(1))), [("eth0", &State::Serving)]);
        assert!(served.failures().is_empty());
    }
}
