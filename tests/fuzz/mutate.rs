//! Mutations from a fixed seed: bit flips, bytes that matter to parsers, cuts, repeats, splices.

/// Bytes and words that parsers treat apart.
const WORDS: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"%2e",
    b"%2F",
    b"..",
    b"//",
    b"@",
    b"-",
    b"0",
    b"9999999999",
    b"1e309",
];
/// Longest input.
const MOST: usize = 16 << 10;

pub struct Mutations<'a> {
    seeds: &'a [Vec<u8>],
    state: u64,
    bytes: Vec<u8>,
}

impl<'a> Mutations<'a> {
    pub fn new(seeds: &'a [Vec<u8>]) -> Self {
        Self { seeds, state: 0x9e37_79b9_7f4a_7c15, bytes: Vec::new() }
    }

    pub fn next(&mut self) -> &[u8] {
        let seed = self.below(self.seeds.len());
        self.bytes = self.seeds[seed].clone();
        for _ in 0..=self.below(6) {
            self.step();
        }
        self.bytes.truncate(MOST);
        &self.bytes
    }

    fn step(&mut self) {
        let length = self.bytes.len();
        let at = self.below(length + 1);
        match self.below(7) {
            0 if at < length => self.bytes[at] ^= 1 << self.below(8),
            1 if at < length => self.bytes[at] = self.below(256) as u8,
            2 => self.bytes.truncate(at),
            3 => {
                let word = WORDS[self.below(WORDS.len())];
                self.bytes.splice(at..at, word.iter().copied());
            }
            4 => {
                let end = at + self.below((length - at).min(64) + 1);
                self.bytes.drain(at..end);
            }
            5 => {
                let end = at + self.below((length - at).min(64) + 1);
                let part = self.bytes[at..end].to_vec();
                for _ in 0..=self.below(40) {
                    self.bytes.splice(at..at, part.iter().copied());
                    if self.bytes.len() > MOST {
                        break;
                    }
                }
            }
            _ => {
                let other = self.below(self.seeds.len());
                let from = self.below(self.seeds[other].len() + 1);
                self.bytes.truncate(at);
                self.bytes.extend_from_slice(&self.seeds[other][from..]);
            }
        }
    }

    /// Uniform enough below `limit`; xorshift64* (Vigna, 2016).
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let drawn = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        (drawn >> 32) as usize % limit.max(1)
    }
}
