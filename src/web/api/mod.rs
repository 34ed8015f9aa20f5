//! `/api/v1`: what the pages do, for programs. JSON in the words of the settings file; refusals as RFC 9457 has them;
//! every change under the name of the token that made it.

pub mod alerts;
mod backups;
pub mod changes;
mod etag;
mod leases;
mod page;
pub mod problem;
mod records;
mod schema;
pub mod settings;
mod status;
pub mod translate;
mod twin;
mod update;

use axum::{Json, Router, routing::get};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use super::Site;

pub fn routes() -> Router<Site> {
    Router::new()
        .merge(page::routes())
        .route("/api/v1/openapi.json", get(|| async { Json(document()) }))
        .merge(status::routes())
        .merge(leases::routes())
        .merge(records::routes())
        .merge(settings::routes())
        .merge(changes::routes())
        .merge(twin::routes())
        .merge(update::routes())
        .merge(backups::routes())
        .merge(alerts::routes())
        // The last word for what is not there: a program expects no page.
        .route("/api/v1/{*rest}", axum::routing::any(problem::no_such_path))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "twinlease",
        description = "Everything that the dashboard does. Send `Authorization: Bearer TOKEN`; Settings, Tokens makes tokens. \
                       Settings are written as in the settings file, times as `12h` or `1h30m`. What is read has an ETag; \
                       send it as If-Match, and a change is refused (412) where somebody else was faster. Both twins answer \
                       alike, and either may be asked.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        status::status,
        status::why,
        status::what_if,
        leases::list,
        leases::one,
        leases::free,
        records::reservations,
        records::add_reservation,
        records::reservation,
        records::put_reservation,
        records::remove_reservation,
        records::subnets,
        records::add_subnet,
        records::subnet,
        records::put_subnet,
        records::remove_subnet,
        settings::export,
        settings::import,
        settings::check,
        settings::section,
        settings::put_section,
        changes::list,
        changes::revert,
        twin::twin,
        twin::command,
        twin::drills,
        twin::start_drill,
        twin::end_drill,
        twin::code,
        twin::pair,
        twin::conflicts,
        twin::reconcile,
        update::show,
        update::send,
        update::approve,
        update::stop,
        backups::list,
        backups::download,
        alerts::list,
        alerts::test,
        alerts::rivals,
        alerts::probe,
        alerts::tokens,
    ),
    components(schemas(problem::Problem, problem::ProblemError)),
    modifiers(&Bearer),
    security(("token" = [])),
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[cfg(test)]
mod tests;
