//! dhcpload: DHCPv4 clients by the thousand, to measure a server. Belongs to the benchmarks; it is in no shipped binary.
//!
//! Exit codes: 0 measured · 1 could not run, or a limit was passed · 2 wrong usage · 3 the server gave one address to two clients.

mod clients;
mod drive;
mod garbage;
mod histogram;
mod mirror;
mod packet;
mod probe;
mod report;
mod search;
mod wire;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use clients::Clients;
use drive::{Driver, Pace, Plan, Scenario};
use report::{Frame, Report};
use wire::{Link, Wire, now_ns};

const DUPLICATE_EXIT: u8 = 3;
/// Between two steps of a search: what an overloaded server still has queued must not spoil the next step.
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Parser)]
#[command(name = "dhcpload", about = "Measures DHCPv4 servers with clients by the thousand")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// New clients, each a whole DISCOVER, OFFER, REQUEST, ACK.
    Dora {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        load: Load,
    },
    /// Clients of earlier runs (from --state) renew their leases.
    Renew {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        load: Load,
    },
    /// Makes active leases as fast as the server goes, repeating what is lost.
    Fill {
        #[command(flatten)]
        common: Common,
        /// How many leases to make.
        count: u64,
        /// How many clients ask at the same time.
        #[arg(long, default_value_t = 64)]
        window: u64,
        /// How often a client asks before it gives up.
        #[arg(long, default_value_t = 20)]
        tries: u8,
        /// No client begins after this long.
        #[arg(long, default_value_t = 3_600.0)]
        seconds: f64,
    },
    /// Random and hostile packets.
    Garbage {
        #[command(flatten)]
        common: Common,
        /// Packets per second.
        #[arg(long, default_value_t = 10_000.0)]
        rate: f64,
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// The same seed sends the same packets; by default a new one, which is printed.
        #[arg(long)]
        seed: Option<u64>,
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = [
            garbage::Kind::Random, garbage::Kind::Options, garbage::Kind::Mutated,
            garbage::Kind::Truncated, garbage::Kind::Lies, garbage::Kind::Frames,
        ])]
        kinds: Vec<garbage::Kind>,
    },
    /// One client doing a DORA every so often: what a device feels during a flood.
    ProbeLatency {
        #[command(flatten)]
        common: Common,
        #[arg(long, default_value_t = 100)]
        interval_ms: u64,
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// A new MAC for every round, instead of one client that comes back.
        #[arg(long)]
        fresh: bool,
        /// Exit with 1 if a round is lost or the slowest takes longer than this.
        #[arg(long)]
        limit_ms: Option<f64>,
    },
    /// Asks until the first OFFER arrives: how long a server takes to start.
    FirstOffer {
        #[command(flatten)]
        common: Common,
        #[arg(long, default_value_t = 2)]
        interval_ms: u64,
        #[arg(long, default_value_t = 60.0)]
        seconds: f64,
    },
    /// Play a server without a memory for one relay: run it as `--mode relay` with the two addresses swapped.
    Mirror {
        #[command(flatten)]
        common: Common,
        /// Answer so long after the question.
        #[arg(long, default_value_t = 0)]
        delay_us: u64,
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
    },
}

#[derive(Args)]
struct Common {
    /// Where packets leave (only for `--mode direct`).
    #[arg(long, default_value = "eth0")]
    interface: String,
    #[arg(long, value_enum, default_value_t = Mode::Direct)]
    mode: Mode,
    /// The server's address (only for `--mode relay`).
    #[arg(long)]
    server: Option<Ipv4Addr>,
    /// The address of this host that plays the relay (only for `--mode relay`).
    #[arg(long)]
    relay_address: Option<Ipv4Addr>,
    /// Clients ask for broadcast replies.
    #[arg(long)]
    broadcast_flag: bool,
    /// Remembers all clients and their leases from run to run.
    #[arg(long)]
    state: Option<PathBuf>,
    /// The second byte of every MAC: generators with different ones are different clients.
    #[arg(long, default_value_t = 0x4c)]
    mac_space: u8,
    /// After this long without an answer a message counts as lost.
    #[arg(long, default_value_t = 1_000)]
    timeout_ms: u64,
    /// How often the generator wakes at high rates.
    #[arg(long, default_value_t = 200)]
    tick_us: u64,
    /// Wake for every packet and take its time in the program, wake-up included, as perfdhcp does.
    #[arg(long)]
    program_time: bool,
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Load {
    /// Exchanges per second; with --search, the first guess.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// How long; with --search, how long each step.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Find the highest rate with less than 1 % loss, on a grid of 10 %.
    #[arg(long)]
    search: bool,
    /// How often a search tries a rate before it counts as too high.
    #[arg(long, default_value_t = 2)]
    tries: u32,
    /// A search makes at most this many exchanges.
    #[arg(long, default_value_t = 500_000)]
    most: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Clients on the server's own link.
    Direct,
    /// A relay agent, as perfdhcp is one.
    Relay,
}

impl Common {
    fn open(&self) -> anyhow::Result<(Wire, Clients)> {
        let link = match (self.mode, self.relay_address, self.server) {
            (Mode::Direct, _, _) => Link::Direct,
            (Mode::Relay, Some(own), Some(server)) => Link::Relay { own, server },
            (Mode::Relay, _, _) => bail!("--mode relay needs --relay-address and --server"),
        };
        Ok((Wire::open(&self.interface, link, !self.program_time)?, Clients::load_or_new(self.state.as_deref(), self.mac_space)?))
    }

    fn close(&self, clients: &Clients) -> anyhow::Result<()> {
        self.state.as_deref().map_or(Ok(()), |path| clients.save(path))
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    fn plan(&self, scenario: Scenario, pace: Pace) -> Plan {
        let tick = (!self.program_time).then_some(Duration::from_micros(self.tick_us));
        Plan { scenario, pace, timeout: self.timeout(), tick, broadcast: self.broadcast_flag }
    }

    fn print<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(value)?);
        } else {
            print!("{}", text());
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == "--bench") {
        println!("dhcpload measures a running server and needs one: see scripts/bench");
        return ExitCode::SUCCESS;
    }
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dhcpload: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dora { common, load } => load_run(&common, &load, Scenario::Dora),
        Command::Renew { common, load } => load_run(&common, &load, Scenario::Renew),
        Command::Fill { common, count, window, tries, seconds } => {
            let (mut wire, mut clients) = common.open()?;
            let plan =
                common.plan(Scenario::Dora, Pace::Closed { count, window, tries, limit: Duration::from_secs_f64(seconds) });
            let report = measure(&mut wire, &mut clients, plan, "fill")?;
            common.close(&clients)?;
            common.print(&report, || report.text())?;
            let complete = report.completed == count;
            Ok(if complete { verdict(report.duplicates) } else { ExitCode::FAILURE })
        }
        Command::Garbage { common, rate, seconds, seed, kinds } => {
            let (mut wire, _) = common.open()?;
            let seed = seed.unwrap_or_else(now_ns);
            let sent = garbage::flood(&mut wire, &kinds, rate, Duration::from_secs_f64(seconds), seed)?;
            common.print(&sent, || {
                format!(
                    "garbage: {} packets = {:.0}/s, {} replies, {} other packets, --seed {}\n",
                    sent.sent, sent.sent_per_s, sent.replies, sent.others, sent.seed
                )
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::ProbeLatency { common, interval_ms, seconds, fresh, limit_ms } => {
            let probing = probe::Probing {
                interval: Duration::from_millis(interval_ms),
                duration: Duration::from_secs_f64(seconds),
                timeout: common.timeout(),
                fresh,
                broadcast: common.broadcast_flag,
            };
            probe_latency(&common, probing, limit_ms)
        }
        Command::FirstOffer { common, interval_ms, seconds } => {
            let (mut wire, mut clients) = common.open()?;
            let every = Duration::from_millis(interval_ms);
            let limit = Duration::from_secs_f64(seconds);
            let waited_ns = probe::first_offer(&mut wire, &mut clients, every, limit)?;
            let waited_ns = waited_ns.with_context(|| format!("no OFFER within {seconds} s"))?;
            common.close(&clients)?;
            let waited_ms = waited_ns as f64 / 1e6;
            let answered_unix_ns = now_ns();
            common.print(&serde_json::json!({ "waited_ms": waited_ms, "answered_unix_ns": answered_unix_ns }), || {
                format!("first OFFER after {waited_ms:.1} ms\n")
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Mirror { common, delay_us, seconds } => {
            let (mut wire, clients) = common.open()?;
            let Link::Relay { own, .. } = wire.link() else { bail!("mirror: needs --mode relay") };
            let delay = Duration::from_micros(delay_us);
            let answered = mirror::mirror(&mut wire, &clients, own, delay, Duration::from_secs_f64(seconds))?;
            common.print(&serde_json::json!({ "answered": answered }), || format!("mirror: {answered} answers\n"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn load_run(common: &Common, load: &Load, scenario: Scenario) -> anyhow::Result<ExitCode> {
    ensure!(load.rate > 0.0 && load.seconds > 0.0, "--rate and --seconds: must be above 0");
    let (mut wire, mut clients) = common.open()?;
    let name = match scenario {
        Scenario::Dora => "dora",
        Scenario::Renew => "renew",
    };
    if scenario == Scenario::Renew {
        let able = clients.next_index() > 0 && drive::can_renew(wire.link(), &clients);
        ensure!(able, "renew: no client has a lease yet; run `fill` with the same --state (and --mode) first");
    }
    let duration = Duration::from_secs_f64(load.seconds);
    let mut step = |rate: f64| -> anyhow::Result<Report> {
        let plan = common.plan(scenario, Pace::Open { rate, duration });
        let report = measure(&mut wire, &mut clients, plan, name)?;
        eprintln!("{name} {rate:.0}/s: lost {:.2} %{}", report.lost_percent, if report.valid { "" } else { ", NOT VALID" });
        std::thread::sleep(SETTLE);
        Ok(report)
    };
    let duplicates = if load.search {
        let limits = search::Limits { from: load.rate, tries: load.tries, most_exchanges: load.most, step_seconds: load.seconds };
        let found = search::search(limits, &mut step)?;
        common.print(&found, || match (found.rate, found.bounded_by) {
            (Some(rate), None) => format!("{name}: {rate:.0}/s with less than 1 % loss\n"),
            (Some(rate), Some(bound)) => format!("{name}: at least {rate:.0}/s; stopped by {bound}\n"),
            (None, _) => format!("{name}: no rate with less than 1 % loss\n"),
        })?;
        found.duplicates
    } else {
        let report = step(load.rate)?;
        common.print(&report, || report.text())?;
        report.duplicates
    };
    common.close(&clients)?;
    Ok(verdict(duplicates))
}

fn measure(wire: &mut Wire, clients: &mut Clients, plan: Plan, scenario: &'static str) -> anyhow::Result<Report> {
    wire.take_drops()?;
    let cpu_before_us = report::cpu_us();
    let (tally, elapsed) = Driver::new(wire, clients, plan).run().context("the network failed under the generator")?;
    let frame = Frame {
        scenario,
        rate_asked: match plan.pace {
            Pace::Open { rate, .. } => Some(rate),
            Pace::Closed { .. } => None,
        },
        seconds: elapsed.as_secs_f64(),
        cpu_us: report::cpu_us() - cpu_before_us,
        dropped_by_generator: wire.take_drops()?,
        active_leases: clients.active((now_ns() / 1_000_000_000) as u32),
    };
    Ok(Report::new(frame, &tally))
}

fn probe_latency(common: &Common, probing: probe::Probing, limit_ms: Option<f64>) -> anyhow::Result<ExitCode> {
    let (mut wire, mut clients) = common.open()?;
    let probed = probe::probe(&mut wire, &mut clients, probing)?;
    common.close(&clients)?;
    common.print(&probed, || {
        let mut text = format!("probe: {} rounds, {} lost, {} refused\n", probed.rounds, probed.lost, probed.naks);
        if let Some(whole) = &probed.whole {
            let (p50, p99, max) = (whole.p50_us / 1e3, whole.p99_us / 1e3, whole.max_us / 1e3);
            text += &format!("  whole DORA p50 {p50:.3} ms  p99 {p99:.3} ms  max {max:.3} ms\n");
        }
        text
    })?;
    let slowest_ms = probed.whole.as_ref().map_or(f64::INFINITY, |whole| whole.max_us / 1e3);
    let passed = limit_ms.is_none_or(|limit| slowest_ms <= limit && probed.answered == probed.rounds);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(duplicates: u64) -> ExitCode {
    if duplicates == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("dhcpload: {duplicates} ACKs gave an address to a second client while the first one holds it");
    ExitCode::from(DUPLICATE_EXIT)
}
