//! Tokens for programs: `Authorization: Bearer …`, for the paths that programs have.

use axum::http::{HeaderMap, Method, header};
use data_encoding::BASE64URL_NOPAD;

use super::session::digest_of;
use crate::{
    runtime::partner::key::{hex, random},
    settings::{
        Settings,
        access::{Scope, Token},
    },
    web::visitor::Visitor,
};

/// Pages are for people: a token that leaks opens no page and changes no password.
const PATHS: [&str; 2] = ["/api/", "/metrics"];
const PREFIX: &str = "tl_";

/// What a program is told, once; and what is stored of it.
pub fn new_secret() -> (String, String) {
    let secret = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&random::<32>()));
    let hash = stored_form(&secret);
    (secret, hash)
}

/// As `Token::hash` has it. The secret is random, so that no slow hash is needed; and as hashes are compared, the time that
/// it takes tells nothing of the secret.
pub fn stored_form(secret: &str) -> String {
    hex(&digest_of(secret.as_bytes()))
}

/// What a request with a token may do.
#[derive(Debug)]
pub enum Shown {
    /// It shows none.
    Nothing,
    Good(Visitor),
    /// A sentence.
    Refused(&'static str),
    /// It may look only, and wants to change something.
    ReadOnly,
}

pub fn is_for_programs(path: &str) -> bool {
    PATHS.iter().any(|start| path.starts_with(start) || path == start.trim_end_matches('/'))
}

pub fn shown(headers: &HeaderMap, method: &Method, path: &str, settings: &Settings) -> Shown {
    let Some(header) = headers.get(header::AUTHORIZATION) else { return Shown::Nothing };
    if !is_for_programs(path) {
        return Shown::Refused("Tokens are for /api and /metrics. Sign in for the pages.");
    }
    let secret =
        header.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    let Some((_, secret)) = secret else {
        return Shown::Refused("The Authorization header is none of a token. Write `Authorization: Bearer TOKEN`.");
    };
    let hash = stored_form(secret.trim());
    let Some(Token { name, scope, .. }) = settings.access.tokens.iter().find(|token| token.hash == hash) else {
        return Shown::Refused("That token is unknown here. Make one under Settings, Tokens.");
    };
    if *scope == Scope::Read && !matches!(*method, Method::GET | Method::HEAD) {
        return Shown::ReadOnly;
    }
    Shown::Good(Visitor::new(name.clone(), *scope))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(secret: &str, method: Method, path: &str, settings: &Settings) -> Shown {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {secret}").parse().expect("a header"));
        shown(&headers, &method, path, settings)
    }

    #[test]
    fn a_token_opens_what_its_scope_says_and_no_page() {
        let (mut settings, (reader, read_hash), (writer, write_hash)) = (Settings::default(), new_secret(), new_secret());
        for (name, hash, scope) in [("graphs", read_hash, Scope::Read), ("scripts", write_hash, Scope::Write)] {
            settings.access.tokens.push(Token { name: name.into(), hash, scope, created: 0 });
        }
        assert!(matches!(ask(&reader, Method::GET, "/metrics", &settings), Shown::Good(who) if who.author == "graphs"));
        assert!(matches!(ask(&reader, Method::POST, "/api/v1/x", &settings), Shown::ReadOnly));
        assert!(matches!(ask(&writer, Method::POST, "/api/v1/x", &settings), Shown::Good(who) if who.author == "scripts"));
        assert!(matches!(ask(&writer, Method::POST, "/settings/password", &settings), Shown::Refused(_)));
        assert!(matches!(ask(&writer, Method::GET, "/apix", &settings), Shown::Refused(_)));
        assert!(matches!(ask("tl_guess", Method::GET, "/metrics", &settings), Shown::Refused(_)));
        assert!(matches!(ask(&settings.access.tokens[0].hash, Method::GET, "/metrics", &settings), Shown::Refused(_)));
        assert!(matches!(shown(&HeaderMap::new(), &Method::GET, "/metrics", &settings), Shown::Nothing));
    }
}
