//! `/settings`: the overview, and what every page of settings shares: one way to change a record, which loses nothing.

pub mod about;
pub mod backups;
pub mod differences;
pub mod import;
pub mod network;
pub mod options;
pub mod outside;
pub mod server;
pub mod twin;
pub mod updates;
pub mod uploads;

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    Site,
    notice::{self, Notice},
    revision,
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::{
    protocol::Command,
    runtime::handle::Stopped,
    settings::{Mode, Record, RecordKey, Settings, check, render, words::show_duration},
};

/// A form, by the names of its fields. Of a name that is there twice the last counts.
pub type Fields = BTreeMap<String, String>;

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/settings", get(overview))
        .merge(network::routes())
        .merge(options::routes())
        .merge(server::routes())
        .merge(twin::routes())
        .merge(about::routes())
        .merge(updates::routes())
        .merge(import::routes())
        .merge(backups::routes())
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Overview {
    shell: Shell,
    /// Where it leads, its picture, what it is, how it is now.
    cards: Vec<(&'static str, &'static str, &'static str, String)>,
}

async fn overview(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let Settings { server, twin, options, subnets, alerts, access, .. } = &house.settings;
    let count = |count: usize, one: &str, many: &str| match count {
        0 => format!("No {many}"),
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let pools: usize = subnets.iter().map(|subnet| subnet.pools.len()).sum();
    let probe = server.probe.map_or("asks nobody before it gives an address".to_string(), |probe| {
        format!("asks whether an address is in use, and waits {}", show_duration(probe))
    });
    let mode = match twin.mode {
        Mode::HotStandby => "one answers, the other stands by",
        Mode::LoadBalancing => "both answer, each its half",
    };
    let cards = vec![
        (
            "/settings/network",
            "network",
            "Network and pools",
            match subnets.as_slice() {
                [] => "No network yet".into(),
                [subnet] => format!("{}, {}", subnet.network, count(pools, "pool", "pools")),
                several => format!("{} networks, {}", several.len(), count(pools, "pool", "pools")),
            },
        ),
        ("/settings/options", "info", "Options", format!("{} for everybody", count(options.len(), "option", "options"))),
        ("/settings/server", "server", "Behaviour", format!("It {probe}")),
        ("/settings/twin", "arrow-left-right", "Twins", if house.status.twin.is_some() { mode.into() } else { "No twin".into() }),
        ("/settings/import", "upload", "Import and export", "From Kea, dnsmasq, ISC, Pi-hole, a table".into()),
        ("/settings/backups", "hard-drive", "Backups", "Made each night, kept on both".into()),
        (
            "/settings/alerts",
            "bell",
            "Alerts",
            if alerts.has_channel() { "Switched on".into() } else { "Nobody is told when something breaks".into() },
        ),
        ("/settings/password", "lock", "Password", "Who may sign in".into()),
        ("/settings/tokens", "key-round", "Tokens", format!("{} for programs", count(access.tokens.len(), "token", "tokens"))),
        ("/settings/updates", "download", "Updates", updates::in_short(&house.update)),
        ("/settings/about", "help", "About", format!("Version {}", env!("CARGO_PKG_VERSION"))),
    ];
    Ok(shell::page(&Overview { shell: Shell::new(&house, &visitor, Section::Settings, "Settings"), cards }))
}

/// A record that a form wants.
pub struct Changing<'a> {
    /// Where the form goes.
    pub path: &'a str,
    /// Where it leads when it is done, or given up.
    pub back: &'a str,
    pub section: Section,
    /// What is said when it is done.
    pub said: String,
    pub record: Record,
    /// The record that it was before, where its key is another now.
    pub replaces: Option<RecordKey>,
    pub fields: &'a Fields,
}

pub enum Outcome {
    /// Done, or a question that comes first.
    Answer(Response),
    /// The form comes back with these sentences.
    Refused(Vec<String>),
}

/// The one way to change a record by a form: not over somebody else's change, and not past a device's lease unasked.
pub async fn change(site: &Site, visitor: &Visitor, changing: Changing<'_>) -> Result<Outcome, Stopped> {
    let Changing { path, back, section, said, record, replaces, fields } = changing;
    let _alone = site.alone().await;
    let house = &*site.fresh_house().await?;
    let before = &house.settings;
    let key = replaces.clone().unwrap_or_else(|| record.key());
    let now = before.record(&key);
    if now.as_ref() == Some(&record) {
        return Ok(Outcome::Answer(notice::see(visitor, back, Notice::new("Nothing was changed: it is so already."))));
    }
    let revision = revision::of(&now);
    if fields.get("revision").is_some_and(|seen| *seen != revision) {
        let page = Changed {
            shell: Shell::new(house, visitor, section, "Somebody else changed this"),
            path,
            back,
            theirs: now.as_ref().map(render::record).unwrap_or_default(),
            mine: render::record(&record),
            fields: with(fields, "revision", &revision),
        };
        return Ok(Outcome::Answer((StatusCode::CONFLICT, shell::page(&page)).into_response()));
    }
    let is_moved = key != record.key();
    let after = if is_moved {
        let mut after = before.clone();
        after.remove(&key);
        let taken = after.record(&record.key()).is_some();
        after.put(record.clone());
        let found: Vec<String> =
            if taken { vec!["This network is there already. Edit that one.".into()] } else { fresh_findings(before, &after) };
        if found.is_empty() { Ok(after) } else { Err(found) }
    } else {
        check::after_put(before, record.clone()).map_err(|found| found.into_iter().map(|found| found.text).collect())
    };
    let after = match after {
        Ok(after) => after,
        Err(sentences) => return Ok(Outcome::Refused(sentences)),
    };
    if fields.get("confirmed").is_none_or(|word| word != "yes")
        && let Some(sentence) = outside::sentence(before, &after, &house.bindings, house.now)
    {
        let page = Confirm {
            shell: Shell::new(house, visitor, section, "Some devices are left outside"),
            path,
            back,
            sentence,
            fields: with(fields, "confirmed", "yes"),
        };
        return Ok(Outcome::Answer((StatusCode::UNPROCESSABLE_ENTITY, shell::page(&page)).into_response()));
    }
    let command = if is_moved { Command::Replace(Box::new(after)) } else { Command::Put(record) };
    Ok(match site.submit(visitor, command).await? {
        Ok(saved) => Outcome::Answer(notice::see(visitor, back, Notice { text: said, undo: saved.change })),
        Err(refusal) => Outcome::Refused(refusal.lines().map(ToOwned::to_owned).collect()),
    })
}

/// What speaks against the one, and did not against the other.
fn fresh_findings(before: &Settings, after: &Settings) -> Vec<String> {
    let known: Vec<String> = check::check(before).into_iter().map(|found| found.text).collect();
    check::check(after).into_iter().map(|found| found.text).filter(|text| !known.contains(text)).collect()
}

fn with(fields: &Fields, name: &str, value: &str) -> Fields {
    let mut fields = fields.clone();
    fields.insert(name.into(), value.into());
    fields
}

#[derive(Template)]
#[template(path = "settings_changed.html")]
struct Changed<'a> {
    shell: Shell,
    path: &'a str,
    back: &'a str,
    theirs: String,
    mine: String,
    fields: Fields,
}

#[derive(Template)]
#[template(path = "settings_confirm.html")]
struct Confirm<'a> {
    shell: Shell,
    path: &'a str,
    back: &'a str,
    sentence: String,
    fields: Fields,
}

#[cfg(test)]
mod tests;
