//! The parts that scenarios make pipelines of: an infra module, values, steps.

use serde_json::{Value, json};

use crate::site::Site;

/// The infra module. The database marks its creation and its end, so that both can be counted; its
/// address is known only once it is there. Its creation waits for the file `gate`, if one is named.
pub(crate) fn module_text() -> &'static str {
    r#"variable "environment" { type = string }
variable "release" { type = string }
variable "marks" { type = string }

variable "gate" {
  type    = string
  default = ""
}

resource "terraform_data" "database" {
  input = { environment = var.environment, marks = var.marks, gate = var.gate }

  provisioner "local-exec" {
    command = "echo '${self.input.environment}' >> '${self.input.marks}/created'; while [ -n '${self.input.gate}' ] && [ ! -e '${self.input.gate}' ]; do sleep 0.05; done"
  }

  provisioner "local-exec" {
    when    = destroy
    command = "echo '${self.input.environment}' >> '${self.input.marks}/destroyed'"
  }
}

resource "terraform_data" "service" {
  input = var.release
}

output "database_url" {
  value = "postgres://${terraform_data.database.id}.db.internal"
}

output "release" {
  value = terraform_data.service.output
}
"#
}

/// The values of an environment before Lockstep ever wrote to them.
pub(crate) fn values_text(environment: &str) -> String {
    format!(
        "# The shop in {environment}.\nreplicas: 2\n\n# Set by Lockstep.\nrelease: none\n\
         database:\n  url: none\n  pool: 10\n"
    )
}

/// A step.
pub(crate) fn step(name: &str, uses: &str, config: &Value) -> Value {
    json!({ "name": name, "uses": uses, "config": config })
}

/// A request for everything that the warehouse `shop` makes.
pub(crate) fn direct() -> Value {
    json!([{ "warehouse": "shop" }])
}

/// A request for what these stages have verified.
pub(crate) fn after(stages: &[&str]) -> Value {
    json!([{ "warehouse": "shop", "from": stages }])
}

/// Writes the release into the environment's values, and pushes that.
pub(crate) fn app_steps(site: &Site) -> Vec<Value> {
    let updates = json!({ "release": "{{ freight.infra.commit }}" });
    vec![clone_gitops(site), update(&updates), commit(), push()]
}

/// Applies the infra module.
pub(crate) fn infra_steps(site: &Site) -> Vec<Value> {
    vec![clone_infra(site), plan(site, &json!({})), apply()]
}

/// Both as one: the application is told what the infrastructure's apply brought about.
pub(crate) fn both_steps(site: &Site) -> Vec<Value> {
    let updates = json!({
        "release": "{{ freight.infra.commit }}",
        "database.url": "{{ steps.outputs.database_url }}",
    });
    let outputs = step("outputs", "tf_output", &json!({ "dir": "infra/modules/shop" }));
    let mut steps = infra_steps(site);
    steps.extend([outputs, clone_gitops(site), update(&updates), commit(), push()]);
    steps
}

pub(crate) fn clone_infra(site: &Site) -> Value {
    let checkout = json!({ "infra": { "commit": "{{ freight.infra.commit }}" } });
    step("infra", "git_clone", &json!({ "repo": site.infra.url, "checkout": checkout }))
}

/// Plans the module with more variables than those it needs.
pub(crate) fn plan(site: &Site, more: &Value) -> Value {
    let mut vars = json!({
        "environment": "{{ stage.name }}",
        "release": "{{ freight.infra.commit }}",
        "marks": site.marks().display().to_string(),
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        vars[name] = value.clone();
    }
    step("plan", "tf_plan", &json!({ "dir": "infra/modules/shop", "vars": vars }))
}

pub(crate) fn apply() -> Value {
    step("apply", "tf_apply", &json!({ "plan": "plan" }))
}

pub(crate) fn clone_gitops(site: &Site) -> Value {
    let checkout = json!({ "gitops": { "branch": "main" } });
    step("gitops", "git_clone", &json!({ "repo": site.gitops.url, "checkout": checkout }))
}

pub(crate) fn update(updates: &Value) -> Value {
    let path = "gitops/apps/{{ stage.name }}/values.yaml";
    step("values", "yaml_update", &json!({ "path": path, "updates": updates }))
}

pub(crate) fn commit() -> Value {
    let message = "shop to {{ stage.name }}";
    step("commit", "git_commit", &json!({ "dir": "gitops", "message": message }))
}

pub(crate) fn push() -> Value {
    step("push", "git_push", &json!({ "dir": "gitops" }))
}

/// Sends a request that may be repeated.
pub(crate) fn call(name: &str, url: &str) -> Value {
    let body = json!({ "stage": "{{ stage.name }}" });
    let config = json!({ "url": url, "method": "POST", "body": body, "delivery": "at_least_once" });
    step(name, "http", &config)
}

/// A verification by one request, which is sent again until it has been good `count` times.
pub(crate) fn health(url: &str, count: u32) -> Value {
    json!({
        "interval": "100ms", "count": count, "deadline": "1m",
        "http": [{ "name": "health", "url": url, "success": "response.status == 200" }],
    })
}

/// The use of a verification by a stage.
pub(crate) fn verified_by(template: &str) -> Value {
    json!([{ "name": template, "template": template }])
}

/// A policy under which a person starts promotions and failures are undone.
pub(crate) fn undone(stages: &str) -> Value {
    json!({
        "mode": "manual", "stages": { "names": [stages] },
        "rollback": { "on": ["promotion_failed", "verification_failed"] },
    })
}
