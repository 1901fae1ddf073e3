//! The function: a step of any configuration.

use provider_protocol::cty::{Type, Value, json};
use provider_protocol::provider::{Function, FunctionError, Parameter, Signature};

/// Makes a step of any configuration.
pub(crate) struct Step;

impl Function for Step {
    fn name(&self) -> &'static str {
        "step"
    }

    fn signature(&self) -> Signature {
        let step = Type::object([
            ("name", Type::String),
            ("uses", Type::String),
            ("config", Type::String),
        ]);
        Signature::new(
            [
                Parameter::new("name", Type::String).describe("Its name."),
                Parameter::new("config", Type::Dynamic).describe("An object with `run`."),
            ],
            step,
        )
        .describe("Makes a step.", "Makes a step that runs a command.")
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let [name, config] = arguments else {
            return Err(FunctionError::new("a name and a configuration are needed"));
        };
        let fields = config.as_map().ok_or_else(|| FunctionError::argument(1, "not an object"))?;
        if let Some(other) = fields.keys().find(|key| *key != "run") {
            let text = format!("no field {other:?}; did you mean \"run\"?");
            return Err(FunctionError::argument(1, text));
        }
        Ok(Value::object([
            ("name", name.clone()),
            ("uses", "run".into()),
            ("config", json::to_plain(config).to_string().into()),
        ]))
    }
}
