//! The loop: gather what has happened → `Node::handle` → perform. Never blocks on a disk, a terminal or a browser.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    alerts::{self, Board},
    appliance::timekeeper::TwinsWord,
    arp::Arp,
    clock::{self, Clock, Sleep, Slept, WallTrust},
    control::{self, Control, twin::TwinLink},
    doubled::Doubled,
    drill::Follower,
    handle::{Handle, Message, Saved},
    journal::{Journal, Kind},
    links::Links,
    live::Beat,
    log::{DecisionLog, forward},
    metrics::{InFlight, Metrics, UnderWay},
    outbox::SendTrouble,
    partner::Inbound,
    presence::Presence,
    served,
    socket::{DHCP_PORTS, Sockets},
    store::{self, Archive, Report, StoreHandle},
    twin::{self, Twin, TwinOptions},
    update::{self, Card},
    who_has::{Answer, Questions},
};
use crate::{
    protocol::{
        Action, Command, Commit, Event, Interface, Node, Reply, TwinCommand,
        explain::spell,
        failover::{Body, State},
        lease::HwAddr,
        node::differences,
        replica::Edited,
        time::Time,
    },
    settings::{self, Settings},
};

/// How often what failed is tried again: sockets, interfaces without an address, the wall clock.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// How long a stopping server waits for its disk.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);
/// Commands and look-ups taken between two batches of packets.
const MESSAGES_PER_TURN: usize = 8;

#[derive(Debug)]
pub struct Options {
    /// Database, snapshots and the control socket live here.
    pub data: PathBuf,
    /// Taken over at the first start only; afterwards the database knows better.
    pub first_settings: Option<Settings>,
    pub wall_trust: WallTrust,
    pub twin: TwinOptions,
    /// What the owner must be told of the time before, in sentences.
    pub notices: Vec<String>,
    /// That this was started from; `None`: it is updated by hand.
    pub card: Option<Card>,
    /// Who sets this machine's clock by the twin's where it has no better; `None`: that is another program's business.
    pub timekeeper: Option<std::sync::mpsc::Sender<TwinsWord>>,
}

/// What whoever shows the server to people is given.
pub struct Ways {
    pub handle: Handle,
    /// `None`: the link to a twin is off.
    pub link: Option<Arc<dyn TwinLink>>,
    /// What was, and where what happens is noted.
    pub archive: Archive,
    pub data: PathBuf,
}

/// The roles of a pair are switched every day, and no file hears of it.
fn as_switched(file: Settings, loaded: &store::Loaded) -> Settings {
    match &loaded.memory {
        Some(_) => Settings { twin: settings::Twin { active: loaded.settings.twin.active, ..file.twin }, ..file },
        None => file,
    }
}

/// Serves until SIGTERM or SIGINT. `open` is called once, when the node can be asked; what it returns is dropped when the
/// server stops.
pub fn run<W>(options: Options, open: impl FnOnce(Ways) -> W) -> anyhow::Result<()> {
    store::make_folder(&options.data)?;
    let prepared = twin::prepare(&options.data).with_context(|| format!("`{}` cannot be used", options.data.display()))?;
    let has_gone_back = options.card.as_ref().is_some_and(Card::has_gone_back);
    let left = if has_gone_back { store::leave_newer(&options.data)? } else { None };
    let (mut store, mut loaded) = store::open(&options.data, options.wall_trust)?;
    loaded.notices.extend(options.notices);
    loaded.notices.extend(left);
    loaded.notices.extend(prepared.notices.iter().cloned());
    for notice in &loaded.notices {
        tracing::error!("{notice}");
    }
    if let Some(settings) = options.first_settings {
        if loaded.settings == Settings::default() {
            let changes = differences(&loaded.settings, &settings);
            store.commit_now(&changes).map_err(|trouble| anyhow::anyhow!("The settings could not be stored: {trouble}"))?;
            loaded.settings = settings;
        } else if loaded.settings.for_file() != as_switched(settings, &loaded) {
            tracing::warn!(
                "The settings file is used at the first start only, and differs from what this server has. `twinlease import FILE` takes it over."
            );
        }
    }
    if loaded.settings.subnets.is_empty() {
        tracing::warn!(
            "No subnet is set up, so nobody is answered. `twinlease import FILE` brings settings; examples/home.toml shows how."
        );
    }
    if loaded.slept == Slept::Unknown {
        tracing::warn!(
            "The clock is not confirmed yet: until it is, leases from before this start run out later than they would."
        );
    }
    let pair = twin::at_start(&options.data, &mut loaded);
    let clock = loaded.clock;
    tracing::info!(
        leases = loaded.bindings.len(),
        reservations = loaded.settings.reservations.len(),
        "twinlease {} starts",
        env!("CARGO_PKG_VERSION")
    );
    let mut node = Node::new(loaded.settings, loaded.bindings, clock.epoch(), clock.now());
    node.set_newest_change(loaded.newest_change);
    let mut first_actions = Vec::new();
    match pair {
        Some(pair) => node.pair(clock.now(), pair, &mut first_actions),
        // A first start and a wiped card look the same from here.
        None if options.twin.pair_key.is_some() && node.leases().is_empty() => node.set_waiting_for_twin(),
        None => {}
    }
    if loaded.slept == Slept::Unknown {
        node.set_sleep_unknown();
    }
    if let Some(trouble) = loaded.trouble {
        node.set_trouble(trouble);
    }
    let (report_sender, reports) = mpsc::unbounded_channel();
    let archive = store.archive();
    let store = store.start(move |report| drop(report_sender.send(report)))?;
    let (handle, inbox) = Handle::new();
    handle.drills().keep_in(&options.data);
    handle.updates().begin(&options.data, options.card, archive.journal.clone());
    let drill = Follower::new(Arc::clone(handle.drills()));
    let beat = handle.beat();
    let board = Arc::clone(handle.board());
    let standing = twin::standing(&node, clock.now());
    let (twin, notices) = Twin::start(
        &options.data,
        prepared,
        options.twin,
        standing,
        options.wall_trust,
        (archive.presence.clone(), handle.updates()),
    );
    for notice in notices {
        tracing::error!("{notice}");
        loaded.notices.push(notice);
    }
    let link = twin.handle().map(|link| Arc::new(link) as Arc<dyn TwinLink>);
    let metrics = Arc::clone(handle.metrics());
    if let Err(error) = alerts::start(options.data.clone(), handle.clone(), link.clone()) {
        tracing::error!("There are no alerts: their thread cannot be started ({error}).");
    }
    let forwarding = forward::start(handle.clone())
        .inspect_err(|error| tracing::error!("The log goes to no syslog server: its thread cannot be started ({error})."));
    if let Err(error) = update::start(handle.clone(), options.data.clone()) {
        tracing::error!("There are no updates: their thread cannot be started ({error}).");
    }
    let shown = open(Ways { handle: handle.clone(), link: link.clone(), archive: archive.clone(), data: options.data.clone() });
    // Without this door DHCP is served all the same: a disk too full for a socket file takes nobody's address.
    let control = control::start(&options.data, handle, link).inspect_err(|error| {
        tracing::error!(
            "`{}` cannot be made ({error}), so `twinlease status` and the like do not reach this server. Look at the length of that path, its rights and its disk, then start again.",
            control::socket_path(&options.data).display()
        );
    });
    let control = control.ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut server = Server {
            node,
            clock,
            store,
            sockets: Sockets::new(DHCP_PORTS),
            arp: Arp::default(),
            questions: Questions::default(),
            doubled: Doubled::default(),
            board,
            twin,
            timekeeper: options.timekeeper,
            interfaces: Vec::new(),
            actions: first_actions,
            replies: Vec::new(),
            commits: Vec::new(),
            waiting: HashMap::new(),
            next_command: 0,
            log: DecisionLog::default(),
            metrics,
            in_flight: InFlight::default(),
            undelivered: 0,
            under_way: UnderWay::default(),
            drill,
            told_trouble: false,
            told_state: State::Alone,
            beat,
            journal: archive.journal,
            presence: archive.presence,
        };
        server.journal.note(Kind::Run, format!("twinlease {} starts.", env!("CARGO_PKG_VERSION")));
        server.perform();
        for notice in loaded.notices {
            server.journal.note(Kind::Other, notice.as_str());
            server.handle(Event::Notice(notice));
        }
        server.serve(reports, inbox, control.as_ref()).await
    });
    drop(shown);
    if let Some(control) = control {
        control.stop();
    }
    drop(forwarding);
    outcome
}

struct Server {
    node: Node,
    clock: Clock,
    store: StoreHandle,
    sockets: Sockets,
    arp: Arp,
    /// By ARP, for people.
    questions: Questions,
    doubled: Doubled,
    board: Arc<Board>,
    twin: Twin,
    timekeeper: Option<std::sync::mpsc::Sender<TwinsWord>>,
    interfaces: Vec<Interface>,
    actions: Vec<Action>,
    replies: Vec<Reply>,
    /// Of the actions that are being performed.
    commits: Vec<Commit>,
    /// Commands whose outcome is not known yet.
    waiting: HashMap<u64, oneshot::Sender<Result<Saved, String>>>,
    next_command: u64,
    log: DecisionLog,
    metrics: Arc<Metrics>,
    in_flight: InFlight,
    /// Replies since the start that did not leave.
    undelivered: u64,
    under_way: UnderWay,
    drill: Follower,
    /// The trouble of the disk that was logged last, until it is over.
    told_trouble: bool,
    /// The state of the pair that was logged last.
    told_state: State,
    /// For those who show what has changed.
    beat: Beat,
    journal: Journal,
    presence: Presence,
}

impl Server {
    async fn serve(
        mut self,
        mut reports: mpsc::UnboundedReceiver<Report>,
        mut inbox: mpsc::Receiver<Message>,
        control: Option<&Control>,
    ) -> anyhow::Result<()> {
        let mut links = Links::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut retry = interval(RETRY_INTERVAL);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = self.node.next_deadline().map(|due| Instant::now() + self.clock.now().until(due));
            // What woke the loop is handled at once; what else is ready follows below.
            tokio::select! {
                () = self.sockets.readable() => {}
                () = self.arp.readable() => {}
                () = sleep_until(deadline) => {}
                report = reports.recv() => match report {
                    Some(report) => self.report(report),
                    // Going on would leave every REQUEST without an answer: whoever started us may start us again.
                    None => bail!("The store's thread ended by a defect, so nothing can be made durable. Start twinlease again."),
                },
                Some(message) = inbox.recv() => self.message(message),
                inbound = self.twin.heard() => self.inbound(inbound),
                interfaces = links.changed() => {
                    self.interfaces = interfaces.clone();
                    self.handle(Event::Interfaces(interfaces));
                    self.update_sockets();
                }
                _ = retry.tick() => self.retry(),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
            while let Ok(report) = reports.try_recv() {
                self.report(report);
            }
            self.receive();
            if self.node.next_deadline().is_some_and(|due| due <= self.clock.now()) {
                self.handle(Event::Timer);
                self.tell_state();
            }
            for _ in 0..MESSAGES_PER_TURN {
                let Some(inbound) = self.twin.heard_already() else { break };
                self.inbound(inbound);
            }
            for _ in 0..MESSAGES_PER_TURN {
                let Ok(message) = inbox.try_recv() else { break };
                self.message(message);
            }
            self.send();
        }
        tracing::info!("twinlease stops");
        self.journal.note(Kind::Run, "twinlease stops.");
        control.inspect(|control| control.hide());
        self.store.begin_close();
        // What becomes durable while the store closes is still told, to each as soon as it is true.
        let patience = tokio::time::sleep(CLOSE_PATIENCE);
        tokio::pin!(patience);
        let hangs = loop {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => self.report(report),
                    None => break false,
                },
                () = &mut patience => break true,
                // Whoever asks twice will not wait.
                _ = terminate.recv() => break true,
                _ = interrupt.recv() => break true,
            }
            self.send();
        };
        self.twin.stop();
        if hangs {
            self.store.abandon();
            bail!(
                "The disk did not take what was waiting. Nobody was promised it; the rest is safe. Look at the disk; `dmesg` says more."
            );
        }
        self.store.close();
        Ok(())
    }

    fn handle(&mut self, event: Event<'_>) {
        self.node.handle(self.clock.now(), event, &mut self.actions);
        self.perform();
    }

    fn receive(&mut self) {
        let now = self.clock.now();
        // One look at the clock for the batch.
        let arrived = std::time::Instant::now();
        let (node, actions, in_flight) = (&mut self.node, &mut self.actions, &mut self.in_flight);
        // Locked for this batch: whoever looks on has to wait, and holds it for a copy only.
        let mut ear = self.presence.listen();
        self.sockets.receive(|datagram| {
            ear.datagram(datagram.payload);
            in_flight.asked(datagram.payload, arrived);
            node.handle(now, Event::Datagram(datagram), actions);
        });
        let (questions, doubled, interfaces, mut has_news) = (&mut self.questions, &mut self.doubled, &self.interfaces, false);
        self.arp.receive(|heard| {
            questions.heard(&heard);
            has_news |= doubled.heard(arrived, &heard, interfaces);
            ear.device(HwAddr::ethernet(heard.mac));
            node.handle(now, Event::ArpHeard { address: heard.address, mac: heard.mac }, actions);
        });
        drop(ear);
        if has_news {
            self.tell_doubled();
        }
        self.perform();
    }

    fn perform(&mut self) {
        if !self.actions.is_empty() {
            self.beat.beat();
        }
        let now = self.clock.now();
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Reply(reply) => self.replies.push(reply),
                Action::Probe { interface, address } => {
                    if let Err(error) = self.arp.send_probe(interface, address) {
                        tracing::warn!("{address} could not be probed: {error}");
                        self.node.handle(now, Event::NotAsked { address }, &mut self.actions);
                    }
                }
                Action::Commit(commit) => self.commits.push(commit),
                Action::Send(envelope) => {
                    if matches!(envelope.body, Body::Heartbeat(_)) {
                        self.metrics.heartbeats_sent.fetch_add(1, Relaxed);
                    }
                    self.twin.send(envelope);
                }
                Action::Done { id, result, change } => {
                    if let Some(done) = self.waiting.remove(&id) {
                        // Whoever asked may have gone away meanwhile.
                        let _ = done.send(result.map(|()| Saved { change }));
                    }
                }
                Action::Decided(decision) => self.log.write(now, &decision),
            }
        }
        self.hand_over(now);
        if self.actions.is_empty() {
            self.actions = actions;
        } else {
            self.perform();
        }
    }

    /// All that came of a batch of packets at once, so that it is one write and one sync of the disk.
    fn hand_over(&mut self, now: Time) {
        if self.commits.is_empty() {
            return;
        }
        let at = std::time::Instant::now();
        self.commits.iter().for_each(|commit| self.under_way.sent(commit.id, at));
        if let Err((ids, trouble)) = self.store.commit(self.commits.drain(..)) {
            self.under_way.refused(*ids.start(), &self.metrics);
            self.node.handle(now, Event::CommitFailed { ids, trouble }, &mut self.actions);
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Committed { up_to } => {
                self.under_way.committed(up_to, &self.metrics);
                self.handle(Event::Committed { up_to });
            }
            Report::Failed { ids, trouble } => {
                self.under_way.failed(*ids.end(), &self.metrics);
                self.handle(Event::CommitFailed { ids, trouble });
                self.tell_trouble();
            }
            Report::Recovered => {
                self.store.resume();
                self.handle(Event::StoreRecovered);
                self.tell_trouble();
            }
            Report::SnapshotMade(path) => {
                tracing::info!("snapshot made: {}", path.display());
                self.journal.note(Kind::Backup, "A backup was made.");
                self.twin.send_snapshot(path);
            }
            Report::SnapshotFailed(why) => {
                tracing::warn!("{why}");
                self.journal.note(Kind::Backup, format!("No backup could be made: {why}"));
            }
            Report::Damaged(why) => {
                tracing::error!("{why}");
                self.journal.note(Kind::Disk, why.as_str());
                self.handle(Event::Notice(why));
            }
        }
    }

    fn inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Envelopes(mut received) => {
                let now = self.clock.now();
                for envelope in received.envelopes.drain(..) {
                    if matches!(envelope.body, Body::Heartbeat(_)) {
                        self.metrics.heartbeats_received.fetch_add(1, Relaxed);
                    }
                    self.node.handle(now, Event::Partner(envelope), &mut self.actions);
                }
                self.perform();
            }
            Inbound::Paired(record) => {
                tracing::info!("paired with {}", record.name);
                self.journal.note(Kind::Pair, format!("Paired with {}.", record.name));
                let pair = twin::at_pairing(&self.node, &record);
                self.handle(Event::Paired(Box::new(pair)));
            }
            Inbound::Unpaired => {
                tracing::info!("the pairing is undone");
                self.journal.note(Kind::Pair, "The pairing is undone.");
            }
            Inbound::PartnerWall(wall_ms) => {
                let sleep = self.clock.confirm_by_twin(wall_ms);
                self.slept(sleep);
                if let Some(timekeeper) = &self.timekeeper {
                    // Where its thread is gone the dates are wrong, and nothing else.
                    let _ = timekeeper.send(TwinsWord::new(wall_ms));
                }
            }
            Inbound::Notice(notice) => {
                tracing::warn!("{notice}");
                self.journal.note(Kind::Pair, notice.as_str());
                self.handle(Event::Notice(notice));
            }
        }
        self.tell_state();
    }

    fn slept(&mut self, sleep: Option<Sleep>) {
        if let Some(sleep) = sleep {
            let off_secs = sleep.duration.as_secs();
            tracing::info!("the clock is confirmed: this machine was off for {off_secs} s");
            self.journal.note(Kind::Clock, format!("The clock is confirmed: this machine was off for {}.", spell(off_secs)));
            self.store.set_slept(sleep, self.clock.clone());
            self.handle(Event::Slept { before: sleep.before, duration: sleep.duration });
        }
    }

    /// One line whenever the pair stands otherwise.
    fn tell_state(&mut self) {
        let state = self.node.pair_state();
        if state != self.told_state {
            self.told_state = state;
            tracing::info!("this one is {state}");
            let wanted = self.node.wanted_interfaces();
            let is_asked_on =
                |interface: &&Interface| interface.up && interface.mac.is_some() && wanted.contains(&interface.name);
            let interface = self.interfaces.iter().find(is_asked_on);
            self.drill.follow(state, interface, || (twin::host_name(), self.twin.name()));
            self.journal.note(Kind::Pair, format!("This one is {state}."));
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Submit { by, command, done } => {
                let id = self.next_command;
                self.next_command += 1;
                self.waiting.insert(id, done);
                if let Command::Twin(TwinCommand::Drill { secs }) = *command {
                    self.drill.note_wish(&by, secs);
                }
                let by = Edited::new(&by, clock::wall_ms());
                self.handle(Event::Command { id, by, command });
                self.tell_state();
                // Settings may name other interfaces now.
                self.update_sockets();
            }
            Message::Read(look) => look(&self.node, &self.clock),
            Message::WhoHas { address, answered } => self.ask_who_has(address, answered),
        }
    }

    fn ask_who_has(&mut self, address: Ipv4Addr, answered: oneshot::Sender<Result<Answer, String>>) {
        let is_here = |interface: &&Interface| interface.addresses.iter().any(|net| net.contains(&address));
        let sent = match self.interfaces.iter().find(is_here) {
            Some(interface) => self.arp.send_probe(interface.index, address).map_err(|error| error.to_string()),
            None => Err("this server has no address in its network, so it is behind a router and cannot be asked".into()),
        };
        match sent {
            Ok(()) => self.questions.note(address, answered),
            // Whoever asked may have gone away meanwhile.
            Err(why) => drop(answered.send(Err(why))),
        }
    }

    /// Where pages, alerts and the light look; what is news is also a line of the log.
    fn tell_doubled(&mut self) {
        let sentences = self.doubled.sentences(std::time::Instant::now());
        for sentence in self.board.note_doubled(sentences) {
            tracing::warn!("{sentence}");
            self.journal.note(Kind::Interface, sentence);
        }
    }

    fn retry(&mut self) {
        self.update_sockets();
        for (interface, address) in self.doubled.to_ask(std::time::Instant::now(), &self.interfaces) {
            // An interface that is not served, or is down: nobody is answered there either.
            if let Err(error) = self.arp.send_probe(interface, address) {
                tracing::debug!("{address} is not asked for: {error}");
            }
        }
        self.tell_doubled();
        self.log.tick(self.clock.now());
        self.tell_trouble();
        if self.journal.is_due() || self.presence.is_due() {
            self.store.flush();
        }
        let sleep = self.clock.confirm_now();
        self.slept(sleep);
        self.twin.stand(&self.node, self.clock.now());
        let counters = self.sockets.counters();
        self.metrics.datagrams_received.store(counters.received, Relaxed);
        self.metrics.datagrams_sent.store(counters.sent, Relaxed);
        self.metrics.send_failures.store(counters.send_failures, Relaxed);
        self.metrics.kernel_drops.store(self.sockets.kernel_drops(), Relaxed);
    }

    /// One line when the disk's trouble begins, and one when it is over; commits that were under way fail one by one.
    fn tell_trouble(&mut self) {
        let trouble = self.node.disk_trouble(self.clock.now());
        if trouble.is_some() != self.told_trouble {
            self.told_trouble = trouble.is_some();
            match trouble {
                Some(trouble) => {
                    tracing::error!("clients are confirmed what they have, and nothing new is promised: {trouble}");
                    let text = format!("Devices are confirmed what they have, and nothing new is promised: {trouble}");
                    self.journal.note(Kind::Disk, text);
                }
                None => {
                    tracing::info!("the disk takes changes again");
                    self.journal.note(Kind::Disk, "The disk takes changes again.");
                }
            }
        }
    }

    fn update_sockets(&mut self) {
        let wanted = self.node.wanted_interfaces();
        for notice in self.sockets.update(&self.interfaces, &wanted) {
            self.journal.note(Kind::Interface, notice.to_string());
            match notice.state {
                served::State::Failed(_) => tracing::error!("{notice}"),
                served::State::Absent | served::State::Down | served::State::NoAddress => tracing::warn!("{notice}"),
                served::State::Serving | served::State::NotWanted => tracing::info!("{notice}"),
            }
        }
        self.handle(Event::NotListening(self.sockets.failures()));
        for notice in self.arp.update(&self.interfaces, &wanted) {
            tracing::warn!("{notice}");
        }
    }

    fn send(&mut self) {
        self.in_flight.answers(self.replies.iter().map(|reply| &reply.payload[..]));
        for SendTrouble { to, why, .. } in self.sockets.send(&mut self.replies) {
            self.undelivered += 1;
            // A network that is down takes thousands of them.
            if self.undelivered < 10 || self.undelivered.is_power_of_two() {
                tracing::warn!("a reply to {to:?} did not leave: {why} ({} since the start)", self.undelivered);
            }
        }
        self.in_flight.left(&self.metrics);
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
