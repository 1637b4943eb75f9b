use std::time::Duration;

use super::{count, duration, factor, fuel, show_duration, show_fuel, show_size, size};

#[test]
fn sizes() {
    for (text, want) in [
        ("0", Some(0)),
        ("1024", Some(1024)),
        ("7B", Some(7)),
        ("10KB", Some(10_000)),
        ("10kb", Some(10_000)),
        ("1KiB", Some(1024)),
        ("64MiB", Some(64 << 20)),
        ("64 MiB", Some(64 << 20)),
        ("3MB", Some(3_000_000)),
        ("1GiB", Some(1 << 30)),
        ("2GB", Some(2_000_000_000)),
        ("1TiB", Some(1 << 40)),
        ("1TB", Some(1_000_000_000_000)),
        ("1.5GiB", Some(3 << 29)),
        ("0.25KiB", Some(256)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("99999999TiB", None),
        ("0.3B", None),
        ("1.KiB", None),
        (".5KiB", None),
        ("1.2345MiB", None),
        ("-1", None),
        ("64Mib2", None),
        ("64M", None),
        ("MiB", None),
        ("", None),
        ("\u{661}KiB", None),
    ] {
        assert_eq!(size(text), want, "{text:?}");
    }
}

#[test]
fn durations_need_a_unit() {
    for (text, want) in [
        ("0ms", Some(0)),
        ("250ms", Some(250)),
        ("30s", Some(30_000)),
        ("1.5s", Some(1_500)),
        ("5m", Some(300_000)),
        ("24h", Some(86_400_000)),
        ("30d", Some(2_592_000_000)),
        ("0", None),
        ("30", None),
        ("30 sec", None),
        ("5M", None),
        ("1h30m", None),
        ("0.0001s", None),
        ("-5s", None),
        ("999999999999d", None),
    ] {
        assert_eq!(duration(text), want.map(Duration::from_millis), "{text:?}");
    }
}

#[test]
fn counts_fuel_and_factors() {
    for (text, want) in
        [("0", Some(0)), ("4", Some(4)), ("007", Some(7)), ("4.0", None), ("1e3", None), ("+1", None), ("-1", None), ("", None), ("99999999999999999999", None)]
    {
        assert_eq!(count(text), want, "{text:?}");
    }
    for (text, want) in [
        ("1G", Some(1_000_000_000)),
        ("500M", Some(500_000_000)),
        ("20k", Some(20_000)),
        ("123", Some(123)),
        ("1.5G", Some(1_500_000_000)),
        ("1T", None),
        ("G", None),
    ] {
        assert_eq!(fuel(text), want, "{text:?}");
    }
    for (text, want) in [("2", Some(2.0)), ("1.5", Some(1.5)), ("1e9", None), ("inf", None), ("NaN", None), ("-2", None), ("", None), ("1.2.3", None)] {
        assert_eq!(factor(text), want, "{text:?}");
    }
}

#[test]
fn what_is_shown_reads_back_as_the_same() {
    for bytes in [0, 1, 1023, 1024, 1_000_000, 64 << 20, 1 << 40, u64::MAX] {
        assert_eq!(size(&show_size(bytes)), Some(bytes), "{}", show_size(bytes));
    }
    for ms in [0, 1, 999, 1000, 61_000, 3_600_000, 86_400_000, 90_000_001] {
        let time = Duration::from_millis(ms);
        assert_eq!(duration(&show_duration(time)), Some(time), "{}", show_duration(time));
    }
    for amount in [1, 999, 1_000, 1_000_000_000, 1_234_567] {
        assert_eq!(fuel(&show_fuel(amount)), Some(amount), "{}", show_fuel(amount));
    }
    assert_eq!((show_size(64 << 20), show_duration(Duration::from_secs(30)), show_fuel(1_000_000_000)), ("64MiB".into(), "30s".into(), "1G".into()));
}
