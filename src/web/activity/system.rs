//! The tab System: what happened to this twin itself.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;

use super::{
    PAGE_ROWS, Tab, address,
    moment::{Moment, repeated},
};
use crate::{
    runtime::{
        handle::Stopped,
        journal::{Kind, Note},
    },
    web::{
        Site,
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    q: String,
    /// `Kind::word`; empty: all.
    kind: String,
    before: Option<u64>,
}

#[derive(Debug)]
pub struct Row {
    pub kind: &'static str,
    pub text: String,
    pub moment: Moment,
    pub repeated: Option<String>,
}

#[derive(Template)]
#[template(path = "activity_system.html")]
struct Page {
    shell: Shell,
    tab: Tab,
    q: String,
    kind: String,
    /// Word and words.
    kinds: Vec<(&'static str, &'static str)>,
    rows: Vec<Row>,
    trouble: Option<String>,
    is_first: bool,
    next: Option<String>,
}

pub async fn system(State(site): State<Site>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let Wanted { q, kind, before } = wanted.clone();
    let kind = Kind::ALL.into_iter().find(|known| known.word() == kind);
    let notes = site.look(move |archive| archive.notes(PAGE_ROWS + 1, before, kind, &q)).await;
    let (notes, trouble) = match notes {
        Ok(notes) => (notes, None),
        Err(sentence) => (Vec::new(), Some(sentence)),
    };
    let shell = Shell::new(&house, &visitor, Section::Activity, "Activity");
    Ok(shell::page(&view(shell, notes, wanted, trouble)))
}

fn view(shell: Shell, mut notes: Vec<(Option<u64>, Note)>, wanted: Wanted, trouble: Option<String>) -> Page {
    let has_more = notes.len() > PAGE_ROWS;
    notes.truncate(PAGE_ROWS);
    let Wanted { q, kind, before } = wanted;
    let last = notes.last().filter(|_| has_more).and_then(|(id, _)| *id).map(|id| id.to_string());
    let next = last.map(|last| address(Tab::System.path(), &[("q", &q), ("kind", &kind), ("before", &last)]));
    let rows = notes.into_iter().map(|(_, note)| row(note)).collect();
    let kinds = Kind::ALL.map(|kind| (kind.word(), words(kind)));
    let kinds = [("", "Everything")].into_iter().chain(kinds).collect();
    Page { shell, tab: Tab::System, q, kind, kinds, rows, trouble, is_first: before.is_none(), next }
}

fn row(note: Note) -> Row {
    let Note { kind, text, first_wall_ms, last_wall_ms, times } = note;
    let over_secs = u64::try_from((last_wall_ms - first_wall_ms) / 1000).unwrap_or(0);
    Row { kind: words(kind), text, moment: Moment::of(last_wall_ms), repeated: repeated(times, over_secs) }
}

fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Run => "Start and stop",
        Kind::Pair => "Twins",
        Kind::Disk => "Disk",
        Kind::Interface => "Network",
        Kind::Rival => "Other servers",
        Kind::SignIn => "Sign-in",
        Kind::SignInFailed => "Failed sign-in",
        Kind::Backup => "Backup",
        Kind::Clock => "Clock",
        Kind::Alert => "Alert",
        Kind::Update => "Update",
        Kind::Other => "Other",
    }
}

#[cfg(test)]
pub(super) fn page_of(shell: Shell, notes: Vec<(Option<u64>, Note)>, q: &str) -> String {
    view(shell, notes, Wanted { q: q.into(), ..Wanted::default() }, None).render().expect("a page")
}
