//! Drills as people see them: what devices would have felt, while it goes on and afterwards. The last one is kept in `drill.json`
//! of the drilled node's folder, also one that goes on: a restart ends a drill, and what was seen until then is worth telling.
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
use crate::protocol::{Interface, explain::spell, failover::State};

const FILE: &str = "drill.json";
/// Figures of one that goes on are written so often: they are seen after a crash, and a card wears out.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

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
    /// `None`: it goes on, or was cut off.
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
    /// The program was started again before the end: what came after that is not in it.
    #[serde(default)]
    pub cut_off: bool,
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
            Some(ms) if self.cut_off => {
                format!("Took over in {}; what came then is not known: {} was started again.", seconds(ms), self.node)
            }
            None if self.cut_off => {
                format!("Nothing was seen of a take-over before {} was started again, which ended the drill.", self.node)
            }
            Some(ms) => {
                let (lost, devices) = (self.lost(), if self.lost() == 1 { "device" } else { "devices" });
                format!("Took over in {}; {lost} {devices} lost.", seconds(ms))
            }
            None if self.lasted_ms.is_none() => format!("Nobody has answered yet; {} asked.", self.asked),
            None => format!("Nobody took over: {} devices asked, none was answered.", self.asked),
        }
    }

    /// The rest, in some more.
    pub fn more(&self) -> String {
        let answered = if self.answered == self.asked { "all".into() } else { self.answered.to_string() };
        let longest = seconds(self.longest_wait_ms);
        let asked = format!("{} made-up devices asked, {answered} were answered; the longest wait was {longest}.", self.asked);
        let by = &self.by;
        if self.cut_off {
            return format!("Until it was cut off: {asked} Started by: {by}.");
        }
        let lasted = spell(self.lasted_ms.unwrap_or(0) / 1000);
        let early = if self.was_cut_short() { ", ended early" } else { "" };
        let together = match self.together_after_ms {
            Some(ms) => format!("Both were together again {} after its end.", seconds(ms)),
            None => "The two have not been together since.".into(),
        };
        format!("{} was silent for {lasted}{early}. {asked} {together} Started by: {by}.", self.node)
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
    /// When the file was last meant to be written.
    written: Option<Instant>,
}

impl Drills {
    /// Reads what is kept in this folder, and keeps there what comes.
    pub fn keep_in(&self, folder: &Path) {
        let path = folder.join(FILE);
        // A report that cannot be read is one that is not there: nothing rests on it.
        let kept: Option<Report> = file::read(&path).ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let last = kept.map(|report| Report { cut_off: report.lasted_ms.is_none() && report.trouble.is_none(), ..report });
        self.with(|inner| (inner.file, inner.last) = (Some(path), last));
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
        let is_due = self.with(|inner| {
            let Some(report) = &mut inner.under_way else { return false };
            let was_answered = report.took_over_ms.is_some();
            change(report);
            let is_due = inner.written.is_none_or(|written| written.elapsed() >= WRITE_INTERVAL);
            is_due || report.took_over_ms.is_some() != was_answered
        });
        if is_due {
            self.write();
        }
    }

    fn begin(&self, report: Report) {
        self.with(|inner| inner.under_way = Some(report));
        self.write();
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

    /// Whatever is newest then.
    fn write(&self) {
        self.with(|inner| inner.written = Some(Instant::now()));
        let (inner, writing) = (Arc::clone(&self.inner), Arc::clone(&self.writing));
        // On a thread of its own: a disk may take its time.
        std::thread::spawn(move || {
            let _writing = locked(&writing);
            let (file, newest) = {
                let inner = locked(&inner);
                (inner.file.clone(), inner.under_way.as_ref().or(inner.last.as_ref()).cloned())
            };
            let (Some(file), Some(newest)) = (file, newest) else { return };
            let written = serde_json::to_vec(&newest).map_err(Into::into).and_then(|bytes| file::write(&file, &bytes));
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
            cut_off: false,
        };
        self.drills.begin(report);
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
            cut_off: false,
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

    /// As the next start finds it, as soon as it is so.
    fn wait_until_kept(folder: &Scratch, expected: &Report) {
        let kept = || {
            let next = Drills::default();
            next.keep_in(folder.path());
            next.last()
        };
        let began = std::time::Instant::now();
        while kept().as_ref() != Some(expected) {
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", kept());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn the_last_report_is_there_after_a_restart() {
        let folder = Scratch::new("drill");
        let drills = Drills::default();
        drills.keep_in(folder.path());
        drills.begin(report());
        drills.close();
        drills.together(Duration::from_millis(400));
        wait_until_kept(&folder, &Report { together_after_ms: Some(400), ..report() });
    }

    #[test]
    fn a_drill_that_a_restart_has_cut_off_is_told_as_far_as_it_was_seen() {
        let folder = Scratch::new("drill-cut-off");
        let drills = Drills::default();
        drills.keep_in(folder.path());
        let begun = Report { lasted_ms: None, took_over_ms: None, longest_wait_ms: 0, asked: 0, answered: 0, ..report() };
        drills.begin(begun.clone());
        let unseen = Report { cut_off: true, ..begun };
        wait_until_kept(&folder, &unseen);
        assert!(unseen.sentence().starts_with("Nothing was seen of a take-over before a was started again"));
        drills.note(|report| (report.asked, report.answered, report.took_over_ms) = (5, 4, Some(1200)));
        let seen = Report { asked: 5, answered: 4, took_over_ms: Some(1200), ..unseen };
        wait_until_kept(&folder, &seen);
        assert_eq!(seen.sentence(), "Took over in 1.2 s; what came then is not known: a was started again.");
        let more = seen.more();
        assert!(more.contains("Until it was cut off: 5 made-up devices asked, 4 were answered"), "{more}");
        assert!(!more.contains("together"), "nobody has watched for that: {more}");
    }
}
