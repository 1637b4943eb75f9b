//! Roles: sets of permissions under the names that people use for their work.

use crate::permission::{Permission as P, Permissions};

/// What somebody is here for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    SecurityAdmin,
    SecurityAnalyst,
    SecurityViewer,
    IntegrationAdmin,
    Auditor,
    ApiService,
}

impl Role {
    pub const ALL: [Self; 6] = [Self::SecurityAdmin, Self::SecurityAnalyst, Self::SecurityViewer, Self::IntegrationAdmin, Self::Auditor, Self::ApiService];

    /// Together they may do everything: the roles of the first key. No single one may, so that whoever runs
    /// a system need not be the one who reviews it.
    pub const FIRST: [Self; 3] = [Self::SecurityAdmin, Self::IntegrationAdmin, Self::Auditor];

    pub fn name(self) -> &'static str {
        match self {
            Self::SecurityAdmin => "security_admin",
            Self::SecurityAnalyst => "security_analyst",
            Self::SecurityViewer => "security_viewer",
            Self::IntegrationAdmin => "integration_admin",
            Self::Auditor => "auditor",
            Self::ApiService => "api_service",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    pub const fn permissions(self) -> Permissions {
        match self {
            Self::SecurityAdmin => Permissions::of(&[
                P::EventsRead,
                P::EventsWrite,
                P::AlertsRead,
                P::AlertsWrite,
                P::CasesRead,
                P::CasesWrite,
                P::WorkflowsExecute,
                P::IntegrationsRead,
                P::IntegrationsWrite,
                P::ConnectorsInstall,
                P::DeadLettersReplay,
                P::SystemAdmin,
            ]),
            Self::SecurityAnalyst => {
                Permissions::of(&[P::EventsRead, P::AlertsRead, P::AlertsWrite, P::CasesRead, P::CasesWrite, P::WorkflowsExecute, P::IntegrationsRead])
            }
            Self::SecurityViewer => Permissions::of(&[P::EventsRead, P::AlertsRead, P::CasesRead, P::IntegrationsRead]),
            Self::IntegrationAdmin => Permissions::of(&[
                P::IntegrationsRead,
                P::IntegrationsWrite,
                P::IntegrationsQuery,
                P::ConnectorsInstall,
                P::ConnectorsGrant,
                P::DeadLettersReplay,
                P::SystemMonitor,
            ]),
            Self::Auditor => Permissions::of(&[P::EventsRead, P::IntegrationsRead, P::AuditRead]),
            Self::ApiService => Permissions::of(&[P::EventsWrite, P::AlertsWrite, P::SystemMonitor]),
        }
    }

    /// What several roles may do together.
    pub fn union(roles: &[Self]) -> Permissions {
        roles.iter().fold(Permissions::default(), |all, role| all.and(role.permissions()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(role));
        }
        assert_eq!(Role::named("root"), None);
    }

    #[test]
    fn the_first_key_may_do_everything_and_no_single_role_may() {
        assert_eq!(Role::union(&Role::FIRST), Permissions::all());
        for role in Role::ALL {
            assert_ne!(role.permissions(), Permissions::all(), "{role:?}");
        }
    }

    #[test]
    fn duties_are_apart() {
        let holders = |permission| Role::ALL.into_iter().filter(|role| role.permissions().has(permission)).collect::<Vec<_>>();
        assert_eq!(holders(P::SystemAdmin), [Role::SecurityAdmin]);
        assert_eq!(holders(P::AuditRead), [Role::Auditor]);
        // Whoever brings a component in is not alone the one who grants it what it asks for.
        assert_eq!(holders(P::ConnectorsGrant), [Role::IntegrationAdmin]);
        for reader in [Role::SecurityAnalyst, Role::SecurityViewer, Role::Auditor] {
            for permission in [P::IntegrationsWrite, P::ConnectorsInstall, P::DeadLettersReplay, P::EventsWrite] {
                assert!(!reader.permissions().has(permission), "{reader:?} {permission:?}");
            }
        }
    }
}
