//! The tab Devices: what each device asked and what it was told, the latest first, repeats folded.
//!
//! It is what the node itself remembers of its decisions, and gone with a restart.

use std::sync::Arc;

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
    protocol::explain::{Decision, Outcome},
    runtime::{handle::Stopped, log::is_trouble},
    web::{
        House, Site,
        devices::id::DeviceId,
        live::{Fragment, Parts, Place},
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// In a name, a MAC, an address or the words.
    q: String,
    /// `trouble`: only that.
    only: String,
    /// From 1.
    page: usize,
}

#[derive(Debug)]
pub struct Row {
    pub id: String,
    pub device: String,
    pub name: Option<String>,
    pub mac: String,
    pub moment: Moment,
    pub sentence: String,
    pub is_trouble: bool,
    pub repeated: Option<String>,
    pub steps: Vec<String>,
    pub xid: String,
}

#[derive(Template)]
#[template(path = "activity_devices.html")]
struct Page {
    shell: Shell,
    tab: Tab,
    q: String,
    only_trouble: bool,
    feed: Feed,
}

struct Feed {
    rows: Vec<Row>,
    found: usize,
    is_filtered: bool,
    previous: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "activity_devices_feed.html")]
struct FeedPart {
    feed: Feed,
}

pub async fn devices(State(site): State<Site>, visitor: Visitor, Query(wanted): Query<Wanted>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let decisions = latest(&site).await?;
    let shell = Shell::new(&house, &visitor, Section::Activity, "Activity").live(wanted.live());
    Ok(shell::page(&view(shell, &house, &decisions, wanted)))
}

/// What is live of it.
pub fn parts<'a>(site: &'a Site, house: &'a House, place: &'a Place) -> Parts<'a> {
    Box::pin(async move {
        let Ok(decisions) = latest(site).await else { return Vec::new() };
        let feed = Feed::new(house, &decisions, &place.asked());
        Fragment::new("feed", &FeedPart { feed }).into_iter().collect()
    })
}

async fn latest(site: &Site) -> Result<Vec<Arc<Decision>>, Stopped> {
    // References only: the loop is not kept waiting for a page.
    let mut decisions: Vec<Arc<Decision>> = site.handle().read(|node, _| node.explain().all().cloned().collect()).await?;
    decisions.sort_unstable_by_key(|decision| std::cmp::Reverse((decision.last_at, decision.hw)));
    Ok(decisions)
}

fn view(shell: Shell, house: &House, decisions: &[Arc<Decision>], wanted: Wanted) -> Page {
    let feed = Feed::new(house, decisions, &wanted);
    Page { shell, tab: Tab::Devices, only_trouble: wanted.only_trouble(), feed, q: wanted.q }
}

impl Wanted {
    fn only_trouble(&self) -> bool {
        self.only == "trouble"
    }

    /// Somebody who turned to what was earlier reads on, and nothing moves away.
    fn live(&self) -> &'static str {
        if self.page <= 1 { "activity" } else { "" }
    }
}

impl Feed {
    fn new(house: &House, decisions: &[Arc<Decision>], wanted: &Wanted) -> Feed {
        let text = wanted.q.trim().to_lowercase();
        let only_trouble = wanted.only_trouble();
        let found: Vec<&Arc<Decision>> = decisions
            .iter()
            .filter(|decision| !only_trouble || is_trouble(decision))
            .filter(|decision| text.is_empty() || has(decision, &text))
            .collect();
        let page = wanted.page.clamp(1, found.len().div_ceil(PAGE_ROWS).max(1));
        let shown = || found.iter().skip((page - 1) * PAGE_ROWS).take(PAGE_ROWS);
        let ids = row_ids(shown().map(|decision| i64::try_from(decision.at.0).unwrap_or(i64::MAX)));
        let rows = shown().zip(ids).map(|(decision, id)| row(house, decision, id)).collect();
        let to =
            |page: usize| address(Tab::Devices.path(), &[("q", &wanted.q), ("only", &wanted.only), ("page", &page.to_string())]);
        Feed {
            previous: (page > 1).then(|| to(page - 1)),
            next: (page * PAGE_ROWS < found.len()).then(|| to(page + 1)),
            is_filtered: only_trouble || !text.is_empty(),
            rows,
            found: found.len(),
        }
    }
}

fn has(decision: &Decision, text: &str) -> bool {
    let contains = |words: &str| words.to_lowercase().contains(text);
    let mac_of = |text: &str| text.chars().filter(char::is_ascii_hexdigit).collect::<String>();
    let is_mac_like = text.len() >= 2 && text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-'));
    decision.name.as_deref().is_some_and(contains)
        || (is_mac_like && mac_of(&decision.hw.to_string()).contains(&mac_of(text)))
        || contains(&sentence(decision))
}

fn sentence(decision: &Decision) -> String {
    format!("{}: {}", decision.asked, decision.outcome)
}

fn row(house: &House, decision: &Decision, id: String) -> Row {
    let wall_ms = house.clock.wall_ms_of(decision.last_at);
    let times = decision.repeats.saturating_add(1);
    let mut repeated = repeated(times, (decision.last_at - decision.at).as_secs());
    if let (Some(words), Outcome::Silent { .. }) = (&mut repeated, &decision.outcome) {
        words.push_str(", never answered");
    }
    Row {
        id,
        device: DeviceId::Hw(decision.hw).to_string(),
        name: decision.name.as_deref().map(Into::into),
        mac: decision.hw.to_string(),
        moment: Moment::of(wall_ms),
        sentence: sentence(decision),
        is_trouble: is_trouble(decision),
        repeated,
        steps: decision.steps.iter().map(ToString::to_string).collect(),
        xid: format!("{:08x}", decision.xid),
    }
}

#[cfg(test)]
pub(super) fn page_of(shell: Shell, house: &House, decisions: &[Arc<Decision>], q: &str, only: &str, page: usize) -> String {
    view(shell, house, decisions, Wanted { q: q.into(), only: only.into(), page }).render().expect("a page")
}
