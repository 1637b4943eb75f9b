//! CEF: ArcSight's Common Event Format, `CEF:0`, one record without a line break for each event.
//! Standard: OpenText ArcSight "CEF Implementation Standard", document version 27.
//!
//! Promised: header and extensions escaped and cut as the standard says, each key at most once, keys
//! that belong to consumers never sent, any event gives a record. The audit events of copybook and
//! intelliguard have mappings of their own; everything else goes by its core attributes.

use bulkhead_sdk::{Config, Event, Formatter, RecordFormat, Severity, Value, Writer, fields};

mod copybook;
mod copybook_types;
mod extension;
mod general;
mod header;
mod security;

use extension::Pairs;

fields! {
    mod field {
        ID = "/id", SOURCE = "/source", TYPE = "/type", TIME = "/time", SEVERITY = "/severity", CLASSIFICATION = "/classification",
        COMPLIANCE = "/compliance", USER = "/user", OPERATION = "/operation", OUTCOME = "/outcome", ACTION = "/action", CATEGORY = "/category",
        HOST = "/host", PROCESS = "/process", SRC_IP = "/srcip", DST_IP = "/dstip", DST_PORT = "/dstport", INTEGRITY_HASH = "/integrityhash",
        PREVIOUS_HASH = "/previoushash", SUBJECT = "/subject",
        EVENT_TYPE = "/data/event_type",
        VERSION = "/data/context/environment/version", COMMAND_LINE = "/data/context/environment/command_line",
        NATIVE_CLASSIFICATION = "/data/context/security/classification", NATIVE_COMPLIANCE = "/data/context/compliance_profiles",
        COPYBOOK_PATH = "/data/payload/copybook_path", FIELD_COUNT = "/data/payload/field_count", INPUT_FILE = "/data/payload/input_file",
        RECORDS_VALIDATED = "/data/payload/records_validated", OPERATION_NAME = "/data/payload/operation_name",
        THROUGHPUT = "/data/payload/throughput_mbps", MEMORY = "/data/payload/memory_used_mb", CPU = "/data/payload/cpu_usage_percent",
        DURATION = "/data/payload/duration_ms", PAYLOAD_COMPLIANCE = "/data/payload/compliance_profiles",
        VIOLATIONS = "/data/payload/violations_found", SECURITY_EVENT_TYPE = "/data/payload/security_event_type",
        AFFECTED_RESOURCES = "/data/payload/affected_resources",
        GUARD_TYPE = "/data/event/type", GUARD_VENDOR = "/data/metadata/vendor", GUARD_PRODUCT = "/data/metadata/product",
        GUARD_VERSION = "/data/metadata/version", SOURCE_HOST = "/data/source/hostname", SOURCE_MAC = "/data/source/mac",
        SERVICE = "/data/destination/service", COUNTRY = "/data/enrichment/geolocation/country",
        REPUTATION = "/data/enrichment/threat_intel/reputation", CONFIDENCE = "/data/enrichment/threat_intel/confidence",
        MESSAGE = "/data/message", MSG = "/data/msg",
        RECEIVED = "/received",
    }
}

/// How CEF records look.
#[derive(Debug, Config)]
pub struct Settings {
    /// Device vendor of every record. Without it: `Copybook-rs` for copybook events, the vendor that an
    /// intelliguard event names, else `Bulkhead`.
    #[config(min = 1, max = 63)]
    device_vendor: Option<String>,
    /// Device product of every record. Without it: `Enterprise Audit System` for copybook events, the
    /// product that an intelliguard event names, else the event's source.
    #[config(min = 1, max = 63)]
    device_product: Option<String>,
    /// Device version where an event names none.
    #[config(min = 1, max = 31, default = "1.0")]
    device_version: String,
    /// CEF severities, 0 to 10, of the event severities.
    #[config(default)]
    severity: Severities,
    /// Adds `rt`, the time at which Bulkhead received the event.
    #[config(default = false)]
    receipt_time: bool,
}

/// CEF severities by event severity.
#[derive(Debug, Config)]
pub struct Severities {
    #[config(default = 2, max = 10)]
    info: u8,
    #[config(default = 4, max = 10)]
    low: u8,
    #[config(default = 6, max = 10)]
    medium: u8,
    #[config(default = 8, max = 10)]
    high: u8,
    #[config(default = 10, max = 10)]
    critical: u8,
    /// For events that have none. The standard also knows the word `Unknown`, but many parsers do not.
    #[config(default = 0, max = 10)]
    unknown: u8,
}

#[derive(Debug)]
pub struct Cef {
    settings: Settings,
}

impl Cef {
    /// The severity of the header.
    fn severity(&self, event: &Event<'_>) -> u8 {
        let map = &self.settings.severity;
        Severity::of(event.get(field::SEVERITY)).map_or(map.unknown, |severity| severity.pick([map.info, map.low, map.medium, map.high, map.critical]))
    }

    /// The configured text, else the event's, else a word.
    fn choose<'a>(configured: &'a Option<String>, own: Value<'a>, word: &'static str) -> Value<'a> {
        match configured {
            Some(text) => Value::plain_text(text),
            None => own.or(Value::plain_text(word)),
        }
    }
}

impl Formatter for Cef {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        for (name, text) in [
            ("device_vendor", &settings.device_vendor),
            ("device_product", &settings.device_product),
            ("device_version", &Some(settings.device_version.clone())),
        ] {
            if text.as_ref().is_some_and(|text| text.chars().any(char::is_control)) {
                return Err(format!("`{name}` contains a control character, which a CEF header cannot carry"));
            }
        }
        Ok(Self { settings })
    }

    fn fields(&self) -> Vec<&str> {
        // Last in the list, so that the others keep their places without it.
        let count = if self.settings.receipt_time { field::ALL.len() } else { field::ALL.len() - 1 };
        field::ALL[..count].to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("cef", "text/plain; charset=utf-8")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        if event.get(field::TYPE).raw().starts_with(b"copybook.") && event.get(field::EVENT_TYPE).is_string() {
            copybook::write(self, event, out);
        } else if event.get(field::GUARD_TYPE).is_string() {
            security::write(self, event, out);
        } else {
            general::write(self, event, out);
        }
        Ok(())
    }
}

/// What every record begins its extensions with.
fn common(event: &Event<'_>, pairs: &mut Pairs<'_>) {
    pairs.time(b"rt=", event.get(field::RECEIVED));
    pairs.interval(event.get(field::TIME));
    pairs.text(b"suser=", event.get(field::USER), 1023);
    pairs.text(b"dvchost=", event.get(field::HOST), 100);
}

bulkhead_sdk::export_formatter!(Cef);

#[cfg(test)]
mod tests;
