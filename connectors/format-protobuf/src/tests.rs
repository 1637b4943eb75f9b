use bulkhead_sdk::native;

use super::*;

fn message(config: &serde_json::Value, event: &str) -> Result<Vec<u8>, String> {
    native::formatter::<Protobuf>(&config.to_string())?.record(event)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn one(kind: &str, repeated: bool, value: &str) -> Result<String, String> {
    let config = serde_json::json!({"fields": [{"number": 1, "name": "x", "type": kind, "from": "/data/x", "repeated": repeated}]});
    message(&config, &format!(r#"{{"data":{{"x":{value}}}}}"#)).map(|bytes| hex(&bytes))
}

#[track_caller]
fn check(kind: &str, value: &str, want: &str) {
    assert_eq!(one(kind, false, value).as_deref(), Ok(want), "{kind} {value}");
}

#[track_caller]
fn check_list(kind: &str, value: &str, want: &str) {
    assert_eq!(one(kind, true, value).as_deref(), Ok(want), "{kind} {value}");
}

#[track_caller]
fn check_refused(kind: &str, value: &str, words: &str) {
    let error = one(kind, false, value).unwrap_err();
    assert!(error.starts_with("`x`: ") && error.contains(words), "{kind} {value}: {error}");
}

#[test]
fn scalars_of_the_encoding_page() {
    check("int32", "150", "089601");
    check("int64", "-2", "08feffffffffffffffff01");
    check("uint64", "18446744073709551615", "08ffffffffffffffffff01");
    check("sint32", "-2147483648", "08ffffffff0f");
    check("sint64", "-1", "0801");
    check("bool", "true", "0801");
    check("fixed32", "1", "0d01000000");
    check("sfixed32", "-1", "0dffffffff");
    check("fixed64", "1", "090100000000000000");
    check("sfixed64", "-1", "09ffffffffffffffff");
    check("float", "1.5", "0d0000c03f");
    check("double", "-0.25", "09000000000000d0bf");
    check("string", "\"testing\"", "0a0774657374696e67");
    check("string", r#""a\u00e9\n""#, "0a0461c3a90a");
    check("string", "12.50", "0a0531322e3530");
    check("bytes", r#"{"a": 1}"#, "0a087b2261223a20317d");
    check("timestamp", "\"2023-11-14T22:13:20.123456789Z\"", "0a0b0880e2cfaa0610959aef3a".replace(' ', "").as_str());
    check("timestamp", "1700000000", "0a060880e2cfaa06".replace(' ', "").as_str());
    check("int32", "\"7\"", "0807");
    check("int32", "7.00", "0807");
    // What is zero, false, empty or not there is not written.
    for (kind, value) in [("int32", "0"), ("bool", "false"), ("string", "\"\""), ("double", "0.0"), ("int32", "null")] {
        check(kind, value, "");
    }
    check("timestamp", "\"1970-01-01T00:00:00Z\"", "0a00");
}

#[test]
fn lists() {
    check_list("int32", "[3,270,86942]", "0a06038e029ea705");
    check_list("string", r#"["a","","b"]"#, "0a01610a000a0162");
    check_list("fixed32", "[1,2]", "0a080100000002000000");
    check_list("double", "[]", "");
    assert_eq!(one("int32", true, "7").unwrap_err(), "`x`: it is no list");
    assert_eq!(one("int32", true, "[null]").unwrap_err(), "`x`: it is no number");
    assert_eq!(one("string", true, "[null]").unwrap_err(), "`x`: it is null");
}

#[test]
fn what_does_not_fit_is_refused() {
    for (kind, value, words) in [
        ("int32", "2147483648", "no whole number that fits"),
        ("uint32", "-1", "no whole number that fits"),
        ("int64", "1.5", "no whole number that fits"),
        ("int64", "1e3", "no whole number that fits"),
        ("int64", "\"x\"", "no number"),
        ("float", "1e39", "does not fit a float"),
        ("double", "1e999", "does not fit a double"),
        ("bool", "1", "neither true nor false"),
        ("timestamp", "\"yesterday\"", "it is no time"),
        ("timestamp", "true", "it is no time"),
    ] {
        check_refused(kind, value, words);
    }
}

const PROTO: &str = r#"
// An event.
syntax = "proto3";
package acme.audit.v1;
import "google/protobuf/timestamp.proto";
option java_package = "com.acme";

enum Severity { option allow_alias = true; SEVERITY_UNSPECIFIED = 0; SEVERITY_LOW = 1; SEVERITY_HIGH = 0x2; reserved 9 to 11, 20; }

message Event {
  reserved 100 to 200; reserved "old";
  string id = 1;
  google.protobuf.Timestamp time = 2;
  Severity severity = 3 [deprecated = true];
  repeated string roles = 4;
  map<string, int64> counts = 5;
  Actor actor = 6;
  oneof cause { string rule = 7; Actor other = 8; }
  optional int32 attempts = 9;
  repeated Level levels = 10;
  message Actor { string user_name = 1; repeated Actor friends = 2; Inner.Kind kind = 3;
    message Inner { enum Kind { NONE = 0; BOT = -1; } }
  }
  /* another */ enum Level { L0 = 0; L1 = 1; }
}
service Ignored { rpc Do(Event) returns (Event) { option x = 1; } }
message Second { message Third { .acme.audit.v1.Event e = 1; } }
"#;

#[test]
fn messages_of_a_proto_file() {
    let config = serde_json::json!({"proto": PROTO, "from": {"roles": "/roles", "actor": "/data/who"}});
    let event = r#"{"id":"1","time":"1970-01-01T00:00:01Z","severity":"high","roles":["a"],"data":{"who":{"userName":"Ada","friends":[{"user_name":"Bob"}],"kind":"bot"},"counts":{"x":1,"y":0},"rule":"","other":{"user_name":"x"},"attempts":0,"levels":["L1",0]}}"#;
    let want = [
        "0a0131",
        "12020801",
        "1802",
        "220161",
        "2a050a01781001",
        "2a050a01791000",
        // Actor: user_name, friends, kind -1.
        "32170a03416461",
        "12050a03426f62",
        "18ffffffffffffffffff01",
        "3a00",
        "4800",
        "52020100",
    ]
    .concat();
    assert_eq!(hex(&message(&config, event).unwrap()), want);
    assert_eq!(message(&config, "{}").unwrap(), b"");
    for (data, words) in [
        (r#"{"who":{"kind":"x"}}"#, "`actor`: `kind`: it is none of the values of `acme.audit.v1.Event.Actor.Inner.Kind`"),
        (r#"{"who":7}"#, "`actor`: it is no object"),
        (r#"{"levels":[7]}"#, "`levels`: it is none of the values of"),
        (r#"{"counts":{"x":"y"}}"#, "`counts`: it is no number"),
        (r#"{"counts":[1]}"#, "`counts`: it is no object"),
    ] {
        let error = message(&config, &format!(r#"{{"data":{data}}}"#)).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn framing() {
    let event = r#"{"id":"1"}"#;
    let config = |framing: &str, message: &str| serde_json::json!({"proto": PROTO, "framing": framing, "message": message, "schema_id": if framing == "confluent" { Some(258) } else { None }});
    let of = |framing: &str, name: &str| hex(&message(&config(framing, name), event).unwrap());
    assert_eq!(of("plain", "Event"), "0a0131");
    assert_eq!(of("delimited", "acme.audit.v1.Event"), "030a0131");
    // The first message is a zero; Actor is 0, 0; Third is 1, 0.
    assert_eq!(of("confluent", "Event"), "0000000102000a0131");
    assert_eq!(of("confluent", "Event.Actor"), "0000000102040000");
    assert_eq!(of("confluent", "Second.Third"), "0000000102040200");
    assert_eq!(of("confluent", "Second"), "00000001020202");
    let rows = serde_json::json!({"fields": [{"number": 1, "name": "id", "type": "string", "from": "/id"}], "framing": "confluent", "schema_id": 1});
    assert_eq!(hex(&message(&rows, event).unwrap()), "0000000001000a0131");
}

#[test]
fn fields_are_found_by_name_or_by_pointer() {
    let proto = "message M { string severity = 1; string amount = 2; string team = 3; }";
    let formatter = native::formatter::<Protobuf>(&serde_json::json!({"proto": proto, "from": {"team": "/metadata/team"}}).to_string()).unwrap();
    assert_eq!(formatter.fields(), ["/data/amount", "/data/severity", "/metadata/team", "/severity"]);
    assert_eq!(
        hex(&formatter.record(r#"{"severity":null,"data":{"severity":"x","amount":1.50},"metadata":{"team":"a"}}"#).unwrap()),
        "0a01781204312e35301a0161"
    );
}

#[test]
fn schemas_that_are_none() {
    for (proto, words) in [
        ("", "`proto` is 0, the least is 1"),
        (";", "`proto`: there is no message in it"),
        ("syntax = \"proto2\";", "line 1: only proto3 is read"),
        ("edition = \"2023\";", "line 1: `edition` is not read here"),
        ("import \"other.proto\";", "only google/protobuf/timestamp.proto is imported"),
        ("\nmessage M { strin id = 1; }", "line 2: there is no type `strin`"),
        ("message M { string id; }", "line 1: a `=` is missing"),
        ("message M { string id = 0; }", "`M`: field `id` has the number 0"),
        ("message M { string id = 19000; }", "`M`: field `id` has the number 19000"),
        ("message M { string id = -1; }", "the number of a field is from 1"),
        ("message M { string id = 08; }", "a number that is none"),
        ("message M { string a = 1; string b = 1; }", "`M`: the number 1 is there twice"),
        ("message M { string a = 1; string a = 2; }", "`M`: the field `a` is there twice"),
        ("message M { required string a = 1; }", "`required` is not of proto3"),
        ("message M { map<float, string> a = 1; }", "`float` is no type of a map's key"),
        ("message M { string a = 1;", "a `}` is missing"),
        ("message M {} message M {}", "`M` is defined twice"),
        ("enum E { A = 1; } message M {}", "the first value of `E` is not 0"),
        ("message M { string a = 1 [x = \"", "a text that does not end"),
        ("/* x", "a comment that does not end"),
        ("message M { string a = 1 [x", "a `]` is missing"),
        ("service S { rpc", "a `}` is missing"),
    ] {
        let error = native::formatter::<Protobuf>(&serde_json::json!({"proto": proto}).to_string()).unwrap_err();
        assert!(error.contains(words), "{proto}: {error}");
    }
    let deep = "message M { ".repeat(100) + &"}".repeat(100);
    let error = native::formatter::<Protobuf>(&serde_json::json!({"proto": deep}).to_string()).unwrap_err();
    assert!(error.contains("messages lie more than 32 deep"), "{error}");
}

#[test]
fn configuration() {
    let row = serde_json::json!({"number": 1, "name": "id", "type": "string", "from": "/id"});
    for (config, words) in [
        (serde_json::json!({}), "one of `fields` and `proto`"),
        (serde_json::json!({"fields": [row], "proto": PROTO}), "one of `fields` and `proto`"),
        (serde_json::json!({"fields": [row], "message": "M"}), "`message` and `from` belong to `proto`"),
        (serde_json::json!({"fields": [row, row]}), "`fields`: the number 1 is there twice"),
        (serde_json::json!({"fields": [{"number": 1, "name": "x", "type": "int", "from": "/id"}]}), "`fields[0].type` must be one of double, float, int32"),
        (serde_json::json!({"fields": [{"number": 1, "name": "x", "type": "int32", "from": "/usr"}]}), "`fields[0].from` is \"/usr\""),
        (serde_json::json!({"proto": PROTO, "message": "Nope"}), "`message` is \"Nope\"; `proto` has acme.audit.v1.Event, "),
        (serde_json::json!({"proto": PROTO, "from": {"nope": "/id"}}), "`from.nope`: the message has no field of that name"),
        (serde_json::json!({"proto": PROTO, "framing": "confluent"}), "`schema_id` is missing"),
        (serde_json::json!({"proto": PROTO, "schema_id": 1}), "`schema_id` belongs to"),
    ] {
        let error = native::formatter::<Protobuf>(&config.to_string()).unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn messages_within_each_other_have_an_end() {
    let proto = "message M { M x = 1; string v = 2; }";
    let event = |depth: usize| format!(r#"{{"data":{{"x":{}{{"v":"e"}}{}}}}}"#, r#"{"x":"#.repeat(depth), "}".repeat(depth));
    let config = serde_json::json!({"proto": proto});
    assert!(message(&config, &event(50)).unwrap().ends_with(b"\x12\x01e"));
    assert!(message(&config, &event(100)).unwrap_err().contains("messages are nested too deep"));
}
