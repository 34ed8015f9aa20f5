//! Refusals (RFC 9457): the same sentences as on the pages.

use axum::{
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoResponses, ToSchema};

use crate::runtime::handle::Stopped;

pub type Answer<T> = Result<T, Refusal>;

/// Why something was not done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the code says what kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    status: u16,
    /// The thing, what is wrong, what to do.
    detail: String,
    /// Each thing that is wrong, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemError>,
    /// With 412: as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Value>,
    /// With 412: as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    yours: Option<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemError {
    detail: String,
}

/// What every operation may answer instead.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "for the document only")]
pub enum Problems {
    #[response(status = "4XX", description = "Refused", content_type = "application/problem+json")]
    Refused(Problem),
    #[response(status = "5XX", description = "Not possible now", content_type = "application/problem+json")]
    Failed(Problem),
}

#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    details: Vec<String>,
    both: Option<Box<(Value, Value)>>,
}

impl Refusal {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Refusal {
        Refusal { status, details: vec![detail.into()], both: None }
    }

    /// What was sent can be read, and cannot be.
    pub fn unprocessable(detail: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub fn several(details: Vec<String>) -> Refusal {
        Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, details, both: None }
    }

    pub fn not_found(detail: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, detail)
    }

    pub fn malformed(detail: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, detail)
    }

    /// For a page.
    pub fn sentences(self) -> Vec<String> {
        self.details
    }

    /// Somebody else was faster.
    pub fn changed(current: Value, yours: Value) -> Refusal {
        let detail =
            "It was changed by somebody else since it was read. Look at both, and send again what shall be, with the new ETag.";
        Refusal { both: Some(Box::new((current, yours))), ..Refusal::new(StatusCode::PRECONDITION_FAILED, detail) }
    }
}

impl From<Stopped> for Refusal {
    fn from(stopped: Stopped) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, stopped.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (current, yours) = self.both.map(|both| *both).unzip();
        let several = self.details.len() > 1;
        let problem = Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Refused").into(),
            status: self.status.as_u16(),
            detail: self.details.join(" "),
            errors: if several { self.details.into_iter().map(|detail| ProblemError { detail }).collect() } else { Vec::new() },
            current,
            yours,
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

pub async fn no_such_path(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::not_found(format!("There is nothing at `{path}`. /api lists what there is."))
}

pub async fn wrong_method() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done here. /api lists what can.")
}

/// A body of JSON, whatever the request says of its type.
pub fn json_of(bytes: &[u8]) -> Answer<Value> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::malformed(format!("The body is not valid JSON: {error}. Correct it there.")))
}

/// A body of a shape that is all its own.
pub fn body_of<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    let value = json_of(bytes)?;
    serde_json::from_value(value)
        .map_err(|error| Refusal::unprocessable(format!("The body has not the shape that is needed: {error}.")))
}
