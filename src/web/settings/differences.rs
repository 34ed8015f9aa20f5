//! What a change of all settings would do, in words.

use crate::{
    protocol::{Change, node::differences},
    settings::{Record, RecordKey, Settings, words::show_identifier},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// A badge: kind and words.
    pub kind: &'static str,
    pub verb: &'static str,
    pub what: String,
    pub detail: String,
}

/// What is shown at once; the number of the others is told.
pub const SHOWN_MAX: usize = 200;

pub fn between(before: &Settings, after: &Settings) -> Vec<Difference> {
    let after = Settings { access: before.access.clone(), ..after.clone() };
    let changes = differences(before, &after);
    let moved: Vec<RecordKey> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Put(record) => Some(record.key()),
            _ => None,
        })
        .collect();
    // One that is put again right away only moves.
    let is_gone = |change: &&Change| !matches!(change, Change::Remove(key) if moved.contains(key));
    changes.iter().filter(is_gone).filter_map(|change| told(change, before)).collect()
}

fn told(change: &Change, before: &Settings) -> Option<Difference> {
    let (key, record) = match change {
        Change::Put(record) => (record.key(), Some(record)),
        Change::Remove(key) => (key.clone(), None),
        // Not what settings differ by.
        _ => return None,
    };
    let old = before.record(&key);
    let (kind, verb) = match (&old, record) {
        (None, Some(_)) => ("good", "New"),
        (_, Some(_)) => ("info", "Changed"),
        (_, None) => ("bad", "Removed"),
    };
    let what = match &key {
        RecordKey::Server => "Behaviour of the server".into(),
        RecordKey::Lease => "Lease times".into(),
        RecordKey::Twin => "How the twins share the work".into(),
        RecordKey::Access => "Who may sign in".into(),
        RecordKey::Alerts => "Alerts".into(),
        RecordKey::Options => "Options for everybody".into(),
        RecordKey::CustomOptions => "Options' own names".into(),
        RecordKey::Subnet(network) => format!("Network {network}"),
        RecordKey::Reservation(identifier) => format!("Kept address for {}", show_identifier(identifier)),
    };
    let detail = |record: &Record| match record {
        Record::Subnet(subnet) => {
            let pools: Vec<String> = subnet.pools.iter().take(4).map(|pool| pool.range.to_string()).collect();
            if pools.is_empty() { "no pool".into() } else { pools.join(", ") }
        }
        Record::Reservation(kept) => match &kept.name {
            Some(name) => format!("{} {name}", kept.address),
            None => kept.address.to_string(),
        },
        Record::Options(set) => {
            set.keys().map(|code| crate::settings::options::show_code(*code, &[])).collect::<Vec<_>>().join(", ")
        }
        Record::Lease(lease) => crate::settings::words::show_duration(lease.default),
        Record::CustomOptions(_) | Record::Server(_) | Record::Twin(_) | Record::Access(_) | Record::Alerts(_) => String::new(),
    };
    let (was, is) = (old.as_ref().map(detail).unwrap_or_default(), record.map(detail).unwrap_or_default());
    let detail = match (was.is_empty() || was == is, is.is_empty()) {
        (true, _) => is,
        (false, true) => was,
        (false, false) => format!("{was} → {is}"),
    };
    Some(Difference { kind, verb, what, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::parse::parse;

    #[test]
    fn additions_moves_and_removals_are_told_once_each() {
        let subnet = "[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.10-192.0.2.20\"]\n";
        let kept =
            |mac: &str, last: u8| format!("[[reservation]]\nmac = \"02:00:00:00:00:{mac}\"\naddress = \"192.0.2.{last}\"\n");
        let before = parse(&format!("{subnet}{}{}", kept("01", 31), kept("02", 32))).unwrap();
        let after = parse(&format!("{subnet}{}{}", kept("01", 33), kept("03", 32))).unwrap();
        let told: Vec<String> = between(&before, &after).iter().map(|d| format!("{} {} {}", d.verb, d.what, d.detail)).collect();
        assert_eq!(
            told,
            [
                "Removed Kept address for 02:00:00:00:00:02 192.0.2.32",
                "New Kept address for 02:00:00:00:00:03 192.0.2.32",
                "Changed Kept address for 02:00:00:00:00:01 192.0.2.31 → 192.0.2.33",
            ]
        );
        assert_eq!(between(&before, &before), []);
    }
}
