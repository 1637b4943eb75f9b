//! Objects that stand for several parts of a configuration.

use super::*;

pub(super) static WEBHOOK: Section = Section {
    name: "managed_webhook",
    keys: &[
        key("tenant", Tenant, Optional, "Whose it is: it gets this tenant's events; everybody's where absent."),
        key("url", Url, Required, "Where events are sent, one a request."),
        key("events", List { of: &Text, min: 0, max: 256 }, Default("[]"), "Types that are sent; `some.namespace.*` for all below, every type where empty."),
        key("when", Condition, Optional, "Which of them; several keys must all hold."),
        key("format", Name, Default("cloudevents"), "Name of a formatter, or of an entry of `formatters`."),
        key("headers", Named(&AnyText), Default("{}"), "Header fields that each request carries; no place for secrets."),
        key("secret", OneOrMany(&SecretValue), Required, "What requests are signed with, `whsec_…`; several during a rotation, the new one first."),
        key("previous_until", Text, Optional, "When all secrets but the first go; written by a rotation."),
        key("enabled", Bool, Default("true"), "false: nothing is sent, and what waits goes to the dead letters."),
        key("disabled_because", Text, Optional, "Why the host disabled it; written by the host."),
        key("disable_after", Duration { min: SECOND, max: YEARS }, Default("5d"), "How long every delivery fails until the host disables it."),
        key("retry", Map(&RETRY), Optional, "When events are tried again; from 5s to 1h, for three days, where absent."),
    ],
};

pub(super) static SUBSCRIPTION: Section = Section {
    name: "subscription",
    keys: &[
        key("tenant", Tenant, Optional, "Whose it is: it sees this tenant's events and names what is its own; everybody's where absent."),
        key("when", Condition, Required, "Which events; several keys must all hold."),
        key("action", Tagged(ACTIONS), Required, "What they set off."),
        key("enabled", Bool, Default("true"), "false: they set off nothing."),
    ],
};

const ACTIONS: &[(&str, &Section)] = &[
    ("webhook", &Section { name: "webhook_action", keys: &[key("webhook", Name, Required, "The webhook that they are sent to, beside its own events.")] }),
    (
        "sync",
        &Section {
            name: "sync_action",
            keys: &[
                key("instance", Name, Required, "The instance that a run of its `pull` begins for."),
                key(
                    "min_interval",
                    Duration { min: SECOND, max: DAY },
                    Default("60s"),
                    "From one run to the next at the least; events between them set off one.",
                ),
            ],
        },
    ),
    (
        "notification",
        &Section {
            name: "notification_action",
            keys: &[
                key("instance", Name, Required, "The instance that they are handed to."),
                key("format", Name, Required, "Name of a formatter, or of an entry of `formatters`."),
            ],
        },
    ),
];

pub(super) static STORED_WEBHOOKS: Section = Section {
    name: "stored_webhooks",
    keys: &[
        key("http", Bool, Default("false"), "Whether stored webhooks may have http URLs, without TLS."),
        key(
            "allow",
            List { of: &Text, min: 0, max: 64 },
            Default("[]"),
            "What stored webhooks, and stored instances of tenants, may reach that is not public: networks such as 10.1.0.0/16, and host names, which then may lead into these networks, or anywhere where none is named. Metadata services of clouds stay out.",
        ),
        key("deliveries", Map(&DELIVERIES), Default("{}"), "What is kept of deliveries to webhooks."),
    ],
};

static DELIVERIES: Section = Section {
    name: "webhook_deliveries",
    keys: &[
        key("max_age", Duration { min: 60 * SECOND, max: YEARS }, Default("30d"), "Deliveries are forgotten this long after their last attempt."),
        key("max_count", Count { min: 1, max: 1_000_000 }, Default("10000"), "Deliveries of one webhook that are kept; the oldest go first."),
    ],
};
