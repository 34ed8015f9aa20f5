//! Names that strangers choose, and more devices than anybody has, in a real browser.

use std::fmt::Write;
use std::time::Duration;

use crate::browser::{Browser, Scripts};
use crate::crafted::{ACK, DISCOVER, Mac, OFFER, Plug, Query, mac};
use crate::enter;
use crate::house::{House, SETTINGS};
use crate::lab::wait_until;
use crate::pair::Side;

const SOON: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(3);
const TRIES: u32 = 5;
const KEPT: u32 = 10_000;

/// Each wants to run, to leave its place, or to be read as something else.
const NAMES: [&[u8]; 10] = [
    b"<img src=x onerror=\"document.title='pwned'\">",
    b"</title></script><script>document.title='pwned'</script>",
    b"'\"><svg onload=document.title='pwned'><base href=//x>",
    b"</template></bdi></table><iframe src=javascript:parent.document.title='pwned'>",
    b"nul\0<b id=pwned>byte",
    "\u{202e}gnp.exe\u{2066}".as_bytes(),
    "\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}\u{1f9e8}"
        .as_bytes(),
    b"=HYPERLINK(\"http://x\")",
    b"{{7*7}}${7*7}<%=7*7%>",
    b"\xff\xfe\x80 no text",
];

/// Takes a lease and says the name wherever a client can say one.
fn move_in(plug: &Plug, mac: Mac, name: &[u8]) {
    let named = |query: Query| query.option(12, name).option(60, name).option(81, &[&[0, 0, 0], name].concat());
    // Its cable was plugged in a moment ago: as any client, it asks again.
    let ask = |query: &dyn Fn() -> Query, kind| (0..TRIES).find_map(|_| plug.ask(&named(query()), &[kind], PATIENCE));
    let offer = ask(&|| Query::new(DISCOVER, mac), OFFER).expect("an offer");
    ask(&|| Query::select(mac, &offer), ACK).expect("a lease");
}

#[test]
fn no_name_of_a_stranger_does_anything_on_any_page() {
    let Some(lab) = enter("hostile::no_name_of_a_stranger_does_anything_on_any_page") else { return };
    let house = House::of_one(&lab, "hostile", SETTINGS);
    lab.host("stranger", "lan", &[]);
    let plug = Plug::at("stranger");
    for (number, name) in (0..).zip(NAMES) {
        move_in(&plug, mac(number), name);
    }
    let browser = Browser::start(&house, Scripts::On);
    browser.visit(Side::A, "/");
    browser.sign_in();
    let own_page = |number: u32| {
        let hex = mac(number).map(|byte| format!("{byte:02x}")).join("-");
        format!("/devices/{hex}")
    };
    let pages = ["/", "/devices", "/devices?q=pwned", "/map", "/activity", "/activity/system", "/twins"];
    let pages = pages.into_iter().map(str::to_owned).chain((0..10).map(own_page));
    for page in pages {
        browser.visit(Side::A, &page);
        // What a page renews by itself, too.
        std::thread::sleep(Duration::from_millis(300));
        let found = browser.run(
            "return (document.title === 'pwned' ? 'it ran ' : '') + [...document.querySelectorAll('#pwned, base, iframe, img[src=x], svg[onload], main script')]
                .map((element) => element.outerHTML).join(' ')",
        );
        assert_eq!(found.as_str(), Some(""), "{page}");
    }
    browser.go("/devices");
    browser.wait_until_it_says("#found", "<img src=x onerror=", SOON);
    browser.fill("#q", "onload");
    browser.wait_until_it_says("#found", "<svg onload=", SOON);
    browser.assert_content();
}

#[test]
fn ten_thousand_devices_are_listed_found_and_drawn() {
    let Some(lab) = enter("hostile::ten_thousand_devices_are_listed_found_and_drawn") else { return };
    let mut settings = format!("{SETTINGS}\n[[subnet]]\nnetwork = \"10.78.0.0/16\"\n");
    for number in 1..=KEPT {
        let (mac, [_, _, c, d]) = (mac(number).map(|byte| format!("{byte:02x}")).join(":"), (number + 255).to_be_bytes());
        let _ =
            write!(settings, "[[reservation]]\nmac = \"{mac}\"\naddress = \"10.78.{c}.{d}\"\nname = \"device-{number:05}\"\n");
    }
    let house = House::of_one(&lab, "crowd", &settings);
    let browser = Browser::start(&house, Scripts::On);
    browser.visit(Side::A, "/");
    browser.sign_in();
    browser.go("/devices");
    browser.wait_until_it_says("main", "10000 devices, page 1 of 100", SOON);
    browser.go("/devices?page=100");
    browser.wait_until_it_says("#found", "device-10000", SOON);
    browser.home();
    for (wanted, name) in [("device-07777", "device-07777"), (&mac_end(4321), "device-04321"), ("10.78.9.9", "device-02058")] {
        browser.home();
        browser.fill("#q", wanted);
        browser.wait_until_it_says("#found", name, SOON);
    }
    browser.go("/map?near=10.78.9.9");
    // A busy browser may refuse to count so many once.
    wait_until("the network is drawn", SOON, || browser.all("a.cell").len() > 200);
    browser.assert_content();
}

fn mac_end(number: u32) -> String {
    mac(number)[2..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
