//! The types of objects, one file each: schema, checks, and the way to the API's spec and back.

mod api_token;
mod credential;
mod freeze;
mod hold;
mod instance_freeze;
mod policy;
mod project;
mod promotion;
mod stage;
mod steps;
mod task;
mod verification;
mod warehouse;

pub(crate) use api_token::ApiToken;
pub(crate) use credential::Credential;
pub(crate) use freeze::Freeze;
pub(crate) use hold::Hold;
pub(crate) use instance_freeze::InstanceFreeze;
pub(crate) use policy::Policy;
pub(crate) use project::Project;
pub(crate) use promotion::Promotion;
pub(crate) use stage::Stage;
pub(crate) use steps::{inexact, step_type};
pub(crate) use task::Task;
pub(crate) use verification::Verification;
pub(crate) use warehouse::Warehouse;
