//! Who asks for a page. A handler that takes a `Visitor` is reached by nobody else.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};

/// Somebody who may see and change everything.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// As Activity names who made a change: `dashboard`, or a token's name.
    pub author: String,
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Visitor, Infallible> {
        Ok(Visitor { author: "dashboard".into() })
    }
}
