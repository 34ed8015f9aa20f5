//! A device as its page shows it.

use std::sync::Arc;

use super::{
    keep::{Clash, Fields},
    received::{Received, received},
    timeline::{Hours, Span, Timeline},
    trace::{self, Told},
};
use crate::{
    protocol::{explain::Decision, lease::ClientId, plan::OptionTable},
    settings::words::show_identifier,
    web::{
        House,
        devices::{
            device::{Device, Standing},
            list::{Badge, Expiry, badges, expiry},
            when::When,
        },
        form::Errors,
    },
};

/// What is looked up beside the house.
#[derive(Debug, Default)]
pub struct Memory {
    /// Latest first.
    pub decisions: Vec<Arc<Decision>>,
    pub options: OptionTable,
    pub hours: Hours,
}

#[derive(Debug)]
pub struct DeviceView {
    pub id: String,
    pub called: String,
    pub own_name: Option<String>,
    pub note: Option<String>,
    pub mac: Option<String>,
    pub is_private: bool,
    pub maker: Option<&'static str>,
    pub client: Option<String>,
    pub badges: Vec<Badge>,
    /// Held now.
    pub address: Option<String>,
    pub kept_address: Option<String>,
    /// What the address was when it had one.
    pub last_address: Option<String>,
    pub moves: bool,
    pub since: Option<When>,
    pub heard: Option<When>,
    pub first_heard: Option<When>,
    pub expiry: Option<Expiry>,
    pub can_keep: bool,
    pub can_free: bool,
    pub is_kept: bool,
    pub why_title: String,
    pub why: Vec<Told>,
    pub received: Vec<Received>,
    pub timeline: Timeline,
    /// Anything at all is known of when it was heard.
    pub has_hours: bool,
}

impl DeviceView {
    pub fn new(device: &Device<'_>, house: &House, memory: &Memory, span: Span) -> DeviceView {
        let now = house.now;
        let standing = device.standing(now);
        let held = device.holds(now);
        let kept = device.kept.map(|kept| kept.address);
        let shown = device.address(now);
        let now_hours =
            u32::try_from(house.clock.wall_of(now).duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs()) / 3600);
        let client = device.lease.and_then(|lease| match &lease.client {
            ClientId::Given(_) | ClientId::Clone(..) => {
                Some(lease.client.to_string().trim_start_matches("client-id ").to_owned())
            }
            ClientId::Hardware(_) => None,
        });
        DeviceView {
            id: device.id.to_string(),
            called: device.called(),
            own_name: device.own_name().map(ToOwned::to_owned),
            note: device.kept.and_then(|kept| kept.note.clone()),
            mac: device.hw.map(|hw| hw.to_string()),
            is_private: device.is_private(),
            maker: device.maker(),
            client: client.or_else(|| device.hw.is_none().then(|| show_identifier(&device.id.identifier()))),
            badges: badges(device, now),
            address: held.map(|address| address.to_string()),
            kept_address: kept.map(|address| address.to_string()),
            last_address: device.lease.filter(|_| held.is_none()).map(|lease| lease.address.to_string()),
            moves: held.zip(kept).is_some_and(|(held, kept)| held != kept),
            since: device.lease.filter(|_| held.is_some()).map(|lease| When::of(house, lease.since)),
            heard: device.heard().map(|time| When::of(house, time)),
            first_heard: device.seen.map(|(first, _)| When::of(house, first)),
            expiry: expiry(device, standing, house),
            can_keep: device.kept.is_none() && held.is_some(),
            can_free: device.lease.is_some_and(|lease| lease.is_held(now)),
            is_kept: device.kept.is_some(),
            why_title: match (standing, shown) {
                (Standing::Leased, Some(address)) => format!("Why {address}?"),
                (Standing::Unanswered, _) => "Why is it not answered?".into(),
                _ => "What it asked, and why it was answered so".into(),
            },
            why: trace::story(&memory.decisions, house),
            received: shown
                .map(|address| {
                    received(&house.settings, &memory.options, address, device.kept.filter(|kept| kept.address == address))
                })
                .unwrap_or_default(),
            timeline: Timeline::new(&memory.hours, now_hours.unwrap_or(0), span),
            has_hours: !memory.hours.is_empty(),
        }
    }
}

/// A form about a kept address: the same for a new device, a known one and a kept one.
#[derive(Debug)]
pub struct FormView {
    pub action: String,
    pub fields: Fields,
    pub errors: Errors,
    /// The device is typed in here.
    pub asks_who: bool,
    /// Free addresses, one for each subnet.
    pub free: Vec<String>,
    /// The device that an error speaks of, and the way to it.
    pub other: Option<(String, String)>,
    pub clash: Option<Clash>,
    pub submit: &'static str,
    pub has_advanced: bool,
}

impl FormView {
    pub fn new(action: String, fields: Fields, submit: &'static str) -> FormView {
        let has_advanced = !fields.options.is_empty() || fields.force_broadcast || fields.no_client_id;
        FormView {
            action,
            fields,
            errors: Errors::default(),
            asks_who: false,
            free: Vec::new(),
            other: None,
            clash: None,
            submit,
            has_advanced,
        }
    }
}
