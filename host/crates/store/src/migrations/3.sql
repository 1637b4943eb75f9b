-- Id of the key that a letter's reason and event are sealed with; none: they are in the clear.
ALTER TABLE dead_letters ADD COLUMN key BLOB;
-- Which keys are needed is asked at every start.
CREATE INDEX dead_letters_key ON dead_letters (key) WHERE key IS NOT NULL;
