//! What `/twins` shows.

use serde_json::Value;

use crate::{
    protocol::{
        explain::spell,
        failover::State,
        node::{PartnerStatus, Precheck, TwinStatus},
    },
    runtime::{
        drill::{Report, seconds},
        led::{self, Sign},
    },
    settings::Mode,
    web::{House, Site, devices::when::ago},
};

/// One that is silent for a moment is not lost.
const LOST_SECS: u64 = 10;
/// Where twins listen for each other, unless they are told otherwise.
pub const LINK_PORT: u16 = 8067;

pub struct TwinsView {
    pub boxes: Vec<PiBox>,
    pub checks: Vec<Check>,
    pub has_twin: bool,
    pub here: String,
    pub twin: String,
    /// The other one's page; `None`: nobody knows where it is.
    pub twin_page: Option<String>,
    pub is_sought: bool,
    pub can_switch: bool,
    pub can_shut_down: bool,
    pub can_declare: bool,
    pub can_replace: bool,
    pub can_serve: bool,
    pub can_pair: bool,
    pub to_reconcile: usize,
    /// The code to be entered on the other one, and how long it counts.
    pub code: Option<(String, u64)>,
    /// What became of the last pairing.
    pub pairing: Option<String>,
    /// Nodes on this network that are nobody's twin: name and address.
    pub found: Vec<(String, String)>,
    pub drill: DrillView,
}

/// A Pi as it is drawn.
pub struct PiBox {
    pub name: String,
    pub is_here: bool,
    /// A sign's word, or `unknown`.
    pub light: &'static str,
    /// What the light does, for those who stand before it.
    pub rhythm: &'static str,
    pub role: String,
    pub state: String,
    /// Address, version, key: name and value.
    pub facts: Vec<(&'static str, String)>,
}

/// `None`: not known now.
pub struct Check {
    pub holds: Option<bool>,
    pub text: String,
}

impl Check {
    pub fn icon(&self) -> &'static str {
        match self.holds {
            Some(true) => "check",
            Some(false) => "x",
            None => "help",
        }
    }

    pub fn kind(&self) -> &'static str {
        match self.holds {
            Some(true) => "good",
            Some(false) => "bad",
            None => "unsure",
        }
    }
}

pub struct DrillView {
    pub prechecks: Vec<Precheck>,
    pub can_start: bool,
    /// Here: what has happened so far, with whether it has.
    pub steps: Vec<(bool, String)>,
    pub is_here: bool,
    /// The other one plays dead, for so many seconds more.
    pub there_secs: Option<u64>,
    pub last: Option<LastDrill>,
}

pub struct LastDrill {
    pub sentence: String,
    pub more: String,
    /// RFC 3339.
    pub date: String,
    pub ago: String,
}

impl TwinsView {
    pub fn new(site: &Site, house: &House) -> TwinsView {
        let facts = site.link().map(|link| link.facts()).unwrap_or_default();
        let status = house.status.twin.as_ref();
        let partner = status.and_then(|twin| twin.partner.as_ref());
        let in_contact = partner.is_some_and(|partner| partner.in_contact);
        let state = status.map_or(State::Alone, |twin| twin.state);
        let is_gone = status.is_some() && !in_contact && partner.is_none_or(|partner| partner.drill_secs_left.is_none());
        let is_known = !facts["twin"].is_null();
        let here = if house.host.is_empty() { "This one".to_owned() } else { house.host.clone() };
        let twin = house.twin_name.clone().unwrap_or_else(|| "the twin".into());
        let mut boxes = vec![own_box(house, &here, &facts)];
        boxes.extend(status.map(|status| partner_box(status, &twin, &facts)));
        TwinsView {
            boxes,
            checks: checks(house, &here, &twin),
            has_twin: status.is_some(),
            twin_page: ip_of(&facts).map(|ip| format!("//{ip}/twins")),
            is_sought: house.around.is_sought,
            can_switch: state == State::Normal && house.settings.twin.mode == Mode::HotStandby,
            can_shut_down: status.is_some_and(|twin| twin.is_serving),
            can_declare: state == State::CommunicationsInterrupted && is_gone,
            can_replace: is_known
                && is_gone
                && state != State::Drilled
                && status.is_some_and(|twin| twin.since_secs >= LOST_SECS)
                // In the moment in which it falls silent, this one's state may be an old one still.
                && partner.is_none_or(|partner| partner.silent_ms >= LOST_SECS * 1000),
            can_serve: state == State::Recover && !in_contact,
            can_pair: !is_known,
            to_reconcile: house.to_reconcile.len(),
            code: facts["code"]["digits"].as_str().map(|code| (code.into(), facts["code"]["secs_left"].as_u64().unwrap_or(0))),
            pairing: facts["pairing"].as_str().filter(|_| !is_known).map(Into::into),
            found: found(&facts),
            drill: DrillView::new(site, house, &here, &twin, partner),
            here,
            twin,
        }
    }
}

fn own_box(house: &House, here: &str, facts: &Value) -> PiBox {
    let status = &house.status;
    let sign = led::sign(status, house.around);
    let state = status.twin.as_ref().map_or(State::Alone, |twin| twin.state);
    let role = match &status.twin {
        _ if !status.serving => "Answers nobody now",
        None => "Answers all devices",
        Some(twin) if twin.state == State::Normal && !twin.is_active => "Stands by",
        Some(_) => "Answers the devices",
    };
    let mut told = vec![("Version", env!("CARGO_PKG_VERSION").to_owned())];
    told.extend(facts["fingerprint"].as_str().map(|key| ("Key", short(key))));
    PiBox {
        name: here.into(),
        is_here: true,
        light: sign.word(),
        rhythm: led::pattern(sign).name,
        role: role.into(),
        state: format!("It is {state}."),
        facts: told,
    }
}

fn partner_box(status: &TwinStatus, twin: &str, facts: &Value) -> PiBox {
    let sign = partner_sign(status);
    let role = match (&status.partner, sign) {
        (_, None) => "Not heard".to_owned(),
        (_, Some(Sign::Active)) => "Answers the devices".into(),
        (_, Some(Sign::Standby)) => "Stands by".into(),
        (_, Some(Sign::Drilled)) => "Plays dead for a drill".into(),
        (Some(partner), Some(_)) => format!("It is {}", partner.state),
        (None, Some(_)) => String::new(),
    };
    let state = match &status.partner {
        Some(partner) if partner.silent_ms < 10_000 => "Heard a moment ago.".into(),
        Some(partner) if partner.silent_ms < u64::MAX => format!("Last heard {}.", ago(partner.silent_ms / 1000)),
        Some(_) | None => "Not heard since this one was started.".into(),
    };
    let of = &facts["twin"];
    let mut told = Vec::new();
    told.extend(ip_of(facts).map(|ip| ("Address", ip)));
    told.extend(of["software"].as_str().map(|version| ("Version", version.to_owned())));
    told.extend(of["round_trip_ms"].as_f64().map(|ms| ("Round trip", format!("{ms:.1} ms"))));
    told.extend(of["clock_skew_ms"].as_i64().filter(|ms| ms.abs() >= 1000).map(|ms| ("Its clock", format!("{:+} s", ms / 1000))));
    told.extend(of["fingerprint"].as_str().map(|key| ("Key", short(key))));
    told.extend(of["trouble"].as_str().map(|trouble| ("Trouble", trouble.to_owned())));
    PiBox {
        name: twin.into(),
        is_here: false,
        light: sign.map_or("unknown", Sign::word),
        rhythm: sign.map_or("not known: it is not heard", |sign| led::pattern(sign).name),
        role,
        state,
        facts: told,
    }
}

/// What the other one's light shows, as far as it is known here.
fn partner_sign(status: &TwinStatus) -> Option<Sign> {
    let partner = status.partner.as_ref()?;
    if partner.drill_secs_left.is_some() {
        return Some(Sign::Drilled);
    }
    if !partner.in_contact {
        return None;
    }
    Some(match partner.state {
        State::Normal if partner.in_trouble => Sign::Fault,
        State::Normal if status.is_active => Sign::Standby,
        State::Normal | State::Alone => Sign::Active,
        State::Startup | State::Recover | State::Reconcile => Sign::Syncing,
        State::CommunicationsInterrupted | State::PartnerDown => Sign::TwinLost,
        State::ShuttingDown => Sign::Off,
        State::Drilled => Sign::Drilled,
    })
}

fn checks(house: &House, here: &str, twin: &str) -> Vec<Check> {
    let Some(status) = &house.status.twin else {
        return vec![Check { holds: Some(false), text: "There is no second one: if this one dies, nobody answers.".into() }];
    };
    let same = |holds: Option<bool>, what: &str| Check {
        holds,
        text: match holds {
            Some(true) => format!("Both have the same {what}."),
            Some(false) => format!("They do not have the same {what} yet."),
            None => format!("Whether both have the same {what} is not known: {twin} is not heard."),
        },
    };
    let own_trouble = house.status.trouble.clone();
    let partner = status.partner.as_ref().filter(|partner| partner.in_contact);
    let partner_could = partner.map(|partner| !partner.in_trouble && !partner.is_deaf && !house.status.subnets.is_empty());
    let alone = match (house.status.serving && own_trouble.is_none(), partner_could) {
        (true, Some(true)) => Check { holds: Some(true), text: "Each could serve alone.".into() },
        (_, Some(false)) => {
            Check { holds: Some(false), text: format!("{twin} could not serve alone: look at its disk and its cable.") }
        }
        (false, _) if matches!(status.state, State::Startup | State::Reconcile) => {
            Check { holds: None, text: format!("{here} has just started and looks for {twin}.") }
        }
        (false, _) => Check {
            holds: Some(false),
            text: format!("{here} could not serve alone{}", own_trouble.map_or(".".into(), |trouble| format!(": {trouble}."))),
        },
        (true, None) => {
            Check { holds: None, text: format!("{here} serves. Whether {twin} could is not known: it is not heard.") }
        }
    };
    vec![same(house.same.map(|same| same.1), "settings"), same(house.same.map(|same| same.0), "leases"), alone]
}

/// Enough of a key to tell two apart, as the log has it.
fn short(key: &str) -> String {
    key.chars().take(16).collect()
}

fn ip_of(facts: &Value) -> Option<String> {
    let address: std::net::SocketAddr = facts["twin"]["address"].as_str()?.parse().ok()?;
    Some(address.ip().to_string())
}

fn found(facts: &Value) -> Vec<(String, String)> {
    let nodes = facts["found"].as_array().into_iter().flatten().filter(|node| node["paired"] == false);
    nodes.filter_map(|node| Some((node["name"].as_str()?.to_owned(), node["address"].as_str()?.to_owned()))).collect()
}

impl DrillView {
    fn new(site: &Site, house: &House, here: &str, twin: &str, partner: Option<&PartnerStatus>) -> DrillView {
        let drills = site.handle().drills();
        let status = house.status.twin.as_ref();
        let is_here = status.is_some_and(|twin| twin.state == State::Drilled);
        let secs_left = status.and_then(|twin| twin.wait_secs).filter(|_| is_here);
        let under_way = drills.under_way().filter(|_| is_here);
        DrillView {
            prechecks: house.drill_checks.clone(),
            can_start: house.drill_checks.iter().all(|check| check.holds),
            steps: under_way.map(|report| steps(&report, here, twin, secs_left)).unwrap_or_default(),
            is_here,
            there_secs: partner.and_then(|partner| partner.drill_secs_left),
            last: drills.last().map(|report| LastDrill::new(&report)),
        }
    }
}

fn steps(report: &Report, here: &str, twin: &str, secs_left: Option<u64>) -> Vec<(bool, String)> {
    let took_over = match report.took_over_ms {
        Some(ms) => (true, format!("{twin} took over after {}.", seconds(ms))),
        None => (false, format!("{twin} takes over.")),
    };
    let asked = match &report.trouble {
        Some(trouble) => format!("Nobody can ask: {trouble}"),
        None => format!(
            "{} made-up devices asked, {} were answered; the longest wait was {}.",
            report.asked,
            report.answered,
            seconds(report.longest_wait_ms)
        ),
    };
    let left = secs_left.map_or(String::new(), |secs| format!(" in {}", spell(secs)));
    vec![
        (true, format!("{here} fell silent: to devices and to {twin} it is dead.")),
        took_over,
        (report.answered > 0, asked),
        (false, format!("{here} comes back by itself{left}.")),
    ]
}

impl LastDrill {
    fn new(report: &Report) -> LastDrill {
        LastDrill {
            sentence: report.sentence(),
            more: report.more(),
            date: report.date().unwrap_or_default(),
            ago: ago(report.secs_ago()),
        }
    }
}
