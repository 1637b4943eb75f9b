//! The checks of a Splunk HTTP Event Collector: each envelope must be an object of known keys with an
//! event that is not blank. As measured at the real one, objects before the first bad one are taken.

use serde_json::Value;

/// An answer of the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub code: u16,
    pub status: u16,
    pub text: &'static str,
    /// The offending object, from 0.
    pub index: Option<usize>,
}

const KEYS: [&str; 7] = ["time", "host", "source", "sourcetype", "index", "event", "fields"];

/// Number of envelopes, or the first fault.
pub fn check(body: &[u8]) -> Result<usize, Fault> {
    let mut count = 0;
    for envelope in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        let fault = |code, text| Fault { code, status: 400, text, index: Some(count) };
        let Ok(Value::Object(envelope)) = envelope else { return Err(fault(6, "Invalid data format")) };
        if envelope.keys().any(|key| !KEYS.contains(&key.as_str())) {
            return Err(fault(6, "Invalid data format"));
        }
        match envelope.get("event") {
            None => return Err(fault(12, "Event field is required")),
            Some(Value::Null) => return Err(fault(13, "Event field cannot be blank")),
            Some(Value::String(text)) if text.is_empty() => return Err(fault(13, "Event field cannot be blank")),
            Some(_) => {}
        }
        let time = match envelope.get("time") {
            None => Some(0.0),
            Some(Value::String(text)) => text.parse::<f64>().ok(),
            Some(time) => time.as_f64(),
        };
        if time.is_none() {
            return Err(fault(6, "Invalid data format"));
        }
        let flat = |value: &Value| {
            value.is_string() || value.is_number() || value.is_boolean() || value.as_array().is_some_and(|all| all.iter().all(Value::is_string))
        };
        if envelope.get("fields").is_some_and(|fields| !fields.as_object().is_some_and(|fields| fields.values().all(flat))) {
            return Err(fault(15, "Error in handling indexed fields"));
        }
        count += 1;
    }
    if count == 0 {
        return Err(Fault { code: 5, status: 400, text: "No data", index: None });
    }
    Ok(count)
}

impl Fault {
    pub fn body(&self) -> String {
        match self.index {
            Some(index) => format!(r#"{{"text":"{}","code":{},"invalid-event-number":{index}}}"#, self.text, self.code),
            None => format!(r#"{{"text":"{}","code":{}}}"#, self.text, self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuse(body: &str, code: u16, index: Option<usize>) {
        let fault = check(body.as_bytes()).expect_err("refused");
        assert_eq!((fault.code, fault.index), (code, index), "{body}");
    }

    #[test]
    fn takes_and_refuses_as_splunk_does() {
        assert_eq!(check(br#"{"event":1}{"time":1767323045.123,"event":{"a":1},"fields":{"t":"x"}}"#), Ok(2));
        assert_eq!(check(b"{\"event\":\"x\"}\n{\"event\":[1]}\n"), Ok(2));
        refuse("", 5, None);
        refuse(r#"{"event":1}{"evnt":2}"#, 6, Some(1));
        refuse(r#"{"event":1} nonsense"#, 6, Some(1));
        refuse(r#"{"host":"a"}"#, 12, Some(0));
        refuse(r#"{"event":""}"#, 13, Some(0));
        refuse(r#"{"event":1,"fields":{"a":{}}}"#, 15, Some(0));
        refuse(r#"{"event":1,"time":"soon"}"#, 6, Some(0));
    }
}
