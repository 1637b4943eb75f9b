-- Deliveries to webhooks: one row for each event and place in the journal.
CREATE TABLE webhook_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    code INTEGER,
    error TEXT,
    excerpt TEXT,
    took_ms INTEGER,
    replay_of INTEGER,
    created_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    UNIQUE (webhook, seq)
) STRICT;
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook, id);
CREATE INDEX webhook_deliveries_last ON webhook_deliveries (last_ms);
CREATE INDEX webhook_deliveries_open ON webhook_deliveries (id) WHERE status IN ('retrying', 'pending');

-- How each webhook fares.
CREATE TABLE webhook_states (
    webhook TEXT PRIMARY KEY,
    failing_since_ms INTEGER,
    last_success_ms INTEGER
) STRICT;

-- Answers of the API, kept for their `Idempotency-Key`. Without an answer: its change was under way.
CREATE TABLE api_answers (
    scope BLOB PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    answer BLOB,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX api_answers_created ON api_answers (created_ms);
