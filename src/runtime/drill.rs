//! Drills as people see them: what devices would have felt, while it goes on and afterwards. The last one is kept in `drill.json`
//! of the drilled node's folder.
//!
//! All the while made-up devices ask for an address through the drilled node's own interface. They take no lease: an OFFER shows
//! that somebody answers, a made-up lease would take an address from the pool and stand in everybody's history.

mod asker;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::Instant};

use super::{clock, partner::file};
use crate::protocol::{Interface, failover::State};

const FILE: &str = "drill.json";

/// What a drill has shown, so far or in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who started it, as history names people.
    pub by: String,
    /// The node that was silent, and the one that had to take over.
    pub node: String,
    pub twin: Option<String>,
    /// Ms since 1970.
    pub began_ms: i64,
    pub planned_secs: u32,
    /// `None`: it goes on.
    pub lasted_ms: Option<u64>,
    /// From the beginning to the first answer of somebody else.
    pub took_over_ms: Option<u64>,
    pub longest_wait_ms: u64,
    /// Devices that asked, and those of them that were answered.
    pub asked: u32,
    pub answered: u32,
    /// From the end of the drill until both were together.
    pub together_after_ms: Option<u64>,
    /// Why nobody could ask.
    pub trouble: Option<String>,
}

impl Report {
    /// Devices that nobody answered.
    pub fn lost(&self) -> u32 {
        self.asked - self.answered
    }

    pub fn was_cut_short(&self) -> bool {
        self.lasted_ms.is_some_and(|lasted| lasted + 500 < u64::from(self.planned_secs) * 1000)
    }

    /// Since it began.
    pub fn secs_ago(&self) -> u64 {
        u64::try_from((clock::wall_ms() - self.began_ms) / 1000).unwrap_or(0)
    }

    /// When it began, as RFC 3339.
    pub fn date(&self) -> Option<String> {
        let began = jiff::Timestamp::from_millisecond(self.began_ms).ok()?;
        began.round(jiff::Unit::Second).ok().map(|date| date.to_string())
    }

    /// For people, in one line.
    pub fn sentence(&self) -> String {
        if let Some(trouble) = &self.trouble {
            return format!("Nobody could be asked: {trouble}");
        }
        match self.took_over_ms {
            Some(ms) => {
                let (lost, devices) = (self.lost(), if self.lost() == 1 { "device" } else { "devices" });
                format!("Took over in {}; {lost} {devices} lost.", seconds(ms))
            }
            None if self.lasted_ms.is_none() => format!("Nobody has answered yet; {} asked.", self.asked),
            None => format!("Nobody took over: {} devices asked, none was answered.", self.asked),
        }
    }
}

/// `1.3 s`.
pub fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// The drill that goes on, and the last one.
#[derive(Debug, Default)]
pub struct Drills {
    inner: Arc<Mutex<Inner>>,
    /// Held by who writes the file: what is newest is written last.
    writing: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<PathBuf>,
    under_way: Option<Report>,
    last: Option<Report>,
}

impl Drills {
    /// Reads what is kept in this folder, and keeps there what comes.
    pub fn keep_in(&self, folder: &Path) {
        let path = folder.join(FILE);
        // A report that cannot be read is one that is not there: nothing rests on it.
        let kept = file::read(&path).ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        self.with(|inner| (inner.file, inner.last) = (Some(path), kept));
    }

    pub fn under_way(&self) -> Option<Report> {
        self.with(|inner| inner.under_way.clone())
    }

    /// The last one that is over, on this node.
    pub fn last(&self) -> Option<Report> {
        self.with(|inner| inner.last.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut locked(&self.inner))
    }

    fn note(&self, change: impl FnOnce(&mut Report)) {
        self.with(|inner| inner.under_way.as_mut().map(change));
    }

    /// Nothing more comes of it but the moment when both are together.
    fn close(&self) {
        self.with(|inner| {
            if let Some(report) = inner.under_way.take() {
                tracing::info!("the drill is over. {}", report.sentence());
                inner.last = Some(report);
            }
        });
        self.write();
    }

    fn together(&self, after: Duration) {
        let is_closed = self.with(|inner| {
            if let Some(report) = inner.under_way.as_mut().or(inner.last.as_mut()) {
                report.together_after_ms = Some(after.as_millis() as u64);
            }
            inner.under_way.is_none()
        });
        if is_closed {
            self.write();
        }
    }

    fn write(&self) {
        let (inner, writing) = (Arc::clone(&self.inner), Arc::clone(&self.writing));
        // On a thread of its own: a disk may take its time.
        std::thread::spawn(move || {
            let _writing = locked(&writing);
            let (file, last) = {
                let inner = locked(&inner);
                (inner.file.clone(), inner.last.clone())
            };
            let (Some(file), Some(last)) = (file, last) else { return };
            let written = serde_json::to_vec(&last).map_err(Into::into).and_then(|bytes| file::write(&file, &bytes));
            if let Err(error) = written {
                tracing::warn!("the report of the drill could not be kept ({error})");
            }
        });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The loop's part: sees drills begin and end.
pub struct Follower {
    drills: Arc<Drills>,
    /// Who wanted the next one, and for how long.
    wanted: Option<(String, u32)>,
    asker: Option<oneshot::Sender<()>>,
    began: Instant,
    /// Since when the drilled node looks for its twin again.
    returns_since: Option<Instant>,
}

impl Follower {
    pub fn new(drills: Arc<Drills>) -> Follower {
        Follower { drills, wanted: None, asker: None, began: Instant::now(), returns_since: None }
    }

    /// Somebody asks for a drill; it may still be refused.
    pub fn note_wish(&mut self, by: &str, secs: u32) {
        self.wanted = Some((by.to_owned(), secs));
    }

    /// Called when the node has come to stand otherwise. Needs the tokio runtime.
    pub fn follow(&mut self, state: State, interface: Option<&Interface>, names: impl FnOnce() -> (String, Option<String>)) {
        match (state, self.asker.is_some()) {
            (State::Drilled, false) => self.begin(interface, names()),
            (State::Drilled, true) | (_, false) => {}
            (_, true) => {
                let lasted_ms = self.began.elapsed().as_millis() as u64;
                self.drills.note(|report| report.lasted_ms = Some(lasted_ms));
                // Dropped: the asker waits for its last answers and closes the report.
                self.asker = None;
                self.returns_since = Some(Instant::now());
            }
        }
        if state == State::Normal
            && let Some(since) = self.returns_since.take()
        {
            self.drills.together(since.elapsed());
        }
    }

    fn begin(&mut self, interface: Option<&Interface>, (node, twin): (String, Option<String>)) {
        let (by, planned_secs) = self.wanted.take().unwrap_or_default();
        let report = Report {
            by,
            node,
            twin,
            began_ms: clock::wall_ms(),
            planned_secs,
            lasted_ms: None,
            took_over_ms: None,
            longest_wait_ms: 0,
            asked: 0,
            answered: 0,
            together_after_ms: None,
            trouble: None,
        };
        self.drills.with(|inner| inner.under_way = Some(report));
        (self.began, self.returns_since) = (Instant::now(), None);
        let (stop, stopped) = oneshot::channel();
        self.asker = Some(stop);
        let (drills, interface) = (Arc::clone(&self.drills), interface.cloned());
        tokio::spawn(async move {
            if let Err(why) = asker::ask(&drills, interface, stopped).await {
                tracing::warn!("in this drill nobody asks: {why}");
                drills.note(|report| report.trouble = Some(why));
            }
            drills.close();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::partner::scratch::Scratch;

    fn report() -> Report {
        Report {
            by: "dashboard".into(),
            node: "a".into(),
            twin: Some("b".into()),
            began_ms: 1,
            planned_secs: 30,
            lasted_ms: Some(30_004),
            took_over_ms: Some(1340),
            longest_wait_ms: 1340,
            asked: 120,
            answered: 120,
            together_after_ms: None,
            trouble: None,
        }
    }

    #[test]
    fn a_report_says_what_devices_felt() {
        assert_eq!(report().sentence(), "Took over in 1.3 s; 0 devices lost.");
        assert_eq!(Report { answered: 119, ..report() }.sentence(), "Took over in 1.3 s; 1 device lost.");
        let nobody = Report { took_over_ms: None, answered: 0, ..report() };
        assert_eq!(nobody.sentence(), "Nobody took over: 120 devices asked, none was answered.");
        let early = Report { lasted_ms: None, asked: 4, ..nobody };
        assert_eq!(early.sentence(), "Nobody has answered yet; 4 asked.");
        assert!(!report().was_cut_short() && Report { lasted_ms: Some(12_000), ..report() }.was_cut_short());
    }

    #[test]
    fn the_last_report_is_there_after_a_restart() {
        let folder = Scratch::new("drill");
        let drills = Drills::default();
        drills.keep_in(folder.path());
        drills.with(|inner| inner.under_way = Some(report()));
        drills.close();
        drills.together(Duration::from_millis(400));
        let expected = Report { together_after_ms: Some(400), ..report() };
        let kept = || {
            let next = Drills::default();
            next.keep_in(folder.path());
            next.last()
        };
        let began = std::time::Instant::now();
        while kept().as_ref() != Some(&expected) {
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", kept());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
