//! `/settings/about`: which version this is, whose key it has, since when it runs, and whose work is in it.

use std::time::Duration;

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use crate::{
    protocol::explain::spell,
    runtime::handle::Stopped,
    web::{
        Site,
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

pub fn routes() -> Router<Site> {
    Router::new().route("/settings/about", get(about))
}

#[derive(Template)]
#[template(path = "settings_about.html")]
struct About {
    shell: Shell,
    version: &'static str,
    fingerprint: String,
    twin_fingerprint: String,
    twin_software: String,
    uptime: String,
    machine: String,
    data: String,
    interfaces: String,
    leases: usize,
    kept: usize,
    works: &'static [(&'static str, &'static str)],
}

/// What is linked into the binary, with its licence: the names that a reader would look for.
const WORKS: &[(&str, &str)] = &[
    ("tokio, hyper, axum, tower", "MIT"),
    ("rustls", "Apache-2.0, ISC or MIT"),
    ("ring", "Apache-2.0 and ISC"),
    ("SQLite", "public domain"),
    ("rusqlite, dhcproto", "MIT"),
    ("serde, askama, clap, ipnet, toml_edit, thiserror, anyhow", "MIT or Apache-2.0"),
    ("spake2, argon2", "MIT or Apache-2.0"),
    ("jiff", "Unlicense or MIT"),
    ("mdns-sd", "Apache-2.0 or MIT"),
    ("lzma-rust2", "Apache-2.0"),
    ("lucide (the pictures)", "ISC"),
];

async fn about(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let facts = site.link().map(|link| link.facts()).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned).unwrap_or_default();
    let page = About {
        version: env!("CARGO_PKG_VERSION"),
        fingerprint: text(&facts["fingerprint"]),
        twin_fingerprint: text(&facts["twin"]["fingerprint"]),
        twin_software: text(&facts["twin"]["software"]),
        uptime: machine_uptime().map(|uptime| spell(uptime.as_secs())).unwrap_or_default(),
        machine: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        data: site.data().display().to_string(),
        interfaces: house.status.interfaces.join(", "),
        leases: house.bindings.iter().filter(|binding| binding.is_held(house.now)).count(),
        kept: house.settings.reservations.len(),
        works: WORKS,
        shell: Shell::new(&house, &visitor, Section::Settings, "About"),
    };
    Ok(shell::page(&page))
}

fn machine_uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    text.split('.').next()?.parse().ok().map(Duration::from_secs)
}
