//! The guests whose cost is measured one by one, each with the least configuration that it takes.

/// Where an instance delivers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counterpart {
    /// The receiver process.
    Http,
    /// A sink that reads and, where the protocol has answers, gives them.
    Tcp(Speech),
    Udp,
    Files,
    /// Nobody: what it does stays within the host.
    Nobody,
}

/// What a sink of streams answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Nothing,
    /// Fluentd's forward protocol: the id of a chunk comes back.
    Forward,
    /// The beats input: each window is acknowledged as a whole.
    Lumberjack,
    /// The handshake, and an answer to each ping.
    WebSocket,
}

/// A connector with its configuration as a YAML flow.
pub struct Subject {
    pub name: &'static str,
    pub config: &'static str,
    pub counterpart: Counterpart,
}

const fn subject(name: &'static str, config: &'static str, counterpart: Counterpart) -> Subject {
    Subject { name, config, counterpart }
}

use Counterpart::{Files, Http, Nobody, Tcp, Udp};

pub static CONNECTORS: [Subject; 25] = [
    subject("appdynamics", "{account_name: bench}", Http),
    subject("cloudwatch-logs", "{group: bench, stream: bench}", Http),
    subject("datadog", "{}", Http),
    subject("elasticsearch", "{index: bench}", Http),
    subject("file", "{path: bench.ndjson}", Files),
    subject("fluent-forward", "{}", Tcp(Speech::Forward)),
    subject("grafana-annotations", "{}", Http),
    subject("graphql", "{query: \"mutation($event: Event!) { add(event: $event) }\"}", Http),
    subject("logstash", "{}", Tcp(Speech::Lumberjack)),
    subject("loki", "{}", Http),
    subject("newrelic", "{}", Http),
    subject("otlp", "{}", Http),
    subject("prometheus", "{}", Nobody),
    subject("prometheus-pushgateway", "{}", Http),
    subject("prometheus-remote-write", "{}", Http),
    subject("qradar-reference", "{collection_id: 1, value: /user}", Http),
    subject("rest", "{}", Http),
    subject("sentinel", "{rule: dcr-00000000000000000000000000000000, stream: Custom-Bench_CL}", Http),
    subject("sentinel-data-collector", "{api: retired, log_type: Bench}", Http),
    subject("splunk-hec", "{}", Http),
    subject("syslog", "{}", Tcp(Speech::Nothing)),
    subject("syslog-udp", "{}", Udp),
    subject("tcp", "{}", Tcp(Speech::Nothing)),
    subject("webhook", "{}", Http),
    subject("websocket", "{host: bench}", Tcp(Speech::WebSocket)),
];

/// Formatters deliver through the connector that does least with a record: many in one request, lines as they are.
pub static CARRIER: Subject = subject("webhook", "{mode: ndjson}", Http);
