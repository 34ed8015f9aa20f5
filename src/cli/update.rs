//! `update`: the image for both twins, how far it is, and an end to it.

use std::path::Path;

use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;
use twinlease::runtime::control::{
    CommandOutcome,
    update::{ApproveRequest, FileOutcome, FileRequest},
};

use super::{DONE, FOUND, Place, refused, status::running, twin::confirmed};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Which versions run, and how far an update is. The exit code is 1 where it needs somebody.
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Stop an update; what has failed is put away.
    Stop,
}

pub fn run(place: &Place, action: Action) -> anyhow::Result<u8> {
    match action {
        Action::Status { json } => status(place, json),
        Action::Stop => {
            let outcome: CommandOutcome = running(place)?.post("/update/stop", &())?;
            said(outcome, "It goes no further; each of the two runs the version that it has.")
        }
    }
}

pub fn begin(place: &Place, file: &Path, yes: bool) -> anyhow::Result<u8> {
    let path = std::path::absolute(file).with_context(|| format!("`{}` is no path", file.display()))?;
    let outcome: FileOutcome = running(place)?.post("/update/file", &FileRequest { path })?;
    let held = match outcome {
        FileOutcome { refused: Some(why), .. } => return refused(&why),
        FileOutcome { held: Some(held), .. } => held,
        FileOutcome { .. } => anyhow::bail!("The server speaks another version. Use the twinlease that it was started from."),
    };
    println!("{} is twinlease {}.", file.display(), held.version);
    for question in &outcome.questions {
        if !confirmed(question, yes)? {
            println!("Nothing was changed.");
            return Ok(FOUND);
        }
    }
    let request = ApproveRequest { sha256: held.sha256, anyway: true };
    let outcome: CommandOutcome = running(place)?.post("/update/approve", &request)?;
    said(outcome, "It begins: one after the other, and devices notice nothing. `twinlease update status` says how far it is.")
}

fn said(outcome: CommandOutcome, done: &str) -> anyhow::Result<u8> {
    match outcome.refused {
        Some(why) => refused(&why),
        None => {
            println!("{done}");
            Ok(DONE)
        }
    }
}

fn status(place: &Place, json: bool) -> anyhow::Result<u8> {
    let view: Value = running(place)?.get("/update")?;
    let needs_somebody = !view["problem"].is_null();
    if json {
        println!("{}", serde_json::to_string_pretty(&view)?);
    } else {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        println!("{} runs {}.", text(&view["here"]["name"]), text(&view["here"]["version"]));
        if view["twin"].is_object() {
            println!("{} runs {}.", text(&view["twin"]["name"]), text(&view["twin"]["version"]));
        } else if view["has_twin"] == true {
            println!("The twin says nothing of its version.");
        }
        for value in [&view["told"], &view["problem"]] {
            if let Some(sentence) = value.as_str().filter(|_| !(needs_somebody && value == &view["told"])) {
                println!("{sentence}");
            }
        }
        if view["here"]["is_card"] == false {
            println!("{}", twinlease::runtime::update::BY_HAND);
        }
    }
    Ok(if needs_somebody { FOUND } else { DONE })
}
