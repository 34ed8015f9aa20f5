//! The settings file, read: TOML in, `Settings` out, or every problem at once with its line. Single values are
//! read in `parse_options` and `words`; what holds between records is judged by `check`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
    ops::Range,
    time::Duration,
};

use toml_edit::{Document, Item, TableLike, Value};

use super::{
    AddressRange, FqdnPolicy, Identifier, LeaseOverrides, LeaseTimes, Pool, Reservation, Server, Settings, Subnet,
    check::{Place, Scope, check_knowing},
    dictionary,
    options::{OptionDefinition, OptionKind, OptionSet},
    words::{closest, read_address, read_duration, read_id, read_mac, read_network, read_range},
};

const SECTIONS: &[&str] = &["server", "lease", "options", "custom-option", "subnet", "reservation"];
const SERVER_KEYS: &[&str] = &[
    "interfaces",
    "authoritative",
    "rapid-commit",
    "bootp",
    "leasequery",
    "probe",
    "decline-quarantine",
    "private-mac-lease",
    "fqdn",
];
const LEASE_KEYS: &[&str] = &["default", "min", "max", "infinite", "t1", "t2"];
const CUSTOM_OPTION_KEYS: &[&str] = &["code", "name", "type"];
const SUBNET_KEYS: &[&str] = &["network", "interface", "pools", "exclude", "lease", "options", "pool"];
const POOL_KEYS: &[&str] = &["range", "options"];
const RESERVATION_KEYS: &[&str] =
    &["mac", "client-id", "circuit-id", "address", "name", "note", "force-broadcast", "echo-client-id", "options"];

/// One thing in the file that cannot be as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: Option<usize>,
    /// The thing, what is wrong, what to do.
    pub text: String,
}

/// `line 12: …`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// The settings in a file's text, or all that is wrong with it, ordered by line. Never stops at the first problem,
/// except where the text is not TOML at all.
pub fn parse(text: &str) -> Result<Settings, Vec<Problem>> {
    let lines = Lines::of(text);
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map(|span| lines.position(span.start));
        let column = at.map(|(_, column)| format!(" at column {column}")).unwrap_or_default();
        let text = format!(
            "This is not valid TOML{column}: {}. Correct it there; the rest could not be read.",
            error.message().replace('\n', " ")
        );
        vec![Problem { line: at.map(|(line, _)| line), text }]
    })?;
    let mut reader = Reader { lines, problems: Vec::new(), definitions: Vec::new(), unreadable_names: BTreeSet::new() };
    let file = reader.file(document.as_table());
    let Reader { mut problems, .. } = reader;
    let findings = check_knowing(&file.settings, file.all_subnets_read)
        .into_iter()
        .filter(|finding| !file.unreadable.contains(&finding.place));
    problems
        .extend(findings.map(|finding| Problem { line: file.lines.get(&finding.place).copied().flatten(), text: finding.text }));
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() { Ok(file.settings) } else { Err(problems) }
}

/// What could be read, and where it stood.
struct File {
    settings: Settings,
    lines: BTreeMap<Place, Option<usize>>,
    all_subnets_read: bool,
    /// Sections with problems of their own, where `check` would only judge the defaults in their place.
    unreadable: BTreeSet<Place>,
}

/// A value and its line.
pub(super) type Located<T> = (T, Option<usize>);

/// Options, and the line of each.
#[derive(Default)]
pub(super) struct ReadOptions {
    pub set: OptionSet,
    pub lines: BTreeMap<u8, Option<usize>>,
}

struct ReadSubnet {
    network: Located<ipnet::Ipv4Net>,
    interface: Option<String>,
    pools: Vec<(Located<AddressRange>, ReadOptions)>,
    exclusions: Vec<Located<AddressRange>>,
    lease: Located<LeaseOverrides>,
    lease_is_readable: bool,
    options: ReadOptions,
}

/// A table and how sentences speak of it: `[server]`, `[[subnet]] 192.0.2.0/24`.
#[derive(Clone)]
pub(super) struct Section<'t> {
    pub table: &'t dyn TableLike,
    pub of: String,
    pub line: Option<usize>,
}

pub(super) struct Reader {
    lines: Lines,
    problems: Vec<Problem>,
    pub(super) definitions: Vec<OptionDefinition>,
    /// Names of definitions that have a problem themselves: their use is none.
    pub(super) unreadable_names: BTreeSet<String>,
}

impl Reader {
    fn file(&mut self, root: &dyn TableLike) -> File {
        let root = Section { table: root, of: "the file".into(), line: None };
        self.refuse_unknown(&root, SECTIONS, "[options]");
        let mut lines = BTreeMap::new();
        let mut unreadable = BTreeSet::new();

        let server = match self.section(&root, "server") {
            Some(section) => {
                lines.insert(Place::Server, section.line);
                self.server(&section)
            }
            None => Server::default(),
        };
        let problems_before = self.problems.len();
        let lease = match self.section(&root, "lease") {
            Some(section) => {
                lines.insert(Place::Lease, section.line);
                self.lease(&section).over(&LeaseTimes::default())
            }
            None => LeaseTimes::default(),
        };
        let lease_is_readable = self.problems.len() == problems_before;
        if !lease_is_readable {
            unreadable.insert(Place::Lease);
        }
        // Before all options, which may use these names wherever they stand in the file.
        for section in self.sections(&root, "custom-option") {
            if let Some(definition) = self.custom_option(&section) {
                lines.insert(Place::CustomOption(self.definitions.len()), section.line);
                self.definitions.push(definition);
            }
        }
        let general = self.options(&root, "[options]");
        lines.extend(general.lines.iter().map(|(code, line)| (Place::Option(Scope::General, *code), *line)));

        let sections = self.sections(&root, "subnet");
        let mut subnets: Vec<ReadSubnet> = sections.iter().filter_map(|section| self.subnet(section)).collect();
        let all_subnets_read = subnets.len() == sections.len();
        subnets.sort_by_key(|subnet| subnet.network.0);
        let subnets = subnets.into_iter().enumerate().map(|(i, subnet)| {
            if !subnet.lease_is_readable || !lease_is_readable {
                unreadable.insert(Place::SubnetLease(i));
            }
            subnet.placed(i, &mut lines)
        });
        let subnets: Vec<Subnet> = subnets.collect();

        let sections = self.sections(&root, "reservation");
        let mut reservations: Vec<(Located<Reservation>, ReadOptions)> =
            sections.iter().filter_map(|section| self.reservation(section)).collect();
        reservations.sort_by_key(|((reservation, _), _)| reservation.address);
        let reservations = reservations.into_iter().enumerate().map(|(i, ((reservation, line), options))| {
            lines.insert(Place::Reservation(i), line);
            lines.extend(options.lines.iter().map(|(code, line)| (Place::Option(Scope::Reservation(i), *code), *line)));
            Reservation { options: options.set, ..reservation }
        });
        let reservations = reservations.collect();

        let custom_options = self.definitions.clone();
        let settings = Settings { server, lease, options: general.set, custom_options, subnets, reservations };
        File { settings, lines, all_subnets_read, unreadable }
    }

    fn server(&mut self, section: &Section) -> Server {
        self.refuse_unknown(section, SERVER_KEYS, "[options]");
        let default = Server::default();
        let interfaces = self.list(section, "interfaces", |value| Ok(text_of(value)?.to_string()));
        Server {
            interfaces: interfaces.map_or(default.interfaces, |list| list.into_iter().map(|(name, _)| name).collect()),
            authoritative: self.field(section, "authoritative", bool_of).unwrap_or(default.authoritative),
            rapid_commit: self.field(section, "rapid-commit", bool_of).unwrap_or(default.rapid_commit),
            bootp: self.field(section, "bootp", bool_of).unwrap_or(default.bootp),
            leasequery: self.field(section, "leasequery", bool_of).unwrap_or(default.leasequery),
            probe: self.field(section, "probe", probe_of).unwrap_or(default.probe),
            decline_quarantine: self.field(section, "decline-quarantine", duration_of).unwrap_or(default.decline_quarantine),
            private_mac_lease: self.field(section, "private-mac-lease", duration_of).or(default.private_mac_lease),
            fqdn: self.field(section, "fqdn", fqdn_of).unwrap_or(default.fqdn),
        }
    }

    fn lease(&mut self, section: &Section) -> LeaseOverrides {
        self.refuse_unknown(section, LEASE_KEYS, "[options]");
        LeaseOverrides {
            default: self.field(section, "default", duration_of),
            min: self.field(section, "min", duration_of),
            max: self.field(section, "max", duration_of),
            infinite: self.field(section, "infinite", bool_of),
            t1_permille: self.field(section, "t1", permille_of),
            t2_permille: self.field(section, "t2", permille_of),
        }
    }

    fn custom_option(&mut self, section: &Section) -> Option<OptionDefinition> {
        self.refuse_unknown(section, CUSTOM_OPTION_KEYS, "[options]");
        let code = self.needed(section, "code", "code = 224", code_of);
        let name = self.needed(section, "name", "name = \"my-thing\"", |value| Ok(text_of(value)?.to_string()));
        let kind = self.needed(section, "type", "type = \"text\"", kind_of);
        match (code, name, kind) {
            (Some(code), Some(name), Some(kind)) => Some(OptionDefinition { code, name, kind }),
            (_, name, _) => {
                self.unreadable_names.extend(name);
                None
            }
        }
    }

    fn subnet(&mut self, section: &Section) -> Option<ReadSubnet> {
        let network = self.needed(section, "network", "network = \"192.0.2.0/24\"", |value| read_network(text_of(value)?));
        let named = network.map_or("[[subnet]]".to_string(), |network| format!("[[subnet]] {network}"));
        let section = Section { of: named.clone(), ..section.clone() };
        self.refuse_unknown(&section, SUBNET_KEYS, "[subnet.options]");
        let interface = self.field(&section, "interface", |value| Ok(text_of(value)?.to_string()));
        let range = |value: &Value| read_range(text_of(value)?);
        let short = self.list(&section, "pools", range).unwrap_or_default();
        let mut pools: Vec<_> = short.into_iter().map(|pool| (pool, ReadOptions::default())).collect();
        for pool in self.sections(&section, "pool") {
            self.refuse_unknown(&pool, POOL_KEYS, "[subnet.pool.options]");
            let read = self.needed(&pool, "range", "range = \"192.0.2.100-192.0.2.199\"", range);
            let options = self.options(&pool, "[subnet.pool.options]");
            pools.extend(read.map(|range| ((range, pool.line), options)));
        }
        let exclusions = self.list(&section, "exclude", range).unwrap_or_default();
        let problems_before = self.problems.len();
        let lease = match self.section(&section, "lease") {
            Some(lease) => (self.lease(&lease), lease.line),
            None => (LeaseOverrides::default(), section.line),
        };
        let lease_is_readable = self.problems.len() == problems_before;
        let options = self.options(&section, &format!("[subnet.options] of {}", named.trim_start_matches("[[subnet]] ")));
        Some(ReadSubnet { network: (network?, section.line), interface, pools, exclusions, lease, lease_is_readable, options })
    }

    fn reservation(&mut self, section: &Section) -> Option<(Located<Reservation>, ReadOptions)> {
        self.refuse_unknown(section, RESERVATION_KEYS, "[reservation.options]");
        let mac = self.field(section, "mac", |value| read_mac(text_of(value)?)).map(Identifier::Mac);
        let client_id = self.field(section, "client-id", |value| read_id(text_of(value)?)).map(Identifier::ClientId);
        let circuit_id = self.field(section, "circuit-id", |value| read_id(text_of(value)?)).map(Identifier::CircuitId);
        let given: Vec<&str> =
            ["mac", "client-id", "circuit-id"].into_iter().filter(|key| section.table.contains_key(key)).collect();
        match given.as_slice() {
            [] => {
                self.problem(section.line, format!("{} names no device. Add one of mac, client-id and circuit-id.", section.of))
            }
            [_] => {}
            several => {
                let several = several.join(" and ");
                self.problem(section.line, format!("{} has {several}. A reservation goes by one of them: keep one.", section.of));
            }
        }
        let address = self.needed(section, "address", "address = \"192.0.2.31\"", address_of);
        let name = self.field(section, "name", |value| Ok(text_of(value)?.to_string()));
        let note = self.field(section, "note", |value| Ok(text_of(value)?.to_string()));
        let force_broadcast = self.field(section, "force-broadcast", bool_of).unwrap_or(false);
        let echo_client_id = self.field(section, "echo-client-id", bool_of).unwrap_or(true);
        let options = self.options(section, "[reservation.options]");
        let identifier = mac.or(client_id).or(circuit_id).filter(|_| given.len() == 1)?;
        let reservation =
            Reservation { identifier, address: address?, name, note, options: OptionSet::new(), force_broadcast, echo_client_id };
        Some(((reservation, section.line), options))
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
    fn refuse_unknown(&mut self, section: &Section, keys: &[&str], options: &str) {
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
    fn field<T>(&mut self, section: &Section, key: &str, read: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        let item = section.table.get(key)?;
        let read = match item.as_value() {
            Some(value) => read(value),
            None => Err(format!("It is {}, but one value is needed. Write `{key} = …`.", describe(item))),
        };
        read.map_err(|error| self.problem(self.line_of_key(section.table, key), format!("`{key}` in {}: {error}", section.of)))
            .ok()
    }

    /// As `field`, and its absence is a problem too.
    fn needed<T>(
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
    fn list<T>(&mut self, section: &Section, key: &str, read: impl Fn(&Value) -> Result<T, String>) -> Option<Vec<Located<T>>> {
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
    fn sections<'t>(&mut self, parent: &Section<'t>, key: &str) -> Vec<Section<'t>> {
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

impl ReadSubnet {
    /// The subnet, with the lines noted under its position.
    fn placed(mut self, i: usize, lines: &mut BTreeMap<Place, Option<usize>>) -> Subnet {
        self.pools.sort_by_key(|((range, _), _)| *range);
        self.exclusions.sort_by_key(|(range, _)| *range);
        lines.insert(Place::Subnet(i), self.network.1);
        lines.insert(Place::SubnetLease(i), self.lease.1);
        lines.extend(self.options.lines.iter().map(|(code, line)| (Place::Option(Scope::Subnet(i), *code), *line)));
        for (j, ((_, line), options)) in self.pools.iter().enumerate() {
            lines.insert(Place::Pool(i, j), *line);
            lines.extend(options.lines.iter().map(|(code, line)| (Place::Option(Scope::Pool(i, j), *code), *line)));
        }
        lines.extend(self.exclusions.iter().enumerate().map(|(j, (_, line))| (Place::Exclusion(i, j), *line)));
        Subnet {
            network: self.network.0,
            interface: self.interface,
            pools: self.pools.into_iter().map(|((range, _), options)| Pool { range, options: options.set }).collect(),
            exclusions: self.exclusions.into_iter().map(|(range, _)| range).collect(),
            lease: self.lease.0,
            options: self.options.set,
        }
    }
}

/// Where each line of the text begins.
struct Lines {
    starts: Vec<usize>,
    text: String,
}

impl Lines {
    fn of(text: &str) -> Lines {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Lines { starts: std::iter::once(0).chain(after_breaks).collect(), text: text.into() }
    }

    /// Line and column, both counted from 1; the column in characters.
    fn position(&self, offset: usize) -> (usize, usize) {
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

fn code_of(value: &Value) -> Result<u8, String> {
    let code = value.as_integer().and_then(|code| u8::try_from(code).ok());
    code.ok_or_else(|| "It is not the number of an option. Write a whole number from 1 to 254, best from 224 on.".into())
}

fn duration_of(value: &Value) -> Result<Duration, String> {
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
fn probe_of(value: &Value) -> Result<Option<Duration>, String> {
    match value.as_bool() {
        Some(false) => Ok(None),
        Some(true) => Err("It cannot be true. Write how long to wait, like \"200ms\", or false.".into()),
        None => duration_of(value).map(Some),
    }
}

fn fqdn_of(value: &Value) -> Result<FqdnPolicy, String> {
    match text_of(value)? {
        "client-updates" => Ok(FqdnPolicy::ClientUpdates),
        "no-updates" => Ok(FqdnPolicy::NoUpdates),
        other => Err(format!("`{other}` is not possible. Write \"client-updates\" or \"no-updates\".")),
    }
}

/// A part of the lease, 0 to 1, with at most three digits behind the point.
fn permille_of(value: &Value) -> Result<u16, String> {
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

#[cfg(test)]
mod tests;
