//! Credentials, and programs that print them.

use super::*;

pub(super) const CREDENTIALS: &[(&str, &Section)] = &[
    (
        "header",
        &Section {
            name: "header_credential",
            keys: &[
                TENANT,
                key("name", Text, Required, "Name of the header field."),
                key("prefix", AnyText, Default("''"), "Text before the value, for example \"Splunk \"."),
                key("value", SecretValue, Required, "The secret."),
            ],
        },
    ),
    (
        "query",
        &Section {
            name: "query_credential",
            keys: &[TENANT, key("name", Text, Required, "Name of the query parameter."), key("value", SecretValue, Required, "The secret.")],
        },
    ),
    (
        "basic",
        &Section {
            name: "basic_credential",
            keys: &[TENANT, key("username", Text, Required, "User name, without a colon."), key("password", SecretValue, Required, "Password.")],
        },
    ),
    ("bearer", &Section { name: "bearer_credential", keys: &[TENANT, key("token", SecretValue, Required, "Token for `Authorization: Bearer`.")] }),
    (
        "hmac",
        &Section {
            name: "hmac_credential",
            keys: &[
                TENANT,
                key(
                    "scheme",
                    Choice(&["datavault", "standard-webhooks", "custom"]),
                    Required,
                    "datavault: X-Webhook-Signature over the body; standard-webhooks: webhook-signature over id, timestamp and body; custom: as the other keys say.",
                ),
                key("secret", OneOrMany(&SecretValue), Required, "The key, or several during a rotation, the new one first; for standard-webhooks `whsec_…`."),
                key("header", Text, Optional, "custom: name of the signature's header field."),
                key("prefix", AnyText, Optional, "custom: text before the signature, for example \"sha256=\"; none where absent."),
                key("encoding", Choice(&["hex", "base64"]), Optional, "custom: how the signature is written; hex where absent."),
                key("signs", Choice(&["body", "timestamp.body", "id.timestamp.body"]), Optional, "custom: what is signed; body where absent."),
                key("id_header", Text, Optional, "custom: header field of a signed id; webhook-id where absent."),
                key("timestamp_header", Text, Optional, "custom: header field of a signed timestamp; webhook-timestamp where absent."),
            ],
        },
    ),
    (
        "oauth2",
        &Section {
            name: "oauth2_credential",
            keys: &[
                TENANT,
                key("token_url", Short { key: "url", map: &TOKEN_ENDPOINT }, Required, "Where tokens are asked for."),
                key(
                    "grant",
                    Choice(&["client_credentials", "refresh_token", "authorization_code", "password"]),
                    Default("client_credentials"),
                    "How; authorization_code: somebody agrees in a browser once. password only for servers that know nothing better (RFC 9700).",
                ),
                key("client_id", Text, Required, "Name of the client."),
                key("client_secret", SecretValue, Optional, "Secret of the client; public clients, which have a refresh token, have none."),
                key("client_auth", Choice(&["basic", "body"]), Default("basic"), "Whether the client's secret goes into the Authorization header or the form."),
                key("scope", Text, Optional, "Scopes, separated by spaces."),
                key("audience", Text, Optional, "Audience, where the server wants one."),
                key("parameters", Named(&AnyText), Default("{}"), "More form parameters, for example resource."),
                key(
                    "refresh_token",
                    SecretValue,
                    Optional,
                    "For the grant refresh_token; one that the server puts in its place is kept, on disk where there is an encryption.key.",
                ),
                key("authorize_url", Url, Optional, "For the grant authorization_code: where a browser is sent to agree."),
                key("authorize_parameters", Named(&AnyText), Default("{}"), "More parameters of that URL, for example access_type."),
                key("username", Text, Optional, "For the grant password."),
                key("password", SecretValue, Optional, "For the grant password."),
            ],
        },
    ),
    (
        "sigv4",
        &Section {
            name: "sigv4_credential",
            keys: &[
                TENANT,
                key("region", Text, Required, "AWS region, eu-central-1 for example."),
                key("service", Text, Required, "Name of the service as it is signed: logs, kinesis, es, aoss, s3 and so on."),
                key("access_key", Text, Optional, "Access key id."),
                key("secret_key", SecretValue, Optional, "Secret access key."),
                key("session_token", SecretValue, Optional, "Session token of temporary keys."),
                key("process", Map(&COMMAND), Optional, "In place of the keys: a program that prints them as the AWS tools' credential_process."),
            ],
        },
    ),
    (
        "sas",
        &Section {
            name: "sas_credential",
            keys: &[
                TENANT,
                key("resource", Text, Required, "URL of the namespace or of the entity in it, as it is signed: https://acme.servicebus.windows.net/alerts."),
                key("key_name", Text, Required, "Name of the access policy."),
                key("key", SecretValue, Required, "Key of the policy, as the portal shows it."),
                key("ttl", Duration { min: 60 * SECOND, max: 7 * DAY }, Default("1h"), "Longest life of a token."),
            ],
        },
    ),
    (
        "shared_key",
        &Section {
            name: "shared_key_credential",
            keys: &[
                TENANT,
                key("scheme", Choice(&["storage", "log_analytics"]), Required, "Azure Storage (blobs, queues, files), or the HTTP Data Collector API."),
                key("account", Text, Required, "Name of the account, or id of the workspace."),
                key("key", SecretValue, Required, "Key of the account, in base64."),
            ],
        },
    ),
];

pub(in crate::config) static COMMAND: Section = Section {
    name: "command",
    keys: &[
        key("command", List { of: &Text, min: 1, max: 64 }, Required, "A program that prints the secret, and its arguments; no shell is between."),
        key("timeout", Duration { min: 100, max: 300 * SECOND }, Default("10s"), "It is killed then."),
        key(
            "refresh",
            Duration { min: SECOND, max: 7 * DAY },
            Default("15m"),
            "Age at which it is run again; the old secret is used until it is twice as old.",
        ),
    ],
};

static TOKEN_ENDPOINT: Section = Section {
    name: "token_endpoint",
    keys: &[
        key("url", Url, Required, "The token endpoint; an address literal or localhost grants exactly that address and port."),
        key("tls", Map(&TLS), Optional, "TLS of an https URL; a client certificate shows who asks (RFC 8705)."),
        key("addresses", List { of: &Cidr, min: 1, max: 64 }, Optional, "Networks that the name may resolve to; only public addresses where absent."),
        key("allow_metadata", Bool, Default("false"), "Allow the addresses of cloud metadata services."),
    ],
};
