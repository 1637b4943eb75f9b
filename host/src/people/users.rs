//! Users as an administrator sees them: made, changed, removed. Whatever takes something away ends the user's sessions.

use bulkhead_access::{HashError, MOST_OF_TENANT, MOST_USERS, PasswordFault, PasswordHash, Permission, Person, Role, Totp, User, UserName, check_password};
use bulkhead_core::Tenant;
use bulkhead_store::{PeopleChange, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::People;
use super::hashing::Busy;

/// Why a user is not made, changed or found.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("there is no user of this name")]
    Unknown,
    #[error("there is a user of this name")]
    Exists,
    #[error("a user's name goes before the same one in the directory (`listen.api.ldap`), so people of the host make users here; ask them")]
    DirectoryNames,
    #[error("another host changed the user at the same time; look again")]
    Raced,
    #[error("this is the last user who may administer, and nothing else lets in that may; make another one first")]
    LastAdmin,
    #[error("{MOST_USERS} users, the most of one host, or {MOST_OF_TENANT} of one tenant; remove some")]
    Full,
    #[error("the secret of codes is kept sealed, and there is no key to seal it with; set `encryption.key`")]
    NoKey,
    #[error(transparent)]
    Password(#[from] PasswordFault),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error("the system gives no random numbers")]
    Random,
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A user to be made.
pub struct NewUser {
    pub id: String,
    pub name: UserName,
    pub roles: Vec<Role>,
    /// Whose they are to be; nothing: the host's.
    pub tenant: Option<Tenant>,
    pub password: SecretString,
}

/// What is to be different.
pub enum UserChange {
    Roles(Vec<Role>),
    Enabled(bool),
    Password(SecretString),
    /// A new secret for codes, or none.
    Totp(Option<Totp>),
}

impl People {
    /// All users, by name.
    pub fn list(&self) -> Vec<User> {
        self.users().values().cloned().collect()
    }

    pub fn get(&self, name: &UserName) -> Option<User> {
        self.users().get(name).cloned()
    }

    /// Makes a user. Not cancel safe: let it end.
    pub async fn create(&self, new: NewUser, by: &str) -> Result<User, UserError> {
        let NewUser { id, name, roles, tenant, password } = new;
        let password = self.hash(&name, password).await?;
        let _one = self.change.lock().await;
        self.look_again().await?;
        {
            let users = self.users();
            if users.contains_key(&name) {
                return Err(UserError::Exists);
            }
            let of_tenant = tenant.as_ref().map_or(0, |tenant| users.values().filter(|user| user.tenant.as_ref() == Some(tenant)).count());
            if users.len() >= MOST_USERS || of_tenant >= MOST_OF_TENANT {
                return Err(UserError::Full);
            }
        }
        let now_ms = self.clock.unix_ms();
        let user = User {
            id,
            name,
            roles,
            tenant,
            password,
            enabled: true,
            totp: None,
            totp_step: None,
            created_ms: now_ms,
            created_by: by.to_owned(),
            changed_ms: now_ms,
            changed_by: by.to_owned(),
            signed_in: None,
        };
        if !self.table.change(PeopleChange { user: Some(&user), ..PeopleChange::default() }).await? {
            return Err(UserError::Exists);
        }
        self.users().insert(user.name.clone(), user.clone());
        Ok(user)
    }

    /// Answers what the user was before, and is now. Not cancel safe: let it end.
    pub async fn change(&self, name: &UserName, change: UserChange, by: &str) -> Result<(User, User), UserError> {
        let password = match &change {
            UserChange::Password(password) => Some(self.hash(name, password.clone()).await?),
            UserChange::Totp(Some(_)) if !self.table.seals() => return Err(UserError::NoKey),
            _ => None,
        };
        let _one = self.change.lock().await;
        self.look_again().await?;
        let before = self.get(name).ok_or(UserError::Unknown)?;
        let mut after = User { changed_ms: self.clock.unix_ms(), changed_by: by.to_owned(), ..before.clone() };
        // Roles count as they are now, in sessions too.
        let ends = match change {
            UserChange::Roles(roles) => {
                after.roles = roles;
                false
            }
            UserChange::Enabled(enabled) => {
                after.enabled = enabled;
                !enabled
            }
            UserChange::Password(_) => {
                after.password = password.ok_or(UserError::Unknown)?;
                true
            }
            UserChange::Totp(totp) => {
                (after.totp, after.totp_step) = (totp, None);
                true
            }
        };
        self.keeps_an_admin(&before, Some(&after))?;
        let ended = if ends { self.sessions().of(&Person::User(name.clone())) } else { Vec::new() };
        let change = PeopleChange { user: Some(&after), before: Some(&before), ended: &ended, ..PeopleChange::default() };
        if !self.table.change(change).await? {
            return Err(UserError::Raced);
        }
        self.users().insert(name.clone(), after.clone());
        let mut sessions = self.sessions();
        ended.iter().for_each(|id| drop(sessions.remove(id)));
        Ok((before, after))
    }

    /// A user goes, with all sessions. Answers who it was. Not cancel safe: let it end.
    pub async fn remove(&self, name: &UserName) -> Result<User, UserError> {
        let _one = self.change.lock().await;
        self.look_again().await?;
        let user = self.get(name).ok_or(UserError::Unknown)?;
        self.keeps_an_admin(&user, None)?;
        self.table.remove(&user).await?;
        self.users().remove(name);
        let mut sessions = self.sessions();
        sessions.of(&Person::User(name.clone())).iter().for_each(|id| drop(sessions.remove(id)));
        Ok(user)
    }

    pub(super) async fn hash(&self, name: &UserName, password: SecretString) -> Result<PasswordHash, UserError> {
        check_password(name, password.expose_secret())?;
        Ok(self.hashing.run(move || PasswordHash::of(password.expose_secret())).await??)
    }

    fn keeps_an_admin(&self, before: &User, after: Option<&User>) -> Result<(), UserError> {
        let another = self.users().values().any(|user| user.id != before.id && is_admin(user));
        if self.keeps_admin && is_admin(before) && !after.is_some_and(is_admin) && !another { Err(UserError::LastAdmin) } else { Ok(()) }
    }
}

fn is_admin(user: &User) -> bool {
    user.tenant.is_none() && user.enabled && Role::union(&user.roles).has(Permission::SystemAdmin)
}

/// A user for people and programs: no hash, no secret.
pub fn shown(user: &User) -> Value {
    let time = |ms: Option<i64>| ms.and_then(crate::api::rfc3339);
    json!({
        "id": user.id, "name": user.name.as_str(), "roles": user.roles.iter().map(|role| role.name()).collect::<Vec<_>>(),
        "tenant": user.tenant.as_ref().map(Tenant::as_str), "enabled": user.enabled,
        "totp": user.totp.is_some(),
        "created_at": time(Some(user.created_ms)), "created_by": user.created_by, "updated_at": time(Some(user.changed_ms)), "updated_by": user.changed_by,
        "last_sign_in_at": time(user.signed_in.map(|(at_ms, _)| at_ms)), "last_sign_in_from": user.signed_in.map(|(_, from)| from),
    })
}
