//! Undo: both halves, or a person is told what remains.

use acceptance::Outcome;
use axum::http::StatusCode;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{
    CreatePromotion, FreightSelector, Phase, Promotion, Reverify, Stage, StepState,
};
use serde_json::json;

use crate::pipeline::{both_steps, direct, health, undone, verified_by};
use crate::site::{PROJECT, Site, refusal, values_file};

/// Infrastructure and application as one, verified, and undone if that fails.
async fn shop() -> Outcome<Site> {
    let site = Site::start(&["dev"]).await?;
    site.verification("checked", &health(&site.desk.url("/health"), 1)).await?;
    let (steps, verifications) = (both_steps(&site), verified_by("checked"));
    let spec = json!({ "requests": direct(), "steps": steps, "verifications": verifications });
    site.stage("dev", &spec).await?;
    site.policy("undone", &undone("dev")).await?;
    Ok(site)
}

/// The release in the infra state.
fn release(site: &Site) -> Outcome<Option<String>> {
    let state = site.state("dev")?.unwrap_or_default();
    Ok(state["outputs"]["release"]["value"].as_str().map(str::to_owned))
}

fn step(promotion: &Promotion, name: &str) -> Option<StepState> {
    promotion.steps.iter().find(|step| step.name == name).map(|step| step.state)
}

#[tokio::test]
async fn a_failing_verification_undoes_both_halves() -> Outcome {
    let site = shop().await?;
    let first = site.first_freight().await?;
    site.promoted("dev", &first).await?;
    let good = site.infra.tip("main").await?;
    let values = site.values_of("dev").await?;
    assert!(values.contains(&good) && values.contains("postgres://"), "{values}");
    assert_eq!(release(&site)?.as_deref(), Some(good.as_str()));

    let second = site.freight("the second").await?;
    let bad = site.infra.tip("main").await?;
    site.desk.answer("/health", StatusCode::SERVICE_UNAVAILABLE);
    let id = site.promote("dev", &second).await?;
    let ended = site.is(&id, Phase::RolledBack).await?;
    let error = ended.error.clone().unwrap_or_default();
    assert!(error.contains("undone: verification checked/health failed"), "{error}");
    assert_eq!(ended.remaining, Vec::<String>::new());
    for name in ["push", "apply"] {
        assert_eq!(step(&ended, name), Some(StepState::Undone), "{name}");
    }
    // The bad release was there, and is there no longer, in either half.
    let log = site.gitops.log("main").await?;
    assert_eq!(log[0].trailer("Lockstep-Undo"), Some(format!("shop/{id}/push").as_str()));
    assert!(site.gitops.diff(&log[1].id).await?.contains(&bad));
    assert_eq!(site.values_of("dev").await?, values);
    assert_eq!(release(&site)?.as_deref(), Some(good.as_str()));
    assert_eq!(site.marked("created")["dev"], 1, "the database was never touched");
    let stage: Stage = site.client()?.get(PROJECT, "dev").await?;
    assert_eq!(stage.status.current["shop"].freight, first.id);
    Ok(())
}

#[tokio::test]
async fn a_stage_goes_back_with_both_halves() -> Outcome {
    let site = shop().await?;
    let first = site.first_freight().await?;
    site.promoted("dev", &first).await?;
    let (values, good) = (site.values_of("dev").await?, release(&site)?);
    let second = site.freight("the second").await?;
    site.promoted("dev", &second).await?;
    assert_ne!(site.values_of("dev").await?, values);
    assert_ne!(release(&site)?, good);

    let client = site.client()?;
    let wish = |ensure| CreatePromotion {
        stage: "dev".to_owned(),
        freight: FreightSelector::Previous,
        along: Vec::new(),
        reason: Some("people complain".to_owned()),
        vars: [].into(),
        bypass: None,
        ensure,
        rehearsal: false,
    };
    let vague = refusal(client.promote(PROJECT, &wish(true)).await)?;
    assert_eq!(vague.code(), Some(ProblemCode::Invalid));
    let back = client.promote(PROJECT, &wish(false)).await?;
    assert_eq!((back.freight.as_str(), back.rollback), (first.id.as_str(), true));
    site.is(&back.id, Phase::Succeeded).await?;
    assert_eq!(site.values_of("dev").await?, values);
    assert_eq!(release(&site)?, good);
    assert_eq!(site.marked("created")["dev"], 1, "the database was never touched");
    let further = refusal(client.promote(PROJECT, &wish(false)).await)?;
    assert_eq!(further.code(), Some(ProblemCode::FreightUnavailable));
    assert!(further.to_string().contains("no earlier freight"), "{further}");
    Ok(())
}

#[tokio::test]
async fn what_fails_when_it_is_verified_anew_is_undone_in_both_halves() -> Outcome {
    let site = shop().await?;
    let first = site.first_freight().await?;
    site.promoted("dev", &first).await?;
    let good = site.infra.tip("main").await?;
    let values = site.values_of("dev").await?;
    let second = site.freight("the second").await?;
    let done = site.promoted("dev", &second).await?;
    assert_ne!(site.values_of("dev").await?, values);

    // Days later, so to speak, it does not answer any more.
    site.desk.answer("/health", StatusCode::SERVICE_UNAVAILABLE);
    let reverify = Reverify { reason: Some("people complain".to_owned()) };
    let going = site.client()?.reverify_stage(PROJECT, "dev", &reverify).await?;
    assert_eq!(going.id, done.id);
    let ended = site.is(&done.id, Phase::RolledBack).await?;
    let error = ended.error.clone().unwrap_or_default();
    assert!(error.contains("undone: verification checked/health failed"), "{error}");
    assert_eq!(site.values_of("dev").await?, values);
    assert_eq!(release(&site)?.as_deref(), Some(good.as_str()));
    let stage: Stage = site.client()?.get(PROJECT, "dev").await?;
    let there = &stage.status.current["shop"];
    assert_eq!((&there.freight, there.verified_at.is_some()), (&first.id, true));
    // What is there now came with the first promotion, which can be verified anew in its turn.
    site.desk.answer("/health", StatusCode::OK);
    let reverify = Reverify::default();
    let going = site.client()?.reverify_stage(PROJECT, "dev", &reverify).await?;
    site.is(&going.id, Phase::Succeeded).await?;
    assert_eq!(going.freight, first.id);
    Ok(())
}

#[tokio::test]
async fn the_undo_of_a_first_promotion_destroys_what_it_created() -> Outcome {
    let site = shop().await?;
    let before = site.values_of("dev").await?;
    site.desk.answer("/health", StatusCode::SERVICE_UNAVAILABLE);
    let id = site.promote("dev", &site.first_freight().await?).await?;
    site.is(&id, Phase::RolledBack).await?;
    assert_eq!(site.values_of("dev").await?, before);
    assert_eq!(site.marked("destroyed")["dev"], 1);
    let state = site.state("dev")?.unwrap_or_default();
    assert_eq!(state["resources"], json!([]));
    let stage: Stage = site.client()?.get(PROJECT, "dev").await?;
    assert!(stage.status.current.is_empty(), "{:?}", stage.status.current);
    Ok(())
}

#[tokio::test]
async fn the_undo_is_shown_before_anything_is_done() -> Outcome {
    let site = shop().await?;
    let policy = json!({
        "mode": "manual", "stages": { "names": ["dev"] }, "approvals": [{ "group": "sre" }],
    });
    site.policy("approved", &policy).await?;
    let id = site.promote("dev", &site.first_freight().await?).await?;
    let (waiting, _) = site.waits(&id).await?;
    let undo = waiting.change_set.map(|set| set.undo).unwrap_or_default();
    let lines: Vec<(&str, bool)> =
        undo.iter().map(|undo| (undo.step.as_str(), undo.possible)).collect();
    assert_eq!(lines, [("push", true), ("apply", true)]);
    assert!(undo[1].description.contains("destroys what this promotion created"), "{undo:#?}");
    Ok(())
}

#[tokio::test]
async fn an_undo_never_overwrites_what_a_person_wrote() -> Outcome {
    let site = shop().await?;
    site.desk.hold("/health");
    let id = site.promote("dev", &site.first_freight().await?).await?;
    site.is(&id, Phase::Verifying).await?;
    let release = site.infra.tip("main").await?;
    let pushed = site.gitops.tip("main").await?;
    // A person changes the same lines while it is being verified.
    let values = site.values_of("dev").await?.replace(&release, "by-hand");
    site.gitops.commit("dev: a fix by hand", &[(&values_file("dev"), &values)]).await?;
    site.desk.answer("/health", StatusCode::SERVICE_UNAVAILABLE);
    site.desk.release("/health");
    let stuck = site.is(&id, Phase::Stuck).await?;
    assert_eq!(site.values_of("dev").await?, values, "what the person wrote is still there");
    assert_eq!(step(&stuck, "push"), Some(StepState::UndoFailed));
    let error = stuck.error.clone().unwrap_or_default();
    for part in [&values_file("dev"), &pushed] {
        assert!(error.contains(part), "{error}");
    }
    let remaining = stuck.remaining.join("\n");
    for part in [pushed.as_str(), "terraform_data.database"] {
        assert!(remaining.contains(part), "{remaining}");
    }
    let stage: Stage = site.client()?.get(PROJECT, "dev").await?;
    let reason = stage.status.holds.first().map_or("", |hold| &hold.reason);
    assert!(reason.contains(&format!("promotion {id} is stuck")), "{reason}");
    Ok(())
}

#[tokio::test]
async fn what_others_pushed_elsewhere_survives_an_undo() -> Outcome {
    let site = shop().await?;
    site.desk.hold("/health");
    let id = site.promote("dev", &site.first_freight().await?).await?;
    site.is(&id, Phase::Verifying).await?;
    let values = site.values_of("dev").await?.replace("replicas: 2", "replicas: 5");
    site.gitops.commit("dev: more replicas", &[(&values_file("dev"), &values)]).await?;
    site.desk.answer("/health", StatusCode::SERVICE_UNAVAILABLE);
    site.desk.release("/health");
    site.is(&id, Phase::RolledBack).await?;
    let values = site.values_of("dev").await?;
    assert!(values.contains("replicas: 5") && values.contains("release: none"), "{values}");
    assert!(values.contains("url: none"), "{values}");
    Ok(())
}
