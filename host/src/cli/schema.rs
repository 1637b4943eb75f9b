//! `bulkhead config schema` and `bulkhead config show --effective`.

use std::path::Path;

use super::{Exit, Failure, Output, failure::print};

pub fn print_schema() -> Result<Exit, Failure> {
    print(format!("{:#}", crate::config::schema()))?;
    Ok(Exit::Ok)
}

pub fn print_effective(path: &Path, output: Output) -> Result<Exit, Failure> {
    match super::validate::load(path) {
        Ok(config) => {
            print(format!("{:#}", config.effective()))?;
            Ok(Exit::Ok)
        }
        Err(faults) => {
            super::validate::report(path, &faults, output)?;
            Ok(Exit::Configuration)
        }
    }
}
