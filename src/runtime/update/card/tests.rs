use std::process::Command;

use super::*;
use crate::runtime::{
    partner::scratch::Scratch,
    update::file::tests::{SLOT_SECTORS, build, image, slot},
};

/// A card as it was flashed with the build `o`: it runs from slot 2, and slot 3 is empty.
pub fn flash(folder: &Path) {
    fs::create_dir_all(folder.join("boot")).expect("a folder");
    fs::write(folder.join("boot/autoboot.txt"), "boot_partition=2\r\n").expect("written");
    fs::write(folder.join("slot2"), slot(&build('o'))).expect("written");
    fs::write(folder.join("slot3"), vec![0; SLOT_SECTORS as usize * 512]).expect("written");
}

pub fn plan(letter: char) -> Plan {
    Plan {
        number: 1,
        version: "0.2.0".into(),
        build: build(letter),
        sha256: String::new(),
        bytes: 0,
        by: "somebody".into(),
        approved_ms: 0,
        end: None,
    }
}

fn card(folder: &Scratch) -> Card {
    Card::in_folder(folder.path()).expect("a card")
}

/// As the box's first process does it at each start; its exit code. The firmware says nothing.
fn start(folder: &Scratch) -> Option<i32> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("image/trial");
    let mut command = Command::new("busybox");
    command.arg("sh").arg(script).arg(folder.path().join("boot")).arg(folder.path().join("partition"));
    command.status().expect("busybox starts (scripts/packages)").code()
}

#[test]
fn a_new_slot_is_written_checked_and_chosen_and_is_good_once_it_says_so() {
    let folder = Scratch::new("card");
    flash(folder.path());
    let file = image(folder.path(), "0.2.0", 'n');
    let mut stages = Vec::new();
    let installed = card(&folder).install(&file, &plan('n'), |stage| {
        stages.push(stage);
        Ok(())
    });
    installed.expect("installed");
    assert_eq!(stages[stages.len() - 3..], [Stage::Checking, Stage::Marking, Stage::Choosing]);
    assert!(stages.contains(&Stage::Writing(0)) && stages.len() == 6, "{stages:?}");
    assert_eq!(start(&folder), Some(1), "the trial goes on");
    let new = card(&folder);
    assert_eq!((new.running(), new.build()), (3, Some(build('n').as_str())));
    let trial = new.trial().expect("on trial");
    assert_eq!(trial, Trial { slot: 3, back: 2, version: "0.2.0".into(), build: build('n'), tries: 1 });
    assert!(matches!(new.install(&file, &plan('n'), |_| Ok(())), Err(CardError::OnTrial)));
    new.end_trial().expect("removed");
    new.end_trial().expect("gone already");
    assert_eq!((start(&folder), card(&folder).running()), (Some(0), 3));
    // The next one goes into the slot of before.
    let next = image(folder.path(), "0.3.0", 'p');
    card(&folder).install(&next, &plan('p'), |_| Ok(())).expect("installed");
    assert_eq!((card(&folder).running(), card(&folder).build()), (2, Some(build('p').as_str())));
}

#[test]
fn a_slot_that_nobody_calls_good_is_left_at_the_fourth_start_and_the_old_one_knows() {
    let folder = Scratch::new("trial");
    flash(folder.path());
    let file = image(folder.path(), "0.2.0", 'n');
    card(&folder).install(&file, &plan('n'), |_| Ok(())).expect("installed");
    for tries in 1..=3 {
        assert_eq!(start(&folder), Some(1));
        let card = card(&folder);
        assert_eq!((card.running(), card.trial().expect("on trial").tries), (3, tries));
    }
    assert_eq!(start(&folder), Some(3), "start anew");
    assert_eq!(start(&folder), Some(0), "the old one is on no trial");
    let old = card(&folder);
    assert_eq!((old.running(), old.build()), (2, Some(build('o').as_str())));
    assert_eq!(old.trial().map(|trial| (trial.slot, trial.tries)), Some((3, 3)), "it knows what has failed");
}

#[test]
fn what_the_firmware_says_goes_before_what_is_chosen() {
    let folder = Scratch::new("firmware");
    flash(folder.path());
    let file = image(folder.path(), "0.2.0", 'n');
    card(&folder).install(&file, &plan('n'), |_| Ok(())).expect("installed");
    fs::write(folder.path().join("partition"), 2_u32.to_be_bytes()).expect("written");
    assert_eq!(start(&folder), Some(0), "another one has started");
    fs::write(folder.path().join("partition"), 3_u32.to_be_bytes()).expect("written");
    assert_eq!(start(&folder), Some(1));
    fs::write(folder.path().join("partition"), 1_u32.to_be_bytes()).expect("written");
    assert_eq!(start(&folder), Some(1), "no slot: what is chosen counts");
}

#[test]
fn a_trial_that_makes_no_sense_keeps_nobody_from_starting() {
    let folder = Scratch::new("nonsense");
    flash(folder.path());
    for text in ["", "slot=\n", "slot=2\n", "\0\0\0\0", "slot=9\nback=2\ntries=0\n"] {
        fs::write(folder.path().join("boot").join(TRIAL), text).expect("written");
        assert_eq!(start(&folder), Some(0), "{text:?}");
    }
    // Without its count it has been tried often enough.
    fs::write(folder.path().join("boot").join(TRIAL), "slot=2\nback=3\n").expect("written");
    assert_eq!((start(&folder), card(&folder).running()), (Some(3), 3));
}

/// The power is cut before each of the steps in turn.
#[test]
fn whenever_the_power_is_cut_what_starts_next_is_whole() {
    let (mut stages, mut marked) = (0, 0);
    for cut_at in 0.. {
        let folder = Scratch::new("cut");
        flash(folder.path());
        let file = image(folder.path(), "0.2.0", 'n');
        stages = 0;
        let installed = card(&folder).install(&file, &plan('n'), |_| {
            stages += 1;
            if stages > cut_at { Err(CardError::BrokenOff) } else { Ok(()) }
        });
        let card = card(&folder);
        let whole = |slot: u8| fs::read(folder.path().join(format!("slot{slot}"))).expect("readable");
        assert!(whole(2) == slot(&build('o')), "what ran is never touched");
        if installed.is_ok() {
            assert!(card.running() == 3 && whole(3) == slot(&build('n')) && card.trial().is_some());
            break;
        }
        assert_eq!((card.running(), start(&folder)), (2, Some(0)), "cut before step {cut_at}");
        // Once it is marked it counts as one that has failed: better asked again than tried again and again.
        assert!(card.trial().is_none() || whole(3) == slot(&build('n')), "{cut_at}");
        marked += usize::from(card.trial().is_some());
    }
    assert_eq!((stages, marked), (6, 1));
}

/// The new slot is chosen and the program starts again without a new start of the box. Then the power is cut before each of the writes.
#[test]
fn whenever_the_power_is_cut_while_a_choice_is_taken_back_no_slot_starts_untried() {
    for cut_at in 0..3 {
        let folder = Scratch::new("cut-back");
        flash(folder.path());
        let file = image(folder.path(), "0.2.0", 'n');
        card(&folder).install(&file, &plan('n'), |_| Ok(())).expect("installed");
        fs::write(folder.path().join("partition"), 2_u32.to_be_bytes()).expect("written");
        let again = card(&folder);
        assert!(again.has_gone_back(), "it knows that it is not the new one");
        if cut_at > 0 {
            again.choose_running().expect("chosen");
        }
        if cut_at > 1 {
            again.end_trial().expect("ended");
        }
        // The firmware starts what is chosen.
        fs::remove_file(folder.path().join("partition")).expect("removed");
        let counted = start(&folder);
        let next = card(&folder);
        let found = (counted, next.running(), next.trial().map(|trial| trial.tries));
        let meant = [(Some(1), 3, Some(1)), (Some(0), 2, Some(0)), (Some(0), 2, None)];
        assert_eq!(found, meant[cut_at], "cut before step {cut_at}");
    }
}

#[test]
fn where_the_firmware_says_nothing_the_old_build_is_not_taken_for_the_one_on_trial() {
    let folder = Scratch::new("mute");
    flash(folder.path());
    let file = image(folder.path(), "0.2.0", 'n');
    let boot = Boot::new(folder.path().join("boot"));
    let runs = |letter| slot_that_runs(&boot, Path::new("/nowhere"), Some(&build(letter)));
    assert_eq!(runs('o'), Some(2));
    card(&folder).install(&file, &plan('n'), |_| Ok(())).expect("installed");
    assert_eq!((runs('o'), runs('n')), (Some(2), Some(3)));
    assert_eq!(slot_that_runs(&boot, Path::new("/nowhere"), None), Some(3), "who knows no build goes by the choice");
    fs::write(folder.path().join("boot").join(TRIAL), "slot=3\nback=7\nbuild=x\n").expect("written");
    assert_eq!(runs('o'), Some(3), "seven is no slot");
}

#[test]
fn what_was_chosen_can_be_taken_back_before_it_starts() {
    let folder = Scratch::new("back");
    flash(folder.path());
    let file = image(folder.path(), "0.2.0", 'n');
    let old = card(&folder);
    old.install(&file, &plan('n'), |_| Ok(())).expect("installed");
    assert_eq!(card(&folder).running(), 3);
    old.take_back().expect("taken back");
    assert_eq!((card(&folder).running(), card(&folder).trial()), (2, None));
}

#[test]
fn a_file_that_is_not_good_changes_no_choice() {
    let folder = Scratch::new("bad-file");
    flash(folder.path());
    let file = image(folder.path(), "0.2.0", 'n');
    let install = |path: &Path, letter| card(&folder).install(path, &plan(letter), |_| Ok(()));
    assert!(matches!(install(&file, 'm'), Err(CardError::OtherFile)));
    let bytes = fs::read(&file).expect("readable");
    fs::write(folder.path().join("half"), &bytes[..bytes.len() / 2]).expect("written");
    assert!(matches!(install(&folder.path().join("half"), 'n'), Err(CardError::File(FileError::CutShort))));
    assert!(matches!(install(&folder.path().join("none"), 'n'), Err(CardError::File(FileError::Io(_)))));
    fs::write(folder.path().join("slot3"), vec![0; 512]).expect("written");
    assert!(matches!(install(&file, 'n'), Err(CardError::OtherLayout { has: 512, .. })));
    assert_eq!((card(&folder).running(), card(&folder).trial()), (2, None));
}

#[test]
fn an_autoboot_that_somebody_has_edited_is_left_alone() {
    let folder = Scratch::new("autoboot");
    flash(folder.path());
    let file = image(folder.path(), "0.2.0", 'n');
    let path = folder.path().join("boot/autoboot.txt");
    let running = card(&folder);
    for text in ["", "boot_partition=1\n", "boot_partition=22\n", "boot_partition=2\n[tryboot]\nboot_partition=3\n"] {
        fs::write(&path, text).expect("written");
        assert!(matches!(running.install(&file, &plan('n'), |_| Ok(())), Err(CardError::NoChoice)), "{text:?}");
        assert_eq!(fs::read_to_string(&path).expect("text"), text);
    }
    fs::write(&path, "# mine\nboot_partition=2\r\n# end").expect("written");
    running.install(&file, &plan('n'), |_| Ok(())).expect("installed");
    assert_eq!(fs::read_to_string(&path).expect("text"), "# mine\nboot_partition=3\r\n# end");
}
