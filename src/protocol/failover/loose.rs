//! The rules of the pair can be broken one at a time, in tests only: a proof that cannot fail proves nothing. Each
//! variant puts back a sentence that read well and let two clients have one address.

/// Numbered as in the model that found them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(test), allow(dead_code, reason = "only the tests break rules"))]
pub enum Rule {
    /// What a non-owner undoes goes back to the version it had before (rule 4).
    W1 = 1,
    /// An update that was received raises the acked expiry, as if the partner had confirmed one of mine (rule 2).
    W2 = 2,
    /// An ack counts for whatever record the address has now (rule 2).
    W3 = 3,
    /// Versions are one counter, the higher wins, whoever counted (rule 7).
    W4 = 4,
    /// The owner asks "is it free with you?", and frees on a yes that names no version; nothing is given up (rule 5).
    W5 = 5,
    /// A release or a decline shortens the known expiry to now (rule 7).
    W6 = 6,
    /// A reservation grants: its client is given its address whoever owns it (rule 6).
    W7 = 7,
    /// A reservation grants even an address that another client still holds (rule 6).
    W8 = 8,
    /// A node that starts serves at once, and pulls meanwhile (rule 11).
    W9 = 9,
    /// The wait of one that forgot counts on the clock and so includes the time before the boot (rule 12).
    W11 = 11,
    /// A node in `Recover` confirms new bindings and agrees to freeings; its partner counts itself together (rule 12).
    W12 = 12,
    /// A partner can be declared down from `Recover` too (rule 10).
    W13 = 13,
    /// Where both have forgotten, neither waits any longer than where one has: both call it a first pairing (rule 12).
    W14 = 14,
    /// A restored database carries no mark (rule 12).
    W15 = 15,
    /// A clock that was not confirmed is believed: records age by what it says (rule 8).
    W16 = 16,
    /// The acked expiry survives a reboot (rule 2).
    W17 = 17,
    /// Messages of an earlier session are taken (rule 9).
    W18 = 18,
    /// The owner of an address follows from a setting: who is the active decides whose half is whose (rule 3).
    W19 = 19,
    /// A raised lead or lease time applies at once, and waits use the one in force here (rule 13).
    W20 = 20,
    /// A partner's number counts as known when it was heard, not when it was durable (rule 12).
    W22 = 22,
    /// Leaving `PartnerDown` is not committed before the partner pulls (rule 10).
    W28 = 28,
    /// A new binding, a freeing, a release is sent before it is on the sender's disk (rule 2).
    W30 = 30,
    /// A client gets its old address back from either node even after it was freed or given up (rule 5).
    W31 = 31,
    /// Whoever pulls from one in `Recover` does not wait (rule 12).
    W32 = 32,
    /// A non-owner's new binding is an ordinary one before the owner has confirmed it (rule 4).
    W33 = 33,
    /// A clock that steps at its confirmation ages records that were stamped under the unconfirmed one too (rule 8).
    W34 = 34,
    /// What is given from the partner's half in `PartnerDown` keeps its generation (rule 10).
    W35 = 35,
    /// Within one generation and client, the newer version's expiry stands, even where it is shorter (rule 7).
    W36 = 36,
    /// One that is unpaired is one alone again after the lead time, whatever the longest lease is (rule 10).
    W37 = 37,
    /// One that heard that it was counted as down, and then nothing more, serves as if it had heard nothing (rule 10).
    W38 = 38,
    /// A partner that is down has promised nothing: its half is given from at once (rule 10).
    W39 = 39,
    /// A release frees at once, though a disk is lost on which the lease may have been renewed since (rule 5).
    W40 = 40,
    /// That a disk was lost is forgotten with a restart (rule 5).
    W41 = 41,
    /// What is durable is told again from memory, while the disk takes nothing, also to a client that may have released it (rule 2).
    W42 = 42,
    /// What the partner confirmed before it started again counts on, though it may have been given an old copy of its disk (rule 2).
    W43 = 43,
    /// A number that was told before it was durable is used again after a power cut (rule 7).
    W44 = 44,
    /// What the disk refused to give up is told as given up all the same, and forgotten with a start (rule 5).
    W45 = 45,
    /// A declaration that the disk refused, and the admin was told so, is acted on (rule 10).
    W46 = 46,
    /// One that was unpaired and is paired again goes on ignoring the other, which has not started anew (rule 10).
    W47 = 47,
    /// What one that forgot gave, when all that it forgot had run out, is given up for what the twin knows by a higher number (rule 12).
    W48 = 48,
    /// When a twin is replaced, settings that wait for a choice keep the numbers of before (rule 14).
    W49 = 49,
    /// A pairing that was cut off before it was written down leaves the settings with the numbers of before (rule 14).
    W50 = 50,
    /// That the sender had counted this node as down before it was shut down itself goes unheard (rule 10).
    W51 = 51,
    /// What was set on a blank disk counts like any edit, though its number may have been spent before (rule 14).
    W52 = 52,
    /// Who may have given what its twin knows to be another's lets that twin serve before it has heard of it all (rule 12).
    W53 = 53,
    /// Who is sent to serve without its twin does not tell it so (rule 12).
    W54 = 54,
    /// What the partner has confirmed is told as a mere proposal to a partner that may have lost its word of it (rule 4).
    W55 = 55,
    /// What was confirmed to the partner, who may have undone it unheard, is told again from memory while the disk takes nothing (rule 4).
    W56 = 56,
}

/// Whether this rule is broken now: never, outside of tests.
#[cfg(not(test))]
#[inline(always)]
pub fn is_loose(_rule: Rule) -> bool {
    false
}

#[cfg(test)]
pub use broken::{is_loose, with_loose};

#[cfg(test)]
mod broken {
    use std::cell::Cell;

    use super::Rule;

    thread_local!(static BROKEN: Cell<u64> = const { Cell::new(0) });

    pub fn is_loose(rule: Rule) -> bool {
        BROKEN.get() & 1 << rule as u32 != 0
    }

    /// Does something on this thread while these rules, and no others, are broken.
    pub fn with_loose<T>(rules: &[Rule], run: impl FnOnce() -> T) -> T {
        struct Mend(u64);
        impl Drop for Mend {
            fn drop(&mut self) {
                BROKEN.set(self.0);
            }
        }
        let _mend = Mend(BROKEN.replace(rules.iter().fold(0, |set, rule| set | 1 << *rule as u32)));
        run()
    }

    #[test]
    fn rules_are_broken_only_while_a_test_wants_it() {
        assert!(with_loose(&[Rule::W6, Rule::W36], || is_loose(Rule::W6) && is_loose(Rule::W36) && !is_loose(Rule::W5)));
        assert!(!is_loose(Rule::W6) && !is_loose(Rule::W36));
    }
}
