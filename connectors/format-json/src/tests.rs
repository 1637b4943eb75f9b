use bulkhead_sdk::native::{self, EventText};

use super::*;
use crate::shape::MEMBERS;

fn line(event: &str) -> String {
    native::formatter::<Json>("").unwrap().line(&EventText::new(event)).unwrap()
}

#[test]
fn attributes_in_their_order_then_the_payload() {
    let event = r#"{"data":{"b":1,"a":[true,null]},"severity":"high","id":"1","metadata":{"team":"x"},"compliance":["sox"],"dstport":443,"subject":null}"#;
    assert_eq!(
        line(event),
        r#"{"id":"1","subject":null,"severity":"high","compliance":["sox"],"dstport":443,"metadata":{"team":"x"},"data":{"b":1,"a":[true,null]}}"#
    );
    assert_eq!(line("{}"), "{}");
}

#[test]
fn every_attribute_goes_through_unchanged() {
    let members: Vec<String> = MEMBERS.iter().enumerate().map(|(i, (pointer, _))| format!("\"{}\":\"v{i}\"", &pointer[1..])).collect();
    let event = format!("{{{}}}", members.join(","));
    assert_eq!(line(&event), event);
}

#[test]
fn bytes_of_spans_are_copied_not_read() {
    // What the host hands over, with digits, escapes and spaces that a parser would change.
    let block = br#"a\u0041{ "n" : 1.5000e+02,"x":12345678901234567890 }"#;
    let mut spans = vec![0; 3 * MEMBERS.len()];
    spans[..3].copy_from_slice(&[0, 7, 5]);
    spans[30 * 3..31 * 3].copy_from_slice(&[7, block.len() as u32 - 7, 7]);
    let made = native::formatter::<Json>("{}").unwrap().format(1, block, &spans);
    assert_eq!(std::str::from_utf8(&made.block).unwrap(), r#"{"id":"a\u0041","data":{ "n" : 1.5000e+02,"x":12345678901234567890 }}"#);
    assert_eq!(made.offsets, [0, made.block.len() as u32]);
}

#[test]
fn spans_outside_the_block_read_as_missing() {
    let spans: Vec<u32> = (0..MEMBERS.len()).flat_map(|_| [u32::MAX, u32::MAX, 4]).collect();
    let made = native::formatter::<Json>("").unwrap().format(2, b"x", &spans);
    assert_eq!((made.block.as_slice(), made.offsets.as_slice()), (&b"{}{}"[..], &[0, 2, 4][..]));
}

#[test]
fn there_is_nothing_to_configure() {
    assert!(native::formatter::<Json>(r#"{"pretty":true}"#).unwrap_err().contains("`pretty` is unknown; there is nothing to configure"));
}
