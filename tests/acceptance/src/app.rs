//! Stands for the deployed application.
//!
//! This is the one part of the world that is not real: nothing is deployed here. For each
//! environment it reads which version the GitOps repository asks for, as if a sync tool had just
//! brought it, and reports that version healthy, unless a test said that it is not.
//!
//! ```text
//! GET /ENVIRONMENT/health    200 or 503: {"environment", "version", "healthy"}
//! GET /metrics               http_errors_total{service="shop", environment, version}
//! ```
//!
//! Of an unhealthy version the errors grow with every look at the metrics, of a healthy one never.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::Outcome;
use crate::git::Repo;
use crate::hosting::Hosted;

/// A running application; dropping it stops it.
pub struct App {
    hosted: Hosted,
    deployment: Arc<Deployment>,
}

struct Deployment {
    gitops: Repo,
    environments: Vec<String>,
    broken: Mutex<BTreeSet<Deployed>>,
    errors: Mutex<BTreeMap<Deployed, u64>>,
}

/// An environment and a version in it.
type Deployed = (String, String);

/// The file in which an environment's version is: `image.tag` in `apps/ENVIRONMENT/values.yaml`.
#[must_use]
pub fn values_file(environment: &str) -> String {
    format!("apps/{environment}/values.yaml")
}

impl App {
    /// Starts an application that is deployed to these environments from a GitOps repository.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(gitops: &Repo, environments: &[&str]) -> Outcome<Self> {
        let environments = environments.iter().map(|&name| name.to_owned()).collect();
        let (gitops, broken, errors) = (gitops.clone(), Mutex::default(), Mutex::default());
        let deployment = Arc::new(Deployment { gitops, environments, broken, errors });
        let router = Router::new()
            .route("/{environment}/health", get(health))
            .route("/metrics", get(metrics))
            .with_state(Arc::clone(&deployment));
        Ok(Self { hosted: Hosted::start(router).await?, deployment })
    }

    /// Its base URL in an environment.
    #[must_use]
    pub fn url(&self, environment: &str) -> String {
        format!("http://{}/{environment}", self.target())
    }

    /// Where it can be scraped, `host:port`.
    #[must_use]
    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.hosted.port)
    }

    /// From now on this version is unhealthy in this environment.
    pub fn break_version(&self, environment: &str, version: &str) {
        self.deployment.broken().insert((environment.to_owned(), version.to_owned()));
    }

    /// From now on this version is healthy in this environment again.
    pub fn mend_version(&self, environment: &str, version: &str) {
        self.deployment.broken().remove(&(environment.to_owned(), version.to_owned()));
    }
}

impl Deployment {
    fn broken(&self) -> MutexGuard<'_, BTreeSet<Deployed>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one error more if the version is broken; how many there were so far.
    fn errors(&self, environment: &str, version: &str) -> u64 {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let count = errors.entry((environment.to_owned(), version.to_owned())).or_default();
        *count += u64::from(!self.is_healthy(environment, version));
        *count
    }

    async fn version(&self, environment: &str) -> Outcome<String> {
        let values = self.gitops.read("main", &values_file(environment)).await?;
        Ok(tag(&values).unwrap_or_default().to_owned())
    }

    fn is_healthy(&self, environment: &str, version: &str) -> bool {
        !self.broken().contains(&(environment.to_owned(), version.to_owned()))
    }
}

/// The value of the first `tag:` of a values file.
fn tag(values: &str) -> Option<&str> {
    let line = values.lines().find_map(|line| line.trim().strip_prefix("tag:"))?;
    let value = line.split(" #").next().unwrap_or(line);
    Some(value.trim().trim_matches(['"', '\'']))
}

async fn health(
    State(deployment): State<Arc<Deployment>>,
    Path(environment): Path<String>,
) -> (StatusCode, Json<Value>) {
    let version = match deployment.version(&environment).await {
        Ok(version) => version,
        Err(failure) => {
            let error = json!({ "error": failure.to_string() });
            return (StatusCode::NOT_FOUND, Json(error));
        }
    };
    let healthy = deployment.is_healthy(&environment, &version);
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "environment": environment, "version": version, "healthy": healthy });
    (status, Json(body))
}

async fn metrics(State(deployment): State<Arc<Deployment>>) -> String {
    let name = "http_errors_total";
    let mut text = format!("# HELP {name} Requests that failed.\n# TYPE {name} counter\n");
    for environment in &deployment.environments {
        let Ok(version) = deployment.version(environment).await else { continue };
        let errors = deployment.errors(environment, &version);
        let labels =
            format!("service=\"shop\",environment=\"{environment}\",version=\"{version}\"");
        writeln!(text, "{name}{{{labels}}} {errors}").expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::At as _;
    use crate::git::GitServer;

    #[tokio::test]
    async fn it_is_healthy_until_told_otherwise() -> Outcome {
        let server = GitServer::start().await?;
        let gitops = server.create("gitops").await?;
        let values = "image:\n  # Which one.\n  tag: \"1.0.0\" # set by Lockstep\n";
        gitops.commit("values", &[(&values_file("prod"), values)]).await?;
        let app = App::start(&gitops, &["prod"]).await?;
        let http = reqwest::Client::builder().no_proxy().build().at("a client")?;
        let ask = async |url: String| {
            let answer = http.get(&url).send().await.at(&url)?;
            let status = answer.status().as_u16();
            Outcome::Ok((status, answer.text().await.at(&url)?))
        };
        let health = || format!("{}/health", app.url("prod"));
        let metrics = || format!("http://{}/metrics", app.target());
        let (status, body) = ask(health()).await?;
        let healthy = r#"{"environment":"prod","version":"1.0.0","healthy":true}"#;
        assert_eq!((status, body.as_str()), (200, healthy));
        let errors = async |expect: &str| {
            let (_, text) = ask(metrics()).await?;
            let labels = r#"service="shop",environment="prod",version="1.0.0""#;
            let line = format!("http_errors_total{{{labels}}} {expect}");
            assert_eq!(text.lines().last(), Some(line.as_str()));
            Outcome::Ok(())
        };
        errors("0").await?;
        app.break_version("prod", "1.0.0");
        assert_eq!(ask(health()).await?.0, 503);
        errors("1").await?;
        errors("2").await?;
        app.mend_version("prod", "1.0.0");
        assert_eq!(ask(health()).await?.0, 200);
        errors("2").await?;
        assert_eq!(ask(format!("{}/health", app.url("elsewhere"))).await?.0, 404);
        Ok(())
    }
}
