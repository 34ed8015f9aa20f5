//! `/`: what needs somebody, how the twins are, how full the pools are, who is new.

pub mod view;

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::{
    Site,
    devices::device,
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::runtime::handle::Stopped;
use view::HomeView;

pub fn routes() -> Router<Site> {
    Router::new().route("/", get(home))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    shell: Shell,
    view: HomeView,
}

async fn home(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let asked = site.handle().read(|node, _| device::asked(node)).await?;
    let view = HomeView::new(&house, &asked, |device| device.heard());
    Ok(shell::page(&Home { shell: Shell::new(&house, &visitor, Section::Home, "Home"), view }))
}
