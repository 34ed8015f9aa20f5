//! SHOWS. The dashboard: one file per page with its view, its handlers and its forms, one template each over `base.html`.
//!
//! The web holds a `Site` only: it reads a `House`, submits commands and asks the link. It decides nothing about leases.

pub mod assets;
pub mod form;
pub mod health;
pub mod home;
pub mod listen;
pub mod metrics;
pub mod notice;
pub mod shell;
pub mod site;
pub mod visitor;

use axum::Router;

pub use listen::{Options, Web, start};
pub use site::{House, Site};

/// All that is served; each page brings its own.
fn routes(site: Site) -> Router {
    Router::new().merge(home::routes()).merge(assets::routes()).merge(health::routes()).merge(metrics::routes()).with_state(site)
}
