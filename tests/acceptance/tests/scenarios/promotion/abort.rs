//! Aborts: whatever runs is broken off within seconds, nothing of it stays, and what is left is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acceptance::{At as _, Failure, Outcome};
use axum::http::StatusCode;
use jiff::SignedDuration;
use reconciler_api::v1::{AbortPromotion, EventsQuery, Phase, Promotion};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::pipeline::{call, clone_gitops, direct, step, verified_by};
use crate::site::{PROJECT, SOON, Site};

/// From the wish in the log to the end in the log.
const WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// Marks, in the list of processes, a program that does not want to end.
const STUBBORN: &str = "86417";

/// A server that hears and says nothing, or next to nothing.
struct Mute {
    port: u16,
    heard: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Mute {
    /// `trickles`: whether a byte comes now and then.
    async fn open(trickles: bool) -> Outcome<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.at("listening on loopback")?;
        let port = listener.local_addr().at("the address listened on")?.port();
        let heard = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(listen(stream, trickles, Arc::clone(&count)));
            }
        });
        Ok(Self { port, heard, task })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hears one client for as long as it stays.
async fn listen(mut stream: TcpStream, trickles: bool, heard: Arc<AtomicUsize>) {
    let mut request = [0; 4096];
    if !matches!(stream.read(&mut request).await, Ok(1..)) {
        return;
    }
    heard.fetch_add(1, Ordering::SeqCst);
    if !trickles {
        while let Ok(1..) = stream.read(&mut request).await {}
        return;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    let mut next = stream.write_all(head.as_bytes()).await;
    while next.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        next = stream.write_all(b".").await;
    }
}

/// How it is known that the step is in the middle of its work.
enum Begun<'a> {
    /// The desk was asked at the path of the stage.
    Asked,
    /// The server heard one more.
    Heard(&'a Mute),
    /// There is a program of this number.
    Runs(String),
    /// The promotion says that it waits.
    Waits,
}

impl Begun<'_> {
    /// How often the server was heard by now.
    fn heard(&self) -> usize {
        match self {
            Self::Heard(mute) => mute.heard.load(Ordering::SeqCst),
            Self::Asked | Self::Runs(_) | Self::Waits => 0,
        }
    }
}

/// A stage whose promotion hangs, and what becomes of it when it is aborted.
struct Case<'a> {
    stage: &'static str,
    steps: Vec<Value>,
    begun: Begun<'a>,
    ends: Phase,
    /// What is said of the end, and of what is left.
    says: &'static str,
}

/// What every one of these has done before, so that something is left.
fn sent(site: &Site) -> Value {
    call("first", &site.desk.url("/first"))
}

fn hangs(program: &str) -> String {
    format!("trap '' INT TERM HUP; while :; do sleep {STUBBORN}{program}; done")
}

fn about(repo: &str, uses: &str) -> Value {
    let mut config = json!({ "repo": repo, "forge": "github", "number": 1 });
    if uses == "git_merge_pr" {
        config["commit"] = json!("1".repeat(40));
    }
    step("hangs", uses, &config)
}

/// What runs before the commit: nothing is left.
fn before_the_commit<'a>(site: &Site, mute: &'a Mute, slow: &'a Mute) -> Vec<Case<'a>> {
    let checksum = format!("sha256:{}", "0".repeat(64));
    let checkout = json!({ "src": { "branch": "main" } });
    let artifact = format!("127.0.0.1:{}/shop/api@{checksum}", mute.port);
    let case = |stage, step: Value, begun| {
        let steps = vec![clone_gitops(site), step, sent(site)];
        Case { stage, steps, begun, ends: Phase::Aborted, says: "aborted by " }
    };
    vec![
        case(
            "fetch",
            step(
                "hangs",
                "git_clone",
                &json!({ "repo": mute.url("/x.git"), "checkout": checkout }),
            ),
            Begun::Heard(mute),
        ),
        case(
            "download",
            step(
                "hangs",
                "download",
                &json!({ "url": slow.url("/f"), "to": "f", "checksum": checksum, "timeout": "1h" }),
            ),
            Begun::Heard(slow),
        ),
        case(
            "pull",
            step("hangs", "oci_pull", &json!({ "image": artifact, "to": "f" })),
            Begun::Heard(mute),
        ),
        case(
            "run",
            step(
                "hangs",
                "run",
                &json!({ "command": ["sh", "-c", hangs("1")], "dir": "gitops", "timeout": "1h" }),
            ),
            Begun::Runs(format!("{STUBBORN}1")),
        ),
    ]
}

/// What runs after it: what was done before is left, and told.
fn after_the_commit<'a>(site: &Site, mute: &'a Mute) -> Vec<Case<'a>> {
    let case = |stage, step: Value, begun, ends, says| {
        let steps = vec![sent(site), step];
        Case { stage, steps, begun, ends, says }
    };
    let aborted = |stage, step, begun| {
        case(stage, step, begun, Phase::Aborted, "step first: POST http://127.0.0.1")
    };
    let http = |path: &str, more: Value| {
        let mut config = json!({ "url": site.desk.url(path), "timeout": "1h" });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        step("hangs", "http", &config)
    };
    let poll = json!({ "poll": { "interval": "1s", "timeout": "1h" }, "timeout": "10s" });
    let program = json!({
        "command": ["sh", "-c", hangs("2")], "delivery": "at_most_once", "timeout": "1h",
    });
    let asked = json!({ "message": "go on?", "timeout": "1h" });
    let unknown = "\"step hangs: ";
    vec![
        aborted("polls", http("/polls", poll), Begun::Asked),
        aborted("held", http("/held", json!({ "method": "GET" })), Begun::Asked),
        case(
            "once",
            http("/once", json!({ "method": "POST" })),
            Begun::Asked,
            Phase::Stuck,
            unknown,
        ),
        aborted("waits", step("hangs", "wait", &json!({ "duration": "1h" })), Begun::Waits),
        aborted("asks", step("hangs", "wait_for_approval", &asked), Begun::Waits),
        case(
            "effect",
            step("hangs", "run_effect", &program),
            Begun::Runs(format!("{STUBBORN}2")),
            Phase::Stuck,
            unknown,
        ),
        aborted("merged", about(&mute.url("/a/b"), "git_wait_for_pr"), Begun::Heard(mute)),
        // It had only looked by then, and says so.
        aborted("merge", about(&mute.url("/a/b"), "git_merge_pr"), Begun::Heard(mute)),
    ]
}

#[tokio::test]
async fn whatever_runs_is_broken_off_within_five_seconds_and_what_is_left_is_told() -> Outcome {
    let site = Site::start(&[]).await?;
    let (mute, slow) = (Mute::open(false).await?, Mute::open(true).await?);
    site.desk.answer("/polls", StatusCode::SERVICE_UNAVAILABLE);
    for path in ["/held", "/once"] {
        site.desk.hold(path);
    }
    let freight = site.first_freight().await?;
    let mut cases = before_the_commit(&site, &mute, &slow);
    cases.extend(after_the_commit(&site, &mute));
    for Case { stage, steps, begun, ends, says } in cases {
        site.stage(stage, &json!({ "requests": direct(), "steps": steps })).await?;
        let heard = begun.heard();
        let id = site.promote(stage, &freight).await?;
        site.lockstepd
            .eventually(SOON, &format!("{stage} has begun"), async || {
                is_under_way(&site, stage, &id, &begun, heard).await
            })
            .await?;
        let ended =
            abort(&site, &id, ends).await.map_err(|failure| failure.with("stage", stage))?;
        let told = format!("{:?} {:?}", ended.error, ended.remaining);
        assert!(told.contains(says), "{stage}: {told}");
        assert_eq!(ended.remaining.is_empty(), ended.committed_at.is_none(), "{stage}: {told}");
    }
    site.lockstepd
        .eventually(SOON, "no program is left", async || match is_running(STUBBORN)? {
            false => Ok(()),
            true => Err(Failure::new("it still runs")),
        })
        .await
}

#[tokio::test]
async fn a_measurement_is_broken_off_too() -> Outcome {
    let site = Site::start(&[]).await?;
    site.desk.hold("/health");
    let check = json!({
        "interval": "1s", "count": 1, "deadline": "1h",
        "http": [{
            "name": "health", "url": site.desk.url("/health"), "success": "true", "timeout": "1h",
        }],
    });
    site.verification("healthy", &check).await?;
    let spec = json!({
        "requests": direct(), "steps": [sent(&site)], "verifications": verified_by("healthy"),
    });
    site.stage("health", &spec).await?;
    let id = site.promote("health", &site.first_freight().await?).await?;
    site.lockstepd
        .eventually(SOON, "it is measured", async || {
            is_under_way(&site, "health", &id, &Begun::Asked, 0).await
        })
        .await?;
    let ended = abort(&site, &id, Phase::Aborted).await?;
    assert_eq!(ended.remaining.len(), 1, "{ended:#?}");
    Ok(())
}

async fn is_under_way(
    site: &Site,
    stage: &str,
    id: &str,
    begun: &Begun<'_>,
    heard: usize,
) -> Outcome {
    let is_so = match begun {
        Begun::Asked => !site.desk.taken(&format!("/{stage}")).is_empty(),
        Begun::Heard(_) => begun.heard() > heard,
        Begun::Runs(number) => is_running(number)?,
        Begun::Waits => {
            let promotion = site.client()?.promotion(PROJECT, id).await?;
            promotion.waiting.iter().any(|waiting| waiting.message.contains("step hangs"))
        }
    };
    if is_so { Ok(()) } else { Err(Failure::new(format!("{stage} has not begun"))) }
}

/// Aborts, and makes sure that the log says that it was over soon after.
pub(super) async fn abort(site: &Site, id: &str, ends: Phase) -> Outcome<Promotion> {
    let client = site.client()?;
    client.abort(PROJECT, id, &AbortPromotion { reason: "it hangs".to_owned() }).await?;
    let ended = site.is(id, ends).await?;
    let events = client.promotion_events(PROJECT, id, &EventsQuery::default()).await?;
    let at = |kind: &str| {
        let event = events.iter().find(|event| event.kind == kind);
        event.map(|event| event.at).ok_or_else(|| Failure::new(format!("no {kind}: {events:#?}")))
    };
    let took = at("finished")?.duration_since(at("abort_requested")?);
    assert!(took <= WITHIN, "{id} took {took:#}: {events:#?}");
    let last = events.last().map(|event| event.message.as_str()).unwrap_or_default();
    for left in &ended.remaining {
        assert!(last.contains(left), "{left} is not in the log: {last}");
    }
    Ok(ended)
}

/// Whether a program with this word among its arguments runs.
fn is_running(word: &str) -> Outcome<bool> {
    let found = std::process::Command::new("pgrep").args(["-f", &format!("sleep {word}")]).output();
    Ok(!found.at("pgrep")?.stdout.is_empty())
}
