//! Images: copied, tagged, attached to, and the tag put back.

use acceptance::Outcome;
use acceptance::registry::Registry;
use axum::http::StatusCode;
use jiff::Timestamp;
use reconciler_api::v1::{Freight, Phase, StepState};
use serde_json::json;

use crate::pipeline::{direct, health, step, undone, verified_by};
use crate::site::{PROJECT, SOON, Site};

/// Pushes a version, and has it found.
async fn release(site: &Site, registry: &Registry, version: &str) -> Outcome<(Freight, String)> {
    let digest = registry.push("shop/api", version, Timestamp::UNIX_EPOCH).await?;
    site.client()?.refresh_warehouse(PROJECT, "images").await?;
    let is_it = |freight: &Freight| match freight.artifacts.get("api") {
        Some(reconciler_api::v1::Artifact::Image(image)) => image.digest == digest,
        Some(reconciler_api::v1::Artifact::Git(_)) | None => false,
    };
    let what = format!("there is freight of {version}");
    Ok((site.lockstepd.freight(SOON, PROJECT, &what, is_it).await?, digest))
}

#[tokio::test]
async fn a_tag_moves_with_the_release_and_back_with_its_undo() -> Outcome {
    let registry = Registry::start().await?;
    let site = Site::start(&["dev"]).await?;
    let images = json!([{ "name": "api", "repo": registry.repo("shop/api") }]);
    site.warehouse("images", &json!({ "image": images })).await?;
    site.verification("checked", &health(&site.desk.url("/health"), 1)).await?;
    let stable = registry.repo("prod/api:stable");
    let checkout = json!({ "gitops": { "branch": "main" } });
    let values = "gitops/apps/{{ stage.name }}/values.yaml";
    let steps = [
        step("retag", "oci_push", &json!({ "from": "{{ freight.api.pinned }}", "to": stable })),
        step(
            "pull",
            "oci_pull",
            &json!({ "image": "{{ freight.api.pinned }}", "to": "layer.txt" }),
        ),
        step("gitops", "git_clone", &json!({ "repo": site.gitops.url, "checkout": checkout })),
        step("copy", "copy", &json!({ "from": "layer.txt", "to": "gitops/apps/dev/layer.txt" })),
        step(
            "values",
            "yaml_update",
            &json!({ "path": values, "updates": { "release": "{{ steps.retag.pinned }}" } }),
        ),
        step(
            "commit",
            "git_commit",
            &json!({ "dir": "gitops", "message": "{{ freight.api.tag }}" }),
        ),
        step("push", "git_push", &json!({ "dir": "gitops" })),
        step(
            "note",
            "oci_attach",
            &json!({
                "image": "{{ steps.retag.pinned }}", "path": "layer.txt", "artifact_type": "application/vnd.example.note",
            }),
        ),
    ];
    let mut requests = direct();
    requests[0]["warehouse"] = json!("images");
    let spec =
        json!({ "requests": requests, "steps": steps, "verifications": verified_by("checked") });
    site.stage("dev", &spec).await?;
    site.policy("undone", &undone("dev")).await?;

    let (first, good) = release(&site, &registry, "1.0.0").await?;
    let done = site.promoted("dev", &first).await?;
    // What the push would give was in what could be approved.
    let change_set = done.change_set.unwrap_or_else(|| panic!("there is a change set"));
    let shown = json!(change_set).to_string();
    assert!(shown.contains(&format!("/prod/api@{good}")), "{shown}");
    assert_eq!(registry.at("prod/api", "stable").await?.as_deref(), Some(good.as_str()));
    let before = site.values_of("dev").await?;
    assert!(before.contains(&format!("/prod/api@{good}")), "{before}");
    assert_eq!(site.gitops.read("main", "apps/dev/layer.txt").await?, "shop/api 1.0.0\n");
    let list = good.replace(':', "-");
    let noted = registry.at("prod/api", &list).await?;
    assert!(noted.is_some(), "something is attached");

    let (second, bad) = release(&site, &registry, "2.0.0").await?;
    site.desk.answer("/health", StatusCode::SERVICE_UNAVAILABLE);
    let id = site.promote("dev", &second).await?;
    let ended = site.is(&id, Phase::RolledBack).await?;
    assert_eq!(ended.remaining, Vec::<String>::new());
    for name in ["retag", "push", "note"] {
        let state = ended.steps.iter().find(|step| step.name == name).map(|step| step.state);
        assert_eq!(state, Some(StepState::Undone), "{name}");
    }
    assert_eq!(registry.at("prod/api", "stable").await?.as_deref(), Some(good.as_str()));
    assert_eq!(site.values_of("dev").await?, before);
    assert_eq!(registry.at("prod/api", &bad).await?.as_deref(), Some(bad.as_str()), "a copy stays");
    Ok(())
}
