//! The tab Changes: who changed which setting, before and after, and the button that takes it back.

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    PAGE_ROWS, Tab, address,
    difference::{Difference, differences, headline},
    moment::Moment,
};
use crate::{
    protocol::{Command, node::Noted},
    runtime::{handle::Stopped, store::Step},
    settings::RecordKey,
    web::{
        House, Site,
        live::{Fragment, Parts, Place},
        notice::{Notice, see},
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// In an author or in what was changed.
    q: String,
    /// The page before ended with this step.
    before: Option<u64>,
}

#[derive(Debug)]
pub struct Row {
    pub id: u64,
    pub who: String,
    pub moment: Moment,
    /// The only one, or how many.
    pub sentence: String,
    pub records: Vec<Changed>,
    /// How many are not among `records`.
    pub more: usize,
    pub can_revert: bool,
}

#[derive(Debug)]
pub struct Changed {
    pub sentence: String,
    pub differences: Vec<Difference>,
}

#[derive(Template)]
#[template(path = "activity_changes.html")]
struct Page {
    shell: Shell,
    tab: Tab,
    q: String,
    /// What is wrong, as a sentence.
    trouble: Option<String>,
    is_one: bool,
    feed: Feed,
}

struct Feed {
    rows: Vec<Row>,
    q: String,
    /// It could not be read: that nothing is there means nothing.
    is_unread: bool,
    /// One step with all that belongs to it.
    is_one: bool,
    /// The way back to the newest; empty: they are shown.
    newest: &'static str,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "activity_changes_feed.html")]
struct FeedPart {
    feed: Feed,
}

pub async fn changes(State(site): State<Site>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Response, Stopped> {
    Ok(shell::page(&list(&site, &visitor, wanted, None).await?))
}

/// What is live of it.
pub fn parts<'a>(site: &'a Site, _: &'a House, place: &'a Place) -> Parts<'a> {
    Box::pin(async move {
        let Wanted { q, before } = place.asked();
        // What cannot be read now is not taken away.
        let Ok(steps) = steps(site, &q, before).await else { return Vec::new() };
        Fragment::new("feed", &FeedPart { feed: Feed::new(steps, q, before) }).into_iter().collect()
    })
}

async fn steps(site: &Site, q: &str, before: Option<u64>) -> Result<Vec<Step>, String> {
    let text = q.to_owned();
    site.look(move |archive| archive.changes(PAGE_ROWS + 1, before, &text)).await
}

async fn list(site: &Site, visitor: &Visitor, wanted: Wanted, trouble: Option<String>) -> Result<Page, Stopped> {
    let house = site.house().await?;
    let Wanted { q, before } = wanted;
    let (steps, unread) = match steps(site, &q, before).await {
        Ok(steps) => (steps, None),
        Err(sentence) => (Vec::new(), Some(sentence)),
    };
    // What was earlier does not change any more. A refusal stands beside what it was about.
    let live = if before.is_none() && trouble.is_none() { "changes" } else { "" };
    let shell = Shell::new(&house, visitor, Section::Activity, "Activity").live(live);
    Ok(view(shell, steps, q, before, trouble.or(unread)))
}

fn view(shell: Shell, steps: Vec<Step>, q: String, before: Option<u64>, trouble: Option<String>) -> Page {
    let feed = Feed { is_unread: trouble.is_some(), ..Feed::new(steps, q.clone(), before) };
    Page { shell, tab: Tab::Changes, q, trouble, is_one: false, feed }
}

impl Feed {
    fn new(mut steps: Vec<Step>, q: String, before: Option<u64>) -> Feed {
        let has_more = steps.len() > PAGE_ROWS;
        steps.truncate(PAGE_ROWS);
        let last = steps.last().filter(|_| has_more).map(|step| step.id.to_string());
        let next = last.map(|last| address(Tab::Changes.path(), &[("q", &q), ("before", &last)]));
        let rows = steps.into_iter().map(row).collect();
        let newest = if before.is_some() { Tab::Changes.path() } else { "" };
        Feed { rows, q, is_unread: false, is_one: false, newest, next }
    }
}

pub async fn one(State(site): State<Site>, visitor: Visitor, Path(id): Path<u64>) -> Result<Response, Stopped> {
    let (step, trouble) = match site.look(move |archive| archive.step(id)).await {
        Ok(Some(step)) => (Some(step), None),
        Ok(None) => (None, Some(gone())),
        Err(sentence) => (None, Some(sentence)),
    };
    let status = if step.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let house = site.house().await?;
    let shell = Shell::new(&house, &visitor, Section::Activity, "Activity");
    let rows = step.into_iter().map(row).collect();
    let feed = Feed { rows, q: String::new(), is_unread: trouble.is_some(), is_one: true, newest: "", next: None };
    let page = Page { shell, tab: Tab::Changes, q: String::new(), trouble, is_one: true, feed };
    Ok((status, shell::page(&page)).into_response())
}

pub async fn revert(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Result<Response, Stopped> {
    let refusal = match site.look(move |archive| archive.step(id)).await {
        Err(sentence) => sentence,
        Ok(None) => gone(),
        Ok(Some(step)) => {
            let what = row(step.clone()).sentence;
            match site.submit(&visitor, Command::Revert(step.reversals())).await? {
                Ok(saved) => {
                    let notice = Notice { text: format!("Taken back: {what}."), undo: saved.change };
                    return Ok(see(&visitor, &came_from(&headers), notice));
                }
                Err(refusal) => refusal,
            }
        }
    };
    let page = list(&site, &visitor, Wanted::default(), Some(refusal)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, shell::page(&page)).into_response())
}

fn gone() -> String {
    "This change is not in the history any more, which keeps the newest 5,000. Set what you want by hand.".into()
}

/// The page with the button, if it is one that can be asked for again; only its path counts, so that it is one of ours.
fn came_from(headers: &HeaderMap) -> String {
    let path = || -> Option<&str> {
        let from = headers.get(header::REFERER)?.to_str().ok()?;
        let (_, rest) = from.split_once("://")?;
        let path = &rest[rest.find('/')?..];
        (!path.starts_with("//") && !path.ends_with("/revert") && !path.contains(['\\', '\r', '\n'])).then_some(path)
    };
    path().unwrap_or(Tab::Changes.path()).to_owned()
}

fn row(step: Step) -> Row {
    let Step { id, wall_ms, by, on_twin, records, total } = step;
    let shown = records.len();
    let is_open = |noted: &Noted| noted.key != RecordKey::Access && noted.before != noted.after;
    let can_revert = records.iter().all(is_open);
    let records: Vec<Changed> =
        records.iter().map(|noted| Changed { sentence: headline(noted), differences: differences(noted) }).collect();
    let sentence = match (&records[..], total) {
        ([one], 1) => one.sentence.clone(),
        _ => format!("changed {total} settings at once"),
    };
    let who = match (by.is_empty(), on_twin) {
        (true, true) => "the twin".into(),
        (true, false) => "somebody".into(),
        (false, true) => format!("{by}, on the twin"),
        (false, false) => by,
    };
    Row { id, who, moment: Moment::of(wall_ms), sentence, records, more: total - shown, can_revert }
}

#[cfg(test)]
pub(super) fn page_of(shell: Shell, steps: Vec<Step>, q: &str, trouble: Option<String>) -> String {
    view(shell, steps, q.into(), None, trouble).render().expect("a page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comes_back_to_where_the_button_was_and_to_no_other_site() {
        let from = |referer: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::REFERER, referer.parse().expect("a header"));
            came_from(&headers)
        };
        assert_eq!(from("http://twin.example/devices?q=nas"), "/devices?q=nas");
        assert_eq!(from("https://evil.example//evil.example/x"), "/activity/changes");
        assert_eq!(from("https://evil.example/\\evil.example"), "/activity/changes");
        assert_eq!(from("http://twin.example/activity/changes/4/revert"), "/activity/changes");
        assert_eq!(from("nonsense"), "/activity/changes");
        assert_eq!(came_from(&HeaderMap::new()), "/activity/changes");
    }
}
