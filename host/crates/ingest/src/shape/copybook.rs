//! Shape 1: the copybook audit event. Its type becomes `copybook.` and snake case, its
//! classification and compliance profiles snake case; the native spellings stay in `data`.

use bulkhead_core::{Attr, Kind, Shape};

use super::Draft;
use crate::fields::Slot;
use crate::normalise::EventFault;

/// What the events of this shape name as their source: they carry none.
const SOURCE: &str = "copybook";

pub(crate) fn fill(draft: &mut Draft<'_>) -> Result<Shape, EventFault> {
    let taken = draft.string(Attr::Id, draft.get(Slot::EventId));
    draft.require(taken, Slot::EventId, "/event_id", "a string that is not empty")?;
    let taken = draft.time(draft.get(Slot::Timestamp));
    draft.require(taken, Slot::Timestamp, "/timestamp", "a time as RFC 3339 writes it")?;
    let taken = draft.name(Attr::Type, "copybook.", draft.get(Slot::EventType));
    draft.require(taken, Slot::EventType, "/event_type", "a string that is not empty")?;
    let taken = draft.severity(draft.get(Slot::Severity));
    draft.require(taken, Slot::Severity, "/severity", "one of Info, Low, Medium, High, Critical")?;
    let taken = draft.string(Attr::IntegrityHash, draft.get(Slot::IntegrityHash));
    draft.require(taken, Slot::IntegrityHash, "/integrity_hash", "a string that is not empty")?;
    for (attr, slot, pointer) in [(Attr::PreviousHash, Slot::PreviousHash, "/previous_hash"), (Attr::Signature, Slot::DigitalSignature, "/digital_signature")] {
        let taken = draft.string(attr, draft.get(slot));
        draft.allow(taken, slot, pointer, "a string that is not empty")?;
    }
    draft.require(draft.get(Slot::Payload).kind != Kind::Missing, Slot::Payload, "/payload", "the payload of the event's type")?;
    context(draft)?;
    draft.builder.raw(Attr::Source, Kind::String, SOURCE.as_bytes());
    Ok(Shape::Copybook)
}

fn context(draft: &mut Draft<'_>) -> Result<(), EventFault> {
    for (slot, pointer) in [(Slot::Context, "/context"), (Slot::ContextEnvironment, "/context/environment"), (Slot::ContextSecurity, "/context/security")] {
        draft.require(draft.get(slot).kind == Kind::Object, slot, pointer, "an object")?;
    }
    let taken = draft.string(Attr::Operation, draft.get(Slot::ContextOperationId));
    draft.require(taken, Slot::ContextOperationId, "/context/operation_id", "a string that is not empty")?;
    draft.require(draft.get(Slot::ContextStarted).is_text(), Slot::ContextStarted, "/context/started_at", "a time as RFC 3339 writes it")?;
    let taken = draft.string(Attr::Host, draft.get(Slot::EnvironmentHostname));
    draft.require(taken, Slot::EnvironmentHostname, "/context/environment/hostname", "a string that is not empty")?;
    let taken = draft.string_or_number(Attr::Process, draft.get(Slot::EnvironmentProcess));
    draft.require(taken, Slot::EnvironmentProcess, "/context/environment/process_id", "a number or a string")?;
    let taken = draft.name(Attr::Classification, "", draft.get(Slot::SecurityClassification));
    draft.allow(taken, Slot::SecurityClassification, "/context/security/classification", "a string")?;
    let taken = draft.compliance(draft.get(Slot::ContextCompliance));
    draft.require(taken, Slot::ContextCompliance, "/context/compliance_profiles", "an array of strings")?;
    let taken = draft.metadata(draft.get(Slot::ContextMetadata));
    draft.require(taken, Slot::ContextMetadata, "/context/metadata", "an object")?;
    for (attr, slot, pointer) in
        [(Attr::ParentOperation, Slot::ContextParent, "/context/parent_operation_id"), (Attr::User, Slot::ContextUser, "/context/user")]
    {
        let taken = draft.string(attr, draft.get(slot));
        draft.allow(taken, slot, pointer, "a string that is not empty")?;
    }
    Ok(())
}
