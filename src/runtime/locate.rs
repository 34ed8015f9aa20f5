//! "Which of the two is it?": somebody stands before the boxes and wants to see this one blink.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Long enough to walk there.
pub const LOCATE_FOR: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Locator(Mutex<Option<Instant>>);

impl Locator {
    pub fn blink(&self, now: Instant) {
        self.set(Some(now + LOCATE_FOR));
    }

    /// It is found.
    pub fn stop(&self) {
        self.set(None);
    }

    pub fn is_sought(&self, now: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| now < end)
    }

    fn set(&self, end: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_blinks_for_a_minute_or_until_it_is_found() {
        let (locator, now) = (Locator::default(), Instant::now());
        assert!(!locator.is_sought(now));
        locator.blink(now);
        assert!(locator.is_sought(now + LOCATE_FOR - Duration::from_secs(1)));
        assert!(!locator.is_sought(now + LOCATE_FOR));
        locator.stop();
        assert!(!locator.is_sought(now));
    }
}
