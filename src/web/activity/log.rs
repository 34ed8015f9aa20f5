//! The tab Log: what this program said last, line by line.

use askama::Template;
use axum::{
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tracing::Level;

use super::Tab;
use crate::{
    runtime::{handle::Stopped, log::kept},
    web::{
        House, Site,
        live::{Fragment, Place},
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

/// The file has them all.
const LINES_SHOWN: usize = 300;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    q: String,
}

#[derive(Template)]
#[template(path = "activity_log.html")]
struct Page {
    shell: Shell,
    tab: Tab,
    q: String,
    feed: Feed,
}

struct Feed {
    q: String,
    /// Latest first.
    lines: Vec<Line>,
    /// Found, but not shown.
    more: usize,
}

struct Line {
    number: usize,
    text: Box<str>,
    is_trouble: bool,
}

#[derive(Template)]
#[template(path = "activity_log_feed.html")]
struct FeedPart {
    feed: Feed,
}

pub async fn log(State(site): State<Site>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let shell = Shell::new(&house, &visitor, Section::Activity, "Activity").live("log");
    Ok(shell::page(&view(shell, kept::lines(), wanted.q)))
}

/// What is live of it.
pub fn parts(_: &Site, _: &House, place: &Place) -> Vec<Fragment> {
    let Wanted { q } = place.asked();
    Fragment::new("feed", &FeedPart { feed: Feed::new(kept::lines(), q) }).into_iter().collect()
}

fn view(shell: Shell, lines: Vec<(usize, Box<str>)>, q: String) -> Page {
    Page { shell, tab: Tab::Log, q: q.clone(), feed: Feed::new(lines, q) }
}

impl Feed {
    fn new(lines: Vec<(usize, Box<str>)>, q: String) -> Feed {
        let wanted = q.trim().to_lowercase();
        let mut found: Vec<(usize, Box<str>)> =
            lines.into_iter().rev().filter(|(_, line)| wanted.is_empty() || line.to_lowercase().contains(&wanted)).collect();
        let more = found.len().saturating_sub(LINES_SHOWN);
        found.truncate(LINES_SHOWN);
        let lines = found.into_iter().map(|(number, text)| {
            let is_trouble = kept::level(&text).is_some_and(|level| level <= Level::WARN);
            Line { number, text, is_trouble }
        });
        Feed { q, lines: lines.collect(), more }
    }
}

pub async fn download(_: Visitor) -> Response {
    let mut text = String::new();
    for (_, line) in kept::lines() {
        text.push_str(&line);
        text.push('\n');
    }
    let head = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"twinlease-log.txt\""),
    ];
    (head, text).into_response()
}

#[cfg(test)]
pub(super) fn page_of(shell: Shell, lines: &[&str], q: &str) -> String {
    view(shell, lines.iter().map(|line| (*line).into()).enumerate().collect(), q.into()).render().expect("a page")
}
