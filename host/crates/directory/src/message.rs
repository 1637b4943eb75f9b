//! Messages (RFC 4511 §4): what is asked, and what is answered.

use crate::ber::{self, BOOLEAN, ENUMERATED, INTEGER, Malformed, OCTETS, Reader, SEQUENCE, SET};

const BIND: u8 = 0x60;
const BIND_ANSWER: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const REFERENCE: u8 = 0x73;
const EXTENDED: u8 = 0x77;
const EXTENDED_ANSWER: u8 = 0x78;
const INTERMEDIATE: u8 = 0x79;
/// StartTLS (RFC 4511 §4.14).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
/// Characters of a server's words that are kept, for the log.
const MOST_WORDS: usize = 200;

/// Result codes that callers branch on (RFC 4511 A.1).
pub mod code {
    pub const SUCCESS: u32 = 0;
    pub const CONSTRAINT: u32 = 19;
    pub const NO_SUCH_OBJECT: u32 = 32;
    pub const INVALID_NAME: u32 = 34;
    pub const INAPPROPRIATE: u32 = 48;
    pub const INVALID_CREDENTIALS: u32 = 49;
    pub const UNWILLING: u32 = 53;
}

/// How far below its base a search looks.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    Base,
    Subtree,
}

/// A question for entries.
pub struct Search<'a> {
    pub base: &'a str,
    pub scope: Scope,
    /// Entries that the server may send.
    pub most: u32,
    pub seconds: u32,
    /// In its form on the wire.
    pub filter: &'a [u8],
    pub attributes: &'a [&'a str],
}

/// What a request came to, with the server's words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub code: u32,
    pub words: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub dn: String,
    pub attributes: Vec<(String, Vec<String>)>,
}

impl Entry {
    /// The values of an attribute, whatever its options: Active Directory sends long lists as `memberOf;range=0-1499`.
    pub fn values<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e str> {
        let named = move |found: &str| found.split(';').next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        self.attributes.iter().filter(move |(found, _)| named(found)).flat_map(|(_, values)| values.iter().map(String::as_str))
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Bind(Outcome),
    Entry(Entry),
    /// The entry is elsewhere; nobody goes there.
    Reference,
    Done(Outcome),
    Extended(Outcome),
    /// Of no meaning here.
    Intermediate,
}

pub fn bind(id: u32, dn: &str, password: &str) -> Vec<u8> {
    let mut content = Vec::new();
    ber::put_number(&mut content, INTEGER, 3);
    ber::put(&mut content, OCTETS, dn.as_bytes());
    ber::put(&mut content, 0x80, password.as_bytes());
    message(id, BIND, &content)
}

pub fn search(id: u32, search: &Search<'_>) -> Vec<u8> {
    let mut content = Vec::new();
    ber::put(&mut content, OCTETS, search.base.as_bytes());
    ber::put_number(
        &mut content,
        ENUMERATED,
        match search.scope {
            Scope::Base => 0,
            Scope::Subtree => 2,
        },
    );
    // Aliases are never followed.
    ber::put_number(&mut content, ENUMERATED, 0);
    ber::put_number(&mut content, INTEGER, search.most);
    ber::put_number(&mut content, INTEGER, search.seconds);
    ber::put(&mut content, BOOLEAN, &[0]);
    content.extend_from_slice(search.filter);
    let mut names = Vec::new();
    search.attributes.iter().for_each(|name| ber::put(&mut names, OCTETS, name.as_bytes()));
    ber::put(&mut content, SEQUENCE, &names);
    message(id, SEARCH, &content)
}

pub fn start_tls(id: u32) -> Vec<u8> {
    let mut content = Vec::new();
    ber::put(&mut content, 0x80, START_TLS);
    message(id, EXTENDED, &content)
}

pub fn unbind(id: u32) -> Vec<u8> {
    message(id, UNBIND, &[])
}

fn message(id: u32, operation: u8, content: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    ber::put_number(&mut inner, INTEGER, id);
    ber::put(&mut inner, operation, content);
    let mut out = Vec::with_capacity(inner.len() + 6);
    ber::put(&mut out, SEQUENCE, &inner);
    out
}

/// The number of the request that a message answers, and what it says.
pub fn read(message: &[u8]) -> Result<(u32, Answer), Malformed> {
    let mut message = Reader::new(Reader::new(message).content(SEQUENCE)?);
    let id = message.number(INTEGER)?;
    let (operation, content) = message.element()?.ok_or(Malformed)?;
    let answer = match operation {
        BIND_ANSWER => Answer::Bind(outcome(content)?),
        ENTRY => Answer::Entry(entry(content)?),
        REFERENCE => Answer::Reference,
        DONE => Answer::Done(outcome(content)?),
        EXTENDED_ANSWER => Answer::Extended(outcome(content)?),
        INTERMEDIATE => Answer::Intermediate,
        _ => return Err(Malformed),
    };
    Ok((id, answer))
}

fn outcome(content: &[u8]) -> Result<Outcome, Malformed> {
    let mut reader = Reader::new(content);
    let code = reader.number(ENUMERATED)?;
    let _matched = reader.content(OCTETS)?;
    let words = String::from_utf8_lossy(reader.content(OCTETS)?);
    let words = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_WORDS).collect::<String>();
    Ok(Outcome { code, words: words.trim().to_owned() })
}

fn entry(content: &[u8]) -> Result<Entry, Malformed> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Malformed);
    let mut reader = Reader::new(content);
    let dn = text(reader.content(OCTETS)?)?;
    let mut list = Reader::new(reader.content(SEQUENCE)?);
    let mut attributes = Vec::new();
    while let Some((tag, content)) = list.element()? {
        let mut attribute = Reader::new(if tag == SEQUENCE { content } else { return Err(Malformed) });
        let name = text(attribute.content(OCTETS)?)?;
        let mut set = Reader::new(attribute.content(SET)?);
        let mut values = Vec::new();
        while let Some((tag, value)) = set.element()? {
            if tag != OCTETS {
                return Err(Malformed);
            }
            // What is no text is the name of no group.
            values.extend(String::from_utf8(value.to_vec()).ok());
        }
        attributes.push((name, values));
    }
    Ok(Entry { dn, attributes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as OpenLDAP's own tools send and receive them.
    #[test]
    fn requests_are_those_of_the_wire() {
        assert_eq!(bind(1, "cn=x", "pw"), b"\x30\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=x\x80\x02pw");
        assert_eq!(unbind(3), b"\x30\x05\x02\x01\x03\x42\x00");
        assert_eq!(start_tls(1), b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037");
        let search = Search { base: "dc=x", scope: Scope::Subtree, most: 2, seconds: 5, filter: b"\x87\x0bobjectClass", attributes: &["1.1"] };
        assert_eq!(
            super::search(2, &search),
            b"\x30\x2e\x02\x01\x02\x63\x29\x04\x04dc=x\x0a\x01\x02\x0a\x01\x00\x02\x01\x02\x02\x01\x05\x01\x01\x00\x87\x0bobjectClass\x30\x05\x04\x031.1"
        );
    }

    #[test]
    fn answers_are_read_and_malformed_ones_are_errors() {
        let denied = b"\x30\x0f\x02\x01\x01\x61\x0a\x0a\x01\x31\x04\x00\x04\x03no\n";
        assert_eq!(read(denied), Ok((1, Answer::Bind(Outcome { code: code::INVALID_CREDENTIALS, words: "no".into() }))));
        let found = b"\x30\x1e\x02\x01\x02\x64\x19\x04\x04cn=x\x30\x11\x30\x0f\x04\x08memberOf\x31\x03\x04\x01a";
        let (id, Answer::Entry(entry)) = read(found).expect("is read") else { panic!("an entry") };
        assert_eq!((id, entry.dn.as_str(), entry.values("MEMBEROF").collect::<Vec<_>>()), (2, "cn=x", vec!["a"]));
        // Cut off anywhere, and every byte another one: an error or an answer, never a panic.
        for message in [&denied[..], found] {
            for length in 0..message.len() {
                assert_eq!(read(&message[..length]), Err(Malformed), "{length}");
            }
            for at in 0..message.len() {
                for byte in [0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                    let mut other = message.to_vec();
                    other[at] = byte;
                    let _ = read(&other);
                }
            }
        }
        assert_eq!(read(b"\x30\x05\x02\x01\x01\x41\x00"), Err(Malformed), "no answer to anything");
    }
}
