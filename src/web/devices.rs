//! `/devices`: leases and kept addresses in one list, with search, filters, bulk keep and export.

pub mod id;
pub mod device;
pub mod when;
pub mod query;
pub mod list;
mod csv;
#[cfg(test)]
pub mod example;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query as Asked, State},
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    House, Site, device as one,
    live::{self, Place},
    notice::{Notice, see},
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::{
    protocol::Command,
    runtime::handle::Stopped,
    settings::{Record, Settings, check},
};
use device::gather;
use id::DeviceId;
use list::List;
use query::{Query, encode};

/// Ticks taken from one form: a page has no more rows.
const KEPT_AT_ONCE: usize = query::PAGE_ROWS;

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/devices", get(devices))
        .route("/devices/list", get(fragment))
        .route("/devices/devices.csv", get(export))
        .route("/devices/keep", post(keep_some))
}

#[derive(Template)]
#[template(path = "devices.html")]
struct Page {
    shell: Shell,
    list: List,
    has_subnets: bool,
}

#[derive(Template)]
#[template(path = "devices_list.html")]
struct Fragment {
    list: List,
    has_subnets: bool,
}

type Pairs = Vec<(String, String)>;

async fn devices(State(site): State<Site>, visitor: Visitor, Asked(asked): Asked<Pairs>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let shell = Shell::new(&house, &visitor, Section::Devices, "Devices").live("devices");
    let list = List::new(&house, &Query::read(&asked));
    Ok(shell::page(&Page { shell, list, has_subnets: !house.settings.subnets.is_empty() }))
}

/// The list alone, for the search that goes on while somebody types.
async fn fragment(State(site): State<Site>, _: Visitor, Asked(asked): Asked<Pairs>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(shell::page(&Fragment::of(&house, &asked)))
}

/// What is live of the list.
pub fn parts(_: &Site, house: &House, place: &Place) -> Vec<live::Fragment> {
    live::Fragment::new("found", &Fragment::of(house, &place.asked())).into_iter().collect()
}

impl Fragment {
    fn of(house: &House, asked: &Pairs) -> Fragment {
        Fragment { list: List::new(house, &Query::read(asked)), has_subnets: !house.settings.subnets.is_empty() }
    }
}

async fn export(State(site): State<Site>, _: Visitor, Asked(asked): Asked<Pairs>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let query = Query::read(&asked);
    let mut found = query.search(gather(&house), house.now);
    found.retain(|device| query.show.takes(device, house.now));
    query.sort(&mut found, &house);
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"devices.csv\""),
    ];
    Ok((head, csv::csv(&found, &house)).into_response())
}

/// Keeps for every ticked device the address that it has now: one change, which one click takes back.
async fn keep_some(State(site): State<Site>, visitor: Visitor, Form(form): Form<Pairs>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let devices = gather(&house);
    let ticked = form.iter().filter(|(key, _)| key == "id").filter_map(|(_, id)| id.parse::<DeviceId>().ok());
    let wanted = ticked.take(KEPT_AT_ONCE).filter_map(|id| {
        let device = device::find(&devices, &id)?;
        Some((device.called(), Record::Reservation(one::keep::as_it_is(&device, &house)?)))
    });
    let (addable, mut refused) = addable(&house.settings, wanted.collect());
    let (called, records): (Vec<String>, Vec<Record>) = addable.into_iter().unzip();
    let mut text = match called.as_slice() {
        [] if refused.is_empty() => "Nothing was ticked that can be kept. Tick devices that have a lease.".into(),
        [] => String::new(),
        [one] => format!("{one} keeps its address."),
        several => format!("{} devices keep their addresses: {}.", several.len(), shortened(several)),
    };
    let mut undo = None;
    if !records.is_empty() {
        match site.submit(&visitor, Command::AddAll(records)).await? {
            Ok(saved) => undo = saved.change,
            Err(why) => (text, refused) = (why, Vec::new()),
        }
    }
    for why in refused.iter().take(3) {
        text = format!("{text} {why}");
    }
    Ok(see(&visitor, &back(&form, "/devices"), Notice { text: text.trim().into(), undo }))
}

/// Those that may be added together, and what speaks against each of the others.
fn addable(settings: &Settings, wanted: Vec<(String, Record)>) -> (Vec<(String, Record)>, Vec<String>) {
    let all = wanted.iter().map(|(_, record)| record.clone()).collect();
    if check::after_add_all(settings, all).is_ok() {
        return (wanted, Vec::new());
    }
    let (mut settings, mut addable, mut refused) = (settings.clone(), Vec::new(), Vec::new());
    for (called, record) in wanted {
        match check::after_add(&settings, record.clone()) {
            Ok(with_it) => {
                settings = with_it;
                addable.push((called, record));
            }
            Err(findings) => refused.extend(findings.into_iter().map(|finding| finding.text)),
        }
    }
    (addable, refused)
}

fn shortened(names: &[String]) -> String {
    let first = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{first} and {} more", names.len() - 5) } else { first }
}

/// Where a form wants to go back to: a page of this server and nowhere else.
pub fn back(form: &[(String, String)], otherwise: &str) -> String {
    let wanted = form.iter().find(|(key, _)| key == "back").map_or("", |(_, to)| to.as_str());
    let is_ours = wanted == "/"
        || wanted == "/devices"
        || wanted.starts_with("/devices?")
        || wanted.starts_with("/devices/")
        || wanted == "/map";
    // A header takes no line ends.
    if is_ours && wanted.bytes().all(|byte| byte.is_ascii_graphic()) { wanted.into() } else { otherwise.into() }
}

/// The page of a device.
pub fn link(id: &DeviceId) -> String {
    format!("/devices/{}", encode(&id.to_string()))
}

#[cfg(test)]
mod tests;
