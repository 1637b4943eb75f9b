//! From what a directory or a provider says of somebody to the roles of here.

use serde_json::Value;

use crate::role::Role;

/// Values of claims, or groups, that are looked at for one person.
const MOST_VALUES: usize = 1_000;

/// Which values mean which roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleMap(Vec<(String, Vec<Role>)>);

impl RoleMap {
    pub fn new(rows: Vec<(String, Vec<Role>)>) -> Self {
        Self(rows)
    }

    /// The roles of somebody with these values. Without a map a value that is the name of a role is that role.
    pub fn roles<'v>(&self, values: impl IntoIterator<Item = &'v str>) -> Vec<Role> {
        let mut roles: Vec<Role> = Vec::new();
        for value in values.into_iter().take(MOST_VALUES) {
            if self.0.is_empty() {
                roles.extend(Role::named(value));
            }
            roles.extend(self.0.iter().filter(|(known, _)| known == value).flat_map(|(_, roles)| roles.iter().copied()));
        }
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}

/// The texts at a path such as `realm_access.roles` or `resource_access.my.client.roles`: a dot leads into an object, or
/// belongs to a name where the object has that name. A text is a list of one.
pub fn claim_texts<'c>(claims: &'c Value, path: &str) -> Vec<&'c str> {
    match find(claims, path) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).take(MOST_VALUES).collect(),
        _ => Vec::new(),
    }
}

fn find<'c>(value: &'c Value, path: &str) -> Option<&'c Value> {
    let map = value.as_object()?;
    if let Some(found) = map.get(path) {
        return Some(found);
    }
    // The longest name first; a path is configuration, and short.
    let dots: Vec<usize> = path.match_indices('.').map(|(at, _)| at).collect();
    dots.into_iter().rev().find_map(|at| find(map.get(&path[..at])?, &path[at + 1..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_what_providers_say() {
        let claims = json!({
            "realm_access": {"roles": ["admins", 7, "auditor"]}, "resource_access": {"my.client": {"roles": ["viewer"]}},
            "groups": "only one", "https://example.org/roles": ["namespaced"], "deep": {"er": {"x": true}},
        });
        for (path, want) in [
            ("realm_access.roles", vec!["admins", "auditor"]),
            ("resource_access.my.client.roles", vec!["viewer"]),
            ("groups", vec!["only one"]),
            ("https://example.org/roles", vec!["namespaced"]),
            ("deep.er.x", vec![]),
            ("deep.er", vec![]),
            ("absent", vec![]),
            ("realm_access.", vec![]),
            ("", vec![]),
            (".", vec![]),
        ] {
            assert_eq!(claim_texts(&claims, path), want, "{path}");
        }
        assert!(claim_texts(&json!("text"), "groups").is_empty());
    }

    #[test]
    fn a_map_says_which_values_count() {
        let map = RoleMap::new(vec![("admins".into(), vec![Role::SecurityAdmin, Role::Auditor]), ("Viewers".into(), vec![Role::SecurityViewer])]);
        assert_eq!(map.roles(["admins", "viewers", "security_admin", "admins"]), [Role::SecurityAdmin, Role::Auditor]);
        assert_eq!(RoleMap::default().roles(["auditor", "root", "Auditor"]), [Role::Auditor]);
    }
}
