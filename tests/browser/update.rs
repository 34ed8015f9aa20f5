//! Both twins are updated from the dashboard, one after the other, while devices are served. Folders stand for the cards; where a
//! box would start anew, this starts the process again, after the script that its first process runs (`image/trial`).

use std::io::Write;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lzma_rust2::{XzOptions, XzWriter};
use ring::digest::{SHA256, digest};

use crate::browser::{Browser, Scripts};
use crate::crafted::{Plug, mac};
use crate::enter;
use crate::house::House;
use crate::pair::{Pair, Side};

/// Two installations, two trials, two pauses before each.
const WHOLE: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(20);
const SECTOR: usize = 512;
const SLOT_BYTES: usize = 2 << 20;
const SLOT_SECTOR: usize = 64;

fn build(letter: char) -> String {
    format!("{:02x}", letter as u8).repeat(32)
}

/// Its first line says which build runs when it is started.
fn slot(letter: char) -> Vec<u8> {
    let mut slot = format!("build={}\n", build(letter)).into_bytes();
    slot.extend((0..100_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()));
    slot.resize(SLOT_BYTES, 0);
    slot
}

/// As it was flashed with the build `o`.
fn card(folder: &Path) -> PathBuf {
    let card = folder.to_owned();
    std::fs::create_dir_all(card.join("boot")).expect("the world's folder can be written");
    let write = |name: &str, bytes: &[u8]| std::fs::write(card.join(name), bytes).expect("the world's folder can be written");
    write("boot/autoboot.txt", b"boot_partition=2\r\n");
    write("slot2", &slot('o'));
    write("slot3", &vec![0; SLOT_BYTES]);
    card
}

/// The file as scripts/build-image makes it, in small.
fn image(folder: &Path, version: &str, letter: char) -> PathBuf {
    let slot = slot(letter);
    let mut plain = vec![0; SLOT_SECTOR * SECTOR];
    plain[510..512].copy_from_slice(&[0x55, 0xaa]);
    let entry = 446 + 16;
    plain[entry + 8..entry + 12].copy_from_slice(&(SLOT_SECTOR as u32).to_le_bytes());
    plain[entry + 12..entry + 16].copy_from_slice(&((SLOT_BYTES / SECTOR) as u32).to_le_bytes());
    let sum: String = digest(&SHA256, &slot).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let build = build(letter);
    let said = format!("twinlease-image 1\nversion={version}\nbuild={build}\nslot-sha256={sum}\nslot-bytes={SLOT_BYTES}\n");
    plain[8 * SECTOR..8 * SECTOR + said.len()].copy_from_slice(said.as_bytes());
    plain.extend_from_slice(&slot);
    let path = folder.join(format!("twinlease-{version}-rpi.img.xz"));
    let file = std::fs::File::create(&path).expect("the world's folder can be written");
    let mut writer = XzWriter::new(file, XzOptions::with_preset(1)).expect("a writer");
    writer.write_all(&plain).expect("packed");
    writer.finish().expect("packed");
    path
}

fn chosen(card: &Path) -> String {
    std::fs::read_to_string(card.join("boot/autoboot.txt")).expect("it is never away").trim().to_owned()
}

/// What the box's first process does before anything else; its exit code.
fn first_process(card: &Path) -> Option<i32> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("image/trial");
    let mut command = Command::new("busybox");
    command.arg("sh").arg(script).arg(card.join("boot")).arg(card.join("none"));
    command.status().expect("busybox starts").code()
}

/// Devices that ask all the while, each as often as a device does.
struct Crowd {
    plug: Plug,
    asked: u32,
    longest: Duration,
}

impl Crowd {
    fn at(house: &House<'_>) -> Crowd {
        house.lab.host("crowd", "lan", &[]);
        Crowd { plug: Plug::at("crowd"), asked: 0, longest: Duration::ZERO }
    }

    fn ask(&mut self) {
        let began = Instant::now();
        self.asked += 1;
        let device = mac(1 + self.asked % 40);
        let is_served = (0..4).any(|_| self.plug.dora(device, Duration::from_secs(2)).is_some());
        assert!(is_served, "device {} was not served in {:?}", self.asked, began.elapsed());
        self.longest = self.longest.max(began.elapsed());
    }
}

/// Starts what has ended for an update. Which one that was.
fn start_what_ended(house: &mut House<'_>, cards: &[PathBuf; 2]) -> Option<Side> {
    let ended: Vec<Side> = Side::BOTH.into_iter().filter(|side| !house.twins.processes_mut().is_running(*side)).collect();
    assert!(ended.len() < 2, "one of the two is always there:\n{}", house.twins.words());
    let side = *ended.first()?;
    assert_eq!(first_process(&cards[side as usize]), Some(1), "it is on trial");
    house.twins.start(side);
    Some(side)
}

/// Both send their alerts to the world's own leg from now on.
fn alerts_come_here(house: &House<'_>) -> UdpSocket {
    let socket = UdpSocket::bind("10.77.0.9:514").expect("nobody else listens");
    socket.set_read_timeout(Some(SOON)).expect("a timeout");
    let file = house.lab.folder().join("alerts.toml");
    let settings = format!("{}\n[alerts.syslog]\nhost = \"10.77.0.9\"\n", crate::house::SETTINGS);
    std::fs::write(&file, settings).expect("the world's folder can be written");
    house.twins.ask(Side::A, &["import", file.to_str().expect("the tests' paths are text")]);
    socket
}

/// `None`: nothing comes any more.
fn heard(socket: &UdpSocket) -> Option<String> {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn status(house: &House<'_>, side: Side) -> serde_json::Value {
    serde_json::from_slice(&house.twins.command(side, &["update", "status", "--json"]).stdout).unwrap_or_default()
}

#[test]
fn both_twins_are_updated_in_two_clicks_one_after_the_other_and_devices_notice_nothing() {
    let Some(lab) = enter("update::both_twins_are_updated_in_two_clicks_one_after_the_other_and_devices_notice_nothing") else {
        return;
    };
    let cards = ["card-a", "card-b"].map(|name| card(&lab.folder().join(name)));
    let mut house = House::with_cards(&lab, "update", &cards);
    let file = image(lab.folder(), "9.0.0", 'n');
    let mut crowd = Crowd::at(&house);
    let active = house.twins.active();
    let browser = Browser::signed_in(&house, Scripts::On);

    browser.home();
    browser.click_words("//main", "Updates");
    assert!(browser.text("#update").contains("twinlease"), "{}", browser.text("main"));
    browser.press("#file", file.to_str().expect("the tests' paths are text"));
    browser.wait_for_notice("The file is whole. It holds twinlease 9.0.0.");
    // The other one has told its version by now.
    browser.wait_until_it_says("#versions + dl", "b", SOON);
    browser.click_words("//main", "Update both twins");
    browser.wait_for_notice("It begins");
    assert_eq!(browser.clicks(), 2, "to update both twins");
    browser.assert_content();
    drop(browser);

    let (began, mut order) = (Instant::now(), Vec::new());
    while Side::BOTH.into_iter().any(|side| status(&house, side)["told"] != "The update to 9.0.0 is done.") {
        assert!(began.elapsed() < WHOLE, "{:#}\n{:#}\n{}", status(&house, Side::A), status(&house, Side::B), house.twins.words());
        order.extend(start_what_ended(&mut house, &cards));
        crowd.ask();
        std::thread::sleep(Duration::from_millis(300));
    }
    println!(
        "both updated in {:.0} s; {} devices asked meanwhile, the longest waited {:.1} s",
        began.elapsed().as_secs_f32(),
        crowd.asked,
        crowd.longest.as_secs_f32()
    );
    assert_eq!(order, [active.other(), active], "the one that stands by goes first");
    for card in &cards {
        assert_eq!(chosen(card), "boot_partition=3");
        assert!(!card.join("boot/TRIAL.TXT").exists(), "it is good");
        assert!(std::fs::read(card.join("slot3")).expect("readable") == slot('n'));
        assert!(std::fs::read(card.join("slot2")).expect("readable") == slot('o'), "the old one is there still");
    }
    house.twins.wait_until_together();
    assert_eq!(house.twins.active(), active.other());
    let activity = house.twins.ask(Side::A, &["update", "status"]);
    assert!(activity.contains("The update to 9.0.0 is done."), "{activity}");
}

#[test]
fn one_that_does_not_come_up_goes_back_and_the_other_stays_as_it_is() {
    let Some(lab) = enter("update::one_that_does_not_come_up_goes_back_and_the_other_stays_as_it_is") else { return };
    let cards = ["card-a", "card-b"].map(|name| card(&lab.folder().join(name)));
    let mut house = House::with_cards(&lab, "update-back", &cards);
    let file = image(lab.folder(), "9.0.0", 'n');
    let mut crowd = Crowd::at(&house);
    let syslog = alerts_come_here(&house);
    let standby = house.twins.active().other();
    house.twins.wait_until("the twin has told its version", SOON, || status(&house, Side::A)["twin"].is_object());
    house.twins.ask(Side::A, &["update", file.to_str().expect("the tests' paths are text")]);

    let began = Instant::now();
    while house.twins.processes_mut().is_running(standby) {
        assert!(began.elapsed() < WHOLE, "{:#}\n{}", status(&house, standby), house.twins.words());
        crowd.ask();
        std::thread::sleep(Duration::from_millis(300));
    }
    // It hangs each time before it has said that all is well.
    for _ in 0..3 {
        assert_eq!(first_process(&cards[standby as usize]), Some(1));
        crowd.ask();
    }
    assert_eq!(first_process(&cards[standby as usize]), Some(3), "the slot of before is chosen");
    assert_eq!(first_process(&cards[standby as usize]), Some(0));
    house.twins.start(standby);
    house.twins.wait_until("both know that it failed", SOON, || {
        Side::BOTH.into_iter().all(|side| {
            status(&house, side)["problem"].as_str().is_some_and(|why| why.contains("has gone back to the version of before"))
        })
    });
    let alert = std::iter::from_fn(|| heard(&syslog)).find(|told| told.contains("update-failed"));
    assert!(alert.as_ref().is_some_and(|told| told.contains("has gone back to the version of before")), "{alert:?}");
    house.twins.wait_until_together();
    // More than it takes to begin, where something would begin.
    let quiet = Instant::now();
    while quiet.elapsed() < Duration::from_secs(15) {
        crowd.ask();
        std::thread::sleep(Duration::from_millis(500));
        assert!(Side::BOTH.into_iter().all(|side| house.twins.processes_mut().is_running(side)), "nothing is tried again");
    }
    for card in &cards {
        assert_eq!(chosen(card), "boot_partition=2");
    }

    let browser = Browser::signed_in(&house, Scripts::Off);
    browser.go("/");
    browser.wait_until_it_says("#problems", "has gone back to the version of before", SOON);
    browser.go("/settings/alerts");
    assert!(browser.text("main .problem").contains("An update has failed."), "{}", browser.text("main"));
    browser.go("/");
    browser.click_words("//main", "Open Updates");
    assert!(browser.text("main").contains("Try it again?"), "{}", browser.text("main"));
    browser.click_words("//main", "I have seen it");
    browser.wait_for_notice("It goes no further");
    browser.go("/");
    // Latest activity has it still.
    assert!(!browser.text("#problems").contains("gone back"), "{}", browser.text("#problems"));
    browser.assert_content();
}
