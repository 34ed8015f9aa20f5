//! What Home says: problems first, each with its remedy; then how the twins and the pools are, and who is new.

use std::borrow::Cow;

use crate::{
    protocol::{
        alerts::Kind,
        explain::spell,
        failover::State,
        node::{Status, TwinStatus},
        time::Time,
    },
    runtime::alerts::board::Around,
    settings::AddressRange,
    web::{
        House,
        devices::{
            device::{Device, Standing, gather},
            link,
            list::Row,
            when::{When, ago},
        },
    },
};

/// A pool with so much of it used needs somebody.
const NEARLY_FULL_PERCENT: u64 = 90;
/// New is what was first heard within this.
pub const NEW_FOR: std::time::Duration = std::time::Duration::from_secs(3 * 86_400);
/// New devices shown; the list has the rest.
const NEW_SHOWN: usize = 8;
/// Devices without an answer that are named.
const UNANSWERED_NAMED: usize = 3;

/// Something that needs somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A class of the stylesheet: nothing, `warn` or `info`.
    pub kind: &'static str,
    pub text: String,
    pub remedy: Remedy,
}

/// Where it leads, and the words on it.
type Remedy = Option<(Cow<'static, str>, &'static str)>;

fn remedy(to: &'static str, words: &'static str) -> Remedy {
    Some((to.into(), words))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinCard {
    pub title: String,
    /// A sign of the light, in its word; `unknown` where it is not heard.
    pub light: &'static str,
    pub text: String,
    pub is_here: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolGauge {
    pub network: String,
    /// Its ranges, shortened.
    pub ranges: String,
    pub used: u64,
    pub size: u64,
    pub words: String,
}

/// Something that is done for the house now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Care {
    pub what: &'static str,
    pub when: Option<When>,
    /// Where it was never done.
    pub otherwise: &'static str,
    pub to: &'static str,
    pub words: &'static str,
}

#[derive(Debug)]
pub struct HomeView {
    pub problems: Vec<Problem>,
    pub twins: Vec<TwinCard>,
    pub has_twin: bool,
    pub pools: Vec<PoolGauge>,
    pub care: Vec<Care>,
    pub new: Vec<Row>,
    /// More than are shown.
    pub new_more: usize,
    pub devices: usize,
    pub leased: usize,
    pub kept: usize,
    pub is_empty: bool,
}

impl HomeView {
    pub fn new(house: &House, around: &Around) -> HomeView {
        let devices = gather(house);
        let now = house.now;
        let standing = |wanted| devices.iter().filter(|device| device.standing(now) == wanted).count();
        let mut new: Vec<(Time, &Device<'_>)> = devices
            .iter()
            .filter(|device| device.kept.is_none() && device.standing(now) == Standing::Leased)
            .filter_map(|device| Some((device.seen?.0, device)))
            .filter(|(first, _)| now - *first < NEW_FOR)
            .collect();
        new.sort_by_key(|(first, device)| (std::cmp::Reverse(*first), device.id.clone()));
        HomeView {
            problems: problems(house, around, &devices),
            care: care(house, around),
            twins: twins(house),
            has_twin: house.status.twin.is_some(),
            pools: pools(house),
            new_more: new.len().saturating_sub(NEW_SHOWN),
            new: new.iter().take(NEW_SHOWN).map(|(_, device)| Row::new(device, house)).collect(),
            leased: standing(Standing::Leased),
            kept: devices.iter().filter(|device| device.kept.is_some()).count(),
            devices: devices.len(),
            is_empty: devices.is_empty(),
        }
    }
}

fn problems(house: &House, around: &Around, devices: &[Device<'_>]) -> Vec<Problem> {
    let status = &house.status;
    let mut list = Vec::new();
    let mut add = |kind, text: String, remedy| list.push(Problem { kind, text, remedy });
    if status.subnets.is_empty() {
        add("warn", "No network is set up, so nobody is given an address.".into(), remedy("/welcome", "Set it up"));
    }
    if let Some(trouble) = &status.trouble {
        let text = format!("Nothing new can be promised: {trouble}. Devices keep what they have. Look at the card or the disk.");
        add("", text, None);
    }
    for sentence in &status.not_listening {
        add("", sentence.clone(), None);
    }
    if status.interfaces.is_empty() && status.not_listening.is_empty() && !status.subnets.is_empty() {
        let networks: Vec<&str> = status.subnets.iter().map(|subnet| subnet.network.as_str()).collect();
        let text = format!(
            "No interface of this machine is up with an address in {}, so no device is heard. Plug in its cable, or give it an address there.",
            networks.join(" or ")
        );
        add("", text, remedy("/settings/network", "Open the network's settings"));
    }
    if let Some(twin) = &status.twin {
        twin_problem(twin, &mut add);
    }
    if !house.to_reconcile.is_empty() {
        let text = match house.to_reconcile.as_slice() {
            [one] => one.text.clone(),
            several => {
                format!("{} edits were made on both twins while they were apart, and contradict each other.", several.len())
            }
        };
        add("warn", text, remedy("/twins", "Decide"));
    }
    if let Some(sentence) = &house.update.problem {
        add("", sentence.clone(), Some(("/settings/updates".into(), "Open Updates")));
    } else if let Some(told) = house.update.told.as_ref().filter(|_| house.update.is_under_way) {
        add("info", told.clone(), Some(("/settings/updates".into(), "Open Updates")));
    }
    for subnet in &status.subnets {
        if subnet.pool_size > 0 && subnet.pool_used >= subnet.pool_size {
            let text = format!(
                "The pool of {} is full, {} of {}. New devices are not answered.",
                subnet.network, subnet.pool_used, subnet.pool_size
            );
            add("", text, remedy("/map", "Grow the pool"));
        } else if subnet.pool_used * 100 >= subnet.pool_size * NEARLY_FULL_PERCENT && subnet.pool_size > 0 {
            let text =
                format!("The pool of {} is nearly full: {} of {} used.", subnet.network, subnet.pool_used, subnet.pool_size);
            add("warn", text, remedy("/map", "Grow the pool"));
        }
    }
    unanswered(house, devices, &mut add);
    for rival in &around.rivals {
        let text = format!("{} Devices may get wrong addresses from it. Switch its DHCP off.", rival.sentence());
        add("", text, remedy("/activity", "See what it does"));
    }
    let told = [Kind::Conflict, Kind::Clones, Kind::BackupLate, Kind::ClockWrong];
    for open in around.open.iter().filter(|open| told.contains(&open.kind)) {
        add("warn", open.text.clone(), None);
    }
    for notice in &status.notices {
        add("warn", notice.clone(), None);
    }
    list
}

fn unanswered(house: &House, devices: &[Device<'_>], add: &mut impl FnMut(&'static str, String, Remedy)) {
    let silent = devices.iter().filter(|device| device.standing(house.now) == Standing::Unanswered);
    let mut silent: Vec<&Device<'_>> = silent.collect();
    // Without an address they come in no order.
    silent.sort_by(|one, other| one.id.cmp(&other.id));
    // Each with the way to its trace; many, and they are a list.
    if silent.len() > UNANSWERED_NAMED {
        let named: Vec<String> = silent.iter().take(UNANSWERED_NAMED).map(|device| device.called()).collect();
        let more = silent.len() - UNANSWERED_NAMED;
        let text = format!("{} devices ask for an address and get none: {} and {more} more.", silent.len(), named.join(", "));
        return add("warn", text, remedy("/devices?show=unanswered&sort=-heard", "See why"));
    }
    for device in silent {
        let text = format!("{} asks for an address and gets none.", device.called());
        add("warn", text, Some((link(&device.id).into(), "See why")));
    }
}

fn twin_problem(twin: &TwinStatus, add: &mut impl FnMut(&'static str, String, Remedy)) {
    let see = || remedy("/twins", "Open Twins");
    let wait = twin.wait_secs.map(|secs| format!(" It takes at most {} more.", spell(secs))).unwrap_or_default();
    let silent_for = spell(twin.since_secs);
    match twin.state {
        State::CommunicationsInterrupted => add(
            "",
            format!("The twin has been silent for {silent_for}. This one serves alone; your devices keep working."),
            remedy("/twins", "See what to do"),
        ),
        State::PartnerDown => {
            add(
                "warn",
                format!("The twin counts as switched off, for {silent_for}. This one serves alone."),
                remedy("/twins", "See what to do"),
            );
        }
        State::Recover if twin.forgot.is_some() => {
            add("", format!("This one answers nobody until it knows again what it may have forgotten.{wait}"), see());
        }
        State::Recover => {
            add("warn", format!("This one learns from its twin what it missed, and answers nobody yet.{wait}"), see())
        }
        State::Startup | State::Reconcile => add("info", "This one compares notes with its twin.".into(), see()),
        State::ShuttingDown => {
            add("warn", "This one was told to shut down and answers nobody. It may be unplugged.".into(), see())
        }
        State::Drilled => add("info", "A drill is on: this one is silent on purpose, and ends that by itself.".into(), see()),
        State::Normal | State::Alone => {}
    }
    let Some(partner) = twin.partner.as_ref().filter(|partner| partner.in_contact) else { return };
    if partner.in_trouble {
        add("", "The twin's disk takes nothing at present. Look at its card.".into(), see());
    }
    if partner.is_deaf {
        add("", "The twin runs, but hears no device. Look at its cable and its switch port.".into(), see());
    }
}

fn twins(house: &House) -> Vec<TwinCard> {
    let status = &house.status;
    let here = if house.host.is_empty() { "This one".into() } else { house.host.clone() };
    let own_light = crate::runtime::led::sign(status, house.around).word();
    let mut cards = vec![TwinCard { title: here, light: own_light, text: own_text(status), is_here: true }];
    if let Some(twin) = &status.twin {
        let title = house.twin_name.clone().unwrap_or_else(|| "The twin".into());
        let (light, text) = match &twin.partner {
            Some(partner) if partner.in_contact => {
                (if twin.is_active { "standby" } else { "active" }, partner_text(twin, partner.state))
            }
            Some(partner) if partner.silent_ms < u64::MAX => {
                ("unknown", format!("Last heard {} ago.", spell(partner.silent_ms / 1000)))
            }
            Some(_) | None => ("unknown", "Not heard since this one was started.".into()),
        };
        cards.push(TwinCard { title, light, text, is_here: false });
    }
    cards
}

fn own_text(status: &Status) -> String {
    match &status.twin {
        _ if !status.serving => "Answers nobody now.".into(),
        None => "Answers all devices. It has no twin.".into(),
        Some(twin) if twin.state == State::Normal && !twin.is_active => "Stands by, ready to take over.".into(),
        Some(_) => "Answers the devices.".into(),
    }
}

fn partner_text(twin: &TwinStatus, state: State) -> String {
    match state {
        State::Normal if twin.is_active => "Stands by, ready to take over.".into(),
        State::Normal => "Answers the devices.".into(),
        other => format!("It is {other}."),
    }
}

fn care(house: &House, around: &Around) -> Vec<Care> {
    let backup = Care {
        what: "Last backup",
        when: around.backup_made.map(|made| When::of(house, made)),
        otherwise: "None yet. One is made every night, and kept on both twins.",
        to: "/settings/backups",
        words: "Backups",
    };
    let drill = Care {
        what: "Last drill",
        when: house
            .last_drill
            .as_ref()
            .map(|report| When { words: format!("{} {}", ago(report.secs_ago()), report.sentence()), date: report.date() }),
        otherwise: if house.status.twin.is_some() {
            "None yet. Two minutes show that the twin takes over when it must."
        } else {
            "None yet. With a twin, two minutes show that it takes over."
        },
        to: "/twins",
        words: "Twins",
    };
    let rival = Care {
        what: "Looked for other DHCP servers",
        when: around.probed.map(|probed| When::of(house, probed)),
        otherwise: "Not yet since the start. It is done now and then by itself.",
        to: "/activity",
        words: "Activity",
    };
    let version = Care {
        what: "Version",
        when: Some(When { words: format!("twinlease {}", env!("CARGO_PKG_VERSION")), date: None }),
        otherwise: "",
        to: "/settings/updates",
        words: "Updates",
    };
    vec![backup, drill, rival, version]
}

fn pools(house: &House) -> Vec<PoolGauge> {
    let subnets = house.status.subnets.iter().zip(&house.settings.subnets);
    let gauge = |(status, subnet): (&crate::protocol::node::SubnetStatus, &crate::settings::Subnet)| PoolGauge {
        network: status.network.clone(),
        ranges: subnet.pools.iter().map(|pool| short(&pool.range)).collect::<Vec<_>>().join(", "),
        used: status.pool_used,
        size: status.pool_size,
        words: if status.pool_size == 0 {
            "no pool: kept addresses only".into()
        } else {
            format!("{} of {} used", status.pool_used, status.pool_size)
        },
    };
    subnets.map(gauge).collect()
}

/// `.100–.199` where both ends have the same beginning.
fn short(range: &AddressRange) -> String {
    let (first, last) = (range.first.octets(), range.last.octets());
    if first == last {
        return range.first.to_string();
    }
    if first[..3] == last[..3] { format!(".{}–.{}", first[3], last[3]) } else { format!("{}–{}", range.first, range.last) }
}

#[cfg(test)]
mod tests;
