//! The decisions, played in a small world: every scenario is a script and the story that follows.

mod kit;

mod axes;
mod choosing;
mod combination;
mod committing;
mod controlling;
mod definitions;
mod drifting;
mod expiring;
mod forecasting;
mod freezing;
mod gating;
mod golden;
mod holding;
mod keeping;
mod lanes;
mod log;
mod modules;
mod preparing;
mod previewing;
mod properties;
mod pull_requests;
mod registry;
mod rehearsing;
mod rendering;
mod replaying;
mod stale;
mod tasks;
mod timing;
mod undoing;
mod upstream;
mod verifying;
mod waiting;
mod warning;
