//! "Did you mean": the known word nearest to what was written.

/// A hint for an unknown word: the nearest known one, else all of them.
pub(super) fn hint(written: &str, known: &[&str]) -> String {
    match nearest(written, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "nothing is possible here".into(),
        None => format!("possible are {}", known.join(", ")),
    }
}

/// The known word within a third of its length, at least two edits.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let near = known.iter().map(|word| (distance(&written, word), *word)).min_by_key(|(distance, _)| *distance)?;
    (near.0 <= (near.1.len() / 3).max(2).min(near.1.len().saturating_sub(1))).then_some(near.1)
}

/// Edits from one word to the other, a swap of neighbours being one; words are cut at 64 bytes.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (&a.as_bytes()[..a.len().min(64)], &b.as_bytes()[..b.len().min(64)]);
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let change = usize::from(a[i - 1] != b[j - 1]);
                    let best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    if swapped { best.min(rows[i - 2][j - 2] + 1) } else { best }
                }
            };
        }
    }
    rows[a.len()][b.len()]
}
