use super::*;

#[test]
fn rows_stand_in_the_order_of_their_names_and_within_their_ceilings() {
    for (i, row) in TABLE.iter().enumerate() {
        assert_eq!(row.limit as usize, i, "{}", row.name);
        assert_eq!(row.limit.row().name, row.name);
        assert_eq!(Limit::named(row.name), Some(row.limit));
        assert!(row.default > 0 && row.default <= row.ceiling, "{}", row.name);
        assert_eq!(row.key, format!("limits.{}", row.name));
        assert!(row.meaning.ends_with('.'), "{}", row.name);
    }
}

#[track_caller]
fn check(name: &str, text: &str, want: Result<u64, &str>) {
    let mut limits = Limits::default();
    match (limits.set_text(name, text), want) {
        (Ok(()), Ok(value)) => assert_eq!(limits.get(Limit::named(name).expect("known")), value, "{name}: {text}"),
        (Err(error), Err(wanted)) => assert_eq!(error.to_string(), wanted),
        (got, want) => panic!("{name}: {text}: got {got:?}, want {want:?}"),
    }
}

#[test]
fn values_are_read_as_people_write_them() {
    check("fuel", "2G", Ok(2_000_000_000));
    check("fuel", "500M", Ok(500_000_000));
    check("memory", "128MiB", Ok(128 << 20));
    check("memory", "65536", Ok(65_536));
    check("cpu", "300ms", Ok(300));
    check("cpu", "1m", Ok(60_000));
    check("deadline", "10 s", Ok(10_000));
    check("log_rate", "50/s", Ok(50));
    check("state_keys", "16", Ok(16));
}

#[test]
fn refusals_name_the_key_and_what_would_do() {
    check("memory", "0", Err("`limits.memory` is 0, which would stop everything; the default is 64 MiB"));
    check("memory", "1GiB", Err("`limits.memory` is 1 GiB, above the ceiling of 512 MiB"));
    check("cpu", "61s", Err("`limits.cpu` is 61s, above the ceiling of 60s"));
    check("cpu", "5", Err("`limits.cpu` is `5`; expected a duration, for example 5s or 300ms"));
    check("memory", "-1", Err("`limits.memory` is `-1`; expected a size, for example 64MiB or 512KiB"));
    check("memory", "99999999999999999999", Err("`limits.memory` is `99999999999999999999`; expected a size, for example 64MiB or 512KiB"));
    check("memory", "18014398509481984KiB", Err("`limits.memory` is `18014398509481984KiB`; expected a size, for example 64MiB or 512KiB"));
    check("memroy", "1MiB", Err("`limits.memroy` is no limit; did you mean `limits.memory`?"));
}

#[test]
fn a_fault_says_what_how_much_and_which_key() {
    let limits = Limits::default();
    assert_eq!(limits.fault(Limit::Fuel).to_string(), "fuel of 1G reached; raise `limits.fuel` to allow more");
    assert_eq!(limits.fault(Limit::Deadline).to_string(), "deadline of 30s reached; raise `limits.deadline` to allow more");
    assert_eq!(limits.refusal(Limit::HttpRequest, 9 << 20), "http_request of 8 MiB reached: 9 MiB asked for; raise `limits.http_request` to allow more");
}

#[test]
fn a_counted_limit_holds_at_its_ceiling_only() {
    let mut limits = Limits::default();
    limits.set(Limit::HttpRequest, 10).expect("within");
    assert_eq!((limits.get(Limit::HttpRequest), limits.enforced(Limit::HttpRequest)), (10, 10));
    limits.count_only(Limit::HttpRequest).expect("can be");
    assert_eq!((limits.get(Limit::HttpRequest), limits.enforced(Limit::HttpRequest)), (10, 64 << 20));
    assert_eq!(limits.counting().map(|row| row.name).collect::<Vec<_>>(), ["http_request"]);
    let error = limits.count_only(Limit::Handles).expect_err("always enforced").to_string();
    assert!(error.starts_with("`limits.handles` cannot be counted only, it is always enforced; possible are fuel, cpu, deadline,"), "{error}");
    for row in TABLE {
        assert_eq!(Limits::default().count_only(row.limit).is_ok(), row.count_only == CountOnly::Yes, "{}", row.name);
    }
}

#[test]
fn the_stack_is_fixed() {
    check("stack", "512KiB", Ok(512 << 10));
    check("stack", "256KiB", Err("`limits.stack` is fixed at 512 KiB for all guests and cannot be set"));
}

struct Hand(std::sync::atomic::AtomicU64);

impl bulkhead_core::Clock for Hand {
    fn unix_nanos(&self) -> u64 {
        0
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}

#[test]
fn refusals_and_what_would_be_one_are_counted_apart() {
    let metrics = bulkhead_observe::Metrics::new();
    let mut limits = Limits::default();
    limits.set(Limit::HttpRequest, 10).expect("within");
    limits.set(Limit::StateValue, 10).expect("within");
    limits.count_only(Limit::HttpRequest).expect("can be");
    let watch = Watch::new(limits.into(), metrics.guest("siem", "evil"), std::sync::Arc::new(Hand(0.into())));
    assert_eq!(watch.check(Limit::HttpRequest, 10), Ok(()));
    assert_eq!(watch.check(Limit::HttpRequest, 11), Ok(()));
    assert_eq!(
        watch.check(Limit::HttpRequest, (64 << 20) + 1).expect_err("the ceiling"),
        "http_request of 64 MiB reached: 67108865 bytes asked for; `limits.http_request` is at its ceiling"
    );
    watch.check(Limit::StateValue, 11).expect_err("enforced");
    let guest = metrics.guest("siem", "evil");
    let counts = |limit: &str| (guest.limit_reached(limit).get(), guest.limit_would_refuse(limit).get());
    assert_eq!((counts("http_request"), counts("state_value"), counts("fuel")), ((1, 1), (1, 0), (0, 0)));
}

/// The page and the table say the same. `UPDATE_GOLDEN=1` writes the page.
#[test]
fn the_page_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/operators/limits.md");
    let page = page::page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &page).expect("written");
    }
    assert_eq!(std::fs::read_to_string(path).expect("docs/operators/limits.md"), page, "run with UPDATE_GOLDEN=1");
    for row in TABLE {
        assert_eq!(page.matches(&format!("\n| `{}` |", row.key)).count(), 1, "{}", row.name);
    }
}
