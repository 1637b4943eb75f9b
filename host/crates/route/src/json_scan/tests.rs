use super::{member, scalars};

fn list(array: &str) -> Vec<String> {
    scalars(array.as_bytes()).map(|item| String::from_utf8(item.bytes().into_owned()).expect("utf-8")).collect()
}

fn get(object: &str, key: &str) -> Option<String> {
    member(object.as_bytes(), key.as_bytes()).map(|item| String::from_utf8(item.bytes().into_owned()).expect("utf-8"))
}

#[test]
fn arrays_give_their_scalars() {
    assert_eq!(list(r#"["a","b\"c", "d\\" ,"\u00e9", 7, true, null]"#), ["a", "b\"c", "d\\", "é", "7", "true", "null"]);
    assert_eq!(list(r#"[["x","]"],{"a":"}"},"b"]"#), ["b"]);
    assert!(list("[]").is_empty());
    assert!(list(r#"{"a":"b"}"#).is_empty());
}

#[test]
fn objects_give_the_value_of_a_key() {
    let object = r#"{ "a" : "1", "b\u0020c":"x,}y", "n": {"a":"inner"}, "d":12, "e" : ["q"] , "f":"" }"#;
    for (key, want) in [("a", Some("1")), ("b c", Some("x,}y")), ("d", Some("12")), ("f", Some("")), ("n", None), ("e", None), ("zz", None), ("inner", None)] {
        assert_eq!(get(object, key).as_deref(), want, "{key}");
    }
    assert_eq!(get("{}", "a"), None);
}

#[test]
fn text_that_is_no_json_ends_the_walk() {
    for text in ["", "[", "[\"", "[\"a", "[\"\\", "[[", "{\"a\"", "{\"a\":", "{\"a\":\"", "{a", "]", "[}", "[1:2", "{,,,"] {
        assert!(list(text).len() <= 2, "{text}");
        assert_eq!(get(text, "zz"), None, "{text}");
    }
}
