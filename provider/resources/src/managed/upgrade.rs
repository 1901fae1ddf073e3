//! States of other versions of a type's schema.
//!
//! A state goes up one version at a time, each step by itself, so that a step that works once goes
//! on working. A state of a newer version is left alone: nobody here knows what is in it.

use provider_protocol::Diagnostics;
use provider_protocol::cty::json::{self, Extra};
use provider_protocol::cty::{Path, Value};
use serde_json::Value as Json;

use super::{Definition, Managed};
use crate::words::sentence;

impl<D: Definition> Managed<D> {
    /// A state of another version as this one has it.
    pub(super) fn upgrade_state(
        version: i64,
        mut state: Json,
        diags: &mut Diagnostics,
    ) -> Option<Value> {
        if version > D::VERSION {
            let text = format!(
                "The state of this {} was written by a newer version of the provider: its form has \
                 version {version}, and this one knows {} and older. Use that version of the \
                 provider, or a newer one.",
                D::TYPE_NAME,
                D::VERSION
            );
            diags.error("State is of a newer version", text);
            return None;
        }
        for step in version..D::VERSION {
            state = match D::upgrade(step, state) {
                Ok(state) => state,
                Err(problem) => {
                    let text = format!(
                        "The state of this {} cannot be brought from version {step} to {}: {} \
                         Remove it with `state rm` and import the object again.",
                        D::TYPE_NAME,
                        step + 1,
                        sentence(&problem)
                    );
                    diags.error("State is of an older version", text);
                    return None;
                }
            };
        }
        let ty = Self::schema_block().ty();
        let decoded = json::decode(&state.to_string(), &ty, Extra::Refuse);
        diags.take(Path::root(), "Cannot read the state", decoded)
    }
}

#[cfg(test)]
mod tests {
    use reconciler_api::v1::{self, ProjectSpec};
    use reconciler_domain::id::ProjectName;
    use serde_json::json;

    use super::*;
    use crate::managed::Item;
    use crate::resources::Project;

    /// A type whose attributes were named otherwise, twice.
    struct Renamed;

    impl Definition for Renamed {
        type Object = v1::Project;
        type Name = ProjectName;

        const TYPE_NAME: &'static str = "lockstep_renamed";
        const DESCRIPTION: &'static str = "A test.";
        const VERSION: i64 = 2;

        fn fields() -> Vec<(&'static str, Item)> {
            Project::fields()
        }

        fn spec(value: &provider_protocol::provider::Reader<'_>) -> ProjectSpec {
            Project::spec(value)
        }

        fn value(object: &v1::Project) -> Value {
            Project::value(object)
        }

        fn upgrade(version: i64, mut state: Json) -> Result<Json, String> {
            let (old, new) = match version {
                0 => ("text", "about"),
                1 => ("about", "description"),
                _ => return Err(format!("nothing is known of version {version}")),
            };
            let text = state[old].take();
            let fields = state.as_object_mut().ok_or("it is no object")?;
            fields.remove(old);
            fields.insert(new.to_owned(), text);
            Ok(state)
        }
    }

    /// The description after an upgrade, or what is told.
    fn upgraded(version: i64, state: Json) -> String {
        let mut diags = Diagnostics::new();
        let value = Managed::<Renamed>::upgrade_state(version, state, &mut diags);
        match value.as_ref().and_then(|value| value.get("description")?.as_str()) {
            Some(description) => description.to_owned(),
            None => diags.iter().map(|it| format!("{}: {}", it.summary, it.detail)).collect(),
        }
    }

    #[test]
    fn a_state_goes_up_step_by_step() {
        let state = |name: &str| json!({ "id": "shop", "name": "shop", name: "it" });
        assert_eq!(upgraded(0, state("text")), "it");
        assert_eq!(upgraded(1, state("about")), "it");
        let told = upgraded(3, state("later"));
        assert!(told.starts_with("State is of a newer version: ") && told.contains('3'), "{told}");
        let told = upgraded(-1, state("text"));
        assert!(told.contains("Nothing is known of version -1. Remove it"), "{told}");
        // What a step forgets is not dropped without a word.
        let told = upgraded(2, state("about"));
        assert!(told.starts_with("Cannot read the state: "), "{told}");
    }
}
