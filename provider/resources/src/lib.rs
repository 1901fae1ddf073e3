//! Lockstep's provider for Terraform and OpenTofu.
//!
//! ```text
//!  provider      Lockstep: what there is;  connection: its configuration becomes a Session
//!  resources     one file per type: its schema, its checks, to and from the API's spec
//!  managed       create, read, update, delete, import, plan: the same for every type
//!  data_sources  what the daemon has seen: freight, promotions, stages, the pipeline, previews
//!  actions       what is done once: promote, approve, abort, refresh, reverify
//!  functions     one per kind of step
//!  attribute     kinds of attributes, each with its check and its words
//!  form          values to and from what the API speaks, in the form that the user wrote
//!  follow        a promotion until it ends, for what waits for one
//!  ask, stop     one call of the daemon, and what an interrupt means for it
//!  overlay, references    what this run planned before, and whether there is what names refer to
//!  reach, reads  a daemon that is away is told once; a refresh of many is few requests
//!  place, failure, words    what is told to the user, and where
//! ```
//!
//! A configuration is checked with the reconciler's own parsers before it is sent, so that a
//! mistake is an error at its attribute without a daemon. The crate decides nothing else: what a
//! change does to live freight is the daemon's answer, and nothing is cached between runs.

mod actions;
mod ask;
mod attribute;
mod connection;
#[cfg(test)]
mod damaged;
mod data_sources;
mod ephemeral;
mod failure;
mod follow;
mod form;
mod functions;
mod managed;
mod overlay;
mod place;
mod provider;
mod reach;
mod reads;
mod references;
mod resources;
mod session;
mod stop;
mod words;

pub use provider::Lockstep;
pub use session::Session;
