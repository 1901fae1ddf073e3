//! Pull requests on the way of a promotion: a real repository, a forge that stands beside it, a daemon
//! that is killed, and people who merge when they like.

use acceptance::forge::{Forge, PullRequest, REPOSITORY};
use acceptance::git::{GitServer, Repo};
use acceptance::wait::eventually;
use acceptance::{Failure, Outcome};
use axum::http::StatusCode;
use reconciler_api::client::RetryPolicy;
use reconciler_api::v1::{
    AbortPromotion, Credential, CredentialSpec, EventsQuery, Phase, Precondition, PromotionEvent,
};
use serde_json::{Value, json};

use crate::pipeline::{direct, step, undone, values_text};
use crate::site::{PROJECT, SOON, Site, ask, values_file};

const TOKEN: &str = "a token that opens pull requests";
/// The stage of these scenarios.
const STAGE: &str = "prod";

/// A site with one more repository, which a forge is beside.
pub(crate) struct Hosted {
    pub(crate) site: Site,
    pub(crate) forge: Forge,
    pub(crate) repo: Repo,
    _git: GitServer,
}

impl Hosted {
    async fn start() -> Outcome<Self> {
        Self::start_for(&[STAGE]).await
    }

    /// One with values for these stages.
    pub(crate) async fn start_for(stages: &[&str]) -> Outcome<Self> {
        let (git, forge) = GitServer::start_with_forge("ci", TOKEN).await?;
        let repo = git.create(REPOSITORY).await?;
        for stage in stages {
            repo.commit("values", &[(&values_file(stage), &values_text(stage))]).await?;
        }
        let site = Site::start(&[]).await?;
        let spec = json!({
            "kind": "git", "address": git.base(), "username": "ci", "data": { "password": TOKEN },
        });
        let spec: CredentialSpec = serde_json::from_value(spec).expect("a credential");
        site.client()?.put::<Credential>(PROJECT, "git", &spec, Precondition::Absent).await?;
        Ok(Self { site, forge, repo, _git: git })
    }

    async fn stage(&self, more: &[Value]) -> Outcome {
        self.stage_called(STAGE, more).await
    }

    /// A stage: values on a branch of the promotion's own, a pull request for it, and then these.
    pub(crate) async fn stage_called(&self, stage: &str, more: &[Value]) -> Outcome {
        let (repo, branch) = (&self.repo.url, "lockstep/{{ promotion.id }}");
        let path = format!("app/{}", values_file("{{ stage.name }}"));
        let mut steps = vec![
            step(
                "clone",
                "git_clone",
                &json!({ "repo": repo, "checkout": { "app": { "branch": "main" } } }),
            ),
            step(
                "values",
                "yaml_update",
                &json!({ "path": path, "updates": { "release": "{{ freight.infra.commit }}" } }),
            ),
            step(
                "commit",
                "git_commit",
                &json!({ "dir": "app", "message": "shop to {{ stage.name }}" }),
            ),
            step("push", "git_push", &json!({ "dir": "app", "branch": branch })),
            step(
                "pr",
                "git_open_pr",
                &json!({
                    "repo": repo, "forge": "github", "source": branch, "target": "main",
                    "title": "shop to {{ stage.name }}", "labels": ["lockstep"],
                }),
            ),
        ];
        steps.extend_from_slice(more);
        self.site.stage(stage, &json!({ "requests": direct(), "steps": steps })).await.map(drop)
    }

    /// A step about the pull request of the promotion.
    pub(crate) fn about(&self, name: &str, uses: &str, more: &Value) -> Value {
        let mut config = json!({
            "repo": self.repo.url, "forge": "github", "number": "{{ steps.pr.number }}",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        step(name, uses, &config)
    }

    async fn release(&self) -> Outcome<String> {
        let values = self.repo.read("main", &values_file(STAGE)).await?;
        let line = values.lines().find_map(|line| line.strip_prefix("release: "));
        Ok(line.unwrap_or_default().trim_matches('"').to_owned())
    }

    /// Waits until there is an open pull request; there is one at most.
    async fn opened(&self) -> Outcome<PullRequest> {
        let open = async || {
            let open = self.forge.pulls().into_iter().find(|pull| pull.open);
            open.ok_or_else(|| Failure::new("there is no open pull request yet"))
        };
        self.site.lockstepd.eventually(SOON, "a pull request is open", open).await
    }

    /// Waits until the forge was asked so many times more.
    async fn looked(&self, times: usize) -> Outcome {
        let before = self.forge.looks();
        let looked = async || match self.forge.looks() - before {
            seen if seen >= times => Ok(()),
            seen => Err(Failure::new(format!("it was looked {seen} times"))),
        };
        self.site.lockstepd.eventually(SOON, "it is looked again", looked).await
    }

    async fn events_of(&self, id: &str, step: &str) -> Outcome<Vec<PromotionEvent>> {
        let client = self.site.client()?;
        let events = client.promotion_events(PROJECT, id, &EventsQuery::default()).await?;
        Ok(events.into_iter().filter(|event| event.step.as_deref() == Some(step)).collect())
    }
}

#[tokio::test]
async fn one_that_a_person_merges_ends_the_promotion_whoever_was_killed() -> Outcome {
    let mut hosted = Hosted::start().await?;
    let waits = hosted.about("merged", "git_wait_for_pr", &json!({ "interval": "1s" }));
    hosted.stage(&[waits]).await?;
    let freight = hosted.site.first_freight().await?;
    // Killed once it is open and before that is on record.
    hosted.site.lockstepd.restart_to_crash("after_effect/pr").await?;
    let client = hosted.site.client()?.with_retry(RetryPolicy::NEVER);
    eventually(SOON, "lockstepd is healthy", async || Ok(client.health().await.map(drop)?)).await?;
    // It may be killed before it has answered.
    match ask(&client, STAGE, &freight).await {
        Ok(_) => {}
        Err(error) if error.is_unreachable() => {}
        Err(error) => return Err(error.into()),
    }
    let id = format!("{STAGE}.1");
    hosted.site.lockstepd.ended(SOON).await?;
    let pull = hosted.opened().await?;
    assert_eq!(pull.source, format!("lockstep/{id}"));
    assert!(pull.body.contains(&format!("Lockstep-Promotion: shop/{id}/pr")), "{}", pull.body);

    // It is waited for, look by look, by one entry of the log.
    hosted.site.lockstepd.restart().await?;
    hosted.looked(4).await?;
    let promotion = hosted.site.is(&id, Phase::Committing).await?;
    let waiting: Vec<&str> =
        promotion.waiting.iter().map(|waiting| waiting.message.as_str()).collect();
    assert!(waiting.iter().any(|text| text.contains("to be merged or closed")), "{waiting:?}");
    assert_eq!(hosted.events_of(&id, "merged").await?.len(), 1);

    // Merged while nobody looks.
    hosted.site.lockstepd.kill().await?;
    let commit = hosted.forge.merge(pull.number)?;
    hosted.site.lockstepd.restart().await?;
    hosted.site.is(&id, Phase::Succeeded).await?;
    let pulls = hosted.forge.pulls();
    assert_eq!((pulls.len(), pulls[0].commit.as_ref()), (1, Some(&commit)));
    assert_eq!(hosted.release().await?, hosted.site.infra.tip("main").await?);
    Ok(())
}

#[tokio::test]
async fn what_was_merged_is_taken_back() -> Outcome {
    let hosted = Hosted::start().await?;
    let merge = hosted.about("merge", "git_merge_pr", &json!({ "method": "squash" }));
    let fails = step("fails", "http", &json!({ "url": hosted.site.desk.url("/teapot") }));
    hosted.site.desk.answer("/teapot", StatusCode::IM_A_TEAPOT);
    hosted.site.policy("undone", &undone("*")).await?;
    hosted.stage(&[merge, fails]).await?;
    let freight = hosted.site.first_freight().await?;
    let id = hosted.site.promote(STAGE, &freight).await?;
    hosted.site.is(&id, Phase::RolledBack).await?;
    let log = hosted.repo.log("main").await?;
    let subjects: Vec<&str> = log.iter().map(|commit| commit.subject.as_str()).collect();
    let [undo, merged, first] = subjects[..] else { panic!("{subjects:?}") };
    assert!(undo.starts_with("Undo ") && undo.ends_with(&format!("of promotion {id}")), "{undo}");
    assert_eq!((merged, first), ("merged", "values"));
    assert_eq!(hosted.release().await?, "none");
    let branch = hosted.repo.tip(&format!("lockstep/{id}")).await;
    assert!(branch.is_err(), "the branch that the push made is gone");
    assert_eq!(hosted.forge.pulls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_wait_is_aborted_at_once_and_what_was_opened_is_told() -> Outcome {
    let hosted = Hosted::start().await?;
    // Nobody looks again by itself in the time of this test.
    let waits = hosted.about("merged", "git_wait_for_pr", &json!({ "interval": "1h" }));
    hosted.stage(&[waits]).await?;
    let freight = hosted.site.first_freight().await?;
    let id = hosted.site.promote(STAGE, &freight).await?;
    hosted.opened().await?;
    hosted
        .site
        .lockstepd
        .eventually(SOON, "it is waited for", async || {
            match hosted.events_of(&id, "merged").await?.len() {
                0 => Err(Failure::new("the wait has not begun")),
                _ => Ok(()),
            }
        })
        .await?;
    let abort = AbortPromotion { reason: "wrong week".to_owned() };
    hosted.site.client()?.abort(PROJECT, &id, &abort).await?;
    let ended = hosted.site.is(&id, Phase::Aborted).await?;
    let told = format!("{ended:?}");
    assert!(told.contains("pull request 1 was opened"), "{told}");
    Ok(())
}
