//! What dashboards know copybook's events by; for every format that has such ids.

/// Event type, signature id, name, and `act` where it is not the event type itself.
pub const TYPES: [(&str, &str, &str, &str); 10] = [
    ("CopybookParse", "COPYBOOK:PARSE", "Copybook Parsing Operation", "Parse"),
    ("DataValidation", "DATA:VALIDATE", "Data Validation Operation", "Validate"),
    ("DataTransformation", "DATA:TRANSFORM", "Data Transformation Operation", ""),
    ("PerformanceMeasurement", "PERF:MEASURE", "Performance Measurement", ""),
    ("ComplianceCheck", "COMPLIANCE:CHECK", "Compliance Validation Check", "Compliance Check"),
    ("SecurityEvent", "SECURITY:EVENT", "Security Event", ""),
    ("LineageTracking", "LINEAGE:TRACK", "Data Lineage Tracking", ""),
    ("ErrorEvent", "ERROR:EVENT", "Error Event", ""),
    ("ConfigurationChange", "CONFIG:CHANGE", "Configuration Change", ""),
    ("AccessEvent", "ACCESS:EVENT", "Access Event", ""),
];
