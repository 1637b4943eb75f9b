//! `bulkhead export`, `import` and `diff`: the stored entries of a running host as files that fit for version
//! control, one for each, in a folder for each section: `instances/siem.json`. An import reads such a folder, or
//! one file with sections as `bulkhead.yaml` has them; in both YAML does too, and `${…}` is filled in here, from
//! this environment. Secrets are not exported: they read `(hidden)`, and an import leaves them as they are.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::failure::print;
use super::http_client::{Server, block_on};
use super::{Exit, Failure, Output, validate};
use crate::config::{Config, Section, environment};

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    to: Server,
    /// The folder; made where it is missing. Files of entries that are no longer there go.
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(flatten)]
    to: Server,
    /// A folder as `export` writes it, or one YAML or JSON file with sections.
    from: PathBuf,
    /// Delete stored entries that are not there.
    #[arg(long)]
    prune: bool,
    /// Change nothing; say what would be different. Exits 10 where something would.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    #[command(flatten)]
    to: Server,
    /// A folder as `export` writes it, or one YAML or JSON file with sections.
    from: PathBuf,
    /// Leave out stored entries that are not there.
    #[arg(long)]
    no_prune: bool,
}

/// Endings of files that are read.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

pub fn export(args: &ExportArgs, output: Output) -> Result<Exit, Failure> {
    let answer = value(&block_on(args.to.send(reqwest::Method::GET, "export", None))?)?;
    let entries = answer["data"].as_array().cloned().unwrap_or_default();
    let failed = |path: &Path, error: &std::io::Error| Failure::new(Exit::Failed, "export.write", format!("{}: {error}", path.display()));
    for section in Section::ALL {
        let folder = args.dir.join(section.name());
        std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        let own = || entries.iter().filter(|entry| entry["section"] == section.name());
        for file in files(&folder)? {
            let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if !own().any(|entry| entry["name"] == stem.as_str() && file.extension().is_some_and(|ending| ending == "json")) {
                std::fs::remove_file(&file).map_err(|error| failed(&file, &error))?;
            }
        }
        for entry in own() {
            // Names are letters, digits, `.`, `_` and `-`, and begin with a letter or digit.
            let file = folder.join(format!("{}.json", entry["name"].as_str().unwrap_or_default()));
            let text = format!("{:#}\n", sorted(&entry["definition"]));
            std::fs::write(&file, text).map_err(|error| failed(&file, &error))?;
        }
    }
    match output {
        Output::Json => print(json!({"schema_version": 1, "dir": args.dir, "entries": entries.len()}))?,
        Output::Text => print(format!("{} entries written to {}", entries.len(), args.dir.display()))?,
    }
    Ok(Exit::Ok)
}

/// The same order of keys each time.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|key| (key.clone(), sorted(&map[key]))).collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

pub fn import(args: &ImportArgs, output: Output) -> Result<Exit, Failure> {
    let changes = send(&args.to, &args.from, args.prune, args.dry_run, output)?;
    Ok(if args.dry_run && changes > 0 { Exit::Different } else { Exit::Ok })
}

pub fn diff(args: &DiffArgs, output: Output) -> Result<Exit, Failure> {
    let changes = send(&args.to, &args.from, !args.no_prune, true, output)?;
    Ok(if changes > 0 { Exit::Different } else { Exit::Ok })
}

/// How many entries are different.
fn send(to: &Server, from: &Path, prune: bool, dry_run: bool, output: Output) -> Result<usize, Failure> {
    let entries = if from.is_dir() { folder(from, output)? } else { file(from, output)? };
    let body = json!({"entries": entries, "prune": prune}).to_string();
    let answer = value(&block_on(to.send(reqwest::Method::POST, &format!("import?dry_run={dry_run}"), Some(body)))?)?;
    let data = &answer["data"];
    let changes = data["entries"].as_array().map_or(&[][..], Vec::as_slice);
    match output {
        Output::Json => {
            let mut shown = data.clone();
            shown["schema_version"] = 1.into();
            print(shown)?;
        }
        Output::Text => {
            for change in changes {
                let word = |key: &str| change[key].as_str().unwrap_or_default().to_owned();
                let sign = match change["change"].as_str() {
                    Some("made") => '+',
                    Some("deleted") => '-',
                    _ => '~',
                };
                let pointers: Vec<&str> = change["pointers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                print(format!("{sign} {}/{} {}", word("section"), word("name"), pointers.join(" ")).trim_end().to_owned())?;
            }
            let what = if dry_run { "would be different" } else { "changed" };
            print(format!("{} of {} entries {what}", changes.len(), entries.len().max(changes.len())))?;
        }
    }
    Ok(changes.len())
}

/// `section/name.json` and the like.
fn folder(dir: &Path, output: Output) -> Result<Vec<Value>, Failure> {
    let mut entries = Vec::new();
    for section in Section::ALL {
        for path in files(&dir.join(section.name()))? {
            let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            entries.push(entry(section, &name, read(&path, output)?));
        }
    }
    Ok(entries)
}

/// One file with sections; a route's `id` is its name.
fn file(path: &Path, output: Output) -> Result<Vec<Value>, Failure> {
    let Value::Object(sections) = read(path, output)? else { return Ok(Vec::new()) };
    let wrong = |what: String| Failure::new(Exit::Configuration, "import.section", format!("{}: {what}", path.display()));
    let mut entries = Vec::new();
    for (name, content) in sections {
        let Some(section) = Section::named(&name) else {
            let known = Section::ALL.map(Section::name).join(", ");
            return Err(wrong(format!("`{name}` is no section that can be stored; these are {known}")));
        };
        match content {
            Value::Object(named) if section != Section::Routes => entries.extend(named.into_iter().map(|(name, definition)| entry(section, &name, definition))),
            Value::Array(routes) if section == Section::Routes => {
                for route in routes {
                    let Value::Object(mut route) = route else { return Err(wrong("a route is a map".into())) };
                    let Some(Value::String(id)) = Map::remove(&mut route, "id") else { return Err(wrong("a route has no `id`".into())) };
                    entries.push(entry(section, &id, Value::Object(route)));
                }
            }
            Value::Null => {}
            _ => return Err(wrong(format!("`{name}` is not what it is in bulkhead.yaml"))),
        }
    }
    Ok(entries)
}

fn entry(section: Section, name: &str, definition: Value) -> Value {
    json!({"section": section.name(), "name": name, "definition": definition})
}

/// Those of a folder that are read, in the order of their names; none where there is no folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, "import.read", format!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    let listed = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        listed => listed.map_err(failed)?,
    };
    for item in listed {
        let path = item.map_err(failed)?.path();
        if path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A YAML or JSON file, or standard input for `-`, with `${…}` filled in.
pub(super) fn read(path: &Path, output: Output) -> Result<Value, Failure> {
    let text = if path.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    let text = text.map_err(|error| Failure::new(Exit::Failed, "import.read", format!("{}: {error}", path.display())))?;
    Config::document(path, &text, &environment).map_err(|faults| match validate::report(path, &faults, output) {
        Err(failure) => failure,
        Ok(()) => Failure::new(Exit::Configuration, "import.faults", format!("{} cannot be read", path.display())),
    })
}

fn value(answer: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(answer).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))
}
