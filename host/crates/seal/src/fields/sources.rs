//! Where intake takes attributes from, by shape: what is sealed there is sealed in the attribute, and the
//! other way round. A test holds the table against intake.

use bulkhead_core::{Attr, Shape};

type Paths = &'static [&'static [&'static str]];

/// Paths from the root of the document; `beside`: of the payload that was made of a syslog message.
pub(super) fn sources(shape: Shape, beside: bool, attr: Attr) -> Paths {
    if beside {
        return syslog(attr);
    }
    match shape {
        Shape::CloudEvents | Shape::Datavault | Shape::Own => cloudevents(attr),
        Shape::Copybook => copybook(attr),
        Shape::Intelliguard => intelliguard(attr),
        Shape::Plain => plain(attr),
    }
}

fn syslog(attr: Attr) -> Paths {
    match attr {
        Attr::Source => &[&["hostname"], &["app_name"]],
        Attr::Time => &[&["timestamp"]],
        Attr::Severity => &[&["severity_code"]],
        Attr::Host => &[&["hostname"], &["peer"]],
        Attr::Process => &[&["proc_id"]],
        _ => &[],
    }
}

fn plain(attr: Attr) -> Paths {
    match attr {
        Attr::Id => &[&["id"], &["event_id"]],
        Attr::Type => &[&["event_type"], &["type"]],
        Attr::User => &[&["user"]],
        Attr::Host => &[&["hostname"], &["host"]],
        Attr::Operation => &[&["operation_id"]],
        Attr::Source => &[&["source"]],
        Attr::TraceParent => &[&["traceparent"]],
        Attr::Time => &[&["timestamp"], &["time"], &["@timestamp"]],
        Attr::Severity => &[&["severity"], &["level"]],
        Attr::Classification => &[&["classification"]],
        Attr::Compliance => &[&["compliance_profiles"]],
        Attr::Metadata => &[&["metadata"]],
        Attr::Roles => &[&["metadata", "user_role"]],
        _ => &[],
    }
}

fn copybook(attr: Attr) -> Paths {
    match attr {
        Attr::Id => &[&["event_id"]],
        Attr::Type => &[&["event_type"]],
        Attr::Time => &[&["timestamp"]],
        Attr::Severity => &[&["severity"]],
        Attr::IntegrityHash => &[&["integrity_hash"]],
        Attr::PreviousHash => &[&["previous_hash"]],
        Attr::Signature => &[&["digital_signature"]],
        Attr::Operation => &[&["context", "operation_id"]],
        Attr::ParentOperation => &[&["context", "parent_operation_id"]],
        Attr::User => &[&["context", "user"]],
        Attr::Host => &[&["context", "environment", "hostname"]],
        Attr::Process => &[&["context", "environment", "process_id"]],
        Attr::Classification => &[&["context", "security", "classification"]],
        Attr::Compliance => &[&["context", "compliance_profiles"]],
        Attr::Metadata => &[&["context", "metadata"]],
        Attr::Roles => &[&["context", "metadata", "user_role"]],
        _ => &[],
    }
}

fn intelliguard(attr: Attr) -> Paths {
    match attr {
        Attr::Id => &[&["id"]],
        Attr::Time => &[&["timestamp"]],
        Attr::Type => &[&["event", "type"]],
        Attr::Severity => &[&["event", "severity"]],
        Attr::Category => &[&["event", "category"]],
        Attr::Action => &[&["event", "action"]],
        Attr::Outcome => &[&["event", "outcome"]],
        Attr::SrcIp => &[&["source", "ip"]],
        Attr::Host => &[&["source", "hostname"]],
        Attr::User => &[&["source", "user"]],
        Attr::DstIp => &[&["destination", "ip"]],
        Attr::DstPort => &[&["destination", "port"]],
        Attr::Metadata => &[&["metadata"]],
        Attr::Roles => &[&["metadata", "user_role"]],
        _ => &[],
    }
}

fn cloudevents(attr: Attr) -> Paths {
    macro_rules! own {
        ($($variant:ident = $name:literal,)*) => {
            match attr {
                Attr::Roles => &[&["roles"], &["metadata", "user_role"]],
                Attr::Severity => &[&["severity"], &["severitytext"], &["severitynumber"]],
                $(Attr::$variant => &[&[$name]],)*
                // Of the host itself, or handled by its members.
                Attr::TimeSource | Attr::Tenant | Attr::Extensions | Attr::Lane => &[],
            }
        };
    }
    own! {
        Id = "id", Source = "source", Type = "type", Time = "time", Subject = "subject", DataContentType = "datacontenttype",
        DataSchema = "dataschema", Classification = "classification", Compliance = "compliance", User = "user",
        Operation = "operation", ParentOperation = "parentoperation", Outcome = "outcome", Action = "action", Category = "category",
        Host = "host", Process = "process", SrcIp = "srcip", DstIp = "dstip", DstPort = "dstport", IntegrityHash = "integrityhash",
        PreviousHash = "previoushash", Signature = "signature", Metadata = "metadata", TraceParent = "traceparent", Data = "data",
        DataBase64 = "data_base64",
    }
}
