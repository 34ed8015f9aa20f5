//! `check`: every problem of a settings file or a data folder in one go.

use std::{fs::File, io::Read, path::Path};

use anyhow::bail;
use twinlease::{
    runtime::{clock::WallTrust, store},
    settings::{check, parse::Problem},
};

use super::{DONE, FOUND, settings, show};

pub fn run(path: &Path, json: bool) -> anyhow::Result<u8> {
    let (summary, problems) = if let Some(folder) = data_folder(path)? {
        let loaded = store::view(folder, WallTrust::Kernel)?;
        let damage = store::damage(folder)?.map(|reason| {
            format!("The database is damaged ({reason}). Start the server again: it mends it, or takes the newest good snapshot. Then look at the disk.")
        });
        let findings = check::check(&loaded.settings).into_iter().map(|finding| finding.text);
        let problems = damage.into_iter().chain(findings).map(|text| Problem { line: None, text });
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

/// The data folder that `path` is or lies in; `None`: a settings file.
fn data_folder(path: &Path) -> anyhow::Result<Option<&Path>> {
    const SQLITE: &[u8] = b"SQLite format 3\0";
    if path.is_dir() {
        return Ok(Some(path));
    }
    let mut start = [0; SQLITE.len()];
    let is_database = File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == SQLITE;
    match path.file_name() {
        // Whatever stands in it.
        Some(name) if name == "twinlease.db" => Ok(Some(path.parent().unwrap_or(Path::new(".")))),
        _ if is_database => bail!(
            "`{}` is a database, but not where a server has it. Name a data folder with a twinlease.db in it.",
            path.display()
        ),
        _ => Ok(None),
    }
}

fn counts(settings: &twinlease::settings::Settings) -> String {
    format!("{} subnets, {} kept addresses", settings.subnets.len(), settings.reservations.len())
}
