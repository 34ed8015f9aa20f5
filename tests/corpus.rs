//! Runs every input that fuzzing has kept, and the seeds it started from, through the bodies of the fuzz targets.
//!
//! With TWINLEASE_WRITE_SEEDS=1 the seeds are also written into the corpus, for `scripts/fuzz` to start from.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::{fs, path::PathBuf};

fn replay(target: &str, run: fn(&[u8]), at_least: usize) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    for (name, bytes) in targets::seeds::of(target) {
        println!("{target}: seed {name}");
        run(&bytes);
        if std::env::var_os("TWINLEASE_WRITE_SEEDS").is_some() {
            fs::create_dir_all(&folder).expect("the corpus can be written");
            fs::write(folder.join(format!("seed-{name}")), bytes).expect("the corpus can be written");
        }
    }
    let kept = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = kept.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort_unstable();
    assert!(paths.len() >= at_least, "{} has only {} inputs: is the corpus there?", folder.display(), paths.len());
    for path in paths {
        // Shown where the input fails.
        println!("{}", path.display());
        run(&fs::read(&path).expect("a readable input"));
    }
}

#[test]
fn whatever_was_decoded_is_decoded() {
    replay("decode", targets::decode::run, 20);
}

#[test]
fn whatever_came_over_the_link_is_read_or_refused() {
    for (name, bytes) in targets::seeds::of("link") {
        assert!(targets::link::is_said(&bytes), "no twin says `{name}` any more: {}", String::from_utf8_lossy(&bytes));
    }
    replay("link", targets::link::run, 20);
}

#[test]
fn whatever_was_asked_is_answered_by_the_rules() {
    replay("rules", targets::rules::run, 20);
}

#[test]
fn whatever_was_a_settings_file_is_read() {
    replay("settings", targets::settings::run, 15);
}
