//! ECS: one document of the Elastic Common Schema for each event, with fields that mean the same in
//! ECS 8.17 and 9. Reference: Elastic, "ECS Field Reference".
//!
//! Promised: `@timestamp` and `ecs.version` are always there; `event.kind`, `category`, `type` and
//! `outcome` carry only allowed values; times are UTC with all digits; addresses are `ip` only where
//! they are some; empty fields are left out. What has no place in ECS, and the payload as it came,
//! lies under one key of Bulkhead's own, so nothing is lost.

use bulkhead_sdk::{Config, Event, Formatter, Object, RecordFormat, Severity, Timestamp, Value, Writer, fields};

mod class;
mod sets;

fields! {
    mod field {
        ID = "/id", SOURCE = "/source", TYPE = "/type", TIME = "/time", TIME_SOURCE = "/timesource", SUBJECT = "/subject",
        DATA_CONTENT_TYPE = "/datacontenttype", DATA_SCHEMA = "/dataschema", SEVERITY = "/severity", CLASSIFICATION = "/classification",
        COMPLIANCE = "/compliance", USER = "/user", ROLES = "/roles", OPERATION = "/operation", PARENT_OPERATION = "/parentoperation",
        OUTCOME = "/outcome", ACTION = "/action", CATEGORY = "/category", HOST = "/host", PROCESS = "/process", SRC_IP = "/srcip",
        DST_IP = "/dstip", DST_PORT = "/dstport", INTEGRITY_HASH = "/integrityhash", PREVIOUS_HASH = "/previoushash",
        SIGNATURE = "/signature", TENANT = "/tenant", METADATA = "/metadata", TRACE_PARENT = "/traceparent", EXTENSIONS = "/extensions",
        RECEIVED = "/received", MESSAGE = "/data/message", MSG = "/data/msg",
        STARTED = "/data/context/started_at", VERSION = "/data/context/environment/version",
        COMMAND_LINE = "/data/context/environment/command_line", ARCHITECTURE = "/data/context/environment/system_arch",
        GUARD_TYPE = "/data/event/type", VENDOR = "/data/metadata/vendor", PRODUCT = "/data/metadata/product",
        PRODUCT_VERSION = "/data/metadata/version", SOURCE_HOST = "/data/source/hostname", SOURCE_MAC = "/data/source/mac",
        SERVICE = "/data/destination/service", COUNTRY = "/data/enrichment/geolocation/country", CITY = "/data/enrichment/geolocation/city",
        DATA = "/data", DATA_BASE64 = "/data_base64",
    }
}

/// How ECS documents look.
#[derive(Debug, Config)]
pub struct Settings {
    /// Value of `ecs.version`.
    #[config(default = "8.17.0", min = 1, max = 32)]
    ecs_version: String,
    /// Key that holds what has no place in ECS; ECS itself never uses capitals.
    #[config(default = "Bulkhead", min = 1, max = 64)]
    key: String,
    /// Keeps the payload, byte for byte, as `data` under that key.
    #[config(default = true)]
    include_data: bool,
    /// Values of `event.severity`.
    #[config(default)]
    severity: Severities,
    /// Adds `event.created`, the time at which Bulkhead received the event.
    #[config(default = false)]
    receipt_time: bool,
}

/// `event.severity` by event severity.
#[derive(Debug, Config)]
pub struct Severities {
    #[config(default = 2)]
    info: u32,
    #[config(default = 4)]
    low: u32,
    #[config(default = 6)]
    medium: u32,
    #[config(default = 8)]
    high: u32,
    #[config(default = 10)]
    critical: u32,
}

#[derive(Debug)]
pub struct Ecs {
    settings: Settings,
    /// `"key":{`
    own_key: Vec<u8>,
}

impl Ecs {
    pub(crate) fn severity(&self, event: &Event<'_>) -> Option<u32> {
        let map = &self.settings.severity;
        Severity::of(event.get(field::SEVERITY)).map(|severity| severity.pick([map.info, map.low, map.medium, map.high, map.critical]))
    }

    fn own(&self, event: &Event<'_>, class: &class::Class, document: &mut Object<'_>) {
        document.object_under(&self.own_key, |own| {
            own.json(b"\"type\":", event.get(field::TYPE));
            own.json(b"\"subject\":", event.get(field::SUBJECT));
            own.json(b"\"timesource\":", event.get(field::TIME_SOURCE));
            own.json(b"\"classification\":", event.get(field::CLASSIFICATION));
            own.json(b"\"compliance\":", event.get(field::COMPLIANCE));
            own.json(b"\"operation\":", event.get(field::OPERATION));
            own.json(b"\"parentoperation\":", event.get(field::PARENT_OPERATION));
            if !class.outcome_is_exact {
                own.json(b"\"outcome\":", event.get(field::OUTCOME));
            }
            if !class.category_is_exact {
                own.json(b"\"category\":", event.get(field::CATEGORY));
            }
            own.json(b"\"previoushash\":", event.get(field::PREVIOUS_HASH));
            own.json(b"\"signature\":", event.get(field::SIGNATURE));
            own.json(b"\"tenant\":", event.get(field::TENANT));
            own.json(b"\"datacontenttype\":", event.get(field::DATA_CONTENT_TYPE));
            own.json(b"\"dataschema\":", event.get(field::DATA_SCHEMA));
            own.json(b"\"extensions\":", event.get(field::EXTENSIONS));
            if self.settings.include_data {
                own.exact(b"\"data\":", event.get(field::DATA));
                own.exact(b"\"data_base64\":", event.get(field::DATA_BASE64));
            }
        });
    }
}

impl Formatter for Ecs {
    type Config = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let key = settings.key.as_bytes();
        if !key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') || !key[0].is_ascii_alphabetic() {
            return Err("`key` is made of letters, digits and `_`, a letter first".to_owned());
        }
        if sets::NAMES.contains(&settings.key.as_str()) {
            return Err(format!("`key` is `{}`, which is a field set of ECS; choose another, with a capital for example", settings.key));
        }
        if !settings.ecs_version.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+')) {
            return Err("`ecs_version` is a version such as 8.17.0".to_owned());
        }
        let own_key = format!("\"{}\":{{", settings.key).into_bytes();
        Ok(Self { settings, own_key })
    }

    fn fields(&self) -> Vec<&str> {
        // The payload comes last, so that the others keep their places without it.
        let count = if self.settings.include_data { field::ALL.len() } else { field::ALL.len() - 2 };
        field::ALL[..count].to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("ecs", "application/json")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let class = class::Class::of(event);
        let mut document = Object::begin(out);
        // An event always has a time of receipt; the epoch stands in where a host gave neither.
        let moment = event.time([field::TIME, field::RECEIVED]);
        document.time(b"\"@timestamp\":", moment.unwrap_or(Timestamp { seconds: 0, fraction: &[] }));
        document.object(b"\"ecs\":{", |ecs| ecs.word(b"\"version\":", &self.settings.ecs_version));
        let message = event.get(field::MESSAGE).or(event.get(field::MSG));
        if message.is_string() {
            document.json(b"\"message\":", message);
        }
        sets::event(event, &class, self, &mut document);
        sets::actors(event, &mut document);
        sets::network(event, &mut document);
        sets::related(event, &mut document);
        sets::trace(event.get(field::TRACE_PARENT), &mut document);
        self.own(event, &class, &mut document);
        document.end();
        Ok(())
    }
}

/// A value that is text: not a number, not a container.
fn text(value: Value<'_>) -> Value<'_> {
    if value.is_string() { value } else { Value::MISSING }
}

bulkhead_sdk::export_formatter!(Ecs);

#[cfg(test)]
mod tests;
