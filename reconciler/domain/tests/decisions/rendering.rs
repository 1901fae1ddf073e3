//! Rendering manifests: what it waits for.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::controlling::promoted;

/// A value of a base that is written late or not, and an overlay of it beside.
fn steps(value: &str, path: &str) -> Value {
    json!([
        ["call", "http", { "url": "https://hook.example/x", "method": "PUT", "outputs": { "id": "response.json.id" } }],
        ["src", "git_clone", { "repo": "https://git.example/gitops", "checkout": { "src": { "branch": "main" } } }],
        ["base", "yaml_update", { "path": "src/base/dev.yaml", "updates": { "tag": value } }],
        ["build", "kustomize_build", { "path": path, "to": "all.yaml" }],
        ["chart", "helm_template", { "path": "src/chart", "to": "out", "values": { "tag": value } }],
    ])
}

#[test]
fn an_overlay_waits_for_what_may_be_its_base() {
    let known = steps("2", "src/overlay");
    assert_snapshot!(promoted(&known, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
    ");
    let late = steps("{{ steps.call.id }}", "src/overlay");
    assert_snapshot!(promoted(&late, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   base waits for steps.call.id
    dev.1   build waits for file src/base/dev.yaml
    dev.1   chart waits for steps.call.id
    dev.1 commits
    dev.1 runs call
    dev.1 runs base
    dev.1 runs build
    dev.1 runs chart
    dev.1 succeeded: every step is done and every check passed
    ");
    // A template is known when it is rendered.
    let rendered = steps("{{ steps.call.id }}", "src/{{ stage.name }}");
    assert_snapshot!(promoted(&rendered, "", ""), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   base waits for steps.call.id
    dev.1   build waits for file src/base/dev.yaml
    dev.1   chart waits for steps.call.id
    dev.1 commits
    dev.1 runs call
    dev.1 runs base
    dev.1 runs build
    dev.1 runs chart
    dev.1 succeeded: every step is done and every check passed
    ");
}
