//! Sessions of people: who is signed in, for how long, and what becomes of it when a refresh token is shown twice.
//! In memory as a whole, like keys; the caller keeps on disk what changes here, before it counts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::person::{Granted, Person};
use crate::token::{AccessToken, RefreshToken, SessionId, TokenHash};

/// Sessions of one host; beyond it the one goes that ends first.
pub const MOST_SESSIONS: usize = 10_000;
/// Sessions of one person; beyond it the oldest goes.
pub const MOST_OF_ONE: usize = 20;

/// How long tokens and sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    /// An access token.
    pub access: Duration,
    /// A session in which nobody asks for the next pair.
    pub refresh: Duration,
    /// A session in which somebody does.
    pub session: Duration,
}

/// What is kept of a session.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: SessionId,
    /// Whose it is.
    pub person: Person,
    /// What a directory said of them; nothing for users of the host, whose roles are those of now.
    pub granted: Option<Granted>,
    pub access: TokenHash,
    pub access_until_ms: i64,
    /// The access token before, which is let in to its own end: requests may be under way with it.
    pub previous: Option<(TokenHash, i64)>,
    /// The secret of refresh tokens that stays, and the one that is exchanged.
    pub chain: TokenHash,
    pub turn: TokenHash,
    pub refresh_until_ms: i64,
    /// No pair lives longer.
    pub ends_ms: i64,
    pub created_ms: i64,
    pub created_from: IpAddr,
}

/// What a sign-in or a refresh hands out.
pub struct Pair {
    pub access: AccessToken,
    pub refresh: RefreshToken,
}

impl Session {
    /// A new session with its first pair.
    pub fn begin(person: Person, granted: Option<Granted>, from: IpAddr, now_ms: i64, lives: &Lives) -> Result<(Self, Pair), getrandom::Error> {
        let id = SessionId::mint()?;
        let pair = Pair { access: AccessToken::mint(&id)?, refresh: RefreshToken::mint(&id)? };
        let mut session = Self {
            id,
            person,
            granted,
            access: pair.access.hash(),
            access_until_ms: 0,
            previous: None,
            chain: pair.refresh.chain(),
            turn: pair.refresh.turn(),
            refresh_until_ms: 0,
            ends_ms: after(now_ms, lives.session),
            created_ms: now_ms,
            created_from: from,
        };
        session.live(now_ms, lives);
        Ok((session, pair))
    }

    /// The same session with the next pair.
    fn renew(&self, shown: &RefreshToken, now_ms: i64, lives: &Lives) -> Result<(Self, Pair), getrandom::Error> {
        let pair = Pair { access: AccessToken::mint(&self.id)?, refresh: shown.next()? };
        let previous = (self.access_until_ms > now_ms).then_some((self.access, self.access_until_ms));
        let mut session = Self { access: pair.access.hash(), previous, turn: pair.refresh.turn(), ..self.clone() };
        session.live(now_ms, lives);
        Ok((session, pair))
    }

    fn live(&mut self, now_ms: i64, lives: &Lives) {
        self.access_until_ms = after(now_ms, lives.access).min(self.ends_ms);
        self.refresh_until_ms = after(now_ms, lives.refresh).min(self.ends_ms);
    }

    /// How long its access token is good: less than others near the end of the session.
    pub fn access_for(&self, now_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.access_until_ms - now_ms).unwrap_or_default())
    }

    /// No token of it is any good.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.access_until_ms.max(self.refresh_until_ms) <= now_ms
    }
}

fn after(now_ms: i64, life: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
}

/// Why an access token does not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenDenied {
    /// No such session, or not its secret: which of both is not told.
    Unknown,
    /// The secret is right, and its time is over.
    Expired,
}

/// What a refresh token is good for.
pub enum Refreshed {
    /// The session as it is to be kept, and what is handed out then.
    Renewed(Box<Session>, Pair),
    /// It was used before: two hold tokens of one session, and nobody knows who is who. The session is to end.
    Reused(Box<Session>),
    Denied(TokenDenied),
}

/// All sessions, found by their ids.
#[derive(Debug, Default)]
pub struct Sessions {
    by_id: HashMap<SessionId, Session>,
}

impl Sessions {
    pub fn new(sessions: Vec<Session>) -> Self {
        Self { by_id: sessions.into_iter().map(|session| (session.id.clone(), session)).collect() }
    }

    pub fn get(&self, id: &SessionId) -> Option<&Session> {
        self.by_id.get(id)
    }

    /// Whose token it is.
    pub fn admit(&self, shown: &AccessToken, now_ms: i64) -> Result<&Session, TokenDenied> {
        let hash = shown.hash();
        let session = self.by_id.get(shown.id()).ok_or(TokenDenied::Unknown)?;
        let previous = session.previous.filter(|(previous, _)| previous.is(&hash)).map(|(_, until_ms)| until_ms);
        let until_ms = if session.access.is(&hash) { Some(session.access_until_ms) } else { previous };
        if until_ms.ok_or(TokenDenied::Unknown)? <= now_ms { Err(TokenDenied::Expired) } else { Ok(session) }
    }

    /// What becomes of the session whose refresh token this is; changes nothing by itself.
    pub fn refresh(&self, shown: &RefreshToken, now_ms: i64, lives: &Lives) -> Result<Refreshed, getrandom::Error> {
        let (chain, turn) = (shown.chain(), shown.turn());
        let Some(session) = self.by_id.get(shown.id()).filter(|session| session.chain.is(&chain)) else { return Ok(Refreshed::Denied(TokenDenied::Unknown)) };
        if !session.turn.is(&turn) {
            return Ok(Refreshed::Reused(Box::new(session.clone())));
        }
        if session.refresh_until_ms <= now_ms {
            return Ok(Refreshed::Denied(TokenDenied::Expired));
        }
        session.renew(shown, now_ms, lives).map(|(session, pair)| Refreshed::Renewed(Box::new(session), pair))
    }

    /// Adds one, or puts it in the place of the one with its id.
    pub fn put(&mut self, session: Session) {
        self.by_id.insert(session.id.clone(), session);
    }

    pub fn remove(&mut self, id: &SessionId) -> Option<Session> {
        self.by_id.remove(id)
    }

    pub fn of(&self, person: &Person) -> Vec<SessionId> {
        self.by_id.values().filter(|session| session.person == *person).map(|session| session.id.clone()).collect()
    }

    pub fn over(&self, now_ms: i64) -> Vec<SessionId> {
        self.by_id.values().filter(|session| session.is_over(now_ms)).map(|session| session.id.clone()).collect()
    }

    /// Those that have to go before this person may have another one.
    pub fn in_the_way(&self, person: &Person, now_ms: i64) -> Vec<SessionId> {
        let mut out = self.over(now_ms);
        let mut own: Vec<&Session> = self.by_id.values().filter(|session| session.person == *person && !session.is_over(now_ms)).collect();
        own.sort_unstable_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        let surplus = (own.len() + 1).saturating_sub(MOST_OF_ONE);
        out.extend(own[..surplus].iter().map(|session| session.id.clone()));
        if self.by_id.len() - out.len() >= MOST_SESSIONS {
            let first = self.by_id.values().filter(|session| !out.contains(&session.id)).min_by_key(|session| session.ends_ms);
            out.extend(first.map(|session| session.id.clone()));
        }
        out
    }
}

#[cfg(test)]
mod tests;
