//! The settings file, read: TOML in, `Settings` out, or every problem at once with its line. Single values are
//! read in `options` and `words`; what holds between records is judged by `check`.

mod alerts;
mod options;
mod reader;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use toml_edit::{Document, TableLike, Value};

use super::{
    AddressRange, Identifier, LeaseOverrides, LeaseTimes, Pool, Reservation, Server, Settings, Subnet, Twin,
    access::Access,
    alerts::Alerts,
    check::{Place, Scope, check_knowing},
    options::{OptionDefinition, OptionSet},
    words::{read_id, read_mac, read_network, read_range},
};
use reader::{
    Lines, Located, Reader, Section, address_of, assumption_of, bool_of, code_of, duration_of, fqdn_of, kind_of, mode_of,
    permille_of, probe_of, rank_of, text_of,
};

const SECTIONS: &[&str] = &["server", "lease", "twin", "alerts", "options", "custom-option", "subnet", "reservation"];
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
/// The ends of what a lease can be, seconds on the wire.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64 - 1);
const TWIN_KEYS: &[&str] = &["mode", "active", "mclt", "ack-deadline", "assume-partner-down-after"];
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
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map(|span| Lines::of(text).position(span.start));
        let column = at.map(|(_, column)| format!(" at column {column}")).unwrap_or_default();
        let text = format!(
            "This is not valid TOML{column}: {}. Correct it there; the rest could not be read.",
            error.message().replace('\n', " ")
        );
        vec![Problem { line: at.map(|(line, _)| line), text }]
    })?;
    let mut reader = Reader::over(text);
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

/// Whether the file says anything of the pair.
pub fn names_twin(text: &str) -> bool {
    Document::parse(text).is_ok_and(|document| document.as_table().contains_key("twin"))
}

/// What could be read, and where it stood.
struct File {
    settings: Settings,
    lines: BTreeMap<Place, Option<usize>>,
    all_subnets_read: bool,
    /// Sections with problems of their own, where `check` would only judge the defaults in their place.
    unreadable: BTreeSet<Place>,
}

/// Options, and the line of each.
#[derive(Default)]
struct ReadOptions {
    set: OptionSet,
    lines: BTreeMap<u8, Option<usize>>,
}

struct ReadSubnet {
    network: Located<ipnet::Ipv4Net>,
    interface: Option<String>,
    pools: Vec<(Located<AddressRange>, ReadOptions)>,
    exclusions: Vec<Located<AddressRange>>,
    lease: Located<LeaseOverrides>,
    options: ReadOptions,
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
        let lease = match self.section(&root, "lease") {
            Some(section) => {
                lines.insert(Place::Lease, section.line);
                self.lease(&section).over(&LeaseTimes::default())
            }
            None => LeaseTimes::default(),
        };
        let twin = match self.section(&root, "twin") {
            Some(section) => {
                lines.insert(Place::Twin, section.line);
                self.twin(&section)
            }
            None => Twin::default(),
        };
        let problems_before = self.problems.len();
        let alerts = match self.section(&root, "alerts") {
            Some(section) => {
                lines.insert(Place::Alerts, section.line);
                self.alerts(&section)
            }
            None => Alerts::default(),
        };
        if self.problems.len() > problems_before {
            unreadable.insert(Place::Alerts);
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
        let subnets: Vec<Subnet> = subnets.into_iter().enumerate().map(|(i, subnet)| subnet.placed(i, &mut lines)).collect();

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
        let settings = Settings {
            server,
            lease,
            twin,
            access: Access::default(),
            alerts,
            options: general.set,
            custom_options,
            subnets,
            reservations,
        };
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
        let min = self.field(section, "min", duration_of);
        let max = self.field(section, "max", duration_of);
        let default = self.field(section, "default", duration_of);
        let t1 = self.field(section, "t1", permille_of);
        let t2 = self.field(section, "t2", permille_of);
        // In place of what could not be read stands what goes with all others, so that those are judged all the same.
        let is_there = |key| section.table.contains_key(key);
        LeaseOverrides {
            default: default.or_else(|| min.or(max).filter(|_| is_there("default"))),
            min: min.or_else(|| is_there("min").then_some(SHORTEST)),
            max: max.or_else(|| is_there("max").then_some(LONGEST)),
            infinite: self.field(section, "infinite", bool_of),
            t1_permille: t1.or_else(|| is_there("t1").then_some(1)),
            t2_permille: t2.or_else(|| is_there("t2").then_some(999)),
        }
    }

    fn twin(&mut self, section: &Section) -> Twin {
        self.refuse_unknown(section, TWIN_KEYS, "[options]");
        let default = Twin::default();
        Twin {
            mode: self.field(section, "mode", mode_of).unwrap_or(default.mode),
            active: self.field(section, "active", rank_of).unwrap_or(default.active),
            mclt: self.field(section, "mclt", duration_of).unwrap_or(default.mclt),
            ack_deadline: self.field(section, "ack-deadline", duration_of).unwrap_or(default.ack_deadline),
            assume_partner_down_after: self
                .field(section, "assume-partner-down-after", assumption_of)
                .unwrap_or(default.assume_partner_down_after),
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
        let lease = match self.section(&section, "lease") {
            Some(lease) => (self.lease(&lease), lease.line),
            None => (LeaseOverrides::default(), section.line),
        };
        let options = self.options(&section, &format!("[subnet.options] of {}", named.trim_start_matches("[[subnet]] ")));
        Some(ReadSubnet { network: (network?, section.line), interface, pools, exclusions, lease, options })
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
        // One that cannot be read is like no other; the rest is judged all the same.
        let nobody = || Identifier::CircuitId(format!("line {}", section.line.unwrap_or_default()).into_bytes());
        let identifier = mac.or(client_id).or(circuit_id).unwrap_or_else(nobody);
        let reservation =
            Reservation { identifier, address: address?, name, note, options: OptionSet::new(), force_broadcast, echo_client_id };
        Some(((reservation, section.line), options))
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

#[cfg(test)]
mod tests;
