//! A real browser before the pages of a box.

use std::{
    future::Future,
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

use serde_json::json;
use thirtyfour::{By, WebDriver};
use tokio::runtime::Runtime;

use crate::chromium;

const PORT: u16 = 9515;
/// It shares two processors with the emulated boxes.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Window {
    runtime: Runtime,
    driver: WebDriver,
    process: Child,
}

impl Window {
    /// Its profile is kept in `folder`.
    pub fn open(folder: &Path) -> Window {
        let process = chromium::start_driver(folder, PORT);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
        let driver = runtime.block_on(chromium::open(PORT, folder, json!({}))).expect("the browser starts");
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
