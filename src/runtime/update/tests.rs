//! Two boxes with folders for cards: what each is told, asked and remembers. The thread that moves them is not there.

use super::{card::tests::flash, file::tests::image, *};
use crate::{protocol::update::Reason, runtime::partner::scratch::Scratch};

/// A box as it comes up: its data, and its card.
struct Unit {
    folder: Scratch,
    updates: Updates,
}

impl Unit {
    fn new(name: &str) -> Unit {
        let folder = Scratch::new(name);
        flash(folder.path());
        let updates = started(&folder);
        Unit { folder, updates }
    }

    fn send(&self, version: &str, letter: char) -> Result<Held, String> {
        let path = image(self.folder.path(), version, letter);
        self.updates.take(&path)
    }

    fn hears(&self, other: &Unit) {
        self.updates.lock().has_twin = true;
        self.updates.hear(other.updates.standing());
    }

    fn start_again(&mut self) {
        self.updates = started(&self.folder);
    }
}

fn started(folder: &Scratch) -> Updates {
    let updates = Updates::default();
    updates.begin(&folder.path().join("data"), Card::in_folder(folder.path()), Journal::default());
    updates
}

/// As somebody approves it who answers no questions.
fn approved(on: &Unit, held: &Held) -> Result<Plan, String> {
    on.updates.approve("dashboard", &held.sha256, false)
}

#[test]
fn a_file_and_a_plan_outlive_a_start() {
    let mut one = Unit::new("outlive");
    let held = one.send("9.0.0", 'n').expect("good");
    assert!(!one.folder.path().join("twinlease-9.0.0-rpi.img.xz").exists(), "it is taken");
    let plan = approved(&one, &held).expect("approved");
    assert!(approved(&one, &held).is_err_and(|why| why.contains("under way")));
    one.start_again();
    let view = one.updates.view();
    assert_eq!((view.held, view.plan), (Some(held), Some(plan)));
    assert!(view.is_under_way);
    one.updates.stop("dashboard").expect("stopped");
    assert!(!one.updates.view().is_under_way && one.updates.stop("dashboard").is_err());
}

#[test]
fn a_file_that_is_no_good_is_not_kept_and_leaves_the_one_of_before() {
    let one = Unit::new("no-good");
    let held = one.send("9.0.0", 'n').expect("good");
    let path = one.folder.path().join("notes.txt");
    fs::write(&path, "hello").expect("written");
    assert!(one.updates.take(&path).is_err_and(|why| why.contains("xz")));
    assert!(!path.exists());
    assert_eq!(one.updates.view().held, Some(held.clone()));
    approved(&one, &held).expect("approved");
    assert!(one.send("9.0.1", 'p').is_err_and(|why| why.contains("under way")));
    one.send("9.0.0", 'n').expect("the same again changes nothing");
}

#[test]
fn what_is_older_or_the_same_or_has_failed_is_asked_about_first() {
    let mut one = Unit::new("questions");
    let refused = |one: &Unit, held: &Held| approved(one, held).expect_err("a question");
    let older = one.send("0.0.1", 'p').expect("good");
    assert!(refused(&one, &older).contains("0.0.1 is older than"), "{}", refused(&one, &older));
    let same = one.send(env!("CARGO_PKG_VERSION"), 'p').expect("good");
    assert!(refused(&one, &same).contains("another build"));
    let own = one.send(env!("CARGO_PKG_VERSION"), 'o').expect("good");
    assert!(refused(&one, &own).contains("exactly this already"));
    one.updates.approve("dashboard", &own.sha256, true).expect("all the same");
    one.updates.stop("dashboard").expect("stopped");
    let new = one.send("9.0.0", 'n').expect("good");
    approved(&one, &new).expect("nothing speaks against it");

    // Written, started, and gone back.
    let card = Card::in_folder(one.folder.path()).expect("a card");
    let (image, plan) = (one.folder.path().join("data/update/image.img.xz"), one.updates.view().plan.expect("approved"));
    card.install(&image, &plan, |_| Ok(())).expect("installed");
    fs::write(one.folder.path().join("boot/autoboot.txt"), "boot_partition=2\r\n").expect("written");
    one.start_again();
    let Some(End::Failed(why)) = one.updates.view().plan.and_then(|plan| plan.end) else { panic!("{:?}", one.updates.view()) };
    assert!(why.contains("was to start on") && why.contains("stays with the version of before"), "{why}");
    // The thread that decides what is next has looked.
    let ended = Step::Ended(End::Failed(why.clone()));
    one.updates.lock().step = Some((ended, Instant::now()));
    let told = one.updates.problem_and_scope().expect("somebody must look");
    assert!(told.0 == Scope::Shared && told.1.contains(&why), "the twin hears of it with the plan: {told:?}");
    assert!(refused(&one, &new).contains("Try it again?"));
    assert_eq!(card.trial(), None, "told once");
    let again = one.updates.approve("dashboard", &new.sha256, true).expect("somebody says so");
    assert!(again.is_later_than(&plan) && again.end.is_none());
}

/// As the box waits to start anew: the other slot is written, marked and chosen, and the firmware still says where this start came from.
fn chosen_and_waiting(unit: &Unit) -> Plan {
    let held = unit.send("9.0.0", 'n').expect("good");
    let plan = approved(unit, &held).expect("approved");
    let card = Card::in_folder(unit.folder.path()).expect("a card");
    card.install(&unit.folder.path().join("data/update/image.img.xz"), &plan, |_| Ok(())).expect("installed");
    fs::write(unit.folder.path().join("partition"), 2_u32.to_be_bytes()).expect("written");
    plan
}

fn choice_and_trial(unit: &Unit) -> (String, bool) {
    let boot = unit.folder.path().join("boot");
    (fs::read_to_string(boot.join("autoboot.txt")).expect("text"), boot.join("TRIAL.TXT").exists())
}

#[test]
fn a_program_that_starts_again_before_the_new_slot_did_leaves_the_old_one_chosen_and_says_so() {
    let mut one = Unit::new("again");
    chosen_and_waiting(&one);
    assert_eq!(choice_and_trial(&one), ("boot_partition=3\r\n".into(), true));
    one.start_again();
    assert_eq!(choice_and_trial(&one), ("boot_partition=2\r\n".into(), false));
    assert!(!one.updates.standing().on_trial);
    let Some(End::Failed(why)) = one.updates.view().plan.and_then(|plan| plan.end) else { panic!("{:?}", one.updates.view()) };
    assert!(why.contains("was to start on") && !why.contains("all the same"), "{why}");
}

#[test]
fn a_failed_try_that_cannot_be_written_down_is_told_again_and_its_slot_is_chosen_no_more() {
    let mut one = Unit::new("again-full");
    let plan = chosen_and_waiting(&one);
    let in_the_way = one.folder.path().join("data/update/plan.json.new");
    fs::create_dir(&in_the_way).expect("a folder");
    one.start_again();
    assert_eq!(choice_and_trial(&one), ("boot_partition=2\r\n".into(), true));
    fs::remove_dir(in_the_way).expect("removed");
    one.start_again();
    assert_eq!(choice_and_trial(&one), ("boot_partition=2\r\n".into(), false));
    assert!(one.updates.view().plan.is_some_and(|now| now.is_later_than(&plan)));
}

#[test]
fn a_choice_that_cannot_be_taken_back_leaves_the_slot_on_trial_and_says_so() {
    let mut one = Unit::new("again-edited");
    chosen_and_waiting(&one);
    let path = one.folder.path().join("boot/autoboot.txt");
    fs::write(&path, "boot_partition=3\n[all]\nboot_partition=3\n").expect("written");
    one.start_again();
    assert!(choice_and_trial(&one).1, "it is counted when it starts");
    let Some(End::Failed(why)) = one.updates.view().plan.and_then(|plan| plan.end) else { panic!("{:?}", one.updates.view()) };
    assert!(why.contains("starts the new version all the same") && why.contains("`autoboot.txt`"), "{why}");
}

#[test]
fn an_update_that_waits_says_the_same_as_long_as_it_waits_for_the_same() {
    let one = Unit::new("waits");
    let held = one.send("9.0.0", 'n').expect("good");
    approved(&one, &held).expect("approved");
    let after = |secs| {
        let since = Instant::now().checked_sub(Duration::from_secs(secs)).expect("this machine is up for long");
        one.updates.lock().step = Some((Step::Wait(Reason::NotWell("The twin is not heard.".into())), since));
        one.updates.problem()
    };
    assert_eq!(after(PATIENCE_SECS - 60), None);
    let told = after(PATIENCE_SECS).expect("somebody must look");
    assert!(told.contains("more than 5 min") && told.contains("The twin is not heard."), "{told}");
    // STATUS.TXT is written anew where this has changed.
    assert_eq!(after(PATIENCE_SECS + 61), Some(told));
}

#[test]
fn the_twin_learns_the_plan_and_asks_for_the_file() {
    let (one, mut other) = (Unit::new("plan-one"), Unit::new("plan-other"));
    let held = one.send("9.0.0", 'n').expect("good");
    one.updates.lock().has_twin = true;
    assert!(approved(&one, &held).is_err_and(|why| why.contains("says nothing of updates")));
    one.hears(&other);
    let plan = approved(&one, &held).expect("approved");
    assert_eq!(one.updates.to_send(), None, "it has not heard of it");
    other.hears(&one);
    assert_eq!(other.updates.view().plan, Some(plan.clone()));
    one.hears(&other);
    let (path, sha256) = one.updates.to_send().expect("it lacks the file");
    let to = other.updates.may_come(&sha256, plan.bytes).expect("it may come");
    assert!(other.updates.may_come(&"0".repeat(64), plan.bytes).is_err());
    fs::write(&to, b"something else").expect("written");
    assert!(other.updates.take_from_twin(&to, &sha256).is_err());
    fs::copy(path, &to).expect("copied");
    other.updates.take_from_twin(&to, &sha256).expect("the file");
    one.hears(&other);
    assert_eq!(one.updates.to_send(), None);
    // A stop on one is one on both, also over a start.
    other.updates.stop("dashboard").expect("stopped");
    other.start_again();
    one.hears(&other);
    assert!(one.updates.view().plan.is_some_and(|plan| matches!(plan.end, Some(End::Stopped(_)))));
}

#[test]
fn what_the_twin_says_is_bounded_and_a_plan_without_sense_is_not_taken() {
    let one = Unit::new("bounded");
    let long = "x\n".repeat(5_000);
    let plan = Plan { build: "no sum".into(), by: long.clone(), ..card::tests::plan('n') };
    let twin = Standing { name: long.clone(), version: long, percent: 250, plan: Some(plan), ..Standing::default() };
    one.updates.hear(twin);
    let view = one.updates.view();
    assert_eq!(view.plan, None);
    let heard = view.twin.expect("heard");
    assert!(heard.name.len() <= WORDS_CHARS_MAX && !heard.name.contains('\n') && heard.percent == 100);
}

#[test]
fn a_machine_that_is_no_card_says_how_it_is_updated() {
    let folder = Scratch::new("no-card");
    let updates = Updates::default();
    updates.begin(folder.path(), None, Journal::default());
    let path = image(folder.path(), "9.0.0", 'n');
    assert_eq!(updates.take(&path), Err(BY_HAND.into()));
    assert_eq!(updates.approve("dashboard", "", true), Err(BY_HAND.into()));
    updates.hear(Standing { plan: Some(card::tests::plan('n')), ..Standing::default() });
    assert_eq!(updates.view().plan, None, "it follows none");
}
