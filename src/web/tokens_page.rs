//! `/settings/tokens`: what programs show instead of a password. Shown once, stored as a hash, taken back with a button.

use std::time::{SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::{
    Form, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    House, Site,
    access::token::new_secret,
    api::changes::rfc_3339,
    form::Errors,
    notice::{Notice, see},
    shell::{self, Section, Shell},
    visitor::{DASHBOARD, Visitor},
};
use crate::{
    protocol::Command,
    runtime::handle::{COMMAND_LINE, Stopped},
    settings::{
        Record,
        access::{Access, Scope, Token},
    },
};

pub fn routes() -> Router<Site> {
    Router::new().route("/settings/tokens", get(page).post(make)).route("/settings/tokens/revoke", post(revoke))
}

#[derive(Template)]
#[template(path = "settings_tokens.html")]
struct Page {
    shell: Shell,
    errors: Errors,
    /// The name of a new one.
    typed: String,
    scope: String,
    scopes: Vec<(&'static str, &'static str)>,
    /// Just made: its name and what is never shown again.
    made: Option<(String, String)>,
    tokens: Vec<Row>,
}

struct Row {
    name: String,
    scope: &'static str,
    created: String,
}

impl Page {
    fn new(house: &House, visitor: &Visitor, access: &Access) -> Page {
        let rows = access.tokens.iter().map(|token| Row {
            name: token.name.clone(),
            scope: match token.scope {
                Scope::Read => "look only",
                Scope::Write => "look and change",
            },
            created: rfc_3339(i64::try_from(token.created).unwrap_or(i64::MAX).saturating_mul(1000)),
        });
        Page {
            shell: Shell::new(house, visitor, Section::Settings, "Tokens"),
            errors: Errors::default(),
            typed: String::new(),
            scope: "read".into(),
            scopes: vec![("read", "look only"), ("write", "look and change")],
            made: None,
            tokens: rows.collect(),
        }
    }
}

async fn page(State(site): State<Site>, visitor: Visitor) -> Result<Response, Stopped> {
    let house = site.fresh_house().await?;
    Ok(shell::page(&Page::new(&house, &visitor, &house.settings.access)))
}

#[derive(Deserialize)]
struct NewToken {
    #[serde(default)]
    name: String,
    #[serde(default)]
    scope: String,
}

/// Answers with the page itself, not with a way to it: the secret goes to this browser once, and lies nowhere.
async fn make(State(site): State<Site>, visitor: Visitor, Form(form): Form<NewToken>) -> Result<Response, Stopped> {
    // One record holds the password as well: nobody may change it meanwhile.
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    let name = form.name.trim().to_owned();
    let refused = |field: &str, why: String| {
        let mut page = Page::new(&house, &visitor, &house.settings.access);
        (page.typed, page.scope) = (form.name.clone(), form.scope.clone());
        page.errors.add(field, why);
        shell::with(StatusCode::UNPROCESSABLE_ENTITY, shell::page(&page))
    };
    let scope = match form.scope.as_str() {
        "read" => Scope::Read,
        "write" => Scope::Write,
        _ => return Ok(refused("scope", "Choose what the token may do.".into())),
    };
    if [DASHBOARD, COMMAND_LINE].contains(&name.as_str()) {
        // Activity tells by the name who did it.
        return Ok(refused("name", format!("`{name}` is what Activity calls people. Choose the name of the program.")));
    }
    let (secret, hash) = new_secret();
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut access = house.settings.access.clone();
    access.tokens.push(Token { name: name.clone(), hash, scope, created });
    match site.submit(&visitor, Command::Put(Record::Access(access.clone()))).await? {
        Ok(_) => {
            let page = Page { made: Some((name, secret)), ..Page::new(&house, &visitor, &access) };
            Ok(([(header::CACHE_CONTROL, "no-store")], shell::page(&page)).into_response())
        }
        Err(why) => Ok(refused("name", why)),
    }
}

#[derive(Deserialize)]
struct Revoked {
    #[serde(default)]
    name: String,
}

async fn revoke(State(site): State<Site>, visitor: Visitor, Form(Revoked { name }): Form<Revoked>) -> Result<Response, Stopped> {
    let _alone = site.alone().await;
    let house = site.fresh_house().await?;
    let mut access = house.settings.access.clone();
    access.tokens.retain(|token| token.name != name);
    let told = if access == house.settings.access {
        format!("There is no token `{name}` any more.")
    } else {
        match site.submit(&visitor, Command::Put(Record::Access(access))).await? {
            Ok(_) => {
                format!("`{name}` is revoked: whoever shows it is refused from now on.")
            }
            Err(why) => why,
        }
    };
    Ok(see(&visitor, "/settings/tokens", Notice::new(told)))
}

#[cfg(test)]
mod tests {
    use crate::web::{guard::Guards, scratch::Scratch};

    #[tokio::test]
    async fn a_new_token_has_no_name_until_somebody_types_one_and_keeps_it_when_it_is_refused() {
        let mut browser = Scratch::claimed(Guards::ALL);
        browser.sign_in().await;
        let field = |html: &str| {
            let from = html.find("id=\"name\"").expect("a field");
            html[from..].split('>').next().unwrap_or_default().to_owned()
        };
        let page = browser.get("/settings/tokens").await.body;
        assert!(field(&page).contains("value=\"\""), "{}", field(&page));
        let refused = browser.post("/settings/tokens", "name=dashboard&scope=read").await;
        assert!(refused.status == 422 && field(&refused.body).contains("value=\"dashboard\""), "{}", refused.body);
    }
}
