//! `/map`: every address of a network at once; ranges become pools or exclusions here.

pub mod view;

use std::net::Ipv4Addr;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use ipnet::Ipv4Net;

use super::{
    House, Site,
    form::Errors,
    live::{Fragment, Parts, Place},
    revision,
    settings::{Changing, Fields, Outcome, change},
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::{
    runtime::handle::Stopped,
    settings::{AddressRange, Pool, Record, Subnet, words::read_address},
};
use view::{Seen, View};

pub fn routes() -> Router<Site> {
    Router::new().route("/map", get(map).post(range))
}

/// What is live of it.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% import "map_parts.html" as parts %}{% call parts::addresses(view, as_list) %}{% endcall %}"#
)]
struct AddressesPart<'v> {
    view: &'v View,
    as_list: bool,
}

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "map_parts.html" as parts %}{% call parts::pools(view) %}{% endcall %}"#)]
struct PoolsPart<'v> {
    view: &'v View,
}

#[derive(Template)]
#[template(path = "map.html")]
struct Map {
    shell: Shell,
    subnets: Vec<(Ipv4Net, bool)>,
    view: Option<View>,
    as_list: bool,
    errors: Errors,
    first: String,
    last: String,
    revision: String,
}

async fn map(State(site): State<Site>, visitor: Visitor, Query(query): Query<Fields>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let (first, last) = (query.get("from").cloned().unwrap_or_default(), query.get("to").cloned().unwrap_or_default());
    shown(&site, &house, &visitor, &query, (Errors::default(), first, last)).await
}

/// The subnet and the part that are asked for, or the first.
async fn shown(
    site: &Site,
    house: &House,
    visitor: &Visitor,
    query: &Fields,
    (errors, first, last): (Errors, String, String),
) -> Result<Response, Stopped> {
    let settings = &house.settings;
    let subnet = asked_for(house, query);
    let view = match subnet {
        Some(subnet) => Some(view_of(site, house, query, subnet).await?),
        None => None,
    };
    // Without a word of where, it shows the busiest network: that may be another one the next moment.
    let asked = view.as_ref().map(|view| format!("near={}{}", view.part.network(), if is_list(query) { "&as=list" } else { "" }));
    let page = Map {
        shell: Shell::new(house, visitor, Section::Map, "Map").live("map").asked(asked.unwrap_or_default()),
        subnets: settings.subnets.iter().map(|other| (other.network, Some(other.network) == subnet.map(|s| s.network))).collect(),
        view,
        as_list: is_list(query),
        revision: subnet.map(|subnet| revision::of(&Record::Subnet(subnet.clone()))).unwrap_or_default(),
        first,
        last,
        errors,
    };
    let status = if page.errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok((status, shell::page(&page)).into_response())
}

/// What is live of it, where there is still what the page shows.
pub fn parts<'a>(site: &'a Site, house: &'a House, place: &'a Place) -> Parts<'a> {
    Box::pin(async move {
        let query: Fields = place.asked();
        let Some(subnet) = near(&query).and_then(|near| house.settings.subnet_of(near)) else { return Vec::new() };
        let Ok(view) = view_of(site, house, &query, subnet).await else { return Vec::new() };
        let addresses = Fragment::new("addresses", &AddressesPart { view: &view, as_list: is_list(&query) });
        addresses.into_iter().chain(Fragment::new("pools", &PoolsPart { view: &view })).collect()
    })
}

fn is_list(query: &Fields) -> bool {
    query.get("as").is_some_and(|shape| shape == "list")
}

fn near(query: &Fields) -> Option<Ipv4Addr> {
    ["near", "part"].iter().find_map(|key| query.get(*key)).and_then(|text| text.trim().parse().ok())
}

fn asked_for<'h>(house: &'h House, query: &Fields) -> Option<&'h Subnet> {
    let settings = &house.settings;
    let named = query.get("subnet").and_then(|text| text.parse::<Ipv4Net>().ok());
    let by_name = settings.subnets.iter().find(|subnet| Some(subnet.network) == named);
    near(query).and_then(|near| settings.subnet_of(near)).or(by_name).or_else(|| busiest(house))
}

async fn view_of(site: &Site, house: &House, query: &Fields, subnet: &Subnet) -> Result<View, Stopped> {
    let part = view::part_of(subnet, near(query));
    let seen = seen(site, part).await?;
    Ok(view::view(&house.settings, &house.bindings, house.now, subnet, part, &seen))
}

/// The network with the most leases; of none, the first.
fn busiest(house: &House) -> Option<&Subnet> {
    let used = |subnet: &&Subnet| {
        let network = subnet.network.to_string();
        house.status.subnets.iter().find(|status| status.network == network).map_or(0, |status| status.pool_used)
    };
    // The first of those that are even.
    house.settings.subnets.iter().rev().max_by_key(used)
}

async fn seen(site: &Site, part: Ipv4Net) -> Result<Seen, Stopped> {
    let facts = site.link().map(|link| link.facts());
    let twin =
        facts.and_then(|facts| facts["twin"]["address"].as_str().and_then(|text| text.parse::<std::net::SocketAddr>().ok()));
    let twin = twin.and_then(|address| match address.ip() {
        std::net::IpAddr::V4(address) => Some(address),
        std::net::IpAddr::V6(_) => None,
    });
    site.handle()
        .read(move |node, _| {
            let addresses = || (u32::from(part.network())..=u32::from(part.broadcast())).map(Ipv4Addr::from);
            Seen {
                strangers: addresses().filter(|address| node.leases().is_set_aside(*address)).collect(),
                own: addresses().filter(|address| node.leases().is_own(*address)).collect(),
                twin,
            }
        })
        .await
}

/// Makes a range a pool, or excludes it.
async fn range(State(site): State<Site>, visitor: Visitor, Form(fields): Form<Fields>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let field = |name: &str| fields.get(name).map_or("", |text| text.trim());
    let mut errors = Errors::default();
    let part = field("part").parse::<Ipv4Addr>().ok();
    let (first, last) = (ending(field("from"), part), ending(field("to"), part));
    let mut range = None;
    match (&first, &last) {
        (Ok(first), Ok(last)) => range = Some(AddressRange { first: *first.min(last), last: *first.max(last) }),
        (first, last) => {
            for (name, end) in [("from", first), ("to", last)] {
                if let Err(why) = end {
                    errors.add(name, why);
                }
            }
        }
    }
    let subnet = range.and_then(|range| house.settings.subnet_of(range.first).map(|subnet| (range, subnet)));
    if let (Some(range), None) = (range, subnet) {
        errors.add("from", format!("{} lies in no network that is set up. Choose addresses of this one.", range.first));
    }
    if let Some((range, subnet)) = subnet
        && !subnet.network.contains(&range.last)
    {
        errors.add("to", format!("{} lies outside {}. Choose one inside.", range.last, subnet.network));
    }
    let Some((range, subnet)) = subnet.filter(|_| errors.is_empty()) else {
        let typed = (errors, field("from").to_string(), field("to").to_string());
        return shown(&site, &house, &visitor, &fields, typed).await;
    };
    let changed = if field("make") == "exclude" { with_exclusion(subnet, range) } else { with_pool(subnet, range) };
    let to = format!("/map?near={}", range.first);
    let said = match field("make") {
        "exclude" => format!("{range} is never given now, except as kept addresses."),
        _ => format!("{range} is in a pool now."),
    };
    let changing = Changing {
        path: "/map",
        back: &to,
        section: Section::Map,
        said,
        record: Record::Subnet(changed),
        replaces: None,
        fields: &fields,
    };
    match change(&site, &visitor, changing).await? {
        Outcome::Answer(response) => Ok(response),
        Outcome::Refused(sentences) => {
            let mut errors = Errors::default();
            errors.add("from", sentences.join(" "));
            let typed = (errors, field("from").to_string(), field("to").to_string());
            shown(&site, &house, &visitor, &fields, typed).await
        }
    }
}

/// A whole address, or its last number.
fn ending(text: &str, part: Option<Ipv4Addr>) -> Result<Ipv4Addr, String> {
    let short = text.trim().trim_start_matches('.');
    match (short.parse::<u8>(), part) {
        (Ok(last), Some(part)) => Ok(Ipv4Addr::from(u32::from(part) & !0xff | u32::from(last))),
        _ => read_address(text),
    }
}

/// Joined with the pools it meets, where those have no options of their own; no longer excluded.
fn with_pool(subnet: &Subnet, range: AddressRange) -> Subnet {
    let mut changed = subnet.clone();
    let mut whole = range;
    changed.pools.retain(|pool| {
        let meets = touches(pool.range, whole) && pool.options.is_empty();
        if meets {
            whole = AddressRange { first: whole.first.min(pool.range.first), last: whole.last.max(pool.range.last) };
        }
        !meets
    });
    changed.pools.push(Pool { range: whole, options: Default::default() });
    changed.pools.sort_by_key(|pool| pool.range);
    changed.exclusions = subnet.exclusions.iter().flat_map(|excluded| without(*excluded, range)).collect();
    changed
}

fn with_exclusion(subnet: &Subnet, range: AddressRange) -> Subnet {
    let mut changed = subnet.clone();
    let mut whole = range;
    changed.exclusions.retain(|excluded| {
        let meets = touches(*excluded, whole);
        if meets {
            whole = AddressRange { first: whole.first.min(excluded.first), last: whole.last.max(excluded.last) };
        }
        !meets
    });
    changed.exclusions.push(whole);
    changed.exclusions.sort_unstable();
    changed
}

/// They meet, or one begins right behind the other.
fn touches(one: AddressRange, other: AddressRange) -> bool {
    u32::from(one.first) <= u32::from(other.last).saturating_add(1)
        && u32::from(other.first) <= u32::from(one.last).saturating_add(1)
}

fn without(range: AddressRange, hole: AddressRange) -> Vec<AddressRange> {
    if hole.last < range.first || range.last < hole.first {
        return vec![range];
    }
    let before =
        (range.first < hole.first).then(|| AddressRange { first: range.first, last: Ipv4Addr::from(u32::from(hole.first) - 1) });
    let after =
        (hole.last < range.last).then(|| AddressRange { first: Ipv4Addr::from(u32::from(hole.last) + 1), last: range.last });
    before.into_iter().chain(after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{parse::parse, words::read_range};

    fn subnet() -> Subnet {
        let text = "[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.10-20\", \"192.0.2.30-40\"]\nexclude = [\"192.0.2.15\"]\n";
        parse(text).unwrap().subnets.remove(0)
    }

    fn told(ranges: impl IntoIterator<Item = AddressRange>) -> Vec<String> {
        ranges.into_iter().map(|range| range.to_string().replace("192.0.2.", "")).collect()
    }

    #[test]
    fn a_new_pool_joins_what_it_meets_and_is_not_excluded() {
        let changed = with_pool(&subnet(), read_range("192.0.2.12-29").unwrap());
        assert_eq!(told(changed.pools.iter().map(|pool| pool.range)), ["10-40"]);
        assert_eq!(told(changed.exclusions), Vec::<String>::new());
    }

    #[test]
    fn exclusions_join_and_are_cut() {
        let changed = with_exclusion(&subnet(), read_range("192.0.2.16-18").unwrap());
        assert_eq!(told(changed.exclusions.clone()), ["15-18"]);
        let again = with_pool(&changed, read_range("192.0.2.16-17").unwrap());
        assert_eq!(told(again.exclusions), ["15", "18"]);
    }

    #[test]
    fn an_end_is_an_address_or_its_last_number() {
        let part = Some(Ipv4Addr::new(192, 0, 2, 0));
        assert_eq!(ending(".7", part), Ok(Ipv4Addr::new(192, 0, 2, 7)));
        assert_eq!(ending("192.0.2.9", None), Ok(Ipv4Addr::new(192, 0, 2, 9)));
        assert!(ending("300", part).is_err() && ending("7", None).is_err());
    }
}
