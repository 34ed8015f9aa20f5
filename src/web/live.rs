//! `/live`: one stream of events for each open page. Parts of the page are sent again when they have changed.
//!
//! A page registers its parts in `PAGES` and says so by `Shell::new(…).live(NAME)`. The node is looked at only while
//! somebody listens, at most 4 times a second, and less often the more there is to see; all streams share what was seen,
//! and those that show the same share the parts too.

use std::{collections::HashMap, convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Query, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::stream;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{House, Site, access::gate, listen::Peer, shell::StateLine, visitor::Visitor};
use crate::runtime::live::Listener;

pub const PATH: &str = "/live";
const BYE: &str = "bye";
/// Open pages that are told at the same time; further ones are shown as they were when they were loaded.
pub const STREAMS_MAX: usize = 32;
/// Between two looks at the node.
const PAUSE: Duration = Duration::from_millis(250);
/// Without a change a page is looked at as often: "4 min ago" goes on.
const TICK: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Of all parts of one page together.
const BYTES_MAX: usize = 2 << 20;

/// A part of a page: what takes the place of the element with this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    pub id: Arc<str>,
    /// The whole element, with its id.
    pub html: Arc<str>,
}

impl Fragment {
    /// `template` renders the whole element. `None` where it cannot be rendered.
    pub fn new(id: &str, template: &impl Template) -> Option<Fragment> {
        Some(Fragment { id: id.into(), html: template.render().ok()?.into() })
    }
}

/// Which page is open, as its browser tells: to be read like any request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// As `/devices/a4cf129b001e`.
    pub path: String,
    /// The page's own, without `?`, so that filters and sorting stay.
    pub query: String,
}

impl Place {
    /// What the page's handler is given of its query; nothing, where that cannot be read.
    pub fn asked<T: DeserializeOwned + Default>(&self) -> T {
        let uri = axum::http::Uri::builder().path_and_query(format!("/?{}", self.query)).build();
        uri.ok().and_then(|uri| Query::try_from_uri(&uri).ok()).map(|Query(asked)| asked).unwrap_or_default()
    }
}

pub type Parts<'a> = Pin<Box<dyn Future<Output = Vec<Fragment>> + Send + 'a>>;

/// The parts of a page as they are now. Those that want more than the house are looked up once for all who show the same, and
/// what that takes counts as a cost of the house: the dearer the looks, the fewer.
#[derive(Clone, Copy)]
pub enum Render {
    Shown(fn(&Site, &House, &Place) -> Vec<Fragment>),
    LookedUp(for<'a> fn(&'a Site, &'a House, &'a Place) -> Parts<'a>),
}

impl Render {
    async fn parts(self, site: &Site, house: &House, place: &Place) -> Vec<Fragment> {
        match self {
            Render::Shown(render) => render(site, house, place),
            Render::LookedUp(render) => render(site, house, place).await,
        }
    }
}

/// Who is live, by the name that its `Shell` was given. One line for each page.
const PAGES: &[(&str, Render)] = &[
    ("home", Render::Shown(super::home::parts)),
    ("devices", Render::Shown(super::devices::parts)),
    ("map", Render::LookedUp(super::map::parts)),
    ("device", Render::LookedUp(super::device::parts)),
    ("activity", Render::LookedUp(super::activity::devices::parts)),
    ("changes", Render::LookedUp(super::activity::changes::parts)),
    ("system", Render::LookedUp(super::activity::system::parts)),
    ("log", Render::Shown(super::activity::log::parts)),
    ("twins", Render::Shown(super::twins::parts)),
    ("updates", Render::Shown(super::settings::updates::parts)),
];

/// How many pages may listen.
pub struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Streams {
        Streams(Arc::new(Semaphore::new(STREAMS_MAX)))
    }
}

#[cfg(test)]
impl Streams {
    pub fn take_all(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0).try_acquire_many_owned(STREAMS_MAX as u32).expect("nobody listens")
    }
}

pub fn routes() -> Router<Site> {
    Router::new().route(PATH, get(live))
}

#[derive(Deserialize)]
struct Which {
    /// The page's name in `PAGES`.
    #[serde(default)]
    live: String,
    #[serde(default)]
    at: String,
}

/// What is not ours of the query is the page's own.
fn own_query(query: &str) -> String {
    let own = query.split('&').filter(|part| !part.starts_with("live=") && !part.starts_with("at=") && !part.is_empty());
    own.collect::<Vec<_>>().join("&")
}

async fn live(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    _visitor: Visitor,
    Query(which): Query<Which>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Ok(seat) = Arc::clone(&site.streams().0).try_acquire_owned() else {
        let why = "Too many pages are open to keep all of them live. Close some.";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")], why).into_response();
    };
    let page = PAGES.iter().find(|(name, _)| *name == which.live);
    let watcher = Watcher {
        pulse: site.handle().pulse().listen(),
        site,
        peer,
        headers,
        page,
        place: Place { path: which.at, query: own_query(&query.unwrap_or_default()) },
        sent: HashMap::new(),
        looked: None,
        _seat: seat,
    };
    let events = stream::unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        let (event, goes_on) = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), goes_on.then_some(watcher)))
    });
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).event(Event::default().event("beat").data(""));
    let mut response = Sse::new(events).keep_alive(heartbeat).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// One open page.
struct Watcher {
    site: Site,
    pulse: Listener,
    peer: Peer,
    headers: HeaderMap,
    page: Option<&'static (&'static str, Render)>,
    place: Place,
    /// What the page has, by id.
    sent: HashMap<Arc<str>, Arc<str>>,
    looked: Option<Instant>,
    _seat: OwnedSemaphorePermit,
}

impl Watcher {
    /// The next thing to tell, and whether more may follow; `None` where the server stops: the page comes again.
    async fn next(&mut self) -> Option<(Event, bool)> {
        loop {
            if let Some(looked) = self.looked {
                let _ = tokio::time::timeout_at(looked + TICK, self.pulse.changed()).await;
                tokio::time::sleep_until(looked + PAUSE).await;
            }
            // A change that was told of must be in it, or nobody would tell of it again.
            let house = self.site.house_since(std::time::Instant::now()).await.ok()?;
            self.looked = Some(Instant::now());
            // Signed out, or another password: the page shall find out.
            if gate::signed_in(&self.site, &self.headers, self.peer.is_tls, &house.settings, false).is_none() {
                return Some((Event::default().event(BYE).data(""), false));
            }
            if let Some(event) = self.changes(&house).await {
                return Some((event, true));
            }
        }
    }

    /// All parts that differ from what the page has, in one event.
    async fn changes(&mut self, house: &House) -> Option<Event> {
        let name = self.page.map_or("", |(name, _)| name);
        let drawn = house.drawn.parts(name, &self.place, async || {
            let mut parts: Vec<Fragment> = Fragment::new("state", &StateLine::new(house)).into_iter().collect();
            if let Some((_, render)) = self.page {
                parts.extend(render.parts(&self.site, house, &self.place).await);
            }
            parts
        });
        let all = drawn.await;
        let mut parts: Vec<&Fragment> = all.iter().filter(|part| self.sent.get(&part.id) != Some(&part.html)).collect();
        if parts.is_empty() {
            return None;
        }
        let mut bytes = 0;
        parts.retain(|part| {
            bytes += part.html.len();
            bytes <= BYTES_MAX
        });
        let told: Vec<(&str, &str)> = parts.iter().map(|part| (&*part.id, &*part.html)).collect();
        let event = Event::default().event("parts").json_data(&told).ok();
        self.sent.extend(parts.into_iter().map(|part| (Arc::clone(&part.id), Arc::clone(&part.html))));
        event
    }
}

/// For a page whose visitor is signed out: it is to be loaded again, and so comes to the sign-in.
pub fn bye() -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], format!("event: {BYE}\ndata:\n\n")).into_response()
}
