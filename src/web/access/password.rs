//! The password: what may be one, its hash (argon2id as a PHC string, the same on both twins), and checking it.

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use tokio::sync::Semaphore;

use crate::{
    runtime::partner::key::random,
    settings::{
        Settings,
        access::{Access, LOCKED},
    },
};

const CHARS_MIN: usize = 10;
const BYTES_MAX: usize = 256;
/// Fewer different characters than this are a pattern.
const DIFFERENT_MIN: usize = 5;
/// What everybody tries first, so long as it is long enough.
const WELL_KNOWN: [&str; 12] = [
    "1234567890",
    "0123456789",
    "password12",
    "password123",
    "password1234",
    "passwordpassword",
    "qwertyuiop",
    "raspberrypi",
    "administrator",
    "letmein1234",
    "changeme123",
    "iloveyou123",
];
/// Hashing takes 19 MB and a core for a while: those who wait beyond this are sent away.
const WAITING_MAX: usize = 8;

/// The stored hash; `None`: nobody has claimed this device yet.
pub fn stored(settings: &Settings) -> Option<&str> {
    settings.access.password.as_deref()
}

/// With this password from now on; tokens stay.
pub fn with_password(settings: &Settings, hash: String) -> Access {
    Access { password: Some(hash), ..settings.access.clone() }
}

/// Why this cannot be the password, as a sentence.
pub fn objection(password: &str) -> Option<String> {
    let lower = password.to_lowercase();
    let mut different: Vec<char> = password.chars().collect();
    let length = different.len();
    different.sort_unstable();
    different.dedup();
    if password.is_empty() {
        Some("There is no password yet. Type one.".into())
    } else if length < CHARS_MIN {
        Some(format!(
            "The password has {length} characters, which is too short. Use {CHARS_MIN} or more; some words in a row are good."
        ))
    } else if password.len() > BYTES_MAX {
        Some(format!("The password has {} bytes, which is too long. Use {BYTES_MAX} at most.", password.len()))
    } else if different.len() < DIFFERENT_MIN || WELL_KNOWN.contains(&lower.as_str()) || lower.contains("twinlease") {
        Some("That password is one of the first that are tried. Use some words in a row that nobody would guess.".into())
    } else {
        None
    }
}

/// Takes a while, by intent.
pub fn hash(password: &str) -> String {
    with_salt(password, &random())
}

/// The same hash on two boxes that were given the same password and the same secret: no edit of one contradicts the other's.
pub fn hash_of_pair(password: &str, pair_key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("twinlease password {pair_key}").as_bytes());
    with_salt(password, digest.as_ref().first_chunk().expect("16 of 32"))
}

fn with_salt(password: &str, salt: &[u8; 16]) -> String {
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), salt);
    hash.expect("lengths of password and salt are allowed").to_string()
}

/// Takes a while as well.
pub fn is_right(password: &str, stored: &str) -> bool {
    if stored == LOCKED || password.len() > BYTES_MAX {
        return false;
    }
    PasswordHash::new(stored).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// One hash at a time, beside the pages and far from the packets.
pub struct Hasher {
    at_work: Semaphore,
    waiting: Semaphore,
}

/// Too many want the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Busy;

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher { at_work: Semaphore::new(1), waiting: Semaphore::new(WAITING_MAX) }
    }
}

impl Hasher {
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let _waits = self.waiting.try_acquire().map_err(|_| Busy)?;
        let _works = self.at_work.acquire().await.map_err(|_| Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_right_when_it_is_the_one() {
        let stored = hash("correct horse battery");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hash("correct horse battery"), "salted");
        assert!(is_right("correct horse battery", &stored));
        assert!(!is_right("correct horse batterz", &stored));
        assert!(!is_right("", &stored));
        for broken in ["", LOCKED, "$argon2id$", "plain"] {
            assert!(!is_right(broken, broken), "{broken}");
        }
    }

    #[test]
    fn two_boxes_with_one_pair_key_have_one_hash() {
        let one = hash_of_pair("correct horse battery", "a key of twenty letters");
        assert_eq!(one, hash_of_pair("correct horse battery", "a key of twenty letters"));
        assert_ne!(one, hash_of_pair("correct horse battery", "a key of another pair"));
        assert!(is_right("correct horse battery", &one));
    }

    #[test]
    fn what_everybody_tries_first_is_no_password() {
        for weak in ["", "short", "aaaaaaaaaaaa", "ababababab", "1234567890", "Password123", "twinlease2026", &"x".repeat(300)] {
            assert!(objection(weak).is_some_and(|why| why.ends_with('.')), "{weak}");
        }
        for good in ["correct horse battery", "drei Käse hoch", "9f8a7b6c5d"] {
            assert_eq!(objection(good), None, "{good}");
        }
    }

    #[tokio::test]
    async fn those_who_want_to_be_hashed_are_bounded() {
        let hasher = std::sync::Arc::new(Hasher::default());
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.run(move || held.recv()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        let others: Vec<_> = (0..WAITING_MAX + 4)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.run(|| ()).await })
            })
            .collect();
        tokio::task::yield_now().await;
        hold.send(()).expect("it waits");
        assert!(first.await.expect("no panic"));
        let mut busy = 0;
        for other in others {
            busy += usize::from(other.await.expect("no panic") == Err(Busy));
        }
        assert_eq!(busy, 5);
    }
}
