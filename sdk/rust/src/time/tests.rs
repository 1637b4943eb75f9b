use super::*;

#[track_caller]
fn check(text: &str, millis: i64, seconds: &str, utc: &str) {
    let moment = Timestamp::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a time"));
    assert_eq!(moment.millis(), millis, "{text}");
    let (mut first, mut second) = (Writer::default(), Writer::default());
    moment.write_seconds(3, &mut first);
    moment.write_utc(&mut second);
    assert_eq!(std::str::from_utf8(first.as_bytes()).unwrap(), seconds, "{text}");
    assert_eq!(std::str::from_utf8(second.as_bytes()).unwrap(), utc, "{text}");
}

#[test]
fn times_keep_their_digits() {
    check("2026-01-02T03:04:05.123Z", 1_767_323_045_123, "1767323045.123", "2026-01-02T03:04:05.123Z");
    check("2026-01-02t03:04:05z", 1_767_323_045_000, "1767323045", "2026-01-02T03:04:05Z");
    check("2026-01-02T03:04:05.123456789Z", 1_767_323_045_123, "1767323045.123", "2026-01-02T03:04:05.123456789Z");
    check("2026-01-02T03:04:05.1Z", 1_767_323_045_100, "1767323045.1", "2026-01-02T03:04:05.1Z");
    check("2026-01-02T03:04:05.000Z", 1_767_323_045_000, "1767323045", "2026-01-02T03:04:05.000Z");
    check("2026-01-02T05:34:05.5+02:30", 1_767_323_045_500, "1767323045.5", "2026-01-02T03:04:05.5Z");
    check("2025-12-31T23:00:00-05:00", 1_767_240_000_000, "1767240000", "2026-01-01T04:00:00Z");
    check("2016-12-31T23:59:60Z", 1_483_228_800_000, "1483228800", "2017-01-01T00:00:00Z");
    check("2024-02-29T00:00:00Z", 1_709_164_800_000, "1709164800", "2024-02-29T00:00:00Z");
    check("1969-12-31T23:59:58.75Z", -1250, "-1.25", "1969-12-31T23:59:58.75Z");
    check("1969-12-31T23:59:59.95Z", -50, "-0.05", "1969-12-31T23:59:59.95Z");
    check("0000-01-01T00:00:00+23:59", -62_167_305_540_000, "-62167305540", "0000-01-01T00:00:00Z");
    check("9999-12-31T23:59:59Z", 253_402_300_799_000, "253402300799", "9999-12-31T23:59:59Z");
}

#[test]
fn what_is_no_time() {
    for text in [
        "",
        "2026",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
    ] {
        assert_eq!(Timestamp::parse(text.as_bytes()), None, "{text}");
    }
    for text in [
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00Zx",
        "2026-01-0aT00:00:00Z",
        "éééééééééééééé",
    ] {
        assert_eq!(Timestamp::parse(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn days_there_and_back() {
    for days in (-719_528..2_932_896).step_by(13) {
        let (year, month, day) = civil_from_days(days);
        assert_eq!(days_from_civil(year, month, day), days);
    }
}

#[test]
fn dates_weeks_and_nanoseconds() {
    for (text, date, week, nanos) in [
        ("1970-01-01T00:00:00Z", (1970, 1, 1), (1970, 1), 0),
        ("2026-01-02T03:04:05.123456789123Z", (2026, 1, 2), (2026, 1), 1_767_323_045_123_456_789),
        // The week of the first Thursday, not of the first day (ISO 8601 §3.1.1.23).
        ("2027-01-01T00:30:00+01:00", (2026, 12, 31), (2026, 53), 1_798_759_800_000_000_000),
        ("2027-01-03T23:59:59Z", (2027, 1, 3), (2026, 53), 1_799_020_799_000_000_000),
        ("2027-01-04T00:00:00Z", (2027, 1, 4), (2027, 1), 1_799_020_800_000_000_000),
        ("1969-12-29T00:00:00.5Z", (1969, 12, 29), (1970, 1), -259_199_500_000_000),
    ] {
        let moment = Timestamp::parse(text.as_bytes()).unwrap();
        assert_eq!((moment.date(), moment.iso_week(), moment.nanos()), (date, week, nanos), "{text}");
    }
}
