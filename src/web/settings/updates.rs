//! `/settings/updates`: which versions run, a file for both twins, and how far an update is.

use askama::Template;
use axum::{
    Form, Router,
    extract::{DefaultBodyLimit, Multipart, State, multipart::MultipartRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{Fields, uploads};
use crate::{
    protocol::update::{Doing, Standing},
    runtime::{
        handle::Stopped,
        update::{BY_HAND, FILE_BYTES_MAX, Updates, View},
    },
    web::{
        House, Site,
        live::{Fragment, Place},
        notice::{self, Notice},
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

const PATH: &str = "/settings/updates";
/// Room for the form around the file.
const FORM_BYTES: usize = 64 << 10;

pub fn routes() -> Router<Site> {
    let upload = Router::new()
        .route("/settings/updates/file", post(upload))
        .layer(DefaultBodyLimit::max(FILE_BYTES_MAX as usize + FORM_BYTES));
    upload.route(PATH, get(show).post(approve)).route("/settings/updates/stop", post(stop))
}

#[derive(Template)]
#[template(path = "settings_updates.html")]
struct Page<'v> {
    shell: Shell,
    error: String,
    megabytes: u64,
    by_hand: &'static str,
    now: Now<'v>,
}

/// What is live of it.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{% import "settings_updates_parts.html" as parts %}{% call parts::now(now) %}{% endcall %}"#
)]
struct Part<'v> {
    now: Now<'v>,
}

struct Now<'v> {
    view: &'v View,
    /// The name, the version, and what is to be said of it.
    versions: Vec<(&'v str, &'v str, &'static str)>,
    /// Something can be put away or stopped: its words.
    stop: Option<&'static str>,
}

impl<'v> Now<'v> {
    fn new(view: &'v View) -> Now<'v> {
        let row = |one: &'v Standing| {
            let note = match one.doing {
                Doing::Writing => "is being updated: keep its power on",
                Doing::Restarting => "starts anew: keep its power on",
                Doing::Nothing if one.on_trial => "on trial",
                Doing::Nothing if !one.is_card => "not from a flashed card",
                Doing::Nothing => "",
            };
            (one.name.as_str(), one.version.as_str(), note)
        };
        let stop = match (view.is_under_way, view.problem.is_some()) {
            (true, _) => Some("Stop the update"),
            (false, true) => Some("I have seen it"),
            (false, false) => None,
        };
        Now { view, versions: std::iter::once(&view.here).chain(&view.twin).map(row).collect(), stop }
    }
}

/// For the overview.
pub fn in_short(view: &View) -> String {
    match &view.told {
        Some(told) if view.is_under_way => told.clone(),
        Some(_) | None => format!("Version {}", view.here.version),
    }
}

async fn show(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    Ok(page(&house, &visitor, String::new()))
}

fn page(house: &House, visitor: &Visitor, error: String) -> Response {
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = Page {
        shell: Shell::new(house, visitor, Section::Settings, "Updates").live("updates"),
        error,
        megabytes: FILE_BYTES_MAX >> 20,
        by_hand: BY_HAND,
        now: Now::new(&house.update),
    };
    (status, shell::page(&page)).into_response()
}

pub fn parts(_: &Site, house: &House, _: &Place) -> Vec<Fragment> {
    Fragment::new("update", &Part { now: Now::new(&house.update) }).into_iter().collect()
}

async fn upload(
    State(site): State<Site>,
    visitor: Visitor,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Stopped> {
    let taken = match form {
        // Before a byte of it is read.
        _ if !site.handle().updates().view().here.is_card => Err(BY_HAND.to_owned()),
        Err(_) => Err("The form did not arrive as one with a file. Load this page again.".into()),
        Ok(form) => match uploads::receive(form, site.data(), FILE_BYTES_MAX).await {
            Ok((None, _)) => Err("There is no file. Choose one first.".into()),
            Ok((Some(id), _)) => {
                let path = id.path(site.data());
                site.handle().updates().aside(move |updates| updates.take(&path)).await
            }
            Err(sentence) => Err(sentence),
        },
    };
    Ok(match taken {
        Ok(held) => notice::see(&visitor, PATH, Notice::new(format!("The file is whole. It holds twinlease {}.", held.version))),
        Err(sentence) => page(&*site.fresh_house().await?, &visitor, sentence),
    })
}

async fn approve(State(site): State<Site>, visitor: Visitor, Form(fields): Form<Fields>) -> Result<Response, Stopped> {
    let sha256 = fields.get("sha256").cloned().unwrap_or_default();
    let anyway = fields.get("anyway").is_some_and(|word| word == "yes");
    let by = visitor.author.clone();
    done(&site, &visitor, "It begins: one after the other, and devices notice nothing.", move |updates| {
        updates.approve(&by, &sha256, anyway).map(|_| ())
    })
    .await
}

async fn stop(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let by = visitor.author.clone();
    done(&site, &visitor, "It goes no further; each runs the version that it has.", move |updates| updates.stop(&by)).await
}

async fn done(
    site: &Site,
    visitor: &Visitor,
    said: &str,
    work: impl FnOnce(&Updates) -> Result<(), String> + Send + 'static,
) -> Result<Response, Stopped> {
    Ok(match site.handle().updates().aside(work).await {
        Ok(()) => {
            site.fresh_house().await?;
            notice::see(visitor, PATH, Notice::new(said))
        }
        Err(sentence) => page(&*site.fresh_house().await?, visitor, sentence),
    })
}
