//! `${NAME}`, `${NAME:-default}`, `${file:/path}` in scalar values, after parsing: what is put in stays
//! one scalar, whatever characters it has. `$${` is a literal `${`. Keys are left alone.

use std::io::Read;

use super::fault::{FaultKind, Faults, Span};
use super::tree::{MAX_TEXT, Node, Scalar, Value};

/// Largest file that `${file:…}` reads: secrets and certificates are far smaller.
const MAX_FILE: u64 = 64 << 10;

/// Where variables come from.
pub(super) type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Replaces in the whole tree; what is not there becomes a fault that names it and an empty text.
pub(super) fn interpolate(root: &mut Node, env: &Env<'_>, faults: &mut Faults) {
    let mut walk = Walk { env, faults, room: MAX_TEXT };
    walk.node(root, "");
}

struct Walk<'a, 'e> {
    env: &'a Env<'e>,
    faults: &'a mut Faults,
    room: usize,
}

impl Walk<'_, '_> {
    fn node(&mut self, node: &mut Node, path: &str) {
        match &mut node.value {
            Value::Scalar(scalar) => self.scalar(scalar, node.span, path),
            Value::List(items) => items.iter_mut().enumerate().for_each(|(at, item)| self.node(item, &format!("{path}[{at}]"))),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                self.node(&mut entry.value, &path);
            }),
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar, span: Span, path: &str) {
        if !scalar.text.contains("${") {
            return;
        }
        let template = std::mem::take(&mut scalar.text);
        let mut rest = template.as_str();
        let mut replaced = false;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                scalar.text.push_str(&rest[..at - 1]);
                scalar.text.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            scalar.text.push_str(&rest[..at]);
            let Some(end) = rest[at..].find('}') else {
                self.faults.push(FaultKind::Interpolation, span, path, "`${` without a `}`", Some("write $${ for a literal ${".into()));
                rest = "";
                break;
            };
            let inner = &rest[at + 2..at + end];
            replaced = true;
            match self.resolve(inner) {
                Ok(value) => scalar.text.push_str(&value),
                Err((message, hint)) => self.faults.push(FaultKind::Interpolation, span, path, message, Some(hint)),
            }
            rest = &rest[at + end + 1..];
        }
        scalar.text.push_str(rest);
        if replaced {
            scalar.template = Some(template);
        }
    }

    fn resolve(&mut self, inner: &str) -> Result<String, (String, String)> {
        let value = if let Some(path) = inner.strip_prefix("file:") { read(path)? } else { self.variable(inner)? };
        self.room =
            self.room.checked_sub(value.len()).ok_or_else(|| (format!("more than {MAX_TEXT} bytes in all variables"), "use smaller values".to_owned()))?;
        Ok(value)
    }

    fn variable(&self, inner: &str) -> Result<String, (String, String)> {
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
        let valid = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !valid || default.is_some_and(|default| default.contains("${")) {
            return Err((
                "a `${…}` that is neither ${NAME}, ${NAME:-default} nor ${file:/path}".into(),
                "names are letters, digits and _; a default holds no ${…}; write $${ for a literal ${".into(),
            ));
        }
        let value = (self.env)(name);
        match (value, default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err((format!("the environment variable `{name}` is not set"), format!("set it, or give a default: ${{{name}:-…}}"))),
        }
    }
}

/// A file without its last line break.
fn read(path: &str) -> Result<String, (String, String)> {
    if !path.starts_with('/') {
        return Err((format!("`file:{path}` is not an absolute path"), "write ${file:/absolute/path}".into()));
    }
    let failed = |what: String| (format!("cannot read the file {path}: {what}"), "check the path and who may read it".to_owned());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        return Err(failed(format!("it has more than {MAX_FILE} bytes")));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}
