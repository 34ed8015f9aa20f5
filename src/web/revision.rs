//! Two who edit the same at the same time: a form carries the revision of what it showed, and where that is not the
//! present one any more, both versions are shown before anything is changed.

use serde::Serialize;

use crate::{
    runtime::partner::key::hex,
    settings::{Record, RecordKey, Settings, render},
    web::access::session::digest_of,
};

/// Of a part of the settings (one record, best): equal for what is equal, on both twins and after a restart.
pub fn of<T: Serialize>(part: &T) -> String {
    hex(&digest_of(&serde_json::to_vec(part).unwrap_or_default())[..8])
}

/// Of the record with this key as it is now; also where there is none.
pub fn of_record(settings: &Settings, key: &RecordKey) -> String {
    of(&settings.record(key))
}

/// Somebody else was faster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// As the form wants it, and as it is now; as in the settings file.
    pub yours: String,
    pub now: String,
    /// To be sent with the form when it shall win nevertheless.
    pub revision: String,
}

/// `sent`: the form's hidden field `revision`; `key`: what the form was about when it was opened.
pub fn check(settings: &Settings, key: &RecordKey, sent: &str, wanted: &Record) -> Result<(), Clash> {
    let now = settings.record(key);
    let revision = of(&now);
    // Both want the same: nobody loses anything.
    if sent == revision || now.as_ref() == Some(wanted) {
        return Ok(());
    }
    let shown = |record: &Record| render::record(record).trim().to_owned();
    let now = now.as_ref().map_or_else(|| "(removed)".to_owned(), shown);
    Err(Clash { yours: shown(wanted), now, revision })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::LeaseTimes;

    #[test]
    fn a_form_that_was_overtaken_is_told_both_versions() {
        let mut settings = Settings::default();
        let opened = of_record(&settings, &RecordKey::Lease);
        let hours = |hours: u64| LeaseTimes { default: std::time::Duration::from_secs(hours * 3600), ..LeaseTimes::default() };
        let wanted = Record::Lease(hours(2));
        assert_eq!(check(&settings, &RecordKey::Lease, &opened, &wanted), Ok(()));
        settings.server.rapid_commit = true;
        assert_eq!(check(&settings, &RecordKey::Lease, &opened, &wanted), Ok(()), "something else was changed");
        settings.lease = hours(3);
        let clash = check(&settings, &RecordKey::Lease, &opened, &wanted).expect_err("overtaken");
        assert!(clash.yours.contains("2h") && clash.now.contains("3h"), "{clash:?}");
        assert_eq!(check(&settings, &RecordKey::Lease, &clash.revision, &wanted), Ok(()), "it shall win");
        settings.lease = hours(2);
        assert_eq!(check(&settings, &RecordKey::Lease, &opened, &wanted), Ok(()), "both wanted the same");
    }
}
