//! `/welcome`: the first visit, in steps that can be left and entered again. What is done follows from what is set.

pub mod found;

use std::{collections::HashSet, net::Ipv4Addr};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use ipnet::Ipv4Net;

use self::found::{Found, Look};
use super::{
    House, Site,
    form::Errors,
    map::view::{self, Seen, View},
    notice::{self, Notice},
    settings::{
        Changing, Fields, Outcome, change,
        network::{proposed_pool, read_subnet},
    },
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::{
    runtime::{handle::Stopped, rivals},
    settings::{Record, Subnet},
};

const PAIR: &str = "/welcome/pair";

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/welcome", get(resume))
        .route("/welcome/found", get(found_step))
        .route("/welcome/pool", get(pool_step).post(make_pool))
        .route("/welcome/import", get(import_step))
        .route(PAIR, get(pair_step).post(pair))
        .route("/welcome/drill", get(drill_step))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Found,
    Pool,
    Import,
    Pair,
    Drill,
}

/// The way, with what is done.
struct Way {
    steps: Vec<(Step, &'static str, &'static str, bool)>,
    at: Step,
}

impl Way {
    fn new(house: &House, at: Step) -> Way {
        let has_network = house.settings.subnets.iter().any(|subnet| !subnet.pools.is_empty());
        let has_twin = house.status.twin.as_ref().is_some_and(|twin| twin.partner.is_some());
        let steps = vec![
            (Step::Found, "/welcome/found", "What is here", has_network),
            (Step::Pool, "/welcome/pool", "Addresses", has_network),
            (Step::Import, "/welcome/import", "Move in", !house.settings.reservations.is_empty()),
            (Step::Pair, PAIR, "Twin", has_twin),
            (Step::Drill, "/welcome/drill", "Try it", false),
        ];
        Way { steps, at }
    }

    fn is_at(&self, step: &Step) -> bool {
        self.at == *step
    }
}

/// To the first step that is not done.
async fn resume(State(site): State<Site>, _visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let way = Way::new(&house, Step::Found);
    let next = way.steps.iter().find(|(step, _, _, is_done)| !is_done && *step != Step::Import);
    Ok(Redirect::to(next.map_or("/welcome/drill", |(_, to, _, _)| to)).into_response())
}

#[derive(Template)]
#[template(path = "welcome_found.html")]
struct FoundPage {
    shell: Shell,
    way: Way,
    found: Found,
    rivals: Look,
}

#[derive(Template)]
#[template(path = "welcome_pool.html")]
struct PoolPage {
    shell: Shell,
    way: Way,
    errors: Errors,
    values: Fields,
    view: Option<View>,
    rivals: Vec<String>,
    is_set_up: bool,
}

impl PoolPage {
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
}

#[derive(Template)]
#[template(path = "welcome_import.html")]
struct ImportPage {
    shell: Shell,
    way: Way,
    kept: usize,
}

#[derive(Template)]
#[template(path = "welcome_pair.html")]
struct PairPage {
    shell: Shell,
    way: Way,
    errors: Errors,
    values: Fields,
    twin: String,
    /// The digits that are shown here, in two halves, and for how long.
    code: Option<(String, u64)>,
    pairing: String,
    others: Vec<(String, String)>,
    has_link: bool,
}

impl PairPage {
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
}

#[derive(Template)]
#[template(path = "welcome_drill.html")]
struct DrillPage {
    shell: Shell,
    way: Way,
    has_twin: bool,
    is_serving: bool,
}

async fn found_step(State(site): State<Site>, visitor: Visitor, Query(query): Query<Fields>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let found = Found::now();
    let rivals = found::rivals(&found, twin_address(&site), query.contains_key("again"));
    Ok(shell::page(&FoundPage {
        shell: Shell::new(&house, &visitor, Section::Home, "What is on this network"),
        way: Way::new(&house, Step::Found),
        found,
        rivals,
    }))
}

async fn pool_step(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let found = Found::now();
    let mut values = Fields::new();
    if house.settings.subnets.is_empty()
        && let Some(surrounding) = found.surroundings.first()
    {
        let network = surrounding.address.trunc();
        values.insert("network".into(), network.to_string());
        let taken = taken(&found, &rivals_seen(&found, &site));
        let pool = proposed_pool(network, &taken);
        values.insert("pools".into(), pool.map(|pool| pool.to_string()).unwrap_or_default());
        values.insert("router".into(), surrounding.router.map(|router| router.to_string()).unwrap_or_default());
        values.insert("dns".into(), found.dns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    pool_page(&site, &house, &visitor, &found, Errors::default(), values).await
}

/// Addresses that a pool must not hold: of the machine, the router, the name servers, and what a rival gives.
fn taken(found: &Found, rivals: &[found::Rival]) -> HashSet<Ipv4Addr> {
    let own = found.surroundings.iter().flat_map(|found| [Some(found.address.addr()), found.router]).flatten();
    let theirs = rivals.iter().flat_map(|rival| [rival.server, rival.offered]);
    own.chain(found.dns.iter().copied()).chain(theirs).collect()
}

fn rivals_seen(found: &Found, site: &Site) -> Vec<found::Rival> {
    match found::rivals(found, twin_address(site), false) {
        Look::Done(rivals) => rivals,
        Look::UnderWay | Look::Failed(_) => Vec::new(),
    }
}

async fn pool_page(
    site: &Site,
    house: &House,
    visitor: &Visitor,
    found: &Found,
    errors: Errors,
    values: Fields,
) -> Result<Response, Stopped> {
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    // What is proposed, drawn as it would be.
    let mut drawn = house.settings.clone();
    let proposed = read_subnet(None, &values, &mut Errors::default());
    let subnet: Option<Subnet> = proposed.or_else(|| house.settings.subnets.first().cloned());
    if let Some(subnet) = &subnet {
        drawn.put(Record::Subnet(subnet.clone()));
    }
    let rivals = rivals_seen(found, site);
    let view = subnet.map(|subnet| {
        let own = found.surroundings.iter().map(|found| found.address.addr()).collect();
        let strangers = rivals.iter().flat_map(|rival| [rival.server, rival.offered]).collect();
        let seen = Seen { own, strangers, twin: None };
        view::view(&drawn, &house.bindings, house.now, &subnet, view::part_of(&subnet, None), &seen)
    });
    let page = PoolPage {
        shell: Shell::new(house, visitor, Section::Home, "Which addresses devices get"),
        way: Way::new(house, Step::Pool),
        errors,
        values,
        view,
        rivals: rivals.iter().map(|rival| rival.server.to_string()).collect(),
        is_set_up: !house.settings.subnets.is_empty(),
    };
    Ok((status, shell::page(&page)).into_response())
}

async fn make_pool(State(site): State<Site>, visitor: Visitor, Form(fields): Form<Fields>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let found = Found::now();
    let mut errors = Errors::default();
    if let Some(subnet) = read_subnet(None, &fields, &mut errors) {
        let is_there = house.settings.subnets.iter().any(|other| other.network == subnet.network);
        let rivals = rivals_seen(&found, &site);
        let met = rivals.iter().find(|rival| subnet.pools.iter().any(|pool| pool.range.contains(rival.offered)));
        if is_there {
            errors.add("network", format!("{} is set up already. Go on, or edit it under Settings.", subnet.network));
        } else if let Some(rival) = met.filter(|_| !fields.contains_key("beside")) {
            errors.add(
                "pools",
                format!(
                    "The other DHCP server {} gives {} out of this range. Switch that server off first, or choose another range.",
                    rival.server, rival.offered
                ),
            );
        } else {
            let said = format!("Devices in {} get addresses from now on.", subnet.network);
            let changing = Changing {
                path: "/welcome/pool",
                back: "/welcome/import",
                section: Section::Home,
                said,
                record: Record::Subnet(subnet),
                replaces: None,
                fields: &fields,
            };
            match change(&site, &visitor, changing).await? {
                Outcome::Answer(response) => return Ok(response),
                Outcome::Refused(sentences) => {
                    for sentence in sentences {
                        let field = if sentence.starts_with("Pool") {
                            "pools"
                        } else if sentence.contains("`router`") {
                            "router"
                        } else {
                            "network"
                        };
                        errors.add(field, sentence);
                    }
                }
            }
        }
    }
    pool_page(&site, &house, &visitor, &found, errors, fields).await
}

async fn import_step(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(shell::page(&ImportPage {
        shell: Shell::new(&house, &visitor, Section::Home, "Bring your kept addresses"),
        way: Way::new(&house, Step::Import),
        kept: house.settings.reservations.len(),
    }))
}

async fn pair_step(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(pair_page(&site, &house, &visitor, Errors::default(), Fields::new()))
}

fn pair_page(site: &Site, house: &House, visitor: &Visitor, errors: Errors, values: Fields) -> Response {
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let facts = site.link().map(|link| link.facts()).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned).unwrap_or_default();
    let others = facts["found"].as_array().into_iter().flatten().filter(|other| other["paired"] != true);
    let code = facts["code"]["digits"].as_str().map(|digits| (halves(digits), facts["code"]["secs_left"].as_u64().unwrap_or(0)));
    let page = PairPage {
        shell: Shell::new(house, visitor, Section::Home, "Its twin"),
        way: Way::new(house, Step::Pair),
        errors,
        values,
        twin: text(&facts["twin"]["name"]),
        code,
        pairing: text(&facts["pairing"]),
        others: others.map(|other| (text(&other["name"]), text(&other["address"]))).collect(),
        has_link: site.link().is_some(),
    };
    (status, shell::page(&page)).into_response()
}

/// `123 456`: easier to read out.
fn halves(digits: &str) -> String {
    match digits.split_at_checked(digits.len() / 2) {
        Some((first, second)) => format!("{first} {second}"),
        None => digits.into(),
    }
}

async fn pair(State(site): State<Site>, visitor: Visitor, Form(fields): Form<Fields>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let mut errors = Errors::default();
    let Some(link) = site.link() else {
        errors.add("code", "The link is switched off: start twinlease with --twin-listen.");
        return Ok(pair_page(&site, &house, &visitor, errors, fields));
    };
    if fields.contains_key("show") {
        return Ok(match link.show_code().await {
            Ok(_) => Redirect::to(PAIR).into_response(),
            Err(sentence) => {
                errors.add("show", sentence);
                pair_page(&site, &house, &visitor, errors, fields)
            }
        });
    }
    let code: String = fields.get("code").map(|code| code.chars().filter(char::is_ascii_digit).collect()).unwrap_or_default();
    let typed = fields.get("address").map_or("", |address| address.trim());
    let address = match typed {
        "" => None,
        typed => {
            let with_port = typed.parse().ok().or_else(|| typed.parse::<Ipv4Addr>().ok().map(|address| (address, 8067).into()));
            if with_port.is_none() {
                errors.add("address", format!("`{typed}` is no address. Write it like 192.168.1.3, or choose one of the list."));
            }
            with_port
        }
    };
    if code.is_empty() {
        errors.add("code", "Write the code that the other one shows.");
    }
    if !errors.is_empty() {
        return Ok(pair_page(&site, &house, &visitor, errors, fields));
    }
    Ok(match link.enter_code(code, address).await {
        Ok(()) => {
            site.fresh_house().await?;
            notice::see(&visitor, "/welcome/drill", Notice::new("They are twins now. Settings and leases go to both."))
        }
        Err(sentence) => {
            errors.add("code", sentence);
            pair_page(&site, &house, &visitor, errors, fields)
        }
    })
}

async fn drill_step(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(shell::page(&DrillPage {
        shell: Shell::new(&house, &visitor, Section::Home, "See it take over"),
        way: Way::new(&house, Step::Drill),
        has_twin: house.status.twin.is_some(),
        is_serving: house.status.serving,
    }))
}

fn twin_address(site: &Site) -> Option<Ipv4Addr> {
    rivals::twin_address(&site.link()?.facts())
}

/// For the page: `192.0.2.0/24`.
fn network_of(address: &Ipv4Net) -> String {
    address.trunc().to_string()
}
