//! Settings as both twins hold them: versioned records that merge without losing an edit (failover rule 14).

use serde::{Deserialize, Serialize};

use super::lease::Version;
use crate::settings::{Record, RecordKey};

/// One setting as both twins hold it. A removal is an entry too, so that nothing resurrects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub key: RecordKey,
    pub version: Version,
    /// `None`: removed, or at its default.
    pub record: Option<Record>,
    /// Edits made apart that contradict: the one that is not in force, until somebody chooses.
    pub other: Option<Other>,
}

impl Entry {
    /// Whether its records are those that its key names. To be asked of whatever comes from outside.
    pub fn is_sound(&self) -> bool {
        let other = self.other.as_ref().and_then(|other| other.record.as_ref());
        self.record.iter().chain(other).all(|record| record.key() == self.key)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Other {
    pub record: Option<Record>,
}
