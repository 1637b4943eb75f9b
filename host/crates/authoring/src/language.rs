//! Languages that connectors are written in here.

use std::path::Path;

/// A language with templates and a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    TypeScript,
    JavaScript,
    Python,
    C,
}

impl Language {
    /// In the order in which their markers count: a folder in TypeScript has what one in JavaScript has, too.
    pub const ALL: [Self; 5] = [Self::Rust, Self::TypeScript, Self::JavaScript, Self::Python, Self::C];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::TypeScript => "ts",
            Self::JavaScript => "js",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    /// The file that shows the language of a folder.
    pub fn marker(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::TypeScript => "tsconfig.json",
            Self::JavaScript => "package.json",
            Self::Python => "pyproject.toml",
            // Editors read it too (clangd): the same flags for them and for the build.
            Self::C => "compile_flags.txt",
        }
    }

    /// The language of an author's folder.
    pub fn of(folder: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|language| folder.join(language.marker()).is_file())
    }
}
