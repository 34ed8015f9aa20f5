//! `/settings/backups`: the nightly snapshots of both twins, one more now, one as a file, and settings back from one.

use std::{
    fs::File,
    io::Read as _,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use askama::Template;
use axum::{
    Form, Router,
    body::Body,
    extract::{DefaultBodyLimit, Multipart, Path, State, multipart::MultipartRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};

use super::{
    Fields,
    differences::{self, Difference, SHOWN_MAX},
    uploads::{self, UploadId},
};
use crate::{
    protocol::{Command, explain::spell},
    runtime::{
        handle::Stopped,
        store::{self, Backup, TWINS_BYTES_MAX},
    },
    settings::{Settings, check::check},
    web::{
        House, Site,
        notice::{self, Notice},
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

const PATH: &str = "/settings/backups";
const FORM_BYTES: usize = 64 << 10;
const CHUNK_BYTES: usize = 64 << 10;

pub fn routes() -> Router<Site> {
    let upload = Router::new()
        .route("/settings/backups/restore", post(upload))
        .layer(DefaultBodyLimit::max(TWINS_BYTES_MAX as usize + FORM_BYTES));
    upload
        .route(PATH, get(list).post(make))
        .route("/settings/backups/{which}/file", get(download))
        .route("/settings/backups/{which}/restore", get(preview).post(restore))
}

struct Row {
    word: String,
    when: String,
    age: String,
    size: String,
}

#[derive(Template)]
#[template(path = "settings_backups.html")]
struct List {
    shell: Shell,
    own: Vec<Row>,
    twins: Vec<Row>,
    has_twin: bool,
    error: String,
    megabytes: u64,
}

#[derive(Template)]
#[template(path = "settings_restore.html")]
struct Preview {
    shell: Shell,
    word: String,
    when: String,
    changes: Vec<Difference>,
    hidden: usize,
    leases: usize,
    leases_now: usize,
    against: Vec<String>,
    revision: u64,
    is_stale: bool,
}

impl List {
    /// What they are, and what is said where there are none.
    fn lists(&self) -> [(&'static str, &[Row], &'static str); 2] {
        [
            ("Of this one", &self.own, "None yet. The first is made tonight, or now."),
            ("Of the twin", &self.twins, "None yet. The twin sends its own each night."),
        ]
    }
}

/// In a URL: `own-2026-11-22.db`, `twin-000003.db`, `sent-0123456789abcdef`.
fn word(backup: &Backup) -> String {
    format!("{}-{}", if backup.is_twins { "twin" } else { "own" }, backup.name)
}

/// Only what is listed, and what was sent: no path of the word's own.
fn found(site: &Site, which: &str) -> Option<(PathBuf, String)> {
    if let Some(id) = which.strip_prefix("sent-").and_then(UploadId::named) {
        let path = id.path(site.data());
        return path.is_file().then_some((path, "the file that you sent".into()));
    }
    let backup = store::backups(site.data()).into_iter().find(|backup| word(backup) == which)?;
    let when = date(backup.made);
    Some((backup.path, format!("the backup of {when}")))
}

fn date(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "an unknown day".into(),
    }
}

fn row(backup: &Backup) -> Row {
    let age = SystemTime::now().duration_since(backup.made).unwrap_or(Duration::ZERO).as_secs();
    Row {
        word: word(backup),
        when: date(backup.made),
        age: spell(age),
        size: if backup.bytes >= 1 << 20 {
            format!("{} MiB", backup.bytes >> 20)
        } else {
            format!("{} KiB", (backup.bytes >> 10).max(1))
        },
    }
}

async fn list(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(list_page(&site, &house, &visitor, String::new()))
}

fn list_page(site: &Site, house: &House, visitor: &Visitor, error: String) -> Response {
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let backups = store::backups(site.data());
    let of = |is_twins: bool| backups.iter().filter(|backup| backup.is_twins == is_twins).map(row).collect();
    let page = List {
        shell: Shell::new(house, visitor, Section::Settings, "Backups"),
        own: of(false),
        twins: of(true),
        has_twin: house.status.twin.is_some(),
        error,
        megabytes: TWINS_BYTES_MAX >> 20,
    };
    (status, shell::page(&page)).into_response()
}

async fn make(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let folder = site.data().to_path_buf();
    let made = tokio::task::spawn_blocking(move || store::back_up_now(&folder)).await;
    Ok(match made {
        Ok(Ok(_)) => notice::see(&visitor, PATH, Notice::new("A backup was made. It replaces an earlier one of today.")),
        Ok(Err(sentence)) => list_page(&site, &*site.house().await?, &visitor, sentence),
        Err(_) => list_page(&site, &*site.house().await?, &visitor, "The backup was not made. Try again.".into()),
    })
}

async fn download(State(site): State<Site>, visitor: Visitor, Path(which): Path<String>) -> Result<Response, Stopped> {
    let file = found(&site, &which).and_then(|(path, _)| File::open(path).ok());
    let Some(file) = file else { return Ok(missing(&site, &*site.house().await?, &visitor)) };
    let stream = futures_util::stream::unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        match file.read(&mut chunk) {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                Some((Ok(chunk), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let name: String = which.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).collect();
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.sqlite3".to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"twinlease-{name}\"")),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn missing(site: &Site, house: &House, visitor: &Visitor) -> Response {
    list_page(site, house, visitor, "This backup is not there any more. Choose another.".into())
}

async fn upload(
    State(site): State<Site>,
    visitor: Visitor,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let Ok(form) = form else {
        return Ok(list_page(
            &site,
            &house,
            &visitor,
            "The form did not arrive as one with a file. Load this page again.".into(),
        ));
    };
    Ok(match uploads::receive(form, site.data(), TWINS_BYTES_MAX).await {
        Ok((Some(id), _)) => match store::look_into(&id.path(site.data())) {
            Ok(_) => Redirect::to(&format!("{PATH}/sent-{}/restore", id.word())).into_response(),
            Err(sentence) => {
                let _ = std::fs::remove_file(id.path(site.data()));
                list_page(&site, &house, &visitor, sentence)
            }
        },
        Ok((None, _)) => list_page(&site, &house, &visitor, "There is no file. Choose a backup first.".into()),
        Err(sentence) => list_page(&site, &house, &visitor, sentence),
    })
}

async fn preview(State(site): State<Site>, visitor: Visitor, Path(which): Path<String>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(preview_page(&site, &house, &visitor, &which, false))
}

fn preview_page(site: &Site, house: &House, visitor: &Visitor, which: &str, is_stale: bool) -> Response {
    let Some((path, when)) = found(site, which) else { return missing(site, house, visitor) };
    let contents = match store::look_into(&path) {
        Ok(contents) => contents,
        Err(sentence) => return list_page(site, house, visitor, sentence),
    };
    let mut changes = differences::between(&house.settings, &contents.settings);
    let hidden = changes.len().saturating_sub(SHOWN_MAX);
    changes.truncate(SHOWN_MAX);
    let page = Preview {
        shell: Shell::new(house, visitor, Section::Settings, "Restore settings"),
        word: which.into(),
        when,
        changes,
        hidden,
        leases: contents.leases,
        leases_now: house.bindings.iter().filter(|binding| binding.is_held(house.now)).count(),
        against: check(&contents.settings).into_iter().map(|found| found.text).collect(),
        revision: house.revision,
        is_stale,
    };
    (if is_stale { StatusCode::CONFLICT } else { StatusCode::OK }, shell::page(&page)).into_response()
}

/// Settings only: leases that were put back would be an amnesia of all that was promised since.
async fn restore(
    State(site): State<Site>,
    visitor: Visitor,
    Path(which): Path<String>,
    Form(fields): Form<Fields>,
) -> Result<Response, Stopped> {
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    if !house.is_as_seen(&fields) {
        return Ok(preview_page(&site, &house, &visitor, &which, true));
    }
    let Some((path, when)) = found(&site, &which) else { return Ok(missing(&site, &house, &visitor)) };
    let settings = match store::look_into(&path) {
        Ok(contents) => Settings { access: house.settings.access.clone(), ..contents.settings },
        Err(sentence) => return Ok(list_page(&site, &house, &visitor, sentence)),
    };
    Ok(match site.submit(&visitor, Command::Replace(Box::new(settings))).await? {
        Ok(saved) => notice::see(
            &visitor,
            PATH,
            Notice { undo: saved.change, ..Notice::new(format!("The settings of {when} are back. Leases are as they were.")) },
        ),
        Err(refusal) => list_page(&site, &house, &visitor, refusal),
    })
}
