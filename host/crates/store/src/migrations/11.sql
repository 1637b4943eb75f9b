-- Which host does what only one may do. A term is one holder's time, `beat` its signs of life in it: clocks of
-- hosts may differ, so no time stands here. No holder: free.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    term INTEGER NOT NULL,
    beat INTEGER NOT NULL
) STRICT;

-- How often something was changed that hosts have in memory: another number tells them to read it again.
CREATE TABLE changes (
    topic TEXT PRIMARY KEY,
    generation INTEGER NOT NULL
) STRICT;
