//! All settings at once, and those that exist once: read, check, take over.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value};

use super::{
    etag,
    problem::{Answer, Problems, Refusal, json_of, wrong_method},
    records::{replace, saved, where_saved},
    schema::{Differences, Done, Options, SettingsDoc},
    translate,
};
use crate::{
    protocol::{Change, Command, node::differences},
    settings::{MASK, Record, Settings, alerts::Alerts, parse, render, words::show_key},
    web::{Site, visitor::Visitor},
};

/// Room for some 50,000 kept addresses.
const BODY_BYTES_MAX: usize = 16 << 20;

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/api/v1/settings", get(export).put(import).fallback(wrong_method))
        .route("/api/v1/settings/check", post(check).fallback(wrong_method))
        .route("/api/v1/settings/{section}", get(section).put(put_section).fallback(wrong_method))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// For everybody who may read: no password of a mail server, no secret address.
fn shown(settings: &Settings) -> Settings {
    Settings { alerts: settings.alerts.masked(), ..settings.for_file() }
}

const TOML: &str = "application/toml";

/// All settings, as JSON, or as the settings file with `Accept: application/toml`; secrets are hidden
#[utoipa::path(get, path = "/api/v1/settings", tag = "settings", responses((status = 200, description = "All settings", content((SettingsDoc = "application/json"), (String = "application/toml")), headers(("ETag" = String))), Problems))]
pub async fn export(State(site): State<Site>, _: Visitor, headers: HeaderMap) -> Answer<Response> {
    let house = site.fresh_house().await?;
    let settings = shown(&house.settings);
    let wants_toml =
        headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("toml"));
    let json = translate::settings_json(&settings);
    if !wants_toml {
        return Ok(etag::tagged(&headers, json));
    }
    let tag = HeaderValue::try_from(etag::of(&json)).unwrap_or(HeaderValue::from_static("\"\""));
    let kind = HeaderValue::from_static(TOML);
    Ok(([(header::CONTENT_TYPE, kind), (header::ETAG, tag)], render::render(&settings)).into_response())
}

/// As JSON, or as the settings file by its content type. Hidden secrets are those that are in force.
fn settings_sent(headers: &HeaderMap, body: &[u8], now: &Settings) -> Answer<(Settings, Value)> {
    let is_toml = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| kind.contains("toml"));
    let mut json = if is_toml {
        let text = std::str::from_utf8(body).map_err(|_| Refusal::malformed("The file is not UTF-8 text. Save it as UTF-8."))?;
        let settings = parse::parse(&text.replace(&format!("\"{MASK}\""), &format!("\"{SENTINEL}\"")));
        let settings = settings.map_err(|problems| Refusal::several(problems.iter().map(ToString::to_string).collect()))?;
        translate::settings_json(&settings)
    } else {
        json_of(body)?
    };
    let yours = json.clone();
    if let Some(alerts) = json.get_mut("alerts") {
        unmask(alerts, &now.alerts);
    }
    Ok((translate::settings_of(&json)?, yours))
}

/// In the place of a hidden secret while the file is read, because an address must look like one.
const SENTINEL: &str = "https://hidden.invalid";

/// Puts the secrets that are in force in the place of their masks.
pub fn unmask(alerts: &mut Value, now: &Alerts) {
    let secrets = [
        ("webhook", "url", now.webhook.as_ref().map(|webhook| &webhook.url)),
        ("ntfy", "token", now.ntfy.as_ref().and_then(|ntfy| ntfy.token.as_ref())),
        ("mail", "password", now.mail.as_ref().and_then(|mail| mail.password.as_ref())),
    ];
    for (channel, key, secret) in secrets {
        if let (Some(given), Some(secret)) = (alerts.get_mut(channel).and_then(|channel| channel.get_mut(key)), secret)
            && given.as_str().is_some_and(|given| given == MASK || given == SENTINEL)
        {
            *given = Value::String(secret.clone());
        }
    }
}

/// Take over all settings at once: what is not in them goes
#[utoipa::path(put, path = "/api/v1/settings", tag = "settings", params(("If-Match" = Option<String>, Header)), request_body(content((SettingsDoc = "application/json"), (String = "application/toml"))), responses((status = 200, body = Done), Problems))]
pub async fn import(State(site): State<Site>, visitor: Visitor, headers: HeaderMap, body: Bytes) -> Answer<Json<Done>> {
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    let (settings, yours) = settings_sent(&headers, &body, &house.settings)?;
    etag::check(&headers, Some(&translate::settings_json(&shown(&house.settings))), &yours)?;
    let done = saved(site.submit(&visitor, Command::Replace(Box::new(settings))).await?)?;
    where_saved(&site, done).await.map(Json)
}

/// What an import would change; nothing is changed
#[utoipa::path(post, path = "/api/v1/settings/check", tag = "settings", request_body(content((SettingsDoc = "application/json"), (String = "application/toml"))), responses((status = 200, body = Differences), Problems))]
pub async fn check(State(site): State<Site>, _: Visitor, headers: HeaderMap, body: Bytes) -> Answer<Json<Differences>> {
    let house = site.fresh_house().await?;
    let (settings, _) = settings_sent(&headers, &body, &house.settings)?;
    let before = house.settings.for_file();
    let differences = differences(&before, &settings);
    let changes = differences.iter().filter_map(|change| match change {
        Change::Put(record) if before.record(&record.key()).is_none() => Some(format!("add {}", show_key(&record.key()))),
        Change::Put(record) => Some(format!("change {}", show_key(&record.key()))),
        Change::Remove(key) => Some(format!("remove {}", show_key(key))),
        Change::Bind(_) | Change::Setting(_) | Change::GiveUp(_) | Change::Pair(_) | Change::Noted(_) => None,
    });
    Ok(Json(Differences { changes: changes.collect() }))
}

/// Sections that exist once, by their names in the file.
const SECTIONS: [&str; 6] = ["server", "lease", "twin", "options", "custom-option", "alerts"];

fn record_named(settings: &Settings, section: &str) -> Answer<Record> {
    Ok(match section {
        "server" => Record::Server(settings.server.clone()),
        "lease" => Record::Lease(settings.lease.clone()),
        "twin" => Record::Twin(settings.twin),
        "options" => Record::Options(settings.options.clone()),
        "custom-option" => Record::CustomOptions(settings.custom_options.clone()),
        "alerts" => Record::Alerts(settings.alerts.clone()),
        _ => return Err(Refusal::not_found(format!("There is no such section. There are: {}.", SECTIONS.join(", ")))),
    })
}

fn section_shown(settings: &Settings, section: &str) -> Answer<Value> {
    Ok(translate::section_json(&record_named(&shown(settings), section)?, section))
}

/// One section: `server`, `lease`, `twin`, `options`, `custom-option` or `alerts` (its secrets are hidden)
#[utoipa::path(get, path = "/api/v1/settings/{section}", tag = "settings", params(("section" = String, Path)), responses((status = 200, body = SectionDoc, headers(("ETag" = String))), Problems))]
pub async fn section(State(site): State<Site>, _: Visitor, headers: HeaderMap, Path(section): Path<String>) -> Answer<Response> {
    let house = site.fresh_house().await?;
    Ok(etag::tagged(&headers, section_shown(&house.settings, &section)?))
}

/// Set a section as a whole: what is left out goes back to its default. A hidden secret stays what it is
#[utoipa::path(put, path = "/api/v1/settings/{section}", tag = "settings", params(("section" = String, Path), ("If-Match" = Option<String>, Header)), request_body = SectionDoc, responses((status = 200, body = Done), Problems))]
pub async fn put_section(
    State(site): State<Site>,
    visitor: Visitor,
    headers: HeaderMap,
    Path(section): Path<String>,
    body: Bytes,
) -> Answer<Json<Done>> {
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    let current = section_shown(&house.settings, &section)?;
    let mut yours = json_of(&body)?;
    etag::check(&headers, Some(&current), &yours)?;
    if section == "alerts" {
        unmask(&mut yours, &house.settings.alerts);
    }
    let new = record_named(&translate::section_of(&yours, &section, &house.settings)?, &section)?;
    if section == "alerts" {
        // History sees its secrets hidden, so that two that differ in them only look the same to it.
        let done = saved(site.submit(&visitor, Command::Put(new)).await?)?;
        return where_saved(&site, done).await.map(Json);
    }
    let old = record_named(&house.settings, &section)?;
    replace(&site, &visitor, Some(old), Some(new)).await.map(Json)
}

/// The keys of that section of the settings file; of `custom-option`, a list of them.
#[derive(Debug, utoipa::ToSchema, serde::Serialize)]
#[serde(untagged)]
#[schema(as = Section)]
#[allow(dead_code, reason = "for the document only")]
pub enum SectionDoc {
    Keys(Options),
    List(Vec<Map<String, Value>>),
}
