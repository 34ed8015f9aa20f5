//! The thread that looks every few seconds, asks the rules, and keeps the queues moving.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Channel, Message, OpenAlert, probe, queue::Queue};
use crate::{
    protocol::{
        alerts::{self, Alert, ClockFacts, DiskFacts, Facts, Ledger, Phase, Voice},
        lease::{BindingState, HwAddr},
        node::Status,
        time::Time,
    },
    runtime::{
        clock::Clock,
        control::twin::TwinLink,
        disk,
        handle::{Handle, Stopped},
        report, rivals, store,
    },
    settings::alerts::Alerts,
};

const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// A loop that is busy for longer is looked at next time.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// Looks at what changes slowly: room on the disk, backups.
const SLOW_INTERVAL: Duration = Duration::from_secs(60);
/// Each look asks every server on the network for an address.
const PROBE_INTERVAL: Duration = Duration::from_secs(10 * 60);
const PROBE_FIRST_AFTER: Duration = Duration::from_secs(30);
/// Addresses in conflict that are looked at: the sentence names five.
const CONFLICTS_MAX: usize = 1024;
const LEDGER_FILE: &str = "alerts.json";

/// Starts the thread; it ends when the server does.
pub fn start(data: PathBuf, handle: Handle, link: Option<Arc<dyn TwinLink>>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build()?;
    std::thread::Builder::new().name("alerts".into()).spawn(move || {
        let (outcomes, heard) = mpsc::channel(16);
        let watch = Watch {
            ledger: load(&data),
            data,
            handle,
            link,
            node: nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            channels: Vec::new(),
            queues: BTreeMap::new(),
            outcomes,
            disk: DiskFacts::default(),
            slow_due: Time::ZERO,
            started: None,
            probe_due: None,
        };
        // It ends by an error only: the server has stopped.
        let _ = runtime.block_on(watch.run(heard));
        // A message under way is not waited for.
        runtime.shutdown_background();
    })?;
    Ok(())
}

struct Watch {
    data: PathBuf,
    handle: Handle,
    link: Option<Arc<dyn TwinLink>>,
    node: String,
    ledger: Ledger,
    channels: Vec<Channel>,
    queues: BTreeMap<&'static str, Queue>,
    outcomes: mpsc::Sender<(&'static str, Result<String, String>)>,
    disk: DiskFacts,
    slow_due: Time,
    started: Option<Time>,
    probe_due: Option<Time>,
}

/// The node, at one look.
struct Look {
    now: Time,
    clock: Clock,
    status: Status,
    settings: Alerts,
    in_conflict: Vec<Ipv4Addr>,
    clones: Vec<HwAddr>,
}

impl Watch {
    async fn run(mut self, mut heard: mpsc::Receiver<(&'static str, Result<String, String>)>) -> Result<(), Stopped> {
        let mut tick = interval(LOOK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clock: Option<Clock> = None;
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    if let Ok(look) = timeout(LOOK_PATIENCE, self.look()).await {
                        let look = look?;
                        self.judge(&look);
                        clock = Some(look.clock);
                    }
                }
                Some((channel, outcome)) = heard.recv() => {
                    if let Err(trouble) = &outcome {
                        tracing::warn!("an alert is not sent yet: {trouble}");
                    }
                    if let (Some(queue), Some(clock)) = (self.queues.get_mut(channel), &clock) {
                        queue.note(clock.now(), outcome);
                    }
                }
            }
            if let Some(clock) = &clock {
                self.send(clock.now());
            }
        }
    }

    async fn look(&mut self) -> Result<Look, Stopped> {
        let look = self.handle.read(|node, clock| {
            let now = clock.now();
            let declined = node.leases().iter().filter(|b| b.state == BindingState::Declined && b.is_held(now));
            let mut in_conflict: Vec<Ipv4Addr> =
                declined.map(|binding| binding.address).chain(node.leases().aside()).take(CONFLICTS_MAX).collect();
            in_conflict.sort_unstable();
            in_conflict.dedup();
            let clones = node.leases().clones().filter(|b| b.is_held(now)).map(|b| b.hw).take(CONFLICTS_MAX).collect();
            let settings = node.settings().alerts.clone();
            Look { now, clock: clock.clone(), status: node.status(now), settings, in_conflict, clones }
        });
        let look = look.await?;
        if self.started.is_none() {
            self.started = Some(look.now);
            self.ledger.resume(look.now);
        }
        if self.slow_due <= look.now {
            self.slow_due = look.now + SLOW_INTERVAL;
            let data = self.data.clone();
            let slow = tokio::task::spawn_blocking(move || (disk::facts(&data), store::newest_made(&data)));
            if let Ok((disk, backup_made)) = slow.await {
                self.disk = disk;
                self.handle.board().lock().backup_made = backup_made;
            }
        }
        Ok(look)
    }

    fn judge(&mut self, look: &Look) {
        let Look { now, clock, status, settings, in_conflict, clones } = look;
        let started = self.started.unwrap_or(*now);
        let speaks = alerts::speaks(status);
        if self.probe_due.unwrap_or(started + PROBE_FIRST_AFTER) <= *now && status.serving && speaks {
            self.probe_due = Some(*now + PROBE_INTERVAL);
            self.probe(status.interfaces.clone(), clock.clone());
        }
        let channels = Channel::all(settings);
        if channels != self.channels {
            self.queues.retain(|name, _| channels.iter().any(|channel| channel.name() == *name));
            self.queues.values_mut().for_each(Queue::try_now);
            self.channels = channels;
        }
        let around = self.handle.board().around();
        let rivals: Vec<String> = around.rivals.iter().map(super::SeenRival::sentence).collect();
        let skew_ms = self.link.as_ref().and_then(|link| link.facts().get("twin")?.get("clock_skew_ms")?.as_i64());
        let update = self.handle.updates().problem_and_scope();
        let facts = Facts {
            status,
            pool_percent_max: settings.pool_percent,
            in_conflict,
            doubled: &around.doubled,
            clones,
            rivals: &rivals,
            disk: &self.disk,
            backup_age: around.backup_made.map(|made| *now - made),
            clock: ClockFacts {
                trusted: clock.wall_trusted(),
                up_for: *now - started,
                skew: skew_ms.map(|ms| Duration::from_millis(ms.unsigned_abs())),
            },
            update: update.as_ref().map(|(scope, text)| (*scope, text.as_str())),
        };
        let voice = match (settings.quiet || self.channels.is_empty(), speaks) {
            (true, _) => Voice::Mute,
            (false, false) => Voice::Own,
            (false, true) => Voice::All,
        };
        let told = self.ledger.step(*now, alerts::findings(&facts), voice);
        for alert in &told {
            let message = self.words(alert, clock);
            tracing::info!("alert: {}: {}", message.title, message.text);
            for channel in &self.channels {
                self.queues.entry(channel.name()).or_default().push(message.clone());
            }
        }
        if !told.is_empty()
            && let Err(error) = save(&self.data, &self.ledger)
        {
            tracing::warn!("`{}` cannot be written ({error}): after a restart an all-clear may be missing", LEDGER_FILE);
        }
        let mut open: Vec<OpenAlert> = self
            .ledger
            .open()
            .filter(|(_, _, open)| open.holds)
            .map(|(kind, subject, open)| OpenAlert {
                kind,
                subject: subject.into(),
                text: open.text.clone(),
                since: open.since,
                told: open.told,
            })
            .collect();
        open.sort_by_key(|open| open.since);
        let channels = self
            .channels
            .iter()
            .map(|channel| (channel.name(), self.queues.get(channel.name()).map(Queue::state).unwrap_or_default()));
        let channels = channels.collect();
        let mut around = self.handle.board().lock();
        (around.open, around.channels) = (open, channels);
    }

    fn probe(&self, interfaces: Vec<String>, clock: Clock) {
        let (board, link) = (Arc::clone(self.handle.board()), self.link.clone());
        tokio::spawn(async move {
            let outcome = probe::look(&interfaces, link.as_deref(), rivals::PATIENCE).await;
            if let Err(trouble) = &outcome {
                tracing::debug!("nobody could be asked for other DHCP servers: {trouble}");
            }
            board.note_probe(clock.now(), outcome);
        });
    }

    fn words(&self, alert: &Alert, clock: &Clock) -> Message {
        let Alert { kind, subject, phase, text, since } = alert;
        let title = match phase {
            Phase::Begins => kind.title().to_owned(),
            Phase::GoesOn => format!("{} (still)", kind.title()),
            Phase::Over => format!("Over: {}", kind.title().to_lowercase()),
        };
        Message {
            event: kind.name(),
            subject: subject.clone(),
            phase: *phase,
            urgent: kind.is_urgent() && *phase != Phase::Over,
            title: format!("{}: {title}", self.node),
            text: text.clone(),
            node: self.node.clone(),
            at: report::date(clock, clock.now()),
            since: report::date(clock, *since),
            kind: *kind,
        }
    }

    /// One message of each channel at a time.
    fn send(&mut self, now: Time) {
        let channels: HashMap<&'static str, &Channel> = self.channels.iter().map(|channel| (channel.name(), channel)).collect();
        for (name, queue) in &mut self.queues {
            let Some(channel) = channels.get(name) else { continue };
            let Some(message) = queue.next(now) else { continue };
            let (channel, name, outcomes) = ((*channel).clone(), *name, self.outcomes.clone());
            tokio::task::spawn_blocking(move || {
                let outcome = channel.send(&message);
                // Nobody listens any more: the server stops.
                let _ = outcomes.blocking_send((name, outcome));
            });
        }
    }
}

/// What cannot be read is begun anew: an alert is told once more.
fn load(data: &Path) -> Ledger {
    let read = fs::read(data.join(LEDGER_FILE)).ok();
    read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn save(data: &Path, ledger: &Ledger) -> std::io::Result<()> {
    let making = data.join(format!("{LEDGER_FILE}.making"));
    let mut file = fs::File::create(&making)?;
    file.write_all(&serde_json::to_vec(ledger)?)?;
    file.sync_all()?;
    fs::rename(making, data.join(LEDGER_FILE))
}
