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
    row_ids,
};
use crate::{
    runtime::{
        handle::Stopped,
        journal::{Kind, Note},
    },
    web::{
        House, Site,
        live::{Fragment, Parts, Place},
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
    pub id: String,
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
    trouble: Option<String>,
    feed: Feed,
}

struct Feed {
    rows: Vec<Row>,
    is_filtered: bool,
    /// It could not be read: that nothing is there means nothing.
    is_unread: bool,
    /// The way back to the newest; empty: they are shown.
    newest: &'static str,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "activity_system_feed.html")]
struct FeedPart {
    feed: Feed,
}

type Notes = Vec<(Option<u64>, Note)>;

pub async fn system(State(site): State<Site>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let (notes, trouble) = match notes(&site, &wanted).await {
        Ok(notes) => (notes, None),
        Err(sentence) => (Vec::new(), Some(sentence)),
    };
    // What was earlier does not change any more.
    let live = if wanted.before.is_none() { "system" } else { "" };
    let shell = Shell::new(&house, &visitor, Section::Activity, "Activity").live(live);
    Ok(shell::page(&view(shell, notes, wanted, trouble)))
}

/// What is live of it.
pub fn parts<'a>(site: &'a Site, _: &'a House, place: &'a Place) -> Parts<'a> {
    Box::pin(async move {
        let wanted = place.asked();
        // What cannot be read now is not taken away.
        let Ok(notes) = notes(site, &wanted).await else { return Vec::new() };
        Fragment::new("feed", &FeedPart { feed: Feed::new(notes, &wanted) }).into_iter().collect()
    })
}

async fn notes(site: &Site, wanted: &Wanted) -> Result<Notes, String> {
    let Wanted { q, kind, before } = wanted.clone();
    let kind = Kind::ALL.into_iter().find(|known| known.word() == kind);
    site.look(move |archive| archive.notes(PAGE_ROWS + 1, before, kind, &q)).await
}

fn view(shell: Shell, notes: Notes, wanted: Wanted, trouble: Option<String>) -> Page {
    let feed = Feed { is_unread: trouble.is_some(), ..Feed::new(notes, &wanted) };
    let kinds = Kind::ALL.map(|kind| (kind.word(), words(kind)));
    let kinds = [("", "Everything")].into_iter().chain(kinds).collect();
    Page { shell, tab: Tab::System, q: wanted.q, kind: wanted.kind, kinds, trouble, feed }
}

impl Feed {
    fn new(mut notes: Notes, wanted: &Wanted) -> Feed {
        let has_more = notes.len() > PAGE_ROWS;
        notes.truncate(PAGE_ROWS);
        let Wanted { q, kind, before } = wanted;
        let last = notes.last().filter(|_| has_more).and_then(|(id, _)| *id).map(|id| id.to_string());
        let next = last.map(|last| address(Tab::System.path(), &[("q", q), ("kind", kind), ("before", &last)]));
        let ids = row_ids(notes.iter().map(|(_, note)| note.first_wall_ms));
        let rows = notes.into_iter().zip(ids).map(|((_, note), id)| row(note, id)).collect();
        let is_filtered = !q.is_empty() || !kind.is_empty();
        let newest = if before.is_some() { Tab::System.path() } else { "" };
        Feed { rows, is_filtered, is_unread: false, newest, next }
    }
}

fn row(note: Note, id: String) -> Row {
    let Note { kind, text, first_wall_ms, last_wall_ms, times } = note;
    let over_secs = u64::try_from((last_wall_ms - first_wall_ms) / 1000).unwrap_or(0);
    Row { id, kind: words(kind), text, moment: Moment::of(last_wall_ms), repeated: repeated(times, over_secs) }
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
