//! The follower over real files, at given times, without a journal.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;

use bulkhead_core::{EventRef, Tenant};

use super::*;
use crate::tail::Pattern;
use crate::text::LineFormat;

const SECOND: u64 = 1_000_000_000;

struct Rig {
    dir: tempfile::TempDir,
    follower: Follower,
    now: u64,
}

impl Rig {
    fn new(change: impl Fn(&mut FilesSettings)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let follower = follower(dir.path(), &change).expect("opens");
        Self { dir, follower, now: 1_700_000_000 * SECOND }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        fs::File::options().create(true).append(true).open(self.path(name)).and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
    }

    /// One look, and everything that is new: original and id.
    fn take(&mut self) -> Vec<(String, String)> {
        self.now += SECOND;
        self.follower.scan(self.now);
        let mut all = Vec::new();
        loop {
            let mut batch = AppendBatch::new();
            self.follower.read(self.now, &mut batch, &|batch| batch.len() >= 3);
            self.follower.commit();
            if batch.is_empty() && !self.follower.pending() {
                return all;
            }
            for at in 0..batch.len() {
                let event = EventRef::new(batch.stored(at).expect("stored")).expect("an event");
                all.push((String::from_utf8_lossy(event.original()).into_owned(), event.id().into_owned()));
            }
        }
    }

    fn lines(&mut self) -> Vec<String> {
        self.take().into_iter().map(|(line, _)| line).collect()
    }

    /// The same where the order of several files does not matter.
    fn sorted(&mut self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort();
        lines
    }

    /// What a kill leaves: positions as they were last written.
    fn killed(self, change: impl Fn(&mut FilesSettings)) -> Self {
        let follower = follower(self.dir.path(), &change).expect("opens");
        Self { follower, ..self }
    }
}

fn follower(dir: &Path, change: &impl Fn(&mut FilesSettings)) -> Result<Follower, String> {
    let mut settings = FilesSettings {
        name: "t".into(),
        paths: vec![Pattern::parse(&format!("{}/*.log", dir.display())).expect("a pattern")],
        exclude: Vec::new(),
        start: Start::Beginning,
        format: LineFormat::Text,
        max_line: 256,
        interval: std::time::Duration::from_secs(1),
        max_open: 8,
        follow_symlinks: false,
        tenant: Tenant::default(),
    };
    change(&mut settings);
    Follower::open(settings, dir.join("positions.json"))
}

#[test]
fn whole_lines_are_taken_once_and_the_last_waits_for_its_end() {
    let mut rig = Rig::new(|_| {});
    rig.append("a.log", "one\ntwo\nthr");
    assert_eq!(rig.lines(), ["one", "two"]);
    assert_eq!(rig.lines(), [""; 0]);
    rig.append("a.log", "ee\n\nfour\n");
    rig.append("b.log", "new\n");
    assert_eq!(rig.sorted(), ["four", "new", "three"]);
}

#[test]
fn what_was_not_committed_to_disk_is_read_again_with_the_same_ids() {
    let mut rig = Rig::new(|_| {});
    rig.append("a.log", "one\ntwo\n");
    let first = rig.take();
    // Since the file was found, positions were not written.
    let mut rig = rig.killed(|_| {});
    rig.append("a.log", "three\n");
    let again = rig.take();
    assert_eq!(again[..2], first[..]);
    rig.follower.save().expect("written");
    let mut rig = rig.killed(|_| {});
    rig.append("a.log", "four\n");
    assert_eq!(rig.lines(), ["four"]);
    assert_eq!(first.iter().chain(&again).map(|(_, id)| id).collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn a_renamed_file_goes_on_and_its_successor_begins() {
    let mut rig = Rig::new(|_| {});
    rig.append("a.log", "one\n");
    assert_eq!(rig.lines(), ["one"]);
    rig.append("a.log", "two\n");
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).expect("renamed");
    rig.append("a.log", "new one\n");
    rig.append("a.log.1", "late\n");
    assert_eq!(rig.sorted(), ["late", "new one", "two"]);
    rig.follower.save().expect("written");
    // Renamed again while nobody looks.
    rig.append("a.log", "new two\n");
    fs::rename(rig.path("a.log"), rig.path("a.log.2")).expect("renamed");
    rig.append("a.log", "newest\n");
    let mut rig = rig.killed(|_| {});
    assert_eq!(rig.sorted(), ["new two", "newest"]);
}

#[test]
fn a_file_that_is_cut_begins_anew_with_other_ids() {
    let mut rig = Rig::new(|_| {});
    rig.append("a.log", "one\ntwo\n");
    let before = rig.take();
    // As `copytruncate` does it; the copy does not match.
    fs::copy(rig.path("a.log"), rig.path("a.log.1")).expect("copied");
    fs::write(rig.path("a.log"), "one\n").expect("written");
    let after = rig.take();
    assert_eq!(after.len(), 1);
    assert_ne!(after[0].1, before[0].1, "the same line at the same place is another event");
    // Longer than before, but not the same.
    fs::write(rig.path("a.log"), "something else\nand more\n").expect("written");
    assert_eq!(rig.lines(), ["something else", "and more"]);
}

#[test]
fn a_removed_file_gives_its_last_line_and_is_forgotten() {
    let mut rig = Rig::new(|_| {});
    rig.append("a.log", "one\nlast");
    assert_eq!(rig.lines(), ["one"]);
    fs::remove_file(rig.path("a.log")).expect("removed");
    assert_eq!(rig.lines(), [""; 0], "it may still be written to");
    let mut lines = rig.lines();
    lines.extend(rig.lines());
    assert_eq!(lines, ["last"]);
    assert!(rig.follower.files.is_empty());
}

#[test]
fn long_lines_come_in_pieces_across_restarts() {
    let mut rig = Rig::new(|_| {});
    rig.append("a.log", &"x".repeat(300));
    assert_eq!(rig.lines(), ["x".repeat(256)]);
    rig.follower.save().expect("written");
    let mut rig = rig.killed(|_| {});
    rig.append("a.log", &format!("{}\nnext\n", "y".repeat(300)));
    let lines = rig.lines();
    assert_eq!(lines.concat(), format!("{}{}next", "x".repeat(44), "y".repeat(300)));
    assert_eq!(lines.len(), 3);
}

#[test]
fn start_at_the_end_skips_what_is_there_at_first_and_nothing_else() {
    let end = |settings: &mut FilesSettings| settings.start = Start::End;
    let rig = Rig::new(end);
    rig.append("a.log", "old\nhalf a ");
    let mut rig = rig.killed(end);
    assert_eq!(rig.lines(), [""; 0]);
    rig.append("a.log", "line\n");
    rig.append("b.log", "new file\n");
    assert_eq!(rig.sorted(), ["half a line", "new file"]);
    rig.append("c.log", "while stopped\n");
    let mut rig = rig.killed(end);
    assert!(rig.lines().contains(&"while stopped".to_owned()));
}

#[test]
fn few_files_are_open_however_many_there_are() {
    let mut rig = Rig::new(|settings| settings.max_open = 3);
    for round in 0..3 {
        for n in 0..20 {
            rig.append(&format!("{n}.log"), &format!("{round} {n}\n"));
        }
        assert_eq!(rig.lines().len(), 20);
        assert!(rig.follower.open_files() <= 3);
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_goes_on() {
    let mut rig = Rig::new(|_| {});
    rig.append("a.log", "one\n");
    std::os::unix::fs::symlink("/etc/passwd", rig.path("b.log")).expect("linked");
    rustix::fs::mkfifoat(rustix::fs::CWD, rig.path("c.log"), Mode::RUSR).expect("a pipe");
    assert_eq!(rig.lines(), ["one"]);
    let unreadable = rig.follower.unreadable();
    assert_eq!(unreadable.keys().collect::<Vec<_>>(), [&rig.path("b.log")]);
    let status = rig.follower.status(&unreadable);
    assert_eq!((status.followed, status.unreadable_count, status.behind), (1, 1, 0));
}
