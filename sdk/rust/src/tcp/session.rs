//! One connection, kept from call to call.

use std::time::Duration;

use super::{Connection, Error};
use crate::delivery::Failure;

/// Wait for what a peer has done meanwhile; what has happened already is seen however short it is.
const LOOK: Duration = Duration::from_millis(1);
/// Reads after which a peer that goes on talking is not waited for.
const LOOKS: usize = 16;
/// In TLS 1.3 a client counts as connected before the receiver has judged its certificate (RFC 8446 §2): where the
/// protocol has no answer that would tell, a refusal gets this long to come.
const VERDICT: Duration = Duration::from_millis(500);

/// Keeps one connection from call to call, and opens another where the peer has left it meanwhile. One on
/// which something failed is let go of, because nobody knows what arrived.
#[derive(Debug)]
pub struct Session {
    destination: String,
    timeout: Duration,
    /// The protocol has no answers: what comes all the same is read and thrown away.
    one_way: bool,
    kept: Option<Connection>,
}

impl Session {
    /// For protocols with answers. What the peer says between two calls belongs to none: such a connection is
    /// not used again.
    pub fn new(destination: &str, timeout: Duration) -> Self {
        Self { destination: destination.to_owned(), timeout, one_way: false, kept: None }
    }

    /// For protocols without answers.
    pub fn one_way(destination: &str, timeout: Duration) -> Self {
        Self { one_way: true, ..Self::new(destination, timeout) }
    }

    /// Works on the kept connection, or on a fresh one behind `greet`.
    pub fn with<T>(
        &mut self,
        greet: impl FnOnce(&mut Connection) -> Result<(), Failure>,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let kept = self.kept.take().and_then(|mut connection| self.stands(&mut connection).then_some(connection));
        let stood = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.open(greet, self.one_way)?,
        };
        let done = work(&mut connection)?;
        // What is written to a peer that is gone is answered by a reset: often it is there by now. One that stood and
        // closes now may be leaving with the work unread; on a fresh connection some peers close their side at once.
        if self.one_way {
            match connection.look(LOOK) {
                Err(error @ Error::Broken(_)) => return Err(error.into()),
                Err(error @ Error::Closed) if stood => return Err(error.into()),
                _ => {}
            }
        }
        self.kept = Some(connection);
        Ok(done)
    }

    /// Connects anew, greets and says goodbye; answers whether it was under TLS. For `check`.
    pub fn try_out(&self, greet: impl FnOnce(&mut Connection) -> Result<(), Failure>) -> Result<bool, Failure> {
        let mut connection = self.open(greet, true)?;
        let _ = connection.finish();
        Ok(connection.is_secure())
    }

    /// `verdict`: nothing will be read that would tell of a refused certificate.
    fn open(&self, greet: impl FnOnce(&mut Connection) -> Result<(), Failure>, verdict: bool) -> Result<Connection, Failure> {
        let mut connection = Connection::open(&self.destination, self.timeout)?;
        greet(&mut connection)?;
        if verdict && connection.is_secure() {
            connection.look(VERDICT)?;
        }
        Ok(connection)
    }

    fn stands(&self, connection: &mut Connection) -> bool {
        for _ in 0..LOOKS {
            match connection.look(LOOK) {
                Ok(said) if said.is_empty() => return true,
                Ok(_) if self.one_way => {}
                _ => return false,
            }
        }
        false
    }

    /// Says goodbye, if there is anybody.
    pub fn close(&mut self) {
        if let Some(mut connection) = self.kept.take() {
            let _ = connection.finish();
        }
    }
}
