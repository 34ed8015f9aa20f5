//! What stands around every page: the light, the sentence, the sections.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use super::{House, notice::Notice, visitor::Visitor};
use crate::{
    protocol::{explain::spell, failover::State},
    runtime::led::{self, Sign},
    settings::Mode,
};

/// The sections, in the order of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Home,
    Devices,
    Map,
    Activity,
    Twins,
    Settings,
}

/// `base.html` is given this as `shell`.
#[derive(Debug)]
pub struct Shell {
    pub title: String,
    /// `None`: outside of all sections, as before the sign-in.
    pub section: Option<Section>,
    pub sign: Sign,
    /// The state of the pair in one sentence.
    pub sentence: String,
    /// Whose page this is.
    pub host: String,
    pub is_signed_in: bool,
    /// The page's name in `live::PAGES`; empty: only the header is live.
    pub live: &'static str,
    pub asked: String,
    /// From the form that led here.
    pub notice: Option<Notice>,
}

impl Shell {
    /// Takes the notice that the visitor's last form has left.
    pub fn new(house: &House, visitor: &Visitor, section: Section, title: impl Into<String>) -> Shell {
        let notice = visitor.take_notice().map(|notice| notice.told_where(house));
        Shell { section: Some(section), is_signed_in: true, notice, ..Shell::outside(house, title) }
    }

    /// For those who have not signed in: nothing that leads further.
    pub fn outside(house: &House, title: impl Into<String>) -> Shell {
        Shell {
            title: title.into(),
            section: None,
            sign: led::sign(&house.status, house.around),
            sentence: sentence(house),
            host: house.host.clone(),
            is_signed_in: false,
            live: "",
            asked: String::new(),
            notice: None,
        }
    }

    /// This page has parts that are told again when they change (`live::PAGES`).
    pub fn live(self, name: &'static str) -> Shell {
        Shell { live: name, ..self }
    }

    /// As the part of a URL behind the `?`: what is live here, where the page's own address does not say it.
    pub fn asked(self, query: String) -> Shell {
        Shell { asked: query, ..self }
    }

    pub fn is(&self, section: &Section) -> bool {
        self.section.as_ref() == Some(section)
    }

    /// A class of the stylesheet, which has the rhythm.
    pub fn light(&self) -> &'static str {
        self.sign.word()
    }

    /// Where it is, in words, and its picture.
    pub fn sections(&self) -> &'static [(Section, &'static str, &'static str, &'static str)] {
        &[
            (Section::Home, "/", "Home", "house"),
            (Section::Devices, "/devices", "Devices", "monitor-smartphone"),
            (Section::Map, "/map", "Map", "grid-3x3"),
            (Section::Activity, "/activity", "Activity", "activity"),
            (Section::Twins, "/twins", "Twins", "server"),
            (Section::Settings, "/settings", "Settings", "settings"),
        ]
    }
}

/// The part of the shell that is live.
#[derive(Debug, Template)]
#[template(path = "state.html")]
pub struct StateLine {
    light: &'static str,
    sentence: String,
}

impl StateLine {
    pub fn new(house: &House) -> StateLine {
        StateLine { light: led::sign(&house.status, house.around).word(), sentence: sentence(house) }
    }
}

/// How DHCP is doing, for somebody who looks up once.
pub fn sentence(house: &House) -> String {
    let this = if house.host.is_empty() { "This one" } else { house.host.as_str() };
    let status = &house.status;
    if status.subnets.is_empty() && status.twin.as_ref().is_none_or(|twin| twin.state != State::Recover) {
        return "No network is set up yet, so nobody is answered.".into();
    }
    if let Some(trouble) = &status.trouble {
        return format!("{this} can promise nothing new: {trouble}. Devices keep what they have.");
    }
    let Some(twin) = &status.twin else {
        return if status.serving { format!("{this} is answering. It has no twin.") } else { nobody() };
    };
    let other = house.twin_name.as_deref().unwrap_or("the twin");
    let partner = twin.partner.as_ref();
    let in_contact = partner.is_some_and(|partner| partner.in_contact);
    let is_heard_by_nobody = status.interfaces.is_empty();
    let silent = match partner {
        Some(partner) if partner.silent_ms != u64::MAX => format!("{other} silent for {}", spell(partner.silent_ms / 1000)),
        Some(_) | None => format!("{other} was not heard since the start"),
    };
    match twin.state {
        State::Normal => {
            let who = match house.settings.twin.mode {
                Mode::LoadBalancing => "Both are answering".to_owned(),
                Mode::HotStandby if twin.is_active => format!("{this} is answering"),
                Mode::HotStandby => format!("{other} is answering"),
            };
            match partner {
                Some(partner) if partner.in_trouble => format!("{other} is in trouble with its disk. {who}."),
                Some(partner) if partner.is_deaf => format!("{other} hears no devices. {this} is answering."),
                _ if is_heard_by_nobody => format!("{this} hears no devices. {other} is answering."),
                _ if twin.is_level == Some(false) => format!("{who}. The two are exchanging what each has missed."),
                _ => format!("Both twins healthy. {who}."),
            }
        }
        State::CommunicationsInterrupted | State::PartnerDown if is_heard_by_nobody => nobody(),
        State::CommunicationsInterrupted => format!("{this} is answering alone: {silent}. Your devices keep working."),
        State::PartnerDown => format!("{this} is answering alone: {other} counts as down. Your devices keep working."),
        State::Alone if status.serving => format!("{this} is answering. It has no twin."),
        State::Reconcile if status.serving && in_contact && partner.is_some_and(|partner| partner.state == State::Recover) => {
            format!("{other} is learning from {this}, which is answering.")
        }
        State::Reconcile if status.serving => format!("{this} is answering, and compares notes with {other}."),
        State::Startup | State::Reconcile | State::Recover if in_contact => {
            format!("{this} is learning from {other}, which is answering.")
        }
        State::Recover => format!("{this} may have forgotten leases and waits for {other}. It answers nobody."),
        State::Startup | State::Reconcile => format!("{this} has just started and looks for {other}."),
        State::Drilled => format!("A drill is on: {this} is silent on purpose, and {other} is answering."),
        State::ShuttingDown => format!("{this} is told to shut down, and answers nobody."),
        State::Alone => nobody(),
    }
}

fn nobody() -> String {
    "Nobody is answering DHCP.".into()
}

/// A page, or the reason why there is none.
pub fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("This page cannot be shown ({error}).")).into_response(),
    }
}

/// As a form that comes back: `with(StatusCode::UNPROCESSABLE_ENTITY, page(&…))`.
pub fn with(status: StatusCode, mut response: Response) -> Response {
    if response.status().is_success() {
        *response.status_mut() = status;
    }
    response
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    sentence: String,
}

pub fn error(shell: Shell, sentence: String) -> Response {
    page(&ErrorPage { shell, sentence })
}

#[cfg(test)]
mod tests;
