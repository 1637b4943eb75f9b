//! People of the directory: their passwords are checked there, their roles are those of their groups. What it said is
//! kept with the session, and asked again at each refresh where people are found without their password.

use std::net::IpAddr;
use std::sync::Arc;

use bulkhead_access::{DirectoryName, Granted, Person, RefreshToken, Refreshed};
use serde_json::json;

use super::{Begun, Login, People, SignInError, SignedIn};
use crate::directory::{Directory, Vouched};

impl People {
    /// Not cancel safe: let it end.
    pub(super) async fn sign_in_by(&self, directory: &Arc<Directory>, name: DirectoryName, login: Login, from: IpAddr) -> Result<SignedIn, SignInError> {
        let person = Person::Directory(name);
        // Not as it was typed: a refresh has this text only, and both are to find the same groups.
        let granted = match directory.sign_in(person.name(), &login.password).await? {
            Vouched::Granted(granted) => granted,
            Vouched::NoRole => return Err(SignInError::NoRole { actor: person.actor() }),
            Vouched::Unknown => return Err(self.wrong(Some(&person), from)),
        };
        let (dn, roles): (_, Vec<&str>) = (granted.dn.clone(), granted.roles.iter().map(|role| role.name()).collect());
        let _one = self.change.lock().await;
        // A user of this name may have been made since: it is theirs.
        if self.person(&login.name).await?.as_ref() != Some(&person) {
            return Err(self.wrong(Some(&person), from));
        }
        let begun = Begun::Directory { granted, session_for: directory.session_for() };
        let signed_in = self.begin(person, begun, from).await?;
        let about = json!({
            "actor": signed_in.person.actor(), "name": signed_in.person.name(), "roles": roles, "from": from, "session": signed_in.session.as_str(),
            "by": "directory", "dn": dn,
        });
        self.trail.signed_in(about).await;
        Ok(signed_in)
    }

    /// What the directory says now of whoever shows this refresh token; nothing where it is not asked. Somebody who is
    /// not there any more, or without a role, is signed out. Whoever makes tokens up has nobody asked.
    pub(super) async fn granted_now(&self, shown: &RefreshToken) -> Result<Option<Granted>, SignInError> {
        let Some(directory) = self.directory.as_ref().filter(|directory| directory.looks_up()) else { return Ok(None) };
        let renewed = self.sessions().refresh(shown, self.clock.unix_ms(), &self.lives).map_err(|_| SignInError::Random)?;
        let Refreshed::Renewed(session, _) = renewed else { return Ok(None) };
        let (Person::Directory(name), Some(before)) = (&session.person, &session.granted) else { return Ok(None) };
        match directory.look(name.as_str(), &before.dn).await? {
            Vouched::Granted(granted) => Ok(Some(granted)),
            Vouched::NoRole | Vouched::Unknown => {
                let _one = self.change.lock().await;
                self.end(std::slice::from_ref(&session.id)).await?;
                tracing::info!(actor = session.person.actor(), session = %session.id, "a session has ended: the directory has no such entry with a role any more");
                Err(SignInError::Unknown)
            }
        }
    }
}
