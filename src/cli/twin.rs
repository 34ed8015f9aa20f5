//! `twin`: how the pair is doing, pairing, and what an admin says about it.

mod drill;
mod reconcile;
mod status;

use std::{
    io::{self, BufRead, IsTerminal},
    net::{IpAddr, SocketAddr},
};

use clap::Subcommand;
use serde_json::Value;
use twinlease::{
    protocol::{Command, TwinCommand, explain::spell},
    runtime::control::{
        CommandOutcome,
        twin::{CodeOutcome, PairRequest, ShownCode},
    },
};

use super::{DONE, Place, refused, status::running};
use reconcile::Choice;

/// Where twins listen, unless told otherwise.
pub const DEFAULT_PORT: u16 = 8067;

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
    /// Play dead for a while, to see that the other one takes over; nobody loses an address.
    Drill(drill::Drill),
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

pub fn run(place: &Place, action: Action) -> anyhow::Result<u8> {
    match action {
        Action::Status { json } => status::run(place, json),
        Action::Switch => switch(place),
        Action::Shutdown { yes } => shut_down(place, yes),
        Action::DeclareDown { yes } => declare_down(place, yes),
        Action::Serve { yes } => serve(place, yes),
        Action::Pair { show_code: true, .. } => show_code(place),
        Action::Pair { code, address, .. } => pair(place, code, address),
        Action::Unpair { yes } => unpair(place, yes),
        Action::Replace { yes } => replace(place, yes),
        Action::Drill(drill) => drill::run(place, &drill),
        Action::Reconcile { key: Some(key), keep: Some(keep), .. } => reconcile::choose(place, &key, keep),
        Action::Reconcile { json, .. } => reconcile::list(place, json),
        Action::Led { watch } => status::light(place, watch),
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
    let question = match report["node"]["state"].as_str() {
        Some("partner-down") => {
            "The twin counts as down, so that nobody will answer the devices here; and this one may have given addresses of the twin's half, which \
             the twin does not know of. Do not start the twin alone afterwards: start this one first. Shut down all the same?"
        }
        _ => "The twin is out of reach, so that nobody will answer the devices here. Shut down all the same?",
    };
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
                    same address. Where this one may have forgotten what it promised, it waits for the longest lease of the settings that it has \
                    now: if longer leases were ever given, say no, raise `max` under `[lease]` to that first (`twinlease import`), and \
                    say this again. Serve without it?";
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
    if outcome.refused.is_some() {
        return told(outcome, "");
    }
    let report: Value = running(place)?.get("/twin")?;
    println!("The twin is forgotten. {}", unpaired(&report["node"]));
    Ok(DONE)
}

/// What comes of an unpairing, in the state that the node is in.
fn unpaired(node: &Value) -> String {
    match (node["state"].as_str(), node["alone_in_secs"].as_u64()) {
        (Some("partner-down"), Some(secs)) => format!(
            "This one goes on alone. In {}, when all that the twin may have promised has run out, it is a server of its own; \
             until then its leases are shorter. Unpair the other one as well before it is used again.",
            spell(secs)
        ),
        (Some("recover" | "shutting-down"), _) => "This one answers nobody, as before: it may not know all that was promised. \
             `twinlease twin serve` lets it go on, when that has run out; or pair it with another one."
            .into(),
        (Some(_), _) => "This one has just started; it goes on alone in a moment.".into(),
        (None, _) => "This is a server of its own.".into(),
    }
}

fn replace(place: &Place, yes: bool) -> anyhow::Result<u8> {
    let question = "You say: the old twin is off and never comes back to this network as it is. Let another one take its place?";
    if !confirmed(question, yes)? {
        return refused("Nothing was changed.");
    }
    tell_code(running(place)?.post("/twin/replace", &())?)
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

/// True where it was said on the command line, or is said now.
pub fn confirmed(question: &str, yes: bool) -> anyhow::Result<bool> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpairing_says_whether_it_serves() {
        let told = |state: &str, secs: Option<u64>| unpaired(&serde_json::json!({ "state": state, "alone_in_secs": secs }));
        assert!(told("partner-down", Some(7200)).contains("goes on alone. In 2 h,"));
        for state in ["recover", "shutting-down"] {
            assert!(told(state, None).contains("answers nobody") && told(state, None).contains("twin serve"), "{state}");
        }
        assert!(told("startup", None).contains("in a moment"));
        assert!(unpaired(&Value::Null).contains("a server of its own"));
    }
}
