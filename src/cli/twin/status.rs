//! How the pair is doing, in sentences; and the light on the box.

use std::{
    env,
    io::{self, IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::Value;
use twinlease::{
    protocol::explain::spell,
    runtime::led::{self, Sign},
};

use super::super::{DONE, FOUND, Place, status::running};

/// How often the light is drawn.
const FRAME: Duration = Duration::from_millis(100);

pub fn run(place: &Place, json: bool) -> anyhow::Result<u8> {
    let report: Value = running(place)?.get("/twin")?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        tell(&report);
    }
    Ok(if is_well(&report) { DONE } else { FOUND })
}

fn is_well(report: &Value) -> bool {
    let node = &report["node"];
    node["state"] == "normal"
        && report["serving"] == true
        && node["partner"]["in_trouble"] == false
        && node["partner"]["is_deaf"] == false
        && node["is_level"] != false
        && report["trouble"].is_null()
        && report["to_reconcile"].as_array().is_some_and(Vec::is_empty)
}

fn tell(report: &Value) {
    let (node, link) = (&report["node"], &report["link"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    if node.is_null() && report["waits_for_twin"] == true {
        println!(
            "This server shall be one of two and has not met the other yet, so it answers nobody. Start the twin; or \
             `twinlease twin serve`, if no device here has an address of it."
        );
    } else if node.is_null() {
        println!("This server has no twin. `twinlease twin pair` makes it one of two.");
    } else {
        let twin = match link["twin"]["name"].as_str() {
            Some(name) => format!("its twin {name}"),
            None => "its twin".into(),
        };
        // Silent on purpose is said otherwise.
        if report["serving"] == true || node["is_serving"] == false {
            println!("{}", sentence(node, &twin));
        } else {
            println!("No client is heard here; `twinlease status` says why.");
        }
        let role = if node["is_active"] == true { "the active" } else { "the standby" };
        println!(
            "This one is the {} of the two, {role}; for {} {}.",
            text(&node["rank"]),
            span(&node["since_secs"]),
            text(&node["state_told"])
        );
        if let Some(secs) = node["wait_secs"].as_u64().filter(|secs| *secs > 0) {
            let what = if node["state"] == "recover" { "It may serve" } else { "It may give the twin's addresses, too," };
            println!("{what} in {}.", spell(secs));
        }
        if let Some(secs) = node["alone_in_secs"].as_u64() {
            println!("It was unpaired: it is a server of its own in {}.", spell(secs));
        } else if node["is_unpaired"] == true {
            println!("It was unpaired. `twinlease twin serve` lets it go on without; or pair it with another one.");
        }
        if let Some(count) = node["unconfirmed"].as_u64().filter(|count| *count > 0 && node["is_unpaired"] != true) {
            println!("The twin has not confirmed {count} changes yet.");
        }
        if node["partner"]["in_trouble"] == true {
            println!(
                "The twin's disk is in trouble or slow, so this one answers new devices. `twinlease status` there says more."
            );
        }
        if node["partner"]["is_deaf"] == true {
            println!("The twin hears no DHCP requests, though this one does: look at its cable and its interfaces.");
        }
        if node["is_level"] == false {
            println!("The two do not hold the same records; they compare and repair that by themselves.");
        }
    }
    if link["twin"].is_object() {
        println!("{}", copies(&link["twin"]));
    }
    // What has become of the last attempt to pair is of interest until there is a twin.
    let pairing = link["pairing"].as_str().filter(|_| link["twin"].is_null());
    let troubles = [
        ("The link", link["trouble"].as_str()),
        ("The link", link["twin"]["trouble"].as_str()),
        ("Snapshot", link["twin"]["snapshot_trouble"].as_str()),
        ("Pairing", pairing),
    ];
    for (what, trouble) in troubles {
        if let Some(trouble) = trouble {
            println!("{what}: {trouble}");
        }
    }
    if let Some(trouble) = report["trouble"].as_str() {
        println!("Nothing new is promised here: {}.", trouble.trim_end_matches('.'));
    }
    for item in report["to_reconcile"].as_array().into_iter().flatten() {
        println!("{}", text(&item["text"]));
    }
    println!("Light: {}.", text(&report["light"]["rhythm"]));
}

/// The state of the pair in one sentence.
fn sentence(node: &Value, twin: &str) -> String {
    let silent = match node["partner"]["silent_ms"].as_u64() {
        Some(ms) if ms < u64::MAX => format!("was heard last {} ago", spell(ms / 1000)),
        _ => "was not heard since this one started".into(),
    };
    match node["state"].as_str().unwrap_or_default() {
        "normal" if node["is_active"] == true => "Both are well. This one answers.".into(),
        "normal" => "Both are well. The twin answers; this one stands by.".into(),
        "communications-interrupted" => format!("This one answers alone: {twin} {silent}. Devices keep working."),
        "partner-down" => format!("This one answers alone: {twin} is down. Devices keep working."),
        "reconcile" => format!("This one answers, and compares notes with {twin}."),
        "startup" => format!("This one has just started, and looks for {twin}."),
        "recover" if node["partner"]["in_contact"] == true => {
            format!("This one answers nobody yet: it learns from {twin} what it missed.")
        }
        "recover" => format!("This one answers nobody: it waits for {twin}, which {silent}. `twinlease twin serve` says more."),
        "shutting-down" => "This one is shut down, and can be switched off.".into(),
        other => format!("The pair is in the state {other}."),
    }
}

/// Since when each node has a copy of the other's database.
fn copies(twin: &Value) -> String {
    let ago = |since_ms: &Value| since_ms.as_u64().map(|ms| format!("{} ago", spell(ms / 1000)));
    let sent = match ago(&twin["snapshot_sent_ms"]) {
        Some(ago) => format!("the twin took one of this database {ago}"),
        None => "the twin has taken none of this database since the start".into(),
    };
    let kept = match ago(&twin["snapshot_kept_ms"]) {
        Some(ago) => format!("this one took one of the twin's {ago}"),
        None => "this one has taken none of the twin's".into(),
    };
    format!("Copies: {sent}; {kept}.")
}

fn span(secs: &Value) -> String {
    spell(secs.as_u64().unwrap_or_default())
}

pub fn light(place: &Place, watch: bool) -> anyhow::Result<u8> {
    let sign = || -> anyhow::Result<Sign> {
        let report: Value = running(place)?.get("/twin")?;
        serde_json::from_value(report["light"]["sign"].clone())
            .context("The server speaks another version. Use the twinlease that it was started from.")
    };
    // Who draws the light elsewhere (the demo) asks for its colours.
    let with_colour =
        io::stdout().is_terminal() || env::var("CLICOLOR_FORCE").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    if !watch {
        println!("{}", led::pattern(sign()?).line(Duration::ZERO, with_colour));
        return Ok(DONE);
    }
    let (mut shown, mut since) = (sign()?, Instant::now());
    for frame in 1u64.. {
        let pattern = led::pattern(shown);
        print!("\r{}  {:<32}", pattern.line(since.elapsed(), with_colour), pattern.name);
        io::stdout().flush()?;
        thread::sleep(FRAME);
        let now = if frame.is_multiple_of(5) { sign()? } else { shown };
        if now != shown {
            (shown, since) = (now, Instant::now());
        }
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Value {
        serde_json::json!({
            "node": { "state": "normal", "is_active": true, "is_level": true, "partner": { "in_trouble": false, "is_deaf": false } },
            "serving": true, "trouble": null, "to_reconcile": [],
        })
    }

    #[test]
    fn a_script_learns_of_everything_that_somebody_should_look_at() {
        assert!(is_well(&well()));
        let unknown = |report: &mut Value| report["node"]["is_level"] = Value::Null;
        let mut under_way = well();
        unknown(&mut under_way);
        assert!(is_well(&under_way), "not known yet is not wrong");
        let changes: [fn(&mut Value); 8] = [
            |report| report["node"] = Value::Null,
            |report| report["node"]["state"] = "partner-down".into(),
            |report| report["node"]["partner"]["in_trouble"] = true.into(),
            |report| report["node"]["partner"]["is_deaf"] = true.into(),
            |report| report["node"]["is_level"] = false.into(),
            |report| report["serving"] = false.into(),
            |report| report["trouble"] = "full".into(),
            |report| report["to_reconcile"] = serde_json::json!(["x"]),
        ];
        for (nth, change) in changes.iter().enumerate() {
            let mut report = well();
            change(&mut report);
            assert!(!is_well(&report), "{nth}");
        }
    }

    #[test]
    fn the_age_of_each_copy_is_told() {
        assert_eq!(
            copies(&serde_json::json!({ "snapshot_sent_ms": 240_000, "snapshot_kept_ms": null })),
            "Copies: the twin took one of this database 4 min ago; this one has taken none of the twin's."
        );
    }

    #[test]
    fn every_state_has_a_sentence() {
        let told = |state: &str, in_contact: bool| {
            let partner = serde_json::json!({ "in_contact": in_contact, "silent_ms": 240_000 });
            sentence(&serde_json::json!({ "state": state, "is_active": false, "partner": partner }), "its twin")
        };
        assert_eq!(told("normal", true), "Both are well. The twin answers; this one stands by.");
        assert_eq!(
            told("communications-interrupted", false),
            "This one answers alone: its twin was heard last 4 min ago. Devices keep working."
        );
        assert!(told("recover", true).contains("learns from its twin"));
        assert!(told("recover", false).contains("`twinlease twin serve`"));
        for state in ["startup", "reconcile", "partner-down", "shutting-down"] {
            assert!(!told(state, false).contains("state"), "{state}");
        }
    }
}
