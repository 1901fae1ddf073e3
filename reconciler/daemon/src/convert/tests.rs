//! What is sent comes back, and everything that does not parse is named at once.

use reconciler_api::problem::FieldProblem;
use reconciler_api::v1::{PolicySpec, StageSpec, TaskSpec, VerificationSpec, WarehouseSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    parse_policy, parse_stage, parse_task, parse_verification, parse_warehouse, policy_spec,
    stage_spec, task_spec, verification_spec, warehouse_spec,
};

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("well formed")
}

/// Reads a spec, parses it, says it again: it must be what was sent.
fn comes_back<S: DeserializeOwned + Serialize>(
    sent: &Value,
    there_and_back: impl Fn(&S) -> Result<S, Vec<FieldProblem>>,
) {
    let spec: S = serde_json::from_value(sent.clone()).expect("of the wire's shape");
    let back = there_and_back(&spec).expect("nothing is wrong with it");
    assert_eq!(serde_json::to_value(back).expect("plain data"), *sent);
}

/// Everything that is wrong with a spec, one line each.
fn wrong<S: DeserializeOwned, D>(
    sent: Value,
    parse: impl Fn(&S) -> Result<D, Vec<FieldProblem>>,
) -> Vec<String> {
    let spec: S = serde_json::from_value(sent).expect("of the wire's shape");
    let problems = parse(&spec).err().unwrap_or_default();
    problems.iter().map(|problem| format!("{}: {}", problem.path, problem.code)).collect()
}

#[test]
fn a_warehouse_comes_back() {
    let sent = json!({
        "interval": "5m",
        "git": [{ "name": "infra", "repo": "https://git.example.com/infra.git", "branch": "main",
            "include_paths": ["modules/"], "exclude_paths": ["modules/test"],
            "discovery_limit": 20 }],
        "image": [{ "name": "api", "repo": "registry.example.com/shop/api", "constraint": "^1.2",
            "strict_semver": true, "allow_tags": ["^1"], "ignore_tags": [],
            "platform": "linux/amd64", "insecure": false, "discovery_limit": 5 }],
        "require": "freight.api.version.major == 1",
        "deletion_protection": true,
    });
    comes_back::<WarehouseSpec>(&sent, |spec| {
        parse_warehouse(name("shop"), spec).map(|parsed| warehouse_spec(&parsed))
    });
}

#[test]
fn every_problem_of_a_warehouse_is_named_at_its_field() {
    let sent = json!({
        "interval": "soon",
        "git": [{ "name": "Infra", "repo": "not a url", "branch": "", "discovery_limit": 0,
            "include_paths": ["regex:("] }],
        "image": [
            { "name": "api", "repo": "registry.example.com/shop/api", "constraint": "1.x.y" },
            { "name": "api", "repo": "registry.example.com/shop/api:1", "allow_tags": ["["],
                "platform": "linux" },
            { "name": "api", "repo": "registry.example.com/shop/api" },
        ],
        "require": "freight.api.tag ==",
    });
    assert_eq!(
        wrong::<WarehouseSpec, _>(sent, |spec| parse_warehouse(name("shop"), spec)),
        [
            "interval: bad_duration",
            "require: bad_expression",
            "git[0].repo: bad_url",
            "git[0].branch: missing",
            "git[0].include_paths[0]: bad_regex",
            "git[0].discovery_limit: out_of_bounds",
            "git[0].name: bad_name",
            "image[0].constraint: bad_constraint",
            "image[1].repo: bad_url",
            "image[1].allow_tags[0]: bad_regex",
            "image[1].platform: bad_platform",
            "image[1].name: duplicate",
            "image[2].name: duplicate",
        ]
    );
}

#[test]
fn a_stage_comes_back() {
    let sent = json!({
        "vars": { "region": "eu" },
        "requests": [
            { "warehouse": "shop", "from": ["dev", "qa"], "match": "all" },
            { "warehouse": "data", "from": ["dev", "qa", "eu"], "match": "any", "at_least": 2 },
        ],
        "steps": [{ "name": "src", "uses": "git_clone",
            "config": { "repo": "https://git.example.com/x.git",
                "checkout": { "x": { "branch": "main" } } } }],
        "verifications": [{ "name": "errors", "template": "errors", "args": { "service": "api" } }],
        "choose": "queue",
        "labels": { "tier": "1" },
        "deletion_protection": true,
    });
    comes_back::<StageSpec>(&sent, |spec| {
        parse_stage(name("prod"), spec).map(|parsed| stage_spec(&parsed))
    });
}

#[test]
fn every_problem_of_a_stage_is_named_at_its_field() {
    let sent = json!({
        "requests": [
            { "warehouse": "Shop", "from": ["dev", "Q A"] },
            { "warehouse": "data", "from": ["dev", "qa"], "match": "all", "at_least": 2 },
        ],
        "steps": [{ "name": "Src", "uses": "git_clon", "config": {} }],
        "verifications": [{ "name": "errors", "template": "" }],
    });
    assert_eq!(
        wrong::<StageSpec, _>(sent, |spec| parse_stage(name("prod"), spec)),
        [
            "requests[0].warehouse: bad_name",
            "requests[0].from[1]: bad_name",
            "requests[1].at_least: conflicting",
            "steps[0].name: bad_name",
            "steps[0].uses: unknown_step",
            "verifications[0].template: bad_name",
        ]
    );
}

#[test]
fn a_task_comes_back() {
    let sent = json!({
        "description": "tells the places",
        "inputs": [
            { "name": "places", "type": "list", "default": ["eu"], "description": "where" },
            { "name": "count", "type": "number", "description": "" },
        ],
        "steps": [
            { "name": "tell", "uses": "http", "config": { "url": "https://x.example" },
                "control": { "for_each": "{{ inputs.places }}" } },
            { "name": "more", "uses": "task", "config": { "task": "other" } },
        ],
    });
    comes_back::<TaskSpec>(&sent, |spec| {
        parse_task(name("tell"), spec).map(|parsed| task_spec(&parsed))
    });
}

#[test]
fn every_problem_of_a_task_is_named_at_its_field() {
    let sent = json!({
        "inputs": [{ "name": "A" }, { "name": "b" }, { "name": "b" }],
        "steps": [{ "name": "Src", "uses": "git_clon", "config": {} }],
    });
    assert_eq!(
        wrong::<TaskSpec, _>(sent, |spec| parse_task(name("tell"), spec)),
        [
            "inputs[0].name: bad_name",
            "inputs[2].name: duplicate",
            "steps[0].name: bad_name",
            "steps[0].uses: unknown_step",
        ]
    );
}

#[test]
fn a_verification_comes_back() {
    let sent = json!({
        "description": "errors and health",
        "initial_delay": "5s", "interval": "10s", "count": 3, "failure_limit": 1,
        "deadline": "2m",
        "http": [{ "name": "health", "url": "https://{{ args.host }}/healthz", "method": "GET",
            "headers": { "x-a": "b" }, "body": null, "timeout": "3s",
            "success": "response.status == 200" }],
        "prometheus": [{ "name": "errors", "address": "http://prometheus:9090",
            "query": "sum(rate(errors[5m]))", "success": "result.value < 0.1" }],
    });
    comes_back::<VerificationSpec>(&sent, |spec| {
        parse_verification(name("errors"), spec).map(|parsed| verification_spec(&parsed))
    });
}

#[test]
fn every_problem_of_a_verification_is_named_at_its_field() {
    let sent = json!({
        "interval": "often", "count": 0, "deadline": "-1s",
        "http": [
            { "name": "", "url": "ftp://x", "method": "BREW", "timeout": "x", "success": "true" },
            { "name": "a", "url": "https://x.example", "success": "true" },
            { "name": "a", "url": "https://x.example", "success": "true" },
        ],
        "prometheus": [{ "name": "p", "address": "prometheus", "query": "up", "success": "true" }],
    });
    assert_eq!(
        wrong::<VerificationSpec, _>(sent, |spec| parse_verification(name("errors"), spec)),
        [
            "interval: bad_duration",
            "deadline: bad_duration",
            "count: out_of_bounds",
            "http[0].url: bad_url",
            "http[0].method: invalid",
            "http[0].timeout: bad_duration",
            "http[0].name: missing",
            "http[2].name: duplicate",
            "prometheus[0].address: bad_url",
        ]
    );
}

#[test]
fn a_policy_comes_back() {
    let sent = json!({
        "mode": "gated",
        "stages": { "names": ["prod*"] },
        "soak": "1d", "soak_in": { "canary": "1h" }, "settle": "10s", "max_age": "14d",
        "max_wait": "7d", "max_undo_wait": "12h",
        "conditions": [{ "name": "stable", "when": "freight.api.version.prerelease == ''" }],
        "windows": [
            { "name": "office", "allow": "FREQ=WEEKLY;BYDAY=MO,TU;BYHOUR=9", "deny": null,
                "duration": "7h", "timezone": "Europe/Berlin", "start": null,
                "actions": ["promote"], "groups": [], "exempt": [] },
            { "name": "move", "allow": null, "deny": "FREQ=DAILY;COUNT=3", "duration": "1d",
                "timezone": "UTC", "start": "2026-01-05T09:00:00",
                "actions": ["promote", "rollback", "bypass"], "groups": ["dev"],
                "exempt": ["oncall"] },
        ],
        "rates": [{ "name": "calm", "max": 3, "per": "1d", "cooldown": "30m", "concurrent": 1,
            "across": "policy" }],
        "approvals": [{ "group": "sre", "count": 2, "exclude": ["requester", "commit_author"] }],
        "infra": { "forbid": ["replace", "delete"], "protect": ["aws_db_instance.*"],
            "max_changes": 20, "max_deletes": 2, "max_monthly_cost": 500, "max_cost_increase": 0, "rules": [
                { "name": "no_roles", "when": "changes.all(c, c.type != 'aws_iam_role')",
                    "message": "roles are made elsewhere" },
                { "name": "few", "when": "summary.total < 9", "message": null },
            ] },
        "rollback": { "on": ["promotion_failed", "verification_failed"] },
        "bypass": [{ "name": "break-glass", "groups": ["oncall"], "gates": ["soak", "approvals"], "expires": "2026-02-01T00:00:00Z" }],
    });
    comes_back::<PolicySpec>(&sent, |spec| {
        parse_policy(name("prod"), spec).map(|parsed| policy_spec(&parsed))
    });
}

#[test]
fn every_problem_of_a_policy_is_named_at_its_field() {
    let sent = json!({
        "mode": "gated", "stages": { "names": ["prod"] },
        "soak": "long", "settle": "1y", "max_age": "old", "max_wait": "long",
        "conditions": [{ "name": "x", "when": "freight." }],
        "windows": [
            { "name": "a", "duration": "1h", "timezone": "UTC" },
            { "name": "b", "allow": "FREQ=DAILY", "deny": "FREQ=DAILY", "duration": "1h",
                "timezone": "UTC" },
            { "name": "", "allow": "FREQ=OFTEN", "duration": "x", "timezone": "Berlin",
                "start": "2026-01-05T09:00:00Z" },
            { "name": "d", "deny": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "duration": "1h",
                "timezone": "UTC" },
            { "name": "e", "deny": "FREQ=WEEKLY", "duration": "1h", "timezone": "UTC" },
        ],
        "rates": [{ "name": "r", "max": 3 }, { "name": "s", "per": "1d", "cooldown": "x" }],
        "infra": { "protect": ["aws_db_instance.[", "a b"],
            "rules": [{ "name": "x", "when": "changes.all(c, " }] },
    });
    assert_eq!(
        wrong::<PolicySpec, _>(sent, |spec| parse_policy(name("prod"), spec)),
        [
            "soak: bad_duration",
            "settle: bad_duration",
            "max_age: bad_duration",
            "max_wait: bad_duration",
            "conditions[0].when: bad_expression",
            "windows[0].allow: missing",
            "windows[1].deny: conflicting",
            "windows[2].name: missing",
            "windows[2].allow: bad_recurrence",
            "windows[2].duration: bad_duration",
            "windows[2].timezone: bad_timezone",
            "windows[2].start: invalid",
            "windows[3].deny: never_satisfied",
            "windows[4].deny: invalid",
            "rates[0].per: missing",
            "rates[1].cooldown: bad_duration",
            "rates[1].max: missing",
            "infra.protect[0]: bad_glob",
            "infra.protect[1]: bad_glob",
            "infra.rules[0].when: bad_expression",
        ]
    );
}
