//! Projects with credentials of their own: against a git server that wants a password, and servers
//! that tell what they were sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use jiff::Timestamp;
use reconciler_domain::credential::CredentialKind;
use reconciler_domain::id::ProjectName;
use reconciler_domain::secret::SecretRef;
use reconciler_domain::step::{Asks, Call, HttpCall, StepOutcome};
use reconciler_domain::verification::{Check, FrozenCheck, HttpCheck, Measured};
use reconciler_domain::warehouse::{Discovery, GitSource, Source};
use reconciler_effects::git::Secret;
use reconciler_effects::{Credential, Effects, EffectsConfig, Held, Holdings, Login, Workdir};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::forge::Dialect;
use crate::githttp::{Access, GitHttp};
use crate::pull_requests::comment_call;
use crate::support::scripted;
use crate::world::{REPO, World, cx, name, shop};

const PASSWORD: &str = "correct horse battery";

/// What projects hold, by name; it may change.
#[derive(Clone, Default)]
pub(crate) struct Wallets(Arc<Mutex<BTreeMap<String, Vec<Held>>>>);

#[async_trait]
impl Holdings for Wallets {
    async fn of(&self, project: &ProjectName) -> Result<Vec<Held>, String> {
        Ok(self.0.lock().unwrap().get(project.as_str()).cloned().unwrap_or_default())
    }
}

impl Wallets {
    pub(crate) fn give(&self, project: &str, held: Held) {
        self.0.lock().unwrap().entry(project.to_owned()).or_default().push(held);
    }

    fn take(&self, project: &str) {
        self.0.lock().unwrap().remove(project);
    }

    pub(crate) fn open(&self, world: &World, credentials: Vec<Credential>) -> Effects {
        let holdings = Arc::new(self.clone());
        Effects::open(EffectsConfig { holdings, credentials, ..world.config() }).unwrap()
    }
}

fn held(kind: CredentialKind, address: &str, password: &str) -> Held {
    Held {
        name: "mine".parse().unwrap(),
        kind,
        address: Some(address.parse().unwrap()),
        username: Some("ci".to_owned()),
        secrets: [("password".to_owned(), Ok(Secret::new(password)))].into(),
    }
}

fn http_call(url: &str) -> Call {
    Call::Http(http(url))
}

fn http(url: &str) -> HttpCall {
    HttpCall {
        url: url.to_owned(),
        method: "GET".to_owned(),
        headers: BTreeMap::new(),
        body: None,
        timeout: Duration::from_secs(5),
        success: "response.status == 200".to_owned(),
        failure: None,
        poll: None,
        outputs: [("said".to_owned(), "response.body".to_owned())].into(),
        at_most_once: false,
        confirm: None,
        asks: Asks::No,
        secrets: Vec::new(),
    }
}

async fn send(effects: &Effects, url: &str) -> StepOutcome {
    let (cx, call) = (cx(Workdir::Main), http_call(url));
    effects.run(&cx, &name("call"), &call, &[], &CancellationToken::new()).await.unwrap()
}

/// Answers with the `Authorization` that it was sent.
async fn echo() -> Url {
    let say = |headers: HeaderMap| async move {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        format!("sent {}", sent.unwrap_or("nothing"))
    };
    scripted(Router::new().route("/v1/hook", get(say)).route("/other", get(say))).await
}

async fn private_git(world: &World) -> GitHttp {
    let (username, password) = ("ci".to_owned(), PASSWORD.to_owned());
    let access = Access::Basic { username, password };
    GitHttp::start(world.path("served"), access).await.unwrap()
}

fn source(server: &GitHttp) -> Source {
    Source::Git(GitSource {
        repo: server.url(REPO),
        branch: "main".to_owned(),
        include_paths: Vec::new(),
        exclude_paths: Vec::new(),
        discovery_limit: 20,
    })
}

async fn look(effects: &Effects, project: &ProjectName, source: &Source) -> Result<usize, String> {
    let found =
        effects.discover(project, source, &Discovery::default(), Timestamp::UNIX_EPOCH).await;
    found.error.map_or(Ok(found.versions.len()), |error| Err(error.message))
}

#[tokio::test]
async fn a_repository_opens_for_the_project_that_has_its_password() {
    let world = World::new().await;
    let server = private_git(&world).await;
    let (wallets, source) = (Wallets::default(), source(&server));
    let effects = wallets.open(&world, Vec::new());
    let refused = look(&effects, &shop(), &source).await.unwrap_err();
    assert!(refused.contains("none were sent"), "{refused}");
    wallets.give("shop", held(CredentialKind::Git, &server.url(""), PASSWORD));
    assert_eq!(look(&effects, &shop(), &source).await, Ok(1));
    // What the shop fetched is no other project's to read.
    let other = look(&effects, &"other".parse().unwrap(), &source).await.unwrap_err();
    assert!(other.contains("none were sent"), "{other}");
    // A changed password is used at once, in both directions.
    wallets.take("shop");
    wallets.give("shop", held(CredentialKind::Git, &server.url(""), "wrong password"));
    let wrong = look(&effects, &shop(), &source).await.unwrap_err();
    assert!(wrong.contains("401") && !wrong.contains("wrong password"), "{wrong}");
    // Of another kind, or for another place, it is not sent.
    for held in [
        held(CredentialKind::Http, &server.url(""), PASSWORD),
        held(CredentialKind::Git, &server.url("elsewhere"), PASSWORD),
    ] {
        wallets.take("shop");
        wallets.give("shop", held);
        let refused = look(&effects, &shop(), &source).await.unwrap_err();
        assert!(refused.contains("none were sent"), "{refused}");
    }
}

#[tokio::test]
async fn a_projects_own_credential_comes_before_the_configured_one() {
    let world = World::new().await;
    let server = private_git(&world).await;
    let (wallets, source) = (Wallets::default(), source(&server));
    let password = Secret::new(PASSWORD);
    let configured = Login::Basic { username: "ci".to_owned(), password };
    let configured = Credential::new(&server.url(REPO), configured).unwrap();
    let effects = wallets.open(&world, vec![configured]);
    assert_eq!(look(&effects, &shop(), &source).await, Ok(1));
    wallets.give("shop", held(CredentialKind::Git, &server.url(""), "wrong password"));
    assert!(look(&effects, &shop(), &source).await.is_err(), "though the other is more exact");
    let unreadable = Held {
        secrets: [("password".to_owned(), Err("the file is gone".to_owned()))].into(),
        ..held(CredentialKind::Git, &server.url(REPO), PASSWORD)
    };
    wallets.give("shop", unreadable);
    let told = look(&effects, &shop(), &source).await.unwrap_err();
    assert!(told.contains("credential mine cannot be used: the file is gone"), "{told}");
}

#[tokio::test]
async fn a_request_is_signed_below_its_address_and_what_comes_back_is_cleaned() {
    let (world, server) = (World::new().await, echo().await);
    let wallets = Wallets::default();
    let effects = wallets.open(&world, Vec::new());
    let address = format!("{server}v1");
    wallets.give("shop", held(CredentialKind::Http, &address, PASSWORD));
    let said = async |url: String| match send(&effects, &url).await {
        StepOutcome::Done { outputs, .. } => outputs["said"].as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    // The server answers with `ci:correct horse battery` in base64.
    let signed = said(format!("{server}v1/hook")).await;
    assert!(signed.starts_with("sent Basic "), "{signed}");
    for form in ["Y2k6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5", PASSWORD] {
        assert!(!signed.contains(form), "{signed}");
    }
    assert_eq!(said(format!("{server}other")).await, "sent nothing");
    assert_eq!(said(format!("{server}v1/../other")).await, "sent nothing");
    let check = FrozenCheck {
        name: "smoke/check".to_owned(),
        check: Check::Http(HttpCheck {
            url: format!("{server}v1/hook"),
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            body: None,
            timeout: Duration::from_secs(5),
            success: "response.body.startsWith('sent Basic')".to_owned(),
        }),
        initial_delay: Duration::ZERO,
        interval: Duration::from_secs(1),
        count: 1,
        failure_limit: 0,
        deadline: Duration::from_secs(60),
    };
    let measured = effects.measure(&shop(), &check, Timestamp::UNIX_EPOCH).await;
    assert_eq!(measured.measured, Measured::Pass, "{}", measured.detail);
    assert!(!json!(measured).to_string().contains("Y2k6"), "{measured:?}");
    let stranger = effects.measure(&"other".parse().unwrap(), &check, Timestamp::UNIX_EPOCH).await;
    assert_eq!(stranger.measured, Measured::Fail, "{}", stranger.detail);
}

#[tokio::test]
async fn a_redirect_to_another_server_goes_without() {
    let (world, target) = (World::new().await, echo().await);
    let to = format!("{target}other");
    let redirect = move || {
        let to = to.clone();
        async move { (StatusCode::FOUND, [(header::LOCATION, to)]).into_response() }
    };
    let server = scripted(Router::new().route("/go", get(redirect))).await;
    let wallets = Wallets::default();
    let effects = wallets.open(&world, Vec::new());
    wallets.give("shop", held(CredentialKind::Http, server.as_str(), PASSWORD));
    let StepOutcome::Done { outputs, .. } = send(&effects, &format!("{server}go")).await else {
        panic!("it should be answered")
    };
    assert_eq!(outputs["said"], "sent nothing");
}

#[tokio::test]
async fn a_forge_gets_the_token_of_its_repository_and_nobody_repeats_it() {
    let world = World::at(Dialect::GitHub, Some(PASSWORD)).await;
    world.propose("change", "change.txt", "x\n");
    let number = world.forge.open("change", "main", "").unwrap();
    let wallets = Wallets::default();
    let effects = wallets.open(&world, Vec::new());
    let say = async |text: &str| {
        let call = Call::PullRequest(comment_call(&world, number, text));
        let (cx, order) = (cx(Workdir::Main), CancellationToken::new());
        effects.run(&cx, &name("said"), &call, &[], &order).await.unwrap()
    };
    let failed = async || match say("x").await {
        StepOutcome::Failed { message, retry: false, .. } => message,
        other => panic!("{other:?}"),
    };
    assert!(failed().await.contains("wants a token (401"));
    // That of another server is not sent, be it the only one.
    wallets.give("shop", held(CredentialKind::Git, "https://git.example.com", PASSWORD));
    assert!(failed().await.contains("wants a token (401"));
    let other = "another token that expired";
    wallets.give("shop", held(CredentialKind::Git, &world.server.url("shop"), other));
    assert!(failed().await.contains("does not take the token (401"));
    // A forge that repeats it is not repeated.
    let repeats = json!({ "message": format!("token {other} has expired") });
    world.forge.answer_next(StatusCode::UNAUTHORIZED, &[], repeats);
    let message = failed().await;
    assert!(message.contains("[secret mine/password]") && !message.contains(other), "{message}");
    wallets.take("shop");
    wallets.give("shop", held(CredentialKind::Git, &world.server.url("shop"), PASSWORD));
    assert!(matches!(say("x").await, StepOutcome::Done { .. }));
    // One of the project for the web serves, where git has none.
    wallets.take("shop");
    let bearer = Held {
        username: None,
        secrets: [("token".to_owned(), Ok(Secret::new(PASSWORD)))].into(),
        ..held(CredentialKind::Http, &world.server.url("api"), "")
    };
    wallets.give("shop", bearer);
    assert!(matches!(say("x").await, StepOutcome::Done { .. }));
    assert_eq!(world.forge.pulls()[0].comments.len(), 1);
}

#[tokio::test]
async fn a_secret_is_sent_where_its_words_stand_and_below_its_address_only() {
    let world = World::new().await;
    let say = |headers: HeaderMap, body: String| async move {
        let key = headers.get("x-key").and_then(|value| value.to_str().ok()).unwrap_or("none");
        format!("{}:{} {}", key.len(), body.len(), key.starts_with("Key correct"))
    };
    let server = scripted(
        Router::new()
            .route("/v1/hook", get(say).post(say))
            .route("/other", get(say).post(say))
            .route(
                "/v1/away",
                get(async || Redirect::temporary("/other"))
                    .post(async || Redirect::temporary("/other")),
            ),
    )
    .await;
    let wallets = Wallets::default();
    let effects = wallets.open(&world, Vec::new());
    wallets.give("shop", held(CredentialKind::Http, &format!("{server}v1"), PASSWORD));
    let secret = SecretRef { credential: "mine".parse().unwrap(), key: "password".to_owned() };
    let call = |url: String, secrets: Vec<SecretRef>| {
        Call::Http(HttpCall {
            method: "POST".to_owned(),
            headers: [("X-Key".to_owned(), format!("Key {}", secret.words()))].into(),
            body: Some(json!({ "key": secret.words() })),
            secrets,
            ..http(&url)
        })
    };
    let run = async |call: Call| {
        let (cx, step) = (cx(Workdir::Main), name("call"));
        effects.run(&cx, &step, &call, &[], &CancellationToken::new()).await.unwrap()
    };
    let sent = run(call(format!("{server}v1/hook"), vec![secret.clone()])).await;
    let StepOutcome::Done { outputs, .. } = sent else { panic!("{sent:?}") };
    let (key, body) = (4 + PASSWORD.len(), json!({ "key": PASSWORD }).to_string().len());
    assert_eq!(outputs["said"], json!(format!("{key}:{body} true")));
    // Words alone are no secret.
    let words = run(call(format!("{server}v1/hook"), Vec::new())).await;
    let StepOutcome::Done { outputs, .. } = words else { panic!("{words:?}") };
    assert!(outputs["said"].as_str().unwrap().ends_with("false"), "{outputs:?}");
    for (path, why) in [("other", "is not for this address"), ("v1/away", "for this address alone")]
    {
        let refused = run(call(format!("{server}{path}"), vec![secret.clone()])).await;
        let StepOutcome::Failed { message, .. } = refused else { panic!("{refused:?}") };
        assert!(message.contains(why), "{message}");
    }
}
