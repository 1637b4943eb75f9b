//! Keys, read one by one, where standard input is a terminal. The terminal is left as it was found.

use std::io::{IsTerminal as _, Read as _};
use std::sync::mpsc::{Receiver, sync_channel};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// What can be pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Replay,
    NextFault,
    Grants,
    Build,
    Help,
    Quit,
}

pub const HELP: &str = "keys: r  the last call again   f  the next fault   p  what it asks for now   b  build again   q  end";

/// Keys that were pressed and not looked at yet.
const QUEUE: usize = 16;

pub struct Keys {
    pressed: Receiver<Key>,
    before: Termios,
}

impl Keys {
    /// `None` where there is no terminal, or it is none that can be asked key by key.
    pub fn listen() -> Option<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        // Signals stay: Ctrl-C ends a compiler under way too.
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        restore_at_interrupt(before.clone());
        let (send, pressed) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || {
                let mut byte = [0];
                while std::io::stdin().lock().read(&mut byte).is_ok_and(|read| read == 1) {
                    // What comes faster than it is done is dropped.
                    if let Some(key) = of(byte[0]) {
                        let _ = send.try_send(key);
                    }
                }
            })
            .ok()?;
        Some(Self { pressed, before })
    }

    pub fn next(&self) -> Option<Key> {
        self.pressed.try_recv().ok()
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

fn restore(before: &Termios) {
    // A terminal that is gone needs nothing.
    let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
}

/// Ctrl-C ends us, with the terminal as it was; 130 is what shells expect.
fn restore_at_interrupt(before: Termios) {
    let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            restore(&before);
            std::process::exit(130);
        }
    });
}

fn of(byte: u8) -> Option<Key> {
    match byte {
        b'r' => Some(Key::Replay),
        b'f' => Some(Key::NextFault),
        b'p' => Some(Key::Grants),
        b'b' => Some(Key::Build),
        b'?' | b'h' => Some(Key::Help),
        // Ctrl-D too.
        b'q' | 4 => Some(Key::Quit),
        _ => None,
    }
}
