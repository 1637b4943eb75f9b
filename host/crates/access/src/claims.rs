//! From what a directory or a provider says of somebody to the roles of here.

use bulkhead_core::Tenant;
use serde_json::Value;

use crate::role::Role;

/// Values of claims, or groups, that are looked at for one person.
const MOST_VALUES: usize = 1_000;

/// What one value means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    pub value: String,
    pub roles: Vec<Role>,
    /// Whose somebody with it is; nothing: the host's.
    pub tenant: Option<Tenant>,
}

/// Somebody has values of several tenants: whose they are nobody can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeveralTenants;

/// Which values mean which roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleMap(Vec<RoleRow>);

impl RoleMap {
    pub fn new(rows: Vec<(String, Vec<Role>)>) -> Self {
        Self::with_tenants(rows.into_iter().map(|(value, roles)| RoleRow { value, roles, tenant: None }).collect())
    }

    pub fn with_tenants(rows: Vec<RoleRow>) -> Self {
        Self(rows)
    }

    /// The roles of somebody with these values, and whose they are. One value of a tenant makes them this tenant's, with
    /// the roles that it gives and none of the host's: whoever is of a tenant sees nothing beyond it.
    pub fn judge<'v>(&self, values: impl IntoIterator<Item = &'v str>) -> Result<(Vec<Role>, Option<Tenant>), SeveralTenants> {
        let values: Vec<&str> = values.into_iter().take(MOST_VALUES).collect();
        let mut tenants: Vec<&Tenant> = self.0.iter().filter(|row| values.contains(&row.value.as_str())).filter_map(|row| row.tenant.as_ref()).collect();
        tenants.sort_unstable();
        tenants.dedup();
        let tenant = match tenants[..] {
            [] => return Ok((self.roles(values), None)),
            [tenant] => tenant.clone(),
            _ => return Err(SeveralTenants),
        };
        let own = self.0.iter().filter(|row| row.tenant.as_ref() == Some(&tenant)).cloned().collect();
        Ok((Self(own).roles(values), Some(tenant)))
    }

    /// The roles of somebody with these values. Without a map a value that is the name of a role is that role.
    pub fn roles<'v>(&self, values: impl IntoIterator<Item = &'v str>) -> Vec<Role> {
        let mut roles: Vec<Role> = Vec::new();
        for value in values.into_iter().take(MOST_VALUES) {
            if self.0.is_empty() {
                roles.extend(Role::named(value));
            }
            roles.extend(self.0.iter().filter(|row| row.value == value).flat_map(|row| row.roles.iter().copied()));
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

    #[test]
    fn one_value_of_a_tenant_makes_somebody_its_own_and_takes_what_is_the_hosts() {
        let row = |value: &str, roles: &[Role], tenant: &str| RoleRow { value: value.into(), roles: roles.to_vec(), tenant: Tenant::new(tenant) };
        let map = RoleMap::with_tenants(vec![
            row("everybody", &[Role::SecurityViewer], ""),
            row("acme-admins", &[Role::IntegrationAdmin], "acme"),
            row("acme-audit", &[Role::Auditor], "acme"),
            row("other", &[Role::SecurityAdmin], "other"),
        ]);
        assert_eq!(map.judge(["everybody"]), Ok((vec![Role::SecurityViewer], None)));
        assert_eq!(map.judge(["everybody", "acme-admins", "acme-audit"]), Ok((vec![Role::IntegrationAdmin, Role::Auditor], Tenant::new("acme"))));
        assert_eq!(map.judge(["acme-admins", "other"]), Err(SeveralTenants));
        assert_eq!(map.judge(["nothing"]), Ok((vec![], None)));
    }
}
