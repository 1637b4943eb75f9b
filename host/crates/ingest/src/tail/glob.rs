//! Path patterns, and the walk that finds what they match.
//!
//! `*`, `?` and `[…]` stand for parts of a name, `**` for any directories. What stands before the first of
//! them is the operator's word and may lead over symbolic links; below it no link is followed, so that who
//! may write in a directory cannot lead the host elsewhere. Files at the end of a link are found only where
//! that is allowed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;

use super::position::Inode;

/// Directories below each other that `**` goes down.
const DEPTH: usize = 64;

/// A checked pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    root: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Directories,
    Name(Vec<u8>),
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut root, mut parts) = (PathBuf::new(), Vec::new());
        let components: Vec<_> = Path::new(text).components().collect();
        for (at, component) in components.iter().enumerate() {
            let name = component.as_os_str().as_bytes();
            let wild = name.iter().any(|byte| b"*?[".contains(byte));
            let last = at + 1 == components.len();
            match component {
                Component::Normal(_) if name == b"**" && last => return Err("ends with `**`, which stands for directories; write `**/*`".into()),
                Component::Normal(_) if name == b"**" => parts.push(Part::Directories),
                Component::Normal(_) if name.windows(2).any(|two| two == b"**") => {
                    return Err("has `**` beside other signs; it stands alone between slashes".into());
                }
                Component::Normal(_) if wild && !closed(name) => return Err("has a `[` without its `]`".into()),
                Component::Normal(_) if wild || last || !parts.is_empty() => parts.push(Part::Name(name.to_vec())),
                _ if !parts.is_empty() || last => return Err("must end with the name of a file, and have no `..` behind a wildcard".into()),
                component => root.push(component),
            }
        }
        if parts.is_empty() {
            return Err("names no file".into());
        }
        if root.as_os_str().is_empty() {
            root.push(".");
        }
        Ok(Self { root, parts })
    }

    /// The same from the root on; a pattern of one name alone stays one where `names` are meant.
    pub(super) fn absolute(self, names: bool) -> Self {
        let name_alone = names && self.parts.len() == 1 && self.root == Path::new(".");
        let root = std::path::absolute(&self.root).ok().filter(|_| !name_alone);
        Self { root: root.unwrap_or(self.root), parts: self.parts }
    }

    /// Finds files that match.
    pub(super) fn walk(&self, walk: &mut Walk<'_>) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, &self.root, flags, Mode::empty()) {
            Ok(dir) => walk.descend(&dir, &self.root, &self.parts, DEPTH),
            // It may come.
            Err(Errno::NOENT) => {}
            Err(error) => walk.fail(self.root.clone(), error),
        }
    }

    /// Whether a path matches; a pattern of one name alone matches names everywhere.
    pub(super) fn matches(&self, path: &Path) -> bool {
        if let ([Part::Name(name)], Some(file)) = (&self.parts[..], path.file_name())
            && self.root == Path::new(".")
        {
            return matches(name, file.as_bytes());
        }
        let rest: Option<Vec<&OsStr>> = path.strip_prefix(&self.root).ok().map(|rest| rest.iter().collect());
        rest.is_some_and(|rest| matches_parts(&self.parts, &rest))
    }
}

fn matches_parts(parts: &[Part], names: &[&OsStr]) -> bool {
    match (parts.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((Part::Directories, rest)), _) => (0..=names.len().min(DEPTH)).any(|skip| matches_parts(rest, &names[skip..])),
        (Some((Part::Name(pattern), rest)), Some((name, names))) => matches(pattern, name.as_bytes()) && matches_parts(rest, names),
        _ => false,
    }
}

/// Whether every `[` has its `]`.
fn closed(pattern: &[u8]) -> bool {
    let mut at = 0;
    while at < pattern.len() {
        at += if pattern[at] == b'[' {
            let Some((_, length)) = class(&pattern[at..], 0) else { return false };
            length
        } else {
            1
        };
    }
    true
}

/// Whether a class such as `[a-z]` or `[!0-9]` holds a byte, and its length.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = 1 + usize::from(negated);
    // A `]` in the first place stands for itself.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|byte| *byte == b']')?;
    let (mut at, mut holds) = (start, false);
    while at < end {
        let (low, high) = if at + 2 < end && pattern[at + 1] == b'-' { (pattern[at], pattern[at + 2]) } else { (pattern[at], pattern[at]) };
        holds |= (low..=high).contains(&byte);
        at += if low == pattern[at] && at + 2 < end && pattern[at + 1] == b'-' { 3 } else { 1 };
    }
    Some((holds != negated, end + 1))
}

/// Whether a name matches a pattern without slashes: goes back to the last `*` and no further, so that the
/// time is bounded by the product of both lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], name[n]).and_then(|(holds, length)| holds.then_some(length)),
            Some(byte) if *byte == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// A file that a walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub inode: Inode,
    pub size: u64,
    /// Nanoseconds.
    pub modified: i128,
}

impl Seen {
    #[expect(clippy::unnecessary_cast, reason = "the fields' types differ between platforms")]
    pub fn of(stat: &Stat) -> Self {
        Self {
            inode: Inode { device: stat.st_dev as u64, inode: stat.st_ino as u64 },
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
        }
    }
}

/// What a walk is to find, and what it found.
pub(super) struct Walk<'a> {
    pub exclude: &'a [Pattern],
    pub follow_symlinks: bool,
    /// Inode numbers of files that are known: found under whatever name.
    pub known: &'a HashSet<u64>,
    /// Most files.
    pub limit: usize,
    pub found: BTreeMap<PathBuf, Seen>,
    /// Known files under names that do not match: rotated away.
    pub moved: BTreeMap<PathBuf, Seen>,
    pub failed: BTreeMap<PathBuf, String>,
    /// Files beyond the limit.
    pub beyond: usize,
}

impl Walk<'_> {
    fn fail(&mut self, path: PathBuf, error: impl std::fmt::Display) {
        if self.failed.len() < self.limit {
            self.failed.insert(path, error.to_string());
        }
    }

    fn descend(&mut self, dir: &OwnedFd, path: &Path, parts: &[Part], depth: usize) {
        let Some((part, rest)) = parts.split_first() else { return };
        if *part == Part::Directories {
            self.descend(dir, path, rest, depth);
        }
        let entries = match Dir::read_from(dir) {
            Ok(entries) => entries,
            Err(error) => return self.fail(path.to_owned(), error),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.fail(path.to_owned(), error),
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let below = || path.join(OsStr::from_bytes(name));
            let fits = match part {
                Part::Directories => true,
                Part::Name(pattern) => matches(pattern, name),
            };
            if *part != Part::Directories && rest.is_empty() {
                if fits || self.known.contains(&entry.ino()) {
                    self.file(dir, entry.file_name(), below(), fits);
                }
            } else if fits && depth > 0 && matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match openat(dir, entry.file_name(), flags, Mode::empty()) {
                    Ok(next) => self.descend(&next, &below(), if *part == Part::Directories { parts } else { rest }, depth - 1),
                    // A file, a link, or gone since.
                    Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
                    Err(error) => self.fail(below(), error),
                }
            }
        }
    }

    fn file(&mut self, dir: &OwnedFd, name: &std::ffi::CStr, path: PathBuf, fits: bool) {
        if fits && self.exclude.iter().any(|pattern| pattern.matches(&path)) {
            return;
        }
        let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink && fits => {
                if !self.follow_symlinks {
                    return self.fail(path, "a symbolic link; `follow_symlinks: true` follows it");
                }
                statat(dir, name, AtFlags::empty())
            }
            other => other,
        };
        match stat {
            // Directories, pipes, sockets and devices are not files of lines.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {}
            Ok(_) if fits && self.found.len() >= self.limit && !self.found.contains_key(&path) => self.beyond += 1,
            Ok(stat) if fits => drop(self.found.insert(path, Seen::of(&stat))),
            Ok(stat) => drop(self.moved.insert(path, Seen::of(&stat))),
            Err(Errno::NOENT) => {}
            Err(error) => self.fail(path, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, yes, no) in [
            ("*.log", &["a.log", ".log"][..], &["a.log.1", "log"][..]),
            ("app-?.log", &["app-1.log"], &["app-.log", "app-12.log"]),
            ("a*b*c", &["abc", "aXbYbZc"], &["abcd", "ac"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x"]),
            ("[!0-9]*", &["a1"], &["1a"]),
            ("[]]x", &["]x"], &["x"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("plain", &["plain"], &["plain2"]),
        ] {
            yes.iter().for_each(|name| assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}"));
        }
        let (many, long) = ("*a".repeat(100), "a".repeat(10_000));
        assert!(!matches(format!("{many}b").as_bytes(), long.as_bytes()), "in bounded time");
    }

    #[test]
    fn patterns_that_name_no_file_are_refused() {
        for (pattern, says) in [
            ("", "names no file"),
            ("/", "must end with"),
            ("/a/**", "`**/*`"),
            ("/a/x**", "alone"),
            ("/a/[b", "without its"),
            ("*/../x", "`..`"),
            ("..", "must end"),
        ] {
            assert!(Pattern::parse(pattern).is_err_and(|error| error.contains(says)), "{pattern}: {:?}", Pattern::parse(pattern));
        }
    }

    fn found(pattern: &str, root: &Path, exclude: &[&str], known: &[u64], follow: bool) -> (Vec<String>, Vec<String>, Vec<String>) {
        let exclude: Vec<_> = exclude.iter().map(|text| Pattern::parse(text).expect("a pattern")).collect();
        let known = known.iter().copied().collect();
        let mut walk = Walk {
            exclude: &exclude,
            follow_symlinks: follow,
            known: &known,
            limit: 100,
            found: BTreeMap::new(),
            moved: BTreeMap::new(),
            failed: BTreeMap::new(),
            beyond: 0,
        };
        Pattern::parse(&format!("{}/{pattern}", root.display())).expect("a pattern").walk(&mut walk);
        let names = |paths: Vec<&PathBuf>| paths.into_iter().map(|path| path.strip_prefix(root).expect("below").display().to_string()).collect();
        (names(walk.found.keys().collect()), names(walk.moved.keys().collect()), names(walk.failed.keys().collect()))
    }

    #[test]
    fn a_walk_finds_files_and_follows_no_link_that_is_not_the_operators() {
        use std::os::unix::fs::{MetadataExt as _, symlink};
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("real");
        fs::create_dir_all(root.join("a/b")).expect("made");
        for name in ["x.log", "x.log.1", "a/y.log", "a/b/z.log", "a/skip.log"] {
            fs::write(root.join(name), name).expect("written");
        }
        fs::create_dir(root.join("dir.log")).expect("made");
        symlink("/etc", root.join("etc")).expect("linked");
        symlink("/etc/passwd", root.join("passwd.log")).expect("linked");
        symlink(&root, dir.path().join("link")).expect("linked");
        let known = fs::metadata(root.join("x.log.1")).expect("there").ino();
        let (names, moved, failed) = found("*.log", &root, &[], &[known], false);
        assert_eq!((names, moved, failed), (vec!["x.log".to_owned()], vec!["x.log.1".to_owned()], vec!["passwd.log".to_owned()]));
        assert_eq!(found("*/*.log", &root, &["skip.*"], &[], false).0, ["a/y.log"]);
        assert_eq!(found("**/*.log", &root, &[&format!("{}/a/**/z.log", root.display())], &[], false).0, ["a/skip.log", "a/y.log", "x.log"]);
        assert_eq!(found("*/passwd", &root, &[], &[], true).0, Vec::<String>::new(), "a directory behind a link, not even then");
        assert_eq!(found("*.log", &root, &[], &[], true).0, ["passwd.log", "x.log"]);
        assert_eq!(found("*.log", &dir.path().join("link"), &[], &[], false).0, ["x.log"], "what stands before the wildcard is the operator's word");
        assert_eq!(found("*.log", &dir.path().join("none"), &[], &[], false), (vec![], vec![], vec![]), "it may come");
    }
}
