//! What the operator reads about a guest is true: its page is there and whole, names every key of its
//! configuration and no other, with the default that the schema carries.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use bulkhead_conformance::Guest;
use bulkhead_tests::host::root;
use serde_json::Value;

/// Sections of a connector's page, in this order; others may stand between them.
const SECTIONS: [&str; 7] = ["Grants", "Configuration", "Delivery", "Limits", "Errors", "Example", "Sources"];

/// The page of formats, a section each.
const FORMATS: &str = "docs/operators/formats.md";

const HEADER: [&str; 3] = ["key", "default", "meaning"];

pub fn page_is_true(guest: &Guest) -> Result<()> {
    let manifest = guest.inspection.manifest.as_ref().context("the component carries no manifest")?;
    let schema: Value = serde_json::from_str(manifest.config_schema.as_ref().context("the manifest has no schema of the configuration")?.get())?;
    let docs = manifest.docs.as_deref().context("connector.toml names no `docs`")?;
    let formatter = guest.name.strip_prefix("format-");
    let file = if formatter.is_some() { FORMATS.to_owned() } else { format!("docs/connectors/{}.md", guest.name) };
    let wanted = formatter.map_or_else(|| file.clone(), |name| format!("{FORMATS}#{name}"));
    ensure!(docs == wanted, "connector.toml has `docs = \"{docs}\"`, the page is {wanted}");
    let page = std::fs::read_to_string(root().join(&file)).with_context(|| file.clone())?;
    let sections = sections(&page);
    let of = |title: &str| sections.iter().find(|(own, _)| *own == title).map(|(_, text)| text.as_str());

    let configuration = match formatter {
        Some(name) => of(name).with_context(|| format!("{file} has no section `## {name}`"))?,
        None => {
            let there: Vec<&str> = sections.iter().map(|(title, _)| *title).filter(|title| SECTIONS.contains(title)).collect();
            ensure!(there == SECTIONS, "{file} has the sections {there:?}; these are needed once each, in this order: {SECTIONS:?}");
            let empty: Vec<&&str> = SECTIONS.iter().filter(|title| of(title).is_none_or(|text| text.trim().is_empty())).collect();
            ensure!(empty.is_empty(), "{file} has nothing in {empty:?}");
            for want in &manifest.wants {
                let name = format!("`{}`", want.name.as_deref().unwrap_or(&want.interface));
                let told = of("Grants").unwrap_or_default().lines().any(|line| line.starts_with("- ") && line.contains(&name));
                ensure!(told, "{file}: `## Grants` has no line with {name}, which connector.toml wants");
            }
            of("Configuration").unwrap_or_default()
        }
    };
    compare(&rows(configuration).with_context(|| file.clone())?, &keys(&schema)).with_context(|| file)
}

/// Titles of the second level and what stands below each; headings inside code blocks are code.
fn sections(page: &str) -> Vec<(&str, String)> {
    let mut sections: Vec<(&str, String)> = Vec::new();
    let mut code = false;
    for line in page.lines() {
        code ^= line.starts_with("```");
        match line.strip_prefix("## ").filter(|_| !code) {
            Some(title) => sections.push((title.trim(), String::new())),
            None => {
                if let Some((_, text)) = sections.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    sections
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    // A bar inside a cell is written with a backslash.
    let cells = inner.replace("\\|", "\u{1}");
    Some(cells.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect())
}

/// Keys of the section's configuration tables with their default cells.
fn rows(section: &str) -> Result<BTreeMap<String, String>> {
    let mut rows = BTreeMap::new();
    let mut inside = false;
    for line in section.lines() {
        let Some(cells) = cells(line) else {
            inside = false;
            continue;
        };
        if cells == HEADER {
            inside = true;
            continue;
        }
        if !inside || cells.iter().all(|cell| cell.bytes().all(|byte| matches!(byte, b'-' | b':'))) {
            continue;
        }
        let [key, default, meaning] = cells.as_slice() else { bail!("a row with {} cells: {line}", cells.len()) };
        ensure!(!meaning.is_empty() || !default.is_empty(), "a row that says nothing: {line}");
        let names = names(key)?;
        let defaults: Vec<&str> = default.split(", ").collect();
        for (place, name) in names.iter().enumerate() {
            // Several keys of one row share a default, or have one each.
            let own = if names.len() > 1 && defaults.len() == names.len() { defaults[place] } else { default };
            ensure!(rows.insert(name.clone(), own.to_owned()).is_none(), "`{name}` stands in two rows");
        }
    }
    Ok(rows)
}

/// The keys of a cell: `` `severity.info` `.low` `` is `severity.info` and `severity.low`.
fn names(cell: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in cell.split('`').skip(1).step_by(2) {
        let full = match (name.strip_prefix('.'), names.last()) {
            (Some(end), Some(before)) => format!("{}.{end}", before.rsplit_once('.').map_or("", |(parent, _)| parent)),
            _ => name.to_owned(),
        };
        names.push(full);
    }
    ensure!(!names.is_empty(), "a row whose key is not in backticks: {cell}");
    Ok(names)
}

/// What a schema says of one key.
#[derive(Default)]
struct Key {
    default: Option<Value>,
    /// It has keys of its own, which the table names instead.
    parent: bool,
}

/// All keys of a schema, nested ones with dots. Maps of plain values are one key.
fn keys(schema: &Value) -> BTreeMap<String, Key> {
    let mut found = BTreeMap::new();
    collect(schema, "", &mut found);
    found
}

fn collect(schema: &Value, prefix: &str, found: &mut BTreeMap<String, Key>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        // Structs stand by themselves, in lists, or as values of maps.
        let nested = [property, &property["items"], &property["additionalProperties"]].into_iter().find(|inner| inner["properties"].is_object());
        if let Some(inner) = nested {
            collect(inner, &format!("{name}."), found);
        }
        found.insert(name, Key { default: property.get("default").cloned(), parent: nested.is_some() });
    }
}

fn compare(rows: &BTreeMap<String, String>, keys: &BTreeMap<String, Key>) -> Result<()> {
    let untold: Vec<&String> = keys.iter().filter(|(name, key)| !key.parent && !rows.contains_key(*name)).map(|(name, _)| name).collect();
    ensure!(untold.is_empty(), "the configuration table lacks {untold:?}");
    for (name, told) in rows {
        let key = keys.get(name).with_context(|| format!("the configuration table names `{name}`, which the schema does not have"))?;
        let Some(default) = key.default.as_ref().filter(|_| !key.parent) else { continue };
        let plain = told.trim_matches(['`', '"']);
        let wanted = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        let same = plain == wanted || (wanted.is_empty() && plain == "empty");
        ensure!(same, "the default of `{name}` is {wanted}, the page says {told}");
    }
    Ok(())
}
