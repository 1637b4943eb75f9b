use super::*;
use crate::ids::LaneId;

fn stored(original: &[u8], fill: impl FnOnce(&mut EventBuilder)) -> Vec<u8> {
    let mut builder = EventBuilder::new();
    builder.start();
    fill(&mut builder);
    let mut out = Vec::new();
    builder.finish(Shape::Plain, Some(Severity::High), 42, original, &mut out).expect("fits");
    out
}

#[test]
fn spans_reach_the_original_and_the_extra_bytes() {
    let original = br#"{"id":"a-1","user":"J\u00f6rg"}"#;
    let bytes = stored(original, |builder| {
        builder.span(Attr::User, Kind::EscapedString, 20..29);
        builder.span(Attr::Id, Kind::String, 7..10);
        builder.text(Attr::Type, "a\"b");
        builder.text(Attr::Source, "plain");
    });
    let event = EventRef::new(&bytes).expect("well formed");
    assert_eq!(event.attr(Attr::Id).and_then(|v| v.plain()), Some("a-1"));
    assert_eq!(event.attr(Attr::User).and_then(|v| v.text()).as_deref(), Some("Jörg"));
    assert_eq!(event.attr(Attr::Type).map(|v| (v.kind, v.raw)), Some((Kind::EscapedString, &br#"a\"b"#[..])));
    assert_eq!(event.attr(Attr::Source).and_then(|v| v.plain()), Some("plain"));
    assert_eq!(event.attr(Attr::Subject), None);
    assert_eq!((event.severity(), event.received(), event.original()), (Some(Severity::High), 42, &original[..]));
}

#[test]
fn a_later_value_replaces_an_earlier_one() {
    let bytes = stored(b"{}", |builder| {
        builder.text(Attr::Tenant, "from-body");
        builder.text(Attr::Tenant, "from-credential");
    });
    let event = EventRef::new(&bytes).expect("well formed");
    assert_eq!(event.attr(Attr::Tenant).and_then(|v| v.plain()), Some("from-credential"));
    assert_eq!(event.attrs().count(), 1);
}

#[test]
fn damaged_bytes_are_refused_not_read() {
    let bytes = stored(b"{}", |builder| builder.text(Attr::Id, "x"));
    for cut in 0..bytes.len() - 1 {
        let _ = EventRef::new(&bytes[..cut]).map(|event| event.attrs().map(|(_, _, range)| event.body()[range].len()).sum::<usize>());
    }
    assert_eq!(EventRef::new(&bytes[..10]).err(), Some(CorruptEvent("shorter than its header")));
    let mut far = bytes.clone();
    far[16] = 0xff;
    assert_eq!(EventRef::new(&far).err(), Some(CorruptEvent("table entry out of range")));
}

#[test]
fn a_copy_with_one_more_attribute_keeps_everything_else() {
    let original = br#"{"id":"a-1","user":"J\u00f6rg"}"#;
    let bytes = stored(original, |builder| {
        builder.span(Attr::User, Kind::EscapedString, 20..29);
        builder.span(Attr::Id, Kind::String, 7..10);
        builder.text(Attr::Type, "a.b");
    });
    let event = EventRef::new(&bytes).expect("well formed");
    assert_eq!(event.lane(), None);
    let mut builder = EventBuilder::new();
    builder.start_from(&event);
    builder.bind(&LaneId::new("siem", "cef"), Some(17));
    let mut out = Vec::new();
    builder.finish(event.shape(), event.severity(), 43, event.original(), &mut out).expect("fits");
    let copy = EventRef::new(&out).expect("well formed");
    assert_eq!((copy.lane(), copy.letter(), copy.received(), copy.original()), (Some("siem/cef"), Some(17), 43, &original[..]));
    for (attr, ..) in event.attrs() {
        assert_eq!(copy.attr(attr), event.attr(attr), "{attr:?}");
    }
    builder.start_from(&copy);
    builder.bind(&LaneId::new("siem", "json"), None);
    let mut again = Vec::new();
    builder.finish(copy.shape(), copy.severity(), 44, copy.original(), &mut again).expect("fits");
    let again = EventRef::new(&again).expect("well formed");
    assert_eq!((again.lane(), again.letter()), (Some("siem/json"), None), "replayed twice: the last lane counts");
}
