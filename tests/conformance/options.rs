//! "Options with rules of their own", and where the value of an option comes from.

use super::{
    net::{ALICE, BOB, HOME, Net, SERVER, ip, taking_up},
    packet::{INFORM, Packet},
};

const KEPT: &str = "[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.15\"";

fn home_with(options: &str) -> Net {
    Net::with(&format!("{HOME}{options}"))
}

/// RFC 6842
#[test]
fn option_61_is_echoed_as_sent_also_in_a_nak() {
    let mut net = Net::home();
    let id = [0xff, 0, 0, 0, 0, 1, 0xfe];
    let discover = Packet::discover(ALICE).id(&id);
    let offer = net.send(&discover).offer();
    let ack = net.send(&taking_up(&discover, &offer)).ack();
    let nak = net.send(&Packet::reboot(ALICE, ip("198.51.100.7")).id(&id)).expect_nak();
    let inform = net.send(&Packet::of(INFORM, ALICE).ciaddr(ip("192.0.2.77")).id(&id)).ack();
    for seen in [offer, ack, nak, inform] {
        assert_eq!(seen.option(61).as_deref(), Some(&id[..]));
    }
    assert_eq!(net.discover(BOB).offer().option(61), None, "nothing is echoed that was not sent");
}

/// RFC 6842
#[test]
fn the_echo_of_61_can_be_switched_off_for_a_device() {
    let mut net = home_with(&format!("{KEPT}\necho-client-id = false"));
    assert_eq!(net.send(&Packet::discover(ALICE).id(b"\x01a")).offer().option(61), None);
    assert_eq!(net.send(&Packet::reboot(ALICE, ip("198.51.100.7")).id(b"\x01a")).expect_nak().option(61), None);
    assert!(net.send(&Packet::discover(BOB).id(b"\x01b")).offer().option(61).is_some());
}

/// RFC 3011
#[test]
fn option_118_is_echoed() {
    let mut net = Net::home();
    let offer = net.send(&Packet::discover(ALICE).option(118, &[192, 0, 2, 0])).offer();
    assert_eq!(offer.option(118), Some(vec![192, 0, 2, 0]));
}

const ROUTES: &str = "routes = [{ to = \"10.77.0.0/16\", via = \"192.0.2.7\" }]\n";

/// RFC 3442
#[test]
fn option_121_includes_the_default_route_and_precedes_3() {
    let mut net = home_with(ROUTES);
    let offer = net.send(&Packet::discover(ALICE).wants(&[3, 6, 121])).offer();
    assert_eq!(offer.option(121), Some(vec![0, 192, 0, 2, 1, 16, 10, 77, 192, 0, 2, 7]));
    assert_eq!(offer.codes(), [53, 54, 51, 58, 59, 121, 3, 6]);
}

/// RFC 3442
#[test]
fn a_default_route_that_was_written_into_121_is_left_as_it_is() {
    let mut net = home_with("routes = [{ to = \"0.0.0.0/0\", via = \"192.0.2.9\" }]\n");
    let offer = net.send(&Packet::discover(ALICE).wants(&[3, 121])).offer();
    assert_eq!(offer.option(121), Some(vec![0, 192, 0, 2, 9]));
}

/// RFC 3442
#[test]
fn the_default_route_in_121_is_that_of_the_strongest_source() {
    let mut net = home_with(&format!("{ROUTES}{KEPT}\n[reservation.options]\nrouter = \"192.0.2.99\""));
    let offer = net.send(&Packet::discover(ALICE).wants(&[3, 121])).offer();
    assert_eq!(offer.ip(3), Some(ip("192.0.2.99")));
    assert_eq!(offer.option(121), Some(vec![0, 192, 0, 2, 99, 16, 10, 77, 192, 0, 2, 7]));
}

/// RFC 4702 §4
#[test]
fn option_81_is_answered_by_81_and_beats_12() {
    let mut net = home_with("domain = \"example.org\"\n");
    let ascii = Packet::discover(ALICE).option(81, b"\x01\0\0laptop").option(12, b"other").wants(&[12, 15, 81]);
    let offer = net.send(&ascii).offer();
    assert_eq!(offer.option(81).as_deref(), Some(&b"\x02\xff\xfflaptop.example.org"[..]), "S refused, said by O");
    assert_eq!(offer.option(12), None);
    let address = net.lease_by(&ascii);
    assert_eq!(net.record(address).host_name.as_deref(), Some("laptop"));
}

/// RFC 4702 §2.3.1
#[test]
fn option_81_is_answered_in_the_encoding_that_was_sent() {
    let mut net = home_with("domain = \"example.org\"\n");
    let canonical = Packet::discover(ALICE).option(81, b"\x05\0\0\x06laptop");
    let offer = net.send(&canonical).offer();
    assert_eq!(offer.option(81).as_deref(), Some(&b"\x06\xff\xff\x06laptop\x07example\x03org\0"[..]));
    let address = net.lease_by(&canonical);
    assert_eq!(net.record(address).host_name.as_deref(), Some("laptop"));
}

/// RFC 4702 §4
#[test]
fn the_policy_for_81_decides_the_n_bit() {
    let mut net = Net::home_and("[server]\nfqdn = \"no-updates\"");
    let offer = net.send(&Packet::discover(ALICE).option(81, b"\x00\0\0laptop")).offer();
    assert_eq!(offer.option(81).unwrap()[0], 0x08);
    let offer = net.send(&Packet::discover(BOB).option(81, b"\x08\0\0laptop")).offer();
    assert_eq!(offer.option(81).unwrap()[0], 0x08, "N of the client is kept");
}

/// RFC 8925 §3.3
#[test]
fn option_108_is_sent_only_to_who_asks_for_it() {
    let mut net = home_with("v6-only-preferred = 1800\n");
    assert_eq!(net.send(&Packet::discover(ALICE).wants(&[1, 108])).offer().number(108), Some(1800));
    assert_eq!(net.send(&Packet::discover(BOB).wants(&[1])).offer().option(108), None);
    assert_eq!(net.discover(ALICE).offer().option(108), None);
}

/// RFC 8910 §2
#[test]
fn option_114_is_a_uri_without_nul_even_for_clients_that_like_nuls() {
    let mut net = home_with("captive-portal = \"https://portal.example.org/api\"\n");
    let offer = net.send(&Packet::discover(ALICE).option(12, b"old\0").wants(&[114])).offer();
    assert_eq!(offer.text(114).as_deref(), Some("https://portal.example.org/api"));
}

/// RFC 3925 §4
#[test]
fn options_124_and_125_go_out_as_they_were_written() {
    let mut net = home_with("vendor-identifying-options = \"00:00:0d:e9:04:01:02:61:62\"\n");
    let offer = net.send(&Packet::discover(ALICE).wants(&[125])).offer();
    assert_eq!(offer.option(125), Some(vec![0, 0, 0x0d, 0xe9, 4, 1, 2, b'a', b'b']));
}

/// RFC 2132 §8.4
#[test]
fn option_43_is_built_of_sub_options() {
    let ap = "vendor = { 1 = { type = \"ip\", value = \"192.0.2.9\" }, 241 = { type = \"hex\", value = \"c0:00\" } }\n";
    let mut net = home_with(ap);
    let offer = net.send(&Packet::discover(ALICE).wants(&[43])).offer();
    assert_eq!(offer.option(43), Some(vec![1, 4, 192, 0, 2, 9, 241, 2, 0xc0, 0]));
}

/// RFC 5417, 2132 §8.3, 3397
#[test]
fn lists_of_addresses_and_names_go_out_whole() {
    let mut net = home_with(
        "capwap-ac = [\"192.0.2.8\", \"192.0.2.9\"]\nntp = \"192.0.2.3\"\nsearch = [\"example.org\", \"a.example.org\"]\n",
    );
    let offer = net.send(&Packet::discover(ALICE).wants(&[138, 42, 119, 6])).offer();
    assert_eq!(offer.option(138), Some(vec![192, 0, 2, 8, 192, 0, 2, 9]));
    assert_eq!(offer.ip(42), Some(ip("192.0.2.3")));
    assert_eq!(offer.option(6), Some(vec![192, 0, 2, 1, 192, 0, 2, 2]));
    assert_eq!(offer.option(119).as_deref(), Some(&b"\x07example\x03org\0\x01a\xc0\0"[..]));
}

#[test]
fn custom_options_go_out_by_code_and_type() {
    let custom =
        [("u8", "7", vec![7]), ("u16", "258", vec![1, 2]), ("u32", "66051", vec![0, 1, 2, 3]), ("bool", "true", vec![1])];
    for (kind, value, bytes) in custom {
        let definition = format!("[[custom-option]]\ncode = 224\nname = \"my-thing\"\ntype = \"{kind}\"");
        let mut net = Net::with(&format!("{definition}{HOME}my-thing = {value}\n"));
        assert_eq!(net.send(&Packet::discover(ALICE).wants(&[224])).offer().option(224), Some(bytes), "{kind}");
    }
}

/// RFC 2132 §9.4, §9.5; §2 for siaddr
#[test]
fn options_66_and_67_boot_a_machine() {
    let mut net = home_with("tftp-server-name = \"192.0.2.9\"\nboot-file = \"pxelinux.0\"\n");
    let rom = Packet::discover(ALICE).option(60, b"PXEClient:Arch:00000").wants(&[66, 67]);
    let offer = net.send(&rom).offer();
    assert_eq!(offer.siaddr(), ip("192.0.2.9"));
    assert!(offer.file().starts_with(b"pxelinux.0\0") && offer.sname().starts_with(b"192.0.2.9\0"));
    let plain = net.send(&Packet::discover(BOB).wants(&[1])).offer();
    assert_eq!((plain.siaddr(), plain.file()), (ip("0.0.0.0"), &[0; 128][..]));
}

/// architecture: global < subnet < pool < reservation
#[test]
fn the_value_of_an_option_comes_from_the_strongest_source() {
    let toml = r#"
[options]
domain = "global.example.org"
ntp = "192.0.2.3"
wpad = "http://global.example.org"
[[subnet]]
network = "192.0.2.0/24"
[subnet.options]
domain = "subnet.example.org"
ntp = "192.0.2.4"
router = "192.0.2.1"
[[subnet.pool]]
range = "192.0.2.10-192.0.2.19"
[subnet.pool.options]
domain = "pool.example.org"
[[subnet.pool]]
range = "192.0.2.30-192.0.2.39"
[[reservation]]
mac = "00:16:3e:00:00:a1"
address = "192.0.2.15"
[reservation.options]
domain = "own.example.org"
"#;
    let mut net = Net::with(toml);
    let wants = [15, 42, 3, 252];
    let domain = |net: &mut Net, packet: Packet| {
        let seen = net.send(&packet.wants(&wants)).one();
        assert_eq!((seen.ip(42), seen.ip(3)), (Some(ip("192.0.2.4")), Some(ip("192.0.2.1"))));
        assert_eq!(seen.text(252).as_deref(), Some("http://global.example.org"));
        seen.text(15).unwrap()
    };
    assert_eq!(domain(&mut net, Packet::discover(ALICE)), "own.example.org");
    assert_eq!(domain(&mut net, Packet::discover(BOB)), "pool.example.org");
    let from_second_pool = Packet::discover([0, 0x16, 0x3e, 0, 0, 9]).option(50, &[192, 0, 2, 33]);
    assert_eq!(domain(&mut net, from_second_pool), "subnet.example.org");
    let outside = Packet::of(INFORM, BOB).ciaddr(ip("192.0.2.200"));
    assert_eq!(domain(&mut net, outside), "subnet.example.org");
}

#[test]
fn the_mask_and_the_broadcast_address_follow_from_the_network() {
    let mut net = Net::with("[[subnet]]\nnetwork = \"192.0.2.0/25\"\npools = [\"192.0.2.10-192.0.2.19\"]");
    let offer = net.send(&Packet::discover(ALICE).wants(&[1, 28])).offer();
    assert_eq!((offer.ip(1), offer.ip(28)), (Some(ip("255.255.255.128")), Some(ip("192.0.2.127"))));
    assert_eq!(offer.ip(54), Some(SERVER));
}
