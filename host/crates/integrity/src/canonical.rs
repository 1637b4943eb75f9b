//! What of an event its hash is made of: the exact text of a member, a template of fields, or JSON in its
//! canonical form (RFC 8785).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A member byte for byte as it was sent; a string's text.
    Member(String),
    /// Text with `{/pointer}` in it: strings as their text, all else as it was sent, nothing for what is not
    /// there. `{{` and `}}` are braces.
    Template(Vec<Part>),
    /// A member (empty: the event) in canonical form, without the members that `without` points to.
    Jcs { of: String, without: Vec<String> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Field(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("a brace is not closed, or closed without being opened; {{{{ and }}}} stand for braces")]
    Brace,
    #[error("`{0}` is no JSON pointer (RFC 6901): it begins with /, and ~ is followed by 0 or 1")]
    Pointer(String),
}

impl Form {
    pub fn template(text: &str) -> Result<Self, FormError> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = behind;
                continue;
            }
            let end = rest.find('}').filter(|_| brace == "{").ok_or(FormError::Brace)?;
            let pointer = &rest[..end];
            if !super::pointer_is_sound(pointer) || pointer.is_empty() {
                return Err(FormError::Pointer(pointer.into()));
            }
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Field(pointer.into()));
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self::Template(parts))
    }

    /// The bytes that are hashed; nothing where the member is not there.
    pub(crate) fn bytes<'t>(&self, text: &'t str) -> Option<Cow<'t, [u8]>> {
        match self {
            Self::Member(pointer) => raw(text, pointer).map(plain),
            Self::Template(parts) => {
                let mut out = Vec::new();
                for part in parts {
                    match part {
                        Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                        Part::Field(pointer) => out.extend_from_slice(&raw(text, pointer).map(plain).unwrap_or_default()),
                    }
                }
                Some(out.into())
            }
            Self::Jcs { of, without } => {
                // From the event's root; what lies elsewhere is not there to be left out.
                let without: Vec<&str> = without.iter().filter_map(|pointer| pointer.strip_prefix(of.as_str())).collect();
                let mut out = Vec::new();
                jcs(raw(text, of)?, &without, &mut out)?;
                Some(out.into())
            }
        }
    }
}

/// The text of a member as it stands.
fn raw<'t>(text: &'t str, pointer: &str) -> Option<&'t str> {
    let mut at = text.trim_ascii();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let found: &RawValue = if at.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(at).ok()?;
            items.get(token.parse::<usize>().ok()?).copied()?
        } else {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(at).ok()?;
            members.get(&token).copied()?
        };
        at = found.get();
    }
    Some(at)
}

/// A string's text; all else as it stands.
fn plain(raw: &str) -> Cow<'_, [u8]> {
    if raw.starts_with('"') {
        serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(raw.as_bytes()), |text| Cow::Owned(text.into_bytes()))
    } else {
        raw.as_bytes().into()
    }
}

/// Writes JSON text in its canonical form (RFC 8785): members sorted by UTF-16, numbers as ECMAScript
/// writes them, no space; without the members that `without` points to. Nothing where the text is no JSON.
///
/// From the text and not from parsed values: those have rounded numbers that are written longer than
/// needed, and the last digit counts here.
pub fn jcs(text: &str, without: &[&str], out: &mut Vec<u8>) -> Option<()> {
    let tokens = |pointer: &&str| pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect::<Vec<String>>();
    let without: Vec<Vec<String>> = without.iter().map(tokens).collect();
    let without: Vec<&[String]> = without.iter().map(Vec::as_slice).collect();
    let mut walk = Walk { text, at: 0 };
    walk.value(&without, out)?;
    (walk.peek().is_none()).then_some(())
}

/// A place in JSON text.
struct Walk<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Walk<'t> {
    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Recursive: whoever calls has bounded the depth, as parsing does.
    fn value(&mut self, without: &[&[String]], out: &mut Vec<u8>) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(without, out),
            b'[' => self.array(without, out),
            b'"' => {
                let text = self.string()?;
                string(&text, out);
                Some(())
            }
            _ => match self.word() {
                word @ ("null" | "true" | "false") => {
                    out.extend_from_slice(word.as_bytes());
                    Some(())
                }
                number => {
                    let number = number.parse::<f64>().ok().filter(|number| number.is_finite())?;
                    out.extend_from_slice(ecma(number).as_bytes());
                    Some(())
                }
            },
        }
    }

    fn object(&mut self, without: &[&[String]], out: &mut Vec<u8>) -> Option<()> {
        self.at += 1;
        let mut members: Vec<(Vec<u16>, Vec<u8>)> = Vec::new();
        loop {
            match self.peek()? {
                b'}' => break self.at += 1,
                b',' => self.at += 1,
                _ => {
                    let name = self.string()?;
                    if self.peek()? != b':' {
                        return None;
                    }
                    self.at += 1;
                    let inner = below(without, &name);
                    let mut member = Vec::new();
                    string(&name, &mut member);
                    member.push(b':');
                    self.value(&inner, &mut member)?;
                    if !inner.iter().any(|rest| rest.is_empty()) {
                        members.push((name.encode_utf16().collect(), member));
                    }
                }
            }
        }
        members.sort();
        out.push(b'{');
        for (index, (_, member)) in members.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(member);
        }
        out.push(b'}');
        Some(())
    }

    fn array(&mut self, without: &[&[String]], out: &mut Vec<u8>) -> Option<()> {
        self.at += 1;
        out.push(b'[');
        let mut index = 0;
        loop {
            match self.peek()? {
                b']' => break self.at += 1,
                b',' => self.at += 1,
                _ => {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.value(&below(without, &index.to_string()), out)?;
                    index += 1;
                }
            }
        }
        out.push(b']');
        Some(())
    }

    /// The string at this place, decoded.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        if bytes.get(start) != Some(&b'"') {
            return None;
        }
        let mut at = start + 1;
        loop {
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        serde_json::from_str(self.text.get(start..=at)?).ok()
    }

    /// A literal or number: up to what ends one.
    fn word(&mut self) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }
}

/// What is left of pointers within a member.
fn below<'p>(without: &[&'p [String]], name: &str) -> Vec<&'p [String]> {
    without.iter().filter_map(|pointer| pointer.split_first()).filter(|(first, _)| *first == name).map(|(_, rest)| rest).collect()
}

/// §3.2.2.2; serde_json escapes exactly what is to be escaped, in the same way.
fn string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// ECMA-262, Number::toString: the shortest digits that mean this number, laid out as JavaScript does.
fn ecma(number: f64) -> String {
    if number == 0.0 {
        return "0".into();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let shortest = format!("{:e}", number.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = nearest(number.abs(), mantissa.replace('.', ""), exponent);
    let (count, point) = (digits.len() as i32, exponent.parse::<i32>().unwrap_or(0) + 1);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let split = |at: i32| digits.split_at(usize::try_from(at).unwrap_or(0));
    match point {
        _ if count <= point && point <= 21 => format!("{sign}{digits}{}", zeros(point - count)),
        1..=21 => {
            let (whole, part) = split(point);
            format!("{sign}{whole}.{part}")
        }
        -5..=0 => format!("{sign}0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = split(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let (direction, size) = if point > 0 { ('+', point - 1) } else { ('-', 1 - point) };
            format!("{sign}{first}{dot}{rest}e{direction}{size}")
        }
    }
}

/// Where two shortest texts are equally near, ECMAScript takes the even digit; Rust the greater one.
fn nearest(number: f64, digits: String, exponent: &str) -> String {
    let even = match digits.as_bytes().last() {
        Some(last @ (b'1' | b'3' | b'5' | b'7' | b'9')) => format!("{}{}", &digits[..digits.len() - 1], char::from(last - 1)),
        _ => return digits,
    };
    // All digits of a double: no more than 767 of them (those of the smallest numbers) are not zero.
    let exact = format!("{number:.800e}");
    let exact: String = exact.split('e').next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    let tie = exact.trim_end_matches('0') == format!("{even}5");
    let same = || format!("{}.{}e{exponent}", &even[..1], &even[1..]).parse() == Ok(number);
    if tie && same() { even } else { digits }
}

#[cfg(test)]
mod tests;
