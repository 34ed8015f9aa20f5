//! The gate before every page: what is not on the list of public paths is for those who were let in. A new route is
//! behind it without a word about it.

use std::time::Instant;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use super::{cookie, password, token};
use crate::{
    settings::Settings,
    web::{Site, api::problem::Refusal, listen::Peer, live, visitor::Visitor},
};

/// Served to anybody. A slash at the end: and all below it.
pub const PUBLIC: [&str; 4] = ["/static/", "/healthz", "/sign-in", "/claim"];

pub fn is_public(path: &str) -> bool {
    PUBLIC.iter().any(|public| if public.ends_with('/') { path.starts_with(public) } else { path == *public })
}

/// Lets in, with a `Visitor` in the request, or answers itself.
pub async fn gate(State(site): State<Site>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if is_public(path) {
        return next.run(request).await;
    }
    let house = match site.house().await {
        Ok(house) => house,
        Err(stopped) => return stopped.into_response(),
    };
    match token::shown(request.headers(), request.method(), path, &house.settings) {
        token::Shown::Good(visitor) => {
            request.extensions_mut().insert(visitor);
            return next.run(request).await;
        }
        token::Shown::Refused(why) => return program(StatusCode::UNAUTHORIZED, why),
        token::Shown::ReadOnly => {
            return program(StatusCode::FORBIDDEN, "This token may look only. Use one that may change things.");
        }
        token::Shown::Nothing => {}
    }
    let is_tls = request.extensions().get::<Peer>().is_some_and(|peer| peer.is_tls);
    // A live page stays signed in no longer than somebody asks for something.
    let asks = path != live::PATH;
    if let Some(visitor) = signed_in(&site, request.headers(), is_tls, &house.settings, asks) {
        request.extensions_mut().insert(visitor);
        return next.run(request).await;
    }
    if path == live::PATH {
        return live::bye();
    }
    let is_claimed = password::stored(&house.settings).is_some();
    if token::is_for_programs(path) {
        return program(StatusCode::UNAUTHORIZED, "Show a token: `Authorization: Bearer TOKEN`. Settings, Tokens makes one.");
    }
    let is_look = matches!(*request.method(), Method::GET | Method::HEAD);
    match (is_claimed, is_look) {
        (false, true) => Redirect::to("/claim").into_response(),
        (false, false) => {
            (StatusCode::FORBIDDEN, "This device has no password yet. Open its first page and set one.").into_response()
        }
        (true, true) => {
            Redirect::to(&sign_in_for(request.uri().path_and_query().map_or("/", |uri| uri.as_str()))).into_response()
        }
        (true, false) => {
            (StatusCode::UNAUTHORIZED, "You are signed out, so nothing was changed. Sign in, then send it again.").into_response()
        }
    }
}

/// Whoever this cookie was given to.
pub fn signed_in(site: &Site, headers: &HeaderMap, is_tls: bool, settings: &Settings, asks: bool) -> Option<Visitor> {
    let stored = password::stored(settings)?;
    let id = cookie::id(headers, is_tls)?;
    site.door().sessions.find(Instant::now(), &id, stored, asks)
}

fn sign_in_for(page: &str) -> String {
    if page == "/" { "/sign-in".into() } else { format!("/sign-in?next={}", escape(page)) }
}

/// For a query's value.
fn escape(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn program(status: StatusCode, why: &str) -> Response {
    ([(header::WWW_AUTHENTICATE, "Bearer")], Refusal::new(status, why)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public_is_exactly_what_the_list_says() {
        assert!(is_public("/static/twinlease.css") && is_public("/healthz") && is_public("/claim"));
        for path in ["/", "/healthz/", "/static", "/sign-in/x", "/claims", "/STATIC/x", "//static/x", "/devices"] {
            assert!(!is_public(path), "{path}");
        }
    }

    #[test]
    fn the_page_that_was_wanted_survives_the_way_over_the_sign_in() {
        assert_eq!(sign_in_for("/"), "/sign-in");
        assert_eq!(sign_in_for("/devices?q=a b&sort=name"), "/sign-in?next=/devices%3Fq%3Da%20b%26sort%3Dname");
    }
}
