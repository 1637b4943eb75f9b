-- Whose keys and users are; empty: the host's.
ALTER TABLE api_keys ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN tenant TEXT NOT NULL DEFAULT '';

-- Whose an instance is, and since when: what is older is not shown to a tenant. An instance that never had a tenant
-- has no row; an empty tenant is the host, which took it back.
CREATE TABLE owners (
    instance TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX owners_tenant ON owners (tenant, instance);
CREATE INDEX indexed_events_tenant ON indexed_events (tenant, time_ms);
-- What the host told of itself had an empty tenant, as events of the default one have.
UPDATE indexed_events SET tenant = '@host' WHERE tenant = '' AND source = 'bulkhead' AND event_type LIKE 'bulkhead.%';
