//! What people agreed to can be checked by anybody, years later, without the daemon.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use acceptance::process::{self, Run};
use acceptance::{At as _, Outcome};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reconciler_api::v1::Phase;
use serde_json::{Value, json};

use crate::pipeline::{app_steps, direct};
use crate::site::{Site, approve};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_approval_holds_under_the_key_and_nothing_else_does() -> Outcome {
    let mut site = Site::start(&["prod"]).await?;
    let steps = app_steps(&site);
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    let policy = json!({
        "mode": "manual", "stages": { "names": ["prod"] }, "approvals": [{ "group": "sre" }],
    });
    site.policy("prod", &policy).await?;
    let ann = site.person("ann", &["sre"]).await?;
    let id = site.promote("prod", &site.first_freight().await?).await?;
    let (_, digest) = site.waits(&id).await?;
    approve(&ann, &id, &digest).await?;
    site.is(&id, Phase::Succeeded).await?;

    let (cli, folder) = (site.cli()?, process::open_folder("evidence")?);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (keys, evidence) = (file("keys.pem"), file("evidence.json"));
    fs::write(&keys, cli.ok(&["keys"]).await?).at("the keys")?;
    let said = cli.json(&["evidence", &id]).await?;
    fs::write(&evidence, said.to_string()).at("the evidence")?;
    let verdict = cli.json(&["verify", &evidence, "--keys", &keys]).await?;
    assert_eq!((&verdict["is_true"], &verdict["approved_by"]), (&json!(true), &json!(["ann"])));
    assert_eq!(verdict["change_set"]["digest"], digest.as_str(), "{verdict}");
    let text = verdict["statements"][0]["text"].as_str().unwrap_or_default();
    assert!(text.starts_with(&format!("ann (sre) approved change set {digest} at ")), "{text}");
    assert!(openssl_says(&said, &keys, folder.path()).await?.ok().is_ok());

    // Somebody changes a file after it was approved; somebody else takes another's name.
    let mut changed = said.clone();
    let content = changed["change_set"]["content"].as_str().unwrap_or_default();
    assert!(content.contains("apps/prod/values.yaml"), "{content}");
    changed["change_set"]["content"] = json!(content.replace("apps/prod", "apps/qa"));
    let mut renamed = said.clone();
    let payload = renamed["statements"][0]["payload"].as_str().unwrap_or_default();
    let payload = STANDARD.decode(payload).at("the payload")?;
    let payload = String::from_utf8_lossy(&payload).replace("\"by\":\"ann\"", "\"by\":\"eve\"");
    assert!(payload.contains("eve"), "{payload}");
    renamed["statements"][0]["payload"] = json!(STANDARD.encode(payload));
    for (forged, why) in [(&changed, "is of another content"), (&renamed, "none of the given keys")]
    {
        fs::write(&evidence, forged.to_string()).at("the evidence")?;
        let run = cli.run(&["verify", &evidence, "--keys", &keys]).await?.ended_with(1)?;
        assert!(run.stdout.contains(why), "{why}: {}", run.stdout);
    }
    assert!(openssl_says(&renamed, &keys, folder.path()).await?.ok().is_err());

    // The ledger holds the same, and says itself whether it is whole.
    assert!(site.lockstepd.verify_ledger().await.is_err(), "while the daemon runs");
    site.lockstepd.stop().await?;
    site.lockstepd.verify_ledger().await
}

/// What a program that knows nothing of us says of the first statement.
async fn openssl_says(evidence: &Value, keys: &str, folder: &Path) -> Outcome<Run> {
    let statement = &evidence["statements"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, payload) = (text(&statement["payloadType"]), text(&statement["payload"]));
    let payload = STANDARD.decode(payload).at("the payload")?;
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend_from_slice(&payload);
    let signature =
        STANDARD.decode(text(&statement["signatures"][0]["sig"])).at("the signature")?;
    let (message, detached) = (folder.join("message"), folder.join("signature"));
    fs::write(&message, signed).at("the message")?;
    fs::write(&detached, signature).at("the signature")?;
    let mut command = Command::new("openssl");
    command.args(["pkeyutl", "-verify", "-pubin", "-inkey", keys, "-rawin", "-in"]);
    command.arg(&message).arg("-sigfile").arg(&detached);
    process::run(&command, SOON).await
}
