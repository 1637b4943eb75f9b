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

pub(super) static LDAP: Section = Section {
    name: "ldap",
    keys: &[
        key(
            "url",
            OneOrMany(&Text),
            Required,
            "Servers of the directory, asked in this order until one answers: ldaps://host, or ldap://host, which begins TLS by StartTLS. Nothing is said in the clear.",
        ),
        key("ca", Path, Optional, "PEM file with the authorities of the servers' certificates, in place of the machine's."),
        key("bind_dn", Text, Optional, "Who looks people up, where people are found by a search."),
        key("bind_password", Secret, Optional, "The password of bind_dn."),
        key("user_base", Text, Optional, "Below which entry people are."),
        key("user_filter", Text, Optional, "What finds exactly one of them, with {username}: (uid={username})."),
        key(
            "user_dn",
            Text,
            Optional,
            "In place of bind_dn: what people are called, with {username}: uid={username},ou=people,dc=example, or {username}@corp.example beside user_base and user_filter.",
        ),
        key("group_attribute", Text, Optional, "Where a person's entry names the groups; memberOf where neither this nor group_base is written."),
        key("group_base", Text, Optional, "Below which entry groups are that are searched for."),
        key("group_filter", Text, Optional, "What finds a person's groups, with {dn} or {username}: (member={dn})."),
        key(
            "roles",
            List { of: &Map(&ROLES_OF_GROUPS), min: 1, max: 256 },
            Required,
            "Which groups are which roles here; who is in none of them is not signed in.",
        ),
        key("timeout", Duration { min: 100, max: 60 * SECOND }, Default("5s"), "For everything that one server is asked about one person."),
        key("session_for", Duration { min: SECOND, max: 30 * DAY }, Default("12h"), "A session of somebody from the directory ends after this in any case."),
    ],
};

static ROLES_OF_GROUPS: Section = Section {
    name: "roles_of_groups",
    keys: &[
        key("value", Text, Required, "The name of the group's entry; or its common name, which fits every group that is called so."),
        key("roles", OneOrMany(&Choice(ROLES)), Required, "What it means here."),
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
