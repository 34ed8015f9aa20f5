//! Tests of the load generator's parts. It is a benchmark without a test harness, so its modules are taken in here by path.

// Each module serves the whole generator; the tests use only parts of it.
#[allow(dead_code)]
#[path = "../benches/dhcpload/clients.rs"]
mod clients;
#[allow(dead_code)]
#[path = "../benches/dhcpload/histogram.rs"]
mod histogram;
#[allow(dead_code)]
#[path = "../benches/dhcpload/packet.rs"]
mod packet;
#[allow(dead_code)]
#[path = "../benches/dhcpload/report.rs"]
mod report;
#[allow(dead_code)]
#[path = "../benches/dhcpload/search.rs"]
mod search;

mod histogram_tests {
    use crate::histogram::*;

    #[test]
    fn quantiles_are_right_to_two_percent() {
        let mut histogram = Histogram::new();
        for value in 1..=100_000_u64 {
            histogram.record(value * 1_000);
        }
        for (fraction, exact_ns) in [(0.5, 50_000_000.0), (0.9, 90_000_000.0), (0.99, 99_000_000.0)] {
            let found = histogram.quantile_ns(fraction).expect("it is not empty") as f64;
            assert!((found / exact_ns - 1.0).abs() < 0.02, "{fraction}: {found} against {exact_ns}");
        }
        assert_eq!(histogram.max_ns(), 100_000_000);
        assert_eq!(histogram.total(), 100_000);
    }

    #[test]
    fn one_value_is_every_quantile() {
        let mut histogram = Histogram::new();
        histogram.record(1_234_567);
        for fraction in [0.0, 0.5, 0.999, 1.0] {
            let found = histogram.quantile_ns(fraction).expect("it is not empty");
            assert!(found.abs_diff(1_234_567) < 1_234_567 / 50);
        }
    }

    #[test]
    fn empty_has_no_quantile_and_huge_values_stay_inside() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile_ns(0.5), None);
        histogram.record(u64::MAX);
        histogram.record(0);
        assert!(histogram.quantile_ns(1.0).is_some());
    }

    #[test]
    fn slots_grow_with_the_value() {
        let mut last = 0;
        for value in (0..3_000_000_u64).step_by(7) {
            let found = slot(value);
            assert!(found >= last);
            last = found;
        }
    }
}

mod packet_tests {
    use std::net::Ipv4Addr;

    use crate::packet::*;

    const MAC: Mac = [2, 0x4c, 1, 2, 3, 4];

    fn query(message: Message) -> Query {
        Query { message, mac: MAC, xid: 0xdead_beef, giaddr: Ipv4Addr::UNSPECIFIED, broadcast: true }
    }

    /// Turns our own query into the reply of a server.
    fn reply_to(payload: &[u8; PAYLOAD_BYTES], options: &[u8]) -> Vec<u8> {
        let mut reply = payload.to_vec();
        reply[0] = 2;
        reply[16..20].copy_from_slice(&[10, 64, 1, 7]);
        reply.truncate(OPTIONS_AT);
        reply.extend_from_slice(options);
        reply
    }

    #[test]
    fn select_carries_address_and_server_and_ends() {
        let mut payload = [0xaa; PAYLOAD_BYTES];
        let message = Message::Select { address: [10, 64, 1, 7].into(), server_id: [10, 64, 0, 1].into() };
        write_payload(&mut payload, &query(message));
        assert_eq!(payload[28..34], MAC);
        assert_eq!(payload[10], 0x80);
        assert_eq!(payload[240..243], [53, 1, 3]);
        assert_eq!(payload[243..252], [61, 7, 1, 2, 0x4c, 1, 2, 3, 4]);
        assert_eq!(payload[252..264], [50, 4, 10, 64, 1, 7, 54, 4, 10, 64, 0, 1]);
        assert_eq!(payload[264..266], [55, 7]);
        assert_eq!(payload[273], 255);
        assert!(payload[274..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn renew_carries_ciaddr_and_neither_50_nor_54() {
        let mut payload = [0; PAYLOAD_BYTES];
        write_payload(&mut payload, &query(Message::Renew { address: [10, 64, 1, 7].into() }));
        assert_eq!(payload[12..16], [10, 64, 1, 7]);
        assert_eq!(payload[252..254], [55, 7]);
    }

    #[test]
    fn reply_is_read_whatever_the_order_of_its_options() {
        let mut payload = [0; PAYLOAD_BYTES];
        write_payload(&mut payload, &query(Message::Discover));
        let options = [0, 51, 4, 0, 0, 14, 16, 0, 54, 4, 10, 64, 0, 1, 53, 1, 2, 255, 9];
        let reply = parse_reply(&reply_to(&payload, &options)).expect("a good reply");
        assert_eq!(reply.kind, ReplyKind::Offer);
        assert_eq!(reply.xid, 0xdead_beef);
        assert_eq!(reply.mac, MAC);
        assert_eq!(reply.address, Ipv4Addr::new(10, 64, 1, 7));
        assert_eq!(reply.server_id, Some(Ipv4Addr::new(10, 64, 0, 1)));
        assert_eq!(reply.lease_secs, 3600);
    }

    #[test]
    fn broken_replies_are_refused() {
        let mut payload = [0; PAYLOAD_BYTES];
        write_payload(&mut payload, &query(Message::Discover));
        assert_eq!(parse_reply(&payload), None, "a query is not a reply");
        assert_eq!(parse_reply(&reply_to(&payload, &[53, 9, 2])), None);
        assert_eq!(parse_reply(&reply_to(&payload, &[53])), None);
        assert_eq!(parse_reply(&[]), None);
        for length in 0..PAYLOAD_BYTES {
            let _ = parse_reply(&payload[..length]);
        }
    }

    #[test]
    fn checksums_of_a_frame_add_up() {
        let mut frame = [0; HEADER_BYTES + PAYLOAD_BYTES];
        let (_, payload) = frame.split_first_chunk_mut::<HEADER_BYTES>().expect("it is longer");
        write_payload(payload.try_into().expect("the rest is one payload"), &query(Message::Discover));
        write_headers(&mut frame, &Envelope::broadcast(MAC));
        assert_eq!(fold(sum(&frame[14..34])), 0xffff);
        let udp_bytes = (frame.len() - 34) as u64;
        assert_eq!(fold(sum(&frame[26..34]) + 17 + udp_bytes + sum(&frame[34..])), 0xffff);
    }

    #[test]
    fn payload_is_found_behind_ip_options_and_before_ethernet_padding() {
        let mut frame = vec![0; 14 + 24 + 8 + 4 + 6];
        frame[12..14].copy_from_slice(&ETHERTYPE_IPV4);
        frame[14] = 0x46;
        frame[16..18].copy_from_slice(&36_u16.to_be_bytes());
        frame[23] = 17;
        frame[14 + 24 + 2..14 + 24 + 4].copy_from_slice(&68_u16.to_be_bytes());
        frame[14 + 24 + 8..14 + 24 + 12].copy_from_slice(b"dhcp");
        assert_eq!(client_payload(&frame).map(|found| found.1), Some(&b"dhcp"[..]));
        frame[23] = 6;
        assert!(client_payload(&frame).is_none());
    }

    #[test]
    fn arp_is_answered_for_the_wanted_address() {
        let asked = arp_reply(
            &ArpRequest { from_mac: MAC, from: [10, 64, 1, 7].into(), wanted: [10, 64, 0, 1].into() },
            [2, 0, 0, 0, 0, 1],
        );
        let mut request = asked;
        request[20..22].copy_from_slice(&[0, 1]);
        let parsed = parse_arp_request(&request).expect("a request");
        assert_eq!(parsed.wanted, Ipv4Addr::new(10, 64, 1, 7));
        assert_eq!(parsed.from, Ipv4Addr::new(10, 64, 0, 1));
        assert!(parse_arp_request(&asked).is_none(), "a reply is not a request");
    }
}

mod clients_tests {
    use std::net::Ipv4Addr;

    use crate::clients::*;

    #[test]
    fn mac_leads_back_to_its_index() {
        let clients = Clients::new(0x4c);
        for index in [0, 1, 2, 999_999, u32::MAX] {
            assert_eq!(clients.index(clients.mac(index)), Some(index));
        }
        assert_eq!(clients.index([0x02, 0x4d, 0, 0, 0, 0]), None);
    }

    #[test]
    fn address_given_to_two_live_clients_is_reported_and_a_renewal_is_not() {
        let mut clients = Clients::new(0x4c);
        let address = Ipv4Addr::new(10, 64, 1, 7);
        assert_eq!(clients.acked(5, address, 1_000, 60), None);
        assert_eq!(clients.acked(5, address, 1_010, 60), None);
        assert_eq!(clients.acked(6, address, 1_020, 60), Some(5));
        assert_eq!(clients.acked(7, address, 2_000, 60), None, "the lease of 6 is over");
    }

    #[test]
    fn address_that_its_owner_left_for_another_may_be_given_again() {
        let mut clients = Clients::new(0x4c);
        assert_eq!(clients.acked(5, Ipv4Addr::new(10, 64, 1, 7), 1_000, 60), None);
        assert_eq!(clients.acked(5, Ipv4Addr::new(10, 64, 1, 8), 1_001, 60), None);
        assert_eq!(clients.acked(6, Ipv4Addr::new(10, 64, 1, 7), 1_002, 60), None);
    }

    #[test]
    fn state_survives_a_file() {
        let path = std::env::temp_dir().join(format!("dhcpload-state-{}", std::process::id()));
        let mut clients = Clients::new(0x4c);
        clients.server = ServerSeen { address: 7, mac: [1, 2, 3, 4, 5, 6] };
        clients.acked(2, Ipv4Addr::new(10, 64, 1, 7), 1_000, 60);
        clients.save(&path).expect("it can be written");
        let again = Clients::load_or_new(Some(&path), 0x4c).expect("it can be read");
        assert!(Clients::load_or_new(Some(&path), 0x4d).is_err(), "other MACs");
        std::fs::remove_file(&path).expect("it was there");
        assert_eq!(again.next_index(), 3);
        assert!(again.lease(0).is_none());
        assert_eq!(again.lease(2).map(|lease| lease.address), Some(u32::from(Ipv4Addr::new(10, 64, 1, 7))));
        assert_eq!(again.owner_of(Ipv4Addr::new(10, 64, 1, 7)), Some(2));
        assert_eq!(again.server.mac, [1, 2, 3, 4, 5, 6]);
    }
}

mod search_tests {
    use crate::report::{Frame, Report, Tally};
    use crate::search::*;

    /// A server that answers all up to `capacity`, and loses what is above.
    fn server(capacity: f64) -> impl FnMut(f64) -> anyhow::Result<Report> {
        move |rate| {
            let mut tally = Tally::new();
            tally.started = rate as u64 + 1;
            tally.completed = tally.started.min(capacity as u64);
            let frame = Frame {
                scenario: "dora",
                rate_asked: Some(rate),
                seconds: 1.0,
                cpu_us: 0.0,
                dropped_by_generator: 0,
                active_leases: 0,
            };
            Ok(Report::new(frame, &tally))
        }
    }

    #[test]
    fn rate_is_found_from_above_and_below() {
        for from in [20.0, 900.0, 1_000.0, 8_000.0] {
            let limits = Limits { from, tries: 1, most_exchanges: u64::MAX, step_seconds: 1.0 };
            let found = search(limits, server(1_000.0)).expect("the server does not fail");
            let rate = found.rate.expect("a rate is found");
            assert!(rate <= 1_010.0 && rate * 1.1 > 1_000.0, "from {from}: {rate}");
            assert_eq!(found.bounded_by, None);
        }
    }

    #[test]
    fn search_stops_at_its_bound_and_says_so() {
        let limits = Limits { from: 100.0, tries: 1, most_exchanges: 1_000, step_seconds: 1.0 };
        let found = search(limits, server(1e9)).expect("the server does not fail");
        assert!(found.rate.is_some_and(|rate| rate < 1_000.0));
        assert!(found.bounded_by.is_some());
        assert!(found.steps.iter().map(|step| step.started).sum::<u64>() <= 1_010);
    }

    #[test]
    fn dead_server_has_no_rate() {
        let limits = Limits { from: 100.0, tries: 2, most_exchanges: u64::MAX, step_seconds: 1.0 };
        let found = search(limits, server(0.0)).expect("the server does not fail");
        assert_eq!(found.rate, None);
    }
}
