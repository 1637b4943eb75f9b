//! Names of indices.

use bulkhead_sdk::{Timestamp, Writer};

use crate::Rotation;

/// Elastic, "Create index API": lower case, none of these, no `-`, `_`, `+` at the beginning.
pub fn check(name: &str) -> Result<(), String> {
    let forbidden = |letter: char| letter.is_uppercase() || letter.is_whitespace() || letter.is_control() || "\\/*?\"<>|,#:".contains(letter);
    if let Some(letter) = name.chars().find(|letter| forbidden(*letter)) {
        return Err(format!("`index` contains {letter:?}, which a name of an index cannot carry"));
    }
    if name.starts_with(['-', '_', '+']) || matches!(name, "." | "..") {
        return Err(format!("`index` is \"{name}\"; it begins with none of - _ + and is neither . nor .."));
    }
    Ok(())
}

/// What the date adds; nothing where there is no time, which intake never leaves out.
pub fn suffix(rotation: Rotation, moment: Option<Timestamp<'_>>, out: &mut Writer) {
    let Some(moment) = moment.filter(|_| rotation != Rotation::None) else { return };
    let (year, month, day) = moment.date();
    let text = match rotation {
        Rotation::None => return,
        Rotation::Daily => format!("-{year:04}.{month:02}.{day:02}"),
        Rotation::Monthly => format!("-{year:04}.{month:02}"),
        Rotation::Weekly => {
            let (year, week) = moment.iso_week();
            format!("-{year:04}.w{week:02}")
        }
    };
    out.bytes(text.as_bytes());
}
