//! The connection to a PostgreSQL server: where it is, how it is known, how long anything may take.
//!
//! A password travels in the clear only where the server is this machine, or where that is switched on.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Error, Executor as _, PgPool, Postgres};

use crate::StoreError;

/// Every transaction that may write begins so: the lock makes it the only one, as in SQLite, and goes with its end.
/// The number is ours alone within a database: "bulkhead" in ASCII, without its last letter.
pub(super) const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(27713656236565857)";
/// What the server holds a session to, in milliseconds. One of a host that was frozen between two statements of a
/// transaction would keep every other host from writing.
const SESSION: &str = "SET statement_timeout = 15000; SET lock_timeout = 10000; SET idle_in_transaction_session_timeout = 5000; \
                       SET default_transaction_isolation = 'read committed'; SET synchronous_commit = on; SET client_min_messages = warning";
/// Longest time of a statement as seen from here: longer than the server's own, whose error says more.
const STATEMENT: Duration = Duration::from_secs(20);
/// An unused connection is closed after this.
const IDLE: Duration = Duration::from_secs(300);
/// Behind a name of several servers the newest is found after this.
const LIFE: Duration = Duration::from_secs(1800);

/// The `store` part of the configuration, where it names a server.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database`.
    pub url: SecretString,
    pub tls: PostgresTls,
    /// Most connections at the same time; whoever finds none waits for `timeout`.
    pub connections: u32,
    /// Longest wait for a connection, a new one included.
    pub timeout: Duration,
    /// Longest wait for the server at a start.
    pub start_timeout: Duration,
}

/// How the server is known.
#[derive(Debug, Clone, Default)]
pub struct PostgresTls {
    /// Whether a connection without TLS is refused; where nothing is said, unless the server is this machine.
    pub required: Option<bool>,
    /// Authorities beside those of the system, PEM.
    pub ca: Option<PathBuf>,
    /// What this host shows, PEM: both or none.
    pub client_cert: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
}

/// Why a URL is none of a server. Never repeats it: there may be a password inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("must begin with postgres:// or postgresql://")]
    Scheme,
    #[error("is no URL of a PostgreSQL server: postgres://user:password@host:port/database")]
    Form,
    #[error("must name the database: postgres://user:password@host:port/database")]
    Database,
    #[error("says how TLS is used; that is said in `store.tls`")]
    Tls,
}

impl PostgresSettings {
    pub fn new(url: &str) -> Self {
        Self { url: url.into(), tls: PostgresTls::default(), connections: 8, timeout: Duration::from_secs(5), start_timeout: Duration::from_secs(30) }
    }

    /// Whether the URL is one, without connecting.
    pub fn check(&self) -> Result<(), UrlError> {
        self.options().map(drop)
    }

    /// The server without user and password, for people.
    pub fn place(&self) -> String {
        let Ok(options) = self.options() else { return "PostgreSQL".into() };
        let server = options.get_socket().map_or_else(|| format!("{}:{}", options.get_host(), options.get_port()), |socket| socket.display().to_string());
        format!("PostgreSQL {server}/{}", options.get_database().unwrap_or_default())
    }

    fn options(&self) -> Result<PgConnectOptions, UrlError> {
        let text = self.url.expose_secret();
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(UrlError::Scheme);
        }
        let query = text.split_once('?').map_or("", |(_, query)| query);
        if query.split('&').any(|pair| pair.to_ascii_lowercase().starts_with("ssl")) {
            return Err(UrlError::Tls);
        }
        let options = PgConnectOptions::from_str(text).map_err(|_| UrlError::Form)?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(UrlError::Database);
        }
        let host = options.get_host().to_owned();
        let here = options.get_socket().is_some()
            || host.starts_with('/')
            || host == "localhost"
            || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let mut options = options.ssl_mode(if self.tls.required.unwrap_or(!here) { PgSslMode::VerifyFull } else { PgSslMode::Disable });
        if let Some(ca) = &self.tls.ca {
            options = options.ssl_root_cert(ca);
        }
        if let (Some(cert), Some(key)) = (&self.tls.client_cert, &self.tls.client_key) {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        Ok(options.application_name("bulkhead").disable_statement_logging())
    }
}

/// A server. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pool: PgPool,
}

impl Server {
    pub async fn connect(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let place = settings.place();
        let options = settings.options().map_err(|source| StoreError::Url { source })?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections.max(1))
            .acquire_timeout(settings.timeout)
            .idle_timeout(IDLE)
            .max_lifetime(LIFE)
            .after_connect(|connection, _| Box::pin(async move { connection.execute(SESSION).await.map(drop) }))
            .connect_lazy_with(options);
        let server = Self { pool };
        // It may be starting at the same time as this host.
        let end = tokio::time::Instant::now() + settings.start_timeout;
        loop {
            match server.acquire().await {
                Ok(_) => return Ok(server),
                Err(source) if !may_pass(&source) || tokio::time::Instant::now() >= end => {
                    return Err(StoreError::Connect { place, waited: settings.start_timeout, source });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        self.pool.acquire().await
    }

    /// What the server does not answer in time is an error, and the connection is not used again.
    pub async fn limited<T>(&self, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = || Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database did not answer in time"));
        tokio::time::timeout(STATEMENT, statement).await.unwrap_or_else(|_| Err(late()))
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether waiting may help: not with a wrong password, nor where the certificate is another's.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::PoolTimedOut | Error::WorkerCrashed => true,
        // 57P03, the server is starting up or going down; 53300, too many connections.
        Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P") || code == "53300"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, want: Result<&str, UrlError>) {
        let settings = PostgresSettings::new(url);
        assert_eq!(settings.check().map(|()| settings.place()), want.map(str::to_owned), "{url}");
    }

    #[test]
    fn a_url_names_a_server_and_a_database_and_nothing_about_tls() {
        check("postgres://u:p@db.example:5433/bulkhead", Ok("PostgreSQL db.example:5433/bulkhead"));
        check("postgresql://u@%2Frun%2Fpostgresql/b", Ok("PostgreSQL /run/postgresql/b"));
        check("mysql://u:p@h/d", Err(UrlError::Scheme));
        check("postgres://u:p@h:port/d", Err(UrlError::Form));
        check("postgres://u:p@h", Err(UrlError::Database));
        check("postgres://u:p@h/d?sslmode=disable", Err(UrlError::Tls));
        check("postgres://u:p@h/d?application_name=x&SSLMODE=prefer", Err(UrlError::Tls));
    }

    #[test]
    fn tls_is_left_out_on_this_machine_only() {
        let mode = |url: &str, required| {
            let mut settings = PostgresSettings::new(url);
            settings.tls.required = required;
            settings.options().map(|options| format!("{:?}", options.get_ssl_mode())).expect("a URL")
        };
        for here in ["postgres://u@127.0.0.1/d", "postgres://u@[::1]/d", "postgres://u@localhost/d", "postgres://u@%2Frun/d"] {
            assert_eq!((mode(here, None), mode(here, Some(true))), ("Disable".into(), "VerifyFull".into()), "{here}");
        }
        for away in ["postgres://u@10.0.0.1/d", "postgres://u@db.localhost.example/d", "postgres://u@localhost/d?host=db.example"] {
            assert_eq!((mode(away, None), mode(away, Some(false))), ("VerifyFull".into(), "Disable".into()), "{away}");
        }
    }
}
