//! A node's key pair: made at the first start, kept in a private file, bound to the hardware it was made on.
//!
//! A card that was copied carries the key of the node that it was copied from. Where the hardware has a serial number,
//! the copy notices that it runs on other hardware, sets the key and the pairing aside and becomes a node of its own.

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

/// Longer ones exist nowhere; a file of another kind may stand there.
const SERIAL_CHARS_MAX: usize = 64;

pub fn path(data: &Path) -> PathBuf {
    data.join("identity.json")
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
    /// The folder came from other hardware: whatever it says of a pair, and its leases, are those of another node.
    pub is_clone: bool,
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
        return Ok(Loaded { identity: make(data, serial)?, is_clone: false, notices: Vec::new() });
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
        return Ok(Loaded { identity: make(data, serial)?, is_clone: false, notices: vec![notice] });
    };
    // A serial that cannot be read now proves nothing.
    if serial.is_none() || serial == identity.serial {
        return Ok(Loaded { identity, is_clone: false, notices: Vec::new() });
    }
    let aside = file::set_aside(&path, "of-other-hardware")?;
    if file::read(&record::path(data))?.is_some() {
        file::set_aside(&record::path(data), "of-other-hardware")?;
    }
    let notice = format!(
        "This card was used in other hardware before (serial {} there, {} here), so it is a copy, or it has moved. This node has a \
         new identity and no twin now; the old one is set aside as `{}`. Pair it again if it shall have a twin.",
        identity.serial.as_deref().unwrap_or("unknown"),
        serial.as_deref().unwrap_or("unknown"),
        aside.display()
    );
    Ok(Loaded { identity: make(data, serial)?, is_clone: true, notices: vec![notice] })
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
        assert_eq!((first.identity.key, again.is_clone, again.notices.len()), (again.identity.key, false, 0));
        let mode = fs::metadata(path(data.path())).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_copied_card_becomes_a_node_of_its_own_without_the_twin_of_the_other() {
        let data = Scratch::new("clone");
        let first = load(data.path(), Some("100".into())).expect("made");
        fs::write(record::path(data.path()), "of the other").expect("written");
        let copy = load(data.path(), Some("200".into())).expect("made anew");
        assert_ne!(first.identity.key, copy.identity.key);
        assert!(copy.is_clone);
        assert!(copy.notices[0].contains("serial 100 there, 200 here"), "{}", copy.notices[0]);
        assert!(!record::path(data.path()).exists(), "the pairing belongs to the other");
        assert_eq!(load(data.path(), Some("200".into())).expect("read").identity.key, copy.identity.key);
    }

    #[test]
    fn a_serial_that_cannot_be_read_for_once_changes_nothing() {
        let data = Scratch::new("serial");
        let first = load(data.path(), Some("100".into())).expect("made");
        let later = load(data.path(), None).expect("read");
        assert_eq!((later.identity.key, later.is_clone), (first.identity.key, false));
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
