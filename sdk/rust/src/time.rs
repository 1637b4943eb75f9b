//! RFC 3339 times without floats and without loss: whole seconds and the digits of the fraction as sent.

use crate::writer::Writer;

pub mod format;

/// Seconds since 1970 by the host's clock. Without a grant for `clocks` it stands at the time of the call.
pub fn now() -> i64 {
    #[cfg(target_arch = "wasm32")]
    {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
    #[cfg(not(target_arch = "wasm32"))]
    crate::native::now()
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp<'a> {
    /// Seconds since 1970-01-01T00:00:00Z; a leap second counts as the first second of the next minute.
    pub seconds: i64,
    /// Digits behind the decimal point; may be empty.
    pub fraction: &'a [u8],
}

impl<'a> Timestamp<'a> {
    /// Reads `2026-01-02T03:04:05.123Z` and its forms with an offset (RFC 3339 §5.6).
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let head = text.get(..19)?;
        let &[_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't' | b' ', _, _, b':', _, _, b':', _, _] = head else { return None };
        let year = digits(&head[..4])?;
        let (month, day) = (digits(&head[5..7])?, digits(&head[8..10])?);
        let (hour, minute, second) = (digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..])?);
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut rest = &text[19..];
        let mut fraction: &[u8] = &[];
        if let Some(behind) = rest.strip_prefix(b".") {
            let length = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 {
                return None;
            }
            (fraction, rest) = behind.split_at(length);
        }
        let offset = match rest {
            b"Z" | b"z" => 0,
            &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let (hours, minutes) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 60 + minutes) * if sign == b'-' { -60 } else { 60 }
            }
            _ => return None,
        };
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Some(Self { seconds, fraction })
    }

    /// Reads a time in the forms that people send: RFC 3339, or a number since 1970 in decimal. A number is
    /// seconds, from 10^11 on milliseconds, from 10^14 on microseconds, from 10^17 on nanoseconds; only
    /// seconds may have decimals, and only seconds may lie before 1970.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        match text.first()? {
            b'0'..=b'9' if text.get(4) != Some(&b'-') => {}
            b'-' => {
                let seconds = digits(text.get(1..).filter(|digits| (1..=11).contains(&digits.len()))?)?;
                return Some(Self { seconds: -seconds, fraction: &[] });
            }
            _ => return Self::parse(text),
        }
        let (whole, decimals) = match text.iter().position(|byte| *byte == b'.') {
            Some(at) => (text.get(..at)?, text.get(at + 1..).filter(|decimals| !decimals.is_empty())?),
            None => (text, &text[..0]),
        };
        let behind = match whole.len() {
            0..=11 => 0,
            12..=14 => 3,
            15..=17 => 6,
            18..=19 => 9,
            _ => return None,
        };
        let (seconds, fraction) = whole.split_at(whole.len() - behind);
        if behind > 0 && !decimals.is_empty() || !fraction.iter().chain(decimals).all(u8::is_ascii_digit) {
            return None;
        }
        Some(Self { seconds: digits(seconds)?, fraction: if behind > 0 { fraction } else { decimals } })
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, later digits cut.
    pub fn millis(&self) -> i64 {
        let mut millis = 0;
        for at in 0..3 {
            millis = millis * 10 + self.fraction.get(at).map_or(0, |digit| i64::from(digit - b'0'));
        }
        self.seconds * 1000 + millis
    }

    /// Microseconds since 1970-01-01T00:00:00Z, later digits cut.
    pub fn micros(&self) -> i64 {
        let mut micros = 0;
        for at in 0..6 {
            micros = micros * 10 + self.fraction.get(at).map_or(0, |digit| i64::from(digit - b'0'));
        }
        self.seconds.saturating_mul(1_000_000).saturating_add(micros)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z, later digits cut; at the edges of 64 bits, in 1677 and 2262, it stays.
    pub fn nanos(&self) -> i64 {
        let mut nanos = 0;
        for at in 0..9 {
            nanos = nanos * 10 + self.fraction.get(at).map_or(0, |digit| i64::from(digit - b'0'));
        }
        self.seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    }

    /// Year, month and day in UTC.
    pub fn date(&self) -> (i64, i64, i64) {
        civil_from_days(self.seconds.div_euclid(86_400))
    }

    /// Year and week of ISO 8601 in UTC: a week belongs to the year of its Thursday.
    pub fn iso_week(&self) -> (i64, i64) {
        let days = self.seconds.div_euclid(86_400);
        // 1970-01-01 was a Thursday; Monday counts as 0.
        let thursday = days - (days + 3).rem_euclid(7) + 3;
        let (year, ..) = civil_from_days(thursday);
        (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
    }

    /// Writes seconds with at most `digits` decimals, none where the fraction is absent or zero.
    pub fn write_seconds(&self, digits: usize, out: &mut Writer) {
        let fraction = &self.fraction[..self.fraction.len().min(digits)];
        let zero = fraction.iter().all(|digit| *digit == b'0');
        if self.seconds < 0 && !zero {
            // Before 1970 the decimals count backwards: -1.25 is 1969-12-31T23:59:58.75Z.
            let scale = 10_i64.pow(u32::try_from(fraction.len().min(9)).unwrap_or(9));
            let value = fraction.iter().take(9).fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
            let whole = self.seconds + 1;
            out.byte(b'-');
            out.unsigned(whole.unsigned_abs());
            out.byte(b'.');
            let rest = (scale - value).to_string();
            for _ in rest.len()..fraction.len().min(9) {
                out.byte(b'0');
            }
            out.bytes(rest.as_bytes());
            return;
        }
        out.number(self.seconds);
        if !zero {
            out.byte(b'.');
            out.bytes(fraction);
        }
    }

    /// Writes the moment in UTC, `2026-01-02T03:04:05.123Z`, all digits kept. Years outside 0 to 9999,
    /// which only an offset at the edge can reach, are written at the edge.
    pub fn write_utc(&self, out: &mut Writer) {
        let seconds = self.seconds.clamp(-62_167_219_200, 253_402_300_799);
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let two = |number: i64| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        let (century, years, month, day, hour, minute, second) = (two(year / 100), two(year % 100), two(month), two(day), two(hour), two(minute), two(second));
        out.literal(&[
            century[0], century[1], years[0], years[1], b'-', month[0], month[1], b'-', day[0], day[1], b'T', hour[0], hour[1], b':', minute[0], minute[1],
            b':', second[0], second[1],
        ]);
        if !self.fraction.is_empty() {
            out.byte(b'.');
            out.bytes(self.fraction);
        }
        out.byte(b'Z');
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The reverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests;
