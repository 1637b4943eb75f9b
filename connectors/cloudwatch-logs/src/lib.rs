//! AWS CloudWatch Logs: records through `PutLogEvents` (JSON 1.1). The signature (SigV4) is the destination's
//! credential.
//! Protocol: Amazon CloudWatch Logs API Reference, "PutLogEvents", "CreateLogGroup", "CreateLogStream",
//! "DescribeLogStreams", "Common Errors".
//!
//! Promised: events of a request are in the order of their times and within the limits of the service; events that
//! the service does not store, because they are too old, expired or too far ahead, are rejected alone; an event
//! longer than the service takes is refused before it is sent. The service knows no duplicates.

use std::time::Duration;

use bulkhead_sdk::{Batch, ByteSize, Config, Connector, Delivery, Failure, Limits, Outcome, RecordFormat, Writer, fields, http};

mod answer;
mod calls;
mod plan;

use answer::Fault;

fields! { mod field { TIME = "/time", RECEIVED = "/received" } }

/// Requests with events that one call makes at most; what is left comes again in the next.
const MAX_REQUESTS: usize = 16;

/// Where records go.
#[derive(Debug, Config)]
pub struct Settings {
    /// Log group.
    #[config(min = 1, max = 512)]
    group: String,
    /// Log stream in the group.
    #[config(min = 1, max = 512)]
    stream: String,
    /// Creates the stream, and the group, where they are missing.
    #[config(default = false)]
    create: bool,
    /// Longest record; 262118 for regions that still have the older limit.
    #[config(default = 1048550, min = 1, max = 1048550)]
    max_event: ByteSize,
}

#[derive(Debug)]
pub struct CloudWatchLogs {
    settings: Settings,
}

impl CloudWatchLogs {
    /// `{"logGroupName":"…","logStreamName":"…"`
    fn names(&self, out: &mut Writer) {
        out.literal(b"{\"logGroupName\":");
        out.json_string(self.settings.group.as_bytes());
        out.literal(b",\"logStreamName\":");
        out.json_string(self.settings.stream.as_bytes());
    }

    fn body(&self, messages: &[plan::Message<'_>]) -> Vec<u8> {
        let mut out = Writer::with_capacity(messages.iter().map(|message| message.text.len() + 48).sum::<usize>() + 1024);
        self.names(&mut out);
        out.literal(b",\"logEvents\":[");
        for (place, message) in messages.iter().enumerate() {
            out.bytes(if place == 0 { b"{\"timestamp\":" } else { b",{\"timestamp\":" });
            out.unsigned(message.millis);
            out.literal(b",\"message\":");
            out.json_string(message.text.as_bytes());
            out.byte(b'}');
        }
        out.literal(b"]}");
        out.into_bytes()
    }

    /// Sends what belongs together; where the stream is missing once more after it was created.
    fn put(&self, messages: &[plan::Message<'_>]) -> Result<http::Response, Fault> {
        let put = || calls::call("PutLogEvents", self.body(messages));
        match put() {
            Err(Fault::Missing(_)) if self.settings.create => {
                self.create()?;
                put()
            }
            answer => answer,
        }
    }

    /// The stream, and the group where it turns out to be missing too. What another has created meanwhile is fine.
    fn create(&self) -> Result<(), Fault> {
        let stream = || {
            let mut out = Writer::default();
            self.names(&mut out);
            out.byte(b'}');
            calls::create("CreateLogStream", out.into_bytes())
        };
        match stream() {
            Err(Fault::Missing(_)) => {
                let mut out = Writer::default();
                out.literal(b"{\"logGroupName\":");
                out.json_string(self.settings.group.as_bytes());
                out.byte(b'}');
                calls::create("CreateLogGroup", out.into_bytes())?;
                stream()
            }
            answer => answer,
        }
    }

    fn missing(&self, words: &str) -> Failure {
        let Settings { group, stream, .. } = &self.settings;
        Failure::Configuration(format!("log group \"{group}\" or log stream \"{stream}\" is missing ({words}); create it, or set `create: true`"))
    }

    fn failure(&self, fault: Fault) -> Failure {
        match fault {
            Fault::Failure(failure) => failure,
            Fault::Missing(words) => self.missing(&words),
            Fault::Refused(reason) => Failure::TooLarge(format!("{reason}; sent in halves to find the event at fault")),
        }
    }
}

impl Connector for CloudWatchLogs {
    type Config = Settings;

    fn configure(settings: Settings, _: &RecordFormat) -> Result<Self, String> {
        let letter = |letter: &char| !letter.is_ascii_alphanumeric() && !"._/#-".contains(*letter);
        if let Some(letter) = settings.group.chars().find(letter) {
            return Err(format!("`group` contains {letter:?}; a name of a log group is made of letters, digits and . _ / # -"));
        }
        if settings.group.starts_with("aws/") {
            return Err("`group` begins with aws/, which is the service's own".to_owned());
        }
        if let Some(letter) = settings.stream.chars().find(|letter| letter.is_control() || ":*".contains(*letter)) {
            return Err(format!("`stream` contains {letter:?}, which a name of a log stream cannot carry"));
        }
        Ok(Self { settings })
    }

    fn fields(&self) -> Vec<&str> {
        field::ALL.to_vec()
    }

    fn limits(&self) -> Limits {
        // The service counts 26 bytes more for each event: 10,000 of them and these records are 1 MiB.
        Limits { max_events: Some(10_000), max_bytes: Some(768 << 10) }
    }

    fn deliver(&mut self, batch: &Batch<'_>, _: u32) -> Result<Delivery, Failure> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.len()];
        let longest = usize::try_from(self.settings.max_event.0).unwrap_or(usize::MAX);
        let messages = plan::messages(batch, longest, &mut outcomes);
        for request in plan::requests(&messages).take(MAX_REQUESTS) {
            let judged = match self.put(request) {
                Ok(response) => answer::stored(&response, request.len()),
                // From an attempt whose answer was lost; the service of today does not tell any more.
                Err(Fault::Refused(reason)) if answer::is_type(&reason, "DataAlreadyAcceptedException") => Ok(vec![Outcome::Accepted(None); request.len()]),
                Err(Fault::Refused(reason)) if request.len() == 1 => Ok(vec![Outcome::Rejected(reason)]),
                Err(fault) => Err(self.failure(fault)),
            };
            match judged {
                Ok(judged) => plan::settle(request, judged, &mut outcomes),
                Err(failure) => return Delivery::with_failure(outcomes, failure),
            }
        }
        // Behind the last request of this call nothing is at fault: it need not wait.
        Ok(Delivery::Each(outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Retry(Some(Duration::ZERO)))).collect()))
    }

    /// Looks for the log stream; no event is sent and nothing created.
    fn check(&mut self) -> Result<String, Failure> {
        let Settings { group, stream, create, .. } = &self.settings;
        let mut out = Writer::default();
        out.literal(b"{\"logGroupName\":");
        out.json_string(group.as_bytes());
        out.literal(b",\"logStreamNamePrefix\":");
        out.json_string(stream.as_bytes());
        out.literal(b",\"limit\":1}");
        let later = || Ok(format!("the service takes the credential; log stream \"{stream}\" of \"{group}\" is created with the first event"));
        match calls::call("DescribeLogStreams", out.into_bytes()) {
            Ok(response) if answer::lists(&response, stream)? => Ok(format!("log stream \"{stream}\" of \"{group}\" is there")),
            Ok(_) | Err(Fault::Missing(_)) if *create => later(),
            Ok(_) => Err(self.missing("no such log stream is listed")),
            Err(Fault::Refused(reason)) => Err(Failure::Configuration(reason)),
            Err(fault) => Err(self.failure(fault)),
        }
    }
}

bulkhead_sdk::export_connector!(CloudWatchLogs);

#[cfg(test)]
mod tests;
