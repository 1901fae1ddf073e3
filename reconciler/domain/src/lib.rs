//! The nouns of promotion and every decision about them. No I/O, no async, no clock.
