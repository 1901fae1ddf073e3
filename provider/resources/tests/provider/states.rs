//! States that earlier versions wrote are read, and leave nothing to do.
//!
//! `states/TYPE/vN/` has a configuration and the state that the provider of that time wrote for it.
//! They are never changed: a new version of a schema gets a folder of its own beside the others. For
//! a new type, write the configuration, and run this with the environment variable UPDATE set to 1.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use provider_protocol::provider::{Provider as _, Resource};
use provider_resources::{Lockstep, Session};
use reconciler_api::v1::Kind;
use serde_json::{Value as Json, json};

use crate::daemon::Daemon;
use crate::terraform::Terraform;

const CONFIG: &str = "main.tf";
const STATE: &str = "terraform.tfstate";

fn folder(resource_type: &str, version: i64) -> PathBuf {
    let states = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider/states");
    states.join(resource_type).join(format!("v{version}"))
}

/// A daemon with what the configurations refer to.
pub(crate) fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Warehouse, "shop", json!({}));
    daemon.put(Kind::Verification, "errors", json!({}));
    for stage in ["dev", "qa"] {
        daemon.put(Kind::Stage, stage, json!({ "requests": [{ "warehouse": "shop" }] }));
    }
    daemon
}

/// The versions that there have been of a type's schema.
fn versions(resource: &dyn Resource<Session>) -> impl Iterator<Item = i64> {
    0..=resource.schema().version
}

#[test]
fn the_states_of_every_version_leave_nothing_to_do() {
    let update = std::env::var("UPDATE").is_ok_and(|update| update == "1");
    for resource in Lockstep.resources() {
        for version in versions(resource.as_ref()) {
            let folder = folder(resource.type_name(), version);
            let config = fs::read_to_string(folder.join(CONFIG)).unwrap_or_else(|error| {
                panic!("{}: {error}. Every version of a schema has one", folder.display())
            });
            let daemon = daemon();
            let terraform = Terraform::at(&daemon.endpoint, &config);
            let state = folder.join(STATE);
            if update && !state.exists() && version == resource.schema().version {
                terraform.apply();
                fs::copy(terraform.path().join(STATE), &state).unwrap();
            }
            let kept = fs::read(&state).unwrap_or_else(|error| {
                panic!("{}: {error}. Run this with UPDATE=1", state.display())
            });
            fs::write(terraform.path().join(STATE), kept).unwrap();
            let plan = terraform.plan(&["-refresh=false"]);
            assert_eq!(plan.code, 0, "{}: {}", folder.display(), plan.text);
        }
    }
}

/// The attributes and blocks that the instances of a kept state have.
fn names(state: &Path) -> BTreeSet<String> {
    let state: Json = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
    let resources = state["resources"].as_array().unwrap();
    let instances = resources.iter().flat_map(|it| it["instances"].as_array().unwrap());
    let names = |instance: &Json| {
        let attributes = instance["attributes"].as_object().unwrap();
        attributes.keys().cloned().collect::<Vec<_>>()
    };
    instances.flat_map(names).collect()
}

#[test]
fn what_a_state_of_this_version_has_is_in_the_schema() {
    for resource in Lockstep.resources() {
        let schema = resource.schema();
        let state = folder(resource.type_name(), schema.version).join(STATE);
        let there: BTreeSet<String> =
            schema.block.attributes.keys().chain(schema.block.blocks.keys()).cloned().collect();
        let gone: Vec<String> = names(&state).difference(&there).cloned().collect();
        assert_eq!(
            gone,
            [""; 0],
            "{}: these are in states; raise the schema's version and upgrade them",
            resource.type_name()
        );
    }
}

#[test]
fn a_state_of_a_newer_version_is_told() {
    let daemon = daemon();
    let folder = folder("lockstep_project", 0);
    let config = fs::read_to_string(folder.join(CONFIG)).unwrap();
    let terraform = Terraform::at(&daemon.endpoint, &config);
    let mut state: Json = serde_json::from_slice(&fs::read(folder.join(STATE)).unwrap()).unwrap();
    state["resources"][0]["instances"][0]["schema_version"] = json!(99);
    fs::write(terraform.path().join(STATE), state.to_string()).unwrap();
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    assert!(plan.text.contains("newer provider version"), "{}", plan.text);
}
