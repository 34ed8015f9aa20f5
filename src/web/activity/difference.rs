//! A change of a record in words, and what is different, line by line as the settings file has it.

use crate::{
    protocol::node::Noted,
    settings::{Record, RecordKey, render, words::show_identifier},
};

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// As in the file, `dns`, with its section where it is not the record's own.
    pub label: String,
    /// `None`: it was not there.
    pub before: Option<String>,
    pub after: Option<String>,
}

/// "added the kept address 192.0.2.31 (printer)".
pub fn headline(noted: &Noted) -> String {
    let verb = match (&noted.before, &noted.after) {
        (None, Some(_)) => "added",
        (Some(_), None) => "removed",
        (Some(_), Some(_)) | (None, None) => "changed",
    };
    let thing = match &noted.key {
        RecordKey::Server => "how the server behaves".into(),
        RecordKey::Lease => "the lease times".into(),
        RecordKey::Twin => "how the twins share the work".into(),
        RecordKey::Access => "who may sign in".into(),
        RecordKey::Alerts => "the alerts".into(),
        RecordKey::Options => "the options for everybody".into(),
        RecordKey::CustomOptions => "the names of custom options".into(),
        RecordKey::Subnet(network) => format!("the network {network}"),
        RecordKey::Reservation(identifier) => match noted.after.as_ref().or(noted.before.as_ref()) {
            Some(Record::Reservation(kept)) => {
                let whose = kept.name.clone().unwrap_or_else(|| show_identifier(identifier));
                format!("the kept address {} ({whose})", kept.address)
            }
            Some(_) | None => format!("the kept address of {}", show_identifier(identifier)),
        },
    };
    format!("{verb} {thing}")
}

/// Empty: only secrets are different.
pub fn differences(noted: &Noted) -> Vec<Difference> {
    let mut before = noted.before.as_ref().map(lines).unwrap_or_default();
    let mut after = noted.after.as_ref().map(lines).unwrap_or_default();
    // What both have is no difference; a line may be there several times.
    after.retain(|line| match before.iter().position(|other| other == line) {
        Some(at) => {
            before.remove(at);
            false
        }
        None => true,
    });
    let mut differences: Vec<Difference> = Vec::new();
    for (label, value) in before {
        let at = after.iter().position(|(other, _)| *other == label);
        differences.push(Difference { before: Some(value), after: at.map(|at| after.remove(at).1), label });
    }
    differences.extend(after.into_iter().map(|(label, value)| Difference { label, before: None, after: Some(value) }));
    differences
}

/// Key and value of each line of the record, as a file would have it.
fn lines(record: &Record) -> Vec<(String, String)> {
    let text = render::record(record);
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_start_matches('[').split(']').next().unwrap_or_default();
            // The record's own section goes without saying; `subnet.options` is "options" there.
            section = name.split_once('.').map(|(_, inner)| format!("{inner}: ")).unwrap_or_default();
        } else if let Some((key, value)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            lines.push((format!("{section}{key}"), without_comment(value).to_owned()));
        }
    }
    lines
}

/// A `#` in quotes is no comment.
fn without_comment(value: &str) -> &str {
    let (mut in_quotes, mut is_escaped) = (false, false);
    for (at, c) in value.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_quotes => is_escaped = true,
            '"' => in_quotes = !in_quotes,
            '#' if !in_quotes => return value[..at].trim_end(),
            _ => {}
        }
    }
    value.trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{lease::HwAddr, replica::Edited},
        settings::{Identifier, MASK, Reservation, Server, alerts::*},
    };

    fn noted(before: Option<Record>, after: Option<Record>) -> Noted {
        let key = after.as_ref().or(before.as_ref()).expect("one of both").key();
        Noted { id: 1, step: 1, edited: Edited::default(), on_twin: false, key, before, after }
    }

    fn told(noted: &Noted) -> Vec<String> {
        let show = |value: &Option<String>| value.clone().unwrap_or("-".into());
        differences(noted).iter().map(|d| format!("{}: {} → {}", d.label, show(&d.before), show(&d.after))).collect()
    }

    fn kept(name: &str, address: u8) -> Record {
        Record::Reservation(Reservation {
            identifier: Identifier::Mac(HwAddr::ethernet([2, 0, 0, 0, 0, 1])),
            address: std::net::Ipv4Addr::new(192, 0, 2, address),
            name: Some(name.into()),
            note: Some("in the attic # not the cellar \" ".into()),
            options: Default::default(),
            force_broadcast: false,
            echo_client_id: true,
        })
    }

    #[test]
    fn what_is_different_is_told_and_nothing_else() {
        let change = noted(Some(kept("nas", 5)), Some(kept("nas", 6)));
        assert_eq!(headline(&change), "changed the kept address 192.0.2.6 (nas)");
        assert_eq!(told(&change), ["address: \"192.0.2.5\" → \"192.0.2.6\""]);
        let added = noted(None, Some(kept("nas", 5)));
        assert_eq!(headline(&added), "added the kept address 192.0.2.5 (nas)");
        assert!(told(&added).contains(&"note: - → \"in the attic # not the cellar \\\" \"".into()), "{:?}", told(&added));
        assert_eq!(headline(&noted(Some(kept("nas", 5)), None)), "removed the kept address 192.0.2.5 (nas)");
        let server = |bootp| Some(Record::Server(Server { bootp, ..Server::default() }));
        assert_eq!(told(&noted(server(false), server(true))), ["bootp: false → true"]);
    }

    #[test]
    fn a_change_of_secrets_alone_has_no_differences() {
        let hook = || Some(Record::Alerts(Alerts { webhook: Some(Webhook { url: MASK.into() }), ..Alerts::default() }));
        assert_eq!(differences(&noted(hook(), hook())), []);
        let quiet = Record::Alerts(Alerts { quiet: true, ..Alerts::default() });
        assert_eq!(told(&noted(hook(), Some(quiet))), ["quiet: false → true", "webhook: url: \"(hidden)\" → -"]);
    }
}
