//! A real browser before the pages of a box.

use std::{
    future::Future,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver};
use tokio::runtime::Runtime;

const PORT: u16 = 9515;
/// It shares two processors with the emulated boxes.
const PATIENCE: Duration = Duration::from_secs(180);
/// Without networks that it would call: ours has none.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
];

pub struct Window {
    runtime: Runtime,
    driver: WebDriver,
    process: Child,
}

impl Window {
    /// Its profile is kept in `folder`.
    pub fn open(folder: &Path) -> Window {
        std::fs::create_dir_all(folder).expect("a folder");
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={PORT}")).env("HOME", folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("chromedriver is there (scripts/packages browser)");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
        let mut wishes = DesiredCapabilities::chrome();
        wishes.set_binary("/usr/bin/chromium").expect("a path");
        for flag in FLAGS {
            wishes.add_arg(flag).expect("a flag");
        }
        wishes.add_arg(&format!("--user-data-dir={}", folder.join("profile").display())).expect("a flag");
        let began = Instant::now();
        let driver = loop {
            match runtime.block_on(WebDriver::new(format!("http://127.0.0.1:{PORT}"), wishes.clone())) {
                Ok(driver) => break driver,
                Err(error) => assert!(began.elapsed() < PATIENCE, "the browser does not start: {error}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        Window { runtime, driver, process }
    }

    pub fn go(&self, url: &str) {
        self.wait(self.driver.goto(url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Into the password field that is there, if there is one.
    pub fn sign_in(&self, password: &str) {
        let field = self.wait(self.driver.find(By::Css("input[type=password]"))).expect("it asks for the password");
        self.wait(field.send_keys(password)).expect("typed");
        let button = self.wait(self.driver.find(By::Css("main form button"))).expect("a button");
        self.wait(button.click()).expect("clicked");
    }

    /// Without loading it again: a live page changes by itself.
    pub fn wait_until_it_says(&self, css: &str, words: &str) {
        let began = Instant::now();
        loop {
            let said = self.wait(async {
                match self.driver.find(By::Css(css)).await {
                    Ok(element) => element.text().await,
                    Err(error) => Err(error),
                }
            });
            match said {
                Ok(said) if said.contains(words) => return,
                Ok(_) | Err(_) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(300)),
                other => panic!("{css} does not say `{words}` but {other:?}"),
            }
        }
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // The world's end ends what is left.
        let _ = self.runtime.block_on(self.driver.clone().quit());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
