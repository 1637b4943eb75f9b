//! A disk in memory for tests: it tears, loses and reorders what was not synced, runs full, fails
//! syncs, and stops at any step, all by a seed.
//!
//! What it models, after how disks and Linux file systems behave:
//! * a write reaches the cache of the running system at once and the disk at the next sync of that
//!   file; before that, at a power cut, each sector of it survives or not, in any order;
//! * a length survives like a write;
//! * names reach the disk with the sync of their folder; at a power cut those before it survive in
//!   the order in which they were made, up to some point;
//! * a failed sync leaves some sectors on disk and forgets the others: the cache still shows them,
//!   later syncs do not write them;
//! * when a process is killed, the cache stays.
//!
//! Not modelled: folders (they are durable at once), permissions, damage to what was synced (see
//! [`SimFs::flip`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs::{DirEntry, File, Fs, LockGuard};

mod stepped;

pub use stepped::Stepped;

const SECTOR: usize = 512;

/// How the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process dies, the system goes on.
    Kill,
    /// The power goes.
    Power,
}

/// The disk. Clones share it.
#[derive(Clone)]
pub struct SimFs {
    disk: Arc<Mutex<Disk>>,
    /// For which process this is: once the machine starts again, its calls fail.
    life: Option<u64>,
}

struct Disk {
    random: Random,
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// What happened to names since their folder was synced.
    name_changes: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    next_inode: u64,
    /// Counts the starts of the machine: files opened before are dead.
    life: u64,
    down: bool,
    steps: u64,
    crash_at: Option<u64>,
    capacity: Option<u64>,
    failing_syncs: Option<u64>,
    failing_writes: u64,
    failing_reads: u64,
    read_only: bool,
    short_writes: bool,
}

#[derive(Default)]
struct Inode {
    cache: Vec<u8>,
    disk: Vec<u8>,
    pending: Vec<Change>,
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

enum NameChange {
    Set { path: PathBuf, inode: u64 },
    Remove { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
}

/// What survives of changes that were not synced.
#[derive(Clone, Copy)]
enum Survival {
    All,
    Nothing,
    /// The first so many changes, then nothing.
    Prefix(usize),
    /// Each sector by itself, so many times in 8.
    Sectors(u64),
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

impl SimFs {
    pub fn new(seed: u64) -> Self {
        let disk = Disk {
            random: Random(seed),
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            dirs: BTreeSet::from([PathBuf::from("/"), PathBuf::from(".")]),
            locked: BTreeSet::new(),
            next_inode: 0,
            life: 0,
            down: false,
            steps: 0,
            crash_at: None,
            capacity: None,
            failing_syncs: None,
            failing_writes: 0,
            failing_reads: 0,
            read_only: false,
            short_writes: false,
        };
        Self { disk: Arc::new(Mutex::new(disk)), life: None }
    }

    /// The disk for one process: what that does after the next restart fails, so that its threads and
    /// destructors cannot reach into the life after.
    pub fn mount(&self) -> Arc<dyn Fs> {
        let life = self.lock().life;
        Arc::new(Self { disk: self.disk.clone(), life: Some(life) })
    }

    /// Steps (writes, syncs, changes of names and lengths) so far.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// The machine stops in the middle of the step that comes after `steps` more: from then on every
    /// call fails until [`restart`](Self::restart).
    pub fn crash_after(&self, steps: u64) {
        let mut disk = self.lock();
        disk.crash_at = Some(disk.steps + steps);
    }

    /// Whether the crash has come.
    pub fn is_down(&self) -> bool {
        self.lock().down
    }

    /// Starts again after a crash, wherever it came; faults that were set are gone, the bound of the
    /// disk stays.
    pub fn restart(&self, crash: Crash) {
        let mut disk = self.lock();
        disk.life += 1;
        disk.down = false;
        disk.crash_at = None;
        disk.failing_syncs = None;
        disk.failing_writes = 0;
        disk.failing_reads = 0;
        disk.read_only = false;
        disk.locked.clear();
        if crash == Crash::Power {
            disk.lose_power();
        }
    }

    /// Bytes that all files together may have.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Bytes that all files together have.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// The sync after `syncs` more fails, once.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.lock().failing_syncs = Some(syncs);
    }

    /// The next so many writes fail with an input/output error.
    pub fn fail_writes(&self, writes: u64) {
        self.lock().failing_writes = writes;
    }

    /// The next so many reads fail with an input/output error.
    pub fn fail_reads(&self, reads: u64) {
        self.lock().failing_reads = reads;
    }

    /// Whether every change is refused, as after an error that made the system remount the disk.
    pub fn set_read_only(&self, read_only: bool) {
        self.lock().read_only = read_only;
    }

    /// Whether writes may take less than they are given, as the system call may.
    pub fn set_short_writes(&self, short_writes: bool) {
        self.lock().short_writes = short_writes;
    }

    /// The bytes of a file as the running system shows them.
    pub fn contents(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let disk = self.lock();
        let inode = disk.names.get(path.as_ref())?;
        Some(disk.inodes[inode].cache.clone())
    }

    /// Damages one byte of a file, on disk and in the cache.
    pub fn flip(&self, path: impl AsRef<Path>, offset: usize) {
        let mut disk = self.lock();
        let Some(inode) = disk.names.get(path.as_ref()).copied() else { return };
        if let Some(inode) = disk.inodes.get_mut(&inode) {
            for bytes in [&mut inode.cache, &mut inode.disk] {
                if let Some(byte) = bytes.get_mut(offset) {
                    *byte ^= 0x55;
                }
            }
        }
    }

    /// Puts these bytes in the place of a file, durable at once.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let mut disk = self.lock();
        let id = disk.next_inode;
        disk.next_inode += 1;
        disk.inodes.insert(id, Inode { cache: bytes.to_vec(), disk: bytes.to_vec(), pending: Vec::new() });
        disk.names.insert(path.as_ref().into(), id);
        disk.durable_names.insert(path.as_ref().into(), id);
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.lock();
        if self.life.is_some_and(|life| life != disk.life) {
            return Err(io::Error::other("a process of an earlier life"));
        }
        disk.up()?;
        Ok(disk)
    }
}

fn off() -> io::Error {
    io::Error::other("the simulated machine is down")
}

fn broken() -> io::Error {
    io::Error::other("simulated input/output error")
}

impl Disk {
    fn up(&self) -> io::Result<()> {
        if self.down { Err(off()) } else { Ok(()) }
    }

    /// Counts a change; true: the machine stops in the middle of it.
    fn step(&mut self) -> io::Result<bool> {
        self.up()?;
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let last = self.crash_at == Some(self.steps);
        self.steps += 1;
        self.down |= last;
        Ok(last)
    }

    fn used(&self) -> u64 {
        let linked: BTreeSet<u64> = self.names.values().copied().collect();
        linked.iter().filter_map(|id| self.inodes.get(id)).map(|inode| inode.cache.len() as u64).sum()
    }

    fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX >> 1, |capacity| capacity.saturating_sub(self.used()))
    }

    fn inode_of(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn lose_power(&mut self) {
        let keep = match self.random.below(3) {
            0 => 0,
            1 => self.name_changes.len(),
            _ => self.random.below(self.name_changes.len() as u64 + 1) as usize,
        };
        let changes = std::mem::take(&mut self.name_changes);
        for change in changes.into_iter().take(keep) {
            change.apply(&mut self.durable_names);
        }
        self.names = self.durable_names.clone();
        let linked: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|id, _| linked.contains(id));
        for inode in self.inodes.values_mut() {
            let survival = match self.random.below(4) {
                0 => Survival::All,
                1 => Survival::Nothing,
                2 => Survival::Prefix(self.random.below(inode.pending.len() as u64 + 1) as usize),
                _ => Survival::Sectors(1 + self.random.below(7)),
            };
            inode.settle(survival, &mut self.random);
            inode.cache = inode.disk.clone();
        }
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Set { path, inode } => {
                names.insert(path, inode);
            }
            Self::Remove { path } => {
                names.remove(&path);
            }
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
        }
    }

    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Set { path, .. } | Self::Remove { path } => path.parent(),
            Self::Rename { to, .. } => to.parent(),
        }
    }
}

impl Inode {
    /// Brings what survives of the pending changes to the disk and forgets the others.
    fn settle(&mut self, survival: Survival, random: &mut Random) {
        for (index, change) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let whole = match survival {
                Survival::All => Some(true),
                Survival::Nothing => Some(false),
                Survival::Prefix(keep) => Some(index < keep),
                Survival::Sectors(_) => None,
            };
            let mut survives = |odds: u64| whole.unwrap_or_else(|| random.below(8) < odds);
            let odds = if let Survival::Sectors(odds) = survival { odds } else { 0 };
            match change {
                Change::Length(length) => {
                    if survives(odds) {
                        self.disk.resize(length, 0);
                    }
                }
                Change::Write { at, bytes } => {
                    let (mut start, end) = (at, at + bytes.len());
                    while start < end {
                        let stop = (start / SECTOR * SECTOR + SECTOR).min(end);
                        if survives(odds) {
                            if self.disk.len() < stop {
                                self.disk.resize(stop, 0);
                            }
                            self.disk[start..stop].copy_from_slice(&bytes[start - at..stop - at]);
                        }
                        start = stop;
                    }
                }
            }
        }
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let disk = self.enter()?;
        let inode = disk.inode_of(path)?;
        Ok(Arc::new(SimFile { fs: self.clone(), inode, life: disk.life }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.enter()?;
        if disk.step()? {
            return Err(off());
        }
        if !path.parent().is_none_or(|dir| disk.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = disk.next_inode;
        disk.next_inode += 1;
        disk.inodes.insert(inode, Inode::default());
        disk.names.insert(path.into(), inode);
        disk.name_changes.push(NameChange::Set { path: path.into(), inode });
        Ok(Arc::new(SimFile { fs: self.clone(), inode, life: disk.life }))
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.enter()?;
        disk.dirs.extend(path.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.enter()?;
        if disk.step()? {
            return Err(off());
        }
        let inode = disk.inode_of(from)?;
        disk.names.remove(from);
        disk.names.insert(to.into(), inode);
        disk.name_changes.push(NameChange::Rename { from: from.into(), to: to.into() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.enter()?;
        if disk.step()? {
            return Err(off());
        }
        disk.inode_of(path)?;
        disk.names.remove(path);
        disk.name_changes.push(NameChange::Remove { path: path.into() });
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let disk = self.enter()?;
        if !disk.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = disk.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(inside
            .filter_map(|(path, inode)| Some(DirEntry { name: path.file_name()?.to_str()?.into(), bytes: disk.inodes.get(inode)?.cache.len() as u64 }))
            .collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.enter()?;
        let stops = disk.step()?;
        if disk.sync_fails() {
            return Err(broken());
        }
        if stops {
            return Err(off());
        }
        let (synced, kept) = std::mem::take(&mut disk.name_changes).into_iter().partition(|change: &NameChange| change.dir() == Some(dir));
        disk.name_changes = kept;
        for change in Vec::from_iter::<Vec<NameChange>>(synced) {
            change.apply(&mut disk.durable_names);
        }
        Ok(())
    }

    fn available(&self, _dir: &Path) -> io::Result<u64> {
        let disk = self.enter()?;
        Ok(disk.free())
    }

    fn lock(&self, path: &Path) -> io::Result<LockGuard> {
        let mut disk = self.enter()?;
        if !disk.locked.insert(path.into()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { fs: self.clone(), path: path.into(), life: disk.life }))
    }
}

impl Disk {
    fn sync_fails(&mut self) -> bool {
        match &mut self.failing_syncs {
            Some(0) => {
                self.failing_syncs = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

struct SimLock {
    fs: SimFs,
    path: PathBuf,
    life: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.fs.lock();
        // The lock of an earlier life went with it.
        if disk.life == self.life {
            disk.locked.remove(&self.path);
        }
    }
}

struct SimFile {
    fs: SimFs,
    inode: u64,
    life: u64,
}

impl SimFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.fs.lock();
        if disk.life != self.life {
            return Err(io::Error::other("a file of an earlier process"));
        }
        disk.up()?;
        Ok(disk)
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk()?;
        let stops = disk.step()?;
        let fails = disk.sync_fails();
        let Disk { random, inodes, .. } = &mut *disk;
        let Some(inode) = inodes.get_mut(&self.inode) else { return Ok(()) };
        if fails {
            let odds = random.below(8);
            inode.settle(Survival::Sectors(odds), random);
            return Err(broken());
        }
        if stops {
            // What had not reached the disk is still pending, for the power cut to decide.
            return Err(off());
        }
        inode.settle(Survival::All, random);
        Ok(())
    }
}

impl File for SimFile {
    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk()?;
        let stops = disk.step()?;
        if disk.failing_writes > 0 {
            disk.failing_writes -= 1;
            return Err(broken());
        }
        let mut bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        if (stops || disk.short_writes) && !bytes.is_empty() {
            let keep = 1 + disk.random.below(bytes.len() as u64);
            bytes.truncate(keep as usize);
        }
        let free = disk.free();
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let Some(inode) = disk.inodes.get_mut(&self.inode) else { return Ok(bytes.len()) };
        let room = (inode.cache.len() as u64 + free).saturating_sub(offset);
        if !bytes.is_empty() && room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len()));
        let end = at + bytes.len();
        if inode.cache.len() < end {
            inode.cache.resize(end, 0);
        }
        inode.cache[at..end].copy_from_slice(&bytes);
        let written = bytes.len();
        inode.pending.push(Change::Write { at, bytes });
        if stops { Err(off()) } else { Ok(written) }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk()?;
        if disk.failing_reads > 0 {
            disk.failing_reads -= 1;
            return Err(broken());
        }
        let Some(inode) = disk.inodes.get(&self.inode) else { return Ok(0) };
        let rest = usize::try_from(offset).ok().and_then(|at| inode.cache.get(at..)).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        if disk.step()? {
            return Err(off());
        }
        let free = disk.free();
        let length = usize::try_from(len).map_err(io::Error::other)?;
        let Some(inode) = disk.inodes.get_mut(&self.inode) else { return Ok(()) };
        let more = len.saturating_sub(inode.cache.len() as u64);
        if more == 0 {
            return Ok(());
        }
        // Like the system call: what there is, is taken, and then it fails.
        let length = if more > free { inode.cache.len() + free as usize } else { length };
        inode.cache.resize(length, 0);
        inode.pending.push(Change::Length(length));
        if more > free { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        if disk.step()? {
            return Err(off());
        }
        let length = usize::try_from(len).map_err(io::Error::other)?;
        let Some(inode) = disk.inodes.get_mut(&self.inode) else { return Ok(()) };
        inode.cache.resize(length, 0);
        inode.pending.push(Change::Length(length));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk()?.inodes.get(&self.inode).map_or(0, |inode| inode.cache.len() as u64))
    }
}

#[cfg(test)]
mod tests;
