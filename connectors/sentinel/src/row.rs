//! Rows of both APIs of Azure Monitor: the record with a time, or columns by pointer.

use std::collections::BTreeMap;

use bulkhead_sdk::{Event, Field, Kind, Pointers, RecordFormat, Timestamp, Value, Writer, json};

const BASE: [&str; 2] = ["/time", "/received"];
const TIME: Field = Field(0);
const RECEIVED: Field = Field(1);

/// What rows are like.
#[derive(Debug)]
pub struct Shape {
    /// Name to pointer.
    pub columns: Option<BTreeMap<String, String>>,
    pub record_column: Option<String>,
    pub time_column: String,
    /// Longer fields are cut by Azure without a word.
    pub field_bytes: usize,
    /// Digits of a fraction in the time column.
    pub decimals: usize,
    /// Columns that the API fills itself.
    pub reserved: &'static [&'static str],
}

#[derive(Debug)]
pub struct Rows {
    /// `TimeGenerated`
    time: String,
    field_bytes: usize,
    decimals: usize,
    reserved: &'static [&'static str],
    /// Name, `"Name":` and its field.
    columns: Vec<(String, Vec<u8>, Field)>,
    record: Option<(String, Vec<u8>)>,
    json: bool,
    pointers: Pointers,
}

/// Microsoft, "Create a custom table": a letter first, letters, digits and `_`, at most 45.
fn check(key: &str, name: &str, reserved: &[&str]) -> Result<(), String> {
    if reserved.contains(&name) {
        return Err(format!("`{key}` names the column {name}, which Azure fills itself"));
    }
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
    pub fn new(shape: Shape, format: &RecordFormat) -> Result<Self, String> {
        let Shape { columns: wanted, record_column, time_column, field_bytes, decimals, reserved } = shape;
        check("time_column", &time_column, reserved)?;
        let mut pointers = Pointers::new(&BASE);
        let mut columns = Vec::new();
        for (name, pointer) in wanted.iter().flatten() {
            check("columns", name, reserved)?;
            columns.push((name.clone(), key(name), pointers.add(&format!("columns.{name}"), pointer)?));
        }
        if let Some(name) = &record_column {
            check("record_column", name, reserved)?;
            if *name == time_column || wanted.as_ref().is_some_and(|columns| columns.contains_key(name)) {
                return Err(format!("`record_column` is \"{name}\", which is a column already"));
            }
        }
        let json = format.is_json();
        if columns.is_empty() && record_column.is_none() && !json {
            return Err(format!(
                "rows are JSON, and this lane's format is {} ({}); choose json, or set `columns` or `record_column`",
                format.name, format.content_type
            ));
        }
        let record = record_column.map(|name| (key(&name), name)).map(|(key, name)| (name, key));
        Ok(Self { time: time_column, field_bytes, decimals, reserved, columns, record, json, pointers })
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
            self.fits(name, value)?;
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
                self.fits(Value::plain_text(name), value)?;
                out.bytes(key);
                out.json(value);
                out.byte(b',');
            }
        }
        if let Some((name, key)) = &self.record {
            if record.len() > self.field_bytes {
                return Err(self.too_long(name, record.len()));
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
        let fraction = moment.fraction.get(..self.decimals).unwrap_or(moment.fraction);
        Timestamp { fraction, ..moment }.write_utc(out);
        out.literal(b"\",");
    }

    fn too_long(&self, name: &str, bytes: usize) -> String {
        format!("the column {name} has {bytes} bytes, Azure keeps {}", self.field_bytes)
    }

    /// What would be cut, or take the place of a column of Azure's own.
    fn fits(&self, name: Value<'_>, value: Value<'_>) -> Result<(), String> {
        let bytes = value.raw().len();
        if bytes > self.field_bytes {
            return Err(self.too_long(&String::from_utf8_lossy(&name.text().unwrap_or_default()), bytes));
        }
        match self.reserved.iter().find(|reserved| name.is(reserved)) {
            Some(reserved) => Err(format!("the column {reserved} is one that Azure fills itself")),
            None => Ok(()),
        }
    }
}
