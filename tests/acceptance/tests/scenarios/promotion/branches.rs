//! Branches that hold what is rendered for a stage, from before there is one.

use acceptance::{Failure, Outcome};
use axum::http::StatusCode;
use reconciler_api::v1::Phase;
use serde_json::json;

use crate::pipeline::{call, clone_infra, direct, step, undone};
use crate::site::Site;

const BRANCH: &str = "rendered/dev";

#[tokio::test]
async fn a_branch_begins_with_its_first_promotion_and_goes_with_the_undo_of_it() -> Outcome {
    let site = Site::start(&[]).await?;
    let checkout = json!({ "out": { "branch": "rendered/{{ stage.name }}", "create": true } });
    let text = "release: {{ freight.infra.commit }}\n";
    let steps = [
        clone_infra(&site),
        step("out", "git_clone", &json!({ "repo": site.gitops.url, "checkout": checkout })),
        step("clear", "git_clear", &json!({ "dir": "out" })),
        step("render", "write", &json!({ "path": "out/manifest.yaml", "text": text })),
        step("commit", "git_commit", &json!({ "dir": "out", "message": "rendered" })),
        step("push", "git_push", &json!({ "dir": "out" })),
        call("told", &site.desk.url("/told")),
    ];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.policy("dev", &undone("dev")).await?;

    site.desk.answer("/told", StatusCode::BAD_REQUEST);
    let first = site.first_freight().await?;
    let id = site.promote("dev", &first).await?;
    let ended = site.is(&id, Phase::RolledBack).await?;
    assert!(ended.remaining.iter().all(|left| !left.contains(BRANCH)), "{ended:#?}");
    if site.gitops.tip(BRANCH).await.is_ok() {
        return Err(Failure::new("the branch is still there"));
    }

    site.desk.answer("/told", StatusCode::OK);
    site.promoted("dev", &first).await?;
    let log = site.gitops.log(BRANCH).await?;
    assert_eq!(log.len(), 1, "{log:#?}");
    assert!(site.gitops.read(BRANCH, "manifest.yaml").await?.starts_with("release: "));
    let second = site.freight("second").await?;
    site.promoted("dev", &second).await?;
    assert_eq!(site.gitops.log(BRANCH).await?.len(), 2);
    Ok(())
}
