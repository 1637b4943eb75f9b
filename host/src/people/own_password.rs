//! Somebody who is signed in gives themselves another password.
//!
//! Promises: the session that asks stays, every other one of the user ends; who only holds a session does not take the
//! user over, for the password, and the code where there is a second factor, are asked for again, with the limits of
//! guessing that a sign-in has.

use std::net::IpAddr;

use bulkhead_access::{AccessToken, HashError, PasswordFault, Person, Session, SessionId, User, check_password};
use bulkhead_store::{PeopleChange, StoreError};
use secrecy::{ExposeSecret as _, SecretString};

use super::hashing::Busy;
use super::{People, SignInError, UserError};

/// What somebody types in.
pub struct OwnPassword {
    pub current: SecretString,
    pub new: SecretString,
    pub code: Option<SecretString>,
}

/// Why the password stays what it was.
#[derive(Debug, thiserror::Error)]
pub enum OwnPasswordError {
    #[error("this needs the access token of a session as `Authorization: Bearer`")]
    NoSession,
    #[error("your password is the directory's; change it there")]
    Elsewhere { actor: String },
    #[error("the password or the code is wrong")]
    Wrong { actor: String },
    #[error("the password is right, and a code of the app is needed as `mfa_token`")]
    CodeMissing { actor: String },
    #[error("too many wrong attempts from this address or for this user; right ones are not looked at either")]
    Guessing(std::time::Duration),
    #[error("the new password is the one of before")]
    Same,
    #[error("somebody changed the user at the same time; try again")]
    Raced,
    #[error(transparent)]
    Password(#[from] PasswordFault),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl People {
    /// Answers whose password it is now, and how many sessions ended. Not cancel safe: let it end.
    pub async fn change_own(&self, token: Option<&AccessToken>, typed: OwnPassword, from: IpAddr) -> Result<(Session, usize), OwnPasswordError> {
        let OwnPassword { current, new, code } = typed;
        let session = token.and_then(|token| self.sessions().admit(token, self.clock.unix_ms()).ok().cloned()).ok_or(OwnPasswordError::NoSession)?;
        if self.standing(&session.person, session.granted.as_ref()).is_none() {
            return Err(OwnPasswordError::NoSession);
        }
        let actor = session.person.actor();
        let Person::User(name) = &session.person else { return Err(OwnPasswordError::Elsewhere { actor }) };
        if let Err(SignInError::Guessing(wait)) = self.not_guessing(Some(&session.person), from) {
            return Err(OwnPasswordError::Guessing(wait));
        }
        check_password(name, new.expose_secret())?;
        let user = self.get(name).ok_or(OwnPasswordError::NoSession)?;
        let kept = user.password.clone();
        let (fits, current) = self.hashing.run(move || (kept.fits(current.expose_secret()), current)).await?;
        let wrong = || {
            self.wrong(Some(&session.person), from);
            OwnPasswordError::Wrong { actor: actor.clone() }
        };
        if !fits {
            return Err(wrong());
        }
        if user.totp.is_some() && code.is_none() {
            return Err(OwnPasswordError::CodeMissing { actor });
        }
        if current.expose_secret() == new.expose_secret() {
            return Err(OwnPasswordError::Same);
        }
        let password = self.hash(name, new).await.map_err(|error| match error {
            UserError::Password(fault) => OwnPasswordError::Password(fault),
            UserError::Busy(busy) => OwnPasswordError::Busy(busy),
            UserError::Hash(error) => OwnPasswordError::Hash(error),
            UserError::Store(error) => OwnPasswordError::Store(error),
            _ => OwnPasswordError::Raced,
        })?;
        let _one = self.change.lock().await;
        self.look_at(&session.id).await?;
        // It may have been changed, or signed out, since.
        let before = self.get(name).filter(|now| now.id == user.id && now.enabled && now.password == user.password).ok_or(OwnPasswordError::Raced)?;
        if self.sessions().get(&session.id).is_none() {
            return Err(OwnPasswordError::NoSession);
        }
        let step = match (&before.totp, &code) {
            (None, _) => before.totp_step,
            (Some(_), None) => return Err(OwnPasswordError::CodeMissing { actor }),
            (Some(totp), Some(code)) => Some(totp.step(code.expose_secret(), self.unix_seconds(), before.totp_step).ok_or_else(wrong)?),
        };
        let after = User { password, totp_step: step, changed_ms: self.clock.unix_ms(), changed_by: actor, ..before.clone() };
        let ended: Vec<SessionId> = self.sessions().of(&session.person).into_iter().filter(|id| *id != session.id).collect();
        let change = PeopleChange { user: Some(&after), before: Some(&before), ended: &ended, ..PeopleChange::default() };
        if !self.table.change(change).await? {
            return Err(OwnPasswordError::Raced);
        }
        self.users().insert(name.clone(), after);
        let mut sessions = self.sessions();
        ended.iter().for_each(|id| drop(sessions.remove(id)));
        drop(sessions);
        Ok((session, ended.len()))
    }
}
