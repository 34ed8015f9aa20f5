//! Reservations: one address and one identifier each, and an address that a device can have.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
};

use super::{Checker, Place, Scope, free_near, hosts, routers, shown, values::host_name_trouble};
use crate::{
    protocol::lease::HwAddr,
    settings::{Identifier, Reservation, words::show_identifier},
};

const LONGEST_NOTE_BYTES: usize = 1000;

impl Checker<'_> {
    pub(super) fn reservations(&mut self, all_subnets: bool) {
        let settings = self.settings;
        let kept: HashSet<Ipv4Addr> = settings.reservations.iter().map(|reservation| reservation.address).collect();
        let mut by_address: HashMap<Ipv4Addr, usize> = HashMap::new();
        let mut by_identifier: HashMap<&Identifier, usize> = HashMap::new();
        for (i, reservation) in settings.reservations.iter().enumerate() {
            let (place, address) = (Place::Reservation(i), reservation.address);
            if let Some(trouble) = identifier_trouble(&reservation.identifier) {
                self.find(place, trouble);
            }
            if let Some(other) = by_identifier.insert(&reservation.identifier, i) {
                let text = format!(
                    "{} has the kept address {} already. A device has one: change that one, or remove it.",
                    show_identifier(&reservation.identifier),
                    settings.reservations[other].address
                );
                self.find(place, text);
            }
            self.reserved_address(place, reservation, all_subnets, &kept);
            if let Some(other) = by_address.insert(address, i) {
                let other = shown(&settings.reservations[other]);
                let choice = match free_near(settings, &kept, address, |_| false) {
                    Some(free) => format!("Choose {} (free), or change {other}.", shown_beside(free, address)),
                    None => format!("No other address is free: change {other}."),
                };
                self.find(place, format!("{address} is already kept for {other}. {choice}"));
            }
            if let Some(trouble) = reservation.name.as_deref().and_then(host_name_trouble) {
                self.find(place, trouble);
            }
            if let Some(note) = reservation.note.as_deref().filter(|note| note.len() > LONGEST_NOTE_BYTES) {
                let text = format!(
                    "The note of {} has {} bytes; {LONGEST_NOTE_BYTES} are possible. Shorten it.",
                    shown(reservation),
                    note.len()
                );
                self.find(place, text);
            }
            if !reservation.options.is_empty() {
                self.options(Scope::Reservation(i), &reservation.options);
                if let Some(subnet) = settings.subnet_of(address) {
                    self.routers(Scope::Reservation(i), subnet, &reservation.options);
                }
            }
        }
    }

    fn reserved_address(&mut self, place: Place, reservation: &Reservation, all_subnets: bool, kept: &HashSet<Ipv4Addr>) {
        let (address, device) = (reservation.address, shown(reservation));
        let Some(subnet) = self.settings.subnet_of(address) else {
            if all_subnets {
                let text = format!(
                    "{address} for {device} lies in no subnet. Choose an address inside one, or add a [[subnet]] that holds it."
                );
                self.find(place, text);
            }
            return;
        };
        let trouble = if !hosts(subnet).contains(address) {
            format!("{address} for {device} is the network's own or its broadcast address, which no device can have.")
        } else if routers(self.settings, subnet, &[&reservation.options]).contains(&address) {
            format!("{address} for {device} is the router's address.")
        } else {
            return;
        };
        let choice = match free_near(self.settings, kept, address, |_| false) {
            Some(free) => format!("Choose another, for example {} (free).", shown_beside(free, address)),
            None => "Choose another.".into(),
        };
        self.find(place, format!("{trouble} {choice}"));
    }
}

fn identifier_trouble(identifier: &Identifier) -> Option<String> {
    match identifier {
        Identifier::Mac(hw) if hw.htype() == HwAddr::ETHERNET => match hw.mac() {
            Some(mac) if mac[0] & 1 == 0 => None,
            Some(_) => Some(format!(
                "MAC `{hw}` is a multicast address, which no device can have. Look for the address on the device's label."
            )),
            None => Some(format!("MAC `{hw}` has {} bytes. Use 6 pairs, like a4:cf:12:9b:00:1e.", hw.bytes().len())),
        },
        Identifier::Mac(hw) => {
            hw.bytes().is_empty().then(|| format!("Hardware address `{hw}` has no bytes. Write them behind the `/`."))
        }
        Identifier::ClientId(id) | Identifier::CircuitId(id) => (id.is_empty() || id.len() > 255)
            .then(|| format!("{} has {} bytes; 1 to 255 are possible. Correct it.", show_identifier(identifier), id.len())),
    }
}

/// `.32` beside an address of the same /24, else in full.
fn shown_beside(address: Ipv4Addr, other: Ipv4Addr) -> String {
    if address.octets()[..3] == other.octets()[..3] { format!(".{}", address.octets()[3]) } else { address.to_string() }
}
