use super::*;

#[track_caller]
fn canonical(text: &str, want: &str) {
    let mut out = Vec::new();
    jcs(text, &[], &mut out).expect("JSON");
    assert_eq!(String::from_utf8(out).expect("UTF-8"), want);
}

/// RFC 8785 §3.2.2 and §3.2.3.
#[test]
fn the_examples_of_the_rfc() {
    canonical(
        r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]}"#,
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}",
    );
    canonical(
        r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}"#,
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
    );
}

/// RFC 8785, appendix B.
#[test]
fn numbers_are_written_as_ecmascript_does() {
    for (bits, want) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        assert_eq!(ecma(f64::from_bits(bits)), want);
    }
}

#[track_caller]
fn hashed(form: Form, text: &str, want: Option<&str>) {
    let bytes = form.bytes(text);
    assert_eq!(bytes.map(|bytes| String::from_utf8(bytes.into_owned()).expect("UTF-8")), want.map(str::to_owned));
}

#[test]
fn members_are_taken_as_they_stand() {
    let text = r#" {"a": {"n": 1.50 , "s":"x\u0041"}, "list": [1, {"b/c~d":[ ]}] }"#;
    hashed(Form::Member("/a".into()), text, Some(r#"{"n": 1.50 , "s":"x\u0041"}"#));
    hashed(Form::Member("/a/s".into()), text, Some("xA"));
    hashed(Form::Member("/list/1/b~1c~0d".into()), text, Some("[ ]"));
    hashed(Form::Member("/list/2".into()), text, None);
    hashed(Form::Member("/a/n/deeper".into()), text, None);
}

#[test]
fn templates_put_fields_into_text() {
    let text = r#"{"id":"e-1","n":1.50,"data":{"b": 2}}"#;
    hashed(Form::template("{/id}|{/n}|{/gone}|{/data}{{}}").expect("a template"), text, Some(r#"e-1|1.50||{"b": 2}{}"#));
    for wrong in ["{/a", "a}", "{a}", "{}", "{/a~2}"] {
        assert!(Form::template(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_canonical_form_leaves_out_what_it_is_told_to() {
    let text = r#"{"z":1,"hash":"aa","a":{"sig":"bb","k":true}}"#;
    let without = vec!["/hash".into(), "/a/sig".into(), "/not/there".into()];
    hashed(Form::Jcs { of: String::new(), without }, text, Some(r#"{"a":{"k":true},"z":1}"#));
    hashed(Form::Jcs { of: "/a".into(), without: vec!["/hash".into(), "/a/sig".into()] }, text, Some(r#"{"k":true}"#));
    hashed(Form::Jcs { of: "/a".into(), without: Vec::new() }, text, Some(r#"{"k":true,"sig":"bb"}"#));
    hashed(Form::Jcs { of: "/b".into(), without: Vec::new() }, text, None);
}

#[test]
fn what_is_no_json_has_no_canonical_form() {
    for wrong in ["", "{", "[1", "{\"a\" 1}", "{a:1}", "nul", "1e999", "\"open", "\"\\", "1 2"] {
        assert_eq!(jcs(wrong, &[], &mut Vec::new()), None, "{wrong}");
    }
    canonical(" [ ] ", "[]");
    canonical("{\"b\": {\"x\" : [ 1.0,{ } ]} , \"a\":-0}", "{\"a\":0,\"b\":{\"x\":[1,{}]}}");
}
