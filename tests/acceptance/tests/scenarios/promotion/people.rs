//! People: who may approve what, who may pass by, who may stop it.

use acceptance::{Failure, Outcome};
use reconciler_api::client::Client;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{
    AbortPromotion, Bypass, BypassGate, CreatePromotion, EventsQuery, FreightApproval,
    FreightSelector, Gate, GateKind, Phase, Promotion, PromotionQuery, Verdict,
};
use serde_json::json;

use crate::pipeline::{after, app_steps, call, direct, undone};
use crate::site::{PROJECT, SOON, Site, approve, ask, refusal};

/// What a gate says.
fn gate(promotion: &Promotion, kind: GateKind) -> Outcome<&Gate> {
    let found = promotion.gates.iter().find(|gate| gate.gate == kind);
    found.ok_or_else(|| Failure::new(format!("no gate {kind}: {:#?}", promotion.gates)))
}

/// A policy for prod: a person starts, two of the group `sre` approve, not who asked.
fn two_of_sre() -> serde_json::Value {
    json!({
        "mode": "manual", "stages": { "names": ["prod"] },
        "approvals": [{ "group": "sre", "count": 2, "exclude": ["requester"] }],
    })
}

#[tokio::test]
async fn distinct_people_of_a_group_approve_and_never_who_asked() -> Outcome {
    let site = Site::start(&["prod"]).await?;
    let steps = app_steps(&site);
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    site.policy("prod", &two_of_sre()).await?;
    let ann = site.person("ann", &["sre"]).await?;
    let bob = site.person("bob", &["sre"]).await?;
    let cyd = site.person("cyd", &["sre"]).await?;
    let dan = site.person("dan", &["dev"]).await?;
    let freight = site.first_freight().await?;
    let id = ask(&ann, "prod", &freight).await?.id;
    let (waiting, digest) = site.waits(&id).await?;
    assert_eq!(gate(&waiting, GateKind::Approvals)?.verdict, Verdict::Fail);

    // Who asked, and who is in another group, may say yes; it does not count.
    approve(&dan, &id, &digest).await?;
    let judged = approve(&ann, &id, &digest).await?;
    let message = &gate(&judged, GateKind::Approvals)?.message;
    assert_eq!(
        message,
        "needs 2 approvals of group sre, has 0; ann may not approve this promotion"
    );
    approve(&bob, &id, &digest).await?;
    let again = refusal(approve(&bob, &id, &digest).await)?;
    assert!(again.to_string().contains("bob has approved this change set"), "{again}");
    let (waiting, _) = site.waits(&id).await?;
    let message = &gate(&waiting, GateKind::Approvals)?.message;
    assert!(message.starts_with("needs 2 approvals of group sre, has 1"), "{message}");
    approve(&cyd, &id, &digest).await?;
    let done = site.is(&id, Phase::Succeeded).await?;
    let by: Vec<&str> = done.approvals.iter().map(|approval| approval.by.as_str()).collect();
    assert_eq!(by, ["dan", "ann", "bob", "cyd"]);
    assert_eq!(done.requester, "ann");
    Ok(())
}

#[tokio::test]
async fn an_approval_is_of_what_was_seen() -> Outcome {
    let site = Site::start(&["prod"]).await?;
    let steps = app_steps(&site);
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    let policy = json!({
        "mode": "manual", "stages": { "names": ["prod"] }, "approvals": [{ "group": "sre" }],
    });
    site.policy("prod", &policy).await?;
    let ann = site.person("ann", &["sre"]).await?;
    let freight = site.first_freight().await?;
    let id = site.promote("prod", &freight).await?;
    let (_, seen) = site.waits(&id).await?;
    // Somebody edits the stage: the promotion is prepared anew and would do something else.
    let mut steps = app_steps(&site);
    steps.push(call("announce", &site.desk.url("/announce")));
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    let changed = site.lockstepd.eventually(SOON, "it is prepared anew", async || {
        let (_, digest) = site.waits(&id).await?;
        if digest == seen { Err(Failure::new("the same digest")) } else { Ok(digest) }
    });
    let present = changed.await?;
    let stale = refusal(approve(&ann, &id, &seen).await)?;
    assert_eq!(stale.code(), Some(ProblemCode::DigestMismatch));
    let text = stale.to_string();
    assert!(text.contains("has changed") && text.contains(&present), "{text}");
    approve(&ann, &id, &present).await?;
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(site.desk.taken("/announce").len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_same_change_keeps_its_approvals_when_the_branch_moves() -> Outcome {
    let site = Site::start(&["prod"]).await?;
    let steps = app_steps(&site);
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    site.policy("prod", &two_of_sre()).await?;
    let ann = site.person("ann", &["sre"]).await?;
    let bob = site.person("bob", &["sre"]).await?;
    let id = site.promote("prod", &site.first_freight().await?).await?;
    let (_, digest) = site.waits(&id).await?;
    approve(&ann, &id, &digest).await?;
    // Something else is pushed to the branch meanwhile.
    let other = site.gitops.commit("docs: a page", &[("docs/page.md", "Hello.\n")]).await?;
    approve(&bob, &id, &digest).await?;
    let done = site.is(&id, Phase::Succeeded).await?;
    assert_eq!(done.change_set.map(|set| set.digest), Some(digest));
    let log = site.gitops.log("main").await?;
    assert_eq!(log[1].id, other, "{log:#?}");
    Ok(())
}

/// Dev and prod behind it, with a policy for prod that lets people of `oncall` skip gates.
async fn guarded_prod(site: &Site) -> Outcome {
    let steps = app_steps(site);
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.stage("prod", &json!({ "requests": after(&["dev"]), "steps": steps })).await?;
    let policy = json!({
        "mode": "manual", "stages": { "names": ["prod"] },
        "approvals": [{ "group": "sre" }],
        "bypass": [{ "name": "fire", "groups": ["oncall"], "gates": ["approvals", "upstream"] }],
    });
    site.policy("prod", &policy).await.map(drop)
}

#[tokio::test]
async fn freight_passes_its_upstream_only_with_a_reason() -> Outcome {
    let site = Site::start(&["dev", "prod"]).await?;
    guarded_prod(&site).await?;
    let freight = site.first_freight().await?;
    let client = site.client()?;
    let early = refusal(ask(&client, "prod", &freight).await)?;
    assert_eq!(early.code(), Some(ProblemCode::FreightUnavailable));
    assert!(early.to_string().contains("not verified in dev"), "{early}");
    let mut wish = FreightApproval { stage: "prod".to_owned(), reason: " ".to_owned() };
    let refused = refusal(client.approve_freight(PROJECT, &freight.id, &wish).await)?;
    assert!(refused.to_string().contains("reason"), "{refused}");
    "the fix cannot wait for dev".clone_into(&mut wish.reason);
    let approved = client.approve_freight(PROJECT, &freight.short_id, &wish).await?;
    assert!(approved.stages["prod"].approved_at.is_some());
    let id = ask(&client, "prod", &freight).await?.id;
    let (waiting, _) = site.waits(&id).await?;
    assert_eq!(gate(&waiting, GateKind::Upstream)?.verdict, Verdict::Pass);
    // It is past its upstream, not past its approvals.
    assert_eq!(gate(&waiting, GateKind::Approvals)?.verdict, Verdict::Fail);
    Ok(())
}

/// Asks for a promotion past its gates.
async fn ask_past(
    client: &Client,
    freight: &str,
    gates: &[BypassGate],
    reason: &str,
) -> Result<Promotion, reconciler_api::client::ClientError> {
    let bypass = Bypass { gates: gates.to_vec(), reason: reason.to_owned(), expires: None };
    let wish = CreatePromotion {
        stage: "prod".to_owned(),
        freight: FreightSelector::Id(freight.to_owned()),
        along: Vec::new(),
        reason: None,
        vars: [].into(),
        bypass: Some(bypass),
        ensure: false,
        rehearsal: false,
    };
    client.promote(PROJECT, &wish).await
}

#[tokio::test]
async fn gates_are_skipped_by_right_and_with_a_reason() -> Outcome {
    let site = Site::start(&["dev", "prod"]).await?;
    guarded_prod(&site).await?;
    let freight = site.first_freight().await?.id;
    let both = [BypassGate::Approvals, BypassGate::Upstream];
    let ann = site.person("ann", &["sre"]).await?;
    let refused = refusal(ask_past(&ann, &freight, &both, "fire").await)?;
    assert_eq!(refused.code(), Some(ProblemCode::Forbidden));
    let text = "no policy gives ann the right to skip the gate";
    assert!(refused.to_string().contains(text), "{refused}");
    let oncall = site.person("olga", &["oncall"]).await?;
    let refused = refusal(ask_past(&oncall, &freight, &both, "").await)?;
    assert!(refused.to_string().contains("needs a reason"), "{refused}");
    let refused = refusal(ask_past(&oncall, &freight, &[BypassGate::Soak], "fire").await)?;
    assert!(refused.to_string().contains("the gate soak"), "{refused}");
    let id = ask_past(&oncall, &freight, &both, "prod is on fire").await?.id;
    let done = site.is(&id, Phase::Succeeded).await?;
    assert_eq!(done.bypass.map(|bypass| bypass.reason).as_deref(), Some("prod is on fire"));
    // What was skipped stands where it committed.
    let events = oncall.promotion_events(PROJECT, &id, &EventsQuery::default()).await?;
    let past = events.iter().find(|event| event.kind == "committed").map(|it| it.message.as_str());
    let skipped = "committed past upstream (not verified upstream in dev), approvals (needs ";
    assert!(past.is_some_and(|past| past.starts_with(skipped)), "{past:?}");
    Ok(())
}

#[tokio::test]
async fn who_aborts_at_the_gates_ends_it_without_effect() -> Outcome {
    let site = Site::start(&["prod"]).await?;
    let steps = app_steps(&site);
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    site.policy("prod", &two_of_sre()).await?;
    let before = site.gitops.tip("main").await?;
    let id = site.promote("prod", &site.first_freight().await?).await?;
    let (_, digest) = site.waits(&id).await?;
    let ann = site.person("ann", &["sre"]).await?;
    let abort = AbortPromotion { reason: "wrong week".to_owned() };
    ann.abort(PROJECT, &id, &abort).await?;
    let ended = site.is(&id, Phase::Aborted).await?;
    assert_eq!(ended.error.as_deref(), Some("aborted by ann: wrong week"));
    assert_eq!(site.gitops.tip("main").await?, before);
    let late = refusal(approve(&ann, &id, &digest).await)?;
    assert_eq!(late.code(), Some(ProblemCode::WrongPhase));
    let late = refusal(ann.abort(PROJECT, &id, &abort).await)?;
    assert_eq!(late.code(), Some(ProblemCode::WrongPhase));
    Ok(())
}

#[tokio::test]
async fn who_aborts_in_mid_commit_is_told_what_remains() -> Outcome {
    let site = Site::start(&["dev"]).await?;
    let mut steps = app_steps(&site);
    steps.extend([call("held", &site.desk.url("/held")), call("never", &site.desk.url("/never"))]);
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.policy("undone", &undone("dev")).await?;
    site.desk.hold("/held");
    let id = site.promote("dev", &site.first_freight().await?).await?;
    let sent = site.lockstepd.eventually(SOON, "the request is sent", async || {
        if site.desk.taken("/held").is_empty() { Err(Failure::new("not yet")) } else { Ok(()) }
    });
    sent.await?;
    let abort = AbortPromotion { reason: "wrong week".to_owned() };
    site.client()?.abort(PROJECT, &id, &abort).await?;
    // The receiver never answers: what runs is broken off.
    let ended = site.is(&id, Phase::Aborted).await?;
    let error = ended.error.unwrap_or_default();
    assert_eq!(error, "aborted by admin during step held: wrong week");
    assert_eq!(site.desk.taken("/never"), []);
    // An abort is no undo: what was done stays, and is named.
    let pushed = site.gitops.tip("main").await?;
    let remaining = ended.remaining.join("\n");
    assert!(
        remaining.contains(&pushed) && remaining.contains("step held: nobody saw how it ended"),
        "{remaining}"
    );
    Ok(())
}

#[tokio::test]
async fn newer_freight_takes_the_place_of_what_waits() -> Outcome {
    let site = Site::start(&["prod"]).await?;
    let steps = app_steps(&site);
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    let policy = json!({
        "mode": "gated", "stages": { "names": ["prod"] }, "approvals": [{ "group": "sre" }],
    });
    site.policy("prod", &policy).await?;
    let ann = site.person("ann", &["sre"]).await?;
    let first = site.first_freight().await?;
    let (waiting, seen) = site.waits(&site.on_its_way("prod", &first).await?).await?;
    assert_eq!(waiting.requester, "automation");
    let second = site.freight("the second").await?;
    let (newer, digest) = site.waits(&site.on_its_way("prod", &second).await?).await?;
    let ended = site.is(&waiting.id, Phase::Superseded).await?;
    assert!(ended.finished_at.is_some());
    let late = refusal(approve(&ann, &waiting.id, &seen).await)?;
    assert_eq!(late.code(), Some(ProblemCode::WrongPhase));
    approve(&ann, &newer.id, &digest).await?;
    site.is(&newer.id, Phase::Succeeded).await?;
    // What was superseded is not tried again.
    let query = PromotionQuery { stage: Some("prod".to_owned()), ..PromotionQuery::default() };
    let all = site.client()?.list_promotions(PROJECT, &query).await?.items;
    let phases: Vec<Phase> = all.iter().map(|promotion| promotion.phase).collect();
    assert_eq!(phases, [Phase::Succeeded, Phase::Superseded]);
    Ok(())
}

#[tokio::test]
async fn a_persons_choice_of_older_freight_holds_the_stage() -> Outcome {
    let site = Site::start(&["dev"]).await?;
    let steps = app_steps(&site);
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let policy = json!({ "mode": "automatic", "stages": { "names": ["dev"] } });
    let first = site.first_freight().await?;
    let second = site.freight("the second").await?;
    site.policy("dev", &policy).await?;
    let newest = site.on_its_way("dev", &second).await?;
    site.is(&newest, Phase::Succeeded).await?;
    let id = site.promote("dev", &first).await?;
    site.is(&id, Phase::Succeeded).await?;
    let stage: reconciler_api::v1::Stage = site.client()?.get(PROJECT, "dev").await?;
    let [hold] = stage.status.holds.as_slice() else {
        return Err(Failure::new("the stage is not held"));
    };
    assert!(hold.reason.contains("admin promoted freight"), "{hold:?}");
    assert_eq!(stage.status.current["shop"].freight, first.id);
    // Automation goes on when a person promotes what it would have chosen.
    let third = site.freight("the third").await?;
    let id = site.promote("dev", &third).await?;
    site.is(&id, Phase::Succeeded).await?;
    let stage: reconciler_api::v1::Stage = site.client()?.get(PROJECT, "dev").await?;
    assert_eq!(stage.status.holds, []);
    Ok(())
}
