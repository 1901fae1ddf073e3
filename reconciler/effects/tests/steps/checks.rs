//! Measurements of a real Prometheus and of scripted answers.

use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use reconciler_domain::verification::{
    Check, FrozenCheck, HttpCheck, Measured, Measurement, PrometheusCheck,
};
use reconciler_effects::Effects;
use serde_json::{Value, json};

use crate::support::{Server, free_port, program, scripted, serve};
use crate::world::{World, shop};

async fn measure(effects: &Effects, check: Check) -> Measurement {
    let frozen = FrozenCheck {
        name: "smoke/check".to_owned(),
        check,
        initial_delay: Duration::ZERO,
        interval: Duration::from_secs(1),
        count: 1,
        failure_limit: 0,
        deadline: Duration::from_secs(60),
    };
    effects.measure(&shop(), &frozen, jiff::Timestamp::now()).await
}

fn http(url: &str, success: &str) -> Check {
    Check::Http(HttpCheck {
        url: url.to_owned(),
        method: "GET".to_owned(),
        headers: [].into(),
        body: None,
        timeout: Duration::from_secs(5),
        success: success.to_owned(),
    })
}

#[tokio::test]
async fn answers_pass_fail_or_say_nothing() {
    let world = World::new().await;
    let effects = world.open();
    let big = "x".repeat(100_000);
    let router = Router::new()
        .route("/ready", any(|| async { axum::Json(json!({ "ready": true })) }))
        .route("/down", any(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/big", any(|| async { big }));
    let server = scripted(router).await;
    let check = async |path: &str, success: &str| {
        measure(&effects, http(server.join(path).unwrap().as_str(), success)).await
    };
    let ready = check("ready", "response.json.ready").await;
    assert_eq!((ready.measured, ready.check.as_str()), (Measured::Pass, "smoke/check"));
    assert_eq!(ready.evidence, json!({ "status": 200, "body": "{\"ready\":true}" }));
    let down = check("down", "response.status == 200").await;
    assert_eq!(down.measured, Measured::Fail);
    assert_eq!(down.detail, "503 without a body; `response.status == 200` does not hold");
    assert_eq!(check("ready", "response.json.reddy").await.measured, Measured::Unknown);
    assert_eq!(check("ready", "response.status").await.measured, Measured::Unknown);
    let big = check("big", "response.status == 200").await;
    assert!(big.evidence.to_string().len() < 10_000);
    let closed = format!("http://127.0.0.1:{}/", free_port());
    let closed = measure(&effects, http(&closed, "true")).await;
    assert_eq!((closed.measured, closed.evidence), (Measured::Unknown, Value::Null));
    assert!(closed.detail.contains("cannot connect"), "{}", closed.detail);
}

async fn start() -> Server {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let config = format!(
        "scrape_configs: [{{job_name: self, scrape_interval: 1s, \
         static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]"
    );
    std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    let mut command = Command::new(program("prometheus"));
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    serve(dir, port, &mut command).await
}

#[tokio::test]
async fn samples_pass_fail_or_say_nothing() {
    let (world, server) = (World::new().await, start().await);
    let effects = world.open();
    let check = async |query: &str, success: &str| {
        let check = PrometheusCheck {
            address: server.url.to_string(),
            query: query.to_owned(),
            timeout: Duration::from_secs(10),
            success: success.to_owned(),
        };
        measure(&effects, Check::Prometheus(check)).await
    };
    // Until the first scrape there is nothing to measure, which is no verdict.
    let up = loop {
        let up = check("up", "result.value == 1.0").await;
        if up.measured != Measured::Unknown {
            break up;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((up.measured, up.detail.as_str()), (Measured::Pass, "the value is 1"));
    assert_eq!(up.evidence["samples"][0]["labels"]["job"], "self");
    assert_eq!(check("up", "result.value > 1.0").await.measured, Measured::Fail);
    let labels = r#"result.samples.all(s, s.labels.job == "self" && s.value >= 1.0)"#;
    assert_eq!(check("up", labels).await.measured, Measured::Pass);
    assert_eq!(check("2 * 3", "result.value == 6.0").await.measured, Measured::Pass);
    let series = r#"label_replace(vector(1), "a", "1", "", "") or label_replace(vector(2), "a", "2", "", "")"#;
    assert_eq!(check(series, "result.value > 0.0").await.measured, Measured::Unknown);
    assert_eq!(check(series, "size(result.samples) == 2").await.measured, Measured::Pass);
    for query in ["no_such_series", "0 / 0", "1 / 0", "\"text\"", "up[", "up[5m]"] {
        let nothing = check(query, "true").await;
        assert_eq!(nothing.measured, Measured::Unknown, "{query}: {}", nothing.detail);
    }
}
