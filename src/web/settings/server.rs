//! `/settings/server`: how the server behaves, whatever the network.

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
    runtime::handle::Stopped,
    settings::{
        FqdnPolicy, Record, Server,
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

const PATH: &str = "/settings/server";
const FQDN: [(&str, &str); 2] = [("client-updates", "It may write its own name"), ("no-updates", "Nobody should")];

pub fn routes() -> Router<Site> {
    Router::new().route(PATH, get(show).post(save))
}

#[derive(Template)]
#[template(path = "settings_server.html")]
struct Page {
    shell: Shell,
    errors: Errors,
    values: Fields,
    fqdn: [(&'static str, &'static str); 2],
}

impl Page {
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    fn is_on(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
}

async fn show(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(page(&house, &visitor, Errors::default(), fields(&house.settings.server)))
}

fn page(house: &House, visitor: &Visitor, errors: Errors, values: Fields) -> Response {
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = Page { shell: Shell::new(house, visitor, Section::Settings, "Behaviour"), errors, values, fqdn: FQDN };
    (status, shell::page(&page)).into_response()
}

async fn save(State(site): State<Site>, visitor: Visitor, Form(fields): Form<Fields>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let mut errors = Errors::default();
    let server = read(&fields, &mut errors);
    if errors.is_empty() {
        let changing = Changing {
            path: PATH,
            back: PATH,
            section: Section::Settings,
            said: "Saved.".into(),
            record: Record::Server(server),
            replaces: None,
            fields: &fields,
        };
        match change(&site, &visitor, changing).await? {
            Outcome::Answer(response) => return Ok(response),
            Outcome::Refused(sentences) => {
                for sentence in sentences {
                    let field = ["probe", "decline-quarantine", "private-mac-lease"]
                        .into_iter()
                        .find(|name| sentence.contains(&format!("`{name}`")));
                    errors.add(field.unwrap_or("interfaces"), sentence);
                }
            }
        }
    }
    Ok(page(&house, &visitor, errors, fields))
}

fn fields(server: &Server) -> Fields {
    let mut fields = Fields::from([
        ("revision".into(), revision::of(&Record::Server(server.clone()))),
        ("interfaces".into(), server.interfaces.join(", ")),
        ("probe".into(), server.probe.map(show_duration).unwrap_or_default()),
        ("decline-quarantine".into(), show_duration(server.decline_quarantine)),
        ("private-mac-lease".into(), server.private_mac_lease.map(show_duration).unwrap_or_default()),
        ("fqdn".into(), FQDN[usize::from(server.fqdn == FqdnPolicy::NoUpdates)].0.into()),
    ]);
    let ticks = [
        ("authoritative", server.authoritative),
        ("rapid-commit", server.rapid_commit),
        ("bootp", server.bootp),
        ("leasequery", server.leasequery),
    ];
    fields.extend(ticks.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| (name.to_string(), "on".to_string())));
    fields
}

fn read(fields: &Fields, errors: &mut Errors) -> Server {
    let field = |name: &str| fields.get(name).map_or("", |text| text.trim());
    let mut time = |name: &str| {
        let text = Some(field(name)).filter(|text| !text.is_empty())?;
        read_duration(text).map_err(|why| errors.add(name, why)).ok()
    };
    let (probe, quarantine, private) = (time("probe"), time("decline-quarantine"), time("private-mac-lease"));
    if field("decline-quarantine").is_empty() {
        errors.add("decline-quarantine", "It is empty. Write how long such an address rests, like 1d.");
    }
    let fqdn = match field("fqdn") {
        "client-updates" => FqdnPolicy::ClientUpdates,
        "no-updates" => FqdnPolicy::NoUpdates,
        other => {
            errors.add("fqdn", format!("`{other}` is not possible. Choose one of the list."));
            FqdnPolicy::ClientUpdates
        }
    };
    Server {
        interfaces: field("interfaces").split([',', ' ', '\n']).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect(),
        authoritative: fields.contains_key("authoritative"),
        rapid_commit: fields.contains_key("rapid-commit"),
        bootp: fields.contains_key("bootp"),
        leasequery: fields.contains_key("leasequery"),
        probe,
        decline_quarantine: quarantine.unwrap_or_default(),
        private_mac_lease: private,
        fqdn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_gives_back_what_it_shows() {
        let server =
            Server { rapid_commit: true, probe: None, interfaces: vec!["eth0".into(), "br-lan".into()], ..Server::default() };
        let mut errors = Errors::default();
        assert_eq!(read(&fields(&server), &mut errors), server);
        assert!(errors.is_empty());
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let wrong = ["probe", "decline-quarantine", "private-mac-lease", "fqdn"].map(|name| (name.to_string(), "x".to_string()));
        let mut errors = Errors::default();
        read(&Fields::from(wrong.clone()), &mut errors);
        assert!(wrong.iter().all(|(name, _)| errors.has(name)));
    }
}
