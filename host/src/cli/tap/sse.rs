//! Server-sent events as bytes come in. Source: WHATWG HTML, "Server-sent events", "Interpreting an event stream".

/// Bytes of one message; a stream with a longer one is none of ours.
const MOST: usize = 1 << 20;

/// A message; without data it only says how far the stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: Option<String>,
    pub event: String,
    pub data: String,
}

/// Pure: bytes in, messages out.
#[derive(Debug, Default)]
pub struct Parser {
    /// What was not looked at.
    rest: Vec<u8>,
    id: Option<String>,
    event: String,
    data: Option<String>,
    news: bool,
    broken: bool,
}

impl Parser {
    pub fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next message that is whole.
    pub fn message(&mut self) -> Option<Message> {
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if !line.is_empty() {
                self.line(line);
            } else if self.news {
                self.news = false;
                return Some(Message { id: self.id.clone(), event: std::mem::take(&mut self.event), data: self.data.take().unwrap_or_default() });
            }
        }
        self.broken |= self.rest.len() + self.data.as_ref().map_or(0, String::len) > MOST;
        None
    }

    /// Whether it was too long to be read on.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    fn line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => self.event = value.to_owned(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments begin with the colon.
            _ => return,
        }
        self.news = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let stream = b": bulkhead\nretry: 1000\n\nid: 1-4\nevent: outcome\ndata: {\"a\":1}\n\nid: 1-9\n: quiet\n\ndata: x\r\ndata:y\r\n\r\n";
        let message = |id: &str, event: &str, data: &str| Message { id: Some(id.into()), event: event.into(), data: data.into() };
        let want = [message("1-4", "outcome", "{\"a\":1}"), message("1-9", "", ""), message("1-9", "", "x\ny")];
        for size in [1, 2, 7, stream.len()] {
            let (mut parser, mut found) = (Parser::default(), Vec::new());
            for part in stream.chunks(size) {
                parser.push(part);
                found.extend(std::iter::from_fn(|| parser.message()));
            }
            assert_eq!(found, want, "{size}");
            assert!(!parser.is_broken());
        }
    }

    #[test]
    fn a_message_has_a_bound() {
        let mut parser = Parser::default();
        parser.push(&vec![b'x'; MOST + 1]);
        assert_eq!(parser.message(), None);
        assert!(parser.is_broken());
    }
}
