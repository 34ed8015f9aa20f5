//! What a node keeps of its twin: one private file, written whole or not at all.
//!
//! ```text
//!  responder:   (none) ──confirm──► Proposed ──commit──► Paired
//!  initiator:   (none) ──confirmed─► Agreed ──committed──► Paired
//!               Paired ──confirmed─► Agreed, the one before still in force ──committed──► Paired
//! ```
//!
//! The initiator decides: once `Agreed` is on its disk, it asks the other to commit until that has answered. A responder
//! that has no `Proposed` for it any more says so, and the initiator forgets the pairing.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{file, key::PublicKey};
use crate::protocol::failover::Rank;

pub const FILE: &str = "partner.json";

pub fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// How far a pairing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// This node has said yes; the other decides.
    Proposed,
    /// Both have said yes; the other has not answered the decision yet.
    Agreed,
    Paired,
}

/// The other node, as the pairing made it known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub step: Step,
    pub key: PublicKey,
    pub serial: Option<String>,
    pub name: String,
    /// This node's own rank; the other has the other one.
    pub rank: Rank,
    /// What the other said of itself when it paired.
    pub partner_has_leases: bool,
    pub partner_is_blank_first: bool,
    /// This node has joined the other: its password counts.
    #[serde(default)]
    pub joins: bool,
    /// Where it answered last.
    pub address: Option<SocketAddr>,
    /// Until it is `Paired`: the twin in whose place it comes. That one counts, should nothing come of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Box<Record>>,
}

impl Record {
    /// The twin that counts now.
    pub fn in_force(&self) -> Option<&Record> {
        match self.step {
            Step::Paired => Some(self),
            Step::Proposed | Step::Agreed => self.replaces.as_deref(),
        }
    }
}

/// The record in this data folder, and a notice where there was one that cannot be read.
pub fn load(data: &Path) -> io::Result<(Option<Record>, Option<String>)> {
    let path = path(data);
    let Some(bytes) = file::read(&path)? else { return Ok((None, None)) };
    match serde_json::from_slice(&bytes) {
        Ok(record) => Ok((Some(record), None)),
        Err(error) => {
            let aside = file::set_aside(&path, "damaged")?;
            let notice = format!(
                "What this node knew of its twin cannot be read ({error}) and is set aside as `{}`, so the link stays down. \
                 Unpair on the twin, then pair both again.",
                aside.display()
            );
            Ok((None, Some(notice)))
        }
    }
}

pub fn save(data: &Path, record: &Record) -> io::Result<()> {
    file::write(&path(data), &serde_json::to_vec(record)?)
}

pub fn forget(data: &Path) -> io::Result<()> {
    file::remove(&path(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::partner::scratch::Scratch;

    #[test]
    fn a_record_is_read_as_it_was_saved_until_it_is_forgotten() {
        let data = Scratch::new("record");
        let record = Record {
            step: Step::Agreed,
            key: PublicKey::new([3; 32]),
            serial: Some("100".into()),
            name: "attic".into(),
            rank: Rank::Second,
            partner_has_leases: true,
            partner_is_blank_first: false,
            joins: true,
            address: Some("192.0.2.2:8067".parse().expect("an address")),
            replaces: None,
        };
        save(data.path(), &record).expect("saved");
        assert_eq!(load(data.path()).expect("read"), (Some(record), None));
        forget(data.path()).expect("forgotten");
        forget(data.path()).expect("forgotten twice");
        assert_eq!(load(data.path()).expect("read"), (None, None));
    }

    #[test]
    fn a_damaged_record_is_set_aside_and_said() {
        let data = Scratch::new("record-damaged");
        std::fs::write(path(data.path()), b"{\"step\":\"pai").expect("written");
        let (record, notice) = load(data.path()).expect("read");
        assert!(record.is_none() && notice.expect("said").contains("partner.json.damaged"));
        assert_eq!(load(data.path()).expect("read"), (None, None));
    }
}
