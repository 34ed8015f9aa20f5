//! Updates of a card in place: the file, the plan and the slots of this node, and what is known of the twin's.
//!
//! ```text
//!  upload ► file (examined) ► the owner's word ► plan ─── the link ──► the twin's plan, the twin's copy of the file
//!                                                  └► conduct: decide (protocol::update) ► card (writes, chooses) ► start anew
//! ```
//!
//! What must outlive a start lies in the data folder, in `update/`.

pub mod manifest;
pub mod file;
pub mod card;
mod conduct;
mod words;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

pub use card::Card;
pub use conduct::start;
pub use file::{FILE_BYTES_MAX, Held};
pub use words::BY_HAND;

use super::{
    clock,
    journal::{Journal, Kind},
    partner::file as private,
    store,
    twin::host_name,
};
use crate::protocol::{
    alerts::Scope,
    update::{Doing, End, PATIENCE_SECS, Plan, Standing, Step},
};

const FOLDER: &str = "update";
const IMAGE: &str = "image.img.xz";
const HELD: &str = "held.json";
const PLAN: &str = "plan.json";
/// What comes from the twin, until it is examined.
const COMING: &str = "coming";
/// So long what the twin said last counts.
const HEARSAY: Duration = Duration::from_secs(10);
/// Of what others wrote into a plan.
const WORDS_CHARS_MAX: usize = 400;

#[derive(Debug, Default)]
pub struct Updates {
    /// Held over writes to the disk: nobody who answers devices or the twin waits for it.
    inner: Mutex<Inner>,
    is_installing: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    /// `update/` of the data folder.
    folder: PathBuf,
    /// `None`: this machine was not started from a card.
    card: Option<Card>,
    journal: Journal,
    held: Option<Held>,
    plan: Option<Plan>,
    on_trial: bool,
    doing: Doing,
    percent: u8,
    has_twin: bool,
    twin: Option<(Standing, Instant)>,
    /// What is next, and since when.
    step: Option<(Step, Instant)>,
    /// Why the file does not reach the twin, as a sentence.
    sending: Option<String>,
    /// A trial of which no plan is known has failed.
    went_back: Option<String>,
    shall_restart: bool,
}

/// All that is shown of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct View {
    pub here: Standing,
    /// As it was heard a moment ago.
    pub twin: Option<Standing>,
    pub has_twin: bool,
    /// A file that is here.
    pub held: Option<Held>,
    /// What speaks against the file, as questions that somebody may answer with yes.
    pub questions: Vec<String>,
    pub plan: Option<Plan>,
    pub is_under_way: bool,
    /// How far the plan is, in a sentence.
    pub told: Option<String>,
    /// What needs somebody.
    pub problem: Option<String>,
}

impl Updates {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is kept in the data folder, and what has become of a trial. Blocks on the disk, once.
    pub fn begin(&self, data: &Path, card: Option<Card>, journal: Journal) {
        let mut inner = self.lock();
        inner.folder = data.join(FOLDER);
        inner.journal = journal;
        inner.plan = inner.kept(PLAN);
        inner.held = inner
            .kept::<Held>(HELD)
            .filter(|held| fs::metadata(inner.folder.join(IMAGE)).is_ok_and(|metadata| metadata.len() == held.bytes));
        inner.card = card;
        let trial = inner.card.as_ref().and_then(|card| Some((card.trial()?, card.running())));
        match trial {
            Some((trial, running)) if trial.slot == running => inner.on_trial = true,
            Some((trial, _)) => inner.trial_has_failed(&trial),
            None => {}
        }
    }

    /// For whoever must not wait for the disk: on a thread of its own. The error is a sentence.
    pub async fn aside<T: Send + 'static>(
        self: &Arc<Updates>,
        work: impl FnOnce(&Updates) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let updates = Arc::clone(self);
        let outcome = tokio::task::spawn_blocking(move || work(&updates)).await;
        outcome.unwrap_or_else(|_| Err("It ended by a defect. The log says more.".into()))
    }

    /// A file that somebody sent: examined, and taken from where it lies. The error is a sentence, and the file is gone.
    pub fn take(&self, path: &Path) -> Result<Held, String> {
        self.take_if(path, |_| Ok(()))
    }

    /// The file of the plan, from the twin.
    pub fn take_from_twin(&self, path: &Path, sha256: &str) -> Result<(), String> {
        let is_same = |held: &Held| {
            let is_same = held.sha256 == sha256;
            is_same.then_some(()).ok_or_else(|| "What came is not what was sent. It is sent again.".to_owned())
        };
        self.take_if(path, is_same).map(|_| ())
    }

    fn take_if(&self, path: &Path, is_meant: impl Fn(&Held) -> Result<(), String>) -> Result<Held, String> {
        let taken = self.examined(path, is_meant);
        if taken.is_err() {
            let _ = fs::remove_file(path);
        }
        taken
    }

    fn examined(&self, path: &Path, is_meant: impl Fn(&Held) -> Result<(), String>) -> Result<Held, String> {
        if self.lock().card.is_none() {
            return Err(BY_HAND.into());
        }
        let held = file::examine(path).map_err(|error| error.to_string())?;
        is_meant(&held)?;
        let mut inner = self.lock();
        if inner.is_under_way() && inner.plan.as_ref().is_some_and(|plan| plan.sha256 != held.sha256) {
            return Err("An update is under way. Wait for its end, or stop it first.".into());
        }
        let keep = || -> io::Result<()> {
            store::private_folder(&inner.folder)?;
            File::open(path)?.sync_all()?;
            fs::rename(path, inner.folder.join(IMAGE))?;
            private::write(&inner.folder.join(HELD), &serde_json::to_vec(&held)?)
        };
        keep().map_err(|error| format!("The file cannot be kept ({error}). Free some space, then send it again."))?;
        inner.held = Some(held.clone());
        Ok(held)
    }

    /// The owner's word: both shall run what is in the file. `anyway`: the questions are answered with yes.
    pub fn approve(&self, by: &str, sha256: &str, anyway: bool) -> Result<Plan, String> {
        let mut inner = self.lock();
        if inner.card.is_none() {
            return Err(BY_HAND.into());
        }
        let held = inner.held.clone().filter(|held| held.sha256 == sha256);
        let held = held.ok_or("This file is not here any more. Send it again.")?;
        if inner.is_under_way() {
            return Err("An update is under way. Wait for its end, or stop it first.".into());
        }
        if let Some(against) = inner.against_twin() {
            return Err(against);
        }
        if let Some(question) = inner.questions(&held).into_iter().next().filter(|_| !anyway) {
            return Err(question);
        }
        let known = |plan: Option<&Plan>| plan.map_or(0, |plan| plan.number);
        let of_twin = inner.twin.as_ref().and_then(|(twin, _)| twin.plan.as_ref());
        let plan = Plan {
            number: known(inner.plan.as_ref()).max(known(of_twin)).saturating_add(1),
            version: held.version,
            build: held.build,
            sha256: held.sha256,
            bytes: held.bytes,
            by: by.into(),
            approved_ms: clock::wall_ms(),
            end: None,
        };
        inner.keep(plan.clone())?;
        let whom = if inner.has_twin { "both twins" } else { "this one" };
        inner.note(format!("Update of {whom} to {}, approved by {by}.", plan.version));
        Ok(plan)
    }

    /// The owner's word: it goes no further. One that failed is put away by it.
    pub fn stop(&self, by: &str) -> Result<(), String> {
        let mut inner = self.lock();
        if inner.went_back.take().is_some() {
            return Ok(());
        }
        let Some(plan) = inner.plan.clone() else { return Err("There is no update that could be stopped.".into()) };
        if matches!(plan.end, Some(End::Done | End::Stopped(_))) {
            return Err("There is no update that could be stopped.".into());
        }
        inner.note(format!("The update to {} was stopped by {by}.", plan.version));
        let why = format!("It was stopped by {by}. Each runs the version that it has.");
        inner.keep(Plan { end: Some(End::Stopped(why)), ..plan })
    }

    /// What this node says of itself.
    pub fn standing(&self) -> Standing {
        self.lock().standing()
    }

    /// What the twin says of itself, from its proven key.
    pub fn hear(&self, mut twin: Standing) {
        words::shorten(&mut twin);
        let mut inner = self.lock();
        let later = twin.plan.clone().filter(|plan| inner.plan.as_ref().is_none_or(|own| plan.is_later_than(own)));
        if let Some(plan) = later.filter(|plan| inner.card.is_some() && words::is_sound(plan)) {
            let text = match &plan.end {
                Some(End::Failed(why) | End::Stopped(why)) => format!("The update to {} has stopped. {why}", plan.version),
                Some(End::Done) => format!("The update to {} is done.", plan.version),
                None => format!("Update of both twins to {}, approved by {} on {}.", plan.version, plan.by, twin.name),
            };
            match inner.keep(plan) {
                Ok(()) => inner.note(text),
                Err(why) => tracing::warn!("{why}"),
            }
        }
        inner.twin = Some((twin, Instant::now()));
    }

    /// The file that the twin lacks of a plan that both know: where it lies, and its sum.
    pub fn to_send(&self) -> Option<(PathBuf, String)> {
        let inner = self.lock();
        let plan = inner.plan.as_ref().filter(|plan| plan.end.is_none())?;
        let twin = inner.twin_now()?;
        let is_wanted = twin.is_card
            && twin.plan.as_ref() == Some(plan)
            && twin.holds.as_ref() != Some(&plan.sha256)
            && twin.build.as_ref() != Some(&plan.build);
        let held = inner.held.as_ref().filter(|held| is_wanted && held.sha256 == plan.sha256)?;
        Some((inner.folder.join(IMAGE), held.sha256.clone()))
    }

    pub fn sent(&self, outcome: Result<(), String>) {
        self.lock().sending = outcome.err();
    }

    /// The twin sends the file of the plan: where it may be written. The error is a sentence.
    pub fn may_come(&self, sha256: &str, bytes: u64) -> Result<PathBuf, String> {
        let inner = self.lock();
        let plan = inner.plan.as_ref().filter(|plan| plan.end.is_none() && plan.sha256 == sha256 && plan.bytes == bytes);
        if plan.is_none() || bytes > FILE_BYTES_MAX {
            return Err("This file is of no update that is known here.".into());
        }
        store::private_folder(&inner.folder).map_err(|error| format!("The file cannot be kept ({error})."))?;
        Ok(inner.folder.join(COMING))
    }

    /// The light shall say that the power must stay on.
    pub fn is_installing(&self) -> bool {
        self.is_installing.load(Relaxed)
    }

    /// The server has ended so that what was written may start.
    pub fn shall_restart(&self) -> bool {
        self.lock().shall_restart
    }

    pub fn problem(&self) -> Option<String> {
        self.lock().problem()
    }

    /// For an alert: the problem, and whether the twin knows of it, too.
    pub fn problem_and_scope(&self) -> Option<(Scope, String)> {
        let inner = self.lock();
        let scope = if inner.went_back.is_some() { Scope::Own } else { Scope::Shared };
        Some((scope, inner.problem()?))
    }

    pub fn view(&self) -> View {
        let inner = self.lock();
        View {
            here: inner.standing(),
            twin: inner.twin_now().cloned(),
            has_twin: inner.has_twin,
            held: inner.held.clone(),
            questions: inner.held.as_ref().map(|held| inner.questions(held)).unwrap_or_default(),
            is_under_way: inner.is_under_way(),
            told: inner.told(),
            problem: inner.problem(),
            plan: inner.plan.clone(),
        }
    }
}

impl Inner {
    /// What cannot be read is not there: nothing rests on it but a question that is asked again.
    fn kept<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        let bytes = private::read(&self.folder.join(name)).ok()??;
        serde_json::from_slice(&bytes).inspect_err(|error| tracing::warn!("`{name}` of an update cannot be read: {error}")).ok()
    }

    fn keep(&mut self, plan: Plan) -> Result<(), String> {
        let written = store::private_folder(&self.folder)
            .and_then(|()| private::write(&self.folder.join(PLAN), &serde_json::to_vec(&plan)?));
        written.map_err(|error| format!("The update cannot be written down ({error}). Look at the disk, then try again."))?;
        (self.plan, self.step, self.sending) = (Some(plan), None, None);
        Ok(())
    }

    fn note(&self, text: impl Into<String>) {
        let text = text.into();
        tracing::info!("update: {text}");
        self.journal.note(Kind::Update, text);
    }

    /// Something has gone wrong here: neither of the two goes on. False: it could not be written down.
    fn fail(&mut self, why: String) -> bool {
        self.note(why.as_str());
        self.doing = Doing::Nothing;
        let Some(plan) = self.plan.clone().filter(|plan| plan.end.is_none()) else { return true };
        let failed = Plan { end: Some(End::Failed(why)), ..plan };
        if let Err(error) = self.keep(failed.clone()) {
            tracing::warn!("{error}");
            // Until the next start it is known all the same.
            self.plan = Some(failed);
            return false;
        }
        true
    }

    fn trial_has_failed(&mut self, trial: &card::Trial) {
        let Some(card) = self.card.clone() else { return };
        let mut why = words::went_back(&host_name(), trial);
        // The choice before all else: a cut between any two of these writes starts what is on trial and counted, or says this again.
        let chosen = card.choose_running();
        if let Err(error) = &chosen {
            why = format!("{why} {}", words::starts_all_the_same(&host_name(), error));
        }
        tracing::error!("{why}");
        let is_known = if self.plan.as_ref().is_some_and(|plan| plan.build == trial.build) {
            self.fail(why)
        } else {
            self.note(why.as_str());
            self.went_back = Some(why);
            true
        };
        // Told once, so that an update that is approved anew may begin. What is not written down is found again at the next start.
        if !is_known || chosen.is_err() {
            return;
        }
        if let Err(error) = card.end_trial() {
            tracing::warn!("the boot partition cannot be written: {error}");
        }
    }

    /// Both run it: its room is of use for something else.
    fn forget_file(&mut self) {
        self.held = None;
        for name in [HELD, IMAGE, COMING] {
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            name: host_name(),
            version: env!("CARGO_PKG_VERSION").into(),
            build: self.card.as_ref().and_then(|card| card.build().map(ToOwned::to_owned)),
            is_card: self.card.is_some(),
            on_trial: self.on_trial,
            holds: self.held.as_ref().map(|held| held.sha256.clone()),
            doing: self.doing,
            percent: self.percent,
            plan: self.plan.clone(),
        }
    }

    fn twin_now(&self) -> Option<&Standing> {
        self.twin.as_ref().filter(|(_, heard)| heard.elapsed() < HEARSAY).map(|(twin, _)| twin)
    }

    fn is_under_way(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.end.is_none())
    }

    /// The sentence why the twin cannot be updated; `None`: it can, or there is none.
    fn against_twin(&self) -> Option<String> {
        match self.twin_now() {
            _ if !self.has_twin => None,
            None => Some(words::TWIN_SILENT.into()),
            Some(twin) if !twin.is_card => Some(words::twin_is_no_card(&twin.name)),
            Some(_) => None,
        }
    }

    fn questions(&self, held: &Held) -> Vec<String> {
        let (own, twin) = (self.standing(), self.twin_now());
        let failed = self.plan.as_ref().filter(|plan| plan.build == held.build).and_then(|plan| plan.end.as_ref());
        words::questions(held, &own, twin, failed)
    }

    fn told(&self) -> Option<String> {
        let (plan, (step, _)) = (self.plan.as_ref()?, self.step.as_ref()?);
        let told = step.sentence(plan, &self.standing(), self.twin.as_ref().map(|(twin, _)| twin));
        Some(match &self.sending {
            Some(why) => format!("{told} {why}"),
            None => told,
        })
    }

    fn problem(&self) -> Option<String> {
        if let Some(why) = &self.went_back {
            return Some(why.clone());
        }
        let (plan, (step, since)) = (self.plan.as_ref()?, self.step.as_ref()?);
        match step {
            Step::Ended(End::Failed(_)) => self.told(),
            Step::Wait(_) if since.elapsed().as_secs() >= PATIENCE_SECS => {
                Some(words::waits(&plan.version, &self.told()?, self.twin.as_ref().map(|(twin, _)| twin)))
            }
            Step::Ended(_) | Step::Wait(_) | Step::Finish | Step::Install | Step::SwitchRoles => None,
        }
    }
}

#[cfg(test)]
mod tests;
