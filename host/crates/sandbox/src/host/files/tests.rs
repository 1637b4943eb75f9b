use super::*;

fn dir() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).expect("opens");
    (temp, dir)
}

#[track_caller]
fn denied(path: &str, want: &str) {
    match checked(path) {
        Err(wit::Error::Denied(text)) => assert!(text.contains(want), "{path}: {text}"),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn paths_are_plain_names() {
    assert_eq!(checked("a/b.ndjson").expect("plain"), PathBuf::from("a/b.ndjson"));
    assert_eq!(checked("..a/.b").expect("plain"), PathBuf::from("..a/.b"));
    denied("", "1 to 1024");
    denied("/etc/passwd", "absolute");
    denied("../x", "`..` segment");
    denied("a/../../x", "`..` segment");
    denied("a/./x", "`..` segment");
    denied("a//x", "empty segment");
    denied("a/", "empty segment");
    denied("a\\b", "backslash");
    denied("a\0b", "control character");
    denied("a\nb", "control character");
    denied(&"a".repeat(256), "255 bytes");
    denied(&"a/".repeat(600), "1 to 1024");
    denied(&format!("{}x", "a/".repeat(16)), "deeper");
}

#[test]
fn appends_make_files_and_answer_sizes() {
    let (temp, dir) = dir();
    let path = Path::new("sub/deep/out.ndjson");
    assert_eq!(append(&dir, path, b"one\n", true).expect("appends"), 4);
    assert_eq!(append(&dir, path, b"two\n", false).expect("appends"), 8);
    assert_eq!(std::fs::read(temp.path().join(path)).expect("reads"), b"one\ntwo\n");
    let listed = entries(&dir, "sub/deep").expect("lists");
    assert_eq!(listed.iter().map(|entry| (entry.name.as_str(), entry.size)).collect::<Vec<_>>(), [("out.ndjson", 8)]);
    assert!(entries(&dir, "").expect("lists").is_empty(), "directories are no files");
    assert!(matches!(entries(&dir, "nowhere"), Err(wit::Error::NotFound)));
    assert!(matches!(regular(&dir, Path::new("sub")), Err(wit::Error::Denied(_))));
}

#[test]
#[cfg(unix)]
fn no_link_leads_outside_and_no_pipe_blocks() {
    let (temp, dir) = dir();
    let outside = tempfile::tempdir().expect("a directory");
    std::fs::write(outside.path().join("secret"), b"secret").expect("writes");
    std::os::unix::fs::symlink(outside.path(), temp.path().join("out")).expect("links");
    std::os::unix::fs::symlink(outside.path().join("secret"), temp.path().join("file")).expect("links");
    std::os::unix::fs::symlink("inside", temp.path().join("link")).expect("links");
    std::fs::write(temp.path().join("inside"), b"x").expect("writes");
    for path in ["out/secret", "file"] {
        assert!(matches!(append(&dir, Path::new(path), b"x", false), Err(wit::Error::Denied(_))), "{path}");
        assert!(matches!(regular(&dir, Path::new(path)), Err(wit::Error::Denied(_))), "{path}");
    }
    assert!(matches!(append(&dir, Path::new("out/new"), b"x", false), Err(wit::Error::Denied(_))));
    assert_eq!(append(&dir, Path::new("link"), b"y", false).expect("stays inside"), 2);
    assert_eq!(std::fs::read(outside.path().join("secret")).expect("reads"), b"secret");
    let pipe = std::process::Command::new("mkfifo").arg(temp.path().join("pipe")).status().expect("mkfifo runs");
    assert!(pipe.success());
    assert!(matches!(append(&dir, Path::new("pipe"), b"x", false), Err(wit::Error::Denied(_))));
}

#[test]
fn a_full_disk_is_no_space() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        assert!(matches!(failed(&io::Error::from(kind)), wit::Error::NoSpace));
    }
    // Writing to /dev/full through `append` is refused before: it is no regular file.
    assert!(matches!(failed(&io::Error::from_raw_os_error(28)), wit::Error::NoSpace));
    assert!(matches!(failed(&io::Error::from_raw_os_error(122)), wit::Error::NoSpace));
}

#[test]
fn grants_are_by_name_and_access() {
    let temp = tempfile::tempdir().expect("a directory");
    let grant = |name: &str, access| FilesGrant { name: name.into(), dir: temp.path().join(name), access };
    let files = Files::open(&[grant("primary", FileAccess::Write)]).expect("made");
    assert!(files.find("primary", true).is_ok());
    assert!(matches!(files.find("other", false), Err(wit::Error::Denied(text)) if text == "no directory `other`; granted: primary"));
    let files = Files::open(&[FilesGrant { access: FileAccess::Read, ..grant("primary", FileAccess::Write) }]).expect("opens");
    assert!(files.find("primary", false).is_ok());
    assert!(matches!(files.find("primary", true), Err(wit::Error::Denied(_))));
    let error = Files::open(&[grant("missing", FileAccess::Read)]).expect_err("not made for reading");
    assert_eq!(error.name, "missing");
}
