//! Calls that render manifests, and that change the charts they are rendered from.

use std::collections::BTreeMap;
use std::time::Duration;

use super::arguments::scalar_text;
use super::{Arguments, CallError};
use crate::step::{ChartCall, HelmTemplate, RenderCall, Renderer};
use crate::version::Version;

/// Time of a program that has none given.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

pub(super) fn kustomize(arguments: &Arguments<'_>) -> Result<RenderCall, CallError> {
    call(arguments, Renderer::Kustomize)
}

pub(super) fn helm(arguments: &Arguments<'_>) -> Result<RenderCall, CallError> {
    let release = arguments.optional_text("release_name")?;
    let template = HelmTemplate {
        release: release.unwrap_or_else(|| "release-name".to_owned()),
        namespace: arguments.optional_text("namespace")?,
        values_files: arguments.texts("values_files")?,
        values: arguments.values("values")?,
        kube_version: arguments.optional_text("kube_version")?,
        api_versions: arguments.texts("api_versions")?,
        include_crds: arguments.flag("include_crds")?,
        hooks: !arguments.flag("disable_hooks")?,
        tests: !arguments.flag("skip_tests")?,
    };
    // They are arguments of a program, which takes them for options if they look so.
    let words =
        [Some(&template.release), template.namespace.as_ref(), template.kube_version.as_ref()];
    for word in words.into_iter().flatten().chain(&template.api_versions) {
        if word.is_empty() || word.starts_with('-') {
            return Err(CallError::Type {
                path: "release_name, namespace, kube_version or api_versions".to_owned(),
                expected: "a name that does not begin with a dash",
                found: word.clone(),
            });
        }
    }
    call(arguments, Renderer::Helm(template))
}

pub(super) fn chart(arguments: &Arguments<'_>) -> Result<ChartCall, CallError> {
    let mut versions = BTreeMap::new();
    for (name, version) in arguments.map("versions")? {
        let path = format!("versions.{name}");
        let found = scalar_text(version, &path)?;
        // What is not exact would be somebody else's to choose later.
        if Version::strict(&found).is_err() {
            let expected = "an exact version such as \"1.4.2\"";
            return Err(CallError::Type { path, expected, found });
        }
        versions.insert(name.clone(), found);
    }
    if versions.is_empty() {
        return Err(CallError::Type {
            path: "versions".to_owned(),
            expected: "at least one dependency",
            found: "{}".to_owned(),
        });
    }
    let (path, vendor) = (arguments.text("path")?, arguments.flag("vendor")?);
    Ok(ChartCall { path, versions, vendor, sha256: BTreeMap::new() })
}

fn call(arguments: &Arguments<'_>, by: Renderer) -> Result<RenderCall, CallError> {
    Ok(RenderCall {
        by,
        path: arguments.text("path")?,
        to: arguments.text("to")?,
        timeout: arguments.duration("timeout")?.unwrap_or(TIMEOUT),
    })
}
