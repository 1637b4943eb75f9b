//! Every error of the author verbs by its code. `docs/authors/errors.md` is made of it, and a test holds it against the
//! sources: a code that is not in it cannot be given.

/// Code, exit code, when it comes, what helps.
const ERRORS: &[(&str, u8, &str, &str)] = &[
    ("author.cache", 1, "the folder `dist/.compiled` cannot be made", "give yourself the right to write there"),
    ("author.sandbox", 1, "the engine does not start", "the message says what the system lacks"),
    ("build.failed", 1, "the compiler ended with an error, or cannot be run", "its own words are above"),
    ("build.file", 1, "a file of the build cannot be read or written", "the message names it"),
    ("build.manifest", 78, "`connector.toml` is missing, is no TOML, or says what cannot be", "[the manifest](manifest.md)"),
    ("build.no_component", 78, "Cargo made a library and no component", "`crate-type = [\"cdylib\", \"rlib\"]` below `[lib]`"),
    ("build.no_project", 5, "the folder holds none of the files that show a language", "`bulkhead new NAME` makes a folder that does"),
    ("build.toolchain", 1, "a tool or a target is not there", "the command of the hint; `bulkhead doctor` lists all"),
    ("build.unfit", 78, "the component was built and does not fit the contract", "`bulkhead inspect` says what it imports and exports"),
    ("dev.call", 1, "the guest refuses its configuration, or cannot be opened", "the message is the guest's or the sandbox's"),
    ("dev.case", 78, "the case or the least configuration cannot be used", "`--config`, or a case with `willing = true`"),
    ("dev.events", 5, "the file of events cannot be read (exits 2 where it is empty or too large)", "one JSON object a line"),
    ("dev.fault", 2, "`--fault` names no step", "the message lists them"),
    ("dev.unfit", 78, "the component does not load", "`bulkhead inspect` says what it imports and exports"),
    ("new.folder", 2, "something is there already, or cannot be written (1), or `--sdk` leads nowhere (5)", "another name, or an empty folder"),
    ("new.language", 2, "there is no template in that language", "the message says what there is instead"),
    ("new.name", 2, "the name is no kebab-case word of at most 57 bytes, or is taken", "a name such as `acme-siem`"),
    (
        "replay.call",
        1,
        "the guest refuses the configuration of the capture, or cannot be opened",
        "`--config`, where the capture's has placeholders of secrets",
    ),
    ("replay.capture", 78, "the file holds no deliveries that this version reads", "`bulkhead instance captured NAME` of a host of this version writes one"),
    ("replay.file", 5, "the file cannot be read (exits 2 where it is too large)", "at most 64 MiB"),
    ("replay.unfit", 78, "the component cannot be found or does not load", "`--component`, or the folder whose `dist` holds it"),
    ("test.cases", 5, "`--cases` is no folder", "the folder with the `*.toml`"),
    ("test.nothing", 2, "no check has a name that contains what `--only` says", "`bulkhead test` without it prints all names"),
    ("test.read", 5, "there is no such component", "`bulkhead build` makes it"),
    ("test.unfit", 78, "the component has no manifest, does not load, or a case cannot be read", "the message says which"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::ERRORS;

    fn page() -> String {
        let mut page = String::from(
            "# Errors of the author verbs\n\nMade from the code; `UPDATE_GOLDEN=1 cargo test -p bulkhead catalogue` writes it. Codes are stable. Faults of a guest at run time are outcomes and limits: [limits](../operators/limits.md), [testing](testing.md).\n\n| code | exits | when | what helps |\n|---|---|---|---|\n",
        );
        for (code, exit, when, help) in ERRORS {
            page.push_str(&format!("| `{code}` | {exit} | {when} | {help} |\n"));
        }
        page.push_str("\nA check of `bulkhead test` that fails is no error: the verb exits 7 and names it.\n");
        page
    }

    #[test]
    fn the_page_is_the_codes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/authors/errors.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, page()).expect("written");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page(), "UPDATE_GOLDEN=1 writes docs/authors/errors.md");
    }

    /// Texts in quotes of the sources that look like codes of these verbs.
    #[test]
    fn every_code_is_listed_and_given() {
        let sources = [
            include_str!("new.rs"),
            include_str!("build.rs"),
            include_str!("test.rs"),
            include_str!("dev.rs"),
            include_str!("doctor.rs"),
            include_str!("replay.rs"),
            include_str!("../author.rs"),
            include_str!("../../../crates/authoring/src/build.rs"),
        ];
        let is_code = |text: &&str| {
            text.split_once('.').is_some_and(|(verb, rest)| {
                ["author", "build", "dev", "new", "replay", "test"].contains(&verb)
                    && !rest.is_empty()
                    && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            })
        };
        let given: BTreeSet<&str> = sources.iter().flat_map(|source| source.split('"')).filter(is_code).filter(|text| !text.ends_with(".rs")).collect();
        let listed: BTreeSet<&str> = ERRORS.iter().map(|(code, ..)| *code).collect();
        assert_eq!(given, listed);
    }
}
