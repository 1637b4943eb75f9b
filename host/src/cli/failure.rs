//! Exit codes and errors of the command line.

use std::io::Write;
use std::process::ExitCode;

use super::Output;

/// What the process says when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NotAllowed = 4,
    NotFound = 5,
    Unreachable = 6,
    /// Checks of a component failed.
    TestsFailed = 7,
    /// Differences were found by a verb that looks for them.
    Different = 10,
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A verb that failed: a stable code for programs, words for people, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An error with its whole chain of causes.
    pub fn from_error(exit: Exit, code: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            message.push_str(": ");
            message.push_str(&inner.to_string());
            cause = inner.source();
        }
        Self::new(exit, code, message)
    }

    pub fn report(&self, output: Output) -> ExitCode {
        let mut stderr = std::io::stderr().lock();
        // A closed stderr leaves nobody to tell.
        let _ = match output {
            Output::Json => {
                writeln!(stderr, "{}", serde_json::json!({"schema_version": 1, "error": {"code": self.code, "message": self.message, "hint": self.hint}}))
            }
            Output::Text => writeln!(stderr, "error[{}]: {}", self.code, self.message)
                .and_then(|()| self.hint.as_ref().map_or(Ok(()), |hint| writeln!(stderr, "  hint: {hint}"))),
        };
        self.exit.into()
    }
}

/// Prints one line of data; a closed pipe ends the verb quietly, as `| head` expects.
pub fn print(line: impl std::fmt::Display) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::new(Exit::Failed, "output.write", format!("cannot write to standard output: {error}"))),
    }
}
