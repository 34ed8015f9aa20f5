//! `check`: every problem of a settings file or a data folder in one go.

use std::path::Path;

use twinlease::{
    runtime::{clock::WallTrust, store},
    settings::{check, parse::Problem},
};

use super::{DONE, FOUND, settings, show};

pub fn run(path: &Path, json: bool) -> anyhow::Result<u8> {
    let (summary, problems) = if path.is_dir() {
        let loaded = store::view(path, WallTrust::Kernel)?;
        let problems = check::check(&loaded.settings).into_iter().map(|finding| Problem { line: None, text: finding.text });
        (format!("{} leases, {}", loaded.bindings.len(), counts(&loaded.settings)), problems.collect())
    } else {
        match settings::read(path)? {
            Ok(settings) => (counts(&settings), Vec::new()),
            Err(problems) => (String::new(), problems),
        }
    };
    if json {
        let rows: Vec<_> =
            problems.iter().map(|problem| serde_json::json!({ "line": problem.line, "text": problem.text })).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else if problems.is_empty() {
        println!("{}: nothing wrong ({summary}).", path.display());
    } else {
        show::problems(path, &problems);
    }
    Ok(if problems.is_empty() { DONE } else { FOUND })
}

fn counts(settings: &twinlease::settings::Settings) -> String {
    format!("{} subnets, {} kept addresses", settings.subnets.len(), settings.reservations.len())
}
