//! `/devices/ID`: one device, with what can be done about it and why it got what it got. Also `/devices/new` and
//! `/devices/what-if`.

pub mod keep;
pub mod received;
pub mod timeline;
pub mod trace;
mod view;
mod what_if;

use std::{net::Ipv4Addr, sync::Arc};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{
    House, Site,
    devices::{
        back,
        device::{Device, find, gather},
        id::DeviceId,
        link,
    },
    live::{Fragment, Parts, Place},
    notice::{Notice, see},
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::{
    protocol::{Command, lease::HwAddr},
    runtime::handle::Stopped,
    settings::{Record, RecordKey, Reservation},
};
use keep::{Clash, Fields};
use timeline::Span;
use view::{DeviceView, FormView, Memory};

type Pairs = Vec<(String, String)>;

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/devices/new", get(new).post(add))
        .route("/devices/what-if", get(what_if::page))
        .route("/devices/{id}", get(show).post(save))
        .route("/devices/{id}/keep", post(keep_it))
        .route("/devices/{id}/unkeep", post(unkeep))
        .route("/devices/{id}/free", post(free))
        .route("/devices/{id}/check", post(check))
}

#[derive(Template)]
#[template(path = "device.html")]
struct Page {
    shell: Shell,
    device: DeviceView,
    form: FormView,
}

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "device_parts.html" as parts %}{% call parts::about(device) %}{% endcall %}"#)]
struct About<'v> {
    device: &'v DeviceView,
}

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "device_parts.html" as parts %}{% call parts::why(device) %}{% endcall %}"#)]
struct Why<'v> {
    device: &'v DeviceView,
}

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "device_parts.html" as parts %}{% call parts::timeline(device) %}{% endcall %}"#)]
struct WhenHeard<'v> {
    device: &'v DeviceView,
}

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "device_parts.html" as parts %}{% call parts::told(device) %}{% endcall %}"#)]
struct WhatItIsTold<'v> {
    device: &'v DeviceView,
}

#[derive(Template)]
#[template(path = "device_new.html")]
struct NewPage {
    shell: Shell,
    form: FormView,
    has_subnets: bool,
}

#[derive(Template)]
#[template(path = "device_unknown.html")]
struct UnknownPage {
    shell: Shell,
    text: String,
    /// A MAC that nobody has used yet.
    mac: Option<String>,
}

/// The device of a URL, and the house that it stands in.
struct Found {
    house: Arc<House>,
    id: DeviceId,
}

impl Found {
    fn device(&self) -> Option<Device<'_>> {
        find(&gather(&self.house), &self.id)
    }
}

/// What the URL names; whether there is such a device is for `device` to say. The error is the page that says so.
fn look(visitor: &Visitor, id: &str, house: Arc<House>) -> Result<Found, Box<Response>> {
    match id.parse::<DeviceId>() {
        Ok(id) => Ok(Found { house, id }),
        Err(text) => Err(Box::new(not_found(&house, visitor, text, None))),
    }
}

fn unknown(house: &House, visitor: &Visitor, id: &DeviceId) -> Response {
    let mac = match id {
        DeviceId::Hw(hw) => Some(hw.to_string()),
        DeviceId::Client(_) | DeviceId::Circuit(_) => None,
    };
    let called = mac.clone().unwrap_or_else(|| crate::settings::words::show_identifier(&id.identifier()));
    not_found(house, visitor, format!("{called} has not asked for an address here, and none is kept for it."), mac)
}

fn not_found(house: &House, visitor: &Visitor, text: String, mac: Option<String>) -> Response {
    let shell = Shell::new(house, visitor, Section::Devices, "No such device");
    (StatusCode::NOT_FOUND, shell::page(&UnknownPage { shell, text, mac })).into_response()
}

fn said<'p>(pairs: &'p [(String, String)], key: &str) -> Option<&'p str> {
    pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

async fn show(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<Pairs>,
) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let found = match look(&visitor, &id, house) {
        Ok(found) => found,
        Err(page) => return Ok(*page),
    };
    page_of(&site, &visitor, &found, span_of(&asked), None).await
}

fn span_of(asked: &[(String, String)]) -> Span {
    said(asked, "span").and_then(Span::named).unwrap_or_default()
}

/// What is live of it: all but the form, which is somebody's work and says by itself that it was overtaken.
pub fn parts<'a>(site: &'a Site, house: &'a House, place: &'a Place) -> Parts<'a> {
    Box::pin(async move {
        let id = place.path.strip_prefix("/devices/").and_then(|id| id.parse().ok());
        // One that is not known any more stays as it was last.
        let Some(device) = id.and_then(|id| find(&gather(house), &id)) else { return Vec::new() };
        let Ok(memory) = remember(site, &device, house).await else { return Vec::new() };
        let device = &DeviceView::new(&device, house, &memory, span_of(&place.asked::<Pairs>()));
        let parts = [
            Fragment::new("device-about", &About { device }),
            Fragment::new("device-why", &Why { device }),
            Fragment::new("device-timeline", &WhenHeard { device }),
            Fragment::new("device-told", &WhatItIsTold { device }),
        ];
        parts.into_iter().flatten().collect()
    })
}

/// `form`: one that was sent and is given back.
async fn page_of(site: &Site, visitor: &Visitor, found: &Found, span: Span, form: Option<FormView>) -> Result<Response, Stopped> {
    let Some(device) = found.device() else { return Ok(unknown(&found.house, visitor, &found.id)) };
    let memory = remember(site, &device, &found.house).await?;
    let free = free_addresses(site, &found.house).await?;
    let fields = match device.kept {
        Some(kept) => Fields::of(kept, &found.house.settings),
        None => Fields::for_device(&device, proposed(&device, &found.house, &free)),
    };
    let submit = if device.kept.is_some() { "Save" } else { "Keep this address" };
    let mut form = form.unwrap_or_else(|| FormView::new(link(&device.id), fields, submit));
    let view = DeviceView::new(&device, &found.house, &memory, span);
    form.free = told(&free);
    let shell = Shell::new(&found.house, visitor, Section::Devices, view.called.clone()).live("device");
    Ok(shell::page(&Page { shell, device: view, form }))
}

/// The free address of the subnet in which the device is.
fn proposed(device: &Device<'_>, house: &House, free: &[Ipv4Addr]) -> Option<Ipv4Addr> {
    let here = device.address(house.now).and_then(|address| house.settings.subnet_of(address));
    let same = free.iter().find(|free| here.is_some_and(|subnet| subnet.network.contains(*free)));
    same.or(free.first()).copied()
}

async fn remember(site: &Site, device: &Device<'_>, house: &House) -> Result<Memory, Stopped> {
    let (hw, address) = (device.hw, device.address(house.now));
    // A timeline that cannot be read is left out; the rest of the page is worth as much without it.
    let days = match hw {
        Some(hw) => site.look(move |archive| archive.presence_of(hw)).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let hours = days.iter().map(|day| (day.day, day.hours)).collect();
    site.handle()
        .read(move |node, _| Memory {
            decisions: hw.map(|hw| trace::of_device(node, hw)).unwrap_or_default(),
            options: address.map(|address| received::table(node, address)).unwrap_or_default(),
            hours,
        })
        .await
}

/// One click: the address that it has now.
async fn keep_it(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Pairs>,
) -> Result<Response, Stopped> {
    let found = match look(&visitor, &id, site.fresh_house().await?) {
        Ok(found) => found,
        Err(page) => return Ok(*page),
    };
    let Some(device) = found.device() else { return Ok(unknown(&found.house, &visitor, &found.id)) };
    let to = back(&form, &link(&device.id));
    let Some(reservation) = keep::as_it_is(&device, &found.house) else {
        let text = match device.kept {
            Some(kept) => format!("{} is kept for {} already.", kept.address, device.called()),
            None => format!("{} has no address now. Open it and choose one to keep.", device.called()),
        };
        return Ok(see(&visitor, &to, Notice::new(text)));
    };
    let done = format!("{} is kept for {}.", reservation.address, device.called());
    change(&site, &visitor, Command::Add(Record::Reservation(reservation)), &to, done).await
}

async fn unkeep(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Pairs>,
) -> Result<Response, Stopped> {
    let found = match look(&visitor, &id, site.fresh_house().await?) {
        Ok(found) => found,
        Err(page) => return Ok(*page),
    };
    let Some(device) = found.device() else { return Ok(unknown(&found.house, &visitor, &found.id)) };
    // A device that was never heard is gone with its kept address.
    let stays = device.lease.is_some();
    let to = if stays { back(&form, &link(&device.id)) } else { "/devices".into() };
    let Some(kept) = device.kept else {
        return Ok(see(&visitor, &to, Notice::new(format!("No address is kept for {}.", device.called()))));
    };
    let done = format!("{} is no longer kept for {}.", kept.address, device.called());
    change(&site, &visitor, Command::Remove(RecordKey::Reservation(kept.identifier.clone())), &to, done).await
}

/// The admin's word that the device is gone.
async fn free(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Pairs>,
) -> Result<Response, Stopped> {
    let found = match look(&visitor, &id, site.fresh_house().await?) {
        Ok(found) => found,
        Err(page) => return Ok(*page),
    };
    let Some(device) = found.device() else { return Ok(unknown(&found.house, &visitor, &found.id)) };
    let to = back(&form, &link(&device.id));
    let Some(lease) = device.lease.filter(|lease| lease.is_held(found.house.now)) else {
        return Ok(see(&visitor, &to, Notice::new(format!("{} has no lease. Nothing to do.", device.called()))));
    };
    let done = format!("{} is free again: anybody may have it.", lease.address);
    change(&site, &visitor, Command::Free(lease.address), &to, done).await
}

/// By ARP: is it there now?
async fn check(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Pairs>,
) -> Result<Response, Stopped> {
    let found = match look(&visitor, &id, site.house().await?) {
        Ok(found) => found,
        Err(page) => return Ok(*page),
    };
    let Some(device) = found.device() else { return Ok(unknown(&found.house, &visitor, &found.id)) };
    let to = back(&form, &link(&device.id));
    let Some(address) = device.address(found.house.now) else {
        return Ok(see(&visitor, &to, Notice::new("It has no address, so there is nobody to ask.")));
    };
    let text = match site.handle().who_has(address).await? {
        Ok(Some(answer)) => {
            let mac = HwAddr::ethernet(answer.mac);
            let ms = answer.after.as_millis().max(1);
            if device.hw.is_none_or(|hw| hw == mac) {
                format!("{} answered under {address} in {ms} ms.", device.called())
            } else {
                format!("Another device, {mac}, answered under {address} in {ms} ms. Look for it: two must not use one address.")
            }
        }
        Ok(None) => format!("Nobody answered under {address}. A device that sleeps often does not; wake it, and check again."),
        Err(why) => format!("{address} could not be asked: {why}."),
    };
    Ok(see(&visitor, &to, Notice::new(text)))
}

/// The form on the page of a device: keeps an address, or changes the kept one.
async fn save(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<Pairs>,
) -> Result<Response, Stopped> {
    let _alone = site.alone().await;
    let found = match look(&visitor, &id, site.fresh_house().await?) {
        Ok(found) => found,
        Err(page) => return Ok(*page),
    };
    let fields = Fields::read(&form);
    let device = found.device();
    let kept = device.as_ref().and_then(|device| device.kept);
    if fields.revision != keep::revision(kept) {
        return clashed(&site, &visitor, &found, kept, fields).await;
    }
    let Some(device) = &device else { return Ok(unknown(&found.house, &visitor, &found.id)) };
    match fields.reservation(&found.house, kept, Some(&device.id)) {
        Ok(reservation) => {
            let done = kept_sentence(&found.house, &reservation, device);
            let record = Record::Reservation(reservation);
            let command = if kept.is_some() { Command::Put(record) } else { Command::Add(record) };
            change(&site, &visitor, command, &link(&device.id), done).await
        }
        Err(errors) => {
            let submit = if kept.is_some() { "Save" } else { "Keep this address" };
            let mut view = FormView::new(link(&device.id), fields, submit);
            view.has_advanced |= errors.has("options");
            view.other = keep::other_at(&found.house, &view.fields.address, kept).filter(|_| errors.has("address"));
            view.errors = errors;
            let page = page_of(&site, &visitor, &found, Span::default(), Some(view)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// Somebody else has changed it since the form was filled in: nothing is saved, both versions are shown.
async fn clashed(
    site: &Site,
    visitor: &Visitor,
    found: &Found,
    now: Option<&Reservation>,
    mut fields: Fields,
) -> Result<Response, Stopped> {
    let clash = Clash::of(now, &fields, &found.house.settings);
    // Sent again, it is meant to take the place of what is in force now.
    fields.revision = keep::revision(now);
    if found.device().is_none() {
        // It was never heard, and is kept no more: the way on is to keep an address for it anew.
        let shell = Shell::new(&found.house, visitor, Section::Devices, "Add a device");
        let mut form = FormView::new("/devices/new".into(), fields, "Keep it all the same");
        (form.asks_who, form.clash) = (true, Some(clash));
        let page = shell::page(&NewPage { shell, form, has_subnets: true });
        return Ok((StatusCode::CONFLICT, page).into_response());
    }
    let mut form = FormView::new(link(&found.id), fields, "Save mine");
    form.clash = Some(clash);
    let page = page_of(site, visitor, found, Span::default(), Some(form)).await?;
    Ok((StatusCode::CONFLICT, page).into_response())
}

fn kept_sentence(house: &House, reservation: &Reservation, device: &Device<'_>) -> String {
    let address = reservation.address;
    let called = reservation.name.clone().unwrap_or_else(|| device.called());
    let held = device.holds(house.now);
    if held == Some(address) {
        return format!("{address} is kept for {called}.");
    }
    let holder = house.bindings.binary_search_by_key(&address, |binding| binding.address).ok().map(|at| &house.bindings[at]);
    match holder.filter(|holder| holder.is_held(house.now) && device.hw != Some(holder.hw)) {
        Some(holder) => {
            let other = holder.host_name.as_deref().map_or_else(|| holder.hw.to_string(), ToOwned::to_owned);
            format!("{address} is kept for {called}. {other} has it until its lease ends; {called} gets it after that.")
        }
        None if held.is_some() => format!("{address} is kept for {called}, which gets it when it asks again."),
        None => format!("{address} is kept for {called}."),
    }
}

/// Done, or refused with a sentence; either way on to a page that says so.
async fn change(site: &Site, visitor: &Visitor, command: Command, to: &str, done: String) -> Result<Response, Stopped> {
    let notice = match site.submit(visitor, command).await? {
        Ok(saved) => Notice { text: done, undo: saved.change },
        Err(refusal) => Notice::new(refusal),
    };
    Ok(see(visitor, to, notice))
}

async fn new(State(site): State<Site>, visitor: Visitor, Query(asked): Query<Pairs>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let free = told(&free_addresses(&site, &house).await?);
    let address = said(&asked, "address").map_or_else(|| free.first().cloned().unwrap_or_default(), ToOwned::to_owned);
    let fields = Fields {
        who: said(&asked, "mac").unwrap_or_default().chars().take(100).collect(),
        address: address.chars().take(40).collect(),
        revision: keep::revision(None),
        ..Fields::default()
    };
    Ok(new_page(&house, &visitor, FormView::new("/devices/new".into(), fields, "Keep this address"), free))
}

fn new_page(house: &House, visitor: &Visitor, mut form: FormView, free: Vec<String>) -> Response {
    form.asks_who = true;
    form.free = free;
    let shell = Shell::new(house, visitor, Section::Devices, "Add a device");
    shell::page(&NewPage { shell, form, has_subnets: !house.settings.subnets.is_empty() })
}

/// One of each subnet.
async fn free_addresses(site: &Site, house: &House) -> Result<Vec<Ipv4Addr>, Stopped> {
    let now = house.now;
    site.handle().read(move |node, _| keep::proposals(node, now)).await
}

fn told(addresses: &[Ipv4Addr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

async fn add(State(site): State<Site>, visitor: Visitor, Form(form): Form<Pairs>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let fields = Fields::read(&form);
    match fields.reservation(&house, None, None) {
        Ok(reservation) => {
            let id = DeviceId::of(&reservation.identifier);
            let called =
                reservation.name.clone().unwrap_or_else(|| crate::settings::words::show_identifier(&reservation.identifier));
            let done = format!("{} is kept for {called}.", reservation.address);
            change(&site, &visitor, Command::Add(Record::Reservation(reservation)), &link(&id), done).await
        }
        Err(errors) => {
            let free = told(&free_addresses(&site, &house).await?);
            let mut view = FormView::new("/devices/new".into(), fields, "Keep this address");
            view.has_advanced |= errors.has("options");
            view.other = keep::other_at(&house, &view.fields.address, None).filter(|_| errors.has("address"));
            view.errors = errors;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, new_page(&house, &visitor, view, free)).into_response())
        }
    }
}

#[cfg(test)]
mod tests;
