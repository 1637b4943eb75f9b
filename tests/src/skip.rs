//! A test that cannot run here says so: its name and reason go to the file that `cargo xtask test`
//! prints at the end. With `BULKHEAD_NO_SKIP=1` a skip is a failure, but for tests whose names begin with
//! one of the words in `BULKHEAD_MAY_SKIP`: what the machine itself does not allow.

use std::io::Write;

/// Notes that `test` is skipped. The caller returns right after.
///
/// # Panics
/// Where skipping is forbidden.
pub fn skip(test: &str, reason: &str) {
    assert!(!forbidden(test), "{test} may not be skipped (BULKHEAD_NO_SKIP=1): {reason}");
    eprintln!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("BULKHEAD_SKIPS") {
        let noted =
            std::fs::OpenOptions::new().create(true).append(true).open(path).and_then(|mut file| file.write_all(format!("{test}: {reason}\n").as_bytes()));
        assert!(noted.is_ok(), "{test} cannot note that it was skipped: {noted:?}");
    }
}

fn forbidden(test: &str) -> bool {
    let allowed = std::env::var("BULKHEAD_MAY_SKIP").unwrap_or_default();
    std::env::var_os("BULKHEAD_NO_SKIP").is_some_and(|value| value == "1") && !allowed.split_whitespace().any(|begin| test.starts_with(begin))
}
