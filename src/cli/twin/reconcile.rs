//! Edits made on both twins while they were apart, that contradict: listed, and chosen from.

use clap::ValueEnum;
use serde_json::Value;
use twinlease::{
    protocol::{Command, replica::Keep},
    settings::{Record, RecordKey, render, words::read_key},
};

use super::{
    super::{DONE, FOUND, Place, door, status::running},
    refused,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    Ours,
    Theirs,
    InForce,
    Waiting,
}

pub fn list(place: &Place, json: bool) -> anyhow::Result<u8> {
    let report: Value = running(place)?.get("/twin")?;
    let items = report["to_reconcile"].as_array().cloned().unwrap_or_default();
    if json {
        println!("{}", serde_json::to_string_pretty(&items)?);
        return Ok(if items.is_empty() { DONE } else { FOUND });
    }
    if items.is_empty() {
        println!("Nothing to reconcile.");
        return Ok(DONE);
    }
    for item in &items {
        println!("{}", item["text"].as_str().unwrap_or_default());
        let lines = |value: &Value| -> anyhow::Result<Vec<String>> {
            let record: Option<Record> = serde_json::from_value(value.clone())?;
            Ok(record.map(|record| render::record(&record).lines().map(Into::into).collect()).unwrap_or_default())
        };
        let (in_force, waiting) = (lines(&item["in_force"])?, lines(&item["waiting"])?);
        for (what, of, other) in [("in force", &in_force, &waiting), ("waits", &waiting, &in_force)] {
            let differing: Vec<_> = of.iter().filter(|line| !other.contains(line) && !line.is_empty()).collect();
            if of.is_empty() {
                println!("  {what:<9} nothing");
            }
            for line in differing {
                println!("  {what:<9} {line}");
            }
        }
    }
    Ok(FOUND)
}

pub fn choose(place: &Place, key: &str, choice: Choice) -> anyhow::Result<u8> {
    let key = match read_key(key) {
        Ok(key) => key,
        Err(problem) => return refused(&problem),
    };
    let report: Value = running(place)?.get("/twin")?;
    let keep = match keep(&report, &key, choice)? {
        Ok(keep) => keep,
        Err(problem) => return refused(&problem),
    };
    match door::submit(place, Command::Reconcile { key, keep })? {
        Ok(()) => {
            println!("Saved.");
            Ok(DONE)
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Whose edit is in force depends on where one stands.
fn keep(report: &Value, key: &RecordKey, choice: Choice) -> anyhow::Result<Result<Keep, String>> {
    let is_ours = match choice {
        Choice::InForce => return Ok(Ok(Keep::InForce)),
        Choice::Waiting => return Ok(Ok(Keep::Waiting)),
        Choice::Ours => true,
        Choice::Theirs => false,
    };
    let key = serde_json::to_value(key)?;
    let item = report["to_reconcile"].as_array().into_iter().flatten().find(|item| item["key"] == key);
    let Some(item) = item else {
        return Ok(Err("This setting needs no decision. `twinlease twin reconcile` shows what does.".into()));
    };
    if item["waiting_from"].is_null() {
        return Ok(Err(
            "It clashes with other settings, whoever made it: choose --keep in-force to drop it, or change one of the others."
                .into(),
        ));
    }
    let waits_is_ours = item["waiting_from"] == report["node"]["rank"];
    Ok(Ok(if is_ours == waits_is_ours { Keep::Waiting } else { Keep::InForce }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rank: &str, waiting_from: Value) -> Value {
        serde_json::json!({ "node": { "rank": rank }, "to_reconcile": [{ "key": "lease", "waiting_from": waiting_from }] })
    }

    fn kept(report: &Value, choice: Choice) -> Result<Keep, String> {
        keep(report, &RecordKey::Lease, choice).expect("a key is plain data")
    }

    #[test]
    fn ours_and_theirs_depend_on_where_one_stands() {
        for (rank, ours, theirs) in [("first", Keep::InForce, Keep::Waiting), ("second", Keep::Waiting, Keep::InForce)] {
            let report = report(rank, "second".into());
            assert_eq!(kept(&report, Choice::Ours), Ok(ours), "{rank}");
            assert_eq!(kept(&report, Choice::Theirs), Ok(theirs), "{rank}");
            assert_eq!(kept(&report, Choice::InForce), Ok(Keep::InForce));
        }
    }

    #[test]
    fn what_clashes_with_other_settings_is_nobodys() {
        let report = report("first", Value::Null);
        assert!(kept(&report, Choice::Ours).expect_err("nobody's").contains("--keep in-force"));
        assert_eq!(kept(&report, Choice::InForce), Ok(Keep::InForce));
        let other = keep(&report, &RecordKey::Twin, Choice::Theirs).expect("a key is plain data");
        assert!(other.expect_err("not listed").contains("needs no decision"));
    }
}
