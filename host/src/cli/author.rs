//! Verbs for who writes a connector: they need no server and no login.

pub mod build;
#[cfg(test)]
mod catalogue;
pub mod dev;
pub mod doctor;
pub mod new;
#[cfg(test)]
mod reference;
pub mod replay;
pub mod test;

use std::path::{Path, PathBuf};

use bulkhead_authoring::build::BuildError;
use bulkhead_conformance::Bench;
use bulkhead_conformance::bench::Source;

use super::{Exit, Failure};
use crate::components::Components;

/// The folder of an author's project.
#[derive(Debug, clap::Args)]
pub struct Project {
    /// The author's folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let exit = match &error {
            BuildError::NoProject(_) => Exit::NotFound,
            BuildError::Manifest(_) | BuildError::NoArtefact | BuildError::NoGuest(_) => Exit::Configuration,
            _ => Exit::Failed,
        };
        let failure = Self::from_error(exit, error.code(), &error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A sandbox with the built-in formatters beside it; what is compiled is kept in the author's folder.
fn bench(kept: Option<&Path>) -> Result<Bench, Failure> {
    if let Some(kept) = kept {
        std::fs::create_dir_all(kept).map_err(|error| Failure::new(Exit::Failed, "author.cache", format!("cannot make {}: {error}", kept.display())))?;
    }
    Bench::new(source(), kept).map_err(|error| Failure::new(Exit::Failed, "author.sandbox", format!("the sandbox does not start: {error:#}")))
}

/// The built-in components, by name.
fn source() -> Source {
    let components = Components::new(None);
    Box::new(move |name: &str| components.file(name).map(|found| found.bytes.into_owned()).map_err(anyhow::Error::from))
}

/// What a stranger's component or compiler says must not steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
