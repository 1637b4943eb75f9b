//! Takes secrets out of what receivers echo and guests log, in the forms in which they come back:
//! plain, base64 (both alphabets, any alignment), hex, percent-encoded, JSON-escaped.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem::Finder;
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::time::Instant;

/// What stands in a secret's place.
pub const MARK: &str = "[redacted]";

/// Shortest secret that can be taken out without destroying ordinary text.
pub const MIN_SECRET: usize = 6;

/// Finds the secrets of one instance: those of its configuration, and those that come up while it runs.
#[derive(Default)]
pub struct Redactor {
    fixed: Forms,
    issued: Vec<Arc<Issued>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("patterns", &self.fixed.finders.len()).field("changing", &self.issued.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Builds the forms of each secret. Secrets shorter than [`MIN_SECRET`] are refused where
    /// credentials are made, so none arrives here.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::default().knowing(secrets)
    }

    /// The same with more secrets.
    #[must_use]
    pub fn knowing<'a>(mut self, secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        self.fixed.add(secrets);
        self
    }

    /// The same with secrets that are learned later.
    #[must_use]
    pub fn following(mut self, issued: Arc<Issued>) -> Self {
        self.issued.push(issued);
        self
    }

    /// Bytes of the longest form: who cuts a text reads this many more first, so that a form on the
    /// edge is found.
    pub fn longest(&self) -> usize {
        self.issued.iter().map(|issued| issued.forms().longest).fold(self.fixed.longest, usize::max)
    }

    /// Bytes at the end of a text that may be the beginning of a form: for texts that come in pieces.
    pub fn open_end(&self, text: &[u8]) -> usize {
        self.issued.iter().map(|issued| issued.forms().open_end(text)).fold(self.fixed.open_end(text), usize::max)
    }

    /// Where secrets are, in order; those that overlap count as one.
    pub fn all(&self, text: &[u8]) -> Vec<(usize, usize)> {
        self.places(text, text.len())
    }

    /// The bytes without secrets; borrowed where there were none.
    pub fn bytes<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        self.head(text, text.len())
    }

    /// The first `most` bytes of a text of which [`longest`](Self::longest) more are there, if there are. Where
    /// secrets made the text shorter, nothing moves up from behind the edge: it could be half a secret.
    pub fn head<'a>(&self, text: &'a [u8], most: usize) -> Cow<'a, [u8]> {
        let most = most.min(text.len());
        let places = self.places(text, most);
        if places.is_empty() {
            return Cow::Borrowed(&text[..most]);
        }
        let mut out = Vec::with_capacity(text.len());
        let mut from = 0;
        for (start, end) in places {
            out.extend_from_slice(&text[from..start]);
            out.extend_from_slice(MARK.as_bytes());
            from = end;
        }
        out.extend_from_slice(text.get(from..most).unwrap_or_default());
        if most < text.len() {
            out.truncate(most);
        }
        Cow::Owned(out)
    }

    /// The same for text, cut between characters.
    pub fn head_text<'a>(&self, text: &'a str, most: usize) -> Cow<'a, str> {
        let most = text.floor_char_boundary(most);
        match self.head(text.as_bytes(), most) {
            Cow::Borrowed(_) => Cow::Borrowed(&text[..most]),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// The text without secrets. A form with bytes that are not ASCII is found as text, too.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.head_text(text, text.len())
    }

    /// Where secrets are that begin before `most`, in order; those that overlap count as one, so that no
    /// part of either stays.
    fn places(&self, text: &[u8], most: usize) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        self.fixed.find(text, &mut places);
        for issued in &self.issued {
            issued.forms().find(text, &mut places);
        }
        places.retain(|(start, _)| *start < most);
        places.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(places.len());
        for (start, end) in places {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        merged
    }
}

/// Everything that secrets can look like.
#[derive(Default, Clone)]
struct Forms {
    finders: Vec<Finder<'static>>,
    longest: usize,
}

impl Forms {
    fn add<'a>(&mut self, secrets: impl IntoIterator<Item = &'a [u8]>) {
        for pattern in secrets.into_iter().filter(|secret| secret.len() >= MIN_SECRET).flat_map(forms) {
            if !self.finders.iter().any(|finder| finder.needle() == pattern) {
                self.longest = self.longest.max(pattern.len());
                self.finders.push(Finder::new(&pattern).into_owned());
            }
        }
    }

    fn find(&self, text: &[u8], places: &mut Vec<(usize, usize)>) {
        for finder in &self.finders {
            places.extend(finder.find_iter(text).map(|at| (at, at + finder.needle().len())));
        }
    }
}

impl Forms {
    fn open_end(&self, text: &[u8]) -> usize {
        let open = |finder: &Finder<'static>| {
            let needle = finder.needle();
            (1..needle.len().min(text.len() + 1)).rev().find(|length| text.ends_with(&needle[..*length])).unwrap_or(0)
        };
        self.finders.iter().map(open).max().unwrap_or(0)
    }
}

/// How long a secret is still looked for after a newer one came: longer than any request lasts.
const SUPERSEDED: Duration = Duration::from_secs(15 * 60);
/// Most generations of one credential that are looked for; the oldest goes first.
const MOST_ISSUED: usize = 64;

/// Secrets of one credential that come and go: tokens, what commands print. Shared by the redactors of
/// all instances that use the credential.
#[derive(Default)]
pub struct Issued(RwLock<Arc<Ring>>);

#[derive(Default)]
struct Ring {
    /// What belongs together, the newest last.
    generations: Vec<Generation>,
    forms: Arc<Forms>,
}

#[derive(Clone)]
struct Generation {
    secrets: Arc<[SecretSlice<u8>]>,
    /// When a newer one came.
    superseded: Option<Instant>,
}

impl Generation {
    fn is(&self, secrets: &[&[u8]]) -> bool {
        self.secrets.len() == secrets.len() && self.secrets.iter().zip(secrets).all(|(known, secret)| known.expose_secret() == *secret)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued")
    }
}

impl Issued {
    /// From now on these secrets are taken out of everything, and those before them for as long as a
    /// request may still be under way with them. To be called before they leave the host.
    pub fn learn(&self, secrets: &[&[u8]]) {
        if self.ring().generations.last().is_some_and(|last| last.is(secrets)) {
            return;
        }
        let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut generations: Vec<Generation> = ring.generations.iter().filter(|known| !known.is(secrets)).cloned().collect();
        for known in &mut generations {
            known.superseded.get_or_insert(now);
        }
        generations.retain(|known| known.superseded.is_none_or(|since| now.duration_since(since) < SUPERSEDED));
        generations.push(Generation { secrets: secrets.iter().map(|secret| secret.to_vec().into()).collect(), superseded: None });
        let surplus = generations.len().saturating_sub(MOST_ISSUED);
        generations.drain(..surplus);
        let mut forms = Forms::default();
        forms.add(generations.iter().flat_map(|known| known.secrets.iter()).map(|secret| secret.expose_secret()));
        *ring = Arc::new(Ring { generations, forms: Arc::new(forms) });
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn forms(&self) -> Arc<Forms> {
        Arc::clone(&self.ring().forms)
    }
}

fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec()];
    let mut lower = String::with_capacity(secret.len() * 2);
    for byte in secret {
        let _ = write!(lower, "{byte:02x}");
    }
    forms.push(lower.to_ascii_uppercase().into_bytes());
    forms.push(lower.into_bytes());
    for lower in [false, true] {
        forms.push(percent(secret, lower, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
        // Form encoding, and encoders that leave sub-delimiters alone.
        forms.push(percent(secret, lower, |byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte)).into_iter().collect());
        forms.push(percent(secret, lower, |byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte)));
        forms.push(percent(secret, lower, |_| false));
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        forms.extend(json(text));
    }
    // Encoded alone: its last digit, too.
    forms.extend([STANDARD_NO_PAD.encode(secret).into_bytes(), URL_SAFE_NO_PAD.encode(secret).into_bytes()]);
    for offset in 0..3 {
        // A secret inside a longer text that was encoded as a whole starts at any of three places; the
        // digits that also hold neighbouring bytes are left out.
        let mut padded = vec![0; offset];
        padded.extend_from_slice(secret);
        let skip = [0, 2, 3][offset];
        let whole = padded.len() * 8 / 6;
        for digits in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            if let Some(core) = digits.get(skip..whole).filter(|core| core.len() >= MIN_SECRET) {
                forms.push(core.as_bytes().to_vec());
            }
        }
    }
    forms
}

fn percent(secret: &[u8], lower: bool, keep: fn(u8) -> bool) -> Vec<u8> {
    let mut out = String::with_capacity(secret.len() * 3);
    for byte in secret {
        let _ = match (keep(*byte), lower) {
            (true, _) => write!(out, "{}", char::from(*byte)),
            (false, true) => write!(out, "%{byte:02x}"),
            (false, false) => write!(out, "%{byte:02X}"),
        };
    }
    out.into_bytes()
}

/// JSON string contents: as serialisers write them, with escaped slashes, and with everything outside
/// ASCII escaped.
fn json(text: &str) -> Vec<Vec<u8>> {
    let Ok(quoted) = serde_json::to_string(text) else { return Vec::new() };
    let plain = quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned();
    let ascii = |upper: bool, escape: &str| {
        let mut out = String::new();
        for character in plain.chars() {
            if character.is_ascii() && !escape.contains(character) {
                out.push(character);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = if upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
            }
        }
        out.into_bytes()
    };
    vec![
        plain.clone().into_bytes(),
        plain.replace('/', "\\/").into_bytes(),
        ascii(false, ""),
        ascii(true, ""),
        // HTML-safe serialisers (Go, .NET, Rails) escape these, too.
        ascii(false, "<>&"),
        ascii(false, "<>&'+`"),
        ascii(true, "<>&'+`"),
    ]
}

#[cfg(test)]
mod tests;
