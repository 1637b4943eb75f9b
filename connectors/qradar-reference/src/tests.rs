use bulkhead_sdk::native::{self, EventText, answer, answers};

use super::*;

fn own(config: &str) -> native::NativeConnector<Reference> {
    native::connector(config, &RecordFormat::new("json", "application/json")).expect("configures")
}

fn batch(events: &[&'static str]) -> Vec<(&'static str, EventText)> {
    events.iter().map(|event| ("{}", EventText::new(event))).collect()
}

#[test]
fn each_value_is_added_once_and_missing_ones_are_done() {
    let asked = answers(vec![answer(201, "{}"), answer(200, "{}")]);
    let events = batch(&[r#"{"srcip":"10.0.0.1"}"#, "{}", r#"{"srcip":"10.0.0.1"}"#, r#"{"srcip":"10.0.0.\"2"}"#]);
    let delivered = own(r#"{"collection_id":12,"value":"/srcip"}"#).deliver_texts(&events);
    assert_eq!(delivered, Ok(Delivery::Each(vec![Outcome::Accepted(None); 4])));
    let asked = asked.borrow();
    let bodies: Vec<_> = asked.iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    assert_eq!(bodies, [r#"{"collection_id":12,"value":"10.0.0.1","source":"bulkhead"}"#, r#"{"collection_id":12,"value":"10.0.0.\"2","source":"bulkhead"}"#]);
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", ENTRIES));
}

#[test]
fn a_value_that_the_set_does_not_take_costs_its_event() {
    let told = r#"{"code":1005,"message":"not an IP address"}"#;
    answers(vec![answer(201, "{}"), answer(422, told), answer(503, "")]);
    let long: &'static str = Box::leak(format!(r#"{{"user":"{}"}}"#, "x".repeat(2_001)).into_boxed_str());
    let events = batch(&[r#"{"user":"a"}"#, r#"{"user":"b"}"#, long, r#"{"user":"c"}"#, r#"{"user":"d"}"#]);
    let delivered = own(r#"{"collection_id":12,"value":"/user"}"#).deliver_texts(&events).expect("delivered");
    let Delivery::Each(outcomes) = delivered else { panic!("one outcome for each") };
    let words: Vec<String> = outcomes.iter().map(|outcome| format!("{outcome:?}").chars().take(8).collect()).collect();
    assert_eq!(words, ["Accepted", "Rejected", "Rejected", "Retry(No", "Retry(No"]);
}

#[test]
fn what_is_wrong_is_told_apart() {
    for (status, want) in [(401, "Unauthorized"), (403, "Unauthorized"), (404, "Configuration"), (500, "Unavailable")] {
        answers(vec![answer(status, "{}")]);
        let failure = own(r#"{"collection_id":12,"value":"/srcip"}"#).deliver_texts(&batch(&[r#"{"srcip":"10.0.0.1"}"#])).expect_err("refused");
        assert!(format!("{failure:?}").starts_with(want), "{status}: {failure:?}");
    }
    let check = |status, body| {
        let asked = answers(vec![answer(status, body)]);
        let result = own(r#"{"collection_id":12,"value":"/srcip"}"#).connector.check();
        assert_eq!(asked.borrow()[0].path, "/api/reference_data_collections/sets?filter=id%3D12&fields=id%2Cname");
        result
    };
    assert_eq!(check(200, r#"[{"id":12,"name":"Watched"}]"#), Ok("the reference set \"Watched\" is there".to_owned()));
    assert!(matches!(check(200, "[]"), Err(Failure::Configuration(text)) if text.contains("there is no reference set 12")));
    assert!(matches!(check(200, "<html>"), Err(Failure::Configuration(text)) if text.contains("QRadar console")));
    assert!(matches!(check(401, ""), Err(Failure::Unauthorized(_))));
    let error = native::connector::<Reference>(r#"{"collection_id":1,"value":"srcip"}"#, &RecordFormat::new("json", "application/json")).expect_err("refused");
    assert!(error.contains("`value` is \"srcip\""), "{error}");
}
