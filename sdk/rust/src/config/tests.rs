use super::*;
use crate::Config;

#[derive(Debug, PartialEq, Config)]
enum Mode {
    OnePerRequest,
    #[config(rename = "ndjson")]
    Lines,
}

/// Nested.
#[derive(Debug, PartialEq, Config)]
struct Rotate {
    /// Largest file.
    #[config(default = "100MiB")]
    max_bytes: ByteSize,
    #[config(default = 10, min = 1, max = 1000)]
    keep: u32,
}

#[derive(Debug, PartialEq, Config)]
struct Sample {
    /// Where to,
    /// in "quotes".
    path: String,
    #[config(example = "rule-1")]
    index: Option<String>,
    #[config(default)]
    rotate: Rotate,
    #[config(default = "one_per_request")]
    mode: Mode,
    #[config(default = false)]
    sync: bool,
    #[config(min = 1)]
    tags: Option<Vec<String>>,
    extra: Option<BTreeMap<String, String>>,
    #[config(default = -5)]
    offset: i32,
    #[config(secret)]
    pin: Option<String>,
}

#[test]
fn the_schema_says_what_is_read() {
    let schema: serde_json::Value = serde_json::from_str(&schema::<Sample>()).unwrap();
    let want = serde_json::json!({
        "type": "object",
        "properties": {
            "path": {"description": "Where to, in \"quotes\".", "type": "string"},
            "index": {"type": "string", "examples": ["rule-1"]},
            "rotate": {
                "type": "object",
                "properties": {
                    "max_bytes": {"description": "Largest file.", "type": ["string", "integer"], "minimum": 0, "pattern": "^[0-9]+ ?(B|KB|MB|GB|KiB|MiB|GiB)?$", "default": "100MiB"},
                    "keep": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10}
                },
                "required": [], "additionalProperties": false, "default": {}
            },
            "mode": {"type": "string", "enum": ["one_per_request", "ndjson"], "default": "one_per_request"},
            "sync": {"type": "boolean", "default": false},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "extra": {"type": "object", "additionalProperties": {"type": "string"}},
            "offset": {"type": "integer", "default": -5},
            "pin": {"type": "string", "writeOnly": true}
        },
        "required": ["path"], "additionalProperties": false
    });
    assert_eq!(schema, want);
}

#[test]
fn defaults_are_filled_in() {
    let sample: Sample = read(r#"{"path":"a"}"#).unwrap();
    let rotate = Rotate { max_bytes: ByteSize(100 << 20), keep: 10 };
    assert_eq!(
        sample,
        Sample { path: "a".into(), index: None, rotate, mode: Mode::OnePerRequest, sync: false, tags: None, extra: None, offset: -5, pin: None }
    );
    let given: Sample = read(r#"{"path":"a","index":"i","rotate":{"max_bytes":1,"keep":1000},"mode":"ndjson","tags":["x"],"extra":{"k":"v"}}"#).unwrap();
    assert_eq!(given.rotate, Rotate { max_bytes: ByteSize(1), keep: 1000 });
    assert_eq!((given.mode, given.extra.unwrap()["k"].as_str()), (Mode::Lines, "v"));
    assert_eq!(read::<NoConfig>("").unwrap(), NoConfig {});
}

#[track_caller]
fn check_refused(json: &str, words: &str) {
    let error = read::<Sample>(json).unwrap_err();
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_with_its_name() {
    check_refused("{}", "`path` is missing");
    check_refused(r#"{"path":"a","paht":"b"}"#, "`paht` is unknown; known here are path, index, rotate");
    check_refused(r#"{"path":1}"#, "`path` must be a string");
    check_refused(r#"{"path":null}"#, "`path` must be a string");
    check_refused(r#"{"path":"a","path":"b"}"#, "`path` is given twice");
    check_refused(r#"{"path":"a","extra":{"k":"1","k":"2"}}"#, "`extra.k` is given twice");
    check_refused(r#"{"path":"a","rotate":{"keep":0}}"#, "`rotate.keep` is 0, the least is 1");
    check_refused(r#"{"path":"a","rotate":{"keep":1001}}"#, "`rotate.keep` is 1001, the most is 1000");
    check_refused(r#"{"path":"a","rotate":{"keep":1.5}}"#, "`rotate.keep` must be a whole number");
    check_refused(r#"{"path":"a","rotate":{"keep":"10"}}"#, "`rotate.keep` must be a whole number");
    check_refused(r#"{"path":"a","rotate":{"kept":1}}"#, "`rotate.kept` is unknown");
    check_refused(r#"{"path":"a","rotate":[]}"#, "`rotate` must be an object");
    check_refused(r#"{"path":"a","rotate":{"max_bytes":"ten"}}"#, "`rotate.max_bytes` must be a number of bytes such as 1048576 or \"1MiB\"");
    check_refused(r#"{"path":"a","mode":"none"}"#, "`mode` must be one of one_per_request, ndjson");
    check_refused(r#"{"path":"a","sync":"true"}"#, "`sync` must be true or false");
    check_refused(r#"{"path":"a","tags":[]}"#, "`tags` is 0, the least is 1");
    check_refused(r#"{"path":"a","tags":["x",2]}"#, "`tags[1]` must be a string");
    check_refused("[1]", "the configuration must be an object");
    for broken in ["[", "{", "{\"path\":\"a\"} x", "{\"path\" \"a\"}", "{\"path\":\"a\",}", "{\"path\":\"a\" \"sync\":true}", "nul", "\"a"] {
        assert!(read::<Sample>(broken).is_err(), "{broken}");
    }
}

#[test]
fn sizes() {
    for (text, want) in [("0", Some(0)), ("7B", Some(7)), ("2KiB", Some(2048)), ("2 KB", Some(2000)), ("1GiB", Some(1 << 30)), ("3MB", Some(3_000_000))] {
        assert_eq!(ByteSize::parse(text), want.map(ByteSize), "{text}");
    }
    for text in ["", "MiB", "1TiB", "-1", "1.5MiB", "99999999999999999999", "99999999999GiB"] {
        assert_eq!(ByteSize::parse(text), None, "{text}");
    }
}

#[test]
fn keys_of_another_choice_are_refused() {
    assert_eq!(only("events", true, "mode: events", false), Err("`events` is for `mode: events`".to_owned()));
    assert_eq!((only("events", true, "mode: events", true), only("events", false, "mode: events", false)), (Ok(()), Ok(())));
}
