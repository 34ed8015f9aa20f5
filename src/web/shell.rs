//! What stands around every page: the light, the sentence, the sections.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};

use super::{House, notice::Notice, visitor::Visitor};
use crate::{
    protocol::{failover::State, node::Status},
    runtime::led::{self, Around, Sign},
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
    pub section: Section,
    pub sign: Sign,
    /// The state of the pair in one sentence.
    pub sentence: String,
    /// Whose page this is.
    pub host: String,
    pub is_signed_in: bool,
    /// From the form that led here.
    pub notice: Option<Notice>,
}

impl Shell {
    pub fn new(house: &House, _visitor: &Visitor, section: Section, title: impl Into<String>) -> Shell {
        Shell {
            title: title.into(),
            section,
            sign: led::sign(&house.status, Around::default()),
            sentence: sentence(&house.status),
            host: house.host.clone(),
            is_signed_in: true,
            notice: None,
        }
    }

    pub fn is(&self, section: &Section) -> bool {
        self.section == *section
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

/// How DHCP is doing, for somebody who looks up once.
fn sentence(status: &Status) -> String {
    let Some(twin) = &status.twin else {
        return if status.serving {
            "This one answers alone: it has no twin.".into()
        } else {
            "Nobody is answering DHCP here.".into()
        };
    };
    let in_contact = twin.partner.as_ref().is_some_and(|partner| partner.in_contact);
    match twin.state {
        State::Normal if twin.is_active => "Both twins are healthy. This one is answering.".into(),
        State::Normal => "Both twins are healthy. The other one is answering.".into(),
        state if twin.is_serving && in_contact => format!("This one is answering, and {state}."),
        _ if twin.is_serving => "This one is answering alone: the twin is silent. Your devices keep working.".into(),
        _ => "This one is not answering.".into(),
    }
}

/// A page, or the reason why there is none.
pub fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("This page cannot be shown ({error}).")).into_response(),
    }
}
