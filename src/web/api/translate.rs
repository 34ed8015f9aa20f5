//! JSON to and from the words of the settings file: its reader has the sentences, and people know its keys.

use serde_json::{Map, Value};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value as Toml};

use super::problem::{Answer, Refusal};
use crate::settings::{
    Record, Reservation, Settings, Subnet, parse,
    render::{self, record},
};

/// What stands in the file as `[key]`, and as `[[key]]`.
const TABLES: [&str; 11] =
    ["server", "lease", "twin", "options", "alerts", "webhook", "ntfy", "mail", "syslog", "general", "access"];
const LISTS: [&str; 4] = ["subnet", "reservation", "custom-option", "pool"];

/// The settings in the words of the file.
pub fn settings_json(settings: &Settings) -> Value {
    file_json(&render::render(settings))
}

pub fn reservation_json(reservation: &Reservation) -> Value {
    first(&Record::Reservation(reservation.clone()), "reservation")
}

pub fn subnet_json(subnet: &Subnet) -> Value {
    first(&Record::Subnet(subnet.clone()), "subnet")
}

/// A record that exists once. `section`: its name in the file; empty where nothing is set.
pub fn section_json(of: &Record, section: &str) -> Value {
    let empty = if section == "custom-option" { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    file_json(&record(of)).get(section).cloned().unwrap_or(empty)
}

fn first(of: &Record, section: &str) -> Value {
    let file = file_json(&record(of));
    file.get(section).and_then(|list| list.get(0)).cloned().unwrap_or_default()
}

fn file_json(text: &str) -> Value {
    // What `render` writes can be read.
    let Ok(document) = text.parse::<DocumentMut>() else { return Value::Null };
    Value::Object(document.iter().map(|(key, item)| (key.to_owned(), item_json(item))).collect())
}

fn item_json(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => toml_json(value),
        Item::Table(table) => Value::Object(table.iter().map(|(key, item)| (key.to_owned(), item_json(item))).collect()),
        Item::ArrayOfTables(tables) => {
            let rows = tables.iter().map(|table| table.iter().map(|(key, item)| (key.to_owned(), item_json(item))));
            Value::Array(rows.map(|row| Value::Object(row.collect())).collect())
        }
    }
}

fn toml_json(value: &Toml) -> Value {
    match value {
        Toml::String(text) => Value::String(text.value().clone()),
        Toml::Integer(number) => Value::from(*number.value()),
        Toml::Float(number) => Value::from(*number.value()),
        Toml::Boolean(is) => Value::Bool(*is.value()),
        Toml::Datetime(date) => Value::String(date.value().to_string()),
        Toml::Array(array) => Value::Array(array.iter().map(toml_json).collect()),
        Toml::InlineTable(table) => Value::Object(table.iter().map(|(key, value)| (key.to_owned(), toml_json(value))).collect()),
    }
}

/// All settings.
pub fn settings_of(json: &Value) -> Answer<Settings> {
    let Value::Object(sections) = json else {
        return Err(Refusal::unprocessable("The settings are no JSON object. Send what GET gives, changed."));
    };
    read(table_of(sections))
}

/// `known`: whose networks and named options it may lean on. Whether it can stand beside the others is checked later.
pub fn reservation_of(json: &Value, known: &Settings) -> Answer<Reservation> {
    let mut file = around(known);
    for network in known.subnets.iter().map(|subnet| subnet.network.to_string()) {
        push(&mut file, "subnet", &[("network".to_owned(), Value::String(network))].into_iter().collect());
    }
    push(&mut file, "reservation", object(json, "A kept address")?);
    let mut settings = read(file)?;
    settings.reservations.pop().ok_or_else(|| Refusal::unprocessable("There is no kept address in it."))
}

pub fn subnet_of(json: &Value, known: &Settings) -> Answer<Subnet> {
    let mut file = around(known);
    push(&mut file, "subnet", object(json, "A subnet")?);
    let mut settings = read(file)?;
    settings.subnets.pop().ok_or_else(|| Refusal::unprocessable("There is no subnet in it."))
}

/// A record that exists once, by the name of its section.
pub fn section_of(json: &Value, section: &str, known: &Settings) -> Answer<Settings> {
    let mut file = if section == "custom-option" { Table::new() } else { around(known) };
    match json {
        Value::Array(rows) if section == "custom-option" => {
            for row in rows {
                push(&mut file, section, object(row, "Each of them")?);
            }
        }
        json => {
            file.insert(section, Item::Table(table_of(object(json, "It")?)));
        }
    }
    read(file)
}

/// What a single record may lean on: the names of options.
fn around(known: &Settings) -> Table {
    let mut file = Table::new();
    let definitions = section_json(&Record::CustomOptions(known.custom_options.clone()), "custom-option");
    for row in definitions.as_array().into_iter().flatten().filter_map(Value::as_object) {
        push(&mut file, "custom-option", row);
    }
    file
}

fn object<'a>(json: &'a Value, what: &str) -> Answer<&'a Map<String, Value>> {
    json.as_object().ok_or_else(|| Refusal::unprocessable(format!("{what} is a JSON object, like `{{\"name\": …}}`.")))
}

fn push(file: &mut Table, list: &str, row: &Map<String, Value>) {
    let item = file.entry(list).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    if let Item::ArrayOfTables(rows) = item {
        rows.push(table_of(row));
    }
}

fn read(file: Table) -> Answer<Settings> {
    let text = DocumentMut::from(file).to_string();
    // The lines are those of a text that nobody has seen.
    parse::parse(&text).map_err(|problems| Refusal::several(problems.into_iter().map(|problem| problem.text).collect()))
}

fn table_of(object: &Map<String, Value>) -> Table {
    let mut table = Table::new();
    table.set_implicit(false);
    for (key, value) in object {
        let item = match value {
            Value::Null => continue,
            Value::Object(inner) if TABLES.contains(&key.as_str()) => Item::Table(table_of(inner)),
            Value::Array(rows) if LISTS.contains(&key.as_str()) && rows.iter().all(Value::is_object) && !rows.is_empty() => {
                let mut tables = ArrayOfTables::new();
                rows.iter().filter_map(Value::as_object).for_each(|row| tables.push(table_of(row)));
                Item::ArrayOfTables(tables)
            }
            value => match toml_of(value) {
                Some(value) => Item::Value(value),
                None => continue,
            },
        };
        table.insert(key, item);
    }
    table
}

/// `None`: JSON's null, which the file does not have.
fn toml_of(value: &Value) -> Option<Toml> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(is) => Toml::from(*is),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Toml::from(number),
            None => Toml::from(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => Toml::from(text.as_str()),
        Value::Array(values) => Toml::Array(values.iter().filter_map(toml_of).collect::<Array>()),
        Value::Object(object) => {
            let mut table = InlineTable::new();
            for (key, value) in object {
                if let Some(value) = toml_of(value) {
                    table.insert(key, value);
                }
            }
            Toml::InlineTable(table)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Settings {
        parse::parse(include_str!("../../../examples/home.toml")).expect("the example is good")
    }

    #[test]
    fn all_settings_survive_the_way_through_json() {
        let settings = home();
        let json = settings_json(&settings);
        assert_eq!(json["reservation"][0]["name"], "printer");
        assert_eq!(settings_of(&json).expect("as it was written"), settings);
    }

    #[test]
    fn each_record_survives_the_way_through_json() {
        let settings = home();
        for reservation in &settings.reservations {
            assert_eq!(&reservation_of(&reservation_json(reservation), &settings).expect("as it was written"), reservation);
        }
        for subnet in &settings.subnets {
            assert_eq!(&subnet_of(&subnet_json(subnet), &settings).expect("as it was written"), subnet);
        }
        let options = section_json(&Record::Options(settings.options.clone()), "options");
        assert_eq!(section_of(&options, "options", &settings).expect("as it was written").options, settings.options);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_sentences_of_the_file() {
        let settings = home();
        let told = |json: Value| format!("{:?}", reservation_of(&json, &settings).expect_err("it is wrong"));
        assert!(told(serde_json::json!({ "mac": "a4:cf:12:9", "address": "192.168.1.33" })).contains("one of them incomplete"));
        assert!(
            told(serde_json::json!({ "mac": "02:00:00:00:00:01", "addres": "192.168.1.33" })).contains("Did you mean `address`?")
        );
        assert!(told(serde_json::json!({ "mac": "02:00:00:00:00:01", "address": "10.9.9.9" })).contains("10.9.9.9"));
        for odd in [
            Value::Null,
            serde_json::json!([]),
            serde_json::json!("x"),
            serde_json::json!({ "options": { "dns": { "a": null } } }),
        ] {
            told(odd);
        }
        let keys = serde_json::json!({ "mac": "02:00:00:00:00:01", "address": "192.168.1.33", "name\n[server]\nx": "y = 1" });
        assert!(told(keys).contains("is not known"), "a key is a key, whatever is in it");
    }
}
