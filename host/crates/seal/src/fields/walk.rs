//! Finds the places that a path names in text that was validated before.

use std::borrow::Cow;
use std::ops::Range;

use bulkhead_core::json::{decode_string, skip_space, skip_value};

use super::MOST_PLACES;
use super::rules::Token;

/// Appends the place of every value that the path names below the value at `at`, strings with their
/// quotes. `lenient`: a string that stands on the way is what is looked for, since it may hold as text
/// what the path leads to.
pub(super) fn find(text: &[u8], at: usize, end: usize, path: &[Token], lenient: bool, out: &mut Vec<Range<usize>>) {
    if let Some(text) = text.get(..end) {
        let _ended_early = descend(text, at, path, lenient, out);
    }
}

/// The same from the root of a document, along names and then a path.
pub(super) fn find_below(text: &[u8], document: &Range<usize>, names: &[&str], path: &[Token], lenient: bool, out: &mut Vec<Range<usize>>) {
    let whole: Vec<Token> = names.iter().map(|name| Token::Name((*name).into())).chain(path.iter().cloned()).collect();
    find(text, document.start, document.end, &whole, lenient, out);
}

/// Names of an object's members, decoded.
pub(super) fn names(text: &[u8], object: &Range<usize>) -> Vec<String> {
    let mut names = Vec::new();
    let _ended_early = members(&text[..object.end], object.start, &mut |name, _| {
        names.push(name.into_owned());
        Some(())
    });
    names
}

fn descend(text: &[u8], at: usize, path: &[Token], lenient: bool, out: &mut Vec<Range<usize>>) -> Option<()> {
    let at = skip_space(text, at);
    let Some((first, rest)) = path.split_first() else {
        return place(text, at, out);
    };
    match text.get(at)? {
        b'{' => members(text, at, &mut |name, value| if first.is(&name) { descend(text, value, rest, lenient, out) } else { Some(()) }),
        b'[' => {
            let wanted = first.index();
            let mut pos = skip_space(text, at + 1);
            let mut index = 0;
            while text.get(pos)? != &b']' {
                if *first == Token::Any || wanted == Some(index) {
                    descend(text, pos, rest, lenient, out)?;
                }
                pos = skip_space(text, skip_value(text, pos)?.end);
                if text.get(pos)? == &b',' {
                    pos = skip_space(text, pos + 1);
                }
                index += 1;
            }
            Some(())
        }
        b'"' if lenient => place(text, at, out),
        _ => Some(()),
    }
}

/// Takes the value at `at`; nothing more once there are too many.
fn place(text: &[u8], at: usize, out: &mut Vec<Range<usize>>) -> Option<()> {
    out.push(at..skip_value(text, at)?.end);
    (out.len() <= MOST_PLACES).then_some(())
}

/// Calls `each` with the name of each member and the place of its value.
fn members(text: &[u8], object: usize, each: &mut dyn FnMut(Cow<'_, str>, usize) -> Option<()>) -> Option<()> {
    let mut pos = skip_space(text, object + 1);
    while text.get(pos)? == &b'"' {
        let key = skip_value(text, pos)?;
        let raw = text.get(key.span.clone())?;
        let value = skip_space(text, skip_space(text, key.end) + 1);
        let name = if raw.contains(&b'\\') { decode_string(raw)?.into() } else { String::from_utf8_lossy(raw) };
        each(name, value)?;
        pos = skip_space(text, skip_value(text, value)?.end);
        if text.get(pos)? == &b',' {
            pos = skip_space(text, pos + 1);
        }
    }
    Some(())
}

impl Token {
    pub(super) fn is(&self, name: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Any => true,
        }
    }

    /// The token as the index of an array (RFC 6901 §4: no needless zeros).
    fn index(&self) -> Option<usize> {
        let Self::Name(name) = self else { return None };
        let canonical = name == "0" || (name.bytes().all(|byte| byte.is_ascii_digit()) && !name.starts_with('0'));
        if canonical { name.parse().ok() } else { None }
    }
}
