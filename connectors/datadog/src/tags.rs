//! Tags: `name:value`, from the configuration and from the event.
//! Datadog, "Getting started with tags": at most 200 characters, at most 100 tags where a list is bounded.

use bulkhead_sdk::writer::cut;
use bulkhead_sdk::{Event, Field, Pointers, Writer};

use crate::Settings;

const TAG_BYTES: usize = 200;
const MOST: usize = 100;

#[derive(Debug)]
pub struct Tags {
    fixed: Vec<String>,
    fields: Vec<(String, Field)>,
}

/// A letter first, then what Datadog does not turn into an underscore; `:` parts name and value.
fn check(key: &str, name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.bytes().all(plain) || name.len() > 100 {
        return Err(format!("`{key}` names \"{name}\"; a tag begins with a letter and has letters, digits, _ - . / and at most 100 of them"));
    }
    Ok(())
}

impl Tags {
    pub fn new(settings: &Settings, pointers: &mut Pointers) -> Result<Self, String> {
        let (mut fixed, mut fields) = (Vec::new(), Vec::new());
        for (name, value) in settings.tags.iter().flatten() {
            check("tags", name)?;
            if value.is_empty() || name.len() + 1 + value.len() > TAG_BYTES {
                return Err(format!("`tags.{name}` has {} bytes, at least 1 and at most {} are possible", value.len(), TAG_BYTES - name.len() - 1));
            }
            fixed.push(clean(&format!("{name}:{value}")));
        }
        for (name, pointer) in settings.tag_fields.iter().flatten() {
            check("tag_fields", name)?;
            if settings.tags.as_ref().is_some_and(|tags| tags.contains_key(name)) {
                return Err(format!("\"{name}\" is in `tags` and in `tag_fields`"));
            }
            fields.push((format!("{name}:"), pointers.add(&format!("tag_fields.{name}"), pointer)?));
        }
        let count = fixed.len() + fields.len();
        if count > MOST {
            return Err(format!("`tags` and `tag_fields` name {count}, Datadog takes at most {MOST}"));
        }
        Ok(Self { fixed, fields })
    }

    /// Each tag of an event; lists give a tag for each element.
    pub fn each(&self, event: &Event<'_>, mut tag: impl FnMut(&str)) {
        self.fixed.iter().for_each(|text| tag(text));
        let mut left = MOST - self.fixed.len();
        for (begin, field) in &self.fields {
            let value = event.get(*field);
            let elements: Vec<_> = if value.elements().next().is_some() { value.elements().take(left).collect() } else { vec![value] };
            for element in elements {
                let text = element.text().unwrap_or_default();
                if text.is_empty() || left == 0 {
                    continue;
                }
                left -= 1;
                tag(&clean(&String::from_utf8_lossy(cut(&[begin.as_bytes(), &text].concat(), TAG_BYTES))));
            }
        }
    }

    /// As a JSON list with its name, `"tags":[..],`; nothing without tags.
    pub fn write_list(&self, event: &Event<'_>, out: &mut Writer) {
        let start = out.len();
        out.literal(b"\"tags\":[");
        let inside = out.len();
        self.each(event, |tag| {
            out.json_string(tag.as_bytes());
            out.byte(b',');
        });
        if out.len() == inside {
            return out.truncate(start);
        }
        out.truncate(out.len() - 1);
        out.literal(b"],");
    }
}

/// `ddtags` parts tags by commas, so no tag carries one; control characters would show as nothing.
fn clean(tag: &str) -> String {
    tag.chars().map(|letter| if letter == ',' || letter.is_control() { '_' } else { letter }).collect()
}
