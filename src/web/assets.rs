//! The files of `static/`, in the binary.

use axum::{Router, http::header, response::IntoResponse, routing::get};

use super::Site;

const CSS: &str = include_str!("../../static/twinlease.css");
const SCRIPT: &str = include_str!("../../static/twinlease.js");
const ICONS: &str = include_str!("../../static/icons.svg");

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/static/twinlease.css", get(|| asset("text/css; charset=utf-8", CSS)))
        .route("/static/twinlease.js", get(|| asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/static/icons.svg", get(|| asset("image/svg+xml", ICONS)))
}

async fn asset(kind: &'static str, content: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], content)
}
