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
        /// Name, labels and meaning of every labelled family, for the documents.
        pub const FAMILIES: &[(&str, &[&str], &str)] = &[$(($name, &[$($label),*], $help),)*];
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
    refused: counter, "bulkhead_requests_refused_total", ["listener", "reason"], "Intake requests that were refused, by reason.";
    accept_seconds: histogram, "bulkhead_accept_seconds", ["listener"], "Time from the request's last byte to the answer after fsync.";
    delivered: counter, "bulkhead_lane_delivered_total", ["instance", "format"], "Events that the receiver accepted.";
    retried: counter, "bulkhead_lane_retried_total", ["instance", "format"], "Attempts that will be made again, counted per event.";
    rejected: counter, "bulkhead_lane_rejected_total", ["instance", "format", "cause"], "Events that went to the dead letters, by cause.";
    filtered: counter, "bulkhead_lane_filtered_total", ["instance", "format", "filter"], "Events that a filter held back, by filter.";
    filtered_everywhere: counter, "bulkhead_events_filtered_total", ["filter"], "Events that a global filter kept from every lane, by filter.";
    depth: gauge, "bulkhead_lane_queue_depth", ["instance", "format"], "Accepted events that the lane has not settled, those it will not want included.";
    oldest: gauge, "bulkhead_lane_oldest_age_seconds", ["instance", "format"], "Age of the oldest event that the lane has not settled.";
    breaker: gauge, "bulkhead_breaker_state", ["instance"], "Circuit breaker: 0 closed, 1 half-open, 2 open.";
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

    pub fn refused(&self, listener: &str, reason: &str) -> IntCounter {
        self.families.refused.with_label_values(&[listener, reason])
    }

    pub fn accept_seconds(&self, listener: &str) -> Histogram {
        self.families.accept_seconds.with_label_values(&[listener])
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

    pub fn breaker(&self, instance: &str) -> IntGauge {
        self.families.breaker.with_label_values(&[instance])
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
