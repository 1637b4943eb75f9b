//! Who is signed in: a user of this host, or somebody of a directory. One name may be both; they are never taken for one
//! another.

use std::fmt;

use crate::guesses::Source;
use crate::role::Role;
use crate::user::UserName;

const LONGEST_NAME: usize = 128;

/// What somebody of a directory types as their name: 1 to 128 bytes without control characters. `Ada` and `ada ` are
/// one here, as they are to a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirectoryName(Box<str>);

impl DirectoryName {
    /// Nothing for a text that is no name.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() <= LONGEST_NAME && !text.chars().any(char::is_control);
        let name = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        // A few letters are longer in lower case.
        (fits && (1..=LONGEST_NAME).contains(&name.len())).then(|| Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Person {
    User(UserName),
    Directory(DirectoryName),
}

impl Person {
    /// The name, whose ever it is.
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) => name.as_str(),
            Self::Directory(name) => name.as_str(),
        }
    }

    /// For records: `user:<name>` or `ldap:<name>`.
    pub fn actor(&self) -> String {
        match self {
            Self::User(name) => name.actor(),
            Self::Directory(name) => format!("ldap:{}", name.as_str()),
        }
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actor().fmt(f)
    }
}

/// Whether there is such a person or not. Slower than by address: whoever guesses for one name may do so from many.
impl Source for Person {
    const EACH: u64 = 60;
}

/// What a directory said of somebody when it was asked last: the entry, and the roles of its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    pub dn: String,
    pub roles: Vec<Role>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_directories_are_wider_and_still_bounded() {
        let name = |text: &str| DirectoryName::parse(text).map(|name| name.as_str().to_owned());
        assert_eq!(name(" Jos\u{c9}  O'Brien (ops)* "), Some("jos\u{e9} o'brien (ops)*".into()));
        assert_eq!(name(&"a".repeat(128)).map(|name| name.len()), Some(128));
        for bad in ["", " ", "a\0b", "a\nb", "a\u{1b}[2J", "\u{85}", &"a".repeat(129), &"\u{130}".repeat(64)] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn one_name_may_be_two() {
        let (user, other) = (Person::User(UserName::parse("ada").expect("a name")), Person::Directory(DirectoryName::parse("ADA").expect("a name")));
        assert_ne!(user, other);
        assert_eq!((user.actor(), other.actor()), ("user:ada".into(), "ldap:ada".into()));
        assert_eq!(user.name(), other.name());
    }
}
