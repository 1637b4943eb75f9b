use bulkhead_sdk::native::{self, NativeFormatter};

use super::*;

fn formatter(config: &[(&str, &str)]) -> Result<NativeFormatter<Template>, String> {
    let members: serde_json::Map<String, serde_json::Value> = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    native::formatter::<Template>(&serde_json::Value::Object(members).to_string())
}

fn line(config: &[(&str, &str)], event: &str) -> Result<String, String> {
    formatter(config)?.record(event).map(|record| String::from_utf8(record).unwrap())
}

/// A template with an escape, on one event.
#[track_caller]
fn check(escape: &str, template: &str, event: &str, want: &str) {
    assert_eq!(line(&[("template", template), ("escape", escape)], event).unwrap(), want, "{template}");
}

#[track_caller]
fn check_refused(config: &[(&str, &str)], event: &str, words: &str) {
    let error = line(config, event).unwrap_err();
    assert!(error.contains(words), "{error}");
}

const EVENT: &str = r#"{"id":"e-1","type":"copybook.access_event","time":"2026-11-20T08:42:58.123456789+00:00","severity":"high","user":"Jörg \"J\" O'Neil","roles":["auditor","ops"],"dstport":443,"subject":null,
"metadata":{"team":"ledger","user-role":"auditor","note":"a\tb\n<c>&d"},
"data":{"payload":{"records":409000,"rate":12.50,"big":12345678901234567890123,"exact":0.1234567890123456789,"ok":true,"none":null,"list":[1,2.50,"x",{"a":[]}],"files":[{"name":"a.cpy","size":7},{"name":"b,c.cpy","size":8}]}}}"#;

#[test]
fn fields_of_an_event() {
    check("none", "{{ id }} {{ severity | upper }} {{ metadata.team }} {{ data.payload.records }}", EVENT, "e-1 HIGH ledger 409000");
    check("none", "{{ metadata['user-role'] }} {{ data.payload.list[2] }} {{ data.payload.list.0 }} {{ roles[-1] }}", EVENT, "auditor x 1 ops");
    check("none", "[{{ subject }}][{{ host }}][{{ data.nothing.at.all }}][{{ user.name }}]", EVENT, "[][][][]");
    check("none", "{{ data.payload.ok }} {{ roles }} {{ data.payload.list }}", EVENT, r#"true ["auditor","ops"] [1,2.50,"x",{"a":[]}]"#);
    // A block of YAML ends with a line break, a statement alone on its line leaves none.
    check("none", "{% if severity == 'high' %}\n!\n{% endif %}\n{{ id }}\n", EVENT, "!\ne-1");
}

#[test]
fn conditions_and_loops() {
    let template = "{% for file in data.payload.files %}{{ loop.index }}:{{ file.name }}={{ file.size }}{% if not loop.last %};{% endif %}{% endfor %}";
    check("none", template, EVENT, "1:a.cpy=7;2:b,c.cpy=8");
    check("none", "{% for name, value in metadata | items %}{{ name }}:{{ value | length }} {% endfor %}", EVENT, "team:6 user-role:7 note:9 ");
    check("none", "{{ 'yes' if data.payload.rate > 12 and 'ops' in roles else 'no' }}", EVENT, "yes");
    check("none", "{% for port in range(3) %}{{ port + dstport }} {% endfor %}", EVENT, "443 444 445 ");
    check(
        "none",
        "{% set ns = namespace(user=0) %}{% for f in data.payload.files %}{% set ns.user = ns.user + f.size %}{% endfor %}{{ ns.user }}",
        EVENT,
        "15",
    );
    check("none", "{{ data.payload.files | map(attribute='name') | join('|') }} {{ data.payload.files | length }}", EVENT, "a.cpy|b,c.cpy 2");
    check("none", "{% if user is defined and host is not defined %}{{ data.payload.none is none }}{% endif %}", EVENT, "true");
    check("none", "{% with total = data.payload.records // 1000 %}{{ total }}{% endwith %}", EVENT, "409");
}

#[test]
fn numbers_keep_their_digits() {
    check("none", "{{ data.payload.rate }} {{ data.payload.big }} {{ data.payload.exact }}", EVENT, "12.50 12345678901234567890123 0.1234567890123456789");
    check("json", "[{{ data.payload.rate }},{{ data.payload.list[1] }},{{ data.payload.big }}]", EVENT, "[12.50,2.50,12345678901234567890123]");
    check("none", "{{ data.payload.list | join(' ') }} {{ data.payload.rate | string ~ ' EUR' }}", EVENT, r#"1 2.50 x {"a":[]} 12.50 EUR"#);
    check("none", "{{ data.payload.rate * 2 }} {{ data.payload.rate + 0.25 }} {{ data.payload.rate | round | int }}", EVENT, "25.0 12.75 12");
    for digits in ["0", "-0", "-7", "1e3", "1E+2", "-1.5e-7", "1e999", "18446744073709551616", "340282366920938463463374607431768211456", "1.10"] {
        let event = format!(r#"{{"id":"1","data":{{"n":{digits},"same":1.1}}}}"#);
        check("json", "[{{ data.same }},{{ data.n }}]", &event, &format!("[1.1,{digits}]"));
    }
}

#[test]
fn json_in_its_places() {
    let template = r#"{"user": {{ user }}, "text": "{{ user }} did \"{{ type }}\" {{ metadata.note }}", "n": {{ dstport }}, "no": {{ host }}, "ok": {{ data.payload.ok }}, "roles": {{ roles }}, "in": "{{ roles }}", "sum": {{ user ~ "!" }}}"#;
    let made = line(&[("template", template), ("escape", "json"), ("content_type", "application/json")], EVENT).unwrap();
    assert_eq!(
        made,
        r#"{"user": "Jörg \"J\" O'Neil", "text": "Jörg \"J\" O'Neil did \"copybook.access_event\" a\tb\n<c>&d", "n": 443, "no": null, "ok": true, "roles": ["auditor","ops"], "in": "[\"auditor\",\"ops\"]", "sum": "Jörg \"J\" O'Neil!"}"#
    );
    check("json", r#"{% if id %}{"a": "{{ id }}{% else %}{"b": "{{ type }}{% endif %}"}"#, EVENT, r#"{"a": "e-1"}"#);
    check(
        "json",
        r#"{"a": {{ [user, {"k": dstport}, none, 1.5] }}, "b": {{ metadata | json }}}"#,
        EVENT,
        r#"{"a": ["Jörg \"J\" O'Neil",{"k":443},null,1.5], "b": {"team":"ledger","user-role":"auditor","note":"a\tb\n<c>&d"}}"#,
    );
    check_refused(&[("template", "{ {{ user }} }"), ("content_type", "application/json")], EVENT, "no well-formed JSON, as `content_type` is application/json");
    check_refused(&[("template", "{{ data.payload.rate / 0.0 }}"), ("escape", "json")], EVENT, "line 1, column 4: unable to calculate 12.5 / 0.0");
}

#[test]
fn escapes() {
    check("xml", "<u a=\"{{ user }}\">{{ metadata.note }}</u>", EVENT, "<u a=\"Jörg &quot;J&quot; O&#39;Neil\">a&#9;b&#10;&lt;c&gt;&amp;d</u>");
    check("xml", "{{ data.x }}", r#"{"data":{"x":"\u0000\u001b\ufffe\uffffé"}}"#, "\u{fffd}\u{fffd}\u{fffd}\u{fffd}é");
    check("csv", "{{ user }},{{ id }},{{ metadata.note }},{{ data.x }}", EVENT, "\"Jörg \"\"J\"\" O'Neil\",e-1,\"a\tb\n<c>&d\",");
    check("csv", "{{ data.x }}", r#"{"data":{"x":" a,b"}}"#, "\" a,b\"");
    check("url", "https://h/{{ user }}?q={{ metadata.note }}", EVENT, "https://h/J%C3%B6rg%20%22J%22%20O%27Neil?q=a%09b%0A%3Cc%3E%26d");
    check("none", "cs1={{ data.x | cef }}|{{ data.x | cef_header }}", r#"{"data":{"x":"a=b\\c|d\ne\u0000"}}"#, "cs1=a\\=b\\\\c|d\\ne |a=b\\\\c\\|d e ");
    // What a filter escaped is not escaped once more; everything else is.
    check("xml", "{{ user | url }} {{ metadata.note | json }} {{ '<' | upper }}", EVENT, "J%C3%B6rg%20%22J%22%20O%27Neil \"a\\tb\\n<c>&d\" &lt;");
    check("json", r#"{"q": "https://h/{{ user | url }}", "b": {{ id | base64 }}}"#, EVENT, r#"{"q": "https://h/J%C3%B6rg%20%22J%22%20O%27Neil", "b": "ZS0x"}"#);
}

#[test]
fn filters_of_our_own() {
    check(
        "none",
        "{{ time | date('%d/%b/%Y:%H:%M:%S %z') }} {{ time | date(\"unix_ms\") }} {{ 1795164178 | date('rfc3339') }}",
        EVENT,
        "20/Nov/2026:08:42:58 +0000 1795164178123 2026-11-20T08:42:58Z",
    );
    check("none", "[{{ id | date('%Y') }}][{{ host | date('%Y') }}][{{ id | date('%Y') | default('never') }}]", EVENT, "[][][never]");
    check("none", "{{ host | default('-') }} {{ subject | default('none') }} {{ '' | default('x') }} {{ '' | default('x', true) }}", EVENT, "- none  x");
    check(
        "none",
        "{{ user | truncate(7) }} {{ user | truncate(4, '') }} {{ user | truncate(99) }} [{{ user | truncate(0) }}] {{ user | truncate(2, '…') }}",
        EVENT,
        "Jörg... Jörg Jörg \"J\" O'Neil [] J…",
    );
    check("none", "{{ roles | base64 }} {{ user | upper | lower }}", EVENT, "WyJhdWRpdG9yIiwib3BzIl0= jörg \"j\" o'neil");
}

#[test]
fn what_is_not_there() {
    let refuse = |template| [("template", template), ("undefined", "refuse")];
    check_refused(&refuse("a\n {{ user }} {{ host }}"), EVENT, "template: line 2, column 16: `host` is not in the event");
    check_refused(&refuse("{{ data.payload.nothing.more }}"), EVENT, "line 1, column 4");
    check_refused(&refuse("{{ host | upper }}"), EVENT, "line 1, column");
    check_refused(&refuse("{{ host | json }}"), EVENT, "line 1, column");
    check_refused(&refuse("{{ id | date('%Y') }}"), EVENT, "the value is no time");
    for (template, want) in
        [("{% if host %}x{% else %}y{% endif %}", "y"), ("{{ host | default('-') }}", "-"), ("{{ host is defined }}", "false"), ("a{{ subject }}", "a")]
    {
        assert_eq!(line(&refuse(template), EVENT).unwrap(), want, "{template}");
    }
    check_refused(&[("template", "{% if host %}x{% endif %}")], EVENT, "the template makes nothing of this event");
}

#[test]
fn what_cannot_work_is_told_before_the_first_event() {
    for (template, words) in [
        ("a\n{{ user", "`template`: line 2, column 4: unexpected end of input"),
        ("{% for %}", "`template`: line 1, column 8: "),
        ("{{ usr }}", "line 1, column 4: `usr` is no field of an event; there are id, source, type"),
        ("x\n  {{ id | uper }}", "line 2, column 11: there is no filter `uper`"),
        ("{{ id is stringy }}", "line 1, column 10: there is no test `stringy`"),
        ("{{ id is not stringy }}", "line 1, column 14: there is no test `stringy`"),
        ("{{ unknown(id) }}", "`unknown` is no field of an event"),
        ("{{ time | date('%Q') }}", "line 1, column 11: \"%Q\" is no date format"),
        ("{{ user.lower() }}", "`.lower()` is a method; there are only filters, as in `value | lower`"),
        ("{% set data = 1 %}", "`data` is a field of the event and cannot be set"),
        ("{% for user in roles %}{% endfor %}", "`user` is a field of the event"),
        ("{% with a = 1, id = 2 %}{% endwith %}", "`id` is a field of the event"),
        ("{% set x %}{{ id }}{% endset %}", "`set` around a block is not offered"),
        ("{% filter upper %}x{% endfilter %}", "the statement `filter` is not offered"),
        ("{% autoescape false %}x{% endautoescape %}", "the statement `autoescape` is not offered"),
        ("{% include 'x' %}", "line 1, column 4: unknown statement include"),
        ("{% macro x() %}{% endmacro %}", "unknown statement macro"),
    ] {
        let error = formatter(&[("template", template)]).unwrap_err();
        assert!(error.contains(words), "{template}: {error}");
    }
    for (config, words) in [
        (r#"{"template":""}"#, "`template` is 0, the least is 1"),
        (r#"{"template":"x","escape":"html"}"#, "`escape` must be one of none, json, xml, csv, url"),
        (r#"{"template":"x","content_type":"text"}"#, "`content_type` is no media type"),
        (r#"{"template":"x","content_type":"a/b\nc"}"#, "`content_type` is no media type"),
        ("{}", "`template` is missing"),
    ] {
        let error = native::formatter::<Template>(config).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn only_named_fields_are_asked_for() {
    for (template, want) in [
        (
            "{{ id }} {{ data.payload.a }} {{ data.payload.b.c }} {{ data.payload.b.d }}",
            vec!["/data/payload/a", "/data/payload/b/c", "/data/payload/b/d", "/id"],
        ),
        ("{{ data.a.b }} {{ data.a }}", vec!["/data/a"]),
        ("{{ data.a }} {{ data['b'] }}", vec!["/data"]),
        ("{% for x in data.list %}{{ x.y }}{% endfor %}", vec!["/data/list"]),
        ("{% set d = data %}{{ d.x }}", vec!["/data"]),
        ("{{ data.list.0 }} {{ original }} {{ received }}", vec!["/data/list", "/original", "/received"]),
        ("{{ data.a | default(metadata.b) }}{% if severity is defined %}{% endif %}", vec!["/data/a", "/metadata/b", "/severity"]),
        ("{% raw %}{{ user }}{% endraw %}{# {{ host }} #}x", vec![]),
    ] {
        let formatter = formatter(&[("template", template)]).unwrap();
        assert_eq!(formatter.fields(), want, "{template}");
    }
    let many: String = (0..70).map(|n| format!("{{{{ data.f{n} }}}}")).collect();
    assert_eq!(formatter(&[("template", &many)]).unwrap().fields(), ["/data"]);
}

#[test]
fn an_event_has_a_budget() {
    let list = format!(r#"{{"data":{{"list":[{}0]}}}}"#, "1,".repeat(2_000));
    check_refused(
        &[("template", "{% for a in data.list %}{% for b in data.list %}{{ a }}{% endfor %}{% endfor %}")],
        &list,
        "the template does more than one event may cost",
    );
    let doubling =
        format!("{{% set x0 = 'xxxxxxxxxxxxxxxx' %}}{}{{{{ x40 }}}}", (0..40).map(|n| format!("{{% set x{} = x{n} ~ x{n} %}}", n + 1)).collect::<String>());
    check_refused(&[("template", &doubling)], EVENT, "the template does more than one event may cost");
    check_refused(&[("template", "{{ 'x' * 100000000 }}")], EVENT, "the template does more than one event may cost");
    check_refused(&[("template", "{{ range(1000000000) }}")], EVENT, "template: line 1");
    check_refused(
        &[("template", "{{ data.nope.list | join(user * 10000000) }}{{ roles | join(user * 10000000) }}")],
        EVENT,
        "the template does more than one event may cost",
    );
    let deep = "[".repeat(200) + &"]".repeat(200);
    check_refused(&[("template", &format!("{{{{ {deep} }}}}"))], EVENT, "line 1");
}

#[test]
fn long_lists_are_walked_not_kept() {
    let event =
        format!(r#"{{"data":{{"list":[{}0],"map":{{{}"k":-1}}}}}}"#, "1,".repeat(5_000), (0..2_000).map(|n| format!("\"k{n}\":{n},")).collect::<String>());
    check(
        "none",
        "{{ data.list | length }} {{ data.list[5000] }} {% for n in data.list %}{% if loop.last %}{{ n }}{% endif %}{% endfor %}",
        &event,
        "5001 0 0",
    );
    check(
        "none",
        "{% for k, v in data.map | items %}{% if loop.index > 1999 %}{{ k }}={{ v }} {% endif %}{% endfor %}{{ data.map.k7 }}",
        &event,
        "k1999=1999 k=-1 7",
    );
}
