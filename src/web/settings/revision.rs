//! Which version of a record a form was made from. The same on both twins.

use crate::settings::Record;

/// Other records may change meanwhile without a word.
pub fn of(record: &Record) -> String {
    let told = serde_json::to_vec(record).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &told);
    data_encoding::HEXLOWER.encode(&digest.as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{LeaseTimes, Server};

    #[test]
    fn each_version_of_a_record_has_its_own() {
        let before = of(&Record::Server(Server::default()));
        assert_eq!(before, of(&Record::Server(Server::default())));
        assert_ne!(before, of(&Record::Server(Server { bootp: true, ..Server::default() })));
        assert_ne!(before, of(&Record::Lease(LeaseTimes::default())));
    }
}
