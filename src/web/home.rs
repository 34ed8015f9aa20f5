//! `/`: what needs somebody, how the twins are, how full the pools are, who is new.

pub mod view;

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::{
    House, Site,
    devices::when::When,
    live::{Fragment, Place},
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::runtime::handle::Stopped;
use view::HomeView;

/// Of the journal; Activity has the rest.
const LATEST_SHOWN: usize = 5;

pub fn routes() -> Router<Site> {
    Router::new().route("/", get(home))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'h> {
    shell: Shell,
    view: &'h HomeView,
    /// What happened last: a sentence, and when.
    latest: Vec<(String, When)>,
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
    let notes = site.look(|archive| archive.notes(LATEST_SHOWN, None, None, "")).await.unwrap_or_default();
    let latest = notes.into_iter().map(|(_, note)| (note.text, When::of_wall(&house, note.last_wall_ms))).collect();
    Ok(shell::page(&Home { shell, view: look(&site, &house), latest }))
}

/// What is live of it.
pub fn parts(site: &Site, house: &House, _: &Place) -> Vec<Fragment> {
    let view = look(site, house);
    let parts = [Fragment::new("problems", &Problems { view }), Fragment::new("house", &TheHouse { view })];
    parts.into_iter().flatten().collect()
}

fn look<'h>(site: &Site, house: &'h House) -> &'h HomeView {
    house.drawn.home(|| HomeView::new(house, &site.handle().board().around()))
}
