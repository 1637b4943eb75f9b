use super::*;
use crate::batch::Events;
use crate::value::Kind;

/// Severity, time, receipt, host, source, process, type.
const PLACES: Places = Places { severity: Field(0), times: [Field(1), Field(2)], host: Field(3), source: Field(4), process: Field(5), kind: Field(6) };

fn header(hostname: Option<&str>, app_name: Option<&str>) -> Header {
    let severities = crate::config::read::<Severities>("{}").expect("defaults");
    Header::new(13, severities, hostname.map(str::to_owned), app_name.map(str::to_owned), PLACES).expect("fits")
}

/// Both forms for an event with these texts, an empty one for what is missing.
fn written(header: &Header, texts: [&str; 7]) -> (String, String) {
    let (mut block, mut spans) = (Vec::new(), Vec::new());
    for text in texts {
        spans.extend([block.len() as u32, text.len() as u32, if text.is_empty() { Kind::Missing } else { Kind::String } as u32]);
        block.extend_from_slice(text.as_bytes());
    }
    let event = Events::new(&block, &spans, 1, texts.len()).get(0);
    let (mut new, mut old) = (Writer::default(), Writer::default());
    header.rfc5424(&event, &mut new);
    header.rfc3164(&event, &mut old);
    header.tag(&event, &mut old);
    (String::from_utf8(new.into_bytes()).expect("text"), String::from_utf8(old.into_bytes()).expect("text"))
}

#[test]
fn both_forms() {
    let event = ["high", "2026-11-02T08:42:58.1234567Z", "", "mf-01", "/mainframe/copybook", "4711", "copybook.audit"];
    assert_eq!(
        written(&header(None, None), event),
        ("<107>1 2026-11-02T08:42:58.123456Z mf-01 copybook 4711 copybook.audit ".to_owned(), "<107>Nov  2 08:42:58 mf-01 copybook[4711]:".to_owned())
    );
    assert_eq!(
        written(&header(Some("relay"), Some("audit")), event),
        ("<107>1 2026-11-02T08:42:58.123456Z relay audit 4711 copybook.audit ".to_owned(), "<107>Nov  2 08:42:58 relay audit[4711]:".to_owned())
    );
}

#[test]
fn what_is_missing_and_what_does_not_fit() {
    assert_eq!(written(&header(None, None), [""; 7]), ("<110>1 - - - - - ".to_owned(), "<110>Jan  1 00:00:00 - bulkhead:".to_owned()));
    let received = ["none", "soon", "2026-01-31T23:59:59+01:00", "a b\u{7f}", "x/ö:c", "n: w", "é\n"];
    assert_eq!(
        written(&header(None, None), received),
        ("<110>1 2026-01-31T22:59:59Z a_b_ _:c n:_w __ ".to_owned(), "<110>Jan 31 22:59:59 a_b_ __c[n:_w]:".to_owned())
    );
    assert!(Header::new(0, crate::config::read("{}").expect("defaults"), Some("a b".to_owned()), None, PLACES).is_err());
}
