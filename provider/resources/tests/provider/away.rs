//! A daemon that does not answer, and an interrupt meanwhile: every call that there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use futures::future::join_all;
use provider_kit::client::{Calls, Client, Object, texts};
use provider_protocol::cty::Value;
use provider_protocol::wire::tfplugin6 as wire;
use provider_resources::Lockstep;

use crate::daemon::Daemon;
use crate::trouble::{Rogue, say};
use crate::wire::{beside, block_on, configure, data, invoke, list, open, whole};

/// A call of the provider.
#[derive(Clone, Copy, Debug)]
enum Call {
    Data(&'static str, &'static [(&'static str, &'static str)]),
    Action(&'static str, &'static [(&'static str, &'static str)]),
    List(&'static str),
    PromotionRead,
    PromotionCreate,
    Open,
    Renew,
    Close,
}

use Call::{Action, Close, Data, List, Open, PromotionCreate, PromotionRead, Renew};

/// Every call: what it asks of the daemon first, and what it does in its own words.
const CALLS: &[(Call, &str, &str)] = &[
    (Data("lockstep_stage", &[("name", "dev")]), "GET stages/dev", "read stage shop/dev"),
    (Data("lockstep_pipeline", &[]), "GET pipeline", "read the pipeline of shop"),
    (Data("lockstep_freight", &[("id", "abcd")]), "GET freight/abcd", "read freight abcd"),
    (Data("lockstep_freight", &[("warehouse", "shop")]), "GET freight?", "read the newest freight"),
    (Data("lockstep_freights", &[]), "GET freight", "list the freight of shop"),
    (
        Data("lockstep_promotion", &[("name", "dev.1")]),
        "GET promotions/dev.1",
        "read promotion shop/dev.1",
    ),
    (Data("lockstep_promotion", &[("stage", "dev")]), "GET promotions?", "list promotions of shop"),
    (
        Data("lockstep_policy_preview", &[("name", "prod"), ("policy", POLICY)]),
        "POST preview",
        "preview a policy of shop",
    ),
    (
        Action("lockstep_approve", &[("promotion", "dev.1"), ("digest", "sha256:0")]),
        "POST promotions/dev.1/approve",
        "approve promotion shop/dev.1",
    ),
    (
        Action("lockstep_abort", &[("promotion", "dev.1"), ("reason", "late")]),
        "POST promotions/dev.1/abort",
        "abort promotion shop/dev.1",
    ),
    (
        Action("lockstep_refresh", &[("warehouse", "shop")]),
        "POST warehouses/shop/refresh",
        "refresh warehouse shop/shop",
    ),
    (
        Action("lockstep_promote", &[("stage", "dev")]),
        "POST promotions",
        "promote to stage shop/dev",
    ),
    (
        Action("lockstep_reverify", &[("stage", "dev")]),
        "POST stages/dev/reverify",
        "verify stage shop/dev anew",
    ),
    (List("lockstep_stage"), "GET stages", "list stages"),
    (PromotionRead, "GET promotions/dev.1", "read promotion shop/dev.1"),
    (PromotionCreate, "POST promotions", "promote to stage shop/dev"),
    (Open, "POST /v1/whoami/tokens", "mint a token"),
    (Renew, "POST /v1/whoami/tokens/ada~1/renew", "renew token ada~1"),
    (Close, "DELETE /v1/whoami/tokens/ada~1", "Token ada~1 was not ended"),
];

const POLICY: &str = r#"{ "mode": "manual", "stages": { "names": ["prod"] } }"#;

/// What an open token keeps.
const MINTED: &[u8] = br#"{"name":"ada~1","lifetime":"1h"}"#;

/// Longer than whatever is waited for after an interrupt, shorter than a request may take.
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// The promotion as it was read before.
fn promotion(client: &mut Client) -> Object {
    let ty = &client.resource("lockstep_promotion").ty;
    let fields = [
        ("id", Value::from("shop/dev.1")),
        ("project", "shop".into()),
        ("stage", "dev".into()),
        ("promotion", "dev.1".into()),
        ("freight", "abcd".into()),
        ("enforce", false.into()),
    ];
    let private = br#"{"v":1,"freight":"abcd"}"#.to_vec();
    Object { value: whole(&fields, ty), private, identity: Value::Null }
}

impl Call {
    /// Makes the call; what was told.
    async fn make(self, client: &mut Client) -> Vec<String> {
        let of = |fields: &[(&'static str, &'static str)]| -> Vec<(&'static str, Value)> {
            fields.iter().map(|(name, text)| (*name, Value::from(*text))).collect()
        };
        match self {
            Data(type_name, fields) => data(client, type_name, &of(fields)).await.1,
            Action(action, fields) => invoke(client, action, &of(fields)).await.1,
            List(type_name) => list(client, type_name, &[], (0, false)).await.1,
            PromotionRead => {
                let state = promotion(client);
                let told = client.resource("lockstep_promotion").read(&state).await;
                assert_eq!(told.answer, state, "what could not be read stays as it was");
                texts(&told.diags)
            }
            PromotionCreate => {
                let mut resource = client.resource("lockstep_promotion");
                let config = [("stage", Value::from("dev")), ("newest", true.into())];
                let planned = whole(&config, &resource.ty).with("project", "shop");
                let found = ["id", "promotion", "freight_id", "phase", "digest"];
                let planned = found
                    .into_iter()
                    .fold(planned, |planned, name| planned.with(name, Value::unknown()));
                let planned = Object { value: planned, ..Object::default() };
                let config = whole(&config, &resource.ty);
                texts(&resource.apply(&Object::default(), &planned, &config).await.diags)
            }
            Open => open(client, "lockstep_token", &[]).await.2,
            Renew => {
                let request = wire::renew_ephemeral_resource::Request {
                    type_name: "lockstep_token".to_owned(),
                    private: Some(MINTED.to_vec()),
                };
                let renewed = client.calls.renew_ephemeral_resource(request).await.unwrap();
                texts(&renewed.into_inner().diagnostics)
            }
            Close => {
                let request = wire::close_ephemeral_resource::Request {
                    type_name: "lockstep_token".to_owned(),
                    private: Some(MINTED.to_vec()),
                };
                let closed = client.calls.close_ephemeral_resource(request).await.unwrap();
                texts(&closed.into_inner().diagnostics)
            }
        }
    }
}

/// A request as the daemon sees it begin.
fn line(request: &str) -> String {
    match request.split_once(' ') {
        Some((_, path)) if path.starts_with('/') => request.to_owned(),
        Some((method, path)) => format!("{method} /v1/projects/shop/{path}"),
        None => panic!("{request}"),
    }
}

/// Interrupts a call as soon as its request has arrived; what was told.
async fn interrupted(
    daemon: &Daemon,
    request: &str,
    mut calls: Calls,
    call: impl Future<Output = Vec<String>>,
) -> Vec<String> {
    let (arrived, arrivals) = channel();
    daemon.world().hang = Some((line(request), arrived));
    let interrupt = async {
        tokio::task::spawn_blocking(move || arrivals.recv().unwrap()).await.unwrap();
        calls.stop_provider(wire::stop_provider::Request {}).await.unwrap();
    };
    let both = async { tokio::join!(call, interrupt).0 };
    let told = tokio::time::timeout(STOPS_WITHIN, both).await;
    told.unwrap_or_else(|_| panic!("{request} is waited for"))
}

async fn check(daemon: &Daemon, call: Call, request: &str, what: &str) {
    let mut client = Client::in_process(Lockstep).await;
    let slow = [("project", Value::from("shop")), ("request_timeout", "10m".into())];
    assert_eq!(configure(&mut client, &daemon.endpoint, &slow).await, [""; 0]);
    let told = interrupted(daemon, request, client.calls.clone(), call.make(&mut client)).await;
    assert_eq!(told.len(), 1, "{call:?}: {told:?}");
    assert!(told[0].contains("interrupted") && told[0].contains(what), "{call:?}: {told:?}");
}

#[test]
fn an_interrupt_ends_every_wait() {
    let daemons: Vec<Daemon> = CALLS.iter().map(|_| Daemon::start()).collect();
    let calls = CALLS.iter().zip(&daemons);
    let checks = calls.map(|((call, request, what), daemon)| check(daemon, *call, request, what));
    block_on(join_all(checks));
}

#[test]
fn an_interrupt_ends_the_greeting() {
    let daemon = Daemon::start();
    beside(&daemon, async |daemon| {
        let mut client = Client::in_process(Lockstep).await;
        let slow = [("request_timeout", Value::from("10m"))];
        let other = client.calls.clone();
        let greeting = configure(&mut client, &daemon.endpoint, &slow);
        let told = interrupted(daemon, "GET /v1/whoami", other, greeting).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("Interrupted: configure the provider"), "{told:?}");
    });
}

/// The first that needs the daemon waits for it; what follows fails at once, with the same words.
#[tokio::test]
async fn a_daemon_that_is_away_is_waited_for_once() {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let rogue = Rogue::start(move |request, stream| {
        if request.starts_with("GET /v1/whoami ") {
            let greeting = "200 OK\r\ncontent-type: application/json";
            return say(stream, greeting, r#"{"name":"alice","groups":[],"admin":true}"#);
        }
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let mut client = Client::in_process(Lockstep).await;
    let project = [("project", Value::from("shop"))];
    assert_eq!(configure(&mut client, &rogue.endpoint, &project).await, [""; 0]);
    let (first, _, _) = CALLS[0];
    let why = first.make(&mut client).await;
    let why = why[0].split_once(": ").unwrap().1.split_once(": ").unwrap().1.to_owned();
    let attempts = asked.load(Ordering::SeqCst);
    assert!(attempts > 1, "a read is tried again");
    let mut warned = 0;
    for (call, _, what) in CALLS {
        let told = call.make(&mut client).await;
        match call {
            // Nothing depends on its answer, and nothing else tells the daemon to forget it.
            Close => {
                assert!(told[0].starts_with("warning") && told[0].contains(what), "{told:?}");
                continue;
            }
            PromotionRead => {
                assert!(told[0].contains("Lockstep is not reachable"), "{told:?}");
                warned += 1;
            }
            Data(..) | Action(..) | List(_) | PromotionCreate | Open | Renew => {
                assert_eq!(told, [format!("error at : Cannot {what}: {why}")], "{call:?}");
            }
        }
        assert_eq!(asked.load(Ordering::SeqCst), attempts, "{call:?} waited anew");
    }
    assert_eq!(warned, 1);
}
