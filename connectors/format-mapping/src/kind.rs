//! Types of values.

use bulkhead_sdk::{Timestamp, Writer, json};

use crate::item::Item;
use crate::settings::Kind;

/// Most digits of a whole number.
const MOST_DIGITS: usize = 64;

impl Kind {
    /// The value in this type, or what is wrong with it.
    pub fn convert(self, item: Item<'_>) -> Result<Item<'_>, &'static str> {
        match self {
            Self::String if item.is_text() => Ok(item),
            Self::String => match item {
                Item::Seen(value) if matches!(value.kind(), bulkhead_sdk::Kind::Array | bulkhead_sdk::Kind::Object) => Ok(Item::Spelled(value)),
                item => Ok(Item::Text(item.text().map_or_else(|| item.json(), |text| text.into_owned()).into())),
            },
            Self::Integer => match item.digits().and_then(whole).map(str::to_owned) {
                Some(digits) => Ok(Item::Number(digits)),
                None => text_of(&item).and_then(|text| whole(text.trim()).map(str::to_owned)).map(Item::Number).ok_or("it is no whole number"),
            },
            Self::Number if item.digits().is_some() => Ok(item),
            Self::Number => text_of(&item).filter(|text| is_number(text.trim())).map(|text| Item::Number(text.trim().to_owned())).ok_or("it is no number"),
            Self::Boolean => match item.text().as_deref().map(str::trim) {
                Some("1") => Ok(Item::Bool(true)),
                Some("0") => Ok(Item::Bool(false)),
                Some(text) if text.eq_ignore_ascii_case("true") => Ok(Item::Bool(true)),
                Some(text) if text.eq_ignore_ascii_case("false") => Ok(Item::Bool(false)),
                _ => Err("it is none of true, false, 1 and 0"),
            },
            Self::Timestamp => {
                let text = item.text().filter(|_| !matches!(item, Item::Bool(_)));
                let mut out = Writer::default();
                let moment = text.as_deref().and_then(|text| Timestamp::read(text.trim().as_bytes()));
                moment.ok_or("it is no time (RFC 3339, or a number since 1970)")?.write_utc(&mut out);
                Ok(Item::Text(String::from_utf8(out.into_bytes()).unwrap_or_default().into()))
            }
            Self::Json => match text_of(&item) {
                Some(text) if json::is_strict(&text) => Ok(Item::Json(text)),
                Some(_) => Err("its text is no JSON"),
                None => Ok(item),
            },
        }
    }
}

fn text_of(item: &Item<'_>) -> Option<String> {
    if item.is_text() { item.text().map(std::borrow::Cow::into_owned) } else { None }
}

/// The digits of a whole number; `12.00` is one too.
fn whole(text: &str) -> Option<&str> {
    let (digits, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let zero = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
    (zero && digits.len() <= MOST_DIGITS && is_number(digits) && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')).then_some(digits)
}

fn is_number(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-') && json::is_strict(text)
}
