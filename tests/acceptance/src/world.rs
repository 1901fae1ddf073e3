//! All of it together: repositories, a registry, an application, Prometheus, a daemon, and a small
//! shop that is promoted through three environments.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::app::{App, values_file};
use crate::git::{GitServer, Repo};
use crate::lockstepd::{Lockstepd, Settings};
use crate::prometheus::Prometheus;
use crate::registry::Registry;

/// The project of the shop.
pub const PROJECT: &str = "shop";
/// The image of the shop, in the registry.
pub const IMAGE: &str = "shop/api";
/// Where the shop runs, in the order of promotion.
pub const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "prod"];
/// The infra module of the shop, in the infra repository.
pub const MODULE: &str = "modules/shop";

/// The infra module: `queue_id` is known only once the queue is there.
const MODULE_TEXT: &str = r#"variable "environment" {
  type = string
}

variable "image" {
  type = string
}

# Made once per environment. Nobody knows its id before.
resource "terraform_data" "queue" {
  input = var.environment
}

# Changes with each release.
resource "terraform_data" "service" {
  input = {
    environment = var.environment
    image       = var.image
    queue       = terraform_data.queue.id
  }
}

output "queue_id" {
  value = terraform_data.queue.id
}

output "image" {
  value = terraform_data.service.output.image
}
"#;

/// Everything, running. Dropping it ends everything.
pub struct World {
    /// The daemon.
    pub lockstepd: Lockstepd,
    /// Prometheus, scraping the application.
    pub prometheus: Prometheus,
    /// What stands for the deployed application.
    pub app: App,
    /// The registry.
    pub registry: Registry,
    /// The repository with the infra module.
    pub infra: Repo,
    /// The repository with each environment's values.
    pub gitops: Repo,
    /// The server of both.
    pub git: GitServer,
}

impl World {
    /// Starts everything and fills the repositories. There is no image yet.
    ///
    /// # Errors
    /// A program is missing or does not start.
    pub async fn start() -> Outcome<Self> {
        Self::start_with(Settings::default()).await
    }

    /// The same, with settings of the daemon.
    ///
    /// # Errors
    /// A program is missing or does not start.
    pub async fn start_with(settings: Settings) -> Outcome<Self> {
        let git = GitServer::start().await?;
        let infra = git.create("infra").await?;
        infra.commit("shop: queue and service", &[(&module_file(), MODULE_TEXT)]).await?;
        let gitops = git.create("gitops").await?;
        let files = ENVIRONMENTS.map(|name| (values_file(name), values(name)));
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        gitops.commit("apps: values of each environment", &files).await?;
        let registry = Registry::start().await?;
        let app = App::start(&gitops, &ENVIRONMENTS).await?;
        let prometheus = Prometheus::start(&app.target()).await?;
        let lockstepd = Lockstepd::start_with(settings).await?;
        Ok(Self { lockstepd, prometheus, app, registry, infra, gitops, git })
    }

    /// Publishes an image of the shop; answers with its digest.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn release(&self, version: &str) -> Outcome<String> {
        self.registry.push(IMAGE, version, Timestamp::now()).await
    }

    /// Changes the infra module by a comment at its end; answers with the commit.
    ///
    /// # Errors
    /// Git fails.
    pub async fn touch_infra(&self, message: &str) -> Outcome<String> {
        let text = self.infra.read("main", &module_file()).await?;
        self.infra.commit(message, &[(&module_file(), &format!("{text}\n# {message}\n"))]).await
    }

    /// The input variables that `examples/terraform/quickstart` has no defaults for, and times
    /// that suit a machine better than people.
    #[must_use]
    pub fn variables(&self) -> Map<String, Value> {
        let variables = json!({
            "infra_repo": self.infra.url,
            "gitops_repo": self.gitops.url,
            "image_repo": self.registry.repo(IMAGE),
            "insecure_registry": true,
            "app_urls": ENVIRONMENTS.map(|name| (name, self.app.url(name))).into_iter().collect::<BTreeMap<_, _>>(),
            "prometheus_url": self.prometheus.url(),
            "interval": "1s",
            "verification_interval": "1s",
            "settle": "1s",
            "soak": "3s",
        });
        match variables {
            Value::Object(variables) => variables,
            _ => unreachable!("an object was written"),
        }
    }
}

fn module_file() -> String {
    format!("{MODULE}/main.tf")
}

fn values(environment: &str) -> String {
    format!(
        "# The shop in {environment}. Lockstep writes image.tag and queue.id; the rest is ours.\n\
         replicas: 2\n\
         image:\n\
         \x20 repository: registry.example.com/{IMAGE}\n\
         \x20 tag: \"0.0.0\"   # the release\n\
         queue:\n\
         \x20 id: \"\"         # an output of the infra module\n\
         \x20 consumers: 10\n"
    )
}
