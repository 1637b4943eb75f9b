//! How far somebody sees: everything, or what is of one tenant. What is of nobody is the operator's, and no tenant's.

use bulkhead_core::Tenant;

/// Whose things somebody sees and changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(Option<Tenant>);

impl Scope {
    /// Everybody's.
    pub const HOST: Self = Self(None);

    pub fn new(tenant: Option<Tenant>) -> Self {
        Self(tenant)
    }

    /// Nothing for somebody who sees everything.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.0.as_ref()
    }

    /// The same as text, for questions to the store.
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(Tenant::as_str)
    }

    pub fn is_host(&self) -> bool {
        self.0.is_none()
    }

    /// Whether something of this owner is within it; no owner: the operator's.
    pub fn sees(&self, owner: Option<&Tenant>) -> bool {
        self.0.as_ref().is_none_or(|own| owner == Some(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_sees_its_own_and_the_host_everything() {
        let (a, b) = (Tenant::new("a"), Tenant::new("b"));
        let scope = Scope::new(a.clone());
        assert!(scope.sees(a.as_ref()) && !scope.sees(b.as_ref()) && !scope.sees(None) && !scope.is_host());
        assert!(!Scope::new(Some(Tenant::default())).sees(None), "what is of nobody is not the default tenant's");
        assert!(Scope::HOST.is_host() && Scope::HOST.sees(None) && Scope::HOST.sees(b.as_ref()));
        assert_eq!((scope.name(), Scope::HOST.name()), (Some("a"), None));
    }
}
