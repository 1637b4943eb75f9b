-- Runs of pull connectors. `seq` orders them: clocks may be set back.
CREATE TABLE sync_executions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    instance TEXT NOT NULL,
    trigger_type TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    pages INTEGER NOT NULL,
    records INTEGER NOT NULL,
    left_out INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT,
    initiated_by TEXT NOT NULL
) STRICT;
CREATE INDEX sync_executions_instance ON sync_executions (instance, seq);
CREATE INDEX sync_executions_started ON sync_executions (started_ms);
CREATE INDEX sync_executions_status ON sync_executions (status, seq);

-- Until when a cron schedule needs no run.
CREATE TABLE pull_schedules (
    instance TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,
    settled_ms INTEGER NOT NULL
) STRICT;
