//! The core attributes of an event (CloudEvents 1.0 plus the audit attributes) and small closed sets.

macro_rules! attributes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// A core attribute. The code is part of the journal's format and never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Attr { $($(#[$doc])* $variant = $code,)* }
        impl Attr {
            /// Every attribute, in the order of Bulkhead's own JSON shape.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The name in Bulkhead's own JSON shape and in projections.
            pub fn name(self) -> &'static str { match self { $(Self::$variant => $name,)* } }
            pub fn from_name(name: &str) -> Option<Self> { match name { $($name => Some(Self::$variant),)* _ => None } }
            pub fn from_code(code: u8) -> Option<Self> { match code { $($code => Some(Self::$variant),)* _ => None } }
        }
    };
}

attributes! {
    /// Unique together with `source`; the idempotency key.
    Id = 1, "id";
    /// URI reference of the program that saw the event.
    Source = 2, "source";
    /// Dotted lower-case type.
    Type = 3, "type";
    /// RFC 3339, digits kept as sent.
    Time = 4, "time";
    /// `receipt` where the sender gave no time and the host's was taken; absent otherwise.
    TimeSource = 5, "timesource";
    Subject = 6, "subject";
    DataContentType = 7, "datacontenttype";
    DataSchema = 8, "dataschema";
    /// `info`, `low`, `medium`, `high` or `critical`.
    Severity = 9, "severity";
    Classification = 10, "classification";
    /// Array of strings: active compliance profiles.
    Compliance = 11, "compliance";
    User = 12, "user";
    /// Array of strings.
    Roles = 13, "roles";
    Operation = 14, "operation";
    ParentOperation = 15, "parentoperation";
    Outcome = 16, "outcome";
    Action = 17, "action";
    Category = 18, "category";
    Host = 19, "host";
    Process = 20, "process";
    SrcIp = 21, "srcip";
    DstIp = 22, "dstip";
    DstPort = 23, "dstport";
    /// The source's hash chain, byte for byte.
    IntegrityHash = 24, "integrityhash";
    PreviousHash = 25, "previoushash";
    Signature = 26, "signature";
    /// Set by the credential that sent the event, never by the body; absent for the default tenant.
    Tenant = 27, "tenant";
    /// Object of strings: free labels, usable in routing.
    Metadata = 28, "metadata";
    TraceParent = 29, "traceparent";
    /// Object: CloudEvents extension attributes without a place of their own.
    Extensions = 30, "extensions";
    /// The payload: the `data` of a CloudEvent, the whole object of every other shape.
    Data = 31, "data";
    /// Payload of a CloudEvent that is not JSON, base64 (RFC 4648 §4).
    DataBase64 = 32, "data_base64";
    /// The one lane that a replayed event goes to, as `instance/format`, with `#` and the number of the dead
    /// letter that it was; absent for all others. The greatest code, so that its presence is seen at the
    /// end of the table.
    Lane = 33, "lane";
}

/// What a span of bytes is; the numbers are those of the WIT contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    Missing = 0,
    Null = 1,
    Bool = 2,
    /// Digits as sent.
    Number = 3,
    /// Text between the quotes; nothing in it is or needs an escape.
    String = 4,
    /// Text between the quotes with JSON escapes in place.
    EscapedString = 5,
    Array = 6,
    Object = 7,
}

impl Kind {
    #[inline]
    pub fn from_code(code: u8) -> Option<Self> {
        use Kind::{Array, Bool, EscapedString, Missing, Null, Number, Object, String};
        [Missing, Null, Bool, Number, String, EscapedString, Array, Object].get(usize::from(code)).copied()
    }
}

/// How grave an event is; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Severity {
    Info = 1,
    Low = 2,
    Medium = 3,
    High = 4,
    Critical = 5,
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    #[inline]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| *severity as u8 == code)
    }

    /// Reads a severity as people write it, case-insensitively: our own names, syslog keywords
    /// (RFC 5424 §6.2.1) and the common spellings of log levels.
    pub fn parse(text: &str) -> Option<Self> {
        const WORDS: [(&str, Severity); 22] = [
            ("info", Severity::Info),
            ("informational", Severity::Info),
            ("information", Severity::Info),
            ("debug", Severity::Info),
            ("trace", Severity::Info),
            ("notice", Severity::Low),
            ("low", Severity::Low),
            ("minor", Severity::Low),
            ("medium", Severity::Medium),
            ("moderate", Severity::Medium),
            ("warn", Severity::Medium),
            ("warning", Severity::Medium),
            ("high", Severity::High),
            ("major", Severity::High),
            ("err", Severity::High),
            ("error", Severity::High),
            ("critical", Severity::Critical),
            ("crit", Severity::Critical),
            ("fatal", Severity::Critical),
            ("alert", Severity::Critical),
            ("emerg", Severity::Critical),
            ("emergency", Severity::Critical),
        ];
        WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, severity)| *severity)
    }

    /// Syslog's numeric severity, 0 (emergency) to 7 (debug) (RFC 5424 §6.2.1).
    pub fn from_syslog(code: u64) -> Option<Self> {
        match code {
            0..=2 => Some(Self::Critical),
            3 => Some(Self::High),
            4 => Some(Self::Medium),
            5 => Some(Self::Low),
            6 | 7 => Some(Self::Info),
            _ => None,
        }
    }
}

/// Which of the accepted shapes an event had when it came in. The code is part of the journal's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Shape {
    CloudEvents = 1,
    Copybook = 2,
    Intelliguard = 3,
    /// A CloudEvent from the data vault.
    Datavault = 4,
    Plain = 5,
    /// One of Bulkhead's own events.
    Own = 6,
}

impl Shape {
    #[inline]
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::CloudEvents, Self::Copybook, Self::Intelliguard, Self::Datavault, Self::Plain, Self::Own].into_iter().find(|shape| *shape as u8 == code)
    }
}
