//! Every other event, by its core attributes.

use bulkhead_sdk::{Event, Value, Writer};

use crate::extension::Pairs;
use crate::header::Header;
use crate::{Cef, common, field};

pub fn write(cef: &Cef, event: &Event<'_>, out: &mut Writer) {
    let kind = event.get(field::TYPE).or(Value::plain_text("event"));
    Header {
        vendor: Cef::choose(&cef.settings.device_vendor, Value::MISSING, "Bulkhead"),
        product: Cef::choose(&cef.settings.device_product, event.get(field::SOURCE), "Audit Events"),
        version: Value::plain_text(&cef.settings.device_version),
        class_id: kind,
        name: kind,
        severity: cef.severity(event),
    }
    .write(out);

    let mut pairs = Pairs::new(out);
    common(event, &mut pairs);
    pairs.process(event.get(field::PROCESS));
    pairs.source_address(event.get(field::SRC_IP), true);
    pairs.destination_address(event.get(field::DST_IP));
    pairs.integer(b"dpt=", event.get(field::DST_PORT), 32);
    pairs.text(b"sourceServiceName=", event.get(field::SOURCE), 1023);
    pairs.text(b"cat=", event.get(field::CATEGORY), 1023);
    pairs.text(b"act=", event.get(field::ACTION), 63);
    pairs.text(b"outcome=", event.get(field::OUTCOME), 63);
    if pairs.text(b"cs2=", event.get(field::CLASSIFICATION), 4000) {
        pairs.label(b"cs2Label=Data Classification");
    }
    if pairs.list(b"cs3=", event.get(field::COMPLIANCE), 4000) {
        pairs.label(b"cs3Label=Active Compliance Profiles");
    }
    if pairs.text(b"cs4=", event.get(field::INTEGRITY_HASH), 4000) {
        pairs.label(b"cs4Label=Integrity Hash");
    }
    if pairs.text(b"cs5=", event.get(field::PREVIOUS_HASH), 4000) {
        pairs.label(b"cs5Label=Previous Hash");
    }
    if pairs.text(b"cs6=", event.get(field::SUBJECT), 4000) {
        pairs.label(b"cs6Label=Subject");
    }
    pairs.text(b"externalId=", event.get(field::ID), 40);
    if pairs.text(b"flexString1=", event.get(field::OPERATION), 1023) {
        pairs.label(b"flexString1Label=Operation Id");
    }
    let message = event.get(field::MESSAGE).or(event.get(field::MSG));
    if message.is_string() {
        pairs.text(b"msg=", message, 1023);
    }
    pairs.finish();
}
