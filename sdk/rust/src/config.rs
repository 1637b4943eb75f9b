//! Configuration types: read from JSON, described by JSON Schema.
//!
//! Reading is the SDK's own, over the same views as events: a general library doubles the size of a
//! small guest and a third of its cold build. Everything unknown, doubled or out of bounds is refused
//! with its path.

use std::collections::BTreeMap;

use crate::json;
use crate::value::{Kind, Value};

/// What a guest is configured with; `#[derive(Config)]` makes both halves from one struct.
pub trait Config: Sized {
    /// The schema without its outer braces, so that fields can add to it.
    const BODY: &'static str;
    /// Reads a value; `at` is its path, for messages.
    fn read(value: Value<'_>, at: &str) -> Result<Self, String>;
}

/// The configuration of a guest that has nothing to configure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bulkhead_sdk_derive::Config)]
pub struct NoConfig {}

/// A number of bytes, written as `1048576`, `"1MiB"` or `"100 MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Reads digits and a unit; 1 MiB is 2^20 bytes, 1 MB is 10^6.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl Config for ByteSize {
    const BODY: &'static str = "\"type\":[\"string\",\"integer\"],\"minimum\":0,\"pattern\":\"^[0-9]+ ?(B|KB|MB|GB|KiB|MiB|GiB)?$\"";

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        let text = if value.is_string() || value.kind() == Kind::Number { value.text() } else { None };
        text.and_then(|text| Self::parse(std::str::from_utf8(&text).ok()?)).ok_or_else(|| wrong(at, "a number of bytes such as 1048576 or \"1MiB\""))
    }
}

impl Config for bool {
    const BODY: &'static str = "\"type\":\"boolean\"";

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        match value.raw() {
            b"true" if value.kind() == Kind::Bool => Ok(true),
            b"false" if value.kind() == Kind::Bool => Ok(false),
            _ => Err(wrong(at, "true or false")),
        }
    }
}

impl Config for String {
    const BODY: &'static str = "\"type\":\"string\"";

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        let text = if value.is_string() { value.text() } else { None };
        text.and_then(|text| Self::from_utf8(text.into_owned()).ok()).ok_or_else(|| wrong(at, "a string"))
    }
}

macro_rules! numbers {
    ($word:literal, $type:literal: $($ty:ty),*) => { $(
        impl Config for $ty {
            const BODY: &'static str = concat!("\"type\":\"", $type, "\"");
            fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
                let digits = if value.kind() == Kind::Number { std::str::from_utf8(value.raw()).ok() } else { None };
                digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| wrong(at, $word))
            }
        }
    )* };
}
numbers!("a whole number that fits", "integer": u8, u16, u32, u64, usize, i8, i16, i32, i64);
numbers!("a number", "number": f64);

impl<T: Config> Config for Option<T> {
    // The derive describes what is inside.
    const BODY: &'static str = T::BODY;

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        if value.kind() == Kind::Null { Ok(None) } else { T::read(value, at).map(Some) }
    }
}

impl<T: Config> Config for Vec<T> {
    const BODY: &'static str = "\"type\":\"array\"";

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        if value.kind() != Kind::Array {
            return Err(wrong(at, "a list"));
        }
        let mut elements = value.elements();
        let mut list = Self::new();
        for element in elements.by_ref() {
            list.push(T::read(element, &format!("{at}[{}]", list.len()))?);
        }
        if elements.is_complete() { Ok(list) } else { Err(wrong(at, "well-formed JSON")) }
    }
}

impl<T: Config> Config for BTreeMap<String, T> {
    const BODY: &'static str = "\"type\":\"object\"";

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        let mut map = Self::new();
        private::members(value, at, &mut |name, value, at| match map.insert(name.to_owned(), T::read(value, at)?) {
            None => Ok(()),
            Some(_) => Err(private::twice(at)),
        })?;
        Ok(map)
    }
}

/// Reads a configuration; an empty text is an empty object.
pub fn read<T: Config>(text: &str) -> Result<T, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let value = json::value(text).ok_or_else(|| "the configuration is not well-formed JSON".to_owned())?;
    T::read(value, "")
}

/// The whole schema.
pub fn schema<T: Config>() -> String {
    format!("{{{}}}", T::BODY)
}

/// Refuses a key that another one's choice leaves without effect: `wanted` is the choice that it belongs to, as
/// in ``only("events", given, "mode: events", chosen)``.
pub fn only(key: &str, given: bool, wanted: &str, chosen: bool) -> Result<(), String> {
    if given && !chosen { Err(format!("`{key}` is for `{wanted}`")) } else { Ok(()) }
}

fn wrong(at: &str, expected: &str) -> String {
    if at.is_empty() { format!("the configuration must be {expected}") } else { format!("`{at}` must be {expected}") }
}

/// For the derive and the export macros only.
#[doc(hidden)]
pub mod private {
    use super::{BTreeMap, ByteSize, Config, Kind, Value, json, wrong};

    pub const fn length(parts: &[&str]) -> usize {
        let (mut at, mut total) = (0, 0);
        while at < parts.len() {
            total += parts[at].len();
            at += 1;
        }
        total
    }

    pub const fn join<const N: usize>(parts: &[&str]) -> [u8; N] {
        let mut out = [0; N];
        let (mut at, mut end) = (0, 0);
        while at < parts.len() {
            let part = parts[at].as_bytes();
            let mut i = 0;
            while i < part.len() {
                out[end] = part[i];
                end += 1;
                i += 1;
            }
            at += 1;
        }
        out
    }

    /// Calls for each member with its name, value and path.
    pub fn members(value: Value<'_>, at: &str, each: &mut dyn FnMut(&str, Value<'_>, &str) -> Result<(), String>) -> Result<(), String> {
        if value.kind() != Kind::Object {
            return Err(wrong(at, "an object"));
        }
        let mut members = value.members();
        for (name, value) in members.by_ref() {
            let name = String::from_utf8_lossy(&name.text().unwrap_or_default()).into_owned();
            let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            each(&name, value, &path)?;
        }
        if members.is_complete() { Ok(()) } else { Err(wrong(at, "well-formed JSON")) }
    }

    pub fn set<T: Config>(slot: &mut Option<T>, value: Value<'_>, at: &str) -> Result<(), String> {
        match slot.replace(T::read(value, at)?) {
            None => Ok(()),
            Some(_) => Err(twice(at)),
        }
    }

    pub fn twice(at: &str) -> String {
        format!("`{at}` is given twice")
    }

    pub fn unknown(at: &str, known: &[&str]) -> String {
        if known.is_empty() {
            format!("`{at}` is unknown; there is nothing to configure")
        } else {
            format!("`{at}` is unknown; known here are {}", known.join(", "))
        }
    }

    pub fn missing(at: &str, name: &str) -> String {
        if at.is_empty() { format!("`{name}` is missing") } else { format!("`{at}.{name}` is missing") }
    }

    /// A default from its JSON text.
    pub fn default_value<T: Config>(text: &'static str) -> Result<T, String> {
        T::read(json::value(text).ok_or("a default is not well-formed JSON")?, "default")
    }

    /// One of the names of an enum, by its place.
    pub fn choice(value: Value<'_>, at: &str, names: &[&str]) -> Result<usize, String> {
        names.iter().position(|name| value.is(name)).ok_or_else(|| wrong(at, &format!("one of {}", names.join(", "))))
    }

    /// How large a value is: the number itself, or the length of a text or list.
    pub trait Measure {
        fn measure(&self) -> Option<i64>;
    }
    macro_rules! measure {
        ($($ty:ty),*) => { $(impl Measure for $ty { fn measure(&self) -> Option<i64> { Some(i64::try_from(*self).unwrap_or(i64::MAX)) } })* };
    }
    measure!(u8, u16, u32, u64, usize, i8, i16, i32, i64);
    impl Measure for f64 {
        fn measure(&self) -> Option<i64> {
            Some(*self as i64)
        }
    }
    impl Measure for ByteSize {
        fn measure(&self) -> Option<i64> {
            self.0.measure()
        }
    }
    impl Measure for String {
        fn measure(&self) -> Option<i64> {
            self.chars().count().measure()
        }
    }
    impl<T> Measure for Vec<T> {
        fn measure(&self) -> Option<i64> {
            self.len().measure()
        }
    }
    impl<K, V> Measure for BTreeMap<K, V> {
        fn measure(&self) -> Option<i64> {
            self.len().measure()
        }
    }
    impl<T: Measure> Measure for Option<T> {
        fn measure(&self) -> Option<i64> {
            self.as_ref().and_then(Measure::measure)
        }
    }

    pub fn check(at: &str, name: &str, value: &impl Measure, min: Option<i64>, max: Option<i64>) -> Result<(), String> {
        let Some(measure) = value.measure() else { return Ok(()) };
        let path = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        match (min, max) {
            (Some(min), _) if measure < min => Err(format!("`{path}` is {measure}, the least is {min}")),
            (_, Some(max)) if measure > max => Err(format!("`{path}` is {measure}, the most is {max}")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
