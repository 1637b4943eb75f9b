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
