//! Structured logs on stderr or stdout: one line per event, data in fields, no bodies, no secrets.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Json,
    Pretty,
    Compact,
}

impl LogFormat {
    pub const NAMES: [&'static str; 3] = ["json", "pretty", "compact"];
}

/// The `telemetry.log` part of the configuration.
#[derive(Debug, Clone)]
pub struct LogSettings {
    pub format: LogFormat,
    /// A level or a filter such as `info,bulkhead_deliver=debug`.
    pub level: String,
    /// Standard error instead of standard output.
    pub stderr: bool,
}

impl LogSettings {
    /// Whether the level means something, without setting anything up.
    pub fn check(&self) -> Result<(), LogError> {
        self.filter().map(drop)
    }

    fn filter(&self) -> Result<EnvFilter, LogError> {
        EnvFilter::try_new(&self.level).map_err(|source| LogError::Level { level: self.level.clone(), source })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("telemetry.log.level `{level}` is not a level (error, warn, info, debug, trace) or filter")]
    Level {
        level: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("logging is set up already")]
    Twice,
}

/// Sets up the process's log; once.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    let filter = settings.filter()?;
    let writer = if settings.stderr { BoxMakeWriter::new(std::io::stderr) } else { BoxMakeWriter::new(std::io::stdout) };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(true);
    let done = match settings.format {
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).try_init(),
        LogFormat::Pretty => builder.pretty().try_init(),
        LogFormat::Compact => builder.compact().try_init(),
    };
    done.map_err(|_| LogError::Twice)
}
