//! Numbers with units as people write them: `64MiB`, `10KB`, `250ms`, `30d`, `1G`.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const COUNTS: [(&str, u64); 3] = [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];

pub(super) const SIZE: &str = "a size such as 64MiB, 1GiB or 10KB";
pub(super) const DURATION: &str = "a duration such as 250ms, 30s, 5m, 24h or 30d";
pub(super) const COUNT: &str = "a whole number";
pub(super) const FUEL: &str = "an amount of fuel such as 1G or 500M";

/// Bytes. A bare number is bytes; `KB` is 1000 bytes, `KiB` 1024; case does not matter.
pub(super) fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZES, Some(1), true)
}

/// A duration; a number without a unit is none.
pub(super) fn duration(text: &str) -> Option<Duration> {
    scaled(text, &TIMES, None, false).map(Duration::from_millis)
}

/// Fuel: a number, perhaps in thousands (`k`), millions (`M`) or billions (`G`).
pub(super) fn fuel(text: &str) -> Option<u64> {
    scaled(text, &COUNTS, Some(1), true)
}

pub(super) fn count(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A factor such as `2` or `1.5`.
pub(super) fn factor(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// Whole numbers and up to three decimals, exactly, with a unit.
fn scaled(text: &str, units: &[(&str, u64)], bare: Option<u64>, any_case: bool) -> Option<u64> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    let number = number.trim_end();
    let factor = match unit {
        "" => bare?,
        _ => units.iter().find(|(name, _)| if any_case { name.eq_ignore_ascii_case(unit) } else { *name == unit })?.1,
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if decimals.len() > 3 || (number.contains('.') && decimals.is_empty()) {
        return None;
    }
    let (whole, thousandths) = (count(whole).filter(|_| !whole.is_empty())?, count(&format!("{decimals:0<3}"))?);
    let parts = u128::from(whole) * u128::from(factor) * 1000 + u128::from(thousandths) * u128::from(factor);
    // A fraction that is no whole number of the smallest unit would be rounded: refused.
    if parts % 1000 != 0 { None } else { u64::try_from(parts / 1000).ok() }
}

/// The shortest exact way to write a number of bytes.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES[..4], "B")
}

pub(super) fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(ms, &TIMES, "ms")
}

pub(super) fn show_fuel(fuel: u64) -> String {
    show(fuel, &COUNTS, "")
}

fn show(value: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let fits = units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    fits.map_or_else(|| format!("{value}{smallest}"), |(name, factor)| format!("{}{name}", value / factor))
}

#[cfg(test)]
mod tests;
