//! Every resource from its creation to its end.

use std::collections::BTreeSet;

use acceptance::lockstepd::Settings;
use acceptance::terraform::{Plan, Tool, Workspace};
use acceptance::{Failure, Outcome};
use reconciler_api::client::Client;
use reconciler_api::v1::{
    AccessToken, Credential, Freeze, Hold, Object, Policy, Project, Stage, Task,
    Verification as Checks, Warehouse,
};
use serde_json::{Value, json};

use super::credentials::with_write_only;
use super::{root, with_each_tool};
use crate::pipeline::{call, direct};
use crate::site::{PROJECT, Site};

/// A resource, and a change of it.
struct Life<'l> {
    address: &'l str,
    id: &'l str,
    config: &'l str,
    /// What is replaced in the configuration, and by what.
    edits: &'l [(&'l str, &'l str)],
    /// The attributes that then change.
    changes: &'l [&'l str],
}

impl Life<'_> {
    async fn lead<T: Object>(&self, tool: &Tool, site: &Site) -> Outcome {
        let root = root(tool, &site.lockstepd, self.config)?;
        let name = self.id.rsplit('/').next().unwrap_or(self.id);
        let project = if self.id.contains('/') { PROJECT } else { name };
        let found = async || Outcome::Ok(site.client()?.find::<T>(project, name).await?);

        let plan = root.plan(&[]).await?;
        assert_eq!(plan.actions(), [(self.address.to_owned(), "create".to_owned())]);
        root.apply_saved().await?;
        let made: Option<T> = found().await?;
        assert_eq!(made.map(|made| made.meta().id.clone()).as_deref(), Some(self.id));
        stays_as_it_is(&root).await?;

        let edit = |text: String, (from, to): &(&str, &str)| {
            assert!(text.contains(from), "{from} is not in {text}");
            text.replace(from, to)
        };
        let edited = self.edits.iter().fold(self.config.to_owned(), edit);
        root.write("main.tf", &edited)?;
        let plan = root.plan(&[]).await?;
        assert_eq!(plan.actions(), [(self.address.to_owned(), "update".to_owned())]);
        self.changes_only_what_was_edited(&plan)?;
        root.apply_saved().await?;
        let changed: Option<T> = found().await?;
        assert_eq!(changed.map(|changed| changed.meta().generation), Some(2));
        stays_as_it_is(&root).await?;

        self.comes_back_by_import(&root).await?;
        root.destroy().await?;
        assert!(found().await?.is_none(), "it is gone");
        Ok(())
    }

    fn changes_only_what_was_edited(&self, plan: &Plan) -> Outcome {
        let change = plan.change(self.address)?;
        let (before, after) = (&change["before"], &change["after"]);
        let names = after.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let changed: BTreeSet<&str> = names.filter(|name| before[name] != after[name]).collect();
        assert_eq!(changed, self.changes.iter().copied().collect(), "{}", plan.text);
        let unknown = change["after_unknown"].as_object().into_iter().flatten();
        let unknown: Vec<&String> =
            unknown.filter(|(_, it)| **it == Value::Bool(true)).map(|(name, _)| name).collect();
        assert!(unknown.is_empty(), "known at plan: {unknown:?}");
        Ok(())
    }

    /// By an import block and by the command; both times nothing is left to do.
    async fn comes_back_by_import(&self, root: &Workspace) -> Outcome {
        root.run(&["state", "rm", self.address]).await?.ok()?;
        let block = format!("import {{\n  to = {}\n  id = {:?}\n}}\n", self.address, self.id);
        root.write("import.tf", &block)?;
        let plan = root.plan(&[]).await?;
        assert_eq!(plan.actions(), [], "{}", plan.text);
        assert_eq!(plan.change(self.address)?["importing"]["id"], self.id);
        root.apply_saved().await?;
        stays_as_it_is(root).await?;
        root.write("import.tf", "")?;
        root.run(&["state", "rm", self.address]).await?.ok()?;
        root.import(self.address, self.id).await?;
        stays_as_it_is(root).await
    }
}

/// There is nothing to do, whether the daemon is asked or not.
async fn stays_as_it_is(root: &Workspace) -> Outcome {
    root.unchanged().await?;
    let plan = root.plan(&["-refresh=false"]).await?;
    if plan.changes {
        Err(Failure::new("without a refresh").with("plan", &plan.text))
    } else {
        Ok(())
    }
}

#[tokio::test]
async fn a_project() -> Outcome {
    let life = Life {
        address: "lockstep_project.blog",
        id: "blog",
        config: r#"resource "lockstep_project" "blog" {
          name        = "blog"
          description = "The blog."
          labels      = { team = "words" }
        }"#,
        edits: &[("The blog.", "The blog of the shop.")],
        changes: &["description"],
    };
    with_each_tool(async |tool| life.lead::<Project>(tool, &Site::start(&[]).await?).await).await
}

#[tokio::test]
async fn a_warehouse() -> Outcome {
    let life = Life {
        address: "lockstep_warehouse.wares",
        id: "shop/wares",
        config: r#"resource "lockstep_warehouse" "wares" {
          name     = "wares"
          interval = "90m"
          git {
            name          = "infra"
            repo          = "http://127.0.0.1:1/infra.git"
            branch        = "main"
            include_paths = ["modules/shop", "glob:live/**"]
            exclude_paths = ["glob:**/*.md"]
          }
          image {
            name        = "api"
            repo        = "127.0.0.1:1/shop/api"
            constraint  = "^1.4"
            allow_tags  = ["^v?[0-9]"]
            ignore_tags = ["-rc"]
            insecure    = true
          }
          freight { require = "freight.api.version.major >= 1" }
        }"#,
        edits: &[("90m", "2h"), ("\"^1.4\"", "\">=1.4 <3\"")],
        changes: &["interval", "image"],
    };
    with_each_tool(async |tool| life.lead::<Warehouse>(tool, &Site::start(&[]).await?).await).await
}

#[tokio::test]
async fn a_verification() -> Outcome {
    let life = Life {
        address: "lockstep_verification.errors",
        id: "shop/errors",
        config: r#"resource "lockstep_verification" "errors" {
          name        = "errors"
          description = "Few requests fail."
          interval    = "15s"
          measurements = 3
          http {
            name    = "health"
            url     = "http://{{ args.host }}/health"
            headers = { Accept = "application/json" }
            success = "response.status == 200 && response.json.ready"
          }
          prometheus {
            name    = "ratio"
            address = "http://127.0.0.1:9090"
            query   = "sum(rate(http_errors_total{host=\"{{ args.host }}\"}[5m]))"
            success = "result.value < 0.01"
          }
        }"#,
        edits: &[("measurements = 3", "measurements = 4"), ("0.01", "0.02")],
        changes: &["measurements", "prometheus"],
    };
    with_each_tool(async |tool| life.lead::<Checks>(tool, &Site::start(&[]).await?).await).await
}

#[tokio::test]
async fn a_promotion_task() -> Outcome {
    let life = Life {
        address: "lockstep_promotion_task.release",
        id: "shop/release",
        config: r#"resource "lockstep_promotion_task" "release" {
          name        = "release"
          description = "Tells the places."
          input {
            name        = "places"
            type        = "list"
            default     = "[ \"eu\", \"us\" ]"
            description = "Where."
          }
          input {
            name    = "count"
            type    = "number"
            default = 2
          }
          steps = [
            provider::lockstep::http("tell", {
              url     = "http://127.0.0.1:1/{{ each.value }}"
              body    = { count = "{{ inputs.count }}", freight = "{{ freight.infra.commit }}" }
              control = { for_each = "{{ inputs.places }}" }
            }),
            { name = "rest", uses = "wait", config = "{ \"duration\":   \"60s\" }" },
          ]
        }"#,
        edits: &[("default = 2", "default = 3"), ("the places", "all places"), ("60s", "61s")],
        changes: &["description", "input", "steps"],
    };
    with_each_tool(async |tool| life.lead::<Task>(tool, &Site::start(&[]).await?).await).await
}

#[tokio::test]
async fn a_stage() -> Outcome {
    let life = Life {
        address: "lockstep_stage.dev",
        id: "shop/dev",
        config: r#"resource "lockstep_stage" "dev" {
          name   = "dev"
          vars   = { region = "eu-central-1" }
          labels = { tier = "one" }
          steps = [
            provider::lockstep::git_clone("src", {
              repo     = "http://127.0.0.1:1/infra.git"
              checkout = { infra = { commit = "{{ freight.infra.commit }}" } }
            }),
            provider::lockstep::tf_plan("plan", { dir = "infra/live", vars = { region = "{{ vars.region }}", size = 2 } }),
            provider::lockstep::tf_apply("apply", { plan = "plan" }),
            { name = "out", uses = "tf_output", config = "{ \"dir\":   \"infra/live\" }" },
          ]
          request { warehouse = "shop" }
        }"#,
        edits: &[("eu-central-1", "eu-north-1"), ("size = 2", "size = 3")],
        changes: &["vars", "steps"],
    };
    with_each_tool(async |tool| life.lead::<Stage>(tool, &Site::start(&[]).await?).await).await
}

#[tokio::test]
async fn a_policy() -> Outcome {
    let life = Life {
        address: "lockstep_promotion_policy.prod",
        id: "shop/prod",
        config: r#"resource "lockstep_promotion_policy" "prod" {
          name   = "prod"
          mode   = "gated"
          soak   = "24h"
          settle = "1m"
          stages { names = ["prod*"] }
          approval {
            group   = "sre"
            count   = 2
            exclude = ["requester", "commit_author"]
          }
          infra {
            forbid      = ["delete", "replace"]
            protect     = ["aws_db_instance.*"]
            max_changes = 20
            max_deletes = 3
            rule {
              name    = "no_roles"
              when    = "changes.all(c, c.type != 'aws_iam_role')"
              message = "roles are made elsewhere"
            }
          }
          rollback { on = ["verification_failed", "promotion_failed"] }
          bypass {
            name   = "fire"
            groups = ["sre", "oncall"]
            gates  = ["approvals", "soak"]
          }
        }"#,
        edits: &[
            ("24h", "48h"),
            ("max_changes = 20", "max_changes = 10"),
            ("max_deletes = 3", "max_deletes = 2"),
        ],
        changes: &["soak", "infra"],
    };
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        life.lead::<Policy>(tool, &site).await
    })
    .await
}

#[tokio::test]
async fn a_hold() -> Outcome {
    let life = Life {
        address: "lockstep_hold.cve",
        id: "shop/cve-2026-1234",
        config: r#"resource "lockstep_hold" "cve" {
          name    = "cve-2026-1234"
          reason  = "leaks tokens"
          expires = "2100-01-01T09:00:00.123456789+01:00"
          artifacts {
            subscription    = "infra"
            commit          = "0123456789"
            committed_from  = "2026-01-01T00:00:00Z"
            committed_until = "2026-02-01T00:00:00Z"
          }
        }"#,
        edits: &[("leaks tokens", "leaks passwords"), ("\"0123456789\"", "\"0123456780\"")],
        changes: &["reason", "artifacts"],
    };
    with_each_tool(async |tool| life.lead::<Hold>(tool, &Site::start(&[]).await?).await).await
}

#[tokio::test]
async fn a_freeze() -> Outcome {
    let life = Life {
        address: "lockstep_freeze.year_end",
        id: "shop/year-end",
        config: r#"resource "lockstep_freeze" "year_end" {
          name    = "year-end"
          reason  = "the books close"
          from    = "2100-12-20T00:00:00+01:00"
          until   = "2101-01-02T00:00:00.000000001Z"
          actions = ["rollback", "promote"]
          window {
            rule     = "FREQ=DAILY;BYHOUR=8"
            duration = "10h"
            timezone = "Europe/Berlin"
            start    = "2026-01-05T08:00:00"
          }
          except {
            stages     = ["dev", "qa-*"]
            principals = ["ada"]
            groups     = ["oncall"]
          }
        }"#,
        edits: &[("the books close", "the books are closed"), ("\"10h\"", "\"11h\"")],
        changes: &["reason", "window"],
    };
    with_each_tool(async |tool| life.lead::<Freeze>(tool, &Site::start(&[]).await?).await).await
}

/// A daemon that may read secrets from variables of these names.
async fn site_with_secrets() -> Outcome<Site> {
    let config = Some("secret_variables = [\"SHOP_*\"]\n".to_owned());
    Site::start_with(Settings { config, ..Settings::default() }, &[]).await
}

#[tokio::test]
async fn a_credential_that_the_daemon_reads() -> Outcome {
    let life = Life {
        address: "lockstep_credential.git",
        id: "shop/git",
        config: r#"resource "lockstep_credential" "git" {
          name        = "git"
          description = "Of the team."
          kind        = "git"
          address     = "https://git.example.com/team"
          username    = "lockstep"
          from {
            key = "password"
            env = "SHOP_PASSWORD"
          }
        }"#,
        edits: &[("Of the team.", "Of the whole team.")],
        changes: &["description"],
    };
    let site = site_with_secrets;
    with_each_tool(async |tool| life.lead::<Credential>(tool, &site().await?).await).await
}

#[tokio::test]
async fn a_credential_with_its_secret() -> Outcome {
    let life = Life {
        address: "lockstep_credential.registry",
        id: "shop/registry",
        config: r#"resource "lockstep_credential" "registry" {
          name            = "registry"
          description     = "Of the team."
          kind            = "image"
          address         = "oci://registry.example.com/team"
          username        = "lockstep"
          data_wo         = { password = "long enough" }
          data_wo_version = 3
        }"#,
        edits: &[("Of the team.", "Of the whole team.")],
        changes: &["description"],
    };
    let tool = with_write_only().await?;
    life.lead::<Credential>(&tool, &Site::start(&[]).await?).await
}

#[tokio::test]
async fn an_api_token() -> Outcome {
    let life = Life {
        address: "lockstep_api_token.ci",
        id: "terraform-ci",
        config: r#"resource "lockstep_api_token" "ci" {
          name          = "terraform-ci"
          groups        = ["ci", "sre"]
          admin         = true
          expires_at    = "2100-01-01T00:00:00.123456789Z"
          secret_sha256 = "9b3f1c0a4be0d4e6a6d2f5b7c8192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b"
        }"#,
        edits: &[("[\"ci\", \"sre\"]", "[\"ci\"]"), ("admin         = true", "")],
        changes: &["groups", "admin"],
    };
    with_each_tool(async |tool| life.lead::<AccessToken>(tool, &Site::start(&[]).await?).await)
        .await
}

#[tokio::test]
async fn an_api_token_with_its_secret() -> Outcome {
    let life = Life {
        address: "lockstep_api_token.ci",
        id: "terraform-ci",
        config: r#"resource "lockstep_api_token" "ci" {
          name              = "terraform-ci"
          groups            = ["ci"]
          secret_wo         = "lockstep_0123456789abcdef0123456789abcdef"
          secret_wo_version = 3
        }"#,
        edits: &[("[\"ci\"]", "[\"ci\", \"sre\"]")],
        changes: &["groups"],
    };
    let tool = with_write_only().await?;
    life.lead::<AccessToken>(&tool, &Site::start(&[]).await?).await
}

/// It is no object of the daemon: to destroy it is to forget it.
#[tokio::test]
async fn a_promotion() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let steps = [call("call", &site.desk.url("/call"))];
        site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
        let first = site.first_freight().await?;
        let address = "lockstep_promotion.dev";
        let config = |triggers: &str, reason: &str| {
            format!(
                "resource \"lockstep_promotion\" \"dev\" {{\n  stage    = \"dev\"\n  newest   = \
                 true\n  triggers = {{ release = \"{triggers}\" }}\n  reason   = \"{reason}\"\n  \
                 timeouts {{ create = \"2m\" }}\n}}\n"
            )
        };
        let root = root(tool, &site.lockstepd, &config("1", "the first"))?;
        let plan = root.plan(&[]).await?;
        assert_eq!(plan.actions(), [(address.to_owned(), "create".to_owned())]);
        root.apply_saved().await?;
        stays_as_it_is(&root).await?;
        let of = async |name: &str| {
            let state = root.state().await?;
            let resources = state["values"]["root_module"]["resources"].as_array();
            let found = resources.into_iter().flatten().find(|it| it["address"] == address);
            Outcome::Ok(found.map(|it| it["values"][name].clone()).unwrap_or_default())
        };
        assert_eq!(
            (of("id").await?, of("freight_id").await?),
            (json!("shop/dev.1"), json!(first.id))
        );
        // Another reason promotes nothing; another trigger does.
        root.write("main.tf", &config("1", "in other words"))?;
        let plan = root.plan(&[]).await?;
        assert_eq!(plan.change(address)?["after"]["id"], "shop/dev.1", "{}", plan.text);
        root.apply_saved().await?;
        let second = site.freight("the second").await?;
        root.write("main.tf", &config("2", "the second"))?;
        let plan = root.plan(&[]).await?;
        assert_eq!(plan.change(address)?["after_unknown"]["id"], true, "{}", plan.text);
        root.apply_saved().await?;
        let told = (of("id").await?, of("freight_id").await?);
        assert_eq!(told, (json!("shop/dev.2"), json!(second.id)));
        stays_as_it_is(&root).await?;
        root.run(&["state", "rm", address]).await?.ok()?;
        root.import(address, "shop/dev.2").await?;
        let plan = root.plan(&[]).await?;
        assert_eq!(plan.actions(), [(address.to_owned(), "update".to_owned())]);
        assert_eq!(plan.change(address)?["after"]["id"], "shop/dev.2", "{}", plan.text);
        root.apply_saved().await?;
        stays_as_it_is(&root).await?;
        root.destroy().await?;
        let kept = site.client()?.promotion(PROJECT, "dev.2").await?;
        assert_eq!(kept.freight, second.id, "it is forgotten here, and nowhere else");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_policy_is_renamed_in_place_and_a_stage_is_another_one() -> Outcome {
    let config = |policy: &str, stage: &str| {
        format!(
            r#"resource "lockstep_promotion_policy" "prod" {{
              name = "{policy}"
              mode = "manual"
              stages {{ names = ["prod"] }}
            }}
            resource "lockstep_stage" "prod" {{
              name = "{stage}"
              request {{ warehouse = "shop" }}
            }}"#
        )
    };
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let client: Client = site.client()?;
        let root = root(tool, &site.lockstepd, &config("prod", "prod"))?;
        root.apply().await?;
        let before: Policy = client.get(PROJECT, "prod").await?;
        root.write("main.tf", &config("prod-gates", "prod"))?;
        let plan = root.plan(&[]).await?;
        let update = ("lockstep_promotion_policy.prod".to_owned(), "update".to_owned());
        assert_eq!(plan.actions(), [update]);
        root.apply_saved().await?;
        stays_as_it_is(&root).await?;
        let after: Policy = client.get(PROJECT, "prod-gates").await?;
        assert_eq!(after.meta.created_at, before.meta.created_at, "it is the same policy");
        assert!(client.find::<Policy>(PROJECT, "prod").await?.is_none());

        root.write("main.tf", &config("prod-gates", "production"))?;
        let plan = root.plan(&[]).await?;
        let replace = ("lockstep_stage.prod".to_owned(), "delete, create".to_owned());
        assert_eq!(plan.actions(), [replace]);
        root.apply_saved().await?;
        stays_as_it_is(&root).await
    })
    .await
}

#[tokio::test]
async fn what_others_change_is_drift_and_what_others_remove_is_made_again() -> Outcome {
    let config = r#"resource "lockstep_promotion_policy" "dev" {
      name = "dev"
      mode = "automatic"
      stages { names = ["dev"] }
    }
    resource "lockstep_project" "blog" { name = "blog" }"#;
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let root = root(tool, &site.lockstepd, config)?;
        root.apply().await?;
        let manual = serde_json::json!({ "mode": "manual", "stages": { "names": ["dev"] } });
        site.policy("dev", &manual).await?;
        let client = site.client()?;
        let any = reconciler_api::v1::Precondition::None;
        client.delete(reconciler_api::v1::Kind::Project, "blog", "blog", any).await?;
        let plan = root.plan(&[]).await?;
        let actions = [
            ("lockstep_project.blog".to_owned(), "create".to_owned()),
            ("lockstep_promotion_policy.dev".to_owned(), "update".to_owned()),
        ];
        let mut planned = plan.actions();
        planned.sort();
        assert_eq!(planned, actions);
        root.apply().await?;
        stays_as_it_is(&root).await?;
        // What is gone already is no error when it is destroyed.
        client.delete(reconciler_api::v1::Kind::Project, "blog", "blog", any).await?;
        root.run(&["destroy", "-auto-approve", "-refresh=false"]).await?.ok()?;
        site.stage("dev", &serde_json::json!({ "requests": direct() })).await.map(drop)
    })
    .await
}
