//! Tickets: a promotion that somebody elsewhere has to approve.

use acceptance::{At as _, Failure, Outcome};
use axum::http::StatusCode;
use reconciler_api::v1::{
    AbortPromotion, Freight, Gate, GateKind, Phase, Policy, PolicySpec, Precondition, Promotion,
    Verdict,
};
use serde_json::{Value, json};

use crate::pipeline::{call, direct};
use crate::site::{PROJECT, SOON, Site, approve, refusal};

const TICKET: &str = "/tickets/CHG1";

/// A stage `dev` that calls the desk, whose promotions need the ticket of a variable.
async fn site() -> Outcome<Site> {
    let site = Site::start(&[]).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    let vars = json!({ "ticket": "CHG1" });
    let spec = json!({ "requests": direct(), "steps": steps, "vars": vars });
    site.stage("dev", &spec).await?;
    Ok(site)
}

/// A policy whose ticket is asked about at the desk.
fn policy(site: &Site, every: &str, more: &Value) -> Value {
    let mut policy = json!({
        "mode": "manual", "stages": { "names": ["dev"] },
        "tickets": [{
            "name": "change", "url": site.desk.url("/tickets/{{ vars.ticket }}"), "every": every,
            "success": "response.json.approved && response.json.commit == freight.infra.commit",
            "failure": "response.json.rejected",
        }],
    });
    policy.as_object_mut().into_iter().for_each(|fields| {
        fields.extend(more.as_object().cloned().unwrap_or_default());
    });
    policy
}

/// What the ticket is about, and what became of it.
fn ticket(freight: &Freight, approved: bool, rejected: bool) -> Outcome<Value> {
    let commit = match &freight.artifacts["infra"] {
        reconciler_api::v1::Artifact::Git(git) => git.commit.clone(),
        reconciler_api::v1::Artifact::Image(_) => return Err(Failure::new("no commit")),
    };
    Ok(json!({ "approved": approved, "rejected": rejected, "commit": commit }))
}

fn gate(promotion: &Promotion) -> Outcome<&Gate> {
    let found = promotion.gates.iter().find(|gate| gate.gate == GateKind::Ticket);
    found.ok_or_else(|| Failure::new(format!("{:#?}", promotion.gates)))
}

/// Waits until the gate of a promotion that waits says this, with such words.
async fn says(site: &Site, id: &str, verdict: Verdict, words: &str) -> Outcome<Gate> {
    let what = format!("the ticket of {id} is {verdict}: {words}");
    site.lockstepd
        .eventually(SOON, &what, async || {
            let (promotion, _) = site.waits(id).await?;
            let gate = gate(&promotion)?;
            if gate.verdict == verdict && gate.message.contains(words) {
                Ok(gate.clone())
            } else {
                Err(Failure::new(format!("{gate:#?}")))
            }
        })
        .await
}

#[tokio::test]
async fn a_promotion_goes_once_its_ticket_is_approved() -> Outcome {
    let mut site = site().await?;
    site.policy("dev", &policy(&site, "10s", &json!({}))).await?;
    let freight = site.first_freight().await?;
    // The service is down: nothing is known, and it says so.
    site.desk.answer(TICKET, StatusCode::BAD_GATEWAY);
    let id = site.promote("dev", &freight).await?;
    let gate = says(&site, &id, Verdict::Unknown, "502 without a body").await?;
    assert_eq!(gate.policy.as_deref(), Some("dev"));
    assert!(gate.until.is_some(), "it is asked again: {gate:#?}");
    let explained = site.cli()?.ok(&["explain", "dev"]).await?;
    assert!(explained.contains("ticket change"), "{explained}");
    // Neither approved nor refused yet; a daemon that comes back asks again.
    site.desk.say(TICKET, &ticket(&freight, false, false)?);
    site.lockstepd.restart().await?;
    says(&site, &id, Verdict::Unknown, "neither `success`").await?;
    site.desk.say(TICKET, &ticket(&freight, false, true)?);
    let gate = says(&site, &id, Verdict::Fail, "`failure` (response.json.rejected) holds").await?;
    assert!(gate.until.is_some(), "{gate:#?}");
    assert_eq!(site.desk.taken("/call").len(), 0);
    site.desk.say(TICKET, &ticket(&freight, true, false)?);
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(site.desk.taken("/call").len(), 1);
    let told = site.cli()?.ok(&["get", "policy", "dev"]).await?;
    assert!(told.contains("every 10s, approved where"), "{told}");
    Ok(())
}

#[tokio::test]
async fn what_is_taken_back_before_the_commit_does_not_pass() -> Outcome {
    let site = site().await?;
    // It is asked but once in an hour; at the commit nevertheless.
    let people = json!({ "approvals": [{ "group": "sre", "count": 1 }] });
    site.policy("dev", &policy(&site, "1h", &people)).await?;
    let freight = site.first_freight().await?;
    site.desk.say(TICKET, &ticket(&freight, true, false)?);
    let id = site.promote("dev", &freight).await?;
    says(&site, &id, Verdict::Pass, "holds").await?;
    let asked = site.desk.taken(TICKET).len();
    // An answer is good for half a minute at a commit.
    tokio::time::sleep(std::time::Duration::from_secs(31)).await;
    assert_eq!(site.desk.taken(TICKET).len(), asked);
    site.desk.say(TICKET, &ticket(&freight, false, true)?);
    let (_, digest) = site.waits(&id).await?;
    approve(&site.person("sue", &["sre"]).await?, &id, &digest).await?;
    says(&site, &id, Verdict::Fail, "response.json.rejected").await?;
    assert_eq!(site.desk.taken("/call").len(), 0);
    let reason = AbortPromotion { reason: "the change was called off".to_owned() };
    site.client()?.abort(PROJECT, &id, &reason).await?;
    site.is(&id, Phase::Aborted).await?;
    Ok(())
}

#[tokio::test]
async fn a_ticket_that_cannot_be_asked_about_is_refused_where_it_is_defined() -> Outcome {
    let site = site().await?;
    let mut spec = policy(&site, "1s", &json!({}));
    spec["tickets"][0]["url"] = json!("https://tickets.example.com/{{ vars.tiket }}");
    spec["tickets"][0]["headers"] = json!({ "Authorization": "{{ secret('jira', 'token') }}" });
    spec["tickets"][0]["success"] = json!("respons.json.approved");
    let spec: PolicySpec = serde_json::from_value(spec).at("a policy")?;
    let put = site.client()?.put::<Policy>(PROJECT, "dev", &spec, Precondition::None).await;
    let refused = refusal(put)?;
    let said = format!("{refused:#?}");
    for place in ["url", "headers.Authorization", "success", "every"] {
        assert!(said.contains(&format!("tickets[0].{place}")), "{said}");
    }
    Ok(())
}
