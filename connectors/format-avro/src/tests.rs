use bulkhead_sdk::native;

use super::*;

fn datum(config: &serde_json::Value, event: &str) -> Result<Vec<u8>, String> {
    native::formatter::<Avro>(&config.to_string())?.record(event)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record of one field `x` of this type, from `data.x`.
fn one(kind: &str, value: &str) -> Result<String, String> {
    let schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"x","type":{kind}}}]}}"#);
    datum(&serde_json::json!({"schema": schema}), &format!(r#"{{"data":{{"x":{value}}}}}"#)).map(|bytes| hex(&bytes))
}

#[track_caller]
fn check(kind: &str, value: &str, want: &str) {
    assert_eq!(one(kind, value).as_deref(), Ok(want), "{kind} {value}");
}

#[track_caller]
fn check_refused(kind: &str, value: &str, words: &str) {
    let error = one(kind, value).unwrap_err();
    assert!(error.starts_with("field `x`: ") && error.contains(words), "{kind} {value}: {error}");
}

const EVENT: &str = r#"{"id":"evt-1","time":"2023-11-14T22:13:20.123Z","type":"login_failed","severity":"high","srcip":"203.0.113.7","data":{"n":1}}"#;
/// Computed by hand in the fact sheet.
const WANT: &str = "0a6576742d31f6a1abfef962186c6f67696e5f6661696c65640868696768163230332e302e3131332e370e7b226e223a317d";

#[test]
fn the_security_event_of_the_fact_sheet() {
    assert_eq!(hex(&datum(&serde_json::json!({}), EVENT).unwrap()), WANT);
    assert_eq!(hex(&datum(&serde_json::json!({"framing": "confluent", "schema_id": 42}), EVENT).unwrap()), format!("000000002a{WANT}"));
    let single = hex(&datum(&serde_json::json!({"framing": "single_object"}), EVENT).unwrap());
    assert!(single.starts_with("c301") && single.ends_with(WANT) && single.len() == WANT.len() + 20, "{single}");
    // What is not there, and a time that is none.
    let bare = datum(&serde_json::json!({}), r#"{"id":"1","time":"yesterday","received":"1970-01-01T00:00:00.001Z"}"#).unwrap();
    assert_eq!(hex(&bare), "02310200000000");
}

#[test]
fn integers() {
    for (value, want) in [
        ("0", "00"),
        ("-1", "01"),
        ("1", "02"),
        ("63", "7e"),
        ("64", "8001"),
        ("-64", "7f"),
        ("-65", "8101"),
        ("1700000000000", "80a0abfef962"),
        ("9223372036854775807", "feffffffffffffffff01"),
        ("-9223372036854775808", "ffffffffffffffffff01"),
        ("\"7\"", "0e"),
        ("7.00", "0e"),
    ] {
        check("\"long\"", value, want);
    }
    check("\"int\"", "-2147483648", "ffffffff0f");
    for (kind, value) in
        [("\"int\"", "2147483648"), ("\"long\"", "9223372036854775808"), ("\"long\"", "1.5"), ("\"long\"", "1e3"), ("\"long\"", "\"x\""), ("\"long\"", "true")]
    {
        check_refused(kind, value, "");
    }
}

#[test]
fn other_primitives() {
    check("\"boolean\"", "true", "01");
    check("\"boolean\"", "\"false\"", "00");
    check("\"float\"", "1.5", "0000c03f");
    check("\"double\"", "-0.25", "000000000000d0bf");
    check("\"double\"", "\"1e3\"", "0000000000408f40");
    check("\"string\"", r#""a\u00e9""#, "0661c3a9");
    check("\"string\"", "12.50", "0a31322e3530");
    check("\"string\"", r#"{"a": [1]}"#, "147b2261223a205b315d7d");
    check("\"bytes\"", "\"ab\"", "046162");
    check("\"null\"", "null", "");
    check(r#"{"type":"fixed","name":"F","size":2}"#, "\"ab\"", "6162");
    for (kind, value, words) in [
        ("\"boolean\"", "1", "neither true nor false"),
        ("\"float\"", "1e39", "does not fit a float"),
        ("\"double\"", "1e999", "does not fit a double"),
        ("\"double\"", "\"NaN\"", "no number"),
        ("\"string\"", "null", "neither null nor a default"),
        (r#"{"type":"fixed","name":"F","size":2}"#, "\"abc\"", "no text of 2 bytes"),
        ("\"null\"", "1", "it is not null"),
    ] {
        check_refused(kind, value, words);
    }
}

#[test]
fn logical_types() {
    let time = "\"2023-11-14T22:13:20.123456789Z\"";
    check(r#"{"type":"long","logicalType":"timestamp-millis"}"#, time, "f6a1abfef962");
    check(r#"{"type":"long","logicalType":"timestamp-micros"}"#, "\"1970-01-01T00:00:00.000064Z\"", "8001");
    check(r#"{"type":"long","logicalType":"timestamp-nanos"}"#, "\"1970-01-01T00:00:00.000000001Z\"", "02");
    check(r#"{"type":"long","logicalType":"timestamp-millis"}"#, "1700000000123", "f6a1abfef962");
    check(r#"{"type":"int","logicalType":"date"}"#, "\"1970-03-06T12:00:00Z\"", "8001");
    check(r#"{"type":"int","logicalType":"date"}"#, "\"1969-12-31T23:59:59Z\"", "01");
    check(r#"{"type":"string","logicalType":"uuid"}"#, "\"x\"", "0278");
    check_refused(r#"{"type":"long","logicalType":"timestamp-millis"}"#, "\"yesterday\"", "it is no time");
    check_refused(r#"{"type":"long","logicalType":"timestamp-nanos"}"#, "\"2300-01-01T00:00:00Z\"", "does not fit nanoseconds");
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}"#;
    for (value, want) in [
        ("0", "0200"),
        ("1.27", "027f"),
        ("1.28", "040080"),
        ("-1.28", "0280"),
        ("-1.29", "04ff7f"),
        ("12.5", "0404e2"),
        ("\"12.50\"", "0404e2"),
        ("12.500", "0404e2"),
        ("9999.99", "060f423f"),
        ("-0.00", "0200"),
        ("-2.56", "04ff00"),
    ] {
        check(decimal, value, want);
    }
    for value in ["1.234", "10000", "1e2", "\"x\""] {
        check_refused(decimal, value, "");
    }
    check(r#"{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":6,"scale":2}"#, "-1.28", "ffffff80");
    check_refused(r#"{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":6,"scale":2}"#, "12.5", "it does not fit 1 bytes");
}

#[test]
fn containers_enums_and_unions() {
    check(r#"{"type":"array","items":"int"}"#, "[1,-1]", "04020100");
    check(r#"{"type":"array","items":"int"}"#, "[]", "00");
    check(r#"{"type":"map","values":"string"}"#, r#"{"a":"b","c\n":1}"#, "040261026204630a023100");
    check(r#"{"type":"enum","name":"E","symbols":["LOW","HIGH"]}"#, "\"high\"", "02");
    check(r#"{"type":"enum","name":"E","symbols":["LOW","HIGH"],"default":"LOW"}"#, "\"other\"", "00");
    check(r#"{"type":"record","name":"S","fields":[{"name":"a","type":"int"},{"name":"b","type":["null","string"]}]}"#, r#"{"a":1,"z":2}"#, "0200");
    check(r#"["null","string"]"#, "\"a\"", "020261");
    check(r#"["null","string"]"#, "null", "00");
    check(r#"["string","null"]"#, "null", "02");
    check(r#"["string","long","boolean"]"#, "7", "020e");
    check(r#"["string","long","boolean"]"#, "true", "0401");
    check(r#"["string","long"]"#, "true", "000874727565");
    check(r#"["null",{"type":"array","items":["null","int"]}]"#, "[1,null]", "020402020000");
    for (kind, value, words) in [
        (r#"{"type":"array","items":"int"}"#, "1", "it is no list"),
        (r#"{"type":"array","items":"int"}"#, "[\"x\"]", "it is no number"),
        (r#"{"type":"map","values":"int"}"#, "[1]", "it is no object"),
        (r#"{"type":"enum","name":"E","symbols":["LOW"]}"#, "\"other\"", "none of the symbols"),
        (r#"["null","int"]"#, "\"x\"", "of no type of the union"),
        (r#"{"type":"record","name":"S","fields":[{"name":"a","type":"int"}]}"#, "{}", "`a`: the event does not have it"),
    ] {
        check_refused(kind, value, words);
    }
}

#[test]
fn fields_are_found_by_name_by_pointer_or_by_default() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"severity","type":"string"},{"name":"amount","type":"double"},{"name":"team","type":["null","string"],"default":null},{"name":"kind","type":"string","default":"none"},{"name":"b","type":"bytes","default":"\u00ff"}]}"#;
    let config = serde_json::json!({"schema": schema, "fields": {"team": "/metadata/team"}});
    let formatter = native::formatter::<Avro>(&config.to_string()).unwrap();
    assert_eq!(formatter.fields(), ["/data/amount", "/data/b", "/data/kind", "/data/severity", "/metadata/team", "/severity"]);
    assert_eq!(
        hex(&formatter.record(r#"{"severity":"low","data":{"severity":"x","amount":0.5},"metadata":{"team":"a"}}"#).unwrap()),
        "066c6f77000000000000e03f020261086e6f6e6502ff"
    );
    assert_eq!(hex(&formatter.record(r#"{"data":{"severity":"x","amount":0.5,"kind":null}}"#).unwrap()), "0278000000000000e03f00086e6f6e6502ff");
    assert_eq!(
        formatter.record(r#"{"severity":"low"}"#).unwrap_err(),
        "field `amount`: the event does not have it, and the schema has neither null nor a default"
    );
}

#[test]
fn fingerprints_of_the_specification() {
    for (schema, canonical, print) in [
        (r#""null""#, r#""null""#, 0x63dd_24e7_cc25_8f8a_u64),
        (r#"{"type":"int"}"#, r#""int""#, 0x7275_d51a_3f39_5c8f),
        (r#"{"type":"string","logicalType":"uuid"}"#, r#""string""#, 0x8f01_4872_6345_03c7),
    ] {
        let schema = Schema::parse(schema).unwrap();
        assert_eq!(schema.canonical, canonical);
        assert_eq!(canonical::fingerprint(&schema.canonical), print, "{canonical}");
    }
    let text = r#"{"namespace":"x.y","aliases":["old"],"doc":"d","fields":[{"doc":"","type":{"items":"F","type":"array"},"name":"a"},{"name":"f","type":{"type":"fixed","size":16,"name":"G"}},{"name":"e","type":{"symbols":["A","B"],"name":"z.E","type":"enum"},"default":"A"},{"name":"g","type":["null","G","z.E"]}],"name":"R","type":"record"}"#;
    assert_eq!(Schema::parse(text).unwrap_err(), "`.a.items`: there is no type \"F\"".replace("`.", "`"));
    assert_eq!(
        Schema::parse(&text.replace("\"F\"", "\"R\"")).unwrap().canonical,
        r#"{"name":"x.y.R","type":"record","fields":[{"name":"a","type":{"type":"array","items":"x.y.R"}},{"name":"f","type":{"name":"x.y.G","type":"fixed","size":16}},{"name":"e","type":{"name":"z.E","type":"enum","symbols":["A","B"]}},{"name":"g","type":["null","x.y.G","z.E"]}]}"#
    );
}

#[test]
fn schemas_that_are_none() {
    for (schema, words) in [
        ("{]", "`schema`: it is no well-formed JSON"),
        (r#""string""#, "`schema` is no record"),
        (r#"{"type":"record"}"#, "`schema`: `name` is missing"),
        (r#"{"type":"record","name":"1"}"#, "\"1\" is no name"),
        (r#"{"type":"record","name":"R"}"#, "`fields` is no list"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a"}]}"#, "`a`: `type` is missing"),
        (r#"{"type":"record","name":"R","fields":[{"type":"int"}]}"#, "field 0 has no name"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#, "`a`: the field is there twice"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"integer"}]}"#, "`a`: there is no type \"integer\""),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":["int",["null"]]}]}"#, "`a`: a union within a union"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":["int",{"type":"int","logicalType":"date"}]}]}"#, "`a`: a type twice in a union"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":[]}]}"#, "`a`: a union has at least one type"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"R"}]}"#, "the record `R` holds itself and never ends"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array"}}]}"#, "`a`: `items` is missing"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":[]}}]}"#, "`a`: `symbols` is a list of names"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":0}}]}"#, "`a`: `size` is a number"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"R","size":1}}]}"#, "`a`: \"R\" is defined twice"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}}]}"#,
            "`a`: `scale` is a number up to the precision",
        ),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}"#, "the default of `a` in `R`: it is no number"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":2},"default":"abc"}]}"#,
            "the default of `a` in `R`: it is not 2 bytes long",
        ),
    ] {
        let error = native::formatter::<Avro>(&serde_json::json!({"schema": schema}).to_string()).unwrap_err();
        assert!(error.contains(words), "{schema}: {error}");
    }
    let deep =
        format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{}"int"{}}}]}}"#, r#"{"type":"array","items":"#.repeat(60), "}".repeat(60));
    assert!(native::formatter::<Avro>(&serde_json::json!({"schema": deep}).to_string()).unwrap_err().contains("types lie more than 32 deep"));
    // A record may hold itself behind a union.
    let tree = r#"{"type":"record","name":"R","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","R"]}]}"#;
    assert_eq!(hex(&datum(&serde_json::json!({"schema": tree}), r#"{"data":{"v":1,"next":{"v":2,"next":null}}}"#).unwrap()), "02020400");
}

#[test]
fn configuration() {
    for (config, words) in [
        (serde_json::json!({"framing": "confluent"}), "`schema_id` is missing"),
        (serde_json::json!({"schema_id": 1}), "`schema_id` belongs to `framing: confluent`"),
        (serde_json::json!({"fields": {"nope": "/id"}}), "`fields.nope`: the schema's record has no field of that name"),
        (serde_json::json!({"fields": {"id": "id"}}), "`fields.id` is \"id\"; it is a pointer"),
        (serde_json::json!({"framing": "ocf"}), "`framing` must be one of plain, confluent, single_object"),
    ] {
        let error = native::formatter::<Avro>(&config.to_string()).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn trying_every_type_has_an_end() {
    // Every level is tried as A and as B, and neither has its number.
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"x","type":{"type":"record","name":"A","fields":[{"name":"x","type":["null","A",{"type":"record","name":"B","fields":[{"name":"x","type":["null","A","B"]},{"name":"n","type":"int"}]}]},{"name":"n","type":"int"}]}}]}"#;
    let event = format!("{{\"data\":{}null{}}}", "{\"x\":".repeat(60), "}".repeat(60));
    let error = datum(&serde_json::json!({"schema": schema}), &event).unwrap_err();
    assert!(error.contains("it is of no type of the union"), "{error}");
}
