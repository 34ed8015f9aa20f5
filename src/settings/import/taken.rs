//! What one file gave: settings that are to be added, and remarks. The parsers fill it by these methods only.

use std::{
    collections::{BTreeMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use ipnet::Ipv4Net;

use super::{REMARKS_MAX, THINGS_MAX};
use crate::settings::{
    AddressRange, Identifier, LeaseOverrides, Pool, Reservation, Subnet,
    check::values::host_name_trouble,
    dictionary,
    options::{OptionDefinition, OptionKind, OptionSet},
    words::read_mac,
    written::read_value,
};

/// Something in the file that is not as it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Counted from 1.
    pub line: Option<usize>,
    pub what: String,
    /// A sentence.
    pub why: String,
}

#[derive(Debug, Default)]
pub struct Taken {
    pub lease: LeaseOverrides,
    pub authoritative: Option<bool>,
    pub rapid_commit: Option<bool>,
    pub options: OptionSet,
    pub custom_options: Vec<OptionDefinition>,
    /// By network.
    pub subnets: BTreeMap<Ipv4Net, Subnet>,
    /// With the line of each.
    pub reservations: Vec<(Option<usize>, Reservation)>,
    /// Not taken over.
    pub skipped: Vec<Remark>,
    /// Taken over, but not as it stands there.
    pub assumed: Vec<Remark>,
    /// Lines that are about something else than DHCP.
    pub elsewhere: usize,
    /// Identifiers that are there already.
    devices: HashSet<Identifier>,
}

/// What there is to know of a kept address, in the words of the file.
#[derive(Debug, Default, Clone)]
pub struct Kept<'a> {
    pub mac: Option<&'a str>,
    pub client_id: Option<Vec<u8>>,
    pub circuit_id: Option<Vec<u8>>,
    pub address: Option<&'a str>,
    pub name: Option<&'a str>,
    pub note: Option<&'a str>,
    pub options: OptionSet,
}

impl Taken {
    pub fn is_empty(&self) -> bool {
        self.lease == LeaseOverrides::default()
            && self.options.is_empty()
            && self.subnets.is_empty()
            && self.reservations.is_empty()
            && self.authoritative.is_none()
            && self.rapid_commit.is_none()
    }

    pub fn skip(&mut self, line: Option<usize>, what: impl AsRef<str>, why: impl Into<String>) {
        note(&mut self.skipped, line, what.as_ref(), why.into());
    }

    pub fn assume(&mut self, line: Option<usize>, what: impl AsRef<str>, why: impl Into<String>) {
        note(&mut self.assumed, line, what.as_ref(), why.into());
    }

    /// The subnet of this network, made where it is not there.
    pub fn subnet(&mut self, network: Ipv4Net) -> &mut Subnet {
        self.subnets.entry(network.trunc()).or_insert_with(|| Subnet {
            network: network.trunc(),
            interface: None,
            pools: Vec::new(),
            exclusions: Vec::new(),
            lease: LeaseOverrides::default(),
            options: OptionSet::new(),
        })
    }

    pub fn subnet_of(&self, address: Ipv4Addr) -> Option<Ipv4Net> {
        self.subnets.keys().copied().find(|network| network.contains(&address))
    }

    pub fn pool(&mut self, line: Option<usize>, network: Ipv4Net, range: AddressRange, options: OptionSet) {
        let most = self.subnets.values().map(|subnet| subnet.pools.len()).sum::<usize>() >= THINGS_MAX;
        if range.last < range.first {
            self.skip(line, format!("pool {}-{}", range.first, range.last), "It ends before it begins.");
        } else if most {
            self.skip(line, format!("pool {range}"), "There are too many pools in this file.");
        } else {
            let pools = &mut self.subnet(network).pools;
            pools.push(Pool { range, options });
            pools.sort_by_key(|pool| pool.range);
        }
    }

    /// Its options stay as they are; the name is made one that devices can have.
    pub fn keep(&mut self, line: Option<usize>, kept: Kept<'_>) {
        let told = kept.mac.or(kept.name).or(kept.address).unwrap_or("a kept address").to_string();
        let identifier = match (kept.mac, kept.client_id, kept.circuit_id) {
            (Some(mac), _, _) => match read_mac(strip_type(mac)) {
                Ok(mac) => Identifier::Mac(mac),
                Err(why) => return self.skip(line, told, why),
            },
            (None, Some(id), _) if (1..=255).contains(&id.len()) => Identifier::ClientId(id),
            (None, _, Some(id)) if (1..=255).contains(&id.len()) => Identifier::CircuitId(id),
            (None, _, _) => return self.skip(line, told, "It names no device by MAC or client-id."),
        };
        let Some(address) = kept.address else {
            return self.skip(line, told, "It keeps no address, only a name.");
        };
        let Ok(address) = address.trim().parse::<Ipv4Addr>() else {
            let why = if address.contains(':') {
                "Its address is IPv6, which is not served."
            } else {
                "Its address is not a single IPv4 address."
            };
            return self.skip(line, told, why);
        };
        if self.reservations.len() >= THINGS_MAX {
            return self.skip(line, told, format!("There are more than {THINGS_MAX} kept addresses in this file."));
        }
        if !self.devices.insert(identifier.clone()) {
            return self.skip(line, told, "The device has another kept address above; a device has one.");
        }
        let (name, original) = kept.name.map_or((None, None), clean_name);
        let note = kept.note.map(str::trim).filter(|note| !note.is_empty()).or(original).map(|note| cut(note, 1000).to_string());
        if let (Some(original), Some(name)) = (original, &name) {
            self.assume(line, original, format!("It is called {name}: a name has letters, digits and hyphens only."));
        } else if let Some(original) = original {
            self.assume(line, original, "It stands in the note: it cannot be a device's name.");
        }
        let reservation =
            Reservation { identifier, address, name, note, options: kept.options, force_broadcast: false, echo_client_id: true };
        self.reservations.push((line, reservation));
    }

    /// An option by the name or number that the file has for it. `text`: values with commas between.
    pub fn option(&mut self, line: Option<usize>, name: &str, text: &str) -> Option<(u8, crate::settings::options::OptionValue)> {
        let named = name.trim().to_ascii_lowercase();
        let dashed = named.replace(['_', '.'], "-");
        let own = self.custom_options.iter().find(|definition| definition.name == dashed).map(|definition| definition.code);
        let code = named
            .parse::<u8>()
            .ok()
            .or(own)
            .or_else(|| dictionary::code_of(&named))
            .or_else(|| dictionary::name_meant(&named).and_then(dictionary::code_of));
        let governed = code.and_then(dictionary::governed).or_else(|| dictionary::governed_named(&named));
        if let Some(governed) = governed {
            self.skip(line, format!("option {name}"), format!("It is set by the server alone. {}", governed.reason));
            return None;
        }
        let Some(code) = code else {
            self.skip(line, format!("option {name}"), "No option of this name is known here. Set it by its number afterwards.");
            return None;
        };
        let defined = self.custom_options.iter().find(|definition| definition.code == code).map(|definition| definition.kind);
        let kind = dictionary::kind_of(code).or(defined).unwrap_or_else(|| guess(text));
        match read_value(kind, text) {
            Ok(value) => Some((code, value)),
            Err(why) => {
                self.skip(line, format!("option {name} {}", cut(text, 80)), why);
                None
            }
        }
    }
}

/// What a value of an option without a name most likely is.
fn guess(text: &str) -> OptionKind {
    let items: Vec<&str> = text.split([',', ' ']).filter(|item| !item.is_empty()).collect();
    let is_hex = text.contains(':')
        && text.split(':').all(|pair| (1..=2).contains(&pair.len()) && pair.bytes().all(|b| b.is_ascii_hexdigit()));
    if !items.is_empty() && items.iter().all(|item| item.parse::<Ipv4Addr>().is_ok()) {
        OptionKind::IpList
    } else if is_hex {
        OptionKind::Hex
    } else {
        OptionKind::Text
    }
}

/// `ethernet aa:…` and dnsmasq's `1-aa:…`.
fn strip_type(mac: &str) -> &str {
    let mac = mac.trim();
    match mac.split_once('-') {
        Some((kind, rest)) if kind == "1" && rest.contains(':') => rest,
        Some(_) | None => mac,
    }
}

/// One that can be sent, and the original where that is another.
fn clean_name(given: &str) -> (Option<String>, Option<&str>) {
    let given = given.trim().trim_matches('"').trim();
    if given.is_empty() {
        return (None, None);
    }
    if host_name_trouble(given).is_none() {
        return (Some(given.to_string()), None);
    }
    let mut clean = String::new();
    for c in given.chars().take(63) {
        if c.is_ascii_alphanumeric() || c == '.' {
            clean.push(c);
        } else if !clean.ends_with('-') {
            clean.push('-');
        }
    }
    let clean = clean.trim_matches(['-', '.']).to_string();
    let is_sound = !clean.is_empty() && host_name_trouble(&clean).is_none();
    (is_sound.then_some(clean), Some(given))
}

fn note(list: &mut Vec<Remark>, line: Option<usize>, what: &str, why: String) {
    if list.len() < REMARKS_MAX {
        let what: String = what.chars().filter(|c| !c.is_control()).take(120).collect();
        list.push(Remark { line, what, why });
    } else if list.len() == REMARKS_MAX {
        list.push(Remark { line: None, what: "And more".into(), why: format!("Only the first {REMARKS_MAX} are listed.") });
    }
}

/// At most so many bytes, in whole characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// dnsmasq's and Pi-hole's way: `12h`, `45m`, `3600`, `infinite`; and whole hours in Pi-hole's old file.
pub(super) fn lease_time(taken: &mut Taken, line: Option<usize>, text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("infinite") {
        taken.assume(line, "lease time infinite", "The longest that devices get by themselves is taken: 7 days.");
        return Some(Duration::from_secs(7 * 24 * 3600));
    }
    match crate::settings::words::read_duration(text) {
        Ok(time) => Some(time),
        Err(why) => {
            taken.skip(line, format!("lease time {text}"), why);
            None
        }
    }
}
