//! Shape 3: the data vault's CloudEvents. Types beyond its list (`unknown` among them) are taken as
//! they are; a strict listener wants the vault's own source and namespace.

use bulkhead_core::Shape;

use super::{Draft, cloudevents};
use crate::fields::Slot;
use crate::normalise::EventFault;

pub(crate) const SOURCE: &str = "llm-data-vault";
const NAMESPACE: &str = "llm.data-vault.";

pub(crate) fn fill(draft: &mut Draft<'_>) -> Result<Shape, EventFault> {
    cloudevents::fill(draft)?;
    let source = draft.get(Slot::Source).text(draft.text);
    draft.require(source.as_deref() == Some(SOURCE), Slot::Source, "/source", "llm-data-vault")?;
    let name = draft.get(Slot::Type).text(draft.text);
    let known = name.is_some_and(|name| name.starts_with(NAMESPACE) || name == "unknown");
    draft.require(known, Slot::Type, "/type", "a type below llm.data-vault.")?;
    Ok(Shape::Datavault)
}
