//! Completion scripts, made from the command line's own definition.

use clap::CommandFactory;

use super::{Exit, Failure};

pub fn run<C: CommandFactory>(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut C::command(), "bulkhead", &mut script);
    super::failure::print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Ok)
}
