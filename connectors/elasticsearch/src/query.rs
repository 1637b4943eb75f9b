//! Questions: a search in an index, in the cluster's own query language.
//! Protocol: Elastic, "Search API" (9.x).

use bulkhead_sdk::{Delivery, Failure, Kind, Outcome, Value, http, json};

/// Hits of one answer; beyond it the cluster refuses (`index.max_result_window`).
const MOST: i64 = 10_000;

/// `search` with `index` (a name, a list with commas or a pattern; the instance's own where absent) and `body`.
pub fn answer(own: &str, operation: &str, parameters: &str) -> Result<String, Failure> {
    let refused = |reason: String| Failure::Other(format!("parameters: {reason}"));
    if operation != "search" {
        return Err(Failure::Other(format!("there is no operation `{}`; there is search", operation.escape_default())));
    }
    if !json::is_strict(parameters) {
        return Err(refused("no JSON".to_owned()));
    }
    let parameters = json::value(parameters).unwrap_or(Value::MISSING);
    if let Some((name, _)) = parameters.members().find(|(name, _)| !name.is("index") && !name.is("body")) {
        return Err(refused(format!("`{}` is unknown; known here are index, body", String::from_utf8_lossy(name.raw()))));
    }
    let body = parameters.member("body");
    if body.is_some() && body.kind() != Kind::Object {
        return Err(refused("`body` is an object, the search".to_owned()));
    }
    let reach = body.member("from").integer().unwrap_or_default().saturating_add(body.member("size").integer().unwrap_or(10));
    if reach > MOST {
        return Err(refused(format!("`body` asks for hits up to {reach}, the most is {MOST}; page with search_after")));
    }
    let index = parameters.member("index").text().map_or_else(|| format!("{own}*"), |index| String::from_utf8_lossy(&index).into_owned());
    let names: Vec<String> = index.split(',').map(|name| http::percent(name.as_bytes()).replace("%2A", "*")).collect();
    if names.iter().any(|name| name.is_empty() || name.starts_with('_')) {
        return Err(refused("`index` is a name, names with commas, or a pattern such as logs-*".to_owned()));
    }
    let body = if body.is_some() { body.raw() } else { b"{}" };
    let response = http::post("primary", &format!("/{}/_search", names.join(","))).header("content-type", "application/json").body(body.to_vec()).send()?;
    match Delivery::from_status(&response)? {
        _ if response.truncated => Err(Failure::Other("the answer is larger than `limits.http_response`; ask for fewer hits".to_owned())),
        Delivery::All(Outcome::Rejected(reason)) => Err(Failure::Other(reason)),
        _ => String::from_utf8(response.body).map_err(|_| Failure::Other("the cluster answered what is not UTF-8".to_owned())),
    }
}
