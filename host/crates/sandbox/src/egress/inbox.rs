//! What a stream has brought, on its way to the guest: secrets are taken out, also where one comes in
//! several pieces.
//!
//! Bytes that may be the beginning of a secret are held back until the next ones tell. A beginning of
//! [`KEPT`] bytes or more stays until then, however long that takes; a shorter one is handed on after
//! [`GRACE`], so that a dialogue whose lines happen to end in a secret's first letter goes on. What
//! was handed on that way is remembered: if the secret does follow, the rest of it is taken out. So no
//! guest ever sees `KEPT` bytes of a secret in a row.
//!
//! This guards against receivers that echo what they were sent, in error texts for example. A receiver
//! that wants to tell a guest the secret can always write it backwards.

use std::sync::Arc;
use std::time::Duration;

use super::redact::{MARK, Redactor};

/// Longest beginning of a secret that is handed on when nothing follows.
const KEPT: usize = 4;
/// How long the other end has to go on with a short one.
pub(super) const GRACE: Duration = Duration::from_millis(100);

pub(super) struct Inbox {
    redactor: Arc<Redactor>,
    /// Not judged yet; the first `shown` bytes are with the guest already.
    held: Vec<u8>,
    shown: usize,
    /// Judged; the first `taken` bytes are with the guest.
    ready: Vec<u8>,
    taken: usize,
}

impl Inbox {
    pub(super) fn new(redactor: Arc<Redactor>) -> Self {
        Self { redactor, held: Vec::new(), shown: 0, ready: Vec::new(), taken: 0 }
    }

    /// Takes in what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        loop {
            let open = self.held.len() - self.redactor.open_end(&self.held);
            // A secret that begins behind that may be the beginning of a longer one.
            let found = self.redactor.all(&self.held);
            let whole = found.partition_point(|(start, _)| *start < open);
            if whole == 0 {
                return self.release(open);
            }
            // What is left may end in another beginning.
            self.redact(&found[..whole]);
        }
    }

    /// True where [`Self::pause`] would hand something on.
    pub(super) fn waits(&self) -> bool {
        self.held.len() > self.shown && (self.held.len() < KEPT || !self.redactor.all(&self.held).is_empty())
    }

    /// Nothing followed for [`GRACE`].
    pub(super) fn pause(&mut self) {
        let found = self.redactor.all(&self.held);
        self.redact(&found);
        let open = self.redactor.open_end(&self.held);
        self.release(self.held.len() - open);
        if open < KEPT {
            self.show(self.held.len());
        }
    }

    /// Nothing will follow.
    pub(super) fn end(&mut self) {
        self.pause();
        if self.held.len() >= KEPT {
            self.redact(&[(0, self.held.len())]);
        }
        self.held.clear();
        self.shown = 0;
    }

    /// At most `max` bytes for the guest, if there are any.
    pub(super) fn take(&mut self, max: usize) -> Option<Vec<u8>> {
        let rest = &self.ready[self.taken..];
        if rest.is_empty() {
            return None;
        }
        let out = rest[..rest.len().min(max)].to_vec();
        self.taken += out.len();
        if self.taken == self.ready.len() {
            self.ready.clear();
            self.taken = 0;
        }
        Some(out)
    }

    /// Everything up to the end of the last of these places, with a mark for each.
    fn redact(&mut self, places: &[(usize, usize)]) {
        for (start, end) in places {
            self.show(*start);
            self.ready.extend_from_slice(MARK.as_bytes());
            self.shown = self.shown.max(*end);
        }
        self.forget(places.last().map_or(0, |(_, end)| *end));
    }

    fn release(&mut self, end: usize) {
        self.show(end);
        self.forget(end);
    }

    fn show(&mut self, end: usize) {
        if end > self.shown {
            self.ready.extend_from_slice(&self.held[self.shown..end]);
            self.shown = end;
        }
    }

    fn forget(&mut self, end: usize) {
        self.held.drain(..end);
        self.shown = self.shown.saturating_sub(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hunter2-secret-token";

    fn inbox(secrets: &[&str]) -> Inbox {
        Inbox::new(Arc::new(Redactor::new(secrets.iter().map(|secret| secret.as_bytes()))))
    }

    fn all(inbox: &mut Inbox) -> String {
        let mut out = Vec::new();
        while let Some(bytes) = inbox.take(3) {
            out.extend(bytes);
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_secret_in_pieces_is_found_wherever_it_is_cut() {
        let text = format!("you sent {SECRET}, and {SECRET}{SECRET} again");
        let want = format!("you sent {MARK}, and {MARK}{MARK} again");
        for piece in 1..text.len() {
            let mut inbox = inbox(&[SECRET]);
            let mut seen = String::new();
            for bytes in text.as_bytes().chunks(piece) {
                inbox.push(bytes);
                seen.push_str(&all(&mut inbox));
            }
            inbox.end();
            seen.push_str(&all(&mut inbox));
            assert_eq!(seen, want, "in pieces of {piece}");
        }
    }

    #[test]
    fn pauses_between_the_pieces_reveal_three_bytes_at_most() {
        for piece in 1..SECRET.len() {
            let mut inbox = inbox(&[SECRET]);
            let mut seen = String::new();
            for bytes in format!("<{SECRET}>").as_bytes().chunks(piece) {
                inbox.push(bytes);
                inbox.pause();
                seen.push_str(&all(&mut inbox));
            }
            inbox.end();
            seen.push_str(&all(&mut inbox));
            assert!(seen.starts_with('<') && seen.ends_with(&format!("{MARK}>")), "{seen}");
            assert!(!seen.contains(&SECRET[..KEPT]), "{seen}");
            assert!(seen.len() < 2 + MARK.len() + KEPT, "{seen}");
        }
    }

    #[test]
    fn what_only_begins_like_a_secret_arrives() {
        let mut inbox = inbox(&[SECRET]);
        inbox.push(b"220 smith");
        assert_eq!(all(&mut inbox), "220 smit");
        assert!(inbox.waits());
        inbox.pause();
        assert_eq!(all(&mut inbox), "h");
        assert!(!inbox.waits());
        inbox.push(b"unting");
        assert_eq!(all(&mut inbox), "unting");
        inbox.push(b"hunter");
        assert_eq!(all(&mut inbox), "");
        assert!(!inbox.waits(), "six bytes of the secret are not handed on");
        inbox.push(b"s\n");
        assert_eq!(all(&mut inbox), "hunters\n");
    }

    #[test]
    fn an_end_in_the_middle_of_a_secret_shows_nothing_of_it() {
        for cut in 1..SECRET.len() {
            let mut inbox = inbox(&[SECRET]);
            inbox.push(b"> ");
            inbox.push(&SECRET.as_bytes()[..cut]);
            inbox.end();
            assert_eq!(all(&mut inbox), if cut < KEPT { format!("> {}", &SECRET[..cut]) } else { format!("> {MARK}") });
        }
    }

    #[test]
    fn secrets_within_and_across_one_another() {
        // One is the beginning of the other: it is known which when the next byte is there.
        let mut inbox1 = inbox(&["longsecret", "longsecret-and-more"]);
        inbox1.push(b"a longsecret");
        assert_eq!(all(&mut inbox1), "a ");
        assert!(inbox1.waits());
        inbox1.push(b"-and-more\n");
        assert_eq!(all(&mut inbox1), format!("{MARK}\n"));
        inbox1.push(b"longsecret");
        inbox1.pause();
        assert_eq!(all(&mut inbox1), MARK);
        // The end of one is the beginning of the other.
        let mut inbox2 = inbox(&["abcdefgh", "efghijkl"]);
        inbox2.push(b"xabcdefgh");
        inbox2.push(b"ijklx");
        inbox2.end();
        let seen = all(&mut inbox2);
        assert!(!seen.contains("abcd") && !seen.contains("efgh"), "{seen}");
        assert!(seen.starts_with('x') && seen.ends_with('x'), "{seen}");
    }

    #[test]
    fn without_secrets_everything_passes_at_once() {
        let mut inbox = inbox(&[]);
        inbox.push(b"anything");
        assert_eq!(all(&mut inbox), "anything");
        assert!(!inbox.waits());
    }
}
