//! The life of a resource under a real client, from its first plan to its end.

use serde_json::Value as Json;

use crate::terraform::{Plan, State, Workspace};

type Check<'a, T> = Box<dyn Fn(&T) + 'a>;

/// One configuration in the life of a resource.
///
/// It is planned, and the plan checked; the saved plan is applied, and the state checked; then
/// the plan must be empty, without a refresh and with one.
#[must_use]
pub struct Step<'a> {
    config: String,
    planned: Vec<Check<'a, Plan>>,
    applied: Vec<Check<'a, State>>,
}

impl std::fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<'a> Step<'a> {
    /// A step to this configuration.
    pub fn new(config: impl Into<String>) -> Self {
        Self { config: config.into(), planned: Vec::new(), applied: Vec::new() }
    }

    /// Checks the plan.
    pub fn planned(mut self, check: impl Fn(&Plan) + 'a) -> Self {
        self.planned.push(Box::new(check));
        self
    }

    /// Checks the state.
    pub fn applied(mut self, check: impl Fn(&State) + 'a) -> Self {
        self.applied.push(Box::new(check));
        self
    }

    /// Goes this step.
    #[track_caller]
    pub fn go(self, workspace: &Workspace) {
        workspace.configure(&self.config);
        let plan = workspace.plan(&[]);
        self.planned.iter().for_each(|check| check(&plan));
        workspace.apply();
        let state = workspace.state();
        self.applied.iter().for_each(|check| check(&state));
        is_settled(workspace);
    }
}

/// Nothing is to be done, neither by what the client remembers nor by what is there.
#[track_caller]
pub fn is_settled(workspace: &Workspace) {
    for arguments in [["-refresh=false"].as_slice(), &[]] {
        let effects = workspace.plan(arguments).effects();
        assert!(effects.is_empty(), "the plan {arguments:?} is not empty: {effects:#?}");
    }
}

/// Forgets a resource that is in the state and imports it: by command, then by block. What comes
/// is what was there, but for the attributes that nothing tells an import (`except`), and nothing
/// is to be done.
#[track_caller]
pub fn is_imported(workspace: &Workspace, address: &str, id: &str, except: &[&str]) {
    let before = without(workspace.state().values(address), except);
    let is_same = |how: &str| {
        let after = without(workspace.state().values(address), except);
        assert_eq!(after, before, "imported {how}");
        is_settled(workspace);
    };
    workspace.ok(&["state", "rm", address]);
    workspace.ok(&["import", address, id]);
    is_same("by command");

    workspace.ok(&["state", "rm", address]);
    workspace.write("import.tf", &format!("import {{\n  to = {address}\n  id = {id:?}\n}}\n"));
    let plan = workspace.plan(&[]);
    let change = plan.change(address);
    assert_eq!(change.actions(), "no-op", "an import changes {:?}", change.changed());
    workspace.apply();
    workspace.remove("import.tf");
    is_same("by block");
}

fn without(values: &Json, except: &[&str]) -> Json {
    let mut values = values.clone();
    if let Some(values) = values.as_object_mut() {
        values.retain(|name, _| !except.contains(&name.as_str()));
    }
    values
}

/// Destroys everything; nothing is left in the state.
#[track_caller]
pub fn is_destroyed(workspace: &Workspace) {
    workspace.ok(&["destroy", "-auto-approve"]);
    let state = workspace.state();
    assert_eq!(state.0["values"], Json::Null, "something is left");
}
