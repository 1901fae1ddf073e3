//! Objects that a plan takes into the state, written down beside the module for the tool.

use std::collections::BTreeMap;
use std::path::Path;

use super::InfraError;
use super::backend::hcl_string;

/// The generated file.
pub(super) const FILE: &str = "lockstep_imports.tf";

/// Refuses a module that has the file itself: its own would be lost, or ours not be seen.
///
/// # Errors
/// [`InfraError`].
pub(crate) fn has_none(module: &Path) -> Result<(), InfraError> {
    let path = module.join(FILE);
    match path.symlink_metadata() {
        Ok(_) => Err(InfraError::Refused {
            operation: "import",
            reason: "the module has a file `lockstep_imports.tf`, which is Lockstep's to write: give it \
                     another name",
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(InfraError::io("look at", path)(error)),
    }
}

/// Has the tool import these objects, ids by address, when it plans the module.
///
/// # Errors
/// [`InfraError`].
pub(crate) fn write(module: &Path, imports: &BTreeMap<String, String>) -> Result<(), InfraError> {
    if imports.is_empty() {
        return Ok(());
    }
    has_none(module)?;
    let blocks = imports
        .iter()
        .map(|(to, id)| format!("import {{\n  to = {to}\n  id = {}\n}}\n", hcl_string(id)));
    let path = module.join(FILE);
    super::write_file(&path, blocks.collect::<String>().as_bytes())
        .map_err(InfraError::io("write", path))
}
