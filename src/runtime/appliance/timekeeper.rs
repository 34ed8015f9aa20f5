//! The box's wall clock, which has no battery: saved now and then, set forward at the start, then by NTP, or by the twin where no server
//! answers. Service never waits for it, and no promise to a device rests on it: it is for dates that people read.

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::mpsc::{self, Sender},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::runtime::clock::{Wall, WallTrust};

/// By name and, for a network whose DNS needs the right time first, by address: Cloudflare's, which has stood there since 2019.
const SERVERS: [&str; 3] = ["pool.ntp.org:123", "time.cloudflare.com:123", "162.159.200.123:123"];
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
const ASK_AGAIN: Duration = Duration::from_secs(10);
const ASK_LATER: Duration = Duration::from_secs(1800);
const SAVE_INTERVAL: Duration = Duration::from_secs(600);
/// A server that is further off than this contradicts itself; the next is asked.
const SKEW_MAX: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Nobody sees in a date what is less.
const STEP_MIN: Duration = Duration::from_secs(1);

const FILE: &str = "clock";

/// The twin's wall clock, which the twin trusts.
#[derive(Debug, Clone, Copy)]
pub struct TwinsWord {
    heard: Instant,
    wall_ms: i64,
}

impl TwinsWord {
    /// As it stands now, in ms since 1970.
    pub fn new(wall_ms: i64) -> TwinsWord {
        TwinsWord { heard: Instant::now(), wall_ms }
    }

    /// Since 1970.
    fn now(self) -> Duration {
        Duration::from_millis(self.wall_ms.max(0).unsigned_abs()) + self.heard.elapsed()
    }
}

/// Sets the clock forward to the last moment that is known for sure: the build, or when it was saved. Never back.
pub fn at_start(data: &Path) {
    let saved = fs::read_to_string(data.join(FILE)).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let Some(saved) = saved else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if saved > now
        && let Err(error) = set(Duration::from_secs(saved), false)
    {
        tracing::warn!("the clock cannot be set: {error}");
    }
}

/// Asks for the time and saves it, on a thread of its own, for as long as the program runs. It is told what the twin says.
pub fn start(data: PathBuf, router: Option<Ipv4Addr>) -> io::Result<Sender<TwinsWord>> {
    let (sender, words) = mpsc::channel::<TwinsWord>();
    std::thread::Builder::new().name("timekeeper".into()).spawn(move || {
        let mut saved = None::<Instant>;
        loop {
            let heard = ask(router);
            match &heard {
                Ok(now) => match set(*now, true) {
                    Ok(()) => tracing::debug!("the clock was set"),
                    Err(error) => tracing::warn!("the clock cannot be set: {error}"),
                },
                Err(why) => tracing::debug!("{why}"),
            }
            let (own, built) = (Wall::now(WallTrust::Kernel), built());
            let told = words.try_iter().last().map(TwinsWord::now).filter(|told| can_be(*told, built));
            if let Some(now) = told.filter(|told| is_better(*told, own)) {
                // The kernel is not told that it is right: the twin hears from here what this one trusts, and two that believed each other
                // would agree for ever on what nobody else says.
                match set(now, false) {
                    Ok(()) => tracing::info!("no time server answers, so the clock was set by the twin's"),
                    Err(error) => tracing::warn!("the clock cannot be set: {error}"),
                }
            }
            if (own.trusted || told.is_some()) && saved.is_none_or(|saved| saved.elapsed() >= SAVE_INTERVAL) {
                saved = Some(Instant::now());
                if let Err(error) = save(&data) {
                    tracing::warn!("the time cannot be saved: {error}");
                }
            }
            std::thread::sleep(if heard.is_ok() { ASK_LATER.min(SAVE_INTERVAL) } else { ASK_AGAIN });
        }
    })?;
    Ok(sender)
}

/// A time that somebody names.
fn can_be(now: Duration, built: Duration) -> bool {
    now > built && now < built + SKEW_MAX
}

/// What the twin says, than this box's own clock: not while a server's word holds.
fn is_better(told: Duration, own: Wall) -> bool {
    let own_now = Duration::from_millis(own.ms.max(0).unsigned_abs());
    !own.trusted && told.abs_diff(own_now) > STEP_MIN
}

/// Since 1970. The error: what each server said.
fn ask(router: Option<Ipv4Addr>) -> Result<Duration, String> {
    let client = rsntp::SntpClient::with_config(rsntp::Config::default().timeout(ASK_TIMEOUT));
    let mut said = Vec::new();
    // Many routers keep the time for their house, and answer without the world outside.
    let own = router.map(|router| SocketAddr::from((router, 123)).to_string());
    for server in own.iter().map(String::as_str).chain(SERVERS) {
        match client.synchronize(server) {
            Ok(heard) => match heard.datetime().unix_timestamp() {
                Ok(now) if can_be(now, built()) => return Ok(now),
                Ok(_) => said.push(format!("{server}: names a time that cannot be")),
                Err(error) => said.push(format!("{server}: {error}")),
            },
            Err(error) => said.push(format!("{server}: {error}")),
        }
    }
    Err(format!("nobody tells the time: {}", said.join("; ")))
}

/// When the image was built: it is later now.
fn built() -> Duration {
    let text = fs::read_to_string("/etc/built").unwrap_or_default();
    Duration::from_secs(text.trim().parse().unwrap_or(1_700_000_000))
}

/// `is_right`: from now on the kernel says so to whoever asks (adjtimex).
fn set(now: Duration, is_right: bool) -> io::Result<()> {
    let time = libc::timespec { tv_sec: now.as_secs() as libc::time_t, tv_nsec: libc::c_long::from(now.subsec_nanos()) };
    // SAFETY: the structure lives until the call returns.
    if unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if is_right {
        // SAFETY: all zero bits are a valid timex: nothing is changed but what `modes` names.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        timex.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
        // SAFETY: the structure lives until the call returns.
        if unsafe { libc::adjtimex(&raw mut timex) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn save(data: &Path) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
    let making = data.join(format!("{FILE}.new"));
    let mut file = fs::File::create(&making)?;
    writeln!(file, "{now}")?;
    file.sync_all()?;
    fs::rename(making, data.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twins_word_sets_a_clock_that_no_server_has_set() {
        let at = |secs: u64, trusted| Wall { ms: secs as i64 * 1000, trusted };
        let told = Duration::from_secs(2_000_000_000);
        assert!(is_better(told, at(1_700_000_000, false)), "it stood at the build");
        assert!(is_better(told, at(2_000_000_100, false)), "also back: the twin's is trusted");
        assert!(!is_better(told, at(2_000_000_001, false)), "not for a moment");
        assert!(!is_better(told, at(1_700_000_000, true)), "a server has set it");
    }

    #[test]
    fn a_word_that_waits_goes_on_with_the_time() {
        let word = TwinsWord { heard: Instant::now() - Duration::from_secs(30), wall_ms: 2_000_000_000_500 };
        let now = word.now();
        assert!(now >= Duration::from_millis(2_000_000_030_500) && now < Duration::from_secs(2_000_000_040), "{now:?}");
    }

    #[test]
    fn nobody_is_believed_a_time_before_the_build_or_long_after() {
        let built = Duration::from_secs(1_700_000_000);
        assert!(!can_be(Duration::ZERO, built) && !can_be(built, built) && !can_be(built + SKEW_MAX, built));
        assert!(can_be(built + Duration::from_secs(1), built));
        assert!(!can_be(TwinsWord::new(-1).now(), built));
    }
}
