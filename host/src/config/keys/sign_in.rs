//! How people sign in at the API, and which web pages may use it.

use super::*;

pub(super) static SIGN_IN: Section = Section {
    name: "sign_in",
    keys: &[
        key("access_for", Duration { min: SECOND, max: HOUR }, Default("15m"), "Life of an access token."),
        key("refresh_for", Duration { min: SECOND, max: 90 * DAY }, Default("24h"), "A session in which nobody asks for the next tokens ends after this."),
        key("session_for", Duration { min: SECOND, max: 365 * DAY }, Default("30d"), "A session ends after this in any case."),
    ],
};

pub(super) static OIDC: Section = Section {
    name: "oidc",
    keys: &[
        key("issuer", Url, Required, "The provider as it calls itself; its keys are found from there. https, or http on this machine."),
        key("audience", OneOrMany(&Text), Required, "Whom a token must be for: one of these."),
        key(
            "algorithms",
            List { of: &Choice(JwtAlgorithm::NAMES), min: 1, max: 9 },
            Default("[RS256, ES256]"),
            "How a token may be signed; never without a signature, never with a shared secret.",
        ),
        key("username_claim", Text, Default("preferred_username"), "What a token calls somebody; `sub` where it has no such claim."),
        key(
            "role_claims",
            OneOrMany(&Text),
            Default("roles"),
            "Where a token says what somebody is: realm_access.roles, resource_access.<client>.roles, groups and the like.",
        ),
        key(
            "roles",
            List { of: &Map(&ROLES_OF), min: 0, max: 256 },
            Default("[]"),
            "Which of those values are which roles here; without any, a value that is the name of a role is that role.",
        ),
        key(
            "tenant_claim",
            Text,
            Optional,
            "Where a token says whose somebody is, one tenant; who says none, or several, is not let in. In place of `tenant` in `roles`.",
        ),
        key("leeway", Duration { min: 0, max: 5 * 60 * SECOND }, Default("30s"), "How far the provider's clock may be off."),
        key("ca", Path, Optional, "PEM file with the authorities of the provider's certificate, in place of the machine's."),
        key("client_id", Text, Optional, "Who `bulkhead login` is at the provider: a public client, for the device code or the loopback address."),
        key("scopes", List { of: &Text, min: 1, max: 32 }, Default("[openid, profile, offline_access]"), "What `bulkhead login` asks for."),
    ],
};

static ROLES_OF: Section = Section {
    name: "roles_of",
    keys: &[
        key("value", Text, Required, "As the token has it."),
        key("roles", OneOrMany(&Choice(ROLES)), Required, "What it means here."),
        key("tenant", Tenant, Optional, "Whose somebody with it is: they see this tenant's things alone; everything where absent."),
    ],
};

/// The names of [`Role::ALL`]; a test holds both against each other.
const ROLES: &[&str] = &["security_admin", "security_analyst", "security_viewer", "integration_admin", "auditor", "api_service"];

pub(super) static CORS: Section = Section {
    name: "cors",
    keys: &[key("origins", List { of: &Text, min: 0, max: 64 }, Default("[]"), "Origins of such pages, each in full: https://console.example:8443.")],
};

#[cfg(test)]
mod tests {
    use bulkhead_access::Role;

    #[test]
    fn roles_are_those_that_there_are() {
        assert_eq!(super::ROLES, Role::ALL.map(Role::name));
    }
}
