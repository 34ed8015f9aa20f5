//! The box's wall clock, which has no battery: saved now and then, set forward at the start, then by NTP. Service never waits for it.

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// By name and, for a network whose DNS needs the right time first, by address: Cloudflare's, which has stood there since 2019.
const SERVERS: [&str; 3] = ["pool.ntp.org:123", "time.cloudflare.com:123", "162.159.200.123:123"];
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
const ASK_AGAIN: Duration = Duration::from_secs(10);
const ASK_LATER: Duration = Duration::from_secs(1800);
const SAVE_INTERVAL: Duration = Duration::from_secs(600);
/// A server that is further off than this contradicts itself; the next is asked.
const SKEW_MAX: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

const FILE: &str = "clock";

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

/// Asks for the time and saves it, on a thread of its own, for as long as the program runs.
pub fn start(data: PathBuf, router: Option<Ipv4Addr>) -> io::Result<()> {
    std::thread::Builder::new().name("timekeeper".into()).spawn(move || {
        let mut saved = None::<std::time::Instant>;
        loop {
            let heard = ask(router);
            match &heard {
                Ok(now) => match set(*now, true) {
                    Ok(()) => tracing::debug!("the clock was set"),
                    Err(error) => tracing::warn!("the clock cannot be set: {error}"),
                },
                Err(why) => tracing::debug!("{why}"),
            }
            if heard.is_ok() && saved.is_none_or(|saved| saved.elapsed() >= SAVE_INTERVAL) {
                saved = Some(std::time::Instant::now());
                if let Err(error) = save(&data) {
                    tracing::warn!("the time cannot be saved: {error}");
                }
            }
            std::thread::sleep(if heard.is_ok() { ASK_LATER.min(SAVE_INTERVAL) } else { ASK_AGAIN });
        }
    })?;
    Ok(())
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
                Ok(now) if now > built() && now < built() + SKEW_MAX => return Ok(now),
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
