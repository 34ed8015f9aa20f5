//! `/activity`: what devices asked and were told, what admins changed, what happened to this twin, and its log. Four tabs,
//! sentences first, details on demand.

pub mod changes;
pub mod devices;
pub mod difference;
pub mod log;
pub mod moment;
pub mod system;

use std::collections::HashMap;

use axum::{
    Router,
    routing::{get, post},
};

use super::Site;

/// Rows of one page.
const PAGE_ROWS: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Devices,
    Changes,
    System,
    Log,
}

impl Tab {
    pub const ALL: [Tab; 4] = [Tab::Devices, Tab::Changes, Tab::System, Tab::Log];

    pub fn is(&self, other: &Tab) -> bool {
        self == other
    }

    pub fn path(&self) -> &'static str {
        match self {
            Tab::Devices => "/activity",
            Tab::Changes => "/activity/changes",
            Tab::System => "/activity/system",
            Tab::Log => "/activity/log",
        }
    }

    pub fn words(&self) -> &'static str {
        match self {
            Tab::Devices => "Devices",
            Tab::Changes => "Changes",
            Tab::System => "System",
            Tab::Log => "Log",
        }
    }
}

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/activity", get(devices::devices))
        .route("/activity/changes", get(changes::changes))
        .route("/activity/changes/{id}", get(changes::one))
        .route("/activity/changes/{id}/revert", post(changes::revert))
        .route("/activity/system", get(system::system))
        .route("/activity/log", get(log::log))
        .route("/activity/log.txt", get(log::download))
}

/// The address of a list with these fields; empty ones are left out.
fn address(path: &str, fields: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    for (nth, (name, value)) in fields.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        address.push(if nth == 0 { '?' } else { '&' });
        address.push_str(name);
        address.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => address.push(char::from(byte)),
                other => address.push_str(&format!("%{other:02X}")),
            }
        }
    }
    address
}

/// For the rows of a list that is live, by which a row is known again: the moment of its beginning, and how many of the same
/// moment stand above it.
fn row_ids(began: impl IntoIterator<Item = i64>) -> Vec<String> {
    let mut seen: HashMap<i64, usize> = HashMap::new();
    let id = |began: i64| {
        let above = seen.entry(began).or_default();
        *above += 1;
        format!("row-{began}-{above}")
    };
    began.into_iter().map(id).collect()
}

#[cfg(test)]
mod tests;
