//! `/`: what needs somebody, how the twins are, how full the pools are.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::{
    Site,
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::{protocol::node::SubnetStatus, runtime::handle::Stopped};

pub fn routes() -> Router<Site> {
    Router::new().route("/", get(home))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    shell: Shell,
    subnets: &'a [SubnetStatus],
}

async fn home(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(shell::page(&Home { shell: Shell::new(&house, &visitor, Section::Home, "Home"), subnets: &house.status.subnets }))
}
