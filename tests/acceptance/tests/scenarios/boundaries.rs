//! The daemon killed at every boundary of what it does to tags, registries and pull requests, and by
//! programs: one table, each effect in a stage of its own per boundary.

use std::collections::BTreeMap;
use std::process::Command;

use acceptance::forge::PullRequest;
use acceptance::registry::Registry;
use acceptance::{At as _, Failure, Outcome};
use axum::http::StatusCode;
use jiff::Timestamp;
use reconciler_api::v1::Phase;
use serde_json::{Value, json};

use crate::crash::{BOUNDARIES, crash_at};
use crate::pipeline::{clone_gitops, direct, step, undone};
use crate::pull_requests::Hosted;
use crate::site::values_file;

/// An effect, or the undo of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Tag,
    UndoTag,
    Retag,
    UndoRetag,
    Attach,
    UndoAttach,
    Open,
    UndoOpen,
    Merge,
    UndoMerge,
    Close,
    Comment,
    Program,
    UndoProgram,
    ProgramOnce,
}

/// What the effects are upon.
struct World {
    hosted: Hosted,
    registry: Registry,
    /// What tags are moved to.
    new: String,
    /// What they are at before that, by stage.
    before: BTreeMap<String, String>,
}

impl World {
    async fn start(stages: &[&str]) -> Outcome<Self> {
        let hosted = Hosted::start_for(stages).await?;
        let registry = Registry::start().await?;
        let new = registry.push("shop/api", "2.0.0", Timestamp::UNIX_EPOCH).await?;
        let mut before = BTreeMap::new();
        for stage in stages {
            // A tag of its own, at the version before.
            let path = format!("prod/{stage}");
            let digest = registry.push(&path, "stable", Timestamp::UNIX_EPOCH).await?;
            before.insert((*stage).to_owned(), digest);
        }
        Ok(Self { hosted, registry, new, before })
    }

    /// The keys under which the program of a stage said what it did.
    fn keys(&self, stage: &str) -> Vec<String> {
        let keys = self.hosted.site.desk.keys(&format!("/{stage}"));
        keys.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// The commit that a tag is of; none: there is no such tag.
    fn tagged(&self, tag: &str) -> Outcome<Option<String>> {
        let mut git = Command::new("git");
        git.args(["rev-parse", "--verify", "--quiet", &format!("refs/tags/{tag}^{{commit}}")]);
        let found = git.current_dir(self.hosted.site.gitops.folder()).output().at("git")?;
        let commit = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        Ok((!commit.is_empty()).then_some(commit))
    }

    fn pull(&self, stage: &str) -> Outcome<PullRequest> {
        let source = format!("lockstep/{stage}.1");
        let ours = self.hosted.forge.pulls().into_iter().filter(|pull| pull.source == source);
        let ours: Vec<PullRequest> = ours.collect();
        let [pull] = ours.as_slice() else {
            return Err(Failure::new(format!("{} pull requests of {stage}", ours.len())));
        };
        Ok(pull.clone())
    }
}

impl Effect {
    /// The step that has it.
    fn step(self) -> &'static str {
        match self {
            Self::Tag | Self::UndoTag => "tag",
            Self::Retag | Self::UndoRetag => "retag",
            Self::Attach | Self::UndoAttach => "attach",
            Self::Open | Self::UndoOpen => "pr",
            Self::Merge | Self::UndoMerge => "merge",
            Self::Close => "close",
            Self::Comment => "comment",
            Self::Program | Self::UndoProgram | Self::ProgramOnce => "program",
        }
    }

    fn is_undo(self) -> bool {
        match self {
            Self::UndoTag
            | Self::UndoRetag
            | Self::UndoAttach
            | Self::UndoOpen
            | Self::UndoMerge
            | Self::UndoProgram => true,
            Self::Tag
            | Self::Retag
            | Self::Attach
            | Self::Open
            | Self::Merge
            | Self::Close
            | Self::Comment
            | Self::Program
            | Self::ProgramOnce => false,
        }
    }

    /// A stage whose promotions have the effect; for an undo it fails after it.
    async fn stage(self, world: &World, stage: &str) -> Outcome {
        let (hosted, registry) = (&world.hosted, &world.registry);
        let image = registry.repo(&format!("shop/api@{}", world.new));
        let about = |uses: &str, more: Value| hosted.about(self.step(), uses, &more);
        let its_own = |config: Value, uses: &str| step(self.step(), uses, &config);
        let (clone, on_a_pull_request, own) = match self {
            Self::Tag | Self::UndoTag => {
                let config = json!({
                    "repo": hosted.site.gitops.url, "tag": "v-{{ stage.name }}", "message": "it is",
                    "commit": hosted.site.gitops.tip("main").await?,
                });
                (false, false, Some(its_own(config, "git_tag")))
            }
            Self::Retag | Self::UndoRetag => {
                let to = registry.repo(&format!("prod/{stage}:stable"));
                (false, false, Some(its_own(json!({ "from": image, "to": to }), "oci_push")))
            }
            Self::Attach | Self::UndoAttach => {
                let config = json!({
                    "image": image, "path": "gitops/README",
                    "artifact_type": format!("application/vnd.example.{stage}"),
                });
                (true, false, Some(its_own(config, "oci_attach")))
            }
            Self::Open | Self::UndoOpen => (false, true, None),
            Self::Merge | Self::UndoMerge => {
                (false, true, Some(about("git_merge_pr", json!({ "method": "squash" }))))
            }
            Self::Close => (false, true, Some(about("git_close_pr", json!({})))),
            Self::Comment => {
                (false, true, Some(about("git_comment_pr", json!({ "text": "on its way" }))))
            }
            Self::Program | Self::UndoProgram | Self::ProgramOnce => {
                (false, false, Some(its_own(self.program(world, stage), "run_effect")))
            }
        };
        let mut steps: Vec<Value> = own.into_iter().collect();
        if self.is_undo() {
            let teapot = json!({ "url": hosted.site.desk.url("/teapot") });
            steps.push(step("fails", "http", &teapot));
        }
        if on_a_pull_request {
            return hosted.stage_called(stage, &steps).await;
        }
        if clone {
            steps.insert(0, clone_gitops(&hosted.site));
        }
        let spec = json!({ "requests": direct(), "steps": steps });
        hosted.site.stage(stage, &spec).await.map(drop)
    }

    /// A program that tells the desk what it did, under its key.
    fn program(self, world: &World, stage: &str) -> Value {
        let url = world.hosted.site.desk.url(&format!("/{stage}"));
        let script = format!(
            "curl -sS --fail --noproxy '' -X POST -H \"Idempotency-Key: $LOCKSTEP_EFFECT_KEY\" {url}"
        );
        let command = json!(["sh", "-c", script]);
        let delivery = if self == Self::ProgramOnce { "at_most_once" } else { "at_least_once" };
        let mut config = json!({ "command": command, "delivery": delivery, "network": "egress" });
        if self == Self::UndoProgram {
            config["undo"] = command;
        }
        config
    }

    fn ends(self, boundary: &str) -> Phase {
        match (self, boundary) {
            (Self::ProgramOnce, "after_intent" | "after_effect") => Phase::Stuck,
            _ if self.is_undo() => Phase::RolledBack,
            _ => Phase::Succeeded,
        }
    }

    /// Makes sure that it happened, and only once; or that it was taken back.
    async fn happened_once(self, world: &World, stage: &str, boundary: &str) -> Outcome {
        let (hosted, registry) = (&world.hosted, &world.registry);
        match self {
            Self::Tag | Self::UndoTag => {
                let tagged = world.tagged(&format!("v-{stage}"))?;
                let tip = hosted.site.gitops.tip("main").await?;
                assert_eq!(tagged, (self == Self::Tag).then_some(tip));
            }
            Self::Retag | Self::UndoRetag => {
                let there = registry.at(&format!("prod/{stage}"), "stable").await?;
                let (new, before) = (&world.new, &world.before[stage]);
                assert_ne!(new, before);
                assert_eq!(there.as_ref(), Some(if self == Self::Retag { new } else { before }));
            }
            Self::Attach | Self::UndoAttach => {
                let kind = format!("application/vnd.example.{stage}");
                let attached = registry.attached("shop/api", &world.new, &kind).await?;
                assert_eq!(attached, usize::from(self == Self::Attach));
            }
            Self::Open | Self::UndoOpen => {
                let pull = world.pull(stage)?;
                assert_eq!((pull.open, pull.commit), (self == Self::Open, None));
            }
            Self::Merge | Self::UndoMerge => {
                let (pull, log) = (world.pull(stage)?, hosted.repo.log("main").await?);
                let merged = log.iter().filter(|commit| Some(&commit.id) == pull.commit.as_ref());
                assert_eq!(merged.count(), 1, "{pull:?}: {log:#?}");
                let values = hosted.repo.read("main", &values_file(stage)).await?;
                assert_eq!(values.contains("release: none"), self == Self::UndoMerge, "{values}");
            }
            Self::Close => {
                let pull = world.pull(stage)?;
                assert_eq!((pull.open, pull.commit), (false, None));
            }
            Self::Comment => assert_eq!(world.pull(stage)?.comments.len(), 1),
            Self::Program | Self::UndoProgram => {
                let keys = world.keys(stage);
                let undone = keys.iter().filter(|key| key.ends_with("/undo")).count();
                let (done, wanted) = (keys.len() - undone, usize::from(self == Self::UndoProgram));
                assert_eq!((done, undone), (1, wanted), "{keys:?}");
            }
            Self::ProgramOnce => {
                let wanted = usize::from(boundary != "after_intent");
                assert_eq!(hosted.site.desk.taken(&format!("/{stage}")).len(), wanted);
            }
        }
        Ok(())
    }
}

/// Kills the daemon at each boundary of an effect, each time in a stage of its own.
async fn at_each_boundary(effect: Effect) -> Outcome {
    let stages = BOUNDARIES.map(|boundary| boundary.replace('_', "-"));
    let names: Vec<&str> = stages.iter().map(String::as_str).collect();
    let mut world = World::start(&names).await?;
    world.hosted.site.desk.answer("/teapot", StatusCode::IM_A_TEAPOT);
    world.hosted.site.policy("undone", &undone("*")).await?;
    for (stage, boundary) in stages.iter().zip(BOUNDARIES) {
        effect.stage(&world, stage).await?;
        let undo = if effect.is_undo() { "undo-" } else { "" };
        let crash = format!("{boundary}/{undo}{}", effect.step());
        let site = &mut world.hosted.site;
        let ended = crash_at(site, stage, &crash, effect.ends(boundary)).await;
        ended.map_err(|failure| failure.with("killed", &crash))?;
        let once = effect.happened_once(&world, stage, boundary).await;
        once.map_err(|failure| failure.with("killed", &crash))?;
    }
    Ok(())
}

/// One scenario for each of the table, so that they run side by side and each says which it is.
macro_rules! each {
    ($($name:ident: $effect:ident,)*) => {$(
        #[tokio::test]
        async fn $name() -> Outcome {
            at_each_boundary(Effect::$effect).await
        }
    )*};
}

each! {
    a_tag_is_made_once: Tag,
    a_tag_is_taken_away_once: UndoTag,
    a_tag_of_a_registry_moves_once: Retag,
    a_tag_of_a_registry_is_put_back: UndoRetag,
    an_attachment_is_made_once: Attach,
    an_attachment_is_taken_away: UndoAttach,
    a_pull_request_is_opened_once: Open,
    a_pull_request_is_closed_by_its_undo: UndoOpen,
    a_pull_request_is_merged_once: Merge,
    a_merge_is_reverted_once: UndoMerge,
    a_pull_request_is_closed_once: Close,
    a_comment_is_made_once: Comment,
    a_program_has_one_key: Program,
    the_undo_of_a_program_has_one_key: UndoProgram,
    a_program_that_may_run_once_at_most_is_left_to_a_person: ProgramOnce,
}
