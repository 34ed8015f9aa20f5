//! `/metrics` for Prometheus (OpenMetrics text). For those with a session or a token: the names of subnets and how many
//! devices there are is nobody else's business, and Prometheus sends tokens (`authorization: credentials_file:`).

use std::{collections::BTreeMap, fmt, fs, sync::atomic::Ordering::Relaxed, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Registry,
};

use super::{Site, visitor::Visitor};
use crate::{
    protocol::{
        alerts::Kind,
        explain::Asked,
        failover,
        lease::BindingState,
        node::{Node, Status},
        time::Time,
    },
    runtime::{
        disk::{self, Card, Room},
        handle::Stopped,
        metrics::{Histogram, Metrics, ReplyKind},
    },
};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub fn routes() -> Router<Site> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(site): State<Site>, _: Visitor) -> Result<Response, Stopped> {
    let sample = Sample::take(&site).await?;
    Ok(match expose(sample) {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("The metrics cannot be written ({error}).")).into_response(),
    })
}

/// All that is told, at one moment.
#[derive(Debug)]
struct Sample {
    status: Status,
    packets: BTreeMap<(Asked, &'static str), u64>,
    leases: BTreeMap<&'static str, u64>,
    kept: usize,
    replication_lag: Duration,
    counted: std::sync::Arc<Metrics>,
    room: Option<Room>,
    cards: Vec<Card>,
    memory_bytes: Option<u64>,
    backup_age: Option<Duration>,
    alerts: Vec<Kind>,
}

impl Sample {
    async fn take(site: &Site) -> Result<Sample, Stopped> {
        let (status, packets, leases, kept, replication_lag, clock) = site
            .handle()
            .read(|node, clock| {
                let now = clock.now();
                let packets = node.explain().packets.clone();
                let kept = node.settings().reservations.len();
                (node.status(now), packets, leases_by_state(node, now), kept, node.replication_lag(now), clock.clone())
            })
            .await?;
        Ok(Sample {
            status,
            packets,
            leases,
            kept,
            replication_lag,
            counted: std::sync::Arc::clone(site.handle().metrics()),
            room: disk::room(site.data()),
            cards: disk::cards(std::path::Path::new("/sys")),
            memory_bytes: memory_bytes(),
            backup_age: site.handle().board().around().backup_made.map(|made| clock.now() - made),
            alerts: site.handle().board().around().open.iter().map(|open| open.kind).collect(),
        })
    }
}

/// Between two packets: 100,000 records take a millisecond.
fn leases_by_state(node: &Node, now: Time) -> BTreeMap<&'static str, u64> {
    let mut states: BTreeMap<&'static str, u64> =
        ["leased", "expired", "tentative", "released", "declined", "free"].map(|state| (state, 0)).into();
    for binding in node.leases().iter() {
        let is_held = binding.is_held(now);
        let state = match binding.state {
            BindingState::Leased if is_held => "leased",
            BindingState::Leased => "expired",
            BindingState::Tentative => "tentative",
            BindingState::Released => "released",
            BindingState::Declined if is_held => "declined",
            BindingState::Declined | BindingState::Free => "free",
        };
        *states.entry(state).or_default() += 1;
    }
    states
}

/// Of this process, in RAM.
fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn expose(sample: Sample) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(sample));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// One family: its values by their labels.
struct Writer<'a>(DescriptorEncoder<'a>);

/// There are none; the encoder wants to know of which kind.
type Exemplars = std::collections::HashMap<usize, Exemplar<[(&'static str, &'static str); 0], f64>>;
type Labels<const N: usize> = [(&'static str, String); N];

impl Writer<'_> {
    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<N>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        rows.into_iter().try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// `_total` is added to the name.
    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<N>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        rows.into_iter().try_for_each(|(labels, value)| {
            family.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], u64, u64>(&value, None)
        })
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<[(&str, &str); 0], u64, u64>(&value, None)
    }

    fn histograms<const N: usize>(&mut self, name: &str, help: &str, rows: &[(Labels<N>, &Histogram)]) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let none: Option<&Exemplars> = None;
        rows.iter().try_for_each(|(labels, histogram)| {
            let buckets = histogram.buckets();
            let count = buckets.iter().map(|(_, count)| count).sum();
            if N == 0 {
                return family.encode_histogram(histogram.sum_secs(), count, &buckets, none);
            }
            family.encode_family(labels)?.encode_histogram(histogram.sum_secs(), count, &buckets, none)
        })
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// `Some("discover")` of `Asked::Discover`.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

impl Collector for Sample {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut out = Writer(encoder);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.0.encode_descriptor("twinlease_build", "This program", None, MetricType::Info)?.encode_info(&version)?;
        self.packets(&mut out)?;
        self.addresses(&mut out)?;
        self.pair(&mut out)?;
        self.disk(&mut out)?;
        let alerts = Kind::ALL
            .map(|kind| ([("kind", kind.name().to_owned())], self.alerts.iter().filter(|open| **open == kind).count() as f64));
        out.gauges("twinlease_alerts_open", "What somebody should look at, by kind", alerts)?;
        if let Some(bytes) = self.memory_bytes {
            out.gauge("process_resident_memory_bytes", "Memory that this process has in RAM", bytes as f64)?;
        }
        Ok(())
    }
}

impl Sample {
    fn packets(&self, out: &mut Writer<'_>) -> fmt::Result {
        let packets = self
            .packets
            .iter()
            .map(|((asked, outcome), count)| ([("type", word(asked)), ("outcome", (*outcome).to_owned())], *count));
        out.counters("twinlease_packets", "Requests by type and by what became of them", packets)?;
        let malformed = self.status.malformed.iter().map(|(cause, count)| ([("cause", cause.clone())], *count));
        out.counters("twinlease_malformed", "Datagrams that were no request", malformed)?;
        let counted = &*self.counted;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        out.counter("twinlease_datagrams_received", "Datagrams read from port 67", load(&counted.datagrams_received))?;
        out.counter("twinlease_datagrams_sent", "Replies that have left", load(&counted.datagrams_sent))?;
        out.counter("twinlease_send_failures", "Replies that did not leave", load(&counted.send_failures))?;
        out.counter("twinlease_kernel_drops", "Datagrams that were not read in time", load(&counted.kernel_drops))?;
        let replies = ReplyKind::ALL.map(|(kind, name)| ([("reply", name.to_owned())], counted.replies(kind)));
        out.histograms("twinlease_reply_seconds", "From a request's arrival to its reply", &replies)?;
        out.gauge("twinlease_serving", "1: devices could be answered now", flag(self.status.serving))
    }

    fn addresses(&self, out: &mut Writer<'_>) -> fmt::Result {
        let subnets = &self.status.subnets;
        let of = |network: &String| [("subnet", network.clone())];
        let sizes = subnets.iter().map(|subnet| (of(&subnet.network), subnet.pool_size as f64));
        out.gauges("twinlease_pool_size", "Addresses that can be given to anybody", sizes)?;
        let used = subnets.iter().map(|subnet| (of(&subnet.network), subnet.pool_used as f64));
        out.gauges("twinlease_pool_used", "How many of them are held", used)?;
        let leases = self.leases.iter().map(|(state, count)| ([("state", (*state).to_owned())], *count as f64));
        out.gauges("twinlease_leases", "Records of addresses by state", leases)?;
        out.gauge("twinlease_kept_addresses", "Addresses that are kept for a device", self.kept as f64)
    }

    fn pair(&self, out: &mut Writer<'_>) -> fmt::Result {
        let twin = self.status.twin.as_ref();
        let now = twin.map_or(failover::State::Alone, |twin| twin.state);
        let states = failover::State::ALL.map(|state| ([("state", state.name().to_owned())], flag(state == now)));
        out.gauges("twinlease_failover_state", "1 for the state that this one is in", states)?;
        out.gauge("twinlease_active", "1: by role this one answers", flag(twin.is_none_or(|twin| twin.is_active)))?;
        let partner = twin.and_then(|twin| twin.partner.as_ref());
        let in_contact = partner.is_some_and(|partner| partner.in_contact);
        out.gauge("twinlease_twin_in_contact", "1: the twin is heard", flag(in_contact))?;
        let silent = partner.filter(|partner| partner.silent_ms < u64::MAX).map(|partner| partner.silent_ms as f64 / 1000.0);
        if let Some(silent) = silent {
            out.gauge("twinlease_twin_silent_seconds", "Since the twin was heard last", silent)?;
        }
        let unconfirmed = twin.map_or(0, |twin| twin.unconfirmed);
        out.gauge("twinlease_replication_unconfirmed", "Records that the twin has not confirmed", unconfirmed as f64)?;
        let lag = self.replication_lag.as_secs_f64();
        out.gauge("twinlease_replication_lag_seconds", "How long the oldest of them has waited", lag)?;
        let to_reconcile = twin.map_or(0, |twin| twin.to_reconcile.len());
        out.gauge("twinlease_to_reconcile", "Edits made apart that contradict", to_reconcile as f64)?;
        let counted = &*self.counted;
        out.counter("twinlease_heartbeats_sent", "To the twin", counted.heartbeats_sent.load(Relaxed))?;
        out.counter("twinlease_heartbeats_received", "From the twin", counted.heartbeats_received.load(Relaxed))
    }

    fn disk(&self, out: &mut Writer<'_>) -> fmt::Result {
        let counted = &*self.counted;
        out.histograms("twinlease_commit_seconds", "From a change to its being on disk", &[([], &counted.commits)])?;
        out.counter("twinlease_commit_failures", "Changes that the disk refused", counted.commit_failures.load(Relaxed))?;
        out.gauge("twinlease_commits_waiting", "Changes that are not on disk yet", self.status.commits_waiting as f64)?;
        out.gauge("twinlease_disk_trouble", "1: nothing new can be promised", flag(self.status.trouble.is_some()))?;
        if let Some(room) = self.room {
            out.gauge("twinlease_disk_free_bytes", "Of the file system with the data", room.free_bytes as f64)?;
            out.gauge("twinlease_disk_size_bytes", "Of the file system with the data", room.size_bytes as f64)?;
        }
        if let Some(age) = self.backup_age {
            out.gauge("twinlease_backup_age_seconds", "Since the newest backup was made", age.as_secs_f64())?;
        }
        let of = |card: &Card| [("card", card.name.clone())];
        let worn = self.cards.iter().filter_map(|card| Some((of(card), f64::from(card.worn_percent?) / 100.0)));
        out.gauges("twinlease_card_worn_ratio", "Of its life, as the memory card says", worn)?;
        let ends = self.cards.iter().filter_map(|card| Some((of(card), f64::from(card.end_of_life?))));
        out.gauges("twinlease_card_end_of_life", "1 normal, 2 warning, 3 urgent: spare blocks of the card", ends)
    }
}

#[cfg(test)]
mod tests;
