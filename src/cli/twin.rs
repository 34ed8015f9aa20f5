//! `twin`: how the pair is doing, pairing, and what an admin says about it.

use std::{
    env,
    io::{self, BufRead, IsTerminal, Write},
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use serde_json::Value;
use twinlease::{
    protocol::{Command, TwinCommand, explain::spell, replica::Keep},
    runtime::{
        control::{
            CommandOutcome,
            twin::{CodeOutcome, PairRequest, ShownCode},
        },
        led::{self, Sign},
    },
    settings::{Record, RecordKey, render, words::read_key},
};

use super::{DONE, FOUND, Place, door, status::running};

/// Where twins listen, unless told otherwise.
pub const DEFAULT_PORT: u16 = 8067;
/// How often the light is drawn.
const FRAME: Duration = Duration::from_millis(100);

#[derive(Debug, Subcommand)]
pub enum Action {
    /// How the pair is doing.
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Let the other one be the active. Nothing is lost, nobody is left unanswered.
    Switch,
    /// This one is about to be switched off: the twin takes over at once.
    Shutdown {
        /// Do not ask back.
        #[arg(long)]
        yes: bool,
    },
    /// Say that the twin is off, so that this one may give all addresses.
    DeclareDown {
        /// Do not ask back.
        #[arg(long)]
        yes: bool,
    },
    /// Serve without the twin after a shutdown of this one, or though it may have forgotten what it promised.
    Serve {
        /// Do not ask back.
        #[arg(long)]
        yes: bool,
    },
    /// Make this server and another one twins: one shows a code, the other is told it.
    Pair {
        /// The code that the other one shows; without it, it is asked for.
        #[arg(long, conflicts_with = "show_code")]
        code: Option<String>,
        /// Show a code here, to be typed on the other one.
        #[arg(long)]
        show_code: bool,
        /// Where the other one is (address, or address:port), if it is not found by itself.
        #[arg(value_parser = address, conflicts_with = "show_code")]
        address: Option<SocketAddr>,
    },
    /// Forget the twin, and be a server of its own again.
    Unpair {
        /// Do not ask back.
        #[arg(long)]
        yes: bool,
    },
    /// Put another one in the place of a twin that is off for good: shows a code for it.
    Replace {
        /// Do not ask back.
        #[arg(long)]
        yes: bool,
    },
    /// Edits made on both while they were apart, that contradict: list them, or choose.
    Reconcile {
        /// As the list names it: lease, 192.0.2.0/24, a4:cf:12:9b:00:1e.
        #[arg(requires = "keep")]
        key: Option<String>,
        /// What was changed on this one, or on the other; what is in force now, or what waits.
        #[arg(long, requires = "key")]
        keep: Option<Choice>,
        #[arg(long, conflicts_with = "key")]
        json: bool,
    },
    /// The light of this box, as a line.
    Led {
        /// Draw it until Ctrl-C.
        #[arg(long)]
        watch: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    Ours,
    Theirs,
    InForce,
    Waiting,
}

pub fn run(place: &Place, action: Action) -> anyhow::Result<u8> {
    match action {
        Action::Status { json } => status(place, json),
        Action::Switch => switch(place),
        Action::Shutdown { yes } => shut_down(place, yes),
        Action::DeclareDown { yes } => declare_down(place, yes),
        Action::Serve { yes } => serve(place, yes),
        Action::Pair { show_code: true, .. } => show_code(place),
        Action::Pair { code, address, .. } => pair(place, code, address),
        Action::Unpair { yes } => unpair(place, yes),
        Action::Replace { yes } => replace(place, yes),
        Action::Reconcile { key: Some(key), keep: Some(keep), .. } => choose(place, &key, keep),
        Action::Reconcile { json, .. } => list(place, json),
        Action::Led { watch } => light(place, watch),
    }
}

/// `192.0.2.2`, or `192.0.2.2:8067`.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let alone = || text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DEFAULT_PORT));
    text.parse().or_else(|_| alone()).map_err(|_| "it is no address; write it like 192.0.2.2 or 192.0.2.2:8067".into())
}

/// `off`, or where to listen.
pub fn listen(text: &str) -> Result<Listen, String> {
    if text == "off" { Ok(Listen(None)) } else { address(text).map(|address| Listen(Some(address))) }
}

#[derive(Debug, Clone, Copy)]
pub struct Listen(pub Option<SocketAddr>);

fn status(place: &Place, json: bool) -> anyhow::Result<u8> {
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
        && node["partner"]["in_trouble"] == false
        && node["partner"]["is_deaf"] == false
        && node["is_level"] != false
        && report["trouble"].is_null()
        && report["to_reconcile"].as_array().is_some_and(Vec::is_empty)
}

fn tell(report: &Value) {
    let (node, link) = (&report["node"], &report["link"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    if node.is_null() {
        println!("This server has no twin. `twinlease twin pair` makes it one of two.");
    } else {
        let twin = match link["twin"]["name"].as_str() {
            Some(name) => format!("its twin {name}"),
            None => "its twin".into(),
        };
        println!("{}", sentence(node, &twin));
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
        if let Some(count) = node["unconfirmed"].as_u64().filter(|count| *count > 0) {
            println!("The twin has not confirmed {count} changes yet.");
        }
        if node["partner"]["in_trouble"] == true {
            println!("The twin's disk is in trouble: it promises nothing new. `twinlease status` there says more.");
        }
        if node["partner"]["is_deaf"] == true {
            println!("The twin hears no DHCP requests, though this one does: look at its cable and its interfaces.");
        }
        if node["is_level"] == false {
            println!("The two do not hold the same records; they compare and repair that by themselves.");
        }
    }
    for (what, value) in [("The link", &link["trouble"]), ("The link", &link["twin"]["trouble"]), ("Pairing", &link["pairing"])] {
        if let Some(trouble) = value.as_str() {
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

fn span(secs: &Value) -> String {
    spell(secs.as_u64().unwrap_or_default())
}

fn switch(place: &Place) -> anyhow::Result<u8> {
    if let Err(refusal) = say(place, TwinCommand::Switch)? {
        return refused(&refusal);
    }
    let report: Value = running(place)?.get("/twin")?;
    println!("{} is the active from now on.", if report["node"]["is_active"] == true { "This one" } else { "The twin" });
    Ok(DONE)
}

fn shut_down(place: &Place, yes: bool) -> anyhow::Result<u8> {
    let report: Value = running(place)?.get("/twin")?;
    let takes_over = report["node"]["partner"]["in_contact"] == true;
    let question = "The twin is out of reach, so that nobody will answer the devices here. Shut down all the same?";
    if !report["node"].is_null() && !takes_over && !confirmed(question, yes)? {
        return refused("Nothing was changed.");
    }
    match say(place, TwinCommand::ShutDown)? {
        Ok(()) => {
            let twin = if takes_over { "The twin knows and answers alone. " } else { "" };
            println!(
                "{twin}This one answers nobody any more, and can be switched off. When it starts again it waits for its twin before it answers."
            );
            Ok(DONE)
        }
        Err(refusal) => refused(&refusal),
    }
}

fn declare_down(place: &Place, yes: bool) -> anyhow::Result<u8> {
    let question = "You say: the twin is off, and when it starts again it can reach this one. If it is still running somewhere, \
                    two devices may get the same address. Is it off?";
    if !confirmed(question, yes)? {
        return refused("Nothing was changed.");
    }
    match say(place, TwinCommand::DeclareDown)? {
        Ok(()) => {
            println!("This one goes on alone. `twinlease twin status` says from when on it may give the twin's addresses, too.");
            Ok(DONE)
        }
        Err(refusal) => refused(&refusal),
    }
}

fn serve(place: &Place, yes: bool) -> anyhow::Result<u8> {
    let question = "This one waits because the twin may have given addresses that it does not know of. You say: the twin is off, \
                    and when it starts again it can reach this one. If it is still running somewhere, two devices may get the \
                    same address. Serve without it?";
    if !confirmed(question, yes)? {
        return refused("Nothing was changed.");
    }
    match say(place, TwinCommand::Serve)? {
        Ok(()) => {
            let report: Value = running(place)?.get("/twin")?;
            match report["node"]["wait_secs"].as_u64().filter(|_| report["node"]["state"] == "recover") {
                Some(secs) if secs > 0 => {
                    println!("It serves in {}, when all that it may have forgotten has run out.", spell(secs))
                }
                Some(_) | None => println!("It serves without its twin."),
            }
            Ok(DONE)
        }
        Err(refusal) => refused(&refusal),
    }
}

fn show_code(place: &Place) -> anyhow::Result<u8> {
    let outcome: CodeOutcome = running(place)?.post("/twin/code", &())?;
    tell_code(outcome)
}

fn tell_code(outcome: CodeOutcome) -> anyhow::Result<u8> {
    match outcome {
        CodeOutcome { shown: Some(ShownCode { digits, secs_left }), .. } => {
            println!("{digits}");
            println!("Within {}, say on the other one: twinlease twin pair --code {digits}", spell(secs_left));
            Ok(DONE)
        }
        CodeOutcome { refused: refusal, .. } => refused(&refusal.unwrap_or_default()),
    }
}

fn pair(place: &Place, code: Option<String>, address: Option<SocketAddr>) -> anyhow::Result<u8> {
    let code = match code {
        Some(code) => code,
        None => match ask("The code that the other one shows (`twinlease twin pair --show-code` there): ")? {
            Some(code) => code,
            None => return refused("Say the code that the other one shows: --code CODE. Or show one here: --show-code."),
        },
    };
    let outcome: CommandOutcome = running(place)?.post("/twin/pair", &PairRequest { code, address })?;
    told(outcome, "Paired. `twinlease twin status` shows how the two get on.")
}

fn unpair(place: &Place, yes: bool) -> anyhow::Result<u8> {
    let question = "You say: the twin is off, or gives no addresses in this network any more. If it does, two devices may get the \
                    same address. Forget it?";
    if !confirmed(question, yes)? {
        return refused("Nothing was changed.");
    }
    let outcome: CommandOutcome = running(place)?.post("/twin/unpair", &())?;
    told(outcome, "This one has no twin any more. Unpair the other one as well before it is used again.")
}

fn replace(place: &Place, yes: bool) -> anyhow::Result<u8> {
    let question = "You say: the old twin is off and never comes back to this network as it is. Let another one take its place?";
    if !confirmed(question, yes)? {
        return refused("Nothing was changed.");
    }
    tell_code(running(place)?.post("/twin/replace", &())?)
}

fn list(place: &Place, json: bool) -> anyhow::Result<u8> {
    let report: Value = running(place)?.get("/twin")?;
    let items = report["to_reconcile"].as_array().cloned().unwrap_or_default();
    if json {
        println!("{}", serde_json::to_string_pretty(&items)?);
        return Ok(if items.is_empty() { DONE } else { FOUND });
    }
    if items.is_empty() {
        println!("Nothing to reconcile.");
        return Ok(DONE);
    }
    for item in &items {
        println!("{}", item["text"].as_str().unwrap_or_default());
        let lines = |value: &Value| -> anyhow::Result<Vec<String>> {
            let record: Option<Record> = serde_json::from_value(value.clone())?;
            Ok(record.map(|record| render::record(&record).lines().map(Into::into).collect()).unwrap_or_default())
        };
        let (in_force, waiting) = (lines(&item["in_force"])?, lines(&item["waiting"])?);
        for (what, of, other) in [("in force", &in_force, &waiting), ("waits", &waiting, &in_force)] {
            let differing: Vec<_> = of.iter().filter(|line| !other.contains(line) && !line.is_empty()).collect();
            if of.is_empty() {
                println!("  {what:<9} nothing");
            }
            for line in differing {
                println!("  {what:<9} {line}");
            }
        }
    }
    Ok(FOUND)
}

fn choose(place: &Place, key: &str, choice: Choice) -> anyhow::Result<u8> {
    let key = match read_key(key) {
        Ok(key) => key,
        Err(problem) => return refused(&problem),
    };
    let report: Value = running(place)?.get("/twin")?;
    let keep = match keep(&report, &key, choice)? {
        Ok(keep) => keep,
        Err(problem) => return refused(&problem),
    };
    match door::submit(place, Command::Reconcile { key, keep })? {
        Ok(()) => {
            println!("Saved.");
            Ok(DONE)
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Whose edit is in force depends on where one stands.
fn keep(report: &Value, key: &RecordKey, choice: Choice) -> anyhow::Result<Result<Keep, String>> {
    let is_ours = match choice {
        Choice::InForce => return Ok(Ok(Keep::InForce)),
        Choice::Waiting => return Ok(Ok(Keep::Waiting)),
        Choice::Ours => true,
        Choice::Theirs => false,
    };
    let key = serde_json::to_value(key)?;
    let item = report["to_reconcile"].as_array().into_iter().flatten().find(|item| item["key"] == key);
    let Some(item) = item else {
        return Ok(Err("This setting needs no decision. `twinlease twin reconcile` shows what does.".into()));
    };
    if item["waiting_from"].is_null() {
        return Ok(Err(
            "It clashes with other settings, whoever made it: choose --keep in-force to drop it, or change one of the others."
                .into(),
        ));
    }
    let waits_is_ours = item["waiting_from"] == report["node"]["rank"];
    Ok(Ok(if is_ours == waits_is_ours { Keep::Waiting } else { Keep::InForce }))
}

fn light(place: &Place, watch: bool) -> anyhow::Result<u8> {
    let sign = || -> anyhow::Result<Sign> {
        let report: Value = running(place)?.get("/twin")?;
        serde_json::from_value(report["light"]["sign"].clone())
            .context("The server speaks another version. Use the twinlease that it was started from.")
    };
    // Who draws the light elsewhere (the demo) asks for its colours.
    let with_colour = io::stdout().is_terminal() || env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
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

fn say(place: &Place, command: TwinCommand) -> anyhow::Result<Result<(), String>> {
    let outcome: CommandOutcome = running(place)?.post("/command", &Command::Twin(command))?;
    Ok(outcome.refused.map_or(Ok(()), Err))
}

fn told(outcome: CommandOutcome, done: &str) -> anyhow::Result<u8> {
    match outcome.refused {
        None => {
            println!("{done}");
            Ok(DONE)
        }
        Some(refusal) => refused(&refusal),
    }
}

fn refused(problem: &str) -> anyhow::Result<u8> {
    eprintln!("{problem}");
    Ok(FOUND)
}

/// True where it was said on the command line, or is said now.
fn confirmed(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    match ask(&format!("{question} Type yes: "))? {
        Some(answer) => Ok(answer.eq_ignore_ascii_case("yes")),
        None => {
            eprintln!("{question} Say --yes, if so.");
            Ok(false)
        }
    }
}

/// `None`: nobody sits there.
fn ask(question: &str) -> anyhow::Result<Option<String>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    eprint!("{question}");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(Some(answer.trim().into()))
}
