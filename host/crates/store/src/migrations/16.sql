-- Sessions of people whom a directory knows: whose names they are, the entry there, the roles that its groups gave.
ALTER TABLE sessions ADD COLUMN source TEXT NOT NULL DEFAULT 'users';
ALTER TABLE sessions ADD COLUMN dn TEXT;
ALTER TABLE sessions ADD COLUMN roles TEXT;
