//! The terminal of `top`: the other screen, no echo, no cursor, until this goes; then everything as it was. Keys are
//! read by a thread of their own, since a read of a terminal cannot be taken back.

use std::io::{Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::frame::{Line, Look, Size};
use crate::cli::{Exit, Failure};

/// Keys that nobody has looked at yet.
const WAITING: usize = 64;
/// xterm, "Control Sequences": the alternate screen, no cursor, lines that do not wrap; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Quit,
    Sort,
    Pause,
    Up,
    Down,
    First,
    Last,
    /// Nothing of it, or another size of the screen: it is drawn again.
    Other,
}

/// What comes from the keyboard and from signals.
pub struct Keys {
    bytes: mpsc::Receiver<u8>,
    rest: Vec<u8>,
    ends: [Signal; 3],
    resized: Signal,
}

impl Keys {
    /// The next key. Cancel safe: what was read of one is kept.
    pub async fn recv(&mut self) -> Key {
        let [terminated, hung_up, interrupted] = &mut self.ends;
        tokio::select! {
            byte = self.bytes.recv() => {
                let Some(byte) = byte else { return Key::Quit };
                self.rest.push(byte);
                let (key, done) = key(&self.rest);
                if done {
                    self.rest.clear();
                }
                key
            }
            _ = terminated.recv() => Key::Quit,
            _ = hung_up.recv() => Key::Quit,
            _ = interrupted.recv() => Key::Quit,
            _ = self.resized.recv() => Key::Other,
        }
    }
}

/// What the bytes so far mean, and whether that is all of it. Arrows are three bytes, `ESC [ A`.
fn key(bytes: &[u8]) -> (Key, bool) {
    match bytes {
        [0x1b] | [0x1b, b'[' | b'O'] => (Key::Other, false),
        [0x1b, _, b'A'] => (Key::Up, true),
        [0x1b, _, b'B'] => (Key::Down, true),
        [0x1b, _, b'H'] => (Key::First, true),
        [0x1b, _, b'F'] => (Key::Last, true),
        [b'q' | b'Q' | 3 | 4 | 0x1c] => (Key::Quit, true),
        [b's'] => (Key::Sort, true),
        [b'p' | b' '] => (Key::Pause, true),
        [b'k'] => (Key::Up, true),
        [b'j'] => (Key::Down, true),
        [b'g'] => (Key::First, true),
        [b'G'] => (Key::Last, true),
        // Escape, and then something of its own.
        [0x1b, one] => (key(&[*one]).0, true),
        _ => (Key::Other, true),
    }
}

pub struct Screen {
    before: Termios,
}

impl Screen {
    pub fn begin() -> Result<(Self, Keys), Failure> {
        let failed = |error: std::io::Error| Failure::new(Exit::Failed, "top.terminal", format!("cannot take over the terminal: {error}"));
        let listen = |kind| signal(kind).map_err(failed);
        let ends = [listen(SignalKind::terminate())?, listen(SignalKind::hangup())?, listen(SignalKind::interrupt())?];
        let resized = listen(SignalKind::window_change())?;
        let before = tcgetattr(std::io::stdin()).map_err(|error| failed(error.into()))?;
        let mut raw = before.clone();
        // Byte by byte and unseen. Signals of keys are keys: ^\ and ^Z would leave the terminal as it is here.
        raw.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &raw).map_err(|error| failed(error.into()))?;
        let screen = Self { before };
        let (pressed, bytes) = mpsc::channel(WAITING);
        let read = move || {
            for byte in std::io::stdin().lock().bytes() {
                // A key that is pressed while 64 others wait is not missed by anybody.
                let Ok(byte) = byte else { return };
                if matches!(pressed.try_send(byte), Err(mpsc::error::TrySendError::Closed(_))) {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("keys".into()).spawn(read).map_err(failed)?;
        screen.write(ENTER)?;
        Ok((screen, Keys { bytes, rest: Vec::new(), ends, resized }))
    }

    pub fn size(&self) -> Size {
        let found = tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        found.map_or(Size { columns: 80, rows: 24 }, |size| Size { columns: size.ws_col.into(), rows: size.ws_row.into() })
    }

    /// All lines in one write, each over the one that was there.
    pub fn draw(&mut self, lines: &[Line]) -> Result<(), Failure> {
        let mut out = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            let style = match line.look {
                Look::Plain => "",
                Look::Head => "\x1b[1m",
                Look::Selected => "\x1b[7m",
                Look::Alarm => "\x1b[33m",
            };
            let end = if at + 1 < lines.len() { "\r\n" } else { "" };
            out.push_str(&format!("{style}{}\x1b[0m\x1b[K{end}", line.text));
        }
        out.push_str("\x1b[J");
        self.write(&out)
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.map_err(|error| Failure::new(Exit::Failed, "output.write", format!("cannot write to the terminal: {error}")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be put back.
        let _ = self.write(LEAVE);
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_and_of_three_bytes() {
        for (bytes, want) in [
            (&b"q"[..], (Key::Quit, true)),
            (b"\x03", (Key::Quit, true)),
            (b"\x1b", (Key::Other, false)),
            (b"\x1b[", (Key::Other, false)),
            (b"\x1b[A", (Key::Up, true)),
            (b"\x1bOB", (Key::Down, true)),
            (b"\x1bq", (Key::Quit, true)),
            (b"\x1b[Z", (Key::Other, true)),
            (b"x", (Key::Other, true)),
        ] {
            assert_eq!(key(bytes), want, "{bytes:?}");
        }
    }
}
