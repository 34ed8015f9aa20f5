//! `/twins`: the two boxes, whether each could serve alone, and what an admin can say about the pair.

mod confirm;
mod reconcile;
mod view;

use std::{net::SocketAddr, time::Instant};

use askama::Template;
use axum::{
    Form, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    House, Site,
    live::{Fragment, Place},
    notice::{self, Notice},
    shell::{self, Section, Shell},
    visitor::Visitor,
};
use crate::{
    protocol::{Command, TwinCommand},
    runtime::{control::twin::part, handle::Stopped},
};
use view::TwinsView;

const PAGE: &str = "/twins";

pub fn routes() -> Router<Site> {
    Router::new()
        .route(PAGE, get(twins))
        .route("/twins/blink", post(blink))
        .route("/twins/blink/stop", post(found))
        .route("/twins/switch", post(switch))
        .route("/twins/code", post(show_code))
        .route("/twins/pair", post(pair))
        .route("/twins/replace", post(replace))
        .route("/twins/drill", post(start_drill))
        .route("/twins/drill/end", post(end_drill))
        .merge(confirm::routes())
        .merge(reconcile::routes())
}

#[derive(Template)]
#[template(path = "twins.html")]
struct Twins {
    shell: Shell,
    view: TwinsView,
    form: PairForm,
    /// Why the last form was refused.
    refusal: Option<String>,
}

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "twins_parts.html" as parts %}{% call parts::boxes(view) %}{% endcall %}"#)]
struct Boxes<'v> {
    view: &'v TwinsView,
}

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "twins_parts.html" as parts %}{% call parts::drill(view) %}{% endcall %}"#)]
struct DrillPart<'v> {
    view: &'v TwinsView,
}

#[derive(Template)]
#[template(ext = "html", source = r#"{% import "twins_parts.html" as parts %}{% call parts::parting(view) %}{% endcall %}"#)]
struct Parting<'v> {
    view: &'v TwinsView,
}

async fn twins(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.house().await?;
    Ok(whole(&site, &house, &visitor, PairForm::default(), None))
}

fn whole(site: &Site, house: &House, visitor: &Visitor, form: PairForm, refusal: Option<String>) -> Response {
    let shell = Shell::new(house, visitor, Section::Twins, "Twins").live("twins");
    shell::page(&Twins { shell, view: TwinsView::new(site, house), form, refusal })
}

/// What is live of it.
pub fn parts(site: &Site, house: &House, _: &Place) -> Vec<Fragment> {
    let view = TwinsView::new(site, house);
    let boxes = Fragment::new("boxes", &Boxes { view: &view });
    let drill = Fragment::new("drill", &DrillPart { view: &view });
    let parting = Fragment::new("parting", &Parting { view: &view });
    [boxes, drill, parting].into_iter().flatten().collect()
}

/// On with a notice; or the page with the reason why not.
async fn done(site: &Site, visitor: &Visitor, outcome: Result<String, String>) -> Result<Response, Stopped> {
    refusable(site, visitor, PairForm::default(), outcome).await
}

async fn refusable(site: &Site, visitor: &Visitor, form: PairForm, outcome: Result<String, String>) -> Result<Response, Stopped> {
    match outcome {
        Ok(words) => Ok(notice::see(visitor, PAGE, Notice::new(words))),
        Err(refusal) => {
            let house = site.fresh_house().await?;
            let page = whole(site, &house, visitor, form, Some(refusal));
            Ok(shell::with(StatusCode::UNPROCESSABLE_ENTITY, page))
        }
    }
}

/// A command about the pair, and what is said when it is done.
async fn say(site: &Site, visitor: &Visitor, command: TwinCommand, words: impl Into<String>) -> Result<Response, Stopped> {
    let outcome = site.submit(visitor, Command::Twin(command)).await?;
    done(site, visitor, outcome.map(|_| words.into())).await
}

async fn blink(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    site.handle().locator().blink(Instant::now());
    done(&site, &visitor, Ok("This one blinks for a minute: long, short, long.".into())).await
}

async fn found(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    site.handle().locator().stop();
    done(&site, &visitor, Ok("This one shows how it is again.".into())).await
}

async fn switch(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    say(&site, &visitor, TwinCommand::Switch, "The roles are switched.").await
}

async fn show_code(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let outcome = match part::link(site.link()) {
        Ok(link) => link.show_code().await,
        Err(refusal) => Err(refusal),
    };
    done(&site, &visitor, outcome.map(|code| format!("The code is {}. Enter it on the other one.", code.digits))).await
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PairForm {
    code: String,
    /// Where the other one is; empty: the only one that is found.
    address: String,
}

async fn pair(State(site): State<Site>, visitor: Visitor, Form(form): Form<PairForm>) -> Result<Response, Stopped> {
    let code: String = form.code.chars().filter(|letter| !letter.is_whitespace()).collect();
    let outcome = match (part::link(site.link()), address(&form.address)) {
        (Err(refusal), _) | (_, Err(refusal)) => Err(refusal),
        (Ok(_), Ok(_)) if code.is_empty() => Err("The code is missing. The other one shows it: six digits.".into()),
        (Ok(link), Ok(address)) => link.enter_code(code, address).await,
    };
    refusable(&site, &visitor, form, outcome.map(|()| "The two are twins now.".into())).await
}

fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let with_port = text.parse::<SocketAddr>().or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, view::LINK_PORT)));
    with_port.map(Some).map_err(|_| format!("`{text}` is no address. Write it like 192.168.1.3, or leave it empty."))
}

async fn replace(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let outcome = part::replace(site.handle(), site.link(), &visitor.author).await?;
    site.fresh_house().await?;
    let words = |digits: String| format!("The old twin is one no more. The code for the new one is {digits}: enter it there.");
    done(&site, &visitor, outcome.map(|code| words(code.digits))).await
}

#[derive(Deserialize)]
#[serde(default)]
struct DrillForm {
    secs: u32,
}

impl Default for DrillForm {
    fn default() -> DrillForm {
        DrillForm { secs: 120 }
    }
}

async fn start_drill(State(site): State<Site>, visitor: Visitor, Form(form): Form<DrillForm>) -> Result<Response, Stopped> {
    let secs = form.secs;
    say(&site, &visitor, TwinCommand::Drill { secs }, "The drill has begun. It ends by itself, also when this page is closed.")
        .await
}

async fn end_drill(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    say(&site, &visitor, TwinCommand::EndDrill, "The drill is ended. This one looks for its twin again.").await
}

/// A page that asks once more, of `confirm` and `reconcile`.
fn answer(template: &impl Template) -> Response {
    shell::page(template).into_response()
}
