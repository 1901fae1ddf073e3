//! The command line, against a daemon with something in it.

use acceptance::cli::Cli;
use acceptance::{At as _, Failure, Outcome};
use reconciler_api::v1::Phase;
use serde_json::{Value, json};

use crate::pipeline::{after, app_steps, call, clone_gitops, commit, direct, push, update};
use crate::site::{PROJECT, Site};

/// Dev, and prod behind it that needs an approval.
async fn shop() -> Outcome<Site> {
    let site = Site::start(&["dev", "prod"]).await?;
    let steps = app_steps(&site);
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.stage("prod", &json!({ "requests": after(&["dev"]), "steps": steps })).await?;
    let policy = json!({
        "mode": "manual", "stages": { "names": ["prod"] }, "approvals": [{ "group": "sre" }],
    });
    site.policy("prod", &policy).await?;
    Ok(site)
}

#[tokio::test]
async fn freight_goes_to_prod_by_hand() -> Outcome {
    let site = shop().await?;
    let freight = site.first_freight().await?;
    let cli = site.cli()?;
    let said = cli.ok(&["promote", "dev", "--newest", "--watch"]).await?;
    assert!(said.contains("promotion dev.1 succeeded: dev holds freight"), "{said}");
    let short = freight.short_id.as_str();
    let promote = ["promote", "prod", "--freight", short, "--reason", "it is time"];
    assert_eq!(cli.json(&promote).await?["id"], "prod.1");
    let (_, digest) = site.waits("prod.1").await?;

    let why = cli.ok(&["explain", "prod"]).await?;
    for part in ["needs 1 approval of group sre, has 0", "promotion prod.1", "manual"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let diff = cli.ok(&["diff", "prod.1"]).await?;
    assert!(diff.contains("apps/prod/values.yaml") && diff.contains("-release: none"), "{diff}");

    let ann = site.lockstepd.token(PROJECT, "ann", &["sre"]).await?;
    let ann = cli.as_bearer_of(&ann);
    let other = ann.refused(1, &["approve", "prod.1", "--digest", "sha256:0"]).await?;
    assert!(other.contains(&digest) && other.contains("hint: "), "{other}");
    let said = ann.ok(&["approve", "prod.1", "--digest", &digest, "--comment", "fine"]).await?;
    assert!(said.contains("approved promotion prod.1"), "{said}");
    let said = cli.ok(&["watch", "prod.1"]).await?;
    assert!(said.contains("promotion prod.1 succeeded"), "{said}");
    everything_is_shown(&cli, &freight.id, short).await
}

/// Tables for people, and the objects themselves for programs.
async fn everything_is_shown(cli: &Cli, freight: &str, short: &str) -> Outcome {
    let tables: [(&[&str], &[&str]); 5] = [
        (&["get", "projects"], &["NAME", PROJECT]),
        (&["get", "warehouses"], &["shop", "infra (git)", short]),
        (&["get", "freight"], &[short]),
        (&["get", "stages"], &["dev", "prod", short]),
        (&["get", "promotions"], &["dev.1", "prod.1", "succeeded"]),
    ];
    for (arguments, parts) in tables {
        let table = cli.ok(arguments).await?;
        for part in parts {
            assert!(table.contains(part), "{arguments:?}: {part}: {table}");
        }
        let json = cli.json(arguments).await?;
        assert!(json.as_array().is_some_and(|all| !all.is_empty()), "{arguments:?}: {json}");
    }
    let stages = cli.json(&["get", "stages"]).await?;
    for stage in stages.as_array().into_iter().flatten() {
        assert_eq!(stage["status"]["current"]["shop"]["freight"], freight);
    }
    let one = cli.ok(&["get", "promotions", "prod.1"]).await?;
    for part in ["push", "ann", "fine", "it is time"] {
        assert!(one.contains(part), "{part}: {one}");
    }
    Ok(())
}

#[tokio::test]
async fn freight_passes_its_upstream_and_a_promotion_is_ended() -> Outcome {
    let site = shop().await?;
    let freight = site.first_freight().await?;
    let cli = site.cli()?;
    let short = freight.short_id.as_str();
    let early = cli.refused(1, &["promote", "prod", "--freight", short]).await?;
    assert!(early.contains("not verified in dev"), "{early}");
    assert!(early.contains("lockstep freight approve"), "it says what to do: {early}");
    let approve = ["freight", "approve", short, "--stage", "prod", "--reason", "a fix"];
    let said = cli.ok(&approve).await?;
    assert!(said.contains(&format!("freight {short} is available to stage prod")), "{said}");
    cli.ok(&["promote", "prod", "--freight", short]).await?;
    site.waits("prod.1").await?;
    let waited = cli.refused(4, &["watch", "prod.1", "--timeout", "100ms"]).await?;
    assert!(waited.contains("still waiting"), "{waited}");
    cli.ok(&["abort", "prod.1", "--reason", "wrong week"]).await?;
    site.is("prod.1", Phase::Aborted).await?;
    let ended = cli.refused(1, &["watch", "prod.1"]).await?;
    assert!(ended.contains("wrong week"), "{ended}");
    let refused = cli.refused(1, &["abort", "prod.1", "--reason", "again"]).await?;
    assert!(refused.contains("prod.1"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn what_goes_wrong_has_its_exit_code() -> Outcome {
    let mut site = shop().await?;
    let cli = site.cli()?;
    let text = cli.refused(1, &["get", "stages", "none"]).await?;
    assert!(text.contains("none"), "{text}");
    cli.refused(2, &["promote", "prod"]).await?;
    cli.refused(2, &["freight", "approve", "abc", "--stage", "prod"]).await?;
    let file = site.mark_file("wrong.token");
    std::fs::write(&file, "lks_wrong").at("a token")?;
    let text = cli.as_bearer_of(&file).refused(1, &["get", "stages"]).await?;
    assert!(text.contains("does not accept the token"), "{text}");
    assert!(!text.contains("lks_wrong"), "{text}");
    // Who may not make tokens makes none.
    let dan = site.lockstepd.token(PROJECT, "dan", &["dev"]).await?;
    let make = ["token", "create", "--as", "eve", "--group", "sre"];
    cli.as_bearer_of(&dan).refused(1, &make).await?;
    site.lockstepd.stop().await?;
    let text = cli.refused(3, &["get", "stages"]).await?;
    assert!(text.contains(&site.lockstepd.endpoint()), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_watch_outlives_a_restart_of_the_daemon() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let steps = [call("held", &site.desk.url("/held"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.desk.hold("/held");
    site.promote("dev", &site.first_freight().await?).await?;
    let cli = site.cli()?;
    let watching = tokio::spawn(async move { cli.ok(&["watch", "dev.1"]).await });
    site.lockstepd
        .eventually(crate::site::SOON, "the request is sent", async || {
            if site.desk.taken("/held").is_empty() { Err(Failure::new("not yet")) } else { Ok(()) }
        })
        .await?;
    site.lockstepd.kill().await?;
    site.desk.release("/held");
    site.lockstepd.restart().await?;
    let said = watching.await.at("the watch")??;
    assert!(said.contains("promotion dev.1 succeeded"), "{said}");
    Ok(())
}

#[tokio::test]
async fn people_promote_with_variables_once_more_and_further_down() -> Outcome {
    let site = Site::start(&["dev", "eu", "us"]).await?;
    let sized = json!({ "release": "{{ freight.infra.commit }}", "replicas": "{{ vars.size }}" });
    let steps = [clone_gitops(&site), update(&sized), commit(), push()];
    let stage = |requests: Value| {
        json!({
            "requests": requests, "steps": steps,
            "vars": { "size": "2", "region": "eu" }, "settable_vars": ["size"],
        })
    };
    site.stage("dev", &stage(direct())).await?;
    site.stage("all", &json!({ "requests": after(&["dev"]) })).await?;
    site.stage("eu", &stage(after(&["all"]))).await?;
    site.stage("us", &stage(after(&["dev"]))).await?;
    site.first_freight().await?;
    let cli = site.cli()?;

    let text = cli.refused(1, &["promote", "dev", "--newest", "--var", "region=us"]).await?;
    assert!(text.contains("variable \"region\" of stage dev cannot be set"), "{text}");
    assert!(text.contains("allows size"), "{text}");
    let promote =
        async |size: &str| cli.ok(&["promote", "dev", "--newest", "--var", size, "--watch"]).await;
    promote("size=5").await?;
    assert!(site.values_of("dev").await?.contains("replicas: \"5\""));
    promote("size=3").await?;
    let said = cli.ok(&["rerun", "dev.1", "--watch"]).await?;
    assert!(said.contains("promotion dev.3"), "{said}");
    assert!(site.values_of("dev").await?.contains("replicas: \"5\""), "with its variables");
    assert_eq!(cli.json(&["get", "promotions", "dev.3"]).await?["vars"]["size"], "5");

    cli.ok(&["hold", "create", "audit", "--stage", "us", "--reason", "an audit"]).await?;
    let said = cli.refused(1, &["promote", "dev", "--downstream"]).await?;
    assert!(said.contains("is kept from stage us"), "{said}");
    site.is("eu.1", Phase::Succeeded).await?;
    assert!(site.values_of("eu").await?.contains("replicas: \"2\""), "each stage has its own");
    let text = cli.refused(1, &["promote", "eu", "--downstream"]).await?;
    assert!(text.contains("no stage takes freight of warehouse shop from stage eu"), "{text}");
    Ok(())
}
