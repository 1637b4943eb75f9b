//! `bulkhead doctor`: what building needs, and what is missing.

use bulkhead_authoring::{Language, doctor};
use clap::Args;
use serde_json::json;

use super::Project;
use super::new::Lang;
use crate::cli::failure::print;
use crate::cli::{Exit, Failure, Output};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Only this language; without it, that of the folder, or every one where it has none.
    #[arg(long, value_enum)]
    lang: Option<Lang>,
    #[command(flatten)]
    project: Project,
}

pub fn run(args: &DoctorArgs, output: Output) -> Result<Exit, Failure> {
    let folder = &args.project.folder;
    let one = args.lang.map(Lang::language).transpose()?.or_else(|| Language::of(folder));
    let languages = one.map_or_else(|| Language::ALL.to_vec(), |language| vec![language]);
    let findings: Vec<_> = languages.iter().flat_map(|language| doctor::examine(folder, *language)).collect();
    let missing = findings.iter().filter(|finding| finding.found.is_none()).count();
    match output {
        Output::Json => print(json!({
            "schema_version": 1, "complete": missing == 0,
            "findings": findings.iter().map(|finding| json!({
                "language": finding.language.name(), "what": finding.what, "found": finding.found,
                "command": finding.found.is_none().then_some(&finding.command),
            })).collect::<Vec<_>>(),
        }))?,
        Output::Text => {
            for finding in &findings {
                let state = match &finding.found {
                    Some(found) => format!("ok       {found}"),
                    None => format!("missing  `{}`", finding.command),
                };
                print(format!("{:<8} {:<24} {state}", finding.language.name(), finding.what))?;
            }
        }
    }
    // Of all languages nobody needs every one.
    Ok(if missing > 0 && one.is_some() { Exit::Failed } else { Exit::Ok })
}
