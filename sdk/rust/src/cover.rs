//! Fields for any number of pointers that a configuration names: what lies below another one is found within
//! it, and where they are more than can be asked for, whole attributes are.

use std::collections::BTreeSet;

use crate::batch::{Event, Field};
use crate::value::Value;

/// The contract's most fields of a batch.
pub(crate) const MOST: usize = 64;

/// The fields to ask for.
#[derive(Debug, Clone, Default)]
pub struct Cover {
    fields: Vec<String>,
}

/// Where a pointer's value is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    field: Field,
    /// Pointer within the field's value.
    rest: String,
}

impl Cover {
    /// Pointers as [`pointer::check`](crate::attributes::check) takes them.
    pub fn new<'p>(pointers: impl IntoIterator<Item = &'p str>) -> Self {
        let all: BTreeSet<&str> = pointers.into_iter().collect();
        let mut kept: BTreeSet<&str> = all.iter().copied().filter(|pointer| !above(pointer).any(|above| all.contains(above))).collect();
        if kept.len() > MOST {
            kept = kept.iter().map(|pointer| above(pointer).next().unwrap_or(pointer)).collect();
        }
        Self { fields: kept.into_iter().map(str::to_owned).collect() }
    }

    /// For `fields()`.
    pub fn fields(&self) -> Vec<&str> {
        self.fields.iter().map(String::as_str).collect()
    }

    /// The place of one of the pointers; nothing for others.
    pub fn place(&self, pointer: &str) -> Option<Place> {
        let find = |wanted: &str| self.fields.iter().position(|field| field == wanted).map(|at| Field(at as u16));
        let found = std::iter::once(pointer).chain(above(pointer)).find_map(|wanted| Some((find(wanted)?, wanted.len())));
        found.map(|(field, length)| Place { field, rest: pointer.get(length..).unwrap_or_default().to_owned() })
    }
}

impl Place {
    /// The value in this event; missing where it has none.
    pub fn get<'a>(&self, event: &Event<'a>) -> Value<'a> {
        let value = event.get(self.field);
        if self.rest.is_empty() { value } else { value.at(&self.rest) }
    }
}

/// `/a` and `/a/b` of `/a/b/c`.
fn above(pointer: &str) -> impl Iterator<Item = &str> {
    pointer.match_indices('/').skip(1).map(|(at, _)| pointer.get(..at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Events;

    #[test]
    fn what_lies_below_is_found_within() {
        let cover = Cover::new(["/data/a/b", "/id", "/data/a", "/data/ab", "/id"]);
        assert_eq!(cover.fields(), ["/data/a", "/data/ab", "/id"]);
        let block = br#"{"b":[1,"x"]}id"#;
        let spans = [0, 13, 7, 0, 0, 0, 13, 2, 4];
        let event = Events::new(block, &spans, 1, 3).get(0);
        for (pointer, want) in [("/data/a", &block[..13]), ("/data/a/b", br#"[1,"x"]"#), ("/data/a/b/1", b"x"), ("/data/ab", b""), ("/id", b"id")] {
            assert_eq!(cover.place(pointer).unwrap().get(&event).raw(), want, "{pointer}");
        }
        assert_eq!((cover.place("/data"), cover.place("/user")), (None, None));
    }

    #[test]
    fn too_many_become_whole_attributes() {
        let pointers: Vec<String> = (0..70).map(|n| format!("/data/f{n}")).chain(["/id".to_owned()]).collect();
        let cover = Cover::new(pointers.iter().map(String::as_str));
        assert_eq!(cover.fields(), ["/data", "/id"]);
        assert_eq!(cover.place("/data/f7"), Some(Place { field: Field(0), rest: "/f7".to_owned() }));
    }
}
