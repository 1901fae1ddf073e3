//! Every resource from its creation to its end.

use std::collections::BTreeSet;

use acceptance::terraform::{Plan, Tool, Workspace};
use acceptance::{Failure, Outcome};
use reconciler_api::client::Client;
use reconciler_api::v1::{Object, Policy, Project, Stage, Task, Verification as Checks, Warehouse};
use serde_json::Value;

use super::{root, with_each_tool};
use crate::pipeline::direct;
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
