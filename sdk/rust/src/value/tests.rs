use super::*;

#[test]
fn pointers_lead_into_values() {
    let text = r#"{"a":{"b/c":[10,{"d~":"x"}]},"":1,"e\u0066":null,"0":"zero"}"#;
    let value = json::value(text).unwrap();
    for (pointer, want) in [
        ("/a/b~1c/0", "10"),
        ("/a/b~1c/1/d~0", "x"),
        ("/", "1"),
        ("/ef", "null"),
        ("/0", "zero"),
        ("/a/b~1c/2", ""),
        ("/a/b~1c/01", ""),
        ("/a/b~1c/+1", ""),
        ("/a/b~1c/-", ""),
        ("/a/b~1c/x", ""),
        ("/a/b~1c/0/x", ""),
        ("a", ""),
        ("/nothing", ""),
    ] {
        assert_eq!(value.at(pointer).raw(), want.as_bytes(), "{pointer}");
    }
    assert_eq!(value.at("").raw(), text.as_bytes());
    assert_eq!(value.at("/nothing/at/all").kind(), Kind::Missing);
    assert_eq!(json::value("[\"a\"]").unwrap().at("/0").raw(), b"a");
}
