//! The list as it is shown: rows, how many of each kind, pages.

use std::collections::HashMap;

use ipnet::Ipv4Net;

use super::{
    device::{Device, Standing, gather},
    query::{Column, PAGE_ROWS, Query, Show},
    tag::Tag,
    when::When,
};
use crate::{
    protocol::time::Time,
    web::{House, form::Errors},
};

/// Tags that lead to who has them; a search finds the others.
const TAGS_SHOWN: usize = 12;

/// One page of the list.
#[derive(Debug)]
pub struct List {
    pub query: Query,
    pub rows: Vec<Row>,
    /// On all pages.
    pub found: usize,
    /// Known at all.
    pub known: usize,
    pub filters: Vec<Filter>,
    pub subnets: Vec<Choice>,
    pub columns: Vec<Head>,
    pub pages: usize,
    /// Those of the found, the most used first.
    pub tags: Vec<TagChoice>,
    /// What was typed for the ticked, where it was no tag.
    pub tag: String,
    pub errors: Errors,
}

#[derive(Debug)]
pub struct Row {
    pub id: String,
    pub name: Option<String>,
    /// For a screen reader, and where there is no name.
    pub called: String,
    pub address: Option<String>,
    /// Kept, while it still has another one.
    pub moves_to: Option<String>,
    pub is_held: bool,
    pub maker: Option<&'static str>,
    pub mac: String,
    pub badges: Vec<Badge>,
    pub heard: Option<When>,
    pub expiry: Option<Expiry>,
    /// One click keeps the address that it has.
    pub can_keep: bool,
    /// Something can be done to it together with others.
    pub can_tick: bool,
    pub is_ticked: bool,
    pub tags: Vec<TagLink>,
}

/// A tag, and the way to all that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagLink {
    pub tag: Tag,
    pub to: String,
}

#[derive(Debug)]
pub struct TagChoice {
    pub link: TagLink,
    pub count: usize,
    pub is_chosen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Badge {
    /// A class of the stylesheet.
    pub kind: &'static str,
    pub word: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    pub word: &'static str,
    pub when: Option<When>,
}

/// How many there are of a kind, with a link to them.
#[derive(Debug)]
pub struct Filter {
    pub label: &'static str,
    pub count: usize,
    pub to: String,
    pub is_chosen: bool,
}

#[derive(Debug)]
pub struct Choice {
    pub network: Ipv4Net,
    pub to: String,
    pub is_chosen: bool,
}

/// The head of a column, which sorts by it.
#[derive(Debug)]
pub struct Head {
    pub label: &'static str,
    pub to: String,
    /// `aria-sort`, if it is the one.
    pub sorted: Option<&'static str>,
}

impl List {
    pub fn new(house: &House, query: &Query) -> List {
        let now = house.now;
        let devices = gather(house);
        let known = devices.len();
        let found = query.search(devices, now);
        let filters = filters(&found, query, now);
        let tags = tags(&found, query);
        let mut shown: Vec<Device<'_>> = found.into_iter().filter(|device| query.show.takes(device, now)).collect();
        query.sort(&mut shown, house);
        let pages = shown.len().div_ceil(PAGE_ROWS).max(1);
        let query = Query { page: query.page.min(pages), ..query.clone() };
        let rows =
            shown.iter().skip((query.page - 1) * PAGE_ROWS).take(PAGE_ROWS).map(|device| Row::new(device, house)).collect();
        let networks = house.settings.subnets.iter().map(|subnet| subnet.network);
        let subnets = networks.map(|network| Choice {
            network,
            to: query.within((query.subnet != Some(network)).then_some(network)).at("/devices"),
            is_chosen: query.subnet == Some(network),
        });
        let columns = Column::ALL.into_iter().map(|column| Head {
            label: column.label(),
            to: query.sorted_by(column).at("/devices"),
            sorted: (query.sort == column).then_some(if query.is_descending { "descending" } else { "ascending" }),
        });
        List {
            rows,
            found: shown.len(),
            known,
            filters,
            // One network is no choice.
            subnets: if house.settings.subnets.len() > 1 { subnets.collect() } else { Vec::new() },
            columns: columns.collect(),
            pages,
            tags,
            tag: String::new(),
            errors: Errors::default(),
            query,
        }
    }

    /// What a form comes back to.
    pub fn here(&self) -> String {
        self.query.at("/devices")
    }

    pub fn export(&self) -> String {
        self.query.on_page(1).at("/devices/devices.csv")
    }

    pub fn previous(&self) -> Option<String> {
        (self.query.page > 1).then(|| self.query.on_page(self.query.page - 1).at("/devices"))
    }

    pub fn next(&self) -> Option<String> {
        (self.query.page < self.pages).then(|| self.query.on_page(self.query.page + 1).at("/devices"))
    }

    pub fn is_narrowed(&self) -> bool {
        !self.query.question.is_empty() || self.query.show != Show::All || self.query.subnet.is_some()
    }

    /// Rows of this page that a tick may keep.
    pub fn can_keep_some(&self) -> bool {
        self.rows.iter().any(|row| row.can_keep)
    }

    pub fn can_tick_some(&self) -> bool {
        self.rows.iter().any(|row| row.can_tick)
    }

    /// In words, for who cannot see the list grow shorter.
    pub fn count(&self) -> String {
        let devices = |count| if count == 1 { "1 device".to_owned() } else { format!("{count} devices") };
        let pages = if self.pages > 1 { format!(", page {} of {}", self.query.page, self.pages) } else { String::new() };
        if self.is_narrowed() {
            format!("{} of {}{pages}", self.found, devices(self.known))
        } else {
            format!("{}{pages}", devices(self.found))
        }
    }
}

/// Kinds that there are none of are left out, so that the line stays short.
fn filters(found: &[Device<'_>], query: &Query, now: Time) -> Vec<Filter> {
    let mut counts = [0; Show::ALL.len()];
    for device in found {
        for (count, show) in counts.iter_mut().zip(Show::ALL) {
            *count += usize::from(show.takes(device, now));
        }
    }
    let all = Show::ALL.into_iter().zip(counts);
    all.filter(|&(show, count)| count > 0 || show == Show::All || show == query.show)
        .map(|(show, count)| Filter {
            label: show.label(),
            count,
            to: query.showing(show).at("/devices"),
            is_chosen: query.show == show,
        })
        .collect()
}

fn tags(found: &[Device<'_>], query: &Query) -> Vec<TagChoice> {
    let mut counts: HashMap<Tag, usize> = HashMap::new();
    for tag in found.iter().flat_map(tags_of) {
        *counts.entry(tag).or_default() += 1;
    }
    let mut counts: Vec<(Tag, usize)> = counts.into_iter().collect();
    counts.sort_by(|(one, used), (other, more)| more.cmp(used).then_with(|| one.cmp(other)));
    let choice =
        |(tag, count): (Tag, usize)| TagChoice { is_chosen: query.question == tag.to_string(), link: TagLink::new(tag), count };
    counts.into_iter().take(TAGS_SHOWN).map(choice).collect()
}

pub fn tags_of(device: &Device<'_>) -> Vec<Tag> {
    Tag::all_of(device.kept.and_then(|kept| kept.note.as_deref()).unwrap_or_default())
}

impl TagLink {
    pub fn new(tag: Tag) -> TagLink {
        let query = Query { question: tag.to_string(), page: 1, ..Query::default() };
        TagLink { tag, to: query.at("/devices") }
    }
}

impl Row {
    pub fn new(device: &Device<'_>, house: &House) -> Row {
        let now = house.now;
        let standing = device.standing(now);
        let held = device.holds(now);
        let address = device.address(now);
        let kept = device.kept.map(|kept| kept.address);
        Row {
            id: device.id.to_string(),
            name: device.name().map(ToOwned::to_owned),
            called: device.called(),
            address: address.map(|address| address.to_string()),
            moves_to: kept.filter(|kept| held.is_some_and(|held| held != *kept)).map(|kept| kept.to_string()),
            is_held: held.is_some(),
            maker: device.maker(),
            mac: device.hw.map_or_else(|| device.called(), |hw| hw.to_string()),
            badges: badges(device, now),
            heard: device.heard().map(|time| When::of(house, time)),
            expiry: expiry(device, standing, house),
            can_keep: device.kept.is_none() && held.is_some(),
            can_tick: device.kept.is_some() || held.is_some(),
            is_ticked: false,
            tags: tags_of(device).into_iter().map(TagLink::new).collect(),
        }
    }
}

pub fn badges(device: &Device<'_>, now: Time) -> Vec<Badge> {
    let mut badges = Vec::new();
    let mut add = |kind, word| badges.push(Badge { kind, word });
    let standing = device.standing(now);
    match (device.kept.is_some(), standing) {
        (true, Standing::Waiting) => add("info", "Waiting"),
        (true, _) => add("good", "Kept"),
        (false, Standing::Leased) => add("", "Dynamic"),
        (false, _) => {}
    }
    match standing {
        Standing::Unanswered => add("bad", "Not answered"),
        Standing::Resting => add("warn", "Address rests"),
        Standing::Ended | Standing::Leased | Standing::Waiting => {}
    }
    if device.is_private() {
        add("warn", "Private MAC");
    }
    badges
}

pub fn expiry(device: &Device<'_>, standing: Standing, house: &House) -> Option<Expiry> {
    use crate::protocol::lease::BindingState;
    let lease = device.lease?;
    let is_over = !lease.is_held(house.now);
    Some(match (standing, lease.state) {
        (Standing::Resting, _) => Expiry { word: "rests,", when: Some(When::of(house, lease.expiry)) },
        (_, BindingState::Released) if is_over => Expiry { word: "given back", when: Some(When::of(house, lease.since)) },
        _ if is_over => Expiry { word: "ended", when: Some(When::of(house, lease.expiry.min(house.now))) },
        _ if lease.expiry == Time::NEVER => Expiry { word: "without end", when: None },
        _ => Expiry { word: "ends", when: Some(When::of(house, lease.expiry)) },
    })
}
