-- Secrets of credentials, sealed by the daemon: nonce, ciphertext and tag. key_id says under which key.
CREATE TABLE secret (
    project    TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    credential TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    stored_at  INTEGER NOT NULL,
    PRIMARY KEY (project, credential)
) STRICT;
