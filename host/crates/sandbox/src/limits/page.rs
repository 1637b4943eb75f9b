//! The operators' page about limits, written from the table; a test holds the file against it.

use std::fmt::Write as _;

use super::{CountOnly, TABLE, Unit, written};

/// The page `docs/operators/limits.md`.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for row in TABLE {
        let count_only = match row.count_only {
            CountOnly::Yes => "yes",
            CountOnly::No => "no",
            CountOnly::Fixed => "fixed",
        };
        let (default, ceiling) = (configured(row.unit, row.default), configured(row.unit, row.ceiling));
        // Writing to a string does not fail.
        let _ = writeln!(page, "| `{}` | {default} | {ceiling} | {count_only} | {} |", row.key, row.meaning);
    }
    page.push_str(TAIL);
    page
}

/// A value as the configuration takes it.
pub fn configured(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Bytes => written(unit, value).replace(" bytes", "B").replace(' ', ""),
        Unit::PerSecond => value.to_string(),
        _ => written(unit, value),
    }
}

const HEAD: &str = "\
# Limits

Every guest runs under these limits, set for each instance below `instances.<name>.limits` and for a configured formatter below `formatters.<name>.limits`. A value is never 0 and never above its ceiling. This page is written from the table in
`host/crates/sandbox/src/limits.rs`; `bulkhead config schema` carries the same numbers.

A guest that runs out of fuel, time or memory is thrown away and its batch is tried on a fresh one (see [Running it](operate.md)). A request beyond a limit is refused with a text that names the limit, its value, what was asked for and the key to raise; the guest goes on.

| key | default | ceiling | count only | what is limited |
|---|---|---|---|---|
";

const TAIL: &str = "
## Trying a limit before it holds

`count_only` names limits that are counted and not yet enforced, where the table says yes:

```yaml
instances:
  siem:
    limits: {http_request: 2MiB, fuel: 200M, count_only: [http_request, fuel]}
```

What goes beyond the value passes, is counted as `bulkhead_guest_limit_would_refuse_total{instance,component,limit}`, and is in the log at most once a minute for each limit (`would have been refused`). The ceiling always holds. Calls count once for each call, requests and log lines once for each of them.

## Watching them

`bulkhead_guest_limit_reached_total{instance,component,limit}` counts how often a guest ran into a limit; `limit` is a name from the table. `bulkhead_guest_faults_total` counts the guests that were thrown away.

Windows of `bytes_out` and `bytes_in` begin with the first byte and last 60 seconds; a reload that changes the instance begins them anew.
";
