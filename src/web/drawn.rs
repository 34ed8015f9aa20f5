//! What was computed of a house: once, for all who look at it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use super::{
    devices::device::Entry,
    home::view::HomeView,
    live::{Fragment, Place},
};

/// A live page by its name, and what is shown of it.
type Page = (&'static str, Place);

/// Of a page, as soon as somebody has drawn them.
type Parts = Arc<OnceCell<Arc<[Fragment]>>>;

#[derive(Debug, Default)]
pub struct Drawn {
    entries: OnceLock<Vec<Entry>>,
    home: OnceLock<HomeView>,
    parts: Mutex<HashMap<Page, Parts>>,
    /// Microseconds that the house has cost: to take it, and all this.
    cost: AtomicU64,
}

impl Drawn {
    pub fn entries(&self, merge: impl FnOnce() -> Vec<Entry>) -> &[Entry] {
        self.entries.get_or_init(|| self.measured(merge))
    }

    pub fn home(&self, look: impl FnOnce() -> HomeView) -> &HomeView {
        self.home.get_or_init(|| self.measured(look))
    }

    /// Whoever asks while another one draws the same waits for that.
    pub async fn parts(&self, page: &'static str, place: &Place, draw: impl AsyncFnOnce() -> Vec<Fragment>) -> Arc<[Fragment]> {
        let cell = {
            let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(parts.entry((page, place.clone())).or_default())
        };
        let drawn = cell.get_or_init(async || {
            let began = Instant::now();
            let parts: Arc<[Fragment]> = draw().await.into();
            self.costs(began.elapsed());
            parts
        });
        Arc::clone(drawn.await)
    }

    /// A part of one that is measured counts twice; it is a bound, not a bill.
    fn measured<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.costs(began.elapsed());
        done
    }

    pub fn costs(&self, time: Duration) {
        self.cost.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn cost(&self) -> Duration {
        Duration::from_micros(self.cost.load(Ordering::Relaxed))
    }
}
