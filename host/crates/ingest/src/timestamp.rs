//! Whether text is a point in time (RFC 3339 §5.6). The digits are kept as sent, never rewritten.

pub(crate) fn is_rfc3339(text: &[u8]) -> bool {
    let Some((head, rest)) = text.split_at_checked(19) else { return false };
    let number =
        |from: usize, to: usize| head[from..to].iter().try_fold(0_u32, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')));
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) =
        (number(0, 4), number(5, 7), number(8, 10), number(11, 13), number(14, 16), number(17, 19))
    else {
        return false;
    };
    let marks = head[4] == b'-' && head[7] == b'-' && matches!(head[10], b'T' | b't') && head[13] == b':' && head[16] == b':';
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    // Second 60 is a leap second.
    if !marks || !(1..=12).contains(&month) || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return false;
    }
    let zone = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    match zone {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            [h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()) && (*h1, *h2) <= (b'2', b'3') && *m1 < b'6' && *h1 <= b'2'
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_rfc3339;

    #[test]
    fn times_are_told_from_other_text() {
        for fine in [
            "2026-11-20T08:42:58Z",
            "2026-11-20T08:42:58.123456789Z",
            "2026-11-20t08:42:58z",
            "2024-02-29T23:59:60+00:00",
            "2026-11-20T08:42:58.000000000000001-23:59",
            "0000-01-01T00:00:00+14:00",
        ] {
            assert!(is_rfc3339(fine.as_bytes()), "{fine}");
        }
        for other in [
            "",
            "2026-11-20",
            "2026-11-20T08:42:58",
            "2026-11-20 08:42:58Z",
            "2026-11-20T08:42Z",
            "2026-11-20T08:42:58.Z",
            "2026-11-20T08:42:58+0100",
            "2026-11-20T08:42:58+24:00",
            "2026-11-20T08:42:58+12:60",
            "2026-11-20T08:42:58Zx",
            "2026-13-20T08:42:58Z",
            "2026-02-29T08:42:58Z",
            "2026-04-31T08:42:58Z",
            "2026-00-01T08:42:58Z",
            "2026-01-00T08:42:58Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T08:60:00Z",
            "2026-11-20T08:42:61Z",
            "20261120T084258Z",
            "1763628178",
            "２026-11-20T08:42:58Z",
        ] {
            assert!(!is_rfc3339(other.as_bytes()), "{other}");
        }
    }
}
