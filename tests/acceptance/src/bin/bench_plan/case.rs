//! What is planned, and its like of `terraform_data`.

/// A configuration of ours and its like.
pub(crate) struct Case {
    /// What is planned, for the table.
    pub(crate) name: &'static str,
    /// How many resources there are.
    pub(crate) count: usize,
    /// The resources that are counted, with `count` in their `COUNT`.
    resource: &'static str,
    /// What is there already when the first plan is made: in a project that a plan creates itself
    /// the daemon foresees nothing.
    live: &'static str,
}

/// Every case.
pub(crate) fn all() -> [Case; 4] {
    [
        Case { name: "1 project", count: 1, resource: PROJECT, live: "" },
        Case { name: "1,000 projects", count: 1_000, resource: PROJECT, live: "" },
        Case { name: "1,000 holds", count: 1_000, resource: HOLD, live: SHOP },
        Case { name: "200 stages of ten steps", count: 200, resource: STAGE, live: SHOP },
    ]
}

impl Case {
    /// The root module with our provider.
    pub(crate) fn ours(&self) -> String {
        let resource = self.resource.replace("COUNT", &self.count.to_string());
        format!("{}{resource}", self.live())
    }

    /// The root module as it is applied before anything is measured.
    pub(crate) fn live(&self) -> String {
        format!("{REQUIRED}{}", self.live)
    }

    /// The same count of `terraform_data`, each with no more than a name: the least that a plan
    /// of so many costs.
    pub(crate) fn built_in(&self) -> String {
        format!(
            "resource \"terraform_data\" \"it\" {{\n  count = {}\n  input = \"it-${{count.index}}\"\n}}\n",
            self.count
        )
    }
}

const REQUIRED: &str = r#"
terraform {
  required_providers {
    lockstep = { source = "lockstep/lockstep" }
  }
}
"#;

const PROJECT: &str = r#"
resource "lockstep_project" "it" {
  count = COUNT
  name  = "it-${count.index}"
}
"#;

const SHOP: &str = r#"
resource "lockstep_project" "shop" {
  name = "shop"
}

resource "lockstep_warehouse" "shop" {
  project = lockstep_project.shop.name
  name    = "shop"

  image {
    name       = "api"
    repo       = "127.0.0.1:9/shop/api"
    constraint = "^1.4"
    insecure   = true
  }
}

resource "lockstep_stage" "live" {
  project = lockstep_project.shop.name
  name    = "live"

  request {
    warehouse = lockstep_warehouse.shop.name
  }
}
"#;

const HOLD: &str = r#"
resource "lockstep_hold" "it" {
  count   = COUNT
  project = lockstep_project.shop.name
  name    = "it-${count.index}"
  reason  = "leaks tokens"

  artifacts {
    subscription = "api"
    version      = ">=1.4.0 <1.4.3"
  }
}
"#;

const STAGE: &str = r#"
locals {
  repo = "https://git.example.com/shop/infra.git"
}

resource "lockstep_stage" "it" {
  count   = COUNT
  project = lockstep_project.shop.name
  name    = "it-${count.index}"
  vars    = { region = "region-${count.index}" }

  request {
    warehouse = lockstep_warehouse.shop.name
  }

  steps = [
    provider::lockstep::git_clone("src", { repo = local.repo, checkout = { live = { branch = "main" } } }),
    provider::lockstep::yaml_update("values", {
      path    = "live/${count.index}/values.yaml"
      updates = { "image.tag" = "{{ freight.api.tag }}" }
    }),
    provider::lockstep::json_update("settings", {
      path    = "live/${count.index}/settings.json"
      updates = { version = "{{ freight.api.tag }}" }
    }),
    provider::lockstep::git_commit("commit", { dir = "live", message = "api {{ freight.api.tag }} to ${count.index}" }),
    provider::lockstep::git_push("push", { dir = "live" }),
    provider::lockstep::tf_plan("plan", { dir = "live/infra", vars = { image = "{{ freight.api.ref }}" } }),
    provider::lockstep::tf_apply("apply", { plan = "plan" }),
    provider::lockstep::tf_output("out", { dir = "live/infra" }),
    provider::lockstep::http("notify", { url = "https://deploy.example.com/hooks/${count.index}", method = "POST" }),
    provider::lockstep::wait("settle", { duration = "30s" }),
  ]
}
"#;
