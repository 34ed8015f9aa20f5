//! `/twins/reconcile`: edits made on both twins while they were apart, both versions side by side, to choose from.

use askama::Template;
use axum::{Form, Router, extract::State, http::StatusCode, response::Response, routing::get};
use serde::Deserialize;

use super::answer;
use crate::{
    protocol::{
        Command,
        failover::Rank,
        replica::{Keep, ToReconcile},
    },
    runtime::handle::Stopped,
    settings::{Record, render, words::read_key},
    web::{
        House, Site,
        notice::{self, Notice},
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

const PAGE: &str = "/twins/reconcile";

pub fn routes() -> Router<Site> {
    Router::new().route(PAGE, get(list).post(choose))
}

#[derive(Template)]
#[template(path = "twins_reconcile.html")]
struct Reconcile {
    shell: Shell,
    items: Vec<Item>,
    refusal: Option<String>,
}

struct Item {
    /// As forms name it.
    name: String,
    why: String,
    in_force: Side,
    waiting: Side,
    /// What clashes with other settings cannot be taken as it is.
    can_take: bool,
}

struct Side {
    /// Who made it.
    title: String,
    lines: Vec<Line>,
}

struct Line {
    text: String,
    /// The other version does not have it.
    differs: bool,
}

async fn list(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    Ok(page(&house, &visitor, None))
}

fn page(house: &House, visitor: &Visitor, refusal: Option<String>) -> Response {
    let own = house.status.twin.as_ref().map(|twin| twin.rank);
    let items = house.to_reconcile.iter().map(|item| Item::new(item, house, own)).collect();
    let shell = Shell::new(house, visitor, Section::Twins, "To reconcile");
    answer(&Reconcile { shell, items, refusal })
}

#[derive(Deserialize)]
#[serde(default)]
struct Choice {
    key: String,
    keep: String,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice { key: String::new(), keep: "in-force".into() }
    }
}

async fn choose(State(site): State<Site>, visitor: Visitor, Form(choice): Form<Choice>) -> Result<Response, Stopped> {
    let keep = if choice.keep == "waiting" { Keep::Waiting } else { Keep::InForce };
    let outcome = match read_key(&choice.key) {
        Ok(key) => site.submit(&visitor, Command::Reconcile { key, keep }).await?.map(|saved| saved.change),
        Err(problem) => Err(problem),
    };
    let house = site.fresh_house().await?;
    match outcome {
        Ok(undo) => {
            let notice = Notice { text: format!("Decided: {}.", choice.key), undo };
            Ok(notice::see(&visitor, if house.to_reconcile.is_empty() { super::PAGE } else { PAGE }, notice))
        }
        Err(refusal) => Ok(shell::with(StatusCode::UNPROCESSABLE_ENTITY, page(&house, &visitor, Some(for_browsers(&refusal))))),
    }
}

impl Item {
    fn new(item: &ToReconcile, house: &House, own: Option<Rank>) -> Item {
        let (in_force, waiting) = (lines(item.in_force.as_ref()), lines(item.waiting.as_ref()));
        let (here, there) = (house.host.as_str(), house.twin_name.as_deref().unwrap_or("the twin"));
        let titles = match item.waiting_from {
            Some(rank) if Some(rank) == own => (format!("In force: what {there} says"), format!("Waits: what {here} says")),
            Some(_) => (format!("In force: what {here} says"), format!("Waits: what {there} says")),
            None => ("In force".into(), "Waits".into()),
        };
        let why = match item.waiting_from {
            Some(_) => "Both twins changed this while they were apart. Nothing is lost: choose which stays.".into(),
            None => for_browsers(&item.text),
        };
        let side = |title: String, of: &[String], other: &[String]| Side {
            title,
            lines: of.iter().map(|text| Line { text: text.clone(), differs: !other.contains(text) }).collect(),
        };
        Item {
            name: item.name.clone(),
            why,
            in_force: side(titles.0, &in_force, &waiting),
            waiting: side(titles.1, &waiting, &in_force),
            can_take: item.waiting_from.is_some(),
        }
    }
}

fn lines(record: Option<&Record>) -> Vec<String> {
    let text = record.map(render::record).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(Into::into).collect()
}

/// Without the half sentence that names a command.
fn for_browsers(text: &str) -> String {
    match text.split_once(" `twinlease ") {
        Some((before, _)) => format!("{}.", before.trim_end_matches([';', '.', ' '])),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_for_the_command_line() {
        let text = "192.0.2.7 clashes. It comes into force when nothing speaks against it any more; `twinlease twin reconcile` drops it.";
        assert_eq!(for_browsers(text), "192.0.2.7 clashes. It comes into force when nothing speaks against it any more.");
        assert_eq!(for_browsers("No such key."), "No such key.");
    }
}
