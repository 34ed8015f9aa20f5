//! Looks at the node are shared, and the dearer they are the longer.

use super::*;
use crate::{
    runtime::handle,
    settings::{Record, Server},
    web::{
        devices::{device::gather, example},
        live::{Fragment, Place},
    },
};

fn site() -> Site {
    let nowhere = PathBuf::from("/nonexistent");
    let archive = Archive::new(&nowhere, Default::default(), Default::default(), Default::default());
    Site::new(nowhere, handle::scratch::handle(Settings::default()), None, archive, Vec::new())
}

#[test]
fn a_look_is_good_for_as_long_as_it_was_dear() {
    let now = Instant::now();
    let good_for = |cost: Duration| {
        let house = example::house(example::HOME, Vec::new());
        house.drawn.costs(cost);
        Taken { began: now, done: now, house: Arc::new(house) }.good_until() - now
    };
    assert_eq!(good_for(Duration::ZERO), HOUSE_AGE_MAX);
    assert_eq!(good_for(Duration::from_millis(100)), Duration::from_secs(1));
    assert_eq!(good_for(Duration::from_secs(100)), REST_MAX);
}

#[tokio::test]
async fn all_who_look_at_once_share_one_look() {
    let site = site();
    let (first, second, third) = tokio::join!(site.house(), site.house(), site.house());
    let (first, second, third) = (first.expect("it runs"), second.expect("it runs"), third.expect("it runs"));
    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &third));
}

#[tokio::test]
async fn after_a_change_no_look_from_before_is_shown_however_late_it_comes() {
    let site = site();
    let before = site.house().await.expect("it runs");
    let old = site.seen().last.clone();
    let visitor = Visitor::new("dashboard", crate::settings::access::Scope::Write);
    let bootp = Record::Server(Server { bootp: true, ..Server::default() });
    site.submit(&visitor, Command::Put(bootp)).await.expect("it runs").expect("sound");
    assert!(!before.settings.server.bootp && site.house().await.expect("it runs").settings.server.bootp);
    // One that was begun before comes to its end now.
    site.seen().last = old;
    assert!(site.house().await.expect("it runs").settings.server.bootp);
}

#[tokio::test]
async fn who_was_told_of_a_change_waits_for_a_look_that_has_it() {
    let site = site();
    let before = site.house().await.expect("it runs");
    let then = Instant::now();
    let after = site.house_since(then).await.expect("it runs");
    assert!(!Arc::ptr_eq(&before, &after));
    assert!(then.elapsed() > HOUSE_AGE_MAX / 2, "the one before was good for longer: {:?}", then.elapsed());
    assert!(Arc::ptr_eq(&after, &site.house_since(then).await.expect("it runs")), "it has it already");
}

#[tokio::test]
async fn what_a_house_shows_is_computed_once_and_counted() {
    let house = example::house(example::HOME, vec![example::lease("a4:cf:12:9b:00:1e", "192.0.2.100", None)]);
    assert_eq!(gather(&house).len(), gather(&house).len());
    let place = |query: &str| Place { path: "/devices".into(), query: query.into() };
    let drawn = async |query: &str, text: &'static str| {
        let slow = async || {
            tokio::time::sleep(Duration::from_millis(2)).await;
            vec![Fragment { id: "found".into(), html: text.into() }]
        };
        house.drawn.parts("devices", &place(query), slow).await
    };
    let before = house.drawn.cost();
    let (first, second) = tokio::join!(drawn("q=tv", "the tv"), drawn("q=tv", "not asked again"));
    assert!(house.drawn.cost() >= before + Duration::from_millis(2));
    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &drawn("q=tv", "nor later").await));
    assert_eq!(&*drawn("q=lamp", "the lamp").await[0].html, "the lamp");
}
