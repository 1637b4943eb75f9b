//! Mappings and schedules: entries, and parts of them, seen by themselves; components under their name.

use super::{Body, DRY_RUN, Doc, Field, Form, LIST, MADE, ONE, Of, field, get, must};

/// What a mapping is.
const MAPPING: [Field; 4] = [
    must("field_mappings", Of::Objects(256), "Rows: each fills one member of the object (`fields` of the formatter `mapping`)."),
    field("transformations", Of::Text, "A program in the language of jq that the event goes through before."),
    field("rules", Of::Rules(64), "What every event must keep (`validate` of the formatter)."),
    field("limits", Of::Object, "Limits of its sandbox."),
];
const MAPPING_NEW: &[Field] = &[must("name", Of::Text, "1 to 64 letters, digits, `.`, `_`, `-`."), MAPPING[0], MAPPING[1], MAPPING[2], MAPPING[3]];
const MAPPING_PUT: &[Field] = &MAPPING;
const MAPPING_TRIAL: &[Field] = &[
    field("field_mappings", Of::Objects(256), "Of another mapping than the stored one."),
    MAPPING[1],
    MAPPING[2],
    MAPPING[3],
    field("samples", Of::Objects(100), "Events, as they would be posted. These, or `last`."),
    field("last", Of::Count(100), "So many of the last events of the index; needs `events:read`."),
    field("event_type", Of::Text, "Of this type; with `last`."),
];

/// What a schedule is.
const SCHEDULE: [Field; 8] = [
    field("instance", Of::Text, "Whose runs it begins; needed for a new one."),
    must("schedule_type", Of::Text, "interval, cron or event."),
    field("interval_minutes", Of::Number, "From the end of a run to the next one; with interval."),
    field("cron_expression", Of::Text, "When runs begin: `0 6 * * MON-FRI`, `@daily`; with cron."),
    field("timezone", Of::Text, "Of the expression, as `Europe/Berlin`; UTC where absent."),
    field("missed", Of::Text, "What becomes of a run that was due while the host was down: run, once, or skip."),
    field(
        "event_trigger",
        Of::Object,
        "Which events: `when`, a condition as routes have it; perhaps `name`, of its subscription, and `min_interval_seconds`; with event.",
    ),
    field("is_active", Of::Flag, "Whether it begins runs; true where absent."),
];
const SCHEDULES: &[Field] = &SCHEDULE;

pub(super) const DOCS: &[Doc] = &[
    Doc {
        action: "connectors.put",
        summary: "A further version under this name: as an upload, but the component must have that name.",
        query: &[
            field("name", Of::Text, "That of the path, or nothing."),
            field("version", Of::Text, "Of a component that does not name itself."),
            field("approve", Of::Flag, "Approve what it asks for, in one go."),
            field("activate", Of::Flag, "Use it at once; true where absent."),
        ],
        body: Body::Raw(&["application/wasm", "multipart/form-data"]),
        answers: MADE,
    },
    get(
        "connectors.remove_all",
        "Removes what was uploaded under this name, all versions; by `name@version` or digest one. Nothing may use it.",
        &[],
        &[(204, Form::Nothing)],
    ),
    get("schedules.show", "One schedule: the name of its instance, or `event:` and that of its subscription.", &[], ONE),
    Doc {
        action: "schedules.make",
        summary: "Gives a stored instance its schedule, or makes a subscription that begins its runs.",
        query: &[],
        body: Body::Fields(SCHEDULES),
        answers: &[(201, Form::One)],
    },
    Doc {
        action: "schedules.put",
        summary: "Another schedule in its place; `If-Match` holds it to a version.",
        query: &[],
        body: Body::Fields(SCHEDULES),
        answers: ONE,
    },
    get("schedules.delete", "Deletes one that nothing needs; runs under way go on.", &[], ONE),
    Doc {
        action: "mappings.make",
        summary: "Makes a mapping: a stored formatter of `mapping`, or of `mapping-jq` with `transformations`. 409 where there is one of that name.",
        query: &[DRY_RUN],
        body: Body::Fields(MAPPING_NEW),
        answers: MADE,
    },
    Doc {
        action: "mappings.put",
        summary: "Changes one, or makes it; `If-Match` holds it to a version.",
        query: &[DRY_RUN],
        body: Body::Fields(MAPPING_PUT),
        answers: MADE,
    },
    Doc {
        action: "mappings.validate",
        summary: "Whether a mapping compiles in the guest of delivery, and each fault with its pointer; the stored one where nothing is sent.",
        query: &[],
        body: Body::Optional(MAPPING_PUT),
        answers: ONE,
    },
    Doc {
        action: "mappings.test",
        summary: "What a mapping makes of samples: the output or the fault of each; nothing is kept or sent.",
        query: &[],
        body: Body::Fields(MAPPING_TRIAL),
        answers: LIST,
    },
];
