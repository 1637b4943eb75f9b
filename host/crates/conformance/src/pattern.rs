//! Bytes as cases write them: text with `\n`, `\r`, `\t`, `\\` and `\xNN`, `\{n}` for any n bytes, and in answers
//! `\1` to `\9` for what the first to ninth of those were.

use anyhow::{Context as _, Result, bail, ensure};

#[derive(Debug, Clone)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    Any(usize),
    Same(usize),
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            let escape = rest[at + 1..].chars().next().with_context(|| format!("{text}: ends in a backslash"))?;
            rest = &rest[at + 1 + escape.len_utf8()..];
            let piece = match escape {
                'n' => push(&mut bytes, b'\n'),
                'r' => push(&mut bytes, b'\r'),
                't' => push(&mut bytes, b'\t'),
                '\\' => push(&mut bytes, b'\\'),
                'x' => {
                    let digits = rest.get(..2).with_context(|| format!("{text}: \\x is followed by two digits"))?;
                    rest = &rest[2..];
                    push(&mut bytes, u8::from_str_radix(digits, 16).with_context(|| format!("{text}: \\x{digits}"))?)
                }
                '{' => {
                    let (count, behind) = rest.split_once('}').with_context(|| format!("{text}: \\{{ without its }}"))?;
                    rest = behind;
                    Some(Piece::Any(count.parse().with_context(|| format!("{text}: \\{{{count}}}"))?))
                }
                '1'..='9' => Some(Piece::Same(escape as usize - '1' as usize)),
                other => bail!("{text}: \\{other} is none of \\n \\r \\t \\\\ \\xNN \\{{n}} \\1"),
            };
            if let Some(piece) = piece {
                pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                pieces.push(piece);
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        pieces.push(Piece::Bytes(bytes));
        pieces.retain(|piece| *piece != Piece::Bytes(Vec::new()));
        ensure!(!pieces.is_empty(), "no bytes");
        Ok(Self(pieces))
    }

    /// How many bytes it takes at the start, and what the places for any bytes held.
    fn begins<'a>(&self, bytes: &'a [u8]) -> Option<(usize, Vec<&'a [u8]>)> {
        let (mut at, mut held) = (0, Vec::new());
        for piece in &self.0 {
            match piece {
                Piece::Bytes(want) => {
                    bytes.get(at..)?.starts_with(want).then_some(())?;
                    at += want.len();
                }
                Piece::Any(count) => {
                    held.push(bytes.get(at..at + count)?);
                    at += count;
                }
                Piece::Same(_) => return None,
            }
        }
        Some((at, held))
    }

    /// The first place: where it ends, and what was held.
    pub fn find<'a>(&self, bytes: &'a [u8]) -> Option<(usize, Vec<&'a [u8]>)> {
        (0..bytes.len()).find_map(|start| self.begins(&bytes[start..]).map(|(length, held)| (start + length, held)))
    }

    pub fn is(&self, bytes: &[u8]) -> bool {
        self.begins(bytes).is_some_and(|(length, _)| length == bytes.len())
    }

    /// The bytes, with what was held.
    pub fn fill(&self, held: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Any(count) => out.resize(out.len() + count, 0),
                Piece::Same(place) => out.extend_from_slice(held.get(*place).copied().unwrap_or_default()),
            }
        }
        out
    }
}

fn push(bytes: &mut Vec<u8>, byte: u8) -> Option<Piece> {
    bytes.push(byte);
    None
}

/// Bytes as a case would write them.
pub fn shown(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| match byte {
            b'\n' => "\\n".to_owned(),
            b'\r' => "\\r".to_owned(),
            b'\t' => "\\t".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b' '..=b'~' => char::from(*byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        })
        .collect()
}
