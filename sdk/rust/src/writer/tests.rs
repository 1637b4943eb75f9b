use super::*;

struct Pipe;
impl Escape for Pipe {
    const BELOW: u8 = 0;
    const BYTES: [u8; 3] = [b'|'; 3];
    fn write(byte: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(&[b'\\', byte]);
    }
}

fn written(write: impl FnOnce(&mut Writer)) -> String {
    let mut writer = Writer::default();
    writer.literal(b"<");
    write(&mut writer);
    writer.literal(b">");
    String::from_utf8(writer.into_bytes()).unwrap()
}

/// Every length and every place in the block: over-reads must never show.
#[test]
fn copies_of_every_length_are_exact() {
    let block: Vec<u8> = (0..400_u32).map(|i| b'a' + (i % 26) as u8).collect();
    for length in (0..80).chain([191, 192, 193, 300]) {
        for start in [0, 1, 15, 16, 17, 400 - length] {
            let (start, end) = (start.min(400 - length), start.min(400 - length) + length);
            let value = Value::new(&block, start, end, Kind::String);
            let want = String::from_utf8(block[start..end].to_vec()).unwrap();
            assert_eq!(written(|out| out.raw(value)), format!("<{want}>"));
            assert_eq!(written(|out| out.bytes(&block[start..end])), format!("<{want}>"));
            assert_eq!(written(|out| out.escaped_text::<Pipe>(value, 1000)), format!("<{want}>"));
        }
    }
}

#[test]
fn escapes_at_every_place() {
    for length in 1..40 {
        for special in 0..length {
            let mut text = vec![b'x'; length];
            text[special] = b'|';
            // A special byte behind the value lies in the same 16 bytes and must not matter.
            let mut block = text.clone();
            block.extend_from_slice(b"||||||||||||||||||");
            let want = String::from_utf8(text.clone()).unwrap().replace('|', "\\|");
            assert_eq!(written(|out| out.escaped_text::<Pipe>(Value::new(&block, 0, length, Kind::String), 1000)), format!("<{want}>"));
            // And with nothing behind it.
            assert_eq!(written(|out| out.escaped::<Pipe>(&text)), format!("<{want}>"));
        }
    }
}

#[test]
fn cuts_before_escaping_and_never_inside_a_character() {
    for (text, limit, want) in [("a|b", 2, "<a\\|>"), ("aé", 2, "<a>"), ("aé", 3, "<aé>"), ("🦀", 3, "<>"), ("", 0, "<>")] {
        let block = text.as_bytes();
        assert_eq!(written(|out| out.escaped_text::<Pipe>(Value::new(block, 0, block.len(), Kind::String), limit)), want, "{text} cut to {limit}");
    }
    let escaped = br"a\u007cb";
    assert_eq!(written(|out| out.escaped_text::<Pipe>(Value::new(escaped, 0, escaped.len(), Kind::EscapedString), 2)), "<a\\|>");
}

#[test]
fn json_of_every_kind() {
    for (kind, raw, json, text) in [
        (Kind::String, "plain", "\"plain\"", "\"plain\""),
        (Kind::EscapedString, r"a\n\u00e9", r#""a\n\u00e9""#, r#""a\n\u00e9""#),
        (Kind::Number, "1.50e3", "1.50e3", "\"1.50e3\""),
        (Kind::Bool, "true", "true", "\"true\""),
        (Kind::Null, "null", "null", "\"null\""),
        (Kind::Array, "[\"a\"]", "[\"a\"]", r#""[\"a\"]""#),
        (Kind::Object, "{\n}", "{\n}", r#""{\n}""#),
    ] {
        let value = Value::new(raw.as_bytes(), 0, raw.len(), kind);
        assert_eq!(written(|out| out.json(value)), format!("<{json}>"));
        assert_eq!(written(|out| out.json_text(value)), format!("<{text}>"));
    }
    let lines = "{\r\n \"a\\n\": 1\n}";
    let value = Value::new(lines.as_bytes(), 0, lines.len(), Kind::Object);
    assert_eq!(written(|out| out.json_line(value)), "<{   \"a\\n\": 1 }>");
    assert_eq!(written(|out| out.json_line_text(value)), r#"<"{   \"a\\n\": 1 }">"#);
    assert_eq!(written(|out| out.json_line_text(Value::plain_text("x"))), "<\"x\">");
}

#[test]
fn json_strings_from_hostile_bytes() {
    for (text, want) in [(&b"a\"b\\c\n\x00\x1f"[..], r#"<"a\"b\\c\n\u0000\u001f">"#), (b"\xff", "<\"\u{fffd}\">"), (b"", "<\"\">")] {
        assert_eq!(written(|out| out.json_string(text)), want);
    }
}

#[test]
fn numbers() {
    for number in [0, 9, 10, -1, i64::MAX, i64::MIN] {
        assert_eq!(written(|out| out.number(number)), format!("<{number}>"));
    }
    assert_eq!(written(|out| out.unsigned(u64::MAX)), format!("<{}>", u64::MAX));
}

#[test]
fn text_beyond_ascii_is_seen_at_every_place() {
    for length in 0..40 {
        let text = vec![b'x'; length];
        assert!(scan::is_ascii(&text));
        for place in 0..length {
            let mut text = text.clone();
            text[place] = 0x80;
            assert!(!scan::is_ascii(&text), "{place} of {length}");
        }
    }
}

#[test]
fn the_first_special_byte_is_found_at_every_place() {
    for length in 0..40 {
        let text = vec![b'x'; length];
        assert_eq!(scan::quiet::<Pipe>(&text), length);
        for place in 0..length {
            let mut text = text.clone();
            text[place..].fill(b'|');
            assert_eq!(scan::quiet::<Pipe>(&text), place, "of {length}");
        }
    }
}

#[test]
fn heads_are_put_where_one_byte_was_left() {
    let with = |head: &'static [u8]| {
        written(|out| {
            let place = out.len();
            out.literal(b"_inside");
            out.set_head(place, head);
            out.set_head(out.len(), b"never");
        })
    };
    assert_eq!((with(b"1").as_str(), with(b"123").as_str(), with(b"").as_str()), ("<1inside>", "<123inside>", "<inside>"));
}
