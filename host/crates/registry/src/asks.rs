//! What a component asks for, as a set of words that can be compared: what it imports, and what its
//! manifest wishes for. The imports come from the bytes; a manifest can only add to them.
//!
//! **The rule.** A version is approved by its upload where it asks for nothing beyond the log, metrics of
//! its own, and what was approved for its name before; for the first upload of a name that is what the
//! component asks for that the operator put into `connectors_dir` (or that is built in) under that name.
//! Everything else waits until someone approves that digest.

use std::collections::BTreeSet;

/// Words such as `http`, `http primary`, `http primary: method POST`.
pub type Asks = BTreeSet<String>;

/// Interfaces that reach nothing; never counted as a request.
const FREE: [&str; 3] = ["log", "metrics", "types"];

/// One wish of a manifest.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub interface: &'a str,
    pub name: Option<&'a str>,
    pub methods: &'a [String],
    pub paths: &'a [String],
    pub access: Option<&'a str>,
}

/// Imported interfaces and wishes as words.
pub fn asks<'a>(imports: impl IntoIterator<Item = &'a str>, wishes: impl IntoIterator<Item = Wish<'a>>) -> Asks {
    let mut asks: Asks = imports.into_iter().filter(|name| !FREE.contains(name)).map(str::to_owned).collect();
    for wish in wishes.into_iter().filter(|wish| !FREE.contains(&wish.interface)) {
        let what = wish.name.map_or_else(|| wish.interface.to_owned(), |name| format!("{} {name}", wish.interface));
        // No list means all of them: that is more than any list.
        let lists = [("method", wish.methods), ("path", wish.paths)];
        if wish.interface == "http" {
            for (word, list) in lists {
                if list.is_empty() {
                    asks.insert(format!("{what}: any {word}"));
                }
                asks.extend(list.iter().map(|one| format!("{what}: {word} {one}")));
            }
        }
        asks.extend(wish.access.map(|access| format!("{what}: {access}")));
        asks.insert(what);
    }
    asks
}

/// What is asked for beyond what was approved.
pub fn widening(asked: &Asks, approved: &Asks) -> Asks {
    let covered = |ask: &String| {
        approved.contains(ask)
            || ask.split_once(": ").is_some_and(|(what, which)| {
                let any = which.split_once(' ').map(|(word, _)| format!("{what}: any {word}"));
                any.is_some_and(|any| approved.contains(&any)) || (which == "read" && approved.contains(&format!("{what}: write")))
            })
    };
    asked.iter().filter(|ask| !covered(ask)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish<'a>(name: &'a str, methods: &'a [String], paths: &'a [String]) -> Wish<'a> {
        Wish { interface: "http", name: Some(name), methods, paths, access: None }
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn imports_count_whatever_the_manifest_says() {
        assert_eq!(asks(["log", "types", "metrics"], []), Asks::new());
        assert_eq!(asks(["http", "log"], []).into_iter().collect::<Vec<_>>(), ["http"]);
    }

    #[test]
    fn a_new_destination_method_or_path_is_more() {
        let (post, both) = (texts(&["POST"]), texts(&["POST", "DELETE"]));
        let path = texts(&["/a"]);
        let old = asks(["http"], [wish("primary", &post, &path)]);
        assert_eq!(widening(&old, &old), Asks::new());
        let more = |asked: Asks| widening(&asked, &old).into_iter().collect::<Vec<_>>();
        assert_eq!(more(asks(["http"], [wish("primary", &both, &path)])), ["http primary: method DELETE"]);
        assert_eq!(more(asks(["http"], [wish("primary", &post, &[])])), ["http primary: any path"]);
        assert_eq!(more(asks(["http"], [wish("other", &post, &path)])), ["http other", "http other: method POST", "http other: path /a"]);
        assert_eq!(more(asks(["http", "files"], [wish("primary", &post, &path)])), ["files"]);
        assert!(more(asks(["http"], [])).is_empty(), "asking for less needs nobody");
        let any = asks(["http"], [wish("primary", &[], &[])]);
        assert!(widening(&old, &any).is_empty(), "all of them covers each");
    }

    #[test]
    fn writing_covers_reading_and_not_the_other_way() {
        let files = |access| asks(["files"], [Wish { interface: "files", name: Some("primary"), methods: &[], paths: &[], access: Some(access) }]);
        assert!(widening(&files("read"), &files("write")).is_empty());
        assert_eq!(widening(&files("write"), &files("read")).len(), 1);
    }
}
