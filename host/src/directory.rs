//! Whom an LDAP directory knows: what its groups may do here.
//!
//! Promises: a few are asked for at a time, the next ones wait, the rest is told at once; a directory that is away says
//! nothing about anybody and is in the log, once in [`BETWEEN`]. Refuses: whoever has no role by their groups.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_access::{Granted, Role};
use bulkhead_core::Clock;
use bulkhead_directory::{Account, Client, DirectoryError, Person, Settings, common_name, normal_name};
use secrecy::SecretString;
use tokio::sync::Semaphore;

use crate::api::problem::Chain;

/// People who are asked for at the same time.
const AT_ONCE: usize = 8;
/// Those that wait; beyond it the answer is 503 at once.
const WAITING: usize = 32;
/// Least time between two lines of the log about a directory that is away.
const BETWEEN: Duration = Duration::from_secs(10);

/// The `listen.api.ldap` part of the configuration.
#[derive(Debug, Clone)]
pub struct LdapSettings {
    pub directory: Settings,
    pub roles: GroupRoles,
    /// A session ends after this, whatever the directory says.
    pub session_for: Duration,
}

/// Which groups are which roles.
#[derive(Debug, Clone, Default)]
pub struct GroupRoles(Vec<(Group, Vec<Role>)>);

#[derive(Debug, Clone)]
enum Group {
    /// One entry.
    Named(String),
    /// Every group of this common name, wherever it stands.
    Called(String),
}

impl GroupRoles {
    /// Adds a row; false for a name of an entry that is none.
    #[must_use]
    pub fn add(&mut self, value: &str, roles: Vec<Role>) -> bool {
        let group = if value.contains('=') { normal_name(value).map(Group::Named) } else { common_name(&format!("cn={value}")).map(Group::Called) };
        let fits = group.is_some();
        self.0.extend(group.map(|group| (group, roles)));
        fits
    }

    fn roles(&self, groups: &[String]) -> Vec<Role> {
        let mut roles = Vec::new();
        for group in groups {
            let (named, called) = (normal_name(group), common_name(group));
            let fits = |known: &Group| match known {
                Group::Named(name) => named.as_ref() == Some(name),
                Group::Called(name) => called.as_ref() == Some(name),
            };
            roles.extend(self.0.iter().filter(|(known, _)| fits(known)).flat_map(|(_, roles)| roles.iter().copied()));
        }
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}

/// What a directory says of somebody.
#[derive(Debug)]
pub enum Vouched {
    Granted(Granted),
    /// Known, with the right password, and in no group that means something here.
    NoRole,
    /// Not there, or another password: which of both is not told.
    Unknown,
}

/// Why it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    #[error("the directory does not answer, or not as it should; the log says why")]
    Away,
    #[error("too many sign-ins at the same time")]
    Busy,
}

pub struct Directory {
    client: Client,
    roles: GroupRoles,
    session_for: Duration,
    places: Semaphore,
    running: Semaphore,
    /// When the log said last that it is away.
    told: Mutex<Option<Duration>>,
    clock: Arc<dyn Clock>,
}

impl Directory {
    /// Asks nobody yet.
    pub fn new(settings: LdapSettings, clock: &Arc<dyn Clock>) -> Arc<Self> {
        let LdapSettings { directory, roles, session_for } = settings;
        Arc::new(Self {
            client: Client::new(directory),
            roles,
            session_for,
            places: Semaphore::new(AT_ONCE + WAITING),
            running: Semaphore::new(AT_ONCE),
            told: Mutex::default(),
            clock: Arc::clone(clock),
        })
    }

    pub fn session_for(&self) -> Duration {
        self.session_for
    }

    /// Whether somebody who is signed in can be looked at again.
    pub fn looks_up(&self) -> bool {
        self.client.looks_up()
    }

    /// Who has this name and this password. Cancel safe.
    pub async fn sign_in(&self, name: &str, password: &SecretString) -> Result<Vouched, NotAsked> {
        self.ask(&Person { name, password: Some(password) }).await
    }

    /// What is to be said of somebody now who was signed in before; nothing of another entry by the same name. Cancel safe.
    pub async fn look(&self, name: &str, before: &str) -> Result<Vouched, NotAsked> {
        let vouched = self.ask(&Person { name, password: None }).await?;
        let same = |now: &str| normal_name(now).is_some_and(|now| Some(now) == normal_name(before));
        Ok(match vouched {
            Vouched::Granted(granted) if !same(&granted.dn) => Vouched::Unknown,
            vouched => vouched,
        })
    }

    async fn ask(&self, person: &Person<'_>) -> Result<Vouched, NotAsked> {
        let _place = self.places.try_acquire().map_err(|_| NotAsked::Busy)?;
        let _running = self.running.acquire().await.map_err(|_| NotAsked::Busy)?;
        match self.client.ask(person).await {
            Ok(None) => Ok(Vouched::Unknown),
            Ok(Some(Account { dn, groups })) => {
                let roles = self.roles.roles(&groups);
                if roles.is_empty() {
                    tracing::info!(dn, groups = groups.len(), "nobody is signed in: none of the groups is in listen.api.ldap.roles");
                    return Ok(Vouched::NoRole);
                }
                Ok(Vouched::Granted(Granted { dn, roles }))
            }
            Err(error @ DirectoryError::Ambiguous { .. }) => {
                tracing::warn!(error = %Chain(&error), "nobody is signed in: listen.api.ldap.user_filter fits two entries");
                Ok(Vouched::Unknown)
            }
            Err(error) => {
                if self.is_news() {
                    tracing::error!(error = %Chain(&error), "nobody signs in by the directory (listen.api.ldap)");
                }
                Err(NotAsked::Away)
            }
        }
    }

    fn is_news(&self) -> bool {
        let now = self.clock.monotonic();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = told.is_none_or(|at| now.saturating_sub(at) >= BETWEEN);
        if news {
            *told = Some(now);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_roles_by_their_whole_name_or_what_they_are_called() {
        let mut map = GroupRoles::default();
        assert!(map.add("CN=SOC Admins, OU=Groups, DC=example", vec![Role::SecurityAdmin, Role::Auditor]));
        assert!(map.add("soc  viewers", vec![Role::SecurityViewer]));
        assert!(!map.add("cn=broken,", vec![Role::SecurityAdmin]), "no name of an entry");
        let roles = |groups: &[&str]| map.roles(&groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>());
        assert_eq!(roles(&["cn=soc admins,ou=groups,dc=example", "CN=SOC Viewers,OU=anywhere"]), [Role::SecurityAdmin, Role::SecurityViewer, Role::Auditor]);
        for none in ["cn=soc admins,ou=other,dc=example", "cn=soc admins\\,ou=groups,dc=example", "ou=soc viewers", "soc viewers", "security_admin", ""] {
            assert_eq!(roles(&[none]), [], "{none}");
        }
    }
}
