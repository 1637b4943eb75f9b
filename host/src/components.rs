//! Where components come from: uploads in the registry, then the operator's `connectors_dir`, then what is
//! built into a release (`target/guests` in development). Only what is referenced is ever read.

mod described;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulkhead_registry::{Digest, Index, PublicKey, Registry, RegistryError, Signature, SignatureError};
use bulkhead_sandbox::Limit;

pub use described::{Catalogue, Described};
use described::{Key, Stamp};

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Formatter `cef` is the component `format-cef`.
pub const FORMATTER_PREFIX: &str = "format-";

/// What `connector:` or `formatter:` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// What the name stands for today.
    Name(String),
    /// `name@1.2`: an uploaded version that begins so.
    Version { name: String, version: String },
    /// `sha256:…`: these very bytes.
    Digest(Digest),
}

impl Wanted {
    /// The text of the configuration, which was checked there.
    pub fn connector(text: &str) -> Self {
        match (text.parse(), text.split_once('@')) {
            (Ok(digest), _) => Self::Digest(digest),
            (_, Some((name, version))) => Self::Version { name: name.into(), version: version.into() },
            _ => Self::Name(text.into()),
        }
    }

    pub fn formatter(text: &str) -> Self {
        match Self::connector(text) {
            Self::Name(name) => Self::Name(format!("{FORMATTER_PREFIX}{name}")),
            Self::Version { name, version } => Self::Version { name: format!("{FORMATTER_PREFIX}{name}"), version },
            digest => digest,
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Version { name, version } => write!(f, "{name}@{version}"),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    #[error("there is no component `{name}`; known are: {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("there is no approved version of `{name}` that begins with {version}; there are: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    UnknownVersion { name: String, version: String, known: Vec<String> },
    #[error("there is no uploaded component with the digest {0}")]
    UnknownDigest(Digest),
    #[error("component `{name}` {digest} waits for approval; `bulkhead connector approve {name} {digest}` gives it")]
    NotApproved { name: String, digest: Digest },
    #[error("component `{name}` {digest} was revoked by {by}{}; activate another version", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Revoked { name: String, digest: Digest, by: String, reason: Option<String> },
    #[error("component `{name}` {digest} is not used: {source}")]
    Signature { name: String, digest: Digest, source: SignatureError },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("component `{name}`: {source}")]
    Registry { name: String, source: RegistryError },
}

/// A component that was found.
#[derive(Debug)]
pub struct Found {
    /// The name that it goes by, without its version.
    pub name: String,
    pub bytes: Cow<'static, [u8]>,
    pub digest: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Upload,
    Directory,
    BuiltIn,
}

impl Origin {
    pub fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Directory => "directory",
            Self::BuiltIn => "built-in",
        }
    }
}

/// What signatures uploads must have.
#[derive(Debug, Clone, Default)]
pub struct Signing {
    pub required: bool,
    pub keys: Vec<PublicKey>,
}

/// Finds components by what names them.
#[derive(Debug, Clone)]
pub struct Components {
    uploads: Option<(Arc<Registry>, Arc<Index>)>,
    signing: Signing,
    /// The operator's own; looked at before the built-in ones, so that a custom build can stand in for one.
    own: Option<PathBuf>,
    built: Option<PathBuf>,
}

impl Components {
    pub fn new(connectors_dir: Option<&Path>) -> Self {
        Self { uploads: None, signing: Signing::default(), own: connectors_dir.map(Path::to_owned), built: development_folder() }
    }

    /// With uploads, as `index` has them: the one in force, or one that is being tried.
    pub fn with_uploads(self, registry: &Arc<Registry>, index: Arc<Index>, signing: &Signing) -> Self {
        Self { uploads: Some((Arc::clone(registry), index)), signing: signing.clone(), ..self }
    }

    /// The bytes of a component. An upload must be approved, not revoked, unchanged on disk and, where that is
    /// required, signed; nothing may be revoked, wherever it comes from.
    pub fn read(&self, wanted: &Wanted) -> Result<Found, ComponentError> {
        let found = match (wanted, &self.uploads) {
            (Wanted::Name(name), Some((_, index))) => match index.named(name).and_then(|named| named.active) {
                Some(digest) => self.upload(name, &digest)?,
                None => self.file(name)?,
            },
            (Wanted::Name(name), None) => self.file(name)?,
            (Wanted::Version { name, version }, Some((_, index))) => match index.newest(name, version) {
                Some(found) => self.upload(name, &found.digest)?,
                None => return Err(self.no_version(name, version)),
            },
            (Wanted::Version { name, version }, None) => return Err(self.no_version(name, version)),
            (Wanted::Digest(digest), Some((_, index))) => match index.find(digest) {
                Some((name, _)) => self.upload(name, digest)?,
                None => self.file_of(digest)?,
            },
            (Wanted::Digest(digest), None) => self.file_of(digest)?,
        };
        self.check_revoked(&found.name, &found.digest)?;
        Ok(found)
    }

    /// What an upload is, whatever its state.
    pub fn described_upload(&self, digest: &Digest, catalogue: &Catalogue) -> Option<Arc<Described>> {
        let (registry, _) = self.uploads.as_ref()?;
        let read = || registry.read(digest, Limit::ComponentSize.row().ceiling).ok();
        catalogue.get(Key::Upload(*digest), || read().map(|bytes| Described::of(&bytes)))
    }

    /// What the component is that a name has without the registry, and where it comes from.
    pub fn described_file(&self, name: &str, catalogue: &Catalogue) -> Option<(Origin, Arc<Described>)> {
        if !plain(name) {
            return None;
        }
        for (path, origin) in self.paths(name) {
            match std::fs::metadata(&path) {
                Ok(metadata) => {
                    let key = Key::File(path.clone(), Stamp::from(&metadata));
                    let described = catalogue.get(key, || std::fs::read(&path).ok().map(|bytes| Described::of(&bytes)))?;
                    return Some((origin, described));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(_) => return None,
            }
        }
        let (name, bytes) = EMBEDDED.iter().find(|(known, _)| *known == name)?;
        Some((Origin::BuiltIn, catalogue.get(Key::Embedded(name), || Some(Described::of(bytes)))?))
    }

    /// Where a name's file may lie, in order.
    fn paths(&self, name: &str) -> impl Iterator<Item = (PathBuf, Origin)> {
        let file = format!("{name}.wasm");
        let folders = [(&self.own, Origin::Directory), (&self.built, Origin::BuiltIn)];
        folders.into_iter().filter_map(move |(folder, origin)| Some((folder.as_ref()?.join(&file), origin)))
    }

    /// The component that a name has without the registry.
    pub fn file(&self, name: &str) -> Result<Found, ComponentError> {
        let found = |bytes: Cow<'static, [u8]>| Found { name: name.to_owned(), digest: Digest::of(&bytes), bytes };
        if plain(name) {
            for (path, _) in self.paths(name) {
                match std::fs::read(&path) {
                    Ok(bytes) => return Ok(found(Cow::Owned(bytes))),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(source) => return Err(ComponentError::Read { path, source }),
                }
            }
            if let Some((_, bytes)) = EMBEDDED.iter().find(|(known, _)| *known == name) {
                return Ok(found(Cow::Borrowed(bytes)));
            }
        }
        Err(ComponentError::Unknown { name: name.to_owned(), known: self.names() })
    }

    fn file_of(&self, digest: &Digest) -> Result<Found, ComponentError> {
        let files = self.file_names();
        files.iter().filter_map(|name| self.file(name).ok()).find(|found| found.digest == *digest).ok_or(ComponentError::UnknownDigest(*digest))
    }

    fn upload(&self, name: &str, digest: &Digest) -> Result<Found, ComponentError> {
        let Some((registry, index)) = &self.uploads else { return Err(ComponentError::UnknownDigest(*digest)) };
        self.check_revoked(name, digest)?;
        let version = index.named(name).and_then(|named| named.version(digest)).ok_or(ComponentError::UnknownDigest(*digest))?;
        if version.approved.is_none() {
            return Err(ComponentError::NotApproved { name: name.into(), digest: *digest });
        }
        let bytes = registry.read(digest, Limit::ComponentSize.row().ceiling).map_err(|source| ComponentError::Registry { name: name.into(), source })?;
        if self.signing.required {
            // At every load: a key that the operator no longer pins opens nothing.
            let unsigned = |source| ComponentError::Signature { name: name.into(), digest: *digest, source };
            let signature = version.signature.as_ref().ok_or(SignatureError::Missing).map_err(unsigned)?;
            Signature::parse(signature.as_bytes()).and_then(|signature| signature.verify(&bytes, &self.signing.keys).map(drop)).map_err(unsigned)?;
        }
        Ok(Found { name: name.into(), bytes: Cow::Owned(bytes), digest: *digest })
    }

    fn check_revoked(&self, name: &str, digest: &Digest) -> Result<(), ComponentError> {
        match self.uploads.as_ref().and_then(|(_, index)| index.revocation(digest)) {
            Some(revocation) => {
                Err(ComponentError::Revoked { name: name.into(), digest: *digest, by: revocation.stamp.by.clone(), reason: revocation.reason.clone() })
            }
            None => Ok(()),
        }
    }

    fn no_version(&self, name: &str, version: &str) -> ComponentError {
        let named = self.uploads.as_ref().and_then(|(_, index)| index.named(name));
        let known = named.map(|named| named.versions.iter().map(|version| version.version.clone()).collect()).unwrap_or_default();
        ComponentError::UnknownVersion { name: name.into(), version: version.into(), known }
    }

    /// Names of all components at hand, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.file_names();
        names.extend(self.uploads.iter().flat_map(|(_, index)| index.names().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()));
        names.sort();
        names.dedup();
        names
    }

    /// The same without the guests of a checkout's tests, which lie beside the built-in ones: whatever is built in
    /// has a manifest.
    pub fn shown(&self, catalogue: &Catalogue) -> Vec<String> {
        let of_tests = |name: &str| {
            let uploaded = self.uploads.as_ref().is_some_and(|(_, index)| index.named(name).is_some());
            let bare = |described: Arc<Described>| described.inspection.as_ref().is_some_and(|inspection| inspection.manifest.is_none());
            !uploaded && self.described_file(name, catalogue).is_some_and(|(origin, described)| origin == Origin::BuiltIn && bare(described))
        };
        let mut names = self.names();
        names.retain(|name| !of_tests(name));
        names
    }

    fn file_names(&self) -> Vec<String> {
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

/// A name is one path segment, so that it cannot lead out of the folders.
fn plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) && !name.starts_with('.')
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
