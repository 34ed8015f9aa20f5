//! The flashed card in emulated Raspberry Pis 3B, with a real client and another DHCP server: `scripts/test --image` builds the images and runs this.
//!
//! An emulated Pi is about ten times slower than one: the times that are printed are upper bounds.

mod lab;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use lab::{Kind, Lab, wait_until};

/// From power on to a server that has told its state; two at once on two cores take this long.
const BOOT: Duration = Duration::from_secs(240);

const SETTINGS: &str = r#"
[lease]
default = "1h"

[[subnet]]
network = "192.0.2.0/24"
pools = ["192.0.2.100-192.0.2.150"]
"#;

/// Where `scripts/test --image` has put the images.
fn image(name: &str) -> PathBuf {
    let folder = std::env::var_os("TWINLEASE_IMAGES").expect("scripts/test --image says where the images are");
    Path::new(&folder).join(name)
}

/// An emulated Pi; dies with the lab's world.
struct Pi(&'static str);

impl Pi {
    fn with_card(name: &'static str, image: &Path) -> Pi {
        let pi = Pi(name);
        pi.emulate("insert", &[image.to_str().expect("a path in UTF-8")]);
        pi
    }

    fn emulate(&self, command: &str, words: &[&str]) -> String {
        self.try_emulate(command, words).unwrap_or_else(|said| panic!("emulate {command} {}: {said}", self.0))
    }

    fn try_emulate(&self, command: &str, words: &[&str]) -> Result<String, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/emulate");
        let output = Command::new(script).args([command, self.0]).args(words).output().expect("scripts/emulate starts");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(told) } else { Err(told + &String::from_utf8_lossy(&output.stderr)) }
    }

    /// Puts a file of the boot partition's, with this text, onto the card.
    fn put(&self, lab: &Lab, file: &str, text: &str) {
        let folder = lab.folder().join(format!("for-{}", self.0));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(file), text).expect("written");
        self.emulate("put", &[folder.join(file).to_str().expect("a path in UTF-8")]);
    }

    fn log(&self) -> String {
        self.try_emulate("log", &[]).unwrap_or_default()
    }

    fn wait_for_log(&self, words: &str) {
        let name = self.0;
        let mut seen = 0;
        let deadline = Instant::now() + BOOT;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "{name} did not say `{words}`:\n{}", self.log());
            seen += 1;
            std::thread::sleep(Duration::from_millis(if seen < 5 { 200 } else { 1000 }));
        }
    }

    /// STATUS.TXT, once it has these words.
    fn status(&self, words: &str) -> String {
        let deadline = Instant::now() + BOOT;
        loop {
            let status = self.try_emulate("take", &["STATUS.TXT"]).unwrap_or_default();
            if status.contains(words) {
                return status;
            }
            assert!(Instant::now() < deadline, "STATUS.TXT of {} has no `{words}`:\n{status}\n{}", self.0, self.log());
            std::thread::sleep(Duration::from_secs(2));
        }
    }
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_card_as_it_was_flashed_takes_an_address_and_shows_its_dashboard() {
    let Some(lab) = lab::enter_or_skip("a_card_as_it_was_flashed_takes_an_address_and_shows_its_dashboard") else { return };
    lab.bridge("lan");
    lab.host("router", "lan", &["192.0.2.1/24"]);
    let leases = format!("--dhcp-leasefile={}", lab.host_folder("router").join("leases").display());
    let other = [
        "dnsmasq",
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--interface=eth0",
        "--dhcp-range=192.0.2.200,192.0.2.210",
    ];
    let _other = lab.daemon("router", &[&other[..], &[&leases]].concat());
    let pi = Pi::with_card("one", &image("plain.img.xz"));
    let started = Instant::now();
    pi.emulate("start", &["lan"]);
    let status = pi.status("Address   192.0.2.2");
    println!("address and STATUS.TXT after {:.1} s:\n{status}", started.elapsed().as_secs_f32());
    assert!(status.contains("Name      twinlease-") && status.contains("(not configured)"), "{status}");
    let address = status.lines().find_map(|line| line.strip_prefix("Address   ")).expect("seen above").trim();
    let page = lab.exec("router", &["busybox", "wget", "-q", "-O", "-", &format!("http://{address}/")]);
    assert!(page.contains("<title>") && page.contains("twinlease"), "{page}");
    // Not configured: on and off, once a second.
    for level in ["1", "0", "1"] {
        wait_until("the light blinks", Duration::from_secs(20), || pi.emulate("pin", &["17"]).trim() == level);
    }
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn two_cards_of_one_image_find_each_other_and_serve_on_when_one_dies() {
    let Some(lab) = lab::enter_or_skip("two_cards_of_one_image_find_each_other_and_serve_on_when_one_dies") else { return };
    lab.bridge("lan");
    lab.host("laptop", "lan", &[]);
    let pis = [("one", 2), ("two", 3)].map(|(name, last)| {
        let pi = Pi::with_card(name, &image("pair.img.xz"));
        let setup = pi.emulate("take", &["setup.txt"]);
        let more =
            format!("name = {name}\r\naddress = 192.0.2.{last}/24\r\nsettings = home.toml\r\npassword = four words in a row\r\n");
        pi.put(&lab, "setup.txt", &(setup + &more));
        pi.put(&lab, "home.toml", SETTINGS);
        pi
    });
    let started = Instant::now();
    for pi in &pis {
        pi.emulate("start", &["lan"]);
    }
    let client = lab.client(Kind::Udhcpc, "laptop");
    let lease = client
        .attempt("start", &["timeout=240"])
        .map(|_| client.lease())
        .unwrap_or_else(|said| panic!("{said}\n{}\n{}", pis[0].log(), pis[1].log()));
    println!("power on to the first lease, both of a pair starting: {:.1} s", started.elapsed().as_secs_f32());
    for pi in &pis {
        pi.wait_for_log("this one is together with its twin");
    }
    println!("power on to a pair: {:.1} s", started.elapsed().as_secs_f32());
    for pi in &pis {
        let setup = pi.emulate("take", &["setup.txt"]);
        assert!(!setup.contains("four words") && setup.contains("pair-key = "), "the password is taken out: {setup}");
    }
    let dies = usize::from(lease.server() == "192.0.2.3");
    pis[dies].emulate("stop", &[]);
    let killed = Instant::now();
    client.attempt("renew", &["timeout=60"]).unwrap_or_else(|said| panic!("{said}\n{}", pis[1 - dies].log()));
    println!("one is dead; renewed after {:.1} s", killed.elapsed().as_secs_f32());
    assert_eq!(client.lease().address(), lease.address());
    pis[dies].emulate("start", &["lan"]);
    pis[dies].wait_for_log("this one is together with its twin");
    println!("the dead one is back and equal after {:.1} s", killed.elapsed().as_secs_f32());
}
