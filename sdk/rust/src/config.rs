//! Configuration types: read from JSON, described by JSON Schema.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer};

/// What a guest is configured with; `#[derive(Config)]` makes both halves from one struct.
pub trait Config: DeserializeOwned {
    /// The schema without its outer braces, so that fields can add to it.
    const BODY: &'static str;
}

/// The configuration of a guest that has nothing to configure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bulkhead_sdk_derive::Config)]
pub struct NoConfig {}

macro_rules! primitive {
    ($($ty:ty = $body:literal),* $(,)?) => { $(impl Config for $ty { const BODY: &'static str = $body; })* };
}
primitive! {
    bool = "\"type\":\"boolean\"",
    String = "\"type\":\"string\"",
    u8 = "\"type\":\"integer\"", u16 = "\"type\":\"integer\"", u32 = "\"type\":\"integer\"", u64 = "\"type\":\"integer\"", usize = "\"type\":\"integer\"",
    i8 = "\"type\":\"integer\"", i16 = "\"type\":\"integer\"", i32 = "\"type\":\"integer\"", i64 = "\"type\":\"integer\"",
    f64 = "\"type\":\"number\"",
}

/// A number of bytes, written as `1048576`, `"1MiB"` or `"100 MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Reads digits and a unit; 1 MiB is 2^20 bytes, 1 MB is 10^6.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "K" | "KB" | "kB" => 1000,
            "M" | "MB" => 1_000_000,
            "G" | "GB" => 1_000_000_000,
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
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = ByteSize;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of bytes such as 1048576 or \"1MiB\"")
            }
            fn visit_u64<E: Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
                ByteSize::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Reads a configuration; an empty text is an empty object.
pub fn read<T: Config>(json: &str) -> Result<T, String> {
    let json = if json.trim().is_empty() { "{}" } else { json };
    serde_json::from_str(json).map_err(|error| error.to_string())
}

/// The whole schema.
pub fn schema<T: Config>() -> String {
    format!("{{{}}}", T::BODY)
}

/// For the derive and the export macros only.
#[doc(hidden)]
pub mod private {
    use super::{BTreeMap, DeserializeOwned};
    pub use serde;

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

    /// A default from its JSON text.
    pub fn default_value<T: DeserializeOwned>(json: &'static str) -> T {
        serde_json::from_str(json).expect("the default written in the attribute fits the field's type")
    }

    /// How large a value is: the number itself, or the length of a text or list.
    pub trait Measure {
        fn measure(&self) -> Option<i128>;
    }
    macro_rules! measure {
        ($($ty:ty),*) => { $(impl Measure for $ty { fn measure(&self) -> Option<i128> { Some(*self as i128) } })* };
    }
    measure!(u8, u16, u32, u64, usize, i8, i16, i32, i64, f64);
    impl Measure for super::ByteSize {
        fn measure(&self) -> Option<i128> {
            Some(i128::from(self.0))
        }
    }
    impl Measure for String {
        fn measure(&self) -> Option<i128> {
            Some(self.chars().count() as i128)
        }
    }
    impl<T> Measure for Vec<T> {
        fn measure(&self) -> Option<i128> {
            Some(self.len() as i128)
        }
    }
    impl<K, V> Measure for BTreeMap<K, V> {
        fn measure(&self) -> Option<i128> {
            Some(self.len() as i128)
        }
    }
    impl<T: Measure> Measure for Option<T> {
        fn measure(&self) -> Option<i128> {
            self.as_ref().and_then(Measure::measure)
        }
    }

    pub fn check<E: serde::de::Error>(name: &str, value: &impl Measure, min: Option<i64>, max: Option<i64>) -> Result<(), E> {
        let Some(measure) = value.measure() else { return Ok(()) };
        match (min, max) {
            (Some(min), _) if measure < i128::from(min) => Err(E::custom(format_args!("`{name}` is {measure}, the least is {min}"))),
            (_, Some(max)) if measure > i128::from(max) => Err(E::custom(format_args!("`{name}` is {measure}, the most is {max}"))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
