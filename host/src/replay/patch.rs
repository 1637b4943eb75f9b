//! A JSON merge patch (RFC 7396) on text: what it does not name stays as it was written, digit for digit,
//! which a patch on parsed values would not promise.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Members of an object in their order, as written.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// Deepest objects within objects of a patch.
const DEPTH: usize = 64;

/// `target` with `patch` applied; the error says which of the two is no JSON, without its contents.
pub fn merge(target: &str, patch: &str) -> Result<String, String> {
    let patch: &RawValue = serde_json::from_str(patch).map_err(|error| format!("the patch is no JSON (line {}, column {})", error.line(), error.column()))?;
    if !patch.get().starts_with('{') {
        return Err("a merge patch is a JSON object".into());
    }
    if serde_json::from_str::<&RawValue>(target).is_err() {
        return Err("the event did not come in as JSON, so it cannot be patched; give the whole event".into());
    }
    let mut out = String::with_capacity(target.len() + patch.get().len());
    apply(Some(target), patch.get(), DEPTH, &mut out)?;
    Ok(out)
}

fn apply(target: Option<&str>, patch: &str, depth: usize, out: &mut String) -> Result<(), String> {
    if depth == 0 {
        return Err(format!("the patch is nested deeper than {DEPTH}"));
    }
    let Ok(Members(changes)) = serde_json::from_str(patch) else {
        out.push_str(patch);
        return Ok(());
    };
    let Members(kept) = target.and_then(|target| serde_json::from_str(target).ok()).unwrap_or(Members(Vec::new()));
    out.push('{');
    let begin = out.len();
    let member = |name: &str, out: &mut String| {
        if out.len() > begin {
            out.push(',');
        }
        out.push_str(&serde_json::Value::from(name).to_string());
        out.push(':');
    };
    for (name, value) in &kept {
        match changes.iter().rfind(|(changed, _)| changed == name) {
            None => {
                member(name, out);
                out.push_str(value.get());
            }
            Some((_, change)) if change.get() == "null" => {}
            Some((_, change)) => {
                member(name, out);
                apply(Some(value.get()), change.get(), depth - 1, out)?;
            }
        }
    }
    for (name, change) in changes.iter().filter(|(name, change)| change.get() != "null" && !kept.iter().any(|(known, _)| known == name)) {
        member(name, out);
        apply(None, change.get(), depth - 1, out)?;
    }
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::merge;

    /// The examples of RFC 7396, appendix A, whose patch is an object, and what stays to the digit.
    #[test]
    fn objects_are_merged_and_the_rest_stays_as_written() {
        for (target, patch, want) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (
                r#"{"n": 1.10, "big":12345678901234567890123, "x":{"y" : 1e2}}"#,
                r#"{"z":0}"#,
                r#"{"n":1.10,"big":12345678901234567890123,"x":{"y" : 1e2},"z":0}"#,
            ),
        ] {
            assert_eq!(merge(target, patch).as_deref(), Ok(want), "{target} {patch}");
        }
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        for (target, patch, part) in
            [("{}", "{", "no JSON"), ("{}", "[1]", "an object"), ("{}", "null", "JSON object"), ("<14>text", "{}", "did not come in as JSON")]
        {
            let error = merge(target, patch).expect_err("refused");
            assert!(error.contains(part) || (part == "an object" && error.contains("JSON object")), "{error}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(70), "}".repeat(70));
        assert!(merge("{}", &deep).is_err_and(|error| error.contains("deeper")));
    }
}
