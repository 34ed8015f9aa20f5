//! The list as it comes out: search, filters, pages, and names that strangers chose.

use std::time::Instant;

use askama::Template;

use super::{
    example::{HOME, house, lease, refused},
    list::List,
    query::{PAGE_ROWS, Query},
    *,
};
use crate::{protocol::lease::Binding, web::House};

/// What a device may call itself; control and direction marks are cut off where it is decoded, others come by import.
const HOSTILE: [&str; 7] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'; DROP TABLE lease; --",
    "a\0b",
    "\u{202e}txt.exe",
    "\u{2067}\u{5d0}\u{5d1}\u{2069}",
    "{{ 7*7 }}&amp;</title>",
];

fn list(house: &House, asked: &str) -> List {
    let pairs: Vec<(String, String)> =
        asked.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect();
    List::new(house, &Query::read(&pairs))
}

fn names(list: &List) -> Vec<&str> {
    list.rows.iter().map(|row| row.called.as_str()).collect()
}

fn rendered(house: &House, asked: &str) -> String {
    Fragment { list: list(house, asked), has_subnets: true }.render().expect("the list is shown")
}

fn household() -> House {
    house(
        HOME,
        vec![
            lease("b8:27:eb:00:00:01", "192.0.2.100", Some("pihole")),
            lease("f0:18:98:12:34:56", "192.0.2.101", Some("Ada's MacBook")),
            lease("da:a1:19:3c:55:07", "192.0.2.102", Some("Pixel-8")),
        ],
    )
}

#[test]
fn a_device_is_found_by_name_maker_mac_address_and_note() {
    let house = household();
    for (asked, found) in [
        ("q=PIHOLE", "pihole"),
        ("q=raspberry", "pihole"),
        ("q=B8-27-EB", "pihole"),
        ("q=27eb.0000", "pihole"),
        ("q=27:eb:0", "pihole"),
        ("q=.102", "Pixel-8"),
        ("q=192.0.2.101", "Ada's MacBook"),
        ("q=macbook apple", "Ada's MacBook"),
        ("q=f0 18 98", "Ada's MacBook"),
        ("q=study", "printer"),
        ("q=31", "printer"),
        ("q=brother", "printer"),
    ] {
        assert_eq!(names(&list(&house, asked)), [found], "{asked}");
    }
    assert!(list(&house, "q=macbook raspberry").rows.is_empty(), "all words count");
}

#[test]
fn filters_say_how_many_there_are_and_lead_to_them() {
    let mut house = household();
    refused(&mut house, "00:00:5e:00:53:44", None);
    let all = list(&house, "");
    let counts: Vec<(&str, usize)> = all.filters.iter().map(|filter| (filter.label, filter.count)).collect();
    let expected =
        [("All", 5), ("With a lease", 3), ("Kept", 1), ("Dynamic", 3), ("Waiting", 1), ("Private MAC", 1), ("Not answered", 1)];
    assert_eq!(counts, expected);
    assert_eq!(names(&list(&house, "show=private")), ["Pixel-8"]);
    assert_eq!(names(&list(&house, "show=waiting")), ["printer"]);
    assert_eq!(names(&list(&house, "show=unanswered")), ["00:00:5e:00:53:44"]);
    assert!(list(&house, "show=kept&q=pi").rows.is_empty());
}

#[test]
fn tags_are_shown_and_lead_to_all_that_have_them() {
    let mut house = household();
    house.settings.reservations[0].note = Some("In the study #Office #<b>, #kids".into());
    let shown = list(&house, "");
    let tags: Vec<(String, &str, usize)> =
        shown.tags.iter().map(|choice| (choice.link.tag.to_string(), choice.link.to.as_str(), choice.count)).collect();
    let expected = [("#kids".into(), "/devices?q=%23kids", 1), ("#office".into(), "/devices?q=%23office", 1)];
    assert_eq!(tags, expected);
    assert_eq!(names(&list(&house, "q=#kids")), ["printer"]);
    let html = rendered(&house, "q=#kids");
    assert!(
        html.contains(r#"<a class="badge tag" href="/devices?q=%23kids"><bdi>#kids</bdi></a>"#) && !html.contains("<b>,"),
        "{html}"
    );
    // Every row that has an address may be ticked, and Enter in the field for the tag tags, whatever stands first in the list.
    assert_eq!(shown.rows.iter().filter(|row| row.can_tick).count(), 4);
    let first = html.split("<button").nth(1).expect("a button");
    assert!(first.contains(r#"formaction="/devices/tag" name="make" value="tag""#), "{first}");
}

#[test]
fn sorting_is_by_link_and_told_to_a_screen_reader() {
    let house = household();
    assert_eq!(names(&list(&house, "sort=-name")), ["printer", "Pixel-8", "pihole", "Ada's MacBook"]);
    let html = rendered(&house, "sort=-name&q=i");
    assert!(html.contains(r#"<th scope="col" aria-sort="descending"><a href="/devices?q=i&#38;sort=name">"#), "{html}");
    assert_eq!(html.matches("aria-sort").count(), 1);
}

#[test]
fn names_of_strangers_are_text_and_stay_in_their_place() {
    for name in HOSTILE {
        let house = house(HOME, vec![lease("00:00:5e:00:53:01", "192.0.2.100", Some(name))]);
        let html = rendered(&house, "");
        for markup in ["<script", "<img", "onerror=alert(1)>", "</title"] {
            assert!(!html.contains(markup), "{name:?}: {html}");
        }
        assert!(html.contains("<bdi>"), "a name that runs from right to left turns nothing else round");
    }
}

#[test]
fn a_question_comes_back_as_text() {
    let house = household();
    let query = Query::read(&[("q".into(), "\"><script>alert(1)</script>".into())]);
    let list = List::new(&house, &query);
    let shell = Shell::outside(&house, "Devices");
    let html = Page { shell, list, has_subnets: true }.render().expect("the page is shown");
    assert!(!html.contains("<script>alert"), "{html}");
}

#[test]
fn a_name_of_255_bytes_of_emoji_is_shown() {
    let name = "\u{1f600}".repeat(63);
    let house = house(HOME, vec![lease("00:00:5e:00:53:01", "192.0.2.100", Some(&name))]);
    assert!(rendered(&house, "").contains(&name));
    assert_eq!(names(&list(&house, "q=\u{1f600}")), [name.as_str()]);
}

#[test]
fn every_empty_list_says_what_to_do_next() {
    let nobody = house("[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.100-192.0.2.109\"]\n", Vec::new());
    assert!(rendered(&nobody, "").contains("No device yet"));
    let no_network = Fragment { list: list(&house("", Vec::new()), ""), has_subnets: false }.render().expect("shown");
    assert!(no_network.contains("/welcome"), "{no_network}");
    assert!(rendered(&household(), "q=xyzzy").contains("Nothing found"));
}

#[test]
fn a_form_goes_back_to_pages_of_this_server_only() {
    let form = |to: &str| [("back".to_string(), to.to_string())];
    for to in ["/", "/devices", "/devices?q=%20a&page=2", "/devices/a4-cf-12-9b-00-1e"] {
        assert_eq!(back(&form(to), "/elsewhere"), to);
    }
    for to in ["//example.org", "https://example.org", "/devices/\r\nSet-Cookie: a=b", "\\\\example.org", "/sign-out", ""] {
        assert_eq!(back(&form(to), "/devices"), "/devices", "{to}");
    }
}

fn crowd(count: u32) -> House {
    let settings = "[[subnet]]\nnetwork = \"10.0.0.0/16\"\npools = [\"10.0.1.0-10.0.200.255\"]\n";
    let leases = (0..count).map(|i| {
        let [_, b, c, d] = i.to_be_bytes();
        let name = format!("device-{i}");
        Binding { ..lease(&format!("b8:27:eb:{b:02x}:{c:02x}:{d:02x}"), &format!("10.0.{}.{d}", 1 + i / 256), Some(&name)) }
    });
    house(settings, leases.collect())
}

#[test]
fn a_page_has_a_bound_and_search_finds_what_is_on_no_page() {
    let house = crowd(1000);
    let first = list(&house, "");
    assert_eq!((first.rows.len(), first.pages, first.found), (PAGE_ROWS, 10, 1000));
    assert_eq!(names(&list(&house, "q=device-987")), ["device-987"]);
    let last = list(&house, "page=4711");
    assert_eq!((last.query.page, last.rows.len(), last.next()), (10, PAGE_ROWS, None));
    let mut seen: Vec<String> =
        (1..=10).flat_map(|page| list(&house, &format!("sort=maker&page={page}")).rows).map(|row| row.id).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 1000, "each is on exactly one page");
}

/// How long the list takes: `cargo test --release --lib list_of_10_000 -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures, proves nothing"]
fn list_of_10_000_devices_in_milliseconds() {
    for count in [50, 1000, 10_000] {
        let house = crowd(count);
        for asked in ["", "q=device-99", "q=raspberry", "sort=name&page=3"] {
            let started = Instant::now();
            let html = rendered(&house, asked);
            println!("{count:>6} devices, `{asked}`: {:.1?}, {} kB", started.elapsed(), html.len() / 1000);
        }
    }
}
