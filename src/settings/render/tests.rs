//! The file that is written is read back to the same settings, whatever they are.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{super::AddressRange, *};
use crate::{
    protocol::lease::HwAddr,
    settings::{
        access::{Scope as TokenScope, Token},
        alerts::{Mail, MailTls, NTFY_URL, Ntfy, Syslog, SyslogProtocol, Webhook},
        check::check,
        options::OptionKind,
        parse::parse,
    },
};

fn address() -> impl Strategy<Value = Ipv4Addr> {
    (1u32..=u32::MAX).prop_map(Ipv4Addr::from)
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z0-9]{1,8}){0,2}"
}

/// Any text without NUL, control and other strange characters included.
fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 1..20).prop_map(|chars| chars.into_iter().map(|c| if c == '\0' { '"' } else { c }).collect())
}

fn lease_secs() -> impl Strategy<Value = Duration> {
    (1..u32::MAX).prop_map(|secs| Duration::from_secs(u64::from(secs)))
}

fn permilles() -> impl Strategy<Value = (u16, u16)> {
    (1u16..998).prop_flat_map(|t1| (Just(t1), t1 + 1..1000))
}

fn network() -> impl Strategy<Value = Ipv4Net> {
    (address(), 0u8..=32).prop_map(|(address, prefix)| Ipv4Net::new(address, prefix).expect("at most 32").trunc())
}

fn value(kind: OptionKind) -> BoxedStrategy<OptionValue> {
    match kind {
        OptionKind::Ip => address().prop_map(OptionValue::Ip).boxed(),
        OptionKind::IpList => vec(address(), 1..4).prop_map(OptionValue::IpList).boxed(),
        OptionKind::Text => text().prop_map(OptionValue::Text).boxed(),
        OptionKind::U8 => select(vec![1, 2, 4, 8]).prop_map(OptionValue::U8).boxed(),
        OptionKind::U16 => (576u16..).prop_map(OptionValue::U16).boxed(),
        OptionKind::U32 => any::<u32>().prop_map(OptionValue::U32).boxed(),
        OptionKind::I32 => any::<i32>().prop_map(OptionValue::I32).boxed(),
        OptionKind::U16List => vec(68u16.., 1..4).prop_map(OptionValue::U16List).boxed(),
        OptionKind::Bool => any::<bool>().prop_map(OptionValue::Bool).boxed(),
        OptionKind::Hex => vec(any::<u8>(), 0..20).prop_map(OptionValue::Hex).boxed(),
        OptionKind::DomainList => vec(name(), 1..4).prop_map(OptionValue::DomainList).boxed(),
        OptionKind::Routes => {
            let route =
                (network(), any::<u32>()).prop_map(|(destination, gateway)| Route { destination, gateway: gateway.into() });
            vec(route, 1..4).prop_map(OptionValue::Routes).boxed()
        }
        OptionKind::IpPairs => vec((address(), address()), 1..4).prop_map(OptionValue::IpPairs).boxed(),
        OptionKind::SubOptions => {
            let inner =
                select(OptionKind::ALL.to_vec()).prop_filter("no sub-options inside", |kind| *kind != OptionKind::SubOptions);
            let sub_options = proptest::collection::btree_map(1u8..=254, inner.prop_flat_map(value), 1..4);
            sub_options.prop_map(OptionValue::SubOptions).boxed()
        }
    }
}

/// Two enterprises, one with a sub-option (RFC 3925).
fn by_enterprise() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u8; 8]>(), 0u8..20).prop_map(|(numbers, length)| {
        let sub_option = [&[1, length][..], &vec![7; usize::from(length)]].concat();
        [&numbers[..4], &[0], &numbers[4..], &[length + 2], &sub_option].concat()
    })
}

/// An option with a value that suits it; `router` is left to the subnets, `domain` and `captive-portal` have rules of their own.
fn option(custom: Vec<OptionDefinition>) -> impl Strategy<Value = (u8, OptionValue)> {
    let code = (1u8..=254).prop_filter("an option that is set", |code| dictionary::governed(*code).is_none() && *code != 3);
    (code, any::<bool>(), select(OptionKind::ALL.to_vec())).prop_flat_map(move |(code, raw, any_kind)| {
        let defined = custom.iter().find(|definition| definition.code == code).map(|definition| definition.kind);
        let kind = match dictionary::kind_of(code).or(defined) {
            Some(_) if raw => OptionKind::Hex,
            Some(kind) => kind,
            None => any_kind,
        };
        let value = match (code, kind) {
            (15, OptionKind::Text) => name().prop_map(OptionValue::Text).boxed(),
            (114, OptionKind::Text) => name().prop_map(|host| OptionValue::Text(format!("https://{host}/"))).boxed(),
            (124 | 125, OptionKind::Hex) => by_enterprise().prop_map(OptionValue::Hex).boxed(),
            _ => value(kind),
        };
        (Just(code), value)
    })
}

fn option_set(custom: &[OptionDefinition]) -> impl Strategy<Value = OptionSet> + use<> {
    vec(option(custom.to_vec()), 0..5).prop_map(|options| options.into_iter().collect::<BTreeMap<_, _>>())
}

fn server() -> impl Strategy<Value = Server> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let times = (option::of(1u64..=2000), lease_secs(), option::of(lease_secs()));
    (vec("[!-.0-~]{1,15}", 0..3), flags, times, select(vec![FqdnPolicy::ClientUpdates, FqdnPolicy::NoUpdates])).prop_map(
        |(
            interfaces,
            (authoritative, rapid_commit, bootp, leasequery),
            (probe_ms, decline_quarantine, private_mac_lease),
            fqdn,
        )| Server {
            interfaces,
            authoritative,
            rapid_commit,
            bootp,
            leasequery,
            probe: probe_ms.map(Duration::from_millis),
            decline_quarantine,
            private_mac_lease,
            fqdn,
        },
    )
}

fn lease_times() -> impl Strategy<Value = LeaseTimes> {
    ([lease_secs(), lease_secs(), lease_secs()], any::<bool>(), permilles()).prop_map(
        |(mut times, infinite, (t1_permille, t2_permille))| {
            times.sort();
            LeaseTimes { default: times[1], min: times[0], max: times[2], infinite, t1_permille, t2_permille }
        },
    )
}

fn twin() -> impl Strategy<Value = Twin> {
    let modes = select(vec![Mode::HotStandby, Mode::LoadBalancing]);
    let ranks = select(vec![Rank::First, Rank::Second]);
    (modes, ranks, 60_000u64..=86_400_000, 10u64..=2000, option::of(60_000u64..=2_592_000_000)).prop_map(
        |(mode, active, mclt_ms, ack_deadline_ms, assumed_ms)| Twin {
            mode,
            active,
            mclt: Duration::from_millis(mclt_ms),
            ack_deadline: Duration::from_millis(ack_deadline_ms),
            assume_partner_down_after: assumed_ms.map(Duration::from_millis),
        },
    )
}

/// Overrides that agree with the general times: all three times or none.
fn lease_overrides() -> impl Strategy<Value = LeaseOverrides> {
    (lease_times(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(times, with_times, with_parts, with_infinite)| {
        LeaseOverrides {
            default: with_times.then_some(times.default),
            min: with_times.then_some(times.min),
            max: with_times.then_some(times.max),
            infinite: with_infinite.then_some(times.infinite),
            t1_permille: with_parts.then_some(times.t1_permille),
            t2_permille: with_parts.then_some(times.t2_permille),
        }
    })
}

/// The subnet 10.n.0.0/16; pools and exclusions in ascending pieces, a router that no pool covers.
fn subnet(n: u8, custom: Vec<OptionDefinition>) -> impl Strategy<Value = Subnet> {
    let at = move |host: u16| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, n, 0, 0)) + u32::from(host));
    let cuts = proptest::collection::btree_set(2u16..60_000, 0..9);
    let pool_options = vec(option_set(&custom), 5);
    let exclusions = proptest::collection::btree_set(any::<u16>(), 0..3);
    (cuts, pool_options, exclusions, option::of("[a-z0-9]{1,15}"), lease_overrides(), option_set(&custom), any::<bool>())
        .prop_map(move |(cuts, mut pool_options, exclusions, interface, lease, mut options, with_router)| {
            let cuts: Vec<u16> = cuts.into_iter().collect();
            let ranges = cuts.chunks_exact(2).map(|pair| AddressRange { first: at(pair[0]), last: at(pair[1]) });
            let pools = ranges.map(|range| Pool { range, options: pool_options.pop().unwrap_or_default() }).collect();
            let exclusions = exclusions.into_iter().map(|host| AddressRange { first: at(host), last: at(host) }).collect();
            if with_router {
                options.insert(3, OptionValue::IpList(vec![at(1)]));
            }
            Subnet { network: Ipv4Net::new(at(0), 16).expect("at most 32"), interface, pools, exclusions, lease, options }
        })
}

fn identifier() -> impl Strategy<Value = Identifier> {
    let ethernet = any::<[u8; 6]>().prop_map(|[first, rest @ ..]| {
        let [a, b, c, d, e] = rest;
        Identifier::Mac(HwAddr::ethernet([first & 0xfe, a, b, c, d, e]))
    });
    let other = (2u8.., vec(any::<u8>(), 1..=16))
        .prop_map(|(htype, bytes)| Identifier::Mac(HwAddr::new(htype, &bytes).expect("at most 16")));
    prop_oneof![
        4 => ethernet,
        1 => other,
        1 => vec(any::<u8>(), 1..20).prop_map(Identifier::ClientId),
        1 => "[ -~]{1,20}".prop_map(|text| Identifier::ClientId(text.into_bytes())),
        1 => vec(any::<u8>(), 1..20).prop_map(Identifier::CircuitId),
    ]
}

fn reservations(subnets: u8, custom: &[OptionDefinition]) -> impl Strategy<Value = Vec<Reservation>> + use<> {
    let identifiers = proptest::collection::hash_set(identifier(), 0..6);
    let addresses = proptest::collection::btree_set((0..subnets.max(1), 2u16..65_535), 6);
    let rest = vec((option::of(name()), option::of(text()), any::<bool>(), any::<bool>(), option_set(custom)), 6);
    (identifiers, addresses, rest).prop_map(move |(identifiers, addresses, rest)| {
        let kept = identifiers.into_iter().zip(addresses).zip(rest).filter(|_| subnets > 0);
        let kept = kept.map(|((identifier, (n, host)), (name, note, force_broadcast, echo_client_id, options))| {
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, n, 0, 0)) + u32::from(host));
            Reservation { identifier, address, name, note, options, force_broadcast, echo_client_id }
        });
        kept.collect()
    })
}

fn alerts() -> impl Strategy<Value = Alerts> {
    let host = || "[a-z0-9]{1,9}(\\.[a-z]{2,5}){0,2}";
    let url = || ("(http|https)://[a-z0-9.]{0,9}[a-z](:8080)?(/[!-~]{0,20})?").prop_filter("labels", |url| !url.contains(".."));
    let url = move || url().prop_filter("labels", |url| !url.contains("//."));
    let webhook = url().prop_map(|url| Webhook { url });
    let ntfy = (url(), "[A-Za-z0-9_-]{1,64}", option::of("[!-~]{1,40}"));
    let ntfy = ntfy.prop_map(|(url, topic, token)| Ntfy { url, topic, token });
    let tls = select(vec![MailTls::Starttls, MailTls::Tls, MailTls::None]);
    let address = || "[a-z.+]{1,9}@[a-z]{1,9}\\.org";
    let login = option::of(("[ -~]{1,20}", "[ -~äß]{1,20}"));
    let mail = (host(), 1u16.., tls, login, address(), address()).prop_map(|(server, port, tls, login, from, to)| {
        let (user, password) = login.unzip();
        Mail { server, port, tls, user, password, from, to }
    });
    let protocols = select(vec![SyslogProtocol::Udp, SyslogProtocol::Tcp]);
    let syslog = (host(), 1u16.., protocols, any::<bool>());
    let syslog = syslog.prop_map(|(host, port, protocol, log)| Syslog { host, port, protocol, log });
    let channels = (option::of(webhook), option::of(ntfy), option::of(mail), option::of(syslog));
    (any::<bool>(), 1u8..=100, channels).prop_map(|(quiet, pool_percent, (webhook, ntfy, mail, syslog))| Alerts {
        quiet,
        pool_percent,
        webhook,
        ntfy,
        mail,
        syslog,
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let custom = vec(select(OptionKind::ALL.to_vec()), 0..4).prop_map(|kinds| {
        let definitions = kinds.into_iter().zip(224u8..);
        definitions.map(|(kind, code)| OptionDefinition { code, name: format!("my-{code}"), kind }).collect::<Vec<_>>()
    });
    (custom, 0u8..4).prop_flat_map(|(custom_options, count)| {
        let subnets: Vec<_> = (0..count).map(|n| subnet(n, custom_options.clone())).collect();
        (
            server(),
            lease_times(),
            (twin(), alerts()),
            option_set(&custom_options),
            subnets,
            reservations(count, &custom_options),
            Just(custom_options),
        )
            .prop_map(|(server, lease, (twin, alerts), options, subnets, reservations, custom_options)| Settings {
                server,
                lease,
                twin,
                access: Access::default(),
                alerts,
                options,
                custom_options,
                subnets,
                reservations,
            })
    })
}

proptest! {
    #[test]
    fn every_settings_are_read_back_as_they_were(settings in settings()) {
        prop_assert_eq!(check(&settings), vec![], "the generator makes settings that can be served");
        let file = render(&settings);
        prop_assert_eq!(parse(&file), Ok(settings), "{}", file);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "([a-z.=\\[\\]{}\"',0-9:/ \n-]{0,80}|.{0,80})") {
        let _ = parse(&text);
    }
}

#[test]
fn defaults_are_written_out_and_read_back() {
    let file = render(&Settings::default());
    assert!(file.contains("[server]\n") && file.contains("default = \"12h\"") && file.contains("t2 = 0.875"), "{file}");
    assert!(file.contains("[twin]\nmode = \"hot-standby\"") && file.contains("assume-partner-down-after = false"), "{file}");
    assert_eq!(parse(&file), Ok(Settings::default()));
    assert_eq!(parse(""), Ok(Settings::default()));
}

#[test]
fn an_option_is_written_by_name_and_a_raw_one_with_its_type() {
    let dns = OptionValue::IpList(vec![Ipv4Addr::new(192, 0, 2, 53)]);
    assert_eq!(render_option(6, &dns, &[]), "dns = [\"192.0.2.53\"]");
    assert_eq!(render_option(224, &OptionValue::Text("a\"b".into()), &[]), "\"224\" = { type = \"text\", value = \"a\\\"b\" }");
    assert_eq!(render_option(43, &OptionValue::Hex(vec![1, 4]), &[]), "vendor = { type = \"hex\", value = \"01:04\" }");
    let definitions = [OptionDefinition { code: 224, name: "my-thing".into(), kind: OptionKind::U8 }];
    assert_eq!(render_option(224, &OptionValue::U8(7), &definitions), "my-thing = 7");
}

#[test]
fn no_file_says_who_may_sign_in() {
    let token = Token { name: "Home Assistant".into(), hash: "ab".repeat(32), scope: TokenScope::Write, created: 1_700_000_000 };
    let access = Access { password: Some("$argon2id$v=19$x".into()), tokens: vec![token] };
    let settings = Settings { access: access.clone(), ..Settings::default() };
    assert_eq!(render(&settings), render(&Settings::default()));
    assert_eq!(settings.for_file(), Settings::default());
    let shown = record(&Record::Access(access.clone()));
    assert!(shown.contains("(set)") && shown.contains("Home Assistant") && !shown.contains("argon2"), "{shown}");
    let masked = format!("{:?}", Record::Access(access).masked());
    assert!(masked.contains("Home Assistant") && !masked.contains("argon2") && !masked.contains("abab"), "{masked}");
    let problems = parse("[access]\npassword = \"x\"").unwrap_err();
    assert!(problems[0].to_string().starts_with("line 1: `access` is not known"), "{problems:?}");
}

#[test]
fn a_file_with_channels_says_that_it_may_hold_passwords() {
    let mail = Mail {
        server: "mail.example.org".into(),
        port: 587,
        tls: MailTls::Starttls,
        user: Some("me".into()),
        password: Some("very secret".into()),
        from: "dhcp@example.org".into(),
        to: "me@example.org".into(),
    };
    let webhook = Some(Webhook { url: "https://example.org/secret".into() });
    let ntfy = Some(Ntfy { url: NTFY_URL.into(), topic: "home".into(), token: Some("tk_secret".into()) });
    let alerts = Alerts { mail: Some(mail), webhook, ntfy, ..Alerts::default() };
    let settings = Settings { alerts: alerts.clone(), ..Settings::default() };
    let file = render(&settings);
    assert!(file.contains("hold passwords") && file.contains("password = \"very secret\""), "{file}");
    assert!(!render(&Settings::default()).contains("[alerts]"));
    let masked = alerts.masked();
    assert!(!format!("{masked:?}").contains("secret"), "{masked:?}");
    let mut back = masked.clone();
    assert!(back.unmask(&alerts) && back == alerts);
    let mut without = masked.clone();
    assert!(!without.unmask(&Alerts { mail: None, ..alerts }), "the password is nowhere any more");
}
