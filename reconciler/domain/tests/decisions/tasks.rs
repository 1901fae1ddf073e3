//! Tasks: steps that several stages share, from their check to what a promotion makes of them.

use insta::assert_snapshot;
use reconciler_domain::check::{Surroundings, check_stage, check_task};
use reconciler_domain::id::Principal;
use reconciler_domain::preview::{Change, Changes};
use reconciler_domain::task::{Input, InputType, Task};
use serde_json::{Value, json};

use crate::kit::script::{set_stage, steps_of};
use crate::kit::{World, play};

/// `[[name, type, default], …]`; a default of null is none.
fn task(name: &str, inputs: &Value, steps: &Value) -> Task {
    let inputs = inputs.as_array().expect("a list").iter().map(|input| {
        let name = input[0].as_str().expect("a name").parse().expect("an input");
        let holds = serde_json::from_value::<InputType>(input[1].clone()).expect("a type");
        let default = Some(input[2].clone()).filter(|default| !default.is_null());
        (name, Input { holds, default, description: String::new() })
    });
    let (name, description) = (name.parse().expect("a task"), String::new());
    Task { name, description, inputs: inputs.collect(), steps: steps_of(steps) }
}

fn world() -> World {
    let mut world = World::new();
    let script = "
        push gitops dev.yaml#tag=0 prod.yaml#tag=0
        warehouse shop api
        stage dev shop: regions=eu,us where=eu count=two
        policy auto dev automatic rollback
    ";
    play(&mut world, script).expect("nothing crashes");
    world
}

fn define(world: &mut World, task: Task) {
    let before = world.definitions.tasks.get(&task.name).map(|task| task.generation);
    let task = world.defined(task, before);
    world.definitions.tasks.insert(task.spec.name.clone(), task);
}

fn problems_of(world: &World, task: &Task) -> String {
    let problems = check_task(task, &Surroundings::of(&world.definitions));
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn problems_of_stage(world: &World, steps: &Value) -> String {
    let mut stage = world.stage("dev").clone();
    stage.steps = steps_of(steps);
    let problems = check_stage(&stage, &Surroundings::of(&world.definitions));
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn use_in(world: &mut World, stage: &str, steps: &Value) {
    let mut stage = world.stage(stage).clone();
    stage.steps = steps_of(steps);
    let problems = check_stage(&stage, &Surroundings::of(&world.definitions));
    assert_eq!(problems, [], "the stage is well formed");
    set_stage(world, stage);
}

fn call(name: &str, url: &str, control: &Value) -> Value {
    json!([name, "http", { "url": url, "method": "PUT", "control": control,
        "outputs": { "ticket": "response.json.id" } }])
}

/// A task that tells a place, and again with the ticket that it got.
fn tell() -> Task {
    task(
        "tell",
        &json!([["place", "string", null], ["note", "any", "none"]]),
        &json!([
            call("first", "https://hook.example/{{ inputs.place }}", &json!({})),
            ["then", "http", { "url": "https://hook.example/{{ inputs.place }}", "method": "PUT",
                "body": { "ticket": "{{ steps.first.ticket }}", "note": "{{ inputs.note }}" } }],
        ]),
    )
}

/// What happens to a stage that uses `tell` so.
fn told(steps: &Value, before: &str, after: &str) -> String {
    let mut world = world();
    define(&mut world, tell());
    use_in(&mut world, "dev", steps);
    world.story.clear();
    play(&mut world, before).expect("nothing crashes");
    play(&mut world, "found shop api 1.0.0").expect("nothing crashes");
    play(&mut world, after).expect("nothing crashes");
    world.story.join("\n")
}

fn using(name: &str, config: Value) -> Value {
    let mut config = config;
    config["task"] = json!("tell");
    json!([name, "task", config])
}

#[test]
fn a_task_stands_for_its_steps() {
    let steps = json!([
        using("eu", json!({ "inputs": { "place": "{{ vars.where }}" } })),
        using("us", json!({ "inputs": { "place": "us", "note": "{{ steps.eu.first.ticket }}" } })),
        call("after", "https://hook.example/after", &json!({ "when": "has(steps.us.then)" })),
    ]);
    assert_snapshot!(told(&steps, "", "outside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs eu.first
    dev.1 runs eu.then
    dev.1 runs us.first
    dev.1 runs us.then
    dev.1 runs after
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=0 prod.yaml#tag=0
      | request shop/dev.1/after
      | request shop/dev.1/eu.first
      | request shop/dev.1/eu.then
      | request shop/dev.1/us.first
      | request shop/dev.1/us.then
    ");
}

#[test]
fn conditions_elements_and_attempts_of_the_step_are_those_of_the_task() {
    let steps = json!([
        using(
            "none",
            json!({ "inputs": { "place": "x" },
            "control": { "when": "vars.where != 'eu'" } })
        ),
        using(
            "each",
            json!({ "inputs": { "place": "{{ each.value }}" },
            "control": { "for_each": "{{ vars.regions.split(',') }}",
                "retry": { "attempts": 2, "backoff": "1m" } } })
        ),
        using(
            "late",
            json!({ "inputs": { "place": "x" },
            "control": { "when": "steps.each['0'].first.ticket == ''" } })
        ),
    ]);
    assert_snapshot!(told(&steps, "fail each.1.first 1 retry", "+1m\noutside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 passes none.first over: `vars.where != 'eu'` does not hold
    dev.1 passes none.then over: `vars.where != 'eu'` does not hold
    dev.1 is prepared
    dev.1 commits
    dev.1 runs each.0.first
    dev.1 runs each.0.then
    dev.1 runs each.1.first: failed: each.1.first was told to fail
    -- +1m
    dev.1 runs each.1.first (attempt 2)
    dev.1 runs each.1.then
    dev.1 passes late.first over: `steps.each['0'].first.ticket == ''` does not hold
    dev.1 passes late.then over: `steps.each['0'].first.ticket == ''` does not hold
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=0 prod.yaml#tag=0
      | request shop/dev.1/each.0.first
      | request shop/dev.1/each.0.then
      | request shop/dev.1/each.1.first
      | request shop/dev.1/each.1.then
    ");
}

#[test]
fn a_plan_and_its_apply_are_those_of_one_use() {
    let mut world = world();
    let infra = task(
        "infra",
        &json!([["region", "string", null]]),
        &json!([
            ["src", "git_clone", { "repo": "https://git.example/gitops",
                "checkout": { "infra": { "branch": "main" } } }],
            ["plan", "tf_plan", { "dir": "infra", "state": "{{ inputs.region }}",
                "vars": { "version": "{{ freight.api.tag }}" } }],
            ["apply", "tf_apply", { "plan": "plan" }],
        ]),
    );
    assert_eq!(problems_of(&world, &infra), "");
    define(&mut world, infra);
    let each = json!({ "task": "infra", "inputs": { "region": "{{ each.value }}" },
        "control": { "for_each": ["eu", "us"] } });
    use_in(
        &mut world,
        "dev",
        &json!([["infra", "task", each], call("last", "https://hook.example/x", &json!({}))]),
    );
    world.story.clear();
    play(&mut world, "fail last\nfound shop api 1.0.0\noutside").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs infra.0.apply
    dev.1 runs infra.1.apply
    dev.1 runs last: failed: last was told to fail
    dev.1 unwinds: step last failed: last was told to fail
    dev.1 plans the undo of infra.1.apply
    dev.1 undoes infra.1.apply
    dev.1 plans the undo of infra.0.apply
    dev.1 undoes infra.0.apply
    dev.1 rolled_back: undone: step last failed: last was told to fail
      | https://git.example/gitops: dev.yaml#tag=0 prod.yaml#tag=0
      | state eu: 
      | state us:
    ");
}

/// Writes the tag into the values of one place, and pushes that.
fn release() -> Task {
    task(
        "release",
        &json!([["place", "string", null]]),
        &json!([
            ["src", "git_clone", { "repo": "https://git.example/gitops",
                "checkout": { "gitops": { "branch": "main" } } }],
            ["values", "yaml_update", { "path": "gitops/{{ inputs.place }}.yaml",
                "updates": { "tag": "{{ freight.api.tag }}" } }],
            ["commit", "git_commit", { "dir": "gitops", "message": "{{ inputs.place }}" }],
            ["push", "git_push", { "dir": "gitops" }],
        ]),
    )
}

#[test]
fn each_use_pushes_what_it_committed_in_a_directory_that_they_share() {
    let mut world = world();
    define(&mut world, release());
    let each = json!({ "task": "release", "inputs": { "place": "{{ each.value }}" },
        "control": { "for_each": ["dev", "prod"] } });
    use_in(&mut world, "dev", &json!([["release", "task", each]]));
    world.story.clear();
    play(&mut world, "found shop api 1.0.0\noutside").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs release.0.push
    dev.1 runs release.1.push
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=1.0.0 prod.yaml#tag=1.0.0
    ");
}

#[test]
fn a_checkout_does_not_empty_what_is_still_needed() {
    let mut world = world();
    let clone = |name: &str, branch: &str| {
        json!([name, "git_clone", { "repo": "https://git.example/gitops",
            "checkout": { "infra": { "branch": branch } } }])
    };
    let plan = json!(["plan", "tf_plan", { "dir": "infra", "state": "one" }]);
    let apply = json!(["apply", "tf_apply", { "plan": "plan" }]);
    let steps = json!([clone("one", "main"), plan, clone("two", "other"), apply]);
    use_in(&mut world, "dev", &steps);
    world.story.clear();
    play(&mut world, "found shop api 1.0.0").expect("nothing crashes");
    let story = world.story.join("\n");
    assert!(story.contains("step two failed before anything was changed"), "{story}");
    assert!(story.contains("give this checkout a directory of its own"), "{story}");
}

#[test]
fn what_was_prepared_is_carried_out_whatever_becomes_of_the_task() {
    let mut world = world();
    define(&mut world, tell());
    play(&mut world, "policy gate dev gated approve=sre:1").expect("nothing crashes");
    let shared = json!([using("tell", json!({ "inputs": { "place": "eu" } }))]);
    use_in(&mut world, "dev", &shared);
    world.story.clear();
    // Before the commit a promotion follows the task; once it has committed it does not.
    let change = |world: &mut World, place: &str| {
        let url = format!("https://hook.example/{place}/{{{{ inputs.place }}}}");
        let changed = task(
            "tell",
            &json!([["place", "string", null]]),
            &json!([call("only", &url, &json!({}))]),
        );
        define(world, changed);
        play(world, "+1s").expect("nothing crashes");
    };
    play(&mut world, "found shop api 1.0.0\n+1m").expect("nothing crashes");
    change(&mut world, "new");
    play(&mut world, "fail tell.only 1 retry\napprove dev.1 by ann in sre")
        .expect("nothing crashes");
    change(&mut world, "newer");
    play(&mut world, "+1h\noutside").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    -- +1m
    -- +1s
    dev.1 is prepared again
    dev.1 is prepared
    dev.1 is approved by ann
    dev.1 commits
    dev.1 runs tell.only: failed: tell.only was told to fail
    -- +1s
    -- +1h
    dev.1 runs tell.only (attempt 2)
    dev.1 succeeded: every step is done and every check passed
      | https://git.example/gitops: dev.yaml#tag=0 prod.yaml#tag=0
      | request shop/dev.1/tell.only
    ");
}

#[test]
fn a_promotion_that_a_task_no_longer_fits_says_so() {
    let mut world = world();
    define(&mut world, tell());
    use_in(&mut world, "dev", &json!([using("tell", json!({ "inputs": { "place": "eu" } }))]));
    let asks_more = task(
        "tell",
        &json!([["where", "string", null]]),
        &json!([call("first", "https://hook.example/{{ inputs.where }}", &json!({}))]),
    );
    let change = Change::Task(asks_more.name.clone(), Some(asks_more.clone()));
    let changes = Changes::new(Principal::Automation, vec![change]);
    let after = changes.apply(&world.definitions, world.now);
    let broken = changes.broken(&world.definitions, &after).into_iter();
    let broken: Vec<String> = broken.map(|it| format!("{}: {}", it.stage, it.problem)).collect();
    assert_snapshot!(broken.join("\n"), @r#"
    dev: steps[0].config.inputs.place: task tell has no input "place"; known: where
    dev: steps[0].config.inputs.where: task tell needs it: it has no default
    "#);
    define(&mut world, asks_more);
    world.story.clear();
    play(&mut world, "found shop api 1.0.0\n+1m").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r#"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 failed: failed before anything was changed: step tell: inputs.place: task tell has no input "place"; known: where; inputs.where: task tell needs it: it has no default
    -- +1m
    "#);
}

#[test]
fn an_input_is_of_its_type_when_it_is_known() {
    let mut world = world();
    let scale = |holds: &str| {
        task(
            "scale",
            &json!([["to", holds, null]]),
            &json!([call("call", "https://hook.example/{{ inputs.to }}", &json!({}))]),
        )
    };
    define(&mut world, scale("number"));
    let with = |to: Value| json!([["scale", "task", { "task": "scale", "inputs": { "to": to } }]]);
    for (to, expected) in [
        (json!(3), ""),
        (json!("{{ vars.count }}"), ""),
        (json!("3"), "steps[0].config.inputs.to: task scale expects a number, found \"3\""),
        (
            json!("{{ vars.count }} and more"),
            "steps[0].config.inputs.to: task scale expects a number, found \"{{ vars.count }} and \
             more\"",
        ),
        (json!(null), "steps[0].config.inputs.to: task scale needs it: it has no default"),
    ] {
        assert_eq!(problems_of_stage(&world, &with(to.clone())), expected, "{to}");
    }
    for (holds, to) in [
        ("string", json!("{{ [1] }}")),
        ("bool", json!(1)),
        ("list", json!({})),
        ("map", json!([])),
    ] {
        define(&mut world, scale(holds));
        let found = problems_of_stage(&world, &with(json!([])).clone());
        assert_eq!(found.is_empty(), holds == "list", "{holds}");
        let found = problems_of_stage(&world, &with(to.clone()));
        assert_eq!(found.is_empty(), holds == "string", "{holds}: {to}");
    }
    define(&mut world, scale("number"));
    use_in(&mut world, "dev", &with(json!("{{ vars.count }}")));
    world.story.clear();
    play(&mut world, "found shop api 1.0.0").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r#"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 could not be prepared: input to of step scale has to be a number, `{{ vars.count }}` gives "two"
    dev.1 failed: step scale.call failed before anything was changed: input to of step scale has to be a number, `{{ vars.count }}` gives "two"
    "#);
}

#[test]
fn a_task_is_checked_by_itself() {
    let world = world();
    let checked = |inputs: Value, steps: Value| problems_of(&world, &task("it", &inputs, &steps));
    let url = "https://hook.example/x";
    assert_snapshot!(checked(json!([]), json!([])), @"steps: a task has at least one step");
    assert_snapshot!(checked(
        json!([["a", "number", "x"], ["b", "string", "{{ vars.x }}"]]),
        json!([call("call", url, &json!({})), call("call", url, &json!({}))]),
    ), @r#"
    inputs[0].default: expected a number, found "x"
    inputs[1].default: the default of b is a value: a template is handed over by the step that uses the task
    steps[1].name: two steps are named call
    "#);
    assert_snapshot!(checked(json!([["place", "string", null]]), json!([
        call("a", "https://hook.example/{{ inputs.plaec }}", &json!({})),
        call("b", "https://hook.example/{{ vars.region }}", &json!({ "when": "steps.c.ticket == ''" })),
        call("c", "https://hook.example/{{ steps.a.ticket }}", &json!({ "for_each": "{{ inputs.all }}" })),
        ["apply", "tf_apply", { "plan": "{{ inputs.place }}" }],
        ["other", "task", { "task": "tel" , "control": { "timeout": "1m", "continue_on_error": true } }],
    ])), @r#"
    steps[0].config.url: `inputs` has no field `plaec`, did you mean `place`? (offset 31)
    steps[1].config.url: unknown name `vars`, there are: freight, freight_metadata, inputs, project, promotion, stage, steps (offset 24)
    steps[1].control.when: `steps` has no field `c`, there are: a (offset 6)
    steps[2].control.for_each: `inputs` has no field `all`, there are: place (offset 10)
    steps[3].config.plan: an apply and its plan stand in one task, and "{{ inputs.place }}" is no tf_plan step of this one
    steps[4].control.timeout: is for a single step: write it in the steps of the task
    steps[4].control.continue_on_error: is for a single step: write it in the steps of the task
    "#);
}

#[test]
fn tasks_use_others_and_end_somewhere() {
    let mut world = world();
    define(&mut world, tell());
    let told = |name: &str, body: &str| json!([name, "http", { "url": "https://hook.example/x", "method": "PUT", "body": body }]);
    let inner = json!({ "task": "tell", "inputs": { "place": "{{ inputs.at }}/b" } });
    let outer = task(
        "outer",
        &json!([["at", "string", null]]),
        &json!([["inner", "task", inner], told("after", "{{ steps.inner.first.ticket }}"),]),
    );
    assert_eq!(problems_of(&world, &outer), "");
    define(&mut world, outer);
    let round = task(
        "tell",
        &json!([]),
        &json!([["back", "task", { "task": "outer",
        "inputs": { "at": "x" } }]]),
    );
    assert_snapshot!(problems_of(&world, &round), @"steps: tasks use each other in a circle: tell -> outer -> tell");
    for depth in 0..10 {
        let next = json!([["next", "task", { "task": format!("deep-{}", depth + 1) }]]);
        define(&mut world, task(&format!("deep-{depth}"), &json!([]), &next));
    }
    let deep = world.definitions.tasks["deep-0"].spec.clone();
    assert_snapshot!(problems_of(&world, &deep), @"steps: tasks stand inside each other more than 8 deep; the innermost is deep-8");
    let steps = json!([
        ["deploy", "task", { "task": "outer", "inputs": { "at": "eu" } }],
        told("last", "{{ steps.deploy.inner.first.ticket }}"),
    ]);
    use_in(&mut world, "dev", &steps);
    world.story.clear();
    play(&mut world, "found shop api 1.0.0").expect("nothing crashes");
    assert_snapshot!(world.story.join("\n"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs deploy.inner.first
    dev.1 runs deploy.inner.then
    dev.1 runs deploy.after
    dev.1 runs last
    dev.1 succeeded: every step is done and every check passed
    ");
}

#[test]
fn uses_are_checked_with_what_the_stage_has() {
    let mut world = world();
    let needs = task(
        "needs",
        &json!([["file", "string", "values.yaml"]]),
        &json!([
            ["set", "yaml_update", { "path": "gitops/values.yaml", "updates": { "tag": "{{ freight.db.tag }}" } }],
        ]),
    );
    assert_eq!(problems_of(&world, &needs), "", "what freight there is, the stage decides");
    define(&mut world, needs);
    define(&mut world, tell());
    let checked = |steps: Value| problems_of_stage(&world, &steps);
    assert_snapshot!(checked(json!([["set", "task", { "task": "needs" }]])), @r#"
    steps[0].config.task: task needs: steps[0].config.updates.tag: `freight` has no field `db`, there are: api (offset 11)
    steps[0].config.task: step set.set: no git_clone step before this one checks out "gitops/values.yaml"
    "#);
    assert_snapshot!(checked(json!([["set", "task", { "task": "need" }]])), @r#"steps[0].config.task: there is no task "need"; did you mean "needs"?"#);
    assert_snapshot!(checked(json!([["set", "task", { "task": "{{ vars.where }}" }]])), @"steps[0].config.task: names the task as it is: which steps there are is no template's to say");
    assert_snapshot!(checked(json!([
        using("tell", json!({ "inputs": { "plaice": "x" } })),
    ])), @r#"
    steps[0].config.inputs.plaice: task tell has no input "plaice"; did you mean "place"?
    steps[0].config.inputs.place: task tell needs it: it has no default
    "#);
    assert_snapshot!(checked(json!([
        using("tell", json!({ "inputs": { "place": "x" } })),
        call("a", "https://hook.example/{{ steps.tell.frist.ticket }}", &json!({})),
        call("b", "https://hook.example/{{ steps.tell.first.ticket }}", &json!({})),
    ])), @r"
    steps[1].config.url: `steps.tell` has no field `frist`, did you mean `first`? (offset 35)
    steps[2].config.url: url decides where the step acts, so it cannot wait for steps.tell.first.ticket, which exists only after an effect
    ");
}

#[test]
fn the_text_of_what_waits_is_part_of_what_is_approved() {
    let digest = |suffix: &str| {
        let mut world = world();
        define(&mut world, tell());
        let place = format!("{{{{ steps.before.ticket }}}}{suffix}");
        let steps = json!([
            call("before", "https://hook.example/x", &json!({})),
            using("tell", json!({ "inputs": { "place": "eu", "note": place } })),
        ]);
        use_in(&mut world, "dev", &steps);
        play(&mut world, "policy gate dev gated approve=sre:1\nfound shop api 1.0.0\n+1m")
            .expect("nothing crashes");
        let saga = world.sagas.values().next().expect("a promotion");
        saga.state.change_set.as_ref().expect("it is prepared").digest.clone()
    };
    assert_eq!(digest("-a"), digest("-a"));
    assert_ne!(digest("-a"), digest("-b"), "the input's text is in the digest");
}

#[test]
fn what_tasks_come_to_is_bounded() {
    let mut world = world();
    let none = call("call", "https://hook.example/x", &json!({ "for_each": [] }));
    define(&mut world, task("level-0", &json!([]), &json!([none])));
    for level in 1..8 {
        let inner = json!({ "task": format!("level-{}", level - 1) });
        let steps: Vec<Value> =
            (0..40).map(|at| json!([format!("s{at}"), "task", inner])).collect();
        define(&mut world, task(&format!("level-{level}"), &json!([]), &json!(steps)));
    }
    let steps = json!([["deep", "task", { "task": "level-7" }]]);
    assert_snapshot!(problems_of_stage(&world, &steps), @"steps[0]: s0: s0: s0: s0: s3: s3: s13: call: tasks and elements come to more than 10000 steps");
}
