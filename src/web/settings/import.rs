//! `/settings/import`: settings of another DHCP server, or our own file; a preview, then all of it or nothing.

use askama::Template;
use axum::{
    Form, Router,
    extract::{DefaultBodyLimit, Multipart, Path, State, multipart::MultipartRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

use super::{
    Fields,
    differences::{self, Difference, SHOWN_MAX},
    uploads::{self, UploadId},
};
use crate::{
    protocol::Command,
    runtime::handle::Stopped,
    settings::{
        Settings, import,
        import::{Remark, Source},
        parse, render,
    },
    web::{
        House, Site,
        notice::{self, Notice},
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

const PATH: &str = "/settings/import";
/// Room for the form around the file.
const FORM_BYTES: usize = 64 << 10;
/// Our own file.
const OWN: &str = "twinlease";

pub fn routes() -> Router<Site> {
    let upload = Router::new().route(PATH, get(choose).post(upload)).layer(DefaultBodyLimit::max(import::BYTES_MAX + FORM_BYTES));
    upload.route("/settings/import/{id}", get(preview).post(apply)).route("/settings/export.toml", get(export))
}

#[derive(Template)]
#[template(path = "settings_import.html")]
struct Choose {
    shell: Shell,
    error: String,
    kinds: Vec<(&'static str, &'static str)>,
    megabytes: usize,
}

#[derive(Template)]
#[template(path = "settings_preview.html")]
struct Preview {
    shell: Shell,
    id: String,
    kind: &'static str,
    read: Read,
    hidden: usize,
    revision: u64,
    is_stale: bool,
}

/// What a file says, and what it would make of the settings.
struct Read {
    settings: Settings,
    changes: Vec<Difference>,
    clashes: Vec<Remark>,
    skipped: Vec<Remark>,
    assumed: Vec<Remark>,
    /// Why it cannot be applied.
    against: Vec<String>,
    same: usize,
    elsewhere: usize,
    is_whole: bool,
}

impl Read {
    /// What is not as it stands in the file.
    fn lists(&self) -> [(&'static str, &'static str, &[Remark]); 3] {
        [
            ("Contradicts what is there", "It stays as it is here.", &self.clashes),
            ("Not taken over", "There is nothing like it here, or it makes no sense.", &self.skipped),
            ("Taken over differently", "Look whether it suits you.", &self.assumed),
        ]
    }
}

fn read(text: &str, kind: &str, before: &Settings) -> Read {
    if kind == OWN {
        let (settings, against) = match parse::parse(text) {
            // The pair's own, of which a file from before it knows nothing.
            Ok(settings) if !parse::names_twin(text) => (Settings { twin: before.twin, ..settings }, Vec::new()),
            Ok(settings) => (settings, Vec::new()),
            Err(problems) => (before.clone(), problems.iter().map(ToString::to_string).collect()),
        };
        let changes = differences::between(before, &settings);
        return Read {
            settings,
            changes,
            clashes: Vec::new(),
            skipped: Vec::new(),
            assumed: Vec::new(),
            against,
            same: 0,
            elsewhere: 0,
            is_whole: true,
        };
    }
    let taken = import::read(Source::named(kind).unwrap_or(Source::Csv), text);
    let import::Joined { settings, clashes, same, against } = import::join(before, &taken);
    let changes = differences::between(before, &settings);
    let import::Taken { skipped, assumed, elsewhere, .. } = taken;
    Read { settings, changes, clashes, skipped, assumed, against, same, elsewhere, is_whole: false }
}

/// By content; our own file has sections that no other has.
fn kind_of(text: &str) -> Option<&'static str> {
    let is_own = |line: &str| matches!(line.trim(), "[[subnet]]" | "[server]" | "[lease]" | "[[reservation]]");
    if text.lines().any(is_own) { Some(OWN) } else { Source::of(text).map(Source::word) }
}

fn name_of(kind: &str) -> &'static str {
    Source::named(kind).map_or("twinlease", Source::name)
}

async fn choose(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(choose_page(&house, &visitor, String::new()))
}

fn choose_page(house: &House, visitor: &Visitor, error: String) -> Response {
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let kinds = Source::ALL.iter().map(|source| (source.word(), source.name()));
    let page = Choose {
        shell: Shell::new(house, visitor, Section::Settings, "Import and export"),
        error,
        kinds: [("", "Found out from the content"), (OWN, "twinlease (replaces all settings)")]
            .into_iter()
            .chain(kinds)
            .collect(),
        megabytes: import::BYTES_MAX >> 20,
    };
    (status, shell::page(&page)).into_response()
}

async fn upload(
    State(site): State<Site>,
    visitor: Visitor,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let refused = |sentence: String| Ok(choose_page(&house, &visitor, sentence));
    let Ok(form) = form else {
        return refused("The form did not arrive as one with a file. Load this page again, and send it once more.".into());
    };
    let (id, fields) = match uploads::receive(form, site.data(), import::BYTES_MAX as u64).await {
        Ok((Some(id), fields)) => (id, fields),
        Ok((None, _)) => return refused("There is no file and no text. Choose a file, or paste its content.".into()),
        Err(sentence) => return refused(sentence),
    };
    let text = match uploads::text(&id, site.data()) {
        Ok(text) => text,
        Err(sentence) => return refused(sentence),
    };
    let chosen = fields.get("kind").map(String::as_str).filter(|kind| *kind == OWN || Source::named(kind).is_some());
    let Some(kind) = chosen.or_else(|| kind_of(&text)) else {
        return refused(
            "This looks like none of the files that are known here. Say what wrote it, or save the list of devices as CSV with MAC, address and name."
                .into(),
        );
    };
    Ok(Redirect::to(&format!("{PATH}/{}?kind={kind}", id.word())).into_response())
}

async fn preview(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<String>,
    axum::extract::Query(query): axum::extract::Query<Fields>,
) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(preview_page(&site, &house, &visitor, &id, &query, false))
}

fn preview_page(site: &Site, house: &House, visitor: &Visitor, id: &str, query: &Fields, is_stale: bool) -> Response {
    let text = UploadId::named(id).ok_or_else(|| "This upload is not there. Send the file again.".to_string());
    let text = match text.and_then(|id| uploads::text(&id, site.data())) {
        Ok(text) => text,
        Err(sentence) => return choose_page(house, visitor, sentence),
    };
    let chosen = query.get("kind").map(String::as_str).filter(|kind| *kind == OWN || Source::named(kind).is_some());
    let kind = chosen.or_else(|| kind_of(&text)).unwrap_or("csv");
    let mut read = read(&text, kind, &house.settings);
    let hidden = read.changes.len().saturating_sub(SHOWN_MAX);
    read.changes.truncate(SHOWN_MAX);
    let kind = Source::named(kind).map_or(OWN, Source::word);
    let page = Preview {
        shell: Shell::new(house, visitor, Section::Settings, format!("Import from {}", name_of(kind))),
        id: id.into(),
        kind,
        read,
        hidden,
        revision: house.revision,
        is_stale,
    };
    (if is_stale { StatusCode::CONFLICT } else { StatusCode::OK }, shell::page(&page)).into_response()
}

async fn apply(
    State(site): State<Site>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Stopped> {
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    if !house.is_as_seen(&fields) {
        return Ok(preview_page(&site, &house, &visitor, &id, &fields, true));
    }
    let text = UploadId::named(&id).ok_or_else(|| "This upload is not there. Send the file again.".to_string());
    let text = match text.and_then(|id| uploads::text(&id, site.data())) {
        Ok(text) => text,
        Err(sentence) => return Ok(choose_page(&house, &visitor, sentence)),
    };
    let kind = fields.get("kind").map_or("csv", String::as_str);
    let Read { settings, changes, against, .. } = read(&text, kind, &house.settings);
    if !against.is_empty() {
        return Ok(preview_page(&site, &house, &visitor, &id, &fields, false));
    }
    Ok(match site.submit(&visitor, Command::Replace(Box::new(settings))).await? {
        Ok(saved) => {
            let things = if changes.len() == 1 { "1 change".to_string() } else { format!("{} changes", changes.len()) };
            notice::see(
                &visitor,
                "/settings/network",
                Notice { undo: saved.change, ..Notice::new(format!("Imported from {}: {things}.", name_of(kind))) },
            )
        }
        Err(refusal) => choose_page(&house, &visitor, refusal),
    })
}

async fn export(State(site): State<Site>, _visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let headers = [
        (header::CONTENT_TYPE, "application/toml; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"twinlease.toml\""),
    ];
    Ok((headers, render::render(&house.settings.for_file())).into_response())
}
