-- What happened to instances, newest last.
CREATE TABLE logs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    instance TEXT NOT NULL,
    log_type TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    operation TEXT NOT NULL,
    message TEXT NOT NULL,
    details TEXT,
    actor TEXT,
    sync_id TEXT
) STRICT;
CREATE INDEX logs_instance ON logs (instance, seq);
CREATE INDEX logs_time ON logs (at_ms);

-- Figures of instances by the hour and by the day.
CREATE TABLE metric_periods (
    instance TEXT NOT NULL,
    period TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    operations INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    busy_us INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    received INTEGER NOT NULL,
    api_calls INTEGER NOT NULL,
    throttled INTEGER NOT NULL,
    looks INTEGER NOT NULL,
    available INTEGER NOT NULL,
    PRIMARY KEY (instance, period, start_ms)
) STRICT;
CREATE INDEX metric_periods_start ON metric_periods (period, start_ms);

-- Accepted events, as guests see them.
CREATE TABLE indexed_events (
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    tenant TEXT NOT NULL,
    journal TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    severity TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    source_ip TEXT,
    attributes TEXT NOT NULL,
    body TEXT,
    lanes TEXT NOT NULL,
    PRIMARY KEY (event_id, source, tenant)
) STRICT;
CREATE INDEX indexed_events_received ON indexed_events (received_ms);
CREATE INDEX indexed_events_time ON indexed_events (time_ms, received_ms);
CREATE INDEX indexed_events_type ON indexed_events (event_type, time_ms);
CREATE INDEX indexed_events_source_ip ON indexed_events (source_ip, time_ms) WHERE source_ip IS NOT NULL;

-- How far the index has read each host's journal, and how many events it could not read.
CREATE TABLE event_index (
    journal TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    missed INTEGER NOT NULL
) STRICT;
