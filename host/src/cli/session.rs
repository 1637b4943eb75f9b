//! What `bulkhead login` keeps: for each host one session, in `bulkhead/sessions.json` below `$XDG_CONFIG_HOME` or `~/.config`,
//! readable for its owner only. Verbs show its access token where none is given, and have the next one fetched in time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::http_client::{client, refusal, unreachable};
use super::{Exit, Failure};

/// Most bytes of the file.
const MOST: u64 = 1 << 20;
/// The next token is fetched this long before the end of one, or in the last third of a short life.
const AHEAD_MS: i64 = 300_000;

#[derive(Clone, Serialize, Deserialize)]
pub struct Kept {
    access_token: String,
    refresh_token: Option<String>,
    expires_ms: i64,
    life_ms: i64,
    /// Where the next tokens come from; the host itself where absent.
    pub provider: Option<Provider>,
}

/// An OpenID provider, and who we are there.
#[derive(Clone, Serialize, Deserialize)]
pub struct Provider {
    pub token_endpoint: String,
    pub client_id: String,
}

impl Kept {
    /// Of what a token endpoint answered (RFC 6749 §5.1). A refresh token that is not there is the one of before.
    pub fn of(answer: &Value, before: Option<String>, provider: Option<Provider>) -> Option<Self> {
        let life_ms = answer["expires_in"].as_i64().unwrap_or(300).saturating_mul(1_000);
        Some(Self {
            access_token: answer["access_token"].as_str()?.to_owned(),
            refresh_token: answer["refresh_token"].as_str().map(str::to_owned).or(before),
            expires_ms: now_ms().saturating_add(life_ms),
            life_ms,
            provider,
        })
    }

    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    fn is_fresh(&self) -> bool {
        self.expires_ms - now_ms() > AHEAD_MS.min(self.life_ms / 3)
    }
}

/// The token to show: the one that is given, or that of the session with this host. Not cancel safe: a refresh token
/// is good once.
pub async fn token(api: &str, given: Option<&str>) -> Result<Option<String>, Failure> {
    if let Some(given) = given {
        return Ok(Some(given.to_owned()));
    }
    let Some(file) = Sessions::path().filter(|path| path.exists()).map(Sessions::open).transpose()? else { return Ok(None) };
    let api = name(api);
    let Some(kept) = file.all.get(api).cloned() else { return Ok(None) };
    if kept.is_fresh() {
        return Ok(Some(kept.access_token));
    }
    // Held while the next tokens come: of two verbs at the same time one fetches them.
    let mut file = file.locked()?;
    let Some(kept) = file.all.get(api).cloned() else { return Ok(None) };
    if kept.is_fresh() {
        return Ok(Some(kept.access_token));
    }
    let ended = |why: String| {
        Failure::new(Exit::NotAllowed, "session.ended", format!("the session with {api} has ended: {why}")).hint("`bulkhead login` begins another")
    };
    let Some(refresh) = kept.refresh_token.clone() else { return Err(ended("its token has expired".into())) };
    let (url, request) = match &kept.provider {
        None => {
            let url = format!("{api}/api/v2/auth/refresh");
            (url.clone(), client()?.post(url).header("content-type", "application/json").body(json!({"refresh_token": refresh}).to_string()))
        }
        Some(provider) => {
            let url = provider.token_endpoint.clone();
            let form = form(&[("grant_type", "refresh_token"), ("refresh_token", &refresh), ("client_id", &provider.client_id)]);
            (url.clone(), client()?.post(url).header("content-type", "application/x-www-form-urlencoded").body(form))
        }
    };
    let response = request.send().await.map_err(|error| unreachable(&url, &error))?;
    if response.status().is_client_error() && response.status().as_u16() != 429 {
        file.all.remove(api);
        file.write()?;
        return Err(ended(refusal(&url, response).await.message));
    }
    if !response.status().is_success() {
        return Err(refusal(&url, response).await);
    }
    let answer: Value = serde_json::from_slice(&response.bytes().await.map_err(|error| unreachable(&url, &error))?)
        .map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))?;
    let kept = Kept::of(&answer, Some(refresh), kept.provider).ok_or_else(|| Failure::new(Exit::Failed, "host.answer", "the answer has no token"))?;
    let token = kept.access_token.clone();
    file.all.insert(api.to_owned(), kept);
    file.write()?;
    Ok(Some(token))
}

/// Keeps a session in the place of the one with this host.
pub fn keep(api: &str, kept: Kept) -> Result<PathBuf, Failure> {
    let mut file = Sessions::of_this_user()?.locked()?;
    file.all.insert(name(api).to_owned(), kept);
    file.write()?;
    Ok(file.path)
}

/// Takes the session with this host out.
pub fn forget(api: &str) -> Result<Option<Kept>, Failure> {
    let mut file = Sessions::of_this_user()?.locked()?;
    let kept = file.all.remove(name(api));
    file.write()?;
    Ok(kept)
}

/// `name=value&…` (URL Living Standard §5.2).
pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn name(api: &str) -> &str {
    api.trim_end_matches('/')
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

struct Sessions {
    path: PathBuf,
    all: BTreeMap<String, Kept>,
    /// Held until this goes.
    _lock: Option<File>,
}

impl Sessions {
    fn path() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        config.map(|config| config.join("bulkhead/sessions.json"))
    }

    fn of_this_user() -> Result<Self, Failure> {
        let nowhere = || Failure::new(Exit::Failed, "session.nowhere", "there is no place for sessions: neither HOME nor XDG_CONFIG_HOME is set");
        Self::open(Self::path().ok_or_else(nowhere)?)
    }

    fn open(path: PathBuf) -> Result<Self, Failure> {
        let all = read(&path).map_err(|error| failed("read", &path, &error))?;
        Ok(Self { path, all, _lock: None })
    }

    /// The same file as it is once nobody else writes it.
    fn locked(self) -> Result<Self, Failure> {
        let lock = || {
            let folder = self.path.parent().ok_or_else(|| io::Error::other("it has no folder"))?;
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(folder)?;
            let file = private(&self.path.with_extension("lock"))?;
            file.lock()?;
            Ok(file)
        };
        let file = lock().map_err(|error| failed("lock", &self.path, &error))?;
        Ok(Self { _lock: Some(file), ..Self::open(self.path)? })
    }

    /// Whole or not at all.
    fn write(&self) -> Result<(), Failure> {
        let fresh = self.path.with_extension("new");
        let write = || {
            // Left behind by one that was cut off, perhaps; the lock is ours.
            let _ = fs::remove_file(&fresh);
            let mut file = private(&fresh)?;
            file.write_all(&serde_json::to_vec_pretty(&self.all)?)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)
        };
        write().map_err(|error| failed("write", &self.path, &error))
    }
}

/// Of nobody but the owner, whatever the umask.
fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn read(path: &Path) -> io::Result<BTreeMap<String, Kept>> {
    let mut text = String::new();
    match File::open(path).and_then(|file| io::Read::read_to_string(&mut io::Read::take(file, MOST), &mut text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        read => read?,
    };
    // No error of the parser: it would repeat what it read.
    serde_json::from_str(&text).map_err(|_| io::Error::other("it is not what `bulkhead login` writes; remove it"))
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, "session.file", format!("cannot {doing} {}: {error}", path.display()))
}
