//! What goes into a statement: the four kinds of value that both engines keep.

use std::sync::Arc;

/// A parameter. `bool` is a number, 0 or 1, as the tables have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! from {
    ($($type:ty => |$value:ident| $made:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        })*
    };
}

from! {
    i64 => |value| Self::Integer(Some(value));
    &i64 => |value| Self::Integer(Some(*value));
    i32 => |value| Self::Integer(Some(i64::from(value)));
    u32 => |value| Self::Integer(Some(i64::from(value)));
    Option<i64> => |value| Self::Integer(value);
    bool => |value| Self::Integer(Some(i64::from(value)));
    String => |value| Self::Text(Some(value));
    &String => |value| Self::Text(Some(value.clone()));
    &str => |value| Self::Text(Some(value.to_owned()));
    Arc<str> => |value| Self::Text(Some(value.to_string()));
    &Arc<str> => |value| Self::Text(Some(value.to_string()));
    Option<String> => |value| Self::Text(value);
    &Option<String> => |value| Self::Text(value.clone());
    Option<&str> => |value| Self::Text(value.map(str::to_owned));
    Vec<u8> => |value| Self::Bytes(Some(value));
    &Vec<u8> => |value| Self::Bytes(Some(value.clone()));
    &[u8] => |value| Self::Bytes(Some(value.to_vec()));
    Option<Vec<u8>> => |value| Self::Bytes(value);
    Option<&[u8]> => |value| Self::Bytes(value.map(<[u8]>::to_vec));
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(value: &[u8; N]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

/// Parameters of a statement in the order of `$1`, `$2` …
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        ::std::vec![$($crate::Value::from($value)),*]
    };
}
