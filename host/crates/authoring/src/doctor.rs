//! `bulkhead doctor`: what each language needs, whether it is here, and the command that mends it.

use std::path::Path;

use crate::build;
use crate::language::Language;
use crate::tool;

/// One thing that a language needs.
#[derive(Debug, Clone)]
pub struct Finding {
    pub language: Language,
    pub what: &'static str,
    /// What it says of itself; `None` where it is missing.
    pub found: Option<String>,
    /// What mends it.
    pub command: String,
}

/// Looks, from the author's folder: toolchains may be pinned there.
pub fn examine(folder: &Path, language: Language) -> Vec<Finding> {
    match language {
        Language::Rust => rust(folder),
        Language::JavaScript | Language::TypeScript => build::js_needs(folder, language),
        Language::Python => build::python_needs(folder),
        Language::C => build::c_needs(folder),
    }
}

fn rust(folder: &Path) -> Vec<Finding> {
    let target = build::RUST_TARGET;
    let finding = |what, found, command: &str| Finding { language: Language::Rust, what, found, command: command.to_owned() };
    vec![
        finding("cargo", tool::version("cargo", folder), "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"),
        finding("target wasm32-wasip2", build::has_rust_target(folder).then(|| target.to_owned()), &format!("rustup target add {target}")),
    ]
}
