//! Walks one level of a JSON array or object that was validated at intake, without a tree. Text that is
//! no JSON after all ends the walk; nothing here can fail or panic.

use std::borrow::Cow;

use bulkhead_core::Kind;
use bulkhead_core::json::skip_value;

/// A scalar as it lies in the text; strings without their quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Scalar<'a> {
    /// The bytes of the text, decoded only where there are escapes.
    pub(crate) fn bytes(self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        bulkhead_core::json::decode_string(self.raw).map_or(Cow::Borrowed(self.raw), |text| Cow::Owned(text.into_bytes()))
    }
}

/// The scalars of an array, in order; containers within are passed over.
pub(crate) fn scalars(array: &[u8]) -> impl Iterator<Item = Scalar<'_>> {
    let mut rest = inside(array, b'[');
    std::iter::from_fn(move || {
        loop {
            let (item, after) = value(rest)?;
            rest = after;
            if item.is_some() {
                return item;
            }
        }
    })
}

/// The value of a key where it is a scalar; of duplicate keys the first.
pub(crate) fn member<'a>(object: &'a [u8], key: &[u8]) -> Option<Scalar<'a>> {
    let mut rest = inside(object, b'{');
    loop {
        let (name, after) = value(rest)?;
        let after = trim(after).strip_prefix(b":")?;
        let (found, after) = value(after)?;
        if name?.bytes().as_ref() == key {
            return found;
        }
        rest = after;
    }
}

fn inside(text: &[u8], open: u8) -> &[u8] {
    match trim(text) {
        [first, rest @ ..] if *first == open => rest,
        _ => &[],
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let at = text.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',')).unwrap_or(text.len());
    &text[at..]
}

/// The next value (`None` inside for a container) and what follows it.
fn value(text: &[u8]) -> Option<(Option<Scalar<'_>>, &[u8])> {
    let text = trim(text);
    let skipped = skip_value(text, 0)?;
    let scalar = Scalar { raw: &text[skipped.span], escaped: skipped.kind == Kind::EscapedString };
    let container = matches!(skipped.kind, Kind::Array | Kind::Object);
    Some(((!container).then_some(scalar), text.get(skipped.end..)?))
}

#[cfg(test)]
mod tests;
