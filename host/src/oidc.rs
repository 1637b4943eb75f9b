//! Whom an OpenID provider vouches for: its tokens as bearers at the API.
//!
//! Promises: keys are fetched from the provider that is configured and from nowhere else, without redirects, within
//! bounds of time and size, and not more often than once in [`BETWEEN`], whatever is asked; a provider that is away keeps
//! nobody out whose key is known. Refuses: to believe a token whose key it cannot see.

mod provider;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_access::{JwtFault, JwtKeys, JwtRules, Principal, Role, RoleMap, SeveralTenants, check_token, claim_texts};
use bulkhead_core::{Clock, Tenant};
use serde_json::Value;

use provider::Provider;
pub use provider::{ProviderError, is_safe};

/// Least time between two looks at the provider's keys.
const BETWEEN: Duration = Duration::from_secs(10);
/// Age of keys at which they are looked at anew, beside what is asked.
const STALE: Duration = Duration::from_secs(600);
/// People whose last sign-in is remembered, so that each is on record once; beyond it all are forgotten, and are on
/// record again.
const MOST_SEEN: usize = 4_096;
/// Somebody who comes from changing places is on record this often.
const SIGN_INS: Duration = Duration::from_secs(60);
/// Characters of a name on record.
const MOST_NAME: usize = 128;

/// The `listen.api.oidc` part of the configuration.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    pub rules: JwtRules,
    pub username_claim: String,
    pub role_claims: Vec<String>,
    pub roles: RoleMap,
    /// Where a token says whose somebody is.
    pub tenant_claim: Option<String>,
    /// Certificates of the provider's authority, in place of the machine's.
    pub ca: Option<Vec<u8>>,
    /// Who the command line is at the provider.
    pub client_id: Option<String>,
    pub scopes: Vec<String>,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OidcDenied {
    Token(JwtFault),
    /// Its key is not known, and the provider cannot be asked.
    Away,
    /// It does not say whose somebody is, or says several.
    Tenant,
}

/// Somebody whom the provider vouches for, and whether that is news for the record.
#[derive(Debug)]
pub struct Vouched {
    pub principal: Principal,
    pub roles: Vec<Role>,
    pub news: bool,
}

pub struct Oidc {
    settings: OidcSettings,
    provider: Provider,
    state: Mutex<State>,
    /// One asks the provider, the others wait for what it says.
    fetching: tokio::sync::Mutex<()>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    keys: Arc<JwtKeys>,
    /// When keys came last, and when they were asked for last.
    fetched: Option<Duration>,
    tried: Option<Duration>,
    seen: HashMap<String, (IpAddr, Duration)>,
}

impl Oidc {
    /// Asks nobody yet.
    pub fn new(settings: OidcSettings, clock: &Arc<dyn Clock>) -> Result<Arc<Self>, ProviderError> {
        let provider = Provider::new(&settings.rules.issuer, settings.ca.as_deref())?;
        Ok(Arc::new(Self { settings, provider, state: Mutex::default(), fetching: tokio::sync::Mutex::new(()), clock: Arc::clone(clock) }))
    }

    pub fn settings(&self) -> &OidcSettings {
        &self.settings
    }

    /// Looks at the keys before anybody asks, so that the log says early what is wrong; later, whether they are still
    /// those that came at `known`.
    pub fn warm(self: &Arc<Self>, known: Option<Duration>) {
        let oidc = Arc::clone(self);
        tokio::spawn(async move { oidc.fetch(known).await });
    }

    /// Who shows this token. Cancel safe: keys that were fetched are kept.
    pub async fn identify(self: &Arc<Self>, token: &str, from: IpAddr) -> Result<Vouched, OidcDenied> {
        let (keys, fetched) = self.keys();
        let claims = match self.check(token, &keys) {
            // Perhaps the provider has a new key.
            Err(JwtFault::Key) => {
                // On a task of its own: a client that goes away ends no look at the provider, and so keeps no key out.
                let oidc = Arc::clone(self);
                let came = tokio::spawn(async move { oidc.fetch(fetched).await }).await.unwrap_or(false);
                let checked = self.check(token, &self.keys().0);
                if checked == Err(JwtFault::Key) && !came { Err(OidcDenied::Away) } else { checked.map_err(OidcDenied::Token) }
            }
            checked => {
                if self.is_stale() {
                    self.warm(fetched);
                }
                checked.map_err(OidcDenied::Token)
            }
        }?;
        self.vouched(&claims, from)
    }

    fn check(&self, token: &str, keys: &JwtKeys) -> Result<Value, JwtFault> {
        check_token(token, &self.settings.rules, keys, self.clock.unix_nanos() / 1_000_000_000)
    }

    fn vouched(&self, claims: &Value, from: IpAddr) -> Result<Vouched, OidcDenied> {
        let texts = self.settings.role_claims.iter().flat_map(|path| claim_texts(claims, path));
        let (roles, tenant) = self.settings.roles.judge(texts).map_err(|SeveralTenants| OidcDenied::Tenant)?;
        // Whoever the claim is not about would see everything: a token that lacks it lets nobody in.
        let tenant = match self.settings.tenant_claim.as_ref().map(|path| claim_texts(claims, path)) {
            None => tenant,
            Some(said) => match said[..] {
                [one] => Some(Tenant::new(one).ok_or(OidcDenied::Tenant)?),
                _ => return Err(OidcDenied::Tenant),
            },
        };
        let text = |claim: &str| claims[claim].as_str().filter(|text| !text.is_empty());
        let name = text(&self.settings.username_claim).or_else(|| text("sub")).unwrap_or("?");
        let name: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(MOST_NAME).collect();
        let actor = format!("oidc:{name}");
        let news = self.is_news(&format!("{actor} {}", tenant.as_ref().map_or("", Tenant::as_str)), from);
        Ok(Vouched { principal: Principal { actor, permissions: Role::union(&roles), tenant }, roles, news })
    }

    /// The first time since the start, or from another place.
    fn is_news(&self, actor: &str, from: IpAddr) -> bool {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.seen.get(actor).is_some_and(|(place, at)| *place == from || now.saturating_sub(*at) < SIGN_INS) {
            return false;
        }
        if state.seen.len() >= MOST_SEEN {
            state.seen.clear();
        }
        state.seen.insert(actor.to_owned(), (from, now));
        true
    }

    /// Has the keys fetched, but where others did so since `known`, or somebody did a moment ago. False where the
    /// provider cannot be asked.
    async fn fetch(&self, known: Option<Duration>) -> bool {
        let _one = self.fetching.lock().await;
        let now = self.clock.monotonic();
        {
            let mut state = self.state();
            if state.fetched > known {
                return true;
            }
            if state.tried.is_some_and(|at| now.saturating_sub(at) < BETWEEN) {
                // What was heard a moment ago still holds.
                return state.fetched == state.tried;
            }
            state.tried = Some(now);
        }
        match self.provider.keys().await {
            Ok(keys) => {
                let mut state = self.state();
                tracing::info!(issuer = self.settings.rules.issuer, keys = keys.len(), "keys of the OpenID provider");
                (state.keys, state.fetched) = (Arc::new(keys), Some(now));
                true
            }
            Err(error) => {
                tracing::warn!(issuer = self.settings.rules.issuer, error = &error as &dyn std::error::Error, "no keys of the OpenID provider");
                false
            }
        }
    }

    /// Old keys, and nobody asked for others just now.
    fn is_stale(&self) -> bool {
        let (state, now) = (self.state(), self.clock.monotonic());
        let older = |at: Option<Duration>, age| at.is_some_and(|at| now.saturating_sub(at) > age);
        older(state.fetched, STALE) && older(state.tried, BETWEEN)
    }

    fn keys(&self) -> (Arc<JwtKeys>, Option<Duration>) {
        let state = self.state();
        (Arc::clone(&state.keys), state.fetched)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
