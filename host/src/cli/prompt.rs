//! What somebody types and nobody is to see: without echo on a terminal, or the first line of standard input.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;

use super::{Exit, Failure};

/// Longest line that is read, in bytes.
const MOST: u64 = 4 << 10;

/// Asks on a terminal; elsewhere the line is taken as it comes.
pub fn secret(label: &str) -> Result<SecretString, Failure> {
    let stdin = std::io::stdin();
    let quiet = stdin.is_terminal().then(|| Quiet::begin(label)).transpose()?;
    let mut line = String::new();
    let read = stdin.lock().take(MOST).read_line(&mut line);
    drop(quiet);
    read.map_err(|error| Failure::new(Exit::Usage, "prompt.read", format!("cannot read standard input: {error}")))?;
    let text = line.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(Failure::new(Exit::Usage, "prompt.empty", format!("no {label} was given")).hint("type it, or write it to standard input as one line"));
    }
    Ok(text.to_owned().into())
}

/// A terminal that shows nothing until this goes.
struct Quiet(Termios);

impl Quiet {
    fn begin(label: &str) -> Result<Self, Failure> {
        eprint!("{label}: ");
        let failed = |error: rustix::io::Errno| Failure::new(Exit::Failed, "prompt.terminal", format!("cannot switch the terminal's echo off: {error}"));
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
        eprintln!();
    }
}
