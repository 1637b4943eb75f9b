use jiff::civil::DateTime;
use proptest::prelude::*;

use super::*;

/// A time with its offset, in milliseconds since 1970.
fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").as_millisecond()
}

/// The times after `after`, as the clock of the zone shows them.
#[track_caller]
fn check(text: &str, zone: &str, after: &str, want: &[&str]) {
    let cron = Cron::new(text, zone).expect("a cron expression");
    let mut at = ms(after);
    let found: Vec<String> = want
        .iter()
        .map(|_| {
            let next = cron.next(at).expect("there is a next");
            assert!(next > at, "{text}: {next} after {at}");
            at = next;
            let shown = Timestamp::from_millisecond(at).expect("a time").to_zoned(cron.0.zone.clone());
            shown.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
        })
        .collect();
    assert_eq!(found, want, "{text} in {zone} after {after}");
}

#[test]
fn days_on_which_the_clocks_go_forward() {
    // Berlin 2026-03-29, 02:00 becomes 03:00; New York 2026-03-08, the same.
    for (text, want) in [
        ("30 2 * * *", ["2026-03-28 02:30:00 +01:00", "2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"]),
        // Several times of the day: each once, those of the gap together at its end.
        ("30 2,14 * * *", ["2026-03-28 02:30:00 +01:00", "2026-03-28 14:30:00 +01:00", "2026-03-29 03:00:00 +02:00"]),
        ("0,30 2-3 29 3 *", ["2026-03-29 03:00:00 +02:00", "2026-03-29 03:30:00 +02:00", "2027-03-29 02:00:00 +02:00"]),
        ("15 1 29 3 *", ["2026-03-29 01:15:00 +01:00", "2027-03-29 01:15:00 +02:00", "2028-03-29 01:15:00 +02:00"]),
        // All the time: what does not exist is left out.
        ("*/30 1-3 29 3 *", ["2026-03-29 01:00:00 +01:00", "2026-03-29 01:30:00 +01:00", "2026-03-29 03:00:00 +02:00"]),
        ("59 59 * 29 3 *", ["2026-03-29 00:59:59 +01:00", "2026-03-29 01:59:59 +01:00", "2026-03-29 03:59:59 +02:00"]),
    ] {
        check(text, "Europe/Berlin", "2026-03-27T23:00:00Z", &want);
    }
    check("30 2 * * *", "America/New_York", "2026-03-08T05:00:00Z", &["2026-03-08 03:00:00 -04:00", "2026-03-09 02:30:00 -04:00"]);
    check("*/30 * * * *", "America/New_York", "2026-03-08T06:29:00Z", &["2026-03-08 01:30:00 -05:00", "2026-03-08 03:00:00 -04:00"]);
    // Half an hour only, and a day that was left out as a whole.
    check("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:00:00Z", &["2026-10-04 02:30:00 +11:00", "2026-10-05 02:15:00 +11:00"]);
    check("0 6 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00Z", &["2011-12-31 00:00:00 +14:00", "2012-12-30 06:00:00 +14:00"]);
}

#[test]
fn days_on_which_the_clocks_go_back() {
    // Berlin 2026-10-25, 03:00 becomes 02:00; New York 2026-11-01, 02:00 becomes 01:00.
    for (text, want) in [
        ("30 2 * * *", ["2026-10-25 02:30:00 +02:00", "2026-10-26 02:30:00 +01:00", "2026-10-27 02:30:00 +01:00"]),
        ("10,50 2,14 * * *", ["2026-10-25 02:10:00 +02:00", "2026-10-25 02:50:00 +02:00", "2026-10-25 14:10:00 +01:00"]),
        ("0 3 * * *", ["2026-10-25 03:00:00 +01:00", "2026-10-26 03:00:00 +01:00", "2026-10-27 03:00:00 +01:00"]),
        // All the time: it goes on through the hour that comes twice.
        ("*/30 2 25 10 *", ["2026-10-25 02:00:00 +02:00", "2026-10-25 02:30:00 +02:00", "2026-10-25 02:00:00 +01:00"]),
    ] {
        check(text, "Europe/Berlin", "2026-10-24T22:00:00Z", &want);
    }
    // Asked within the second hour, the times of the first have been.
    check("10,50 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", &["2026-10-26 02:10:00 +01:00"]);
    check("10,50 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", &["2026-10-25 02:50:00 +02:00", "2026-10-26 02:10:00 +01:00"]);
    check("30 1 * * *", "America/New_York", "2026-11-01T04:00:00Z", &["2026-11-01 01:30:00 -04:00", "2026-11-02 01:30:00 -05:00"]);
    check("0 * * * *", "America/New_York", "2026-11-01T04:59:59Z", &["2026-11-01 01:00:00 -04:00", "2026-11-01 01:00:00 -05:00", "2026-11-01 02:00:00 -05:00"]);
}

#[test]
fn calendars() {
    let noon = "2026-11-26T12:00:00Z";
    for (text, want) in [
        ("0 6 29 2 *", ["2028-02-29 06:00:00 +00:00", "2032-02-29 06:00:00 +00:00"]),
        ("0 6 L * *", ["2026-11-30 06:00:00 +00:00", "2026-12-31 06:00:00 +00:00"]),
        ("0 6 L 2 *", ["2027-02-28 06:00:00 +00:00", "2028-02-29 06:00:00 +00:00"]),
        ("0 6 * * MON#2", ["2026-12-14 06:00:00 +00:00", "2027-01-11 06:00:00 +00:00"]),
        ("0 6 * * 5#L", ["2026-11-27 06:00:00 +00:00", "2026-12-25 06:00:00 +00:00"]),
        ("0 6 15W * *", ["2026-12-15 06:00:00 +00:00", "2027-01-15 06:00:00 +00:00"]),
        ("0 6 * * mon-fri", ["2026-11-27 06:00:00 +00:00", "2026-11-30 06:00:00 +00:00"]),
        // Either, as cron has it.
        ("0 6 1 * SUN", ["2026-11-29 06:00:00 +00:00", "2026-12-01 06:00:00 +00:00"]),
        ("*/10 * * * * *", ["2026-11-26 12:00:10 +00:00", "2026-11-26 12:00:20 +00:00"]),
        ("@daily", ["2026-11-27 00:00:00 +00:00", "2026-11-28 00:00:00 +00:00"]),
        ("0 0 29 2 MON#1", ["2027-02-01 00:00:00 +00:00", "2028-02-07 00:00:00 +00:00"]),
    ] {
        check(text, "UTC", noon, &want);
    }
    // A century without a leap day.
    check("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", &["2104-02-29 00:00:00 +00:00"]);
    // Between two seconds.
    let cron = Cron::new("0 6 * * *", "europe/berlin").expect("an expression");
    assert_eq!((cron.next(ms("2026-11-26T04:59:59.999Z")), cron.zone()), (Some(ms("2026-11-26T05:00:00Z")), "Europe/Berlin"));
    assert_eq!(cron.next(ms("2026-11-26T05:00:00.001Z")), Some(ms("2026-11-27T05:00:00Z")));
}

#[test]
fn what_is_no_schedule_is_refused() {
    for text in
        ["", " ", "0 6 * *", "0 6 * * * * 2026", "60 6 * * *", "0 24 * * *", "0 6 32 * *", "0 6 * 13 *", "0 6 * * MOND", "a b c d e", "5/5 * * * *", "@never"]
    {
        assert!(matches!(Cron::new(text, "UTC"), Err(CronFault::Expression(_))), "{text}: {:?}", Cron::new(text, "UTC"));
    }
    assert!(matches!(Cron::new(&"1,".repeat(200), "UTC"), Err(CronFault::Expression(_))));
    // Quickly, although the search goes through all years.
    let begun = std::time::Instant::now();
    assert_eq!(Cron::new("0 0 30 2 *", "Europe/Berlin"), Err(CronFault::Never));
    assert_eq!(Cron::new("* * * 31 4,6 *", "Europe/Berlin"), Err(CronFault::Never));
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    for zone in ["Europe/Berln", "", "+01:00", "CEST", "../../etc/passwd", "Europe/Berlin\0"] {
        assert_eq!(Cron::new("0 6 * * *", zone), Err(CronFault::Zone(zone.to_owned())));
    }
    assert!(zones().len() > 400 && zones().iter().any(|zone| zone == "Europe/Berlin"));
}

#[test]
fn a_schedule_is_its_text_and_its_zone() {
    let cron = |text, zone| Cron::new(text, zone).expect("an expression");
    assert_eq!(cron("0 6 * * *", "europe/berlin"), cron("0 6 * * *", "Europe/Berlin"));
    assert_ne!(cron("0 6 * * *", "UTC"), cron("0 6 * * *", "Europe/Berlin"));
    assert_ne!(cron("0 6 * * *", "UTC"), cron("0 7 * * *", "UTC"));
    assert_eq!(cron("0 6 * * MON-FRI", "UTC").to_string(), "0 6 * * MON-FRI UTC");
    assert_eq!(cron("0 6 * * MON-FRI", "UTC").words(), "At 06:00, on Monday, Tuesday, Wednesday, Thursday, and Friday.");
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in "[-0-9*/,LW#?@A-Za-zß \\PC]{0,40}", after in any::<i64>()) {
        if let Ok(cron) = Cron::new(&text, "Europe/Berlin") {
            let _ = cron.next(after);
            let _ = cron.words();
        }
    }

    /// Each fixed time of a day runs once a day, whatever the clocks do: so many days, so many runs.
    #[test]
    fn a_time_of_the_day_comes_once_a_day(hour in 0u8..24, minute in 0u8..60, zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago"])) {
        let cron = Cron::new(&format!("{minute} {hour} * * *"), zone).expect("an expression");
        // From noon to noon, and far from any change.
        let noon = |year: i16| cron.0.zone.to_zoned(DateTime::constant(year, 6, 15, 23, 59, 59, 0)).expect("a time").timestamp().as_millisecond();
        let (mut at, end, mut runs) = (noon(2025), noon(2027), 0);
        while let Some(next) = cron.next(at).filter(|next| *next <= end) {
            prop_assert!(next > at);
            (at, runs) = (next, runs + 1);
        }
        prop_assert_eq!(runs, 730);
    }
}
