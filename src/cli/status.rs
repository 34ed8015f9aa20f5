//! `status` and `why`: what a running server knows of itself and of its clients.

use anyhow::bail;
use serde_json::Value;
use twinlease::runtime::report::DeviceStory;

use super::{
    DONE, FOUND, Place,
    door::{Client, Door},
};

pub fn run(place: &Place, json: bool) -> anyhow::Result<u8> {
    let status: Value = running(place)?.get("/status")?;
    let is_well = status["serving"] == true && status["trouble"].is_null();
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(if is_well { DONE } else { FOUND });
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), Into::into);
    let items = |value: &Value| value.as_array().map(|items| items.iter().map(text).collect::<Vec<_>>()).unwrap_or_default();
    if status["serving"] == true {
        println!("Answering DHCP on {}.", items(&status["interfaces"]).join(", "));
    } else if let Some(state) = status["twin"]["state_told"].as_str().filter(|_| status["twin"]["is_serving"] == false) {
        println!("Nobody is answered: this one of the two is {state}.");
    } else if !items(&status["not_listening"]).is_empty() || !items(&status["interfaces"]).is_empty() {
        // One of the notices below says why.
        println!("Nobody is answered.");
    } else {
        println!("Nobody is answered: no interface that is up has an address in one of the subnets.");
    }
    if let Some(trouble) = status["trouble"].as_str() {
        // Some troubles are whole sentences.
        println!("Nothing new is promised: {}.", trouble.trim_end_matches('.'));
    }
    for notice in items(&status["not_listening"]).iter().chain(&items(&status["notices"])) {
        println!("{notice}");
    }
    for subnet in status["subnets"].as_array().into_iter().flatten() {
        println!("{}: {} of {} pool addresses used.", text(&subnet["network"]), subnet["pool_used"], subnet["pool_size"]);
    }
    for (outcome, count) in status["outcomes"].as_object().into_iter().flatten() {
        println!("  {count:>8}  {outcome}");
    }
    for (cause, count) in status["malformed"].as_object().into_iter().flatten() {
        println!("  {count:>8}  dropped: {cause}");
    }
    Ok(if is_well { DONE } else { FOUND })
}

pub fn why(place: &Place, what: &str, json: bool) -> anyhow::Result<u8> {
    let query: String = what
        .bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let stories: Vec<DeviceStory> = running(place)?.get(&format!("/why?what={query}"))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&stories)?);
    } else if stories.is_empty() {
        let what = what.escape_debug();
        println!("Nothing is known of `{what}`: no lease, and nothing heard from it since the server started.");
    } else {
        stories.iter().for_each(tell);
    }
    Ok(if stories.is_empty() { FOUND } else { DONE })
}

fn tell(story: &DeviceStory) {
    let address = story.address.map(|address| format!(", {address}")).unwrap_or_default();
    println!("{} ({}{address})", story.name.as_deref().unwrap_or("unnamed device"), story.mac);
    if story.decisions.is_empty() {
        println!("  nothing heard from it since the server started");
    }
    for decision in &story.decisions {
        let times = if decision.times > 1 { format!(", {} times in all", decision.times) } else { String::new() };
        println!("  {}  {}{times}", decision.at, decision.asked);
        for (i, step) in decision.steps.iter().enumerate() {
            println!("    {}. {step}", i + 1);
        }
        println!("    → {}", decision.outcome);
    }
}

pub fn running(place: &Place) -> anyhow::Result<Client> {
    match Door::open(place)? {
        Door::Running(client) => Ok(client),
        Door::Stopped => bail!(
            "No server runs on `{}`. Start it with `twinlease run`, or name its data folder with --data.",
            place.data.display()
        ),
    }
}
