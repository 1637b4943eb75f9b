//! Rows: the record with a time, or columns by pointer.

use bulkhead_sdk::{Event, Field, Kind, Pointers, RecordFormat, Timestamp, Value, Writer, json};

use crate::Settings;

const BASE: [&str; 2] = ["/time", "/received"];
const TIME: Field = Field(0);
const RECEIVED: Field = Field(1);

/// Longer fields are cut by Azure without a word.
const FIELD_BYTES: usize = 64 * 1024;
/// Digits of a fraction that a `datetime` column holds.
const DIGITS: usize = 7;

#[derive(Debug)]
pub struct Rows {
    /// `TimeGenerated`
    time: String,
    /// Name, `"Name":` and its field.
    columns: Vec<(String, Vec<u8>, Field)>,
    record: Option<(String, Vec<u8>)>,
    json: bool,
    pointers: Pointers,
}

/// Microsoft, "Create a custom table": a letter first, letters, digits and `_`, at most 45.
fn check(key: &str, name: &str) -> Result<(), String> {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !letters || !name.starts_with(|first: char| first.is_ascii_alphabetic()) || name.len() > 45 {
        return Err(format!("`{key}` names the column \"{name}\"; it begins with a letter and has letters, digits and _, at most 45"));
    }
    Ok(())
}

fn key(name: &str) -> Vec<u8> {
    format!("\"{name}\":").into_bytes()
}

impl Rows {
    pub fn new(settings: Settings, format: &RecordFormat) -> Result<Self, String> {
        check("time_column", &settings.time_column)?;
        let mut pointers = Pointers::new(&BASE);
        let mut columns = Vec::new();
        for (name, pointer) in settings.columns.iter().flatten() {
            check("columns", name)?;
            columns.push((name.clone(), key(name), pointers.add(&format!("columns.{name}"), pointer)?));
        }
        if let Some(name) = &settings.record_column {
            check("record_column", name)?;
            if *name == settings.time_column || settings.columns.as_ref().is_some_and(|columns| columns.contains_key(name)) {
                return Err(format!("`record_column` is \"{name}\", which is a column already"));
            }
        }
        let json = format.is_json();
        if columns.is_empty() && settings.record_column.is_none() && !json {
            return Err(format!(
                "rows are JSON, and this lane's format is {} ({}); choose json, or set `columns` or `record_column`",
                format.name, format.content_type
            ));
        }
        let record = settings.record_column.map(|name| (key(&name), name)).map(|(key, name)| (name, key));
        Ok(Self { time: settings.time_column, columns, record, json, pointers })
    }

    pub fn pointers(&self) -> Vec<&str> {
        self.pointers.all()
    }

    pub fn write(&self, record: &[u8], event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let record = record.trim_ascii();
        if self.columns.is_empty() && self.record.is_none() { self.write_record(record, event, out) } else { self.write_columns(record, event, out) }
    }

    /// The record as it is, with a time in front where it has none.
    fn write_record(&self, record: &[u8], event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        let row = std::str::from_utf8(record).ok().and_then(json::value).filter(|row| row.kind() == Kind::Object);
        let row = row.ok_or("the record is no JSON object, which a row is")?;
        let mut timed = false;
        for (name, value) in row.members() {
            fits(&String::from_utf8_lossy(&name.text().unwrap_or_default()), value)?;
            timed |= name.is(&self.time);
        }
        out.byte(b'{');
        let inside = record.get(1..).unwrap_or_default();
        if !timed {
            self.write_time(event, out);
            if inside.trim_ascii_start().starts_with(b"}") && out.as_bytes().last() == Some(&b',') {
                out.truncate(out.len() - 1);
            }
        }
        out.bytes(inside);
        Ok(())
    }

    fn write_columns(&self, record: &[u8], event: &Event<'_>, out: &mut Writer) -> Result<(), String> {
        out.byte(b'{');
        let own = self.columns.iter().find(|(name, ..)| *name == self.time).map(|(.., field)| event.get(*field));
        if !own.is_some_and(|value| value.is_some()) {
            self.write_time(event, out);
        }
        for (name, key, field) in &self.columns {
            let value = event.get(*field);
            if value.is_some() {
                fits(name, value)?;
                out.bytes(key);
                out.json(value);
                out.byte(b',');
            }
        }
        if let Some((name, key)) = &self.record {
            if record.len() > FIELD_BYTES {
                return Err(too_long(name, record.len()));
            }
            out.bytes(key);
            if self.json && !record.is_empty() {
                out.bytes(record);
            } else {
                out.json_string(record);
            }
            out.byte(b',');
        }
        // The time or a column was written: an event has been received at some time.
        if out.as_bytes().last() == Some(&b',') {
            out.truncate(out.len() - 1);
        }
        out.byte(b'}');
        Ok(())
    }

    /// `"TimeGenerated":"2026-01-02T03:04:05.123Z",`
    fn write_time(&self, event: &Event<'_>, out: &mut Writer) {
        let Some(moment) = event.time([TIME, RECEIVED]) else {
            // Intake leaves neither out.
            return;
        };
        out.bytes(&key(&self.time));
        out.byte(b'"');
        let fraction = moment.fraction.get(..DIGITS).unwrap_or(moment.fraction);
        Timestamp { fraction, ..moment }.write_utc(out);
        out.literal(b"\",");
    }
}

fn too_long(name: &str, bytes: usize) -> String {
    format!("the column {name} has {bytes} bytes, Azure keeps {FIELD_BYTES}")
}

fn fits(name: &str, value: Value<'_>) -> Result<(), String> {
    let bytes = value.raw().len();
    if bytes > FIELD_BYTES { Err(too_long(name, bytes)) } else { Ok(()) }
}
