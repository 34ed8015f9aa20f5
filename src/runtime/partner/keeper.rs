//! Starts and ends what the link consists of, and does what its owner orders: the only one that pairs and unpairs.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle as Task, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    CodeFacts, Discovery, Inbound, dial, discovery, heard,
    key::{PublicKey, random},
    lane,
    meet::{self, Failure},
    pairing::{Refusal, Secret},
    queue::Lane,
    record::Step,
    server,
    shared::{News, Shared},
    snapshot,
    tls::{self, Expect},
    update,
};

/// Two for heartbeats: a lost packet holds up one of them only.
const LANES: [Lane; 4] = [Lane::Beats, Lane::Beats, Lane::Records, Lane::Pages];
const TICK: Duration = Duration::from_secs(1);
/// Between two rounds of calling those who may have the same pair key.
const PAIR_KEY_INTERVAL: Duration = Duration::from_secs(3);
/// Called in one round. Each call is one guess at the pair key for whoever answers, so those who make up many nodes do not get many.
const CALLS_MAX: usize = 4;
/// Between two notices of a node with this one's identity.
const CLONE_PAUSE: Duration = Duration::from_secs(60);
/// A node that another one has called with a wrong key listens again by then.
const CALL_AGAIN: Duration = Duration::from_millis(600);
const PAIR_KEY_JITTER_MS: u64 = 2000;
/// What is queued when the link stops is still sent, if the twin takes it.
const FAREWELL: Duration = Duration::from_secs(1);
/// The server's loop is never this long away.
const INBOUND_PATIENCE: Duration = Duration::from_secs(2);

/// What the owner wants, with a place for the answer.
pub enum Order {
    ShowCode(oneshot::Sender<Result<CodeFacts, String>>),
    HideCode,
    EnterCode { secret: Secret, address: Option<SocketAddr>, reply: oneshot::Sender<Result<(), String>> },
    SetPairKey(Option<Secret>),
    Unpair(oneshot::Sender<Result<(), String>>),
}

pub struct Keeper {
    shared: Arc<Shared>,
    lanes: JoinSet<()>,
    meeting: Option<Meeting>,
    pair_key_after: Instant,
    /// Whom the next round begins with, in the order of addresses.
    next_call: usize,
    /// The twin that the server's loop knows of.
    told: Option<PublicKey>,
    /// When it was last said that a node with this one's identity is heard.
    clone_told: Option<Instant>,
}

/// The one attempt to pair that is under way.
struct Meeting {
    task: Task<Result<(), Failure>>,
    reply: Option<oneshot::Sender<Result<(), String>>>,
}

/// Never, where none is under way.
async fn outcome(meeting: &mut Option<Meeting>) -> Result<(), String> {
    match meeting {
        None => std::future::pending().await,
        Some(meeting) => match (&mut meeting.task).await {
            Ok(met) => met.map_err(|failure| failure.to_string()),
            Err(error) => Err(format!("The pairing ended by a defect: {error}.")),
        },
    }
}

impl Keeper {
    pub fn new(shared: Arc<Shared>) -> Keeper {
        let told = *shared.partner.borrow();
        Keeper {
            shared,
            lanes: JoinSet::new(),
            meeting: None,
            pair_key_after: Instant::now(),
            next_call: 0,
            told,
            clone_told: None,
        }
    }

    pub async fn run(
        mut self,
        listen: SocketAddr,
        discovery: Discovery,
        mut orders: mpsc::Receiver<Order>,
        mut news: mpsc::Receiver<News>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let mut services = JoinSet::new();
        services.spawn(server::run(Arc::clone(&self.shared), listen));
        if let Some(port) = discovery.beacon_port {
            services.spawn(discovery::beacons(Arc::clone(&self.shared), port));
        }
        if discovery.mdns {
            services.spawn(discovery::mdns(Arc::clone(&self.shared)));
        }
        if self.shared.partner.borrow().is_some() {
            self.start_lanes();
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Dropped without a word: stop too.
                _ = &mut stopped => break,
                Some(order) = orders.recv() => self.order(order).await,
                Some(news) = news.recv() => self.news(news).await,
                met = outcome(&mut self.meeting) => self.met(met).await,
                _ = tick.tick() => self.tick().await,
                Some(ended) = services.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!("a part of the twin link has ended by a defect: {error}");
                    }
                }
            }
        }
        self.shared.closing.send_replace(true);
        let sent = async { while self.lanes.join_next().await.is_some() {} };
        let _ = timeout(FAREWELL, sent).await;
    }

    async fn order(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::ShowCode(reply) => {
                let mut desk = self.shared.desk.lock().await;
                let shown = desk.show_code(now);
                self.shared.publish(&desk, now);
                let _ = reply.send(shown.map(|code| code.facts(now)));
            }
            Order::HideCode => {
                let mut desk = self.shared.desk.lock().await;
                desk.hide_code();
                self.shared.publish(&desk, now);
            }
            Order::EnterCode { secret, address, reply } => match self.whom(address).await {
                Ok(address) => self.meet(address, secret, reply),
                Err(refusal) => drop(reply.send(Err(refusal))),
            },
            Order::SetPairKey(pair_key) => self.shared.desk.lock().await.set_pair_key(pair_key),
            Order::Unpair(reply) => drop(reply.send(self.unpair().await)),
        }
    }

    /// Whom a person means who gives no address.
    async fn whom(&self, address: Option<SocketAddr>) -> Result<SocketAddr, String> {
        if self.shared.desk.lock().await.is_paired() {
            return Err("This node already has a twin. Unpair first, or replace a dead one.".into());
        }
        if self.meeting.is_some() {
            return Err("This node is being paired at this moment. Try again in some seconds.".into());
        }
        if let Some(address) = address {
            return Ok(address);
        }
        let facts = self.shared.facts(Instant::now());
        let (taken, free): (Vec<_>, Vec<_>) = facts.found.into_iter().partition(|found| found.paired);
        match (free.as_slice(), taken.as_slice()) {
            ([one], _) => Ok(one.address),
            ([], []) => Err(Failure::Trouble(dial::Trouble::NoAddress).to_string()),
            ([], [..]) => {
                Err("The other nodes on this network all have a twin already. Unpair the one that is meant first.".into())
            }
            (several, _) => {
                let names: Vec<String> = several.iter().map(|found| format!("{} at {}", found.name, found.address)).collect();
                Err(format!(
                    "Several nodes are on this network: {}. Give the address of the one that shows the code.",
                    names.join(", ")
                ))
            }
        }
    }

    fn meet(&mut self, address: SocketAddr, secret: Secret, reply: oneshot::Sender<Result<(), String>>) {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move { meet::meet(&shared, address, secret).await });
        self.meeting = Some(Meeting { task, reply: Some(reply) });
    }

    async fn unpair(&mut self) -> Result<(), String> {
        if let Some(meeting) = self.meeting.take() {
            meeting.task.abort();
            meeting.reply.map(|reply| reply.send(Err("The pairing was broken off.".into())));
        }
        let mut desk = self.shared.desk.lock().await;
        if desk.record().is_none() {
            return Err("This node has no twin.".into());
        }
        desk.unpair().map_err(|refusal| refusal.to_string())?;
        desk.set_pair_key(None);
        // What came of an earlier attempt is of the past.
        self.shared.live.send_modify(|live| live.pairing = None);
        self.shared.publish(&desk, Instant::now());
        drop(desk);
        self.settle().await;
        Ok(())
    }

    async fn news(&mut self, news: News) {
        match news {
            News::Settle => self.settle().await,
            News::Found(found) => {
                let (id, is_new) = (found.id, !self.shared.live.borrow().found.contains_key(&found.id));
                self.shared.note_found(found, Instant::now());
                let twin = self.shared.live.borrow().record.as_ref().map(|record| record.key.fingerprint().prefix());
                if is_new && twin == Some(id) {
                    self.shared.called.notify_waiters();
                }
            }
            News::Cloned(from) => {
                let notice = format!("{} A node with it is heard from {}.", Refusal::SameIdentity, from.ip());
                // Whoever forges such beacons from ever new addresses shall not fill the journal.
                if self.clone_told.is_none_or(|told| told.elapsed() >= CLONE_PAUSE) {
                    self.clone_told = Some(Instant::now());
                    let _ = self.shared.inbound.try_send(Inbound::Notice(notice.clone()));
                }
                self.shared.live.send_modify(|live| live.pairing = Some(notice));
            }
        }
    }

    async fn met(&mut self, met: Result<(), String>) {
        let reply = self.meeting.take().and_then(|meeting| meeting.reply);
        self.settle().await;
        let words = match &met {
            Ok(()) => "The two are twins now.".to_owned(),
            Err(why) => why.clone(),
        };
        if self.shared.live.borrow().pairing.as_ref() != Some(&words) {
            tracing::info!("pairing: {words}");
        }
        self.shared.live.send_modify(|live| live.pairing = Some(words));
        reply.map(|reply| reply.send(met));
    }

    async fn tick(&mut self) {
        self.settle().await;
        self.remember_address();
        let has_twin = self.shared.partner.borrow().is_some() && !self.shared.standing.borrow().may_take_back;
        let is_agreed = self.shared.live.borrow().record.as_ref().is_some_and(|record| record.step == Step::Agreed);
        if self.meeting.is_some() || (has_twin && !is_agreed) || Instant::now() < self.pair_key_after {
            return;
        }
        // Two that call each other at the same moments would find each other busy again and again.
        let jitter_ms = u64::from(u16::from_be_bytes(random())) % PAIR_KEY_JITTER_MS;
        self.pair_key_after = Instant::now() + PAIR_KEY_INTERVAL + Duration::from_millis(jitter_ms);
        let desk = self.shared.desk.lock().await;
        let (record, secret) = (desk.record().cloned(), desk.pair_key().cloned());
        drop(desk);
        match (record, secret) {
            // Decided before, maybe before a restart: told again until it is heard.
            (Some(record), _) if record.step == Step::Agreed => {
                let shared = Arc::clone(&self.shared);
                let task = tokio::spawn(async move { meet::commit(&shared, &record).await });
                self.meeting = Some(Meeting { task, reply: None });
            }
            (_, Some(secret)) => self.call_those_with_the_key(secret),
            (_, None) => {}
        }
    }

    /// Where the twin answers now, for the next start.
    fn remember_address(&self) {
        let live = self.shared.live.borrow();
        let (Some(address), Some(record), Some(_)) = (live.address, &live.record, live.connected_since) else { return };
        if record.step != Step::Paired || record.address == Some(address) {
            return;
        }
        drop(live);
        let shared = Arc::clone(&self.shared);
        // The card may take its time; heartbeats go on.
        tokio::task::spawn_blocking(move || {
            let mut desk = shared.desk.blocking_lock();
            match desk.set_address(address) {
                Ok(()) => shared.publish(&desk, Instant::now()),
                Err(refusal) => tracing::warn!("the twin's address is not kept: {refusal}"),
            }
        });
    }

    /// One after the other, as long as none of them is the twin.
    fn call_those_with_the_key(&mut self, secret: Secret) {
        let found = self.shared.facts(Instant::now()).found;
        let heard = found.iter().filter(|found| !found.paired).map(|found| found.address);
        let addresses = round(&self.shared.configured, heard, &mut self.next_call);
        if addresses.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let mut met = Ok(());
            for address in addresses {
                met = meet::meet(&shared, address, secret.clone()).await;
                if matches!(met, Err(Failure::Refused(Refusal::TooFast { .. } | Refusal::Busy))) {
                    // Somebody else has just called there: once more, when that is over.
                    sleep(CALL_AGAIN + Duration::from_millis(u64::from(u8::from_be_bytes(random())))).await;
                    met = meet::meet(&shared, address, secret.clone()).await;
                }
                let is_settled = shared.desk.lock().await.is_paired() && !shared.standing.borrow().may_take_back;
                if met.is_ok() || is_settled {
                    break;
                }
            }
            met
        });
        self.meeting = Some(Meeting { task, reply: None });
    }

    /// Makes the link what the record on disk says.
    async fn settle(&mut self) {
        let record = self.shared.desk.lock().await.paired().cloned();
        let key = record.as_ref().map(|record| record.key);
        if self.told == key {
            return;
        }
        self.lanes.shutdown().await;
        // Nobody is let in between one twin and the next.
        self.shared.partner.send_replace(None);
        self.shared.queue.clear();
        let told = match &record {
            Some(record) => Inbound::Paired(Box::new(record.clone())),
            None => Inbound::Unpaired,
        };
        // Before the first envelope. What finds no room is told at the next tick.
        if !matches!(timeout(INBOUND_PATIENCE, self.shared.inbound.send(told)).await, Ok(Ok(()))) {
            return;
        }
        self.told = key;
        self.shared.live.send_modify(|live| {
            live.address = record.as_ref().and_then(|record| record.address);
            (live.called_from, live.trouble, live.heard) = (None, None, None);
            (live.round_trip, live.software, live.clock_skew_ms) = (None, None, None);
            (live.snapshot_sent, live.snapshot_kept, live.snapshot_trouble) = (None, None, None);
        });
        self.shared.partner.send_replace(key);
        match record {
            Some(record) => {
                tracing::info!("paired with {} ({})", record.name, record.key.fingerprint().prefix());
                self.start_lanes();
            }
            None => tracing::info!("this node has no twin any more"),
        }
    }

    fn start_lanes(&mut self) {
        let Some(partner) = *self.shared.partner.borrow() else { return };
        let config = tls::client_config(&self.shared.identity, Expect::Only(partner));
        for lane in LANES {
            self.lanes.spawn(lane::run(Arc::clone(&self.shared), lane, Arc::clone(&config)));
        }
        self.lanes.spawn(heard::run(Arc::clone(&self.shared), Arc::clone(&config)));
        self.lanes.spawn(snapshot::run(Arc::clone(&self.shared), Arc::clone(&config)));
        self.lanes.spawn(update::run(Arc::clone(&self.shared), config));
    }
}

/// Those that the owner named, and some of those that were heard: every one has its turn.
fn round(configured: &[SocketAddr], heard: impl Iterator<Item = SocketAddr>, next: &mut usize) -> Vec<SocketAddr> {
    let heard: BTreeSet<SocketAddr> = heard.filter(|address| !configured.contains(address)).collect();
    let calls = CALLS_MAX.min(heard.len());
    let start = next.checked_rem(heard.len()).unwrap_or(0);
    *next = start + calls;
    configured.iter().copied().chain(heard.iter().copied().cycle().skip(start).take(calls)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_of_calls_is_short_and_everybody_has_a_turn() {
        let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 8067));
        let (configured, mut next) = ([address(1)], 0);
        let mut called = BTreeSet::new();
        for _ in 0..8 {
            let addresses = round(&configured, (1..=30).map(address), &mut next);
            assert_eq!((addresses[0], addresses.len()), (address(1), 1 + CALLS_MAX));
            called.extend(addresses);
        }
        assert_eq!(called.len(), 30);
        assert_eq!(round(&[], [address(2), address(2)].into_iter(), &mut next), [address(2)], "once, where two were heard there");
        assert_eq!(round(&[], std::iter::empty(), &mut next), []);
    }
}
