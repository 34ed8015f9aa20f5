//! `/settings/twin`: how the two of a pair share the work.

use askama::Template;
use axum::{
    Form, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Changing, Fields, Outcome, change};
use crate::{
    protocol::failover::Rank,
    runtime::handle::Stopped,
    settings::{
        Mode, Record, Twin,
        words::{read_duration, show_duration},
    },
    web::{
        House, Site,
        form::Errors,
        revision,
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

const PATH: &str = "/settings/twin";
const MODES: [(&str, &str); 2] = [("hot-standby", "One answers, one stands by"), ("load-balancing", "Both answer, half each")];

pub fn routes() -> Router<Site> {
    Router::new().route(PATH, get(show).post(save))
}

#[derive(Template)]
#[template(path = "settings_twin.html")]
struct Page {
    shell: Shell,
    errors: Errors,
    values: Fields,
    modes: [(&'static str, &'static str); 2],
    ranks: Vec<(&'static str, String)>,
    has_twin: bool,
}

impl Page {
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
}

async fn show(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(page(&house, &visitor, Errors::default(), fields(&house.settings.twin)))
}

fn page(house: &House, visitor: &Visitor, errors: Errors, values: Fields) -> Response {
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let own = house.status.twin.as_ref().map(|twin| twin.rank);
    let name = |rank: Rank, word: &str| match own {
        Some(own) if own == rank => format!("{} (this one)", house.host),
        Some(_) => house.twin_name.clone().unwrap_or_else(|| "the twin".into()),
        None => format!("the {word} of the two"),
    };
    let page = Page {
        shell: Shell::new(house, visitor, Section::Settings, "How the twins share the work"),
        errors,
        values,
        modes: MODES,
        ranks: vec![("first", name(Rank::First, "first")), ("second", name(Rank::Second, "second"))],
        has_twin: own.is_some(),
    };
    (status, shell::page(&page)).into_response()
}

async fn save(State(site): State<Site>, visitor: Visitor, Form(fields): Form<Fields>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let mut errors = Errors::default();
    let twin = read(&fields, &mut errors);
    if errors.is_empty() {
        let changing = Changing {
            path: PATH,
            back: PATH,
            section: Section::Settings,
            said: "Saved.".into(),
            record: Record::Twin(twin),
            replaces: None,
            fields: &fields,
        };
        match change(&site, &visitor, changing).await? {
            Outcome::Answer(response) => return Ok(response),
            Outcome::Refused(sentences) => {
                for sentence in sentences {
                    let field = ["ack-deadline", "assume-partner-down-after"]
                        .into_iter()
                        .find(|name| sentence.starts_with(&format!("`{name}`")));
                    errors.add(field.unwrap_or("mclt"), sentence);
                }
            }
        }
    }
    Ok(page(&house, &visitor, errors, fields))
}

fn fields(twin: &Twin) -> Fields {
    let mode = match twin.mode {
        Mode::HotStandby => "hot-standby",
        Mode::LoadBalancing => "load-balancing",
    };
    let active = match twin.active {
        Rank::First => "first",
        Rank::Second => "second",
    };
    Fields::from([
        ("revision".into(), revision::of(&Record::Twin(*twin))),
        ("mode".into(), mode.into()),
        ("active".into(), active.into()),
        ("mclt".into(), show_duration(twin.mclt)),
        ("ack-deadline".into(), show_duration(twin.ack_deadline)),
        ("assume-partner-down-after".into(), twin.assume_partner_down_after.map(show_duration).unwrap_or_default()),
    ])
}

fn read(fields: &Fields, errors: &mut Errors) -> Twin {
    let field = |name: &str| fields.get(name).map_or("", |text| text.trim());
    let mut time = |name: &str| read_duration(field(name)).map_err(|why| errors.add(name, why)).unwrap_or_default();
    let (mclt, ack_deadline) = (time("mclt"), time("ack-deadline"));
    let after = "assume-partner-down-after";
    let assume_partner_down_after = (!field(after).is_empty()).then(|| time(after));
    let mode = match field("mode") {
        "hot-standby" => Some(Mode::HotStandby),
        "load-balancing" => Some(Mode::LoadBalancing),
        _ => None,
    };
    let active = match field("active") {
        "first" => Some(Rank::First),
        "second" => Some(Rank::Second),
        _ => None,
    };
    for (name, is_read) in [("mode", mode.is_some()), ("active", active.is_some())] {
        if !is_read {
            errors.add(name, format!("`{}` is not possible. Choose one of the list.", field(name)));
        }
    }
    let default = Twin::default();
    Twin {
        mode: mode.unwrap_or(default.mode),
        active: active.unwrap_or(default.active),
        mclt,
        ack_deadline,
        assume_partner_down_after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_gives_back_what_it_shows() {
        let mut errors = Errors::default();
        for assumed in [None, Some(std::time::Duration::from_secs(600))] {
            let twin = Twin { active: Rank::Second, assume_partner_down_after: assumed, ..Twin::default() };
            assert_eq!(read(&fields(&twin), &mut errors), twin);
        }
        assert!(errors.is_empty());
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let names = ["mode", "active", "mclt", "ack-deadline", "assume-partner-down-after"];
        let mut errors = Errors::default();
        read(&names.map(|name| (name.to_string(), "x".to_string())).into(), &mut errors);
        assert!(names.iter().all(|name| errors.has(name)));
    }
}
