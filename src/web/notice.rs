//! What is said once on the next page after a form: the form's handler answers 303, the page shows the words.

use axum::response::{IntoResponse, Redirect, Response};

use super::{House, visitor::Visitor};

/// Said once, with a button that takes the change back where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    /// The number of the change in the history (`/activity/changes/ID/revert`).
    pub undo: Option<u64>,
}

impl Notice {
    pub fn new(text: impl Into<String>) -> Notice {
        Notice { text: text.into(), undo: None }
    }

    /// Of a change that was saved: also that it is on this one of the twins only, as long as the twin cannot be told.
    pub fn told_where(self, house: &House) -> Notice {
        let text = match house.saved_here_only().filter(|_| self.undo.is_some()) {
            Some(sentence) if self.text == "Saved." => sentence,
            Some(sentence) => format!("{} {sentence}", self.text),
            None => self.text,
        };
        Notice { text, ..self }
    }
}

/// Done: on to the page `to`, which says so.
pub fn see(visitor: &Visitor, to: &str, notice: Notice) -> Response {
    visitor.leave_notice(notice);
    Redirect::to(to).into_response()
}
