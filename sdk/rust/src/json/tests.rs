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

#[test]
fn strict_is_what_the_standard_says() {
    for good in ["{}", " [1, -0.5e+3, 0, 10E2] ", r#"{"a":{"b":[null,true,"x\n\u00e9"]},"c":""}"#, "\"é\"", "-0"] {
        assert!(is_strict(good), "{good}");
    }
    for bad in [
        "",
        "{",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "nul",
        "truee",
        "NaN",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "1null",
        "nullnull",
        "\"a\nb\"",
        r#""\x""#,
        r#""\u12""#,
        r#""\"#,
        r#"{"a\q":1}"#,
        "1 2",
        "[\"a]",
        "{]",
        "[}",
        r#"{"a":[1}}"#,
    ] {
        assert!(!is_strict(bad), "{bad}");
    }
    assert!(!is_strict(&("[".repeat(600) + &"]".repeat(600))));
}

/// What another reader takes is what we take, over texts that differ from good ones in a few letters.
#[test]
fn strict_agrees_with_serde() {
    let seeds = [r#"{"a":{"b":[null,true,"x\n\u00e9"]},"c":""}"#, "[1, -0.5e+3, 0, 10E2]", r#"[[],{},[{"k":"\"v\""}],false]"#];
    let letters = br#"{}[],:"\ 01-+.eEtfnul/ux"#;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as usize % limit
    };
    for _ in 0..40_000 {
        let mut text = seeds[below(seeds.len())].as_bytes().to_vec();
        for _ in 0..=below(3) {
            let at = below(text.len());
            match below(3) {
                0 => text[at] = letters[below(letters.len())],
                1 => text.insert(at, letters[below(letters.len())]),
                _ => drop(text.remove(at)),
            }
        }
        let text = String::from_utf8(text).unwrap();
        match serde_json::from_str::<serde_json::Value>(&text) {
            // It has no place for the number, and does not say what stands behind.
            Err(error) if error.to_string().starts_with("number out of range") => {}
            serde => assert_eq!(is_strict(&text), serde.is_ok(), "{text}"),
        }
    }
}

#[test]
fn walks_go_on_where_they_stood() {
    let text = r#"{"list":[1, [2], "3"],"b":4}"#;
    let object = value(text, Kind::Object);
    let mut members = object.members();
    let (_, list) = members.next().unwrap();
    let position = members.position();
    assert_eq!(object.members().resume(position).map(|(name, value)| (name.raw(), value.raw())).collect::<Vec<_>>(), [(&b"b"[..], &b"4"[..])]);
    let mut seen = Vec::new();
    let mut position = 0;
    loop {
        let mut elements = list.elements().resume(position);
        let Some(element) = elements.next() else { break };
        seen.push(element.raw());
        position = elements.position();
    }
    assert_eq!(seen, [&b"1"[..], b"[2]", b"3"]);
    assert_eq!(list.elements().resume(usize::MAX).count(), 0);
}
