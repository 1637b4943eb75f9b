//! Events of intelliguard: who did what from where to where, and what is known about the source.

use bulkhead_sdk::{Event, Value, Writer};

use crate::extension::Pairs;
use crate::header::Header;
use crate::{Cef, common, field};

pub fn write(cef: &Cef, event: &Event<'_>, out: &mut Writer) {
    let kind = event.get(field::GUARD_TYPE).or(Value::plain_text("event"));
    Header {
        vendor: Cef::choose(&cef.settings.device_vendor, event.get(field::GUARD_VENDOR), "Bulkhead"),
        product: Cef::choose(&cef.settings.device_product, event.get(field::GUARD_PRODUCT).or(event.get(field::SOURCE)), "Audit Events"),
        version: event.get(field::GUARD_VERSION).or(Value::plain_text(&cef.settings.device_version)),
        class_id: kind,
        name: event.get(field::ACTION).or(kind),
        severity: cef.severity(event),
    }
    .write(out);

    let mut pairs = Pairs::new(out);
    common(event, &mut pairs);
    let source_host = event.get(field::SOURCE_HOST);
    pairs.source_address(event.get(field::SRC_IP), !source_host.is_some());
    pairs.text(b"shost=", source_host, 1023);
    // CEF wants MAC addresses with colons, as the events have them.
    pairs.text(b"smac=", event.get(field::SOURCE_MAC), 17);
    pairs.destination_address(event.get(field::DST_IP));
    pairs.integer(b"dpt=", event.get(field::DST_PORT), 32);
    pairs.text(b"destinationServiceName=", event.get(field::SERVICE), 1023);
    pairs.text(b"cat=", event.get(field::CATEGORY), 1023);
    pairs.text(b"act=", event.get(field::ACTION), 63);
    pairs.text(b"outcome=", event.get(field::OUTCOME), 63);
    if pairs.integer(b"cn1=", event.get(field::CONFIDENCE), 64) {
        pairs.label(b"cn1Label=Threat Confidence");
    }
    if pairs.text(b"cs1=", event.get(field::REPUTATION), 4000) {
        pairs.label(b"cs1Label=Threat Reputation");
    }
    if pairs.text(b"cs2=", event.get(field::COUNTRY), 4000) {
        pairs.label(b"cs2Label=Source Country");
    }
    pairs.text(b"externalId=", event.get(field::ID), 40);
    pairs.finish();
}
