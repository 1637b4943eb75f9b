//! `bulkhead new`: a connector or formatter to begin with.

use std::path::PathBuf;

use bulkhead_authoring::{Kind, Language, Name, NameError, NewError, Sdk, project};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::failure::print;
use crate::cli::{Exit, Failure, Output};

#[derive(Debug, Args)]
pub struct NewArgs {
    /// Its name, kebab-case: the folder, the package and the component are called so.
    name: String,
    /// What it is written in.
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// A formatter in place of a connector.
    #[arg(long)]
    formatter: bool,
    /// The folder that its folder goes into.
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
    /// Take the SDK from this folder, such as `sdk/rust` of a checkout, in place of the copy that is written beside
    /// the sources (Rust).
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    Rust,
    #[value(alias = "javascript")]
    Js,
    #[value(alias = "typescript")]
    Ts,
    #[value(alias = "py")]
    Python,
    C,
    /// There is none; said with what there is instead.
    #[value(hide = true, alias = "golang", alias = "tinygo")]
    Go,
}

impl Lang {
    /// What it is to the builds.
    pub fn language(self) -> Result<Language, Failure> {
        Ok(match self {
            Self::Rust => Language::Rust,
            Self::Js => Language::JavaScript,
            Self::Ts => Language::TypeScript,
            Self::Python => Language::Python,
            Self::C => Language::C,
            Self::Go => {
                return Err(Failure::new(
                    Exit::Usage,
                    "new.language",
                    "there is no template in Go: components in Go take TinyGo (https://tinygo.org) or componentize-go, and neither was tested with this host",
                )
                .hint(
                    "what they make of the world `bulkhead:connector/connector` is tested and uploaded by its file: `bulkhead test FILE`, `bulkhead push FILE`",
                ));
            }
        })
    }
}

pub fn run(args: &NewArgs, output: Output) -> Result<Exit, Failure> {
    let language = args.lang.language()?;
    let name: Name = args.name.parse().map_err(|error: NameError| Failure::from_error(Exit::Usage, "new.name", &error))?;
    let kind = if args.formatter { Kind::Formatter } else { Kind::Connector };
    let sdk = args.sdk.clone().map_or(Sdk::Vendored, Sdk::Path);
    let folder = project::create(&args.into, &name, language, kind, &sdk).map_err(|error| {
        let exit = match &error {
            NewError::NotEmpty(_) | NewError::NotAFolder(_) | NewError::NoPath(_) => Exit::Usage,
            NewError::NoSdk(_) => Exit::NotFound,
            NewError::Write { .. } => Exit::Failed,
        };
        Failure::from_error(exit, "new.folder", &error)
    })?;
    match output {
        Output::Json => {
            print(json!({"schema_version": 1, "name": name.as_str(), "kind": kind.name(), "language": language.name(), "folder": folder}))?;
        }
        Output::Text => {
            print(format!("{} {name} in {}\n\n  cd {}\n  bulkhead build\n  bulkhead test\n  bulkhead dev", kind.name(), folder.display(), folder.display()))?
        }
    }
    Ok(Exit::Ok)
}
