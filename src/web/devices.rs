//! `/devices`: leases and kept addresses in one list, with search, filters, export, and what is done to several at once.

pub mod id;
pub mod device;
pub mod when;
pub mod query;
pub mod list;
mod csv;
pub mod tag;
#[cfg(test)]
pub mod example;

use std::collections::HashSet;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query as Asked, State},
    http::{StatusCode, header},
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
    settings::{Identifier, Record, Reservation, Settings, check},
};
use device::gather;
use id::DeviceId;
use list::List;
use query::{Query, encode};
use tag::Tag;

/// Ticks taken from one form: a page has no more rows.
const TICKED_MAX: usize = query::PAGE_ROWS;
/// Of a tag that is none, in its field again.
const TAG_CHARS_SHOWN: usize = 100;

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/devices", get(devices))
        .route("/devices/list", get(fragment))
        .route("/devices/devices.csv", get(export))
        .route("/devices/keep", post(keep_some))
        .route("/devices/tag", post(tag_some))
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
    let wanted = ticked(&form).filter_map(|id| {
        let device = device::find(&devices, &id)?;
        Some((device.called(), Record::Reservation(one::keep::as_it_is(&device, &house)?)))
    });
    let (addable, refused) = possible(&house.settings, wanted.collect(), check::after_add_all);
    let (called, records): (Vec<String>, Vec<Record>) = addable.into_iter().unzip();
    let text = match called.as_slice() {
        [] if refused.is_empty() => "Nothing was ticked that can be kept. Tick devices that have a lease.".into(),
        [] => String::new(),
        [one] => format!("{one} keeps its address."),
        several => format!("{} devices keep their addresses: {}.", several.len(), shortened(several)),
    };
    let command = (!records.is_empty()).then_some(Command::AddAll(records));
    done_together(&site, &visitor, &form, command, (text, refused)).await
}

/// Gives every ticked device a tag, or takes it from them: one change, which one click takes back. A tag stands in the note of
/// a kept address, so a device without one keeps the address that it has.
async fn tag_some(State(site): State<Site>, visitor: Visitor, Form(form): Form<Pairs>) -> Result<Response, Stopped> {
    let typed = form.iter().find(|(key, _)| key == "tag").map_or("", |(_, tag)| tag.as_str());
    let takes = form.iter().any(|(key, value)| key == "make" && value == "untag");
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    let tag = match Tag::read(typed) {
        Ok(tag) => tag,
        Err(why) => return Ok(not_tagged(&house, &visitor, &form, (typed, why))),
    };
    let devices = gather(&house);
    let meant: Vec<device::Device<'_>> = ticked(&form).filter_map(|id| device::find(&devices, &id)).collect();
    let wanted = meant.iter().filter_map(|device| {
        let kept = match device.kept {
            Some(kept) => kept.clone(),
            None if takes => return None,
            None => one::keep::as_it_is(device, &house)?,
        };
        let note = kept.note.as_deref().unwrap_or_default();
        let note = if takes { tag.taken_from(note) } else { tag.added_to(note) }?;
        let tagged = Reservation { note: Some(note).filter(|note| !note.is_empty()), ..kept };
        Some((device.called(), Record::Reservation(tagged)))
    });
    let (possible, refused) = possible(&house.settings, wanted.collect(), check::after_put_all);
    let newly_kept = devices.iter().filter(|device| device.kept.is_none()).map(|device| device.id.identifier());
    let newly_kept: HashSet<Identifier> = newly_kept.collect();
    let is_newly_kept = |record: &Record| matches!(record, Record::Reservation(kept) if newly_kept.contains(&kept.identifier));
    let also_kept = possible.iter().filter(|(_, record)| is_newly_kept(record)).count();
    let (called, records): (Vec<String>, Vec<Record>) = possible.into_iter().unzip();
    let mut text = match (called.as_slice(), takes) {
        ([], _) if !refused.is_empty() => String::new(),
        ([], _) if meant.is_empty() => "Nothing was ticked. Tick the devices that are meant.".into(),
        ([], true) => format!("None of the ticked has the tag {tag}."),
        ([], false) => format!("All of the ticked that have a lease or a kept address have the tag {tag} already."),
        ([one], false) => format!("{one} has the tag {tag}."),
        (several, false) => format!("{} devices have the tag {tag}: {}.", several.len(), shortened(several)),
        ([one], true) => format!("{one} has the tag {tag} no longer."),
        (several, true) => format!("{} devices have the tag {tag} no longer: {}.", several.len(), shortened(several)),
    };
    match also_kept {
        0 => {}
        1 => text.push_str(" The address of one of them is kept from now on: a tag belongs to a kept address."),
        several => {
            text.push_str(&format!(" The addresses of {several} of them are kept from now on: a tag belongs to a kept address."));
        }
    }
    let command = (!records.is_empty()).then_some(Command::PutAll(records));
    done_together(&site, &visitor, &form, command, (text, refused)).await
}

/// Makes the one change, if there is anything to change, and goes back with what came of it: `text`, and why some were left out.
async fn done_together(
    site: &Site,
    visitor: &Visitor,
    form: &Pairs,
    command: Option<Command>,
    (mut text, mut refused): (String, Vec<String>),
) -> Result<Response, Stopped> {
    let mut undo = None;
    if let Some(command) = command {
        match site.submit(visitor, command).await? {
            Ok(saved) => undo = saved.change,
            Err(why) => (text, refused) = (why, Vec::new()),
        }
    }
    for why in refused.iter().take(3) {
        text = format!("{text} {why}");
    }
    Ok(see(visitor, &back(form, "/devices"), Notice { text: text.trim().into(), undo }))
}

/// The list as it was, with what is wrong beside the field, and the ticks.
fn not_tagged(house: &House, visitor: &Visitor, form: &Pairs, (typed, why): (&str, String)) -> Response {
    let to = back(form, "/devices");
    let query = to.split_once('?').map_or("", |(_, query)| query);
    let asked: Pairs = Place { query: query.into(), ..Place::default() }.asked();
    let mut list = List::new(house, &Query::read(&asked));
    list.tag = typed.chars().take(TAG_CHARS_SHOWN).collect();
    list.errors.add("tag", why);
    let ticked: HashSet<String> = ticked(form).map(|id| id.to_string()).collect();
    list.rows.iter_mut().for_each(|row| row.is_ticked = ticked.contains(&row.id));
    let shell = Shell::new(house, visitor, Section::Devices, "Devices").live("devices");
    let page = Page { shell, list, has_subnets: !house.settings.subnets.is_empty() };
    (StatusCode::UNPROCESSABLE_ENTITY, shell::page(&page)).into_response()
}

fn ticked(form: &[(String, String)]) -> impl Iterator<Item = DeviceId> {
    form.iter().filter(|(key, _)| key == "id").filter_map(|(_, id)| id.parse().ok()).take(TICKED_MAX)
}

type Check = fn(&Settings, Vec<Record>) -> Result<Settings, Vec<check::Finding>>;

/// Those that may be saved together, and what speaks against each of the others.
fn possible(settings: &Settings, wanted: Vec<(String, Record)>, check: Check) -> (Vec<(String, Record)>, Vec<String>) {
    let all = wanted.iter().map(|(_, record)| record.clone()).collect();
    if check(settings, all).is_ok() {
        return (wanted, Vec::new());
    }
    let (mut settings, mut possible, mut refused) = (settings.clone(), Vec::new(), Vec::new());
    for (called, record) in wanted {
        match check(&settings, vec![record.clone()]) {
            Ok(with_it) => {
                settings = with_it;
                possible.push((called, record));
            }
            Err(findings) => refused.extend(findings.into_iter().map(|finding| finding.text)),
        }
    }
    (possible, refused)
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
