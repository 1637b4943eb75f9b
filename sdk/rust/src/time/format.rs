//! Times written as a pattern of `strftime` says, in UTC, or as a number since 1970.

use super::{Timestamp, civil_from_days, days_from_civil};
use crate::writer::Writer;

/// Longest pattern, in bytes.
const MAX_BYTES: usize = 128;

const MONTHS: [&str; 12] = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
/// From Monday, as ISO 8601 counts.
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Year,
    ShortYear,
    Month,
    Day,
    SpaceDay,
    DayOfYear,
    Hour,
    TwelveHour,
    Minute,
    Second,
    HalfDay,
    MonthName,
    ShortMonth,
    DayName,
    ShortDay,
    DayOfWeek,
    WeekYear,
    Week,
    /// This many digits of the second.
    Fraction(usize),
    /// Whole units since 1970-01-01T00:00:00Z: a second has ten to this power.
    Since(usize),
    /// RFC 3339 in UTC, digits of the second as they came.
    Rfc3339,
}

impl DateFormat {
    /// Reads `rfc3339`, `unix`, `unix_ms`, `unix_us`, `unix_ns`, or a pattern such as `%Y-%m-%dT%H:%M:%S.%3fZ`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("the date format has {} bytes, the most is {MAX_BYTES}", text.len()));
        }
        let named = match text {
            "rfc3339" => Some(Part::Rfc3339),
            "unix" => Some(Part::Since(0)),
            "unix_ms" => Some(Part::Since(3)),
            "unix_us" => Some(Part::Since(6)),
            "unix_ns" => Some(Part::Since(9)),
            _ => None,
        };
        if let Some(part) = named {
            return Ok(Self { parts: vec![part] });
        }
        let unknown = || format!("\"{text}\" is no date format: rfc3339, unix, unix_ms, unix_us, unix_ns, or a pattern such as %Y-%m-%d %H:%M:%S.%3f");
        if !text.contains('%') {
            return Err(unknown());
        }
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                plain.push(letter);
                continue;
            }
            let part = match letters.next() {
                Some('%') => {
                    plain.push('%');
                    continue;
                }
                Some('F') => {
                    let parts_of_date = [Part::Year, Part::Text("-".into()), Part::Month, Part::Text("-".into()), Part::Day];
                    push(&mut parts, &mut plain, parts_of_date);
                    continue;
                }
                Some('T') => {
                    let parts_of_time = [Part::Hour, Part::Text(":".into()), Part::Minute, Part::Text(":".into()), Part::Second];
                    push(&mut parts, &mut plain, parts_of_time);
                    continue;
                }
                Some('z') => {
                    plain.push_str("+0000");
                    continue;
                }
                Some('Z') => {
                    plain.push_str("UTC");
                    continue;
                }
                Some(digit @ ('3' | '6' | '9')) if letters.next() == Some('f') => Part::Fraction(usize::from(digit as u8 - b'0')),
                Some(other) => simple(other).ok_or_else(|| format!("{}; %{other} is unknown", unknown()))?,
                None => return Err(format!("{}; it ends with %", unknown())),
            };
            push(&mut parts, &mut plain, [part]);
        }
        push(&mut parts, &mut plain, []);
        Ok(Self { parts })
    }

    /// Writes a moment. Years outside 0 to 9999 are written at the edge, as [`Timestamp::write_utc`] does.
    pub fn write(&self, moment: &Timestamp<'_>, out: &mut Writer) {
        let seconds = moment.seconds.clamp(-62_167_219_200, 253_402_300_799);
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let weekday = (days + 3).rem_euclid(7);
        let name = |names: &[&'static str], at: i64| names.get(at as usize).copied().unwrap_or_default();
        let short = |name: &'static str| name.get(..3).unwrap_or_default();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.bytes(text.as_bytes()),
                Part::Year => padded(year, 4, b'0', out),
                Part::ShortYear => padded(year % 100, 2, b'0', out),
                Part::Month => padded(month, 2, b'0', out),
                Part::Day => padded(day, 2, b'0', out),
                Part::SpaceDay => padded(day, 2, b' ', out),
                Part::DayOfYear => padded(days - days_from_civil(year, 1, 1) + 1, 3, b'0', out),
                Part::Hour => padded(hour, 2, b'0', out),
                Part::TwelveHour => padded((hour + 11) % 12 + 1, 2, b'0', out),
                Part::Minute => padded(minute, 2, b'0', out),
                Part::Second => padded(second, 2, b'0', out),
                Part::HalfDay => out.bytes(if hour < 12 { b"AM" } else { b"PM" }),
                Part::MonthName => out.bytes(name(&MONTHS, month - 1).as_bytes()),
                Part::ShortMonth => out.bytes(short(name(&MONTHS, month - 1)).as_bytes()),
                Part::DayName => out.bytes(name(&DAYS, weekday).as_bytes()),
                Part::ShortDay => out.bytes(short(name(&DAYS, weekday)).as_bytes()),
                Part::DayOfWeek => out.number(weekday + 1),
                Part::WeekYear => padded(moment.iso_week().0, 4, b'0', out),
                Part::Week => padded(moment.iso_week().1, 2, b'0', out),
                Part::Fraction(digits) => fraction(moment, *digits, out),
                Part::Since(digits) => since(moment, *digits, out),
                Part::Rfc3339 => moment.write_utc(out),
            }
        }
    }
}

fn simple(letter: char) -> Option<Part> {
    Some(match letter {
        'Y' => Part::Year,
        'y' => Part::ShortYear,
        'm' => Part::Month,
        'd' => Part::Day,
        'e' => Part::SpaceDay,
        'j' => Part::DayOfYear,
        'H' => Part::Hour,
        'I' => Part::TwelveHour,
        'M' => Part::Minute,
        'S' => Part::Second,
        'p' => Part::HalfDay,
        'B' => Part::MonthName,
        'b' => Part::ShortMonth,
        'A' => Part::DayName,
        'a' => Part::ShortDay,
        'u' => Part::DayOfWeek,
        'G' => Part::WeekYear,
        'V' => Part::Week,
        'f' => Part::Fraction(6),
        's' => Part::Since(0),
        _ => return None,
    })
}

/// The text so far, then these.
fn push<const N: usize>(parts: &mut Vec<Part>, plain: &mut String, more: [Part; N]) {
    if !plain.is_empty() {
        parts.push(Part::Text(std::mem::take(plain)));
    }
    parts.extend(more);
}

fn padded(number: i64, width: usize, with: u8, out: &mut Writer) {
    let mut digits = 1;
    let mut rest = number / 10;
    while rest > 0 {
        digits += 1;
        rest /= 10;
    }
    for _ in digits..width {
        out.byte(with);
    }
    out.number(number);
}

/// Digits of the second, zeros where the event has none.
fn fraction(moment: &Timestamp<'_>, digits: usize, out: &mut Writer) {
    for at in 0..digits {
        out.byte(moment.fraction.get(at).copied().unwrap_or(b'0'));
    }
}

/// Digits beyond the unit are cut, towards the past as for whole seconds.
fn since(moment: &Timestamp<'_>, digits: usize, out: &mut Writer) {
    let part = (0..digits).fold(0_i128, |part, at| part * 10 + moment.fraction.get(at).map_or(0, |digit| i128::from(digit.wrapping_sub(b'0'))));
    let units = i128::from(moment.seconds) * 10_i128.pow(u32::try_from(digits).unwrap_or(0)) + part;
    match i64::try_from(units) {
        Ok(units) => out.number(units),
        Err(_) => out.bytes(units.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests;
