//! Filters (RFC 4515) as operators write them, with places for what is known at the time of the question.
//!
//! Promises: what takes a place is a value, whatever signs are in it. Refuses: places anywhere but in values, filters
//! that are nested deeper than [`DEEPEST`] or longer than [`MOST_FILTER`].

use crate::ber::{self, OCTETS, SEQUENCE};

/// Bytes of a filter as it is written.
pub const MOST_FILTER: usize = 4 << 10;
const DEEPEST: usize = 16;

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterFault {
    #[error("is longer than {MOST_FILTER} bytes")]
    TooLong,
    #[error("is nested deeper than {DEEPEST}")]
    TooDeep,
    #[error("does not go on as a filter at `{0}`; it begins and ends with brackets: (uid={{username}})")]
    Syntax(String),
    #[error("has `{{{0}}}`, which means nothing here")]
    Place(String),
}

/// A filter with places such as `{username}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterTemplate(String);

impl FilterTemplate {
    /// Refuses what is no filter, and places that are not among these.
    pub fn parse(text: &str, places: &[&str]) -> Result<Self, FilterFault> {
        if text.len() > MOST_FILTER {
            return Err(FilterFault::TooLong);
        }
        if let Some(unknown) = unknown_place(text, places) {
            return Err(FilterFault::Place(unknown));
        }
        // An escape is good in a value only: so a place that is anywhere else is refused here.
        let template = Self(text.to_owned());
        template.fill(&places.iter().map(|place| (*place, "*")).collect::<Vec<_>>())?;
        Ok(template)
    }

    pub fn names(&self, place: &str) -> bool {
        self.0.contains(&format!("{{{place}}}"))
    }

    /// The filter in its form on the wire.
    pub fn fill(&self, values: &[(&str, &str)]) -> Result<Vec<u8>, FilterFault> {
        let mut text = String::with_capacity(self.0.len() + 64);
        let mut rest = self.0.as_str();
        // One pass: a value that looks like a place is none.
        while let Some(at) = rest.find('{') {
            text.push_str(&rest[..at]);
            let found = values.iter().find(|(place, _)| rest[at + 1..].strip_prefix(place).is_some_and(|rest| rest.starts_with('}')));
            match found {
                Some((place, value)) => {
                    text.push_str(&escape(value));
                    rest = &rest[at + place.len() + 2..];
                }
                None => {
                    text.push('{');
                    rest = &rest[at + 1..];
                }
            }
        }
        text.push_str(rest);
        let mut out = Vec::new();
        let rest = filter(text.trim(), &mut out, 0)?;
        if rest.is_empty() { Ok(out) } else { Err(syntax(rest)) }
    }
}

/// What matches every entry that may be seen (RFC 4526 has a shorter one that not all servers know).
pub fn present() -> Vec<u8> {
    let mut out = Vec::new();
    ber::put(&mut out, 0x87, b"objectClass");
    out
}

/// A text as a value in a filter (RFC 4515 §3).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' => out.push_str("\\2a"),
            '(' => out.push_str("\\28"),
            ')' => out.push_str("\\29"),
            '\\' => out.push_str("\\5c"),
            '\0' => out.push_str("\\00"),
            _ => out.push(c),
        }
    }
    out
}

pub fn unknown_place(text: &str, places: &[&str]) -> Option<String> {
    let named = text.split('{').skip(1).filter_map(|after| after.split_once('}')).map(|(name, _)| name);
    let mut words = named.filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    words.find(|name| !places.contains(name)).map(str::to_owned)
}

/// Reads one filter and answers what stands behind it.
fn filter<'t>(text: &'t str, out: &mut Vec<u8>, depth: usize) -> Result<&'t str, FilterFault> {
    if depth >= DEEPEST {
        return Err(FilterFault::TooDeep);
    }
    let inner = text.strip_prefix('(').ok_or_else(|| syntax(text))?.trim_start();
    let (tag, many) = match inner.as_bytes().first() {
        Some(b'&') => (0xa0, true),
        Some(b'|') => (0xa1, true),
        Some(b'!') => (0xa2, false),
        _ => return item(inner, out),
    };
    let mut rest = inner[1..].trim_start();
    let mut content = Vec::new();
    loop {
        rest = filter(rest, &mut content, depth + 1)?.trim_start();
        if !many || !rest.starts_with('(') {
            break;
        }
    }
    ber::put(out, tag, &content);
    rest.strip_prefix(')').map(str::trim_start).ok_or_else(|| syntax(rest))
}

fn item<'t>(text: &'t str, out: &mut Vec<u8>) -> Result<&'t str, FilterFault> {
    let end = text.find(')').ok_or_else(|| syntax(text))?;
    let (item, rest) = (&text[..end], text[end + 1..].trim_start());
    let (name, value) = item.split_once('=').ok_or_else(|| syntax(item))?;
    let fault = || syntax(item);
    if value.contains(['(', '\0']) {
        return Err(fault());
    }
    if let Some(rule) = name.strip_suffix(':') {
        extensible(rule, value, out).ok_or_else(fault)?;
        return Ok(rest);
    }
    let (name, tag) = match name.as_bytes().last() {
        Some(b'~') => (&name[..name.len() - 1], 0xa8),
        Some(b'>') => (&name[..name.len() - 1], 0xa5),
        Some(b'<') => (&name[..name.len() - 1], 0xa6),
        _ => (name, 0xa3),
    };
    let name = name.trim();
    if !is_attribute(name) {
        return Err(fault());
    }
    if tag == 0xa3 && value == "*" {
        ber::put(out, 0x87, name.as_bytes());
        return Ok(rest);
    }
    let mut content = Vec::new();
    ber::put(&mut content, OCTETS, name.as_bytes());
    if !value.contains('*') {
        ber::put(&mut content, OCTETS, &unescape(value).ok_or_else(fault)?);
        ber::put(out, tag, &content);
        return Ok(rest);
    }
    if tag != 0xa3 {
        return Err(fault());
    }
    let pieces: Vec<&str> = value.split('*').collect();
    let last = pieces.len() - 1;
    let mut list = Vec::new();
    for (at, piece) in pieces.iter().enumerate().filter(|(_, piece)| !piece.is_empty()) {
        let tag = match at {
            0 => 0x80,
            at if at == last => 0x82,
            _ => 0x81,
        };
        ber::put(&mut list, tag, &unescape(piece).ok_or_else(fault)?);
    }
    // `**` names no piece at all.
    if list.is_empty() {
        return Err(fault());
    }
    ber::put(&mut content, SEQUENCE, &list);
    ber::put(out, 0xa4, &content);
    Ok(rest)
}

/// `type:dn:rule:=value`, each but the value perhaps absent.
fn extensible(left: &str, value: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut parts = left.split(':').map(str::trim);
    let kind = parts.next().filter(|kind| !kind.is_empty());
    let mut rule = parts.next();
    let of_name = rule.is_some_and(|word| word.eq_ignore_ascii_case("dn"));
    if of_name {
        rule = parts.next();
    }
    let known = |word: Option<&str>| word.is_none_or(is_attribute);
    if parts.next().is_some() || !known(kind) || !known(rule) || kind.is_none() && rule.is_none() || value.contains('*') {
        return None;
    }
    let mut content = Vec::new();
    rule.iter().for_each(|rule| ber::put(&mut content, 0x81, rule.as_bytes()));
    kind.iter().for_each(|kind| ber::put(&mut content, 0x82, kind.as_bytes()));
    ber::put(&mut content, 0x83, &unescape(value)?);
    if of_name {
        ber::put(&mut content, 0x84, &[0xff]);
    }
    ber::put(out, 0xa9, &content);
    Some(())
}

/// A word or a number, with options (RFC 4512 §2.5).
fn is_attribute(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.;".contains(&byte))
}

fn unescape(value: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'\\' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { byte });
    }
    Some(out)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn syntax(at: &str) -> FilterFault {
    FilterFault::Syntax(at.chars().take(40).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn wire(text: &str, username: &str) -> Vec<u8> {
        let template = FilterTemplate::parse(text, &["username"]).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        template.fill(&[("username", username)]).expect("fills")
    }

    #[test]
    fn filters_are_those_of_the_wire() {
        assert_eq!(wire("(uid={username})", "ada"), b"\xa3\x0a\x04\x03uid\x04\x03ada");
        assert_eq!(wire("(uid=*)", ""), b"\x87\x03uid");
        assert_eq!(wire(" ( & (a=1) ( ! (b>=2) ) ) ", ""), b"\xa0\x12\xa3\x06\x04\x01a\x04\x011\xa2\x08\xa5\x06\x04\x01b\x04\x012");
        assert_eq!(wire("(cn=a*b*c)", ""), b"\xa4\x0f\x04\x02cn\x30\x09\x80\x01a\x81\x01b\x82\x01c");
        assert_eq!(wire("(|(a~=\\2a)(b<=x))", ""), b"\xa1\x10\xa8\x06\x04\x01a\x04\x01*\xa6\x06\x04\x01b\x04\x01x");
        assert_eq!(wire("(member:1.2.840.113556.1.4.1941:={username})", "x"), b"\xa9\x24\x81\x171.2.840.113556.1.4.1941\x82\x06member\x83\x01x");
        assert_eq!(wire("(ou:dn:=x)", ""), b"\xa9\x0a\x82\x02ou\x83\x01x\x84\x01\xff");
    }

    /// Whatever is typed: one comparison with one value, the very bytes that were typed.
    #[test]
    fn typed_texts_stay_values() {
        for typed in ["*", "*)(uid=*", "a)(|(uid=*", "\\2a", "a\\", "a\0b", "(", "{username}", "{dn}", "jos\u{e9}", "=", ""] {
            let mut want = b"\x04\x03uid".to_vec();
            ber::put(&mut want, OCTETS, typed.as_bytes());
            let mut filter = Vec::new();
            ber::put(&mut filter, 0xa3, &want);
            assert_eq!(wire("(uid={username})", typed), filter, "{typed:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["", "uid={username}", "(uid)", "(uid={username}", "(uid={username}))", "(&)", "(!)", "(!(a=1)(b=2))", "(a=1)(b=2)"].into_iter().chain([
            "(=x)",
            "(a b=x)",
            "({username}=x)",
            "(a:{username}:=x)",
            "(a=\\2)",
            "(a=\\zz)",
            "(a>=*)",
            "(a=**)",
            "(a=(b)",
            "(:=x)",
            "(a:b:c:=x)",
        ]) {
            assert!(matches!(FilterTemplate::parse(bad, &["username"]), Err(FilterFault::Syntax(_))), "{bad}");
        }
        assert_eq!(FilterTemplate::parse("(uid={user})", &["username"]), Err(FilterFault::Place("user".into())));
        assert_eq!(FilterTemplate::parse(&format!("(a={})", "x".repeat(MOST_FILTER)), &[]), Err(FilterFault::TooLong));
        let deep = format!("{}(a=1){}", "(!".repeat(DEEPEST), ")".repeat(DEEPEST));
        assert_eq!(FilterTemplate::parse(&deep, &[]), Err(FilterFault::TooDeep));
    }
}
