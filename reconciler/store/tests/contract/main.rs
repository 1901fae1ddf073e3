//! What the store promises, shown on real databases in temporary directories.
#![expect(clippy::unwrap_used, reason = "tests")]

mod credentials;
mod definitions;
mod drift;
mod durability;
mod freezes;
mod freight;
mod history;
mod holds;
mod instance_freezes;
mod kept;
mod ledger;
mod poison;
mod promotions;
mod properties;
mod replies;
mod snapshots;
mod tokens;
mod units;
mod wakeups;
mod world;
