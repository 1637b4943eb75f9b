//! Tags, with parts from the event: `audit.{/severity}.{/metadata/team}`.

use bulkhead_sdk::{Event, Field, Pointers};

/// Longest part that an event gives.
const PART: usize = 64;

#[derive(Debug)]
pub struct Tag(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Value(Field),
}

impl Tag {
    pub fn parse(text: &str, pointers: &mut Pointers) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let (pointer, after) = behind.split_once('}').ok_or_else(|| format!("`tag` is \"{text}\": {{ without }}"))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Value(pointers.add("tag", pointer)?));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let fixed = pieces.iter().all(|piece| match piece {
            Piece::Text(text) => text.bytes().all(|byte| (33..=126).contains(&byte) && byte != b'}'),
            Piece::Value(_) => true,
        });
        if !fixed || text.is_empty() {
            return Err(format!("`tag` is \"{text}\"; it is printable ASCII without spaces, with pointers in braces, such as audit.{{/severity}}"));
        }
        Ok(Self(pieces))
    }

    /// The tag of an event. What a receiver would take for a part of its own (a dot) or not take at all becomes
    /// `_`; what the event does not have is `none`.
    pub fn of(&self, event: &Event<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(field) => {
                    let value = event.get(*field).text().unwrap_or_default();
                    let start = out.len();
                    // Bytes that continue a UTF-8 character are skipped: the first one has its `_`.
                    let letters = value.iter().filter(|byte| **byte & 0xc0 != 0x80).take(PART);
                    out.extend(letters.map(|byte| if byte.is_ascii_alphanumeric() || *byte == b'-' { char::from(*byte) } else { '_' }));
                    if out.len() == start {
                        out.push_str("none");
                    }
                }
            }
        }
        out
    }
}
