//! SHOWS. The dashboard: one file per page with its view, its handlers and its forms, one template each over `base.html`.
//!
//! The web holds a `Site` only: it reads a `House`, submits commands and asks the link. It decides nothing about leases.

pub mod assets;
pub mod form;
pub mod home;
pub mod listen;
pub mod map;
pub mod notice;
pub mod settings;
pub mod shell;
pub mod site;
pub mod visitor;

use axum::Router;

pub use listen::{Options, Web, start};
pub use site::{House, Site};

/// All that is served; each page brings its own.
fn routes(site: Site) -> Router {
    Router::new().merge(home::routes()).merge(map::routes()).merge(settings::routes()).merge(assets::routes()).with_state(site)
}
