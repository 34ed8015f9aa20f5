use std::collections::BTreeSet;

use super::*;
use crate::protocol::node::SubnetStatus;

/// Of everything something.
fn sample() -> Sample {
    let counted = Metrics::default();
    counted.replies(ReplyKind::Offer).observe(Duration::from_millis(3));
    counted.replies(ReplyKind::Offer).observe(Duration::from_secs(9));
    counted.commits.observe(Duration::from_micros(10));
    counted.heartbeats_sent.fetch_add(7, Relaxed);
    let twin = failover::State::Normal;
    let partner = crate::protocol::node::PartnerStatus {
        state: twin,
        in_contact: true,
        silent_ms: 1500,
        is_deaf: false,
        in_trouble: false,
        drill_secs_left: None,
    };
    Sample {
        status: Status {
            serving: true,
            interfaces: vec!["eth0".into()],
            trouble: None,
            notices: Vec::new(),
            not_listening: Vec::new(),
            subnets: vec![SubnetStatus { network: "192.0.2.0/24".into(), pool_size: 100, pool_used: 41, turned_away: false }],
            commits_waiting: 2,
            outcomes: BTreeMap::new(),
            malformed: [("\"odd\"\n\\cause".to_owned(), 3)].into(),
            twin: Some(crate::protocol::node::TwinStatus {
                rank: failover::Rank::First,
                state: twin,
                state_told: String::new(),
                since_secs: 10,
                is_active: true,
                is_serving: true,
                forgot: None,
                wait_secs: None,
                partner: Some(partner),
                unconfirmed: 5,
                is_level: Some(true),
                digest: String::new(),
                repairs: 0,
                to_reconcile: Vec::new(),
                is_unpaired: false,
                alone_in_secs: None,
            }),
        },
        packets: [((Asked::Discover, "offered"), 12), ((Asked::InitReboot, "silent-pool-full"), 1)].into(),
        leases: [("leased", 41), ("expired", 0)].into(),
        kept: 3,
        replication_lag: Duration::from_millis(250),
        counted: std::sync::Arc::new(counted),
        room: Some(Room { free_bytes: 1 << 30, size_bytes: 1 << 31 }),
        cards: vec![Card { name: "mmcblk0".into(), worn_percent: Some(20), end_of_life: Some(1) }],
        memory_bytes: Some(20 << 20),
        backup_age: Some(Duration::from_secs(3600)),
        alerts: vec![Kind::Rival],
    }
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let text = expose(sample()).expect("it can be written");
    for line in [
        "# TYPE twinlease_packets counter",
        "twinlease_packets_total{type=\"discover\",outcome=\"offered\"} 12",
        "twinlease_packets_total{type=\"init-reboot\",outcome=\"silent-pool-full\"} 1",
        "twinlease_malformed_total{cause=\"\\\"odd\\\"\\n\\\\cause\"} 3",
        "twinlease_reply_seconds_count{reply=\"offer\"} 2",
        "twinlease_pool_used{subnet=\"192.0.2.0/24\"} 41.0",
        "twinlease_failover_state{state=\"normal\"} 1.0",
        "twinlease_failover_state{state=\"alone\"} 0.0",
        "twinlease_twin_silent_seconds 1.5",
        "twinlease_replication_lag_seconds 0.25",
        "twinlease_heartbeats_sent_total 7",
        "twinlease_commit_seconds_count 1",
        "twinlease_card_worn_ratio{card=\"mmcblk0\"} 0.2",
        "twinlease_alerts_open{kind=\"rival\"} 1.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in:\n{text}");
    }
    // Cumulative, and the last one holds all.
    let bucket = |bound: &str| {
        let start = format!("twinlease_reply_seconds_bucket{{le=\"{bound}\",reply=\"offer\"}} ");
        let found = text.lines().find_map(|line| line.strip_prefix(start.as_str()));
        found.unwrap_or_else(|| panic!("{start} is not in:\n{text}")).parse::<u64>().expect("a number")
    };
    assert_eq!((bucket("0.0025"), bucket("0.005"), bucket("5.0"), bucket("+Inf")), (0, 1, 1, 2));
}

/// Every name of a time series, without what a histogram adds.
fn exported() -> BTreeSet<String> {
    let text = expose(sample()).expect("it can be written");
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = types.filter_map(|line| line.split_once(' ')).map(|(name, kind)| match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    });
    names.collect()
}

fn in_dashboard() -> BTreeSet<String> {
    let dashboard: serde_json::Value = serde_json::from_str(include_str!("../../../docs/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let queries = targets.map(|target| target["expr"].as_str().expect("a query").to_owned());
    let mut names = BTreeSet::new();
    for query in queries {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("twinlease_") || word.starts_with("process_")) {
            let part = ["_bucket", "_count", "_sum"].iter().find_map(|part| word.strip_suffix(part));
            names.insert(part.unwrap_or(word).to_owned());
        }
    }
    names
}

#[test]
fn the_grafana_dashboard_shows_every_metric_and_no_other() {
    assert_eq!(in_dashboard(), exported());
}
