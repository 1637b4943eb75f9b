use super::*;

fn written(format: &str, time: &str) -> String {
    let mut out = Writer::default();
    let moment = Timestamp::read(time.as_bytes()).unwrap_or_else(|| panic!("{time} is a time"));
    DateFormat::parse(format).unwrap().write(&moment, &mut out);
    String::from_utf8(out.into_bytes()).unwrap()
}

#[test]
fn patterns() {
    let time = "2026-03-05T14:07:09.0123456789+02:00";
    for (format, want) in [
        ("%Y-%m-%d %H:%M:%S", "2026-03-05 12:07:09"),
        ("%FT%T.%3fZ", "2026-03-05T12:07:09.012Z"),
        ("%d/%b/%Y:%T %z", "05/Mar/2026:12:07:09 +0000"),
        ("%A, %e %B %y %I:%M %p %Z", "Thursday,  5 March 26 12:07 PM UTC"),
        ("%a %u %j %G-W%V", "Thu 4 064 2026-W10"),
        ("%f|%6f|%9f|%s|100%%", "012345|012345|012345678|1772712429|100%"),
        ("rfc3339", "2026-03-05T12:07:09.0123456789Z"),
        ("unix", "1772712429"),
        ("unix_ms", "1772712429012"),
        ("unix_us", "1772712429012345"),
        ("unix_ns", "1772712429012345678"),
    ] {
        assert_eq!(written(format, time), want, "{format}");
    }
}

#[test]
fn edges() {
    for (format, time, want) in [
        ("%I %p", "2026-01-01T00:00:00Z", "12 AM"),
        ("%I %p", "2026-01-01T13:00:00Z", "01 PM"),
        ("%G-%V %Y %j", "2024-12-30T00:00:00Z", "2025-01 2024 365"),
        ("%a", "1969-12-28T00:00:00Z", "Sun"),
        ("%f", "2026-01-01T00:00:00.5Z", "500000"),
        ("unix_ms", "1969-12-31T23:59:58.75Z", "-1250"),
        ("unix_ns", "9999-12-31T23:59:59.999999999Z", "253402300799999999999"),
        ("%Y", "0001-01-01T00:00:00+23:59", "0000"),
        ("%Y %F", "0000-01-01T00:00:00+23:59", "0000 0000-01-01"),
    ] {
        assert_eq!(written(format, time), want, "{format} of {time}");
    }
}

#[test]
fn numbers_are_times_by_their_size() {
    for (number, want) in [
        ("0", "1970-01-01T00:00:00Z"),
        ("1772712429", "2026-03-05T12:07:09Z"),
        ("1772712429.25", "2026-03-05T12:07:09.25Z"),
        ("1772712429012", "2026-03-05T12:07:09.012Z"),
        ("1772712429012345", "2026-03-05T12:07:09.012345Z"),
        ("1772712429012345678", "2026-03-05T12:07:09.012345678Z"),
        ("-1", "1969-12-31T23:59:59Z"),
    ] {
        assert_eq!(written("rfc3339", number), want, "{number}");
    }
    for text in ["", "-", "1.", ".5", "-1.5", "1e9", "99999999999999999999", "-999999999999", "1772712429012.5", "x", "2026-01-01"] {
        assert_eq!(Timestamp::read(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn what_is_no_format_is_told() {
    for (format, words) in [
        ("", "is no date format"),
        ("iso", "is no date format: rfc3339, unix"),
        ("%Y-%q", "%q is unknown"),
        ("%Y%", "it ends with %"),
        ("%4f", "%4 is unknown"),
        ("%3x", "%3 is unknown"),
    ] {
        let error = DateFormat::parse(format).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    assert!(DateFormat::parse(&"%Y".repeat(65)).unwrap_err().contains("the most is 128"));
}
