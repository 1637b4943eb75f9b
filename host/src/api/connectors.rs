//! Components: what is there, uploads, and what becomes of their versions. A component is named by its
//! name, `name@1.2`, or its digest; a change of a version names the digest that was looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest as _, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bulkhead_access::{Permission, Principal};
use bulkhead_registry::{Added, Digest, Index, Named, RegistryError, SignatureError, Version};
use bulkhead_sandbox::{InspectError, Inspection, Limit, LoadError};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};

use super::Api;
use super::auth::Actor;
use super::page::Page;
use super::problem::{Chain, Problem};
use super::view::View;
use crate::components::{Catalogue, ComponentError, Components, FORMATTER_PREFIX, Found, Origin, Wanted};
use crate::pipeline::uploads::{ChangeError, Parcel, by_digest};
use crate::trail::Note;

/// Header with a detached signature in base64.
const SIGNATURE: &str = "x-bulkhead-signature";
/// Longest signature that is read.
const MAX_SIGNATURE: usize = 256;
/// Longest time for the bytes of one upload.
const TIME: Duration = Duration::from_secs(300);

pub async fn list(State(api): State<Api>, view: View, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    let bounds = page.bounds()?;
    blocking(move || {
        let index = api.control.registry.index();
        let components = api.control.components(index.clone());
        let users = seen(&view, api.control.users());
        let (names, by_user) = (components.shown(&api.control.catalogue), by_digest(&users));
        let show = |name: &String| summary(&components, &api.control.catalogue, &index, name, &by_user);
        Ok(bounds.answer("/api/integration/connectors", &names, show))
    })
    .await
}

pub async fn show(State(api): State<Api>, view: View, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    blocking(move || {
        let index = api.control.registry.index();
        let components = api.control.components(index.clone());
        let users = seen(&view, api.control.users());
        let name = match Wanted::connector(&id) {
            Wanted::Name(name) | Wanted::Version { name, .. } => name,
            Wanted::Digest(digest) => index.find(&digest).map(|(name, _)| name.to_owned()).ok_or_else(|| unknown(&id))?,
        };
        if !components.names().contains(&name) {
            return Err(unknown(&id));
        }
        Ok(Json(json!({"data": summary(&components, &api.control.catalogue, &index, &name, &by_digest(&users)), "links": {"self": format!("/api/integration/connectors/{name}")}})))
    })
    .await
}

pub async fn show_version(State(api): State<Api>, view: View, Path((name, digest)): Path<(String, String)>) -> Result<Json<Value>, Problem> {
    let digest = parse(&digest)?;
    let index = api.control.registry.index();
    let version = index.named(&name).and_then(|named| named.version(&digest)).ok_or_else(|| unknown(&format!("{name} {digest}")))?;
    let users = seen(&view, api.control.users());
    Ok(Json(json!({"data": version_of(&index, &name, version, &by_digest(&users))})))
}

/// The JSON Schema of a component's configuration.
pub async fn schema(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let (found, inspection) = find(api, id).await?;
    let schema = inspection.manifest.as_ref().and_then(|manifest| manifest.config_schema.as_ref());
    let schema: Value = schema.and_then(|schema| serde_json::from_str(schema.get()).ok()).unwrap_or_else(|| json!({"type": "object"}));
    Ok(Json(json!({"data": {"name": found.name, "digest": found.digest.to_string(), "schema_definition": schema}})))
}

/// What a component does and what it asks for.
pub async fn capabilities(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let (found, inspection) = find(api, id).await?;
    let manifest = inspection.manifest.as_ref();
    let wants = manifest.map(|manifest| manifest.wants.as_slice()).unwrap_or_default().iter().map(|want| {
        json!({"interface": want.interface, "name": want.name, "methods": want.methods, "paths": want.paths, "access": want.access, "reason": want.reason})
    });
    Ok(Json(json!({"data": {
        "name": found.name, "digest": found.digest.to_string(), "kind": inspection.kind.name(), "contract": inspection.contract.to_string(),
        "reach": inspection.in_words(), "imports": inspection.imports, "contradictions": inspection.contradictions,
        "operations": manifest.map(|manifest| &manifest.operations), "accepts": manifest.map(|manifest| &manifest.accepts),
        "wants": wants.collect::<Vec<_>>(), "asks": crate::pipeline::uploads::asked(&inspection),
    }})))
}

/// How an upload is to be treated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct How {
    /// For a component without a manifest.
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    approve: bool,
    #[serde(default = "yes")]
    activate: bool,
}

fn yes() -> bool {
    true
}

pub async fn upload(
    State(api): State<Api>,
    Extension(caller): Extension<Principal>,
    Extension(note): Extension<Note>,
    Query(how): Query<How>,
    request: Request,
) -> Result<Response, Problem> {
    take(api, caller, note, how, None, request).await
}

/// A further version under this name, which must be its own. A component without a manifest gets it.
pub async fn put(
    State(api): State<Api>,
    Path(name): Path<String>,
    Extension(caller): Extension<Principal>,
    Extension(note): Extension<Note>,
    Query(mut how): Query<How>,
    request: Request,
) -> Result<Response, Problem> {
    if how.version.is_some() && how.name.is_none() {
        how.name = Some(name.strip_prefix(FORMATTER_PREFIX).unwrap_or(&name).to_owned());
    }
    take(api, caller, note, how, Some(name), request).await
}

async fn take(api: Api, caller: Principal, note: Note, how: How, under: Option<String>, request: Request) -> Result<Response, Problem> {
    // Else whoever may bring components in could grant them what they ask for.
    if how.approve && !caller.permissions.has(Permission::ConnectorsGrant) {
        return Err(super::auth::lacks(Permission::ConnectorsGrant, "`approve` needs"));
    }
    let limit = Limit::ComponentSize.row().ceiling;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let parts = match essence.as_str() {
        "application/wasm" => false,
        "multipart/form-data" => true,
        _ => {
            let detail = "an upload is `application/wasm`, or `multipart/form-data` with a part `component` and perhaps a part `signature`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail));
        }
    };
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
    // The frame of a multipart body is small.
    if declared.is_some_and(|size| size > limit + if parts { 16 << 10 } else { 0 }) {
        return Err(too_large(limit));
    }
    // A place, or none: what waits would hold a connection and its buffers.
    let Ok(_place) = api.uploads.try_acquire() else {
        let detail = format!("{} uploads are under way, the most at once; try again", super::UPLOADS);
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail).retry_after(1));
    };
    let registry = Arc::clone(&api.control.registry);
    let incoming = blocking(move || registry.incoming().map_err(|error| Problem::internal(&error))).await?;
    let file = incoming.file().map_err(|error| Problem::internal(&error))?;
    let mut sink = Sink { file: tokio::fs::File::from_std(file), taken: 0, limit, until: Instant::now() + TIME, idle: api.control.settings.upload.idle };
    let header = request.headers().get(SIGNATURE).map(|value| value.as_bytes().to_vec());
    let signature = if parts { read_parts(request, &mut sink).await?.or(header) } else { read_raw(request, &mut sink).await.map(|()| header)? };
    sink.file.flush().await.map_err(|error| Problem::internal(&error))?;
    drop(sink);

    let parcel = Parcel { under, name: how.name, version: how.version, signature, approve: how.approve, keep: !how.activate, by: caller.actor };
    let control = Arc::clone(&api.control);
    // On a task of its own: a client that goes away does not stop a swap half way.
    let taken = tokio::spawn(async move { control.take_in(incoming, parcel).await }).await.map_err(|_| refused(ChangeError::Broken))?;
    let taken = taken.inspect_err(|_| api.metrics.upload("refused").inc()).map_err(refused)?;
    let known = taken.added == Added::Known;
    api.metrics.upload(if known { "known" } else { "taken" }).inc();
    let index = api.control.registry.index();
    let version = index.named(&taken.name).and_then(|named| named.version(&taken.digest)).ok_or_else(|| unknown(&taken.name))?;
    let mut data = version_of(&index, &taken.name, version, &by_digest(&api.control.users()));
    let (state, approved) = (index.state(&taken.name, version).name(), version.approved.is_some());
    note.object(format!("connectors/{}", taken.name))
        .after(json!({"version": version.version, "digest": taken.digest.to_string(), "state": state, "approved": approved, "known": known}));
    data["instances_swapped"] = names(&taken.swapped);
    data["waits_for"] = json!(taken.wider);
    let location = format!("/api/integration/connectors/{}/versions/{}", taken.name, taken.digest);
    let status = if known { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, [(header::LOCATION, location)], Json(json!({"data": data}))).into_response())
}

/// Where an upload goes: to disk, never to memory.
struct Sink {
    file: tokio::fs::File,
    taken: u64,
    limit: u64,
    until: Instant,
    /// Longest pause between two pieces.
    idle: Duration,
}

/// Bytes of an upload that are written before they are synced.
const STEP: u64 = 1 << 20;

impl Sink {
    async fn take(&mut self, piece: &Bytes) -> Result<(), Problem> {
        self.taken += piece.len() as u64;
        if self.taken > self.limit {
            return Err(too_large(self.limit));
        }
        self.file.write_all(piece).await.map_err(|error| Problem::internal(&error))?;
        // All at the end would make the journal's next sync wait for all of it.
        if self.taken / STEP != (self.taken - piece.len() as u64) / STEP {
            self.file.sync_data().await.map_err(|error| Problem::internal(&error))?;
        }
        Ok(())
    }

    /// Waits for the next piece, not for ever.
    async fn within<T>(&self, next: impl Future<Output = T>) -> Result<T, Problem> {
        let until = self.until.min(Instant::now() + self.idle);
        timeout_at(until, next)
            .await
            .map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the upload did not come in time; nothing of it is kept"))
    }
}

async fn read_raw(request: Request, sink: &mut Sink) -> Result<(), Problem> {
    let mut body = request.into_body();
    while let Some(frame) = sink.within(body.frame()).await? {
        let frame = frame.map_err(|_| half())?;
        if let Some(piece) = frame.data_ref() {
            sink.take(piece).await?;
        }
    }
    Ok(())
}

async fn read_parts(request: Request, sink: &mut Sink) -> Result<Option<Vec<u8>>, Problem> {
    let broken = |error: MultipartError| if error.status() == StatusCode::BAD_REQUEST { Problem::bad_request("multipart", error.body_text()) } else { half() };
    let mut parts = Multipart::from_request(request, &()).await.map_err(|error| Problem::bad_request("multipart", error.body_text()))?;
    let (mut signature, mut components) = (None, 0);
    while let Some(mut part) = sink.within(parts.next_field()).await?.map_err(broken)? {
        match part.name() {
            Some("component") => {
                components += 1;
                if components > 1 {
                    return Err(Problem::bad_request("multipart", "there are two parts `component`; send one"));
                }
                while let Some(piece) = sink.within(part.chunk()).await?.map_err(broken)? {
                    sink.take(&piece).await?;
                }
            }
            Some("signature") => {
                let mut bytes = Vec::new();
                while let Some(piece) = sink.within(part.chunk()).await?.map_err(broken)? {
                    if bytes.len() + piece.len() > MAX_SIGNATURE {
                        return Err(refused(SignatureError::Malformed.into()));
                    }
                    bytes.extend_from_slice(&piece);
                }
                signature = Some(bytes);
            }
            _ => return Err(Problem::bad_request("multipart", "there is a part that is neither `component` nor `signature`")),
        }
    }
    if components == 0 {
        return Err(Problem::bad_request("multipart", "there is no part `component`"));
    }
    Ok(signature)
}

fn half() -> Problem {
    Problem::bad_request("incomplete", "the upload broke off; nothing of it is kept")
}

fn too_large(limit: u64) -> Problem {
    let detail = format!("the upload is larger than {} MiB, the ceiling of `limits.component_size`", limit >> 20);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

/// What is said along with a change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Say {
    reason: Option<String>,
    #[serde(default = "yes")]
    activate: bool,
}

/// Name and digest in the path.
type OneVersion = Path<(String, String)>;

pub async fn approve(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path((name, digest)): OneVersion,
    Query(say): Query<Say>,
) -> Result<Json<Value>, Problem> {
    let digest = parse(&digest)?;
    note.object(format!("connectors/{name}")).before(standing(&api, &name, &digest));
    let (control, owned) = (Arc::clone(&api.control), name.clone());
    let swapped = detached(async move { control.approve(&owned, &digest, !say.activate, &actor.0).await }).await?;
    note.after(standing(&api, &name, &digest));
    Ok(changed(&api, &name, &digest, &swapped))
}

pub async fn activate(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path((name, digest)): OneVersion,
) -> Result<Json<Value>, Problem> {
    let digest = parse(&digest)?;
    note.object(format!("connectors/{name}")).before(standing(&api, &name, &digest));
    let (control, owned) = (Arc::clone(&api.control), name.clone());
    let swapped = detached(async move { control.activate(&owned, &digest, &actor.0).await }).await?;
    note.after(standing(&api, &name, &digest));
    Ok(changed(&api, &name, &digest, &swapped))
}

pub async fn revoke(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path((name, digest)): OneVersion,
    Query(say): Query<Say>,
) -> Result<Json<Value>, Problem> {
    let digest = parse(&digest)?;
    note.object(format!("connectors/{name}")).before(standing(&api, &name, &digest));
    let (control, owned) = (Arc::clone(&api.control), name.clone());
    detached(async move { control.revoke(&owned, &digest, say.reason, &actor.0).await }).await?;
    note.after(json!({"digest": digest.to_string(), "state": "revoked"}));
    Ok(Json(json!({"data": {"name": name, "digest": digest.to_string(), "state": "revoked", "used_by": by_digest(&api.control.users()).get(&digest)}})))
}

pub async fn remove(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path((name, digest)): OneVersion,
) -> Result<StatusCode, Problem> {
    let digest = parse(&digest)?;
    note.object(format!("connectors/{name}")).before(standing(&api, &name, &digest));
    let control = Arc::clone(&api.control);
    detached(async move { control.remove(&name, &digest, &actor.0).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A name with all its versions; `name@version` or a digest for one of them.
pub async fn remove_named(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let index = api.control.registry.index();
    let one = match id.parse::<Digest>() {
        Ok(digest) => Some(index.find(&digest).map(|(name, version)| (name.to_owned(), version.digest)).ok_or_else(|| unknown(&id))?),
        Err(_) => match id.split_once('@') {
            Some((name, wanted)) => {
                let found = index.named(name).and_then(|named| named.versions.iter().find(|version| version.version == wanted));
                Some((name.to_owned(), found.ok_or_else(|| unknown(&id))?.digest))
            }
            None => None,
        },
    };
    let control = Arc::clone(&api.control);
    match one {
        Some((name, digest)) => {
            note.object(format!("connectors/{name}")).before(standing(&api, &name, &digest));
            detached(async move { control.remove(&name, &digest, &actor.0).await }).await?;
        }
        None => {
            let versions = index.named(&id).map(|named| named.versions.iter().map(|version| version.digest.to_string()).collect::<Vec<_>>());
            note.object(format!("connectors/{id}")).before(json!({"versions": versions}));
            detached(async move { control.remove_all(&id, &actor.0).await }).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

pub async fn roll_back(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Extension(note): Extension<Note>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let active = api.control.registry.index().named(&name).and_then(|named| named.active).map(|digest| digest.to_string());
    note.object(format!("connectors/{name}")).before(json!({"active": active}));
    let (control, owned) = (Arc::clone(&api.control), name.clone());
    let (back, swapped) = detached(async move { control.roll_back(&owned, &actor.0).await }).await?;
    note.after(json!({"active": back.map(|digest| digest.to_string())}));
    Ok(Json(json!({"data": {"name": name, "active": back.map(|digest| digest.to_string()), "instances_swapped": names(&swapped)}})))
}

fn changed(api: &Api, name: &str, digest: &Digest, swapped: &[Arc<str>]) -> Json<Value> {
    let index = api.control.registry.index();
    let version = index.named(name).and_then(|named| named.version(digest));
    let mut data = version.map(|version| version_of(&index, name, version, &by_digest(&api.control.users()))).unwrap_or_default();
    data["instances_swapped"] = names(swapped);
    Json(json!({"data": data}))
}

/// A version as it stands, for the record.
fn standing(api: &Api, name: &str, digest: &Digest) -> Value {
    let index = api.control.registry.index();
    let state = index.named(name).and_then(|named| named.version(digest)).map(|version| index.state(name, version).name());
    json!({"digest": digest.to_string(), "state": state})
}

fn names(instances: &[Arc<str>]) -> Value {
    instances.iter().map(|name| Value::from(&**name)).collect()
}

/// A change goes on although the client that asked for it has gone.
async fn detached<T: Send + 'static>(work: impl Future<Output = Result<T, ChangeError>> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(work).await.unwrap_or(Err(ChangeError::Broken)).map_err(refused)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Problem> + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(refused(ChangeError::Broken)))
}

async fn find(api: Api, id: String) -> Result<(Found, Inspection), Problem> {
    blocking(move || {
        let components = api.control.components(api.control.registry.index());
        let found = components.read(&Wanted::connector(&id)).map_err(|error| missing(&error))?;
        let inspection = Inspection::read(&found.bytes, Limit::ComponentSize.row().ceiling).map_err(|error| refused(error.into()))?;
        Ok((found, inspection))
    })
    .await
}

fn parse(digest: &str) -> Result<Digest, Problem> {
    digest.parse().map_err(|error: bulkhead_registry::NoDigest| Problem::bad_request("bad_digest", error.to_string()))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no component `{}`", id.escape_default().take(120).collect::<String>()))
}

fn missing(error: &ComponentError) -> Problem {
    match error {
        ComponentError::Unknown { .. } | ComponentError::UnknownVersion { .. } | ComponentError::UnknownDigest(_) => Problem::not_found(error.to_string()),
        ComponentError::Read { .. } | ComponentError::Registry { .. } => Problem::internal(error),
        _ => Problem::new(StatusCode::CONFLICT, "not_usable", error.to_string()),
    }
}

/// A refused change as clients see it. Texts name what to do and hold nothing of the host's inside.
fn refused(error: ChangeError) -> Problem {
    use StatusCode as S;
    let (status, code) = match &error {
        ChangeError::Registry(error) => match error {
            RegistryError::Name(_) => (S::UNPROCESSABLE_ENTITY, "bad_name"),
            RegistryError::Version(_) => (S::UNPROCESSABLE_ENTITY, "bad_version"),
            RegistryError::Conflict { .. } => (S::CONFLICT, "version_exists"),
            RegistryError::Kind { .. } => (S::CONFLICT, "other_kind"),
            RegistryError::Revoked { .. } => (S::CONFLICT, "revoked"),
            RegistryError::UnknownName(_) | RegistryError::UnknownVersion { .. } => (S::NOT_FOUND, "not_found"),
            RegistryError::NotApproved { .. } => (S::CONFLICT, "not_approved"),
            RegistryError::NothingBefore(_) => (S::CONFLICT, "nothing_before"),
            RegistryError::Active { .. } => (S::CONFLICT, "in_use"),
            RegistryError::TooManyVersions { .. } | RegistryError::TooManyNames { .. } | RegistryError::Quota { .. } => {
                (S::INSUFFICIENT_STORAGE, "registry_full")
            }
            RegistryError::Changed { .. } | RegistryError::Damaged { .. } | RegistryError::Io { .. } => return Problem::internal(error),
        },
        ChangeError::Signature(SignatureError::Missing) => (S::FORBIDDEN, "not_signed"),
        ChangeError::Signature(_) => (S::FORBIDDEN, "bad_signature"),
        ChangeError::Inspect(InspectError::TooLarge { .. }) => (S::PAYLOAD_TOO_LARGE, "too_large"),
        ChangeError::Inspect(_) => (S::UNPROCESSABLE_ENTITY, "unfit"),
        ChangeError::Load(LoadError::Stopped { .. }) => (S::UNPROCESSABLE_ENTITY, "compile_stopped"),
        ChangeError::Load(_) => (S::UNPROCESSABLE_ENTITY, "unfit"),
        ChangeError::NoManifest | ChangeError::Named => (S::UNPROCESSABLE_ENTITY, "manifest"),
        ChangeError::OtherName { .. } => (S::UNPROCESSABLE_ENTITY, "other_name"),
        ChangeError::NotUploaded { .. } => (S::CONFLICT, "not_uploaded"),
        ChangeError::InUse { .. } => (S::CONFLICT, "in_use"),
        ChangeError::Faults(faults) => {
            let errors = faults.iter().map(|fault| json!({"key": fault.key, "message": fault.message}));
            let problem = Problem::new(S::CONFLICT, "instances_refuse", format!("{}; the old version runs on", Chain(&error)));
            return problem.errors(errors.collect());
        }
        ChangeError::Start(_) => (S::CONFLICT, "instances_refuse"),
        ChangeError::Read(_) | ChangeError::Broken => return Problem::internal(&error),
    };
    Problem::new(status, code, Chain(&error).to_string())
}

/// Components are everybody's, the instances that run them are not.
fn seen(view: &View, users: Vec<(String, Digest, Arc<str>)>) -> Vec<(String, Digest, Arc<str>)> {
    users.into_iter().filter(|(.., instance)| view.scope.is_host() || !view.hides_instance(instance)).collect()
}

type Users<'a> = BTreeMap<Digest, Vec<&'a str>>;

/// One component with all its versions.
fn summary(components: &Components, catalogue: &Catalogue, index: &Index, name: &str, users: &Users<'_>) -> Value {
    let named = index.named(name);
    let active = named.and_then(|named: &Named| named.version(&named.active?));
    let bare = components.described_file(name, catalogue);
    let origin = if active.is_some() { Some(Origin::Upload) } else { bare.as_ref().map(|(origin, _)| *origin) };
    // The one that runs, else the newest upload: something to describe the name by.
    let newest = named.and_then(|named| named.versions.last());
    let described = match (active.or(if bare.is_none() { newest } else { None }), &bare) {
        (Some(version), _) => components.described_upload(&version.digest, catalogue),
        (None, Some((_, bare))) => Some(Arc::clone(bare)),
        (None, None) => None,
    };
    let described = described.as_ref().and_then(|described| described.inspection.as_ref());
    let manifest = described.and_then(|inspection| inspection.manifest.as_ref());
    let digest = active.map(|version| version.digest).or(bare.as_ref().map(|(_, bare)| bare.digest));
    let versions = named.map(|named| named.versions.as_slice()).unwrap_or_default();
    json!({
        "id": name, "name": name, "kind": described.map(|inspection| inspection.kind.name()),
        "version": active.map(|version| version.version.as_str()).or(manifest.map(|manifest| manifest.version.as_str())),
        "digest": digest.map(|digest| digest.to_string()),
        "state": digest.map(|digest| if index.revocation(&digest).is_some() { "revoked" } else { "active" }),
        "origin": origin.map(Origin::name), "is_built_in": origin == Some(Origin::BuiltIn),
        "system_type": manifest.and_then(|manifest| manifest.system.as_ref()), "vendor": manifest.and_then(|manifest| manifest.vendor.as_ref()),
        "documentation_url": manifest.and_then(|manifest| manifest.docs.as_ref()),
        "capabilities": manifest.map(|manifest| &manifest.operations), "accepts": manifest.map(|manifest| &manifest.accepts),
        "asks": described.map(crate::pipeline::uploads::asked),
        "used_by": digest.and_then(|digest| users.get(&digest)).cloned().unwrap_or_default(),
        "versions": versions.iter().map(|version| version_of(index, name, version, users)).collect::<Vec<_>>(),
    })
}

fn version_of(index: &Index, name: &str, version: &Version, users: &Users<'_>) -> Value {
    let stamp = |stamp: Option<&bulkhead_registry::Stamp>| stamp.map(|stamp| json!({"at": super::rfc3339(stamp.at_ms), "by": stamp.by}));
    let signature = match (&version.signature, &version.signed_by) {
        (Some(_), Some(key)) => json!({"state": "verified", "key": key}),
        _ => json!({"state": "unsigned"}),
    };
    let revoked = index.revocation(&version.digest);
    json!({
        "name": name, "version": version.version, "digest": version.digest.to_string(), "size": version.size,
        "state": index.state(name, version).name(), "signature": signature, "asks": version.asks, "asks_more": version.wider,
        "uploaded": stamp(Some(&version.uploaded)), "approved": stamp(version.approved.as_ref()), "activated": stamp(version.activated.as_ref()),
        "revoked": stamp(revoked.map(|revocation| &revocation.stamp)), "revoked_because": revoked.and_then(|revocation| revocation.reason.as_ref()),
        "fault": version.fault.as_ref().map(|fault| json!({"at": super::rfc3339(fault.at_ms), "reason": fault.reason})),
        "used_by": users.get(&version.digest).cloned().unwrap_or_default(),
    })
}
