use bulkhead_sdk::native::{self, EventText};

use super::*;

#[track_caller]
fn check(config: &str, event: &str, want: &str) {
    let line = native::formatter::<Xml>(config).unwrap().line(&EventText::new(event)).unwrap();
    assert_eq!(line, want);
}

#[test]
fn attributes_lists_maps_and_the_payload_as_json() {
    check(
        "{}",
        r#"{"id":"1 & 2","source":"<s>","type":"t","time":"2026-11-20T08:42:58Z","compliance":["sox","gdpr"],"roles":["ops"],"dstport":443,"metadata":{"a b\"<":"x\ty"},"data":{"n":1.5,"t":"a\u0000<b>\n"}}"#,
        r#"<event><id>1 &amp; 2</id><source>&lt;s&gt;</source><type>t</type><time>2026-11-20T08:42:58Z</time><compliance>sox</compliance><compliance>gdpr</compliance><role>ops</role><dstport>443</dstport><metadata><entry name="a b&quot;&lt;">x&#9;y</entry></metadata><data format="json">{"n":1.5,"t":"a\u0000&lt;b&gt;\n"}</data></event>"#,
    );
    check(
        r#"{"declaration":true}"#,
        r#"{"subject":"","metadata":{},"data":"a\"b","data_base64":"AA=="}"#,
        r#"<?xml version="1.0" encoding="UTF-8"?><event><data format="json">"a\"b"</data><data_base64>AA==</data_base64></event>"#,
    );
    check("{}", "{}", "<event></event>");
}

#[test]
fn the_payload_as_elements() {
    check(
        r#"{"data":"elements"}"#,
        r#"{"data":{"a":[1,"x\u00e9",true,null,{}],"b&\"":{"c":-2.5}}}"#,
        r#"<event><data format="elements" xmlns:j="http://www.w3.org/2005/xpath-functions"><j:map><j:array key="a"><j:number>1</j:number><j:string>xé</j:string><j:boolean>true</j:boolean><j:null></j:null><j:map></j:map></j:array><j:map key="b&amp;&quot;"><j:number key="c">-2.5</j:number></j:map></j:map></data></event>"#,
    );
}

#[test]
fn characters_that_xml_cannot_hold_are_replaced() {
    check(
        r#"{"data":"elements"}"#,
        "{\"id\":\"a\\u0000\\u0008\\ufffe\u{ffff}b\u{ff01}\",\"user\":\"\u{ffff}\",\"host\":\"x\\r\\n]]>\",\"data\":{\"\\u0001\u{fffe}\":\"\\u001b\"}}",
        "<event><id>a\u{fffd}\u{fffd}\u{fffd}\u{fffd}b\u{ff01}</id><user>\u{fffd}</user><host>x&#13;&#10;]]&gt;</host><data format=\"elements\" xmlns:j=\"http://www.w3.org/2005/xpath-functions\"><j:map><j:string key=\"\u{fffd}\u{fffd}\">\u{fffd}</j:string></j:map></data></event>",
    );
}

#[test]
fn deep_payloads_and_values_of_unexpected_kinds() {
    let deep = format!("{{\"data\":{}1{}}}", "[".repeat(120), "]".repeat(120));
    let line = native::formatter::<Xml>(r#"{"data":"elements"}"#).unwrap().line(&EventText::new(&deep)).unwrap();
    assert_eq!(line.matches("<j:array>").count(), 120);
    for value in [r#"{"a":"<\n"}"#, r#"["\n","<"]"#, "true", "null", "1e5", r#"" ""#] {
        let event = format!(r#"{{"id":{value},"time":{value},"compliance":{value},"metadata":{value},"extensions":{value},"data":{value}}}"#);
        let line = native::formatter::<Xml>("").unwrap().line(&EventText::new(&event)).unwrap();
        assert!(line.starts_with("<event>") && line.ends_with("</event>") && !line.contains('\n'), "{line}");
    }
    assert!(native::formatter::<Xml>(r#"{"data":"cdata"}"#).unwrap_err().contains("`data`"));
}
