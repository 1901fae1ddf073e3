//! Tokens from terraform: as code, and for the length of a run. What may be done with them is asked of
//! the daemon, and their secrets are nowhere to be read.

use acceptance::lockstepd::{Lockstepd, Settings};
use acceptance::{Failure, Outcome};
use reconciler_api::client::ClientError;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{
    AccessToken, CreatedAccessToken, MintToken, Object as _, Precondition, Project, ProjectSpec,
    RenewToken, Secret, TokenQuery, Whoami,
};
use reconciler_domain::token::{SECRET_LENGTH_MIN, SECRET_PREFIX};
use serde_json::json;

use super::credentials::{files_with, with_write_only};
use super::root;
use crate::pipeline::{app_steps, direct};
use crate::site::{PROJECT, Site, approve, ask, refusal};

const FIRST: &str = "lockstep_first-0123456789abcdef0123456789";
const SECOND: &str = "lockstep_second-0123456789abcdef0123456789";

const AS_CODE: &str = r#"
variable "secret" {
  type      = string
  ephemeral = true
}

variable "version_of_it" { type = number }
variable "groups" { type = list(string) }

resource "lockstep_api_token" "ci" {
  name              = "terraform-ci"
  groups            = var.groups
  expires_at        = "2100-01-01T00:00:00.123456789Z"
  secret_wo         = var.secret
  secret_wo_version = var.version_of_it
}

resource "lockstep_api_token" "hashed" {
  name          = "ada@example.com"
  secret_sha256 = sha256("lockstep_hashed-0123456789abcdef0123456789")
}
"#;

const FOR_A_RUN: &str = r#"
ephemeral "lockstep_token" "run" {
  lifetime = "10m"
  groups   = ["dev"]
}

provider "lockstep" {
  alias = "run"
  token = ephemeral.lockstep_token.run.token
}

resource "lockstep_project" "made" {
  provider    = lockstep.run
  name        = "made"
  description = "by a token of its own"
}
"#;

/// Who the bearer of a secret is, unless it is refused.
async fn who(lockstepd: &Lockstepd, secret: &str) -> Outcome<Option<Whoami>> {
    match lockstepd.client_with(&Secret::new(secret))?.whoami().await {
        Ok(whoami) => Ok(Some(whoami)),
        Err(ClientError::Unauthorized { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn a_token_as_code_works_until_it_is_rotated_or_destroyed() -> Outcome {
    let tool = with_write_only().await?;
    let environment = vec![("LOCKSTEPD_LOG".to_owned(), "trace".to_owned())];
    let lockstepd = Lockstepd::start_with(Settings { environment, ..Settings::default() }).await?;
    let client = lockstepd.client()?;
    let mut root = root(&tool, &lockstepd, AS_CODE)?;
    root.set_env("TF_LOG", "trace");
    root.set_env("TF_VAR_secret", FIRST);
    root.set_env("TF_VAR_version_of_it", "1");
    root.set_env("TF_VAR_groups", r#"["ci"]"#);
    let mut told = root.plan(&[]).await?.text;
    told.push_str(&root.apply_saved().await?.said());
    root.unchanged().await?;
    let groups = who(&lockstepd, FIRST).await?.map(|it| (it.name, it.groups, it.admin));
    assert_eq!(groups, Some(("terraform-ci".to_owned(), vec!["ci".to_owned()], false)));
    let hashed = who(&lockstepd, "lockstep_hashed-0123456789abcdef0123456789").await?;
    assert_eq!(hashed.map(|it| it.name).as_deref(), Some("ada@example.com"));

    // Groups change in place, without the secret.
    root.set_env("TF_VAR_groups", r#"["ci", "sre"]"#);
    root.set_env("TF_VAR_secret", SECOND);
    told.push_str(&root.apply().await?.said());
    assert_eq!(who(&lockstepd, FIRST).await?.map(|it| it.groups.len()), Some(2));
    assert_eq!(who(&lockstepd, SECOND).await?, None);

    // Another version is another secret, at once.
    root.set_env("TF_VAR_version_of_it", "2");
    let plan = root.plan(&[]).await?;
    let changed = [("lockstep_api_token.ci".to_owned(), "update".to_owned())];
    assert_eq!(plan.actions(), changed);
    told.push_str(&plan.text);
    told.push_str(&plan.json.to_string());
    told.push_str(&root.apply_saved().await?.said());
    assert_eq!(who(&lockstepd, FIRST).await?, None);
    assert!(who(&lockstepd, SECOND).await?.is_some());

    // Rotated by hand, the plan puts it back.
    let by_hand = lockstepd.cli(PROJECT)?.ok(&["token", "rotate", "terraform-ci"]).await?;
    assert_eq!(who(&lockstepd, SECOND).await?, None);
    assert_eq!(root.plan(&[]).await?.actions(), changed);
    told.push_str(&root.apply_saved().await?.said());
    assert_eq!(who(&lockstepd, by_hand.trim()).await?, None);
    assert!(who(&lockstepd, SECOND).await?.is_some());

    // One that others changed since is not overwritten, and one that is there is imported.
    let seen: AccessToken = client.get("", "terraform-ci").await?;
    let stale = Precondition::Generation(seen.meta().generation - 1);
    let spec = reconciler_api::v1::TokenSpec::default();
    let refused = refusal(client.put::<AccessToken>("", "terraform-ci", &spec, stale).await)?;
    assert_eq!(refused.code(), Some(ProblemCode::GenerationConflict));
    root.run(&["state", "rm", "lockstep_api_token.hashed"]).await?.ok()?;
    root.import("lockstep_api_token.hashed", "ada@example.com").await?;
    root.unchanged().await?;

    told.push_str(&root.destroy().await?.said());
    assert_eq!(who(&lockstepd, SECOND).await?, None);
    for hidden in [FIRST, SECOND] {
        assert!(!told.contains(hidden), "{hidden} is in what was told");
        assert!(!lockstepd.log().contains(hidden), "{hidden} is in the daemon's log");
        for folder in [lockstepd.data_dir(), root.folder()] {
            assert_eq!(files_with(&folder, hidden)?, [""; 0], "{hidden}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_run_has_a_token_of_its_own_and_leaves_none() -> Outcome {
    let tool = with_write_only().await?;
    let lockstepd = Lockstepd::start().await?;
    let client = lockstepd.client()?;
    // Whoever runs it is no administrator, and is in more groups than the run needs.
    let file = lockstepd.token(PROJECT, "ci", &["dev", "sre"]).await?;
    let mut root = root(&tool, &lockstepd, FOR_A_RUN)?;
    root.set_env("LOCKSTEP_TOKEN_FILE", &file.display().to_string());
    root.set_env("TF_LOG", "trace");
    let applied = root.apply().await?.said();
    let made: Project = client.get("made", "made").await?;
    assert_eq!(made.meta.changed_by, "ci", "it acts as the token that it was minted from");
    let minted = TokenQuery { minted: Some(true), ..TokenQuery::default() };
    assert_eq!(client.list_tokens(&minted).await?.items, []);
    root.unchanged().await?;
    let state = root.state().await?.to_string();
    for text in [applied, state, lockstepd.log()] {
        assert_eq!(secrets_in(&text), [""; 0]);
    }
    // More than the run's own token has is refused where it is wished.
    root.write("main.tf", &FOR_A_RUN.replace(r#"["dev"]"#, r#"["dev", "ops"]"#))?;
    let refused = root.refused(&["plan"]).await?;
    assert!(refused.contains("is not in group \"ops\""), "{refused}");
    root.write("main.tf", &FOR_A_RUN.replace("lifetime", "admin = true\n  lifetime"))?;
    let refused = root.refused(&["plan"]).await?;
    assert!(refused.contains("is not an administrator"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn who_mints_tokens_is_still_one_person() -> Outcome {
    let site = Site::start(&["prod"]).await?;
    let steps = app_steps(&site);
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    let policy = json!({
        "mode": "manual", "stages": { "names": ["prod"] },
        "approvals": [{ "group": "sre", "count": 2, "exclude": ["requester"] }],
    });
    site.policy("prod", &policy).await?;
    let ann = site.person("ann", &["sre"]).await?;
    let bob = site.person("bob", &["sre", "dev"]).await?;
    let as_bob = |minted: &CreatedAccessToken| site.lockstepd.client_with(&minted.secret);
    let minted = bob.mint_token(&MintToken::default()).await?;
    let other = as_bob(&minted)?;

    // What one of them asked for, none of them approves; what one approved, none approves again.
    let id = ask(&ann, "prod", &site.first_freight().await?).await?.id;
    let (_, digest) = site.waits(&id).await?;
    approve(&other, &id, &digest).await?;
    let again = refusal(approve(&bob, &id, &digest).await)?;
    assert!(again.to_string().contains("bob has approved this change set"), "{again}");
    let (waiting, _) = site.waits(&id).await?;
    let by: Vec<&str> = waiting.approvals.iter().map(|approval| approval.by.as_str()).collect();
    assert_eq!(by, ["bob"]);

    // It mints, too; none prolongs itself, and all go with the first.
    let groupless = MintToken { groups: Some(Vec::new()), ..MintToken::default() };
    let second = other.mint_token(&groupless).await?;
    let third = as_bob(&second)?;
    assert_eq!(third.whoami().await?, Whoami { groups: Vec::new(), ..none_of("bob") });
    let name = second.access.meta.name.clone();
    let longer = RenewToken { lifetime: Some("2h".to_owned()) };
    let itself = refusal(third.renew_token(&name, &longer).await)?;
    assert_eq!(itself.code(), Some(ProblemCode::NotFound), "{itself}");
    // Not beyond the token that minted it.
    let renewed = other.renew_token(&name, &longer).await?;
    assert_eq!(renewed.spec.expires_at, minted.access.spec.expires_at);
    let wider = MintToken { groups: Some(vec!["sre".to_owned()]), ..MintToken::default() };
    let refused = refusal(third.mint_token(&wider).await)?;
    assert!(refused.to_string().contains("bob is not in group"), "{refused}");
    for refused in [
        refusal(other.list_tokens(&TokenQuery::default()).await.map(drop))?,
        refusal(other.revoke_token("ann").await)?,
    ] {
        assert_eq!(refused.code(), Some(ProblemCode::Forbidden), "{refused}");
    }
    site.cli()?.ok(&["token", "revoke", "bob"]).await?;
    for gone in [bob, other, third] {
        let refused = gone.whoami().await.map(|it| it.name);
        let unknown = matches!(&refused, Err(ClientError::Unauthorized { .. }));
        assert!(unknown, "{refused:?}");
    }
    let spec = ProjectSpec::default();
    ann.put::<Project>("anns", "anns", &spec, Precondition::Absent)
        .await
        .map(drop)
        .map_err(Failure::from)
}

/// What looks like the secret of a token.
fn secrets_in(text: &str) -> Vec<String> {
    let secret = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'));
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    let found = text.split(SECRET_PREFIX).skip(1).map(secret);
    found.filter(|random| random.len() >= SECRET_LENGTH_MIN).collect()
}

/// A bearer with this name, and nothing else.
fn none_of(name: &str) -> Whoami {
    Whoami { name: name.to_owned(), groups: Vec::new(), admin: false }
}
