//! Another machine that has an address of this one's, found by ARP (RFC 5227 §2.4): a copied card beside the one that it was copied from, a
//! device with a fixed address. Neither of the two can be relied on meanwhile, and as a server each calls itself by the same address.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use super::arp::Heard;
use crate::protocol::{Interface, lease::HwAddr};

/// A question to the whole segment; who has the address answers within a moment.
const ASK_INTERVAL: Duration = Duration::from_secs(20);
/// It has not answered three times.
const GONE_AFTER: Duration = Duration::from_secs(70);
/// More is a flood of forged claims.
const SEEN_MAX: usize = 8;

#[derive(Debug, Default)]
pub struct Doubled {
    seen: BTreeMap<(Ipv4Addr, [u8; 6]), Seen>,
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Seen {
    interface: String,
    last: Instant,
}

impl Doubled {
    /// The addresses of this machine that are to be asked for now, each with the interface.
    pub fn to_ask(&mut self, now: Instant, interfaces: &[Interface]) -> Vec<(u32, Ipv4Addr)> {
        if self.asked.is_some_and(|asked| now.duration_since(asked) < ASK_INTERVAL) {
            return Vec::new();
        }
        self.asked = Some(now);
        let own = |interface: &Interface| {
            let index = interface.index;
            interface.addresses.iter().map(move |net| (index, net.addr())).collect::<Vec<_>>()
        };
        interfaces.iter().filter(|interface| interface.up && interface.mac.is_some()).flat_map(own).collect()
    }

    /// True: that is news.
    pub fn heard(&mut self, now: Instant, heard: &Heard, interfaces: &[Interface]) -> bool {
        let Some(interface) = interfaces.iter().find(|interface| interface.index == heard.interface) else { return false };
        // A machine with two legs in one segment may answer with either.
        let is_own_mac = interfaces.iter().any(|interface| interface.mac == Some(heard.mac));
        if is_own_mac || !interface.addresses.iter().any(|net| net.addr() == heard.address) {
            return false;
        }
        let key = (heard.address, heard.mac);
        let is_news = !self.seen.contains_key(&key);
        if is_news && self.seen.len() == SEEN_MAX {
            return false;
        }
        self.seen.insert(key, Seen { interface: interface.name.clone(), last: now });
        is_news
    }

    /// A sentence for each that is there still.
    pub fn sentences(&mut self, now: Instant) -> Vec<String> {
        self.seen.retain(|_, seen| now.duration_since(seen.last) < GONE_AFTER);
        let sentence = |((address, mac), seen): (&(Ipv4Addr, [u8; 6]), &Seen)| {
            let (mac, interface) = (HwAddr::ethernet(*mac), &seen.interface);
            format!(
                "{address} is an address of this server, and another machine ({mac}, on {interface}) has it, too: a card that was copied from this \
                 one's, or the one it was copied from? Give one of the two another address (setup.txt on a flashed card)."
            )
        };
        self.seen.iter().map(sentence).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    fn interfaces() -> Vec<Interface> {
        let interface = |index, name: &str, mac, net: &str| Interface {
            index,
            name: name.into(),
            mac: Some(mac),
            mtu: 1500,
            addresses: vec![net.parse().expect("a network")],
            up: true,
        };
        vec![interface(2, "eth0", OWN, "192.0.2.2/24"), interface(3, "eth1", [2, 0, 0, 0, 0, 9], "192.0.2.8/24")]
    }

    #[test]
    fn another_machine_with_an_address_of_ours_is_told_until_it_is_gone() {
        let (mut doubled, start) = (Doubled::default(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        let heard = Heard { interface: 2, address: ADDRESS, mac: OTHER };
        assert!(doubled.heard(at(0), &heard, &interfaces()));
        assert!(!doubled.heard(at(60), &heard, &interfaces()), "no news");
        let told = doubled.sentences(at(100));
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("192.0.2.2 is an address of this server, and another machine (02:00:00:00:00:02, on eth0)"),
            "{told:?}"
        );
        assert_eq!(doubled.sentences(at(131)), [""; 0]);
    }

    #[test]
    fn what_is_no_claim_to_an_address_of_ours_is_not_told() {
        let mut doubled = Doubled::default();
        let now = Instant::now();
        for (interface, address, mac, why) in [
            (2, Ipv4Addr::new(192, 0, 2, 57), OTHER, "a device"),
            (2, ADDRESS, [2, 0, 0, 0, 0, 9], "our other leg answers"),
            (3, ADDRESS, OTHER, "another segment"),
            (4, ADDRESS, OTHER, "an interface that is gone"),
            (2, Ipv4Addr::UNSPECIFIED, OTHER, "a probe"),
        ] {
            assert!(!doubled.heard(now, &Heard { interface, address, mac }, &interfaces()), "{why}");
        }
        assert_eq!(doubled.sentences(now), [""; 0]);
    }

    #[test]
    fn all_addresses_are_asked_for_now_and_then_and_a_flood_of_claims_is_bounded() {
        let (mut doubled, start) = (Doubled::default(), Instant::now());
        assert_eq!(doubled.to_ask(start, &interfaces()), [(2, ADDRESS), (3, Ipv4Addr::new(192, 0, 2, 8))]);
        assert_eq!(doubled.to_ask(start + Duration::from_secs(19), &interfaces()), []);
        assert_eq!(doubled.to_ask(start + Duration::from_secs(20), &interfaces()).len(), 2);
        for number in 0..100 {
            doubled.heard(start, &Heard { interface: 2, address: ADDRESS, mac: [4, 0, 0, 0, 0, number] }, &interfaces());
        }
        assert_eq!(doubled.sentences(start).len(), SEEN_MAX);
    }
}
