//! `/api`: what a program can ask for, on one page for people.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::document;
use crate::{
    runtime::handle::Stopped,
    web::{
        Site,
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

pub fn routes() -> Router<Site> {
    Router::new().route("/api", get(page))
}

#[derive(Template)]
#[template(path = "api.html")]
struct Page {
    shell: Shell,
    operations: Vec<Operation>,
}

struct Operation {
    method: String,
    path: String,
    summary: String,
}

async fn page(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(shell::page(&Page { shell: Shell::new(&house, &visitor, Section::Settings, "For programs"), operations: operations() }))
}

/// By path, reading before writing.
fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(document()).unwrap_or_default();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for method in ["get", "post", "put", "delete"] {
            if let Some(operation) = methods.get(method) {
                let summary = operation["summary"].as_str().or_else(|| operation["description"].as_str()).unwrap_or_default();
                operations.push(Operation { method: method.to_uppercase(), path: path.clone(), summary: summary.into() });
            }
        }
    }
    operations
}
