//! Looks at the node are shared, and the dearer they are the longer.

use super::*;
use crate::{
    runtime::handle,
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
async fn who_was_told_of_a_change_waits_for_a_look_that_has_it() {
    let site = site();
    let before = site.house().await.expect("it runs");
    let then = Instant::now();
    let after = site.house_since(then).await.expect("it runs");
    assert!(!Arc::ptr_eq(&before, &after));
    assert!(then.elapsed() > HOUSE_AGE_MAX / 2, "the one before was good for longer: {:?}", then.elapsed());
    assert!(Arc::ptr_eq(&after, &site.house_since(then).await.expect("it runs")), "it has it already");
}

#[test]
fn what_a_house_shows_is_computed_once_and_counted() {
    let house = example::house(example::HOME, vec![example::lease("a4:cf:12:9b:00:1e", "192.0.2.100", None)]);
    assert_eq!(gather(&house).len(), gather(&house).len());
    let place = |query: &str| Place { path: "/devices".into(), query: query.into() };
    let drawn = |query: &str, text: &'static str| {
        let slow = || {
            std::thread::sleep(Duration::from_millis(2));
            vec![Fragment { id: "found".into(), html: text.into() }]
        };
        house.drawn.parts("devices", &place(query), slow)
    };
    let before = house.drawn.cost();
    let first = drawn("q=tv", "the tv");
    assert!(house.drawn.cost() >= before + Duration::from_millis(2));
    assert!(Arc::ptr_eq(&first, &drawn("q=tv", "not asked again")));
    assert_eq!(&*drawn("q=lamp", "the lamp")[0].html, "the lamp");
}
