//! Where the corpus starts from: packets as real clients send them, histories made of them, a settings file.

/// The fixed part of a request.
#[derive(Clone, Copy)]
struct Header {
    hlen: u8,
    flags: u16,
    secs: u16,
    ciaddr: [u8; 4],
    giaddr: [u8; 4],
    mac: [u8; 6],
}

const PLAIN: Header =
    Header { hlen: 6, flags: 0, secs: 0, ciaddr: [0; 4], giaddr: [0; 4], mac: [0xa4, 0xcf, 0x12, 0x9b, 0, 0x2f] };
const SERVER: &[u8] = &[192, 0, 2, 1];
const FIRST: &[u8] = &[192, 0, 2, 100];
const LINUX_LIST: &[u8] = &[1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42, 252];
const PHONE_LIST: &[u8] = &[1, 121, 3, 6, 15, 108, 114, 119, 252];
const PXE_LIST: &[u8] = &[
    1, 2, 3, 4, 5, 6, 11, 12, 13, 15, 16, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97, 128, 129, 130,
    131, 132, 133, 134, 135, 150,
];

fn packet(header: Header, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![1, 1, header.hlen, 0, 0x3d, 0x1d, 0x8f, header.mac[5]];
    bytes.extend(header.secs.to_be_bytes());
    bytes.extend(header.flags.to_be_bytes());
    bytes.extend(header.ciaddr);
    bytes.extend([0; 8]);
    bytes.extend(header.giaddr);
    bytes.extend(header.mac);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99]);
    for (code, value) in options {
        bytes.extend([*code, value.len() as u8]);
        bytes.extend(*value);
    }
    bytes.push(255);
    bytes
}

/// Single datagrams, by name.
fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let private = Header { mac: [0xda, 0xa1, 0x19, 0, 0, 7], ..PLAIN };
    let holder = Header { ciaddr: [192, 0, 2, 100], ..PLAIN };
    let relayed = Header { giaddr: [203, 0, 113, 1], ..PLAIN };
    let printer = Header { mac: [0xa4, 0xcf, 0x12, 0x9b, 0, 0x1e], flags: 0x8000, ..PLAIN };
    let mut overloaded = packet(PLAIN, &[(53, &[1]), (52, &[3])]);
    overloaded[108..114].copy_from_slice(&[12, 3, b't', b'v', b'1', 255]);
    overloaded[44..51].copy_from_slice(&[55, 4, 1, 3, 6, 15, 255]);
    let mut bootp = packet(printer, &[]);
    bootp.truncate(236);
    bootp.resize(300, 0);
    let long_id = [7; 200];
    vec![
        (
            "udhcpc-discover",
            packet(
                PLAIN,
                &[
                    (53, &[1]),
                    (61, &[1, 0xa4, 0xcf, 0x12, 0x9b, 0, 0x2f]),
                    (57, &[2, 64]),
                    (55, &[1, 3, 6, 12, 15, 28, 42]),
                    (60, b"udhcp 1.36.1"),
                    (12, b"tv"),
                ],
            ),
        ),
        ("dhclient-discover", packet(PLAIN, &[(53, &[1]), (50, FIRST), (12, b"laptop"), (55, LINUX_LIST)])),
        (
            "windows-discover",
            packet(
                Header { flags: 0x8000, secs: 4, ..PLAIN },
                &[
                    (53, &[1]),
                    (61, &[1, 0xa4, 0xcf, 0x12, 0x9b, 0, 0x2f]),
                    (12, b"DESKTOP-7\0"),
                    (60, b"MSFT 5.0"),
                    (55, &[1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252]),
                ],
            ),
        ),
        (
            "windows-request",
            packet(
                PLAIN,
                &[
                    (53, &[3]),
                    (61, &[1, 0xa4, 0xcf, 0x12, 0x9b, 0, 0x2f]),
                    (50, FIRST),
                    (54, SERVER),
                    (12, b"DESKTOP-7"),
                    (81, b"\0\0\0DESKTOP-7"),
                    (60, b"MSFT 5.0"),
                    (55, LINUX_LIST),
                ],
            ),
        ),
        (
            "phone-discover",
            packet(
                private,
                &[
                    (53, &[1]),
                    (55, PHONE_LIST),
                    (57, &[5, 220]),
                    (61, &[1, 0xda, 0xa1, 0x19, 0, 0, 7]),
                    (51, &[0, 118, 167, 0]),
                    (12, "Tom’s iPhone".as_bytes()),
                ],
            ),
        ),
        (
            "pxe-discover",
            packet(
                PLAIN,
                &[
                    (53, &[1]),
                    (57, &[4, 236]),
                    (93, &[0, 7]),
                    (94, &[1, 3, 16]),
                    (60, b"PXEClient:Arch:00007:UNDI:003016"),
                    (97, &[0; 17]),
                    (55, PXE_LIST),
                ],
            ),
        ),
        (
            "esp-request",
            packet(PLAIN, &[(53, &[3]), (57, &[5, 220]), (50, FIRST), (54, SERVER), (55, &[1, 3, 28, 6]), (12, b"ESP_1234")]),
        ),
        ("rapid-commit", packet(private, &[(53, &[1]), (80, &[]), (55, PHONE_LIST), (61, &long_id)])),
        ("init-reboot", packet(PLAIN, &[(53, &[3]), (50, FIRST), (12, b"laptop"), (55, LINUX_LIST)])),
        ("renew", packet(holder, &[(53, &[3]), (55, LINUX_LIST), (51, &[0, 0, 14, 16])])),
        ("request-other-server", packet(PLAIN, &[(53, &[3]), (50, FIRST), (54, &[192, 0, 2, 2])])),
        ("request-bare", packet(PLAIN, &[(53, &[3])])),
        ("decline", packet(PLAIN, &[(53, &[4]), (50, FIRST), (54, SERVER)])),
        ("release", packet(holder, &[(53, &[7]), (54, SERVER)])),
        (
            "inform",
            packet(Header { ciaddr: [192, 0, 2, 50], ..PLAIN }, &[(53, &[8]), (55, &[252, 6, 15, 119]), (60, b"MSFT 5.0")]),
        ),
        ("printer-discover", packet(printer, &[(53, &[1]), (55, &[1, 3, 6, 66, 67, 12, 224, 225]), (57, &[2, 64])])),
        (
            "boiler-discover",
            packet(PLAIN, &[(53, &[1]), (61, b"\0boiler"), (81, &[5, 0, 0, 6, b'b', b'o', b'i', b'l', b'e', b'r'])]),
        ),
        (
            "relay-discover",
            packet(
                relayed,
                &[
                    (53, &[1]),
                    (55, &[1, 3, 6, 121, 224, 225]),
                    (82, &[1, 6, b'p', b'o', b'r', b't', b'-', b'7', 2, 2, 9, 9, 11, 4, 203, 0, 113, 1]),
                ],
            ),
        ),
        ("relay-other-link", packet(relayed, &[(53, &[1]), (82, &[1, 1, 3, 5, 4, 198, 51, 100, 0]), (118, &[198, 51, 100, 0])])),
        (
            "lease-query-address",
            packet(Header { ciaddr: [192, 0, 2, 100], hlen: 0, ..relayed }, &[(53, &[10]), (61, &[1]), (55, &[51, 61, 82])]),
        ),
        ("lease-query-mac", packet(relayed, &[(53, &[10])])),
        ("bootp", bootp),
        ("overload", overloaded),
        ("joined-options", packet(PLAIN, &[(53, &[1]), (55, &[1, 3]), (12, b"wash"), (55, &[6, 15]), (12, b"er")])),
        ("damaged-option", packet(PLAIN, &[(53, &[1]), (12, &[0xff, 0xfe, 0]), (61, &[]), (57, &[1]), (50, &[192, 0])])),
    ]
}

/// A step of the target `rules` that sends this packet.
fn sent(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut step = vec![kind];
    step.extend((payload.len() as u16).to_be_bytes());
    step.extend(payload);
    step
}

/// By target, with a name each.
pub fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let packets = packets();
    let find = |name: &str| &packets.iter().find(|packet| packet.0 == name).expect("named in `packets`").1;
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    match target {
        "decode" => seeds.extend(packets.iter().map(|(name, bytes)| (name.to_string(), bytes.clone()))),
        "rules" => {
            for (name, bytes) in &packets {
                for kind in 0..3 {
                    seeds.push((format!("{name}-{kind}"), [vec![0], sent(kind, bytes), vec![3, 250]].concat()));
                }
            }
            let talk = |flags: u8, names: &[&str]| {
                let mut history = vec![flags];
                for name in names {
                    match *name {
                        "(a second)" => history.extend([3 | 1 << 3, 1]),
                        "(an hour)" => history.extend([3 | 3 << 3, 1]),
                        "(disk fails)" => history.push(5),
                        "(disk heals)" => history.push(6),
                        "(arp)" => history.extend([7, 100, 9]),
                        name => history.extend(sent(if name.starts_with("re") { 1 } else { 0 }, find(name))),
                    }
                }
                history
            };
            let wait = "(a second)";
            let taken = ["udhcpc-discover", wait, "windows-request", wait, "renew", wait, "release", wait, "init-reboot"];
            seeds.push(("takes-renews-releases".into(), talk(0, &taken)));
            let declined = ["dhclient-discover", wait, "esp-request", wait, "decline", wait, "dhclient-discover", wait];
            seeds.push(("declines".into(), talk(4, &declined)));
            let full =
                ["dhclient-discover", wait, "esp-request", "(disk fails)", "renew", "phone-discover", "(disk heals)", "renew"];
            seeds.push(("disk-full".into(), talk(1, &full)));
            let boots =
                ["pxe-discover", wait, "printer-discover", wait, "boiler-discover", wait, "relay-discover", "bootp", wait];
            seeds.push(("kept-addresses".into(), talk(0, &boots)));
            let used = ["phone-discover", "(arp)", wait, "dhclient-discover", "(an hour)", "phone-discover", wait];
            seeds.push(("a-stranger".into(), talk(4, &used)));
            let asked = ["rapid-commit", wait, "lease-query-mac", "lease-query-address", "(an hour)", "lease-query-mac"];
            seeds.push(("lease-queries".into(), talk(1, &asked)));
        }
        "settings" => {
            let whole = include_str!("rules.toml");
            seeds.push(("whole".into(), whole.into()));
            seeds.extend(whole.split("\n\n").enumerate().map(|(i, part)| (format!("part-{i}"), part.into())));
            let wrong =
                "[lease]\ndefault = 12\nt1 = 0.9\n[[subnet]]\nnetwork = \"192.0.2.0/33\"\n[options]\nroute = 7\nmac = \"1\"\n";
            seeds.push(("wrong".into(), wrong.into()));
        }
        other => panic!("no target `{other}`"),
    }
    seeds
}
