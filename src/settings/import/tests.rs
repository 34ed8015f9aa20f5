//! Files as people have them, written from the formats' manuals; and any text at all.

use std::{net::Ipv4Addr, time::Duration};

use proptest::prelude::*;

use super::{Joined, Source, Taken, join, read};
use crate::settings::{
    Identifier, Settings,
    check::check,
    options::OptionValue,
    words::{read_mac, show_identifier},
};

const KEA: &str = r#"// Made by hand
{ "Dhcp4": {
  "interfaces-config": { "interfaces": [ "eth0" ] }, # one only
  "valid-lifetime": 43200, "renew-timer": 21600, "rebind-timer": 37800,
  "authoritative": true,
  "option-def": [ { "name": "unifi_x", "code": 224, "type": "ipv4-address" } ],
  "option-data": [
    { "name": "domain-name-servers", "data": "192.0.2.53, 192.0.2.54" },
    { "name": "unifi_x", "data": "192.0.2.9" },
    { "name": "nonsense", "data": "1" },
  ],
  /* the house */
  "subnet4": [ {
    "id": 1, "subnet": "192.0.2.0/24",
    "pools": [ { "pool": "192.0.2.100 - 192.0.2.199" }, { "pool": "192.0.2.200/30" } ],
    "option-data": [ { "name": "routers", "data": "192.0.2.1" }, { "code": 42, "data": "192.0.2.1" } ],
    "reservations": [
      { "hw-address": "a4:cf:12:9b:00:1e", "ip-address": "192.0.2.31", "hostname": "printer" },
      { "client-id": "01:11:22:33", "ip-address": "192.0.2.32" },
      { "duid": "01:02", "ip-address": "192.0.2.33" },
      { "hw-address": "a4:cf:12:9b:00:1e", "ip-address": "192.0.2.34" }, // twice
    ],
  } ],
  "hooks-libraries": [ { "library": "libdhcp_ha.so" } ],
} }"#;

const DNSMASQ: &str = "\
# the house
domain=lan.example.org
server=192.0.2.53 # dns, not ours
dhcp-authoritative
dhcp-range=set:home,192.0.2.100,192.0.2.199,255.255.255.0,12h
dhcp-range=198.51.100.50,198.51.100.99
dhcp-range=2001:db8::100,2001:db8::200
dhcp-option=option:router,192.0.2.1
dhcp-option=tag:home,42,192.0.2.1
dhcp-option=tag:guests,6,192.0.2.1
dhcp-option=option:dns-server,0.0.0.0
dhcp-host=a4:cf:12:9b:00:1e,192.0.2.31,printer,infinite
dhcp-host=id:boiler,192.0.2.32
dhcp-host=00:11:22:33:44:*,192.0.2.33
dhcp-host=66:11:22:33:44:55,ignore
dhcp-host=66:11:22:33:44:56,My_TV,192.0.2.34
";

const ISC: &str = r#"
option domain-name-servers 192.0.2.53, 192.0.2.54;
option wifi-controller code 224 = ip-address;
default-lease-time 43200; max-lease-time 86400;
authoritative;
failover peer "x" { primary; }
subnet 192.0.2.0 netmask 255.255.255.0 {
  option routers 192.0.2.1;
  option domain-name "lan.example.org";
  range 192.0.2.100 192.0.2.149;
  pool { range 192.0.2.150 192.0.2.199; deny unknown-clients; }
  host inside { hardware ethernet a4:cf:12:9b:00:20; fixed-address 192.0.2.33; }
}
group {
  filename "pxelinux.0";
  option wifi-controller 192.0.2.9;
  host printer { hardware ethernet a4:cf:12:9b:00:1e; fixed-address 192.0.2.31; }
}
class "phones" { match if substring (hardware, 1, 3) = 00:11:22; }
host nameless { hardware ethernet a4:cf:12:9b:00:1f; }
"#;

const PIHOLE: &str = r#"[dns]
domain = "lan.example.org"
[dhcp]
  active = true
  start = "192.0.2.100"
  end = "192.0.2.199"
  router = "192.0.2.1"
  netmask = "255.255.255.0"
  leaseTime = "1d"
  hosts = [
    "a4:cf:12:9b:00:1e,192.0.2.31,printer",
    "nobody"
  ]
"#;

const PIHOLE_5: &str = "WEBPASSWORD=x\nDHCP_ACTIVE=true\nDHCP_START=192.0.2.100\nDHCP_END=192.0.2.199\nDHCP_ROUTER=192.0.2.1\n\
    DHCP_LEASETIME=24\nPIHOLE_DOMAIN=lan.example.org\n";

const OPNSENSE: &str = "ip_address,hw_address,hostname,description\n192.0.2.31,A4:CF:12:9B:00:1E,printer,\"In the hall, left\"\n192.0.2.x,a4:cf:12:9b:00:1f,bad,\n";
const SHEET: &str = "a4cf.129b.001e;192.0.2.31;printer;hall\n\na4-cf-12-9b-00-1f;192.0.2.32;=cmd\n";

fn printer_is_there(taken: &Taken) {
    let mac = Identifier::Mac(read_mac("a4:cf:12:9b:00:1e").unwrap());
    let (_, kept) = taken.reservations.iter().find(|(_, kept)| kept.identifier == mac).expect("the printer");
    assert_eq!((kept.address, kept.name.as_deref()), (Ipv4Addr::new(192, 0, 2, 31), Some("printer")));
}

fn applied(taken: &Taken) -> Settings {
    let Joined { settings, against, .. } = join(&Settings::default(), taken);
    assert_eq!(against, Vec::<String>::new());
    assert_eq!(check(&settings), []);
    settings
}

fn said<'t>(taken: &'t Taken, what: &str) -> &'t str {
    let remark = taken.skipped.iter().chain(&taken.assumed).find(|remark| remark.what.contains(what));
    &remark.unwrap_or_else(|| panic!("{what} in {:?}", taken.skipped)).why
}

#[test]
fn each_kind_is_told_by_its_content() {
    for (text, source) in [
        (KEA, Source::Kea),
        (DNSMASQ, Source::Dnsmasq),
        ("dhcp-host=a4:cf:12:9b:00:1e,192.0.2.31,printer\n", Source::Dnsmasq),
        (ISC, Source::Isc),
        (PIHOLE, Source::Pihole),
        (PIHOLE_5, Source::Pihole),
        (OPNSENSE, Source::Csv),
        (SHEET, Source::Csv),
    ] {
        assert_eq!(Source::of(text), Some(source), "{text}");
    }
    for text in ["", "hello", "#only\n", "PK\u{3}\u{4}"] {
        assert_eq!(Source::of(text), None, "{text}");
    }
}

#[test]
fn a_kea_file_with_comments_and_trailing_commas_comes_in() {
    let taken = read(Source::Kea, KEA);
    printer_is_there(&taken);
    assert!(said(&taken, "192.0.2.33").contains("DUID"));
    assert!(said(&taken, "hooks").contains("pair two"));
    assert!(said(&taken, "nonsense").contains("No option"));
    assert!(said(&taken, "a4:cf:12:9b:00:1e").contains("has one"));
    let settings = applied(&taken);
    assert_eq!(settings.subnets[0].pools.len(), 2);
    assert_eq!(settings.lease.default, Duration::from_secs(43_200));
    assert_eq!((settings.lease.t1_permille, settings.lease.t2_permille), (500, 875));
    assert_eq!(settings.options[&224], OptionValue::Ip(Ipv4Addr::new(192, 0, 2, 9)));
    assert_eq!(settings.reservations.len(), 2);
}

#[test]
fn a_broken_kea_file_is_told_with_its_line() {
    let taken = read(Source::Kea, "{ \"Dhcp4\": {\n \"subnet4\": [ }\n");
    assert_eq!(taken.skipped[0].line, Some(2));
    assert!(taken.is_empty());
}

#[test]
fn dnsmasq_ranges_hosts_and_tags_come_in() {
    let taken = read(Source::Dnsmasq, DNSMASQ);
    printer_is_there(&taken);
    assert!(said(&taken, "2001:db8").contains("IPv6"));
    assert!(said(&taken, "198.51.100.50").contains("no netmask"));
    assert!(said(&taken, "guests").contains("no dhcp-range"));
    assert!(said(&taken, "0.0.0.0").contains("by hand"));
    assert!(said(&taken, "44:*").contains('*'));
    assert!(said(&taken, "ignore").contains("refuses"));
    assert!(said(&taken, "My_TV").contains("My-TV"));
    assert_eq!(taken.elsewhere, 1);
    let settings = applied(&taken);
    assert_eq!(settings.subnets.len(), 2);
    assert!(settings.subnets[0].options.contains_key(&3) && settings.subnets[0].options.contains_key(&42));
    assert!(settings.reservations.iter().any(|kept| show_identifier(&kept.identifier) == "client-id text:boiler"));
}

#[test]
fn isc_groups_pools_and_hosts_come_in() {
    let taken = read(Source::Isc, ISC);
    printer_is_there(&taken);
    assert!(said(&taken, "failover").contains("pair two"));
    assert!(said(&taken, "class").contains("Classes"));
    assert!(said(&taken, "a4:cf:12:9b:00:1f").contains("no address"));
    let settings = applied(&taken);
    assert_eq!(settings.subnets[0].pools.len(), 2);
    assert_eq!(settings.subnets[0].options[&15], OptionValue::Text("lan.example.org".into()));
    assert_eq!(settings.lease.max, Duration::from_secs(86_400));
    let printer = settings.reservations.iter().find(|kept| kept.name.as_deref() == Some("printer")).unwrap();
    assert_eq!(printer.options[&224], OptionValue::Ip(Ipv4Addr::new(192, 0, 2, 9)));
}

#[test]
fn pihole_of_both_generations_comes_in() {
    let taken = read(Source::Pihole, PIHOLE);
    printer_is_there(&taken);
    assert_eq!(taken.skipped[0].line, Some(12));
    for taken in [taken, read(Source::Pihole, PIHOLE_5)] {
        let settings = applied(&taken);
        assert_eq!(settings.subnets[0].pools[0].range.to_string(), "192.0.2.100-192.0.2.199");
        assert_eq!(settings.lease.default, Duration::from_secs(86_400));
        assert!(settings.subnets[0].options.contains_key(&3) && settings.options.contains_key(&15));
    }
}

#[test]
fn tables_come_in_with_and_without_a_header() {
    let taken = read(Source::Csv, OPNSENSE);
    printer_is_there(&taken);
    assert_eq!(taken.reservations[0].1.note.as_deref(), Some("In the hall, left"));
    assert_eq!(taken.skipped[0].line, Some(3));
    let taken = read(Source::Csv, SHEET);
    printer_is_there(&taken);
    assert_eq!(taken.reservations.len(), 2);
}

#[test]
fn what_is_there_stays_and_what_clashes_is_told() {
    let before = applied(&read(Source::Pihole, PIHOLE));
    let text = "dhcp-range=192.0.2.150,192.0.2.220,255.255.255.0\ndhcp-option=3,192.0.2.9\n\
        dhcp-host=a4:cf:12:9b:00:1e,192.0.2.40\ndhcp-host=a4:cf:12:9b:00:99,192.0.2.31\ndhcp-host=a4:cf:12:9b:00:98,203.0.113.1\n\
        dhcp-host=a4:cf:12:9b:00:97,192.0.2.41\n";
    let Joined { settings, clashes, against, .. } = join(&before, &read(Source::Dnsmasq, text));
    assert_eq!(against, Vec::<String>::new());
    assert_eq!(settings.reservations.len(), 2, "{clashes:?}");
    assert_eq!(settings.subnets, before.subnets);
    let lines: Vec<_> = clashes.iter().filter_map(|clash| clash.line).collect();
    assert_eq!(lines, [3, 4, 5]);
    assert!(clashes.iter().any(|clash| clash.what.contains("router")));
    assert!(clashes.iter().any(|clash| clash.what.contains("192.0.2.150")));
}

#[test]
fn a_second_import_of_the_same_changes_nothing() {
    for (source, text) in
        [(Source::Kea, KEA), (Source::Dnsmasq, DNSMASQ), (Source::Isc, ISC), (Source::Pihole, PIHOLE), (Source::Csv, SHEET)]
    {
        let taken = read(source, text);
        let once = join(&Settings::default(), &taken).settings;
        let twice = join(&once, &taken);
        assert_eq!(twice.settings, once, "{source:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_a_reader(text in "(?s).{0,300}") {
        for source in Source::ALL {
            let taken = read(source, &text);
            let joined = join(&Settings::default(), &taken);
            prop_assert!(!joined.against.is_empty() || check(&joined.settings).is_empty());
        }
        let _ = Source::of(&text);
    }

    /// Cut anywhere, with a piece of another in it: closer to what people upload than noise.
    #[test]
    fn no_mangled_file_panics_a_reader(which in 0..5_usize, cut in 0..1500_usize, from in 0..1500_usize, other in 0..5_usize) {
        let texts = [KEA, DNSMASQ, ISC, PIHOLE, OPNSENSE];
        let (one, two) = (texts[which], texts[other]);
        let text = format!("{}{}", &one[..one.floor_char_boundary(cut)], &two[two.floor_char_boundary(from)..]);
        for source in Source::ALL {
            let joined = join(&Settings::default(), &read(source, &text));
            prop_assert!(!joined.against.is_empty() || check(&joined.settings).is_empty());
        }
    }
}
