//! What a version asks an operator for, in the words of uploads, against what the first one of this session did.

use bulkhead_registry::{Asks, widening};

/// A line for each thing, `+` before what is new and `-` before what is gone; then what an upload would come to.
pub fn difference(first: &Asks, now: &Asks) -> String {
    let mut text = String::from("it asks for:");
    if first.union(now).next().is_none() {
        text.push_str("\n    nothing");
    }
    for ask in first.union(now) {
        let mark = match (first.contains(ask), now.contains(ask)) {
            (false, _) => '+',
            (_, false) => '-',
            _ => ' ',
        };
        text.push_str(&format!("\n  {mark} {ask}"));
    }
    let more = widening(now, first);
    text.push_str(match more.len() {
        0 => "\nno more than when `dev` began",
        _ => "\nmore than when `dev` began: where that was approved, an upload of this one waits for somebody to approve it",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_and_what_is_gone_are_marked() {
        let asks = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Asks>();
        let (first, now) = (asks(&["http", "http primary"]), asks(&["http", "state"]));
        assert_eq!(difference(&first, &now).lines().collect::<Vec<_>>()[..4], ["it asks for:", "    http", "  - http primary", "  + state"]);
        assert!(difference(&first, &now).contains("waits for somebody"));
        assert!(difference(&first, &first).ends_with("no more than when `dev` began"));
        assert!(difference(&now, &asks(&["http"])).ends_with("no more than when `dev` began"), "less needs nobody");
        assert!(difference(&asks(&[]), &asks(&[])).contains("nothing"));
    }
}
