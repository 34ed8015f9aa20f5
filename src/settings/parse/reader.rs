//! The tools with which the settings file is walked: sections, fields, lists, lines; unknown keys and wrong types told.

use std::{collections::BTreeSet, net::Ipv4Addr, ops::Range, time::Duration};

use toml_edit::{Item, TableLike, Value};

use super::{LEASE_KEYS, Problem, SECTIONS};
use crate::{
    protocol::failover::Rank,
    settings::{
        FqdnPolicy, Mode, dictionary,
        options::{OptionDefinition, OptionKind},
        words::{closest, read_address, read_duration},
    },
};

/// A value and its line.
pub(super) type Located<T> = (T, Option<usize>);

/// A table and how sentences speak of it: `[server]`, `[[subnet]] 192.0.2.0/24`.
#[derive(Clone)]
pub(super) struct Section<'t> {
    pub table: &'t dyn TableLike,
    pub of: String,
    pub line: Option<usize>,
}

pub(super) struct Reader {
    lines: Lines,
    pub(super) problems: Vec<Problem>,
    pub(super) definitions: Vec<OptionDefinition>,
    /// Names of definitions that have a problem themselves: their use is none.
    pub(super) unreadable_names: BTreeSet<String>,
}
impl Reader {
    pub(super) fn over(text: &str) -> Reader {
        Reader { lines: Lines::of(text), problems: Vec::new(), definitions: Vec::new(), unreadable_names: BTreeSet::new() }
    }

    pub(super) fn problem(&mut self, line: Option<usize>, text: String) {
        self.problems.push(Problem { line, text });
    }

    pub(super) fn line(&self, span: Option<Range<usize>>) -> Option<usize> {
        span.map(|span| self.lines.position(span.start).0)
    }

    pub(super) fn line_of_key(&self, table: &dyn TableLike, key: &str) -> Option<usize> {
        let key_span = table.key(key).and_then(|key| key.span());
        self.line(key_span.or_else(|| table.get(key).and_then(Item::span)))
    }

    /// Reports every key that is not one of `keys`, with what may have been meant. Options belong into `options`.
    pub(super) fn refuse_unknown(&mut self, section: &Section, keys: &[&str], options: &str) {
        for (key, _) in section.table.iter().filter(|(key, _)| !keys.contains(key)) {
            let is_option =
                dictionary::code_of(key).is_some() || self.definitions.iter().any(|definition| definition.name == *key);
            let option = if is_option { Some(key) } else { dictionary::name_meant(key) };
            let remedy = if let Some(near) = closest(key, keys.iter().copied()).filter(|_| !is_option) {
                format!("Did you mean `{near}`?")
            } else if let Some(option) = option {
                format!("It is an option: write it as `{option}` into {options}.")
            } else if keys.contains(&"lease") && LEASE_KEYS.contains(&key) {
                format!("It is a lease time: write it into {}.", if keys == SECTIONS { "[lease]" } else { "[subnet.lease]" })
            } else {
                format!("Known there: {}.", keys.join(", "))
            };
            let line = self.line_of_key(section.table, key);
            self.problem(line, format!("`{}` is not known in {}. {remedy}", key.escape_debug(), section.of));
        }
    }

    /// One value, or `None` where it is absent or has a problem, which is then recorded.
    pub(super) fn field<T>(&mut self, section: &Section, key: &str, read: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        let item = section.table.get(key)?;
        let read = match item.as_value() {
            Some(value) => read(value),
            None => Err(format!("It is {}, but one value is needed. Write `{key} = …`.", describe(item))),
        };
        read.map_err(|error| self.problem(self.line_of_key(section.table, key), format!("`{key}` in {}: {error}", section.of)))
            .ok()
    }

    /// As `field`, and its absence is a problem too.
    pub(super) fn needed<T>(
        &mut self,
        section: &Section,
        key: &str,
        example: &str,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if !section.table.contains_key(key) {
            self.problem(section.line, format!("{} has no `{key}`. Add for example {example}.", section.of));
        }
        self.field(section, key, read)
    }

    /// A list, or a single value without brackets. Every element that has a problem is reported and left out.
    pub(super) fn list<T>(
        &mut self,
        section: &Section,
        key: &str,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<Vec<Located<T>>> {
        let item = section.table.get(key)?;
        let values: Vec<&Value> = match item.as_value() {
            Some(Value::Array(array)) => array.iter().collect(),
            Some(value) => vec![value],
            None => {
                let text =
                    format!("`{key}` in {} is {}, but a list is needed. Write `{key} = [ … ]`.", section.of, describe(item));
                self.problem(self.line_of_key(section.table, key), text);
                return None;
            }
        };
        let mut list = Vec::new();
        for value in values {
            let line = self.line(value.span());
            match read(value) {
                Ok(element) => list.push((element, line)),
                Err(error) => self.problem(line, format!("`{key}` in {}: {error}", section.of)),
            }
        }
        Some(list)
    }

    /// The table `[key]`.
    pub(super) fn section<'t>(&mut self, parent: &Section<'t>, key: &str) -> Option<Section<'t>> {
        let item = parent.table.get(key)?;
        let line = self.line(item.span()).or_else(|| self.line_of_key(parent.table, key));
        let of = if parent.of == "the file" { format!("[{key}]") } else { format!("`{key}` of {}", parent.of) };
        match item.as_table_like() {
            Some(table) => Some(Section { table, of, line }),
            None => {
                let remedy = if item.is_array_of_tables() {
                    "It exists once: write it in single brackets."
                } else {
                    "Write it as a table in brackets."
                };
                self.problem(line, format!("{of} is {}, but a section is needed. {remedy}", describe(item)));
                None
            }
        }
    }

    /// The tables `[[key]]`.
    pub(super) fn sections<'t>(&mut self, parent: &Section<'t>, key: &str) -> Vec<Section<'t>> {
        let Some(item) = parent.table.get(key) else { return Vec::new() };
        let of = if parent.of == "the file" {
            format!("[[{key}]]")
        } else {
            format!("[[subnet.{key}]] of {}", parent.of.trim_start_matches("[[subnet]] "))
        };
        match item {
            Item::ArrayOfTables(tables) => {
                tables.iter().map(|table| Section { table, of: of.clone(), line: self.line(table.span()) }).collect()
            }
            Item::Value(Value::Array(array)) if array.iter().all(Value::is_inline_table) => {
                let tables = array.iter().filter_map(|value| Some((value.as_inline_table()?, value.span())));
                tables.map(|(table, span)| Section { table, of: of.clone(), line: self.line(span) }).collect()
            }
            other => {
                let line = self.line_of_key(parent.table, key);
                self.problem(
                    line,
                    format!("{of} is written as {}. Write it in double brackets, once for each {key}.", describe(other)),
                );
                Vec::new()
            }
        }
    }
}
/// Where each line of the text begins.
pub(super) struct Lines {
    starts: Vec<usize>,
    text: String,
}

impl Lines {
    pub(super) fn of(text: &str) -> Lines {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Lines { starts: std::iter::once(0).chain(after_breaks).collect(), text: text.into() }
    }

    /// Line and column, both counted from 1; the column in characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let before = self.text.get(self.starts[line - 1]..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

pub(super) fn describe(item: &Item) -> &'static str {
    match item {
        Item::Value(value) => describe_value(value),
        Item::Table(_) => "a section",
        Item::ArrayOfTables(_) => "a list of sections",
        Item::None => "nothing",
    }
}

pub(super) fn describe_value(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::InlineTable(_) => "a table",
    }
}

pub(super) fn text_of(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("It is {}, but a text is needed. Put it in quotes.", describe_value(value)))
}

pub(super) fn bool_of(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("It is {}. Write true or false, without quotes.", describe_value(value)))
}

pub(super) fn address_of(value: &Value) -> Result<Ipv4Addr, String> {
    read_address(text_of(value)?)
}

pub(super) fn kind_of(value: &Value) -> Result<OptionKind, String> {
    let name = text_of(value)?;
    OptionKind::named(name).ok_or_else(|| {
        let names = OptionKind::ALL.map(OptionKind::name);
        match closest(name, names) {
            Some(near) => format!("`{name}` is no type. Did you mean \"{near}\"?"),
            None => format!("`{name}` is no type. Choose one of {}.", names.join(", ")),
        }
    })
}

pub(super) fn code_of(value: &Value) -> Result<u8, String> {
    let code = value.as_integer().and_then(|code| u8::try_from(code).ok());
    code.ok_or_else(|| "It is not the number of an option. Write a whole number from 1 to 254, best from 224 on.".into())
}

pub(super) fn duration_of(value: &Value) -> Result<Duration, String> {
    match (value.as_integer(), value.as_str()) {
        (Some(secs), _) => u64::try_from(secs)
            .map(Duration::from_secs)
            .map_err(|_| format!("{secs} is less than nothing. Write a time like \"12h\".")),
        (_, Some(text)) => read_duration(text),
        _ => Err(format!(
            "It is {}, but a time is needed. Write for example \"12h\", or a whole number of seconds.",
            describe_value(value)
        )),
    }
}

/// `false`, or how long.
pub(super) fn probe_of(value: &Value) -> Result<Option<Duration>, String> {
    match value.as_bool() {
        Some(false) => Ok(None),
        Some(true) => Err("It cannot be true. Write how long to wait, like \"200ms\", or false.".into()),
        None => duration_of(value).map(Some),
    }
}

pub(super) fn mode_of(value: &Value) -> Result<Mode, String> {
    match text_of(value)? {
        "hot-standby" => Ok(Mode::HotStandby),
        "load-balancing" => Ok(Mode::LoadBalancing),
        other => Err(format!("`{other}` is not possible. Write \"hot-standby\" or \"load-balancing\".")),
    }
}

pub(super) fn rank_of(value: &Value) -> Result<Rank, String> {
    match text_of(value)? {
        "first" => Ok(Rank::First),
        "second" => Ok(Rank::Second),
        other => {
            Err(format!("`{other}` is not possible. Write \"first\" or \"second\"; `twinlease twin status` says which is which."))
        }
    }
}

/// `false`, or after how long.
pub(super) fn assumption_of(value: &Value) -> Result<Option<Duration>, String> {
    match value.as_bool() {
        Some(false) => Ok(None),
        Some(true) => Err("It cannot be true. Write after how long, like \"10m\", or false.".into()),
        None => duration_of(value).map(Some),
    }
}

pub(super) fn fqdn_of(value: &Value) -> Result<FqdnPolicy, String> {
    match text_of(value)? {
        "client-updates" => Ok(FqdnPolicy::ClientUpdates),
        "no-updates" => Ok(FqdnPolicy::NoUpdates),
        other => Err(format!("`{other}` is not possible. Write \"client-updates\" or \"no-updates\".")),
    }
}

/// A part of the lease, 0 to 1, with at most three digits behind the point.
pub(super) fn permille_of(value: &Value) -> Result<u16, String> {
    let hint = "Write a part of the lease between 0 and 1, like 0.5";
    let part = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
    let part = part.ok_or_else(|| format!("It is {}, but a number is needed. {hint}.", describe_value(value)))?;
    if !(0.0..=1.0).contains(&part) {
        return Err(format!("{part} is out of range. {hint}."));
    }
    let permille = (part * 1000.0).round();
    if (part * 1000.0 - permille).abs() > 1e-6 {
        return Err(format!("{part} is too fine. Write at most three digits behind the point: {}.", permille / 1000.0));
    }
    Ok(permille as u16)
}
