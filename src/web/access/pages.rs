//! The pages of the door: claim, sign in, sign out, another password.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use askama::Template;
use axum::{
    Extension, Form, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    cookie, gate,
    password::{self, Busy},
};
use crate::{
    protocol::{Command, explain::spell, failover},
    runtime::handle::Stopped,
    settings::Record,
    web::{
        House, Site,
        form::Errors,
        listen::Peer,
        notice::{Notice, see},
        shell::{self, Section, Shell},
        visitor::{DASHBOARD, Visitor},
    },
};

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/claim", get(claim_page).post(claim))
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/settings/password", get(password_page).post(change))
}

#[derive(Template)]
#[template(path = "claim.html")]
struct Claim {
    shell: Shell,
    errors: Errors,
    /// Why nobody can claim it now.
    not_now: Option<String>,
    twin: Option<String>,
}

#[derive(Deserialize)]
struct NewPassword {
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
}

async fn claim_page(State(site): State<Site>) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    if password::stored(&house.settings).is_some() {
        return Ok(Redirect::to("/sign-in").into_response());
    }
    let not_now = not_now(&site, &house).await?;
    Ok(claim_view(&house, not_now, Errors::default()))
}

fn claim_view(house: &House, not_now: Option<String>, errors: Errors) -> Response {
    let shell = Shell::outside(house, "Welcome to twinlease");
    shell::page(&Claim { shell, errors, not_now, twin: house.twin_name.clone() })
}

/// Somebody may have set the password on the twin: then this one must have heard of it first.
async fn not_now(site: &Site, house: &House) -> Result<Option<String>, Stopped> {
    // A wiped device looks like a new one until its twin has told it who owns both.
    if site.handle().read(|node, _| node.waits_for_twin()).await? {
        let why = "This one shall be one of two and has not met the other yet, which may have a password already. Start the other one; \
                   or say `twinlease password set` on this device.";
        return Ok(Some(why.into()));
    }
    Ok(house.status.twin.as_ref().and_then(|twin| not_while(house, twin.state)))
}

fn not_while(house: &House, state: failover::State) -> Option<String> {
    let name = house.twin_name.as_deref().unwrap_or("the twin");
    match state {
        failover::State::Startup | failover::State::Recover | failover::State::Reconcile => Some(format!(
            "This one is still learning from {name}, which may have a password already. Wait a moment and load this page again; or open {name}."
        )),
        failover::State::Alone
        | failover::State::Normal
        | failover::State::CommunicationsInterrupted
        | failover::State::PartnerDown
        | failover::State::Drilled
        | failover::State::ShuttingDown => None,
    }
}

async fn claim(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    Form(form): Form<NewPassword>,
) -> Result<Response, Stopped> {
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    if password::stored(&house.settings).is_some() {
        return Ok((
            StatusCode::CONFLICT,
            "This device has a password already. Sign in with it; `twinlease password reset` on the device takes it away.",
        )
            .into_response());
    }
    let not_now = not_now(&site, &house).await?;
    if not_now.is_some() {
        return Ok(shell::with(StatusCode::CONFLICT, claim_view(&house, not_now, Errors::default())));
    }
    let errors = objections(&form);
    if !errors.is_empty() {
        return Ok(shell::with(StatusCode::UNPROCESSABLE_ENTITY, claim_view(&house, None, errors)));
    }
    let mut notice = Notice::new("The password is set, and you are signed in.");
    notice.text.push_str(&word_of_the_twin(&house));
    // A new box is led through its first steps.
    let to = if house.settings.subnets.is_empty() { "/welcome" } else { "/" };
    store(&site, &house, peer, None, form.password, to, notice).await
}

fn objections(form: &NewPassword) -> Errors {
    let mut errors = Errors::default();
    if let Some(objection) = password::objection(&form.password) {
        errors.add("password", objection);
    } else if form.password != form.again {
        errors.add("again", "The two passwords are not the same. Type it once more.");
    }
    errors
}

/// The password is one of the pair's settings.
fn word_of_the_twin(house: &House) -> String {
    match (&house.status.twin, house.saved_here_only()) {
        (None, _) => String::new(),
        (Some(_), Some(sentence)) => format!(" {sentence}"),
        (Some(_), None) => format!(" It is the password of {} too.", house.twin_name.as_deref().unwrap_or("the twin")),
    }
}

/// Hashes and stores it; whoever did it goes on with a new session, and everybody else is signed out.
async fn store(
    site: &Site,
    house: &House,
    peer: Peer,
    visitor: Option<Visitor>,
    password: String,
    to: &str,
    notice: Notice,
) -> Result<Response, Stopped> {
    let hash = match site.door().hasher.run(move || password::hash(&password)).await {
        Ok(hash) => hash,
        Err(Busy) => return Ok(busy()),
    };
    let visitor = visitor.unwrap_or_else(|| Visitor::new(DASHBOARD, crate::settings::access::Scope::Write));
    let record = Record::Access(password::with_password(&house.settings, hash.clone()));
    if let Err(refusal) = site.submit(&visitor, Command::Put(record)).await? {
        return Ok((StatusCode::CONFLICT, refusal).into_response());
    }
    Ok(let_in(site, peer, &hash, to, Some(notice)))
}

fn let_in(site: &Site, peer: Peer, stored: &str, to: &str, notice: Option<Notice>) -> Response {
    let (id, visitor) = site.door().sessions.open(Instant::now(), stored);
    let mut response = match notice {
        Some(notice) => see(&visitor, to, notice),
        None => Redirect::to(to).into_response(),
    };
    response.headers_mut().append(cookie::SET, cookie::keep(&id, peer.is_tls));
    response
}

fn busy() -> Response {
    let why = "Many want to sign in at this moment. Try again in some seconds.";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], why).into_response()
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    shell: Shell,
    errors: Errors,
    next: String,
    /// Why somebody who was signed in is asked again.
    why: Option<String>,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

async fn sign_in_page(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Stopped> {
    let house = site.house().await?;
    if password::stored(&house.settings).is_none() {
        return Ok(Redirect::to("/claim").into_response());
    }
    let next = own_page(&wanted.next);
    if gate::signed_in(&site, &headers, peer.is_tls, &house.settings, true).is_some() {
        return Ok(Redirect::to(next).into_response());
    }
    let was_signed_out = cookie::id(&headers, peer.is_tls).is_some_and(|id| site.door().sessions.is_void(Instant::now(), &id));
    Ok(sign_in_view(&house, Errors::default(), next, was_signed_out.then(|| another_password(&house))))
}

fn another_password(house: &House) -> String {
    match &house.twin_name {
        Some(twin) => format!(
            "You were signed out because another password counts now: it was changed, or this one joined {twin} and took over \
             the password of {twin}. Sign in with that one."
        ),
        None => "You were signed out because the password was changed. Sign in with the new one.".into(),
    }
}

fn sign_in_view(house: &House, errors: Errors, next: &str, why: Option<String>) -> Response {
    shell::page(&SignIn { shell: Shell::outside(house, "Sign in"), errors, next: next.into(), why })
}

/// A page of this device: nobody is sent elsewhere by a link that was made for them.
fn own_page(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && !next.chars().any(char::is_control)
        && !gate::is_public(next.split(['?', '#']).next().unwrap_or(next));
    if is_own { next } else { "/" }
}

async fn sign_in(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(form): Form<Credentials>,
) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    let Some(stored) = password::stored(&house.settings).map(ToOwned::to_owned) else {
        return Ok(Redirect::to("/claim").into_response());
    };
    let next = own_page(&form.next);
    let wrong = match check(&site, peer, form.password, stored.clone()).await {
        Checked::Right => {
            // Whatever id this browser had is void.
            if let Some(old) = cookie::id(&headers, peer.is_tls) {
                site.door().sessions.close(&old);
            }
            return Ok(let_in(&site, peer, &stored, next, None));
        }
        Checked::Busy => return Ok(busy()),
        Checked::TooOften(left) => return Ok(too_often(left, |errors| sign_in_view(&house, errors, next, None))),
        Checked::Wrong => {
            let mut errors = Errors::default();
            errors.add("password", "That is not the password. If nobody knows it: `twinlease password reset` on the device.");
            errors
        }
    };
    Ok(shell::with(StatusCode::UNPROCESSABLE_ENTITY, sign_in_view(&house, wrong, next, None)))
}

enum Checked {
    Right,
    Wrong,
    TooOften(Duration),
    Busy,
}

async fn check(site: &Site, peer: Peer, password: String, stored: String) -> Checked {
    let door = site.door();
    let attempt = door.throttle.lock().unwrap_or_else(PoisonError::into_inner).attempt(Instant::now(), peer.address);
    if let Err(left) = attempt {
        return Checked::TooOften(left);
    }
    match door.hasher.run(move || password::is_right(&password, &stored)).await {
        Ok(true) => {
            door.throttle.lock().unwrap_or_else(PoisonError::into_inner).succeeded(peer.address);
            Checked::Right
        }
        Ok(false) => {
            tracing::warn!("somebody at {} tried a wrong password", peer.address);
            Checked::Wrong
        }
        Err(Busy) => Checked::Busy,
    }
}

fn too_often(left: Duration, view: impl FnOnce(Errors) -> Response) -> Response {
    let secs = left.as_secs() + 1;
    let mut errors = Errors::default();
    errors.add("password", format!("Too many wrong passwords. Try again in {}.", spell(secs)));
    let mut response = shell::with(StatusCode::TOO_MANY_REQUESTS, view(errors));
    response.headers_mut().insert(header::RETRY_AFTER, secs.into());
    response
}

async fn sign_out(State(site): State<Site>, Extension(peer): Extension<Peer>, _visitor: Visitor, headers: HeaderMap) -> Response {
    if let Some(id) = cookie::id(&headers, peer.is_tls) {
        site.door().sessions.close(&id);
    }
    ([(cookie::SET, cookie::forget(peer.is_tls))], Redirect::to("/sign-in")).into_response()
}

#[derive(Template)]
#[template(path = "settings_password.html")]
struct PasswordPage {
    shell: Shell,
    errors: Errors,
    twin: Option<String>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    current: String,
    #[serde(flatten)]
    new: NewPassword,
}

async fn password_page(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(password_view(&house, &visitor, Errors::default()))
}

fn password_view(house: &House, visitor: &Visitor, errors: Errors) -> Response {
    let shell = Shell::new(house, visitor, Section::Settings, "Password");
    shell::page(&PasswordPage { shell, errors, twin: house.twin_name.clone() })
}

async fn change(
    State(site): State<Site>,
    Extension(peer): Extension<Peer>,
    visitor: Visitor,
    Form(form): Form<Change>,
) -> Result<Response, Stopped> {
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    let Some(stored) = password::stored(&house.settings).map(ToOwned::to_owned) else {
        return Ok(Redirect::to("/claim").into_response());
    };
    let mut errors = Errors::default();
    match check(&site, peer, form.current, stored).await {
        Checked::Right => {}
        Checked::Busy => return Ok(busy()),
        Checked::TooOften(left) => {
            return Ok(too_often(left, |mut errors| {
                let why = errors.of("password").to_owned();
                errors = Errors::default();
                errors.add("current", why);
                password_view(&house, &visitor, errors)
            }));
        }
        Checked::Wrong => errors.add("current", "That is not the password as it is now."),
    }
    if errors.is_empty() {
        errors = objections(&form.new);
    }
    if !errors.is_empty() {
        return Ok(shell::with(StatusCode::UNPROCESSABLE_ENTITY, password_view(&house, &visitor, errors)));
    }
    let mut notice = Notice::new("The password is changed. Everybody else is signed out.");
    notice.text.push_str(&word_of_the_twin(&house));
    store(&site, &house, peer, Some(visitor), form.new.password, "/settings", notice).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_sign_in_nobody_is_sent_elsewhere() {
        for own in ["/", "/devices?q=x", "/settings/network#pools"] {
            assert_eq!(own_page(own), own);
        }
        for foreign in
            ["", "https://example.net/", "//example.net", "/\\example.net", "javascript:x", "/sign-in?next=/", "/a\r\nb"]
        {
            assert_eq!(own_page(foreign), "/", "{foreign}");
        }
    }
}
