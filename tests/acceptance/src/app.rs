//! Stands for the deployed application.
//!
//! This is the one part of the world that is not real: nothing is deployed here. For each
//! environment it reads which version the GitOps repository asks for, as if a sync tool had just
//! brought it, and reports that version healthy, unless a test said that it is not.
//!
//! ```text
//! GET /ENVIRONMENT/healthz    200 or 503: {"environment", "version", "healthy"}
//! GET /metrics                app_request_errors_ratio{environment, version}: 0 or 0.5
//! ```

use std::collections::BTreeSet;
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
    /// Environment and version.
    broken: Mutex<BTreeSet<(String, String)>>,
}

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
        let (gitops, broken) = (gitops.clone(), Mutex::default());
        let deployment = Arc::new(Deployment { gitops, environments, broken });
        let router = Router::new()
            .route("/{environment}/healthz", get(health))
            .route("/metrics", get(metrics))
            .with_state(Arc::clone(&deployment));
        Ok(Self { hosted: Hosted::start(router).await?, deployment })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.hosted.port)
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
    fn broken(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
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
    let name = "app_request_errors_ratio";
    let mut text = format!("# HELP {name} Share of requests that fail.\n# TYPE {name} gauge\n");
    for environment in &deployment.environments {
        let Ok(version) = deployment.version(environment).await else { continue };
        let ratio = if deployment.is_healthy(environment, &version) { "0" } else { "0.5" };
        let labels = format!("environment=\"{environment}\",version=\"{version}\"");
        writeln!(text, "{name}{{{labels}}} {ratio}").expect("writing to a string does not fail");
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
        let ask = async |path: &str| {
            let answer = http.get(format!("{}{path}", app.url())).send().await.at(path)?;
            let status = answer.status().as_u16();
            Outcome::Ok((status, answer.text().await.at(path)?))
        };
        let (status, body) = ask("/prod/healthz").await?;
        let healthy = r#"{"environment":"prod","version":"1.0.0","healthy":true}"#;
        assert_eq!((status, body.as_str()), (200, healthy));
        app.break_version("prod", "1.0.0");
        assert_eq!(ask("/prod/healthz").await?.0, 503);
        let (_, metrics) = ask("/metrics").await?;
        let line = "app_request_errors_ratio{environment=\"prod\",version=\"1.0.0\"} 0.5";
        assert_eq!(metrics.lines().last(), Some(line));
        app.mend_version("prod", "1.0.0");
        assert_eq!(ask("/prod/healthz").await?.0, 200);
        assert_eq!(ask("/elsewhere/healthz").await?.0, 404);
        Ok(())
    }
}
