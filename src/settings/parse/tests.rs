use std::{net::Ipv4Addr, time::Duration};

use super::*;
use crate::{
    protocol::failover::Rank,
    settings::{
        FqdnPolicy, Mode,
        options::{OptionValue, Route},
    },
};

const HOME: &str = include_str!("../../../examples/home.toml");

/// What is wrong with the text, as `line: text`, one a line.
fn problems(text: &str) -> String {
    let problems = parse(text).expect_err("a text with problems");
    problems
        .iter()
        .map(|problem| format!("{}: {}\n", problem.line.map_or("-".into(), |line| line.to_string()), problem.text))
        .collect()
}

fn problem(text: &str) -> String {
    let problems = problems(text);
    assert_eq!(problems.lines().count(), 1, "one problem: {problems}");
    problems.trim_end().into()
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[test]
fn the_example_for_a_home_is_read() {
    let settings = parse(HOME).unwrap();
    assert_eq!(settings.subnets.len(), 2);
    assert_eq!(settings.subnets[0].pools.len(), 2);
    assert_eq!(settings.subnets[0].options[&3], OptionValue::IpList(vec![ip("192.168.1.1")]));
    assert_eq!(settings.subnets[1].lease.default, Some(Duration::from_secs(3600)));
    assert_eq!(settings.reservations.iter().map(|kept| kept.address.octets()[3]).collect::<Vec<_>>(), [31, 40, 120]);
    assert_eq!(settings.reservations[1].identifier, Identifier::ClientId(b"boiler".to_vec()));
    assert!(settings.reservations[1].force_broadcast && settings.reservations[1].echo_client_id);
}

#[test]
fn every_key_of_every_section_is_read() {
    let settings = parse(
        r#"
        [server]
        interfaces = ["eth0"]
        authoritative = false
        rapid-commit = true
        bootp = true
        leasequery = true
        probe = false
        decline-quarantine = "1h"
        private-mac-lease = 7200
        fqdn = "no-updates"
        [lease]
        default = "1h"
        min = "90s"
        max = "2h"
        infinite = true
        t1 = 0.4
        t2 = 0.75
        [twin]
        mode = "load-balancing"
        active = "second"
        mclt = "30m"
        ack-deadline = "150ms"
        assume-partner-down-after = "10m"
        [options]
        search = "home.arpa"
        routes = [{ to = "10.8.0.0/24", via = "192.0.2.9" }]
        static-routes = [["203.0.113.7", "192.0.2.9"]]
        vendor = { "1" = { type = "ip-list", value = ["192.0.2.9"] }, "2" = { type = "text", value = "ap" } }
        time-offset = -3600
        my-thing = "x"
        "225" = { type = "u8", value = 7 }
        6 = "192.0.2.53"
        sip-servers = "01:c0:00:02:09"
        [[custom-option]]
        code = 224
        name = "my-thing"
        type = "text"
        "#,
    )
    .unwrap();
    let server = Server {
        interfaces: vec!["eth0".into()],
        authoritative: false,
        rapid_commit: true,
        bootp: true,
        leasequery: true,
        probe: None,
        decline_quarantine: Duration::from_secs(3600),
        private_mac_lease: Some(Duration::from_secs(7200)),
        fqdn: FqdnPolicy::NoUpdates,
    };
    assert_eq!(settings.server, server);
    let [min, default, max] = [90, 3600, 7200].map(Duration::from_secs);
    assert_eq!(settings.lease, LeaseTimes { default, min, max, infinite: true, t1_permille: 400, t2_permille: 750 });
    let twin = Twin {
        mode: Mode::LoadBalancing,
        active: Rank::Second,
        mclt: Duration::from_secs(1800),
        ack_deadline: Duration::from_millis(150),
        assume_partner_down_after: Some(Duration::from_secs(600)),
    };
    assert_eq!(settings.twin, twin);
    let vendor = BTreeMap::from([(1, OptionValue::IpList(vec![ip("192.0.2.9")])), (2, OptionValue::Text("ap".into()))]);
    let options = OptionSet::from([
        (2, OptionValue::I32(-3600)),
        (6, OptionValue::IpList(vec![ip("192.0.2.53")])),
        (33, OptionValue::IpPairs(vec![(ip("203.0.113.7"), ip("192.0.2.9"))])),
        (43, OptionValue::SubOptions(vendor)),
        (119, OptionValue::DomainList(vec!["home.arpa".into()])),
        (120, OptionValue::Hex(vec![1, 192, 0, 2, 9])),
        (121, OptionValue::Routes(vec![Route { destination: "10.8.0.0/24".parse().unwrap(), gateway: ip("192.0.2.9") }])),
        (224, OptionValue::Text("x".into())),
        (225, OptionValue::U8(7)),
    ]);
    assert_eq!(settings.options, options);
}

#[test]
fn every_problem_is_reported_at_once_with_its_line() {
    let found = problems(
        r#"[server]
probe = true
colour = "red"
[lease]
default = "12x"
[options]
dns = ["192.0.2.53", "192.0.2.999", "home"]
mtu = 20
[[subnet]]
network = "192.0.2.0/24"
router = "192.0.2.1"
pools = ["192.0.2.10-192.0.2.300", "192.0.2.90-192.0.2.255"]
[[reservation]]
mac = "a4:cf:12:9"
address = "192.0.2.31"
[[reservation]]
mac = "a4:cf:12:9b:00:1e"
address = "198.51.100.7"
"#,
    );
    let expected = "\
2: `probe` in [server]: It cannot be true. Write how long to wait, like \"200ms\", or false.
3: `colour` is not known in [server]. Known there: interfaces, authoritative, rapid-commit, bootp, leasequery, probe, decline-quarantine, private-mac-lease, fqdn.
5: `default` in [lease]: `12x` is not a duration. Write for example \"90s\", \"15m\", \"12h\", \"7d\" or \"1h30m\".
7: `dns` in [options]: `192.0.2.999` is not an IPv4 address. Write four numbers from 0 to 255, like 192.0.2.1.
7: `dns` in [options]: `home` is not an IPv4 address. Write four numbers from 0 to 255, like 192.0.2.1.
8: `mtu` in [options] is 20; the smallest possible is 68. Raise it.
11: `router` is not known in [[subnet]] 192.0.2.0/24. It is an option: write it as `router` into [subnet.options].
12: `pools` in [[subnet]] 192.0.2.0/24: `192.0.2.300` is not an IPv4 address. Write four numbers from 0 to 255, like 192.0.2.1.
12: Pool 192.0.2.90-192.0.2.255 covers the broadcast address 192.0.2.255, which no device can have. Write 192.0.2.90-192.0.2.254.
14: `mac` in [[reservation]]: MAC `a4:cf:12:9` has 4 parts, one of them incomplete. Use 6 pairs, like a4:cf:12:9b:00:1e.
16: 198.51.100.7 for a4:cf:12:9b:00:1e lies in no subnet. Choose an address inside one, or add a [[subnet]] that holds it.
";
    assert_eq!(found, expected);
}

#[test]
fn broken_toml_is_told_with_line_and_column() {
    let found = problem("[server]\nprobe = \"200ms\nbootp = true\n");
    assert!(found.starts_with("2: This is not valid TOML at column "), "{found}");
    assert!(problem("[lease]\nmin = 1\nmin = 2\n").starts_with("3: This is not valid TOML at column 1: duplicate key"));
}

#[test]
fn what_the_pair_cannot_be_is_told_with_what_it_can() {
    assert!(problem("[twin]\nmode = \"standby\"").ends_with("Write \"hot-standby\" or \"load-balancing\"."));
    assert!(problem("[twin]\nactive = \"a\"").contains("Write \"first\" or \"second\""));
    assert!(problem("[twin]\nassume-partner-down-after = true").ends_with("Write after how long, like \"10m\", or false."));
    assert!(problem("[twin]\nmclt = \"10s\"").starts_with("1: `mclt` in [twin] is 10s."));
    assert!(problem("[twin]\nmclr = \"1h\"").ends_with("Did you mean `mclt`?"));
    let two = problems("[twin]\nmode = 1\nmclt = \"10s\"\n");
    assert_eq!(two.lines().count(), 2, "one does not hide the other: {two}");
}

#[test]
fn a_slip_in_a_key_or_an_option_gets_a_proposal() {
    assert!(problem("[server]\nautoritative = true").ends_with("Did you mean `authoritative`?"));
    assert!(problem("[sever]").ends_with("Did you mean `server`?"));
    assert!(problem("[options]\nruoter = \"192.0.2.1\"").ends_with("Did you mean `router`?"));
    assert!(problem("[options]\ndomain-name-servers = \"192.0.2.1\"").ends_with("Did you mean `dns`?"));
    assert!(problem("[options]\nxyzzy = 1").contains("[[custom-option]]"));
    assert!(problem("dns = \"192.0.2.1\"").ends_with("It is an option: write it as `dns` into [options]."));
    assert!(problem("[[subnet]]\nnetwork = \"192.0.2.0/24\"\ndefault = \"1h\"").ends_with("write it into [subnet.lease]."));
}

#[test]
fn options_that_the_server_governs_are_refused_by_name_and_by_code() {
    let by_name = problem("[options]\nlease-time = 3600");
    assert_eq!(
        by_name,
        "2: `lease-time` in [options] is set by the server alone. It follows from the lease times. \
         Set `default`, `min` and `max` in [lease] or [subnet.lease] instead."
    );
    assert!(problem("[options]\n\"51\" = { type = \"u32\", value = 3600 }").contains("is set by the server alone"));
    assert!(problem("[options]\n\"300\" = { type = \"u8\", value = 1 }").contains("Use 1 to 254"));
}

#[test]
fn a_raw_code_needs_its_type_and_a_known_one_keeps_its_own() {
    assert!(problem("[options]\n\"224\" = 7").contains("{ type = \"text\", value = \"…\" }"));
    assert!(problem("[options]\n\"224\" = { type = \"txt\", value = \"x\" }").contains("Did you mean \"text\"?"));
    assert!(problem("[options]\n\"224\" = { type = \"text\" }").contains("no value"));
    assert!(problem("[options]\ndns = { type = \"text\", value = \"x\" }").contains("it has type ip-list"));
    let vendor = parse("[options]\nvendor = { type = \"hex\", value = \"0104c0000209\" }").unwrap();
    assert_eq!(vendor.options[&43], OptionValue::Hex(vec![1, 4, 192, 0, 2, 9]));
    assert!(problem("[options]\nvendor = \"0104\"").contains("type = \"hex\""));
    assert!(problem("[options]\ndns = \"192.0.2.1\"\n\"6\" = \"192.0.2.2\"").contains("set there already"));
}

#[test]
fn wrong_types_name_what_is_there_and_what_is_needed() {
    assert!(problem("[server]\nbootp = \"yes\"").ends_with("It is a text. Write true or false, without quotes."));
    assert!(problem("[server]\ninterfaces = { a = 1 }").contains("It is a table, but a text is needed"));
    assert!(problem("server = 1").contains("a section is needed"));
    assert!(problem("[subnet]\nnetwork = \"192.0.2.0/24\"").contains("double brackets"));
    assert!(problem("[[server]]").contains("single brackets"));
    assert!(problem("[options]\nmtu = 70000").contains("70000 is out of range. Write a whole number from 0 to 65535"));
    assert!(problem("[options]\nstatic-routes = \"192.0.2.1\"").contains("[["));
    assert!(problem("[options]\nroutes = [{ to = \"10.8.0.1/24\", via = \"192.0.2.9\" }]").contains("Write 10.8.0.0/24."));
    assert!(problem("[options]\nroutes = [{ to = \"10.8.0.0/24\" }]").contains("no `via`"));
    assert!(problem("[lease]\nt1 = 0.33333").contains("three digits"));
    assert!(problem("[lease]\nt1 = 7").contains("between 0 and 1"));
    assert!(problem("[lease]\nmin = -5").contains("less than nothing"));
}

#[test]
fn a_reservation_goes_by_exactly_one_identifier() {
    let subnet = "[[subnet]]\nnetwork = \"192.0.2.0/24\"\n[[reservation]]\naddress = \"192.0.2.31\"\n";
    assert!(problem(subnet).starts_with("3: [[reservation]] names no device. Add one of"));
    let both = format!("{subnet}mac = \"a4:cf:12:9b:00:1e\"\nclient-id = \"text:x\"\n");
    assert!(problem(&both).contains("has mac and client-id"));
    assert!(problem("[[reservation]]\nmac = \"a4:cf:12:9b:00:1e\"").contains("has no `address`"));
}

#[test]
fn trouble_between_records_stands_at_the_later_line_in_spite_of_sorting() {
    let file = "[[subnet]]\nnetwork = \"198.51.100.0/24\"\n[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\n  \"192.0.2.50-192.0.2.60\",\n  \"192.0.2.10-192.0.2.55\",\n]\n";
    assert_eq!(
        problem(file),
        "6: Pool 192.0.2.50-192.0.2.60 overlaps pool 192.0.2.10-192.0.2.55. Join the two, or separate them."
    );
}

#[test]
fn what_could_not_be_read_causes_no_trouble_further_down() {
    let network = "[[subnet]]\nnetwork = \"192.0.2.0\"\n[[reservation]]\nmac = \"a4:cf:12:9b:00:1e\"\naddress = \"192.0.2.31\"\n";
    assert!(problem(network).starts_with("2: `network` in [[subnet]]: `192.0.2.0` is not a network."));
    let definition = "[options]\nmy-thing = \"x\"\n[[custom-option]]\ncode = 224\nname = \"my-thing\"\ntype = \"txt\"\n";
    assert!(problem(definition).starts_with("6: `type` in [[custom-option]]"));
    assert!(problem("[lease]\ndefault = \"1x\"\nmin = \"1d\"\n").starts_with("2: "));
}

#[test]
fn what_is_wrong_beside_what_cannot_be_read_is_told_in_the_same_go() {
    let text = "[lease]\ndefault = \"12x\"\nt1 = 0.9\nmin = \"8d\"\n[[subnet]]\nnetwork = \"192.0.2.0/24\"\n\
                [[reservation]]\nmac = \"a4:cf:12:9b:00:1e\"\naddress = \"192.0.2.31\"\n\
                [[reservation]]\nmac = \"a4:cf\"\naddress = \"192.0.2.31\"\nname = \"a b\"\n\
                [[reservation]]\nmac = \"a4\"\naddress = \"198.51.100.7\"\n";
    let problems = parse(text).unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let all = told.join("\n");
    for words in
        ["`default` in [lease]", "`min` (8d) is longer than `max`", "`t1` (0.9) must come before `t2`", "`a4:cf`", "`a4`"]
    {
        assert!(all.contains(words), "{words}: {all}");
    }
    assert!(all.contains("192.0.2.31 is already kept"), "{all}");
    assert!(all.contains("198.51.100.7"), "in no subnet: {all}");
}

#[test]
fn what_is_not_made_of_enterprises_is_refused() {
    let with = |hex: &str| format!("[options]\nvendor-identifying-options = \"{hex}\"\n");
    for hex in ["01:02", "00:00:0d:e9:05:01:02:61:62", "00:00:0d:e9:04:01:03:61:62"] {
        assert!(problem(&with(hex)).contains("is not made of enterprises"), "{hex}");
    }
    assert!(parse(&with("00:00:0d:e9:04:01:02:61:62:00:00:00:09:00")).is_ok(), "two, one of them empty");
}

#[test]
fn channels_of_alerts_are_read_with_what_is_usual_where_nothing_is_said() {
    let text = "[alerts]\npool-percent = 80\n[alerts.ntfy]\ntopic = \"home\"\n[alerts.syslog]\nhost = \"192.0.2.5\"\n\
                [alerts.mail]\nserver = \"mail.example.org\"\ntls = \"tls\"\nfrom = \"a@example.org\"\nto = \"b@example.org\"\n";
    let alerts = parse(text).unwrap().alerts;
    assert_eq!((alerts.pool_percent, alerts.quiet, alerts.webhook), (80, false, None));
    assert_eq!(alerts.ntfy.unwrap().url, "https://ntfy.sh");
    let syslog = alerts.syslog.unwrap();
    assert_eq!((syslog.port, syslog.log), (514, false));
    assert_eq!(alerts.mail.unwrap().port, 465);
}

#[test]
fn what_is_wrong_with_alerts_is_told_with_its_line() {
    for (text, told) in [
        ("[alerts]\npool-percent = 101", "2: `pool-percent` in [alerts]: 101 is out of range."),
        ("[alerts]\nntfi = 1", "2: `ntfi` is not known in [alerts]. Did you mean `ntfy`?"),
        ("[alerts.webhook]\nurl = \"example.org\"", "1: `url` in [alerts.webhook] cannot be asked."),
        ("[alerts.webhook]\nurl = \"https:///x\"", "1: `url` in [alerts.webhook] cannot be asked."),
        ("[alerts]\n[alerts.webhook]\n", "2: [alerts.webhook] has no `url`. Add for example url ="),
        ("[alerts.ntfy]\ntopic = \"a b\"", "1: `topic` in [alerts.ntfy] is `a b`."),
        (
            "[alerts.syslog]\nhost = \"x\"\nprotocol = \"dup\"",
            "3: `protocol` in [alerts.syslog]: `dup` is not possible. Did you mean \"udp\"?",
        ),
        ("[alerts.syslog]\nhost = \"x\"\nlog = \"yes\"", "3: `log` in [alerts.syslog]: It is a text. Write true or false"),
        ("[alerts.syslog]\nhost = \"x\"\nport = 0", "3: `port` in [alerts.syslog]: 0 is out of range."),
        (
            "[alerts.mail]\nserver = \"x\"\nfrom = \"a@b.org\"\nto = \"b\"",
            "1: `to` in [alerts.mail] is `b`, which is no mail address.",
        ),
        (
            "[alerts.mail]\nserver = \"x\"\nfrom = \"a@b.org\"\nto = \"b@c.org\"\nuser = \"u\"",
            "1: [alerts.mail] has a `user`, but no `password`. Write both, or neither.",
        ),
    ] {
        let problem = problem(text);
        assert!(problem.starts_with(told), "{text}: {problem}");
    }
}
