//! How large a reply may be, and what gives way when the options are larger (11, 12; RFC 3396, RFC 2132 §9.3).

use twinlease::{
    protocol::{Command, explain::Step},
    settings::options::OptionValue,
};

use super::{
    net::{ALICE, BOB, Net, SERVER, ip},
    packet::Packet,
    seen::Seen,
};

/// Options 224 to 239 of so many bytes each.
fn large(count: u8, len: usize) -> Net {
    large_and("", count, len)
}

fn large_and(head: &str, count: u8, len: usize) -> Net {
    let option =
        |code: u8| format!("\"{code}\" = {{ type = \"hex\", value = \"{}\" }}\n", vec![format!("{code:02x}"); len].join(":"));
    let options: String = (224..224 + count).map(option).collect();
    Net::with(&format!(
        "{head}\n[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.10-192.0.2.19\"]\n[subnet.options]\n{options}"
    ))
}

fn asking(max: Option<u16>, codes: std::ops::Range<u8>) -> Packet {
    let discover = Packet::discover(ALICE).wants(&codes.collect::<Vec<_>>());
    match max {
        Some(max) => discover.option(57, &max.to_be_bytes()),
        None => discover,
    }
}

fn is_whole(seen: &Seen, code: u8, len: usize) -> bool {
    seen.option(code) == Some(vec![code; len])
}

/// 11
#[test]
fn without_option_57_a_reply_has_at_most_548_bytes() {
    let mut net = large(16, 60);
    let offer = net.send(&asking(None, 224..240)).offer();
    assert!((480..=548).contains(&offer.bytes().len()), "{}", offer.bytes().len());
}

/// 11
#[test]
fn option_57_is_the_size_of_the_whole_datagram() {
    let mut net = large(16, 30);
    for max in [600u16, 700, 800] {
        let len = net.send(&asking(Some(max), 224..240)).offer().bytes().len();
        assert!(len <= usize::from(max) - 28 && len > usize::from(max) - 28 - 40, "{len} of {max}");
    }
}

/// 11, RFC 2132 §9.10
#[test]
fn an_option_57_below_576_counts_as_576() {
    let mut net = large(16, 60);
    for max in [0u16, 68, 300, 575] {
        let len = net.send(&asking(Some(max), 224..240)).offer().bytes().len();
        assert!((480..=548).contains(&len), "{len} for {max}");
    }
}

/// 11
#[test]
fn the_mtu_of_the_link_bounds_what_the_client_would_take() {
    let mut net = large(6, 200);
    net.mtu = 1000;
    net.interfaces(&[(1, "lan0", &["192.0.2.1/24"])]);
    let len = net.send(&asking(Some(9000), 224..230)).offer().bytes().len();
    assert!((772..=972).contains(&len), "{len}");
}

/// 12, RFC 3396 §5
#[test]
fn an_option_longer_than_255_bytes_is_split() {
    let mut net = large(1, 600);
    let offer = net.send(&asking(Some(1500), 224..225)).offer();
    let pieces: Vec<usize> = offer.pieces.iter().filter(|piece| piece.0 == 224).map(|piece| piece.1.len()).collect();
    assert_eq!(pieces, [255, 255, 90]);
    assert!(is_whole(&offer, 224, 600));
}

/// 12
#[test]
fn file_and_then_sname_are_overloaded_only_when_the_options_field_is_full() {
    let mut net = large(16, 50);
    // 280 bytes are there beside header and the fixed options: five of 52; two more go into file, one into sname.
    for (count, overload) in [(5, None), (7, Some(1)), (8, Some(3))] {
        let offer = net.send(&asking(None, 224..224 + count)).offer();
        assert_eq!(offer.option(52).map(|value| value[0]), overload, "{count} options");
        assert!((224..224 + count).all(|code| is_whole(&offer, code, 50)), "{count} options: {:?}", offer.codes());
        assert!(offer.bytes().len() <= 548);
    }
}

/// 12
#[test]
fn what_fits_nowhere_is_left_out_and_said() {
    let mut net = large(16, 60);
    let offer = net.send(&asking(None, 224..240)).offer();
    let Some(Step::DidNotFit { codes }) =
        net.last_decision(ALICE).steps.into_iter().find(|step| matches!(step, Step::DidNotFit { .. }))
    else {
        panic!("{}", net.why(ALICE))
    };
    for code in 224..240 {
        assert_eq!(offer.option(code).is_none(), codes.contains(&code), "option {code}");
    }
    assert!(is_whole(&offer, 224, 60), "the client's list begins with what it needs most");
}

/// 12
#[test]
fn option_82_is_never_moved_nor_left_out() {
    let mut net = large(16, 60);
    let agent: Vec<u8> = [&[1, 200][..], &[9; 200]].concat();
    let discover = asking(None, 224..240).option(82, &agent).relayed(ip("192.0.2.254"), SERVER);
    let offer = net.send(&discover).offer();
    assert_eq!(offer.option(82).as_deref(), Some(&agent[..]));
    let main_end = offer.bytes()[240..].windows(2).position(|pair| pair == [82, 202]).expect("in the options field");
    assert!(main_end + 2 + 202 < offer.bytes().len() - 240);
    assert!(offer.bytes().len() <= 548);
}

/// 11 and 12 with RFC 3046 §2.2: the relay takes its option off again, so the client's limit is for the rest
#[test]
fn a_long_option_82_costs_the_client_nothing_that_must_be_there() {
    for agent_len in [300, 400, 600, 900] {
        let mut net = large(16, 60);
        let (agent, id) = (vec![9; agent_len], [7; 120]);
        let discover = asking(None, 224..240).id(&id).relayed(ip("192.0.2.254"), SERVER);
        let discover = agent.chunks(255).fold(discover, |discover, piece| discover.option(82, piece));
        let offer = net.send(&discover).offer();
        assert_eq!(offer.option(82).as_deref(), Some(&agent[..]));
        assert_eq!(offer.option(61).as_deref(), Some(&id[..]), "with an option 82 of {agent_len} bytes");
        assert!([54, 51, 58, 59].iter().all(|code| offer.option(*code).is_some()), "{:?}", offer.codes());
        let for_client = offer.bytes().len() - agent_len - 2 * agent_len.div_ceil(255);
        assert!(for_client <= 548, "{for_client} bytes are left for the client");
    }
}

/// 12 with RFC 6842 and RFC 3011: what must be echoed comes before what would be nice to have
#[test]
fn what_must_be_echoed_is_never_left_out_for_lack_of_room() {
    for len in [20, 29, 30, 60, 61, 100, 125, 150] {
        // As many as the settings allow.
        let mut net = large((1300 / (len + 2)).min(16) as u8, len);
        let id = [7; 120];
        let discover = asking(None, 224..240).id(&id).option(118, &[192, 0, 2, 0]);
        let offer = net.send(&discover).offer();
        assert_eq!(offer.option(61).as_deref(), Some(&id[..]), "with options of {len} bytes");
        assert_eq!(offer.option(118), Some(vec![192, 0, 2, 0]), "with options of {len} bytes");
        assert_eq!(offer.codes()[..5], [53, 54, 51, 58, 59]);
    }
}

/// 12: BOOTP knows no option 52
#[test]
fn a_bootp_reply_is_never_overloaded() {
    let head = "[server]\nbootp = true\n[[reservation]]\nmac = \"00:16:3e:00:00:b0\"\naddress = \"192.0.2.50\"\n[reservation.options]\nboot-file = \"x.img\"";
    let mut net = large_and(head, 8, 30);
    let reply = net.send(&Packet::bare(BOB).wants(&(224..232).collect::<Vec<_>>())).one();
    assert_eq!((reply.option(52), reply.bytes().len()), (None, 300));
    assert!(reply.file().starts_with(b"x.img\0"));
}

/// 12
#[test]
fn what_stood_in_file_and_sname_gives_way_as_the_last_resort() {
    let mut net = large(7, 50);
    let mut settings = net.node.settings().clone();
    settings.options.insert(67, OptionValue::Text("boot.img".into()));
    settings.options.insert(66, OptionValue::Text("192.0.2.9".into()));
    net.orders(Command::Replace(Box::new(settings)));
    let small = net.send(&asking(None, 224..226).wants(&[66, 67])).offer();
    assert!(small.file().starts_with(b"boot.img\0") && small.sname().starts_with(b"192.0.2.9\0"));
    let full = net.send(&asking(None, 224..231).wants(&[67])).offer();
    assert!(!full.file().starts_with(b"boot.img"));
    assert_eq!(full.text(67).as_deref(), Some("boot.img"), "the name is still in its option");
}
