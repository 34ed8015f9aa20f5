//! A node's key pair: made at the first start, kept in a private file, bound to the hardware it was made on.
//!
//! A card that was copied carries the key of the node that it was copied from. Where the hardware has a serial number,
//! the copy notices that it runs on other hardware, sets aside all that is the other one's and becomes a node of its own. If it was no copy
//! and has moved, somebody may say so (`adopt`): all of that is its own again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde::{Deserialize, Serialize};

use super::{
    file,
    key::{PublicKey, hex, unhex},
    record,
};

const FILE: &str = "identity.json";
/// What else of the data folder belongs to one node only.
const BELONGINGS: [&str; 8] =
    [record::FILE, "twinlease.db", "twinlease.db-wal", "twinlease.db-shm", "snapshots", "log", "log.1", "own-address"];
const OF_OTHER_HARDWARE: &str = "of-other-hardware";
const BEFORE_ADOPTION: &str = "before-adoption";

/// Longer ones exist nowhere; a file of another kind may stand there.
const SERIAL_CHARS_MAX: usize = 64;

pub fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// Who this node is. Never shown with its secret.
#[derive(Clone)]
pub struct Identity {
    pkcs8: Vec<u8>,
    pub key: PublicKey,
    /// Of the hardware, where it has one.
    pub serial: Option<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("key", &self.key).field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// What was found in the data folder.
#[derive(Debug)]
pub struct Loaded {
    pub identity: Identity,
    /// In sentences, for the log and the owner.
    pub notices: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// PKCS #8 in hexadecimal digits.
    secret: String,
    serial: Option<String>,
}

/// The identity in this data folder; a new one where there is none, or none that is this node's. The folder must exist.
pub fn load(data: &Path, serial: Option<String>) -> io::Result<Loaded> {
    let path = path(data);
    let Some(bytes) = file::read(&path)? else {
        return Ok(Loaded { identity: make(data, serial)?, notices: Vec::new() });
    };
    let stored = serde_json::from_slice(&bytes).ok().and_then(|stored: Stored| {
        let identity = Identity::new(unhex(&stored.secret)?, stored.serial)?;
        Some(identity)
    });
    let Some(identity) = stored else {
        let aside = file::set_aside(&path, "damaged")?;
        let notice = format!(
            "The identity of this node was damaged and is set aside as `{}`; it has a new one, which a twin does not know. \
             If it had a twin: unpair on both, then pair them again.",
            aside.display()
        );
        return Ok(Loaded { identity: make(data, serial)?, notices: vec![notice] });
    };
    // A serial that cannot be read now proves nothing.
    if serial.is_none() || serial == identity.serial {
        return Ok(Loaded { identity, notices: Vec::new() });
    }
    // The identity goes last: a start that the power cuts off before that is made up for by the next one.
    let aside = set_aside(data, OF_OTHER_HARDWARE)?;
    fs::rename(&path, aside.join(FILE))?;
    file::sync_folder(&path)?;
    let notice = format!(
        "This card was used in other hardware before (serial {} there, {} here), so it is a copy, or it has moved. This node has a \
         new identity and no twin now; what it knew of before, leases and settings too, is set aside in `{}`. Pair it again if it \
         shall have a twin. If it has moved, and the other hardware stays off: on a flashed card, RESET.TXT with the word adopt brings that back.",
        identity.serial.as_deref().unwrap_or("unknown"),
        serial.as_deref().unwrap_or("unknown"),
        aside.display()
    );
    Ok(Loaded { identity: make(data, serial)?, notices: vec![notice] })
}

/// Moves what belongs to a node into a folder of this kind, which is returned: one that has no identity yet, for that is the last to go.
fn set_aside(data: &Path, kind: &str) -> io::Result<PathBuf> {
    let folder = (1..).map(|number| numbered(data, kind, number)).find(|folder| !folder.join(FILE).exists()).expect("endless");
    fs::create_dir_all(&folder)?;
    for name in BELONGINGS {
        let here = data.join(name);
        if here.exists() {
            fs::rename(&here, folder.join(name))?;
        }
    }
    file::sync_folder(&folder.join(FILE))?;
    file::sync_folder(&path(data))?;
    Ok(folder)
}

fn numbered(data: &Path, kind: &str, number: u32) -> PathBuf {
    data.join(if number == 1 { kind.to_owned() } else { format!("{kind}-{number}") })
}

/// Somebody says that this card has moved, and that the hardware of before stays off: this node is the one of before again, here. The error
/// is a sentence.
pub fn adopt(data: &Path, serial: Option<String>) -> Result<(), String> {
    let told = |error: io::Error| format!("What was set aside cannot be moved: {error}. Look at the card.");
    let folders = (1..).map(|number| numbered(data, OF_OTHER_HARDWARE, number)).take_while(|folder| folder.exists());
    let newest = folders.filter(|folder| folder.join(FILE).exists()).last();
    let folder = newest.ok_or("nothing of other hardware is set aside on this card")?;
    let bytes = fs::read(folder.join(FILE)).map_err(told)?;
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| "the identity that was set aside is damaged")?;
    let bytes = serde_json::to_vec(&Stored { serial, ..stored }).map_err(|error| error.to_string())?;
    let before = set_aside(data, BEFORE_ADOPTION).map_err(told)?;
    fs::rename(path(data), before.join(FILE)).map_err(told)?;
    // Known again before its leases are: without them it is a node that has lost its data, which is nobody's danger.
    file::write(&path(data), &bytes).map_err(told)?;
    for name in BELONGINGS {
        if folder.join(name).exists() {
            fs::rename(folder.join(name), data.join(name)).map_err(told)?;
        }
    }
    file::sync_folder(&path(data)).map_err(told)?;
    fs::remove_dir_all(folder).map_err(told)
}

fn make(data: &Path, serial: Option<String>) -> io::Result<Identity> {
    let identity = Identity::generate(serial);
    let stored = Stored { secret: hex(&identity.pkcs8), serial: identity.serial.clone() };
    file::write(&path(data), &serde_json::to_vec(&stored)?)?;
    Ok(identity)
}

impl Identity {
    /// Kept nowhere yet.
    pub fn generate(serial: Option<String>) -> Identity {
        let pkcs8 =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("the kernel gives random bytes once it has started");
        Identity::new(pkcs8.as_ref().to_vec(), serial).expect("just made")
    }

    fn new(pkcs8: Vec<u8>, serial: Option<String>) -> Option<Identity> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).ok()?;
        let key = PublicKey::new(pair.public_key().as_ref().try_into().ok()?);
        Some(Identity { pkcs8, key, serial })
    }

    pub(super) fn secret(&self) -> &[u8] {
        &self.pkcs8
    }
}

/// The serial number of this machine: that of a Raspberry Pi and its kin. `root` is `/`, but for tests.
pub fn hardware_serial(root: &Path) -> Option<String> {
    let tree = fs::read_to_string(root.join("sys/firmware/devicetree/base/serial-number")).ok();
    let tree = tree.as_deref().and_then(clean_serial);
    tree.or_else(|| {
        let cpus = fs::read_to_string(root.join("proc/cpuinfo")).ok()?;
        let line = cpus.lines().find(|line| line.starts_with("Serial"))?;
        clean_serial(line.split_once(':')?.1)
    })
}

/// `None`: no number at all, or the zeros of hardware that was never given one.
fn clean_serial(text: &str) -> Option<String> {
    let serial = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    let is_one = (1..=SERIAL_CHARS_MAX).contains(&serial.len())
        && serial.chars().all(|c| c.is_ascii_graphic())
        && serial.chars().any(|c| c != '0');
    is_one.then(|| serial.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::runtime::partner::scratch::Scratch;

    #[test]
    fn an_identity_is_made_once_and_only_its_owner_may_read_it() {
        let data = Scratch::new("identity");
        let first = load(data.path(), Some("100".into())).expect("made");
        let again = load(data.path(), Some("100".into())).expect("read");
        assert_eq!((first.identity.key, again.notices.len()), (again.identity.key, 0));
        let mode = fs::metadata(path(data.path())).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_copied_card_becomes_a_node_of_its_own_with_nothing_of_the_other() {
        let data = Scratch::new("clone");
        let first = load(data.path(), Some("100".into())).expect("made");
        for name in ["partner.json", "twinlease.db", "twinlease.db-wal"] {
            fs::write(data.path().join(name), "of the other").expect("written");
        }
        let copy = load(data.path(), Some("200".into())).expect("made anew");
        assert_ne!(first.identity.key, copy.identity.key);
        assert!(copy.notices[0].contains("serial 100 there, 200 here"), "{}", copy.notices[0]);
        assert_eq!(names(data.path()), ["identity.json", "of-other-hardware"]);
        assert_eq!(
            names(&data.path().join("of-other-hardware")),
            ["identity.json", "partner.json", "twinlease.db", "twinlease.db-wal"]
        );
        assert_eq!(load(data.path(), Some("200".into())).expect("read").identity.key, copy.identity.key);
    }

    #[test]
    fn a_start_that_was_cut_off_leaves_nothing_of_the_other_in_use() {
        let data = Scratch::new("cut");
        load(data.path(), Some("100".into())).expect("made");
        fs::write(data.path().join("twinlease.db"), "of the other").expect("written");
        // As far as that start came: one is moved, and the identity is not.
        fs::create_dir(data.path().join("of-other-hardware")).expect("made");
        fs::rename(data.path().join("twinlease.db"), data.path().join("of-other-hardware/twinlease.db")).expect("moved");
        fs::write(data.path().join("partner.json"), "of the other").expect("written");
        load(data.path(), Some("200".into())).expect("made anew");
        assert_eq!(names(data.path()), ["identity.json", "of-other-hardware"]);
        assert_eq!(names(&data.path().join("of-other-hardware")), ["identity.json", "partner.json", "twinlease.db"]);
    }

    #[test]
    fn a_card_that_has_moved_is_what_it_was_once_somebody_says_so() {
        let data = Scratch::new("moved");
        assert!(adopt(data.path(), Some("100".into())).is_err(), "nothing is set aside");
        let first = load(data.path(), Some("100".into())).expect("made");
        // To and fro: what the first hardware had is set aside first, and what the second one has, second.
        for (serial, content) in [("200", "first"), ("300", "second")] {
            fs::write(data.path().join("twinlease.db"), content).expect("written");
            load(data.path(), Some(serial.into())).expect("made anew");
        }
        fs::write(data.path().join("twinlease.db"), "third").expect("written");
        adopt(data.path(), Some("300".into())).expect("the second");
        assert_eq!(fs::read(data.path().join("twinlease.db")).expect("there"), b"second");
        adopt(data.path(), Some("300".into())).expect("the first");
        assert_eq!(fs::read(data.path().join("twinlease.db")).expect("there"), b"first");
        let here = load(data.path(), Some("300".into())).expect("read");
        assert_eq!((here.identity.key, here.notices.len()), (first.identity.key, 0));
        let kept = ["before-adoption", "before-adoption-2"]
            .map(|name| fs::read(data.path().join(name).join("twinlease.db")).expect("kept"));
        assert_eq!(kept, [b"third".to_vec(), b"second".to_vec()], "nothing is lost");
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().expect("text")).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_serial_that_cannot_be_read_for_once_changes_nothing() {
        let data = Scratch::new("serial");
        let first = load(data.path(), Some("100".into())).expect("made");
        let later = load(data.path(), None).expect("read");
        assert_eq!((later.identity.key, later.notices.len()), (first.identity.key, 0));
    }

    #[test]
    fn a_damaged_identity_is_set_aside_and_said() {
        let data = Scratch::new("damaged");
        fs::write(path(data.path()), b"{\"secret\":\"00\"}").expect("written");
        let loaded = load(data.path(), None).expect("made anew");
        assert!(loaded.notices[0].contains("identity.json.damaged"), "{}", loaded.notices[0]);
    }

    #[test]
    fn the_serial_is_the_device_trees_or_the_processors() {
        let root = Scratch::new("hardware");
        assert_eq!(hardware_serial(root.path()), None);
        fs::create_dir_all(root.path().join("proc")).expect("made");
        fs::write(root.path().join("proc/cpuinfo"), "processor : 0\nSerial\t\t: 10000000deadbeef\n").expect("written");
        assert_eq!(hardware_serial(root.path()).as_deref(), Some("10000000deadbeef"));
        fs::create_dir_all(root.path().join("sys/firmware/devicetree/base")).expect("made");
        fs::write(root.path().join("sys/firmware/devicetree/base/serial-number"), "00000000cafe\0").expect("written");
        assert_eq!(hardware_serial(root.path()).as_deref(), Some("00000000cafe"));
        fs::write(root.path().join("sys/firmware/devicetree/base/serial-number"), "0000\0").expect("written");
        assert_eq!(hardware_serial(root.path()).as_deref(), Some("10000000deadbeef"), "zeros are no number");
    }
}
