//! What stands before and behind every page: the Host allow-list, CSRF, limits, headers, panics, and errors as pages.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, predicate::Predicate},
    csrf::{CsrfLayer, ProtectionError},
    timeout::RequestBodyTimeoutLayer,
};

use super::{
    Site,
    access::{gate, token},
    host,
    listen::Peer,
    shell::{self, Shell},
};

/// Of a form; a route that takes more says so itself (`DefaultBodyLimit`).
pub const BODY_BYTES_MAX: usize = 256 << 10;
/// Whatever a route takes, nobody needs more: refused before a byte of it is read.
const ANY_BODY_BYTES_MAX: u64 = 512 << 20;
/// A browser that sends nothing of its body for so long is gone.
const BODY_PATIENCE: Duration = Duration::from_secs(15);
/// Of an answer that is made into a page: sentences are short.
const SENTENCE_BYTES_MAX: usize = 4096;

/// Which guards stand. All of them, except in a test that shows what one is for.
#[derive(Debug, Clone, Copy)]
pub struct Guards {
    pub gate: bool,
    pub csrf: bool,
    pub host: bool,
    pub headers: bool,
    pub body: bool,
    pub panics: bool,
}

impl Guards {
    pub const ALL: Guards = Guards { gate: true, csrf: true, host: true, headers: true, body: true, panics: true };
}

/// From the inside out: a request meets the last one first.
pub fn guarded(routes: Router, site: &Site, guards: Guards) -> Router {
    let mut router = routes.fallback(nowhere);
    if guards.body {
        router = router
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(RequestBodyTimeoutLayer::new(BODY_PATIENCE))
            .layer(from_fn(announced));
    } else {
        router = router.layer(DefaultBodyLimit::disable());
    }
    if guards.gate {
        router = router.layer(from_fn_with_state(site.clone(), gate::gate));
    }
    if guards.csrf {
        router = router.layer(CsrfLayer::new().with_rejection_response(forged));
    }
    if guards.host {
        router = router.layer(from_fn_with_state(site.clone(), host::guard));
    }
    if guards.panics {
        router = router.layer(CatchPanicLayer::custom(panicked));
    }
    router = router.layer(from_fn_with_state(site.clone(), errors_as_pages));
    if guards.headers {
        router = router.layer(from_fn(headers));
    }
    router.layer(CompressionLayer::new().compress_when(Dull))
}

async fn announced(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > ANY_BODY_BYTES_MAX) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "");
    }
    next.run(request).await
}

async fn nowhere() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "There is no such page. It may have been renamed, or the device that it was about is gone.")
}

fn forged(_: ProtectionError) -> Response {
    (StatusCode::FORBIDDEN, "Another site has sent this, so nothing was changed. Open the page here and send it from there.")
        .into_response()
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!("a page has panicked: {}", what.unwrap_or("without a word"));
    let why = "This page has a defect; DHCP goes on. The log says more. Please report it.";
    (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
}

/// No inline script or style, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// No HSTS: with a certificate of our own making it would leave people before a warning that they cannot pass. And the
/// referrer stays inside: `no-referrer` would take the Origin off our own forms, by which they are known (CSRF).
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // Pages tell of a network: none of them stays on a disk, nor behind a sign-out.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// An error is told in the shell, to those who can read pages.
async fn errors_as_pages(State(site): State<Site>, request: Request, next: Next) -> Response {
    let wants_page =
        request.method() != Method::HEAD && !token::is_for_programs(request.uri().path()) && accepts_html(request.headers());
    let (headers, peer) = (request.headers().clone(), request.extensions().get::<Peer>().copied());
    let response = next.run(request).await;
    let status = response.status();
    if !wants_page || !(status.is_client_error() || status.is_server_error()) || !is_plain(&response) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let said = to_bytes(body, SENTENCE_BYTES_MAX).await.unwrap_or_default();
    let sentence = sentence(status, &said);
    let Ok(house) = site.house().await else {
        return (parts.status, sentence).into_response();
    };
    let is_tls = peer.is_some_and(|peer| peer.is_tls);
    let is_known = gate::signed_in(&site, &headers, is_tls, &house.settings, false).is_some();
    let shell = Shell { is_signed_in: is_known, ..Shell::outside(&house, title(status)) };
    let mut page = shell::error(shell, sentence);
    *page.status_mut() = status;
    for (name, value) in &parts.headers {
        if !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH) {
            page.headers_mut().append(name.clone(), value.clone());
        }
    }
    page
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|value| value.to_str().is_ok_and(|text| text.contains("text/html")))
}

/// Text, or nothing at all: what axum says by itself.
fn is_plain(response: &Response) -> bool {
    match response.headers().get(header::CONTENT_TYPE) {
        None => true,
        Some(kind) => kind.as_bytes().starts_with(b"text/plain"),
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "No such page",
        StatusCode::METHOD_NOT_ALLOWED => "That cannot be done here",
        StatusCode::UNAUTHORIZED => "Signed out",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::CONFLICT => "Not changed",
        StatusCode::PAYLOAD_TOO_LARGE => "Too large",
        status if status.is_server_error() => "Something went wrong",
        _ => "That was not understood",
    }
}

fn sentence(status: StatusCode, said: &Bytes) -> String {
    let said = String::from_utf8_lossy(said);
    match (status, said.trim()) {
        (StatusCode::METHOD_NOT_ALLOWED, _) => {
            "This page can be read but not sent to, or the other way round. Go back and try again.".into()
        }
        (StatusCode::PAYLOAD_TOO_LARGE, said) if said.is_empty() || said.ends_with("length limit exceeded") => {
            format!("What was sent is larger than {} kB, which is more than this form takes.", BODY_BYTES_MAX >> 10)
        }
        (_, "") => "Go back and try again.".into(),
        (_, said) => said.into(),
    }
}

/// Only what is the same for everybody is compressed: from the size of a compressed page that holds a secret, whoever can
/// make it reflect guesses reads that secret (BREACH). And a live stream must not wait for a full block.
#[derive(Debug, Clone, Copy)]
struct Dull;

impl Predicate for Dull {
    fn should_compress<B: axum::body::HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        response.headers().contains_key(header::ETAG) && response.body().size_hint().exact().is_none_or(|bytes| bytes > 1024)
    }
}

/// The body of a refused request is not read; so that whoever sends it hears why, the connection is closed politely.
pub fn refuse(status: StatusCode, why: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CONNECTION, "close")], why.into()).into_response()
}
