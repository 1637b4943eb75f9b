//! Texts, numbers and booleans that a configuration compares an answer with.

use crate::config::Config;
use crate::value::{Kind, Value};

/// One of them. Numbers are equal where they are spelled alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    Text(Vec<u8>),
    /// As JSON spells it.
    Other(Vec<u8>),
}

impl Literal {
    /// `None` for null, lists and objects.
    pub fn of(value: Value<'_>) -> Option<Self> {
        match value.kind() {
            Kind::String | Kind::EscapedString => Some(Self::Text(value.text()?.into_owned())),
            Kind::Number | Kind::Bool => Some(Self::Other(value.raw().to_vec())),
            _ => None,
        }
    }
}

impl Config for Literal {
    const BODY: &'static str = "\"type\":[\"string\",\"number\",\"boolean\"]";

    fn read(value: Value<'_>, at: &str) -> Result<Self, String> {
        Self::of(value).ok_or_else(|| format!("`{at}` must be a text, a number, true or false"))
    }
}

/// A place of a JSON answer, and what it must be there: one of these, or anything but null.
#[derive(Debug, Clone)]
pub struct Expectation {
    pointer: String,
    equals: Option<Vec<Literal>>,
}

impl Expectation {
    /// From the members `pointer` and `equals` below `key`; `None` where neither is given.
    pub fn new(key: &str, pointer: Option<String>, equals: Option<Vec<Literal>>) -> Result<Option<Self>, String> {
        match (pointer, equals) {
            (Some(pointer), equals) => {
                check_pointer(&format!("{key}.pointer"), &pointer)?;
                Ok(Some(Self { pointer, equals }))
            }
            (None, Some(_)) => Err(format!("`{key}.equals` needs `{key}.pointer`, which says what must be equal")),
            (None, None) => Ok(None),
        }
    }

    pub fn holds(&self, answer: Value<'_>) -> bool {
        let value = answer.at(&self.pointer);
        match &self.equals {
            None => value.is_some(),
            Some(list) => Literal::of(value).is_some_and(|value| list.contains(&value)),
        }
    }
}

/// A pointer into an answer; the empty one, the whole answer, is none here.
pub fn check_pointer(key: &str, pointer: &str) -> Result<(), String> {
    if pointer.starts_with('/') { Ok(()) } else { Err(format!("`{key}` is \"{pointer}\"; it is a pointer such as /result/id")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, json};

    fn expect(pointer: &str, equals: Option<&str>) -> Expectation {
        let equals = equals.map(|text| config::read::<Vec<Literal>>(text).unwrap());
        Expectation::new("ack", Some(pointer.to_owned()), equals).unwrap().unwrap()
    }

    #[test]
    fn places_of_an_answer() {
        let answer = json::value(r#"{"ok":true,"n":1.0,"t":"a\nb","none":null,"list":[1]}"#).unwrap();
        for (pointer, equals, want) in [
            ("/ok", Some("[true]"), true),
            ("/ok", Some(r#"["true"]"#), false),
            ("/n", Some("[2,1.0]"), true),
            ("/n", Some("[1]"), false),
            ("/t", Some(r#"["a\u000ab"]"#), true),
            ("/ok", None, true),
            ("/none", None, false),
            ("/list", None, true),
            ("/list", Some("[1]"), false),
            ("/gone", None, false),
        ] {
            assert_eq!(expect(pointer, equals).holds(answer), want, "{pointer} {equals:?}");
        }
        assert!(!expect("/ok", None).holds(Value::MISSING));
    }

    #[test]
    fn what_says_nothing_is_refused() {
        assert!(Expectation::new("ack", None, None).unwrap().is_none());
        assert!(Expectation::new("ack", None, Some(Vec::new())).unwrap_err().contains("`ack.equals` needs `ack.pointer`"));
        assert!(Expectation::new("ack", Some("ok".to_owned()), None).unwrap_err().contains("`ack.pointer` is \"ok\""));
        assert!(config::read::<Vec<Literal>>("[null]").unwrap_err().contains("`[0]` must be a text"));
    }
}
