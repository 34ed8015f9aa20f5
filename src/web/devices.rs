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
    notice::{Notice, see, told_where},
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::{protocol::Command, runtime::handle::Stopped, settings::Record};
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
    let asked = axum::http::Uri::builder().path_and_query(format!("/devices?{}", place.query)).build();
    let asked = asked.ok().and_then(|uri| Asked::<Pairs>::try_from_uri(&uri).ok()).map(|Asked(asked)| asked);
    live::Fragment::new("found", &Fragment::of(house, &asked.unwrap_or_default())).into_iter().collect()
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

/// Keeps for every ticked device the address that it has now.
async fn keep_some(State(site): State<Site>, visitor: Visitor, Form(form): Form<Pairs>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let devices = gather(&house);
    let ticked = form.iter().filter(|(key, _)| key == "id").filter_map(|(_, id)| id.parse::<DeviceId>().ok());
    let (mut kept, mut refused, mut undo) = (Vec::new(), Vec::new(), None);
    for id in ticked.take(KEPT_AT_ONCE) {
        let Some(device) = device::find(&devices, &id) else { continue };
        let Some(reservation) = one::keep::as_it_is(&device, &house) else { continue };
        match site.submit(&visitor, Command::Add(Record::Reservation(reservation))).await? {
            Ok(saved) => {
                kept.push(device.called());
                undo = saved.change;
            }
            Err(why) => refused.push(why),
        }
    }
    let mut text = match kept.as_slice() {
        [] if refused.is_empty() => "Nothing was ticked that can be kept. Tick devices that have a lease.".into(),
        [] => String::new(),
        [one] => format!("{one} keeps its address."),
        several => format!("{} devices keep their addresses: {}.", several.len(), shortened(several)),
    };
    for why in refused.iter().take(3) {
        text = format!("{text} {why}");
    }
    if kept.len() > 1 {
        text = told_where(text, &house);
    }
    // One click takes back one change.
    let notice = Notice { text: text.trim().into(), undo: undo.filter(|_| kept.len() == 1) };
    Ok(see(&visitor, &back(&form, "/devices"), notice))
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
