//! Parts of the configuration that are made through the API: read at starts and reloads as if they stood in
//! the file, changed as a reload changes things. A change is checked and built first, as a whole; then it is on
//! disk; then it acts. What it takes away goes from the disk last, so that a crash on the way leaves lanes whose
//! events somebody still owns.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use bulkhead_access::Scope;
use bulkhead_deliver::{InstanceSettings, StartError};
use bulkhead_store::{Entries, Entry, Inactive, Raced, StoreError, Version};
use serde_json::Value;
use uuid::Uuid;

use super::preview::INSTANCE as PREVIEW;
use super::reload::{ReloadError, Reloaded};
use super::{Control, Current, guests};
use crate::config::{self, Config, Fault, FaultKind, Owners, Section, tenant_of, webhook_instance};

/// Most stored entries.
pub const MOST_ENTRIES: usize = 5_000;
/// Of them, those of one tenant.
pub const MOST_OF_TENANT: usize = 1_000;
/// Largest definition in bytes.
pub const MOST_BYTES: usize = 256 << 10;

/// Why a change was not made. Nothing is different then.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("the configuration file is the whole configuration (`stored.enabled: false`)")]
    Disabled,
    #[error("`{section}.{name}` stands in the configuration file and is changed there")]
    InFile { section: &'static str, name: String },
    #[error("`{section}.{name}` is a part of `{of}` and changes with it")]
    Made { section: &'static str, name: String, of: String },
    #[error("there is no stored entry `{section}.{name}`")]
    Unknown { section: &'static str, name: String },
    #[error("there is a stored entry `{section}.{name}` already")]
    Exists { section: &'static str, name: String },
    #[error("`{section}.{name}` is at version {version} by now")]
    Stale { section: &'static str, name: String, version: i64 },
    #[error("the name `{name}` is taken among the {section} of this host")]
    Taken { section: &'static str, name: String },
    #[error("`{section}.{name}` would be of tenant `{theirs}`, and what you make is of `{own}`; leave `tenant` out")]
    OtherTenant { section: &'static str, name: String, theirs: String, own: String },
    #[error("whose `{section}.{name}` is does not change; delete it, and make it anew")]
    TenantStays { section: &'static str, name: String },
    #[error("`{section}.{name}` has the name of a formatter of this host; choose another")]
    NameOfFormatter { section: &'static str, name: String },
    #[error("{0} stored entries of one tenant; at most {MOST_OF_TENANT} are possible")]
    ManyOfTenant(usize),
    #[error("`{section}.{name}` was changed through another host at the same time; look at it again")]
    Raced { section: String, name: String },
    #[error("`{section}.{name}` has no version {version}; the last {} are kept", bulkhead_store::KEPT_VERSIONS)]
    NoVersion { section: &'static str, name: String, version: i64 },
    #[error("`{section}.{name}` is named twice in one change")]
    Twice { section: &'static str, name: String },
    #[error("{0} stored entries; at most {MOST_ENTRIES} are possible")]
    Many(usize),
    #[error("the definition of `{section}.{name}` has {bytes} bytes; at most {MOST_BYTES} are possible")]
    Large { section: &'static str, name: String, bytes: usize },
    #[error("credentials are not written to disk in the clear: set `encryption.key` in the configuration file, and restart")]
    NoKey,
    #[error("the secret at {pointer} of `{section}.{name}` is hidden and none is stored; send it")]
    Hidden { section: &'static str, name: String, pointer: String },
    #[error("others need what would go")]
    InUse(Vec<Fault>),
    #[error("the configuration would not be valid with it")]
    Faults(Vec<Fault>),
    #[error(transparent)]
    Refused(ReloadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no instance `{0}`")]
    NoInstance(String),
}

/// One step of a change.
#[derive(Debug, Clone)]
pub struct Edit {
    pub section: Section,
    pub name: String,
    pub to: To,
    /// The version that the change was made for, where it says so.
    pub of_version: Option<i64>,
}

#[derive(Clone)]
pub enum To {
    /// New only.
    Make(Value),
    /// In place of what is there.
    Change(Value),
    /// New, or in place of what is there.
    Put(Value),
    /// The definition of a former version.
    Version(i64),
    Gone,
}

impl std::fmt::Debug for To {
    // Never the definition: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Make(_) => "Make",
            Self::Change(_) => "Change",
            Self::Put(_) => "Put",
            Self::Version(_) => "Version",
            Self::Gone => "Gone",
        })
    }
}

/// What became of one entry.
#[derive(Debug, Clone)]
pub struct Changed {
    pub section: Section,
    pub name: String,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
}

/// What a change did, or would do.
#[derive(Debug, Default)]
pub struct Done {
    /// Entries that are different, in the order of the change.
    pub entries: Vec<Changed>,
    pub instances: Reloaded,
}

/// The store's tables, and what stands in them, to be read without asking the disk.
pub struct Stored {
    entries: Entries,
    /// By section and name.
    all: RwLock<Arc<[Entry]>>,
    inactive: Inactive,
    pub(super) off: RwLock<BTreeSet<String>>,
}

impl Stored {
    pub async fn open(entries: Entries, inactive: Inactive) -> Result<Self, StoreError> {
        let (all, off) = (RwLock::new(entries.all().await?.into()), RwLock::new(inactive.all().await?));
        Ok(Self { entries, all, inactive, off })
    }

    pub fn all(&self) -> Arc<[Entry]> {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// As the store has them now.
    pub(super) async fn read(&self) -> Result<Arc<[Entry]>, StoreError> {
        self.entries.all().await.map(Into::into)
    }

    pub(super) async fn read_inactive(&self) -> Result<BTreeSet<String>, StoreError> {
        self.inactive.all().await
    }

    pub(super) fn put_all(&self, entries: Arc<[Entry]>) {
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    pub fn get(&self, section: Section, name: &str) -> Option<Entry> {
        let all = self.all();
        let at = all.binary_search_by(|entry| (entry.section.as_str(), entry.name.as_str()).cmp(&(section.name(), name))).ok()?;
        Some(all[at].clone())
    }

    /// The versions of an entry before the one in force, newest first.
    pub async fn versions(&self, id: &str) -> Result<Vec<Version>, StoreError> {
        self.entries.versions(id).await
    }

    /// Each in place of what this host knows; nothing where another host changed one of them since.
    async fn change(&self, put: &[Entry], delete: &[String]) -> Result<(), EntryError> {
        let known = self.all();
        let version = |id: &str| known.iter().find(|entry| entry.id == id).map(|entry| entry.version);
        let puts: Vec<_> = put.iter().map(|entry| (entry, version(&entry.id))).collect();
        let deletes: Vec<_> = delete.iter().filter_map(|id| Some((id.as_str(), version(id)?))).collect();
        let raced = |Raced { section, name, .. }| EntryError::Raced { section, name };
        self.entries.change(&puts, &deletes).await?.map_err(raced)?;
        let goes = |entry: &&Entry| delete.contains(&entry.id) || put.iter().any(|put| put.id == entry.id);
        let mut all: Vec<Entry> = self.all().iter().filter(|entry| !goes(entry)).chain(put).cloned().collect();
        all.sort_by(by_place);
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = all.into();
        Ok(())
    }

    /// The file's configuration with what is stored, but for the entries in `discard`.
    pub async fn merge(&self, file: Config, discard: &[String]) -> Result<Config, MergeError> {
        let entries = self.all();
        if !file.stored {
            if !entries.is_empty() {
                tracing::warn!(entries = entries.len(), "stored entries have no effect (stored.enabled)");
            }
            return Ok(file);
        }
        let (gone, kept): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|entry| discard.contains(&format!("{}/{}", entry.section, entry.name)));
        if !gone.is_empty() {
            let discarded = self.change(&[], &gone.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>()).await;
            discarded.map_err(|error| match error {
                EntryError::Store(error) => MergeError::Store(error),
                other => MergeError::Raced(other.to_string()),
            })?;
            gone.iter().for_each(|entry| tracing::warn!(?entry, "stored entry discarded"));
        }
        let config = merged(&file, &kept).map_err(MergeError::Faults)?;
        for (section, name) in &config.merged.shadowed {
            tracing::warn!(section = section.name(), name, "a stored entry has no effect: the configuration file has one of the same name");
        }
        Ok(config)
    }

    pub fn is_inactive(&self, instance: &str) -> bool {
        self.off.read().unwrap_or_else(PoisonError::into_inner).contains(instance)
    }

    /// The settings to start an instance with.
    pub fn settings(&self, settings: &InstanceSettings) -> InstanceSettings {
        InstanceSettings { inactive: self.is_inactive(&settings.name), ..settings.clone() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Raced(String),
    #[error("the configuration has {} faults, stored entries included", .0.len())]
    Faults(Vec<Fault>),
}

pub(super) fn merged(file: &Config, entries: &[Entry]) -> Result<Config, Vec<Fault>> {
    let known = |entry: &Entry| {
        let section = Section::named(&entry.section)?;
        Some(config::Entry { section, name: entry.name.clone(), definition: entry.definition.clone() })
    };
    // Sections of a newer release cannot be here: the store refuses its file.
    let entries: Vec<_> = entries.iter().filter_map(known).collect();
    file.with_entries(&entries, &config::environment)
}

impl Control {
    /// Makes all edits, or none; with `dry_run` says what they would do. What `scope` does not hold is not there for
    /// them, and of what is said nothing is about it. Not cancel safe: let it end.
    pub async fn edit(&self, edits: &[Edit], by: &str, scope: &Scope, dry_run: bool) -> Result<Done, EntryError> {
        let done = self.edit_within(edits, by, scope, dry_run).await;
        let owners = &self.current().config.owners;
        done.map_err(|error| match error {
            EntryError::InUse(faults) => EntryError::InUse(veiled(faults, edits, owners, scope)),
            EntryError::Faults(faults) => EntryError::Faults(veiled(faults, edits, owners, scope)),
            other => other,
        })
    }

    async fn edit_within(&self, edits: &[Edit], by: &str, scope: &Scope, dry_run: bool) -> Result<Done, EntryError> {
        let _one_at_a_time = self.change.lock().await;
        let current = self.current();
        let before = self.stored.all();
        let entries = self.planned(&current, &before, edits, by, scope).await?;
        if entries.is_empty() {
            return Ok(Done::default());
        }
        let after = applied(&before, &entries);
        if after.len() > MOST_ENTRIES {
            return Err(EntryError::Many(after.len()));
        }
        let own = after.iter().filter(|entry| scope.tenant().is_some_and(|tenant| tenant_of(&entry.definition).as_ref() == Some(tenant))).count();
        if own > MOST_OF_TENANT {
            return Err(EntryError::ManyOfTenant(own));
        }
        let config = merged(&current.config, &after).map_err(|faults| refused(faults, &entries))?;
        self.try_formatters(&config, &entries).await?;
        let only = differing(&current, &config);
        let plan = self.plan(&current, config, Some(&only)).await.map_err(|error| match error {
            ReloadError::Faults(faults) => refused(faults, &entries),
            other => EntryError::Refused(other),
        })?;
        if dry_run {
            return Ok(Done { entries, instances: plan.difference(&current) });
        }
        let put: Vec<Entry> = entries.iter().filter_map(|entry| entry.after.clone()).collect();
        self.stored.change(&put, &[]).await?;
        let instances = match self.act(&current, plan).await {
            Ok(instances) => instances,
            Err(error) => {
                self.unwrite(&entries).await;
                return Err(EntryError::Refused(error));
            }
        };
        let gone: Vec<String> =
            entries.iter().filter(|entry| entry.after.is_none()).filter_map(|entry| entry.before.as_ref().map(|entry| entry.id.clone())).collect();
        if !gone.is_empty()
            && let Err(error) = self.stored.change(&[], &gone).await
        {
            // They have no effect any more; at the next start they would have.
            tracing::error!(error = &error as &dyn std::error::Error, ?gone, "entries are still in the store: delete them again");
            return Err(error);
        }
        for entry in entries.iter().filter(|entry| entry.after.is_none()) {
            // Another of that name is not switched off because this one was.
            match entry.section {
                Section::Instances => self.switch(&entry.name, true, by).await?,
                Section::Webhooks => self.switch(&webhook_instance(&entry.name), true, by).await?,
                _ => {}
            }
        }
        Ok(Done { entries, instances })
    }

    /// Formatters that no lane uses yet would be looked at by nobody.
    async fn try_formatters(&self, config: &Config, entries: &[Changed]) -> Result<(), EntryError> {
        let components = self.components(self.registry.index());
        for entry in entries.iter().filter(|entry| entry.section == Section::Formatters && entry.after.is_some()) {
            let state = Arc::clone(&self.state);
            guests::formatter(config, &components, &self.sandbox, state, &entry.name, PREVIEW).await.map_err(EntryError::Faults)?;
        }
        Ok(())
    }

    /// What was written before it could not act.
    async fn unwrite(&self, entries: &[Changed]) {
        let former: Vec<Entry> = entries.iter().filter(|entry| entry.after.is_some()).filter_map(|entry| entry.before.clone()).collect();
        let made: Vec<String> =
            entries.iter().filter(|entry| entry.before.is_none()).filter_map(|entry| entry.after.as_ref().map(|entry| entry.id.clone())).collect();
        if let Err(error) = self.stored.change(&former, &made).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a change that was refused is still in the store: the next start will try it");
        }
    }

    /// The entries that would be different, each as it is and as it would be.
    async fn planned(&self, current: &Current, before: &[Entry], edits: &[Edit], by: &str, scope: &Scope) -> Result<Vec<Changed>, EntryError> {
        if !current.config.stored {
            return Err(EntryError::Disabled);
        }
        let there: BTreeMap<(&str, &str), &Entry> = before.iter().map(|entry| ((entry.section.as_str(), entry.name.as_str()), entry)).collect();
        let (mut seen, mut planned) = (HashSet::new(), Vec::new());
        let now_ms = self.clock.unix_ms();
        for edit in edits {
            let (section, name) = (edit.section.name(), edit.name.clone());
            let old = there.get(&(section, edit.name.as_str())).copied();
            if !seen.insert((section, edit.name.as_str())) {
                return Err(EntryError::Twice { section, name });
            }
            if !is_within(current, edit.section, &name, old, scope) {
                return Err(match edit.to {
                    To::Make(_) | To::Put(_) => EntryError::Taken { section, name },
                    To::Change(_) | To::Version(_) | To::Gone => EntryError::Unknown { section, name },
                });
            }
            if let Some(of) = current.config.merged.maker(edit.section, &name) {
                return Err(EntryError::Made { section, name, of });
            }
            if old.is_none() && self.in_file(current, edit.section, &name) {
                return Err(EntryError::InFile { section, name });
            }
            if let (Some(of), Some(old)) = (edit.of_version, old)
                && of != old.version
            {
                return Err(EntryError::Stale { section, name, version: old.version });
            }
            let definition = match (&edit.to, old) {
                (To::Make(_), Some(_)) => return Err(EntryError::Exists { section, name }),
                (To::Change(_) | To::Version(_) | To::Gone, None) => return Err(EntryError::Unknown { section, name }),
                (To::Gone, Some(_)) => None,
                (To::Make(definition) | To::Change(definition) | To::Put(definition), _) => Some(definition.clone()),
                (To::Version(version), Some(old)) => {
                    Some(self.former(old, *version).await?.ok_or(EntryError::NoVersion { section, name, version: *version })?)
                }
            };
            let Some(mut definition) = definition else {
                planned.push(Changed { section: edit.section, name: edit.name.clone(), before: old.cloned(), after: None });
                continue;
            };
            bind(edit, old, &mut definition, scope)?;
            if old.is_none() && edit.section == Section::Formatters && tenant_of(&definition).is_some() && self.is_formatter(&edit.name) {
                return Err(EntryError::NameOfFormatter { section, name: edit.name.clone() });
            }
            if let Some(pointer) = config::unhide(edit.section, &mut definition, old.map(|old| &old.definition)).into_iter().next() {
                return Err(EntryError::Hidden { section, name: edit.name.clone(), pointer });
            }
            let bytes = definition.to_string().len();
            if bytes > MOST_BYTES {
                return Err(EntryError::Large { section, name: edit.name.clone(), bytes });
            }
            if matches!(edit.section, Section::Credentials | Section::Webhooks) && !self.stored.entries.sealed() {
                return Err(EntryError::NoKey);
            }
            if old.is_some_and(|old| old.definition == definition) {
                continue;
            }
            let after = Entry {
                id: old.map_or_else(|| Uuid::now_v7().to_string(), |old| old.id.clone()),
                section: section.into(),
                name: edit.name.clone(),
                version: old.map_or(1, |old| old.version + 1),
                definition,
                created_ms: old.map_or(now_ms, |old| old.created_ms),
                created_by: old.map_or_else(|| by.to_owned(), |old| old.created_by.clone()),
                updated_ms: now_ms,
                updated_by: by.to_owned(),
            };
            planned.push(Changed { section: edit.section, name: edit.name.clone(), before: old.cloned(), after: Some(after) });
        }
        Ok(planned)
    }

    /// Whether a formatter of this name is there without an entry.
    fn is_formatter(&self, name: &str) -> bool {
        let component = format!("format-{name}");
        self.components(self.registry.index()).names().iter().any(|known| known == name || *known == component)
    }

    async fn former(&self, entry: &Entry, version: i64) -> Result<Option<Value>, StoreError> {
        let versions: Vec<Version> = self.stored.versions(&entry.id).await?;
        Ok(versions.into_iter().find(|former| former.version == version).map(|former| former.definition))
    }

    /// Whether the file has an entry of this name.
    pub(super) fn in_file(&self, current: &Current, section: Section, name: &str) -> bool {
        current.config.has(section, name) && !current.config.merged.in_force.contains(&(section, name.to_owned()))
    }

    /// Switches an instance off, or on again; on disk when it returns. What is for it waits, as its backlog allows.
    pub async fn set_active(&self, instance: &str, active: bool, by: &str) -> Result<(), EntryError> {
        let _one_at_a_time = self.change.lock().await;
        if !self.current().config.has(Section::Instances, instance) {
            return Err(EntryError::NoInstance(instance.to_owned()));
        }
        self.switch(instance, active, by).await?;
        if active {
            self.delivery.resume(instance)
        } else {
            self.delivery.pause(instance)
        };
        Ok(())
    }

    async fn switch(&self, instance: &str, active: bool, by: &str) -> Result<(), StoreError> {
        self.stored.inactive.set(instance, !active, self.clock.unix_ms(), by).await?;
        let mut off = self.stored.off.write().unwrap_or_else(PoisonError::into_inner);
        if active {
            off.remove(instance)
        } else {
            off.insert(instance.to_owned())
        };
        Ok(())
    }

    /// Starts an instance as its settings and its switch say.
    pub(super) fn start_instance(&self, settings: &InstanceSettings) -> Result<(), StartError> {
        self.delivery.add(self.stored.settings(settings))
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.current().config)
    }
}

/// Instances that are built anew. What means the same runs on as it is: among a thousand one is changed in the time
/// of one.
pub(super) fn differing(current: &Current, config: &Config) -> HashSet<Arc<str>> {
    let differs = |name: &str| !current.instances.contains_key(name) || config.fingerprint(name) != current.config.fingerprint(name);
    config.instances.iter().map(|instance| instance.name.as_str()).filter(|name| differs(name)).map(Arc::from).collect()
}

/// As the store has them.
fn by_place(one: &Entry, other: &Entry) -> std::cmp::Ordering {
    (&one.section, &one.name).cmp(&(&other.section, &other.name))
}

fn applied(before: &[Entry], changed: &[Changed]) -> Vec<Entry> {
    let touched: HashSet<(&str, &str)> = changed.iter().map(|entry| (entry.section.name(), entry.name.as_str())).collect();
    let mut after: Vec<Entry> = before.iter().filter(|entry| !touched.contains(&(entry.section.as_str(), entry.name.as_str()))).cloned().collect();
    after.extend(changed.iter().filter_map(|entry| entry.after.clone()));
    after.sort_by(by_place);
    after
}

/// Whether an entry is there for somebody, or would be. A part of the configuration in force and a stored entry of its
/// name, which it hides, may be of different owners: both must be within.
fn is_within(current: &Current, section: Section, name: &str, stored: Option<&Entry>, scope: &Scope) -> bool {
    let config = &current.config;
    scope.is_host()
        || ((!config.has(section, name) || scope.sees(config.owners.of(section, name)))
            && stored.is_none_or(|entry| scope.sees(tenant_of(&entry.definition).as_ref())))
}

/// What a tenant makes is its own, whatever the definition says; and whose an entry is stays.
fn bind(edit: &Edit, old: Option<&Entry>, definition: &mut Value, scope: &Scope) -> Result<(), EntryError> {
    let (section, name) = (edit.section.name(), edit.name.clone());
    let former = old.and_then(|old| old.definition.get("tenant").cloned());
    // What is no map is refused with what else is wrong.
    let Value::Object(fields) = definition else { return Ok(()) };
    let said = fields.get("tenant").filter(|tenant| !tenant.is_null()).cloned();
    match (scope.tenant(), &said) {
        (Some(own), Some(said)) if said != own.as_str() => {
            let theirs = said.as_str().unwrap_or("?").chars().take(64).collect();
            return Err(EntryError::OtherTenant { section, name, theirs, own: own.to_string() });
        }
        (Some(own), _) => _ = fields.insert("tenant".into(), own.as_str().into()),
        (None, None) => former.iter().for_each(|former| _ = fields.insert("tenant".into(), former.clone())),
        (None, Some(_)) => {}
    }
    if old.is_some_and(|old| tenant_of(&old.definition) != tenant_of(definition)) {
        return Err(EntryError::TenantStays { section, name });
    }
    Ok(())
}

/// Faults as somebody may hear of them: what is about an entry that is not theirs says no more than that.
fn veiled(faults: Vec<Fault>, edits: &[Edit], owners: &Owners, scope: &Scope) -> Vec<Fault> {
    let Some(tenant) = scope.tenant() else { return faults };
    let own = |fault: &Fault| {
        let Some((section, rest)) = fault.key.split_once('.') else { return false };
        let Some(section) = Section::named(section) else { return false };
        let edited = edits.iter().filter(|edit| edit.section == section).map(|edit| edit.name.as_str());
        let is_of = |name: &str| rest.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        edited.chain(owners.names(section, tenant)).any(is_of)
    };
    let (mut said, hidden): (Vec<Fault>, Vec<Fault>) = faults.into_iter().partition(own);
    if let Some(first) = hidden.into_iter().next() {
        said.push(first.without_place("something that is not yours needs it as it is"));
    }
    said
}

/// Faults of a change that only takes away are about those that need it; without a formatter of its name a lane looks for
/// a component that is called so.
fn refused(faults: Vec<Fault>, entries: &[Changed]) -> EntryError {
    let only_goes = entries.iter().all(|entry| entry.after.is_none());
    if only_goes && faults.iter().all(|fault| matches!(fault.kind, FaultKind::UnknownReference | FaultKind::Component)) {
        EntryError::InUse(faults)
    } else {
        EntryError::Faults(faults)
    }
}
