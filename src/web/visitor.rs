//! Who asks for a page. A handler that takes a `Visitor` is reached by nobody else.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};

use super::notice::Notice;
use crate::settings::access::Scope;

/// Somebody who was let in: by the password, or by a token.
#[derive(Clone)]
pub struct Visitor {
    /// As Activity names who made a change: `dashboard`, or a token's name.
    pub author: String,
    /// What they may do. The gate has refused already what a reader may not.
    pub scope: Scope,
    /// Until the next page; one, so that nobody can pile them up.
    notice: Arc<Mutex<Option<Notice>>>,
}

/// What Activity calls whoever came by the password.
pub const DASHBOARD: &str = "dashboard";

impl Visitor {
    pub fn new(author: impl Into<String>, scope: Scope) -> Visitor {
        Visitor { author: author.into(), scope, notice: Arc::default() }
    }

    pub fn leave_notice(&self, notice: Notice) {
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(notice);
    }

    pub fn take_notice(&self) -> Option<Notice> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visitor({}, {:?})", self.author, self.scope)
    }
}

/// The gate (`access::gate`) has put the visitor there; without it nobody gets this far.
impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, Self::Rejection> {
        parts.extensions.get::<Visitor>().cloned().ok_or((StatusCode::UNAUTHORIZED, "Sign in first."))
    }
}
