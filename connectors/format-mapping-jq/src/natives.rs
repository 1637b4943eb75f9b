//! Functions of jq that are built in here: regular expressions, by the engine that the rows' patterns use, and the
//! formats `@base64`, `@base64d`, `@uri` and `@html`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bulkhead_sdk::{Writer, base64, http};
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Cv, Error, ValR};
use jaq_json::{Map, Val};
use regex_lite::{Captures, Regex, RegexBuilder};

use crate::program::Data;
use crate::transform::{PATTERN_BYTES, PATTERN_NESTING};

/// Patterns of a program that are kept compiled; a program may make them from what events hold.
const MOST_PATTERNS: usize = 64;

thread_local! { static PATTERNS: RefCell<BTreeMap<(String, String), Regex>> = const { RefCell::new(BTreeMap::new()) }; }

pub fn all() -> impl Iterator<Item = Fun<Data>> {
    let list: [jaq_core::native::Filter<jaq_core::RunPtr<Data>>; 7] = [
        ("matches", v(2), |cv| bome(found(cv, true, false))),
        ("split_matches", v(2), |cv| bome(found(cv, true, true))),
        ("split_", v(2), |cv| bome(found(cv, false, true))),
        ("encode_base64", v(0), |cv| bome(spelled(&cv.1, base64::encode))),
        ("decode_base64", v(0), |cv| bome(decoded(&cv.1))),
        ("encode_uri", v(0), |cv| bome(spelled(&cv.1, |text, out| out.bytes(http::percent(text).as_bytes())))),
        ("escape_html", v(0), |cv| bome(spelled(&cv.1, html))),
    ];
    list.into_iter().map(run::<Data>)
}

fn html(text: &[u8], out: &mut Writer) {
    for byte in text {
        match byte {
            b'<' => out.literal(b"&lt;"),
            b'>' => out.literal(b"&gt;"),
            b'&' => out.literal(b"&amp;"),
            b'\'' => out.literal(b"&#39;"),
            b'"' => out.literal(b"&quot;"),
            other => out.byte(*other),
        }
    }
}

fn text(value: &Val) -> Result<&str, Error<Val>> {
    match value {
        Val::TStr(bytes) => std::str::from_utf8(bytes).map_err(|_| Error::str("a text that is not UTF-8")),
        other => Err(Error::typ(other.clone(), "string")),
    }
}

fn spelled(value: &Val, write: impl FnOnce(&[u8], &mut Writer)) -> ValR<Val> {
    let mut out = Writer::default();
    write(text(value)?.as_bytes(), &mut out);
    Ok(Val::utf8_str(out.into_bytes()))
}

fn decoded(value: &Val) -> ValR<Val> {
    let bytes = base64::decode(text(value)?.as_bytes()).ok_or_else(|| Error::str("no base64"))?;
    String::from_utf8(bytes).map(Val::from).map_err(|_| Error::str("base64 of what is no text"))
}

/// What jq's flags ask for.
#[derive(Debug, Default)]
struct Flags {
    global: bool,
    no_empty: bool,
}

/// A pattern within the limits of all patterns, compiled once.
fn pattern(pattern: &str, flags: &str) -> Result<(Regex, Flags), Error<Val>> {
    let mut own = Flags::default();
    for flag in flags.chars() {
        match flag {
            'g' => own.global = true,
            'n' => own.no_empty = true,
            'i' | 'x' | 's' | 'm' | 'l' | 'p' => {}
            _ => return Err(Error::str("there is no such flag")),
        }
    }
    let has = |flag| flags.contains(flag);
    let compiled = PATTERNS.with_borrow_mut(|known| {
        let key = (pattern.to_owned(), flags.to_owned());
        if let Some(regex) = known.get(&key) {
            return Ok(regex.clone());
        }
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(PATTERN_BYTES).nest_limit(PATTERN_NESTING).case_insensitive(has('i')).ignore_whitespace(has('x')).swap_greed(has('l'));
        builder.multi_line(has('m') || has('p')).dot_matches_new_line(has('s') || has('p'));
        let regex = builder.build().map_err(|_| Error::str("no pattern"))?;
        if known.len() >= MOST_PATTERNS {
            known.clear();
        }
        known.insert(key, regex.clone());
        Ok(regex)
    });
    compiled.map(|regex| (regex, own))
}

/// The matches of a pattern, each a list of its groups, and what stands between them as texts.
fn found(mut cv: Cv<'_, Data>, matches: bool, between: bool) -> ValR<Val> {
    let (flags, asked) = (cv.0.pop_var(), cv.0.pop_var());
    let (regex, flags) = pattern(text(&asked)?, text(&flags)?)?;
    let subject = text(&cv.1)?;
    let (mut list, mut last, mut before) = (Vec::new(), 0, Place::default());
    for groups in regex.captures_iter(subject) {
        let Some(whole) = groups.get(0) else { break };
        if flags.no_empty && whole.as_str().is_empty() {
            continue;
        }
        if between {
            list.push(Val::from(subject.get(last..whole.start()).unwrap_or_default().to_owned()));
            last = whole.end();
        }
        if matches {
            list.push(listed(&regex, &groups, subject, before.at(subject, whole.start())));
        }
        if !flags.global {
            break;
        }
    }
    if between {
        list.push(Val::from(subject.get(last..).unwrap_or_default().to_owned()));
    }
    Ok(list.into_iter().collect())
}

/// A place in a text, by bytes and by characters.
#[derive(Debug, Default)]
struct Place {
    bytes: usize,
    characters: usize,
}

impl Place {
    /// Characters before a place that lies further on.
    fn at(&mut self, text: &str, bytes: usize) -> usize {
        self.characters += count(text, self.bytes, bytes);
        self.bytes = bytes;
        self.characters
    }
}

fn count(text: &str, start: usize, end: usize) -> usize {
    text.get(start..end).unwrap_or_default().chars().count()
}

/// The groups of a match that begins behind so many characters.
fn listed(regex: &Regex, groups: &Captures<'_>, subject: &str, before: usize) -> Val {
    let start = groups.get(0).map_or(0, |whole| whole.start());
    let group = |(group, name): (Option<regex_lite::Match<'_>>, Option<&str>)| {
        let group = group?;
        let mut object = Map::default();
        let mut add = |name: &str, value: Val| drop(object.insert(Val::from(name.to_owned()), value));
        add("offset", Val::from(before + count(subject, start, group.start())));
        add("length", Val::from(group.as_str().chars().count()));
        add("string", Val::from(group.as_str().to_owned()));
        if let Some(name) = name {
            add("name", Val::from(name.to_owned()));
        }
        Some(Val::obj(object))
    };
    groups.iter().zip(regex.capture_names()).filter_map(group).collect()
}
