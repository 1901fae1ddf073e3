//! A kit for scenarios: a small world in memory ([`world`]), a fake outside ([`outside`]), and a terse
//! language to set them up and to play them ([`script`]).

pub(crate) mod drift;
pub(crate) mod freeze;
pub(crate) mod outside;
pub(crate) mod script;
pub(crate) mod tell;
pub(crate) mod world;

pub(crate) use script::{play, run};
pub(crate) use world::World;
