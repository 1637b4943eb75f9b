//! The disk's own speed: a bare loop of write and fdatasync, beside every run.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Writes of 64 KiB (about 100 events), each synced.
    pub syncs_per_second: f64,
    /// Writes of 1 MiB, each synced.
    pub mb_per_second: f64,
}

impl Disk {
    /// Disk-bound aims hold in full from here on, else 70 % of them.
    pub fn is_fast(self) -> bool {
        self.syncs_per_second >= 5_000.0 && self.mb_per_second >= 400.0
    }
}

pub fn measure(dir: &Path, time: Duration) -> Result<Disk> {
    let small = 64 << 10;
    Ok(Disk { syncs_per_second: writes(dir, small, time)?, mb_per_second: writes(dir, 1 << 20, time)? * f64::from(1 << 20) / 1e6 })
}

/// Synced writes a second, into space that is laid out ahead as the journal does it.
fn writes(dir: &Path, size: usize, time: Duration) -> Result<f64> {
    const ROOM: u64 = 64 << 20;
    let path = dir.join("yardstick");
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    let block = vec![0x5a; size];
    for _ in 0..ROOM / size as u64 {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let (start, mut count, mut at) = (Instant::now(), 0_u32, 0);
    while start.elapsed() < time {
        std::os::unix::fs::FileExt::write_all_at(&file, &block, at)?;
        file.sync_data()?;
        at = (at + size as u64) % ROOM;
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}
