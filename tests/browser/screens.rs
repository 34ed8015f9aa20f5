//! Pictures of the pages, for people: `scripts/screens`.

use crate::browser::{Browser, Scripts};
use crate::house::House;
use crate::pair::Side;
use crate::{enter, every_page};

/// `TWINLEASE_SCREENS`: the paths to take pictures of; without it, all.
#[test]
#[ignore = "scripts/screens runs it: its pictures are for looking at"]
fn pictures_of_all_pages() {
    let Some(lab) = enter("screens::pictures_of_all_pages") else { return };
    let house = House::new(&lab, "screens");
    house.furnish();
    let browser = Browser::signed_in(&house, Scripts::On);
    let asked = std::env::var("TWINLEASE_SCREENS").unwrap_or_default();
    let asked: Vec<String> = asked.split_whitespace().map(str::to_owned).collect();
    let paths = if asked.is_empty() { every_page::paths(&browser) } else { asked };
    for path in paths {
        browser.visit(Side::A, &path);
        browser.screenshot(&every_page::name(&path));
        println!("{path}: target/screenshots/{}-*.png", every_page::name(&path));
    }
    browser.assert_content();
}
