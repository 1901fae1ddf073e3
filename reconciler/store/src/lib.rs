//! What survives a crash: definitions, freight, promotion logs, wake-ups.
