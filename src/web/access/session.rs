//! Who is signed in. In memory only: a restart asks for the password again, nothing on the card can be stolen, and each
//! twin has its own. Known by the digest of a random id, so that a look at the memory does not let anybody in.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use ring::digest;

use crate::{
    runtime::partner::key::random,
    settings::access::Scope,
    web::visitor::{DASHBOARD, Visitor},
};

/// Nobody has asked for anything in this time: signed out. A page that is only looked at keeps nobody signed in.
pub const IDLE: Duration = Duration::from_secs(12 * 3600);
/// However busy they are.
pub const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Signed in at the same time; one more, and whoever was away longest goes.
pub const SESSIONS_MAX: usize = 64;

/// What the browser keeps: 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    pub fn from_cookie(text: &str) -> SessionId {
        SessionId(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn digest(&self) -> Digest {
        digest_of(self.0.as_bytes())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

type Digest = [u8; 32];

pub fn digest_of(bytes: &[u8]) -> Digest {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Digest, Session>>);

struct Session {
    begun: Instant,
    /// When they asked for something last.
    seen: Instant,
    /// Of the stored password that let them in. Another password, set here, on the twin or on the command line, and this
    /// session is none.
    password: Digest,
    /// Another password came. Kept so that its browser can be told why it is signed out.
    is_void: bool,
    visitor: Visitor,
}

impl Sessions {
    /// Always a new id, so that nobody can have known it before (session fixation).
    pub fn open(&self, now: Instant, password: &str) -> (SessionId, Visitor) {
        let id = SessionId(BASE64URL_NOPAD.encode(&random::<32>()));
        let visitor = Visitor::new(DASHBOARD, Scope::Write);
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.lasts(now));
        while sessions.len() >= SESSIONS_MAX {
            let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.seen).map(|(id, _)| *id) else { break };
            sessions.remove(&oldest);
        }
        let session =
            Session { begun: now, seen: now, password: digest_of(password.as_bytes()), is_void: false, visitor: visitor.clone() };
        sessions.insert(id.digest(), session);
        (id, visitor)
    }

    /// Whoever has this id, so long as the password is still the one that they knew. `asks`: they want something; a live
    /// page only stays open.
    pub fn find(&self, now: Instant, id: &SessionId, password: &str, asks: bool) -> Option<Visitor> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(&id.digest())?;
        if !session.lasts(now) {
            sessions.remove(&id.digest());
            return None;
        }
        session.is_void |= session.password != digest_of(password.as_bytes());
        if session.is_void {
            return None;
        }
        if asks {
            session.seen = now;
        }
        Some(session.visitor.clone())
    }

    /// Whoever has this id was signed out by another password.
    pub fn is_void(&self, now: Instant, id: &SessionId) -> bool {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&id.digest()).is_some_and(|session| session.is_void && session.lasts(now))
    }

    pub fn close(&self, id: &SessionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id.digest());
    }
}

impl Session {
    fn lasts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) < IDLE && now.saturating_duration_since(self.begun) < LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_nobody_asks_and_at_last_in_any_case() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let (id, _) = sessions.open(start, "hash");
        assert!(sessions.find(start + IDLE - Duration::from_secs(1), &id, "hash", false).is_some(), "a live page");
        assert!(sessions.find(start + IDLE, &id, "hash", true).is_none(), "which is no reason to stay");
        let (id, _) = sessions.open(start, "hash");
        let mut now = start;
        while now < start + LIFE {
            assert!(sessions.find(now, &id, "hash", true).is_some());
            now += IDLE / 2;
        }
        assert!(sessions.find(now, &id, "hash", true).is_none());
    }

    #[test]
    fn another_password_signs_everybody_out() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (id, _) = sessions.open(now, "hash");
        assert!(sessions.find(now, &id, "other", true).is_none());
        assert!(sessions.find(now, &id, "hash", true).is_none(), "and not for a moment only");
        assert!(sessions.is_void(now, &id) && !sessions.is_void(now + LIFE, &id), "who was is told why");
        let (stranger, _) = Sessions::default().open(now, "hash");
        assert!(!sessions.is_void(now, &stranger));
    }

    #[test]
    fn sessions_are_bounded_and_ids_never_the_same() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (first, _) = sessions.open(now, "hash");
        let mut last = first.clone();
        for secs in 1..=SESSIONS_MAX as u64 {
            let (id, _) = sessions.open(now + Duration::from_secs(secs), "hash");
            assert!(id != last && id.as_str().len() == 43);
            last = id;
        }
        assert_eq!(sessions.0.lock().expect("unpoisoned").len(), SESSIONS_MAX);
        assert!(sessions.find(now, &first, "hash", true).is_none(), "the one that was away longest has gone");
        assert!(sessions.find(now, &last, "hash", true).is_some());
    }

    #[test]
    fn an_id_that_nobody_gave_out_lets_nobody_in() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (id, _) = sessions.open(now, "hash");
        sessions.close(&id);
        for text in ["", "x", id.as_str()] {
            assert!(sessions.find(now, &SessionId::from_cookie(text), "hash", true).is_none());
        }
    }
}
