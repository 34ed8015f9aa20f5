//! The tab Log: what this program said last, line by line.

use askama::Template;
use axum::{
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::Tab;
use crate::{
    runtime::{handle::Stopped, log::kept},
    web::{
        Site,
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
    /// Latest first; whether it tells of trouble.
    lines: Vec<(Box<str>, bool)>,
    /// Found, but not shown.
    more: usize,
}

pub async fn log(State(site): State<Site>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let shell = Shell::new(&house, &visitor, Section::Activity, "Activity");
    Ok(shell::page(&view(shell, kept::lines(), wanted.q)))
}

fn view(shell: Shell, lines: Vec<Box<str>>, q: String) -> Page {
    let wanted = q.trim().to_lowercase();
    let mut found: Vec<Box<str>> =
        lines.into_iter().rev().filter(|line| wanted.is_empty() || line.to_lowercase().contains(&wanted)).collect();
    let more = found.len().saturating_sub(LINES_SHOWN);
    found.truncate(LINES_SHOWN);
    let lines = found.into_iter().map(|line| {
        // Behind the date, which is as long in each.
        let is_trouble = line.split_whitespace().nth(1).is_some_and(|level| matches!(level, "WARN" | "ERROR"));
        (line, is_trouble)
    });
    Page { shell, tab: Tab::Log, q, lines: lines.collect(), more }
}

pub async fn download(_: Visitor) -> Response {
    let mut text = String::new();
    for line in kept::lines() {
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
    view(shell, lines.iter().map(|line| (*line).into()).collect(), q.into()).render().expect("a page")
}
