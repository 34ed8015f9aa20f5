-- What waited to be reconciled when a twin was replaced goes on waiting.
ALTER TABLE entry ADD COLUMN also TEXT CHECK (json_type(also) = 'array');
