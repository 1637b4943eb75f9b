//! LEEF: IBM QRadar's Log Event Extended Format, 1.0 and 2.0, one record without a line break for
//! each event. Standard: IBM, "QRadar: Log Event Extended Format (LEEF)".
//!
//! Promised: a header of constant vendor, product and version (QRadar finds the log source by them),
//! each key at most once, predefined attributes only with values of their type, any event gives a
//! record. LEEF has no escape: a delimiter, a pipe in the header and control characters become spaces.

use bulkhead_sdk::{Config, Escape, Event, Formatter, RecordFormat, Severity, Value, Writer, fields};

mod attributes;
mod clean;
mod copybook;
// One table for both: the CEF formatter's own source.
#[path = "../../format-cef/src/copybook_types.rs"]
mod copybook_types;

use attributes::Attributes;
use clean::{CaretClean, ControlClean, HeaderClean};

fields! {
    mod field {
        ID = "/id", SOURCE = "/source", TYPE = "/type", TIME = "/time", RECEIVED = "/received", SEVERITY = "/severity",
        CLASSIFICATION = "/classification", COMPLIANCE = "/compliance", USER = "/user", ROLES = "/roles", OPERATION = "/operation",
        OUTCOME = "/outcome", ACTION = "/action", CATEGORY = "/category", HOST = "/host", PROCESS = "/process", SRC_IP = "/srcip",
        DST_IP = "/dstip", DST_PORT = "/dstport", INTEGRITY_HASH = "/integrityhash", PREVIOUS_HASH = "/previoushash", SUBJECT = "/subject",
        EVENT_TYPE = "/data/event_type", VERSION = "/data/context/environment/version", COPYBOOK_PATH = "/data/payload/copybook_path",
        INPUT_FILE = "/data/payload/input_file", FIELD_COUNT = "/data/payload/field_count", RECORDS_VALIDATED = "/data/payload/records_validated",
        OPERATION_NAME = "/data/payload/operation_name", THROUGHPUT = "/data/payload/throughput_mbps", MEMORY = "/data/payload/memory_used_mb",
        CPU = "/data/payload/cpu_usage_percent", DURATION = "/data/payload/duration_ms", PROFILES = "/data/payload/compliance_profiles",
        VIOLATIONS = "/data/payload/violations_found", SECURITY_EVENT_TYPE = "/data/payload/security_event_type",
        AFFECTED_RESOURCES = "/data/payload/affected_resources",
        GUARD_TYPE = "/data/event/type", GUARD_VENDOR = "/data/metadata/vendor", GUARD_PRODUCT = "/data/metadata/product",
        SOURCE_HOST = "/data/source/hostname", SOURCE_MAC = "/data/source/mac", SERVICE = "/data/destination/service",
        COUNTRY = "/data/enrichment/geolocation/country", REPUTATION = "/data/enrichment/threat_intel/reputation",
        CONFIDENCE = "/data/enrichment/threat_intel/confidence", MESSAGE = "/data/message", MSG = "/data/msg",
    }
}

/// How LEEF records look.
#[derive(Debug, Config)]
pub struct Settings {
    /// Version of the format.
    #[config(default = "2.0")]
    version: Version,
    /// What stands between attributes; LEEF 1.0 knows the tab only.
    #[config(default = "tab")]
    delimiter: Delimiter,
    /// Device vendor of every record. Without it: `Copybook-rs` for copybook events, the vendor that an
    /// intelliguard event names, else `Bulkhead`.
    #[config(min = 1, max = 63)]
    device_vendor: Option<String>,
    /// Device product of every record. Without it: `Enterprise Audit System` for copybook events, the
    /// product that an intelliguard event names, else the event's source.
    #[config(min = 1, max = 63)]
    device_product: Option<String>,
    /// Device version of every record: QRadar takes another version for another log source.
    #[config(min = 1, max = 31, default = "1.0")]
    device_version: String,
    /// `sev`, 1 to 10, of the event severities.
    #[config(default)]
    severity: Severities,
}

/// Version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Version {
    #[config(rename = "1.0")]
    One,
    #[config(rename = "2.0")]
    Two,
}

/// What stands between attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub enum Delimiter {
    Tab,
    /// `^`, for receivers that lose tabs.
    Caret,
    /// The control character 1F.
    UnitSeparator,
}

impl Delimiter {
    fn byte(self) -> u8 {
        match self {
            Self::Tab => b'\t',
            Self::Caret => b'^',
            Self::UnitSeparator => 0x1f,
        }
    }

    /// The sixth field of a 2.0 header.
    fn field(self) -> &'static [u8] {
        match self {
            Self::Tab => b"x09|",
            Self::Caret => b"^|",
            Self::UnitSeparator => b"x1F|",
        }
    }
}

/// `sev` by event severity; events without one go without.
#[derive(Debug, Config)]
pub struct Severities {
    #[config(default = 2, min = 1, max = 10)]
    info: u8,
    #[config(default = 4, min = 1, max = 10)]
    low: u8,
    #[config(default = 6, min = 1, max = 10)]
    medium: u8,
    #[config(default = 8, min = 1, max = 10)]
    high: u8,
    #[config(default = 10, min = 1, max = 10)]
    critical: u8,
}

#[derive(Debug)]
pub struct Leef {
    settings: Settings,
}

impl Leef {
    fn severity(&self, event: &Event<'_>) -> Option<u8> {
        let map = &self.settings.severity;
        Severity::of(event.get(field::SEVERITY)).map(|severity| severity.pick([map.info, map.low, map.medium, map.high, map.critical]))
    }

    fn header(&self, vendor: Value<'_>, product: Value<'_>, id: Value<'_>, out: &mut Writer) {
        let two = self.settings.version == Version::Two;
        out.bytes(if two { b"LEEF:2.0|" } else { b"LEEF:1.0|" });
        let version = Value::plain_text(&self.settings.device_version);
        for (value, limit) in [(vendor, 63), (product, 63), (version, 31), (id, 255)] {
            out.escaped_text::<HeaderClean>(value, limit);
            out.literal(b"|");
        }
        if two {
            out.bytes(self.settings.delimiter.field());
        }
    }

    fn write<C: Escape>(&self, event: &Event<'_>, out: &mut Writer) {
        let native = event.get(field::EVENT_TYPE);
        let copybook = event.get(field::TYPE).raw().starts_with(b"copybook.") && native.is_string();
        let guard = event.get(field::GUARD_TYPE);
        let (vendor, product, id) = if copybook {
            (Value::plain_text("Copybook-rs"), Value::plain_text("Enterprise Audit System"), copybook::event_id(native))
        } else {
            let source = event.get(field::SOURCE).or(Value::plain_text("Audit Events"));
            let id = if guard.is_string() { guard } else { event.get(field::TYPE).or(Value::plain_text("event")) };
            (text(event.get(field::GUARD_VENDOR)).or(Value::plain_text("Bulkhead")), text(event.get(field::GUARD_PRODUCT)).or(source), id)
        };
        self.header(
            self.settings.device_vendor.as_deref().map_or(vendor, Value::plain_text),
            self.settings.device_product.as_deref().map_or(product, Value::plain_text),
            id,
            out,
        );
        let mut attributes = Attributes::<C>::new(out, self.settings.delimiter.byte());
        attributes.common(event, self.severity(event), if copybook { native } else { event.get(field::CATEGORY) });
        if copybook {
            copybook::write(event, &mut attributes);
        } else {
            attributes.text(b"resource=", event.get(field::SUBJECT), 1023);
            attributes.text(b"action=", event.get(field::ACTION), 255);
        }
        if guard.is_string() {
            attributes.text(b"srcHostName=", event.get(field::SOURCE_HOST), 255);
            attributes.mac(b"srcMAC=", event.get(field::SOURCE_MAC));
            attributes.text(b"dstService=", event.get(field::SERVICE), 255);
            attributes.text(b"srcCountry=", event.get(field::COUNTRY), 255);
            attributes.text(b"threatReputation=", event.get(field::REPUTATION), 255);
            attributes.text(b"threatConfidence=", event.get(field::CONFIDENCE), 32);
        }
        let message = event.get(field::MESSAGE).or(event.get(field::MSG));
        if message.is_string() {
            attributes.text(b"msg=", message, 1023);
        }
        attributes.finish();
    }
}

/// A value that is text: not a number, not a container.
fn text(value: Value<'_>) -> Value<'_> {
    if value.is_string() { value } else { Value::MISSING }
}

impl Formatter for Leef {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        for (name, text) in [
            ("device_vendor", settings.device_vendor.as_deref()),
            ("device_product", settings.device_product.as_deref()),
            ("device_version", Some(settings.device_version.as_str())),
        ] {
            if text.is_some_and(|text| text.contains(|letter: char| letter.is_control() || letter == '|')) {
                return Err(format!("`{name}` contains a pipe or a control character, which a LEEF header cannot carry"));
            }
        }
        if settings.version == Version::One && settings.delimiter != Delimiter::Tab {
            return Err("`delimiter` is tab in LEEF 1.0; set `version: \"2.0\"` for another".to_owned());
        }
        Ok(Self { settings })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("leef", "text/plain; charset=utf-8")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        match self.settings.delimiter {
            Delimiter::Caret => self.write::<CaretClean>(event, out),
            Delimiter::Tab | Delimiter::UnitSeparator => self.write::<ControlClean>(event, out),
        }
        Ok(())
    }
}

bulkhead_sdk::export_formatter!(Leef);

#[cfg(test)]
mod tests;
