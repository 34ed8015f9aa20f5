//! `/settings/network`: networks with their pools, exclusions, router, DNS, domain and lease times; the general lease times.

use std::{collections::HashSet, net::Ipv4Addr, time::Duration};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ipnet::Ipv4Net;

use super::{Changing, Confirm, Fields, Outcome, change, outside, with};
use crate::{
    protocol::Command,
    runtime::handle::Stopped,
    settings::{
        AddressRange, LeaseOverrides, LeaseTimes, Pool, Record, RecordKey, Settings, Subnet,
        options::{OptionKind, OptionSet},
        words::{read_duration, read_network, read_range, show_duration},
        written::{read_value, show_value},
    },
    web::{
        House, Site,
        form::Errors,
        notice::{self, Notice},
        revision,
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

pub const HOME: &str = "/settings/network";
/// Options with a field of their own: code, name of the field, kind.
const SIMPLE: [(u8, &str, OptionKind); 3] =
    [(3, "router", OptionKind::IpList), (6, "dns", OptionKind::IpList), (15, "domain", OptionKind::Text)];

pub fn routes() -> Router<Site> {
    Router::new()
        .route(HOME, get(list).post(save_times))
        .route("/settings/network/new", get(new).post(add))
        .route("/settings/network/{net}", get(edit).post(save))
        .route("/settings/network/{net}/remove", post(remove))
}

/// As a part of a URL: `192.0.2.0-24`.
pub fn net_word(network: &Ipv4Net) -> String {
    network.to_string().replace('/', "-")
}

pub fn net_of(word: &str) -> Option<Ipv4Net> {
    word.replacen('-', "/", 1).parse().ok()
}

#[derive(Template)]
#[template(path = "settings_network.html")]
struct List<'a> {
    shell: Shell,
    subnets: Vec<(&'a Subnet, String, u64, u64)>,
    errors: Errors,
    values: Fields,
}

#[derive(Template)]
#[template(path = "settings_subnet.html")]
struct Edit<'a> {
    shell: Shell,
    path: String,
    /// `None`: a new one.
    network: Option<Ipv4Net>,
    errors: Errors,
    values: Fields,
    general: &'a LeaseTimes,
    /// What everybody gets where the field is left empty.
    inherited: Vec<String>,
    pool_options: bool,
}

async fn list(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let values = times_fields(&house.settings.lease);
    Ok(list_page(&house, &visitor, Errors::default(), values))
}

fn list_page(house: &House, visitor: &Visitor, errors: Errors, values: Fields) -> Response {
    let subnets = house.settings.subnets.iter().map(|subnet| {
        let network = subnet.network.to_string();
        let status = house.status.subnets.iter().find(|status| status.network == network);
        (subnet, net_word(&subnet.network), status.map_or(0, |s| s.pool_used), status.map_or(0, |s| s.pool_size))
    });
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = List {
        shell: Shell::new(house, visitor, Section::Settings, "Network and pools"),
        subnets: subnets.collect(),
        errors,
        values,
    };
    (status, shell::page(&page)).into_response()
}

async fn save_times(State(site): State<Site>, visitor: Visitor, Form(fields): Form<Fields>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let mut errors = Errors::default();
    let own = read_times(&fields, &mut errors);
    let lease = LeaseTimes { infinite: fields.contains_key("infinite"), ..own.over(&house.settings.lease) };
    if errors.is_empty() {
        let changing = Changing {
            path: HOME,
            back: HOME,
            section: Section::Settings,
            said: "The lease times are saved. A device gets them when it renews.".into(),
            record: Record::Lease(lease),
            replaces: None,
            fields: &fields,
        };
        match change(&site, &visitor, changing).await? {
            Outcome::Answer(response) => return Ok(response),
            Outcome::Refused(sentences) => beside(&mut errors, &sentences, "default"),
        }
    }
    Ok(list_page(&house, &visitor, errors, fields))
}

async fn new(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(edit_page(&house, &visitor, None, Errors::default(), Fields::new()))
}

async fn edit(State(site): State<Site>, visitor: Visitor, Path(net): Path<String>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(match subnet_named(&house.settings, &net) {
        Some(subnet) => edit_page(&house, &visitor, Some(subnet), Errors::default(), subnet_fields(subnet)),
        None => gone(&visitor),
    })
}

fn subnet_named<'s>(settings: &'s Settings, word: &str) -> Option<&'s Subnet> {
    let network = net_of(word)?;
    settings.subnets.iter().find(|subnet| subnet.network == network)
}

fn gone(visitor: &Visitor) -> Response {
    notice::see(visitor, HOME, Notice::new("This network is not there any more."))
}

fn edit_page(house: &House, visitor: &Visitor, subnet: Option<&Subnet>, errors: Errors, values: Fields) -> Response {
    let title = subnet.map_or("Add a network".to_string(), |subnet| format!("Network {}", subnet.network));
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let inherited = SIMPLE.iter().map(|(code, _, _)| house.settings.options.get(code).map(show_value).unwrap_or_default());
    let page = Edit {
        shell: Shell::new(house, visitor, Section::Settings, title),
        path: subnet.map_or("/settings/network/new".to_string(), |subnet| format!("{HOME}/{}", net_word(&subnet.network))),
        network: subnet.map(|subnet| subnet.network),
        errors,
        values,
        general: &house.settings.lease,
        inherited: inherited.collect(),
        pool_options: subnet.is_some_and(|subnet| subnet.pools.iter().any(|pool| !pool.options.is_empty())),
    };
    (status, shell::page(&page)).into_response()
}

impl Edit<'_> {
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    fn hint(&self, at: usize, hint: &str) -> String {
        match self.inherited.get(at).filter(|inherited| !inherited.is_empty()) {
            Some(inherited) => format!("{hint} Empty: {inherited}, as for everybody."),
            None => hint.into(),
        }
    }

    fn time_hint(&self, time: &Duration) -> String {
        format!("Empty: {}, as for all networks.", show_duration(*time))
    }
}

impl List<'_> {
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
}

async fn add(State(site): State<Site>, visitor: Visitor, Form(fields): Form<Fields>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    save_subnet(&site, &visitor, &house, None, fields).await
}

async fn save(
    State(site): State<Site>,
    visitor: Visitor,
    Path(net): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    match subnet_named(&house.settings, &net) {
        Some(subnet) => save_subnet(&site, &visitor, &house, Some(subnet), fields).await,
        None => Ok(gone(&visitor)),
    }
}

async fn save_subnet(
    site: &Site,
    visitor: &Visitor,
    house: &House,
    before: Option<&Subnet>,
    fields: Fields,
) -> Result<Response, Stopped> {
    let mut errors = Errors::default();
    if let Some(subnet) = read_subnet(before, &fields, &mut errors) {
        let is_there = house.settings.subnets.iter().any(|other| other.network == subnet.network);
        if before.is_none() && is_there {
            errors.add("network", format!("{} is there already. Edit that one.", subnet.network));
            return Ok(edit_page(house, visitor, before, errors, fields));
        }
        let path = before.map_or("/settings/network/new".to_string(), |subnet| format!("{HOME}/{}", net_word(&subnet.network)));
        let changing = Changing {
            path: &path,
            back: HOME,
            section: Section::Settings,
            said: format!("Network {} is saved.", subnet.network),
            replaces: before.map(|before| RecordKey::Subnet(before.network)),
            record: Record::Subnet(subnet),
            fields: &fields,
        };
        match change(site, visitor, changing).await? {
            Outcome::Answer(response) => return Ok(response),
            Outcome::Refused(sentences) => beside(&mut errors, &sentences, "network"),
        }
    }
    Ok(edit_page(house, visitor, before, errors, fields))
}

async fn remove(
    State(site): State<Site>,
    visitor: Visitor,
    Path(net): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let Some(subnet) = subnet_named(&house.settings, &net) else { return Ok(gone(&visitor)) };
    let network = subnet.network;
    let kept = house.settings.reservations.iter().filter(|kept| network.contains(&kept.address)).count();
    if kept > 0 {
        let mut errors = Errors::default();
        let are = if kept == 1 { "1 address is".to_string() } else { format!("{kept} addresses are") };
        errors.add("network", format!("{are} kept in {network}. Remove them first, in Devices; then this network."));
        return Ok(edit_page(&house, &visitor, Some(subnet), errors, subnet_fields(subnet)));
    }
    let mut after = house.settings.clone();
    after.remove(&RecordKey::Subnet(network));
    if fields.get("confirmed").is_none_or(|word| word != "yes") {
        let devices = outside::sentence(&house.settings, &after, &house.bindings, house.now);
        let page = Confirm {
            shell: Shell::new(&house, &visitor, Section::Settings, format!("Remove {network}?")),
            path: &format!("{HOME}/{net}/remove"),
            back: HOME,
            sentence: devices
                .unwrap_or_else(|| format!("{network}, its pools and its options go. Nobody has an address of it now.")),
            fields: with(&fields, "confirmed", "yes"),
        };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, shell::page(&page)).into_response());
    }
    Ok(match site.submit(&visitor, Command::Remove(RecordKey::Subnet(network))).await? {
        Ok(saved) => {
            notice::see(&visitor, HOME, Notice { undo: saved.change, ..Notice::new(format!("Network {network} is removed.")) })
        }
        Err(refusal) => {
            let mut errors = Errors::default();
            errors.add("network", refusal);
            edit_page(&house, &visitor, Some(subnet), errors, subnet_fields(subnet))
        }
    })
}

fn subnet_fields(subnet: &Subnet) -> Fields {
    let ranges = |ranges: Vec<AddressRange>| ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let time = |time: Option<Duration>| time.map(show_duration).unwrap_or_default();
    let mut fields = Fields::from([
        ("revision".into(), revision::of(&Record::Subnet(subnet.clone()))),
        ("network".into(), subnet.network.to_string()),
        ("interface".into(), subnet.interface.clone().unwrap_or_default()),
        ("pools".into(), ranges(subnet.pools.iter().map(|pool| pool.range).collect())),
        ("exclude".into(), ranges(subnet.exclusions.clone())),
        ("default".into(), time(subnet.lease.default)),
        ("min".into(), time(subnet.lease.min)),
        ("max".into(), time(subnet.lease.max)),
    ]);
    for (code, name, _) in SIMPLE {
        fields.insert(name.into(), subnet.options.get(&code).map(show_value).unwrap_or_default());
    }
    fields
}

/// Every field is read, so that all that is wrong is told at once. What has no field stays as it was.
pub fn read_subnet(before: Option<&Subnet>, fields: &Fields, errors: &mut Errors) -> Option<Subnet> {
    let field = |name: &str| fields.get(name).map_or("", |text| text.trim());
    let network = if field("network").is_empty() {
        errors.add("network", "It is empty. Write the network with its prefix length, like 192.168.1.0/24.");
        None
    } else {
        read_network(field("network")).map_err(|why| errors.add("network", why)).ok()
    };
    let mut ranges = |name: &str| {
        let mut read: Vec<AddressRange> = Vec::new();
        for text in field(name).split(['\n', ',', ';']).map(str::trim).filter(|text| !text.is_empty()) {
            match read_range(text) {
                Ok(range) => read.push(range),
                Err(why) => errors.add(name, why),
            }
        }
        read.sort_unstable();
        read
    };
    let (pools, exclusions) = (ranges("pools"), ranges("exclude"));
    let mut options = before.map(|before| before.options.clone()).unwrap_or_default();
    read_simple(fields, &mut options, errors);
    let own = read_times(fields, errors);
    let lease = before.map(|before| before.lease.clone()).unwrap_or_default();
    let lease = LeaseOverrides { default: own.default, min: own.min, max: own.max, ..lease };
    let pools = pools.into_iter().map(|range| {
        let own =
            before.and_then(|before| before.pools.iter().find(|pool| pool.range == range || pool.range.first == range.first));
        Pool { range, options: own.map(|pool| pool.options.clone()).unwrap_or_default() }
    });
    let interface = Some(field("interface")).filter(|name| !name.is_empty()).map(ToOwned::to_owned);
    let subnet = Subnet { network: network?, interface, pools: pools.collect(), exclusions, lease, options };
    errors.is_empty().then_some(subnet)
}

fn read_simple(fields: &Fields, options: &mut OptionSet, errors: &mut Errors) {
    for (code, name, kind) in SIMPLE {
        let text = fields.get(name).map_or("", |text| text.trim());
        if text.is_empty() {
            options.remove(&code);
            continue;
        }
        match read_value(kind, text) {
            Ok(value) => drop(options.insert(code, value)),
            Err(why) => errors.add(name, why),
        }
    }
}

fn times_fields(lease: &LeaseTimes) -> Fields {
    let part = |permille: u16| (f64::from(permille) / 1000.0).to_string();
    let mut fields = Fields::from([
        ("revision".into(), revision::of(&Record::Lease(lease.clone()))),
        ("default".into(), show_duration(lease.default)),
        ("min".into(), show_duration(lease.min)),
        ("max".into(), show_duration(lease.max)),
        ("t1".into(), part(lease.t1_permille)),
        ("t2".into(), part(lease.t2_permille)),
    ]);
    if lease.infinite {
        fields.insert("infinite".into(), "on".into());
    }
    fields
}

fn read_times(fields: &Fields, errors: &mut Errors) -> LeaseOverrides {
    let field = |name: &str| fields.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let mut time = |name: &str| field(name).and_then(|text| read_duration(text).map_err(|why| errors.add(name, why)).ok());
    let (default, min, max) = (time("default"), time("min"), time("max"));
    let mut part = |name: &str| {
        let text = field(name)?;
        let part = text.parse::<f64>().ok().map(|part| (part * 1000.0).round()).filter(|part| (1.0..1000.0).contains(part));
        if part.is_none() {
            errors.add(name, format!("`{text}` is no part of a lease. Write a number between 0 and 1, like 0.5."));
        }
        part.map(|part| part as u16)
    };
    LeaseOverrides { default, min, max, infinite: None, t1_permille: part("t1"), t2_permille: part("t2") }
}

/// Each sentence beside the field that it speaks of; the rest beside `first`.
fn beside(errors: &mut Errors, sentences: &[String], first: &str) {
    const NAMED: [(&str, &str); 11] = [
        ("Pool ", "pools"),
        ("Exclusion ", "exclude"),
        ("Interface ", "interface"),
        ("`router` ", "router"),
        ("`dns` ", "dns"),
        ("`domain` ", "domain"),
        ("`t1` ", "t1"),
        ("`default` ", "default"),
        ("`min` ", "min"),
        ("`max` ", "max"),
        ("Subnet ", "network"),
    ];
    let mut whole: Vec<(&str, Vec<&str>)> = Vec::new();
    for sentence in sentences {
        let named = NAMED.iter().find(|(begin, _)| sentence.starts_with(begin));
        let named = named.or_else(|| NAMED.iter().find(|(begin, _)| begin.starts_with('`') && sentence.contains(begin)));
        let field = named.map_or(first, |(_, field)| *field);
        match whole.iter_mut().find(|(name, _)| *name == field) {
            Some((_, sentences)) => sentences.push(sentence),
            None => whole.push((field, vec![sentence])),
        }
    }
    for (field, sentences) in whole {
        errors.add(field, sentences.join(" "));
    }
}

/// The largest run of addresses that a new network proposes for its pool: the upper part, without the router.
pub fn proposed_pool(network: Ipv4Net, taken: &HashSet<Ipv4Addr>) -> Option<AddressRange> {
    let (net, broadcast) = (u32::from(network.network()), u32::from(network.broadcast()));
    let size = broadcast.checked_sub(net)?;
    let (first, last) = if size >= 255 { (net + 100, net + 199) } else { (net + size / 3, broadcast.checked_sub(1)?) };
    let mut best: Option<AddressRange> = None;
    let mut begin = None;
    for number in first.max(net + 1)..=last.min(broadcast - 1) + 1 {
        let address = Ipv4Addr::from(number);
        let is_free = number <= last.min(broadcast - 1) && !taken.contains(&address);
        match (is_free, begin) {
            (true, None) => begin = Some(address),
            (false, Some(first)) => {
                let run = AddressRange { first, last: Ipv4Addr::from(number - 1) };
                if best.is_none_or(|best| run.size() > best.size()) {
                    best = Some(run);
                }
                begin = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{options::OptionValue, parse::parse};

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let wrong = fields(&[
            ("network", "192.0.2.1/24"),
            ("pools", "192.0.2.9-1\nx"),
            ("exclude", "300"),
            ("router", "me"),
            ("dns", "8.8.8"),
            ("default", "soon"),
            ("min", "-1"),
            ("max", "∞"),
        ]);
        let mut errors = Errors::default();
        assert_eq!(read_subnet(None, &wrong, &mut errors), None);
        for name in ["network", "pools", "exclude", "router", "dns", "default", "min", "max"] {
            assert!(errors.has(name), "{name}");
        }
    }

    #[test]
    fn what_has_no_field_stays_as_it_was() {
        let text = "[[subnet]]\nnetwork = \"192.0.2.0/24\"\n[subnet.lease]\ninfinite = true\n[subnet.options]\nrouter = [\"192.0.2.1\"]\nntp = [\"192.0.2.2\"]\n\
            [[subnet.pool]]\nrange = \"192.0.2.10-20\"\n[subnet.pool.options]\nmtu = 1400\n";
        let before = parse(text).unwrap().subnets.remove(0);
        let mut errors = Errors::default();
        assert_eq!(read_subnet(Some(&before), &subnet_fields(&before), &mut errors).as_ref(), Some(&before));
        let mut changed = subnet_fields(&before);
        changed.insert("router".into(), "192.0.2.254".into());
        changed.insert("pools".into(), "192.0.2.10-192.0.2.30".into());
        let after = read_subnet(Some(&before), &changed, &mut errors).unwrap();
        assert_eq!(after.options[&3], OptionValue::IpList(vec!["192.0.2.254".parse().unwrap()]));
        assert_eq!((after.options.len(), after.lease.infinite, after.pools[0].options.len()), (2, Some(true), 1));
    }

    #[test]
    fn sentences_stand_beside_the_field_they_speak_of() {
        let mut errors = Errors::default();
        let sentences =
            ["Pool 192.0.2.1 covers the router.".to_string(), "In [lease], `min` (2h) is longer.".into(), "Odd.".into()];
        beside(&mut errors, &sentences, "network");
        assert!(errors.has("pools") && errors.has("min") && errors.of("network") == "Odd.");
    }

    #[test]
    fn the_proposed_pool_avoids_what_is_taken() {
        let taken: HashSet<Ipv4Addr> = [1, 150, 254].map(|last| Ipv4Addr::new(192, 0, 2, last)).into();
        let pool = |network: &str| proposed_pool(network.parse().unwrap(), &taken).map(|range| range.to_string());
        assert_eq!(pool("192.0.2.0/24").as_deref(), Some("192.0.2.100-192.0.2.149"));
        assert_eq!(pool("192.0.2.0/29").as_deref(), Some("192.0.2.2-192.0.2.6"));
        assert_eq!(pool("192.0.2.0/30").as_deref(), Some("192.0.2.2"));
        assert_eq!(pool("10.0.0.0/8").as_deref(), Some("10.0.0.100-10.0.0.199"));
    }
}
