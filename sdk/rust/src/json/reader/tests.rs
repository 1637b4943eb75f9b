use super::*;

/// All of a value as text again, containers deeper than `depth` as they are.
fn spelled(reader: &mut Reader<'_>, depth: usize, out: &mut String) {
    let kind = if depth > 0 { reader.open() } else { None };
    let Some(kind) = kind else {
        let value = reader.value();
        let quote = if value.is_string() { "\"" } else { "" };
        out.push_str(&format!("{quote}{}{quote}", String::from_utf8_lossy(value.raw())));
        return;
    };
    let (open, close) = if kind == Kind::Array { ('[', ']') } else { ('{', '}') };
    out.push(open);
    let start = out.len();
    while reader.more() {
        if out.len() > start {
            out.push(',');
        }
        if kind == Kind::Object {
            let Some(name) = reader.name() else { break };
            out.push_str(&format!("\"{}\":", String::from_utf8_lossy(name.raw())));
        }
        spelled(reader, depth - 1, out);
    }
    out.push(close);
}

#[track_caller]
fn check(text: &str, depth: usize, want: &str) {
    let mut reader = Reader::text(text.as_bytes());
    let mut out = String::new();
    spelled(&mut reader, depth, &mut out);
    assert_eq!((out.as_str(), reader.is_complete()), (want, true), "{text}");
}

#[test]
fn all_of_a_value_in_one_pass() {
    let long = format!("[\"{}\"]", "x".repeat(100));
    for text in ["{}", "[]", "7", "\"a\"", "[1,[2,[3]],{\"a\":{\"b\":[null,true,-0.5e3]}},\"x\\\"y\"]", "{\"a\":\"]\",\"b\":[[],{}]}", &long] {
        check(text, 99, text);
        check(text, 1, text);
        check(text, 0, text);
    }
    check(" [ 1 ,\n{ \"a\" : [ 2 ] , \"b\":\t{ } } ] ", 9, "[1,{\"a\":[2],\"b\":{}}]");
    check("[ [ 1 ] ]", 1, "[[ 1 ]]");
}

#[test]
fn a_part_of_a_block() {
    let block = b"xx{\"a\":[1]}yy";
    let mut reader = Reader::of(Value::new(block, 2, 11, Kind::Object));
    let mut out = String::new();
    spelled(&mut reader, 9, &mut out);
    assert_eq!((out.as_str(), reader.is_complete()), ("{\"a\":[1]}", true));
}

#[test]
fn what_is_malformed_ends_it() {
    for text in ["", "[", "[1", "[1 2]", "{\"a\"", "{\"a\":", "{\"a\" 1}", "{1:2}", "{\"a\":1 \"b\":2}", "[\"a", "[\"a\\", "[1]]", "1 2", "[1,", "{\"a\":1,"] {
        for depth in [0, 9] {
            let mut reader = Reader::text(text.as_bytes());
            spelled(&mut reader, depth, &mut String::new());
            // At depth 0 only the brackets are looked at.
            let taken = depth == 0 && ["[1 2]", "{\"a\" 1}", "{1:2}", "{\"a\":1 \"b\":2}"].contains(&text);
            assert_eq!(reader.is_complete(), taken, "{text} at depth {depth}");
        }
    }
    let deep = "[".repeat(5000);
    assert!(!Reader::text(deep.as_bytes()).value().is_some());
}
