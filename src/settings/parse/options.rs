//! An `options` table of the settings file, read: names and codes, and values of every kind.

use std::collections::BTreeMap;

use toml_edit::{Item, TableLike, Value};

use super::{
    ReadOptions,
    reader::{Reader, Section, address_of, bool_of, describe, describe_value, kind_of, text_of},
};
use crate::settings::{
    check::values::example,
    dictionary,
    options::{OptionKind, OptionValue, Route},
    words::{closest, read_hex, read_network},
};

const TYPED_KEYS: &[&str] = &["type", "value"];
const ROUTE_KEYS: &[&str] = &["to", "via"];
const RAW_EXAMPLE: &str = "{ type = \"text\", value = \"…\" }";

impl Reader {
    /// The table `options` of this section; `shown` is what sentences call it.
    pub(super) fn options(&mut self, parent: &Section, shown: &str) -> ReadOptions {
        let mut read = ReadOptions::default();
        let Some(section) = self.section(parent, "options") else { return read };
        for (key, item) in section.table.iter() {
            let line = self.line_of_key(section.table, key);
            let thing = format!("`{}` in {shown}", key.escape_debug());
            let code = match self.option_code(key) {
                Ok(code) => code,
                Err(Some(trouble)) => {
                    self.problem(line, format!("{thing} {trouble}"));
                    continue;
                }
                Err(None) => continue,
            };
            if read.lines.contains_key(&code) {
                self.problem(line, format!("{thing} sets option {code}, which is set there already. Remove one of the two."));
                continue;
            }
            read.lines.insert(code, line);
            let defined = self.definitions.iter().find(|definition| definition.code == code).map(|definition| definition.kind);
            let kind = dictionary::kind_of(code).or(defined);
            if let Some(value) = self.option_value(&thing, line, kind, item) {
                read.set.insert(code, value);
            }
        }
        read
    }

    /// The code of a name or number; what is wrong with it, or nothing where that was said at the definition.
    fn option_code(&self, key: &str) -> Result<u8, Option<String>> {
        if key.bytes().all(|byte| byte.is_ascii_digit()) {
            let code = key.parse::<u8>().map_err(|_| Some("is no number of an option. Use 1 to 254.".to_string()))?;
            return match dictionary::governed(code) {
                Some(governed) => Err(Some(format!("is set by the server alone. {}", governed.reason))),
                None => Ok(code),
            };
        }
        let defined = || self.definitions.iter().find(|definition| definition.name == key).map(|definition| definition.code);
        if let Some(code) = dictionary::code_of(key).or_else(defined) {
            return Ok(code);
        }
        if self.unreadable_names.contains(key) {
            return Err(None);
        }
        if let Some(governed) = dictionary::governed_named(key) {
            return Err(Some(format!("is set by the server alone. {}", governed.reason)));
        }
        let known = dictionary::entries().iter().map(|entry| entry.name);
        let names = known.chain(self.definitions.iter().map(|definition| definition.name.as_str()));
        Err(Some(match dictionary::name_meant(key).or_else(|| closest(key, names)) {
            Some(near) => format!("is not the name of an option. Did you mean `{near}`?"),
            None => {
                format!("is not the name of an option. Use its number: \"224\" = {RAW_EXAMPLE}, or name it in [[custom-option]].")
            }
        }))
    }

    /// A value as its kind is written, or with its type beside it: `{ type = "hex", value = "01:04" }`.
    fn option_value(&mut self, thing: &str, line: Option<usize>, kind: Option<OptionKind>, item: &Item) -> Option<OptionValue> {
        match item.as_table_like().filter(|table| table.contains_key("type")) {
            Some(table) => {
                let written = self.typed(thing, line, table)?;
                if let Some(kind) = kind
                    && written.0 != kind
                    && written.0 != OptionKind::Hex
                {
                    self.problem(
                        line,
                        format!("{thing} is written with type {}, but it has type {kind}. Write {}.", written.0, example(kind)),
                    );
                    return None;
                }
                self.value(thing, line, written.0, written.1)
            }
            None => match kind {
                Some(kind) => self.value(thing, line, kind, item),
                None => {
                    self.problem(line, format!("{thing} has no known type. Write its type beside it: {RAW_EXAMPLE}."));
                    None
                }
            },
        }
    }

    fn typed<'t>(&mut self, thing: &str, line: Option<usize>, table: &'t dyn TableLike) -> Option<(OptionKind, &'t Item)> {
        self.only(thing, table, TYPED_KEYS);
        let written = table.get("type").and_then(Item::as_value).ok_or_else(|| "It is missing.".to_string()).and_then(kind_of);
        let kind = written.map_err(|error| self.problem(line, format!("{thing}, type: {error}"))).ok();
        let value = table.get("value");
        if value.is_none() {
            self.problem(line, format!("{thing} has a type and no value. Write {RAW_EXAMPLE}."));
        }
        Some((kind?, value?))
    }

    fn only(&mut self, thing: &str, table: &dyn TableLike, keys: &[&str]) {
        for (key, _) in table.iter().filter(|(key, _)| !keys.contains(key)) {
            let line = self.line_of_key(table, key);
            self.problem(
                line,
                format!("{thing}: `{}` is not known there. Known there: {}.", key.escape_debug(), keys.join(", ")),
            );
        }
    }

    fn value(&mut self, thing: &str, line: Option<usize>, kind: OptionKind, item: &Item) -> Option<OptionValue> {
        let wrong = |found: &str| format!("{thing} is {found}. Write {}.", example(kind));
        if kind == OptionKind::SubOptions {
            return match item.as_table_like() {
                Some(table) => self.sub_options(thing, table),
                None => {
                    let hint = "Raw bytes are written { type = \"hex\", value = \"01:04:c0\" }";
                    self.problem(line, format!("{} {hint}.", wrong(describe(item))));
                    None
                }
            };
        }
        if kind == OptionKind::Routes {
            return self.routes(thing, line, item).map(OptionValue::Routes);
        }
        let Some(value) = item.as_value() else {
            self.problem(line, wrong(describe(item)));
            return None;
        };
        let whole = || value.as_integer().ok_or_else(|| format!("It is {}. Write {}.", describe_value(value), example(kind)));
        let range = |number: i64| format!("{number} is out of range. Write {}.", example(kind));
        let single = match kind {
            OptionKind::Ip => address_of(value).map(OptionValue::Ip),
            OptionKind::Text => text_of(value).map(|text| OptionValue::Text(text.into())),
            OptionKind::Bool => bool_of(value).map(OptionValue::Bool),
            OptionKind::Hex => text_of(value).and_then(read_hex).map(OptionValue::Hex),
            OptionKind::U8 => whole().and_then(|n| n.try_into().map(OptionValue::U8).map_err(|_| range(n))),
            OptionKind::U16 => whole().and_then(|n| n.try_into().map(OptionValue::U16).map_err(|_| range(n))),
            OptionKind::U32 => whole().and_then(|n| n.try_into().map(OptionValue::U32).map_err(|_| range(n))),
            OptionKind::I32 => whole().and_then(|n| n.try_into().map(OptionValue::I32).map_err(|_| range(n))),
            OptionKind::IpList => return self.elements(thing, value, address_of).map(OptionValue::IpList),
            OptionKind::U16List => return self.elements(thing, value, u16_of).map(OptionValue::U16List),
            OptionKind::DomainList => {
                return self.elements(thing, value, |name| Ok(text_of(name)?.to_string())).map(OptionValue::DomainList);
            }
            OptionKind::IpPairs => {
                // A single pair without the outer brackets cannot be told from a list of single addresses.
                if !value.is_array() {
                    self.problem(line, wrong(describe_value(value)));
                    return None;
                }
                return self.elements(thing, value, pair_of).map(OptionValue::IpPairs);
            }
            OptionKind::Routes | OptionKind::SubOptions => unreachable!("read above"),
        };
        single.map_err(|error| self.problem(line, format!("{thing}: {error}"))).ok()
    }

    /// All elements of a list, or a single value without brackets; `None` where one has a problem.
    fn elements<T>(&mut self, thing: &str, value: &Value, read: impl Fn(&Value) -> Result<T, String>) -> Option<Vec<T>> {
        let values: Vec<&Value> = value.as_array().map_or(vec![value], |array| array.iter().collect());
        let mut elements = Vec::new();
        for value in &values {
            match read(value) {
                Ok(element) => elements.push(element),
                Err(error) => self.problem(self.line(value.span()), format!("{thing}: {error}")),
            }
        }
        (elements.len() == values.len()).then_some(elements)
    }

    fn routes(&mut self, thing: &str, line: Option<usize>, item: &Item) -> Option<Vec<Route>> {
        let tables: Vec<&dyn TableLike> = match item {
            Item::ArrayOfTables(tables) => tables.iter().map(|table| table as &dyn TableLike).collect(),
            Item::Value(Value::Array(array)) if array.iter().all(Value::is_inline_table) => {
                array.iter().filter_map(Value::as_inline_table).map(|table| table as &dyn TableLike).collect()
            }
            other => match other.as_table_like() {
                Some(table) => vec![table],
                None => {
                    self.problem(line, format!("{thing} is {}. Write {}.", describe(other), example(OptionKind::Routes)));
                    return None;
                }
            },
        };
        let routes: Vec<Route> = tables.iter().filter_map(|table| self.route(thing, line, *table)).collect();
        (routes.len() == tables.len()).then_some(routes)
    }

    fn route(&mut self, thing: &str, line: Option<usize>, table: &dyn TableLike) -> Option<Route> {
        self.only(thing, table, ROUTE_KEYS);
        let missing = |key: &str| format!("A route has no `{key}`. Write {}.", example(OptionKind::Routes));
        let value = |key: &str| table.get(key).and_then(Item::as_value).ok_or_else(|| missing(key));
        let destination = value("to").and_then(text_of).and_then(read_network);
        let gateway = value("via").and_then(address_of);
        let destination =
            destination.map_err(|error| self.problem(self.line_of_key(table, "to").or(line), format!("{thing}: {error}"))).ok();
        let gateway =
            gateway.map_err(|error| self.problem(self.line_of_key(table, "via").or(line), format!("{thing}: {error}"))).ok();
        Some(Route { destination: destination?, gateway: gateway? })
    }

    fn sub_options(&mut self, thing: &str, table: &dyn TableLike) -> Option<OptionValue> {
        let mut sub_options = BTreeMap::new();
        for (key, item) in table.iter() {
            let line = self.line_of_key(table, key);
            let thing = format!("{thing}, sub-option `{}`", key.escape_debug());
            let Some(code) = key.parse::<u8>().ok().filter(|code| (1..=254).contains(code)) else {
                self.problem(line, format!("{thing} is no number. Use 1 to 254, like {}.", example(OptionKind::SubOptions)));
                continue;
            };
            let Some(value) = self.option_value(&thing, line, None, item) else { continue };
            // `1` and `01` are two keys in TOML.
            if sub_options.insert(code, value).is_some() {
                self.problem(line, format!("{thing} is there twice. Remove one."));
            }
        }
        (sub_options.len() == table.len()).then_some(OptionValue::SubOptions(sub_options))
    }
}

fn u16_of(value: &Value) -> Result<u16, String> {
    let number = value.as_integer().and_then(|number| u16::try_from(number).ok());
    number.ok_or_else(|| "A whole number from 0 to 65535 is needed. Correct it.".into())
}

fn pair_of(value: &Value) -> Result<(std::net::Ipv4Addr, std::net::Ipv4Addr), String> {
    let pair: Option<Vec<&Value>> = value.as_array().map(|array| array.iter().collect());
    match pair.as_deref() {
        Some([first, second]) => Ok((address_of(first)?, address_of(second)?)),
        _ => Err(format!("Pairs of addresses are needed. Write {}.", example(OptionKind::IpPairs))),
    }
}
