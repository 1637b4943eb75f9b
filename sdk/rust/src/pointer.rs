//! Pointers into an event: the names that they begin with, for guests whose configuration names fields.

/// The first tokens of pointers: the attributes in their order, the bytes as they came in, and the time of
/// receipt. A test of the host holds the list.
pub const ROOTS: [&str; 34] = [
    "id",
    "source",
    "type",
    "time",
    "timesource",
    "subject",
    "datacontenttype",
    "dataschema",
    "severity",
    "classification",
    "compliance",
    "user",
    "roles",
    "operation",
    "parentoperation",
    "outcome",
    "action",
    "category",
    "host",
    "process",
    "srcip",
    "dstip",
    "dstport",
    "integrityhash",
    "previoushash",
    "signature",
    "tenant",
    "metadata",
    "traceparent",
    "extensions",
    "data",
    "data_base64",
    "original",
    "received",
];

/// Whether a pointer may begin with this name.
pub fn is_root(name: &str) -> bool {
    ROOTS.contains(&name)
}

/// Whether a pointer that was configured under `key` can lead to something in an event.
pub fn check(key: &str, pointer: &str) -> Result<(), String> {
    let first = pointer.strip_prefix('/').map(|path| path.split('/').next().unwrap_or_default());
    let Some(first) = first else {
        return Err(format!("`{key}` is \"{pointer}\"; it is a pointer such as /severity or /data/payload/field_count"));
    };
    if !is_root(first) {
        return Err(format!("`{key}` is \"{pointer}\"; an event has no \"{first}\", it has {}", ROOTS.join(", ")));
    }
    if pointer.split('~').skip(1).any(|behind| !behind.starts_with(['0', '1'])) {
        return Err(format!("`{key}` is \"{pointer}\"; a ~ in a pointer is followed by 0 or 1 (RFC 6901)"));
    }
    if matches!(first, "original" | "received") && pointer.len() > first.len() + 1 {
        return Err(format!("`{key}` is \"{pointer}\"; nothing lies within /{first}"));
    }
    match pointer.split('/').count() {
        0..=MOST_TOKENS => Ok(()),
        tokens => Err(format!("`{key}` is a pointer of {} tokens, the most is {}", tokens - 1, MOST_TOKENS - 1)),
    }
}

/// Slashes and one: no event is nested deeper.
const MOST_TOKENS: usize = 129;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_begin_with_an_attribute() {
        for pointer in ["/id", "/data", "/data/a/b~1c/0", "/metadata/", "/received", "/original"] {
            assert_eq!(check("from", pointer), Ok(()), "{pointer}");
        }
        for (pointer, words) in [
            ("", "it is a pointer such as /severity"),
            ("id", "it is a pointer such as /severity"),
            ("/", "an event has no \"\", it has id, source"),
            ("/usr", "an event has no \"usr\""),
            ("/data/~2", "a ~ in a pointer is followed by 0 or 1"),
            ("/data/~", "a ~ in a pointer"),
            ("/received/x", "nothing lies within /received"),
        ] {
            let error = check("fields[3].from", pointer).unwrap_err();
            assert!(error.starts_with("`fields[3].from` is ") && error.contains(words), "{error}");
        }
        assert!(check("from", &format!("/data{}", "/x".repeat(128))).unwrap_err().contains("129 tokens, the most is 128"));
    }
}
