//! What the first visit finds: addresses, router, DNS, and another DHCP server that still answers.

use std::{
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    protocol::lease::HwAddr,
    runtime::{
        rivals,
        surroundings::{self, Surrounding},
    },
};

/// How long an answer is shown before the network is asked again.
const FRESH: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Found {
    pub surroundings: Vec<Surrounding>,
    pub dns: Vec<Ipv4Addr>,
}

/// Another DHCP server, and what it would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    pub server: Ipv4Addr,
    pub mac: String,
    pub interface: String,
    pub offered: Ipv4Addr,
}

/// How the search stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    UnderWay,
    Done(Vec<Rival>),
    /// Why nobody could be asked.
    Failed(String),
}

/// One search at a time, whoever looks at the page.
static LAST: Mutex<Option<(Instant, Look)>> = Mutex::new(None);

impl Found {
    pub fn now() -> Found {
        let surroundings = surroundings::surroundings();
        let mut dns = surroundings::dns_servers();
        if dns.is_empty() {
            // Most routers answer names too.
            dns.extend(surroundings.first().and_then(|found| found.router));
        }
        Found { surroundings, dns }
    }
}

/// The last outcome; a new search is begun on a thread of its own where there is none, or `again`.
pub fn rivals(found: &Found, twin: Option<Ipv4Addr>, again: bool) -> Look {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((_, Look::UnderWay)) => return Look::UnderWay,
        Some((since, look)) if !again && since.elapsed() < FRESH => return look.clone(),
        Some(_) | None => {}
    }
    *last = Some((Instant::now(), Look::UnderWay));
    drop(last);
    let surroundings = found.surroundings.clone();
    let searched = thread::Builder::new().name("rivals".into()).spawn(move || {
        let look = search(&surroundings, twin);
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), look));
    });
    if let Err(error) = searched {
        let look = Look::Failed(format!("The search could not be started ({error})."));
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), look.clone()));
        return look;
    }
    Look::UnderWay
}

fn search(surroundings: &[Surrounding], twin: Option<Ipv4Addr>) -> Look {
    let own: Vec<Ipv4Addr> =
        surroundings.iter().flat_map(|found| &found.interface.addresses).map(|net| net.addr()).chain(twin).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Look::Failed(format!("The search could not be started ({error}).")),
    };
    let (mut rivals, mut failure) = (Vec::new(), None);
    for Surrounding { interface, .. } in surroundings {
        match runtime.block_on(rivals::find_rivals(interface, &own, rivals::PATIENCE)) {
            Ok(found) => rivals.extend(found.into_iter().map(|rival| Rival {
                server: rival.server_id.unwrap_or(rival.source),
                mac: HwAddr::ethernet(rival.mac).to_string(),
                interface: interface.name.clone(),
                offered: rival.offered,
            })),
            Err(error) => failure = Some(error.to_string()),
        }
    }
    match failure {
        Some(failure) if rivals.is_empty() => Look::Failed(format!("Nobody could be asked: {failure}.")),
        Some(_) | None => Look::Done(rivals),
    }
}
