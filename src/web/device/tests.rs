//! Forms about kept addresses, the page of a device, and names that strangers chose on it.

use askama::Template;

use super::*;
use crate::{
    protocol::lease::Binding,
    settings::{Identifier, options::OptionValue},
    web::devices::example::{HOME, address, house, lease, mac, refused},
};

const TV: &str = "00:00:5e:00:53:11";

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let form: Pairs = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Fields::read(&form)
}

fn errors(house: &House, pairs: &[(&str, &str)]) -> crate::web::form::Errors {
    fields(pairs).reservation(house, None, None).expect_err("the form is wrong")
}

fn page(house: &House, id: &str) -> String {
    let device = find(&gather(house), &id.parse().expect("an id")).expect("it is listed");
    let memory = Memory { decisions: house.asked.values().cloned().collect(), ..Memory::default() };
    let view = DeviceView::new(&device, house, &memory, Span::Day);
    let form = FormView::new(link(&device.id), Fields::for_device(&device, Some(address("192.0.2.109"))), "Keep this address");
    Page { shell: Shell::outside(house, view.called.clone()), device: view, form }.render().expect("the page is shown")
}

#[test]
fn one_click_keeps_the_address_that_a_device_has_under_its_own_name() {
    let house = house(HOME, vec![lease(TV, "192.0.2.100", Some("Living Room_TV"))]);
    let devices = gather(&house);
    let tv = find(&devices, &TV.parse().expect("an id")).expect("it is listed");
    let kept = keep::as_it_is(&tv, &house).expect("it has an address");
    assert_eq!(
        (kept.identifier, kept.address, kept.name.as_deref()),
        (Identifier::Mac(mac(TV)), address("192.0.2.100"), Some("Living-Room-TV"))
    );
    let printer = find(&devices, &"00:1b:a9:00:53:20".parse().expect("an id")).expect("it is listed");
    assert_eq!(keep::as_it_is(&printer, &house), None, "its address is kept already");
}

#[test]
fn a_form_becomes_a_kept_address() {
    let house = house(HOME, Vec::new());
    let wanted = fields(&[
        ("who", "A4CF.129B.001E"),
        ("name", "camera"),
        ("address", ".40"),
        ("note", "Above the door\r\nPoE"),
        ("options", "dns = [\"192.0.2.54\"]\r\n\"224\" = { type = \"text\", value = \"x\" }"),
        ("no_client_id", "on"),
    ]);
    let kept = wanted.reservation(&house, None, None).expect("nothing is wrong with it");
    assert_eq!((kept.identifier, kept.address), (Identifier::Mac(mac("a4:cf:12:9b:00:1e")), address("192.0.2.40")));
    assert_eq!(kept.options[&6], OptionValue::IpList(vec![address("192.0.2.54")]));
    assert_eq!(kept.options[&224], OptionValue::Text("x".into()));
    assert_eq!((kept.note.as_deref(), kept.echo_client_id, kept.force_broadcast), (Some("Above the door\nPoE"), false, false));
}

#[test]
fn an_address_that_is_kept_for_another_is_told_with_a_free_one() {
    let house = house(HOME, vec![lease(TV, "192.0.2.32", None)]);
    let errors = errors(&house, &[("who", "a4:cf:12:9b:00:1e"), ("address", "192.0.2.31")]);
    assert_eq!(
        errors.of("address"),
        "192.0.2.31 is already kept for printer. Choose .33 (free), or open printer and change that."
    );
    let other = keep::other_at(&house, "192.0.2.31", None);
    assert_eq!(other, Some(("/devices/00-1b-a9-00-53-20".into(), "printer".into())));
}

#[test]
fn an_incomplete_mac_is_told_as_a_sentence() {
    let house = house(HOME, Vec::new());
    let errors = errors(&house, &[("who", "a4:cf:12:9"), ("address", ".40")]);
    assert_eq!(errors.of("who"), "MAC `a4:cf:12:9` has 4 parts, one of them incomplete. Use 6 pairs, like a4:cf:12:9b:00:1e.");
    assert!(!errors.has("address") && errors.is_first("who"));
}

#[test]
fn a_form_with_every_field_wrong_says_so_of_each() {
    let house = house(HOME, Vec::new());
    let note = "x".repeat(2000);
    let wrong = [("who", "xyz"), ("name", "my printer"), ("address", "192.0.2.999"), ("note", &note), ("options", "dsn = [1]")];
    let errors = errors(&house, &wrong);
    for field in ["who", "name", "address", "note", "options"] {
        assert!(errors.has(field), "{field}");
    }
    assert!(errors.is_first("who"));
    assert!(errors.of("options").starts_with("Line 1: ") && errors.of("options").contains("dns"), "{}", errors.of("options"));
    for (options, part) in [("[server]\nbootp = true", "begins a section"), ("dns", "TOML"), ("broadcast = 1\n", "Line 1")] {
        let errors = self::errors(&house, &[("who", TV), ("address", ".40"), ("options", options)]);
        assert!(errors.of("options").contains(part), "{options}: {}", errors.of("options"));
    }
}

#[test]
fn addresses_that_no_device_can_have_are_refused() {
    let house = house(HOME, Vec::new());
    for wrong in ["192.0.2.0", "192.0.2.255", "192.0.2.1", "198.51.100.7", "", "fe80::1"] {
        assert!(errors(&house, &[("who", TV), ("address", wrong)]).has("address"), "{wrong}");
    }
}

#[test]
fn a_device_has_one_kept_address() {
    let house = house(HOME, Vec::new());
    let errors = errors(&house, &[("who", "001BA9005320"), ("address", ".40")]);
    assert!(errors.of("who").starts_with("192.0.2.31 is kept for this device already"), "{}", errors.of("who"));
}

#[test]
fn a_kept_address_may_be_changed_as_it_is_shown() {
    let house = house(HOME, Vec::new());
    let kept = &house.settings.reservations[0];
    let shown = Fields::of(kept, &house.settings);
    assert_eq!(shown.reservation(&house, Some(kept), None).as_ref(), Ok(kept));
    let moved = Fields { address: ".32".into(), ..shown };
    assert_eq!(moved.reservation(&house, Some(kept), None).map(|kept| kept.address), Ok(address("192.0.2.32")));
}

#[test]
fn a_revision_tells_two_versions_apart_and_both_are_shown() {
    let house = house(HOME, Vec::new());
    let kept = &house.settings.reservations[0];
    let theirs = Reservation { note: Some("Moved to the hall".into()), ..kept.clone() };
    assert_ne!(keep::revision(Some(kept)), keep::revision(Some(&theirs)));
    assert_ne!(keep::revision(Some(kept)), keep::revision(None));
    let ours = Fields { name: "laser".into(), ..Fields::of(kept, &house.settings) };
    let clash = Clash::of(Some(&theirs), &ours, &house.settings);
    let differing: Vec<_> =
        clash.rows.iter().filter(|row| row.differs).map(|row| (row.theirs.as_str(), row.ours.as_str())).collect();
    assert_eq!(differing, [("printer", "laser"), ("Moved to the hall", "In the study")]);
    assert!(Clash::of(None, &ours, &house.settings).is_gone);
}

#[test]
fn the_page_tells_why_step_by_step_also_of_a_silence() {
    let mut house = house(HOME, Vec::new());
    refused(&mut house, TV, Some("tv"));
    let html = page(&house, TV);
    assert!(html.contains("Why is it not answered?"), "{html}");
    assert!(html.contains("<li><bdi>No address is kept for it</bdi></li>"), "{html}");
    assert!(html.contains("Not answered: the pool of 192.0.2.0/24 is full, 10 of 10."), "{html}");
    assert!(html.contains("780 times") && html.contains(r#"<a href="/map">Grow the pool</a>"#), "{html}");
}

#[test]
fn an_offer_and_the_lease_that_came_of_it_are_one_way() {
    use crate::protocol::explain::{Asked, Decision, Outcome, Step};
    let house = house(HOME, Vec::new());
    let at = address("192.0.2.100");
    let decision = |asked, steps, outcome| {
        Arc::new(Decision {
            at: house.now,
            hw: mac(TV),
            name: None,
            asked,
            xid: 1,
            steps,
            outcome,
            repeats: 0,
            last_at: house.now,
        })
    };
    let free = Step::NextFree { address: at, network: house.settings.subnets[0].network };
    let offered = decision(Asked::Discover, vec![Step::NotKept, free], Outcome::Offered { address: at, secs: 60 });
    let taken = vec![Step::OfferedBefore { address: at }, Step::Durable { after_ms: 3 }];
    let acked = decision(Asked::Select, taken, Outcome::Acked { address: at, secs: 60 });
    let story = trace::story(&[acked.clone(), offered.clone()], &house);
    assert_eq!(story.len(), 1);
    assert_eq!(
        story[0].steps,
        ["No address is kept for it", "192.0.2.100 is the next free address of 192.0.2.0/24", "On disk after 3 ms"]
    );
    assert!(story[0].outcome.starts_with("Given 192.0.2.100"));
    let other = decision(Asked::Select, Vec::new(), Outcome::Acked { address: address("192.0.2.101"), secs: 60 });
    assert_eq!(trace::story(&[other, offered], &house).len(), 2, "another address came of something else");
}

#[test]
fn options_are_told_with_where_they_come_from() {
    let own = format!(
        "[options]\nntp = [\"192.0.2.9\"]\ndomain = \"home.arpa\"\n{HOME}[reservation.options]\ndomain = \"print.home.arpa\"\n"
    );
    let house = house(&own, Vec::new());
    let node = crate::protocol::Node::new(house.settings.clone(), Vec::new(), crate::protocol::time::Epoch(1), house.now);
    let at = address("192.0.2.31");
    let list = received::received(&house.settings, &received::table(&node, at), at, Some(&house.settings.reservations[0]));
    let of = |name: &str| list.iter().find(|line| line.name == name).map(|line| (line.value.as_str(), line.source.as_str()));
    assert_eq!(of("domain"), Some(("print.home.arpa", "this device")));
    assert_eq!(of("ntp"), Some(("192.0.2.9", "all devices")));
    assert_eq!(of("router"), Some(("192.0.2.1", "subnet 192.0.2.0/24")));
    assert_eq!(of("subnet-mask"), Some(("255.255.255.0", "follows from the network")));
    assert_eq!(of("host-name"), Some(("printer", "this device")));
}

#[test]
fn nothing_that_a_stranger_says_is_markup_on_its_page() {
    for name in ["<script>alert(1)</script>", "\" onmouseover=\"alert(1)", "</textarea><img src=x>", "\u{202e}evil"] {
        let house = house(HOME, vec![Binding { ..lease(TV, "192.0.2.100", Some(name)) }]);
        let html = page(&house, TV);
        for markup in ["<script>alert", "<img", "</textarea><", "onmouseover=\"alert"] {
            assert!(!html.contains(markup), "{name}: {html}");
        }
        assert!(!html.contains(" style="), "the policy allows no style on an element");
    }
}

#[test]
fn the_picture_of_a_day_has_no_style_of_its_own() {
    let house = house(HOME, vec![lease(TV, "192.0.2.100", Some("tv"))]);
    let device = find(&gather(&house), &TV.parse().expect("an id")).expect("it is listed");
    let hours = house.clock.wall_of(house.now).duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() / 3600;
    let hours = u32::try_from(hours).expect("before the year 491,000");
    let memory = Memory { hours: vec![(hours / 24, 1 << (hours % 24))], ..Memory::default() };
    let view = DeviceView::new(&device, &house, &memory, Span::Day);
    let form = FormView::new(link(&device.id), Fields::default(), "Save");
    let html = Page { shell: Shell::outside(&house, "tv"), device: view, form }.render().expect("the page is shown");
    assert!(html.contains(r#"<rect class="heard" x="690" y="8" width="30" height="28">"#), "{html}");
    assert!(html.contains("Heard in 1 of the last 24 hours.") && !html.contains("style="), "{html}");
}
