//! Where an API says how long to wait, beside `Retry-After`: a header or a place of the body.

use std::time::Duration;

use bulkhead_sdk::literal::check_pointer;
use bulkhead_sdk::{Timestamp, Value, http};

use crate::settings::{Unit, Wait};

/// Longer waits are cut: the number comes from outside.
const MOST: Duration = Duration::from_secs(86_400);

pub fn check(wait: &Wait) -> Result<(), String> {
    match (&wait.header, &wait.pointer) {
        (None, None) => Err("`wait` needs `header` or `pointer`".to_owned()),
        (Some(header), _) => http::check_header("wait.header", header, ""),
        (None, Some(_)) if wait.unit == Unit::Ratelimit => Err("`wait.unit: ratelimit` is a header field; it needs `wait.header`".to_owned()),
        (None, Some(pointer)) => check_pointer("wait.pointer", pointer),
    }?;
    wait.pointer.as_ref().map_or(Ok(()), |pointer| check_pointer("wait.pointer", pointer))
}

/// The wait that an answer names; the header goes before the body.
pub fn of(wait: &Wait, response: &http::Response, body: Value<'_>) -> Option<Duration> {
    let field = wait.header.as_ref().and_then(|name| response.header(name));
    if wait.unit == Unit::Ratelimit {
        return ratelimit(field?).map(|seconds| Duration::from_secs(seconds.into()).min(MOST));
    }
    let text = match (field, &wait.pointer) {
        (Some(field), _) => field.to_vec(),
        (None, Some(pointer)) => body.at(pointer).text()?.into_owned(),
        (None, None) => return None,
    };
    let thousandths = thousandths(text.trim_ascii())?;
    let wait = match wait.unit {
        Unit::Milliseconds => thousandths / 1000,
        // A guest has no clock; the receiver's is the one that its number was made with.
        Unit::Unix => thousandths.saturating_sub(date(response.header("date")?)?.saturating_mul(1000)),
        Unit::Seconds | Unit::Ratelimit => thousandths,
    };
    // At most a day; what lies in the past is no wait.
    Some(Duration::from_millis(wait).min(MOST))
}

/// A decimal number times 1,000; later decimals are cut, and what is too large is very large.
fn thousandths(text: &[u8]) -> Option<u64> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(point) => (text.get(..point)?, text.get(point + 1..)?),
        None => (text, &b"0"[..]),
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let all = whole.iter().chain(fraction.iter().chain(b"000").take(3));
    Some(all.fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// `Wed, 21 Oct 2015 07:28:00 GMT` (RFC 9110 §5.6.7) in seconds since 1970; older forms are not read.
fn date(field: &[u8]) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = std::str::from_utf8(field).ok()?.strip_suffix(" GMT")?;
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    Timestamp::parse(format!("{year}-{month:02}-{day}T{clock}Z").as_bytes()).and_then(|moment| u64::try_from(moment.seconds).ok())
}

/// `"default";r=0;t=30, "daily";r=7;t=3600`: the longest reset of those that are used up; of all where none is.
fn ratelimit(field: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(field).ok()?;
    let mut found: Option<(bool, u32)> = None;
    for item in outside_quotes(text, ',') {
        let parameter = |name: &str| {
            let value = outside_quotes(item, ';').into_iter().find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            value?.parse::<u32>().ok()
        };
        let Some(reset) = parameter("t") else { continue };
        let candidate = (parameter("r") == Some(0), reset);
        found = Some(match found {
            Some(known) if known.0 && !candidate.0 || known.0 == candidate.0 && known.1 >= candidate.1 => known,
            _ => candidate,
        });
    }
    found.map(|(_, reset)| reset)
}

/// The parts of a structured field; quoted texts may hold separators (RFC 9651 §4.2).
fn outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
