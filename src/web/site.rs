//! What every page is given: the house as it is now, and the ways to change it.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    access::Door,
    devices::device::{self, Asked},
    drawn::Drawn,
    host,
    live::Streams,
    visitor::Visitor,
};
use crate::{
    protocol::{
        Command,
        lease::{Binding, HwAddr},
        node::{Precheck, Status, TwinStatus},
        replica::ToReconcile,
        time::Time,
    },
    runtime::{
        clock::Clock,
        control::twin::TwinLink,
        drill::Report,
        handle::{Handle, Saved, Stopped},
        led::Around,
        presence::Known,
        store::{Archive, StoreError},
        update::View,
    },
    settings::Settings,
};

/// Pages that are asked for at the same time share one look at the node.
const HOUSE_AGE_MAX: Duration = Duration::from_millis(200);
/// With many devices a look is dear, for the devices too: it is good for so many times what it cost, so that the pages take
/// a tenth of one core at most, however many are open.
const REST: u32 = 10;
const REST_MAX: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Site {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle,
    link: Option<Arc<dyn TwinLink>>,
    archive: Archive,
    data: PathBuf,
    seen: Mutex<Seen>,
    /// Held by the one who looks at the node for all who wait.
    turn: tokio::sync::Mutex<()>,
    /// Held by the one who changes something.
    change: tokio::sync::Mutex<()>,
    door: Door,
    streams: Streams,
    /// Further names by which this device may be opened.
    names: Vec<String>,
}

#[derive(Default)]
struct Seen {
    last: Option<Taken>,
    /// When something was changed here last: a look from before, however late it comes, is not good any more.
    changed: Option<Instant>,
}

impl Seen {
    fn good(&self) -> Option<&Taken> {
        let is_current = |taken: &&Taken| self.changed.is_none_or(|changed| taken.began >= changed);
        self.last.as_ref().filter(is_current).filter(|taken| Instant::now() < taken.good_until())
    }
}

#[derive(Clone)]
struct Taken {
    /// All that had happened by then is in it.
    began: Instant,
    done: Instant,
    house: Arc<House>,
}

impl Taken {
    fn good_until(&self) -> Instant {
        self.done + (self.house.drawn.cost() * REST).clamp(HOUSE_AGE_MAX, REST_MAX)
    }
}

/// The node as it was a moment ago: all that pages show of it.
#[derive(Debug)]
pub struct House {
    /// This machine's name.
    pub host: String,
    /// `None`: it has no twin, or not met it yet.
    pub twin_name: Option<String>,
    /// Of the settings: a form carries it (`web::revision`).
    pub revision: u64,
    pub now: Time,
    pub clock: Clock,
    pub settings: Settings,
    /// Ordered by address.
    pub bindings: Vec<Binding>,
    pub status: Status,
    /// What must hold for a drill to begin here.
    pub drill_checks: Vec<Precheck>,
    /// The twin has the same leases, and the same settings; `None`: it is not heard.
    pub same: Option<(bool, bool)>,
    /// Of this node.
    pub last_drill: Option<Report>,
    /// Updates of the card.
    pub update: View,
    /// What the light needs to know beside the status.
    pub around: Around,
    pub to_reconcile: Vec<ToReconcile>,
    /// The latest decision about each device that asked since the start.
    pub asked: Asked,
    /// When devices were heard, by the wall clock.
    pub known: HashMap<HwAddr, Known>,
    pub drawn: Drawn,
}

impl House {
    /// Whether all settings are still those that this form was made from.
    pub fn is_as_seen(&self, form: &BTreeMap<String, String>) -> bool {
        form.get("revision").is_some_and(|seen| *seen == self.revision.to_string())
    }

    /// What is saved now is on this one alone: it has a twin that cannot be told.
    pub fn saves_here_only(&self) -> bool {
        let is_reached = |twin: &TwinStatus| twin.partner.as_ref().is_some_and(|partner| partner.in_contact);
        self.status.twin.as_ref().is_some_and(|twin| !is_reached(twin))
    }

    /// Where a change is that was just saved, as long as the twin cannot be told; `None`: it is on both, or there is no twin.
    pub fn saved_here_only(&self) -> Option<String> {
        let name = self.twin_name.as_deref().unwrap_or("the twin");
        let here = if self.host.is_empty() { "this one" } else { &self.host };
        self.saves_here_only()
            .then(|| format!("Saved on {here} only: {name} is not reachable. Nothing to do; {name} gets it when it is back."))
    }
}

impl Site {
    /// `link`: to the twin; `None` where it is off.
    /// `names`: by which this device is opened, beside its own.
    pub fn new(data: PathBuf, handle: Handle, link: Option<Arc<dyn TwinLink>>, archive: Archive, names: Vec<String>) -> Site {
        let (door, streams) = (Door::default(), Streams::default());
        let (seen, turn, change) = Default::default();
        Site { inner: Arc::new(Inner { handle, link, archive, data, seen, turn, change, door, streams, names }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most `HOUSE_AGE_MAX` old, or older where it was dear.
    pub async fn house(&self) -> Result<Arc<House>, Stopped> {
        let recent = || self.seen().good().map(|taken| Arc::clone(&taken.house));
        if let Some(house) = recent() {
            return Ok(house);
        }
        let _turn = self.inner.turn.lock().await;
        match recent() {
            Some(house) => Ok(house),
            None => self.fresh_house().await,
        }
    }

    /// With all that had happened by then in it; waits until there is one.
    pub async fn house_since(&self, then: Instant) -> Result<Arc<House>, Stopped> {
        loop {
            let wait_until = {
                let seen = self.seen();
                if let Some(taken) = seen.last.as_ref().filter(|taken| taken.began >= then) {
                    return Ok(Arc::clone(&taken.house));
                }
                seen.good().map(Taken::good_until)
            };
            match wait_until {
                Some(good_until) => tokio::time::sleep_until(good_until.into()).await,
                None => drop(self.house().await?),
            }
        }
    }

    /// As it is now: after a change.
    pub async fn fresh_house(&self) -> Result<Arc<House>, Stopped> {
        let began = Instant::now();
        let host = host_name();
        let facts = self.inner.link.as_ref().map(|link| link.facts());
        let twin_name = facts.and_then(|facts| facts["twin"]["name"].as_str().map(ToOwned::to_owned));
        let known = self.inner.archive.presence.all().into_iter().map(|known| (known.hw, known)).collect();
        let update = self.inner.handle.updates().view();
        let (around, last_drill) = (self.inner.handle.around(), self.inner.handle.drills().last());
        let mut house = self
            .inner
            .handle
            .read(move |node, clock| House {
                host,
                twin_name,
                revision: 0,
                now: clock.now(),
                clock: clock.clone(),
                settings: node.settings().clone(),
                bindings: node.leases().iter().cloned().collect(),
                status: node.status(clock.now()),
                drill_checks: node.drill_prechecks(clock.now()),
                same: node.has_same(clock.now()),
                last_drill,
                update,
                around,
                to_reconcile: node.to_reconcile(),
                asked: device::asked(node),
                known,
                drawn: Drawn::default(),
            })
            .await?;
        let last = self.seen().last.as_ref().map(|taken| Arc::clone(&taken.house));
        // Not between two packets, and not again for the same settings.
        house.revision = match last {
            Some(last) if last.settings == house.settings => last.revision,
            _ => revision(&house.settings),
        };
        house.bindings.sort_unstable_by_key(|binding| binding.address);
        let done = Instant::now();
        house.drawn.costs(done - began);
        let house = Arc::new(house);
        self.seen().last = Some(Taken { began, done, house: Arc::clone(&house) });
        Ok(house)
    }

    /// For who looks whether something is as a form has seen it, and then changes it: nobody else does in between.
    pub async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.change.lock().await
    }

    /// The inner error: refused, with a sentence. When this returns well, the change is on disk.
    /// `Saved::change` is for the `Undo` of a notice.
    pub async fn submit(&self, by: &Visitor, command: Command) -> Result<Result<Saved, String>, Stopped> {
        let outcome = self.inner.handle.submit_as(&by.author, command).await;
        // The page that follows shall show it.
        self.seen().changed = Some(Instant::now());
        outcome
    }

    pub fn handle(&self) -> &Handle {
        &self.inner.handle
    }

    pub fn link(&self) -> Option<&Arc<dyn TwinLink>> {
        self.inner.link.as_ref()
    }

    /// Who may come in.
    pub fn door(&self) -> &Door {
        &self.inner.door
    }

    pub fn streams(&self) -> &Streams {
        &self.inner.streams
    }

    /// By which this device may be opened, in small letters.
    pub fn names(&self) -> Vec<String> {
        host::names(&host_name(), &self.inner.names)
    }

    /// What was: changes of settings, the journal, presence. Whatever of it reads the disk belongs into `look`.
    pub fn archive(&self) -> &Archive {
        &self.inner.archive
    }

    /// Looks something up in the archive, beside whatever else the web does. The error is a sentence.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Archive) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        let archive = self.inner.archive.clone();
        match tokio::task::spawn_blocking(move || look(&archive)).await {
            Ok(seen) => seen.map_err(|error| error.to_string()),
            Err(error) => Err(format!("What was written down cannot be read ({error}). Load the page again.")),
        }
    }

    /// Where the database and the snapshots lie.
    pub fn data(&self) -> &std::path::Path {
        &self.inner.data
    }
}

/// Empty where the machine has none.
pub fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// The same for the same settings, on both twins and after a restart.
pub fn revision(settings: &Settings) -> u64 {
    let told = serde_json::to_vec(settings).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &told);
    digest.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests;
