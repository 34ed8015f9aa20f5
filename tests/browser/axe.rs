//! axe-core (npm, fetched by scripts/axe, in no commit) looks at a page for what keeps somebody from using it.

use std::path::Path;

use serde_json::Value;

use crate::browser::Browser;

/// Its source; `None`: not fetched.
pub fn source() -> Option<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe-core/package/axe.min.js");
    std::fs::read_to_string(file).ok()
}

/// Every violation on the page where the browser is, as a sentence.
pub fn violations(browser: &Browser, source: &str) -> Vec<String> {
    browser.run(source);
    let found = browser.run_async(
        "const done = arguments[arguments.length - 1]; axe.run().then((found) => done(found.violations), (error) => done(String(error)));",
    );
    let Some(list) = found.as_array() else { return vec![format!("{}: axe-core failed: {found}", browser.path())] };
    list.iter().flat_map(|violation| sentences(browser, violation)).collect()
}

fn sentences(browser: &Browser, violation: &Value) -> Vec<String> {
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (rule, help) = (words(&violation["id"]), words(&violation["help"]));
    let nodes = violation["nodes"].as_array().cloned().unwrap_or_default();
    let tell = |node: &Value| {
        let why: Vec<String> = ["any", "all", "none"]
            .iter()
            .flat_map(|kind| node[*kind].as_array().cloned().unwrap_or_default())
            .map(|check| words(&check["message"]))
            .collect();
        format!("{}: {rule} ({help}): {} — {}", browser.path(), words(&node["html"]), why.join("; "))
    };
    nodes.iter().map(tell).collect()
}
