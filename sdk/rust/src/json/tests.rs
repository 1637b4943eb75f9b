use super::*;

#[track_caller]
fn check_decode(raw: &str, want: &str) {
    let mut out = Vec::new();
    decode(raw.as_bytes(), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), want, "{raw}");
}

#[test]
fn strings_are_decoded() {
    check_decode("", "");
    check_decode("plain é", "plain é");
    check_decode(r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t");
    check_decode(r"\u00e9\u0000x", "é\0x");
    check_decode(r"\ud83e\udd80!", "🦀!");
}

#[test]
fn malformed_escapes_never_panic() {
    check_decode(r"\ud83e", "\u{fffd}");
    check_decode(r"\ud83e\u0041", "\u{fffd}A");
    check_decode(r"\udd80\ud83e", "\u{fffd}\u{fffd}");
    check_decode(r"\u12", "\u{fffd}12");
    check_decode(r"\q", "\u{fffd}");
    check_decode("a\\", "a");
}

fn value(json: &str, kind: Kind) -> Value<'_> {
    Value::new(json.as_bytes(), 0, json.len(), kind)
}

fn spell(value: Value<'_>) -> String {
    format!("{:?}:{}", value.kind(), String::from_utf8_lossy(value.raw()))
}

#[test]
fn elements_of_arrays() {
    for (json, want) in [
        ("[]", vec![]),
        ("[ ]", vec![]),
        (
            r#"["a", "b\n" ,1.50,true,null,[1,"]"],{"x":"}"}]"#,
            vec!["String:a", "EscapedString:b\\n", "Number:1.50", "Bool:true", "Null:null", "Array:[1,\"]\"]", "Object:{\"x\":\"}\"}"],
        ),
        ("[1", vec![]),
        ("[1 2]", vec!["Number:1"]),
        ("[\"a]", vec![]),
        ("[\"a\\]", vec![]),
        ("[[[]", vec![]),
    ] {
        assert_eq!(value(json, Kind::Array).elements().map(spell).collect::<Vec<_>>(), want, "{json}");
    }
    assert_eq!(value("{}", Kind::Object).elements().count(), 0);
    assert_eq!(Value::MISSING.elements().count(), 0);
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    assert_eq!(value(&deep, Kind::Array).elements().count(), 0);
}

#[test]
fn members_of_objects() {
    for (json, want) in [
        ("{}", vec![]),
        (r#"{"a":1,"b" : "x", "c":{"d":[]}}"#, vec![("a", "Number:1"), ("b", "String:x"), ("c", "Object:{\"d\":[]}")]),
        (r#"{"a"1}"#, vec![]),
        (r#"{1:2}"#, vec![]),
    ] {
        let got: Vec<_> = value(json, Kind::Object).members().map(|(name, value)| (String::from_utf8_lossy(name.raw()).into_owned(), spell(value))).collect();
        let want: Vec<_> = want.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(got, want, "{json}");
    }
}
