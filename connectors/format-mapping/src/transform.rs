//! What is done to values. Transforms of text are done to each element of a list.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bulkhead_sdk::time::format::DateFormat;
use bulkhead_sdk::{Kind, Timestamp, Value, Writer};
use regex_lite::{Regex, RegexBuilder};
use sha2::{Digest as _, Sha256};

use crate::item::{Item, MOST_ELEMENTS};
use crate::settings::Constant;

/// Bytes that a compiled pattern may take.
pub const PATTERN_BYTES: usize = 256 << 10;
pub const PATTERN_NESTING: u32 = 32;
/// Entries of a table.
const MOST_ENTRIES: usize = 10_000;
/// Bytes that a text may grow to.
const MOST_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub enum Transform {
    Trim,
    Lower,
    Upper,
    /// Hexadecimal digits of the hash (FIPS 180-4).
    HashSha256,
    Split(String),
    Join(String),
    Replace {
        from: String,
        to: String,
    },
    /// The text of a group, the first one or the whole match where none is named.
    Extract {
        regex: Regex,
        group: usize,
    },
    /// At most so many characters.
    Truncate(usize),
    /// An element of a list; negative places count from its end.
    At(i64),
    /// Another value for a text; `*` stands for every other text.
    Table {
        entries: BTreeMap<String, Constant>,
        other: Option<Constant>,
    },
    Date(DateFormat),
}

/// A pattern within its limits.
pub fn regex(pattern: &str, at: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES)
        .nest_limit(PATTERN_NESTING)
        .build()
        .map_err(|error| format!("`{at}` is no regular expression: {error}"))
}

impl Transform {
    pub(crate) fn regex_extract(pattern: &str, group: Option<&str>, at: &str) -> Result<Self, String> {
        let regex = regex(pattern, at)?;
        let group = match group {
            None => usize::from(regex.captures_len() > 1),
            Some(name) => {
                let place = regex.capture_names().position(|own| own == Some(name)).or_else(|| name.parse().ok());
                place.filter(|place| *place < regex.captures_len()).ok_or_else(|| format!("`{at}.group` is \"{name}\", which the pattern does not have"))?
            }
        };
        Ok(Self::Extract { regex, group })
    }

    pub(crate) fn table(value: Value<'_>, at: &str) -> Result<Self, String> {
        if value.kind() != Kind::Object {
            return Err(format!("`{at}` must be an object of texts and values"));
        }
        let (mut entries, mut other) = (BTreeMap::new(), None);
        for (name, value) in value.members() {
            let name = String::from_utf8_lossy(&name.text().unwrap_or_default()).into_owned();
            let constant = <Constant as bulkhead_sdk::Config>::read(value, &format!("{at}.{name}"))?;
            if name == "*" {
                other = Some(constant);
            } else {
                entries.insert(name, constant);
            }
        }
        match entries.len() {
            0..=MOST_ENTRIES => Ok(Self::Table { entries, other }),
            count => Err(format!("`{at}` has {count} entries, the most is {MOST_ENTRIES}")),
        }
    }

    /// The value afterwards: nothing where none is left, or what is wrong with it.
    pub fn apply<'a>(&'a self, item: Item<'a>) -> Result<Option<Item<'a>>, &'static str> {
        match self {
            Self::Join(between) => {
                let items = match bounded(item)? {
                    Ok(items) => items,
                    Err(item) => return Ok(Some(item)),
                };
                if items.len().saturating_mul(between.len()) > MOST_BYTES {
                    return Err("it becomes longer than a text may be");
                }
                let texts: Vec<String> = items.iter().map(|item| item.text().map_or_else(|| item.json(), Cow::into_owned)).collect();
                Ok(Some(Item::Text(texts.join(between).into())))
            }
            Self::At(place) => {
                let items = bounded(item)?.map_err(|_| "it is no list, of which `at` takes an element")?;
                let place = if *place < 0 { items.len().checked_sub(place.unsigned_abs() as usize) } else { usize::try_from(*place).ok() };
                Ok(place.and_then(|place| items.into_iter().nth(place)))
            }
            _ => match bounded(item)? {
                Ok(items) => {
                    let mut done = Vec::with_capacity(items.len());
                    for item in items {
                        done.extend(self.one(item)?);
                    }
                    Ok(Some(Item::List(done)))
                }
                Err(item) => self.one(item),
            },
        }
    }

    fn one<'a>(&'a self, item: Item<'a>) -> Result<Option<Item<'a>>, &'static str> {
        let Some(text) = item.text() else { return Err("it holds an object, which this transform cannot take") };
        let text: &str = &text;
        let owned = |text: String| Ok(Some(Item::Text(Cow::Owned(text))));
        match self {
            Self::Trim => owned(text.trim().to_owned()),
            Self::Lower => owned(text.to_lowercase()),
            Self::Upper => owned(text.to_uppercase()),
            Self::HashSha256 => owned(Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()),
            Self::Split(at) => {
                if text.matches(at.as_str()).count() >= MOST_ELEMENTS {
                    return Err("it splits into more elements than are looked at");
                }
                Ok(Some(Item::List(text.split(at.as_str()).map(|part| Item::Text(Cow::Owned(part.to_owned()))).collect())))
            }
            Self::Replace { from, to } => {
                if text.matches(from.as_str()).count().saturating_mul(to.len()) > MOST_BYTES {
                    return Err("it becomes longer than a text may be");
                }
                owned(text.replace(from.as_str(), to))
            }
            Self::Extract { regex, group } => {
                Ok(regex.captures(text).and_then(|found| found.get(*group)).map(|found| Item::Text(Cow::Owned(found.as_str().to_owned()))))
            }
            Self::Truncate(length) => owned(text.chars().take(*length).collect()),
            Self::Table { entries, other } => Ok(entries.get(text).or(other.as_ref()).and_then(|constant| Item::of(constant.value()))),
            Self::Date(format) => {
                let moment = Timestamp::read(text.trim().as_bytes()).ok_or("it is no time (RFC 3339, or a number since 1970)")?;
                let mut out = Writer::default();
                format.write(&moment, &mut out);
                owned(String::from_utf8_lossy(out.as_bytes()).into_owned())
            }
            Self::Join(_) | Self::At(_) => Ok(None),
        }
    }
}

/// The elements of a list, or the value itself; a list without a bound would take all memory.
fn bounded(item: Item<'_>) -> Result<Result<Vec<Item<'_>>, Item<'_>>, &'static str> {
    if item.count().is_some_and(|count| count > MOST_ELEMENTS) {
        return Err("it is a list of more elements than are looked at");
    }
    Ok(item.elements())
}
