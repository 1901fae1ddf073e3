//! Every kind of step fails, and every undo fails: what failed changed nothing, or says what is left; what cannot
//! be undone is stuck, and names it.
//!
//! [`steps_of`], [`fails_by`] and [`undo_of`] match every kind without a wildcard: a new one has to say.

use reconciler_domain::promotion::{Ending, Finish};
use reconciler_domain::step::{Nature, StepKind};
use serde_json::{Value, json};

use crate::kit::script::{promotion_id, set_stage};
use crate::kit::{World, play, script};

const GITOPS: &str = "https://git.example/gitops";
/// The step that is tried, after those that it needs.
const IT: &str = "it";

/// How a step is made to fail for good.
enum Fails {
    /// Whoever carries it out says so.
    Told,
    /// By these lines of a script.
    After(&'static str),
    /// Not at all: nothing can go wrong.
    Never,
}

/// What takes back what a step did.
enum Undo {
    /// Nothing: it changed nothing outside.
    Needless,
    /// Nothing: what it did stays, and is told so.
    Stays(&'static str),
    /// A run for each of these nodes, each of which may fail. Then this is named.
    Run(&'static [&'static str], &'static str),
    /// What is written with its outcome, which cannot fail.
    Kept,
}

fn undo_of(kind: StepKind) -> Undo {
    match kind {
        StepKind::GitPush => Undo::Run(&["undo-it"], "is on branch"),
        StepKind::GitTag => Undo::Run(&["undo-it"], "tag v1 was made in"),
        StepKind::TfApply => Undo::Run(&["undo-plan-it", "undo-it"], "x.version"),
        StepKind::OciPush => {
            Undo::Run(&["undo-it"], "tag stable of registry.example/prod/api is at")
        }
        StepKind::OciAttach => Undo::Run(&["undo-it"], "is attached to"),
        StepKind::GitOpenPr => Undo::Run(&["undo-it"], "pull request 1 was opened"),
        StepKind::GitWaitForPr | StepKind::GitMergePr => {
            Undo::Run(&["undo-it"], "is merged into branch main")
        }
        StepKind::RunEffect => Undo::Run(&["undo-it"], "its program ran"),
        StepKind::SetMetadata | StepKind::SetAlias => Undo::Kept,
        StepKind::Http => Undo::Stays("its request was sent and has no undo"),
        StepKind::GitClosePr => Undo::Stays("was closed, and stays so"),
        StepKind::GitCommentPr => Undo::Stays("was commented on, and that stays"),
        // What is in the ledger was said there, and is no difference.
        StepKind::AuditEvent
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
        | StepKind::Task => Undo::Needless,
    }
}

fn fails_by(kind: StepKind) -> Fails {
    match kind {
        StepKind::Wait => Fails::After("+2h"),
        StepKind::WaitForApproval => Fails::After("answer dev.1 it by ann in sre no"),
        StepKind::GetInput => Fails::After("+2h"),
        // It is too large, see its steps.
        StepKind::SetMetadata => Fails::After(""),
        StepKind::SetAlias | StepKind::AuditEvent => Fails::Never,
        StepKind::Fail
        | StepKind::Task
        | StepKind::GitClone
        | StepKind::YamlUpdate
        | StepKind::GitCommit
        | StepKind::GitPush
        | StepKind::GitTag
        | StepKind::TfPlan
        | StepKind::TfDestroy
        | StepKind::TfImport
        | StepKind::TfApply
        | StepKind::TfOutput
        | StepKind::Http
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
        | StepKind::OciPush
        | StepKind::OciAttach
        | StepKind::KustomizeBuild
        | StepKind::HelmTemplate
        | StepKind::HelmUpdateChart
        | StepKind::ComposeOutput
        | StepKind::GitOpenPr
        | StepKind::GitWaitForPr
        | StepKind::GitMergePr
        | StepKind::GitClosePr
        | StepKind::GitCommentPr
        | StepKind::Run
        | StepKind::RunEffect => Fails::Told,
    }
}

/// The step with what it needs before it. `fails`: as it fails by itself, if it does.
pub(crate) fn steps_of(kind: StepKind, fails: bool) -> Vec<Value> {
    let it = |config: Value| vec![json!([IT, kind.name(), config])];
    let after = |before: &[Value], config: Value| [before, &it(config)].concat();
    let file = |config: Value| after(&[clone("gitops")], config);
    let parse = |path: &str| file(json!({ "path": path, "outputs": { "tag": "document.tag" } }));
    let update = |path: &str| file(json!({ "path": path, "updates": { "tag": "1.0.0" } }));
    let asked = |more: Value| {
        let mut config = json!({ "message": "go on?", "timeout": "1h" });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        if !fails {
            config["at_timeout"] = json!("continue");
        }
        it(config)
    };
    let image = format!("registry.example/api@sha256:{}", "1".repeat(64));
    match kind {
        StepKind::GitClone => {
            it(json!({ "repo": GITOPS, "checkout": { "gitops": { "branch": "main" } } }))
        }
        StepKind::YamlUpdate => update("gitops/dev.yaml"),
        StepKind::JsonUpdate => update("gitops/dev.json"),
        StepKind::TomlUpdate => update("gitops/dev.toml"),
        StepKind::HclUpdate => update("gitops/dev.hcl"),
        StepKind::YamlParse => parse("gitops/dev.yaml"),
        StepKind::JsonParse => parse("gitops/dev.json"),
        StepKind::TomlParse => parse("gitops/dev.toml"),
        StepKind::HclParse => parse("gitops/dev.hcl"),
        StepKind::GitCommit => after(&changed(), json!({ "dir": "gitops", "message": "tag" })),
        StepKind::GitPush => after(&committed(), json!({ "dir": "gitops" })),
        StepKind::GitTag => {
            it(json!({ "repo": GITOPS, "tag": "v1", "commit": "1".repeat(40), "message": "it is" }))
        }
        StepKind::TfPlan => after(&[clone("infra")], json!({ "dir": "infra" })),
        StepKind::TfDestroy => after(&[clone("infra")], json!({ "dir": "infra" })),
        StepKind::TfImport => {
            let imports = json!({ "dir": "infra", "imports": { "x.cache": "c-1" } });
            [after(&[clone("infra")], imports), vec![plan()]].concat()
        }
        StepKind::TfApply => after(&[clone("infra"), plan()], json!({ "plan": "plan" })),
        StepKind::TfOutput => after(&[clone("infra"), plan()], json!({ "dir": "infra" })),
        StepKind::Http => it(json!({ "url": "https://hook.example/it", "method": "PUT" })),
        StepKind::GitClear => file(json!({ "dir": "gitops" })),
        StepKind::Tar => file(json!({ "from": "gitops", "to": "all.tgz" })),
        StepKind::Untar => file(json!({ "from": "gitops/all.tgz", "to": "all" })),
        StepKind::Download => {
            let checksum = format!("sha256:{}", "2".repeat(64));
            it(json!({ "url": "https://files.example/x", "to": "x", "checksum": checksum }))
        }
        StepKind::Copy => file(json!({ "from": "gitops/dev.yaml", "to": "copy.yaml" })),
        StepKind::Delete => file(json!({ "paths": ["gitops/dev.yaml"] })),
        StepKind::Write => it(json!({ "path": "made.txt", "text": "made" })),
        StepKind::Template => file(json!({ "path": "gitops/template.txt", "to": "made.txt" })),
        StepKind::YamlMerge => file(
            json!({ "from": ["gitops/dev.yaml", "gitops/more.yaml"], "to": "gitops/all.yaml" }),
        ),
        StepKind::KustomizeSetImage => {
            let images = json!({ "api": { "tag": "1.0.0" } });
            file(json!({ "path": "gitops/kustomization.yaml", "images": images }))
        }
        StepKind::OciPull => it(json!({ "image": image, "to": "layer.txt" })),
        StepKind::OciPush => it(json!({ "from": image, "to": "registry.example/prod/api:stable" })),
        StepKind::OciAttach => file(json!({
            "image": image, "path": "gitops/dev.yaml", "artifact_type": "application/vnd.example",
        })),
        StepKind::KustomizeBuild => file(json!({ "path": "gitops/base", "to": "gitops/all.yaml" })),
        StepKind::HelmTemplate => file(json!({ "path": "gitops/chart", "to": "gitops/all.yaml" })),
        StepKind::HelmUpdateChart => {
            file(json!({ "path": "gitops/chart", "versions": { "cache": "1.0.0" } }))
        }
        StepKind::ComposeOutput => it(json!({ "outputs": { "tag": "1.0.0" } })),
        StepKind::Fail => it(json!({ "message": "no" })),
        StepKind::Wait if fails => it(json!({ "condition": "false", "timeout": "1h" })),
        StepKind::Wait => it(json!({ "duration": "1m" })),
        StepKind::WaitForApproval => asked(json!({})),
        StepKind::GetInput => asked(json!({ "schema": { "properties": {} } })),
        StepKind::SetMetadata => {
            let size = if fails { 65 << 10 } else { 1 };
            it(json!({ "stage": { "note": "x".repeat(size) } }))
        }
        StepKind::SetAlias => it(json!({ "alias": "stable" })),
        StepKind::AuditEvent => it(json!({ "message": "so it is" })),
        StepKind::GitOpenPr => after(&pushed(), proposal()),
        StepKind::GitWaitForPr
        | StepKind::GitMergePr
        | StepKind::GitClosePr
        | StepKind::GitCommentPr => {
            let mut before = pushed();
            before.push(json!(["pr", "git_open_pr", proposal()]));
            let mut about =
                json!({ "repo": GITOPS, "forge": "gitea", "number": "{{ steps.pr.number }}" });
            if kind == StepKind::GitCommentPr {
                about["text"] = json!("on its way");
            }
            after(&before, about)
        }
        StepKind::Run => file(json!({ "command": ["make"], "dir": "gitops" })),
        StepKind::RunEffect => it(json!({
            "command": ["migrate"], "undo": ["migrate", "--back"], "delivery": "at_least_once",
        })),
        StepKind::Task => panic!("its steps are carried out in its place"),
    }
}

fn clone(name: &str) -> Value {
    let repo = format!("https://git.example/{name}");
    let checkout = json!({ name: { "branch": "main" } });
    json!([format!("src_{name}"), "git_clone", { "repo": repo, "checkout": checkout }])
}

fn changed() -> Vec<Value> {
    let updates = json!({ "tag": "{{ freight.api.tag }}" });
    vec![
        clone("gitops"),
        json!(["set", "yaml_update", { "path": "gitops/dev.yaml", "updates": updates }]),
    ]
}

fn committed() -> Vec<Value> {
    let commit = json!(["commit", "git_commit", { "dir": "gitops", "message": "tag" }]);
    [changed(), vec![commit]].concat()
}

fn pushed() -> Vec<Value> {
    let push = json!(["push", "git_push", { "dir": "gitops", "branch": "lockstep/x" }]);
    [committed(), vec![push]].concat()
}

fn proposal() -> Value {
    json!({
        "repo": GITOPS, "forge": "gitea", "source": "lockstep/x", "target": "main", "title": "tag",
    })
}

fn plan() -> Value {
    json!(["plan", "tf_plan", { "dir": "infra", "vars": { "version": "{{ freight.api.tag }}" } }])
}

/// What a promotion through these steps comes to, after some lines and before others.
pub(crate) fn promoted(steps: &[Value], before: &str, after: &str) -> (World, Finish) {
    let mut world = World::new();
    let script = "
        push gitops dev.yaml#tag=0
        push infra module#cache=1
        warehouse shop api
        stage dev shop:
        policy auto dev automatic rollback
    ";
    play(&mut world, script).expect("nothing crashes");
    let mut stage = world.stage("dev").clone();
    stage.steps = script::steps_of(&Value::from(steps));
    set_stage(&mut world, stage);
    play(&mut world, before).expect("nothing crashes");
    play(&mut world, "found shop api 1.0.0").expect("nothing crashes");
    play(&mut world, after).expect("nothing crashes");
    let saga = &world.sagas[&promotion_id("dev.1")];
    let finish = saga.state.finish.as_ref().map(|(_, finish)| finish.clone());
    let finish = finish.unwrap_or_else(|| panic!("it ends:\n{}", world.story.join("\n")));
    (world, finish)
}

/// Fails after the step, so that it is undone.
pub(crate) fn last() -> Value {
    json!(["last", "http", { "url": "https://hook.example/last", "method": "PUT" }])
}

/// Every kind that is carried out as itself.
fn kinds() -> impl Iterator<Item = StepKind> {
    StepKind::ALL.into_iter().filter(|kind| kind.nature() != Nature::Expanded)
}

/// What the effects that were counted are called.
fn counted(world: &World) -> Vec<&str> {
    world.outside.effects.keys().map(String::as_str).collect()
}

#[test]
fn what_fails_changed_nothing_or_says_what_is_left() {
    for kind in kinds() {
        let (before, after) = match fails_by(kind) {
            Fails::Told => ("fail it 99", ""),
            Fails::After(after) => ("", after),
            Fails::Never => continue,
        };
        let (world, finish) = promoted(&steps_of(kind, true), before, after);
        let story = world.story.join("\n");
        let wanted = match kind.nature() {
            // Of some effects a look is taken before the commit, which fails first.
            Nature::Effect if kind.is_foreseen() => Ending::Failed,
            Nature::Local => Ending::Failed,
            Nature::Effect | Nature::Expanded => Ending::RolledBack,
        };
        assert_eq!(finish.ending, wanted, "{}: {story}", kind.name());
        assert_eq!(finish.remaining, Vec::<String>::new(), "{}: {story}", kind.name());
        assert!(finish.message.contains("step it"), "{}: {}", kind.name(), finish.message);
        let its_own = counted(&world).into_iter().find(|effect| effect.ends_with("/it"));
        assert_eq!(its_own, None, "{}: {story}", kind.name());
    }
}

#[test]
fn what_is_undone_is_gone_or_told() {
    for kind in kinds().filter(|kind| *kind != StepKind::Fail) {
        let steps = [steps_of(kind, false), vec![last()]].concat();
        let (world, finish) = promoted(&steps, "fail last 99", "+2h");
        let story = world.story.join("\n");
        assert_eq!(finish.ending, Ending::RolledBack, "{}: {story}", kind.name());
        let told = finish.remaining.iter().find(|what| what.starts_with("step it: "));
        match undo_of(kind) {
            Undo::Needless | Undo::Run(..) | Undo::Kept => {
                assert_eq!(told, None, "{}: {story}", kind.name());
            }
            Undo::Stays(what) => {
                assert!(told.is_some_and(|told| told.contains(what)), "{}: {story}", kind.name());
            }
        }
    }
}

#[test]
fn an_undo_that_fails_is_stuck_and_names_what_is_left() {
    for kind in kinds() {
        let (nodes, what) = match undo_of(kind) {
            Undo::Run(nodes, what) => (nodes, what),
            Undo::Needless | Undo::Stays(_) | Undo::Kept => continue,
        };
        let steps = [steps_of(kind, false), vec![last()]].concat();
        for node in nodes {
            let before = format!("fail last 99\nfail {node} 99");
            let (world, finish) = promoted(&steps, &before, "+2h");
            let story = world.story.join("\n");
            assert_eq!(finish.ending, Ending::Stuck, "{}: {story}", kind.name());
            let left = finish.remaining.iter().find(|left| left.starts_with("step it: "));
            assert!(
                left.is_some_and(|left| left.contains(what)),
                "{node} {}: {finish:#?}",
                kind.name()
            );
            assert!(world.automatic_holds.len() == 1, "{}: a person has to look", kind.name());
        }
    }
}
