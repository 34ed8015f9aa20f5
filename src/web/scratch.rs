//! A site for tests: `Router::oneshot` with any of the guards left out, asked as a browser asks.

use std::{net::IpAddr, path::PathBuf};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
    routing::get,
};
use tower::ServiceExt;

use super::{
    Site,
    guard::{Guards, guarded},
    listen::Peer,
    pages,
};
use crate::{
    runtime::{
        handle::{self, Handle},
        store::Archive,
    },
    settings::Settings,
};

pub const PASSWORD: &str = "correct horse battery";

/// Of `PASSWORD`, in no time: what a real one costs is tested where it is made.
pub fn cheap_hash() -> String {
    let params = Params::new(8, 1, 1, None).expect("allowed");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_with_salt(PASSWORD.as_bytes(), b"salt of the test").expect("hashed").to_string()
}

#[derive(Clone)]
pub struct Scratch {
    pub site: Site,
    router: Router,
    /// As a browser keeps it.
    pub cookie: Option<String>,
    pub peer: Peer,
}

fn scratch_site(handle: Handle) -> Site {
    let nowhere = PathBuf::from("/nonexistent");
    let archive = Archive::new(&nowhere, Default::default(), Default::default(), Default::default());
    Site::new(nowhere, handle, None, archive, Vec::new())
}

pub struct Told {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Told {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn to(&self) -> &str {
        self.header("location")
    }
}

impl Scratch {
    /// With a password, and nobody signed in.
    pub fn claimed(guards: Guards) -> Scratch {
        let mut settings = Settings::default();
        settings.access.password = Some(cheap_hash());
        Scratch::new(settings, guards)
    }

    pub fn new(settings: Settings, guards: Guards) -> Scratch {
        Scratch::of(handle::scratch::handle(settings), guards)
    }

    pub fn of(handle: Handle, guards: Guards) -> Scratch {
        let site = scratch_site(handle);
        // A page that nobody would write.
        let defect = Router::new().route("/defect", get(|| async { [0u8; 1][std::hint::black_box(7)].to_string() }));
        let router = guarded(pages().merge(defect).with_state(site.clone()), &site, guards);
        Scratch { site, router, cookie: None, peer: Peer { address: IpAddr::from([192, 0, 2, 77]), is_tls: false } }
    }

    pub async fn get(&mut self, path: &str) -> Told {
        self.ask(Method::GET, path, &[], "").await
    }

    /// A form, sent by a page of this site.
    pub async fn post(&mut self, path: &str, form: &str) -> Told {
        self.ask(Method::POST, path, &[("origin", "http://192.0.2.1")], form).await
    }

    pub async fn ask(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Told {
        let mut request = Request::builder().method(method.clone()).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header(header::HOST, "192.0.2.1");
        }
        if !headers.iter().any(|(name, _)| *name == "accept") {
            request = request.header(header::ACCEPT, "text/html,*/*");
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if method == Method::POST && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let router = self.router.clone().layer(Extension(self.peer));
        let response = router.oneshot(request).await.expect("a router never fails");
        let (parts, body) = response.into_parts();
        if let Some(set) = parts.headers.get(header::SET_COOKIE).and_then(|set| set.to_str().ok()) {
            self.cookie = set.split(';').next().map(ToOwned::to_owned).filter(|cookie| !cookie.ends_with('='));
        }
        let stream = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let body = if stream && parts.headers.get(header::CONTENT_LENGTH).is_none() {
            String::new()
        } else {
            String::from_utf8_lossy(&to_bytes(body, 4 << 20).await.expect("a body")).into_owned()
        };
        Told { status: parts.status, headers: parts.headers, body }
    }

    pub async fn sign_in(&mut self) -> Told {
        self.post("/sign-in", "password=correct+horse+battery").await
    }
}
