//! Splunk: one JSON document for each event, with the field names that dashboards of copybook's audit
//! trail search for, and those of Splunk's Common Information Model for addresses.
//!
//! Promised: what an event does not have is left out, payloads go out byte for byte, any event gives a
//! document. The envelope of the HTTP Event Collector is the connector's.

use bulkhead_sdk::config::NoConfig;
use bulkhead_sdk::{Event, Formatter, Object, RecordFormat, Value, Writer, fields};

fields! {
    mod field {
        ID = "/id", SOURCE = "/source", TYPE = "/type", TIME = "/time", RECEIVED = "/received", SUBJECT = "/subject", SEVERITY = "/severity",
        CLASSIFICATION = "/classification", COMPLIANCE = "/compliance", USER = "/user", ROLES = "/roles", OPERATION = "/operation",
        PARENT_OPERATION = "/parentoperation", OUTCOME = "/outcome", ACTION = "/action", CATEGORY = "/category", HOST = "/host",
        PROCESS = "/process", SRC_IP = "/srcip", DST_IP = "/dstip", DST_PORT = "/dstport", INTEGRITY_HASH = "/integrityhash",
        PREVIOUS_HASH = "/previoushash", SIGNATURE = "/signature", TENANT = "/tenant", METADATA = "/metadata", TRACE_PARENT = "/traceparent",
        EVENT_TYPE = "/data/event_type", PAYLOAD = "/data/payload", VERSION = "/data/context/environment/version",
        NATIVE_CLASSIFICATION = "/data/context/security/classification", NATIVE_COMPLIANCE = "/data/context/compliance_profiles",
        DATA = "/data", DATA_BASE64 = "/data_base64",
    }
}

#[derive(Debug)]
pub struct Splunk;

impl Formatter for Splunk {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn record_format(&self) -> RecordFormat {
        RecordFormat::new("splunk", "application/json")
    }

    fn format(&self, event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let get = |field| event.get(field);
        let copybook = get(field::TYPE).raw().starts_with(b"copybook.") && get(field::EVENT_TYPE).is_string();
        let native = |own, core| if copybook { get(own).or(get(core)) } else { get(core) };

        let mut document = Object::begin(out);
        document.json(b"\"audit_event_id\":", get(field::ID));
        document.json(b"\"timestamp\":", get(field::TIME).or(get(field::RECEIVED)));
        document.json(b"\"event_type\":", native(field::EVENT_TYPE, field::TYPE));
        document.json(b"\"severity\":", get(field::SEVERITY));
        document.json(b"\"source_system\":", get(field::SOURCE));
        document.json(b"\"subject\":", get(field::SUBJECT));
        document.json(b"\"operation_id\":", get(field::OPERATION));
        document.json(b"\"parent_operation_id\":", get(field::PARENT_OPERATION));
        document.json(b"\"user\":", get(field::USER));
        document.json(b"\"user_role\":", get(field::ROLES));
        document.json(b"\"action\":", get(field::ACTION));
        document.json(b"\"status\":", get(field::OUTCOME));
        document.json(b"\"category\":", get(field::CATEGORY));
        document.json(b"\"src\":", get(field::SRC_IP));
        document.json(b"\"dest\":", get(field::DST_IP));
        document.json(b"\"dest_port\":", get(field::DST_PORT));
        document.json(b"\"hostname\":", get(field::HOST));
        document.json(b"\"process_id\":", get(field::PROCESS));
        if copybook {
            document.json(b"\"copybook_version\":", get(field::VERSION));
        }
        document.json(b"\"security_classification\":", native(field::NATIVE_CLASSIFICATION, field::CLASSIFICATION));
        document.json(b"\"compliance_profiles\":", native(field::NATIVE_COMPLIANCE, field::COMPLIANCE));
        document.json(b"\"metadata\":", get(field::METADATA));
        document.json(b"\"tenant\":", get(field::TENANT));
        document.json(b"\"traceparent\":", get(field::TRACE_PARENT));
        // Null and empty payloads say something too: they go out as they came.
        document.exact(b"\"payload\":", if copybook { get(field::PAYLOAD) } else { get(field::DATA) });
        document.exact(b"\"payload_base64\":", if copybook { Value::MISSING } else { get(field::DATA_BASE64) });
        document.json(b"\"integrity_hash\":", get(field::INTEGRITY_HASH));
        document.json(b"\"previous_hash\":", get(field::PREVIOUS_HASH));
        document.json(b"\"digital_signature\":", get(field::SIGNATURE));
        document.end();
        Ok(())
    }
}

bulkhead_sdk::export_formatter!(Splunk);

#[cfg(test)]
mod tests;
