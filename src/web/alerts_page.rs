//! `/settings/alerts`: where alerts go, whether they arrive, and what would be told now.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    House, Site,
    api::{alerts::send_test, problem::Refusal, settings::unmask, translate},
    form::Errors,
    notice::{Notice, see},
    revision::{self, Clash},
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::{
    protocol::Command,
    runtime::{
        alerts::{Channel, OpenAlert},
        handle::Stopped,
        report,
    },
    settings::{Record, RecordKey, alerts::Alerts},
};

pub fn routes() -> Router<Site> {
    Router::new().route("/settings/alerts", get(page).post(save)).route("/settings/alerts/test/{channel}", post(test))
}

/// The fields, by their names on the page: the channel, a hyphen, the key of the settings file.
type Values = BTreeMap<String, String>;

const CHANNELS: [(&str, &[&str]); 4] = [
    ("webhook", &["url"]),
    ("ntfy", &["url", "topic", "token"]),
    ("mail", &["server", "port", "tls", "user", "password", "from", "to"]),
    ("syslog", &["host", "port", "protocol", "log"]),
];
/// Without it, there is no such channel.
const MAIN: [(&str, &str); 4] = [("webhook", "url"), ("ntfy", "topic"), ("mail", "server"), ("syslog", "host")];

#[derive(Template)]
#[template(path = "settings_alerts.html")]
struct Page {
    shell: Shell,
    errors: Errors,
    /// What is wrong with no field in particular.
    general: Vec<String>,
    values: Values,
    revision: String,
    clash: Option<Clash>,
    open: Vec<Told>,
    channels: Vec<Line>,
    tls: Vec<(&'static str, &'static str)>,
    protocols: Vec<(&'static str, &'static str)>,
}

struct Told {
    title: &'static str,
    text: String,
    since: String,
    is_urgent: bool,
}

/// A channel that is set up.
struct Line {
    name: &'static str,
    words: String,
    is_bad: bool,
}

impl Page {
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    fn is_on(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn new(site: &Site, house: &House, visitor: &Visitor, values: Values) -> Page {
        let around = site.handle().board().around();
        let since = |open: &OpenAlert| report::date(&house.clock, open.since);
        let open = around.open.iter().map(|open| Told {
            title: open.kind.title(),
            text: open.text.clone(),
            since: since(open),
            is_urgent: open.kind.is_urgent(),
        });
        let channels = Channel::all(&house.settings.alerts).into_iter().map(|channel| {
            let state = around.channels.get(channel.name()).cloned().unwrap_or_default();
            let trouble = state.last.as_ref().and_then(|last| last.trouble.clone());
            let words = match (&trouble, &state.last) {
                (Some(trouble), _) => format!("{} waiting: {trouble} It is tried again.", state.waiting),
                (None, Some(last)) => format!("The last alert left on {}.", report::date(&house.clock, last.at)),
                (None, None) => "Nothing had to be sent since the start.".into(),
            };
            Line { name: channel.name(), words, is_bad: trouble.is_some() }
        });
        Page {
            shell: Shell::new(house, visitor, Section::Settings, "Alerts"),
            errors: Errors::default(),
            general: Vec::new(),
            values,
            revision: revision::of_record(&house.settings, &RecordKey::Alerts),
            clash: None,
            open: open.collect(),
            channels: channels.collect(),
            tls: vec![
                ("starttls", "STARTTLS (port 587)"),
                ("tls", "TLS from the start (port 465)"),
                ("none", "none (in the clear)"),
            ],
            protocols: vec![("udp", "UDP"), ("tcp", "TCP")],
        }
    }
}

async fn page(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let values = values_of(&house.settings.alerts);
    Ok(shell::page(&Page::new(&site, &house, &visitor, values)))
}

/// Secrets are hidden: the page shows that there is one.
fn values_of(alerts: &Alerts) -> Values {
    let json = translate::section_json(&Record::Alerts(alerts.masked()), "alerts");
    // A box that is not ticked is not sent.
    let text = |value: &Value| match value {
        Value::Bool(is_on) => is_on.then(|| "on".into()),
        value => Some(value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)),
    };
    let mut values = Values::from([("pool-percent".into(), alerts.pool_percent.to_string())]);
    if alerts.quiet {
        values.insert("quiet".into(), "on".into());
    }
    for (channel, keys) in CHANNELS {
        for key in keys {
            if let Some(value) = json.get(channel).and_then(|channel| channel.get(key)).and_then(text) {
                values.insert(format!("{channel}-{key}"), value);
            }
        }
    }
    values
}

/// As the settings file has it. What is left empty is not said; a channel without its main field is none.
fn json_of(values: &Values) -> Value {
    let given = |name: &str| values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    // A number where it is one; otherwise the reader says what is wrong with it.
    let number = |text: &str| text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
    let mut json = json!({ "quiet": values.contains_key("quiet") });
    if let Some(percent) = given("pool-percent") {
        json["pool-percent"] = number(percent);
    }
    for ((channel, keys), (_, main)) in CHANNELS.iter().zip(MAIN) {
        if given(&format!("{channel}-{main}")).is_none() {
            continue;
        }
        let said = keys.iter().filter_map(|key| {
            let value = given(&format!("{channel}-{key}"))?;
            let value = match *key {
                "port" => number(value),
                "log" => Value::from(true),
                _ => Value::from(value),
            };
            Some(((*key).to_owned(), value))
        });
        json[*channel] = Value::Object(said.collect());
    }
    json
}

/// Which field a sentence of the reader is about: it names the key and the section.
fn field_of(sentence: &str) -> Option<String> {
    if sentence.contains("`pool-percent`") {
        return Some("pool-percent".into());
    }
    let (channel, keys) = CHANNELS.iter().find(|(channel, _)| sentence.contains(&format!("[alerts.{channel}]")))?;
    let named = |key: &&&str| sentence.contains(&format!("`{key}`"));
    let main = MAIN.iter().find(|(of, _)| of == channel).map_or("", |(_, main)| main);
    Some(format!("{channel}-{}", keys.iter().find(named).copied().unwrap_or(main)))
}

async fn save(State(site): State<Site>, visitor: Visitor, Form(values): Form<Values>) -> Result<Response, Stopped> {
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    let mut json = json_of(&values);
    unmask(&mut json, &house.settings.alerts);
    let refused = |sentences: Vec<String>| {
        let mut page = Page::new(&site, &house, &visitor, values.clone());
        for sentence in sentences {
            match field_of(&sentence) {
                Some(field) => page.errors.add(field, sentence),
                None => page.general.push(sentence),
            }
        }
        shell::with(StatusCode::UNPROCESSABLE_ENTITY, shell::page(&page))
    };
    let wanted = match translate::section_of(&json, "alerts", &house.settings).map_err(Refusal::sentences) {
        Ok(settings) => Record::Alerts(settings.alerts),
        Err(sentences) => return Ok(refused(sentences)),
    };
    let sent = values.get("revision").map_or("", String::as_str);
    if let Err(clash) = revision::check(&house.settings, &RecordKey::Alerts, sent, &wanted) {
        let mut page = Page::new(&site, &house, &visitor, values.clone());
        // Secrets stay hidden in what is shown side by side.
        let hidden = |record: Record| crate::settings::render::record(&record.masked()).trim().to_owned();
        let now = house.settings.record(&RecordKey::Alerts).map(hidden).unwrap_or_default();
        page.clash = Some(Clash { yours: hidden(wanted), now, ..clash });
        return Ok(shell::with(StatusCode::CONFLICT, shell::page(&page)));
    }
    match site.submit(&visitor, Command::Put(wanted)).await? {
        Ok(saved) => Ok(see(&visitor, "/settings/alerts", Notice { text: "Saved.".into(), undo: saved.change })),
        Err(why) => Ok(refused(why.lines().map(ToOwned::to_owned).collect())),
    }
}

/// By the channel as it is saved.
async fn test(State(site): State<Site>, visitor: Visitor, Path(name): Path<String>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let channel = Channel::all(&house.settings.alerts).into_iter().find(|channel| channel.name() == name);
    let told = match channel {
        Some(channel) => match send_test(channel, &house).await {
            Ok(told) => told,
            Err(why) => format!("The test did not arrive. {why}"),
        },
        None => "That channel is not set up. Fill it in and save it first.".into(),
    };
    Ok(see(&visitor, "/settings/alerts", Notice::new(told)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, alerts::Mail};

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn read(values: &Values, now: &Alerts) -> Result<Alerts, Vec<String>> {
        let mut json = json_of(values);
        unmask(&mut json, now);
        translate::section_of(&json, "alerts", &Settings::default()).map(|settings| settings.alerts).map_err(Refusal::sentences)
    }

    #[test]
    fn what_the_page_shows_can_be_saved_again_and_is_the_same() {
        let mail = values(&[
            ("pool-percent", "80"),
            ("mail-server", "mail.example.org"),
            ("mail-port", "587"),
            ("mail-tls", "starttls"),
            ("mail-user", "me"),
            ("mail-password", "secret"),
            ("mail-from", "dhcp@example.org"),
            ("mail-to", "me@example.org"),
            ("syslog-host", ""),
            ("syslog-port", "514"),
            ("syslog-protocol", "udp"),
        ]);
        let alerts = read(&mail, &Alerts::default()).expect("it is good");
        assert!(alerts.syslog.is_none(), "a channel without its main field is none");
        let shown = values_of(&alerts);
        assert!(!shown.values().any(|value| value.contains("secret")), "{shown:?}");
        assert_eq!(read(&shown, &alerts).expect("it is good"), alerts, "the hidden password is the one that is there");
        assert_eq!(alerts.mail.map(|Mail { password, .. }| password), Some(Some("secret".into())));
    }

    #[test]
    fn the_log_goes_out_where_its_box_is_ticked_and_nowhere_else() {
        let ticked = values(&[("pool-percent", "90"), ("syslog-host", "192.0.2.5"), ("syslog-log", "on")]);
        let not_ticked = values(&[("pool-percent", "90"), ("syslog-host", "192.0.2.5")]);
        for (given, is_on) in [(ticked, true), (not_ticked, false)] {
            let alerts = read(&given, &Alerts::default()).expect("it is good");
            assert_eq!(alerts.syslog.as_ref().map(|syslog| syslog.log), Some(is_on));
            let shown = values_of(&alerts);
            assert_eq!(shown.contains_key("syslog-log"), is_on, "{shown:?}");
            assert_eq!(read(&shown, &alerts).expect("it is good"), alerts, "saved again, it is the same");
        }
    }

    #[test]
    fn every_sentence_stands_beside_its_field() {
        let fields = |pairs: &[(&str, &str)]| {
            let sentences = read(&values(pairs), &Alerts::default()).expect_err("it is wrong");
            sentences.iter().map(|sentence| field_of(sentence)).collect::<Vec<_>>()
        };
        assert_eq!(fields(&[("webhook-url", "ftp://x")]), [Some("webhook-url".into())]);
        assert_eq!(fields(&[("ntfy-topic", "a b"), ("ntfy-url", "https://ntfy.sh")]), [Some("ntfy-topic".into())]);
        assert_eq!(fields(&[("syslog-host", "a b")]), [Some("syslog-host".into())]);
        assert_eq!(fields(&[("syslog-host", "a"), ("syslog-port", "many")]), [Some("syslog-port".into())]);
        assert_eq!(fields(&[("pool-percent", "1000")]), [Some("pool-percent".into())]);
        assert_eq!(fields(&[("mail-server", "a")]), [Some("mail-from".into()), Some("mail-to".into())]);
    }
}
