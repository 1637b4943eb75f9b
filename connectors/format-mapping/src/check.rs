//! What a value must be like.

use regex_lite::Regex;

use crate::item::Item;
use crate::settings::Check;
use crate::transform::regex;

#[derive(Debug)]
pub struct Checker {
    check: Check,
    pattern: Option<Regex>,
}

impl Checker {
    pub fn compile(check: Check, key: &str) -> Result<Self, String> {
        let pattern = check.pattern.as_deref().map(|pattern| regex(pattern, &format!("{key}.pattern"))).transpose()?;
        if check.min.zip(check.max).is_some_and(|(min, max)| min > max) {
            return Err(format!("`{key}.min` is above `{key}.max`"));
        }
        if check.min_length.zip(check.max_length).is_some_and(|(min, max)| min > max) {
            return Err(format!("`{key}.min_length` is above `{key}.max_length`"));
        }
        Ok(Self { check, pattern })
    }

    /// The rule that the value breaks.
    pub fn broken(&self, item: &Item<'_>) -> Option<String> {
        let Check { one_of, min, max, min_length, max_length, pattern } = &self.check;
        let text = item.text();
        if let Some(allowed) = one_of
            && !text.as_deref().is_some_and(|text| allowed.iter().any(|own| own == text))
        {
            return Some(format!("it is none of {}", shown(allowed)));
        }
        if let Some(regex) = &self.pattern
            && !text.as_deref().is_some_and(|text| regex.is_match(text))
        {
            return Some(format!("it does not match {}", pattern.as_deref().unwrap_or_default()));
        }
        if min.is_some() || max.is_some() {
            let Some(number) = item.digits().and_then(|digits| digits.parse::<f64>().ok()) else { return Some("it is no number".to_owned()) };
            if let Some(min) = min.filter(|min| number < *min) {
                return Some(format!("it is less than {min}"));
            }
            if let Some(max) = max.filter(|max| number > *max) {
                return Some(format!("it is more than {max}"));
            }
        }
        if min_length.is_some() || max_length.is_some() {
            let (length, what) = match item.count() {
                Some(count) => (count, "elements"),
                None => (text.as_deref().map_or(0, |text| text.chars().count()), "characters"),
            };
            if let Some(min) = min_length.filter(|min| length < *min as usize) {
                return Some(format!("it has {length} {what}, the least is {min}"));
            }
            if let Some(max) = max_length.filter(|max| length > *max as usize) {
                return Some(format!("it has {length} {what}, the most is {max}"));
            }
        }
        None
    }
}

/// A few of the texts, as a sentence has them.
fn shown(texts: &[String]) -> String {
    const SHOWN: usize = 10;
    let more = if texts.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", texts.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", "))
}
