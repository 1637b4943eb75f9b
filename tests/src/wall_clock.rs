//! The wall clock of one process, set by a test while it runs: a few lines of C, compiled once and loaded
//! before the C library, add an offset from a file to every reading of the time of day. The monotonic
//! clock stays as it is, as when an administrator or a bad time server sets the time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile int64_t *offset; /* seconds */
__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("BULKHEAD_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) offset = page;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    if (!done && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return done;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec read;
    (void)zone;
    int done = clock_gettime(CLOCK_REALTIME, &read);
    now->tv_sec = read.tv_sec;
    now->tv_usec = read.tv_nsec / 1000;
    return done;
}
time_t time(time_t *out) {
    struct timespec read;
    clock_gettime(CLOCK_REALTIME, &read);
    if (out) *out = read.tv_sec;
    return read.tv_sec;
}
"#;

#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    offset: PathBuf,
    file: File,
}

impl WallClock {
    /// Made in `dir`; shows the true time until told otherwise. Needs a C compiler.
    pub fn new(dir: &Path) -> Result<Self> {
        let (source, library, offset) = (dir.join("clock.c"), dir.join("clock.so"), dir.join("clock.offset"));
        std::fs::write(&source, SHIM)?;
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl").output().context("cannot run `cc`")?;
        anyhow::ensure!(built.status.success(), "cc: {}", String::from_utf8_lossy(&built.stderr));
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&offset)?;
        let clock = Self { library, offset, file };
        clock.set(0)?;
        Ok(clock)
    }

    /// The environment of a process that lives by this clock.
    pub fn env(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![("LD_PRELOAD".to_owned(), text(&self.library)), ("BULKHEAD_TEST_CLOCK".to_owned(), text(&self.offset))]
    }

    /// Sets the clock so many seconds off the true time, at once.
    pub fn set(&self, seconds: i64) -> Result<()> {
        Ok(self.file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }
}
