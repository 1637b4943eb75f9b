//! Where components come from: built into a release, `target/guests` in development, and the operator's
//! `connectors_dir`. Only what is referenced is ever read.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Formatter `cef` is the component `format-cef`.
pub const FORMATTER_PREFIX: &str = "format-";

#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    #[error("there is no component `{name}`; known are: {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
}

/// Finds components by name.
#[derive(Debug, Clone)]
pub struct Components {
    /// The operator's own; looked at first, so that a custom build can stand in for a built-in one.
    own: Option<PathBuf>,
    built: Option<PathBuf>,
}

impl Components {
    pub fn new(connectors_dir: Option<&Path>) -> Self {
        Self { own: connectors_dir.map(Path::to_owned), built: development_folder() }
    }

    /// The bytes of a component, by name.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, ComponentError> {
        // A name is one path segment, so that it cannot lead out of the folders.
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) && !name.starts_with('.');
        if plain {
            for folder in [&self.own, &self.built].into_iter().flatten() {
                let path = folder.join(format!("{name}.wasm"));
                match std::fs::read(&path) {
                    Ok(bytes) => return Ok(Cow::Owned(bytes)),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(source) => return Err(ComponentError::Read { path, source }),
                }
            }
            if let Some((_, bytes)) = EMBEDDED.iter().find(|(known, _)| *known == name) {
                return Ok(Cow::Borrowed(bytes));
            }
        }
        Err(ComponentError::Unknown { name: name.to_owned(), known: self.names() })
    }

    /// Names of all components at hand, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect();
        for folder in [&self.own, &self.built].into_iter().flatten() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            names.extend(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".wasm").map(str::to_owned)));
        }
        names.sort();
        names.dedup();
        names
    }
}

/// `target/guests` of the checkout that built this binary; `BULKHEAD_GUESTS` names another.
fn development_folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("BULKHEAD_GUESTS") {
        return Some(folder.into());
    }
    if !EMBEDDED.is_empty() {
        return None;
    }
    // target/<profile>/bulkhead lies beside target/guests.
    let folder = std::env::current_exe().ok()?.parent()?.parent()?.join("guests");
    folder.is_dir().then_some(folder)
}
