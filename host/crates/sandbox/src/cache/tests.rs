use super::*;
use crate::engine::Ticking;

const DIGEST: [u8; 32] = [7; 32];

fn engine() -> Engine {
    Ticking::start(true).expect("starts").engine
}

fn artefact(engine: &Engine) -> Vec<u8> {
    Component::new(engine, wat::parse_str("(component)").expect("text")).expect("compiles").serialize().expect("serialises")
}

#[test]
fn what_was_kept_comes_back_after_a_restart() {
    let (dir, engine) = (tempfile::tempdir().expect("a directory"), engine());
    let cache = Cache::open(dir.path()).expect("opens");
    assert!(cache.load(&engine, &DIGEST).is_none());
    cache.store(&DIGEST, &artefact(&engine));
    assert!(cache.load(&engine, &DIGEST).is_some());
    assert!(Cache::open(dir.path()).expect("opens").load(&engine, &DIGEST).is_some());
    assert!(cache.load(&engine, &[8; 32]).is_none());
}

#[test]
fn tampered_and_foreign_files_never_reach_the_engine() {
    let (dir, engine) = (tempfile::tempdir().expect("a directory"), engine());
    let cache = Cache::open(dir.path()).expect("opens");
    let artefact = artefact(&engine);
    let path = cache.path(&name(&DIGEST));
    let good = {
        cache.store(&DIGEST, &artefact);
        fs::read(&path).expect("reads")
    };
    let places = [0, 5, 6, 20, 37, 38, good.len() / 2, good.len() - 1];
    let mut bad: Vec<Vec<u8>> = places
        .iter()
        .map(|at| {
            let mut bytes = good.clone();
            bytes[*at] ^= 1;
            bytes
        })
        .collect();
    bad.extend([Vec::new(), good[..20].to_vec(), good[..good.len() - 1].to_vec(), artefact.clone(), [&good[..], b"more"].concat()]);
    for bytes in bad {
        fs::write(&path, &bytes).expect("writes");
        assert!(cache.load(&engine, &DIGEST).is_none(), "{} bytes", bytes.len());
        assert!(!path.exists(), "the file is gone, so that the next compilation replaces it");
    }
    // Another component's artefact under this name.
    cache.store(&[8; 32], &artefact);
    fs::rename(cache.path(&name(&[8; 32])), &path).expect("renames");
    assert!(cache.load(&engine, &DIGEST).is_none());
    // A file that another host made.
    let other = tempfile::tempdir().expect("a directory");
    let foreign = Cache::open(other.path()).expect("opens");
    foreign.store(&DIGEST, &artefact);
    fs::copy(foreign.path(&name(&DIGEST)), &path).expect("copies");
    assert!(cache.load(&engine, &DIGEST).is_none());
    // Ours, but of an engine that this one is not: the engine itself refuses.
    cache.store(&DIGEST, b"not an artefact at all");
    assert!(cache.load(&engine, &DIGEST).is_none());
    cache.store(&DIGEST, &artefact);
    assert!(cache.load(&engine, &DIGEST).is_some(), "replaced");
}

/// Signed by this host and under the right name, and of another engine: what the name should have kept apart
/// the engine does.
#[test]
fn an_artefact_of_another_engine_is_refused_although_it_is_ours() {
    let (dir, engine) = (tempfile::tempdir().expect("a directory"), engine());
    let cache = Cache::open(dir.path()).expect("opens");
    let good = artefact(&engine);
    // Another major version: it stands in the file with its length before it.
    let major = wasmtime_environ::VERSION.split('.').next().expect("a number");
    let mark = [&[0, u8::try_from(major.len()).expect("short")], major.as_bytes()].concat();
    let places: Vec<usize> = good.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark).map(|(at, _)| at).collect();
    let [at] = places[..] else { panic!("{} places with the version", places.len()) };
    let mut older = good.clone();
    older[at + mark.len() - 1] ^= 1;
    // Other settings of the same version: fuel is not counted.
    let mut config = wasmtime::Config::new();
    config.consume_fuel(false);
    let unmetered = artefact(&Engine::new(&config).expect("an engine"));
    for other in [older, unmetered] {
        cache.store(&DIGEST, &other);
        assert!(cache.read(&cache.path(&name(&DIGEST)), &name(&DIGEST)).is_ok_and(|file| file.is_some()), "its checksum is ours");
        assert!(cache.load(&engine, &DIGEST).is_none());
        assert!(!cache.path(&name(&DIGEST)).exists(), "it is compiled again");
    }
    cache.store(&DIGEST, &good);
    assert!(cache.load(&engine, &DIGEST).is_some());
}

#[test]
#[cfg(unix)]
fn a_key_that_others_can_read_is_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, engine) = (tempfile::tempdir().expect("a directory"), engine());
    Cache::open(dir.path()).expect("opens").store(&DIGEST, &artefact(&engine));
    let key = dir.path().join("cache.key");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&key), 0o600);
    let before = fs::read(&key).expect("reads");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
    let cache = Cache::open(dir.path()).expect("opens");
    assert_ne!(fs::read(&key).expect("reads"), before);
    assert_eq!(mode(&key), 0o600);
    assert!(cache.load(&engine, &DIGEST).is_none(), "what the old key signed does not count");
    fs::write(&key, b"short").expect("writes");
    Cache::open(dir.path()).expect("opens");
    assert_eq!(fs::read(&key).expect("reads").len(), 32);
}

#[test]
fn the_oldest_artefacts_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = Cache::open(dir.path()).expect("opens");
    for i in 0..MAX_FILES + 20 {
        let mut digest = DIGEST;
        digest[..8].copy_from_slice(&i.to_le_bytes());
        cache.store(&digest, b"x");
    }
    assert_eq!(fs::read_dir(dir.path().join("cache")).expect("lists").count(), MAX_FILES);
}
