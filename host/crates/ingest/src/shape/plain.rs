//! Shape 5: any other JSON object. Well-known names fill attributes where they have the right type;
//! the first name that fits wins. Nothing is required.

use bulkhead_core::{Attr, Shape};

use super::Draft;
use crate::fields::Slot;
use crate::normalise::EventFault;

pub(crate) fn fill(draft: &mut Draft<'_>) -> Result<Shape, EventFault> {
    for (attr, slots) in [
        (Attr::Id, &[Slot::Id, Slot::EventId][..]),
        (Attr::Type, &[Slot::EventType, Slot::Type]),
        (Attr::User, &[Slot::User]),
        (Attr::Host, &[Slot::Hostname, Slot::Host]),
        (Attr::Operation, &[Slot::OperationId]),
        (Attr::Source, &[Slot::Source]),
        (Attr::TraceParent, &[Slot::TraceParent]),
    ] {
        let _first = slots.iter().any(|slot| draft.string(attr, draft.get(*slot)));
    }
    let _first = [Slot::Timestamp, Slot::Time, Slot::AtTimestamp].into_iter().any(|slot| draft.time(draft.get(slot)));
    let _first = [Slot::Severity, Slot::Level].into_iter().any(|slot| draft.severity(draft.get(slot)));
    draft.name(Attr::Classification, "", draft.get(Slot::Classification));
    draft.compliance(draft.get(Slot::ComplianceProfiles));
    draft.metadata(draft.get(Slot::Metadata));
    Ok(Shape::Plain)
}
