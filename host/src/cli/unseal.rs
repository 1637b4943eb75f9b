//! `bulkhead unseal`: sealed fields in any text (records, lines of a SIEM) in the clear again. Nothing but
//! the keys of a configuration is needed; no host runs.
//!
//! A sealed value opens with the id of its event and the pointer it was sealed under. The id is given, or
//! that of the line where the line is a JSON object; the pointer is given, or tried: those of the
//! configuration and the attributes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use bulkhead_core::Attr;
use bulkhead_seal::{Keyring, OpenFault, open_value, sealed_values};
use clap::Args;
use serde_json::{Value, json};

use super::failure::print;
use super::{Exit, Failure, Output, validate};

/// Longest line: an event of 16 MiB, sealed and escaped.
const MAX_LINE: u64 = 64 << 20;
/// Members that hold an event's id in records.
const IDS: [&str; 3] = ["id", "event_id", "eventId"];

#[derive(Debug, Args)]
pub struct UnsealArgs {
    /// The configuration whose `encryption` has the keys.
    #[arg(short, long, env = "BULKHEAD_CONFIG", default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Id of the event, where a line does not say it.
    #[arg(long)]
    event_id: Option<String>,
    /// Pointer of the rule that sealed it, where it is not in the configuration any more.
    #[arg(long)]
    pointer: Option<String>,
    /// A file with text, one event a line; `-` for standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
}

pub fn run(args: &UnsealArgs, output: Output) -> Result<Exit, Failure> {
    let (config, keyring) = validate::with_keyring(&args.config, output)?;
    let Some(keys) = keyring else {
        return Err(Failure::new(Exit::Configuration, "encryption.key", format!("{} names no key", args.config.display())).hint("set `encryption.key`"));
    };
    let pointers = match &args.pointer {
        Some(pointer) => vec![pointer.clone()],
        None => {
            let own = config.instances.iter().filter_map(|instance| instance.rules.as_ref());
            let rules = std::iter::once(&config.encryption.rules).chain(own).flat_map(|rules| rules.pointers().map(str::to_owned));
            rules.chain(Attr::ALL.iter().map(|attr| format!("/{}", attr.name()))).chain(["/original".to_owned()]).collect()
        }
    };
    let unseal = Unseal { keys, pointers, event_id: args.event_id.clone() };
    let mut input: Box<dyn BufRead> = if args.file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(&args.file).map_err(|error| Failure::new(Exit::Failed, "input.open", format!("cannot open {}: {error}", args.file.display())))?;
        Box::new(BufReader::new(file))
    };
    let (mut number, mut failed) = (0_u64, false);
    loop {
        let mut line = String::new();
        let read =
            (&mut input).take(MAX_LINE).read_line(&mut line).map_err(|error| Failure::new(Exit::Failed, "input.read", format!("cannot read: {error}")))?;
        if read == 0 {
            return Ok(if failed { Exit::Failed } else { Exit::Ok });
        }
        number += 1;
        let (opened, values, faults) = unseal.line(line.trim_end_matches(['\n', '\r']));
        failed |= !faults.is_empty();
        for fault in &faults {
            eprintln!("line {number}: {fault}");
        }
        match output {
            Output::Text => print(opened)?,
            Output::Json => print(json!({"schema_version": 1, "line": number, "text": opened, "opened": values, "faults": faults}))?,
        }
    }
}

struct Unseal {
    keys: Keyring,
    pointers: Vec<String>,
    event_id: Option<String>,
}

impl Unseal {
    /// The line in the clear; each value that was opened with its pointer; what could not be opened.
    fn line(&self, line: &str) -> (String, Vec<Value>, Vec<String>) {
        let ids = self.ids(line);
        let (mut out, mut values, mut faults) = (String::with_capacity(line.len()), Vec::new(), Vec::new());
        let mut at = 0;
        for range in sealed_values(line) {
            let quoted = line[..range.start].ends_with('"') && line[range.end..].starts_with('"');
            match self.open(&line[range.clone()], &ids) {
                Ok((pointer, clear)) => {
                    // Within quotes of its own it is the value again; elsewhere a string is its text.
                    let (start, end) = if quoted { (range.start - 1, range.end + 1) } else { (range.start, range.end) };
                    out.push_str(&line[at..start]);
                    match serde_json::from_str(&clear) {
                        Ok(Value::String(text)) if !quoted => out.push_str(&text),
                        _ => out.push_str(&clear),
                    }
                    at = end;
                    values.push(json!({"pointer": pointer, "value": serde_json::from_str::<Value>(&clear).unwrap_or_default()}));
                }
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        out.push_str(&line[at..]);
        (out, values, faults)
    }

    /// Ids to try: what a sealed id was sealed with is the empty one.
    fn ids(&self, line: &str) -> Vec<String> {
        let record: Value = if self.event_id.is_none() { serde_json::from_str(line).unwrap_or_default() } else { Value::Null };
        // Some receivers wrap events: Splunk's envelope has it below `event`.
        let objects = [Some(&record), record.get("event")];
        let found = objects.into_iter().flatten().flat_map(|object| IDS.iter().filter_map(move |name| object.get(name)?.as_str().map(str::to_owned)));
        self.event_id.iter().cloned().chain(found).chain([String::new()]).collect()
    }

    fn open(&self, sealed: &str, ids: &[String]) -> Result<(&str, String), OpenFault> {
        let mut fault = OpenFault::Form;
        for id in ids {
            for pointer in &self.pointers {
                match open_value(&self.keys, sealed, id, pointer) {
                    Ok(clear) => return Ok((pointer, clear)),
                    Err(error) => fault = error,
                }
                // Another id or pointer changes nothing about these.
                if fault != OpenFault::Broken {
                    return Err(fault);
                }
            }
        }
        Err(fault)
    }
}
