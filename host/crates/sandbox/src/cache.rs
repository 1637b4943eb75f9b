//! Compiled components on disk, so that a start takes a fraction of a millisecond instead of a second.
//!
//! A file is `<key>.cwasm` below `<data_dir>/cache`, the key being SHA-256 over the component's digest,
//! the engine's version, our settings and the processor's features. Its bytes: `BHCW3\n`, 32 bytes of
//! keyed BLAKE3 over key, a zero byte and artefact, the artefact. The MAC's key lies in `<data_dir>/cache.key`,
//! readable by the owner only. What does not verify is never handed to the engine: it is logged,
//! removed and made anew.
//!
//! What is checked is what runs: the artefact is read once, hashed on its way into memory that nobody else
//! can write, and mapped from there. BLAKE3, because SHA-256 of 40 MB of a Python component took longer than
//! all the rest.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::SETTINGS_ID;

const MAGIC: &[u8; 6] = b"BHCW3\n";
const MAC: usize = 32;
/// Bytes ahead of the artefact.
const HEAD: usize = MAGIC.len() + MAC;
/// Artefacts kept; the oldest go.
const MAX_FILES: usize = 256;
/// Largest artefact that is read: a component of 64 MiB makes about four times that.
const MAX_FILE: u64 = 512 << 20;

/// The cache of one data directory.
pub struct Cache {
    dir: PathBuf,
    key: [u8; 32],
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens or makes the cache.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("cache");
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, key: key(&data_dir.join("cache.key"))? })
    }

    /// The compiled form of a component, if it is there and ours.
    pub fn load(&self, engine: &Engine, digest: &[u8; 32]) -> Option<Component> {
        let name = name(digest);
        let path = self.path(&name);
        let checked = match self.read(&path, &name) {
            Ok(Some(checked)) => checked,
            Ok(None) => return None,
            Err(problem) => {
                tracing::warn!(file = %path.display(), problem, "a compiled component was not used; it is compiled again");
                let _ = fs::remove_file(&path);
                return None;
            }
        };
        match checked.component(engine) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %path.display(), error = format!("{error:#}"), "a compiled component does not fit this engine; it is compiled again");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a compiled component. Failures cost time at the next start, nothing else.
    pub fn store(&self, digest: &[u8; 32], artefact: &[u8]) {
        let name = name(digest);
        if let Err(error) = self.write(&name, artefact) {
            tracing::warn!(%error, dir = %self.dir.display(), "a compiled component could not be kept");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.cwasm"))
    }

    /// The artefact of a file, checked.
    fn read(&self, path: &Path, name: &str) -> Result<Option<Checked>, &'static str> {
        const UNREADABLE: &str = "it cannot be read";
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err(UNREADABLE),
        };
        let length = file.metadata().map_err(|_| UNREADABLE)?.len();
        if length > MAX_FILE {
            return Err("it is too large");
        }
        let mut head = Vec::with_capacity(HEAD);
        (&mut file).take(HEAD as u64).read_to_end(&mut head).map_err(|_| UNREADABLE)?;
        let mac = head.strip_prefix(MAGIC).ok_or("it does not begin as our files do")?;
        let mac = <[u8; MAC]>::try_from(mac).map_err(|_| "it is cut off")?;
        let mut hash = self.hash(name);
        let mut memory = Memory::new();
        let mut rest = file.take(MAX_FILE);
        let mut step = vec![0; READ];
        loop {
            let read = match rest.read(&mut step) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(UNREADABLE),
            };
            hash.update(&step[..read]);
            memory.write_all(&step[..read]).map_err(|_| "there is no memory for it")?;
        }
        // Compared in constant time, over the name too: one artefact cannot stand in for another.
        if hash.finalize() != blake3::Hash::from_bytes(mac) {
            return Err("its checksum is not ours");
        }
        Ok(Some(Checked(memory)))
    }

    /// What the MAC is made over begins with the name.
    fn hash(&self, name: &str) -> blake3::Hasher {
        let mut hash = blake3::Hasher::new_keyed(&self.key);
        hash.update(name.as_bytes()).update(&[0]);
        hash
    }

    fn write(&self, name: &str, artefact: &[u8]) -> io::Result<()> {
        let mac = self.hash(name).update(artefact).finalize();
        let temporary = self.dir.join(format!("{name}.{}.tmp", std::process::id()));
        let mut file = private(&temporary)?;
        let written = file.write_all(MAGIC).and_then(|()| file.write_all(mac.as_bytes())).and_then(|()| write_in_steps(&mut file, artefact));
        if let Err(error) = written.and_then(|()| fs::rename(&temporary, self.path(name))) {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.prune();
        Ok(())
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut files: Vec<(SystemTime, PathBuf)> =
            entries.filter_map(Result::ok).filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
        files.sort();
        let surplus = files.len().saturating_sub(MAX_FILES);
        for (_, path) in files.into_iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Bytes that are written before they are synced.
const STEP: usize = 1 << 20;

/// Many megabytes that wait for the disk at once would make the next sync of the journal wait for all
/// of them: file systems order them together.
fn write_in_steps(file: &mut fs::File, bytes: &[u8]) -> io::Result<()> {
    for step in bytes.chunks(STEP) {
        file.write_all(step)?;
        file.sync_data()?;
    }
    Ok(())
}

/// Bytes that are read at once: they stay in the processor's cache from the hash to the copy.
const READ: usize = 256 << 10;

/// Memory of this process alone. A file without a name where the system has them: it is mapped as it lies,
/// where bytes in a vector would be copied once more.
enum Memory {
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Plain(Vec<u8>),
}

impl Memory {
    fn new() -> Self {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{MemfdFlags, memfd_create};
            if let Ok(file) = memfd_create("component", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING) {
                return Self::Unnamed(file.into());
            }
        }
        Self::Plain(Vec::new())
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => file.write(bytes),
            Self::Plain(kept) => kept.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An artefact of ours in memory of this process.
struct Checked(Memory);

impl Checked {
    fn component(self, engine: &Engine) -> wasmtime::Result<Component> {
        match self.0 {
            #[cfg(target_os = "linux")]
            Memory::Unnamed(mut file) => {
                use rustix::fs::{SealFlags, fcntl_add_seals};
                fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
                match map(engine, &file) {
                    Ok(component) => Ok(component),
                    // A system may forbid to run what is mapped from such a file.
                    Err(_) => {
                        let mut bytes = Vec::new();
                        io::Seek::rewind(&mut file)?;
                        file.read_to_end(&mut bytes)?;
                        deserialize(engine, &bytes)
                    }
                }
            }
            Memory::Plain(bytes) => deserialize(engine, &bytes),
        }
    }
}

/// The same as [`deserialize`] for an artefact in a sealed file without a name: nobody can change what is mapped.
#[cfg(target_os = "linux")]
fn map(engine: &Engine, file: &File) -> wasmtime::Result<Component> {
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    #[expect(unsafe_code, reason = "the bytes were verified by MAC on their way into the file, which is sealed since")]
    unsafe {
        Component::deserialize_file(engine, path)
    }
}

/// The one place where compiled code enters the process.
///
/// The engine trusts these bytes as it trusts its own compiler. They come from [`Cache::read`], which
/// has verified that this host wrote them: with its own key, for this very name. [`map`] is the same.
///
/// The other source is the compile worker: this very binary, started by this process, which reads its
/// artefact from the worker's pipe and from nowhere else.
pub(crate) fn deserialize(engine: &Engine, artefact: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "the bytes come from this host's own compile worker or cache; the cache's were verified by MAC")]
    unsafe {
        Component::deserialize(engine, artefact)
    }
}

/// Everything that must be equal for an artefact to fit. The engine itself compares major versions
/// only, but a patch release may mend what the compiler made: its crates share one exact version.
fn name(digest: &[u8; 32]) -> String {
    let mut hash = Sha256::new();
    hash.update(digest);
    for part in [wasmtime_environ::VERSION, SETTINGS_ID, std::env::consts::ARCH, std::env::consts::OS, &features()] {
        hash.update([0]);
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn features() -> String {
    #[cfg(target_arch = "x86_64")]
    let found = {
        macro_rules! probe {
            ($($name:tt)*) => { [$(($name, std::arch::is_x86_feature_detected!($name)),)*] };
        }
        probe!("sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt" "avx512bitalg" "avx512dq" "avx512f" "avx512vl" "avx512vbmi")
    };
    #[cfg(not(target_arch = "x86_64"))]
    let found: [(&str, bool); 0] = [];
    found.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}

fn key(path: &Path) -> io::Result<[u8; 32]> {
    match fs::read(path) {
        Ok(bytes) => match (<[u8; 32]>::try_from(bytes.as_slice()), is_private(path)) {
            (Ok(key), true) => return Ok(key),
            (_, false) => tracing::warn!(file = %path.display(), "the cache key can be read by others; a new one is made and components are compiled again"),
            (Err(_), _) => tracing::warn!(file = %path.display(), "the cache key is damaged; a new one is made and components are compiled again"),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = private(&temporary).and_then(|mut file| file.write_all(&key).and_then(|()| file.sync_all()));
    written.and_then(|()| fs::rename(&temporary, path))?;
    Ok(key)
}

/// A new file that only the owner can read.
fn private(path: &Path) -> io::Result<fs::File> {
    let _ = fs::remove_file(path);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn is_private(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
    }
    #[cfg(not(unix))]
    {
        path.exists()
    }
}

#[cfg(test)]
mod tests;
