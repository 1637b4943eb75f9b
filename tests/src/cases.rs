//! The cases of the threat model and their proofs: which there are, what the document says of each, and
//! whether that agrees with the tests at hand. A test of case H09b is called `h09b_…`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every case that needs a test or a reason.
pub const CASES: [&str; 70] = [
    "H01", "H02", "H03", "H04", "H05", "H06", "H07", "H08", "H09", "H09b", "H10", "H11", "H12", "H13", "H14", "H15", "H16", "H17", "H18", "H19", "H20", "H21",
    "H22", "H23", "H24", "H25", "H26", "H27", "H28", "H30", "H31", "H32", "H33", "H34", "H35", "H36", "H40", "H41", "H42", "H43", "H44", "H45", "H46", "H47",
    "H48", "H49", "H50", "H51", "H52", "H53", "H54", "H55", "H60", "H60b", "H60c", "H60d", "H61", "H62", "H63", "H70", "H71", "H72", "H73", "H74", "H75",
    "H76", "H77", "H78", "H79", "H80",
];

/// One row of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub case: String,
    /// What the guest tries.
    pub what: String,
    pub proof: Proof,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Names of tests, with their modules.
    Tests(Vec<String>),
    /// Why there is no test.
    Reason(String),
    Nothing,
}

/// Where the document lies.
pub fn document(root: &Path) -> PathBuf {
    root.join("docs/operators/threat-model.md")
}

/// The case that a test proves: `egress::h47_forms` proves H47.
pub fn of_test(test: &str) -> Option<String> {
    let name = test.rsplit("::").next()?.strip_prefix('h')?;
    let number = name.split('_').next()?;
    let digits = number.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let letter = &number[2..];
    let plain = letter.is_empty() || (letter.len() == 1 && letter.bytes().all(|byte| byte.is_ascii_lowercase()));
    (plain && name.len() > number.len()).then(|| format!("H{digits}{letter}"))
}

/// Tests by the case that they prove.
pub fn by_case<'a>(tests: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Vec<String>> {
    let mut cases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for test in tests {
        if let Some(case) = of_test(test) {
            cases.entry(case).or_default().push(test.to_owned());
        }
    }
    cases.values_mut().for_each(|tests| tests.sort());
    cases
}

/// Rows of the table of cases: lines `| H01 | what | proof |`.
pub fn rows(document: &str) -> Vec<Row> {
    document.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let mut cells = line.strip_prefix("| H")?.trim_end().strip_suffix('|')?.splitn(3, '|').map(str::trim);
    let (case, what, proof) = (cells.next()?, cells.next()?, cells.next()?);
    if !case.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let tests: Vec<String> = proof.split('`').skip(1).step_by(2).filter(|name| of_test(name).is_some()).map(str::to_owned).collect();
    let proof = match (proof.is_empty(), tests.is_empty()) {
        (true, _) => Proof::Nothing,
        (_, false) => Proof::Tests(tests),
        _ => Proof::Reason(proof.to_owned()),
    };
    Some(Row { case: format!("H{case}"), what: what.to_owned(), proof })
}

/// What is wrong: a case without a row, a row without a proof, a test that is named and is not there. A
/// test that no row names yet is in the second list.
pub fn check(document: &str, tests: &BTreeMap<String, Vec<String>>) -> (Vec<String>, Vec<String>) {
    let rows = rows(document);
    let known: BTreeSet<&str> = tests.values().flatten().map(String::as_str).collect();
    let (mut wrong, mut unnamed) = (Vec::new(), Vec::new());
    for case in CASES {
        let mut of_case = rows.iter().filter(|row| row.case == case);
        let (Some(row), None) = (of_case.next(), of_case.next()) else {
            wrong.push(format!("{case} needs exactly one row in the document"));
            continue;
        };
        let here = tests.get(case).map(Vec::as_slice).unwrap_or_default();
        match &row.proof {
            Proof::Nothing if here.is_empty() => wrong.push(format!("{case} has neither a test nor a reason")),
            Proof::Tests(named) => {
                wrong.extend(named.iter().filter(|name| !known.contains(name.as_str())).map(|name| format!("{case}: there is no test `{name}`")));
                unnamed.extend(here.iter().filter(|test| !named.contains(test)).cloned());
            }
            Proof::Nothing | Proof::Reason(_) => unnamed.extend(here.iter().cloned()),
        }
    }
    for row in rows.iter().filter(|row| !CASES.contains(&row.case.as_str())) {
        wrong.push(format!("{} is no case", row.case));
    }
    for (case, tests) in tests.iter().filter(|(case, _)| !CASES.contains(&case.as_str())) {
        wrong.push(format!("{case} is no case; see {}", tests.join(", ")));
    }
    (wrong, unnamed)
}

/// The document with the tests at hand in the rows of their cases; reasons of cases without stay.
pub fn rewritten(document: &str, tests: &BTreeMap<String, Vec<String>>) -> String {
    let mut out = String::with_capacity(document.len());
    for line in document.lines() {
        match row(line).and_then(|row| Some((tests.get(&row.case)?, row))) {
            Some((tests, row)) => {
                let names: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
                out.push_str(&format!("| {} | {} | {} |\n", row.case, row.what, names.join(", ")));
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_case() {
        for (test, want) in [
            ("cpu::h10_loops", Some("H10")),
            ("h09b_start", Some("H09b")),
            ("a::b::h60d_x", Some("H60d")),
            ("cpu::h1_x", None),
            ("cpu::h10", None),
            ("cpu::h10bc_x", None),
            ("cpu::hello", None),
            ("cpu::a_h10_x", None),
        ] {
            assert_eq!(of_test(test).as_deref(), want, "{test}");
        }
    }

    #[test]
    fn the_table_is_held_against_the_tests() {
        let mut text: String = CASES.iter().map(|case| format!("| {case} | what | Does not apply: no such thing. |\n")).collect();
        let tests = by_case(["cpu::h10_a", "cpu::h10_b", "x::helper"]);
        assert_eq!(check(&text, &tests), (vec![], vec!["cpu::h10_a".to_owned(), "cpu::h10_b".to_owned()]));
        text = rewritten(&text, &tests);
        assert!(text.contains("| H10 | what | `cpu::h10_a`, `cpu::h10_b` |\n") && text.contains("| H11 | what | Does not apply"), "{text}");
        assert_eq!(check(&text, &tests), (vec![], vec![]));
        let fewer = by_case(["cpu::h10_a"]);
        assert_eq!(check(&text, &fewer).0, ["H10: there is no test `cpu::h10_b`"]);
        let silent = text.replace("| H11 | what | Does not apply: no such thing. |", "| H11 | what | |");
        assert_eq!(check(&silent, &tests).0, ["H11 has neither a test nor a reason"]);
        let short = text.replace("| H12 |", "| H99 |");
        assert_eq!(check(&short, &tests).0, ["H12 needs exactly one row in the document", "H99 is no case"]);
        assert_eq!(check(&text, &by_case(["cpu::h10_a", "cpu::h10_b", "x::h37_y"])).0, ["H37 is no case; see x::h37_y"]);
    }
}
