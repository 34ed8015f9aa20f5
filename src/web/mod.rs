//! SHOWS. The dashboard: one file per page with its view, its handlers and its forms, one template each over `base.html`.
//!
//! The web holds a `Site` only: it reads a `House`, submits commands and asks the link. It decides nothing about leases.

pub mod access;
pub mod activity;
pub mod alerts_page;
pub mod api;
pub mod assets;
mod certificate;
mod crowd;
pub mod drawn;
pub mod form;
mod guard;
pub mod health;
pub mod home;
pub mod devices;
pub mod device;
pub mod host;
pub mod listen;
pub mod live;
pub mod map;
pub mod metrics;
pub mod notice;
pub mod revision;
#[cfg(test)]
pub mod scratch;
pub mod settings;
pub mod shell;
pub mod site;
pub mod twins;
pub mod tokens_page;
pub mod visitor;
pub mod wizard;

use axum::Router;

pub use listen::{Options, Web, start};
pub use site::{House, Site};

/// All that is served; each page brings its own.
fn pages() -> Router<Site> {
    Router::new()
        .merge(home::routes())
        .merge(devices::routes())
        .merge(device::routes())
        .merge(twins::routes())
        .merge(map::routes())
        .merge(settings::routes())
        .merge(wizard::routes())
        .merge(access::routes())
        .merge(activity::routes())
        .merge(live::routes())
        .merge(assets::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(api::routes())
        .merge(alerts_page::routes())
        .merge(tokens_page::routes())
}

/// The pages behind their guards.
fn router(site: Site) -> Router {
    guard::guarded(pages().with_state(site.clone()), &site, guard::Guards::ALL)
}

#[cfg(test)]
mod attacks;
