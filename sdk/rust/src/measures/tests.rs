use super::*;
use crate::native::{self, EventText};
use crate::{Connector, Delivery, Failure, RecordFormat};

/// Keeps the measures of what it is handed.
struct Keeper(Vec<Tag>, Vec<String>);

impl Connector for Keeper {
    type Config = crate::config::NoConfig;

    fn configure(_: Self::Config, _: &RecordFormat) -> Result<Self, String> {
        Ok(Self(Tag::ALL.to_vec(), Vec::new()))
    }

    fn fields(&self) -> Vec<&str> {
        FIELDS.to_vec()
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        for (series, number) in of(batch, &self.0, second) {
            let tags: Vec<String> = series.tags.iter().map(|(tag, value)| format!("{}={value}", tag.name())).collect();
            self.1.push(format!("{} {} {} {} {number:?}", series.name, series.second, series.host, tags.join(",")));
        }
        Ok(Delivery::accepted())
    }
}

fn measures(tags: &[Tag], events: &[&str]) -> Vec<String> {
    let mut keeper = native::connector::<Keeper>("{}", &RecordFormat::new("json", "application/json")).unwrap();
    keeper.connector.0 = tags.to_vec();
    let batch: Vec<_> = events.iter().map(|event| ("", EventText::new(event))).collect();
    keeper.deliver_texts(&batch).unwrap();
    keeper.connector.1
}

const SECURITY: &str = r#"{"time":"2026-01-02T03:04:05.9Z","type":"copybook.security_event","severity":"high","host":"h1","user":"ada","classification":"internal","compliance":["sox","gdpr"],"data":{"event_type":"SecurityEvent","context":{"security":{"classification":"Internal"},"compliance_profiles":["SOX","GDPR"]}}}"#;
const PERFORMANCE: &str = r#"{"time":"2026-01-02T03:04:06Z","type":"copybook.performance_measurement","severity":"info","data":{"event_type":"PerformanceMeasurement","payload":{"operation_name":"decode","throughput_mbps":80.25,"memory_used_mb":null,"cpu_usage_percent":"9","duration_ms":12}}}"#;

#[test]
fn events_of_one_second_are_summed_up() {
    let all = measures(&Tag::ALL, &[SECURITY, SECURITY, PERFORMANCE]);
    let tags = "event_type=SecurityEvent,severity=high";
    assert_eq!(
        all,
        [
            format!("audit.compliance_events 1767323045 h1 {tags},profile=GDPR,classification=Internal,user=ada Count(2)"),
            format!("audit.compliance_events 1767323045 h1 {tags},profile=SOX,classification=Internal,user=ada Count(2)"),
            format!("audit.events 1767323045 h1 {tags},classification=Internal,user=ada Count(2)"),
            "audit.events 1767323046  event_type=PerformanceMeasurement,severity=info,operation=decode Count(1)".to_owned(),
            format!("audit.security_events 1767323045 h1 {tags},classification=Internal,user=ada Count(2)"),
            "performance.duration_ms 1767323046  event_type=PerformanceMeasurement,severity=info,operation=decode Gauge(\"12\")".to_owned(),
            "performance.throughput_mbps 1767323046  event_type=PerformanceMeasurement,severity=info,operation=decode Gauge(\"80.25\")".to_owned(),
        ]
    );
}

#[test]
fn other_events_count_under_their_types_and_tags_can_be_left_out() {
    let plain = r#"{"received":"2026-01-02T03:04:05Z","type":"login","user":"ada","compliance":["sox"]}"#;
    let all = measures(&[Tag::EventType, Tag::Profile], &[plain, r#"{"time":"2026-01-02T03:04:05Z","type":"login","user":"bob"}"#]);
    assert_eq!(all, ["audit.compliance_events 1767323045  event_type=login,profile=sox Count(1)", "audit.events 1767323045  event_type=login Count(2)"]);
}

#[test]
fn strange_events_measure_too() {
    let long = format!(r#"{{"type":"{}","host":["x"],"compliance":"sox"}}"#, "é".repeat(300));
    let many = format!(r#"{{"type":"t","compliance":[{}]}}"#, (0..99).map(|i| format!("\"p{i}\"")).collect::<Vec<_>>().join(","));
    native::set_now(7);
    assert_eq!(measures(&[Tag::EventType], &[&long]), [format!("audit.events 7  event_type={} Count(1)", "é".repeat(100))]);
    assert_eq!(measures(&[Tag::Profile], &[&many]).len(), 1 + MAX_PROFILES);
    assert_eq!(measures(&[], &["{}"]), ["audit.events 7   Count(1)"]);
    native::reset();
}

#[test]
fn gauges_are_numbers_that_fit() {
    for (text, want) in [("80.25", true), ("-1e3", true), ("1e400", false), ("\"9\"", false), ("null", false), ("[1]", false)] {
        assert_eq!(finite(crate::json::value(text).unwrap()).is_some(), want, "{text}");
    }
}
