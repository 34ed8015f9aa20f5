//! What a person or a script can say to twinlease.

mod appliance;
mod check;
mod door;
mod leases;
mod led_test;
mod password;
mod probe;
mod reservations;
mod settings;
mod show;
mod status;
mod twin;
mod update;
mod web;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::{Args as ClapArgs, Parser, Subcommand};
use twinlease::{
    runtime::{
        clock::WallTrust,
        log,
        partner::pairing::Secret,
        server::{self, Ways},
        twin::TwinOptions,
        update::Card,
    },
    web::{Options as WebOptions, Site, start as start_web},
};

/// Exit codes, documented in `--help`.
pub const DONE: u8 = 0;
/// Something was found or refused, and said in sentences.
pub const FOUND: u8 = 1;
/// The server or its database could not be reached.
pub const UNREACHABLE: u8 = 3;
/// An update is on the card: whoever has started this starts the box anew. Not for people.
const START_ANEW: u8 = 4;

/// What was wanted is not done, and why.
fn refused(why: &str) -> anyhow::Result<u8> {
    eprintln!("{why}");
    Ok(FOUND)
}

const EXIT_CODES: &str = "Exit codes:
  0  done; nothing wrong
  1  refused, or something was found (problems in a file, another DHCP server), each said in a sentence
  2  the command line itself is wrong
  3  the server, its database or a file could not be used";

/// DHCP for a home or a small office that survives a dead Raspberry Pi.
#[derive(Debug, Parser)]
#[command(name = "twinlease", version, after_help = EXIT_CODES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve DHCP until stopped.
    Run(RunArgs),
    /// Tell every problem of a settings file, or of a data folder, with line and remedy.
    Check {
        /// A settings file (TOML), or the data folder of a stopped or running server.
        path: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// Who has which address.
    Leases {
        #[command(subcommand)]
        action: Option<LeasesAction>,
        #[command(flatten)]
        place: Place,
        /// Also addresses whose lease is over.
        #[arg(long)]
        all: bool,
        #[arg(long)]
        json: bool,
    },
    /// Kept addresses: list, add, remove.
    Reservations {
        #[command(subcommand)]
        action: ReservationsAction,
        #[command(flatten)]
        place: Place,
    },
    /// Why a device got its address, or none.
    Why {
        /// A MAC (any notation, or a part of it), an address, or a name.
        what: String,
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        json: bool,
    },
    /// How the server is doing.
    Status {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        json: bool,
    },
    /// The twin: how the pair is doing, pairing, switching, taking over.
    Twin {
        #[command(subcommand)]
        action: twin::Action,
        #[command(flatten)]
        place: Place,
    },
    /// The password of the dashboard. Whoever may run this on the device needs no other.
    Password {
        #[command(subcommand)]
        action: password::Action,
        #[command(flatten)]
        place: Place,
    },
    /// Updates of the card that this was started from, and of its twin's: give the image as it is flashed.
    #[command(args_conflicts_with_subcommands = true)]
    Update {
        #[command(subcommand)]
        action: Option<update::Action>,
        /// The file twinlease-VERSION-rpi.img.xz: both twins are updated to it, one after the other.
        #[arg(required = true)]
        file: Option<PathBuf>,
        /// Do not ask back: also where it is older, or failed before.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Look for other DHCP servers on the network.
    Probe {
        /// Ask on these interfaces; without it, on every Ethernet interface that has an address.
        #[arg(long = "interface")]
        interfaces: Vec<String>,
        /// How long to wait for answers, in seconds. Some servers try for 3 s whether the address is free before they offer it.
        #[arg(long, default_value = "5", value_parser = wait_secs)]
        wait: Duration,
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        json: bool,
    },
    /// Write all settings as one readable TOML file.
    Export {
        /// Where to; without it, to standard output.
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
        /// As JSON instead.
        #[arg(long)]
        json: bool,
    },
    /// Take all settings from a TOML file. What is not in it goes; leases stay.
    Import {
        file: PathBuf,
        /// The file is another DHCP server's: what it has is added, and what is here stays.
        #[arg(long, value_parser = ["kea", "dnsmasq", "isc", "pihole", "csv"])]
        from: Option<String>,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: Place,
    },
    /// All that a flashed card does; started by its first process.
    #[command(hide = true)]
    Appliance(appliance::Args),
    /// On a Raspberry Pi: show each sign of the light for some seconds, with what it means.
    LedTest {
        /// Where the lights are: a setup.txt. Without it, on GPIO 17 and the board's own.
        setup: Option<PathBuf>,
        /// How long each is shown, in seconds.
        #[arg(long, default_value = "6", value_parser = wait_secs)]
        wait: Duration,
    },
    /// Print the version.
    Version {
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum LeasesAction {
    /// Take an address back: whoever held it is gone.
    Free { address: Ipv4Addr },
}

#[derive(Debug, Subcommand)]
enum ReservationsAction {
    List {
        #[arg(long)]
        json: bool,
    },
    /// Keep an address for a device.
    Add(reservations::Add),
    /// Keep it no longer. The device that has it keeps it until its lease runs out.
    Remove {
        /// The address, the MAC or the name.
        what: String,
    },
}

#[derive(Debug, ClapArgs)]
pub struct Place {
    /// Where the server keeps its database.
    #[arg(long, env = "TWINLEASE_DATA", default_value = "/var/lib/twinlease", global = true)]
    data: PathBuf,
}

#[derive(Debug, ClapArgs)]
struct RunArgs {
    #[command(flatten)]
    place: Place,
    /// Taken over at the first start; later `twinlease import` is the way.
    #[arg(long)]
    settings: Option<PathBuf>,
    /// How much is logged. RUST_LOG beats it.
    #[arg(long, default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log: String,
    /// Believe the system's clock although nothing (NTP) keeps it right.
    #[arg(long)]
    trust_clock: bool,
    /// Where a twin may reach this server (address, or address:port); `off`: it can have none.
    #[arg(long, default_value = "0.0.0.0:8067", value_parser = twin::listen)]
    twin_listen: twin::Listen,
    /// Where the twin may be (address, or address:port), on a network where it is not found by itself. May be repeated.
    #[arg(long = "twin", value_name = "ADDRESS", value_parser = twin::address)]
    twins: Vec<SocketAddr>,
    /// A file with the same words on both: they become twins without a code. Keep it private.
    #[arg(long, value_name = "FILE")]
    pair_key_file: Option<PathBuf>,
    /// Where browsers find the dashboard (address, or address:port); `off`: nowhere. May be repeated.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:80", value_parser = web::http)]
    web_listen: Vec<web::Listen>,
    /// The same for https, with a certificate of the device's own making. Without it: on port 443 of the addresses of
    /// --web-listen; nowhere, where that names another port than 80; on all addresses, where that is `off`.
    #[arg(long, value_name = "ADDRESS", value_parser = web::https)]
    web_tls_listen: Option<Vec<web::Listen>>,
    /// A further name by which the dashboard is opened. Its host name, with and without `.local`, is known. May be repeated.
    #[arg(long = "web-name", value_name = "NAME")]
    web_names: Vec<String>,
    /// For tests: a folder that stands for the card (`boot/autoboot.txt`, and files `slot2` and `slot3` for the partitions). After an
    /// update the process ends with code 4, and whoever has started it starts it again, as init starts the box anew.
    #[arg(long, value_name = "FOLDER", hide = true)]
    card_folder: Option<PathBuf>,
}

pub fn run(args: Args) -> ExitCode {
    // A server must outlive whoever hangs up on its socket or stops reading its log, so it goes on ignoring SIGPIPE.
    if !matches!(args.command, Command::Run(_) | Command::Appliance(_)) {
        // Output cut short by `| head` is no error worth a word.
        // SAFETY: no other thread runs yet, and the default action is a valid disposition.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    }
    let outcome = match args.command {
        Command::Run(args) => serve(args),
        Command::Check { path, json } => check::run(&path, json),
        Command::Leases { action: None, place, all, json } => leases::list(&place, all, json),
        Command::Leases { action: Some(LeasesAction::Free { address }), place, .. } => leases::free(&place, address),
        Command::Reservations { action: ReservationsAction::List { json }, place } => reservations::list(&place, json),
        Command::Reservations { action: ReservationsAction::Add(add), place } => reservations::add(&place, &add),
        Command::Reservations { action: ReservationsAction::Remove { what }, place } => reservations::remove(&place, &what),
        Command::Why { what, place, json } => status::why(&place, &what, json),
        Command::Status { place, json } => status::run(&place, json),
        Command::Twin { action, place } => twin::run(&place, action),
        Command::Password { action, place } => password::run(&place, action),
        Command::Update { action: Some(action), place, .. } => update::run(&place, action),
        Command::Update { action: None, file, yes, place } => update::begin(&place, &file.unwrap_or_default(), yes),
        Command::Probe { interfaces, wait, place, json } => probe::run(&place, &interfaces, wait, json),
        Command::Export { file, place, json } => settings::export(&place, file.as_deref(), json),
        Command::Appliance(args) => appliance::run(args),
        Command::LedTest { setup, wait } => led_test::run(setup.as_deref(), wait),
        Command::Import { file, from, dry_run, place } => settings::import(&place, &file, from.as_deref(), dry_run),
        Command::Version { json } => version(json),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(UNREACHABLE)
        }
    }
}

fn wait_secs(text: &str) -> Result<Duration, String> {
    let secs = text.parse::<f64>().ok().filter(|secs| (0.1..=60.0).contains(secs));
    secs.map(Duration::from_secs_f64).ok_or_else(|| "it takes 0.1 to 60 seconds".into())
}

fn serve(args: RunArgs) -> anyhow::Result<u8> {
    let first_settings = match &args.settings {
        None => None,
        Some(path) => match settings::read(path)? {
            Ok(settings) => Some(settings),
            Err(problems) => {
                show::problems(path, &problems);
                return Ok(FOUND);
            }
        },
    };
    let pair_key = match &args.pair_key_file {
        None => None,
        Some(path) => {
            let words = fs::read_to_string(path).with_context(|| format!("The pair key `{}` cannot be read", path.display()))?;
            Some(Secret::pair_key(&words).map_err(anyhow::Error::msg)?)
        }
    };
    let wall_trust = if args.trust_clock { WallTrust::Always } else { WallTrust::Kernel };
    let _lines = log::start(&args.log, None);
    let twin = TwinOptions { listen: args.twin_listen.0, addresses: args.twins, pair_key };
    let on = |listen: Vec<web::Listen>| listen.into_iter().filter_map(|listen| listen.0).collect();
    let https = args.web_tls_listen.map_or_else(|| web::beside(&args.web_listen), on);
    let http = on(args.web_listen);
    let web_options = WebOptions { http, https, data: args.place.data.clone(), names: args.web_names };
    let card = match &args.card_folder {
        None => None,
        Some(folder) => Some(Card::in_folder(folder).with_context(|| format!("`{}` stands for no card", folder.display()))?),
    };
    let options =
        server::Options { data: args.place.data, first_settings, wall_trust, twin, notices: Vec::new(), card, timekeeper: None };
    serve_with_dashboard(options, web_options, |_| ())
}

/// Until it is told to stop; then an exit code. `beside` is called once the server can be asked; what it returns lives as long as the server.
fn serve_with_dashboard<W>(options: server::Options, web: WebOptions, beside: impl FnOnce(&Site) -> W) -> anyhow::Result<u8> {
    let mut updates = None;
    server::run(options, |Ways { handle, link, archive, data }| {
        updates = Some(Arc::clone(handle.updates()));
        let site = Site::new(data, handle, link, archive, web.names.clone());
        let beside = beside(&site);
        let dashboard = start_web(web, site)
            .inspect_err(|error| tracing::error!("There is no dashboard: its thread cannot be started ({error})."));
        (dashboard, beside)
    })?;
    Ok(if updates.is_some_and(|updates| updates.shall_restart()) { START_ANEW } else { DONE })
}

fn version(json: bool) -> anyhow::Result<u8> {
    let version = env!("CARGO_PKG_VERSION");
    if json {
        println!("{}", serde_json::json!({ "version": version }));
    } else {
        println!("twinlease {version}");
    }
    Ok(DONE)
}
