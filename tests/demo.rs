//! The demo plays its fixed story to the end, as one sees it who starts it without a terminal.

use std::path::Path;
use std::process::{Command, Stdio};

/// `scripts/lab enter` where no namespace can be made.
const SKIPPED: i32 = 77;
/// A device that has waited longer was left waiting, even on a busy machine.
const LONGEST_WAIT_SECS: f64 = 10.0;

#[test]
fn the_demo_tells_its_story_and_ends_by_itself() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/demo");
    let output = Command::new(&demo)
        .args(["--color", "never"])
        .env("TWINLEASE", env!("CARGO_BIN_EXE_twinlease"))
        // Wide enough for every sentence to stay on one line.
        .env("COLUMNS", "400")
        .stdin(Stdio::null())
        .output()
        .expect("scripts/demo starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(SKIPPED) {
        use std::io::Write;
        // Past the capture of the test harness; a closed standard error is no reason to fail.
        let _ = std::io::stderr().lock().write_all(b"SKIPPED the_demo: needs root or user namespaces (run ./scripts/test)\n");
        return;
    }
    assert!(output.status.success(), "{}:\n{said}", output.status);
    let heard =
        |who: &str, what: &str| said.lines().any(|line| line.split_whitespace().nth(1) == Some(who) && line.contains(what));
    let story = [
        ("attic", "is paired with cellar"),
        ("cellar", "is together with its twin"),
        ("nas", "has 10.77.0.10 from attic after"),
        ("printer", "has 10.77.0.120 from attic after"),
        ("phone", "private MAC: lease shortened to 40 s"),
        ("attic", "00:00:5e:00:53:66 answered under 10.77.0.166"),
        ("console", "it asked for 10.77.0.120, which it cannot have: it is kept for printer"),
        // Killed, cut, frozen: who comes by meanwhile is served by the other one.
        ("visitor1", "from cellar after"),
        ("visitor2", "from cellar after"),
        ("visitor3", "from attic after"),
        ("visitor4", "from cellar after"),
        ("cellar", "is serving, out of reach of its twin"),
        ("cellar", "two flashes, pause"),
        ("attic", "is serving, out of reach of its twin"),
        ("attic", "hands over: cellar is the active"),
        ("visitor5", "from cellar after"),
        ("esp", " renew"),
    ];
    for (who, what) in story {
        assert!(heard(who, what), "nobody tells that {who} {what}:\n{said}");
    }
    for who in ["tv", "laptop", "desktop", "camera", "radio"] {
        assert!(heard(who, "the next free one; nobody else uses it"), "{who} has no lease:\n{said}");
    }
    let waits = said.lines().filter_map(|line| line.split_once(" after ")?.1.split_once(" s")?.0.parse::<f64>().ok());
    let waits: Vec<f64> = waits.collect();
    assert!(waits.len() >= 15, "{} of 15 devices tell how long they waited:\n{said}", waits.len());
    assert!(waits.iter().all(|&secs| secs < LONGEST_WAIT_SECS), "somebody was left waiting:\n{said}");
    assert!(said.contains("cellar$ twinlease leases") && said.contains("leased, kept"), "no table:\n{said}");
    assert!(said.contains("$ twinlease twin status\nBoth are well."), "no status of the pair:\n{said}");
    assert!(said.trim_end().ends_with("no file of it is left."), "it does not end in order:\n{said}");
    for trouble in ["could not", "nobody has answered", "panicked", "DEBUG", "INFO", "demo:", "lab:", "\x1b"] {
        assert!(!said.contains(trouble), "there is `{trouble}` in the story:\n{said}");
    }
}
