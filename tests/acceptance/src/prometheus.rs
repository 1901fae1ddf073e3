//! Prometheus: Debian's, scraping one target.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{self, Process};
use crate::wait::eventually;
use crate::{At as _, Failure, Outcome};

/// How long the first scrape may take.
const SCRAPES_WITHIN: Duration = Duration::from_secs(30);

/// A running Prometheus with its samples in a temporary folder.
pub struct Prometheus {
    process: Process,
    port: u16,
    http: reqwest::Client,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `target`, `host:port`, four times a second, and waits for the first
    /// scrape.
    ///
    /// # Errors
    /// It is not installed, does not start, or cannot scrape.
    pub async fn start(target: &str) -> Outcome<Self> {
        let program = process::program("prometheus")?;
        let dir = process::folder("prometheus")?;
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\n\
             scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(&config, text).at("the configuration of prometheus")?;
        let (process, port) = Process::listening(&dir.path().join("prometheus.log"), |port| {
            let mut command = Command::new(&program);
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            command.current_dir(dir.path());
            Ok(command)
        })
        .await?;
        let http = reqwest::Client::builder().no_proxy().build().at("an HTTP client")?;
        let started = Self { process, port, http, _dir: dir };
        eventually(SCRAPES_WITHIN, "prometheus scrapes the application", async || {
            match started.query("up{job=\"app\"} == 1").await?.as_slice() {
                [] => Err(Failure::new("no sample yet")),
                _ => Ok(()),
            }
        })
        .await
        .map_err(|failure| failure.with("its log", &started.process.log_tail()))?;
        Ok(started)
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The samples of an instant query, as its API answers them.
    ///
    /// # Errors
    /// It refuses the query.
    pub async fn query(&self, query: &str) -> Outcome<Vec<Value>> {
        let base = format!("{}/api/v1/query", self.url());
        let url = reqwest::Url::parse_with_params(&base, [("query", query)]).at(&base)?;
        let answer = self.http.get(url).send().await.at(query)?;
        let mut body: Value = answer.json().await.at(query)?;
        match body["data"]["result"].take() {
            Value::Array(samples) => Ok(samples),
            _ => Err(Failure::new(format!("{query}: {body}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{App, values_file};
    use crate::git::GitServer;

    #[tokio::test]
    async fn it_scrapes_the_application() -> Outcome {
        let server = GitServer::start().await?;
        let gitops = server.create("gitops").await?;
        gitops.commit("values", &[(&values_file("prod"), "image:\n  tag: 1.0.0\n")]).await?;
        let app = App::start(&gitops, &["prod"]).await?;
        let prometheus = Prometheus::start(&app.target()).await?;
        let samples = prometheus.query("http_errors_total").await?;
        assert_eq!(samples[0]["metric"]["version"], "1.0.0");
        Ok(())
    }
}
