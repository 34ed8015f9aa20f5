//! `/`: what needs somebody, how the twins are, how full the pools are, who is new.

pub mod view;

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::{
    House, Site,
    live::{Fragment, Place},
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

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "home_parts.html" as parts %}{% call parts::problems(view) %}{% endcall %}"#)]
struct Problems<'v> {
    view: &'v HomeView,
}

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "home_parts.html" as parts %}{% call parts::house(view) %}{% endcall %}"#)]
struct TheHouse<'v> {
    view: &'v HomeView,
}

async fn home(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let shell = Shell::new(&house, &visitor, Section::Home, "Home").live("home");
    Ok(shell::page(&Home { shell, view: look(&site, &house) }))
}

/// What is live of it.
pub fn parts(site: &Site, house: &House, _: &Place) -> Vec<Fragment> {
    let view = look(site, house);
    let parts = [Fragment::new("problems", &Problems { view: &view }), Fragment::new("house", &TheHouse { view: &view })];
    parts.into_iter().flatten().collect()
}

fn look(site: &Site, house: &House) -> HomeView {
    HomeView::new(house, &site.handle().board().around(), |device| device.heard())
}
