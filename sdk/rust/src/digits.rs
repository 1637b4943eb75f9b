//! Numbers that are computed with and written with the digits of the event all the same.
//!
//! A number with decimals becomes a binary fraction when it is computed with, and would come back with other
//! digits. So the digits of those that were looked at last are kept beside their value; a value is mostly
//! written right after it was looked up.

/// How many numbers are kept in mind.
const KEPT: usize = 32;

/// Digits of numbers, by value; in a ring.
#[derive(Debug, Clone, Default)]
pub struct Digits {
    kept: Vec<(u64, String)>,
    next: usize,
}

impl Digits {
    pub const fn new() -> Self {
        Self { kept: Vec::new(), next: 0 }
    }

    /// Before the next event.
    pub fn forget(&mut self) {
        self.kept.clear();
        self.next = 0;
    }

    /// This number was read, spelled so. The one read last counts: 1.10 and 1.1 have the same value.
    pub fn keep(&mut self, number: f64, digits: &str) {
        let bits = number.to_bits();
        if let Some((_, known)) = self.kept.iter_mut().find(|(known, _)| *known == bits) {
            known.clear();
            known.push_str(digits);
        } else if self.kept.len() < KEPT {
            self.kept.push((bits, digits.to_owned()));
        } else if let Some(place) = self.kept.get_mut(self.next % KEPT) {
            *place = (bits, digits.to_owned());
            self.next += 1;
        }
    }

    /// The digits that the event has for this value; the shortest ones where it has it nowhere.
    pub fn of(&self, number: f64) -> String {
        let bits = number.to_bits();
        self.kept.iter().find(|(known, _)| *known == bits).map_or_else(|| format!("{number:?}"), |(_, digits)| digits.clone())
    }
}

/// Whether digits are a number of JSON; those of infinity and of what is no number are not.
pub fn are_json(digits: &str) -> bool {
    digits.bytes().last().is_some_and(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were_spelled() {
        let mut digits = Digits::new();
        for text in ["1.10", "12.50", "1e3", "-0", "0.1234567890123456789", "1e999"] {
            digits.keep(text.parse().unwrap(), text);
            assert_eq!(digits.of(text.parse().unwrap()), text);
        }
        digits.keep(1.1, "1.1");
        assert_eq!((digits.of(1.1), digits.of(12.5), digits.of(0.25)), ("1.1".into(), "12.50".into(), "0.25".into()));
        digits.forget();
        assert_eq!(digits.of(12.5), "12.5");
    }

    #[test]
    fn only_the_last_ones_are_kept() {
        let mut digits = Digits::new();
        for number in 0..100 {
            digits.keep(f64::from(number), &format!("{number}.00"));
        }
        assert_eq!((digits.of(99.0), digits.of(68.0), digits.of(67.0)), ("99.00".into(), "68.00".into(), "67.0".into()));
    }

    #[test]
    fn what_json_has_no_digits_for() {
        let mut digits = Digits::new();
        digits.keep(f64::INFINITY, "1e400");
        assert!(are_json(&digits.of(f64::INFINITY)) && are_json("-1.5e-7") && are_json("1e21"));
        assert!(!are_json(&digits.of(f64::NEG_INFINITY)) && !are_json(&digits.of(f64::NAN)) && !are_json(""));
    }
}
