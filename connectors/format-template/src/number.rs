//! Numbers of a template.

use std::cell::RefCell;

use bulkhead_sdk::digits::Digits;
use minijinja::Value;

thread_local! { static DIGITS: RefCell<Digits> = const { RefCell::new(Digits::new()) }; }

/// Forgets the numbers of the event before.
pub fn forget() {
    DIGITS.with_borrow_mut(Digits::forget);
}

/// The number of these digits.
pub fn value(digits: &str) -> Value {
    let whole = !digits.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) && digits != "-0";
    if whole {
        if let Ok(number) = digits.parse::<i64>() {
            return Value::from(number);
        }
        if let Ok(number) = digits.parse::<u64>() {
            return Value::from(number);
        }
        if let Ok(number) = digits.parse::<i128>() {
            return Value::from(number);
        }
    }
    match digits.parse::<f64>() {
        Ok(number) => {
            DIGITS.with_borrow_mut(|kept| kept.keep(number, digits));
            Value::from(number)
        }
        Err(_) => Value::UNDEFINED,
    }
}

/// The digits of a value that is a number.
pub fn digits(value: &Value) -> Option<String> {
    if !value.is_number() {
        return None;
    }
    if value.is_integer() {
        return Some(value.to_string());
    }
    let number = f64::try_from(value.clone()).ok()?;
    Some(DIGITS.with_borrow(|kept| kept.of(number)))
}
