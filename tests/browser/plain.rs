//! Without scripts: every form works, and what is new is seen after a reload.

use std::time::Duration;

use crate::browser::{Browser, Scripts};
use crate::enter;
use crate::house::House;
use crate::pair::Side;

#[test]
fn the_sections_are_reached_and_no_script_runs_in_a_browser_without_scripts() {
    let Some(lab) = enter("plain::the_sections_are_reached_and_no_script_runs_in_a_browser_without_scripts") else { return };
    let house = House::new(&lab, "plain");
    let browser = Browser::signed_in(&house, Scripts::Off);
    browser.home();
    browser.wait_until_it_says("#state", "healthy", Duration::from_secs(3));
    browser.visit(Side::B, "/");
    browser.click_words("//nav", "Home");
    assert_eq!((browser.path().as_str(), browser.clicks()), ("/", 1));
}
