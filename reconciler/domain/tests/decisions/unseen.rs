//! What was sent and whose end nobody saw: it is looked for, and what no look tells is told.
//!
//! [`doubt`] matches every kind of step without a wildcard: a new one has to say.

use insta::assert_snapshot;
use reconciler_domain::plan;
use reconciler_domain::promotion::{Ending, Event, Finish, Node};
use reconciler_domain::step::{Asks, Call, Record, Seen, StepKind, StepOutcome, UntagCall};
use serde_json::{Value, json};

use crate::axes;
use crate::controlling::promoted;
use crate::kit::script::{line_of, promotion_id};
use crate::kit::{World, play};

/// What follows from a kind's answer being lost, for good.
enum Doubt {
    /// It is looked for.
    Looked,
    /// It does no harm, and is told.
    Told,
    /// Its undo is run, which takes back what may have happened.
    Undone,
    /// Nothing: it changes nothing outside.
    None,
}

fn doubt(kind: StepKind) -> Doubt {
    match kind {
        StepKind::GitPush
        | StepKind::GitTag
        | StepKind::OciPush
        | StepKind::OciAttach
        | StepKind::GitOpenPr
        | StepKind::GitMergePr => Doubt::Looked,
        StepKind::Http | StepKind::GitClosePr | StepKind::GitCommentPr => Doubt::Told,
        StepKind::RunEffect => Doubt::Undone,
        // An apply goes on by itself, and has an end that is waited for.
        StepKind::TfApply
        | StepKind::GitWaitForPr
        | StepKind::SetMetadata
        | StepKind::SetAlias
        | StepKind::AuditEvent
        | StepKind::Wait
        | StepKind::WaitForApproval
        | StepKind::GetInput
        | StepKind::GitClone
        | StepKind::YamlUpdate
        | StepKind::GitCommit
        | StepKind::TfPlan
        | StepKind::TfDestroy
        | StepKind::TfImport
        | StepKind::TfOutput
        | StepKind::GitClear
        | StepKind::Tar
        | StepKind::Untar
        | StepKind::Download
        | StepKind::Copy
        | StepKind::Delete
        | StepKind::Write
        | StepKind::Template
        | StepKind::YamlMerge
        | StepKind::YamlParse
        | StepKind::JsonUpdate
        | StepKind::JsonParse
        | StepKind::TomlUpdate
        | StepKind::TomlParse
        | StepKind::HclUpdate
        | StepKind::HclParse
        | StepKind::KustomizeSetImage
        | StepKind::OciPull
        | StepKind::KustomizeBuild
        | StepKind::HelmTemplate
        | StepKind::HelmUpdateChart
        | StepKind::ComposeOutput
        | StepKind::Run
        | StepKind::Fail
        | StepKind::Task => Doubt::None,
    }
}

fn told(finish: &Finish) -> Option<&String> {
    finish.remaining.iter().find(|what| what.starts_with("step it: "))
}

#[test]
fn whose_answer_is_lost_is_found_or_undone_or_told() {
    let check = |kind: StepKind, before: &str, ending: Ending, is_told: bool| {
        let (world, finish) = axes::promoted(&axes::steps_of(kind, false), before, "+6h");
        let story = world.story.join("\n");
        assert_eq!(finish.ending, ending, "{} after {before}: {story}", kind.name());
        assert_eq!(told(&finish).is_some(), is_told, "{} after {before}: {story}", kind.name());
        let is_looked_for = matches!(doubt(kind), Doubt::Looked);
        let twice = is_looked_for && world.outside.effects.values().any(|times| *times > 1);
        assert!(!twice, "{} after {before}: {:?}", kind.name(), world.outside.effects);
    };
    for kind in StepKind::ALL {
        match doubt(kind) {
            Doubt::Looked => {
                check(kind, "lost it 99", Ending::Succeeded, false);
                check(kind, "lost it 99 before", Ending::RolledBack, false);
                check(kind, "lost it 1\nfail it 2 retry", Ending::Succeeded, false);
                // Its look before the commit would fail, too.
                if !kind.is_foreseen() {
                    check(kind, "lost it 1\nfail it 99 retry", Ending::Stuck, true);
                    check(kind, "lost it 1 before\nfail it 99 retry", Ending::Stuck, true);
                }
            }
            Doubt::Told => {
                check(kind, "lost it 99", Ending::RolledBack, true);
                check(kind, "lost it 1\nfail it 99 retry", Ending::RolledBack, true);
            }
            Doubt::Undone => check(kind, "lost it 99", Ending::RolledBack, false),
            Doubt::None => {}
        }
    }
}

fn push(control: &Value) -> Value {
    json!([
        ["clone", "git_clone", { "repo": "https://git.example/gitops",
            "checkout": { "gitops": { "branch": "main" } } }],
        ["set", "yaml_update", { "path": "gitops/dev.yaml", "updates": { "tag": "1" } }],
        ["commit", "git_commit", { "dir": "gitops", "message": "x" }],
        ["push", "git_push", { "dir": "gitops", "control": control }],
    ])
}

#[test]
fn what_was_broken_off_for_good_is_looked_for_once_it_has_had_time_to_arrive() {
    let steps = push(&json!({ "timeout": "30s", "retry": { "attempts": 1 } }));
    assert_snapshot!(promoted(&steps, "hang push 1", "why dev\n+29s\n+1s"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: out of time
      ? promotion dev.1: StepUnseen: step push is looked for at 2026-01-01T00:01:00Z: it was broken off: it took longer than its 30s [2026-01-01T00:01:00Z]
    -- +29s
    -- +1s
    dev.1 runs push (attempt 2): failed: it is not there
    dev.1 unwinds: step push failed: it is not there
    dev.1 rolled_back: undone: step push failed: it is not there
    ");
    // The server is as slow when it is looked for.
    assert_snapshot!(promoted(&steps, "hang push 99", "+2h"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: out of time
    -- +2h
    dev.1 runs push (attempt 2): out of time
    dev.1 runs push (attempt 3): out of time
    dev.1 runs push (attempt 4): out of time
    dev.1 runs push (attempt 5): out of time
    dev.1 runs push (attempt 6): out of time
    dev.1 runs push (attempt 7): out of time
    dev.1 runs push (attempt 8): out of time
    dev.1 runs push (attempt 9): out of time
    dev.1 runs push (attempt 10): out of time
    dev.1 stuck: step push: it was looked for, and no answer came in time; it is not known whether it happened: look there, then promote again
    dev.1   remains: step push: nobody saw how it ended, and it is not known whether it happened
    dev is held by automation: promotion dev.1 is stuck: step push: it was looked for, and no answer came in time; it is not known whether it happened: look there, then promote again
    ");
}

#[test]
fn an_abort_looks_for_what_it_broke_off() {
    let steps = push(&json!({}));
    assert_snapshot!(promoted(&steps, "hang push until ann", "+1s"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 is to stop, says ann
    dev.1 runs push: aborted
    -- +1s
    dev.1 runs push (attempt 2): failed: it is not there
    dev.1 aborted: aborted by ann during step push: not now; it ended so: it is not there
    ");
    assert_snapshot!(promoted(&steps, "hang push until ann\nfail push 9 retry", "+1s"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 is to stop, says ann
    dev.1 runs push: aborted
    -- +1s
    dev.1 runs push (attempt 2): failed: push was told to fail
    dev.1 stuck: aborted by ann during step push: not now; push was told to fail; it is not known whether it happened: look there, then promote again
    dev.1   remains: step push: nobody saw how it ended, and it is not known whether it happened
    dev is held by automation: promotion dev.1 is stuck: aborted by ann during step push: not now; push was told to fail; it is not known whether it happened: look there, then promote again
    ");
    // What had arrived by then is told.
    assert_snapshot!(promoted(&steps, "lost push 1", "abort dev.1 by ann\n+1s"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was not answered
    dev.1 is to stop, says ann
    -- +1s
    dev.1 runs push (attempt 2)
    dev.1 aborted: aborted by ann during verification: not now
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    ");
    // A look that was under way already is made anew, with an end.
    let steps = push(&json!({ "retry": { "attempts": 1 } }));
    assert_snapshot!(
        promoted(&steps, "lost push 1\nhang push until ann", "+30s\n+1s"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1 commits
    dev.1 runs push: failed: push was not answered
    -- +30s
    dev.1 is to stop, says ann
    dev.1 runs push (attempt 2): aborted
    -- +1s
    dev.1 runs push (attempt 3)
    dev.1 aborted: aborted by ann during verification: not now
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    ");
}

#[test]
fn an_undo_whose_answer_is_lost_is_looked_for_too() {
    let mut steps = push(&json!({}));
    let last = json!(["last", "fail", { "message": "no", "control": { "when": "steps.push.commit != ''" } }]);
    steps.as_array_mut().expect("a list").push(last);
    assert_snapshot!(promoted(&steps, "lost undo-push 99", "+6h\noutside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   last waits for steps.push.commit
    dev.1 commits
    dev.1 runs push
    dev.1 runs last: failed: no
    dev.1 unwinds: step last failed: no
    dev.1 undoes push: failed: undo-push was not answered
    -- +6h
    dev.1 undoes push (attempt 2): failed: undo-push was not answered
    dev.1 undoes push (attempt 3): failed: undo-push was not answered
    dev.1 undoes push (attempt 4): failed: undo-push was not answered
    dev.1 undoes push (attempt 5): failed: undo-push was not answered
    dev.1 undoes push (attempt 6): failed: undo-push was not answered
    dev.1 undoes push (attempt 7): failed: undo-push was not answered
    dev.1 undoes push (attempt 8): failed: undo-push was not answered
    dev.1 undoes push (attempt 9): failed: undo-push was not answered
    dev.1 undoes push (attempt 10)
    dev.1 rolled_back: undone: step last failed: no
      | https://git.example/gitops: dev.yaml#tag=0
    ");
    assert_snapshot!(promoted(&steps, "lost undo-push 99 before", "+6h\noutside"), @r"
    f1 is made: api 1.0.0
    dev.1 starts: f1, by automation
    dev.1 is prepared
    dev.1   last waits for steps.push.commit
    dev.1 commits
    dev.1 runs push
    dev.1 runs last: failed: no
    dev.1 unwinds: step last failed: no
    dev.1 undoes push: failed: undo-push was not answered
    -- +6h
    dev.1 undoes push (attempt 2): failed: undo-push was not answered
    dev.1 undoes push (attempt 3): failed: undo-push was not answered
    dev.1 undoes push (attempt 4): failed: undo-push was not answered
    dev.1 undoes push (attempt 5): failed: undo-push was not answered
    dev.1 undoes push (attempt 6): failed: undo-push was not answered
    dev.1 undoes push (attempt 7): failed: undo-push was not answered
    dev.1 undoes push (attempt 8): failed: undo-push was not answered
    dev.1 undoes push (attempt 9): failed: undo-push was not answered
    dev.1 undoes push (attempt 10): failed: it is not there
    dev.1 stuck: the undo of step push failed: undo-push was not answered; it is not there
    dev.1   remains: step push: commit c2 is on branch main of https://git.example/gitops
    dev is held by automation: promotion dev.1 is stuck: the undo of step push failed: undo-push was not answered; it is not there
      | https://git.example/gitops: dev.yaml#tag=1
    ");
}

#[test]
fn what_a_death_cut_off_stays_in_doubt_until_it_is_found() {
    let mut in_doubt = 0;
    for (fuel, server) in (0..40).flat_map(|fuel| ["", "fail push 99 retry"].map(|is| (fuel, is))) {
        let mut world = World::new();
        let script = "
            push gitops a.yaml#b=c
            warehouse shop api
            stage dev shop: app
            policy auto dev automatic rollback
        ";
        play(&mut world, script).expect("nothing crashes");
        world.fuel = Some(fuel);
        let died = line_of(&mut world, "found shop api 1.0.0").is_err();
        world.fuel = None;
        if !died {
            continue;
        }
        play(&mut world, server).expect("nothing crashes");
        world.settle().expect("nothing crashes");
        play(&mut world, "+6h").expect("nothing crashes");
        let story = world.story.join("\n");
        let Some(saga) = world.sagas.get(&promotion_id("dev.1")) else { continue };
        let Some((_, finish)) = &saga.state.finish else { panic!("after {fuel}: {story}") };
        let landed = world.outside.effects.keys().any(|effect| effect.starts_with("push "));
        let is_told = finish.remaining.iter().any(|what| what.starts_with("step push: "));
        let stands = finish.ending == Ending::Succeeded;
        assert!(!landed || stands || is_told, "after {fuel}, {server}: {story}");
        assert!(landed || !stands, "after {fuel}, {server}: {story}");
        in_doubt += u32::from(finish.ending == Ending::Stuck);
    }
    assert!(in_doubt > 0, "no death is in mid-push");
}

#[test]
fn who_goes_on_where_another_was_cut_off_does_not_know_unless_it_saw_so() {
    let run = |resumed, too_early| plan::Run {
        node: Node::Step("push".parse().expect("a name")),
        call: Box::new(Call::GitUntag(UntagCall {
            repo: "https://git.example/app".to_owned(),
            tag: "v1".to_owned(),
            object: "1".repeat(40),
            asks: Asks::No,
        })),
        rebuild: Vec::new(),
        resumed,
        too_early,
        deadline: None,
    };
    let check = |run: &plan::Run, rested, said, kept| {
        let (message, record) = ("no".to_owned(), Record::None);
        let outcome =
            StepOutcome::Failed { message, retry: false, retry_after: None, record, seen: said };
        let Event::Outcome { outcome, .. } = plan::ended(run, rested, outcome) else {
            panic!("it ended")
        };
        let StepOutcome::Failed { seen, .. } = *outcome else { panic!("it failed") };
        assert_eq!(seen, kept, "{run:?}, rested: {rested}, {said:?}");
    };
    check(&run(false, false), false, Seen::Unsaid, Seen::Unsaid);
    check(&run(true, false), false, Seen::Unsaid, Seen::Perhaps);
    check(&run(true, false), false, Seen::No, Seen::No);
    // It was not so yet at its last look, so nothing had been changed by then.
    check(&run(true, false), true, Seen::Unsaid, Seen::Unsaid);
    // It only looks, right after somebody was cut off who carried it out.
    check(&run(true, true), false, Seen::No, Seen::Perhaps);
    check(&run(true, true), true, Seen::No, Seen::No);
}
