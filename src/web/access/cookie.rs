//! The cookie that carries a session's id: never to scripts (HttpOnly), never with a request that another site began
//! (SameSite=Strict).

use axum::http::{HeaderMap, HeaderValue, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

use super::session::{LIFE, SessionId};

/// Apart, so that what was heard on http is of no use on https; `__Host-` keeps other names and http from setting it.
fn name(is_tls: bool) -> &'static str {
    if is_tls { "__Host-twinlease" } else { "twinlease" }
}

pub fn id(headers: &HeaderMap, is_tls: bool) -> Option<SessionId> {
    let jar = CookieJar::from_headers(headers);
    jar.get(name(is_tls)).map(|cookie| SessionId::from_cookie(cookie.value()))
}

pub fn keep(id: &SessionId, is_tls: bool) -> HeaderValue {
    set(id.as_str(), LIFE.as_secs() as i64, is_tls)
}

pub fn forget(is_tls: bool) -> HeaderValue {
    set("", 0, is_tls)
}

fn set(value: &str, secs: i64, is_tls: bool) -> HeaderValue {
    let mut cookie = Cookie::new(name(is_tls), value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Strict);
    cookie.set_secure(is_tls);
    let text = format!("{cookie}; Max-Age={secs}");
    HeaderValue::from_str(&text).expect("ids are ASCII letters and digits")
}

/// The value to be sent with `header::SET_COOKIE`.
pub const SET: header::HeaderName = header::SET_COOKIE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_stays_with_its_site_and_its_scheme() {
        let id = SessionId::from_cookie("abc");
        let http = keep(&id, false);
        assert_eq!(http.to_str().ok(), Some("twinlease=abc; HttpOnly; SameSite=Strict; Path=/; Max-Age=604800"));
        let https = keep(&id, true);
        assert_eq!(https.to_str().ok(), Some("__Host-twinlease=abc; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=604800"));
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "twinlease=abc; x=y".parse().expect("a header"));
        assert_eq!(super::id(&headers, false), Some(id));
        assert_eq!(super::id(&headers, true), None);
    }
}
