//! What holds of every page: nothing that keeps somebody from using it, no sideways scrolling on a phone, no complaint.

use crate::axe;
use crate::browser::{Browser, Scheme, Scripts, WIDTHS};
use crate::enter;
use crate::house::House;
use crate::pair::Side;

/// Where a walk begins; it goes on by the links that it finds.
const FIRST: [&str; 6] = ["/", "/devices", "/map", "/activity", "/twins", "/settings"];
/// More is the same page with other words in its address.
const PAGES_MAX: usize = 40;

/// All pages that can be reached by links, one of each kind.
pub fn paths(browser: &Browser) -> Vec<String> {
    let mut found: Vec<String> = FIRST.map(str::to_owned).to_vec();
    let mut next = 0;
    while next < found.len() && found.len() < PAGES_MAX {
        browser.visit(Side::A, &found[next]);
        next += 1;
        let links = browser.run(
            "return [...document.querySelectorAll('main a[href], nav a[href]')].filter((link) => !link.hasAttribute('download'))
                .map((link) => new URL(link.href)).filter((url) => url.origin === location.origin).map((url) => url.pathname)",
        );
        let links = links.as_array().into_iter().flatten().filter_map(|link| link.as_str());
        for link in links {
            if !found.iter().any(|known| kind(known) == kind(link)) && !is_file(link) {
                found.push(link.to_owned());
            }
        }
    }
    found
}

/// What follows the section, without what names one device, one address or one change.
fn kind(path: &str) -> String {
    let is_a_name = |part: &&str| part.chars().any(|letter| letter.is_ascii_digit() || letter == ':' || letter == '%');
    path.split('/').map(|part| if is_a_name(&part) { "*" } else { part }).collect::<Vec<_>>().join("/")
}

/// Not a page: downloads, and what ends a session.
fn is_file(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|last| last.contains('.') && !last.starts_with(|first: char| first.is_ascii_digit()))
        || path.starts_with("/api")
        || path.contains("download")
        || path.contains("export")
        || path.contains("sign-out")
}

/// The page's name among the pictures.
pub fn name(path: &str) -> String {
    let name = kind(path).replace('*', "one").trim_matches('/').replace('/', "-");
    if name.is_empty() { "home".into() } else { name }
}

#[test]
fn every_page_can_be_used_by_everybody_in_both_widths_and_schemes() {
    let Some(lab) = enter("every_page::every_page_can_be_used_by_everybody_in_both_widths_and_schemes") else { return };
    let house = House::new(&lab, "every");
    house.furnish();
    let source = axe::source();
    if source.is_none() {
        println!("SKIPPED axe-core: it is not fetched (scripts/axe)");
    }
    let browser = Browser::signed_in(&house, Scripts::On);
    let mut wrong = Vec::new();
    for path in paths(&browser) {
        browser.visit(Side::A, &path);
        for (width, scheme) in [(WIDTHS[0], Scheme::Light), (WIDTHS[1], Scheme::Dark)] {
            browser.look_as(width, scheme);
            let overflow_px = browser.overflow_px();
            if overflow_px > 0 {
                wrong.push(format!("{path} is {overflow_px} px wider than a window of {width} px"));
            }
            if let Some(source) = &source {
                let words = |text: String| format!("{width} px, {}: {text}", scheme.name());
                wrong.extend(axe::violations(&browser, source).into_iter().map(words));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    browser.assert_content();
}
