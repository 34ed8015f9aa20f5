//! A browser, driven as a person would: goes to pages, clicks, types, looks. Keeps count of the clicks since Home, and of what
//! the pages complained of.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::{
    By, WebDriver, WebElement,
    error::{WebDriverErrorInner, WebDriverResult},
};
use tokio::runtime::Runtime;

use crate::chromium;
use crate::house::House;
use crate::pair::Side;

/// For something that shall be on a page soon: half a second of a pair's reaction, and a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(8);
const PASSWORD: &str = "correct horse battery";

/// Runs before a page's own scripts, and survives its end: what the page complains of.
const LISTENER: &str = r"
const complain = (what) => {
  const all = JSON.parse(sessionStorage.getItem('complaints') ?? '[]');
  if (all.length < 20) sessionStorage.setItem('complaints', JSON.stringify([...all, location.pathname + ': ' + what]));
};
addEventListener('securitypolicyviolation', (event) =>
  complain(`CSP ${event.violatedDirective} forbids ${event.blockedURI} ${event.sample} (line ${event.lineNumber})`));
addEventListener('error', (event) => complain(`error: ${event.message} (${event.filename}:${event.lineno})`));
addEventListener('unhandledrejection', (event) => complain(`rejected: ${event.reason}`));
";

pub fn is_there() -> bool {
    let runs = |program: &str| {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    runs("chromedriver") && runs("chromium")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    pub const BOTH: [Scheme; 2] = [Scheme::Light, Scheme::Dark];

    pub fn name(self) -> &'static str {
        match self {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        }
    }
}

/// A phone in portrait, and a laptop.
pub const WIDTHS: [u32; 2] = [360, 1280];

pub struct Browser {
    runtime: Runtime,
    driver: Option<WebDriver>,
    process: Child,
    scripts: Scripts,
    side: Cell<Side>,
    clicks: Cell<u32>,
    complaints: RefCell<Vec<String>>,
}

impl Browser {
    /// A browser with an empty profile, not signed in.
    pub fn start(house: &House<'_>, scripts: Scripts) -> Browser {
        let port = house.port();
        let folder = house.lab.folder().join(format!("browser-{port}"));
        let process = chromium::start_driver(&folder, port);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
        let driver = runtime.block_on(connect(port, &folder, scripts)).expect("the browser starts");
        let browser = Browser {
            runtime,
            driver: Some(driver),
            process,
            scripts,
            side: Cell::new(Side::A),
            clicks: Cell::new(0),
            complaints: RefCell::default(),
        };
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": LISTENER }));
        let trial = "data:text/html,<title>off</title><script>document.title='on'</script>";
        browser.wait(browser.driver().goto(trial)).expect("a page that needs no network");
        let runs = browser.wait(browser.driver().title()).is_ok_and(|title| title == "on");
        assert_eq!(runs, scripts == Scripts::On, "scripts are {scripts:?}");
        browser
    }

    /// The same, signed in on both twins: with a new password where there is none yet.
    pub fn signed_in(house: &House<'_>, scripts: Scripts) -> Browser {
        let browser = Browser::start(house, scripts);
        for side in [Side::B, Side::A] {
            browser.visit(side, "/");
            browser.sign_in();
        }
        browser.clicks.set(0);
        browser
    }

    /// Whatever asks for a password gets it, and is waited for: a password takes a while to be checked.
    pub fn sign_in(&self) {
        let fields = self.all("input[type=password]");
        if fields.is_empty() {
            return;
        }
        for field in fields {
            self.wait(field.send_keys(PASSWORD)).expect("a password can be typed");
        }
        self.click("main form button");
        let began = Instant::now();
        while self.has("input[type=password]") {
            assert!(began.elapsed() < PATIENCE, "{} still asks for the password:\n{}", self.path(), self.text("body"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    // ---- going and looking ------------------------------------------------------------------------------

    pub fn visit(&self, side: Side, path: &str) {
        self.collect();
        self.side.set(side);
        let url = format!("http://{}{path}", side.address());
        self.wait(self.driver().goto(&url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// On the twin where it is.
    pub fn go(&self, path: &str) {
        self.visit(self.side.get(), path);
    }

    /// From here on the clicks are counted.
    pub fn home(&self) {
        self.go("/");
        self.clicks.set(0);
    }

    pub fn path(&self) -> String {
        let url = self.wait(self.driver().current_url()).expect("it is on a page");
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", url.path())
    }

    pub fn all(&self, css: &str) -> Vec<WebElement> {
        self.wait(self.driver().find_all(By::Css(css))).unwrap_or_default()
    }

    pub fn has(&self, css: &str) -> bool {
        !self.all(css).is_empty()
    }

    /// The first of these, as soon as it is there.
    pub fn find(&self, css: &str) -> WebElement {
        self.find_by(By::Css(css), css)
    }

    fn find_by(&self, by: By, what: &str) -> WebElement {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.wait(self.driver().find(by.clone())) {
                Ok(element) => return element,
                Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
                Err(_) => panic!("{} has no {what}. It says:\n{}", self.path(), self.text("body")),
            }
        }
    }

    /// Something done with the first of these. A live page may put another in its place meanwhile: then with that one.
    fn with<T>(&self, by: By, what: &str, act: impl AsyncFn(&WebElement) -> WebDriverResult<T>) -> WebDriverResult<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            let element = self.find_by(by.clone(), what);
            match self.wait(act(&element)) {
                Err(error) if matches!(*error, WebDriverErrorInner::StaleElementReference(_)) && Instant::now() < end => {}
                done => return done,
            }
        }
    }

    /// As it is seen.
    pub fn text(&self, css: &str) -> String {
        self.with(By::Css(css), css, WebElement::text).unwrap_or_default()
    }

    /// What a form leaves behind, which is said once: never loads the page anew.
    pub fn wait_for_notice(&self, words: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let notice = self.text(".notice");
            if notice.contains(words) {
                return notice;
            }
            assert!(Instant::now() < end, "{}: there is no notice with `{words}`, but: {notice}", self.path());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Polls; without scripts the page is loaded anew each time.
    pub fn wait_until_it_says(&self, css: &str, words: &str, within: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let said: Vec<String> = self.all(css).iter().filter_map(|element| self.wait(element.text()).ok()).collect();
            if said.iter().any(|text| text.contains(words)) {
                return began.elapsed();
            }
            let path = self.path();
            assert!(
                began.elapsed() < within,
                "{path}: {css} does not say `{words}` within {within:?}, but:\n{}",
                said.join("\n")
            );
            std::thread::sleep(Duration::from_millis(50));
            if self.scripts == Scripts::Off {
                // A click may be on its way to another page.
                std::thread::sleep(Duration::from_millis(250));
                self.go(&self.path());
            }
        }
    }

    // ---- doing ------------------------------------------------------------------------------------------

    pub fn clicks(&self) -> u32 {
        self.clicks.get()
    }

    pub fn click(&self, css: &str) {
        self.click_on(By::Css(css), css);
    }

    /// A link, a button or a summary with these words, in `within` (an XPath prefix: `//main`).
    pub fn click_words(&self, within: &str, words: &str) {
        let quoted = format!("normalize-space(.)=\"{words}\"");
        let xpath = ["a", "button", "summary", "label"].map(|tag| format!("{within}//{tag}[{quoted}]")).join(" | ");
        self.click_on(By::XPath(&xpath), &format!("link or button `{words}`"));
    }

    fn click_on(&self, by: By, what: &str) {
        self.collect();
        self.clicks.set(self.clicks.get() + 1);
        self.with(by, what, async |element| {
            element.scroll_into_view().await?;
            element.click().await
        })
        .unwrap_or_else(|error| panic!("{}: {what} cannot be clicked: {error}", self.path()));
    }

    /// What was in the field is gone.
    pub fn fill(&self, css: &str, text: &str) {
        self.with(By::Css(css), css, async |field| {
            field.clear().await?;
            field.send_keys(text).await
        })
        .unwrap_or_else(|error| panic!("{}: {css} cannot be filled in: {error}", self.path()));
    }

    /// Keys on whatever has the focus, or on the page itself. For a file's field: its path.
    pub fn press(&self, css: &str, keys: &str) {
        self.with(By::Css(css), css, async |element| element.send_keys(keys).await)
            .unwrap_or_else(|error| panic!("{}: {css} takes no keys: {error}", self.path()));
    }

    pub fn value(&self, css: &str) -> String {
        self.with(By::Css(css), css, WebElement::value).ok().flatten().unwrap_or_default()
    }

    /// The result of the body of a function.
    pub fn run(&self, script: &str) -> Value {
        let result = self.wait(self.driver().execute(script, Vec::new()));
        result.unwrap_or_else(|error| panic!("{}: {error}\n{script}", self.path())).json().clone()
    }

    /// The body of a function that calls its last argument with the result.
    pub fn run_async(&self, script: &str) -> Value {
        let result = self.wait(self.driver().execute_async(script, Vec::new()));
        result.unwrap_or_else(|error| panic!("{}: {error}", self.path())).json().clone()
    }

    // ---- how it looks -----------------------------------------------------------------------------------

    pub fn look_as(&self, width: u32, scheme: Scheme) {
        let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme.name() }]);
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Pictures of the whole page in both widths and schemes: target/screenshots/NAME-{360,1280}-{light,dark}.png.
    pub fn screenshot(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).expect("target can be written");
        for width in WIDTHS {
            for scheme in Scheme::BOTH {
                self.look_as(width, scheme);
                let picture = self.cdp("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
                let bytes = picture["data"].as_str().and_then(|data| data_encoding::BASE64.decode(data.as_bytes()).ok());
                let file: PathBuf = folder.join(format!("{name}-{width}-{}.png", scheme.name()));
                std::fs::write(file, bytes.expect("a picture")).expect("target can be written");
            }
        }
    }

    /// How much wider than the window the page is.
    pub fn overflow_px(&self) -> i64 {
        let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.run(wide).as_i64().unwrap_or_default()
    }

    // ---- what pages complain of -------------------------------------------------------------------------

    /// Of the page where it is.
    fn collect(&self) {
        if self.scripts == Scripts::Off {
            return;
        }
        let script = "try { const all = sessionStorage.getItem('complaints') ?? '[]'; sessionStorage.removeItem('complaints');
            const foreign = performance.getEntriesByType('resource').map((entry) => entry.name)
                .filter((name) => !name.startsWith(location.origin) && name.startsWith('http'));
            return JSON.parse(all).concat(foreign.map((name) => location.pathname + ' loads ' + name)); } catch { return []; }";
        let Ok(said) = self.wait(self.driver().execute(script, Vec::new())) else { return };
        let said = said.json().as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned));
        self.complaints.borrow_mut().extend(said);
    }

    /// To be called at the end: fails if any page complained.
    pub fn assert_content(&self) {
        self.collect();
        let complaints = self.complaints.borrow();
        assert!(complaints.is_empty(), "the pages complained:\n{}", complaints.join("\n"));
    }

    // ---- the driver -------------------------------------------------------------------------------------

    pub fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.wait(self.driver().cdp().send_raw(command, parameters)).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("it is there until the browser is dropped")
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

async fn connect(port: u16, folder: &Path, scripts: Scripts) -> WebDriverResult<WebDriver> {
    let preferences = match scripts {
        Scripts::On => json!({}),
        Scripts::Off => json!({ "profile.managed_default_content_settings.javascript": 2 }),
    };
    let driver = chromium::open(port, folder, preferences).await?;
    driver.set_script_timeout(Duration::from_secs(30)).await?;
    Ok(driver)
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            // The world's end ends what is left.
            let _ = self.runtime.block_on(driver.quit());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
