//! Filters, tests and functions that a template may use.

use std::borrow::Cow;

use bulkhead_sdk::time::format::DateFormat;
use bulkhead_sdk::{Timestamp, Writer, base64};
use minijinja::value::Rest;
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value, filters, functions, tests};

use crate::escape;

/// Longest text that `truncate` makes, in characters.
const MAX_TRUNCATE: usize = 1 << 20;

pub fn add(environment: &mut Environment<'_>) {
    // Our own, over the event's values.
    environment.add_filter("json", json);
    environment.add_filter("xml", |state: &State<'_, '_>, value: &Value| escaped(state, value, escape::xml));
    environment.add_filter("csv", |state: &State<'_, '_>, value: &Value| escaped(state, value, escape::csv));
    environment.add_filter("url", |state: &State<'_, '_>, value: &Value| escaped(state, value, escape::url));
    environment.add_filter("cef", |state: &State<'_, '_>, value: &Value| escaped(state, value, escape::cef));
    environment.add_filter("cef_header", |state: &State<'_, '_>, value: &Value| escaped(state, value, escape::cef_header));
    environment.add_filter("base64", base64_of);
    environment.add_filter("date", date);
    environment.add_filter("default", default);
    environment.add_filter("truncate", truncate);
    environment.add_filter("string", string);
    // MiniJinja's.
    environment.add_filter("upper", filters::upper);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("split", filters::split);
    environment.add_filter("join", join);
    environment.add_filter("items", filters::items);
    environment.add_filter("length", filters::length);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("map", filters::map);
    environment.add_filter("select", filters::select);
    environment.add_filter("reject", filters::reject);
    environment.add_filter("round", filters::round);
    environment.add_filter("abs", filters::abs);
    environment.add_filter("int", filters::int);
    environment.add_filter("float", filters::float);

    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("string", tests::is_string);
    environment.add_test("number", tests::is_number);
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);

    environment.add_function("range", functions::range);
    environment.add_function("namespace", functions::namespace);
}

/// Escaped text is written as it is.
fn escaped(state: &State<'_, '_>, value: &Value, rule: impl for<'t> Fn(&'t str) -> Cow<'t, str>) -> Result<Value, Error> {
    escape::known(state, value)?;
    Ok(Value::from_safe_string(rule(&escape::text(state, value)?).into_owned()))
}

fn json(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    escape::known(state, value)?;
    Ok(Value::from_safe_string(escape::json(state, value)?))
}

fn string(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    escape::known(state, value)?;
    Ok(Value::from(escape::text(state, value)?))
}

fn base64_of(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    escape::known(state, value)?;
    let mut out = Writer::default();
    base64::encode(escape::text(state, value)?.as_bytes(), &mut out);
    Ok(Value::from(String::from_utf8_lossy(out.as_bytes())))
}

/// Elements keep their digits, which MiniJinja's own does not know of.
fn join(state: &State<'_, '_>, value: &Value, between: Option<&str>) -> Result<Value, Error> {
    escape::known(state, value)?;
    let mut out = String::new();
    if value.is_undefined() {
        return Ok(Value::from(out));
    }
    for (place, item) in value.try_iter()?.enumerate() {
        let text = escape::text(state, &item)?;
        let between = between.filter(|_| place > 0).unwrap_or_default();
        state.consume_fuel(1 + (between.len() + text.len()) as u64 / 64)?;
        out.push_str(between);
        out.push_str(&text);
    }
    Ok(Value::from(out))
}

/// Another value for what is missing or null; with `true` for what is empty or false as well.
fn default(value: &Value, other: &Value, empty: Option<bool>) -> Value {
    let absent = value.is_undefined() || value.is_none() || empty == Some(true) && !value.is_true();
    if absent { other.clone() } else { value.clone() }
}

/// At most `length` characters, `end` among them.
fn truncate(state: &State<'_, '_>, value: &Value, length: usize, end: Option<&str>) -> Result<Value, Error> {
    escape::known(state, value)?;
    let (text, end) = (escape::text(state, value)?, end.unwrap_or("..."));
    let length = length.min(MAX_TRUNCATE);
    if text.chars().nth(length).is_none() {
        return Ok(Value::from(text));
    }
    let kept = length.saturating_sub(end.chars().count());
    let out: String = text.chars().take(kept).chain(end.chars()).take(length).collect();
    Ok(Value::from(out))
}

/// A time in another form; nothing where the value is no time.
fn date(state: &State<'_, '_>, value: &Value, format: Rest<Value>) -> Result<Value, Error> {
    escape::known(state, value)?;
    let format = match format.as_slice() {
        [format] => format.as_str().unwrap_or_default(),
        _ => return Err(Error::new(ErrorKind::InvalidOperation, "date takes one format, such as date(\"%Y-%m-%d\")")),
    };
    let format = DateFormat::parse(format).map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))?;
    let text = escape::text(state, value)?;
    let Some(moment) = Timestamp::read(text.as_bytes()) else {
        if state.undefined_behavior() == UndefinedBehavior::SemiStrict {
            return Err(Error::new(ErrorKind::InvalidOperation, "the value is no time (RFC 3339, or a number since 1970)"));
        }
        return Ok(Value::UNDEFINED);
    };
    let mut out = Writer::default();
    format.write(&moment, &mut out);
    Ok(Value::from(String::from_utf8_lossy(out.as_bytes())))
}
