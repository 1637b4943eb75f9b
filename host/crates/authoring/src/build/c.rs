//! C: clang makes one module of the author's files and the SDK's, and it is wrapped as a component of the folder's world
//! here. There is no WASI: what a file calls of it that the SDK does not answer is named, and there is no component.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{BuildError, OUT};
use crate::doctor::Finding;
use crate::language::Language;
use crate::manifest::{Kind, Manifest};
use crate::project::C_SDK;
use crate::{tool, world};

/// Names the compiler in place of a search.
const VARIABLE: &str = "BULKHEAD_CLANG";
/// As Debian names them; the first that has all its parts is taken.
const NAMES: [&str; 10] = ["clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14"];
const TARGET: &str = "--target=wasm32-wasi";
/// What is linked, below [`OUT`], until it is wrapped.
const MODULE: &str = ".module.wasm";
/// Most files of an author that are compiled.
const MAX_SOURCES: usize = 1_000;

/// A compiler with the parts that it needs.
struct Toolchain {
    clang: OsString,
    /// What each says of itself, or where it lies; `None` where it is missing.
    compiler: Option<String>,
    linker: Option<String>,
    library: Option<String>,
    builtins: Option<String>,
}

impl Toolchain {
    fn of(clang: OsString, folder: &Path) -> Self {
        let said = |argument: &str| tool::said(Command::new(&clang).args([TARGET, argument]).current_dir(folder));
        // It answers a path where there is one, and else the bare name.
        let file = |argument: &str| said(argument).filter(|path| Path::new(path).is_file());
        let linker = said("-print-prog-name=wasm-ld").and_then(|program| tool::version(program, folder));
        let compiler = tool::version(&clang, folder);
        let (library, builtins) = (file("-print-file-name=crt1-reactor.o"), file("-print-libgcc-file-name"));
        Self { clang, compiler, linker, library, builtins }
    }

    fn complete(&self) -> bool {
        [&self.compiler, &self.linker, &self.library, &self.builtins].iter().all(|part| part.is_some())
    }

    /// The one that is named, else the first that is complete, else the first that runs.
    fn find(folder: &Path) -> Self {
        if let Some(named) = std::env::var_os(VARIABLE) {
            return Self::of(named, folder);
        }
        let mut first = None;
        for name in NAMES {
            let found = Self::of(name.into(), folder);
            if found.complete() {
                return found;
            }
            first = first.or(found.compiler.is_some().then_some(found));
        }
        first.unwrap_or_else(|| Self::of(NAMES[0].into(), folder))
    }

    /// `-19` of `clang-19`: parts of one compiler have its number.
    fn suffix(&self) -> String {
        let name = self.clang.to_string_lossy();
        name.rsplit_once("clang-").map(|(_, number)| format!("-{number}")).unwrap_or_default()
    }

    fn parts(&self) -> [(&'static str, &Option<String>, String); 4] {
        let suffix = self.suffix();
        [
            ("clang", &self.compiler, "apt-get install clang".to_owned()),
            ("wasm-ld", &self.linker, format!("apt-get install lld{suffix}")),
            ("wasi-libc", &self.library, "apt-get install wasi-libc".to_owned()),
            ("clang's builtins for wasm32", &self.builtins, format!("apt-get install libclang-rt{suffix}-dev-wasm32")),
        ]
    }
}

pub fn needs(folder: &Path) -> Vec<Finding> {
    let parts = Toolchain::find(folder);
    parts.parts().into_iter().map(|(what, found, command)| Finding { language: Language::C, what, found: found.clone(), command }).collect()
}

pub fn build(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>, BuildError> {
    let toolchain = Toolchain::find(folder);
    if let Some((what, _, command)) = toolchain.parts().into_iter().find(|(_, found, _)| found.is_none()) {
        return Err(BuildError::Missing { what: what.to_owned(), command });
    }
    let out = folder.join(OUT);
    world::write(&out, manifest).map_err(|source| BuildError::File { path: out.clone(), source })?;
    let module = out.join(MODULE);
    let mut command = Command::new(&toolchain.clang);
    command.current_dir(folder).args([TARGET, "-mexec-model=reactor", "-flto", "-ffunction-sections", "-fdata-sections"]);
    // Flags of the folder may say otherwise, but for what the sandbox needs.
    command.args(flags(folder)?).args(sources(folder, manifest.kind)?);
    command.args(["-Wl,--gc-sections", "-Wl,--strip-all", "-Wl,-z,stack-size=262144", "-o"]).arg(Path::new(OUT).join(MODULE));
    let program = || toolchain.clang.to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status().map_err(|source| BuildError::Run { program: program(), source })?;
    if !status.success() {
        return Err(BuildError::Failed { program: program(), status });
    }
    let bytes = std::fs::read(&module).map_err(|source| BuildError::File { path: module.clone(), source })?;
    std::fs::remove_file(&module).map_err(|source| BuildError::File { path: module, source })?;
    wrap(bytes, &out.join(world::FOLDER), manifest)
}

/// `compile_flags.txt`: one flag a line, as clangd reads it.
fn flags(folder: &Path) -> Result<Vec<String>, BuildError> {
    let path = folder.join(Language::C.marker());
    let text = std::fs::read_to_string(&path).map_err(|source| BuildError::File { path, source })?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

/// The author's files in the folder itself, and the SDK's of this kind of guest.
fn sources(folder: &Path, kind: Kind) -> Result<Vec<PathBuf>, BuildError> {
    let file = |source| BuildError::File { path: folder.to_owned(), source };
    let mut own = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(file)? {
        let path = PathBuf::from(entry.map_err(file)?.file_name());
        if path.extension().is_some_and(|extension| extension == "c") && own.len() < MAX_SOURCES {
            // A name that begins with a hyphen is no flag.
            own.push(Path::new(".").join(path));
        }
    }
    if own.is_empty() {
        return Err(BuildError::NoGuest(format!("{} holds no .c file", folder.display())));
    }
    own.sort();
    let (glue, bindings) = match kind {
        Kind::Connector => ("connector.c", "connector_all.c"),
        Kind::Formatter => ("formatter.c", "formatter.c"),
    };
    let sdk = Path::new(C_SDK);
    own.extend([sdk.join("bulkhead.c"), sdk.join(glue), sdk.join("bindings").join(bindings)]);
    Ok(own)
}

/// A module becomes a component of the world that was written for the manifest.
fn wrap(mut module: Vec<u8>, wit: &Path, manifest: &Manifest) -> Result<Vec<u8>, BuildError> {
    imports(&module, manifest)?;
    let unfit = |error: anyhow::Error| BuildError::NoGuest(format!("what was linked is no component of its world: {error:#}"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).map_err(unfit)?;
    let world = resolve.select_world(&[package], Some(world::WORLD)).map_err(unfit)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(unfit)?;
    ComponentEncoder::default().module(&module).and_then(|encoder| encoder.validate(true).encode()).map_err(unfit)
}

/// Names what a module calls that its world does not have, before the wrapping does in words for toolmakers.
fn imports(module: &[u8], manifest: &Manifest) -> Result<(), BuildError> {
    let contract = format!("{}/", world::PACKAGE);
    let wanted = manifest.interfaces();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ImportSection(section) = payload.map_err(|error| BuildError::NoGuest(format!("what was linked does not parse: {error}")))? else {
            continue;
        };
        for import in section.into_imports() {
            let import = import.map_err(|error| BuildError::NoGuest(format!("what was linked does not parse: {error}")))?;
            if let Some(interface) = import.module.strip_prefix(&contract).and_then(|rest| rest.split('@').next()) {
                if interface != "log" && (manifest.kind == Kind::Formatter || !wanted.contains(&interface)) {
                    let problem = match manifest.kind {
                        Kind::Connector => {
                            format!("the sources call `{interface}`, which connector.toml does not want: add a [[wants]] with `interface = \"{interface}\"`")
                        }
                        Kind::Formatter => format!("the sources call `{interface}`; a formatter reaches nothing but the log"),
                    };
                    return Err(BuildError::NoGuest(problem));
                }
            } else if import.module == "wasi_snapshot_preview1" {
                return Err(BuildError::NoGuest(format!(
                    "the sources call a function of the C library that needs the system (`{}`): there are no files, sockets, clock or environment here",
                    import.name
                )));
            } else {
                return Err(BuildError::NoGuest(format!("the sources import `{}` of `{}`, which nobody offers", import.name, import.module)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_go_by_the_compilers_number() {
        let toolchain = |clang: &str| Toolchain { clang: clang.into(), compiler: None, linker: None, library: None, builtins: None };
        assert_eq!((toolchain("clang-19").suffix().as_str(), toolchain("clang").suffix().as_str()), ("-19", ""));
        assert!(toolchain("/usr/bin/clang-14").parts()[3].2.ends_with("libclang-rt-14-dev-wasm32"));
    }

    /// Each function of the contract has its binding: what was added there and not generated here is missed.
    #[test]
    fn the_bindings_are_of_this_contract() {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit")).expect("the contract parses");
        let text = |name: &str| crate::embedded::SDK_C.iter().find(|(path, _)| *path == name).expect("it is there").1;
        let (connector, formatter) = (text("bindings/connector_all.c"), text("bindings/formatter.c"));
        let mut functions = 0;
        for (name, id) in &resolve.packages[package].interfaces {
            for function in resolve.interfaces[*id].functions.keys() {
                let path = format!("{}/{name}@{}", world::PACKAGE, world::VERSION);
                let (import, export) =
                    (format!("__import_module__(\"{path}\"), __import_name__(\"{function}\")"), format!("__export_name__(\"{path}#{function}\")"));
                let bound = if name == "formatting" { formatter.contains(&export) } else { connector.contains(&import) || connector.contains(&export) };
                assert!(bound, "{name}.{function} has no binding; sdk/c/README.md says how they are generated");
                functions += 1;
            }
        }
        assert!(functions > 30, "{functions}");
    }

    #[test]
    fn what_the_world_has_not_is_named() {
        const TEXT: &str = "name = \"a\"\nversion = \"1\"\nvendor = \"v\"\nkind = \"connector\"\nsystem = \"s\"\noperations = [\"deliver\"]\naccepts = [\"*\"]\ndocs = \"d\"\n[[wants]]\ninterface = \"state\"\nreason = \"the cursor\"\n";
        #[track_caller]
        fn check(kind: &str, module: &str, name: &str, want: Option<&str>) {
            let manifest = Manifest::parse(&TEXT.replace("\"connector\"", kind)).expect("a manifest");
            let (mut types, mut section, mut wasm) = (wasm_encoder::TypeSection::new(), wasm_encoder::ImportSection::new(), wasm_encoder::Module::new());
            types.ty().function([], []);
            section.import(module, name, wasm_encoder::EntityType::Function(0));
            let said = imports(wasm.section(&types).section(&section).as_slice(), &manifest).err().map(|error| error.to_string());
            match (&said, want) {
                (None, None) => {}
                (Some(said), Some(want)) => assert!(said.contains(want), "{said}"),
                _ => panic!("{said:?}, wanted {want:?}"),
            }
        }
        check("\"connector\"", "bulkhead:connector/log@0.1.0", "write", None);
        check("\"connector\"", "bulkhead:connector/state@0.1.0", "get", None);
        check("\"connector\"", "bulkhead:connector/http@0.1.0", "send", Some("interface = \"http\""));
        check("\"formatter\"", "bulkhead:connector/state@0.1.0", "get", Some("nothing but the log"));
        check("\"connector\"", "wasi_snapshot_preview1", "clock_time_get", Some("`clock_time_get`"));
        check("\"connector\"", "env", "f", Some("nobody offers"));
    }
}
