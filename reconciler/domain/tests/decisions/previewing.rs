//! What changes of definitions would do to live freight.

use std::sync::Arc;

use insta::assert_snapshot;
use reconciler_domain::freeze::Reach;
use reconciler_domain::hold::Hold;
use reconciler_domain::id::{Principal, StageName};
use reconciler_domain::preview::{Change, Changes, Warning, World as Live, preview};
use reconciler_domain::promotion::Phase;
use reconciler_domain::snapshot::StageSnapshot;

use crate::kit::freeze::freeze;
use crate::kit::script::{hold, policy, stage_name};
use crate::kit::{World, play, run};

/// Plays a script, then previews changes, with `;` between them: `policy …`, `remove policy NAME`, `stage …`, `remove stage
/// NAME`, `hold …`, `lift NAME`, `freeze …`, `unfreeze [instance] NAME`.
fn of(script: &str, changes: &str) -> String {
    let mut world = World::new();
    play(&mut world, script).expect("nothing crashes");
    let changes: Vec<Change> = changes.split(';').map(|words| change_of(&world, words)).collect();
    let changes = Changes::new(Principal::Named("admin".to_owned()), changes);
    let live = live(&world, &changes);
    let preview = preview(&live, &changes, world.now);
    let is_one = changes.all.len() == 1;
    let mut lines = Vec::new();
    for effect in &preview.effects {
        let what = match (&effect.freight, &effect.promotion) {
            (_, Some(promotion)) => format!(" {promotion}"),
            (Some(freight), None) => format!(" {}", freight.short()),
            (None, None) => String::new(),
        };
        let until = effect.until.map_or_else(String::new, |at| format!(" [{at}]"));
        lines.push(format!("{}{what}: {:?}: {}{until}", effect.stage, effect.kind, effect.reason));
    }
    for Warning { change, path, summary, detail } in &preview.warnings {
        let of = if is_one { String::new() } else { format!(" of change {change}") };
        lines.push(format!("warning at {path:?}{of}: {summary}: {detail}"));
    }
    world.named(&lines.join("\n"))
}

/// The world as far as the changes may reach, as the store loads it.
pub(crate) fn live(world: &World, changes: &Changes) -> Live {
    let held: Vec<Hold> = world.holds.iter().map(|hold| hold.spec.clone()).collect();
    let reached = changes.reach(&world.definitions, &held);
    let mut then = world.clone();
    then.definitions = changes.apply(&world.definitions, world.now);
    let known = |name: &&StageName| world.definitions.stages.contains_key(*name);
    let new = reached.iter().filter(|name| !known(name));
    let new = new.filter(|name| then.definitions.stages.contains_key(*name));
    let waiting = world.sagas.iter().filter(|(_, saga)| {
        saga.state.phase() == Phase::Waiting && reached.contains(&saga.promotion.stage)
    });
    let all = || world.freight.iter().map(|facts| Arc::new(world.facts(facts))).collect();
    let stages = reached.iter().filter(known).map(|name| world.stage_snapshot(name));
    Live {
        stages: stages.map(|stage| StageSnapshot { freight: all(), ..stage }).collect(),
        created: new.map(|name| then.stage_snapshot(name)).collect(),
        waiting: waiting.map(|(id, _)| world.promotion_snapshot(id)).collect(),
        definitions: world.definitions.clone(),
        people: None,
    }
}

fn change_of(world: &World, change: &str) -> Change {
    let words: Vec<&str> = change.split_whitespace().collect();
    match words.as_slice() {
        ["policy", name, stages, mode, rest @ ..] => {
            let new = policy(name, stages, mode, rest);
            Change::Policy(new.name.clone(), Some(new))
        }
        ["remove", "policy", name] => Change::Policy(name.parse().expect("a name"), None),
        ["stage", name, ..] => {
            let mut other = world.clone();
            play(&mut other, change).expect("nothing crashes");
            Change::Stage(stage_name(name), Some(other.stage(name).clone()))
        }
        ["hold", name, rest @ ..] => {
            let new = hold(world, name, rest);
            Change::Hold(new.name.clone(), Some(new))
        }
        ["freeze", name, rest @ ..] => {
            let new = freeze(world, name, rest);
            Change::Freeze(new.reach, new.name.clone(), Some(new))
        }
        ["unfreeze", "instance", name] => {
            Change::Freeze(Reach::Instance, name.parse().expect("a name"), None)
        }
        ["unfreeze", name] => Change::Freeze(Reach::Project, name.parse().expect("a name"), None),
        ["lift", name] => Change::Hold(name.parse().expect("a name"), None),
        ["remove", "stage", name] => Change::Stage(stage_name(name), None),
        other => panic!("unknown change {other:?}"),
    }
}

const PIPELINE: &str = "
    push gitops a.yaml#b=c
    warehouse shop api
    stage dev shop: app
    stage prod shop<dev: app
    policy auto dev automatic
";

fn with(rest: &str) -> String {
    format!("{PIPELINE}\n{rest}")
}

#[test]
fn a_first_policy_of_a_stage_starts_what_is_ready() {
    let script = with("found shop api 1.0.0");
    assert_snapshot!(of(&script, "policy go prod automatic settle=30s"), @r#"
    prod f1: WouldPromote: automation would start a promotion 30s after the change; it commits at once
    warning at "mode": This change promotes freight: Freight f1 to stage prod: automation would start a promotion 30s after the change; it commits at once.
    "#);
    assert_snapshot!(of(&script, "policy go prod gated soak=1h"), @"prod f1: BecomesBlocked: has to soak for 1h upstream [2026-01-01T01:00:00Z]");
    assert_snapshot!(of(&script, "policy go prod manual"), @"");
    assert_snapshot!(of(&script, "policy go other automatic"), @"");
}

#[test]
fn what_would_wait_for_too_long_is_told() {
    let script = with(
        "
        policy gate prod gated approve=sre
        found shop api 1.0.0
        +2h
    ",
    );
    assert_snapshot!(of(&script, "policy gate prod gated approve=sre max_wait=3h"), @"");
    assert_snapshot!(of(&script, "policy gate prod gated approve=sre max_wait=1h"), @r#"
    prod prod.1: Expires: promotion prod.1 would expire: it may wait until 2026-01-01T01:00:00Z only
    warning at "max_wait": This change ends a promotion: Promotion prod.1 to stage prod: promotion prod.1 would expire: it may wait until 2026-01-01T01:00:00Z only.
    "#);
    // It ends once definitions have come to rest, and is told of all the same.
    let shorter = "policy gate prod gated approve=sre max_wait=1h settle=30s";
    assert_snapshot!(of(&script, shorter), @r#"
    prod prod.1: Expires: promotion prod.1 would expire: it may wait until 2026-01-01T01:00:00Z only
    warning at "max_wait": This change ends a promotion: Promotion prod.1 to stage prod: promotion prod.1 would expire: it may wait until 2026-01-01T01:00:00Z only.
    "#);
    let after = run(&format!("{script}\n{shorter}\n+29s\n+1s"));
    assert_snapshot!(after.lines().skip_while(|line| *line != "-- +29s").collect::<Vec<_>>().join("\n"), @r"
    -- +29s
    -- +1s
    prod.1 expired: did not commit within 1h (policy gate), until 2026-01-01T01:00:00Z: gate approvals: needs 1 approval of group sre, has 0
    ");
    // What passes every gate does not wait any more.
    assert_snapshot!(of(&script, "policy gate prod gated max_wait=1h"), @r#"
    prod prod.1: WouldPromote: promotion prod.1 would commit: every gate passes
    prod prod.1: GatePasses: gate approvals would pass
    warning at "approvals": A gate is dropped: Policy gate would no longer ask for approval by group sre.
    warning at "approvals": This change promotes freight: Promotion prod.1 to stage prod: promotion prod.1 would commit: every gate passes.
    "#);
}

#[test]
fn a_gate_that_goes_or_comes_is_told_for_what_waits_at_it() {
    let script = with(
        "
        policy gate prod gated approve=sre:2 forbid=create
        found shop api 1.0.0
        approve prod.1 by ann in sre
    ",
    );
    assert_snapshot!(of(&script, "policy gate prod gated approve=sre forbid=create"), @r#"
    prod prod.1: WouldPromote: promotion prod.1 would commit: every gate passes
    prod prod.1: GatePasses: gate approvals would pass
    warning at "approvals": This change promotes freight: Promotion prod.1 to stage prod: promotion prod.1 would commit: every gate passes.
    "#);
    assert_snapshot!(of(&script, "policy gate prod gated approve=sre:3 approve=audit"), @r#"
    prod prod.1: NeedsApprovalAgain: needs 1 approval of group audit, has 0
    prod prod.1: NeedsApprovalAgain: needs 3 approvals of group sre, has 1
    warning at "infra": A gate is dropped: Policy gate would no longer ask for its infra rules.
    "#);
    assert_snapshot!(of(&script, "policy gate prod automatic"), @r#"
    prod prod.1: WouldPromote: promotion prod.1 would commit: every gate passes
    prod prod.1: GatePasses: gate approvals would pass
    warning at "approvals": A gate is dropped: Policy gate would no longer ask for approval by group sre.
    warning at "infra": A gate is dropped: Policy gate would no longer ask for its infra rules.
    warning at "mode": This change promotes freight: Promotion prod.1 to stage prod: promotion prod.1 would commit: every gate passes.
    "#);
    assert_snapshot!(of(&script, "policy more prod manual approve=audit"), @r"
    prod prod.1: GateBlocks: the stage is manual: a person must start the promotion
    prod prod.1: NeedsApprovalAgain: needs 1 approval of group audit, has 0
    ");
    assert_snapshot!(of(&script, "remove policy gate"), @r#"
    prod prod.1: GatePasses: gate approvals would pass
    prod prod.1: GateBlocks: no policy selects the stage, so a person must start the promotion
    warning at "approvals": A gate is dropped: Policy gate would no longer ask for approval by group sre.
    warning at "infra": A gate is dropped: Policy gate would no longer ask for its infra rules.
    "#);
}

#[test]
fn a_rule_over_plans_that_goes_is_told() {
    let script =
        with("policy gate prod gated approve=sre forbid=delete rule=summary.total<9 rule=true");
    assert_snapshot!(of(&script, "policy gate prod gated approve=sre forbid=delete rule=summary.total<9"), @r#"warning at "infra.rules": A gate is dropped: Policy gate would no longer ask for infra rule r2."#);
}

#[test]
fn soak_blocks_until_an_instant() {
    let script = with(
        "
        policy gate prod manual rollback
        found shop api 1.0.0
    ",
    );
    assert_snapshot!(of(&script, "policy gate prod manual soak=1h"), @r#"
    prod f1: BecomesBlocked: has to soak for 1h upstream [2026-01-01T01:00:00Z]
    warning at "rollback": Failed promotions stay: Policy gate would no longer undo promotions that fail.
    "#);
}

#[test]
fn a_gate_that_lets_newer_freight_through_supersedes() {
    let script = with(
        "
        policy gate prod gated soak=1h approve=sre
        found shop api 1.0.0
        +1h
        found shop api 1.1.0
    ",
    );
    assert_snapshot!(of(&script, "policy gate prod gated approve=sre"), @r#"
    prod prod.1: Supersedes: newer freight would take its place
    prod f2: WouldPromote: automation would start a promotion 0s after the change; it commits once every gate passes
    prod f2: BecomesPromotable: verified upstream
    warning at "soak": A gate is dropped: Policy gate would no longer ask for a soak of 1h.
    warning at "soak": This change supersedes a promotion: Promotion prod.1 to stage prod: newer freight would take its place.
    warning at "soak": This change promotes freight: Freight f2 to stage prod: automation would start a promotion 0s after the change; it commits once every gate passes.
    "#);
}

#[test]
fn a_policy_that_lets_a_stage_go_says_so() {
    let script = with("policy gate dev,prod gated approve=sre");
    assert_snapshot!(of(&script, "policy gate prod gated approve=sre"), @r#"warning at "stages": A stage is let go: Policy gate would no longer hold for dev."#);
}

#[test]
fn a_stage_that_is_cut_off_is_told() {
    let script = with(
        "
        stage tested shop<dev
        stage end shop<tested&prod: app
        found shop api 1.0.0
    ",
    );
    assert_snapshot!(of(&script, "remove stage dev"), @r#"
    end: Unreachable: no freight could reach it once stage dev is changed
    prod: Unreachable: no freight could reach it once stage dev is changed
    tested: Unreachable: no freight could reach it once stage dev is changed
    warning at "": This change cuts off a stage: Stage end: no freight could reach it once stage dev is changed.
    warning at "": This change cuts off a stage: Stage prod: no freight could reach it once stage dev is changed.
    warning at "": This change cuts off a stage: Stage tested: no freight could reach it once stage dev is changed.
    "#);
    assert_snapshot!(of(&script, "stage prod shop<nowhere: app"), @r#"
    end: Unreachable: no freight could reach it once stage prod is changed
    prod f1: BecomesBlocked: not verified upstream in nowhere
    warning at "requests": This change cuts off a stage: Stage end: no freight could reach it once stage prod is changed.
    "#);
}

#[test]
fn an_edited_stage_prepares_its_promotions_anew() {
    let script = with(
        "
        policy gate prod gated approve=sre:2
        found shop api 1.0.0
        approve prod.1 by ann in sre
    ",
    );
    assert_snapshot!(of(&script, "stage prod shop<dev: app hook"), @"prod prod.1: NeedsApprovalAgain: it is prepared anew; where it would then do something else, approvals are asked again");
    assert_snapshot!(of(&script, "stage prod shop<dev: app"), @"");
}

#[test]
fn a_stage_that_asks_elsewhere_changes_what_is_promotable() {
    let script = with(
        "
        stage qa shop: app
        found shop api 1.0.0
        found shop api 1.1.0
        promote qa f1 by ann
    ",
    );
    assert_snapshot!(of(&script, "stage prod shop<qa: app"), @"prod f2: BecomesBlocked: not verified upstream in qa");
    assert_snapshot!(of(&script, "stage prod shop<qa&dev: app"), @"prod f2: BecomesBlocked: not verified upstream in qa");
}

#[test]
fn a_hold_says_what_it_stops_and_what_its_end_lets_go() {
    let waiting = with(
        "
        policy gate prod gated approve=sre
        found shop api 1.0.0
        stage qa shop: app
        policy more qa manual
    ",
    );
    assert_snapshot!(of(&waiting, "hold cve api >=1.0.0 until 1h"), @r"
    prod prod.1: GateBlocks: hold cve of admin: it leaks [2026-01-01T01:00:00Z]
    qa f1: BecomesBlocked: hold cve of admin: it leaks [2026-01-01T01:00:00Z]
    ");
    assert_snapshot!(of(&waiting, "hold cve apy >=1.0.0"), @r#"
    warning at "artifacts.subscription": This hold stops nothing yet: No warehouse of the project has a subscription apy.
    "#);
    let held = format!("{waiting}\nhold cve api >=1.0.0\napprove prod.1 by ann in sre");
    assert_snapshot!(of(&held, "lift cve"), @r#"
    prod prod.1: WouldPromote: promotion prod.1 would commit: every gate passes
    prod prod.1: GatePasses: gate hold would pass
    qa f1: BecomesPromotable: straight from its warehouse
    warning at "": This change promotes freight: Promotion prod.1 to stage prod: promotion prod.1 would commit: every gate passes.
    "#);
    let free = with("policy auto2 prod automatic\nhold shut stage prod\nfound shop api 1.0.0");
    assert_snapshot!(of(&free, "lift shut"), @r#"
    prod f1: WouldPromote: automation would start a promotion 0s after the change; it commits at once
    prod f1: BecomesPromotable: verified upstream
    warning at "": This change promotes freight: Freight f1 to stage prod: automation would start a promotion 0s after the change; it commits at once.
    "#);
}

#[test]
fn changes_are_judged_together() {
    let script = with("found shop api 1.0.0");
    // Alone the mode would start a promotion; with the hold nothing moves.
    assert_snapshot!(of(&script, "policy go prod automatic; hold shut stage prod"), @"prod f1: BecomesBlocked: hold shut of admin: it leaks");
    // A stage that is made together with its policy.
    assert_snapshot!(of(&script, "stage qa shop<dev: app; policy go qa gated approve=sre"), @r#"
    qa f1: WouldPromote: automation would start a promotion 0s after the change; it commits once every gate passes
    warning at "requests" of change 0: This change promotes freight: Freight f1 to stage qa: automation would start a promotion 0s after the change; it commits once every gate passes.
    "#);
    // A stage behind one that is made.
    assert_snapshot!(of(&script, "stage qa shop<dev: app; stage prod shop<qa: app"), @"prod f1: BecomesBlocked: not verified upstream in qa");
    // A policy that goes, and another in its place.
    let gated = with(
        "policy gate prod gated approve=sre:2\nfound shop api 1.0.0\napprove prod.1 by ann in sre",
    );
    assert_snapshot!(of(&gated, "remove policy gate; policy door prod gated approve=sre"), @r#"
    prod prod.1: WouldPromote: promotion prod.1 would commit: every gate passes
    prod prod.1: GatePasses: gate approvals would pass
    warning at "approvals" of change 0: A gate is dropped: Policy gate would no longer ask for approval by group sre.
    warning at "" of change 0: This change promotes freight: Promotion prod.1 to stage prod: promotion prod.1 would commit: every gate passes.
    "#);
    // An edited stage prepares anew, whatever the gates say.
    assert_snapshot!(of(&gated, "policy gate prod gated approve=sre; stage prod shop<dev: app hook"), @"prod prod.1: NeedsApprovalAgain: it is prepared anew; where it would then do something else, approvals are asked again");
    // Two stages that go: what is behind both is cut off.
    let behind = with("stage qa shop<dev: app\nstage end shop<qa|prod: app\nfound shop api 1.0.0");
    assert_snapshot!(of(&behind, "remove stage qa; remove stage prod"), @r#"
    end: Unreachable: no freight could reach it once stages qa, prod are changed
    warning at "" of change 0: This change cuts off a stage: Stage end: no freight could reach it once stages qa, prod are changed.
    "#);
    assert_snapshot!(of(&behind, "remove stage qa"), @"");
}

#[test]
fn a_control_flow_stage_that_changes_reaches_what_is_behind_it() {
    let script = with(
        "
        stage tested shop<dev
        stage end shop<tested: app
        policy end end gated soak=1h
        found shop api 1.0.0
        +30m
        found shop api 1.1.0
        +40m
    ",
    );
    assert_snapshot!(of(&script, "stage tested shop"), @r#"
    end f1: WouldPromote: automation would start a promotion 0s after the change; it commits once every gate passes
    end f1: BecomesPromotable: verified upstream
    warning at "requests": This change promotes freight: Freight f1 to stage end: automation would start a promotion 0s after the change; it commits once every gate passes.
    "#);
}

#[test]
fn a_freeze_is_told_with_what_it_stops_and_when_it_ends() {
    let script = with(
        "
        policy gate prod gated approve=sre rollback
        found shop api 1.0.0
        ",
    );
    assert_snapshot!(of(&script, "freeze audit until 2h"), @"prod prod.1: GateBlocks: freeze audit of admin: books close; ends at 2026-01-01T02:00:00Z [2026-01-01T02:00:00Z]");
    assert_snapshot!(of(&script, "freeze audit from 1h until 2h about promote,rollback"), @r#"warning at "actions": This freeze traps what fails: A promotion to prod that fails at 2026-01-01T01:00:00Z would not be undone before 2026-01-01T02:00:00Z: policies ask for the undo, and freeze audit is about rollback. Leave rollback out of its actions to let what fails be undone."#);
    assert_snapshot!(of(&script, "freeze audit but prod"), @"");
    assert_snapshot!(of(&script, "freeze audit but *"), @r#"warning at "except.stages": This freeze stops nothing: Freeze audit excepts every stage of the project."#);
    let frozen = format!(
        "{script}
        freeze audit
        approve prod.1 by ann in sre"
    );
    assert_snapshot!(of(&frozen, "unfreeze audit"), @r#"
    prod prod.1: WouldPromote: promotion prod.1 would commit: every gate passes
    prod prod.1: GatePasses: gate freeze would pass
    warning at "": This change promotes freight: Promotion prod.1 to stage prod: promotion prod.1 would commit: every gate passes.
    "#);
}

#[test]
fn a_freeze_of_all_projects_is_judged_beside_one_of_the_same_name() {
    let script = with(
        "
        policy gate prod gated approve=sre rollback
        found shop api 1.0.0
        freeze audit until 1h
        approve prod.1 by ann in sre
        ",
    );
    assert_snapshot!(of(&script, "freeze audit reach instance until 2h"), @"prod prod.1: GateBlocks: instance freeze audit of admin: books close; ends at 2026-01-01T02:00:00Z [2026-01-01T02:00:00Z]");
    // Each ends its own.
    let both = format!("{script}\nfreeze audit reach instance until 2h");
    assert_snapshot!(of(&both, "unfreeze audit"), @"");
    assert_snapshot!(of(&both, "unfreeze audit; unfreeze instance audit"), @r#"
    prod prod.1: WouldPromote: promotion prod.1 would commit: every gate passes
    prod prod.1: GatePasses: gate freeze would pass
    warning at "" of change 0: This change promotes freight: Promotion prod.1 to stage prod: promotion prod.1 would commit: every gate passes.
    "#);
    // A project that it excepts, and one whose every stage it excepts.
    assert_snapshot!(of(&script, "freeze all reach instance about rollback but /sh*"), @"");
    assert_snapshot!(of(&script, "freeze all reach instance but *"), @"");
    assert_snapshot!(of(&script, "freeze all reach instance about rollback"), @r#"warning at "actions": This freeze traps what fails: A promotion to prod that fails now would not be undone until somebody ends the freeze: policies ask for the undo, and freeze all is about rollback. Leave rollback out of its actions to let what fails be undone."#);
    // What it excepts now it let go on before.
    assert_snapshot!(of(&both, "freeze audit reach instance but /sh*; unfreeze audit"), @r#"
    prod prod.1: WouldPromote: promotion prod.1 would commit: every gate passes
    prod prod.1: GatePasses: gate freeze would pass
    warning at "" of change 0: This change promotes freight: Promotion prod.1 to stage prod: promotion prod.1 would commit: every gate passes.
    "#);
}
