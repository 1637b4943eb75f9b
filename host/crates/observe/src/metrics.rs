//! Every metric of the host: one row each with name, labels and meaning. Rooms hold the handles, so
//! that counting is one atomic addition; nothing is looked up per event.

use std::sync::Arc;

use prometheus::{
    Counter, CounterVec, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use rustix::time::{ClockId, clock_gettime};

/// Seconds, from half a millisecond to a minute.
const LATENCY: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

macro_rules! families {
    ($($field:ident: $kind:ident, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        /// The families that more than one handle is cut from.
        #[derive(Debug)]
        struct Families { $($field: families!(@type $kind),)* }
        impl Families {
            fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
                Ok(Self { $($field: {
                    let family = families!(@make $kind, $name, $help, [$($label),*]);
                    registry.register(Box::new(family.clone()))?;
                    family
                },)* })
            }
        }
        /// Name, labels, meaning and kind of every labelled family, for the documents.
        pub const FAMILIES: &[(&str, &[&str], &str, &str)] = &[$(($name, &[$($label),*], $help, stringify!($kind)),)*];
    };
    (@type counter) => { IntCounterVec };
    (@type float) => { CounterVec };
    (@type gauge) => { IntGaugeVec };
    (@type histogram) => { HistogramVec };
    (@make counter, $name:literal, $help:literal, [$($label:literal),*]) => { IntCounterVec::new(Opts::new($name, $help), &[$($label),*])? };
    (@make float, $name:literal, $help:literal, [$($label:literal),*]) => { CounterVec::new(Opts::new($name, $help), &[$($label),*])? };
    (@make gauge, $name:literal, $help:literal, [$($label:literal),*]) => { IntGaugeVec::new(Opts::new($name, $help), &[$($label),*])? };
    (@make histogram, $name:literal, $help:literal, [$($label:literal),*]) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets(LATENCY.to_vec()), &[$($label),*])?
    };
}

families! {
    accepted: counter, "bulkhead_events_accepted_total", ["listener"], "Events that are on disk and were answered as accepted.";
    duplicates: counter, "bulkhead_events_duplicate_total", ["listener"], "Events that were answered as accepted and not journalled again (journal.dedup_window).";
    window_keys: gauge, "bulkhead_window_keys", ["window"], "What is remembered to be taken once: `events` for the removal of duplicates, `answers` for idempotency keys.";
    window_forgotten: counter, "bulkhead_window_forgotten_total", ["window"], "Of these, what was forgotten before its time because there was no room for more.";
    integrity_events: counter, "bulkhead_integrity_events_total", ["rule"], "Events whose place in a hash chain was looked at.";
    integrity_findings: counter, "bulkhead_integrity_findings_total", ["rule", "kind"], "Gaps, forks, tampered events and new starts of hash chains, told or not.";
    integrity_chains: gauge, "bulkhead_integrity_chains", ["rule"], "Hash chains that are known.";
    integrity_broken: gauge, "bulkhead_integrity_chains_broken", ["rule"], "Of them, those with a finding that is not resolved.";
    integrity_forgotten: counter, "bulkhead_integrity_chains_forgotten_total", ["rule"], "Hash chains that were forgotten for want of room (max_chains).";
    refused: counter, "bulkhead_requests_refused_total", ["listener", "reason"], "Intake requests that were refused, by reason.";
    accept_seconds: histogram, "bulkhead_accept_seconds", ["listener"], "Time from the request's last byte to the answer after fsync.";
    files: gauge, "bulkhead_files", ["files", "state"], "Files that an entry of listen.files follows, or cannot read.";
    files_behind: gauge, "bulkhead_files_behind_bytes", ["files"], "Bytes in the files of an entry of listen.files that are not in the journal.";
    pulls: counter, "bulkhead_pulls_total", ["instance", "result"], "Pages asked of pull connectors: taken, or why not. Events count in bulkhead_events_accepted_total, listener pull:<instance>.";
    delivered: counter, "bulkhead_lane_delivered_total", ["instance", "format"], "Events that the receiver accepted.";
    retried: counter, "bulkhead_lane_retried_total", ["instance", "format"], "Attempts that will be made again, counted per event.";
    rejected: counter, "bulkhead_lane_rejected_total", ["instance", "format", "cause"], "Events that went to the dead letters, by cause.";
    filtered: counter, "bulkhead_lane_filtered_total", ["instance", "format", "filter"], "Events that a filter held back, by filter.";
    filtered_everywhere: counter, "bulkhead_events_filtered_total", ["filter"], "Events that a global filter kept from every lane, by filter.";
    depth: gauge, "bulkhead_lane_queue_depth", ["instance", "format"], "Accepted events that the lane has not settled, those it will not want included.";
    oldest: gauge, "bulkhead_lane_oldest_age_seconds", ["instance", "format"], "Age of the oldest event that the lane has not settled.";
    replayed: counter, "bulkhead_lane_replayed_total", ["instance", "format", "by"], "Events handed to the lane again: dead letters (manual, automatic), or what was read from the journal again (lane).";
    letters_dropped: counter, "bulkhead_dead_letters_dropped_total", ["by"], "Dead letters that were deleted because the operator asked for it: retention, drop_oldest, purge.";
    breaker: gauge, "bulkhead_breaker_state", ["instance"], "Circuit breaker: 0 closed, 1 half-open, 2 open.";
    concurrency: gauge, "bulkhead_concurrency_limit", ["instance"], "Deliveries at the same time that adaptive concurrency allows now.";
    delivery_seconds: histogram, "bulkhead_lane_delivery_seconds", ["instance", "format"], "Time from acceptance to the receiver's acceptance.";
    batch_events: counter, "bulkhead_lane_batches_total", ["instance", "format"], "Batches handed to the connector.";
    guest_calls: counter, "bulkhead_guest_calls_total", ["instance", "component", "call"], "Calls into a guest.";
    guest_fuel: counter, "bulkhead_guest_fuel_total", ["instance", "component"], "Fuel that guests used.";
    guest_cpu: float, "bulkhead_guest_cpu_seconds_total", ["instance", "component", "share"], "Processor time of calls into guests: the guest's own, or the host's on its behalf.";
    guest_bytes: counter, "bulkhead_guest_bytes_total", ["instance", "component", "direction"], "Bytes that guests sent out and took in: bodies of requests and answers, contents of streams.";
    guest_byte_seconds: float, "bulkhead_guest_memory_byte_seconds_total", ["instance", "component"], "Linear memory that guests held, times how long they held it.";
    guest_seconds: histogram, "bulkhead_guest_call_seconds", ["instance", "component"], "Time of a call into a guest, host functions included.";
    guest_memory: gauge, "bulkhead_guest_memory_bytes", ["instance", "component"], "Linear memory of the guest that called last.";
    guest_faults: counter, "bulkhead_guest_faults_total", ["instance", "component", "fault"], "Guests that trapped, ran into a limit or broke the contract.";
    guest_limit_reached: counter, "bulkhead_guest_limit_reached_total", ["instance", "component", "limit"], "Times that a guest ran into a limit, by limit.";
    guest_limit_would_refuse: counter, "bulkhead_guest_limit_would_refuse_total", ["instance", "component", "limit"], "Times that a limit in count_only would have refused.";
    guest_log_cut: counter, "bulkhead_guest_log_cut_total", ["instance", "component"], "Log lines of guests that were cut or held back.";
    rollbacks: counter, "bulkhead_component_rollbacks_total", ["component", "cause"], "Components that went back to the version before, by hand or by themselves.";
    uploads: counter, "bulkhead_uploads_total", ["result"], "Uploads of components that were taken, known already, or refused.";
    egress_connections: counter, "bulkhead_egress_connections_total", ["instance", "destination", "result"], "TCP and TLS connections of guests: connected, or why there is none.";
    egress_open: gauge, "bulkhead_egress_open_connections", ["instance"], "TCP and TLS connections of guests that are open.";
    egress_datagrams: counter, "bulkhead_egress_datagrams_total", ["instance", "destination", "result"], "Datagrams of guests: sent, or why not.";
    inbound: counter, "bulkhead_inbound_requests_total", ["inbound", "result"], "Requests to the address of an inbound webhook: accepted, repeated, or why refused.";
    inbound_events: counter, "bulkhead_inbound_events_total", ["inbound"], "Events of inbound webhooks that are on disk.";
    inbound_forgotten: counter, "bulkhead_inbound_forgotten_total", ["inbound"], "Accepted requests that were forgotten before their time, because too many came.";
    egress: counter, "bulkhead_egress_requests_total", ["instance", "destination", "result"], "HTTP requests of guests: status class, or why none was sent.";
}

/// All metrics of one process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    families: Arc<Families>,
    /// Events that no route and no default wanted.
    pub unrouted: IntCounter,
    /// Bytes of journal segments on disk.
    pub journal_bytes: IntGauge,
    pub journal_syncs: IntCounter,
    pub journal_sync_seconds: Histogram,
    pub dead_letters: IntGauge,
    /// 1 while the store answers.
    pub store_up: IntGauge,
    /// Receipts in the files, receipts that could not be written, bytes of the files.
    pub receipts: IntCounter,
    pub receipts_lost: IntCounter,
    pub receipts_bytes: IntGauge,
    /// Processor time of the whole process; the name is the one that Prometheus' own clients use.
    process_cpu: Counter,
}

impl Metrics {
    /// # Panics
    /// Never: names and labels are constants that a test registers.
    #[expect(clippy::expect_used, reason = "names and labels are constants, registered once in a fresh registry")]
    pub fn new() -> Self {
        let registry = Registry::new();
        let build = || -> Result<Self, prometheus::Error> {
            let families = Arc::new(Families::new(&registry)?);
            let unrouted = IntCounter::new("bulkhead_events_unrouted_total", "Events that no route and no default route wanted.")?;
            let journal_bytes = IntGauge::new("bulkhead_journal_bytes", "Bytes of journal segments on disk.")?;
            let journal_syncs = IntCounter::new("bulkhead_journal_syncs_total", "Group commits of the journal.")?;
            let journal_sync_seconds = Histogram::with_opts(
                HistogramOpts::new("bulkhead_journal_sync_seconds", "Time of one group commit's write and sync.").buckets(LATENCY.to_vec()),
            )?;
            let dead_letters = IntGauge::new("bulkhead_dead_letters", "Dead letters in the store.")?;
            let store_up = IntGauge::new("bulkhead_store_up", "1 while the control store (keys, stored entries, schedules) answers, 0 while it is away.")?;
            registry.register(Box::new(store_up.clone()))?;
            let receipts = IntCounter::new("bulkhead_receipts_total", "Receipts written.")?;
            let receipts_lost =
                IntCounter::new("bulkhead_receipts_lost_total", "Receipts that could not be written; the chain says so, too, once it can be written again.")?;
            let receipts_bytes = IntGauge::new("bulkhead_receipts_bytes", "Bytes of the files of receipts.")?;
            registry.register(Box::new(receipts.clone()))?;
            registry.register(Box::new(receipts_lost.clone()))?;
            registry.register(Box::new(receipts_bytes.clone()))?;
            let process_cpu = Counter::new("process_cpu_seconds_total", "Processor time of the whole process, user and system.")?;
            registry.register(Box::new(process_cpu.clone()))?;
            registry.register(Box::new(unrouted.clone()))?;
            registry.register(Box::new(journal_bytes.clone()))?;
            registry.register(Box::new(journal_syncs.clone()))?;
            registry.register(Box::new(journal_sync_seconds.clone()))?;
            registry.register(Box::new(dead_letters.clone()))?;
            Ok(Self {
                registry: registry.clone(),
                families,
                unrouted,
                journal_bytes,
                journal_syncs,
                journal_sync_seconds,
                dead_letters,
                store_up,
                receipts,
                receipts_lost,
                receipts_bytes,
                process_cpu,
            })
        };
        build().expect("metric names are well formed and unique")
    }

    pub fn accepted(&self, listener: &str) -> IntCounter {
        self.families.accepted.with_label_values(&[listener])
    }

    pub fn duplicates(&self, listener: &str) -> IntCounter {
        self.families.duplicates.with_label_values(&[listener])
    }

    /// `window` is `events` or `answers`.
    pub fn window(&self, window: &str) -> WindowMetrics {
        WindowMetrics { keys: self.families.window_keys.with_label_values(&[window]), forgotten: self.families.window_forgotten.with_label_values(&[window]) }
    }

    pub fn integrity(&self, rule: &str) -> IntegrityMetrics {
        IntegrityMetrics {
            events: self.families.integrity_events.with_label_values(&[rule]),
            chains: self.families.integrity_chains.with_label_values(&[rule]),
            broken: self.families.integrity_broken.with_label_values(&[rule]),
            forgotten: self.families.integrity_forgotten.with_label_values(&[rule]),
            families: Arc::clone(&self.families),
            rule: rule.into(),
        }
    }

    pub fn refused(&self, listener: &str, reason: &str) -> IntCounter {
        self.families.refused.with_label_values(&[listener, reason])
    }

    pub fn accept_seconds(&self, listener: &str) -> Histogram {
        self.families.accept_seconds.with_label_values(&[listener])
    }

    /// `state` is `followed` or `unreadable`.
    pub fn files(&self, files: &str, state: &str) -> IntGauge {
        self.families.files.with_label_values(&[files, state])
    }

    pub fn files_behind(&self, files: &str) -> IntGauge {
        self.families.files_behind.with_label_values(&[files])
    }

    pub fn pulls(&self, instance: &str, result: &str) -> IntCounter {
        self.families.pulls.with_label_values(&[instance, result])
    }

    pub fn lane(&self, instance: &str, format: &str) -> LaneMetrics {
        let labels = [instance, format];
        LaneMetrics {
            delivered: self.families.delivered.with_label_values(&labels),
            retried: self.families.retried.with_label_values(&labels),
            depth: self.families.depth.with_label_values(&labels),
            oldest: self.families.oldest.with_label_values(&labels),
            seconds: self.families.delivery_seconds.with_label_values(&labels),
            batches: self.families.batch_events.with_label_values(&labels),
            families: Arc::clone(&self.families),
            labels: labels.map(Into::into),
        }
    }

    pub fn inbound(&self, name: &str) -> InboundMetrics {
        InboundMetrics {
            events: self.families.inbound_events.with_label_values(&[name]),
            forgotten: self.families.inbound_forgotten.with_label_values(&[name]),
            families: Arc::clone(&self.families),
            name: name.into(),
        }
    }

    pub fn instance(&self, instance: &str) -> InstanceMetrics {
        InstanceMetrics { breaker: self.families.breaker.with_label_values(&[instance]), concurrency: self.families.concurrency.with_label_values(&[instance]) }
    }

    /// `by` is `manual`, `automatic` or `lane`.
    pub fn replayed(&self, instance: &str, format: &str, by: &str) -> IntCounter {
        self.families.replayed.with_label_values(&[instance, format, by])
    }

    /// `by` is `retention`, `drop_oldest` or `purge`.
    pub fn letters_dropped(&self, by: &str) -> IntCounter {
        self.families.letters_dropped.with_label_values(&[by])
    }

    /// Events that a global filter kept from every lane.
    pub fn filtered(&self, filter: &str) -> IntCounter {
        self.families.filtered_everywhere.with_label_values(&[filter])
    }

    /// `instance` is the connector instance or, for a formatter, the lane's instance.
    pub fn guest(&self, instance: &str, component: &str) -> GuestMetrics {
        let labels = [instance, component];
        GuestMetrics {
            fuel: self.families.guest_fuel.with_label_values(&labels),
            seconds: self.families.guest_seconds.with_label_values(&labels),
            memory: self.families.guest_memory.with_label_values(&labels),
            log_cut: self.families.guest_log_cut.with_label_values(&labels),
            costs: Arc::new(GuestCosts {
                cpu_guest: self.families.guest_cpu.with_label_values(&[instance, component, "guest"]),
                cpu_host: self.families.guest_cpu.with_label_values(&[instance, component, "host"]),
                bytes_out: self.families.guest_bytes.with_label_values(&[instance, component, "out"]),
                bytes_in: self.families.guest_bytes.with_label_values(&[instance, component, "in"]),
                byte_seconds: self.families.guest_byte_seconds.with_label_values(&labels),
            }),
            families: Arc::clone(&self.families),
            labels: labels.map(Into::into),
        }
    }

    /// `result` is `2xx`, `3xx`, `4xx`, `5xx`, `denied`, `connect`, `broken`, `timeout` or `limit`.
    pub fn egress(&self, instance: &str, destination: &str, result: &str) -> IntCounter {
        self.families.egress.with_label_values(&[instance, destination, result])
    }

    /// `cause` is `manual` or `automatic`.
    pub fn rollback(&self, component: &str, cause: &str) -> IntCounter {
        self.families.rollbacks.with_label_values(&[component, cause])
    }

    /// `result` is `taken`, `known` or `refused`.
    pub fn upload(&self, result: &str) -> IntCounter {
        self.families.uploads.with_label_values(&[result])
    }

    /// `result` is `connected`, `denied`, `connect`, `timeout` or `limit`.
    pub fn egress_connections(&self, instance: &str, destination: &str, result: &str) -> IntCounter {
        self.families.egress_connections.with_label_values(&[instance, destination, result])
    }

    pub fn egress_open(&self, instance: &str) -> IntGauge {
        self.families.egress_open.with_label_values(&[instance])
    }

    /// `result` is `sent`, `denied`, `broken` or `limit`.
    pub fn egress_datagrams(&self, instance: &str, destination: &str, result: &str) -> IntCounter {
        self.families.egress_datagrams.with_label_values(&[instance, destination, result])
    }

    /// For collectors of other rooms.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The text exposition format 0.0.4 of Prometheus.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        self.process_cpu.inc_by((seconds - self.process_cpu.get()).max(0.0));
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Handles of what remembers keys for a time.
#[derive(Debug, Clone)]
pub struct WindowMetrics {
    keys: IntGauge,
    forgotten: IntCounter,
}

impl WindowMetrics {
    /// How many keys there are now, and how many more went before their time.
    pub fn set(&self, keys: usize, forgotten: u64) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.forgotten.inc_by(forgotten);
    }
}

/// Handles of one rule of integrity.
#[derive(Debug, Clone)]
pub struct IntegrityMetrics {
    pub events: IntCounter,
    chains: IntGauge,
    broken: IntGauge,
    forgotten: IntCounter,
    families: Arc<Families>,
    rule: Arc<str>,
}

impl IntegrityMetrics {
    /// `kind` is `gap`, `fork`, `tampered` or `restarted`.
    pub fn found(&self, kind: &str) {
        self.families.integrity_findings.with_label_values(&[&*self.rule, kind]).inc();
    }

    /// How many chains there are, how many of them are broken, and how many more were forgotten.
    pub fn set(&self, chains: usize, broken: usize, forgotten: u64) {
        self.chains.set(i64::try_from(chains).unwrap_or(i64::MAX));
        self.broken.set(i64::try_from(broken).unwrap_or(i64::MAX));
        self.forgotten.inc_by(forgotten);
    }
}

/// Handles of one instance.
#[derive(Debug, Clone)]
pub struct InstanceMetrics {
    pub breaker: IntGauge,
    pub concurrency: IntGauge,
}

/// Handles of one lane.
#[derive(Debug, Clone)]
pub struct LaneMetrics {
    pub delivered: IntCounter,
    pub retried: IntCounter,
    pub depth: IntGauge,
    pub oldest: IntGauge,
    /// Acceptance to the receiver's acceptance, per event.
    pub seconds: Histogram,
    pub batches: IntCounter,
    families: Arc<Families>,
    labels: [Arc<str>; 2],
}

impl LaneMetrics {
    pub fn rejected(&self, cause: &str) -> IntCounter {
        self.families.rejected.with_label_values(&[&*self.labels[0], &*self.labels[1], cause])
    }

    pub fn filtered(&self, filter: &str) -> IntCounter {
        self.families.filtered.with_label_values(&[&*self.labels[0], &*self.labels[1], filter])
    }
}

/// Handles of one inbound webhook.
#[derive(Debug, Clone)]
pub struct InboundMetrics {
    pub events: IntCounter,
    pub forgotten: IntCounter,
    families: Arc<Families>,
    name: Arc<str>,
}

impl InboundMetrics {
    /// `result` is `accepted`, `repeated`, or the reason of a refusal.
    pub fn result(&self, result: &str) -> IntCounter {
        self.families.inbound.with_label_values(&[&*self.name, result])
    }
}

/// Handles of one guest.
#[derive(Debug, Clone)]
pub struct GuestMetrics {
    pub fuel: IntCounter,
    pub seconds: Histogram,
    pub memory: IntGauge,
    pub log_cut: IntCounter,
    pub costs: Arc<GuestCosts>,
    families: Arc<Families>,
    labels: [Arc<str>; 2],
}

/// What a guest costs beside its fuel.
#[derive(Debug)]
pub struct GuestCosts {
    /// Seconds of processor time in the guest.
    pub cpu_guest: Counter,
    /// Seconds of processor time of the host on its behalf.
    pub cpu_host: Counter,
    pub bytes_out: IntCounter,
    pub bytes_in: IntCounter,
    /// Bytes of linear memory times seconds.
    pub byte_seconds: Counter,
}

impl GuestMetrics {
    pub fn call(&self, call: &str) -> IntCounter {
        self.families.guest_calls.with_label_values(&[&*self.labels[0], &*self.labels[1], call])
    }

    pub fn instance(&self) -> &str {
        &self.labels[0]
    }

    pub fn component(&self) -> &str {
        &self.labels[1]
    }

    /// `limit` is a name from the table of limits.
    pub fn limit_reached(&self, limit: &str) -> IntCounter {
        self.families.guest_limit_reached.with_label_values(&[&*self.labels[0], &*self.labels[1], limit])
    }

    /// `limit` is a name from the table of limits.
    pub fn limit_would_refuse(&self, limit: &str) -> IntCounter {
        self.families.guest_limit_would_refuse.with_label_values(&[&*self.labels[0], &*self.labels[1], limit])
    }

    /// `fault` is `trap`, `contract`, or the limit's name.
    pub fn fault(&self, fault: &str) -> IntCounter {
        self.families.guest_faults.with_label_values(&[&*self.labels[0], &*self.labels[1], fault])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_registers_and_shows() {
        let metrics = Metrics::new();
        metrics.lane("siem", "cef").delivered.inc_by(3);
        metrics.lane("siem", "cef").rejected("rejected").inc();
        let text = String::from_utf8(metrics.encode().expect("encodes")).expect("utf-8");
        assert!(text.contains("bulkhead_lane_delivered_total{format=\"cef\",instance=\"siem\"} 3"), "{text}");
        assert!(text.contains("cause=\"rejected\""), "{text}");
    }
}
