//! `listen.api.ldap` → settings: which keys go together, servers under TLS, filters that are some.

use std::sync::Arc;

use bulkhead_access::Role;
use bulkhead_directory::{FilterTemplate, Groups, Server, Settings, Users, normal_name};
use secrecy::SecretString;

use super::checked::{Fields, Item};
use super::fault::{FaultKind, Faults};
use crate::directory::{GroupRoles, LdapSettings};

const KEY: &str = "listen.api.ldap";
/// Servers of one directory.
const MOST_SERVERS: usize = 8;
const USERNAME: &str = "username";
const USERNAME_PLACE: &str = "{username}";

/// The directory, where `auth` names it.
pub(super) fn settings(api: &Fields, wanted: bool, faults: &mut Faults) -> Option<LdapSettings> {
    let Some(fields) = api.opt_map("ldap") else {
        if wanted {
            let hint =
                Some("write `ldap: {url: ldaps://…, bind_dn: …, bind_password: …, user_base: …, user_filter: \"(uid={username})\", roles: […]}`".to_owned());
            faults.push(FaultKind::Missing, api.span("auth"), "listen.api.auth", "`ldap` needs `listen.api.ldap`", hint);
        }
        return None;
    };
    let directory = Reader { fields, faults };
    let settings = directory.settings();
    settings.filter(|_| wanted)
}

struct Reader<'a> {
    fields: &'a Fields,
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn settings(mut self) -> Option<LdapSettings> {
        let (servers, tls) = (self.servers(), self.tls());
        let (users, groups, roles) = (self.users(), self.groups(), self.roles());
        Some(LdapSettings {
            directory: Settings { servers, tls: tls?, users: users?, groups: groups?, timeout: self.fields.duration("timeout").unwrap_or_default() },
            roles,
            session_for: self.fields.duration("session_for").unwrap_or_default(),
        })
    }

    fn fault(&mut self, kind: FaultKind, name: &str, problem: impl Into<String>, hint: &str) {
        self.faults.push(kind, self.fields.span(name), format!("{KEY}.{name}"), problem.into(), (!hint.is_empty()).then(|| hint.to_owned()));
    }

    fn servers(&mut self) -> Vec<Server> {
        let mut servers = Vec::new();
        let urls = self.fields.texts("url");
        for url in &urls {
            match Server::parse(url) {
                Ok(server) => servers.push(server),
                Err(fault) => self.fault(FaultKind::WrongType, "url", format!("`{url}` {fault}"), "a directory is asked under TLS only"),
            }
        }
        if urls.len() > MOST_SERVERS {
            self.fault(FaultKind::OutOfRange, "url", format!("{} servers; {MOST_SERVERS} are the most", urls.len()), "");
        }
        servers
    }

    fn tls(&mut self) -> Option<Arc<rustls::ClientConfig>> {
        let roots = self.fields.path("ca").map(|path| bulkhead_tls::authorities(&path));
        match roots.transpose().and_then(|roots| bulkhead_tls::client(roots).map_err(|error| error.to_string())) {
            Ok(tls) => Some(tls),
            Err(why) => {
                self.fault(FaultKind::WrongType, "ca", why, "");
                None
            }
        }
    }

    /// Found by somebody who may look, or named by a pattern: one of both.
    fn users(&mut self) -> Option<Users> {
        let find = self.search("user_base", "user_filter", &[USERNAME]);
        let (bind_dn, pattern) = (self.fields.text("bind_dn"), self.fields.text("user_dn"));
        match (bind_dn, pattern) {
            (Some(_), Some(_)) => {
                self.fault(FaultKind::Conflict, "user_dn", "there is `bind_dn` as well", "either somebody looks people up, or people are named by a pattern");
                None
            }
            (None, None) => {
                self.fault(
                    FaultKind::Missing,
                    "bind_dn",
                    "nothing says how people are found",
                    "write bind_dn, bind_password, user_base and user_filter; or user_dn",
                );
                None
            }
            (Some(bind_dn), None) => {
                if self.fields.get("bind_password").is_none() {
                    self.fault(FaultKind::Missing, "bind_password", "is missing beside `bind_dn`", "a server takes an empty password for nobody");
                }
                let password = self.secret("bind_password")?;
                if self.finds_nobody() {
                    self.fault(FaultKind::Missing, "user_base", "`bind_dn` needs user_base and user_filter", "");
                }
                let (base, filter) = find?;
                Some(Users::Found { bind_dn, password, base, filter })
            }
            (None, Some(pattern)) => {
                let whole = pattern.replace("{username}", "x");
                if !pattern.contains("{username}") || whole.contains(['{', '}']) || whole.contains('=') && normal_name(&whole).is_none() {
                    self.fault(
                        FaultKind::WrongType,
                        "user_dn",
                        "is no pattern of a name",
                        "write uid={username},ou=people,dc=example, or {username}@corp.example",
                    );
                    return None;
                }
                if !pattern.contains('=') && self.finds_nobody() {
                    self.fault(FaultKind::Missing, "user_base", "a `user_dn` that names no entry needs user_base and user_filter", "");
                }
                Some(Users::Named { pattern, find })
            }
        }
    }

    /// One of both without the other is told by itself.
    fn finds_nobody(&self) -> bool {
        self.fields.text("user_base").is_none() && self.fields.text("user_filter").is_none()
    }

    fn groups(&mut self) -> Option<Groups> {
        let search = self.search("group_base", "group_filter", &["dn", USERNAME]);
        // Somebody who chooses their own mail could sign in by it, and make it the name of somebody in other groups.
        let compared = self.fields.text("user_filter").map_or(0, |filter| filter.matches(USERNAME_PLACE).count());
        if compared > 1 && search.as_ref().is_some_and(|(_, filter)| filter.names(USERNAME)) {
            self.fault(
                FaultKind::Conflict,
                "group_filter",
                "has `{username}`, which `user_filter` compares more than once: one person's name may be another's mail",
                "use `{dn}` in `group_filter`, or one comparison in `user_filter`",
            );
        }
        let attribute = self.fields.text("group_attribute");
        let fits = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        if attribute.as_deref().is_some_and(|name| !fits(name)) {
            self.fault(FaultKind::WrongType, "group_attribute", "is no name of an attribute", "write memberOf");
            return None;
        }
        let attribute = attribute.or_else(|| search.is_none().then(|| "memberOf".to_owned()));
        Some(Groups { attribute, search })
    }

    /// A base and a filter, both or neither.
    fn search(&mut self, base: &str, filter: &str, places: &[&str]) -> Option<(String, FilterTemplate)> {
        let (found, text) = match (self.fields.text(base), self.fields.text(filter)) {
            (Some(found), Some(text)) => (found, text),
            (None, None) => return None,
            (Some(_), None) => {
                self.fault(FaultKind::Missing, filter, format!("is missing beside `{base}`"), "");
                return None;
            }
            (None, Some(_)) => {
                self.fault(FaultKind::Missing, base, format!("is missing beside `{filter}`"), "");
                return None;
            }
        };
        if normal_name(&found).is_none() {
            self.fault(FaultKind::WrongType, base, "is no name of an entry", "write ou=people,dc=example,dc=org");
        }
        match FilterTemplate::parse(&text, places) {
            Ok(template) if places.iter().any(|place| template.names(place)) => Some((found, template)),
            Ok(_) => {
                self.fault(FaultKind::WrongType, filter, "fits everybody alike", "write {username} where the name belongs, or {dn} in a filter of groups");
                None
            }
            Err(fault) => {
                self.fault(FaultKind::WrongType, filter, fault.to_string(), "");
                None
            }
        }
    }

    fn roles(&mut self) -> GroupRoles {
        let mut map = GroupRoles::default();
        for row in self.fields.list("roles").iter().filter_map(|value| value.as_map()) {
            let roles = row.texts("roles").iter().filter_map(|name| Role::named(name)).collect();
            let value = row.text("value").unwrap_or_default();
            if !map.add(&value, roles) {
                self.fault(FaultKind::WrongType, "roles", format!("`{value}` is no name of an entry"), "write cn=soc,ou=groups,dc=example; or soc alone");
            }
        }
        map
    }

    fn secret(&self, name: &str) -> Option<SecretString> {
        use secrecy::ExposeSecret as _;
        match &self.fields.get(name)?.item {
            Item::Secret(secret) if !secret.expose_secret().is_empty() => Some(secret.clone()),
            _ => None,
        }
    }
}
