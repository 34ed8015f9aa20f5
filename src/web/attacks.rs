//! What others try against the dashboard: each attack fails with all guards, and works when its guard is left out, so that
//! no guard is there for nothing. (What needs a real connection is in `tests/web.rs`.)

use axum::http::{Method, StatusCode};

use super::{
    access::{gate, token},
    guard::{BODY_BYTES_MAX, Guards},
    live,
    scratch::{Scratch, cheap_hash},
};
use crate::{
    runtime::handle,
    settings::{
        Settings,
        access::{Scope, Token},
    },
};

/// Every route of every page, as it is written in the sources: a new one is asked without a word about it here.
fn all_paths() -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources").filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap_or_default();
            for rest in source.split(".route(").skip(1) {
                let start = rest.trim_start();
                if let Some(route) = start.strip_prefix("\"/").and_then(|rest| rest.split('"').next()) {
                    paths.push(format!("/{}", route.replace(['{', '}'], "")));
                }
            }
        }
    }
    paths.push(live::PATH.into());
    paths.sort();
    paths.dedup();
    paths
}

#[tokio::test]
async fn no_route_is_served_to_strangers_except_the_public_ones() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    let paths = all_paths();
    assert!(paths.len() > 10 && paths.contains(&"/".into()), "{paths:?}");
    for path in &paths {
        if gate::is_public(path) {
            continue;
        }
        let told = scratch.get(path).await;
        if path == live::PATH {
            assert_eq!(told.body, "event: bye\ndata:\n\n");
        } else if token::is_for_programs(path) {
            assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{path}");
        } else {
            assert_eq!(told.status, StatusCode::SEE_OTHER, "{path}");
            assert!(told.to().starts_with("/sign-in"), "{path}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            if path == live::PATH {
                continue;
            }
            let told = scratch.ask(method.clone(), path, &[("origin", "http://192.0.2.1")], "").await;
            assert_eq!(told.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
    // Only those that exist are told apart by nobody.
    assert_eq!(scratch.get("/no-such-page").await.status, StatusCode::SEE_OTHER);
    let mut open = Scratch::claimed(Guards { gate: false, ..Guards::ALL });
    assert_eq!(open.get("/no-such-page").await.status, StatusCode::NOT_FOUND, "without the gate it answers");
}

#[tokio::test]
async fn a_handler_that_wants_a_visitor_has_a_lock_of_its_own() {
    let mut open = Scratch::claimed(Guards { gate: false, ..Guards::ALL });
    assert_eq!(open.get("/settings/password").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn before_the_claim_there_is_nothing_but_the_claim() {
    let mut scratch = Scratch::new(Settings::default(), Guards::ALL);
    for path in all_paths() {
        if gate::is_public(&path) || token::is_for_programs(&path) || path == live::PATH {
            continue;
        }
        assert_eq!(scratch.get(&path).await.to(), "/claim", "{path}");
        let told = scratch.post(&path, "").await;
        assert_eq!(told.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(scratch.get("/sign-in").await.to(), "/claim");
    assert_eq!(scratch.post("/sign-in", "password=").await.to(), "/claim");
    let weak = scratch.post("/claim", "password=short&again=short").await;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(weak.body.contains("has 5 characters") && weak.body.contains("autofocus"), "{}", weak.body);
    let other = scratch.post("/claim", "password=correct+horse+battery&again=correct+horse").await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    let claimed = scratch.post("/claim", "password=correct+horse+battery&again=correct+horse+battery").await;
    assert_eq!((claimed.status, claimed.to()), (StatusCode::SEE_OTHER, "/welcome"));
    assert!(scratch.get("/devices").await.body.contains("The password is set"));
    assert!(!scratch.get("/devices").await.body.contains("The password is set"), "said once");
    let second = scratch.post("/claim", "password=another+good+one&again=another+good+one").await;
    assert_eq!(second.status, StatusCode::CONFLICT, "a second owner");
}

#[tokio::test]
async fn a_wiped_device_that_waits_for_its_twin_can_be_claimed_by_nobody() {
    let handle = handle::scratch::handle_of(Settings::default(), |node| node.set_waiting_for_twin());
    let mut scratch = Scratch::of(handle, Guards::ALL);
    let page = scratch.get("/claim").await;
    assert!(page.body.contains("may have a password already") && !page.body.contains("type=\"password\""), "{}", page.body);
    let told = scratch.post("/claim", "password=correct+horse+battery&again=correct+horse+battery").await;
    assert_eq!(told.status, StatusCode::CONFLICT);
    assert!(scratch.cookie.is_none());
}

#[tokio::test]
async fn who_knows_the_password_comes_in_and_goes_out() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    let wrong = scratch.post("/sign-in", "password=wrong").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(scratch.cookie.is_none() && wrong.body.contains("That is not the password"));
    let told = scratch.post("/sign-in", "password=correct+horse+battery&next=%2Fsettings%2Fpassword").await;
    assert_eq!(told.to(), "/settings/password");
    assert!(told.header("set-cookie").contains("HttpOnly; SameSite=Strict"));
    let page = scratch.get("/settings/password").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("cache-control"), "no-store");
    let cookie = scratch.cookie.clone();
    assert_eq!(scratch.post("/sign-out", "").await.to(), "/sign-in");
    scratch.cookie = cookie;
    assert!(scratch.get("/").await.to().starts_with("/sign-in"), "the id is void, not only forgotten");
}

#[tokio::test]
async fn a_session_id_that_somebody_planted_is_never_taken_over() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    scratch.cookie = Some("twinlease=planted".into());
    scratch.sign_in().await;
    let mine = scratch.cookie.clone().expect("signed in");
    assert_ne!(mine, "twinlease=planted");
    scratch.cookie = Some("twinlease=planted".into());
    assert!(scratch.get("/").await.to().starts_with("/sign-in"));
    // And a second sign-in ends the first session.
    scratch.cookie = Some(mine.clone());
    scratch.sign_in().await;
    assert_ne!(scratch.cookie, Some(mine.clone()));
    scratch.cookie = Some(mine);
    assert!(scratch.get("/").await.to().starts_with("/sign-in"));
}

#[tokio::test]
async fn another_password_signs_out_everybody_else() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    scratch.sign_in().await;
    let elsewhere = scratch.cookie.take();
    scratch.sign_in().await;
    let form = "current=correct+horse+battery&password=quite+another+one&again=quite+another+one";
    let wrong = scratch.post("/settings/password", &form.replace("horse", "house")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(scratch.post("/settings/password", form).await.to(), "/settings");
    assert!(scratch.get("/").await.body.contains("Everybody else is signed out"));
    scratch.cookie = elsewhere;
    assert!(scratch.get("/").await.to().starts_with("/sign-in"));
    assert_eq!(scratch.post("/sign-in", "password=correct+horse+battery").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(scratch.post("/sign-in", "password=quite+another+one").await.to(), "/");
}

#[tokio::test]
async fn guessing_is_slowed_down_for_the_one_who_guesses() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    let mut codes = Vec::new();
    for number in 0..5 {
        codes.push(scratch.post("/sign-in", &format!("password=guess{number}")).await.status.as_u16());
    }
    assert_eq!(codes, [422, 422, 422, 429, 429]);
    let told = scratch.sign_in().await;
    assert_eq!(told.status, StatusCode::TOO_MANY_REQUESTS, "also with the right one");
    assert!(told.header("retry-after").parse::<u64>().is_ok_and(|secs| (1..=3).contains(&secs)));
    scratch.peer.address = [192, 0, 2, 78].into();
    assert_eq!(scratch.sign_in().await.status, StatusCode::SEE_OTHER, "somebody else does not wait");
}

#[tokio::test]
async fn another_site_cannot_send_our_forms() {
    for guards in [Guards::ALL, Guards { csrf: false, ..Guards::ALL }] {
        let mut scratch = Scratch::claimed(guards);
        scratch.sign_in().await;
        let kept = scratch.cookie.clone();
        for foreign in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "http://192.0.2.1:8080")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://other.example")],
        ] {
            // A browser whose SameSite does not hold.
            scratch.cookie = kept.clone();
            let told = scratch.ask(Method::POST, "/sign-out", foreign, "").await;
            if guards.csrf {
                assert_eq!(told.status, StatusCode::FORBIDDEN, "{foreign:?}");
                assert!(told.body.contains("Another site has sent this"));
            }
        }
        scratch.cookie = kept;
        let still_in = scratch.get("/").await.status == StatusCode::OK;
        assert_eq!(still_in, guards.csrf, "without the guard the foreign form has signed out");
    }
}

#[tokio::test]
async fn a_foreign_name_that_points_here_opens_nothing() {
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    let mut scratch = Scratch::claimed(Guards::ALL);
    for path in ["/", "/sign-in", "/static/twinlease.js", "/healthz"] {
        let told = scratch.ask(Method::GET, path, &rebound, "").await;
        assert_eq!(told.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
        assert!(told.body.contains("evil.example"));
    }
    let told = scratch.ask(Method::POST, "/sign-in", &rebound, "password=guess").await;
    assert_eq!(told.status, StatusCode::MISDIRECTED_REQUEST);
    for host in ["", "a@192.0.2.1", "192.0.2.1, evil.example", "<script>"] {
        let told = scratch.ask(Method::GET, "/sign-in", &[("host", host)], "").await;
        assert!(told.status == StatusCode::BAD_REQUEST || told.status == StatusCode::MISDIRECTED_REQUEST, "{host}");
        assert!(!told.body.contains("<script>alert") && !told.body.contains("`<script>`"), "{}", told.body);
    }
    let mut open = Scratch::claimed(Guards { host: false, ..Guards::ALL });
    let told = open.ask(Method::POST, "/sign-in", &rebound, "password=guess").await;
    assert_eq!(told.status, StatusCode::UNPROCESSABLE_ENTITY, "without the guard a foreign page may guess passwords");
}

#[tokio::test]
async fn no_page_can_be_put_into_a_frame_nor_run_what_is_not_ours() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    for path in ["/sign-in", "/", "/static/twinlease.css", "/healthz", "/no-such-page"] {
        let told = scratch.get(path).await;
        let policy = told.header("content-security-policy");
        for part in
            ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "script-src 'self';"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(told.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(told.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(told.header("referrer-policy"), "same-origin", "{path}");
        assert!(told.header("strict-transport-security").is_empty());
    }
    let mut open = Scratch::claimed(Guards { headers: false, ..Guards::ALL });
    assert!(open.get("/sign-in").await.header("content-security-policy").is_empty(), "without the guard it can");
}

#[tokio::test]
async fn pages_have_no_script_and_no_style_of_their_own() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    let mut pages = vec![scratch.get("/sign-in").await.body];
    scratch.sign_in().await;
    for path in all_paths() {
        let told = scratch.get(&path).await;
        if told.header("content-type").starts_with("text/html") {
            pages.push(told.body);
        }
    }
    assert!(pages.len() > 2);
    for page in pages {
        let lower = page.to_lowercase();
        for inline in [" style=", "<style", " onclick=", " onsubmit=", " onchange=", "javascript:", "<script>"] {
            assert!(!lower.contains(inline), "{inline} in {page}");
        }
        assert!(!lower.contains("http://") && !lower.contains("https://") || !lower.contains(" src=\"http"), "{page}");
    }
}

#[tokio::test]
async fn a_path_leads_to_no_file() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    for path in [
        "/static/../Cargo.toml",
        "/static/..%2f..%2fetc/passwd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/....//etc/passwd",
        "/static//etc/passwd",
        "/static/twinlease.css%00.html",
        "/static/\\..\\x",
    ] {
        let told = scratch.get(path).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!told.body.contains("root:") && !told.body.contains("[package]"));
    }
    assert_eq!(scratch.get("/static/twinlease.css").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_makes_no_sense_is_told_so() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    let large = format!("password={}", "x".repeat(BODY_BYTES_MAX));
    let told = scratch.post("/sign-in", &large).await;
    assert_eq!(told.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(told.body.contains("larger than 256 kB"), "{}", told.body);
    let mut open = Scratch::claimed(Guards { body: false, ..Guards::ALL });
    assert_eq!(open.post("/sign-in", &large).await.status, StatusCode::UNPROCESSABLE_ENTITY, "without the guard it is read");
    let json = scratch
        .ask(Method::POST, "/sign-in", &[("content-type", "application/json"), ("origin", "http://192.0.2.1")], "{}")
        .await;
    assert_eq!(json.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let twice = scratch.post("/sign-in", "password=a&password=b").await;
    assert_eq!(twice.status, StatusCode::UNPROCESSABLE_ENTITY);
    let broken = scratch.post("/sign-in", "password=%ff%fe%00&next=%").await;
    assert!(broken.status.is_client_error());
}

#[tokio::test]
async fn a_page_that_panics_says_so_and_the_others_go_on() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    scratch.sign_in().await;
    let told = scratch.get("/defect").await;
    assert_eq!(told.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(told.body.contains("This page has a defect") && told.body.contains("<nav"), "{}", told.body);
    assert_eq!(scratch.get("/").await.status, StatusCode::OK);
    let mut open = Scratch::claimed(Guards { panics: false, ..Guards::ALL });
    open.sign_in().await;
    let panic = tokio::spawn(async move { open.get("/defect").await.status }).await;
    assert!(panic.is_err(), "without the guard the connection breaks");
}

#[tokio::test]
async fn errors_stand_in_the_shell_and_escape_what_they_tell() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    scratch.sign_in().await;
    let missing = scratch.get("/%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(
        missing.body.contains("There is no such page")
            && missing.body.contains("<nav")
            && !missing.body.contains("<script>alert")
    );
    let method = scratch.post("/static/twinlease.css", "").await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(method.header("allow").contains("GET") && method.body.contains("read but not sent to"));
    let plain = scratch.ask(Method::GET, "/no-such-page", &[("accept", "*/*")], "").await;
    assert!(plain.header("content-type").starts_with("text/plain"), "for those who do not read pages");
}

#[tokio::test]
async fn only_what_is_the_same_for_everybody_is_compressed() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    let zipped = [("accept-encoding", "gzip")];
    assert_eq!(scratch.ask(Method::GET, "/static/icons.svg", &zipped, "").await.header("content-encoding"), "gzip");
    scratch.sign_in().await;
    assert_eq!(scratch.ask(Method::GET, "/settings/password", &zipped, "").await.header("content-encoding"), "");
}

#[tokio::test]
async fn https_and_http_know_nothing_of_each_others_sessions() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    scratch.peer.is_tls = true;
    let told = scratch.ask(Method::POST, "/sign-in", &[("origin", "https://192.0.2.1")], "password=correct+horse+battery").await;
    assert!(told.header("set-cookie").starts_with("__Host-twinlease=") && told.header("set-cookie").contains("Secure"));
    assert_eq!(scratch.get("/").await.status, StatusCode::OK);
    scratch.peer.is_tls = false;
    assert!(scratch.get("/").await.to().starts_with("/sign-in"));
}

#[tokio::test]
async fn a_token_opens_metrics_and_no_page() {
    let (secret, hash) = token::new_secret();
    let mut settings = Settings::default();
    settings.access.password = Some(cheap_hash());
    settings.access.tokens.push(Token { name: "graphs".into(), hash, scope: Scope::Read, created: 0 });
    let mut scratch = Scratch::new(settings, Guards::ALL);
    let bearer = format!("Bearer {secret}");
    let shown = [("authorization", bearer.as_str())];
    assert_eq!(scratch.ask(Method::GET, "/metrics", &shown, "").await.status, StatusCode::OK);
    assert_eq!(scratch.ask(Method::GET, "/settings/password", &shown, "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(scratch.ask(Method::POST, "/api/v1/x", &shown, "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(scratch.get("/metrics").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn streams_are_bounded() {
    let mut scratch = Scratch::claimed(Guards::ALL);
    scratch.sign_in().await;
    let told = scratch.get(live::PATH).await;
    assert_eq!((told.status, told.header("content-type")), (StatusCode::OK, "text/event-stream"));
    let site = scratch.site.clone();
    let seats = site.streams().take_all();
    let told = scratch.get(live::PATH).await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(seats);
    assert_eq!(scratch.get(live::PATH).await.status, StatusCode::OK);
}
