//! Shape 2: the intelliguard event. Required: `id`, `timestamp`, `event`.

use bulkhead_core::{Attr, Kind, Shape};

use super::Draft;
use crate::fields::Slot;
use crate::normalise::EventFault;

/// What the events of this shape name as their source: their own `source` is an address.
const SOURCE: &str = "intelliguard";

pub(crate) fn fill(draft: &mut Draft<'_>) -> Result<Shape, EventFault> {
    let taken = draft.string(Attr::Id, draft.get(Slot::Id));
    draft.require(taken, Slot::Id, "/id", "a string that is not empty")?;
    let taken = draft.time(draft.get(Slot::Timestamp));
    draft.require(taken, Slot::Timestamp, "/timestamp", "a time as RFC 3339 writes it")?;
    draft.require(draft.get(Slot::Event).kind == Kind::Object, Slot::Event, "/event", "an object")?;
    let taken = draft.string(Attr::Type, draft.get(Slot::EventKind));
    draft.require(taken, Slot::EventKind, "/event/type", "a string that is not empty")?;
    let taken = draft.severity(draft.get(Slot::EventSeverity));
    draft.allow(taken, Slot::EventSeverity, "/event/severity", "one of low, medium, high, critical")?;
    for (attr, slot, pointer) in [
        (Attr::Category, Slot::EventCategory, "/event/category"),
        (Attr::Action, Slot::EventAction, "/event/action"),
        (Attr::Outcome, Slot::EventOutcome, "/event/outcome"),
        (Attr::SrcIp, Slot::SourceIp, "/source/ip"),
        (Attr::Host, Slot::SourceHostname, "/source/hostname"),
        (Attr::User, Slot::SourceUser, "/source/user"),
        (Attr::DstIp, Slot::DestinationIp, "/destination/ip"),
    ] {
        let taken = draft.string(attr, draft.get(slot));
        draft.allow(taken, slot, pointer, "a string that is not empty")?;
    }
    let taken = draft.string_or_number(Attr::DstPort, draft.get(Slot::DestinationPort));
    draft.allow(taken, Slot::DestinationPort, "/destination/port", "a number")?;
    let taken = draft.metadata(draft.get(Slot::Metadata));
    draft.allow(taken, Slot::Metadata, "/metadata", "an object")?;
    draft.builder.raw(Attr::Source, Kind::String, SOURCE.as_bytes());
    Ok(Shape::Intelliguard)
}
