//! Strict checking of a step's arguments against the table of its kind.

mod ask;
mod keep;
mod table;
mod wait;

use std::time::Duration;

use serde_json::Value;

pub(in crate::step) use self::table::check_table;
pub(crate) use self::table::did_you_mean;
use self::table::join;
use super::control::{Control, split_control};
use super::fields::{fields, places};
use super::{ForgeKind, StepKind};
use super::{infra, oci, run};
use crate::check::ProblemKind;
use crate::duration;

/// One thing wrong with a step's arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct StepProblem {
    /// Where in the arguments: `checkout.infra.commit`; empty for the arguments as a whole.
    pub path: String,
    /// What kind of wrong.
    pub kind: ProblemKind,
    /// What is wrong and what is expected.
    pub message: String,
}

/// Checks the arguments of a step: names, types, what is required, syntax of templates and CEL.
///
/// Returns every problem, in the order of the arguments. References inside expressions are checked
/// with the whole stage at hand, by [`crate::check`].
#[must_use]
pub fn check_config(kind: StepKind, config: &Value) -> Vec<StepProblem> {
    let mut problems = Vec::new();
    check_table(fields(kind), config, "", &mut problems);
    if problems.is_empty() {
        inside_the_working_directory(kind, config, &mut problems);
        if kind == StepKind::GitClone {
            one_of_commit_and_branch(config, &mut problems);
        }
        if kind == StepKind::Task && config["task"].as_str().is_some_and(|t| t.contains("{{")) {
            problems.push(StepProblem {
                path: "task".to_owned(),
                kind: ProblemKind::Invalid,
                message: "names the task as it is: which steps there are is no template's to say"
                    .to_owned(),
            });
        }
        if kind == StepKind::Http {
            poll(config, &mut problems);
            at_most_one_of(config, ["poll", "confirm"], &mut problems);
        }
        if kind == StepKind::KustomizeSetImage {
            something_to_set(config, &mut problems);
        }
        if kind == StepKind::Download {
            checksum(config, &mut problems);
        }
        if kind == StepKind::OciPull {
            reference(config, "image", |text| oci::with_either(text).map(drop), &mut problems);
            at_most_one_of(config, ["media_type", "file"], &mut problems);
        }
        if kind == StepKind::OciPush {
            reference(config, "from", |text| oci::with_digest(text).map(drop), &mut problems);
            reference(config, "to", |text| oci::with_tag(text).map(drop), &mut problems);
        }
        if kind == StepKind::OciAttach {
            reference(config, "image", |text| oci::with_digest(text).map(drop), &mut problems);
        }
        if fields(kind).iter().any(|field| field.name == "forge") {
            forge(config, &mut problems);
        }
        if matches!(kind, StepKind::Run | StepKind::RunEffect) {
            run::check(config, &mut problems);
        }
        if kind.plans_infra() || kind == StepKind::TfImport {
            infra::check(config, &mut problems);
        }
        if kind == StepKind::Wait {
            problems.extend(wait::check(config));
        }
        if kind == StepKind::WaitForApproval {
            problems.extend(ask::check_groups(config));
        }
        if kind == StepKind::SetMetadata {
            problems.extend(keep::check_metadata(config));
        }
        if kind == StepKind::SetAlias {
            problems.extend(keep::check_alias(config));
        }
        if kind == StepKind::GetInput {
            problems.extend(ask::check_form(config));
        }
    }
    problems
}

/// Checks the arguments of a step with its control among them, as it stands in HCL.
///
/// Returns every problem, in the order of the arguments; those of the control last.
#[must_use]
pub fn check_step(kind: StepKind, config: &Value) -> Vec<StepProblem> {
    let (arguments, control) = split_control(config);
    let mut problems = check_config(kind, &arguments);
    match control.map(|control| Control::read(&control)) {
        None => {}
        Some(Ok(control)) => problems.extend(control.check_for(kind)),
        Some(Err(wrong)) => problems.extend(wrong),
    }
    problems
}

/// Paths of a step stay below the working directory. Those that are templates are held to it when
/// they are used.
fn inside_the_working_directory(kind: StepKind, config: &Value, problems: &mut Vec<StepProblem>) {
    let named = places(kind, config).into_iter().map(|place| (place.argument, place.path));
    let mut paths: Vec<(String, &str)> = named.collect();
    if kind == StepKind::GitClone {
        let dirs = config["checkout"].as_object().into_iter().flatten();
        paths.extend(dirs.map(|(dir, _)| (format!("checkout.{dir}"), dir.as_str())));
    }
    for (at, path) in paths {
        let literal = path.split("{{").next().unwrap_or_default();
        if literal.starts_with('/') || path.split('/').any(|part| part == "..") {
            let message =
                format!("{path:?} leaves the working directory; paths are relative to it");
            problems.push(StepProblem { path: at, kind: ProblemKind::Invalid, message });
        }
    }
}

/// Only what changes nothing is asked again, and not without a pause.
fn poll(config: &Value, problems: &mut Vec<StepProblem>) {
    let Some(poll) = config.get("poll").filter(|poll| !poll.is_null()) else { return };
    let mut problem = |path: &str, kind, message: String| {
        problems.push(StepProblem { path: path.to_owned(), kind, message });
    };
    let method = config["method"].as_str().unwrap_or("GET");
    if method != "GET" && !method.contains("{{") {
        let message = format!("only a GET is asked again, and this is a {method}");
        problem("poll", ProblemKind::Conflict, message);
    }
    let interval = poll["interval"].as_str().and_then(|text| duration::parse(text).ok());
    if interval.is_some_and(|interval| interval < Duration::from_secs(1)) {
        problem("poll.interval", ProblemKind::Invalid, "expected at least 1s".to_owned());
    }
}

/// A repository whose host is not known for anything needs to be told about, and GitLab has no rebase.
fn forge(config: &Value, problems: &mut Vec<StepProblem>) {
    let given = |name: &str| config[name].as_str().filter(|text| !text.contains("{{"));
    let is_open = |name: &str| config[name].as_str().is_some_and(|text| text.contains("{{"));
    let mut problem = |path: &str, kind, message: String| {
        problems.push(StepProblem { path: path.to_owned(), kind, message });
    };
    let named = given("forge").and_then(ForgeKind::from_word);
    let forge = named.or_else(|| ForgeKind::of_repo(given("repo")?));
    if forge.is_none() && !is_open("repo") && !is_open("forge") {
        let words = ForgeKind::WORDS.join(", ");
        let message =
            format!("the repository's host is not one that everybody knows: one of {words}");
        problem("forge", ProblemKind::Missing, message);
    }
    if forge == Some(ForgeKind::GitLab) && given("method") == Some("rebase") {
        let message = "GitLab rebases as its project's settings say: give merge or squash";
        problem("method", ProblemKind::Conflict, message.to_owned());
    }
}

fn something_to_set(config: &Value, problems: &mut Vec<StepProblem>) {
    for (name, image) in config["images"].as_object().into_iter().flatten() {
        let given = |key| image.get(key).is_some_and(|value: &Value| !value.is_null());
        if !["new_name", "tag", "digest"].into_iter().any(given) {
            problems.push(StepProblem {
                path: format!("images.{name}"),
                kind: ProblemKind::Missing,
                message: "give new_name, tag or digest".to_owned(),
            });
        }
    }
}

/// A reference that is no template names what it has to name.
fn reference(
    config: &Value,
    name: &str,
    read: impl Fn(&str) -> Result<(), String>,
    problems: &mut Vec<StepProblem>,
) {
    let literal = config[name].as_str().filter(|text| !text.contains("{{"));
    if let Some(Err(message)) = literal.map(read) {
        problems.push(StepProblem { path: name.to_owned(), kind: ProblemKind::Invalid, message });
    }
}

fn at_most_one_of(config: &Value, names: [&str; 2], problems: &mut Vec<StepProblem>) {
    let given = |name| config.get(name).is_some_and(|value: &Value| !value.is_null());
    if names.into_iter().all(given) {
        problems.push(StepProblem {
            path: names[1].to_owned(),
            kind: ProblemKind::Conflict,
            message: format!("give either {} or {}", names[0], names[1]),
        });
    }
}

/// A checksum that is no template is one.
fn checksum(config: &Value, problems: &mut Vec<StepProblem>) {
    let Some(text) = config["checksum"].as_str().filter(|text| !text.contains("{{")) else {
        return;
    };
    let hash = text.strip_prefix("sha256:").unwrap_or_default();
    if hash.len() != 64 || !hash.chars().all(|c| c.is_ascii_hexdigit()) {
        let message = format!("expected `sha256:` and 64 hexadecimal digits, found {text:?}");
        let path = "checksum".to_owned();
        problems.push(StepProblem { path, kind: ProblemKind::Invalid, message });
    }
}

fn one_of_commit_and_branch(config: &Value, problems: &mut Vec<StepProblem>) {
    for (dir, checkout) in config["checkout"].as_object().into_iter().flatten() {
        let path = format!("checkout.{dir}");
        one_of(checkout, &path, ["commit", "branch"], problems);
        let given = |name| checkout.get(name).is_some_and(|value: &Value| !value.is_null());
        if given("create") && given("commit") {
            let message = "only a branch is made, and this is a commit".to_owned();
            let (path, kind) = (format!("{path}.create"), ProblemKind::Conflict);
            problems.push(StepProblem { path, kind, message });
        }
    }
}

fn one_of(object: &Value, path: &str, names: [&str; 2], problems: &mut Vec<StepProblem>) {
    let given = |name| object.get(name).is_some_and(|value: &Value| !value.is_null());
    if given(names[0]) == given(names[1]) {
        problems.push(StepProblem {
            path: path.to_owned(),
            kind: ProblemKind::Conflict,
            message: format!("give either {} or {}", names[0], names[1]),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(kind: StepKind, config: &Value, expect: &[&str]) {
        let found: Vec<String> =
            check_config(kind, config).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "for {} {config}", kind.name());
    }

    #[test]
    fn well_formed_arguments_pass() {
        check(
            StepKind::GitClone,
            &json!({ "repo": "https://git.example/infra", "checkout": {
                "infra": { "commit": "{{ freight.infra.commit }}" },
                "gitops": { "branch": "main", "commit": null },
            }}),
            &[],
        );
        check(
            StepKind::Http,
            &json!({ "url": "https://x.example", "body": { "a": ["{{ vars.x }}"] },
                "success": "response.status == 200", "timeout": "5s" }),
            &[],
        );
    }

    #[test]
    fn misspelt_missing_and_mistyped_arguments_are_named() {
        check(
            StepKind::GitClone,
            &json!({ "rebo": "x", "checkout": { "infra": { "comit": "a" } } }),
            &[
                "rebo: there is no argument \"rebo\"; did you mean \"repo\"?",
                "repo: is required",
                "checkout.infra.comit: there is no argument \"comit\"; did you mean \"commit\"?",
            ],
        );
        check(
            StepKind::TfPlan,
            &json!({ "dir": 7, "tool": "teraform", "timeout": "soon", "var_files": "a.tfvars" }),
            &[
                "dir: expected text, found 7",
                "var_files: expected a list, found the text \"a.tfvars\"",
                "tool: \"teraform\" is not allowed; did you mean \"terraform\"?",
                &format!("timeout: {}", duration::parse("soon").expect_err("not a duration")),
            ],
        );
        check(StepKind::TfApply, &json!([]), &[": expected an object, found a list"]);
        check(
            StepKind::GitClone,
            &json!({ "repo": "x", "checkout": { "a": { "commit": "1", "branch": "main" } } }),
            &["checkout.a: give either commit or branch"],
        );
        check(
            StepKind::GitClone,
            &json!({ "repo": "x", "checkout": {
                "a": { "branch": "rendered/dev", "create": true },
                "b": { "commit": "1", "create": true },
            } }),
            &["checkout.b.create: only a branch is made, and this is a commit"],
        );
    }

    #[test]
    fn options_of_a_plan_are_what_its_tool_takes() {
        check(
            StepKind::TfPlan,
            &json!({ "dir": "infra", "version": "~> 1.8", "workspace": "{{ stage.name }}",
                "targets": ["module.net", "aws_x.y[\"a.b\"]"], "lock_file": "readonly",
                "backend_config": { "password": "{{ secret('state', 'password') }}", "lock": true },
                "env": { "AWS_REGION": "eu-1" }, "secrets": { "TF_VAR_key": "cloud/key" } }),
            &[],
        );
        check(
            StepKind::TfPlan,
            &json!({ "dir": "infra", "version": "newest", "workspace": "-or-create",
                "targets": ["aws_x"], "replace": ["-out=x.y"], "lock_file": "never" }),
            &["lock_file: \"never\" is not allowed; known: update, readonly"],
        );
        check(
            StepKind::TfPlan,
            &json!({ "dir": "infra", "version": "newest", "workspace": "-or-create",
                "targets": ["aws_x"], "replace": ["-out=x.y"],
                "env": { "TF_WORKSPACE": "x", "TF_CLI_ARGS_plan": "-x", "A": "b",
                    "LD_PRELOAD": "./x.so", "GIT_SSH_COMMAND": "./x" },
                "secrets": { "A": "cloud/key", "B": "key" },
                "apply_secrets": { "TF_VAR_key": "cloud/key", "B": "cloud/other" } }),
            &[
                &format!(
                    "version: {}",
                    super::super::tool_versions("newest").expect_err("no range")
                ),
                "workspace: \"-or-create\" is no name of a workspace: letters, digits, `-`, `_` and `.`, \
                 at most 90, and a letter, digit or `_` first",
                "targets[0]: \"aws_x\" is no address of a resource or module, such as \
                 `aws_instance.web[0]` or `module.net`",
                "replace[0]: \"-out=x.y\" is no address of a resource or module, such as \
                 `aws_instance.web[0]` or `module.net`",
                "env.TF_WORKSPACE: is set by `workspace`",
                "env.TF_CLI_ARGS_plan: would change what the step says; use the step's own arguments",
                "env.LD_PRELOAD: says which code every program loads, which no step may: let the program \
                 that is run set it",
                "env.GIT_SSH_COMMAND: can name programs that the tool starts while it fetches providers, so \
                 no step sets it; whoever runs lockstepd may, in `infra_env`",
                "secrets.A: is in `env`, too",
                "secrets.B: expected a secret of the project, as CREDENTIAL/KEY",
                "apply_secrets.TF_VAR_key: a plan holds the input variables that it was made with: set it in \
                 `secrets`",
            ],
        );
        check(
            StepKind::TfImport,
            &json!({ "dir": "infra", "imports": { "aws_x.y[0]": "i-1", "aws_x.y {}": "i-2" } }),
            &["imports.aws_x.y {}: \"aws_x.y {}\" is no address of a resource or module, such as \
               `aws_instance.web[0]` or `module.net`"],
        );
        let bounds =
            json!({ "dir": "infra", "envelope": { "actions": ["create"], "addresses": ["a..b"] } });
        let empty = "envelope.addresses[0]: `a..b` is not an address pattern: a segment is empty";
        check(StepKind::TfPlan, &bounds, &[empty]);
        let destroy = json!({ "dir": "infra", "targets": ["module.old"], "replace": ["a.b"] });
        check(
            StepKind::TfDestroy,
            &destroy,
            &["replace: there is no argument \"replace\"; known: dir, vars, \
            var_files, state, workspace, backend_config, env, secrets, apply_secrets, targets, tool, version, lock_file, envelope, \
            lock_timeout, timeout"],
        );
    }

    #[test]
    fn only_what_may_be_repeated_is_asked_again() {
        let config = |method: &str, interval: &str| {
            json!({ "url": "https://x.example", "method": method,
                "poll": { "interval": interval, "timeout": "10m" } })
        };
        check(StepKind::Http, &config("GET", "5s"), &[]);
        check(
            StepKind::Http,
            &config("POST", "10ms"),
            &[
                "poll: only a GET is asked again, and this is a POST",
                "poll.interval: expected at least 1s",
            ],
        );
        check(
            StepKind::Http,
            &json!({ "url": "https://x.example", "poll": {} }),
            &["poll.timeout: is required"],
        );
    }

    #[test]
    fn of_an_image_something_is_set() {
        let config = |image: Value| json!({ "path": "k.yaml", "images": { "api": image } });
        check(StepKind::KustomizeSetImage, &config(json!({ "tag": "{{ freight.api.tag }}" })), &[]);
        check(
            StepKind::KustomizeSetImage,
            &config(json!({ "tag": null })),
            &["images.api: give new_name, tag or digest"],
        );
        check(
            StepKind::KustomizeSetImage,
            &config(json!({ "newTag": "1" })),
            &["images.api.newTag: there is no argument \"newTag\"; known: new_name, tag, digest"],
        );
    }

    #[test]
    fn a_download_says_what_it_is_to_be() {
        let config = |checksum: &str| json!({ "url": "https://x.example/a.tgz", "to": "a.tgz", "checksum": checksum });
        check(StepKind::Download, &config(&format!("sha256:{}", "a0".repeat(32))), &[]);
        check(StepKind::Download, &config("{{ vars.sum }}"), &[]);
        for wrong in
            ["", "sha256:", "md5:0123", &"a0".repeat(32), &format!("sha256:{}", "g".repeat(64))]
        {
            let told =
                format!("checksum: expected `sha256:` and 64 hexadecimal digits, found {wrong:?}");
            check(StepKind::Download, &config(wrong), &[&told]);
        }
    }

    #[test]
    fn a_template_stands_for_a_scalar_but_not_for_a_structure() {
        check(
            StepKind::TfPlan,
            &json!({ "dir": "{{ vars.dir }}", "vars": "{{ vars.all }}" }),
            &["vars: expected a map, found the text \"{{ vars.all }}\""],
        );
    }

    #[test]
    fn every_kind_has_a_table_and_a_name_of_its_own() {
        for kind in StepKind::ALL {
            assert!(!fields(kind).is_empty());
            assert_eq!(StepKind::from_name(kind.name()), Some(kind));
        }
    }
}
