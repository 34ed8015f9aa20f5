//! `twin drill`: plays dead for a while, so that one sees that the other takes over. The same as the page does.

use std::{thread, time::Duration};

use twinlease::{
    protocol::{TwinCommand, explain::spell},
    runtime::{
        control::twin::DrillReport,
        drill::{Report, seconds},
    },
};

use super::{super::FOUND, DONE, Place, confirmed, refused, say};
use crate::cli::status::running;

/// Between two looks at one that goes on.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);
/// After the end: that the two are together again belongs to the report.
const TOGETHER_LOOKS_MAX: u32 = 100;

#[derive(Debug, clap::Args)]
pub struct Drill {
    /// For how long this one plays dead, in seconds: 30 to 600.
    #[arg(long = "for", value_name = "SECONDS", default_value = "120")]
    secs: u32,
    /// Only begin: do not stay until it is over.
    #[arg(long)]
    no_watch: bool,
    /// Watch the one that goes on; where none does, show the last one.
    #[arg(long, conflicts_with_all = ["secs", "no_watch", "abort", "yes"])]
    watch: bool,
    /// End the one that goes on here.
    #[arg(long, conflicts_with_all = ["secs", "no_watch", "yes", "json"])]
    abort: bool,
    /// Do not ask back.
    #[arg(long)]
    yes: bool,
    /// The report as JSON, and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

pub fn run(place: &Place, drill: &Drill) -> anyhow::Result<u8> {
    if drill.abort {
        return match say(place, TwinCommand::EndDrill)? {
            Ok(()) => {
                println!("The drill is ended. This one looks for its twin again.");
                Ok(DONE)
            }
            Err(refusal) => refused(&refusal),
        };
    }
    if drill.watch {
        return watch(place, drill.json);
    }
    if let Some(obstacle) = look(place)?.prechecks.into_iter().find(|check| !check.holds) {
        return refused(&format!("No drill now. {}", obstacle.text));
    }
    let question = format!(
        "This one plays dead for {}: it answers neither devices nor its twin, and comes back by itself. The twin takes over, and \
         made-up devices ask all the while. Nobody loses an address. Begin?",
        spell(drill.secs.into())
    );
    if !confirmed(&question, drill.yes)? {
        return refused("Nothing was changed.");
    }
    if let Err(refusal) = say(place, TwinCommand::Drill { secs: drill.secs })? {
        return refused(&refusal);
    }
    if !drill.json {
        println!(
            "The drill has begun. It ends by itself, also when this is stopped; `twinlease twin drill --abort` ends it now."
        );
    }
    if drill.no_watch { Ok(DONE) } else { watch(place, drill.json) }
}

fn look(place: &Place) -> anyhow::Result<DrillReport> {
    running(place)?.get("/twin/drill")
}

/// Tells each thing as it happens, until both are together again.
fn watch(place: &Place, json: bool) -> anyhow::Result<u8> {
    let mut now = look(place)?;
    let is_on = |now: &DrillReport| now.under_way.is_some() || now.secs_left.is_some();
    let is_together = |now: &DrillReport| now.last.as_ref().is_some_and(|last| last.together_after_ms.is_some());
    let (was_on, mut has_taken_over) = (is_on(&now), false);
    while is_on(&now) {
        let took_over_ms = now.under_way.as_ref().and_then(|report| report.took_over_ms);
        if let Some(ms) = took_over_ms.filter(|_| !has_taken_over && !json) {
            has_taken_over = true;
            let left = now.secs_left.map(|secs| format!(" {} to go.", spell(secs))).unwrap_or_default();
            println!("The twin took over after {}.{left}", seconds(ms));
        }
        thread::sleep(LOOK_INTERVAL);
        now = look(place)?;
    }
    for _ in 0..TOGETHER_LOOKS_MAX {
        if !was_on || is_together(&now) {
            break;
        }
        thread::sleep(LOOK_INTERVAL);
        now = look(place)?;
    }
    told(&now, json)
}

/// The last one. Its failure is one of the exit code, too.
fn told(report: &DrillReport, json: bool) -> anyhow::Result<u8> {
    let Some(last) = &report.last else {
        if json {
            println!("null");
        }
        return refused("There was no drill on this one yet. `twinlease twin drill` begins one.");
    };
    if json {
        println!("{}", serde_json::to_string_pretty(last)?);
    } else {
        println!("{}", last.sentence());
        println!("{}", last.more());
        println!("It began {} ago.", spell(last.secs_ago()));
    }
    Ok(if is_passed(last) { DONE } else { FOUND })
}

fn is_passed(report: &Report) -> bool {
    report.took_over_ms.is_some() && report.lost() == 0 && report.trouble.is_none() && !report.cut_off
}
