//! Looks, decides and does: one thread that carries an approved update on, and says when a slot on trial is good.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{Card, IMAGE, Updates, card::CardError, card::Stage, words};
use crate::{
    protocol::{
        Command, Node, TwinCommand,
        failover::Rank,
        node::{Precheck, Status},
        time::Time,
        update::{Doing, End, Pair, Plan, Reason, Role, Standing, Step, decide},
    },
    runtime::{handle::Handle, store},
    settings::Mode,
};

const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// While nothing is to be done.
const REST_INTERVAL: Duration = Duration::from_secs(2);
/// So long the twin is told that this one starts anew, before it does.
const FAREWELL: Duration = Duration::from_secs(5);
/// A switch of roles that was not followed by the role is said again after this.
const SWITCH_AGAIN: Duration = Duration::from_secs(10);

/// What of the node an update asks, at one moment.
struct Look {
    status: Status,
    mode: Mode,
    obstacle: Option<String>,
    waits_for_twin: bool,
}

impl Look {
    fn at(node: &Node, now: Time) -> Look {
        let status = node.status(now);
        // What must hold before one of the two plays dead must hold before one is started anew.
        let is_behind = status.twin.as_ref().is_some_and(|twin| twin.is_level == Some(false));
        let counts = |check: &Precheck| !check.holds && (is_behind || !check.is_fleeting);
        let obstacle = status.twin.as_ref().and_then(|_| node.drill_prechecks(now).into_iter().find(counts));
        Look {
            obstacle: obstacle.map(|check| check.text),
            mode: node.settings().twin.mode,
            waits_for_twin: node.waits_for_twin(),
            status,
        }
    }

    /// Good enough for a slot that was started for the first time: the database is open and takes changes, and who shall be answered is.
    fn is_well(&self) -> bool {
        let Status { serving, trouble, subnets, .. } = &self.status;
        trouble.is_none() && (*serving || subnets.is_empty() || self.waits_for_twin)
    }

    fn pair<'a>(&self, twin: Option<&'a Standing>) -> Option<Pair<'a>> {
        let status = self.status.twin.as_ref().filter(|status| !status.is_unpaired)?;
        let role = match (self.mode, status.is_active, status.rank) {
            (Mode::HotStandby, true, _) => Role::Active,
            (Mode::HotStandby, false, _) => Role::Standby,
            (Mode::LoadBalancing, _, Rank::First) => Role::SharingFirst,
            (Mode::LoadBalancing, _, Rank::Second) => Role::SharingSecond,
        };
        Some(Pair { role, obstacle: self.obstacle.clone(), since_secs: status.since_secs, twin })
    }
}

/// On a thread of its own, until the server stops. A machine that was not started from a card has nothing to do here.
pub fn start(handle: Handle, data: PathBuf) -> io::Result<()> {
    let updates = Arc::clone(handle.updates());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new().name("update".into()).spawn(move || {
        let conductor = Conductor { handle, updates, data, well_since: None, switched: None, writing: None, written: None };
        runtime.block_on(conductor.run());
    })?;
    Ok(())
}

struct Conductor {
    handle: Handle,
    updates: Arc<Updates>,
    data: PathBuf,
    /// Of a slot on trial.
    well_since: Option<Instant>,
    switched: Option<Instant>,
    /// False: it shall be broken off.
    writing: Option<Arc<AtomicBool>>,
    /// All is on the card, and chosen.
    written: Option<Instant>,
}

impl Conductor {
    async fn run(mut self) {
        if !self.updates.view().here.is_card {
            // Only whether there is a twin whose version should be known.
            while let Ok(has_twin) = self.handle.read(|node, _| node.memory().is_some_and(|memory| !memory.unpaired)).await {
                self.updates.note_twin(has_twin);
                sleep(REST_INTERVAL).await;
            }
            return;
        }
        while let Ok(look) = self.handle.read(|node, clock| Look::at(node, clock.now())).await {
            self.prove(&look);
            if let Some((step, plan)) = self.updates.decide(&look)
                && !self.follow(step, plan).await
            {
                return;
            }
            sleep(if self.updates.is_at_work() { LOOK_INTERVAL } else { REST_INTERVAL }).await;
        }
    }

    /// A slot on trial is good when all was well for a while without a break.
    fn prove(&mut self, look: &Look) {
        let Some(card) = self.updates.card_on_trial() else { return };
        if !look.is_well() {
            self.well_since = None;
        } else if self.well_since.get_or_insert_with(Instant::now).elapsed() >= card.proof {
            self.updates.trial_is_good(&card);
        }
    }

    /// False: the server ends.
    async fn follow(&mut self, step: Step, plan: Plan) -> bool {
        match self.updates.installed() {
            Installed::Nothing => {
                self.written = None;
                if step == Step::Install {
                    self.begin(plan.clone());
                }
            }
            // Until it is chosen it can be broken off; the thread that writes looks.
            Installed::UnderWay if step != Step::Install => {
                if let Some(goes_on) = &self.writing {
                    goes_on.store(false, Relaxed);
                }
            }
            Installed::UnderWay => {}
            Installed::Chosen => match step {
                Step::Install if self.written.get_or_insert_with(Instant::now).elapsed() >= FAREWELL => {
                    self.updates.restart();
                    // SAFETY: it only asks this very process to end in order; whoever has started it starts the box anew.
                    unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
                    return false;
                }
                Step::Ended(_) => self.updates.take_back(),
                // The pair is not well at the last moment: all is written, and waits.
                Step::Install | Step::Wait(_) | Step::SwitchRoles | Step::Finish => {}
            },
        }
        if step == Step::SwitchRoles && self.switched.is_none_or(|switched| switched.elapsed() >= SWITCH_AGAIN) {
            self.switched = Some(Instant::now());
            // As it would be by hand, under the name of the one who approved.
            if let Ok(Err(refusal)) = self.handle.submit_as(&plan.by, Command::Twin(TwinCommand::Switch)).await {
                tracing::warn!("the roles are not switched: {refusal}");
            }
        }
        true
    }

    fn begin(&mut self, plan: Plan) {
        let goes_on = Arc::new(AtomicBool::new(true));
        self.writing = Some(Arc::clone(&goes_on));
        self.updates.begin_writing();
        let (updates, data) = (Arc::clone(&self.updates), self.data.clone());
        let writing = std::thread::Builder::new().name("write-slot".into()).spawn(move || {
            let outcome = write(&updates, &data, &plan, &goes_on);
            updates.end_writing(outcome);
        });
        if let Err(error) = writing {
            self.updates.end_writing(Err(Trouble::Failed(format!("No thread can be started ({error})."))));
        }
    }
}

enum Trouble {
    /// The pair is not well, or somebody has stopped it: from the beginning, when it may.
    BrokenOff,
    Failed(String),
}

/// How far this node's own installation is.
enum Installed {
    Nothing,
    UnderWay,
    Chosen,
}

fn write(updates: &Updates, data: &Path, plan: &Plan, goes_on: &AtomicBool) -> Result<(), Trouble> {
    // A newer version may change the form of the database: this is what the older one starts from if it must come back.
    store::back_up_now(data).map_err(|why| Trouble::Failed(format!("Without a backup it is not updated. {why}")))?;
    let Some((card, image)) = updates.card_and_image() else { return Err(Trouble::BrokenOff) };
    let at = |stage: Stage| {
        updates.is_at(stage);
        // From the mark to the choice it is not broken off: in between lies one write.
        if goes_on.load(Relaxed) || stage == Stage::Choosing { Ok(()) } else { Err(CardError::BrokenOff) }
    };
    card.install(&image, plan, at).map_err(|error| match error {
        CardError::BrokenOff => Trouble::BrokenOff,
        error => Trouble::Failed(error.to_string()),
    })
}

/// The part of it that the thread above moves.
impl Updates {
    fn decide(&self, look: &Look) -> Option<(Step, Plan)> {
        let mut inner = self.lock();
        let twin = inner.twin_now().cloned();
        let pair = look.pair(twin.as_ref());
        inner.has_twin = pair.is_some();
        self.is_installing.store(inner.doing != Doing::Nothing, Relaxed);
        inner.card.as_ref()?;
        let plan = inner.plan.clone()?;
        let step = decide(&plan, &inner.standing(), pair.as_ref());
        let is_same = inner.step.as_ref().is_some_and(|(before, _)| *before == step || is_trouble(before) && is_trouble(&step));
        let since = inner.step.take().map(|(_, since)| since).filter(|_| is_same).unwrap_or_else(Instant::now);
        if step == Step::Finish {
            inner.note(format!("The update to {} is done.", plan.version));
            inner.forget_file();
            if let Err(why) = inner.keep(Plan { end: Some(End::Done), ..plan.clone() }) {
                tracing::warn!("{why}");
            }
        }
        inner.step = Some((step.clone(), since));
        Some((step, plan))
    }

    fn note_twin(&self, has_twin: bool) {
        self.lock().has_twin = has_twin;
    }

    fn is_at_work(&self) -> bool {
        let inner = self.lock();
        inner.on_trial || inner.is_under_way()
    }

    fn card_on_trial(&self) -> Option<Card> {
        let inner = self.lock();
        inner.card.clone().filter(|_| inner.on_trial)
    }

    fn trial_is_good(&self, card: &Card) {
        match card.end_trial() {
            Ok(()) => {
                let mut inner = self.lock();
                inner.on_trial = false;
                inner.note(format!("{} runs well and stays.", env!("CARGO_PKG_VERSION")));
            }
            Err(error) => tracing::warn!("the boot partition cannot be written, so the trial goes on: {error}"),
        }
    }

    fn installed(&self) -> Installed {
        match self.lock().doing {
            Doing::Nothing => Installed::Nothing,
            Doing::Writing => Installed::UnderWay,
            Doing::Restarting => Installed::Chosen,
        }
    }

    fn begin_writing(&self) {
        let mut inner = self.lock();
        (inner.doing, inner.percent) = (Doing::Writing, 0);
        let version = inner.plan.as_ref().map(|plan| plan.version.clone()).unwrap_or_default();
        inner.note(format!("{version} is written to the slot that is not in use."));
    }

    fn end_writing(&self, outcome: Result<(), Trouble>) {
        let mut inner = self.lock();
        match outcome {
            Ok(()) => inner.doing = Doing::Restarting,
            Err(Trouble::BrokenOff) => inner.doing = Doing::Nothing,
            Err(Trouble::Failed(why)) => {
                let here = inner.standing().name;
                // Where the last of its writes failed, the new slot may be marked and chosen all the same.
                let card = inner.card.clone().filter(Card::has_gone_back);
                let taken = card.map_or(Ok(()), |card| card.take_back());
                let all_the_same = taken.err().map(|error| format!(" {}", words::starts_all_the_same(&here, &error)));
                inner.fail(format!("{here} was not updated. {why}{}", all_the_same.unwrap_or_default()));
            }
        }
    }

    fn card_and_image(&self) -> Option<(Card, PathBuf)> {
        let inner = self.lock();
        Some((inner.card.clone()?, inner.folder.join(IMAGE)))
    }

    fn is_at(&self, stage: Stage) {
        let mut inner = self.lock();
        inner.percent = match stage {
            // Reading it back takes a part of the time.
            Stage::Writing(percent) => percent.min(99) / 5 * 4,
            Stage::Checking => 80,
            Stage::Marking | Stage::Choosing => 99,
        };
    }

    fn restart(&self) {
        let mut inner = self.lock();
        inner.shall_restart = true;
        inner.note("The box starts anew with what was written.");
    }

    fn take_back(&self) {
        let mut inner = self.lock();
        inner.doing = Doing::Nothing;
        if let Some(Err(error)) = inner.card.as_ref().map(Card::take_back) {
            let here = inner.standing().name;
            inner.fail(words::starts_all_the_same(&here, &error));
        }
    }
}

fn is_trouble(step: &Step) -> bool {
    matches!(step, Step::Wait(Reason::NotWell(_) | Reason::TwinIsSilent | Reason::TwinHasAnotherPlan | Reason::TwinIsNoCard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{protocol::time::Epoch, settings::Settings};

    #[test]
    fn how_far_it_is_never_goes_back() {
        let updates = Updates::default();
        let mut before = 0;
        for stage in (0..=100).map(Stage::Writing).chain([Stage::Checking, Stage::Marking, Stage::Choosing]) {
            updates.is_at(stage);
            let percent = updates.lock().percent;
            assert!((before..100).contains(&percent), "{stage:?}: {percent} after {before}");
            before = percent;
        }
    }

    #[test]
    fn what_failed_at_its_last_write_is_chosen_no_more() {
        use crate::{
            protocol::update::Doing,
            runtime::{
                journal::Journal,
                partner::scratch::Scratch,
                update::{card::tests, file::tests::image},
            },
        };
        let folder = Scratch::new("last-write");
        tests::flash(folder.path());
        std::fs::write(folder.path().join("partition"), 2_u32.to_be_bytes()).expect("written");
        let card = Card::in_folder(folder.path()).expect("a card");
        let updates = Updates::default();
        updates.begin(&folder.path().join("data"), Some(card.clone()), Journal::default());
        let file = image(folder.path(), "9.0.0", 'n');
        card.install(&file, &tests::plan('n'), |_| Ok(())).expect("installed");
        updates.lock().doing = Doing::Writing;
        updates.end_writing(Err(Trouble::Failed("The card cannot be written.".into())));
        assert!(matches!(updates.installed(), Installed::Nothing));
        std::fs::remove_file(folder.path().join("partition")).expect("removed");
        let next = Card::in_folder(folder.path()).expect("a card");
        assert_eq!((next.running(), next.trial()), (2, None));
    }

    #[test]
    fn a_box_is_well_when_it_answers_or_has_nobody_to_answer() {
        let node = Node::new(Settings::default(), Vec::new(), Epoch(1), Time::ZERO);
        let look = Look::at(&node, Time::ZERO);
        assert!(look.is_well(), "nothing is set up yet");
        assert!(look.pair(None).is_none());
        let text = "[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.100-192.0.2.150\"]\n";
        let settings = crate::settings::parse::parse(text).expect("good");
        let node = Node::new(settings, Vec::new(), Epoch(1), Time::ZERO);
        assert!(!Look::at(&node, Time::ZERO).is_well(), "no interface hears anybody");
    }
}
