//! Calling functions.

use super::Server;
use super::registry::{decode, encode};
use crate::cty::Value;
use crate::cty::conform::conform;
use crate::diagnostic::Diagnostics;
use crate::provider::{Context, Function, FunctionError, Provider};
use crate::secret::mask;
use crate::wire::tfplugin6 as wire;
use crate::wire::tfplugin6::{DynamicValue, call_function};

impl<P: Provider> Server<P> {
    pub(super) async fn call_function(
        &self,
        request: call_function::Request,
        _: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<call_function::Response> {
        let Some(function) = self.offer().functions.get(request.name.as_str()) else {
            let name = request.name;
            diags.error("No such function", format!("This version of the provider has no {name}."));
            return None;
        };
        Some(match call(function.as_ref(), &request.arguments, diags) {
            Ok(result) => call_function::Response { result, error: None },
            Err(error) => call_function::Response { result: None, error: Some(wire_error(&error)) },
        })
    }
}

fn call(
    function: &dyn Function,
    arguments: &[DynamicValue],
    diags: &mut Diagnostics,
) -> Result<Option<DynamicValue>, FunctionError> {
    let signature = function.signature();
    let parameters = signature.parameters.iter().chain(signature.variadic.iter().cycle());
    let pairs = arguments.iter().zip(parameters);
    // None of these: the reason is among the diagnostics.
    let decoded: Option<Vec<Value>> =
        pairs.map(|(argument, parameter)| decode(Some(argument), &parameter.ty, diags)).collect();
    let Some(decoded) = decoded else { return Ok(None) };
    if decoded.len() != arguments.len() || decoded.len() < signature.parameters.len() {
        let expected = signature.parameters.len();
        let text = format!("{} arguments, where {expected} belong", arguments.len());
        return Err(FunctionError::new(text));
    }
    let result = function.call(&decoded)?;
    let result = conform(result, &signature.result).map_err(|error| {
        FunctionError::new(format!("bug in the provider: the result is of another type, {error}"))
    })?;
    Ok(encode(&result, &signature.result, diags))
}

fn wire_error(error: &FunctionError) -> wire::FunctionError {
    wire::FunctionError {
        text: mask(&error.text).into_owned(),
        function_argument: error.argument.and_then(|argument| i64::try_from(argument).ok()),
    }
}
