//! Uploaded components on a running host: taken in, approved, activated, taken back. Every change is tried
//! on a copy first, on disk before it acts, and made one at a time, reloads included. Instances that follow
//! the name are exchanged as a reload exchanges them: the old one drains, the new one goes on where it was.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bulkhead_deliver::{HoldCause, Notice, StartError};
use bulkhead_registry::{
    Added, Asks, Digest, Fault as Failed, Incoming, Index, NewVersion, RegistryError, Signature, SignatureError, Stamp, State, Wish, asks,
};
use bulkhead_sandbox::{InspectError, Inspection, Kind, Limit, LoadError};
use bulkhead_store::Cause;
use serde_json::json;

use super::{Control, Purpose, guests};
use crate::components::{Components, FORMATTER_PREFIX, Origin};
use crate::config::Fault;
use crate::own_events::{Lifecycle, RollbackCause, RolledBack};

/// Priority of what an upload costs this process, in steps behind everything else.
const BEHIND: i32 = 10;

/// Events that a version on trial may break on before it is taken back.
const TRIAL_FAULTS: u64 = 5;

/// Why a change was not made. Nothing is different then.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("the component is not taken")]
    Inspect(#[from] InspectError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the component has no manifest, so it has no name and version; build it with its `connector.toml`, or send `name` and `version` along")]
    NoManifest,
    #[error("the component names itself; `name` and `version` are for those that do not")]
    Named,
    #[error("the component is `{found}`; an upload to `{wanted}` must be one of that name")]
    OtherName { wanted: String, found: String },
    #[error("nothing was uploaded as `{name}`, and what comes {from} is not removed here")]
    NotUploaded { name: String, from: &'static str },
    #[error("instances cannot run with it")]
    Faults(Vec<Fault>),
    #[error("an instance cannot be started with it; what ran before runs again")]
    Start(#[source] StartError),
    #[error("{what} is used by {}; point them at another version or component first", .by.join(", "))]
    InUse { what: String, by: Vec<String> },
    #[error("the upload cannot be read back")]
    Read(#[source] std::io::Error),
    #[error("a part of the work broke off; the log says why")]
    Broken,
}

/// What came with an upload.
#[derive(Debug, Default)]
pub struct Parcel {
    /// The name that it must have.
    pub under: Option<String>,
    pub name: Option<String>,
    pub version: Option<String>,
    pub signature: Option<Vec<u8>>,
    /// Approve what it asks for, in one go.
    pub approve: bool,
    /// Leave what runs alone.
    pub keep: bool,
    pub by: String,
}

/// What became of an upload.
#[derive(Debug)]
pub struct Taken {
    pub name: String,
    pub digest: Digest,
    pub added: Added,
    pub wider: Asks,
    pub swapped: Vec<Arc<str>>,
}

/// A version that was activated a moment ago: it is taken back where it breaks on its first events.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    component: String,
    digest: Digest,
    until: Duration,
    faults: u64,
}

pub(super) type Trials = Mutex<HashMap<Arc<str>, Trial>>;

impl Control {
    /// Components as an index has them.
    pub fn components(&self, index: Arc<Index>) -> Components {
        let config = &self.settings;
        Components::new(Some(&config.connectors_dir)).with_uploads(&self.registry, index, &config.upload.signing)
    }

    fn stamp(&self, by: &str) -> Stamp {
        Stamp { at_ms: self.clock.unix_ms(), by: by.to_owned() }
    }

    /// Instances by what they run: component name, digest, instance.
    pub fn users(&self) -> Vec<(String, Digest, Arc<str>)> {
        let current = self.current();
        let all = current.instances.iter().flat_map(|(instance, built)| built.uses.iter().map(|used| (used.name.clone(), used.digest, Arc::clone(instance))));
        all.collect()
    }

    /// Checks, compiles and keeps an upload, and activates it unless it waits for approval or is to be kept
    /// only. Not cancel safe: let it end.
    pub async fn take_in(self: &Arc<Self>, incoming: Incoming, parcel: Parcel) -> Result<Taken, ChangeError> {
        let control = Arc::clone(self);
        let signing = self.settings.upload.signing.clone();
        // Reading, hashing and compiling block, for up to `upload.compile_time`.
        let checked = aside(move || -> Result<_, ChangeError> {
            let bytes = std::fs::read(incoming.path()).map_err(ChangeError::Read)?;
            let signature = match &parcel.signature {
                Some(signature) => Some(Signature::parse(signature)?),
                None if signing.required => return Err(SignatureError::Missing.into()),
                None => None,
            };
            let signed_by = signature.as_ref().map(|signature| signature.verify(&bytes, &signing.keys)).transpose()?.map(bulkhead_registry::PublicKey::id);
            let inspection = Inspection::read(&bytes, Limit::ComponentSize.row().ceiling)?;
            let new = control.describe(&inspection, &parcel, signature, signed_by)?;
            if let Some(wanted) = parcel.under.as_ref().filter(|wanted| **wanted != new.name) {
                return Err(ChangeError::OtherName { wanted: wanted.clone(), found: new.name });
            }
            let index = control.registry.index();
            // Before the costly part: what cannot be taken is not compiled. Decided again below.
            if index.clone().as_ref().clone().add(new.clone(), control.stamp(&parcel.by))? == Added::New {
                control.quota(&index, new.size)?;
                control.sandbox.load_inspected(&new.name, &bytes, inspection)?;
            }
            Ok((incoming, parcel, new))
        });
        let (incoming, parcel, new) = checked.await.ok_or(ChangeError::Broken)??;
        let (name, digest) = (new.name.clone(), new.digest);
        let added = self.add(incoming, new, &parcel).await?;
        let approved = self.registry.index().find(&digest).is_some_and(|(_, version)| version.approved.is_some());
        let swapped = match parcel.keep || !approved || added == Added::Known {
            true => Vec::new(),
            false => self.activate(&name, &digest, &parcel.by).await?,
        };
        let index = self.registry.index();
        let Some((name, version)) = index.find(&digest) else { return Err(RegistryError::UnknownVersion { name, digest }.into()) };
        let state = index.state(name, version);
        tracing::info!(component = name, version = version.version, %digest, state = state.name(), by = parcel.by, "component uploaded");
        let wider = if state == State::AwaitingApproval { version.wider.clone() } else { Asks::new() };
        Ok(Taken { name: name.into(), digest, added, wider, swapped })
    }

    async fn add(&self, incoming: Incoming, new: NewVersion, parcel: &Parcel) -> Result<Added, ChangeError> {
        let _one_at_a_time = self.change.lock().await;
        let (name, digest, size) = (new.name.clone(), new.digest, new.size);
        let mut next = (*self.registry.index()).clone();
        let added = next.add(new, self.stamp(&parcel.by))?;
        if added == Added::New {
            self.quota(&self.registry.index(), size)?;
            if parcel.approve {
                next.approve(&name, &digest, self.stamp(&parcel.by))?;
            }
            let registry = Arc::clone(&self.registry);
            let kept = tokio::task::spawn_blocking(move || registry.keep(incoming, &digest).and_then(|()| registry.commit(next)));
            kept.await.map_err(|_| ChangeError::Broken)??;
        }
        Ok(added)
    }

    fn quota(&self, index: &Index, wanted: u64) -> Result<(), RegistryError> {
        let (used, limit) = (index.bytes(), self.settings.upload.disk);
        if used.saturating_add(wanted) > limit { Err(RegistryError::Quota { used, wanted, limit }) } else { Ok(()) }
    }

    /// What the registry is told of a component. Its name and version are its own words, checked there; what
    /// it asks for comes from its imports first.
    fn describe(&self, inspection: &Inspection, parcel: &Parcel, signature: Option<Signature>, signed_by: Option<String>) -> Result<NewVersion, ChangeError> {
        let manifest = inspection.manifest.as_ref();
        let (name, version) = match (manifest, &parcel.name, &parcel.version) {
            (Some(manifest), None, None) => (manifest.name.clone(), manifest.version.clone()),
            (Some(_), ..) => return Err(ChangeError::Named),
            (None, Some(name), Some(version)) => (name.clone(), version.clone()),
            (None, ..) => return Err(ChangeError::NoManifest),
        };
        let name = match inspection.kind {
            Kind::Formatter => format!("{FORMATTER_PREFIX}{name}"),
            // It would stand for a formatter.
            Kind::Connector if name.starts_with(FORMATTER_PREFIX) => return Err(RegistryError::Name(name).into()),
            Kind::Connector => name,
        };
        let bare = self.components(self.registry.index()).described_file(&name, &self.catalogue);
        let base = bare.and_then(|(_, bare)| bare.inspection.as_ref().map(asked)).unwrap_or_default();
        Ok(NewVersion {
            kind: inspection.kind.name().into(),
            version,
            digest: Digest::new(inspection.digest),
            size: inspection.size,
            asks: asked(inspection),
            signature: signature.map(|signature| signature.to_base64()),
            signed_by,
            base,
            name,
        })
    }

    /// Approves what a version asks for, and activates it unless it is to be kept only.
    pub async fn approve(self: &Arc<Self>, name: &str, digest: &Digest, keep: bool, by: &str) -> Result<Vec<Arc<str>>, ChangeError> {
        self.change(name, None, |index| index.approve(name, digest, self.stamp(by))).await?;
        tracing::info!(component = name, %digest, by, "component approved");
        if keep { Ok(Vec::new()) } else { self.activate(name, digest, by).await }
    }

    /// Makes a version the one that its name stands for, and exchanges the instances that follow the name.
    pub async fn activate(self: &Arc<Self>, name: &str, digest: &Digest, by: &str) -> Result<Vec<Arc<str>>, ChangeError> {
        let ((), swapped) = self.change(name, Some(*digest), |index| index.activate(name, digest, self.stamp(by))).await?;
        tracing::info!(component = name, %digest, by, instances = swapped.len(), "component activated");
        Ok(swapped)
    }

    /// Goes back to what the name stood for before. Answers that, `None` for the component without the
    /// registry.
    pub async fn roll_back(self: &Arc<Self>, name: &str, by: &str) -> Result<(Option<Digest>, Vec<Arc<str>>), ChangeError> {
        let bare = self.components(self.registry.index()).file(name).is_ok();
        let mut from = None;
        let edit = |index: &mut Index| {
            from = index.named(name).and_then(|named| named.active);
            index.roll_back(name, bare, None)
        };
        let back = self.change(name, None, edit).await?;
        self.metrics.rollback(name, "manual").inc();
        tracing::warn!(component = name, to = back.0.map(|digest| digest.to_string()), by, "component rolled back");
        self.tell_rollback(name, from, &back, RollbackCause::Manual(by.into()));
        Ok(back)
    }

    fn tell_rollback(&self, name: &str, from: Option<Digest>, (to, swapped): &(Option<Digest>, Vec<Arc<str>>), cause: RollbackCause) {
        let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
        let instances = swapped.iter().map(|instance| instance.to_string()).collect();
        self.own_events.lifecycle(&Lifecycle::RolledBack(RolledBack { component: name.into(), from: text(from), to: text(*to), instances, cause }));
    }

    /// From the next call on, nothing runs these bytes.
    pub async fn revoke(self: &Arc<Self>, name: &str, digest: &Digest, reason: Option<String>, by: &str) -> Result<(), ChangeError> {
        let known = self.registry.index().named(name).is_some_and(|named| named.version(digest).is_some());
        let bare = self.components(self.registry.index()).file(name);
        if !known && !bare.is_ok_and(|found| found.digest == *digest) {
            return Err(RegistryError::UnknownVersion { name: name.into(), digest: *digest }.into());
        }
        let _one_at_a_time = self.change.lock().await;
        let mut next = (*self.registry.index()).clone();
        next.revoke(*digest, reason.clone(), self.stamp(by));
        self.commit(next).await?;
        self.sandbox.revoke(*digest.bytes(), &said(name, digest, by, reason.as_deref()));
        tracing::warn!(component = name, %digest, by, reason, "component revoked: what runs it stops at its next call");
        Ok(())
    }

    /// Forgets a version that nothing uses.
    pub async fn remove(self: &Arc<Self>, name: &str, digest: &Digest, by: &str) -> Result<(), ChangeError> {
        let _one_at_a_time = self.change.lock().await;
        let current = self.current();
        let used = current.instances.iter().filter(|(_, built)| built.uses.iter().any(|used| used.digest == *digest));
        let users: Vec<String> = used.map(|(instance, _)| format!("instance `{instance}`")).collect();
        if !users.is_empty() {
            return Err(ChangeError::InUse { what: digest.to_string(), by: users });
        }
        let mut next = (*self.registry.index()).clone();
        next.remove(name, digest)?;
        self.commit(next).await?;
        let (registry, digest_owned) = (Arc::clone(&self.registry), *digest);
        let _ = tokio::task::spawn_blocking(move || registry.discard(&digest_owned)).await;
        tracing::info!(component = name, %digest, by, "component removed");
        Ok(())
    }

    /// Forgets a name with all its versions; nothing may use one of them. Where a component of that name comes with the
    /// host, the name stands for that one again.
    pub async fn remove_all(self: &Arc<Self>, name: &str, by: &str) -> Result<(), ChangeError> {
        let _one_at_a_time = self.change.lock().await;
        let mut next = (*self.registry.index()).clone();
        let digests = match next.forget(name) {
            Ok(digests) => digests,
            Err(error) => {
                let components = self.components(self.registry.index());
                let bare = components.described_file(name, &self.catalogue).map(|(origin, _)| origin);
                return Err(match bare {
                    Some(Origin::BuiltIn) => ChangeError::NotUploaded { name: name.into(), from: "with the host" },
                    Some(_) => ChangeError::NotUploaded { name: name.into(), from: "from `connectors_dir`" },
                    None => error.into(),
                });
            }
        };
        let current = self.current();
        let used = current.instances.iter().filter(|(_, built)| built.uses.iter().any(|used| digests.contains(&used.digest)));
        let users: Vec<String> = used.map(|(instance, _)| format!("instance `{instance}`")).collect();
        if !users.is_empty() {
            return Err(ChangeError::InUse { what: format!("`{name}`"), by: users });
        }
        self.commit(next).await?;
        let registry = Arc::clone(&self.registry);
        let versions = digests.len();
        let _ = tokio::task::spawn_blocking(move || digests.iter().for_each(|digest| registry.discard(digest))).await;
        tracing::info!(component = name, versions, by, "component removed");
        Ok(())
    }

    async fn commit(&self, index: Index) -> Result<(), ChangeError> {
        let registry = Arc::clone(&self.registry);
        Ok(tokio::task::spawn_blocking(move || registry.commit(index)).await.map_err(|_| ChangeError::Broken)??)
    }

    /// Edits the index, tries the instances that use the name against it, commits it, and exchanges those that
    /// run something else now. `trial` puts them on trial with that version.
    async fn change<T>(
        self: &Arc<Self>,
        name: &str,
        trial: Option<Digest>,
        edit: impl FnOnce(&mut Index) -> Result<T, RegistryError>,
    ) -> Result<(T, Vec<Arc<str>>), ChangeError> {
        let _one_at_a_time = self.change.lock().await;
        let current = self.current();
        let before = self.registry.index();
        let mut next = (*before).clone();
        let out = edit(&mut next)?;
        let following: HashSet<Arc<str>> =
            current.instances.iter().filter(|(_, built)| built.uses.iter().any(|used| used.name == name)).map(|(instance, _)| Arc::clone(instance)).collect();
        let components = self.components(Arc::new(next.clone()));
        let built = guests::build(&current.config, &components, &self.sandbox, Arc::clone(&self.state), Purpose::Serve, self.parts(), Some(&following))
            .await
            .map_err(ChangeError::Faults)?;
        let mut changed = (*current).clone();
        for mut built in built {
            let instance = Arc::clone(&built.settings.name);
            let moved = changed.instances.get(&instance).is_none_or(|old| old.fingerprint != built.fingerprint);
            if moved {
                built.settings.trial = trial.is_some();
                changed.instances.insert(instance, built);
            }
        }
        self.commit(next).await?;
        let mut done = super::reload::Reloaded::default();
        {
            // Before they start: their first breath may be the last.
            let mut trials = self.trials.lock().unwrap_or_else(PoisonError::into_inner);
            let until = self.clock.monotonic() + self.settings.upload.trial;
            for (instance, built) in &changed.instances {
                if current.instances.get(instance).is_some_and(|old| old.fingerprint != built.fingerprint) {
                    trials.remove(instance);
                    if let Some(digest) = trial {
                        trials.insert(Arc::clone(instance), Trial { component: name.into(), digest, until, faults: 0 });
                    }
                }
            }
        }
        if let Err(error) = self.exchange(&current, &changed, &mut done).await {
            self.restore(&current, &changed).await;
            self.commit((*before).clone()).await?;
            return Err(ChangeError::Start(error));
        }
        self.put(changed);
        Ok((out, done.changed))
    }

    /// What delivery says, for versions on trial.
    pub(super) fn heard(control: &Weak<Self>, notice: &Notice) {
        let (instance, reason, faults) = match notice {
            Notice::Held { instance, cause: HoldCause::Quarantine, reason } => (instance, reason.clone(), TRIAL_FAULTS),
            Notice::DeadLetters { lane, cause: Cause::GuestFault, count, .. } => {
                (&lane.instance, "events broke it one by one; see the dead letters".to_owned(), *count)
            }
            _ => return,
        };
        let Some(control) = control.upgrade() else { return };
        let over = {
            let mut trials = control.trials.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(trial) = trials.get_mut(instance) else { return };
            trial.faults += faults;
            if control.clock.monotonic() > trial.until {
                trials.remove(instance);
                return;
            }
            if trial.faults < TRIAL_FAULTS {
                return;
            }
            let over = trial.clone();
            // Once for all instances of the name.
            trials.retain(|_, other| (&other.component, other.digest) != (&over.component, over.digest));
            over
        };
        let (instance, reason) = (Arc::clone(instance), reason);
        tokio::spawn(async move { control.take_back(&over, &instance, reason).await });
    }

    /// A version on trial has failed: what ran before runs again.
    async fn take_back(self: Arc<Self>, over: &Trial, instance: &str, reason: String) {
        let (name, digest) = (over.component.as_str(), over.digest);
        let still = self.registry.index().named(name).is_some_and(|named| named.active == Some(digest));
        if !still {
            return;
        }
        let bare = self.components(self.registry.index()).file(name).is_ok();
        let fault = Failed { at_ms: self.clock.unix_ms(), reason: format!("instance `{instance}`: {reason}") };
        match self.change(name, None, |index| index.roll_back(name, bare, Some(fault))).await {
            Ok(back) => {
                self.metrics.rollback(name, "automatic").inc();
                let cause = RollbackCause::Automatic { instance: instance.into(), reason: reason.clone() };
                self.tell_rollback(name, Some(digest), &back, cause);
                let (back, swapped) = back;
                let (from, to) = (digest.to_string(), back.map(|digest| digest.to_string()));
                self.trail.act("connectors.rollback", json!({"by": "automatic", "component": name, "from": from, "to": to, "instance": instance})).await;
                let to = back.map_or_else(|| "the component that was there before the uploads".to_owned(), |digest| digest.to_string());
                tracing::error!(component = name, from = %digest, to, instance, reason, instances = swapped.len(), "component rolled back: it broke on its first events");
            }
            Err(error) => {
                let error = crate::api::problem::Chain(&error).to_string();
                tracing::error!(component = name, %digest, instance, reason, error, "component breaks on its first events and cannot be rolled back");
            }
        }
    }
}

/// Runs work on a thread of its own that lets deliveries go first: it hashes, copies and writes tens of
/// megabytes. Nothing where the thread did not start or broke off.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, made) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("upload".into()).spawn(move || {
        // Here it is the thread's own; elsewhere it would be the whole process's.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::nice(BEHIND);
        let _ = done.send(work());
    });
    thread.ok()?;
    made.await.ok()
}

/// Why a revoked component does not run, as its instances' status shows it.
pub fn said(name: &str, digest: &Digest, by: &str, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("component `{name}` {digest} was revoked by {by}{reason}; activate another version")
}

/// What a component asks for, in the registry's words.
pub fn asked(inspection: &Inspection) -> Asks {
    let wants = inspection.manifest.as_ref().map(|manifest| manifest.wants.as_slice()).unwrap_or_default();
    let wishes = wants.iter().map(|want| Wish {
        interface: &want.interface,
        name: want.name.as_deref(),
        methods: &want.methods,
        paths: &want.paths,
        access: want.access.as_deref(),
    });
    asks(inspection.capabilities.iter().copied(), wishes)
}

/// How many instances use each digest, for lists.
pub fn by_digest(users: &[(String, Digest, Arc<str>)]) -> BTreeMap<Digest, Vec<&str>> {
    let mut all: BTreeMap<Digest, Vec<&str>> = BTreeMap::new();
    for (_, digest, instance) in users {
        all.entry(*digest).or_default().push(instance);
    }
    all
}
