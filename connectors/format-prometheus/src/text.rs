//! Names, escapes and numbers of both formats.

use bulkhead_sdk::{Escape, Kind, Value};

/// Values of labels.
pub struct Label;

impl Escape for Label {
    const BELOW: u8 = 0;
    const BYTES: [u8; 3] = [b'\\', b'"', b'\n'];

    fn write(byte: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(&[b'\\', if byte == b'\n' { b'n' } else { byte }]);
    }
}

/// `# HELP` of OpenMetrics is escaped as label values are.
pub type OpenHelp = Label;

/// `# HELP` of the text format: quotes stay.
pub struct Help;

impl Escape for Help {
    const BELOW: u8 = 0;
    const BYTES: [u8; 3] = [b'\\', b'\n', b'\n'];

    fn write(byte: u8, out: &mut Vec<u8>) {
        Label::write(byte, out);
    }
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub fn is_metric(name: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':') || at > 0 && byte.is_ascii_digit();
    !name.is_empty() && name.bytes().enumerate().all(fits)
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`; names with two underscores in front are Prometheus' own.
pub fn is_label(name: &str) -> bool {
    is_metric(name) && !name.contains(':') && !name.starts_with("__")
}

/// The digits of a number, or of a text that is one. Readers refuse what a double does not hold.
pub fn number(value: Value<'_>) -> Option<&[u8]> {
    let digits = std::str::from_utf8(value.raw()).ok()?;
    let is_number = match value.kind() {
        Kind::Number => true,
        // Texts may hold what a parser of numbers takes beside digits: inf, nan, +1.
        Kind::String => bulkhead_sdk::json::is_strict(digits) && digits.starts_with(|first: char| first == '-' || first.is_ascii_digit()),
        _ => false,
    };
    (is_number && digits.parse::<f64>().is_ok_and(f64::is_finite)).then_some(value.raw())
}
