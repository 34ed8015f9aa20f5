//! The document against what is served, and what those who write programs rely on.

use std::{path::PathBuf, sync::atomic::AtomicU32};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{document, routes, translate};
use crate::{
    protocol::{
        lease::{Binding, BindingState, ClientId, HwAddr, Version},
        time::{Epoch, Time},
    },
    runtime::stand_in,
    settings::{Settings, access::Scope, alerts::Webhook, parse},
    web::{Site, visitor::Visitor},
};

/// A server with the settings of the example and one lease.
struct House {
    folder: PathBuf,
    router: Router,
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn home() -> Settings {
    let mut settings = parse::parse(include_str!("../../../examples/home.toml")).expect("the example is good");
    // Port 9 of this machine: nobody is there.
    settings.alerts.webhook = Some(Webhook { url: "http://127.0.0.1:9/secret".into() });
    settings
}

impl House {
    fn open(scope: Scope) -> House {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("twinlease-api-{}-{nth}", std::process::id()));
        let hw = HwAddr::ethernet([2, 0, 0, 0, 0, 7]);
        let lease = Binding {
            address: [192, 168, 1, 107].into(),
            client: ClientId::Hardware(hw),
            hw,
            state: BindingState::Leased,
            since: Time(0),
            expiry: Time::NEVER,
            epoch: Epoch(1),
            generation: 1,
            version: Version::default(),
            host_name: Some("<b>tv</b>".into()),
        };
        let (handle, archive) = stand_in::serve(&folder, &home(), vec![lease]);
        std::fs::create_dir_all(folder.join("snapshots")).expect("a folder for the test");
        std::fs::write(folder.join("snapshots/2026-01-01.db"), b"SQLite").expect("a file for the test");
        let site = Site::new(folder.clone(), handle, None, archive, Vec::new());
        let router = routes().with_state(site).layer(Extension(Visitor::new("terraform", scope)));
        House { folder, router }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answered {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = self.router.clone().oneshot(request.body(body).expect("a request")).await.expect("an answer");
        let of = |name| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default();
        let (status, kind, etag) = (answer.status(), of(header::CONTENT_TYPE), of(header::ETAG));
        let bytes = to_bytes(answer.into_body(), 1 << 24).await.expect("a whole body");
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answered { status, kind, etag, json, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    async fn get(&self, path: &str) -> Answered {
        self.ask("GET", path, &[], None).await
    }
}

#[derive(Debug)]
struct Answered {
    status: StatusCode,
    kind: String,
    etag: String,
    json: Value,
    text: String,
}

/// What of JSON Schema the document uses; a key that the schema does not name is wrong, too.
fn mismatch(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} is missing"));
        return mismatch(document, found, value, at);
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(options) = schema[several].as_array() {
            let fits = options.iter().any(|option| mismatch(document, option, value, at).is_none());
            return (!fits).then(|| format!("{at}: {value} is none of {several}"));
        }
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let fits = allowed.contains(&kind) || (kind == "integer" && allowed.contains(&"number"));
    if !fits {
        return Some(format!("{at}: {value} is no {allowed:?}"));
    }
    if let Value::Array(values) = value {
        return values
            .iter()
            .enumerate()
            .find_map(|(nth, value)| mismatch(document, &schema["items"], value, &format!("{at}/{nth}")));
    }
    let Value::Object(object) = value else { return None };
    let missing =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).find(|key| !object.contains_key(*key));
    if let Some(missing) = missing {
        return Some(format!("{at}: `{missing}` is missing"));
    }
    object.iter().find_map(|(key, value)| {
        let at = format!("{at}/{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(schema), _) => mismatch(document, schema, value, &at),
            (None, Value::Object(_)) => mismatch(document, &schema["additionalProperties"], value, &at),
            (None, _) if schema["properties"].is_object() => Some(format!("{at} is not in the document")),
            (None, _) => None,
        }
    })
}

/// A request for each operation of the document, and whether it is refused here, where there is no twin.
fn samples() -> Vec<(&'static str, &'static str, &'static str, Option<Value>, bool)> {
    let settings = translate::settings_json(&home());
    let subnet = translate::subnet_json(&home().subnets[0]);
    let kept =
        |address: &str, mac: &str| json!({ "address": address, "mac": mac, "name": "new", "options": { "dns": "192.168.1.9" } });
    vec![
        ("get", "/api/v1/status", "", None, true),
        ("get", "/api/v1/why", "?what=tv", None, true),
        ("get", "/api/v1/what-if", "?mac=02-00-00-00-00-99&network=192.168.1.0/24", None, true),
        ("get", "/api/v1/twin/drill", "", None, true),
        ("post", "/api/v1/twin/drill", "", Some(json!({ "secs": 30 })), false),
        ("delete", "/api/v1/twin/drill", "", None, false),
        ("get", "/api/v1/leases", "?limit=10", None, true),
        ("get", "/api/v1/leases/{address}", "/api/v1/leases/192.168.1.107", None, true),
        ("post", "/api/v1/leases/{address}/free", "/api/v1/leases/192.168.1.107/free", None, true),
        ("get", "/api/v1/reservations", "?limit=2", None, true),
        ("post", "/api/v1/reservations", "", Some(kept("192.168.1.61", "02:00:00:00:00:61")), true),
        ("get", "/api/v1/reservations/{address}", "/api/v1/reservations/192.168.1.31", None, true),
        (
            "put",
            "/api/v1/reservations/{address}",
            "/api/v1/reservations/192.168.1.31",
            Some(kept("192.168.1.31", "02:00:00:00:00:31")),
            true,
        ),
        ("delete", "/api/v1/reservations/{address}", "/api/v1/reservations/192.168.1.40", None, true),
        ("get", "/api/v1/subnets", "", None, true),
        ("post", "/api/v1/subnets", "", Some(json!({ "network": "10.7.0.0/24", "pools": ["10.7.0.10-10.7.0.20"] })), true),
        ("get", "/api/v1/subnets/{network}", "/api/v1/subnets/192.168.1.0-24", None, true),
        ("put", "/api/v1/subnets/{network}", "/api/v1/subnets/192.168.1.0%2F24", Some(subnet), true),
        ("delete", "/api/v1/subnets/{network}", "/api/v1/subnets/192.168.50.0-24", None, true),
        ("get", "/api/v1/settings", "", None, true),
        ("put", "/api/v1/settings", "", Some(settings.clone()), true),
        ("post", "/api/v1/settings/check", "", Some(settings), true),
        ("get", "/api/v1/settings/{section}", "/api/v1/settings/alerts", None, true),
        ("put", "/api/v1/settings/{section}", "/api/v1/settings/lease", Some(json!({ "default": "6h" })), true),
        ("get", "/api/v1/changes", "?limit=5", None, true),
        ("post", "/api/v1/changes/{id}/revert", "/api/v1/changes/1/revert", None, true),
        ("get", "/api/v1/twin", "", None, true),
        ("post", "/api/v1/twin/do/{what}", "/api/v1/twin/do/switch", None, false),
        ("post", "/api/v1/twin/code", "", None, false),
        ("post", "/api/v1/twin/pair", "", Some(json!({ "code": "123456" })), false),
        ("get", "/api/v1/twin/conflicts", "", None, true),
        ("post", "/api/v1/twin/conflicts", "", Some(json!({ "key": "lease", "keep": "waiting" })), false),
        ("get", "/api/v1/backups", "", None, true),
        ("get", "/api/v1/backups/{name}", "/api/v1/backups/2026-01-01.db", None, true),
        ("get", "/api/v1/update", "", None, true),
        ("put", "/api/v1/update/file", "", None, false),
        ("post", "/api/v1/update", "", Some(json!({ "sha256": "00", "anyway": false })), false),
        ("delete", "/api/v1/update", "", None, false),
        ("get", "/api/v1/alerts", "", None, true),
        ("post", "/api/v1/alerts/test/{channel}", "/api/v1/alerts/test/webhook", None, true),
        ("get", "/api/v1/rivals", "", None, true),
        ("post", "/api/v1/rivals", "", None, true),
        ("get", "/api/v1/tokens", "", None, true),
    ]
}

#[tokio::test]
async fn every_operation_of_the_document_is_served_and_answers_in_its_shape() {
    let document = serde_json::to_value(document()).expect("plain data");
    let mut written: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let methods = methods.as_object().expect("methods").keys().filter(|key| *key != "parameters");
        written.extend(methods.map(|method| (method.clone(), path.clone())));
    }
    let mut asked: Vec<(String, String)> = samples().iter().map(|sample| (sample.0.to_owned(), sample.1.to_owned())).collect();
    asked.sort();
    written.sort();
    assert_eq!(asked, written);
    for (method, template, path, body, is_done) in samples() {
        // A house of its own for each: one change may stand in the way of the next.
        let house = House::open(Scope::Write);
        if template.contains("{id}") {
            let done = house.ask("PUT", "/api/v1/settings/lease", &[], Some(&json!({ "default": "7h" }))).await;
            assert_eq!(done.json["change"], 1, "{done:?}");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{template}{path}") };
        let answer = house.ask(&method.to_uppercase(), &path, &[], body.as_ref()).await;
        assert_eq!(answer.status.is_success(), is_done, "{method} {path}: {answer:?}");
        let responses = &document["paths"][template][method]["responses"];
        let class = format!("{}XX", answer.status.as_u16() / 100);
        let response = responses.get(answer.status.as_str()).or_else(|| responses.get(&class));
        let response = response.unwrap_or_else(|| panic!("{method} {template}: {} is not in the document", answer.status));
        let kind = answer.kind.split(';').next().expect("the first part").to_owned();
        let schema = &response["content"][&kind]["schema"];
        assert!(schema.is_object(), "{method} {template}: `{kind}` is not in the document: {response}");
        if kind.ends_with("json") {
            assert_eq!(mismatch(&document, schema, &answer.json, ""), None, "{method} {template}");
        }
    }
}

#[test]
fn every_route_stands_in_the_document() {
    let document = serde_json::to_value(document()).expect("plain data");
    let sources = [
        include_str!("alerts.rs"),
        include_str!("backups.rs"),
        include_str!("changes.rs"),
        include_str!("leases.rs"),
        include_str!("records.rs"),
        include_str!("settings.rs"),
        include_str!("status.rs"),
        include_str!("twin.rs"),
        include_str!("update.rs"),
    ];
    let routes = sources.iter().flat_map(|source| source.split(".route(\"").skip(1)).filter_map(|rest| rest.split('"').next());
    let mut count = 0;
    for route in routes {
        count += 1;
        assert!(document["paths"].get(route).is_some(), "{route}");
    }
    assert_eq!(count, document["paths"].as_object().expect("paths").len());
}

#[tokio::test]
async fn whoever_was_slower_is_told_both_versions_and_loses_nothing() {
    let house = House::open(Scope::Write);
    let path = "/api/v1/reservations/192.168.1.31";
    let read = house.get(path).await;
    assert!(!read.etag.is_empty());
    let with_name = |name: &str| {
        let mut changed = read.json.clone();
        changed["name"] = name.into();
        changed
    };
    let tag = [("If-Match", read.etag.as_str())];
    let first = house.ask("PUT", path, &tag, Some(&with_name("first"))).await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    let second = house.ask("PUT", path, &tag, Some(&with_name("second"))).await;
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(second.kind, "application/problem+json");
    assert_eq!((&second.json["current"]["name"], &second.json["yours"]["name"]), (&json!("first"), &json!("second")));
    let removed = house.ask("DELETE", path, &tag, None).await;
    assert_eq!(removed.status, StatusCode::PRECONDITION_FAILED);
    let now = house.get(path).await;
    assert_eq!(now.json["name"], "first");
    let cached = house.ask("GET", path, &[("If-None-Match", &now.etag)], None).await;
    assert_eq!((cached.status, cached.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
}

#[tokio::test]
async fn a_change_stands_under_the_name_of_its_token_and_can_be_taken_back() {
    let house = House::open(Scope::Write);
    let body = json!({ "address": "192.168.1.61", "mac": "02:00:00:00:00:61" });
    let made = house.ask("POST", "/api/v1/reservations", &[], Some(&body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let changes = house.get("/api/v1/changes").await;
    assert_eq!(changes.json[0]["by"], "terraform", "{changes:?}");
    let id = changes.json[0]["id"].as_u64().expect("a number");
    let back = house.ask("POST", &format!("/api/v1/changes/{id}/revert"), &[], None).await;
    assert_eq!(back.status, StatusCode::OK, "{back:?}");
    assert_eq!(house.get("/api/v1/reservations/192.168.1.61").await.status, StatusCode::NOT_FOUND);
    let again = house.ask("POST", &format!("/api/v1/changes/{id}/revert"), &[], None).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_kept_address_goes_to_another_device_in_one_step() {
    let house = House::open(Scope::Write);
    let path = "/api/v1/reservations/192.168.1.31";
    let body = json!({ "address": "192.168.1.31", "mac": "02:00:00:00:00:99", "name": "printer" });
    let done = house.ask("PUT", path, &[], Some(&body)).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert_eq!(house.get(path).await.json["mac"], "02:00:00:00:00:99");
    assert_eq!(house.get("/api/v1/reservations").await.json["total"], 3, "the old one is gone");
    let taken = json!({ "address": "192.168.1.120", "mac": "02:00:00:00:00:99" });
    let refused = house.ask("PUT", path, &[], Some(&taken)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.json["detail"].as_str().is_some_and(|detail| detail.contains("192.168.1.120 is already kept")),
        "{refused:?}"
    );
    assert_eq!(house.get(path).await.json["mac"], "02:00:00:00:00:99", "together or not at all");
}

#[tokio::test]
async fn no_secret_leaves_and_a_hidden_one_stays() {
    let house = House::open(Scope::Write);
    for path in ["/api/v1/settings", "/api/v1/settings/alerts", "/api/v1/status", "/api/v1/alerts", "/api/v1/changes"] {
        assert!(!house.get(path).await.text.contains("secret"), "{path}");
    }
    let toml = house.ask("GET", "/api/v1/settings", &[("Accept", "application/toml")], None).await;
    assert!(toml.text.contains("[server]") && !toml.text.contains("secret"));
    let mut alerts = house.get("/api/v1/settings/alerts").await.json;
    alerts["pool-percent"] = json!(70);
    let done = house.ask("PUT", "/api/v1/settings/alerts", &[], Some(&alerts)).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    // It is still the one at port 9, where nobody is: without the secret there would be no address to call.
    let test = house.ask("POST", "/api/v1/alerts/test/webhook", &[], None).await;
    assert!(test.text.contains("127.0.0.1") && !test.text.contains("secret"), "{test:?}");
    let whole = house.get("/api/v1/settings").await.json;
    let back = house.ask("PUT", "/api/v1/settings", &[], Some(&whole)).await;
    assert_eq!(back.status, StatusCode::OK, "{back:?}");
    assert_eq!(house.get("/api/v1/settings/alerts").await.json["pool-percent"], 70);
}

#[tokio::test]
async fn who_may_only_read_is_given_no_backup() {
    let house = House::open(Scope::Read);
    assert_eq!(house.get("/api/v1/backups/2026-01-01.db").await.status, StatusCode::FORBIDDEN);
    let house = House::open(Scope::Write);
    assert_eq!(house.get("/api/v1/backups/2026-01-01.db").await.text, "SQLite");
    for path in ["..%2F..%2Ftwinlease.db", "%2Fetc%2Fpasswd", "twin-..%2F2026-01-01.db", "%00"] {
        assert_eq!(house.get(&format!("/api/v1/backups/{path}")).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_or_is_not_there_is_a_problem_with_a_sentence() {
    let house = House::open(Scope::Write);
    for (method, path, body, status) in [
        ("GET", "/api/v1/nothing", "", 404),
        ("GET", "/api/v1/leases/1.2.3", "", 404),
        ("GET", "/api/v1/leases/10.0.0.1", "", 404),
        ("GET", "/api/v1/leases?limit=-1", "", 400),
        ("GET", "/api/v1/why", "", 400),
        ("GET", "/api/v1/subnets/x", "", 404),
        ("GET", "/api/v1/settings/access", "", 404),
        ("PATCH", "/api/v1/reservations", "", 405),
        ("POST", "/api/v1/reservations", "{", 400),
        ("POST", "/api/v1/reservations", "[]", 422),
        ("PUT", "/api/v1/settings", "null", 422),
        ("POST", "/api/v1/twin/pair", "{\"code\": 5}", 422),
        ("POST", "/api/v1/changes/99999999999999999999/revert", "", 404),
        ("POST", "/api/v1/alerts/test/pigeon", "", 404),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).expect("a request");
        let answer = house.router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json", "{method} {path}");
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.expect("a whole body");
        let problem: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
    }
}

#[tokio::test]
async fn the_page_for_people_lists_every_operation() {
    let house = House::open(Scope::Read);
    let page = house.get("/api").await;
    assert_eq!(page.status, StatusCode::OK);
    for (method, path, ..) in samples() {
        assert!(page.text.contains(&format!("{} {path}", method.to_uppercase())), "{method} {path}");
    }
}
