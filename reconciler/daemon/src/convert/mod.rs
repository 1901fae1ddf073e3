//! Between the wire and the domain, one file per noun.
//!
//! Wire types change slowly, because others depend on them; domain types change when the domain is
//! better understood. Nothing but this module and `reconciler-convert`, which has the policies, knows
//! both. Parsing collects *all* problems, each with the path of its field, before it gives up.

mod change_set;
mod credential;
mod drift;
mod explain;
mod forecast;
mod freeze;
mod freight;
mod hold;
mod preview;
mod promotion;
mod question;
mod stage;
mod state;
mod task;
#[cfg(test)]
mod tests;
mod token;
mod verification;
mod warehouse;

pub(crate) use reconciler_convert::{
    Fields, bypass_gate, field_code, field_problems, parse_policy, policy_spec,
};

pub(crate) use credential::{credential_outline, credential_status, parse_credential};
pub(crate) use drift::{drift_outline, stage_drift};
pub(crate) use explain::{Explained, active, explain, waiting};
pub(crate) use forecast::forecast;
pub(crate) use freeze::{
    freeze_spec, freeze_status, instance_freeze_spec, instance_freeze_status, parse_freeze,
    parse_instance_freeze, stage_freezes,
};
pub(crate) use freight::{freight, freight_filter};
pub(crate) use hold::{hold_spec, hold_status, parse_hold, stage_holds};
pub(crate) use preview::{place, preview, preview_of_set};
pub(crate) use promotion::{event, phase, promotion, promotion_row};
pub(crate) use stage::{parse_stage, stage_spec};
pub(crate) use state::{embedded_state, state_lock, state_version};
pub(crate) use task::{parse_task, task_spec};
pub(crate) use token::{TokenBefore, access_token, parse_token, wish};
pub(crate) use verification::{parse_verification, verification_spec};
pub(crate) use warehouse::{parse_warehouse, warehouse_spec};
