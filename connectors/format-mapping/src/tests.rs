use bulkhead_sdk::native::{self, NativeFormatter};

use super::*;

fn formatter(config: &str) -> Result<NativeFormatter<MappingFormatter>, String> {
    native::formatter::<MappingFormatter>(config)
}

fn object(config: &str, event: &str) -> Result<String, String> {
    formatter(config)?.record(event).map(|record| String::from_utf8(record).unwrap())
}

#[track_caller]
fn check(rows: &str, want: &str) {
    assert_eq!(object(&format!(r#"{{"fields":[{rows}]}}"#), EVENT).unwrap(), want, "{rows}");
}

/// An expression alone.
#[track_caller]
fn check_expr(expr: &str, want: &str) {
    let expr = serde_json::Value::from(expr);
    check(
        &format!(r#"{{"to":"x","expr":{expr}}},{{"to":"y","value":1}}"#),
        &if want.is_empty() { r#"{"y":1}"#.to_owned() } else { format!(r#"{{"x":{want},"y":1}}"#) },
    );
}

#[track_caller]
fn check_refused(rows: &str, words: &str) {
    let error = object(&format!(r#"{{"fields":[{rows}]}}"#), EVENT).unwrap_err();
    assert!(error.contains(words), "{rows}: {error}");
}

#[track_caller]
fn check_config(config: &str, words: &str) {
    let error = formatter(config).unwrap_err();
    assert!(error.contains(words), "{config}: {error}");
}

const EVENT: &str = r#"{"id":"e-1","type":"copybook.access_event","time":"2026-11-20T09:42:58.123456789+01:00","severity":"high","user":" J\u00f6rg \"J\" ","roles":["auditor","ops"],"dstport":443,"subject":null,
"metadata":{"team":"ledger","user-role":"auditor","a/b":"slash"},
"data":{"payload":{"records":409000,"rate":12.50,"big":12345678901234567890123,"ok":true,"none":null,"empty":"",
 "list":[ 1, 2.50,"x",{"a":[]},null],"text":"7","json":"{\"k\": [1, 2.0]}","mail":"Ada <ada@example.org>","epoch":1767323045123,
 "files":[{"name":"a.cpy","size":7},{"name":"b.cpy","size":8}]}}}"#;

#[test]
fn members_in_their_places() {
    check(
        r#"{"to":"alert.id","from":"/id"},{"to":"alert.who.name","from":"/user"},{"to":"kind","value":"audit"},{"to":"alert.port","from":"/dstport"},{"to":"/a.b/c~1d","from":"/metadata/a~1b"},{"to":"none.at.all","from":"/subject"}"#,
        r#"{"alert":{"id":"e-1","who":{"name":" J\u00f6rg \"J\" "},"port":443},"kind":"audit","a.b":{"c/d":"slash"}}"#,
    );
    // What goes through keeps its bytes, on one line.
    check(
        r#"{"to":"rate","from":"/data/payload/rate"},{"to":"big","from":"/data/payload/big"},{"to":"list","from":"/data/payload/list"},{"to":"also","expr":"data.payload.rate"},{"to":"c","value":{"a":[1.50, null]}}"#,
        r#"{"rate":12.50,"big":12345678901234567890123,"list":[ 1, 2.50,"x",{"a":[]},null],"also":12.50,"c":{"a":[1.50, null]}}"#,
    );
    check(r#"{"to":"first","from":"/data/payload/files/0/name"},{"to":"second","from":"/roles/1"}"#, r#"{"first":"a.cpy","second":"ops"}"#);
}

#[test]
fn the_first_row_that_gives_a_value_counts() {
    check(r#"{"to":"x","from":"/subject"},{"to":"x","from":"/host"},{"to":"x","from":"/type"},{"to":"x","from":"/id"}"#, r#"{"x":"copybook.access_event"}"#);
    check(r#"{"to":"p","value":1,"when":"severity == 'critical'"},{"to":"p","value":2,"when":"severity == 'high'"},{"to":"p","value":3}"#, r#"{"p":2}"#);
    check(r#"{"to":"p","value":1,"when":"data.payload.nothing > 3"},{"to":"p","value":2,"when":"has(data.payload.records)"}"#, r#"{"p":2}"#);
    check(r#"{"to":"x","from":"/host","default":"unknown"},{"to":"y","from":"/subject","default":0},{"to":"z","from":"/host"}"#, r#"{"x":"unknown","y":0}"#);
    check_refused(r#"{"to":"x","from":"/host","required":true},{"to":"x","from":"/subject"}"#, "`x`: it is required, and /host gives nothing");
    check_refused(r#"{"to":"x","expr":"data.nothing + 1","required":true}"#, "`x`: it is required, and its expression gives nothing");
    check(r#"{"to":"x","from":"/host","required":true},{"to":"x","from":"/id"}"#, r#"{"x":"e-1"}"#);
    check_refused(r#"{"to":"x","from":"/host"}"#, "the mapping makes nothing of this event");
}

#[test]
fn transforms() {
    let one =
        |from: &str, transforms: &str, want: &str| check(&format!(r#"{{"to":"x","from":"{from}","transform":[{transforms}]}}"#), &format!(r#"{{"x":{want}}}"#));
    one("/user", r#""trim","lower""#, r#""jörg \"j\"""#);
    one("/severity", r#""upper""#, r#""HIGH""#);
    one("/type", r#"{"split":"."}"#, r#"["copybook","access_event"]"#);
    one("/type", r#"{"split":"."},{"at":-1},{"replace":{"from":"_","to":" "}}"#, r#""access event""#);
    one("/roles", r#""upper",{"join":", "}"#, r#""AUDITOR, OPS""#);
    one("/data/payload/list", r#"{"join":"|"}"#, r#""1|2.50|x|{\"a\":[]}""#);
    one("/data/payload/mail", r#"{"regex_extract":"<([^@>]+)@([^>]+)>"}"#, r#""ada""#);
    one("/data/payload/mail", r#"{"regex_extract":{"pattern":"<(?P<who>[^@>]+)@(?P<host>[^>]+)>","group":"host"}}"#, r#""example.org""#);
    one("/data/payload/mail", r#"{"regex_extract":{"pattern":"[a-z]+@","group":"0"}}"#, r#""ada@""#);
    // printf 'e-1' | sha256sum
    one("/id", r#""hash_sha256""#, r#""b94f523196aaacd8bdb9ef0d8cf2e1d8f9b766ab5097f086ff541b7112699b7b""#);
    one("/severity", r#"{"map":{"high":1.50,"low":{"a":1}}}"#, "1.50");
    one("/id", r#"{"map":{"x":1,"*":"other"}}"#, r#""other""#);
    one("/roles", r#"{"map":{"ops":"O","auditor":"A"}}"#, r#"["A","O"]"#);
    one("/time", r#"{"date":"%d.%m.%Y %H:%M"}"#, r#""20.11.2026 08:42""#);
    one("/data/payload/epoch", r#"{"date":"rfc3339"}"#, r#""2026-01-02T03:04:05.123Z""#);
    one("/user", r#"{"truncate":5}"#, r#"" Jörg""#);
    one("/dstport", r#""trim""#, r#""443""#);
    // What is not in the table is missing; so is what a pattern does not find.
    check(
        r#"{"to":"x","from":"/id","transform":[{"map":{"x":1}},"upper"],"default":5},{"to":"y","from":"/id","transform":[{"regex_extract":"z"}],"default":6}"#,
        r#"{"x":5,"y":6}"#,
    );
    check_refused(r#"{"to":"x","from":"/metadata","transform":["upper"]}"#, "`x`: it holds an object, which this transform cannot take");
    check_refused(r#"{"to":"x","from":"/id","transform":[{"at":0}]}"#, "`x`: it is no list");
    check_refused(r#"{"to":"x","from":"/id","transform":[{"date":"%Y"}]}"#, "`x`: it is no time");
}

#[test]
fn types() {
    let one = |from: &str, kind: &str, want: &str| check(&format!(r#"{{"to":"x","from":"{from}","type":"{kind}"}}"#), &format!(r#"{{"x":{want}}}"#));
    one("/dstport", "string", r#""443""#);
    one("/data/payload/rate", "string", r#""12.50""#);
    one("/data/payload/ok", "string", r#""true""#);
    one("/roles", "string", r#""[\"auditor\",\"ops\"]""#);
    one("/data/payload/text", "integer", "7");
    one("/data/payload/big", "integer", "12345678901234567890123");
    one("/data/payload/rate", "number", "12.50");
    one("/data/payload/ok", "boolean", "true");
    one("/time", "timestamp", r#""2026-11-20T08:42:58.123456789Z""#);
    one("/data/payload/epoch", "timestamp", r#""2026-01-02T03:04:05.123Z""#);
    one("/data/payload/json", "json", r#"{"k": [1, 2.0]}"#);
    one("/roles", "json", r#"["auditor","ops"]"#);
    check(
        r#"{"to":"a","value":"12.00","type":"integer"},{"to":"b","value":" -3 ","type":"number"},{"to":"c","value":0,"type":"boolean"},{"to":"d","value":"TRUE","type":"boolean"}"#,
        r#"{"a":12,"b":-3,"c":false,"d":true}"#,
    );
    for (from, kind, words) in [
        ("/id", "integer", "it is no whole number"),
        ("/data/payload/rate", "integer", "it is no whole number"),
        ("/data/payload/ok", "number", "it is no number"),
        ("/roles", "number", "it is no number"),
        ("/id", "boolean", "it is none of true, false, 1 and 0"),
        ("/data/payload/ok", "timestamp", "it is no time"),
        ("/id", "json", "its text is no JSON"),
    ] {
        check_refused(&format!(r#"{{"to":"x","from":"{from}","type":"{kind}"}}"#), &format!("`x`: {words}"));
    }
    for text in ["+5", "1e3", "0x1", "", ".5", "5.", "1_000"] {
        check_refused(&format!(r#"{{"to":"x","value":"{text}","type":"integer"}}"#), "no whole number");
    }
}

#[test]
fn checks() {
    let broken = |from: &str, rule: &str, words: &str| check_refused(&format!(r#"{{"to":"x","from":"{from}","check":{{{rule}}}}}"#), &format!("`x`: {words}"));
    broken("/severity", r#""one_of":["low","medium"]"#, "it is none of low, medium");
    broken("/roles", r#""one_of":["ops"]"#, "it is none of ops");
    broken("/id", r#""pattern":"^[0-9]+$""#, "it does not match ^[0-9]+$");
    broken("/dstport", r#""max":100.5"#, "it is more than 100.5");
    broken("/dstport", r#""min":1000"#, "it is less than 1000");
    broken("/id", r#""min":0"#, "it is no number");
    broken("/id", r#""min_length":4"#, "it has 3 characters, the least is 4");
    broken("/roles", r#""max_length":1"#, "it has 2 elements, the most is 1");
    check(
        r#"{"to":"x","from":"/severity","check":{"one_of":["high"],"pattern":"ig","min_length":4,"max_length":4}},{"to":"y","from":"/dstport","check":{"min":443,"max":443}},{"to":"z","from":"/host","check":{"min":1}}"#,
        r#"{"x":"high","y":443}"#,
    );
}

#[test]
fn rules_of_the_whole_event() {
    let config = |that: &str| {
        format!(r#"{{"fields":[{{"to":"id","from":"/id"}}],"validate":[{{"that":{},"reason":"an event of no team"}}]}}"#, serde_json::Value::from(that))
    };
    for that in ["metadata.team == 'ledger'", "size(roles) == 2 && 'ops' in roles", "has(metadata.team)", "id.matches('^e-[0-9]$')"] {
        assert_eq!(object(&config(that), EVENT).unwrap(), r#"{"id":"e-1"}"#, "{that}");
    }
    for that in ["metadata.team == 'other'", "has(metadata.none)", "metadata.none == 'x'", "user == ''"] {
        assert_eq!(object(&config(that), EVENT).unwrap_err(), "an event of no team", "{that}");
    }
    let error = object(&config("id + 1 == 2"), EVENT).unwrap_err();
    assert_eq!(error, "`validate[0].that`: `add` does not take string and int");
    assert_eq!(object(&config("id"), EVENT).unwrap_err(), "`validate[0].that`: it is neither true nor false");
}

#[test]
fn expressions() {
    check_expr("data.payload.records * 2", "818000");
    check_expr("data.payload.rate * 2.0", "25.0");
    check_expr("data.payload.ok ? data.payload.rate : 0.0", "12.50");
    check_expr("'user ' + user.trim() + '!'", r#""user Jörg \"J\"!""#);
    check_expr("severity.upperAscii()", r#""HIGH""#);
    check_expr("data.payload.files.filter(f, f.size > 7).map(f, f.name)", r#"["b.cpy"]"#);
    check_expr("data.payload.files.exists(f, f.name.endsWith('.cpy')) && !has(data.payload.nothing)", "true");
    check_expr("data.payload.files[0]", r#"{"name":"a.cpy","size":7}"#);
    check_expr("data.payload.files.map(f, f)", r#"[{"name":"a.cpy","size":7},{"name":"b.cpy","size":8}]"#);
    check_expr("metadata['user-role'] + metadata['a/b']", r#""auditorslash""#);
    check_expr("metadata.map(name, name)", r#"["team","user-role","a/b"]"#);
    check_expr("{'b': 1, 'a': [id, null, 2u, 1.5], 'c': {'x': true}}", r#"{"a":["e-1",null,2,1.5],"b":1,"c":{"x":true}}"#);
    check_expr("size(metadata)", "3");
    check_expr("type(metadata) == map && type(id) == string && type(roles) != map ? type : ''", r#""copybook.access_event""#);
    check_expr("{'name': 'a.cpy', 'size': 7} == data.payload.files[0] && data.payload.files[0] == {'size': 7, 'name': 'a.cpy'}", "true");
    check_expr("data.payload.files[1] != data.payload.files[0] && metadata == metadata", "true");
    check_expr("type.split('.')[1].replace('_', ' ')", r#""access event""#);
    check_expr("roles.join('+') + string(dstport)", r#""auditor+ops443""#);
    check_expr("int(data.payload.text) + 1", "8");
    check_expr("b'\\x00\\xff'", r#""AP8=""#);
    check_expr("data.payload.big", "12345678901234567890123");
    check_expr("[data.payload.big, data.payload.list[1]]", "[12345678901234567890123,2.50]");
    // Nothing where a field is missing, or null.
    for expr in ["host + 'x'", "data.nothing.at.all == 1", "subject", "data.payload.list[9]", "null", "data.payload.none"] {
        check_expr(expr, "");
    }
    // CEL has a type of that name.
    check_expr("type", r#""copybook.access_event""#);
    assert_eq!(
        object(
            r#"{"fields":[{"to":"x","expr":"type + '!'"},{"to":"y","expr":"type","default":2},{"to":"z","value":1,"when":"type == 'a'"}]}"#,
            r#"{"id":"1"}"#
        )
        .unwrap(),
        r#"{"y":2}"#
    );
    for (expr, words) in [
        ("data.payload.records / 0", "division by zero"),
        ("id - 1", "`sub` does not take string and int"),
        ("size(dstport)", "found no matching overload for 'size' applied to '(int)'"),
        ("1.0 / 0.0", "a number that JSON has no digits for"),
        ("type(id)", "its value is of type type, which JSON does not have"),
        ("9223372036854775807 + dstport", "a number is too large"),
        ("int(id)", "`int` does not take this value"),
        ("id < dstport", "found no matching overload"),
    ] {
        check_refused(&format!(r#"{{"to":"x","expr":{}}}"#, serde_json::Value::from(expr)), words);
    }
}

#[test]
fn expressions_are_bounded() {
    let config = |expr: &str| format!(r#"{{"fields":[{{"to":"x","expr":{}}}]}}"#, serde_json::Value::from(expr));
    let list = format!(r#"{{"data":{{"list":[{}0]}}}}"#, "1,".repeat(400));
    let error = object(&config("data.list.all(a, data.list.all(b, a + b < 9))"), &list).unwrap_err();
    assert!(error.contains("looks at more than 100000 values of one event"), "{error}");
    let long = format!(r#"{{"data":{{"list":[{}0],"deep":{}{}}}}}"#, "1,".repeat(200_000), "[".repeat(200), "]".repeat(200));
    for expr in ["size(data.list)", "data.list.map(a, a)", "size(data.deep)", "data == data"] {
        let error = object(&config(expr), &long).unwrap_err();
        assert!(error.contains("looks at more than 100000 values of one event"), "{error}");
    }
    for (expr, words) in [
        ("(".repeat(100) + "1" + &")".repeat(100), "fields[0].expr`"),
        (vec!["1"; 200].join("+"), "is nested deeper than 64"),
        (vec!["id == id"; 600].join(" && "), "fields[0].expr`"),
        ("[".repeat(100) + &"]".repeat(100), "fields[0].expr`"),
        ("roles.map(a, roles.map(b, roles.map(c, c)))".to_owned(), "more than 2 loops within each other"),
        ("{'a': 1}.map(k, k)".to_owned(), "a loop over an object that is written out"),
        ("[true ? {'a': 1} : {}].map(k, k)".to_owned(), "a loop over an object that is written out"),
        ("id.matches(user)".to_owned(), "the pattern of `matches` is written out"),
        ("id.matches('a{1000}{1000}')".to_owned(), "is no regular expression"),
    ] {
        check_config(&config(&expr), words);
    }
    // Long chains are read without one call within the other.
    for text in [
        "!".repeat(3000) + "true",
        "-".repeat(3000) + "x",
        "true ? ".repeat(500),
        "a.".repeat(2000) + "a",
        "a(".repeat(2000),
        "a?".repeat(2000),
        "[?".repeat(1000),
        "id[".repeat(1000),
    ] {
        let _ = formatter(&config(&text));
    }
}

#[test]
fn what_cannot_work_is_told_before_the_first_event() {
    for (rows, words) in [
        (r#"{"to":"a","from":"/id"},{"to":"a.b","from":"/id"}"#, "`fields[1].to`: \"a\" is a value of one row and an object of another"),
        (r#"{"to":"a.b","from":"/id"},{"to":"a","from":"/id"}"#, "`fields[1].to`: \"a\" is a value of one row and an object of another"),
        (r#"{"to":"a..b","from":"/id"}"#, "`fields[0].to` is \"a..b\", which has an empty name in it"),
        (r#"{"to":"a"}"#, "`fields[0]` has one of `from`, `value` and `expr`"),
        (r#"{"to":"a","from":"/id","value":1}"#, "`fields[0]` has one of `from`, `value` and `expr`"),
        (r#"{"to":"a","from":"/usr"}"#, "`fields[0].from` is \"/usr\"; an event has no \"usr\", it has id, source"),
        (r#"{"to":"a","from":"id"}"#, "`fields[0].from` is \"id\"; it is a pointer"),
        (r#"{"to":"a","expr":"id +"}"#, "`fields[0].expr`: line 1, column "),
        (r#"{"to":"a","expr":"usr + 'x'"}"#, "`fields[0].expr` is \"/usr\"; an event has no \"usr\""),
        (r#"{"to":"a","expr":"id.lower()"}"#, "`fields[0].expr`: there is no function `lower`"),
        (r#"{"to":"a","expr":"Msg{a: 1}"}"#, "there is no type `Msg`"),
        (r#"{"to":"a","from":"/id","when":"id ="}"#, "`fields[0].when`: line 1"),
        (r#"{"to":"a","from":"/id","type":"float"}"#, "`fields[0].type` must be one of string, integer"),
        (r#"{"to":"a","from":"/id","transform":["lowr"]}"#, "`fields[0].transform[0]` is none of trim, lower"),
        (r#"{"to":"a","from":"/id","transform":[{"split":""}]}"#, "`fields[0].transform[0].split` is empty"),
        (r#"{"to":"a","from":"/id","transform":[{"date":"%Q"}]}"#, "`fields[0].transform[0].date`: \"%Q\" is no date format"),
        (r#"{"to":"a","from":"/id","transform":[{"regex_extract":"("}]}"#, "`fields[0].transform[0].regex_extract` is no regular expression"),
        (r#"{"to":"a","from":"/id","transform":[{"regex_extract":{"pattern":"(a)","group":"x"}}]}"#, "group` is \"x\", which the pattern does not have"),
        (r#"{"to":"a","from":"/id","transform":[{"split":",","join":","}]}"#, "`fields[0].transform[0]` is none of"),
        (r#"{"to":"a","from":"/id","check":{"pattern":"["}}"#, "`fields[0].check.pattern` is no regular expression"),
        (r#"{"to":"a","from":"/id","check":{"min":2,"max":1}}"#, "`fields[0].check.min` is above"),
        (r#"{"to":"a","form":"/id"}"#, "`fields[0].form` is unknown; known here are to, from"),
        ("", "`fields` is 0, the least is 1"),
    ] {
        check_config(&format!(r#"{{"fields":[{rows}]}}"#), words);
    }
    check_config(r#"{"fields":[{"to":"a","from":"/id"}],"validate":[{"that":"usr == 1","reason":"x"}]}"#, "`validate[0].that` is \"/usr\"");
    check_config("{}", "`fields` is missing");
}

#[test]
fn only_named_fields_are_asked_for() {
    let rows = r#"{"fields":[{"to":"a","from":"/data/payload/a"},{"to":"b","expr":"data.payload.b.c + metadata['x-y']"},{"to":"c","expr":"data.list.map(id, id.name + type)"},{"to":"d","from":"/user","when":"has(data.payload.d)"}],"validate":[{"that":"severity != ''","reason":"r"}]}"#;
    assert_eq!(
        formatter(rows).unwrap().fields(),
        ["/data/list", "/data/payload/a", "/data/payload/b/c", "/data/payload/d", "/metadata/x-y", "/severity", "/type", "/user"]
    );
    let many: Vec<String> = (0..70).map(|n| format!(r#"{{"to":"f{n}","from":"/data/f{n}"}},{{"to":"g{n}","expr":"data.f{n} + 1"}}"#)).collect();
    let config = format!(r#"{{"fields":[{}]}}"#, many.join(","));
    assert_eq!(formatter(&config).unwrap().fields(), ["/data"]);
    assert_eq!(object(&config, r#"{"data":{"f3":4}}"#).unwrap(), r#"{"f3":4,"g3":5}"#);
}

#[test]
fn refusals_do_not_tell_what_the_event_holds() {
    let secret = r#"{"id":"s3cr3t-value","data":{"n":"s3cr3t-value"}}"#;
    for row in [
        r#"{"to":"x","from":"/id","type":"integer"}"#,
        r#"{"to":"x","from":"/id","check":{"one_of":["a"]}}"#,
        r#"{"to":"x","from":"/id","transform":[{"date":"%Y"}]}"#,
        r#"{"to":"x","expr":"id + 1"}"#,
        r#"{"to":"x","expr":"int(id)"}"#,
        r#"{"to":"x","expr":"id < 1"}"#,
        r#"{"to":"x","expr":"id[0]"}"#,
        r#"{"to":"x","expr":"data.n.k"}"#,
    ] {
        let error = object(&format!(r#"{{"fields":[{row},{{"to":"z","value":1}}]}}"#), secret);
        let text = format!("{error:?}");
        assert!(!text.contains("s3cr3t"), "{row}: {text}");
    }
}
