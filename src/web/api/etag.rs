//! What was read has a mark; whoever sends it back changes nothing that somebody else has changed since.

use axum::{
    Json,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use super::problem::Refusal;

/// `"3f2a…"`, the same for the same content on both twins.
pub fn of(value: &Value) -> String {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    format!("\"{}\"", data_encoding::HEXLOWER.encode(&digest.as_ref()[..16]))
}

/// With its mark; 304 where the asker has it already.
pub fn tagged(headers: &HeaderMap, value: Value) -> Response {
    let tag = of(&value);
    let has_it =
        headers.get(header::IF_NONE_MATCH).and_then(|given| given.to_str().ok()).is_some_and(|given| is_among(given, &tag));
    if has_it {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    ([(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".into())], Json(value)).into_response()
}

/// Refused where `If-Match` names something else than what is there. Without it, the last one wins.
pub fn check(headers: &HeaderMap, current: Option<&Value>, yours: &Value) -> Result<(), Refusal> {
    let Some(given) = headers.get(header::IF_MATCH) else { return Ok(()) };
    let given = given.to_str().unwrap_or_default();
    match current {
        Some(current) if is_among(given, &of(current)) => Ok(()),
        current => Err(Refusal::changed(current.cloned().unwrap_or(Value::Null), yours.clone())),
    }
}

/// RFC 9110 §13.1.1. `W/` is looked over: programs in between put it there when they compress.
fn is_among(given: &str, tag: &str) -> bool {
    given.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_that_of_the_content_and_any_in_the_list_counts() {
        let (one, other) = (serde_json::json!({ "a": 1 }), serde_json::json!({ "a": 2 }));
        assert_ne!(of(&one), of(&other));
        let given = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, text.parse().expect("a header"));
            check(&headers, Some(&one), &Value::Null).is_ok()
        };
        assert!(given(&of(&one)) && given("*") && given(&format!("\"x\", W/{}", of(&one))));
        assert!(!given(&of(&other)) && !given("") && !given("\"*\""));
        let mut headers = HeaderMap::new();
        assert!(check(&headers, None, &Value::Null).is_ok(), "nobody asked");
        headers.insert(header::IF_MATCH, "*".parse().expect("a header"));
        assert!(check(&headers, None, &Value::Null).is_err(), "it shall be there, and is gone");
    }
}
