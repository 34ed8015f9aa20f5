//! Where the corpus starts from: packets as real clients send them, histories made of them, a settings file.

use twinlease::protocol::lease::{ClientId, HwAddr};

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

/// What twins say, as it travels.
fn messages() -> Vec<(&'static str, String)> {
    let record = r#"{"address":"192.0.2.100","client":CLIENT,"hw":HW,"state":"leased","age_ms":1000,"left_ms":3600000,"generation":1,"version":{"first":7,"second":0},"host_name":"tv"}"#;
    let client = ClientId::Hardware(HwAddr::ethernet([2, 0, 0, 0, 0, 1]));
    let json = |value: &ClientId| serde_json::to_string(value).expect("json");
    let hw = serde_json::to_string(&HwAddr::ethernet([2, 0, 0, 0, 0, 1])).expect("json");
    let record = record.replace("CLIENT", &json(&client)).replace("HW", &hw);
    let given = record.replace(&json(&client), &json(&ClientId::Given([0, 1, 2].into())));
    let message = |body: &str| format!(r#"[{{"from":1,"to":2,"body":{body}}}]"#);
    // What one that has just started hears of a twin that has served meanwhile.
    let conversation = |bodies: &[&str]| {
        format!("[{}]", bodies.iter().map(|body| message(body).trim_matches(['[', ']']).to_owned()).collect::<Vec<_>>().join(","))
    };
    let heartbeat = r#"{"heartbeat":{"state":"normal","forgot":null,"digest":18446744073709551615,"settings_digest":1,"number":7,"heard_number":5,"longest_mclt_ms":3600000,"longest_lease_ms":86400000,"clients_heard":12,"in_trouble":false,"unconfirmed":0}}"#;
    let introduction = r#"{"name":"attic","serial":"10000000deadbeef","fixed_rank":"second","has_leases":true,"is_blank_first":false,"link_port":8067}"#;
    // The base point, compressed: a share that a curve has.
    let share = format!("58{}", "66".repeat(31));
    let [of_initiator, of_responder] = ["41", "42"].map(|side| format!("{side}{share}"));
    let key = "d7".repeat(32);
    vec![
        ("heartbeat", message(heartbeat)),
        ("heartbeat-first", message(heartbeat).replace(r#""to":2"#, r#""to":null"#).replace("normal", "startup")),
        ("heartbeat-recover", message(heartbeat).replace("normal", "recover").replace("null", r#""rolled-back""#)),
        ("update", message(&format!(r#"{{"update":{{"record":{record},"expiry":3600000}}}}"#))),
        ("update-given", message(&format!(r#"{{"update":{{"record":{given},"expiry":3600000}}}}"#))),
        ("ack", message(&format!(r#"{{"ack":{{"address":"192.0.2.100","client":{},"state":"leased","generation":1,"version":{{"first":7,"second":0}},"expiry":3600000,"instead":null}}}}"#, json(&client)))),
        ("ack-instead", message(&format!(r#"{{"ack":{{"address":"192.0.2.100","client":{},"state":"leased","generation":1,"version":{{"first":7,"second":0}},"expiry":3600000,"instead":{given}}}}}"#, json(&client)))),
        ("give-up", message(r#"{"give-up":{"address":"192.0.2.101","generation":3,"version":{"first":7,"second":9}}}"#)),
        ("shutting-down", message(r#""shutting-down""#)),
        ("pull", message(r#"{"pull":{"number":1,"after":null}}"#)),
        ("pull-next", message(r#"{"pull":{"number":1,"after":"192.0.2.100"}}"#)),
        ("page", message(&format!(r#"{{"page":{{"pull":1,"after":null,"records":[{record},{given}],"settings":null,"more":true,"state":"normal","forgot":null}}}}"#))),
        ("page-last", message(r#"{"page":{"pull":1,"after":"192.0.2.100","records":[],"settings":[],"more":false,"state":"recover","forgot":"blank"}}"#)),
        (
            "conversation",
            conversation(&[
                &heartbeat.replace("normal", "communications-interrupted"),
                r#"{"pull":{"number":1,"after":null}}"#,
                &format!(r#"{{"page":{{"pull":1,"after":null,"records":[{record}],"settings":[],"more":false,"state":"communications-interrupted","forgot":null}}}}"#),
                heartbeat,
                &format!(r#"{{"update":{{"record":{given},"expiry":3600000}}}}"#),
                r#"{"give-up":{"address":"192.0.2.101","generation":3,"version":{"first":7,"second":9}}}"#,
                heartbeat,
                r#""shutting-down""#,
            ]),
        ),
        ("several", format!("[{0},{0}]", message(r#""shutting-down""#).trim_matches(['[', ']']))),
        ("beacon", r#"TWINLEASE {"version":1,"id":"0123456789abcdef","session":5,"port":8067,"name":"attic","paired":false,"asks":true}"#.into()),
        ("hello", r#"{"protocol":[1,1],"software":"0.1.0","session":5,"paired":true}"#.into()),
        ("hello-newer", r#"{"protocol":[2,3],"software":"9.9.9","session":5,"paired":false}"#.into()),
        ("start-code", format!(r#"{{"method":"code","share":"{of_initiator}"}}"#)),
        ("start-key", format!(r#"{{"method":"pair-key","share":"{of_initiator}"}}"#)),
        ("started", format!(r#"{{"share":"{of_responder}"}}"#)),
        ("confirm", format!(r#"{{"mac":"{key}","introduction":"{key}"}}"#)),
        ("introduction", introduction.into()),
        ("refusal", r#""same-identity""#.into()),
        ("refusal-code", r#"{"wrong-code":{"tries_left":4}}"#.into()),
        ("refusal-words", r#"{"garbage":{"why":"a\u001b[2Jb"}}"#.into()),
        ("record", format!(r#"{{"step":"agreed","key":"{key}","serial":null,"name":"attic","rank":"first","partner_has_leases":false,"partner_is_blank_first":true,"address":"192.0.2.2:8067"}}"#)),
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
        "link" => seeds.extend(messages().into_iter().map(|(name, text)| (name.to_owned(), text.into()))),
        other => panic!("no target `{other}`"),
    }
    seeds
}
