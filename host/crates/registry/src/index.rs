//! What is known of every uploaded component: pure, so that each rule is a test of its own. The host takes
//! a copy, changes it, tries it, and commits it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::asks::{Asks, widening};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::version;

/// Most versions of one name, and most names.
pub const MAX_VERSIONS: usize = 64;
pub const MAX_NAMES: usize = 1_024;
/// Earlier active versions that are remembered for going back.
const MAX_FORMER: usize = 32;
/// Longest note, reason or actor that is kept.
const MAX_TEXT: usize = 1_024;
/// Version of the file.
const SCHEMA: u32 = 1;

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    pub by: String,
}

/// The registry's memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Index {
    schema: u32,
    names: BTreeMap<String, Named>,
    revoked: BTreeMap<Digest, Revocation>,
}

impl Default for Index {
    fn default() -> Self {
        Self { schema: SCHEMA, names: BTreeMap::new(), revoked: BTreeMap::new() }
    }
}

/// Everything under one name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Named {
    /// `connector` or `formatter`.
    pub kind: String,
    /// What the name stands for; without, the component of `connectors_dir` or the built-in one.
    pub active: Option<Digest>,
    /// What it stood for before, the last one last.
    former: Vec<Option<Digest>>,
    /// What was approved for the name so far.
    pub approved: Asks,
    pub versions: Vec<Version>,
}

/// One uploaded component.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    pub digest: Digest,
    pub size: u64,
    pub uploaded: Stamp,
    pub approved: Option<Stamp>,
    /// When it became active last.
    pub activated: Option<Stamp>,
    /// What it asks for, and what of that was new when it came.
    pub asks: Asks,
    pub wider: Asks,
    /// Base64, and the id of the key that it fitted.
    pub signature: Option<String>,
    pub signed_by: Option<String>,
    /// Why it was taken out of service by itself.
    pub fault: Option<Fault>,
}

/// A version that broke on its first events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub at_ms: i64,
    pub reason: String,
}

/// A digest that must not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub stamp: Stamp,
    pub reason: Option<String>,
}

/// What is known of a component that comes in.
#[derive(Debug, Clone)]
pub struct NewVersion {
    pub name: String,
    pub kind: String,
    pub version: String,
    pub digest: Digest,
    pub size: u64,
    pub asks: Asks,
    pub signature: Option<String>,
    pub signed_by: Option<String>,
    /// What the component asks for that has the name without the registry.
    pub base: Asks,
}

/// What an upload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    New,
    /// These very bytes are there already; nothing changed.
    Known,
}

/// Where a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    AwaitingApproval,
    Approved,
    Active,
    /// It was active before.
    Retired,
    Revoked,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Approved => "approved",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }
}

impl Index {
    /// Whether this code understands the file.
    pub(crate) fn is_known_schema(&self) -> bool {
        self.schema == SCHEMA
    }

    pub fn names(&self) -> impl Iterator<Item = (&str, &Named)> {
        self.names.iter().map(|(name, named)| (name.as_str(), named))
    }

    pub fn named(&self, name: &str) -> Option<&Named> {
        self.names.get(name)
    }

    /// The name and version of a digest.
    pub fn find(&self, digest: &Digest) -> Option<(&str, &Version)> {
        self.names().find_map(|(name, named)| Some((name, named.version(digest)?)))
    }

    pub fn revocation(&self, digest: &Digest) -> Option<&Revocation> {
        self.revoked.get(digest)
    }

    pub fn revoked(&self) -> impl Iterator<Item = (&Digest, &Revocation)> {
        self.revoked.iter()
    }

    pub fn state(&self, name: &str, version: &Version) -> State {
        let active = self.names.get(name).is_some_and(|named| named.active == Some(version.digest));
        if self.revoked.contains_key(&version.digest) {
            State::Revoked
        } else if active {
            State::Active
        } else if version.approved.is_none() {
            State::AwaitingApproval
        } else if version.activated.is_some() {
            State::Retired
        } else {
            State::Approved
        }
    }

    /// The version that `name@prefix` means: the active one where it fits, else the newest that is approved
    /// and has not failed.
    pub fn newest(&self, name: &str, prefix: &str) -> Option<&Version> {
        let named = self.names.get(name)?;
        let usable = |version: &&Version| {
            version::matches(prefix, &version.version) && version.approved.is_some() && version.fault.is_none() && !self.revoked.contains_key(&version.digest)
        };
        let active = named.active.and_then(|digest| named.version(&digest)).filter(usable);
        active.or_else(|| named.versions.iter().filter(usable).max_by(|a, b| version::compare(&a.version, &b.version)))
    }

    /// Takes a version in. It is approved at once where it asks for nothing new; see [`crate::widening`].
    pub fn add(&mut self, new: NewVersion, stamp: Stamp) -> Result<Added, RegistryError> {
        let NewVersion { name, kind, version, digest, size, asks, signature, signed_by, base } = new;
        if !version::is_name(&name) {
            return Err(RegistryError::Name(shown(&name)));
        }
        if !version::is_version(&version) {
            return Err(RegistryError::Version(shown(&version)));
        }
        if let Some(revocation) = self.revoked.get(&digest) {
            return Err(RegistryError::Revoked { digest, reason: revocation.reason.clone() });
        }
        if !self.names.contains_key(&name) && self.names.len() >= MAX_NAMES {
            return Err(RegistryError::TooManyNames { have: self.names.len() });
        }
        let fresh = Named { kind: kind.clone(), active: None, former: Vec::new(), approved: base, versions: Vec::new() };
        let named = self.names.get(&name).unwrap_or(&fresh);
        if named.kind != kind {
            return Err(RegistryError::Kind { is: named.kind.clone(), wanted: kind, name });
        }
        if let Some(there) = named.versions.iter().find(|there| there.version == version) {
            return if there.digest == digest { Ok(Added::Known) } else { Err(RegistryError::Conflict { name, version, there: there.digest }) };
        }
        if named.versions.len() >= MAX_VERSIONS {
            return Err(RegistryError::TooManyVersions { have: named.versions.len(), name });
        }
        let wider = widening(&asks, &named.approved);
        let approved = wider.is_empty().then(|| stamp.clone());
        let version = Version { version, digest, size, uploaded: clean(stamp), approved, activated: None, asks, wider, signature, signed_by, fault: None };
        self.names.entry(name).or_insert(fresh).versions.push(version);
        Ok(Added::New)
    }

    /// Lets a version have what it asks for. The digest says what was looked at.
    pub fn approve(&mut self, name: &str, digest: &Digest, stamp: Stamp) -> Result<(), RegistryError> {
        self.not_revoked(digest)?;
        let named = self.named_mut(name)?;
        let version = named.version_mut(name, digest)?;
        let asks = version.asks.clone();
        if version.approved.is_none() {
            version.approved = Some(clean(stamp));
        }
        named.approved.extend(asks);
        Ok(())
    }

    /// Makes a version the one that the name stands for. The one before is remembered.
    pub fn activate(&mut self, name: &str, digest: &Digest, stamp: Stamp) -> Result<(), RegistryError> {
        self.not_revoked(digest)?;
        let named = self.named_mut(name)?;
        let version = named.version_mut(name, digest)?;
        if version.approved.is_none() {
            return Err(RegistryError::NotApproved { name: name.into(), digest: *digest, wider: version.wider.clone() });
        }
        // Whoever activates it again knows.
        version.fault = None;
        version.activated = Some(clean(stamp));
        if named.active != Some(*digest) {
            let before = named.active.replace(*digest);
            named.former.push(before);
            let surplus = named.former.len().saturating_sub(MAX_FORMER);
            named.former.drain(..surplus);
        }
        Ok(())
    }

    /// Goes back to what the name stood for before, past what was revoked, removed or has failed since.
    /// `bare` says whether there is a component of that name without the registry. `fault` marks the
    /// version that is left. Answers what is active now.
    pub fn roll_back(&mut self, name: &str, bare: bool, fault: Option<Fault>) -> Result<Option<Digest>, RegistryError> {
        let revoked = &self.revoked;
        let named = self.names.get_mut(name).ok_or_else(|| RegistryError::UnknownName(shown(name)))?;
        let usable = |former: &Option<Digest>| match former {
            None => bare && named.active.is_some(),
            Some(digest) => {
                Some(*digest) != named.active && !revoked.contains_key(digest) && named.version(digest).is_some_and(|version| version.fault.is_none())
            }
        };
        let Some(at) = named.former.iter().rposition(usable) else { return Err(RegistryError::NothingBefore(name.into())) };
        let back = named.former[at];
        named.former.truncate(at);
        if let (Some(left), Some(mut fault)) = (named.active, fault)
            && let Some(version) = named.versions.iter_mut().find(|version| version.digest == left)
        {
            fault.reason = cut(&fault.reason);
            version.fault = Some(fault);
        }
        named.active = back;
        Ok(back)
    }

    /// From now on this digest must not run, whether it is here or not. There is no way back.
    pub fn revoke(&mut self, digest: Digest, reason: Option<String>, stamp: Stamp) {
        self.revoked.entry(digest).or_insert(Revocation { stamp: clean(stamp), reason: reason.map(|reason| cut(&reason)).filter(|reason| !reason.is_empty()) });
    }

    /// Forgets a version that is not active; revocations stay.
    pub fn remove(&mut self, name: &str, digest: &Digest) -> Result<(), RegistryError> {
        // A revoked one stands for nothing any more, even where the name still points at it.
        let revoked = self.revoked.contains_key(digest);
        let named = self.named_mut(name)?;
        named.version_mut(name, digest)?;
        if named.active == Some(*digest) {
            if !revoked {
                return Err(RegistryError::Active { name: name.into(), digest: *digest });
            }
            named.active = None;
        }
        named.versions.retain(|version| version.digest != *digest);
        named.former.retain(|former| *former != Some(*digest));
        if named.versions.is_empty() {
            self.names.remove(name);
        }
        Ok(())
    }

    /// Takes a name out with all its versions; what is used by nobody is for the caller to know. Answers their digests.
    /// What was revoked stays revoked.
    pub fn forget(&mut self, name: &str) -> Result<Vec<Digest>, RegistryError> {
        let named = self.names.remove(name).ok_or_else(|| RegistryError::UnknownName(shown(name)))?;
        Ok(named.versions.into_iter().map(|version| version.digest).collect())
    }

    /// Bytes of all versions.
    pub fn bytes(&self) -> u64 {
        self.names.values().flat_map(|named| &named.versions).map(|version| version.size).sum()
    }

    fn named_mut(&mut self, name: &str) -> Result<&mut Named, RegistryError> {
        self.names.get_mut(name).ok_or_else(|| RegistryError::UnknownName(shown(name)))
    }

    fn not_revoked(&self, digest: &Digest) -> Result<(), RegistryError> {
        match self.revoked.get(digest) {
            Some(revocation) => Err(RegistryError::Revoked { digest: *digest, reason: revocation.reason.clone() }),
            None => Ok(()),
        }
    }
}

impl Named {
    pub fn version(&self, digest: &Digest) -> Option<&Version> {
        self.versions.iter().find(|version| version.digest == *digest)
    }

    fn version_mut(&mut self, name: &str, digest: &Digest) -> Result<&mut Version, RegistryError> {
        let unknown = || RegistryError::UnknownVersion { name: name.into(), digest: *digest };
        self.versions.iter_mut().find(|version| version.digest == *digest).ok_or_else(unknown)
    }
}

/// Input from outside, for an error.
fn shown(text: &str) -> String {
    text.escape_default().take(80).collect()
}

fn clean(stamp: Stamp) -> Stamp {
    Stamp { by: cut(&stamp.by), ..stamp }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests;
