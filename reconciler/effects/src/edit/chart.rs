//! Dependencies of a chart, set to exact versions in its `Chart.yaml` and `Chart.lock`.
//!
//! The lock stays what `helm dependency build` takes for in step with the chart: its digest is over the
//! dependencies of both files, as helm counts it. When it was generated stays as it is: the edit of the
//! same text by the same versions is the same text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::yaml::{self, KeyPath, Scalar};

/// A chart's files with the new versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// `Chart.yaml`.
    pub chart: String,
    /// `Chart.lock`, if there is one.
    pub lock: Option<String>,
    /// Every dependency, in its order.
    pub dependencies: Vec<Resolved>,
}

/// A dependency and what is known of its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The chart.
    pub name: String,
    /// Where it comes from; empty: from the chart's own `charts/`.
    pub repository: String,
    /// Its exact version; absent: a range, and no lock says which of it.
    pub version: Option<String>,
    /// Whether the version was given.
    pub is_set: bool,
}

/// A dependency as helm reads it, with its fields in the order in which helm counts them.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Dependency {
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(default)]
    repository: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    condition: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    enabled: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    import_values: Vec<Value>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    alias: String,
}

/// Sets versions by the name that the chart has a dependency by.
///
/// # Errors
/// What cannot be set, and why. Nothing has changed then.
pub fn pin(
    chart: &str,
    lock: Option<&str>,
    versions: &BTreeMap<String, String>,
) -> Result<Pinned, String> {
    let mut dependencies = dependencies("Chart.yaml", chart)?;
    let mut is_set = vec![false; dependencies.len()];
    let mut updates = Vec::new();
    for (name, version) in versions {
        let at = position(&dependencies, name)?;
        updates.push((path(at, "version")?, Scalar::from(version.as_str())));
        dependencies[at].version.clone_from(version);
        is_set[at] = true;
    }
    let chart = edited("Chart.yaml", chart, &updates)?;
    let locked = lock.map(|lock| self::dependencies("Chart.lock", lock)).transpose()?;
    if let Some(locked) = &locked {
        in_step(&dependencies, locked)?;
    }
    let versions: Vec<Option<String>> = dependencies
        .iter()
        .enumerate()
        .map(|(at, dependency)| {
            let locked = locked.as_ref().map(|locked| &locked[at].version);
            match (is_set[at], locked) {
                (false, Some(locked)) => Some(locked.clone()),
                (true, _) | (false, None) => exact(&dependency.version),
            }
        })
        .collect();
    let lock = match (lock, locked) {
        (Some(lock), Some(locked)) => Some(relocked(lock, &dependencies, locked, &versions)?),
        (Some(_) | None, _) => None,
    };
    let dependencies = dependencies.into_iter().zip(versions).zip(is_set);
    let dependencies = dependencies.map(|((dependency, version), is_set)| Resolved {
        name: dependency.name,
        repository: dependency.repository,
        version,
        is_set,
    });
    Ok(Pinned { chart, lock, dependencies: dependencies.collect() })
}

/// The dependencies that a file lists.
fn dependencies(file: &str, text: &str) -> Result<Vec<Dependency>, String> {
    let mut document = yaml::read(text).map_err(|error| format!("{file}: {error}"))?;
    if document.get("apiVersion").is_some_and(|version| version == "v1") {
        return Err(format!(
            "{file} has `apiVersion: v1`, whose dependencies stand in requirements.yaml; move them, and \
             write `v2`"
        ));
    }
    match document.get_mut("dependencies").map(Value::take) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(mut listed) => serde_json::from_value(without_nulls(&mut listed)).map_err(|error| {
            format!("{file}: `dependencies` is not as helm has it: {error}; texts such as versions need quotes")
        }),
    }
}

/// As helm reads it: a key without a value is one that is not there.
fn without_nulls(listed: &mut Value) -> Value {
    let entries = listed.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut);
    for entry in entries {
        entry.retain(|_, value| !value.is_null());
        // Helm reads these as maps, and counts maps by their keys.
        entry.entry("import-values").and_modify(Value::sort_all_objects);
    }
    listed.take()
}

fn position(dependencies: &[Dependency], name: &str) -> Result<usize, String> {
    let known = |dependency: &Dependency| match dependency.alias.as_str() {
        "" => dependency.name.clone(),
        alias => alias.to_owned(),
    };
    let mut found = (0..dependencies.len()).filter(|at| known(&dependencies[*at]) == name);
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => Err(format!(
            "Chart.yaml has several dependencies by the name {name:?}; give them an `alias` each"
        )),
        (None, _) => {
            let names: Vec<String> = dependencies.iter().map(known).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(format!("Chart.yaml has no dependency {name:?}; it has: {names}"))
        }
    }
}

/// A lock that lists something else is one that helm refuses, too.
fn in_step(dependencies: &[Dependency], locked: &[Dependency]) -> Result<(), String> {
    let of = |list: &[Dependency]| -> Vec<(String, String)> {
        list.iter().map(|entry| (entry.name.clone(), entry.repository.clone())).collect()
    };
    if of(dependencies) == of(locked) {
        return Ok(());
    }
    Err("Chart.lock does not list the dependencies of Chart.yaml in their order; run `helm dependency \
         update` and commit what it makes"
        .to_owned())
}

fn relocked(
    text: &str,
    dependencies: &[Dependency],
    mut locked: Vec<Dependency>,
    versions: &[Option<String>],
) -> Result<String, String> {
    let mut updates = Vec::new();
    for (at, (entry, version)) in locked.iter_mut().zip(versions).enumerate() {
        let Some(version) = version.as_ref().filter(|version| **version != entry.version) else {
            continue;
        };
        updates.push((path(at, "version")?, Scalar::from(version.as_str())));
        entry.version.clone_from(version);
    }
    let digest = format!("sha256:{}", digest(dependencies, &locked)?);
    let key = KeyPath::from_parts(vec!["digest".to_owned()]).map_err(|error| error.to_string())?;
    updates.push((key, Scalar::from(digest.as_str())));
    edited("Chart.lock", text, &updates)
}

/// What helm compares to see whether a lock is of the chart: the hash over both lists as its own JSON has
/// them (`HashReq` of its resolver, version 3 and later).
fn digest(dependencies: &[Dependency], locked: &[Dependency]) -> Result<String, String> {
    let json = serde_json::to_string(&[dependencies, locked]).map_err(|error| error.to_string())?;
    // Go escapes what HTML gives a meaning to.
    let mut counted = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                counted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            other => counted.push(other),
        }
    }
    Ok(Sha256::digest(counted).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A version that is one, and not a range.
fn exact(version: &str) -> Option<String> {
    let version = version.trim();
    let is_exact = reconciler_domain::version::Version::strict(version).is_ok();
    is_exact.then(|| version.to_owned())
}

fn path(at: usize, key: &str) -> Result<KeyPath, String> {
    KeyPath::from_parts(vec!["dependencies".to_owned(), at.to_string(), key.to_owned()])
        .map_err(|error| error.to_string())
}

fn edited(file: &str, text: &str, updates: &[(KeyPath, Scalar)]) -> Result<String, String> {
    yaml::update(text, updates).map_err(|error| format!("{file}: {error}"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use insta::assert_snapshot;

    use super::*;

    const CHART: &str = "\
apiVersion: v2
name: shop
version: 1.0.0
dependencies:
  # The cache.
  - name: redis-ha
    version: 4.17.1   # set by Lockstep
    repository: https://dandydeveloper.github.io/charts/
    condition: redis-ha.enabled
";

    /// As helm 3 wrote it for these dependencies.
    const LOCK: &str = "\
dependencies:
- name: redis-ha
  repository: https://dandydeveloper.github.io/charts/
  version: 4.17.1
digest: sha256:eecc8c4bee9af2f12aa6c7e6d0d76c87a8c0b06aa3f2af8405578c4725a5f501
generated: \"2022-06-29T14:57:19.381444853+02:00\"
";

    fn versions(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    }

    #[test]
    fn the_digest_is_the_one_that_helm_writes() {
        let same = pin(CHART, Some(LOCK), &versions(&[("redis-ha", "4.17.1")])).unwrap();
        assert_eq!((same.chart.as_str(), same.lock.as_deref()), (CHART, Some(LOCK)));
    }

    #[test]
    fn versions_are_set_in_both_files() {
        let pinned = pin(CHART, Some(LOCK), &versions(&[("redis-ha", "4.18.0")])).unwrap();
        assert_eq!(pinned.chart, CHART.replace("4.17.1", "4.18.0"));
        assert_snapshot!(pinned.lock.unwrap(), @r#"
        dependencies:
        - name: redis-ha
          repository: https://dandydeveloper.github.io/charts/
          version: 4.18.0
        digest: sha256:f74acb312bd2a4da739f82fb644dc29ed124f22623237bbdff88c507a62feac8
        generated: "2022-06-29T14:57:19.381444853+02:00"
        "#);
        assert_eq!(pinned.dependencies[0].version.as_deref(), Some("4.18.0"));
    }

    const TWO: &str = "\
apiVersion: v2
dependencies:
- {name: db, version: \">=1.0.0 <2.0.0\", repository: \"oci://registry.example.com/charts\", alias: orders}
- {name: db, version: 1.2.0, repository: \"oci://registry.example.com/charts\", alias: users}
- name: library
  version: 0.1.0
";

    #[test]
    fn what_is_not_set_stays_at_what_the_lock_says() {
        let lock = "\
dependencies:
- name: db
  repository: oci://registry.example.com/charts
  version: 1.4.0
- name: db
  repository: oci://registry.example.com/charts
  version: 1.2.0
- name: library
  repository: \"\"
  version: 0.1.0
digest: sha256:0
generated: \"2026-01-01T00:00:00Z\"
";
        let pinned = pin(TWO, Some(lock), &versions(&[("users", "1.3.0")])).unwrap();
        let version = |at: usize| pinned.dependencies[at].version.as_deref();
        assert_eq!(
            [version(0), version(1), version(2)],
            [Some("1.4.0"), Some("1.3.0"), Some("0.1.0")]
        );
        assert_eq!(
            pinned.dependencies.iter().map(|found| found.is_set).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert_snapshot!(pinned.lock.unwrap(), @r#"
        dependencies:
        - name: db
          repository: oci://registry.example.com/charts
          version: 1.4.0
        - name: db
          repository: oci://registry.example.com/charts
          version: 1.3.0
        - name: library
          repository: ""
          version: 0.1.0
        digest: sha256:e900eba9e13eace98a17bd9ac8ae985ef4e04f508ba5f137904b11a9383e86fe
        generated: "2026-01-01T00:00:00Z"
        "#);
        let without = pin(TWO, None, &versions(&[("users", "1.3.0")])).unwrap();
        assert_eq!(without.lock, None);
        assert_eq!(without.dependencies[0].version, None, "a range, and nothing says which");
    }

    #[test]
    fn what_cannot_be_set_is_named() {
        let told = |chart: &str, lock: Option<&str>, name: &str| {
            pin(chart, lock, &versions(&[(name, "1.0.0")])).unwrap_err()
        };
        assert_snapshot!(told(CHART, None, "redis"), @r#"Chart.yaml has no dependency "redis"; it has: redis-ha"#);
        assert_snapshot!(told("apiVersion: v2\n", None, "redis"), @r#"Chart.yaml has no dependency "redis"; it has: none"#);
        assert_snapshot!(told("apiVersion: v1\n", None, "redis"), @"Chart.yaml has `apiVersion: v1`, whose dependencies stand in requirements.yaml; move them, and write `v2`");
        assert_snapshot!(told(TWO, Some(LOCK), "users"), @"Chart.lock does not list the dependencies of Chart.yaml in their order; run `helm dependency update` and commit what it makes");
        assert_snapshot!(told("dependencies: [{name: a, version: 1.10, repository: x}]", None, "a"), @"Chart.yaml: `dependencies` is not as helm has it: invalid type: floating point `1.1`, expected a string; texts such as versions need quotes");
        assert_snapshot!(told("dependencies: [{name: a, repository: x}]", None, "a"), @"Chart.yaml: key `dependencies.0.version` is not in the first document; only existing values are set");
        let twice = "dependencies:\n- {name: a, version: '1', repository: x}\n- {name: a, version: '2', repository: y}\n";
        assert_snapshot!(told(twice, None, "a"), @r#"Chart.yaml has several dependencies by the name "a"; give them an `alias` each"#);
    }
}
