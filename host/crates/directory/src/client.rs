//! Who somebody is, asked of the servers of a directory one after the other until one answers.
//!
//! Promises: whoever is not there costs as many questions as whoever has another password. A search that finds two
//! signs nobody in. Not cached: what is answered is what the directory says now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};

use crate::connection::{Connection, DirectoryError};
use crate::dn::{self, normal_name};
use crate::filter::{FilterTemplate, present};
use crate::message::{Entry, Scope, Search, code};
use crate::server::Server;

/// Groups of one person; who is in more is not signed in, and the error says so.
pub const MOST_GROUPS: usize = 1_000;
/// Bytes of a password.
const MOST_PASSWORD: usize = 1 << 10;
/// Signs that are in no account name of Active Directory, and would mean something in what stands around it.
const NOT_IN_ACCOUNTS: &str = "\"/\\[]:;|=,+*?<>@";

/// How somebody's entry is found.
#[derive(Debug, Clone)]
pub enum Users {
    /// Somebody who may look finds it.
    Found { bind_dn: String, password: SecretString, base: String, filter: FilterTemplate },
    /// A pattern with `{username}` names it: a name of an entry, or what a server takes for one. Whoever signs in looks
    /// for the groups, and for the entry itself where the pattern is no name of one.
    Named { pattern: String, find: Option<(String, FilterTemplate)> },
}

/// Where somebody's groups stand.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    /// In the person's own entry.
    pub attribute: Option<String>,
    /// In entries that name the person: base, and a filter with `{dn}` or `{username}`.
    pub search: Option<(String, FilterTemplate)>,
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub servers: Vec<Server>,
    pub tls: Arc<ClientConfig>,
    pub users: Users,
    pub groups: Groups,
    /// For everything that is asked of one server for one person.
    pub timeout: Duration,
}

/// Somebody whom the directory knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub dn: String,
    /// Names of entries, as the directory writes them.
    pub groups: Vec<String>,
}

/// Who is asked for.
pub struct Person<'a> {
    pub name: &'a str,
    /// Nothing: looked up only.
    pub password: Option<&'a SecretString>,
}

pub struct Client {
    settings: Settings,
    /// The server that answered last.
    first: AtomicUsize,
}

impl Client {
    pub fn new(settings: Settings) -> Self {
        Self { settings, first: AtomicUsize::new(0) }
    }

    /// Whether people are found without their password.
    pub fn looks_up(&self) -> bool {
        matches!(self.settings.users, Users::Found { .. })
    }

    /// Nothing where there is no such person, or the password is not theirs: which of both is not told. Cancel safe:
    /// nothing is changed anywhere.
    pub async fn ask(&self, person: &Person<'_>) -> Result<Option<Account>, DirectoryError> {
        let fits = |password: &SecretString| (1..=MOST_PASSWORD).contains(&password.expose_secret().len()) && !password.expose_secret().contains('\0');
        if !person.password.is_none_or(fits) || person.name.is_empty() {
            return Ok(None);
        }
        let servers = &self.settings.servers;
        let first = self.first.load(Ordering::Relaxed);
        let mut last = None;
        for at in (0..servers.len()).map(|step| (first + step) % servers.len()) {
            let server = &servers[at];
            let asked = tokio::time::timeout(self.settings.timeout, self.converse(server, person)).await;
            match asked.unwrap_or_else(|_| Err(DirectoryError::Slow { server: server.to_string() })) {
                Err(error) if error.is_of_one_server() => last = Some(error),
                done => {
                    self.first.store(at, Ordering::Relaxed);
                    return done;
                }
            }
        }
        // There is at least one server.
        last.map_or(Ok(None), Err)
    }

    async fn converse(&self, server: &Server, person: &Person<'_>) -> Result<Option<Account>, DirectoryError> {
        let mut connection = Connection::open(server, &self.settings.tls).await?;
        let account = match &self.settings.users {
            Users::Found { bind_dn, password, base, filter } => {
                let service = (bind_dn.as_str(), password);
                self.found(&mut connection, service, base, filter, person).await
            }
            Users::Named { pattern, find } => self.named(&mut connection, pattern, find.as_ref(), person).await,
        };
        if account.is_ok() {
            connection.close().await;
        }
        account
    }

    async fn found(
        &self,
        connection: &mut Connection,
        service: (&str, &SecretString),
        base: &str,
        filter: &FilterTemplate,
        person: &Person<'_>,
    ) -> Result<Option<Account>, DirectoryError> {
        serve(connection, service).await?;
        let entry = match self.entry(connection, base, filter, person.name).await {
            Ok(Some(entry)) => entry,
            // Nobody, or no one of several: the same number of questions.
            nobody @ (Ok(None) | Err(DirectoryError::Ambiguous { .. })) => {
                stand_in(connection, base, person.password).await?;
                return nobody.map(|_| None);
            }
            Err(error) => return Err(error),
        };
        if let Some(password) = person.password {
            if !is_right(connection, &entry.dn, password).await? {
                return Ok(None);
            }
            if self.settings.groups.search.is_some() {
                serve(connection, service).await?;
            }
        }
        self.account(connection, entry, person.name).await.map(Some)
    }

    async fn named(
        &self,
        connection: &mut Connection,
        pattern: &str,
        find: Option<&(String, FilterTemplate)>,
        person: &Person<'_>,
    ) -> Result<Option<Account>, DirectoryError> {
        let (Some(name), Some(password)) = (bind_name(pattern, person.name), person.password) else { return Ok(None) };
        if !is_right(connection, &name, password).await? {
            return Ok(None);
        }
        let entry = match find {
            Some((base, filter)) => self.entry(connection, base, filter, person.name).await?,
            None => Some(self.own(connection, name.clone()).await?),
        };
        let Some(entry) = entry else { return Ok(None) };
        // The search may find another entry than the one whose password was right: groups are those of a password.
        let same = normal_name(&name).is_some_and(|name| Some(name) == normal_name(&entry.dn));
        if !same && !is_right(connection, &entry.dn, password).await? {
            return Ok(None);
        }
        self.account(connection, entry, person.name).await.map(Some)
    }

    /// The one entry of this user name.
    async fn entry(&self, connection: &mut Connection, base: &str, filter: &FilterTemplate, name: &str) -> Result<Option<Entry>, DirectoryError> {
        let filter = filter.fill(&[("username", name)]).map_err(|_| connection.malformed())?;
        let attributes = self.attributes();
        let search = Search { base, scope: Scope::Subtree, most: 2, seconds: self.seconds(), filter: &filter, attributes: &attributes };
        let (entries, outcome) = connection.search(&search).await?;
        match entries.as_slice() {
            [one, other, ..] => Err(connection.ambiguous(one, other)),
            // A server that sends one and says there are more.
            _ if outcome.code != code::SUCCESS => Err(connection.refused("the search for a user (user_base, user_filter)", outcome)),
            [entry] if entry.dn.is_empty() => Err(connection.malformed()),
            entries => Ok(entries.first().cloned()),
        }
    }

    /// Somebody's own entry, as far as they may see it.
    async fn own(&self, connection: &mut Connection, dn: String) -> Result<Entry, DirectoryError> {
        if self.settings.groups.attribute.is_none() {
            return Ok(Entry { dn, attributes: Vec::new() });
        }
        let (filter, attributes) = (present(), self.attributes());
        let search = Search { base: &dn, scope: Scope::Base, most: 1, seconds: self.seconds(), filter: &filter, attributes: &attributes };
        let (entries, outcome) = connection.search(&search).await?;
        match outcome.code {
            code::SUCCESS | code::NO_SUCH_OBJECT => Ok(entries.into_iter().next().unwrap_or(Entry { dn, attributes: Vec::new() })),
            _ => Err(connection.refused("a look at somebody's own entry", outcome)),
        }
    }

    async fn account(&self, connection: &mut Connection, entry: Entry, name: &str) -> Result<Account, DirectoryError> {
        let named = self.settings.groups.attribute.iter().flat_map(|attribute| entry.values(attribute));
        let mut groups: Vec<String> = named.take(MOST_GROUPS + 1).map(str::to_owned).collect();
        if let Some((base, filter)) = &self.settings.groups.search {
            let filter = filter.fill(&[("dn", &entry.dn), ("username", name)]).map_err(|_| connection.malformed())?;
            // No attribute at all (RFC 4511 §4.5.1.8): the names are enough.
            let search = Search { base, scope: Scope::Subtree, most: MOST_GROUPS as u32, seconds: self.seconds(), filter: &filter, attributes: &["1.1"] };
            let (entries, outcome) = connection.search(&search).await?;
            if outcome.code != code::SUCCESS {
                return Err(connection.refused("the search for groups (group_base, group_filter)", outcome));
            }
            groups.extend(entries.into_iter().map(|entry| entry.dn));
        }
        if groups.len() > MOST_GROUPS {
            return Err(connection.too_many_groups(entry.dn));
        }
        Ok(Account { dn: entry.dn, groups })
    }

    fn attributes(&self) -> Vec<&str> {
        vec![self.settings.groups.attribute.as_deref().unwrap_or("1.1")]
    }

    /// The server's own limit of a search.
    fn seconds(&self) -> u32 {
        u32::try_from(self.settings.timeout.as_secs()).unwrap_or(u32::MAX).clamp(1, 3_600)
    }
}

/// Signs in whoever may look.
async fn serve(connection: &mut Connection, (dn, password): (&str, &SecretString)) -> Result<(), DirectoryError> {
    let outcome = connection.bind(dn, password.expose_secret()).await?;
    if outcome.code == code::SUCCESS { Ok(()) } else { Err(connection.refused("the host itself (bind_dn, bind_password)", outcome)) }
}

/// Whether a password is right. A server that says neither yes nor no is no answer.
async fn is_right(connection: &mut Connection, dn: &str, password: &SecretString) -> Result<bool, DirectoryError> {
    let outcome = connection.bind(dn, password.expose_secret()).await?;
    match outcome.code {
        code::SUCCESS => Ok(true),
        // Wrong, locked, expired, without a password, or not there.
        code::INVALID_CREDENTIALS | code::INAPPROPRIATE | code::UNWILLING | code::CONSTRAINT | code::NO_SUCH_OBJECT | code::INVALID_NAME => Ok(false),
        _ => Err(connection.refused("to check a password", outcome)),
    }
}

/// The question about a password where there is nobody: the base has none. Whatever is said of it says nothing about
/// anybody; an error would tell names that are there from others.
async fn stand_in(connection: &mut Connection, base: &str, password: Option<&SecretString>) -> Result<(), DirectoryError> {
    if let Some(password) = password {
        connection.bind(base, password.expose_secret()).await?;
    }
    Ok(())
}

/// The pattern with the name in it; nothing for a name that cannot be in such a one.
fn bind_name(pattern: &str, name: &str) -> Option<String> {
    let value = if pattern.contains('=') {
        dn::escape(name)
    } else {
        let plain = !name.chars().any(|c| NOT_IN_ACCOUNTS.contains(c) || c.is_control());
        plain.then(|| name.to_owned())?
    };
    Some(pattern.replace("{username}", &value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_pattern_is_a_value_of_it() {
        let named = |pattern, name| bind_name(pattern, name);
        assert_eq!(named("uid={username},ou=people,dc=x", "ada"), Some("uid=ada,ou=people,dc=x".into()));
        assert_eq!(named("uid={username},dc=x", "ada,ou=admins"), Some("uid=ada\\,ou\\=admins,dc=x".into()));
        assert_eq!(named("{username}@corp.example", "ada"), Some("ada@corp.example".into()));
        for bad in ["ada@evil.example", "EVIL\\ada", "a=b", "a,b", "a\0b", "*"] {
            assert_eq!(named("{username}@corp.example", bad), None, "{bad:?}");
        }
    }
}
