//! Programs of steps that misbehave: contained, named, told without secrets, and nobody else is kept.

use acceptance::{At as _, Failure, Outcome};
use reconciler_api::v1::{AbortPromotion, Credential, CredentialSpec, Phase, Precondition};
use serde_json::{Value, json};

use crate::pipeline::{app_steps, clone_gitops, direct, step};
use crate::site::{PROJECT, SOON, Site};

/// What no program may tell.
const SECRET: &str = "correct-horse-battery";

/// A stage whose only step beside a clone is this script.
async fn stage(site: &Site, name: &str, script: &str, more: &Value) -> Outcome {
    let mut config = json!({
        "command": ["sh", "-c", script], "dir": "gitops", "writes": ["gitops"],
        "memory_mib": 128, "disk_mib": 16, "processes": 32, "timeout": "20s",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let mut bad = step("bad", "run", &config);
    bad["control"] = json!({ "retry": { "attempts": 1 } });
    let steps = [clone_gitops(site), bad];
    site.stage(name, &json!({ "requests": direct(), "steps": steps })).await.map(drop)
}

#[tokio::test]
async fn programs_that_misbehave_are_contained_and_named() -> Outcome {
    let site = Site::start(&["good"]).await?;
    let credential = json!({
        "kind": "http", "address": site.desk.url("/"), "data": { "password": SECRET },
        "username": "ci",
    });
    let credential: CredentialSpec = serde_json::from_value(credential).at("a credential")?;
    site.client()?.put::<Credential>(PROJECT, "vault", &credential, Precondition::None).await?;
    let url = site.desk.url("/reached");
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    let secrets = json!({ "secrets": { "PASSWORD": "vault/password" } });
    let none = json!({});
    let cases = [
        ("crash", "kill -ABRT $$", &none, "signal 6"),
        ("forks", "for i in $(seq 200); do sleep 9 & done; wait", &none, "sh"),
        ("large", "head -c 10G /dev/zero > large", &none, "step bad"),
        ("greedy", "head -c 10G /dev/zero | tail", &none, "step bad"),
        (
            "tells",
            "echo the password is $PASSWORD >&2; exit 3",
            &secrets,
            "[secret vault/password]",
        ),
        ("network", &format!("curl -sS --max-time 5 {url}"), &none, "curl"),
        ("looks", &format!("ls {home} && cat /proc/1/environ"), &none, "No such file"),
        ("leaves", "ln -s /etc out && cat out/shadow", &none, "No such file"),
    ];
    for (name, script, more, _) in &cases {
        stage(&site, name, script, more).await?;
    }
    // Odd, and no harm done.
    stage(&site, "dashes", "touch -- -rf && ls", &none).await?;
    stage(&site, "loud", "head -c 50000000 /dev/zero | tr '\\0' x", &none).await?;
    stage(&site, "hangs", "sleep 600", &json!({ "timeout": "10m" })).await?;
    site.stage("good", &json!({ "requests": direct(), "steps": app_steps(&site) })).await?;
    let freight = site.first_freight().await?;

    let hangs = site.promote("hangs", &freight).await?;
    for (name, _, _, word) in &cases {
        let id = site.promote(name, &freight).await?;
        let ended = site.is(&id, Phase::Failed).await?;
        let told = serde_json::to_string(&ended).at("a promotion")?;
        let error = ended.error.unwrap_or_default();
        assert!(error.contains("step bad"), "{name}: {error}");
        assert!(error.contains(word), "{name}: {error}");
        assert!(!told.contains(SECRET), "{name}: {told}");
    }
    for name in ["dashes", "loud"] {
        let done = site.promoted(name, &freight).await?;
        let told = serde_json::to_string(&done).at("a promotion")?;
        assert!(told.len() < 1 << 20, "{name}: {} bytes", told.len());
    }
    assert!(site.desk.taken("/reached").is_empty(), "nobody got out");

    // The one that hangs kept nobody, and ends when it is told to.
    site.promoted("good", &freight).await?;
    let reason = "it hangs".to_owned();
    site.client()?.abort(PROJECT, &hangs, &AbortPromotion { reason }).await?;
    site.is(&hangs, Phase::Aborted).await?;
    site.lockstepd
        .eventually(SOON, "no program is left", async || {
            let left = std::process::Command::new("pgrep").args(["-f", "sleep 600"]).output();
            let left = left.at("pgrep")?;
            if left.stdout.is_empty() { Ok(()) } else { Err(Failure::new("it still sleeps")) }
        })
        .await
}
