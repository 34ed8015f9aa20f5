//! `/settings/options`: what devices are told, by name; numbers and definitions under Advanced.

use askama::Template;
use axum::{
    Form, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{Changing, Fields, Outcome, change, network::net_of, network::net_word};
use crate::{
    runtime::handle::Stopped,
    settings::{
        Record, Settings, dictionary,
        options::{OptionDefinition, OptionKind, OptionSet, show_code},
        words::closest,
        written::{example, read_value, show_value},
    },
    web::{
        House, Site,
        form::Errors,
        notice::{self, Notice},
        revision,
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

const PATH: &str = "/settings/options";

pub fn routes() -> Router<Site> {
    Router::new().route(PATH, get(show).post(save)).route("/settings/options/define", post(define))
}

/// Whose options: `all`, a network like `192.0.2.0-24`, or a pool of it like `192.0.2.0-24:192.0.2.100`, by its first address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Of {
    word: String,
    words: String,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    General,
    Subnet(usize),
    Pool(usize, usize),
}

struct Row {
    name: String,
    code: u8,
    value: String,
    hint: String,
}

#[derive(Template)]
#[template(path = "settings_options.html")]
struct Page {
    shell: Shell,
    of: Of,
    all: Vec<Of>,
    rows: Vec<Row>,
    names: Vec<(String, &'static str)>,
    definitions: Vec<OptionDefinition>,
    kinds: Vec<&'static str>,
    errors: Errors,
    values: Fields,
    revision: String,
    definitions_revision: String,
}

impl Page {
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// What was typed, or what is set.
    fn row_value<'r>(&'r self, row: &'r Row) -> &'r str {
        self.values.get(&format!("option-{}", row.code)).unwrap_or(&row.value)
    }
}

fn scopes(settings: &Settings) -> Vec<Of> {
    let mut all = vec![Of { word: "all".into(), words: "Everybody".into(), scope: Scope::General }];
    for (i, subnet) in settings.subnets.iter().enumerate() {
        let word = net_word(&subnet.network);
        all.push(Of { word: word.clone(), words: subnet.network.to_string(), scope: Scope::Subnet(i) });
        all.extend(subnet.pools.iter().enumerate().map(|(j, pool)| Of {
            word: format!("{word}:{}", pool.range.first),
            words: format!("Pool {}", pool.range),
            scope: Scope::Pool(i, j),
        }));
    }
    all
}

fn set_of(settings: &Settings, of: Scope) -> OptionSet {
    match of {
        Scope::General => settings.options.clone(),
        Scope::Subnet(i) => settings.subnets[i].options.clone(),
        Scope::Pool(i, j) => settings.subnets[i].pools[j].options.clone(),
    }
}

fn record_with(settings: &Settings, of: Scope, set: OptionSet) -> Record {
    match of {
        Scope::General => Record::Options(set),
        Scope::Subnet(i) => {
            let mut subnet = settings.subnets[i].clone();
            subnet.options = set;
            Record::Subnet(subnet)
        }
        Scope::Pool(i, j) => {
            let mut subnet = settings.subnets[i].clone();
            subnet.pools[j].options = set;
            Record::Subnet(subnet)
        }
    }
}

fn found(settings: &Settings, word: &str) -> Of {
    let all = scopes(settings);
    // A network's own word may be written as CIDR too.
    let word = net_of(word).map_or_else(|| word.to_string(), |network| net_word(&network));
    let at = all.iter().position(|of| of.word == word).unwrap_or(0);
    all[at].clone()
}

async fn show(State(site): State<Site>, visitor: Visitor, Query(query): Query<Fields>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let of = found(&house.settings, query.get("of").map_or("all", String::as_str));
    Ok(page(&house, &visitor, of, Errors::default(), Fields::new()))
}

fn page(house: &House, visitor: &Visitor, of: Of, errors: Errors, values: Fields) -> Response {
    let settings = &house.settings;
    let definitions = settings.custom_options.clone();
    let set = set_of(settings, of.scope);
    let rows = set.iter().map(|(code, value)| {
        let kind = kind_of(*code, &definitions).unwrap_or(value.kind());
        Row { name: show_code(*code, &definitions), code: *code, value: show_value(value), hint: hint(kind) }
    });
    let names = dictionary::entries().iter().map(|entry| (entry.name.to_string(), example(entry.kind)));
    let own = definitions.iter().map(|definition| (definition.name.clone(), example(definition.kind)));
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = Page {
        shell: Shell::new(house, visitor, Section::Settings, "Options"),
        all: scopes(settings),
        rows: rows.collect(),
        names: names.chain(own).collect(),
        revision: revision::of(&record_with(settings, of.scope, set.clone())),
        definitions_revision: revision::of(&Record::CustomOptions(definitions.clone())),
        definitions,
        kinds: OptionKind::ALL.iter().map(|kind| kind.name()).collect(),
        of,
        errors,
        values,
    };
    (status, shell::page(&page)).into_response()
}

/// Where the present value does not show how it is written.
fn hint(kind: OptionKind) -> String {
    match kind {
        OptionKind::Text | OptionKind::Ip | OptionKind::U8 | OptionKind::U16 | OptionKind::U32 | OptionKind::I32 => String::new(),
        OptionKind::Bool => example(kind).into(),
        OptionKind::IpList
        | OptionKind::U16List
        | OptionKind::Hex
        | OptionKind::DomainList
        | OptionKind::Routes
        | OptionKind::IpPairs
        | OptionKind::SubOptions => format!("Like {}", example(kind)),
    }
}

fn kind_of(code: u8, definitions: &[OptionDefinition]) -> Option<OptionKind> {
    let own = definitions.iter().find(|definition| definition.code == code).map(|definition| definition.kind);
    dictionary::kind_of(code).or(own)
}

async fn save(State(site): State<Site>, visitor: Visitor, Form(fields): Form<Fields>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let of = found(&house.settings, fields.get("of").map_or("all", String::as_str));
    let mut errors = Errors::default();
    let before = set_of(&house.settings, of.scope);
    let set = read(&before, &house.settings.custom_options, &fields, &mut errors);
    if errors.is_empty() {
        let back = format!("{PATH}?of={}", of.word);
        let changing = Changing {
            path: PATH,
            back: &back,
            section: Section::Settings,
            said: format!("The options of {} are saved. Devices get them when they renew.", of.words),
            record: record_with(&house.settings, of.scope, set.clone()),
            replaces: None,
            fields: &fields,
        };
        match change(&site, &visitor, changing).await? {
            Outcome::Answer(response) => return Ok(response),
            Outcome::Refused(sentences) => {
                for sentence in sentences {
                    let code = set
                        .keys()
                        .find(|code| sentence.contains(&format!("`{}`", show_code(**code, &house.settings.custom_options))));
                    let field = code.filter(|code| before.contains_key(code)).map(|code| format!("option-{code}"));
                    errors.add(field.unwrap_or_else(|| "value".into()), sentence);
                }
            }
        }
    }
    Ok(page(&house, &visitor, of, errors, fields))
}

/// The fields `option-CODE` of those that were there (empty: removed), and one new one by `name` and `value`.
fn read(before: &OptionSet, definitions: &[OptionDefinition], fields: &Fields, errors: &mut Errors) -> OptionSet {
    let mut set = before.clone();
    for (code, value) in before {
        let name = format!("option-{code}");
        let Some(text) = fields.get(&name).map(|text| text.trim()) else { continue };
        if text == show_value(value) {
            continue;
        }
        if text.is_empty() {
            set.remove(code);
            continue;
        }
        match read_value(kind_of(*code, definitions).unwrap_or(value.kind()), text) {
            Ok(value) => drop(set.insert(*code, value)),
            Err(why) => errors.add(name, why),
        }
    }
    let field = |name: &str| fields.get(name).map_or("", |text| text.trim());
    let (name, text) = (field("name"), field("value"));
    if name.is_empty() && text.is_empty() {
        return set;
    }
    if name.is_empty() {
        errors.add("name", "Which option? Choose a name of the list, or write its number.");
        return set;
    }
    match code_of(name, definitions) {
        Ok(code) if before.contains_key(&code) => {
            errors.add("name", format!("{} is set above already. Change it there.", show_code(code, definitions)));
        }
        Ok(code) => {
            // A number without a kind: raw where it is written so, else text.
            match read_value(kind_of(code, definitions).unwrap_or(OptionKind::Text), text) {
                Ok(value) => drop(set.insert(code, value)),
                Err(why) => errors.add("value", why),
            }
        }
        Err(why) => errors.add("name", why),
    }
    set
}

fn code_of(name: &str, definitions: &[OptionDefinition]) -> Result<u8, String> {
    let own = definitions.iter().find(|definition| definition.name == name).map(|definition| definition.code);
    let code = name.parse::<u8>().ok().filter(|code| (1..=254).contains(code)).or(own).or_else(|| dictionary::code_of(name));
    let governed = code.and_then(dictionary::governed).or_else(|| dictionary::governed_named(name));
    if let Some(governed) = governed {
        return Err(format!("It is set by the server alone. {}", governed.reason));
    }
    code.ok_or_else(|| {
        let known = dictionary::entries().iter().map(|entry| entry.name);
        match dictionary::name_meant(name).or_else(|| closest(name, known)) {
            Some(near) => format!("`{name}` is not the name of an option. Did you mean {near}?"),
            None => format!("`{name}` is not the name of an option. Choose one of the list, or write its number."),
        }
    })
}

/// Adds or removes a name for an option that has none.
async fn define(State(site): State<Site>, visitor: Visitor, Form(mut fields): Form<Fields>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let field = |name: &str| fields.get(name).map_or("", |text| text.trim()).to_string();
    let mut errors = Errors::default();
    let mut definitions = house.settings.custom_options.clone();
    let said = if let Ok(code) = field("remove").parse::<u8>() {
        let is_used = scopes(&house.settings).iter().any(|of| set_of(&house.settings, of.scope).contains_key(&code));
        if is_used {
            let words = "It is still set somewhere. Remove the option first, then its name.";
            return Ok(notice::see(&visitor, PATH, Notice::new(words)));
        }
        definitions.retain(|definition| definition.code != code);
        format!("Option {code} has no name here any more.")
    } else {
        let code = field("code").parse::<u8>().ok().filter(|code| (1..=254).contains(code));
        let kind = OptionKind::named(&field("type"));
        let name = field("own-name");
        for (of, is_read, why) in [
            ("code", code.is_some(), "Write its number, 1 to 254, best from 224 on."),
            ("own-name", !name.is_empty(), "It is empty. Write a name of small letters, digits and `-`."),
            ("type", kind.is_some(), "Choose one of the list."),
        ] {
            if !is_read {
                errors.add(of, why);
            }
        }
        if let (Some(code), Some(kind), true) = (code, kind, errors.is_empty()) {
            definitions.push(OptionDefinition { code, name: name.clone(), kind });
        }
        format!("Option {} is called {name} now.", field("code"))
    };
    if errors.is_empty() {
        if let Some(revision) = fields.remove("definitions-revision") {
            fields.insert("revision".into(), revision);
        }
        let changing = Changing {
            path: "/settings/options/define",
            back: PATH,
            section: Section::Settings,
            said,
            record: Record::CustomOptions(definitions),
            replaces: None,
            fields: &fields,
        };
        match change(&site, &visitor, changing).await? {
            Outcome::Answer(response) => return Ok(response),
            Outcome::Refused(sentences) => errors.add("own-name", sentences.join(" ")),
        }
    }
    let of = found(&house.settings, "all");
    Ok(page(&house, &visitor, of, errors, fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::options::OptionValue;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn what_is_not_touched_keeps_its_kind() {
        let sub = OptionValue::SubOptions([(1, OptionValue::U8(2))].into());
        let before = OptionSet::from([(43, sub), (42, OptionValue::IpList(vec!["192.0.2.1".parse().unwrap()]))]);
        let shown: Vec<(String, String)> =
            before.iter().map(|(code, value)| (format!("option-{code}"), show_value(value))).collect();
        let mut errors = Errors::default();
        assert_eq!(read(&before, &[], &shown.into_iter().collect(), &mut errors), before);
        let after = read(&before, &[], &fields(&[("option-42", ""), ("name", "mtu"), ("value", "1400")]), &mut errors);
        assert!(errors.is_empty());
        assert_eq!(after.keys().copied().collect::<Vec<_>>(), [26, 43]);
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let before =
            OptionSet::from([(26, OptionValue::U16(1400)), (42, OptionValue::IpList(vec!["192.0.2.1".parse().unwrap()]))]);
        let mut errors = Errors::default();
        read(
            &before,
            &[],
            &fields(&[("option-26", "many"), ("option-42", "x"), ("name", "ruoter"), ("value", "y")]),
            &mut errors,
        );
        assert!(errors.has("option-26") && errors.has("option-42"));
        assert!(errors.of("name").contains("Did you mean router?"));
        let mut errors = Errors::default();
        read(&before, &[], &fields(&[("name", "51"), ("value", "3600")]), &mut errors);
        assert!(errors.of("name").contains("by the server alone"));
    }
}
