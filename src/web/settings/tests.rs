//! Forms as a browser sends them, with everything wrong, overtaken, or in need of a question first.

use crate::{
    settings::{Settings, parse::parse},
    web::{
        guard::Guards,
        scratch::{Scratch, cheap_hash},
    },
};

fn settings() -> Settings {
    let text = "[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.100-192.0.2.199\"]\n\
        [[reservation]]\nmac = \"a4:cf:12:9b:00:1e\"\naddress = \"192.0.2.31\"\nname = \"printer\"\n";
    let mut settings = parse(text).unwrap();
    settings.access.password = Some(cheap_hash());
    settings
}

async fn signed_in() -> Scratch {
    let mut scratch = Scratch::new(settings(), Guards::ALL);
    scratch.sign_in().await;
    scratch
}

fn revision(body: &str) -> &str {
    body.split("name=\"revision\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a revision")
}

#[tokio::test]
async fn every_page_is_shown() {
    let mut scratch = signed_in().await;
    for path in [
        "/map",
        "/map?as=list",
        "/map?near=192.0.2.7",
        "/settings",
        "/settings/network",
        "/settings/network/new",
        "/settings/network/192.0.2.0-24",
        "/settings/options",
        "/settings/options?of=192.0.2.0-24",
        "/settings/options?of=192.0.2.0-24:192.0.2.100",
        "/settings/server",
        "/settings/twin",
        "/settings/about",
        "/settings/updates",
        "/settings/import",
        "/settings/export.toml",
        "/settings/backups",
        "/welcome/pool",
        "/welcome/import",
        "/welcome/pair",
        "/welcome/drill",
    ] {
        let told = scratch.get(path).await;
        assert_eq!(told.status, 200, "{path}: {}", told.body);
        assert!(!told.body.contains(" style=") && !told.body.contains("<script>"), "{path}");
    }
    assert!(scratch.get("/settings/export.toml").await.body.contains("printer"));
}

#[tokio::test]
async fn a_form_with_every_field_wrong_comes_back_whole_with_an_error_beside_each() {
    let mut scratch = signed_in().await;
    let markup = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for (path, fields) in [
        ("/settings/network/new", vec!["network", "pools", "exclude", "router", "dns", "default", "min", "max"]),
        ("/settings/network", vec!["default", "min", "max", "t1", "t2"]),
        ("/settings/server", vec!["probe", "decline-quarantine", "private-mac-lease", "fqdn"]),
        ("/settings/twin", vec!["mode", "active", "mclt", "ack-deadline", "assume-partner-down-after"]),
        ("/settings/options", vec!["name"]),
        ("/settings/options/define", vec!["code", "type"]),
        ("/map", vec!["from", "to"]),
        ("/welcome/pool", vec!["network", "pools", "router", "dns"]),
    ] {
        let form: Vec<String> = fields.iter().map(|name| format!("{name}={markup}")).collect();
        let told = scratch.post(path, &form.join("&")).await;
        assert_eq!(told.status, 422, "{path}: {}", told.body);
        for name in &fields {
            assert!(told.body.contains(&format!("id=\"{name}-error\"")), "{path} {name}: {}", told.body);
        }
        assert!(!told.body.contains("<script>alert"), "{path}");
        assert_eq!(told.body.matches(" autofocus").count(), 1, "{path}: the first is focused");
    }
}

#[tokio::test]
async fn who_is_overtaken_sees_both_versions_and_loses_nothing() {
    let mut scratch = signed_in().await;
    let path = "/settings/network/192.0.2.0-24";
    let opened = scratch.get(path).await.body;
    let form = |pools: &str, revision: &str| format!("network=192.0.2.0%2F24&pools={pools}&revision={revision}");
    let first = scratch.post(path, &form("192.0.2.100-210", revision(&opened))).await;
    assert_eq!((first.status.as_u16(), first.to()), (303, "/settings/network"), "{}", first.body);
    let second = scratch.post(path, &form("192.0.2.50-199", revision(&opened))).await;
    assert_eq!(second.status, 409);
    assert!(second.body.contains("192.0.2.100-192.0.2.210") && second.body.contains("192.0.2.50-192.0.2.199"), "{}", second.body);
    let insisted = scratch.post(path, &form("192.0.2.50-199", revision(&second.body))).await;
    assert_eq!(insisted.status, 303);
    assert!(scratch.get(path).await.body.contains("192.0.2.50-192.0.2.199"));
}

#[tokio::test]
async fn of_two_who_save_in_one_moment_one_is_told() {
    let mut one = signed_in().await;
    let path = "/settings/network/192.0.2.0-24";
    let opened = one.get(path).await.body;
    let form = |pools: &str| format!("network=192.0.2.0%2F24&pools={pools}&revision={}", revision(&opened));
    let mut other = one.clone();
    let (mine, theirs) = (form("192.0.2.100-210"), form("192.0.2.50-199"));
    let (first, second) = tokio::join!(one.post(path, &mine), other.post(path, &theirs));
    let mut said = [first.status.as_u16(), second.status.as_u16()];
    said.sort_unstable();
    assert_eq!(said, [303, 409]);
}

#[tokio::test]
async fn a_range_of_the_map_becomes_a_pool_and_an_exclusion() {
    let mut scratch = signed_in().await;
    let told = scratch.post("/map", "make=pool&part=192.0.2.0&from=60&to=99").await;
    assert_eq!((told.status.as_u16(), told.to()), (303, "/map?near=192.0.2.60"), "{}", told.body);
    scratch.post("/map", "make=exclude&part=192.0.2.0&from=.70&to=.72").await;
    let told = scratch.get("/settings/network/192.0.2.0-24").await;
    assert!(told.body.contains("192.0.2.60-192.0.2.199") && told.body.contains("192.0.2.70-192.0.2.72"), "{}", told.body);
}

#[tokio::test]
async fn a_network_with_kept_addresses_is_not_removed_and_without_one_only_after_a_question() {
    let mut scratch = signed_in().await;
    let told = scratch.post("/settings/network/192.0.2.0-24/remove", "").await;
    assert_eq!(told.status, 422);
    assert!(told.body.contains("1 address is kept"), "{}", told.body);
    scratch.post("/settings/network/new", "network=198.51.100.0%2F24&pools=").await;
    let asked = scratch.post("/settings/network/198.51.100.0-24/remove", "").await;
    assert_eq!(asked.status, 422);
    let told = scratch.post("/settings/network/198.51.100.0-24/remove", "confirmed=yes").await;
    assert_eq!(told.status, 303);
    assert!(scratch.get("/settings/network").await.body.contains("198.51.100.0/24 is removed"), "told once");
    assert!(!scratch.get("/settings/network").await.body.contains("198.51.100.0"));
}

#[tokio::test]
async fn no_path_leads_out_of_backups_and_uploads() {
    let mut scratch = signed_in().await;
    for which in ["..%2F..%2Fetc%2Fpasswd", "own-..%2Ftwinlease.db", "sent-..%2F..%2Ftwinlease.db", "own-", "twin-x.db"] {
        for action in ["file", "restore"] {
            let told = scratch.get(&format!("/settings/backups/{which}/{action}")).await;
            assert_eq!(told.status, 422, "{which}");
        }
        assert_eq!(scratch.get(&format!("/settings/import/{which}")).await.status, 422, "{which}");
    }
}
