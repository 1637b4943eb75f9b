//! `bulkhead new`: a template becomes a folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::embedded::TEMPLATES;
use crate::language::Language;
use crate::manifest::Kind;
use crate::name::Name;
use crate::{embedded, sdk};

/// Where the SDK comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sdk {
    /// The one that this binary was built with is written beside the sources.
    Vendored,
    /// A folder with its `Cargo.toml`, such as `sdk/rust` of a checkout; Rust only.
    Path(PathBuf),
}

/// Why nothing was written, or not all.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    #[error("{} is there already and is not empty; choose another name or empty it", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is there already and is no folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("{} holds no Cargo.toml of bulkhead-sdk", .0.display())]
    NoSdk(PathBuf),
    #[error("only Rust takes an SDK by path; for {} it is a file beside yours", .0.name())]
    NoPath(Language),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Writes a new connector or formatter to `into/NAME` and answers that folder. Nothing is written where something is.
pub fn create(into: &Path, name: &Name, language: Language, kind: Kind, sdk: &Sdk) -> Result<PathBuf, NewError> {
    let folder = into.join(name.as_str());
    match std::fs::read_dir(&folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(NewError::NotEmpty(folder));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(NewError::NotAFolder(folder)),
        Err(source) => return Err(NewError::Write { path: folder, source }),
    }
    let reference = reference(language, sdk)?;
    for (path, text) in files(name, language, kind, sdk, &reference) {
        let path = folder.join(path);
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(&folder))?;
            std::fs::write(&path, text)
        };
        write().map_err(|source| NewError::Write { path: path.clone(), source })?;
    }
    Ok(folder)
}

/// What the author's manifest says of the SDK.
fn reference(language: Language, sdk: &Sdk) -> Result<String, NewError> {
    match (language, sdk) {
        (_, Sdk::Vendored) => Ok(format!("{{ path = \"{}/bulkhead-sdk\" }}", sdk::FOLDER)),
        (Language::Rust, Sdk::Path(path)) => {
            let missing = || NewError::NoSdk(path.clone());
            let full = std::fs::canonicalize(path).map_err(|_| missing())?;
            let text = std::fs::read_to_string(full.join("Cargo.toml")).map_err(|_| missing())?;
            let named = text
                .parse::<toml::Table>()
                .ok()
                .is_some_and(|table| table.get("package").and_then(|package| package.get("name")?.as_str()) == Some("bulkhead-sdk"));
            if !named {
                return Err(missing());
            }
            let path = toml::Value::String(full.to_string_lossy().into_owned());
            Ok(format!("{{ path = {path} }}"))
        }
        (language, Sdk::Path(_)) => Err(NewError::NoPath(language)),
    }
}

/// The files of the folder, by path below it.
fn files(name: &Name, language: Language, kind: Kind, sdk: &Sdk, reference: &str) -> BTreeMap<PathBuf, String> {
    let fill = |text: &str| {
        text.replace("{{name}}", name.as_str())
            .replace("{{snake_name}}", &name.snake())
            .replace("{{sdk}}", reference)
            .replace("{{bulkhead}}", env!("CARGO_PKG_VERSION"))
    };
    let template = |language: Language| {
        let prefix = format!("{}-{}/", language.name(), kind.name());
        TEMPLATES.iter().filter_map(move |(path, text)| {
            let path = path.strip_prefix(&prefix)?;
            Some((PathBuf::from(path.strip_suffix(".tmpl").unwrap_or(path)), fill(text)))
        })
    };
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    // What does not depend on the language stands once: with JavaScript's.
    let shared: &[&str] = match language {
        Language::TypeScript => &["bulkhead_http", "cases", "config.schema.json", "connector.toml", ".github", ".gitignore"],
        Language::C => &["cases", "config.schema.json", "connector.toml"],
        Language::Rust | Language::JavaScript | Language::Python => &[],
    };
    files.extend(template(Language::JavaScript).filter(|(path, _)| path.to_str().is_some_and(|path| shared.iter().any(|part| path.starts_with(part)))));
    files.extend(template(language));
    match language {
        Language::Rust if *sdk == Sdk::Vendored => files.extend(sdk::files()),
        Language::Rust => {}
        Language::JavaScript | Language::TypeScript => files.extend(beside("", embedded::SDK_JS)),
        Language::Python => files.extend(beside("", embedded::SDK_PYTHON)),
        Language::C => files.extend(beside(C_SDK, embedded::SDK_C)),
    }
    files
}

/// Folder of the SDK in C, below the author's.
pub const C_SDK: &str = "bulkhead";

/// An SDK of single files, which go beside the author's own or into a folder there.
fn beside(folder: &'static str, texts: &'static [(&str, &str)]) -> impl Iterator<Item = (PathBuf, String)> {
    texts.iter().map(move |(path, text)| (Path::new(folder).join(path), (*text).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_whole_and_filled() {
        let name: Name = "acme-siem".parse().expect("a name");
        for language in Language::ALL {
            for kind in [Kind::Connector, Kind::Formatter] {
                let dir = tempfile::TempDir::new().expect("a folder");
                let folder = create(dir.path(), &name, language, kind, &Sdk::Vendored).expect("written");
                assert_eq!(Language::of(&folder), Some(language));
                let manifest = crate::Manifest::read(&folder.join(crate::manifest::FILE)).expect("a manifest");
                assert_eq!((manifest.name.as_str(), manifest.kind), ("acme-siem", kind));
                assert!(folder.join("README.md").is_file() && folder.join(".github/workflows/ci.yml").is_file() && folder.join(".gitignore").is_file());
                assert!(std::fs::read_dir(folder.join("cases")).expect("cases").count() >= 2, "{language:?} {kind:?}");
                for (path, text) in files(&name, language, kind, &Sdk::Vendored, "x") {
                    // Braces in pairs are C, too.
                    let open = ["name", "snake_name", "sdk", "bulkhead"].into_iter().find(|word| text.contains(&format!("{{{{{word}}}}}")));
                    assert!(open.is_none() || path.starts_with("vendor"), "{}: {open:?}", path.display());
                    assert!(path.is_relative() && !path.to_string_lossy().contains(".."), "{}", path.display());
                }
            }
        }
    }

    #[test]
    fn what_is_there_stays() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let name: Name = "acme".parse().expect("a name");
        let create = |sdk| create(dir.path(), &name, Language::Rust, Kind::Connector, &sdk);
        std::fs::create_dir(dir.path().join("acme")).expect("made");
        assert!(matches!(create(Sdk::Path(dir.path().into())), Err(NewError::NoSdk(_))));
        create(Sdk::Vendored).expect("an empty folder is taken");
        assert!(matches!(create(Sdk::Vendored), Err(NewError::NotEmpty(_))));
        std::fs::remove_dir_all(dir.path().join("acme")).expect("removed");
        std::fs::write(dir.path().join("acme"), "mine").expect("written");
        assert!(matches!(create(Sdk::Vendored), Err(NewError::NotAFolder(_))));
        assert_eq!(std::fs::read_to_string(dir.path().join("acme")).expect("there"), "mine");
    }
}
