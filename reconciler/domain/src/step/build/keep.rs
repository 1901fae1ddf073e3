//! Calls that write into the daemon's own store.

use serde_json::{Map, Value};

use super::CallError;
use super::arguments::Arguments;
use crate::metadata::{VALUE_MAX, check_key};
use crate::step::{AuditCall, KeepCall, MetadataCall};

pub(super) fn metadata(arguments: &Arguments<'_>) -> Result<KeepCall, CallError> {
    let (stage, freight) = (values(arguments, "stage")?, values(arguments, "freight")?);
    Ok(KeepCall::Metadata(MetadataCall { stage, freight }))
}

pub(super) fn alias(arguments: &Arguments<'_>) -> Result<KeepCall, CallError> {
    let alias = arguments.text("alias")?.parse();
    let alias = alias.map_err(|error: crate::id::NameError| CallError::Reference {
        path: "alias".to_owned(),
        message: error.to_string(),
    })?;
    Ok(KeepCall::Alias { alias })
}

pub(super) fn audit(arguments: &Arguments<'_>) -> Result<KeepCall, CallError> {
    let fields = arguments.values("fields")?;
    within("fields", &Value::Object(fields.clone()))?;
    Ok(KeepCall::Audit(AuditCall { message: arguments.text("message")?, fields }))
}

fn values(arguments: &Arguments<'_>, name: &str) -> Result<Map<String, Value>, CallError> {
    let values = arguments.values(name)?;
    for (key, value) in &values {
        let path = format!("{name}.{key}");
        let key = check_key(key);
        key.map_err(|message| CallError::Reference { path: path.clone(), message })?;
        within(&path, value)?;
    }
    Ok(values)
}

fn within(path: &str, value: &Value) -> Result<(), CallError> {
    let size = value.to_string().len();
    if size <= VALUE_MAX {
        return Ok(());
    }
    let message = format!("has {size} bytes, at most {VALUE_MAX} are kept");
    Err(CallError::Reference { path: path.to_owned(), message })
}
