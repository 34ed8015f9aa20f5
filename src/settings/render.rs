//! Settings, written as the readable file that `parse` reads back to the same settings, those of access excepted.

mod alerts;

use std::{collections::BTreeMap, fmt::Write};

use super::{
    FqdnPolicy, Identifier, LeaseOverrides, LeaseTimes, Mode, Pool, Record, Reservation, Server, Settings, Subnet, Twin,
    access::{Access, Scope},
    alerts::Alerts,
    dictionary,
    options::{OptionDefinition, OptionSet, OptionValue, Route},
    words::{show_duration, show_hex, show_id},
};
use crate::protocol::failover::Rank;

/// The whole file. `parse` gives the same settings again, if they hold what `check` asks for.
pub fn render(settings: &Settings) -> String {
    let mut file = String::from(
        "# Settings of twinlease. `twinlease check FILE` names every problem; `twinlease import FILE` takes them over.\n\
         # Times are written \"90s\", \"15m\", \"12h\", \"7d\" or \"1h30m\".\n",
    );
    let definitions = &settings.custom_options;
    server(&mut file, &settings.server);
    lease(&mut file, &settings.lease);
    twin(&mut file, &settings.twin);
    if settings.alerts != Alerts::default() {
        alerts::alerts(&mut file, &settings.alerts);
    }
    options(
        &mut file,
        "options",
        "For every device. A subnet, pool or reservation that sets the same option goes first.",
        &settings.options,
        definitions,
    );
    if !definitions.is_empty() {
        file.push_str("\n# Names for options that have none here.\n");
    }
    for definition in definitions {
        custom_option(&mut file, definition);
    }
    for network in &settings.subnets {
        subnet(&mut file, network, definitions);
    }
    if !settings.reservations.is_empty() {
        file.push_str("\n# Kept addresses: each is given to its device, and to no other.\n");
    }
    for (i, kept) in settings.reservations.iter().enumerate() {
        if i > 0 {
            file.push('\n');
        }
        reservation(&mut file, kept, definitions);
    }
    file
}

/// One record as it stands in a file: for a terminal.
pub fn record(record: &Record) -> String {
    let mut text = String::new();
    match record {
        Record::Server(record) => server(&mut text, record),
        Record::Lease(record) => lease(&mut text, record),
        Record::Twin(record) => twin(&mut text, record),
        Record::Access(record) => access(&mut text, record),
        Record::Alerts(record) => alerts::alerts(&mut text, record),
        Record::Options(set) => options(&mut text, "options", "", set, &[]),
        Record::CustomOptions(definitions) => {
            definitions.iter().for_each(|definition| custom_option(&mut text, definition));
        }
        Record::Subnet(record) => subnet(&mut text, record, &[]),
        Record::Reservation(record) => reservation(&mut text, record, &[]),
    }
    text
}

/// One option as a line of a file, `dns = ["192.0.2.53"]`: for lists on a terminal.
pub fn render_option(code: u8, value: &OptionValue, definitions: &[OptionDefinition]) -> String {
    let name = dictionary::name_of(code).map(String::from);
    let definition = definitions.iter().find(|definition| definition.code == code);
    let kind = dictionary::kind_of(code).or(definition.map(|definition| definition.kind));
    let key = name.or(definition.map(|definition| definition.name.clone())).unwrap_or_else(|| quoted(&code.to_string()));
    // Without a kind, or with another one, the type stands beside the value.
    let value = if kind == Some(value.kind()) { bare(value) } else { typed(value) };
    format!("{key} = {value}")
}

fn custom_option(file: &mut String, definition: &OptionDefinition) {
    let OptionDefinition { code, name, kind } = definition;
    let _ = writeln!(file, "[[custom-option]]\ncode = {code}\nname = {}\ntype = \"{kind}\"", quoted(name));
}

fn server(file: &mut String, server: &Server) {
    let Server { interfaces, authoritative, rapid_commit, bootp, leasequery, probe, decline_quarantine, private_mac_lease, fqdn } =
        server;
    file.push_str("\n[server]\n");
    let interfaces = list(interfaces.iter().map(|name| quoted(name)));
    commented(file, &format!("interfaces = {interfaces}"), "empty: every interface with an address in a subnet below");
    commented(
        file,
        &format!("authoritative = {authoritative}"),
        "refuse addresses unknown here, so that devices ask anew at once",
    );
    commented(file, &format!("rapid-commit = {rapid_commit}"), "two packets instead of four, for devices that ask for it");
    commented(file, &format!("bootp = {bootp}"), "answer BOOTP devices that have a reservation");
    commented(file, &format!("leasequery = {leasequery}"), "answer LEASEQUERY");
    let probe = probe.map_or("false".into(), |probe| time(&probe));
    commented(file, &format!("probe = {probe}"), "wait for an ARP answer before a new address is offered; false: do not ask");
    commented(
        file,
        &format!("decline-quarantine = {}", time(decline_quarantine)),
        "an address found in use by somebody else rests this long",
    );
    if let Some(lease) = private_mac_lease {
        commented(file, &format!("private-mac-lease = {}", time(lease)), "longest lease for devices with a randomised MAC");
    }
    let fqdn = match fqdn {
        FqdnPolicy::ClientUpdates => "client-updates",
        FqdnPolicy::NoUpdates => "no-updates",
    };
    commented(
        file,
        &format!("fqdn = \"{fqdn}\""),
        "whether devices may update their own name in DNS: client-updates or no-updates",
    );
}

fn lease(file: &mut String, lease: &LeaseTimes) {
    let LeaseTimes { default, min, max, infinite, t1_permille, t2_permille } = lease;
    file.push_str("\n[lease]\n");
    commented(file, &format!("default = {}", time(default)), "for devices that do not ask for a time");
    let _ = writeln!(file, "min = {}\nmax = {}", time(min), time(max));
    commented(file, &format!("infinite = {infinite}"), "a device may ask for a lease without end");
    commented(file, &format!("t1 = {}", part(*t1_permille)), "when devices renew, as a part of the lease");
    commented(file, &format!("t2 = {}", part(*t2_permille)), "when they ask every server");
}

fn twin(file: &mut String, twin: &Twin) {
    let Twin { mode, active, mclt, ack_deadline, assume_partner_down_after } = twin;
    file.push_str("\n[twin]\n");
    let mode = match mode {
        Mode::HotStandby => "hot-standby",
        Mode::LoadBalancing => "load-balancing",
    };
    let active = match active {
        Rank::First => "first",
        Rank::Second => "second",
    };
    let assumed = assume_partner_down_after.map_or("false".into(), |after| time(&after));
    commented(file, &format!("mode = \"{mode}\""), "who answers while both are well: hot-standby (one) or load-balancing (both)");
    commented(file, &format!("active = \"{active}\""), "the one that answers in hot-standby: first or second");
    commented(file, &format!("mclt = {}", time(mclt)), "longest promise of which the twin does not know");
    commented(file, &format!("ack-deadline = {}", time(ack_deadline)), "how long an answer waits for the twin's word");
    commented(
        file,
        &format!("assume-partner-down-after = {assumed}"),
        "a time: a twin not heard for so long counts as off, and where it is not, two devices may get one address",
    );
}

/// For a terminal and for history: no file has it.
fn access(text: &mut String, access: &Access) {
    let Access { password, tokens } = access;
    let _ = writeln!(text, "\n[access]\npassword = {}", if password.is_some() { "(set)" } else { "(none)" });
    for token in tokens {
        let scope = match token.scope {
            Scope::Read => "read",
            Scope::Write => "write",
        };
        let _ = writeln!(text, "token = {} (may {scope})", quoted(&token.name));
    }
}

fn subnet(file: &mut String, subnet: &Subnet, definitions: &[OptionDefinition]) {
    let Subnet { network, interface, pools, exclusions, lease, options: own } = subnet;
    let _ = writeln!(file, "\n[[subnet]]\nnetwork = \"{network}\"");
    if let Some(interface) = interface {
        let _ = writeln!(file, "interface = {}", quoted(interface));
    }
    let (plain, with_options): (Vec<&Pool>, Vec<&Pool>) = pools.iter().partition(|pool| pool.options.is_empty());
    if !plain.is_empty() {
        let _ = writeln!(file, "pools = {}", list(plain.iter().map(|pool| quoted(&pool.range.to_string()))));
    }
    if !exclusions.is_empty() {
        let exclusions = list(exclusions.iter().map(|range| quoted(&range.to_string())));
        commented(file, &format!("exclude = {exclusions}"), "never given, except by reservation");
    }
    overrides(file, lease);
    options(file, "subnet.options", "", own, definitions);
    for pool in with_options {
        let _ = writeln!(file, "\n[[subnet.pool]]\nrange = \"{}\"", pool.range);
        options(file, "subnet.pool.options", "", &pool.options, definitions);
    }
}

fn overrides(file: &mut String, lease: &LeaseOverrides) {
    let LeaseOverrides { default, min, max, infinite, t1_permille, t2_permille } = lease;
    if *lease == LeaseOverrides::default() {
        return;
    }
    file.push_str("\n[subnet.lease]\n");
    let times = [("default", default), ("min", min), ("max", max)];
    let times = times.into_iter().filter_map(|(key, value)| Some((key, time(value.as_ref()?))));
    let parts = [("t1", t1_permille), ("t2", t2_permille)].into_iter().filter_map(|(key, value)| Some((key, part((*value)?))));
    let infinite = infinite.iter().map(|infinite| ("infinite", infinite.to_string()));
    for (key, value) in times.chain(infinite).chain(parts) {
        let _ = writeln!(file, "{key} = {value}");
    }
}

fn reservation(file: &mut String, reservation: &Reservation, definitions: &[OptionDefinition]) {
    let Reservation { identifier, address, name, note, options: own, force_broadcast, echo_client_id } = reservation;
    file.push_str("[[reservation]]\n");
    let _ = match identifier {
        Identifier::Mac(hw) => writeln!(file, "mac = \"{hw}\""),
        Identifier::ClientId(id) => writeln!(file, "client-id = {}", quoted(&show_id(id))),
        Identifier::CircuitId(id) => writeln!(file, "circuit-id = {}", quoted(&show_id(id))),
    };
    let _ = writeln!(file, "address = \"{address}\"");
    for (key, text) in [("name", name), ("note", note)] {
        if let Some(text) = text {
            let _ = writeln!(file, "{key} = {}", quoted(text));
        }
    }
    if *force_broadcast {
        commented(file, "force-broadcast = true", "answers always go to the broadcast address");
    }
    if !*echo_client_id {
        commented(file, "echo-client-id = false", "answers leave out the client-id");
    }
    options(file, "reservation.options", "", own, definitions);
}

fn options(file: &mut String, section: &str, comment: &str, options: &OptionSet, definitions: &[OptionDefinition]) {
    if options.is_empty() {
        return;
    }
    file.push('\n');
    if !comment.is_empty() {
        let _ = writeln!(file, "# {comment}");
    }
    let _ = writeln!(file, "[{section}]");
    for (code, value) in options {
        let _ = writeln!(file, "{}", render_option(*code, value, definitions));
    }
}

/// The value as its kind is written.
fn bare(value: &OptionValue) -> String {
    match value {
        OptionValue::Ip(address) => format!("\"{address}\""),
        OptionValue::IpList(addresses) => list(addresses.iter().map(|address| format!("\"{address}\""))),
        OptionValue::Text(text) => quoted(text),
        OptionValue::U8(number) => number.to_string(),
        OptionValue::U16(number) => number.to_string(),
        OptionValue::U32(number) => number.to_string(),
        OptionValue::I32(number) => number.to_string(),
        OptionValue::U16List(numbers) => list(numbers.iter().map(u16::to_string)),
        OptionValue::Bool(yes) => yes.to_string(),
        OptionValue::Hex(bytes) => format!("\"{}\"", show_hex(bytes)),
        OptionValue::DomainList(names) => list(names.iter().map(|name| quoted(name))),
        OptionValue::Routes(routes) => {
            list(routes.iter().map(|Route { destination, gateway }| format!("{{ to = \"{destination}\", via = \"{gateway}\" }}")))
        }
        OptionValue::IpPairs(pairs) => list(pairs.iter().map(|(a, b)| format!("[\"{a}\", \"{b}\"]"))),
        OptionValue::SubOptions(sub_options) => sub_option_table(sub_options),
    }
}

fn typed(value: &OptionValue) -> String {
    format!("{{ type = \"{}\", value = {} }}", value.kind(), bare(value))
}

fn sub_option_table(sub_options: &BTreeMap<u8, OptionValue>) -> String {
    let entries: Vec<String> = sub_options.iter().map(|(code, value)| format!("\"{code}\" = {}", typed(value))).collect();
    format!("{{ {} }}", entries.join(", "))
}

fn list(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(", "))
}

fn time(time: &std::time::Duration) -> String {
    format!("\"{}\"", show_duration(*time))
}

fn part(permille: u16) -> String {
    // `{:?}` keeps the point, so that the number stays one with a fraction.
    format!("{:?}", f64::from(permille) / 1000.0)
}

/// A TOML basic string on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A line with its comment, comments one below the other where the lines are short.
fn commented(file: &mut String, line: &str, comment: &str) {
    let _ = writeln!(file, "{line:<30} # {comment}");
}

#[cfg(test)]
mod tests;
