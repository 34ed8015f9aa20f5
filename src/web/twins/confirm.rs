//! What cannot simply be taken back is asked for once more, on a page that says what it rests on.

use askama::Template;
use axum::{Router, extract::State, response::Response, routing::get};

use super::{answer, done, say};
use crate::{
    protocol::TwinCommand,
    runtime::{control::twin::part, handle::Stopped},
    web::{
        House, Site,
        shell::{Section, Shell},
        visitor::Visitor,
    },
};

pub fn routes() -> Router<Site> {
    Router::new()
        .route("/twins/shut-down", get(ask_shut_down).post(shut_down))
        .route("/twins/declare-down", get(ask_declare_down).post(declare_down))
        .route("/twins/unpair", get(ask_unpair).post(unpair))
        .route("/twins/serve", get(ask_serve).post(serve))
}

#[derive(Template)]
#[template(path = "twins_confirm.html")]
struct Confirm {
    shell: Shell,
    /// Where the form goes to.
    to: &'static str,
    /// What happens, and what it rests on.
    words: Vec<String>,
    button: &'static str,
}

async fn ask(
    site: &Site,
    visitor: &Visitor,
    title: &str,
    to: &'static str,
    button: &'static str,
    words: impl FnOnce(&House, &str) -> Vec<String>,
) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let twin = house.twin_name.clone().unwrap_or_else(|| "the twin".into());
    let shell = Shell::new(&house, visitor, Section::Twins, title);
    Ok(answer(&Confirm { shell, to, words: words(&house, &twin), button }))
}

async fn ask_shut_down(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    ask(&site, &visitor, "Shut this one down?", "/twins/shut-down", "Shut down", |house, twin| {
        vec![
            format!(
                "{} says goodbye to {twin}, which goes on alone, and answers nobody from then on. Then you can unplug it.",
                house.host
            ),
            "When it starts again it waits until it has heard its twin: so start it where it can reach the other one.".into(),
        ]
    })
    .await
}

async fn shut_down(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    say(&site, &visitor, TwinCommand::ShutDown, "This one has said goodbye. You can unplug it.").await
}

async fn ask_declare_down(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    ask(&site, &visitor, "Declare the twin down?", "/twins/declare-down", "It is off", |house, twin| {
        vec![
            format!("You say that {twin} is off. {} then may give all free addresses, after {}.", house.host, wait(house)),
            format!("Two things must be true, or two devices may get the same address: {twin} is really off, and when it starts again it can reach {}.", house.host),
            "If it only cannot be reached, do nothing: devices are answered in any case, from one half of the addresses.".into(),
        ]
    })
    .await
}

fn wait(house: &House) -> String {
    crate::protocol::explain::spell(house.settings.twin.mclt.as_secs())
}

async fn declare_down(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    say(&site, &visitor, TwinCommand::DeclareDown, "The twin counts as down.").await
}

async fn ask_unpair(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    ask(&site, &visitor, "Un-pair the twins?", "/twins/unpair", "Un-pair", |house, twin| {
        vec![
            format!("{} forgets {twin}, and counts it as down. It is one of two no more when all that {twin} can have promised has run out.", house.host),
            format!("Switch {twin} off first, or take it out of this network: two servers that know nothing of each other give the same address twice."),
        ]
    })
    .await
}

async fn unpair(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let outcome = part::unpair(site.handle(), site.link(), &visitor.author).await?;
    site.fresh_house().await?;
    done(&site, &visitor, outcome.map(|()| "The two are twins no more.".into())).await
}

async fn ask_serve(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    ask(&site, &visitor, "Go on without the twin?", "/twins/serve", "Go on without it", |house, twin| {
        vec![
            format!("{} waits for {twin}, because that one may know of leases that this one does not.", house.host),
            format!("Say so only if {twin} is off and stays off until {} has been started where both reach each other. It begins to answer when the waits are over that keep addresses from being given twice.", house.host),
        ]
    })
    .await
}

async fn serve(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    say(&site, &visitor, TwinCommand::Serve, "This one goes on without its twin, as soon as its waits are over.").await
}
