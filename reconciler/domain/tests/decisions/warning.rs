//! What an author is told of a definition before it is one: each with what shows it.

use insta::assert_snapshot;
use reconciler_domain::id::Principal;
use reconciler_domain::preview::{Change, Changes, People, preview};
use reconciler_domain::verification::Verification;
use serde_json::{Value, json};

use crate::kit::freeze::freeze;
use crate::kit::script::{policy, stage_name, steps_of, template};
use crate::kit::{World, play};
use crate::previewing::live;

const REPO: &str = "https://git.example/gitops";

/// Two stages, of which `staging` has these steps.
fn world(steps: &Value) -> World {
    let mut world = World::new();
    play(
        &mut world,
        "warehouse shop api\nstage staging shop: region=eu\nstage prod shop: region=us",
    )
    .expect("nothing crashes");
    let staging = world.definitions.stages.get_mut("staging").expect("a stage");
    staging.spec.steps = steps_of(steps);
    world
}

fn told(world: &World, change: Change, people: Option<People>) -> String {
    let changes = Changes::new(Principal::Named("admin".to_owned()), vec![change]);
    let live = reconciler_domain::preview::World { people, ..live(world, &changes) };
    let warnings = preview(&live, &changes, world.now).warnings;
    let lines = warnings.iter().map(|it| format!("{}: {}: {}", it.path, it.summary, it.detail));
    lines.collect::<Vec<_>>().join("\n")
}

/// What is told of `prod` with these steps.
fn of_steps(world: &World, steps: &Value) -> String {
    let mut prod = world.stage("prod").clone();
    prod.steps = steps_of(steps);
    told(world, Change::Stage(stage_name("prod"), Some(prod)), None)
}

/// Steps that set a value of a file and push it.
fn values(path: &str, key: &str) -> Value {
    json!([
        ["clone", "git_clone", { "repo": REPO, "checkout": { "gitops": { "branch": "main" } } }],
        ["values", "yaml_update", { "path": path, "updates": { key: "{{ freight.api.tag }}" } }],
        ["commit", "git_commit", { "dir": "gitops", "message": "m" }],
        ["push", "git_push", { "dir": "gitops" }],
    ])
}

#[test]
fn two_stages_that_write_one_value_are_told() {
    let copied = values("gitops/apps/values.yaml", "image.tag");
    let world = world(&copied);
    assert_snapshot!(of_steps(&world, &copied), @r#"steps[1]: Several stages write to one place: Step values of stage prod writes to "image.tag" of "apps/values.yaml" on branch main of https://git.example/gitops, and so does stage staging: what is promoted to one of them replaces what was promoted to the other."#);
    // What is the same only for the other freight, or beside it, is in nobody's way.
    for (path, key) in [
        ("gitops/apps/values.yaml", "image.digest"),
        ("gitops/apps/{{ stage.name }}.yaml", "image.tag"),
        ("gitops/apps/{{ vars.region }}.yaml", "image.tag"),
        ("gitops/apps/{{ promotion.id }}.yaml", "image.tag"),
    ] {
        assert_eq!(of_steps(&world, &values(path, key)), "", "{path} {key}");
    }
}

#[test]
fn a_place_is_known_through_vars_and_pull_requests() {
    let world =
        world(&values("gitops/apps/{{ stage.name }}/{{ freight.api.tag }}.yaml", "image.tag"));
    let mut steps = values("gitops/{{ vars.where }}/{{ freight.api.tag }}.yaml", "image.tag");
    steps[3][2]["branch"] = json!("lockstep/{{ promotion.id }}");
    let mut prod = world.stage("prod").clone();
    prod.vars.insert("where".to_owned(), "apps/staging".to_owned());
    prod.steps = steps_of(&steps);
    let change = |stage| Change::Stage(stage_name("prod"), Some(stage));
    assert_eq!(told(&world, change(prod.clone()), None), "");
    let opened = json!([["pr", "git_open_pr", {
        "repo": REPO, "source": "lockstep/{{ promotion.id }}", "target": "main", "title": "t",
    }]]);
    prod.steps.extend(steps_of(&opened));
    assert_snapshot!(told(&world, change(prod.clone()), None), @r#"steps[1]: Several stages write to one place: Step values of stage prod writes to "image.tag" of "apps/staging/{{ freight.api.tag }}.yaml" on branch main of https://git.example/gitops, and so does stage staging: what is promoted to one of them replaces what was promoted to the other."#);
    prod.settable_vars.push("where".to_owned());
    assert_eq!(told(&world, change(prod), None), "");
}

#[test]
fn folders_tags_images_and_states_are_places_too() {
    let folder = json!([
        ["clone", "git_clone", { "repo": REPO, "checkout": { "out": { "branch": "env/prod" } } }],
        ["clear", "git_clear", { "dir": "out" }],
        ["copy", "copy", { "from": "a", "to": "out/b" }],
        ["commit", "git_commit", { "dir": "out", "message": "m" }],
        ["push", "git_push", { "dir": "out" }],
    ]);
    let tag = json!([["tag", "git_tag", { "repo": REPO, "tag": "live", "commit": "c" }]]);
    let image =
        json!([["push", "oci_push", { "from": "a@b", "to": "registry.example/api:stable" }]]);
    let plan = |key: &str| json!([["plan", "tf_plan", { "dir": "m", "backend_config": { "bucket": "b", "key": key } }]]);
    let mut told = Vec::new();
    for steps in [&folder, &tag, &image, &plan("shop")] {
        told.push(of_steps(&world(steps), steps));
    }
    assert_snapshot!(told.join("\n"), @r#"
    steps[1]: Several stages write to one place: Step clear of stage prod writes to branch env/prod of https://git.example/gitops, and so does stage staging: what is promoted to one of them replaces what was promoted to the other.
    steps[0]: Several stages write to one place: Step tag of stage prod writes to tag "live" of https://git.example/gitops, and so does stage staging: what is promoted to one of them replaces what was promoted to the other.
    steps[0]: Several stages write to one place: Step push of stage prod writes to image "registry.example/api:stable", and so does stage staging: what is promoted to one of them replaces what was promoted to the other.
    steps[0]: Several stages write to one place: Step plan of stage prod writes to the infra state of "m", and so does stage staging: what is promoted to one of them replaces what was promoted to the other.
    "#);
    // The stage's own state, and one under a key of its own, are nobody else's.
    let own = json!([["plan", "tf_plan", { "dir": "m" }]]);
    assert_eq!(of_steps(&world(&own), &own), "");
    let keyed = plan("{{ stage.name }}");
    assert_eq!(of_steps(&world(&keyed), &keyed), "");
    // What freight names is the same for that freight, whichever stage sets it.
    let named = json!([["push", "oci_push", { "from": "a@b", "to": "registry.example/api:{{ freight.api.tag }}" }]]);
    assert_eq!(of_steps(&world(&named), &named), "");
}

#[test]
fn what_is_not_certain_is_not_told() {
    let quiet = |steps: &Value| assert_eq!(of_steps(&world(steps), steps), "", "{steps}");
    // Only one of the stages does it.
    let mut steps = values("gitops/apps/values.yaml", "image.tag");
    steps[3][2]["control"] = json!({ "when": "stage.name == 'prod'" });
    quiet(&steps);
    steps[3][2]["control"] = json!({ "when": "stage.metadata.live" });
    quiet(&steps);
    // No other promotion has the branch.
    let mut steps = values("gitops/apps/values.yaml", "image.tag");
    steps[3][2]["branch"] = json!("preview/{{ promotion.id }}");
    quiet(&steps);
    // What a program reads is not what it writes.
    let mut steps = values("gitops/apps/{{ stage.name }}.yaml", "image.tag");
    let run =
        json!({ "command": ["make"], "dir": "gitops", "writes": ["gitops/out/{{ stage.name }}"] });
    steps.as_array_mut().expect("a list").insert(2, json!(["make", "run", run]));
    quiet(&steps);
    // Of repositories inside of each other it is the inner one's.
    let inner = |repo: &str| {
        json!([
            ["outer", "git_clone", { "repo": REPO, "checkout": { "src": { "branch": "main" } } }],
            ["inner", "git_clone", { "repo": repo, "checkout": { "src/charts": { "branch": "main" } } }],
            ["values", "yaml_update", { "path": "src/charts/a.yaml", "updates": { "tag": "1" } }],
            ["push", "git_push", { "dir": "src/charts" }],
        ])
    };
    let mut other = world(&inner("https://git.example/a"));
    other.definitions.stages.get_mut("prod").expect("a stage").spec.steps.clear();
    assert_eq!(of_steps(&other, &inner("https://git.example/b")), "");
    assert_ne!(of_steps(&other, &inner("https://git.example/a")), "");
}

#[test]
fn each_pair_is_told_once_and_few_are_named() {
    let copied = values("gitops/apps/values.yaml", "image.tag");
    let mut world = world(&copied);
    let prod = world.stage("prod").clone();
    let copies = (1..8).map(|at| {
        let mut stage = prod.clone();
        stage.name = stage_name(&format!("s{at}"));
        stage.steps = steps_of(&copied);
        stage
    });
    let changes = copies.map(|stage| Change::Stage(stage.name.clone(), Some(stage))).collect();
    let changes = Changes::new(Principal::Named("admin".to_owned()), changes);
    world.definitions.stages.get_mut("prod").expect("a stage").spec.steps.clear();
    let warnings = preview(&live(&world, &changes), &changes, world.now).warnings;
    let named = |it: &reconciler_domain::preview::Warning| {
        it.detail.split("and so ").nth(1).and_then(|rest| rest.split(':').next()).map(str::to_owned)
    };
    let told: Vec<String> = warnings.iter().filter_map(named).collect();
    assert_snapshot!(told.join("\n"), @"
    do stages s2, s3, s4, s5, s6 and 2 more
    do stages s3, s4, s5, s6, s7 and 1 more
    do stages s4, s5, s6, s7, staging
    do stages s5, s6, s7, staging
    do stages s6, s7, staging
    do stages s7, staging
    does stage staging
    ");
}

#[test]
fn what_met_before_is_not_told_again() {
    let copied = values("gitops/apps/values.yaml", "image.tag");
    let mut world = world(&copied);
    world.definitions.stages.get_mut("prod").expect("a stage").spec.steps = steps_of(&copied);
    assert_eq!(of_steps(&world, &copied), "");
}

#[test]
fn a_condition_that_looks_at_nothing_is_told() {
    let world = world(&json!([]));
    let mut new = policy("go", "prod", "manual", &["when=1<2"]);
    let told = |new: &_| {
        told(&world, Change::Policy("go".parse().expect("a name"), Some(Clone::clone(new))), None)
    };
    assert_snapshot!(told(&new), @"conditions[0].when: This gate lets everything through: Condition condition of policy go can never fail: `1<2` looks at nothing that could change it.");
    new.conditions[0].when = "2 < 1".parse().expect("an expression");
    assert_snapshot!(told(&new), @"conditions[0].when: This gate lets nothing through: Condition condition of policy go can never pass: `2 < 1` looks at nothing that could change it.");
    new.conditions[0].when = "freight.api.tag != ''".parse().expect("an expression");
    assert_eq!(told(&new), "");
}

#[test]
fn a_ticket_whose_answer_does_not_matter_is_told() {
    let world = world(&json!([]));
    let mut new = policy("go", "prod", "manual", &["ticket=change", "attest=scan"]);
    let told = |new: &_| {
        told(&world, Change::Policy("go".parse().expect("a name"), Some(Clone::clone(new))), None)
    };
    assert_eq!(told(&new), "");
    new.tickets[0].success = "true".parse().expect("an expression");
    new.attestations[0].success = "freight.api.tag != ''".parse().expect("an expression");
    assert_snapshot!(told(&new), @r#"
    tickets[0].success: This gate lets everything through: Ticket change of policy go can never fail: `true` looks at nothing that could change it.
    attestations[0].success: This gate does not listen: Attestation scan of policy go asks, but `freight.api.tag != ''` does not look at the answer: whatever it is, the gate says the same.
    "#);
}

#[test]
fn a_verification_that_cannot_fail_is_told() {
    let world = world(&json!([]));
    let told =
        |new: Verification| told(&world, Change::Verification(new.name.clone(), Some(new)), None);
    assert_eq!(told(Verification { failure_limit: 10, ..template("errors") }), "");
    assert_snapshot!(told(Verification { failure_limit: 11, ..template("errors") }), @"failure_limit: This verification cannot fail: A check of verification errors fails with failure 12, but every 1m there are only 11 measurements before its deadline of 10m: what is bad ends as unknown.");
}

#[test]
fn a_group_that_is_too_small_is_told() {
    let world = world(&json!([]));
    let asked = policy("go", "prod", "gated", &["approve=sre:2"]);
    let told =
        |people| told(&world, Change::Policy(asked.name.clone(), Some(asked.clone())), people);
    let (sre, dba) = ("sre".to_owned(), "dba".to_owned());
    let mut people = People::default();
    people.add("ann", [&dba]);
    assert_snapshot!(told(Some(people.clone())), @"approvals[0].count: There are not enough people to approve: Policy go asks for 2 of group sre, but nobody has a token with that group: until there are more, nothing that it guards can be promoted.");
    people.add("bob", [&sre]);
    assert_snapshot!(told(Some(people.clone())), @"approvals[0].count: There are not enough people to approve: Policy go asks for 2 of group sre, but only one person has a token with that group: until there are more, nothing that it guards can be promoted.");
    people.add("cat", [&sre, &dba]);
    assert_eq!(told(Some(people)), "");
    // Who does not know the people says nothing of them.
    assert_eq!(told(None), "");
}

#[test]
fn a_group_that_nobody_is_in_is_told() {
    let world = world(&json!([]));
    let told = |words: &[&str], people: &People| {
        let new = policy("go", "prod", "gated", words);
        told(&world, Change::Policy(new.name.clone(), Some(new)), Some(people.clone()))
    };
    let mut people = People::default();
    people.add("ann", [&"sre".to_owned(), &"oncall".to_owned()]);
    let deny = "deny=FREQ=DAILY/2h";
    assert_eq!(told(&[&format!("{deny}/@sre/-oncall"), "bypass=oncall:soak"], &people), "");
    assert_snapshot!(told(&[&format!("{deny}/@sr")], &people), @"windows[0].groups: Nobody is in this group: Window shut of policy go is about group sr, but nobody has a token with that group: it stops nobody of that group.");
    assert_snapshot!(told(&[&format!("{deny}/-on-call")], &people), @"windows[0].exempt: Nobody is in this group: Window shut of policy go exempts group on-call, but nobody has a token with that group: nobody is exempt by it.");
    assert_snapshot!(told(&["bypass=sr:soak"], &people), @"bypass[0].groups: Nobody is in this group: Bypass sr of policy go is a right of group sr, but nobody has a token with that group: nobody has it by that.");
    assert_snapshot!(told(&["allow=FREQ=DAILY/2h", "allow=FREQ=DAILY/3h/@sr"], &people), @"windows[1].groups: Nobody is in this group: Window open of policy go is about group sr, but nobody has a token with that group: it opens nothing for that group.");
    let freeze = freeze(&world, "audit", &["but", "@oncall", "but", "@on-call"]);
    let change = Change::Freeze(freeze.reach, freeze.name.clone(), Some(freeze));
    assert_snapshot!(self::told(&world, change.clone(), Some(people)), @"except.groups: Nobody is in this group: Freeze audit excepts group on-call, but nobody has a token with that group: nobody is excepted by that.");
    assert_eq!(self::told(&world, change, None), "", "who does not know the people");
}

#[test]
fn allow_windows_that_bind_a_group_alone_are_told() {
    let world = world(&json!([]));
    let told = |words: &[&str]| {
        let new = policy("go", "prod", "gated", words);
        told(&world, Change::Policy(new.name.clone(), Some(new)), None)
    };
    assert_eq!(told(&["deny=FREQ=DAILY/2h/@sre"]), "");
    assert_eq!(told(&["allow=FREQ=DAILY/2h/@sre", "allow=FREQ=DAILY/1h"]), "");
    assert_snapshot!(told(&["deny=FREQ=DAILY;BYHOUR=3/1h", "allow=FREQ=DAILY/2h/@sre"]), @"windows[1].groups: These windows do not bind everybody: Every allow window of policy go about promote is limited to groups (sre): no allow window binds whoever is in none of them, automation among them. One without groups says when it is open for everybody else.");
    let rollback = ["allow=FREQ=DAILY/2h/promote/rollback/@sre", "allow=FREQ=DAILY/1h"];
    assert_snapshot!(told(&rollback), @"windows[0].groups: These windows do not bind everybody: Every allow window of policy go about rollback is limited to groups (sre): no allow window binds whoever is in none of them, automation among them. One without groups says when it is open for everybody else.");
}

/// Six versions, one each half hour, each in `dev` until the next comes.
fn busy(stages: &str) -> World {
    let mut world = World::new();
    let mut script = format!(
        "push gitops a.yaml#b=c\nwarehouse shop api\n{stages}\npolicy auto dev automatic\n"
    );
    for version in 1..=6 {
        script.push_str(&format!("found shop api 1.0.{version}\n+30m\n"));
    }
    play(&mut world, &script).expect("nothing crashes");
    world
}

/// What is told beside what happens at once.
fn told_of_time(world: &World, change: Change) -> String {
    let all = told(world, change, None);
    let lines = all.lines().filter(|line| !line.contains("This change promotes freight"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn soak_that_no_freight_stays_for_is_told() {
    let world = busy("stage dev shop: app\nstage prod shop<dev: app");
    let of = |selected: &str, words: &[&str]| {
        let policy = policy("gate", selected, "gated", words);
        told_of_time(&world, Change::Policy(policy.name.clone(), Some(policy)))
    };
    assert_snapshot!(of("prod", &["soak=1h"]), @"soak: Freight would not stay long enough to soak: Stage prod would take freight of warehouse shop after a soak of 1h, but none of the last 5 that were verified upstream stayed there for that long before newer freight came (the longest 30m): unless it comes less often, or `choose` of the upstream changes, nothing gets to prod.");
    assert_eq!(of("prod", &["soak=1m"]), "");
    assert_eq!(of("qa", &["soak=1h"]), "");
    // What was so before is not told again, and neither is what too few cases show.
    let mut slow = world.clone();
    play(&mut slow, "policy gate prod gated soak=1h").expect("nothing crashes");
    let stage = slow.stage("prod").clone();
    assert_eq!(told_of_time(&slow, Change::Stage(stage_name("prod"), Some(stage))), "");
    let mut few = World::new();
    let script = "push gitops a.yaml#b=c\nwarehouse shop api\nstage dev shop: app\nstage prod shop<dev: app\npolicy auto dev automatic\nfound shop api 1.0.1\n+30m\nfound shop api 1.0.2\n+30m\n";
    play(&mut few, script).expect("nothing crashes");
    let gate = policy("gate", "prod", "gated", &["soak=1h"]);
    assert_eq!(told_of_time(&few, Change::Policy(gate.name.clone(), Some(gate))), "");
}

#[test]
fn a_queue_that_grows_for_ever_is_told() {
    let world = busy("stage dev shop: app\nstage prod shop<dev: app queue");
    let of = |words: &[&str]| {
        let policy = policy("gate", "prod", "gated", words);
        told_of_time(&world, Change::Policy(policy.name.clone(), Some(policy)))
    };
    assert_snapshot!(of(&["rate=1/1h"]), @"rates[0]: Freight comes faster than it may go: Stage prod takes all freight, one after the other, and rate 1 of policy gate lets one go each 1h, but 6 came within 2h30m: the queue grows for as long as that goes on. Let more go, or have `choose` take the latest.");
    assert_eq!(of(&["rate=3/1h"]), "");
    let latest = busy("stage dev shop: app\nstage prod shop<dev: app");
    let gate = policy("gate", "prod", "gated", &["rate=1/1h"]);
    assert_eq!(told_of_time(&latest, Change::Policy(gate.name.clone(), Some(gate.clone()))), "");
    let mut slow = latest.clone();
    play(&mut slow, "policy gate prod gated rate=1/1h").expect("nothing crashes");
    let mut stage = slow.stage("prod").clone();
    stage.choose = reconciler_domain::stage::Choose::Queue;
    assert_snapshot!(told_of_time(&slow, Change::Stage(stage_name("prod"), Some(stage))), @"choose: Freight comes faster than it may go: Stage prod takes all freight, one after the other, and rate 1 of policy gate lets one go each 1h, but 6 came within 2h30m: the queue grows for as long as that goes on. Let more go, or have `choose` take the latest.");
}
