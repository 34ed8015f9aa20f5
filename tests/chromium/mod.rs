//! Debian's chromium and its driver: started, and asked for until it is there.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thirtyfour::{ChromiumLikeCapabilities, DesiredCapabilities, WebDriver, error::WebDriverResult};

/// Without networks that it would call: ours has none.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
];
/// The driver has only just been started.
const PATIENCE: Duration = Duration::from_secs(60);

/// Its home is `folder`.
pub fn start_driver(folder: &Path, port: u16) -> Child {
    std::fs::create_dir_all(folder).expect("the world's folder can be written");
    let mut command = Command::new("chromedriver");
    command.arg(format!("--port={port}")).env("HOME", folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("chromedriver is there (scripts/packages browser)")
}

/// A window with an empty profile. `preferences`: chromium's own.
pub async fn open(port: u16, folder: &Path, preferences: Value) -> WebDriverResult<WebDriver> {
    use thirtyfour::common::capabilities::desiredcapabilities::CapabilitiesHelper;
    let mut wishes = DesiredCapabilities::chrome();
    wishes.set_binary("/usr/bin/chromium")?;
    for flag in FLAGS {
        wishes.add_arg(flag)?;
    }
    wishes.add_arg(&format!("--user-data-dir={}", folder.join("profile").display()))?;
    // The twins make their own certificates.
    wishes.accept_insecure_certs(true)?;
    if preferences != json!({}) {
        wishes.add_experimental_option("prefs", preferences)?;
    }
    let began = Instant::now();
    loop {
        match WebDriver::new(format!("http://127.0.0.1:{port}"), wishes.clone()).await {
            Err(_) if began.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(100)).await,
            outcome => return outcome,
        }
    }
}
