//! The demo tells its story to the end, as a person who starts it for the first time would see it.

use std::path::Path;
use std::process::{Command, Stdio};

/// Until a little after the first table.
const SECONDS: &str = "24";
/// `scripts/lab enter` where no namespace can be made.
const SKIPPED: i32 = 77;

#[test]
fn the_demo_tells_its_story_and_ends_by_itself() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/demo");
    let output = Command::new(&demo)
        .args(["--seconds", SECONDS, "--color", "never"])
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
        ("nas", "has 10.77.0.10 for 2 min (kept for it"),
        ("printer", "has 10.77.0.120 for 2 min (kept for it"),
        ("phone", "private MAC: lease shortened to 60 s"),
        ("server", "00:00:5e:00:53:66 answered under 10.77.0.106"),
        ("console", "it asked for 10.77.0.120, which it cannot have: it is kept for printer"),
        ("tablet", "hears NAK: 10.77.50.100 is not on this network"),
        ("tablet", "has 10.77.0.1"),
        ("esp", "renews: 10.77.0.1"),
    ];
    for (who, what) in story {
        assert!(heard(who, what), "nobody tells that {who} {what}:\n{said}");
    }
    for who in ["tv", "laptop", "desktop", "camera", "speaker", "radio"] {
        assert!(heard(who, "(the next free one; nobody else uses it)"), "{who} has no lease:\n{said}");
    }
    assert!(said.contains("$ twinlease leases") && said.contains("leased, kept"), "no table:\n{said}");
    assert!(said.contains("$ twinlease why camera") && said.contains("→ given 10.77.0.1"), "no why:\n{said}");
    assert!(said.trim_end().ends_with("no file of it is left."), "it does not end in order:\n{said}");
    for trouble in ["could not", "panicked", "DEBUG", "INFO", "demo:", "lab:"] {
        assert!(!said.contains(trouble), "there is `{trouble}` in the story:\n{said}");
    }
}
