//! What is taken into a state, and what is destroyed on purpose: carried out, and taken back as far as it can be.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::kit::script::{set_stage, steps_of};
use crate::kit::{World, play};

/// Each promotion of an api has these steps between a checkout of the module and a request.
fn story(promotions: &[(&str, Value)]) -> String {
    let mut world = World::new();
    let script = "
        push infra module#cache=1
        state infra x.old=1
        warehouse shop api
        stage dev shop: app
        policy auto dev automatic rollback
    ";
    play(&mut world, script).expect("nothing crashes");
    for (script, steps) in promotions {
        let mut all = vec![json!(["src", "git_clone", {
            "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } },
        }])];
        all.extend(steps.as_array().expect("a list").iter().cloned());
        all.push(json!(["call", "http", { "url": "https://hook.example" }]));
        let mut stage = world.stage("dev").clone();
        stage.steps = steps_of(&Value::from(all));
        set_stage(&mut world, stage);
        play(&mut world, script).expect("nothing crashes");
    }
    play(&mut world, "outside").expect("nothing crashes");
    world.story.join("\n")
}

fn importing(imports: &Value) -> Value {
    json!([
        ["import", "tf_import", { "dir": "infra", "imports": imports }],
        ["plan", "tf_plan", { "dir": "infra", "vars": { "old": "1" } }],
        ["apply", "tf_apply", { "plan": "plan" }],
    ])
}

fn planning() -> Value {
    json!([
        ["plan", "tf_plan", { "dir": "infra", "vars": { "old": "1" } }],
        ["apply", "tf_apply", { "plan": "plan" }],
    ])
}

fn destroying(targets: &Value) -> Value {
    json!([
        ["gone", "tf_destroy", { "dir": "infra", "targets": targets }],
        ["apply", "tf_apply", { "plan": "gone" }],
    ])
}

#[test]
fn the_undo_of_a_first_promotion_leaves_what_it_imported() {
    let imports = json!({ "x.cache": "c-1" });
    assert_snapshot!(story(&[
        ("fail call 1\nfound shop api 1.0.0\nundo-plan dev.1", importing(&imports)),
    ]), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 stuck: undone only in part: step call failed: call was told to fail
    dev.1   remains: step apply: x.cache (imported), and no earlier promotion says how it was
    dev is held by automation: promotion dev.1 is stuck: undone only in part: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < apply (not all): destroys what this promotion created, and nothing else; no earlier promotion says how these were: x.cache (imported)
      | https://git.example/infra: module#cache=1
      | state infra: x.cache=1 x.old=1
    ");
}

#[test]
fn no_undo_deletes_what_was_imported() {
    let imports = json!({ "x.disk": "d-1" });
    assert_snapshot!(story(&[
        ("found shop api 1.0.0", planning()),
        (
            "push infra module#disk=1\nfail call 1\nfound shop api 1.1.0\nundo-plan dev.2",
            importing(&imports),
        ),
    ]), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 runs call: failed: call was told to fail
    dev.2 unwinds: step call failed: call was told to fail
    dev.2 plans the undo of apply
    dev.2 stuck: the undo of step apply is refused: it would delete `x.disk`, which was there before this promotion imported it: take it out of the state, or back into the module, by hand
    dev.2   remains: step apply: its plan is applied, as far as it got
    dev is held by automation: promotion dev.2 is stuck: the undo of step apply is refused: it would delete `x.disk`, which was there before this promotion imported it: take it out of the state, or back into the module, by hand
      < call (not all): has no undo: what was sent stays sent
      < apply: plans and applies the module of promotion dev.1 again, under the same infra rules; stuck if that would delete what this one imports: x.disk
      | https://git.example/infra: module#cache=1 module#disk=1
      | state infra: x.cache=1 x.disk=1 x.old=1
      | request shop/dev.1/call
    ");
}

#[test]
fn no_undo_deletes_what_an_attempt_before_imported() {
    let imports = json!({ "x.disk": "d-1" });
    let again = |version: u32| format!("fail call 1\nfound shop api 1.{version}.0");
    let told = story(&[
        ("found shop api 1.0.0", planning()),
        (&format!("push infra module#disk=1\n{}", again(1)), importing(&imports)),
        (
            &format!("lift stage dev\npush infra module#cache=2\n{}\nundo-plan dev.3", again(2)),
            importing(&imports),
        ),
    ]);
    assert_snapshot!(ending(&told, "dev.3"), @r"
    dev.3 unwinds: step call failed: call was told to fail
    dev.3 plans the undo of apply
    dev.3 stuck: the undo of step apply is refused: it would delete `x.disk`, which was there before this promotion imported it: take it out of the state, or back into the module, by hand
    dev.3   remains: step apply: its plan is applied, as far as it got
    dev is held by automation: promotion dev.3 is stuck: the undo of step apply is refused: it would delete `x.disk`, which was there before this promotion imported it: take it out of the state, or back into the module, by hand
      < call (not all): has no undo: what was sent stays sent
      < apply: plans and applies the module of promotion dev.1 again, under the same infra rules; stuck if that would delete what this one imports: x.disk
      | https://git.example/infra: module#cache=2 module#disk=1
      | state infra: x.cache=2 x.disk=1 x.old=1
      | request shop/dev.1/call
    ");
}

#[test]
fn no_undo_deletes_what_another_apply_imported() {
    let imports = json!({ "x.disk": "d-1" });
    let twice = json!([
        ["import", "tf_import", { "dir": "infra", "imports": imports }],
        ["disk", "tf_plan", { "dir": "infra", "vars": { "old": "1" } }],
        ["first", "tf_apply", { "plan": "disk" }],
        ["tell", "http", {
            "url": "https://hook.example", "outputs": { "ticket": "response.body.id" },
        }],
        ["plan", "tf_plan", {
            "dir": "infra", "vars": { "old": "1" }, "control": { "when": "steps.tell.ticket != ''" },
        }],
        ["apply", "tf_apply", { "plan": "plan" }],
    ]);
    let told = story(&[
        ("found shop api 1.0.0", planning()),
        ("push infra module#disk=1\nfail call 1\nfound shop api 1.1.0", twice),
    ]);
    assert_snapshot!(told, @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2   plan waits for steps.first, steps.tell.ticket
    dev.2 commits
    dev.2 runs first
    dev.2 runs tell
    dev.2 runs plan
    dev.2 runs apply
    dev.2 runs call: failed: call was told to fail
    dev.2 unwinds: step call failed: call was told to fail
    dev.2 plans the undo of first
    dev.2 stuck: the undo of step first is refused: it would delete `x.disk`, which was there before this promotion imported it: take it out of the state, or back into the module, by hand
    dev.2   remains: step first: its plan is applied, as far as it got
    dev.2   remains: step tell: GET https://hook.example was sent
    dev is held by automation: promotion dev.2 is stuck: the undo of step first is refused: it would delete `x.disk`, which was there before this promotion imported it: take it out of the state, or back into the module, by hand
      | https://git.example/infra: module#cache=1 module#disk=1
      | state infra: x.cache=1 x.disk=1 x.old=1
      | request shop/dev.1/call
      | request shop/dev.2/tell
    ");
}

#[test]
fn what_a_promotion_built_and_destroyed_is_not_built_by_the_next_undo() {
    let both = json!([
        ["plan", "tf_plan", { "dir": "infra" }],
        ["apply", "tf_apply", { "plan": "plan" }],
        ["tell", "http", {
            "url": "https://hook.example", "outputs": { "ticket": "response.body.id" },
        }],
        ["gone", "tf_destroy", { "dir": "infra", "control": { "when": "steps.tell.ticket != ''" } }],
        ["clear", "tf_apply", { "plan": "gone" }],
    ]);
    let told = story(&[
        ("found shop api 1.0.0", both.clone()),
        ("fail call 1\nfound shop api 1.1.0", both),
    ]);
    assert_snapshot!(ending(&told, "dev.2"), @r"
    dev.2 unwinds: step call failed: call was told to fail
    dev.2 plans the undo of apply
    dev.2 rolled_back: undone: step call failed: call was told to fail
    dev.2   remains: step tell: its request was sent and has no undo
      | https://git.example/infra: module#cache=1
      | state infra:
      | request shop/dev.1/call
      | request shop/dev.1/tell
      | request shop/dev.2/tell
    ");
}

/// What is told of the end of a promotion.
fn ending(told: &str, promotion: &str) -> String {
    let from = told.find(&format!("{promotion} unwinds")).expect("it is undone");
    told[from..].lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plan_waits_for_an_import_that_waits() {
    let steps = json!([
        ["tell", "http", {
            "url": "https://hook.example", "outputs": { "ticket": "response.body.id" },
        }],
        ["import", "tf_import", {
            "dir": "./infra", "imports": { "x.cache": "c-1" },
            "control": { "when": "steps.tell.ticket != ''" },
        }],
        ["plan", "tf_plan", { "dir": "infra", "vars": { "old": "1" } }],
        ["apply", "tf_apply", { "plan": "plan" }],
    ]);
    let told = story(&[("fail call 1\nfound shop api 1.0.0", steps)]);
    assert_snapshot!(told, @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   import waits for steps.tell.ticket
    dev.1   plan waits for file infra
    dev.1 commits
    dev.1 runs tell
    dev.1 runs import
    dev.1 runs plan
    dev.1 runs apply
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 stuck: undone only in part: step call failed: call was told to fail
    dev.1   remains: step apply: x.cache (imported), and no earlier promotion says how it was
    dev.1   remains: step tell: its request was sent and has no undo
    dev is held by automation: promotion dev.1 is stuck: undone only in part: step call failed: call was told to fail
      | https://git.example/infra: module#cache=1
      | state infra: x.cache=1 x.old=1
      | request shop/dev.1/tell
    ");
}

#[test]
fn two_ids_for_one_address_are_refused() {
    let steps = json!([
        ["import", "tf_import", { "dir": "infra", "imports": { "x.cache": "c-1" } }],
        ["again", "tf_import", { "dir": "infra", "imports": { "x.cache": "c-2" } }],
        ["plan", "tf_plan", { "dir": "infra" }],
        ["apply", "tf_apply", { "plan": "plan" }],
    ]);
    assert_snapshot!(story(&[("found shop api 1.0.0", steps)]), @r#"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared: dir: steps before this one import x.cache both as "c-1" and as "c-2"
    dev.1 failed: step plan failed before anything was changed: dir: steps before this one import x.cache both as "c-1" and as "c-2"
      | https://git.example/infra: module#cache=1
      | state infra: x.old=1
    "#);
}

#[test]
fn what_was_destroyed_is_made_anew_from_the_module_before() {
    assert_snapshot!(story(&[
        ("found shop api 1.0.0", planning()),
        ("fail call 1\nfound shop api 1.1.0\nundo-plan dev.2", destroying(&json!(["x.cache"]))),
    ]), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call
    dev.1 succeeded: every step is done and every check passed
    f2 is made: api 1.1.0
    dev.2 starts: f2, by automation
    dev.2 is prepared
    dev.2 commits
    dev.2 runs apply
    dev.2 runs call: failed: call was told to fail
    dev.2 unwinds: step call failed: call was told to fail
    dev.2 plans the undo of apply
    dev.2 undoes apply
    dev.2 rolled_back: undone: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < apply: plans and applies the module of promotion dev.1 again, under the same infra rules; what this one deletes is made anew, without what was in it
      | https://git.example/infra: module#cache=1
      | state infra: x.cache=1 x.old=1
      | request shop/dev.1/call
    ");
}

#[test]
fn what_a_first_promotion_destroyed_stays_so() {
    assert_snapshot!(story(&[
        ("fail call 1\nfound shop api 1.0.0\nundo-plan dev.1", destroying(&json!([]))),
    ]), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs apply
    dev.1 runs call: failed: call was told to fail
    dev.1 unwinds: step call failed: call was told to fail
    dev.1 stuck: undone only in part: step call failed: call was told to fail
    dev.1   remains: step apply: x.old (deleted), and no earlier promotion says how it was
    dev is held by automation: promotion dev.1 is stuck: undone only in part: step call failed: call was told to fail
      < call (not all): has no undo: what was sent stays sent
      < apply (not all): destroys what this promotion created, and nothing else; no earlier promotion says how these were: x.old (deleted)
      | https://git.example/infra: module#cache=1
      | state infra:
    ");
}

#[test]
fn conditions_judge_a_plan() {
    let policy =
        |rules: &str| format!("policy auto dev gated {rules}\nfound shop api 1.0.0\ngates dev.1");
    let judged = |rules: &str| {
        let told = story(&[(policy(rules).as_str(), destroying(&json!([])))]);
        told.lines().map(str::trim).filter(|line| line.starts_with("# infra ")).collect::<String>()
    };
    assert_snapshot!(judged("rule=changes.all(c,c.address!='x.old')"), @r#"# infra Fail: infra: rule "r1": `changes.all(c,c.address!='x.old')` does not hold: x.old (delete)"#);
    assert_snapshot!(judged("deletes=0"), @"# infra Fail: infra: the plan deletes 1 resources, those that it replaces included; at most 0 are allowed");
    assert_snapshot!(judged("rule=changes[7].action=='delete'"), @r#"# infra Unknown: infra: rule "r1": cannot be judged: `changes[7].action=='delete'`: there is no element 7"#);
    assert_eq!(judged("deletes=1 rule=summary.delete==1"), "");
}

#[test]
fn infra_rules_judge_a_destruction() {
    assert_snapshot!(story(&[
        ("policy auto dev gated forbid=delete\nfound shop api 1.0.0\ngates dev.1", destroying(&json!([]))),
    ]), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
      # upstream Pass: the freight is available: straight from its warehouse
      # infra Fail: infra: `x.old` would be deleted, and deleting is forbidden
      | https://git.example/infra: module#cache=1
      | state infra: x.old=1
    ");
}
