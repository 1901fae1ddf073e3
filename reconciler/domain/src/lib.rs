//! The nouns of promotion and every decision about them.
//!
//! Nothing in this crate waits, reads a clock, draws a random number or touches a file, a socket or
//! a database. What it needs to know comes in as plain data ([`snapshot`]), an instant included;
//! what it decides goes out as plain data ([`plan`]). Shells carry it out.
//!
//! ```text
//!  nouns                 id  artifact  freight  warehouse  stage  step  task  verification  policy  hold
//!                        freeze  credential  token
//!  a promotion           promotion: the row, its log, the state that the log folds to
//!  language              duration  version  glob  filter  url  image  expression  template  infra  window  near
//!  what decisions see    snapshot  scope
//!  decisions             availability  drift  inquiry  gate  plan  check  footprint  preview  evaluate  forecast
//! ```
//!
//! To follow one promotion: [`plan::stage`] chooses freight, [`plan::promotion`] gives the next move
//! until [`promotion::State::phase`] says that it ended.

pub mod artifact;
pub mod availability;
pub mod check;
pub mod credential;
pub mod drift;
pub mod duration;
pub mod evaluate;
pub mod expression;
pub mod filter;
pub mod footprint;
pub mod forecast;
pub mod freeze;
pub mod freight;
pub mod gate;
pub mod glob;
pub mod hold;
pub mod id;
pub mod image;
pub mod infra;
pub mod inquiry;
pub mod metadata;
pub mod near;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod promotion;
pub mod scope;
pub mod secret;
pub mod snapshot;
pub mod soak;
pub mod stage;
pub mod step;
pub mod task;
pub mod template;
pub mod token;
pub mod url;
pub mod verification;
pub mod version;
pub mod warehouse;
pub mod window;
