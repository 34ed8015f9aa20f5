//! The address of a device, kept: what a click and a form make of it, and what is wrong with a form.

use std::net::Ipv4Addr;

use crate::{
    protocol::{Node, dhcp::name::host_label, lease::HwAddr, time::Time},
    settings::{
        AddressRange, Identifier, Record, Reservation, Settings,
        check::{self, Place, Scope},
        options::{OptionDefinition, OptionSet},
        parse, render,
        words::{read_address, read_id, read_mac, show_id, show_identifier},
    },
    web::{
        House,
        devices::{
            device::{Device, kept_at},
            id::DeviceId,
            link,
        },
        form::Errors,
    },
};

/// A form takes no more of one field; the settings allow less of most.
const FIELD_BYTES: usize = 8 * 1024;

/// What one click keeps: the address that the device has now, under the name that it gives itself.
pub fn as_it_is(device: &Device<'_>, house: &House) -> Option<Reservation> {
    let address = device.holds(house.now).filter(|_| device.kept.is_none())?;
    Some(Reservation {
        identifier: device.id.identifier(),
        address,
        name: device.own_name().and_then(host_label),
        note: None,
        options: OptionSet::default(),
        force_broadcast: false,
        echo_client_id: true,
    })
}

/// The form as it was filled in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// A MAC in any notation, `client-id …` or `circuit-id …`.
    pub who: String,
    pub name: String,
    pub address: String,
    pub note: String,
    /// One a line, as in a settings file.
    pub options: String,
    pub force_broadcast: bool,
    pub no_client_id: bool,
    /// What the one who fills in the form has seen.
    pub revision: String,
}

impl Fields {
    pub fn of(kept: &Reservation, settings: &Settings) -> Fields {
        Fields {
            who: show_identifier(&kept.identifier),
            name: kept.name.clone().unwrap_or_default(),
            address: kept.address.to_string(),
            note: kept.note.clone().unwrap_or_default(),
            options: show_options(&kept.options, &settings.custom_options),
            force_broadcast: kept.force_broadcast,
            no_client_id: !kept.echo_client_id,
            revision: revision(Some(kept)),
        }
    }

    /// For a device whose address is not kept yet.
    pub fn for_device(device: &Device<'_>, address: Option<Ipv4Addr>) -> Fields {
        Fields {
            who: show_identifier(&device.id.identifier()),
            name: device.own_name().and_then(host_label).unwrap_or_default(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            revision: revision(None),
            ..Fields::default()
        }
    }

    pub fn read(form: &[(String, String)]) -> Fields {
        let field = |key: &str| {
            let mut text =
                form.iter().find(|(name, _)| name == key).map(|(_, value)| value.trim().to_owned()).unwrap_or_default();
            text.truncate(text.floor_char_boundary(FIELD_BYTES));
            text
        };
        Fields {
            who: field("who"),
            name: field("name"),
            address: field("address"),
            note: field("note").replace("\r\n", "\n"),
            options: field("options").replace("\r\n", "\n"),
            force_broadcast: !field("force_broadcast").is_empty(),
            no_client_id: !field("no_client_id").is_empty(),
            revision: field("revision"),
        }
    }

    /// The reservation that is meant, or all that is wrong. `was`: the one that it takes the place of.
    pub fn reservation(&self, house: &House, was: Option<&Reservation>, id: Option<&DeviceId>) -> Result<Reservation, Errors> {
        let settings = &house.settings;
        let mut errors = Errors::default();
        // In the order of the page.
        let identifier = match (was, id) {
            (Some(was), _) => Some(was.identifier.clone()),
            (None, Some(id)) => Some(id.identifier()),
            (None, None) => read_identifier(&self.who).map_err(|why| errors.add("who", why)).ok(),
        };
        if was.is_none()
            && let Some(other) = identifier
                .as_ref()
                .and_then(|identifier| settings.reservations.iter().find(|kept| kept.identifier == *identifier))
        {
            errors.add("who", format!("{} is kept for this device already. Open it to change that.", other.address));
        }
        let near = was.map(|was| was.address).or(settings.subnets.first().map(|subnet| subnet.network.network()));
        let address = read_short(&self.address, near);
        let address = address.map_err(|why| errors.add("address", why)).ok();
        if let Some(address) = address
            && let Some(other) =
                kept_at(settings, address).filter(|other| was.is_none_or(|was| was.identifier != other.identifier))
        {
            errors.add("address", already_kept(house, address, other));
        }
        let options = read_options(&self.options, &settings.custom_options);
        let options = options.map_err(|why| errors.add("options", why)).ok();
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let reservation = Reservation {
            identifier: identifier.unwrap_or(Identifier::Mac(HwAddr::default())),
            address: address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            name: said(&self.name),
            note: said(&self.note),
            options: options.unwrap_or_default(),
            force_broadcast: self.force_broadcast,
            echo_client_id: !self.no_client_id,
        };
        for (field, sentence) in trouble(settings, &reservation, was) {
            // What could not be read was said above; what is judged of its stand-in means nothing.
            if !errors.has(field) {
                errors.add(field, sentence);
            }
        }
        if errors.is_empty() { Ok(reservation) } else { Err(in_page_order(&errors)) }
    }
}

fn in_page_order(errors: &Errors) -> Errors {
    let mut ordered = Errors::default();
    for field in ["who", "name", "address", "note", "options"] {
        if errors.has(field) {
            ordered.add(field, errors.of(field));
        }
    }
    ordered
}

/// What the settings say against it, by the field that it is about.
fn trouble(settings: &Settings, reservation: &Reservation, was: Option<&Reservation>) -> Vec<(&'static str, String)> {
    let record = Record::Reservation(reservation.clone());
    let checked = if was.is_some() { check::after_put(settings, record) } else { check::after_add(settings, record) };
    let findings = checked.err().unwrap_or_default();
    let field = |finding: &check::Finding| match finding.place {
        Place::Option(Scope::Reservation(_), _) => "options",
        _ if finding.text.starts_with("The name ") => "name",
        _ if finding.text.starts_with("The note ") => "note",
        _ if finding.text.starts_with("MAC ") || finding.text.starts_with("Hardware address ") => "who",
        _ if finding.text.contains(" has the kept address ") => "who",
        _ => "address",
    };
    findings.into_iter().map(|finding| (field(&finding), finding.text)).collect()
}

fn already_kept(house: &House, address: Ipv4Addr, other: &Reservation) -> String {
    let other_called = other.name.clone().unwrap_or_else(|| show_identifier(&other.identifier));
    let choice = match check::free_address_near(&house.settings, address, |address| is_held(house, address)) {
        Some(free) => format!("Choose {} (free), or open {other_called} and change that.", shown_beside(free, address)),
        None => format!("No other address is free: open {other_called} and change that."),
    };
    format!("{address} is already kept for {other_called}. {choice}")
}

/// `.32` beside an address of the same /24, else in full.
fn shown_beside(address: Ipv4Addr, other: Ipv4Addr) -> String {
    if address.octets()[..3] == other.octets()[..3] { format!(".{}", address.octets()[3]) } else { address.to_string() }
}

pub fn is_held(house: &House, address: Ipv4Addr) -> bool {
    let found = house.bindings.binary_search_by_key(&address, |binding| binding.address);
    found.is_ok_and(|at| house.bindings[at].is_held(house.now))
}

/// Also `.32`, which is meant beside `near`.
fn read_short(text: &str, near: Option<Ipv4Addr>) -> Result<Ipv4Addr, String> {
    if text.is_empty() {
        return Err("No address is given. Write one, like 192.0.2.31.".into());
    }
    let tail = text.strip_prefix('.').and_then(|tail| tail.parse::<u8>().ok());
    match (tail, near.map(|near| near.octets())) {
        (Some(tail), Some([a, b, c, _])) => Ok(Ipv4Addr::new(a, b, c, tail)),
        (Some(_), None) | (None, _) => read_address(text),
    }
}

fn read_identifier(text: &str) -> Result<Identifier, String> {
    if text.is_empty() {
        return Err(
            "No MAC is given. It stands on the device's label, and in its network settings: 6 pairs, like a4:cf:12:9b:00:1e."
                .into(),
        );
    }
    if let Some(id) = text.strip_prefix("client-id ") {
        return read_id(id.trim()).map(Identifier::ClientId);
    }
    if let Some(id) = text.strip_prefix("circuit-id ") {
        return read_id(id.trim()).map(Identifier::CircuitId);
    }
    read_mac(text).map(Identifier::Mac)
}

/// As they stand in a settings file, one a line.
pub fn show_options(options: &OptionSet, definitions: &[OptionDefinition]) -> String {
    options.iter().map(|(code, value)| render::render_option(*code, value, definitions)).collect::<Vec<_>>().join("\n")
}

fn read_options(text: &str, definitions: &[OptionDefinition]) -> Result<OptionSet, String> {
    if text.trim().is_empty() {
        return Ok(OptionSet::default());
    }
    if let Some(line) = text.lines().find(|line| line.trim_start().starts_with('[')) {
        return Err(format!("`{line}` begins a section. Write one option a line, like dns = [\"192.0.2.53\"]."));
    }
    let defined = render::record(&Record::CustomOptions(definitions.to_vec()));
    let file = format!("[options]\n{text}\n{defined}");
    parse::parse(&file).map(|settings| settings.options).map_err(|problems| {
        let told = problems.iter().take(3).map(|problem| match problem.line {
            Some(line) if (2..=text.lines().count() + 1).contains(&line) => format!("Line {}: {}", line - 1, problem.text),
            Some(_) | None => problem.text.clone(),
        });
        told.collect::<Vec<_>>().join(" ")
    })
}

/// The same on both twins for the same kept address. `None`: none is kept.
pub fn revision(kept: Option<&Reservation>) -> String {
    let Some(kept) = kept else { return "none".into() };
    let told = serde_json::to_vec(kept).unwrap_or_default();
    data_encoding::HEXLOWER.encode(&ring::digest::digest(&ring::digest::SHA256, &told).as_ref()[..8])
}

/// Two people changed the same kept address: what the other one made of it beside what this one wants.
#[derive(Debug, PartialEq, Eq)]
pub struct Clash {
    /// What is in force now; `None`: it is kept no more.
    pub rows: Vec<ClashRow>,
    pub is_gone: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub struct ClashRow {
    pub label: &'static str,
    pub theirs: String,
    pub ours: String,
    pub differs: bool,
}

impl Clash {
    pub fn of(now: Option<&Reservation>, wanted: &Fields, settings: &Settings) -> Clash {
        let theirs = now.map(|kept| Fields::of(kept, settings)).unwrap_or_default();
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let rows = [
            ("Name", theirs.name, wanted.name.clone()),
            ("Address", theirs.address, wanted.address.clone()),
            ("Note", theirs.note, wanted.note.clone()),
            ("Options", theirs.options, wanted.options.clone()),
            ("Always by broadcast", yes(theirs.force_broadcast), yes(wanted.force_broadcast)),
            ("Without client-id", yes(theirs.no_client_id), yes(wanted.no_client_id)),
        ];
        let rows = rows.into_iter().map(|(label, theirs, ours)| ClashRow { label, differs: theirs != ours, theirs, ours });
        Clash { rows: rows.collect(), is_gone: now.is_none() }
    }
}

/// In each subnet one address that is free: from the far end of its pools, where devices without a kept address come last.
pub fn proposals(node: &Node, now: Time) -> Vec<Ipv4Addr> {
    let is_free = |address: &Ipv4Addr| {
        let leases = node.leases();
        node.plan().reservation_at(*address).is_none()
            && !leases.is_own(*address)
            && !leases.is_set_aside(*address)
            && leases.offered(*address).is_none()
            && !leases.get(*address).is_some_and(|binding| binding.is_held(now))
    };
    let settings = node.settings();
    let of_subnet = |plan: &crate::protocol::plan::SubnetPlan| {
        let from_end = plan.subnet.pools.iter().rev().flat_map(|pool| backwards(&pool.range));
        let dynamic = from_end.filter(|address| plan.is_dynamic(*address)).find(is_free);
        let router = plan.subnet.network.hosts().next();
        dynamic.or_else(|| check::free_address_near(settings, router?, |address| !is_free(&address)))
    };
    node.plan().subnets().iter().filter_map(of_subnet).collect()
}

fn backwards(range: &AddressRange) -> impl Iterator<Item = Ipv4Addr> + use<> {
    (u32::from(range.first)..=u32::from(range.last)).rev().map(Ipv4Addr::from)
}

/// Where to read about the other one in a sentence about an address.
pub fn other_at(house: &House, text: &str, was: Option<&Reservation>) -> Option<(String, String)> {
    let address = read_short(text, was.map(|was| was.address)).ok()?;
    let other = kept_at(&house.settings, address).filter(|other| was.is_none_or(|was| was.identifier != other.identifier))?;
    let called = other.name.clone().unwrap_or_else(|| match &other.identifier {
        Identifier::Mac(hw) => hw.to_string(),
        Identifier::ClientId(id) | Identifier::CircuitId(id) => show_id(id),
    });
    Some((link(&DeviceId::of(&other.identifier)), called))
}
