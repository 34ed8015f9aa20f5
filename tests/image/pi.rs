//! An emulated box with its card, by `scripts/emulate`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{PASSWORD, SETTINGS, image, lab::Lab};

/// From power on to a server that has told its state: two at once on two cores that others use, too. Who is quick waits no longer for it.
pub const BOOT: Duration = Duration::from_secs(480);

/// Dies with the lab's world.
pub struct Pi<'l> {
    lab: &'l Lab,
    pub name: &'static str,
}

impl<'l> Pi<'l> {
    /// With a card of its own, as it was flashed. `kind`: plain, or pair.
    pub fn flashed(lab: &'l Lab, name: &'static str, kind: &str) -> Pi<'l> {
        let pi = Pi { lab, name };
        pi.emulate("insert", &[text(&image(&format!("{kind}.img.xz")))]);
        pi
    }

    /// With a card that says what the box shall be: its name, this address, a home's settings and a password.
    pub fn set_up(lab: &'l Lab, name: &'static str, kind: &str, address: &str) -> Pi<'l> {
        let pi = Pi::flashed(lab, name, kind);
        let setup = pi.take("setup.txt");
        let lines = format!("name = {name}\r\naddress = {address}\r\nsettings = home.toml\r\npassword = {PASSWORD}\r\n");
        pi.put("setup.txt", &format!("{setup}{lines}"));
        pi.put("home.toml", SETTINGS);
        pi
    }

    /// One with a copy of this one's card.
    pub fn copied(&self, name: &'static str) -> Pi<'l> {
        self.emulate("copy", &[name]);
        Pi { lab: self.lab, name }
    }

    fn emulate(&self, command: &str, words: &[&str]) -> String {
        self.try_emulate(command, words).unwrap_or_else(|said| panic!("emulate {command} {}: {said}", self.name))
    }

    fn try_emulate(&self, command: &str, words: &[&str]) -> Result<String, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/emulate");
        let output = Command::new(script).args([command, self.name]).args(words).output().expect("scripts/emulate starts");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(told) } else { Err(format!("{told}{}", String::from_utf8_lossy(&output.stderr))) }
    }

    /// On the home's segment. What an earlier life has written into STATUS.TXT is gone.
    pub fn start(&self, how: &[&str]) -> Instant {
        Pi::start_all(&[self], how)
    }

    /// At one time. The emulated Pi's adapter is not found in some starts ("Not connected"), which no real one does: those are done again.
    pub fn start_all(pis: &[&Pi], how: &[&str]) -> Instant {
        loop {
            let begin = Instant::now();
            for pi in pis {
                pi.put("STATUS.TXT", "");
                pi.emulate("start", &[&["lan"][..], how].concat());
            }
            let is_a_pi = !how.contains(&"virt");
            let has_adapter = |pi: &&Pi| {
                pi.wait("is silent about its adapter", || {
                    let log = pi.log();
                    let is_found = log.contains("eth0: register 'cdc_ether'");
                    (is_found || log.contains("dwc2 3f980000.usb: Not connected")).then_some(is_found)
                })
            };
            if !is_a_pi || pis.iter().all(has_adapter) {
                return begin;
            }
            println!("the emulated adapter was not found: once more");
            pis.iter().for_each(|pi| pi.stop());
        }
    }

    /// As pulling the plug does.
    pub fn stop(&self) {
        self.emulate("stop", &[]);
    }

    /// The file of the card itself; what a running box has not written is not there.
    pub fn card(&self) -> PathBuf {
        self.folder().join("card.img")
    }

    pub fn folder(&self) -> PathBuf {
        self.lab.folder().join(format!("vm-{}", self.name))
    }

    /// Puts a file with this text onto the boot partition.
    pub fn put(&self, file: &str, content: &str) {
        let folder = self.lab.folder().join(format!("for-{}", self.name));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(file), content).expect("written");
        self.emulate("put", &[text(&folder.join(file))]);
    }

    pub fn take(&self, file: &str) -> String {
        self.emulate("take", &[file])
    }

    pub fn has(&self, file: &str) -> bool {
        self.try_emulate("take", &[file]).is_ok()
    }

    /// In this life. A screen on HDMI shows the same text as the serial port has.
    pub fn log(&self) -> String {
        self.try_emulate("log", &[]).unwrap_or_default()
    }

    pub fn wait_for_log(&self, words: &str) {
        self.wait(&format!("did not say `{words}`"), || self.log().contains(words).then_some(()));
    }

    /// STATUS.TXT, once it has these words.
    pub fn status(&self, words: &str) -> String {
        self.wait(&format!("has no `{words}` in its STATUS.TXT"), || {
            // Caught in the middle of being written, it may be none at all.
            self.try_emulate("take", &["STATUS.TXT"]).ok().filter(|status| status.contains(words))
        })
    }

    fn wait<T>(&self, why: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + BOOT;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{} {why}:\n{}\n---- its log:\n{}",
                self.name,
                self.try_emulate("take", &["STATUS.TXT"]).unwrap_or_default(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// The changes of a pin's level: since when it has been which.
    pub fn watch(&self, gpio: u8, length: Duration) -> Vec<(u32, bool)> {
        let told = self.emulate("watch", &[&gpio.to_string(), &length.as_secs().to_string()]);
        let change = |line: &str| {
            let (ms, level) = line.split_once(' ')?;
            Some((ms.parse().ok()?, level == "1"))
        };
        told.lines().map(|line| change(line).unwrap_or_else(|| panic!("emulate watch says `{line}`"))).collect()
    }

    /// As a finger presses the button at this pin.
    pub fn press(&self, gpio: u8, length: Duration) {
        self.emulate("press", &[&gpio.to_string(), &length.as_secs_f32().to_string()]);
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("the tests' paths are text")
}
