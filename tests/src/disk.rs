//! A small disk of its own for a host: a tmpfs, or an ext4 that can be made to fail, mounted in a mount
//! namespace that nobody else sees and that lives as long as this value, so that a host may die on it and
//! start again.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// What [`fill`](Disk::fill) writes.
const BALLAST: &str = "ballast";

#[derive(Debug)]
pub struct Disk {
    /// A shell that keeps the namespace.
    holder: Child,
    point: PathBuf,
}

impl Disk {
    /// A tmpfs of so many bytes at `point`, a folder. `Err` says why this machine does not allow it.
    pub fn tmpfs(point: &Path, bytes: u64) -> Result<Self, String> {
        Self::mount(point, bytes, "true")
    }

    /// An ext4 of so many bytes at `fs` below `point`, on a loop device over a file that has no room of its
    /// own, so that [`fill`](Self::fill) makes the device fail.
    pub fn ext4(point: &Path, bytes: u64) -> Result<Self, String> {
        Self::mount(point, bytes, r#"truncate -s "$1" "$0/img" && mkfs.ext4 -q "$0/img" && mkdir "$0/fs" && mount -o loop,errors=remount-ro "$0/img" "$0/fs""#)
    }

    fn mount(point: &Path, bytes: u64, then: &str) -> Result<Self, String> {
        let script = format!(r#"mount -t tmpfs -o size="$1" bulkhead-test "$0" && {then} && echo ready && exec cat"#);
        let child = Command::new("unshare")
            .args(["--mount", "--", "sh", "-c", &script])
            .arg(point)
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut holder = child.map_err(|error| format!("cannot run `unshare`: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        if line.trim() == "ready" {
            return Ok(Self { holder, point: point.to_owned() });
        }
        let _ = holder.kill();
        let said = holder.wait_with_output().map(|output| String::from_utf8_lossy(&output.stderr).trim().to_owned());
        Err(format!("no disk in a mount namespace of its own: {}", said.unwrap_or_default()))
    }

    /// What the kernel does with an ext4 in which it finds an error.
    pub fn turn_read_only(&self) -> Result<()> {
        self.run(r#"echo 1 > "/sys/fs/ext4/$(basename "$(findmnt -no SOURCE "$0/fs")")/trigger_fs_error""#)
    }

    /// What an administrator does then: room for the device, a check, and a mount anew. Nothing may run on it.
    pub fn repair(&self) -> Result<()> {
        // e2fsck ends with 1 where it corrected something.
        self.run(r#"umount "$0/fs" && rm -f "$0/ballast" && { e2fsck -fy "$0/img" >/dev/null || [ $? -eq 1 ]; } && mount -o loop,errors=remount-ro "$0/img" "$0/fs""#)
    }

    fn run(&self, script: &str) -> Result<()> {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        let output = Command::new("nsenter").args([&namespace, "--", "sh", "-c", script]).arg(&self.point).output().context("nsenter")?;
        anyhow::ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// What makes a process see the disk: for [`Spec::through`](crate::host::Spec::through).
    pub fn enter(&self) -> Vec<String> {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        // The folder anew: the one that was open before is of the namespace outside.
        ["nsenter", &namespace, "--", "sh", "-c", r#"cd "$0" && exec "$@""#, &self.point.display().to_string()].map(str::to_owned).into()
    }

    /// A path on the disk as this process reaches it.
    pub fn path(&self, below: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.point.strip_prefix("/").unwrap_or(&self.point)).join(below)
    }

    /// Bytes that are free.
    pub fn free(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(self.path(""))?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    /// Takes what is free, all but `but`.
    pub fn fill(&self, but: u64) -> Result<()> {
        let mut left = self.free()?.saturating_sub(but);
        let mut file = File::options().create(true).append(true).open(self.path(BALLAST)).context("the ballast")?;
        let chunk = vec![0xB5; 64 << 10];
        while left > 0 {
            let length = left.min(chunk.len() as u64);
            match file.write(&chunk[..length as usize]) {
                Ok(written) => left -= (written as u64).min(left),
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => bail!("cannot fill the disk: {error}"),
            }
        }
        Ok(())
    }

    /// Gives back what was taken.
    pub fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.path(BALLAST))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
