use super::*;

#[track_caller]
fn check(text: &str, want: Message<'_>) {
    assert_eq!(Message::parse(text), want, "{text:?}");
}

fn pri(priority: u8) -> Message<'static> {
    Message { facility: Some(priority / 8), severity: Some(priority % 8), ..Message::default() }
}

#[test]
fn rfc_5424_with_structured_data_and_a_byte_order_mark() {
    let sd = r#"[meta sequenceId="1"][x@32473 k="a\"b\]c\\d" k="\n"]"#;
    let text = format!("<165>1 2026-01-02T03:04:05.123Z host.example app 123 AUDIT {sd} \u{feff}ok é");
    check(
        &text,
        Message {
            timestamp: Some("2026-01-02T03:04:05.123Z"),
            hostname: Some("host.example"),
            app_name: Some("app"),
            proc_id: Some("123"),
            msg_id: Some("AUDIT"),
            structured_data: Some(sd),
            content: "ok é",
            version: Version::Rfc5424,
            ..pri(165)
        },
    );
    let parsed = elements(sd);
    assert_eq!(parsed[0], ("meta", vec![("sequenceId", "1".to_owned())]));
    assert_eq!(parsed[1], ("x@32473", vec![("k", "a\"b]c\\d".to_owned()), ("k", "\\n".to_owned())]));
}

#[test]
fn rfc_5424_with_nothing_but_nil_values() {
    check("<0>1 - - - - - -", Message { version: Version::Rfc5424, ..pri(0) });
    check("<0>1 - - - - - - text", Message { version: Version::Rfc5424, content: "text", ..pri(0) });
}

#[test]
fn rfc_3164_as_devices_send_it() {
    let base = Message { timestamp: Some("Oct  1 22:14:15"), version: Version::Rfc3164, ..pri(34) };
    let host = Message { hostname: Some("mymachine"), ..base.clone() };
    check("<34>Oct  1 22:14:15 mymachine su: failed for 'root'", Message { app_name: Some("su"), content: "failed for 'root'", ..host.clone() });
    check("<34>Oct  1 22:14:15 mymachine sshd[42]: in", Message { app_name: Some("sshd"), proc_id: Some("42"), content: "in", ..host.clone() });
    check("<34>Oct  1 22:14:15 mymachine no tag here", Message { content: "no tag here", ..host });
    check("<34>Oct  1 22:14:15 su: no host", Message { app_name: Some("su"), content: "no host", ..base });
    check(
        "<34>2026-01-02T03:04:05+01:00 fw01 CEF:0|a|b|1|x|y|3|",
        Message {
            timestamp: Some("2026-01-02T03:04:05+01:00"),
            hostname: Some("fw01"),
            app_name: Some("CEF"),
            content: "0|a|b|1|x|y|3|",
            version: Version::Rfc3164,
            ..pri(34)
        },
    );
}

#[test]
fn what_has_no_header_is_content() {
    check("plain text", Message { content: "plain text", ..Message::default() });
    check("<192>too high", Message { content: "<192>too high", ..Message::default() });
    check("<034>leading zero", Message { content: "<034>leading zero", ..Message::default() });
    check("<13>whatever", Message { content: "whatever", ..pri(13) });
    check("<13>1 bad-time h a p m - x", Message { content: "1 bad-time h a p m - x", ..pri(13) });
    check("<13>1 - h a p m [open x", Message { content: "1 - h a p m [open x", ..pri(13) });
    check("", Message::default());
}

#[test]
fn any_text_is_parsed_without_panic() {
    let seeds = ["<165>1 2026-01-02T03:04:05.123Z h a 1 M [m s=\"1\"] \u{feff}ok é", "<34>Oct  1 22:14:15 mymachine sshd[42]: in é"];
    for seed in seeds {
        for (at, _) in seed.char_indices() {
            for insert in ["", "é", "\"", "\\", "]", "[", " ", "\u{feff}", "<", ">"] {
                let text = format!("{}{insert}{}", &seed[..at], &seed[at..]);
                let message = Message::parse(&text);
                assert!(text.contains(message.content), "content is part of the message");
                message.structured_data.map(elements);
                Message::parse(&text[..at]);
            }
        }
    }
}
