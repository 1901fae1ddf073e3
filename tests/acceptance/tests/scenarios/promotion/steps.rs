//! Steps that wait in the middle of a promotion, for a condition and for people; and those that write into
//! the daemon's own store.

use acceptance::{At as _, Failure, Outcome};
use axum::http::StatusCode;
use reconciler_api::v1::{
    AnswerStep, Credential, CredentialSpec, EventsQuery, Phase, Precondition, Promotion, Stage,
};
use serde_json::json;

use crate::pipeline::{call, direct, step, undone};
use crate::site::{PROJECT, Site, refusal};

/// Waits until a promotion says that it waits for this.
async fn told_of(site: &Site, id: &str, what: &str) -> Outcome<Promotion> {
    site.lockstepd
        .eventually(crate::site::SOON, &format!("{id} waits for {what}"), async || {
            let promotion = site.client()?.promotion(PROJECT, id).await?;
            let is_told = promotion.waiting.iter().any(|waiting| waiting.message.contains(what));
            if is_told { Ok(promotion) } else { Err(Failure::new(format!("{promotion:#?}"))) }
        })
        .await
}

/// How many entries the log of a promotion has.
async fn entries(site: &Site, id: &str) -> Outcome<usize> {
    Ok(site.client()?.promotion_events(PROJECT, id, &EventsQuery::default()).await?.len())
}

#[tokio::test]
async fn a_step_waits_until_another_stage_vouches_for_the_freight() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let steps = [call("said", &site.desk.url("/canary"))];
    site.stage("canary", &json!({ "requests": direct(), "steps": steps })).await?;
    let wait = json!({
        "condition": "in_stage('canary').verified", "interval": "1s", "timeout": "1h",
    });
    let steps = [step("quiet", "wait", &wait), call("said", &site.desk.url("/prod"))];
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    let id = site.promote("prod", &freight).await?;
    told_of(&site, &id, "`in_stage('canary').verified` does not hold").await?;
    // The looks leave no trace, and outlive the daemon.
    let log = entries(&site, &id).await?;
    site.lockstepd.restart().await?;
    told_of(&site, &id, "`in_stage('canary').verified` does not hold").await?;
    assert_eq!(entries(&site, &id).await?, log);
    assert_eq!(site.desk.taken("/prod"), []);
    site.promoted("canary", &freight).await?;
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(site.desk.taken("/prod").len(), 1);
    Ok(())
}

#[tokio::test]
async fn people_answer_what_a_step_asks() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let approval = json!({
        "message": "Is it quiet?", "groups": { "sre": 1 }, "exclude": ["requester"], "timeout": "1h",
    });
    let input = json!({
        "message": "How many?", "timeout": "1h", "schema": {
            "properties": { "replicas": { "type": "integer", "maximum": 9 },
                "zone": { "type": "string", "default": "7" } },
            "required": ["replicas"],
        },
    });
    let told = json!({
        "url": site.desk.url("/told"), "method": "PUT",
        "body": "{{ steps.scale.replicas }} in {{ steps.scale.zone }}",
    });
    let steps = [
        step("quiet", "wait_for_approval", &approval),
        step("scale", "get_input", &input),
        step("tell", "http", &told),
    ];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    let ann = site.person("ann", &["sre"]).await?;
    let id = crate::site::ask(&ann, "dev", &freight).await?.id;
    told_of(&site, &id, "1 approval of sre").await?;
    // Whoever asked for it does not approve it, nor does anybody from elsewhere.
    let cli = site.cli()?;
    let as_bearer = async |name: &str, groups: &[&str]| -> Outcome<acceptance::cli::Cli> {
        Ok(cli.as_bearer_of(&site.lockstepd.token(PROJECT, name, groups).await?))
    };
    let approve = ["approve", &id, "--step", "quiet", "--yes"];
    let refused = as_bearer("ann-cli", &["dev"]).await?.refused(1, &approve).await?;
    assert!(refused.contains("step quiet is for people of sre"), "{refused}");
    let question = site.client()?.promotion(PROJECT, &id).await?.steps[0].question.clone();
    let question = question.ok_or_else(|| Failure::new("the step asks nothing"))?;
    let answer =
        AnswerStep { digest: question.digest, approve: Some(true), values: None, comment: None };
    let error = refusal(ann.answer_step(PROJECT, &id, "quiet", &answer).await)?;
    assert!(error.to_string().contains("they asked for the promotion"), "{error}");
    site.lockstepd.restart().await?;
    let bob = site.lockstepd.cli(PROJECT)?;
    let bob = bob.as_bearer_of(&site.lockstepd.token(PROJECT, "bob", &["sre"]).await?);
    bob.ok(&approve).await?;
    // Values are held to the form; what the form asks for as text is no number.
    told_of(&site, &id, "waits for values").await?;
    let input = ["input", &id, "--step", "scale"];
    let refused = bob.refused(1, &[&input[..], &["replicas=many"]].concat()).await?;
    assert!(refused.contains("replicas: expected a whole number"), "{refused}");
    bob.ok(&[&input[..], &["replicas=3", "zone=8"]].concat()).await?;
    site.is(&id, Phase::Succeeded).await?;
    let bodies: Vec<String> = site.desk.taken("/told").into_iter().map(|it| it.body).collect();
    assert_eq!(bodies, ["3 in 8"]);
    Ok(())
}

#[tokio::test]
async fn what_a_step_keeps_is_found_again_and_put_back() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let note = json!({
        "stage": { "commit": "{{ freight.infra.commit }}" }, "freight": { "seen": ["{{ stage.name }}"] },
    });
    let tell = json!({
        "url": site.desk.url("/told"), "method": "PUT",
        "body": "before: {{ has(stage.metadata.commit) ? stage.metadata.commit : 'nothing' }}",
    });
    let audit = json!({ "message": "{{ stage.name }} has it", "fields": { "n": 1 } });
    let steps = [
        step("note", "set_metadata", &note),
        step("name", "set_alias", &json!({ "alias": "stable" })),
        step("audit", "audit_event", &audit),
        step("tell", "http", &tell),
    ];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.policy("dev", &undone("dev")).await?;
    let first = site.first_freight().await?;
    site.promoted("dev", &first).await?;
    site.lockstepd.restart().await?;
    let client = site.client()?;
    let commit = match &first.artifacts["infra"] {
        reconciler_api::v1::Artifact::Git(git) => git.commit.clone(),
        reconciler_api::v1::Artifact::Image(_) => return Err(Failure::new("an image")),
    };
    let stage: Stage = client.get(PROJECT, "dev").await?;
    assert_eq!(stage.status.metadata["commit"], json!(commit));
    let named = client.freight(PROJECT, "stable").await?;
    assert_eq!((&named.id, &named.metadata["seen"]), (&first.id, &json!(["dev"])));
    // The second fails after it noted the same: what was there before is there again.
    let second = site.freight("second").await?;
    site.desk.answer("/told", StatusCode::BAD_REQUEST);
    let id = site.promote("dev", &second).await?;
    site.is(&id, Phase::RolledBack).await?;
    let stage: Stage = client.get(PROJECT, "dev").await?;
    assert_eq!(stage.status.metadata["commit"], json!(commit));
    assert_eq!(client.freight(PROJECT, "stable").await?.id, first.id);
    assert!(client.freight(PROJECT, &second.id).await?.metadata.is_empty());
    let bodies: Vec<String> = site.desk.taken("/told").into_iter().map(|it| it.body).collect();
    assert_eq!(bodies, ["before: nothing".to_owned(), format!("before: {commit}")]);
    // People name freight by its alias, too.
    site.desk.answer("/told", StatusCode::OK);
    let cli = site.cli()?;
    cli.ok(&["promote", "dev", "--freight", "stable", "--watch"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_secret_reaches_the_receiver_and_nothing_else() -> Outcome {
    const TOKEN: &str = "correct-horse-battery-staple";
    let site = Site::start(&[]).await?;
    let spec = json!({ "kind": "http", "address": site.desk.url("/"), "data": { "token": TOKEN } });
    let spec: CredentialSpec = serde_json::from_value(spec).at("a credential")?;
    let client = site.client()?;
    client.put::<Credential>(PROJECT, "hook", &spec, Precondition::Absent).await?;
    let tell = json!({
        "url": site.desk.url("/told"), "method": "PUT",
        "body": { "token": "{{ secret('hook', 'token') }}", "stage": "{{ stage.name }}" },
    });
    site.stage("dev", &json!({ "requests": direct(), "steps": [step("tell", "http", &tell)] }))
        .await?;
    let promotion = site.promoted("dev", &site.first_freight().await?).await?;
    let bodies: Vec<String> = site.desk.taken("/told").into_iter().map(|it| it.body).collect();
    assert_eq!(bodies, [json!({ "token": TOKEN, "stage": "dev" }).to_string()]);
    let told = json!(promotion).to_string();
    assert!(!told.contains(TOKEN), "{told}");
    assert!(!site.lockstepd.log().contains(TOKEN));
    // What a step names is not deleted under it.
    let refused = site.cli()?.refused(1, &["credential", "delete", "hook"]).await?;
    assert!(refused.contains("stage dev"), "{refused}");
    Ok(())
}
