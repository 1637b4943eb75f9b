//! What a request may need. Names are part of the API and never change.

/// One right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Permission {
    EventsRead,
    EventsWrite,
    AlertsRead,
    AlertsWrite,
    CasesRead,
    CasesWrite,
    WorkflowsExecute,
    SystemAdmin,
    SystemMonitor,
    IntegrationsRead,
    IntegrationsWrite,
    IntegrationsQuery,
    ConnectorsInstall,
    ConnectorsGrant,
    AuditRead,
    DeadLettersReplay,
}

impl Permission {
    pub const ALL: [Self; 16] = [
        Self::EventsRead,
        Self::EventsWrite,
        Self::AlertsRead,
        Self::AlertsWrite,
        Self::CasesRead,
        Self::CasesWrite,
        Self::WorkflowsExecute,
        Self::SystemAdmin,
        Self::SystemMonitor,
        Self::IntegrationsRead,
        Self::IntegrationsWrite,
        Self::IntegrationsQuery,
        Self::ConnectorsInstall,
        Self::ConnectorsGrant,
        Self::AuditRead,
        Self::DeadLettersReplay,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::EventsRead => "events:read",
            Self::EventsWrite => "events:write",
            Self::AlertsRead => "alerts:read",
            Self::AlertsWrite => "alerts:write",
            Self::CasesRead => "cases:read",
            Self::CasesWrite => "cases:write",
            Self::WorkflowsExecute => "workflows:execute",
            Self::SystemAdmin => "system:admin",
            Self::SystemMonitor => "system:monitor",
            Self::IntegrationsRead => "integrations:read",
            Self::IntegrationsWrite => "integrations:write",
            Self::IntegrationsQuery => "integrations:query",
            Self::ConnectorsInstall => "connectors:install",
            Self::ConnectorsGrant => "connectors:grant",
            Self::AuditRead => "audit:read",
            Self::DeadLettersReplay => "dead_letters:replay",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    pub fn all() -> Self {
        Self::of(&Permission::ALL)
    }

    pub const fn of(permissions: &[Permission]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < permissions.len() {
            bits |= permissions[at].bit();
            at += 1;
        }
        Self(bits)
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_and_a_bit_of_its_own() {
        let names: BTreeSet<&str> = Permission::ALL.iter().map(|permission| permission.name()).collect();
        assert_eq!(names.len(), Permission::ALL.len());
        for permission in Permission::ALL {
            assert_eq!(Permissions::of(&[permission]).iter().collect::<Vec<_>>(), [permission]);
        }
        assert_eq!(Permissions::all().iter().count(), Permission::ALL.len());
    }
}
