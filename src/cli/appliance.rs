//! `appliance`: all that a flashed card does, from what setup.txt says to a running server.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Args as ClapArgs;
use twinlease::{
    protocol::{Command, TwinCommand},
    runtime::{
        appliance::{
            address,
            boot::Boot,
            button::{self, Wish},
            card, follow,
            intent::{self, Intent},
            lights::Panel,
            name, network,
            reset::{self, Reset},
            screen::{Facts, Screen},
            timekeeper,
            watchdog::{self, Watchdog},
        },
        clock::WallTrust,
        led::{self, Sign},
        log,
        partner::{DEFAULT_PORT, pairing::Secret},
        report, server,
        store::{self, StoreError},
        twin::{self, TwinOptions},
        update::Card,
    },
    settings::{Record, Settings, access::Access, setup::Setup},
    web::{House, Options as WebOptions, Site, access::password, shell},
};

use super::{DONE, Place, door, serve_with_dashboard};

const HTTP: u16 = 80;
const HTTPS: u16 = 443;
const WATCHDOG: &str = "/dev/watchdog";
/// In memory: what the program said before it crashed.
const LOG: &str = "/run/twinlease.log";
/// On the data partition: what the box said before a reset.
const LOG_ON_CARD: &str = "log";
/// For emulators whose watchdog bites as soon as it is opened.
const WATCHDOG_OFF: &str = "twinlease.watchdog=off";
const TELL_INTERVAL: Duration = Duration::from_secs(2);
/// So long a box that could not start shows it, before it is started again.
const FAULT_SHOWN: Duration = Duration::from_secs(10);

#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Where the boot partition is mounted.
    #[arg(long)]
    boot: PathBuf,
    /// Where the data partition is mounted.
    #[arg(long, default_value = "/data")]
    data: PathBuf,
    /// `card`: what is written stays; `memory`: until the power goes.
    #[arg(long, value_parser = ["card", "memory"])]
    kept: String,
    /// What went wrong before this was started, a line each.
    #[arg(long)]
    notes: PathBuf,
    /// The card's device, where there is one.
    #[arg(long)]
    card: Option<PathBuf>,
}

/// Sentences for the screen, from all threads.
#[derive(Clone, Default)]
struct Problems(Arc<Mutex<Vec<String>>>);

impl Problems {
    fn add(&self, problem: impl Into<String>) {
        let problem = problem.into();
        tracing::warn!("{problem}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub fn run(args: Args) -> anyhow::Result<u8> {
    let _lines = log::start("info", Some(Path::new(LOG)));
    let problems = Problems::default();
    // For the dashboard, too: a card that keeps nothing, or that is another box's.
    let mut notices = Vec::new();
    for note in fs::read_to_string(&args.notes).unwrap_or_default().lines() {
        problems.add(note);
        if args.kept == "memory" {
            notices.push(note.to_owned());
        }
    }
    let watchdog = open_watchdog(&problems);
    timekeeper::at_start(&args.data);
    // Before anything of the data is looked at: what a copied card brings is another box's. What fails here, the server says.
    for notice in twin::prepare(&args.data).map(|prepared| prepared.notices).unwrap_or_default() {
        problems.add(notice.as_str());
        notices.push(notice);
    }
    let boot = Boot::new(args.boot.clone());
    let reset = obey_reset(&boot, &args.data, &problems);
    // After what makes this a new box: the old one's words go with the rest.
    let _last_part = (args.kept == "card").then(|| keep_on_card(&args.data, &problems)).flatten();
    let stored = stored_settings(&args.data);
    let is_first = stored.as_ref().is_none_or(|stored| *stored == Settings::default());
    let Intent { setup, settings, problems: wrong } = intent::read(&boot, &args.data, is_first, password::objection);
    for problem in wrong {
        problems.add(problem);
    }
    let (panel, dark) = Panel::start(&setup.lights, Path::new("/sys"));
    for problem in dark {
        problems.add(problem);
    }
    if let Some(gpio) = setup.button {
        let (boot, panel_of_button, problems_of_button) = (boot.clone(), panel.clone(), problems.clone());
        let obey = move |wish| obey_button(wish, &boot, &panel_of_button, &problems_of_button);
        if let Err(problem) = button::start(gpio, panel.clone(), obey) {
            problems.add(problem);
        }
    }
    let name = setup.name.clone().unwrap_or_else(name::own);
    if let Err(error) = nix::unistd::sethostname(&name) {
        problems.add(format!("The box cannot be called `{name}`: {error}."));
    }
    let own = setup.address.map(|address| network::Own { address, router: setup.router, dns: setup.dns.clone() });
    let remembers = own.is_none().then(|| args.data.clone());
    network::start(network::Plan { name: name.clone(), own, data: args.data.clone() })?;
    let told_by_twin = timekeeper::start(args.data.clone(), setup.router)?;
    let slots = args.card.as_deref().and_then(|device| Card::on_device(boot.clone(), device));
    if let Some(card) = args.card.filter(|_| args.kept == "card") {
        let (data, problems) = (args.data.clone(), problems.clone());
        std::thread::Builder::new().name("grow".into()).spawn(move || grow(&card, &data, &problems))?;
    }
    let pair_key = setup.pair_key.as_deref().map(Secret::pair_key).transpose().map_err(anyhow::Error::msg)?;
    let options = server::Options {
        data: args.data.clone(),
        first_settings: first_settings(&args.data, &setup, settings, stored, &problems)?,
        wall_trust: WallTrust::Kernel,
        twin: TwinOptions { listen: Some(([0, 0, 0, 0], DEFAULT_PORT).into()), addresses: Vec::new(), pair_key },
        notices,
        // Without a place that outlives a start nothing of an update would be known after it.
        card: slots.filter(|_| args.kept == "card"),
        timekeeper: Some(told_by_twin),
    };
    let web = WebOptions {
        http: vec![([0, 0, 0, 0], HTTP).into()],
        https: vec![([0, 0, 0, 0], HTTPS).into()],
        data: args.data.clone(),
        names: Vec::new(),
    };
    let served = serve_with_dashboard(options, web, |site| {
        // Else it was not used with the rest of its file, and is for its author to correct.
        if setup.password.is_some()
            && let Some(problem) = intent::take_password_out(&boot, args.kept == "card")
        {
            problems.add(problem);
        }
        watch(site, &panel, &problems, watchdog.as_ref());
        // Said in the log, and the box is found by its address.
        let announced = name::announce(&name).inspect_err(|error| tracing::warn!("{name}.local is not announced: {error}"));
        let teller = Teller {
            common: announced.as_ref().ok().cloned().map(name::Common::new),
            site: site.clone(),
            name: name.clone(),
            screen: Screen::new(boot.clone()),
            has_pair_key: setup.pair_key.is_some(),
            remembers,
            panel: panel.clone(),
            problems: problems.clone(),
        };
        if let Err(error) = teller.start(reset == Some(Reset::Unpair)) {
            problems.add(format!("STATUS.TXT is not written: its thread cannot be started ({error})."));
        }
        announced
    });
    let code = match served {
        Ok(code) => code,
        Err(error) => {
            panel.set(Sign::Fault);
            problems.add(format!("{error:#}"));
            let facts = Facts { name, rhythm: rhythm(Sign::Fault), problems: problems.all(), ..Facts::default() };
            Screen::new(boot).show_now(&facts, "The server could not start. It is tried again.", "its start");
            std::thread::sleep(FAULT_SHOWN);
            return Err(error);
        }
    };
    // What starts next takes a while; nobody shall take the power away meanwhile.
    panel.set(if code == DONE { Sign::Off } else { Sign::Updating });
    std::thread::sleep(TELL_INTERVAL);
    Ok(code)
}

/// A reset goes the way of the file: it is written down, and followed at the start that comes right after.
fn obey_button(wish: Wish, boot: &Boot, panel: &Panel, problems: &Problems) {
    match wish {
        Wish::ShowAddress => count_out(panel, &network::addresses()),
        Wish::Reset(reset) => match boot.write(reset::FILE, reset.word().as_bytes()) {
            Ok(()) => {
                tracing::warn!("the button was held: {}", reset.word());
                // SAFETY: it only asks this very process to end in order; init starts it again.
                unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
            }
            Err(error) => {
                problems.add(format!("The button was held, but nothing was reset: the card cannot be written ({error})."))
            }
        },
    }
}

/// Who has no screen counts the blinks: the last part of the address.
fn count_out(panel: &Panel, addresses: &[std::net::Ipv4Addr]) {
    if let Some(address) = addresses.first() {
        let last = address.octets()[3].to_string();
        panel.count_out(last.bytes().map(|digit| digit - b'0').collect());
    }
}

fn keep_on_card(data: &Path, problems: &Problems) -> Option<log::on_card::OnCard> {
    let started = log::on_card::start(&data.join(LOG_ON_CARD));
    started
        .inspect_err(|error| problems.add(format!("The log is not kept on the card: its thread cannot be started ({error}).")))
        .ok()
}

/// The one that is left for when the server runs.
fn obey_reset(boot: &Boot, data: &Path, problems: &Problems) -> Option<Reset> {
    let reset = match reset::take(boot) {
        Ok(reset) => reset?,
        Err(problem) => {
            problems.add(problem);
            return None;
        }
    };
    let done = match reset {
        Reset::Password => forget_password(data),
        Reset::Factory => reset::forget_everything(data).map_err(Into::into),
        Reset::Unpair => Ok(()),
        Reset::Adopt => adopt(data),
    };
    problems.add(match done {
        Ok(()) => reset.done().to_owned(),
        Err(error) => format!("RESET.TXT was not followed: {error:#}. Write it anew; if this comes again, flash the card anew."),
    });
    Some(reset)
}

fn adopt(data: &Path) -> anyhow::Result<()> {
    // The one of before knows nothing of them, and would give them to others.
    let held = store::view(data, WallTrust::Kernel).map_or(0, |here| {
        let now = here.clock.now();
        here.bindings.iter().filter(|binding| binding.state.is_lease() && binding.is_held(now)).count()
    });
    anyhow::ensure!(
        held == 0,
        "{held} devices have addresses that were given since the card is here, of which the box of before knows nothing. Take those back on the page Devices, or wait until they have run out"
    );
    twin::adopt(data).map_err(anyhow::Error::msg)
}

fn forget_password(data: &Path) -> anyhow::Result<()> {
    let Some(settings) = stored_settings(data) else { return Ok(()) };
    let access = Access { password: None, ..settings.access };
    let place = Place { data: data.into() };
    door::submit(&place, Command::Put(Record::Access(access)))?.map_err(anyhow::Error::msg)
}

/// `None`: there is no database, or none that can be read; the server will say so.
fn stored_settings(data: &Path) -> Option<Settings> {
    match store::view(data, WallTrust::Kernel) {
        Ok(loaded) => Some(loaded.settings),
        Err(StoreError::Missing(_)) => None,
        Err(error) => {
            tracing::warn!("{error}");
            None
        }
    }
}

/// What a fresh database begins with. Where one has settings already, only a password is taken over, if none is set.
fn first_settings(
    data: &Path,
    setup: &Setup,
    settings: Option<Settings>,
    stored: Option<Settings>,
    problems: &Problems,
) -> anyhow::Result<Option<Settings>> {
    let hashed = setup.password.as_deref().map(|password| match &setup.pair_key {
        Some(pair_key) => password::hash_of_pair(password, pair_key),
        None => password::hash(password),
    });
    match stored {
        Some(stored) if stored != Settings::default() => {
            match hashed {
                Some(_) if stored.access.is_claimed() => problems.add(
                    "setup.txt has a password, but one is set already, so it was not used. To set another: sign in, or put RESET.TXT with the word password beside it.",
                ),
                Some(hash) => {
                    let place = Place { data: data.into() };
                    let access = password::with_password(&stored, hash);
                    door::submit(&place, Command::Put(Record::Access(access)))?.map_err(anyhow::Error::msg)?;
                }
                None => {}
            }
            Ok(None)
        }
        Some(_) | None => {
            let settings = settings.unwrap_or_default();
            let access = hashed.map_or_else(|| settings.access.clone(), |hash| password::with_password(&settings, hash));
            Ok(Some(Settings { access, ..settings }))
        }
    }
}

fn grow(card: &Path, data: &Path, problems: &Problems) {
    match card::grow(card, data) {
        Ok(Some(size_mb)) => tracing::info!("the data partition has {size_mb} MB now"),
        Ok(None) => {}
        Err(problem) => problems.add(problem),
    }
}

/// The watchdog, where there is one.
fn open_watchdog(problems: &Problems) -> Option<Watchdog> {
    if fs::read_to_string("/proc/cmdline").unwrap_or_default().split_whitespace().any(|word| word == WATCHDOG_OFF) {
        tracing::warn!("the watchdog is off, by the kernel argument {WATCHDOG_OFF}");
        return None;
    }
    watchdog::open(Path::new(WATCHDOG)).map_err(|error| no_watchdog(&error, problems)).ok()
}

fn no_watchdog(error: &std::io::Error, problems: &Problems) {
    problems.add(format!("The hardware's watchdog is not in use ({error}): if this box hangs, switch it off and on."));
}

/// The light, and what the watchdog is fed for.
fn watch(site: &Site, panel: &Panel, problems: &Problems, watchdog: Option<&Watchdog>) {
    let parts = follow::packet_loop(site.handle().clone(), panel.clone()).and_then(|packets| {
        let store = site.archive().alive.clone();
        Ok(vec![("the packet loop", packets), ("the store", store), ("the dashboard", follow::dashboard(HTTP)?)])
    });
    let Some(watchdog) = watchdog else { return };
    match parts {
        Ok(parts) => watchdog.watch(parts),
        Err(error) => {
            watchdog.watch(Vec::new());
            no_watchdog(&error, problems);
        }
    }
}

/// Keeps STATUS.TXT, the screen and the common name up to date.
struct Teller {
    site: Site,
    common: Option<name::Common>,
    name: String,
    screen: Screen,
    has_pair_key: bool,
    /// Where the address is kept that the box serves by, if it was told none.
    remembers: Option<PathBuf>,
    panel: Panel,
    problems: Problems,
}

impl Teller {
    /// A thread of its own: a slow card delays nothing else.
    fn start(mut self, shall_unpair: bool) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new().name("screen".into()).spawn(move || {
            runtime.block_on(async {
                if shall_unpair && let Err(why) = unpair(&self.site).await {
                    self.problems.add(format!("The twin is not forgotten: {why}"));
                }
                let (mut counted, mut remembered) = (Vec::new(), Vec::new());
                while let Ok(house) = self.site.house().await {
                    let facts = self.facts(&house);
                    if let Some(common) = &mut self.common {
                        common.set(name::is_common_here(&house.status));
                    }
                    if house.status.subnets.is_empty() && facts.addresses != counted {
                        counted.clone_from(&facts.addresses);
                        count_out(&self.panel, &counted);
                    }
                    if let Some(data) = self.remembers.as_deref()
                        && !house.status.interfaces.is_empty()
                        && facts.addresses != remembered
                    {
                        match address::remember(data) {
                            Ok(()) => remembered.clone_from(&facts.addresses),
                            Err(error) => tracing::warn!("this box's address cannot be kept for its next start: {error}"),
                        }
                    }
                    self.screen.show(&facts, &shell::sentence(&house), &report::date(&house.clock, house.now));
                    tokio::time::sleep(TELL_INTERVAL).await;
                }
            });
        })?;
        Ok(())
    }

    fn facts(&self, house: &House) -> Facts {
        let status = &house.status;
        let mut problems = self.problems.all();
        problems.extend(self.screen.trouble());
        problems.extend(self.site.handle().updates().problem());
        problems.extend(self.site.handle().board().around().doubled);
        problems.extend(status.trouble.iter().chain(&status.notices).chain(&status.not_listening).cloned());
        // Why two that shall be twins are none yet.
        let unpaired = self.site.link().filter(|link| self.has_pair_key && !link.is_paired());
        problems.extend(unpaired.and_then(|link| link.facts()["pairing"].as_str().map(str::to_owned)));
        let mut told = HashSet::new();
        problems.retain(|problem| told.insert(problem.clone()));
        let twin = match status.twin.as_ref() {
            None => "none".to_owned(),
            Some(twin) => {
                let name = house.twin_name.as_deref().unwrap_or("not met yet");
                let is_heard = twin.partner.as_ref().is_some_and(|partner| partner.in_contact);
                format!("{name}, {}", if is_heard { "in contact" } else { "silent" })
            }
        };
        let rhythm = rhythm(led::sign(status, house.around));
        Facts { name: self.name.clone(), addresses: network::addresses(), rhythm, twin, problems }
    }
}

async fn unpair(site: &Site) -> Result<(), String> {
    if let Some(link) = site.link().filter(|link| link.is_paired()) {
        link.unpair().await?;
    }
    let told = |stopped: twinlease::runtime::handle::Stopped| stopped.to_string();
    if site.handle().read(|node, _| node.memory().is_some()).await.map_err(told)? {
        site.handle().submit(Command::Twin(TwinCommand::Unpair)).await.map_err(told)??;
    }
    Ok(())
}

pub(super) fn rhythm(sign: Sign) -> String {
    format!("{} ({})", led::pattern(sign).name, sign.word().replace('-', " "))
}
