//! What single calls on registries do, find and say.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use reconciler_domain::plan::Base;
use reconciler_domain::step::{
    ArtifactAt, ArtifactLayer, OciCall, OciPull, OciPush, OciRecord, Record, StepOutcome, TagMove,
};
use reconciler_effects::git::Secret;
use reconciler_effects::http::{EgressPolicy, HttpClient, Request};
use reconciler_effects::oci::Digest;
use reconciler_effects::{Credential, Effects, EffectsConfig, Login, Workdir};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::images::{INDEX, Images, LAYER, MANIFEST, SOURCE, TARGET, TEXT, call};
use crate::support::scripted;
use crate::world::{World, cx, done, name};

async fn failure(world: &World, images: &Images, asked: OciCall) -> String {
    match world.run(&world.task("oci", call(asked))).await {
        StepOutcome::Failed { message, retry: false, .. } => {
            let named = message.replace(&images.repo(""), "HOST/");
            let named = named.replace(images.repo("").trim_end_matches('/'), "HOST");
            named.replace(images.old.as_str(), "OLD").replace(images.new.as_str(), "NEW")
        }
        other => panic!("{other:?}"),
    }
}

fn record(outcome: StepOutcome) -> OciRecord {
    match done(outcome).1 {
        Record::Oci(record) => record,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_layer_becomes_a_file_and_stays_what_it_was() {
    let (mut world, images) = (World::new().await, Images::start().await);
    let (outputs, record) =
        done(world.run(&world.task("pull", call(OciCall::Pull(images.pull())))).await);
    assert_eq!(json!(outputs), json!({ "digest": images.new, "size": TEXT.len() }));
    let Record::Oci(found) = record else { panic!("{record:?}") };
    // The tag moves on; what is rebuilt is what was there.
    images.artifact(SOURCE, "2", &[("notes.txt", "another\n")]).await;
    let pinned = OciCall::Pull(images.pull()).pinned(Some(&found));
    world.prepare("pull", call(pinned)).await;
    let work = world.held("pulled/notes.txt");
    assert_eq!(std::fs::read_to_string(work).unwrap(), TEXT);
}

#[tokio::test]
async fn of_several_layers_one_is_named() {
    let (world, images) = (World::new().await, Images::start().await);
    images.artifact(SOURCE, "two", &[("a.txt", "a"), ("b.txt", "b")]).await;
    let two = |layer| OciPull { at: ArtifactAt::Tag("two".to_owned()), layer, ..images.pull() };
    let asked = OciCall::Pull(two(ArtifactLayer::File("b.txt".to_owned())));
    let (outputs, _) = done(world.run(&world.task("pull", call(asked))).await);
    assert_eq!(outputs["size"], 1);
    let file = world.held("pulled/notes.txt");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "b");
    let mut told = Vec::new();
    for asked in [
        two(ArtifactLayer::Only),
        two(ArtifactLayer::MediaType(LAYER.to_owned())),
        two(ArtifactLayer::File("c.txt".to_owned())),
        OciPull { max_bytes: 3, ..images.pull() },
        OciPull { at: ArtifactAt::Tag("none".to_owned()), ..images.pull() },
        OciPull { at: ArtifactAt::Digest(Digest::of(b"x").to_string()), ..images.pull() },
        OciPull { to: "../x".to_owned(), ..images.pull() },
    ] {
        told.push(failure(&world, &images, OciCall::Pull(asked)).await);
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    HOST/shop/api@sha256:21bb59b4a3f378376c780866e127abae6795869cf5dde2496676e0a15b26b609: 2 of its 2 layers fit; name one with `media_type` or `file`; there are: application/vnd.example.layer.v1+text (file "a.txt"), application/vnd.example.layer.v1+text (file "b.txt")
    HOST/shop/api@sha256:21bb59b4a3f378376c780866e127abae6795869cf5dde2496676e0a15b26b609: 2 of its 2 layers fit; name one with `media_type` or `file`; there are: application/vnd.example.layer.v1+text (file "a.txt"), application/vnd.example.layer.v1+text (file "b.txt")
    HOST/shop/api@sha256:21bb59b4a3f378376c780866e127abae6795869cf5dde2496676e0a15b26b609: 0 of its 2 layers fit; name one with `media_type` or `file`; there are: application/vnd.example.layer.v1+text (file "a.txt"), application/vnd.example.layer.v1+text (file "b.txt")
    the layer of `HOST/shop/api` is more than is taken: 3 bytes; raise `max_bytes` if it is meant
    HOST/shop/api has no tag none
    `HOST` has no manifest sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 in `shop/api`; check the name, and that the credentials may read it
    path `../x` is refused: give a path relative to the working directory without `..`
    "#);
}

#[tokio::test]
async fn an_index_is_copied_with_all_that_it_lists_and_pulled_by_platform() {
    let (world, images) = (World::new().await, Images::start().await);
    let entry = |digest: &Digest, arch: &str, size: usize| {
        json!({ "mediaType": MANIFEST, "digest": digest, "size": size,
            "platform": { "os": "linux", "architecture": arch } })
    };
    let size = images.get(&format!("/v2/{SOURCE}/manifests/2")).await.to_string().len();
    let entries = [entry(&images.old, "arm64", size), entry(&images.new, "amd64", size)];
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    let index = images.manifest(SOURCE, "all", &index).await;
    let pull = |platform: Option<&str>| {
        let platform = platform.map(str::to_owned);
        OciPull { at: ArtifactAt::Tag("all".to_owned()), platform, ..images.pull() }
    };
    let asked = call(OciCall::Pull(pull(Some("linux/amd64"))));
    let (outputs, _) = done(world.run(&world.task("pull", asked)).await);
    assert_eq!(outputs["digest"], json!(index));
    let told = failure(&world, &images, OciCall::Pull(pull(None))).await;
    insta::assert_snapshot!(told.replace(index.as_str(), "INDEX"), @"HOST/shop/api@INDEX is an index, and 2 of what it lists fit; give one `platform` of: linux/arm64, linux/amd64");

    let mut push = images.push(None);
    push.wanted.digest = index.to_string();
    push.digest = index.to_string();
    done(world.run(&world.task("push", call(OciCall::Push(push)))).await);
    assert_eq!(images.tag(TARGET, "stable"), Some(index.to_string()));
    for digest in [&images.old, &images.new] {
        let copied = images.get(&format!("/v2/{TARGET}/manifests/{digest}")).await;
        assert_eq!(copied["mediaType"], MANIFEST);
    }
}

#[tokio::test]
async fn a_push_goes_to_another_registry_and_says_what_it_is_there() {
    let (world, images) = (World::new().await, Images::start().await);
    let other = Images::start().await;
    let mut look = images.look();
    look.repo = other.repo("mirror/api");
    look.annotations = [("team".to_owned(), "shop".to_owned())].into();
    let looked = world.run(&world.task("push", call(OciCall::Look(look.clone())))).await;
    let (outputs, record) = done(looked);
    let Record::Oci(OciRecord::Looked(found)) = record else { panic!("{record:?}") };
    assert_ne!(found.digest, look.digest, "with annotations it is another");
    assert_eq!(found.before, None);
    assert_eq!(outputs["pinned"], json!(format!("{}@{}", look.repo, found.digest)));
    let push = OciPush { wanted: look, digest: found.digest.clone(), ..images.push(None) };
    let (pushed, _) = done(world.run(&world.task("push", call(OciCall::Push(push.clone())))).await);
    assert_eq!(pushed, outputs, "what was foreseen came to be");
    assert_eq!(other.tag("mirror/api", "stable"), Some(found.digest));
    let there = other.get("/v2/mirror/api/manifests/stable").await;
    assert_eq!(there["annotations"], json!({ "team": "shop" }));
    let mut large = push;
    large.wanted.repo = other.repo("mirror/large");
    large.max_bytes = 3;
    let told = failure(&world, &images, OciCall::Push(large)).await;
    insta::assert_snapshot!(told, @"the content of `HOST/shop/api` is more than is taken: 3 bytes; raise `max_bytes` if it is meant");
}

#[tokio::test]
async fn a_tag_that_others_moved_is_left_alone() {
    let (world, images) = (World::new().await, Images::start().await);
    images.artifact(TARGET, "stable", &[("theirs.txt", "theirs")]).await;
    let theirs = images.tag(TARGET, "stable").unwrap();
    let hide = |told: String| told.replace(&theirs, "THEIRS");
    let mut told = Vec::new();
    for asked in [
        OciCall::Push(images.push(None)),
        OciCall::Push(images.push(Some(&images.old))),
        OciCall::PutBack(images.put_back(None)),
        OciCall::PutBack(images.put_back(Some(&images.old))),
    ] {
        told.push(hide(failure(&world, &images, asked).await));
    }
    assert_eq!(images.tag(TARGET, "stable").as_deref(), Some(&*theirs));
    insta::assert_snapshot!(told.join("\n"), @r"
    tag stable of HOST/prod/api is at THEIRS now, and was not there when the promotion was prepared: others moved it; promote again if it is to be moved nevertheless
    tag stable of HOST/prod/api is at THEIRS now, and was at OLD when the promotion was prepared: others moved it; promote again if it is to be moved nevertheless
    tag stable of HOST/prod/api is at THEIRS now, not at NEW as this promotion put it; decide by hand what it should be at
    tag stable of HOST/prod/api is at THEIRS now, not at NEW as this promotion put it; decide by hand what it should be at
    ");
    let base = |before: Option<&str>| {
        Base::Tag(TagMove {
            repo: images.repo(TARGET),
            tag: "stable".to_owned(),
            digest: images.new.to_string(),
            before: before.map(str::to_owned),
        })
    };
    let bases = [base(Some(&theirs)), base(None)];
    let moved = world.open().probe(&cx(Workdir::Main), &bases).await.unwrap();
    let moved = hide(moved.join("\n")).replace(&images.repo(""), "HOST/");
    insta::assert_snapshot!(moved, @"tag stable of HOST/prod/api is at THEIRS; it was not there");
}

#[tokio::test]
async fn a_new_tag_goes_or_is_said_to_stay() {
    let (world, images) = (World::new().await, Images::start().await);
    done(world.run(&world.task("push", call(OciCall::Push(images.push(None))))).await);
    let back = call(OciCall::PutBack(images.put_back(None)));
    let OciRecord::Left { what } = record(world.run(&world.task("back", back)).await) else {
        panic!("this registry takes no tag away")
    };
    let what = what
        .replace(&images.repo(""), "HOST/")
        .replace(images.repo("").trim_end_matches('/'), "HOST");
    insta::assert_snapshot!(what.replace(images.new.as_str(), "NEW"), @r#"tag stable of HOST/prod/api stays at NEW: it was new, and the registry does not take it away: HOST (400): {"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#);
    assert_eq!(images.tag(TARGET, "stable"), Some(images.new.to_string()));
}

#[tokio::test]
async fn what_is_attached_is_found_from_its_subject() {
    let (mut world, images) = (World::new().await, Images::start().await);
    world.checkout().await;
    let asked = call(OciCall::Attach(images.attach("src/values.yaml")));
    let (outputs, _) = done(world.run(&world.task("attach", asked)).await);
    let list = format!("/v2/{SOURCE}/manifests/{}", images.new.as_str().replace(':', "-"));
    let listed = images.get(&list).await;
    assert_eq!(listed["manifests"][0]["digest"], outputs["digest"]);
    assert_eq!(listed["manifests"][0]["artifactType"], "application/vnd.example.note");
    let digest = outputs["digest"].as_str().unwrap();
    let there = images.get(&format!("/v2/{SOURCE}/manifests/{digest}")).await;
    assert_eq!(there["subject"]["digest"], json!(images.new));
    let marks = json!({ "by": "ann", "lockstep.promotion": "shop/prod.1/attach" });
    assert_eq!(there["annotations"], marks);
    assert_eq!(there["layers"][0]["annotations"]["org.opencontainers.image.title"], "values.yaml");
    let mut nowhere = images.attach("src/values.yaml");
    nowhere.subject = Digest::of(b"x").to_string();
    insta::assert_snapshot!(failure(&world, &images, OciCall::Attach(nowhere)).await, @"`HOST` has no manifest sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 in `shop/api`; check the name, and that the credentials may read it");
}

/// A registry that wants a token for what is done, keeps its own lists of what is attached, and takes tags
/// away. What it does not do itself goes to a real one behind it.
#[derive(Clone)]
struct Front {
    behind: Url,
    tags: std::path::PathBuf,
    http: HttpClient,
    /// What tokens were asked for.
    scopes: Arc<Mutex<Vec<String>>>,
}

impl Front {
    async fn start(images: &Images) -> (String, Self) {
        let front = Self {
            behind: format!("http://{}", images.repo("")).parse().unwrap(),
            tags: images.tags(TARGET),
            http: HttpClient::new(EgressPolicy::with_private()).unwrap(),
            scopes: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(front.clone());
        (scripted(router).await.authority().to_owned(), front)
    }

    fn token(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        // `ci:correct horse` in base64.
        if headers.get("authorization").is_none_or(|sent| sent != "Basic Y2k6Y29ycmVjdCBob3JzZQ==")
        {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let scopes: Vec<String> = query
            .filter(|(name, _)| name == "scope")
            .map(|(_, scope)| scope.into_owned())
            .collect();
        let token = scopes.join(" ").replace(char::is_whitespace, "_");
        self.scopes.lock().unwrap().extend(scopes);
        axum::Json(json!({ "token": token })).into_response()
    }
}

async fn answer(
    State(front): State<Front>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let path = uri.path();
    if path == "/token" {
        return front.token(&uri, &headers);
    }
    let wanted = match method {
        Method::GET | Method::HEAD => "pull",
        Method::DELETE => "delete",
        _ => "push",
    };
    let sent = headers.get("authorization").map_or("", |sent| sent.to_str().unwrap());
    if !sent.starts_with("Bearer ") || !sent.contains(wanted) {
        let host = headers["host"].to_str().unwrap();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"front\"");
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    }
    if path.contains("/referrers/") {
        let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
        return axum::Json(list).into_response();
    }
    if method == Method::DELETE && !path.contains("sha256:") {
        std::fs::remove_dir_all(front.tags.join(path.rsplit('/').next().unwrap())).unwrap();
        return StatusCode::ACCEPTED.into_response();
    }
    let url = front.behind.join(&uri.to_string()).unwrap();
    let mut request = Request::new(method, url).body(body);
    for name in ["accept", "content-type"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value.to_str().unwrap());
        }
    }
    let answer = front.http.send(request, &CancellationToken::new()).await.unwrap();
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.body).into_response();
    for name in ["content-type", "docker-content-digest", "location"] {
        if let Some(value) = answer.headers.get(name) {
            // It is the registry in front that everything is sent to.
            let value = value.replace(front.behind.as_str(), "/");
            response.headers_mut().insert(name, value.parse().unwrap());
        }
    }
    response
}

#[tokio::test]
async fn each_request_has_a_token_for_what_it_does() {
    let (mut world, images) = (World::new().await, Images::start().await);
    world.checkout().await;
    let (host, front) = Front::start(&images).await;
    let login = Login::Basic { username: "ci".to_owned(), password: Secret::new("correct horse") };
    let credentials = vec![Credential::new(&format!("oci://{host}"), login).unwrap()];
    let effects = Effects::open(EffectsConfig { credentials, ..world.config() }).unwrap();
    let run = async |asked: OciCall| {
        let task = world.task("oci", call(asked));
        let rebuild: Vec<_> =
            task.rebuild.iter().map(|(step, call)| (name(step), call.clone())).collect();
        let (cx, never) = (cx(Workdir::Main), CancellationToken::new());
        effects.run(&cx, &name("oci"), &task.call, &rebuild, &never).await.unwrap()
    };
    let (source, target) = (format!("{host}/{SOURCE}"), format!("{host}/{TARGET}"));
    let mut push = images.push(None);
    push.wanted.from.clone_from(&source);
    push.wanted.repo.clone_from(&target);
    done(run(OciCall::Push(push)).await);
    assert_eq!(images.tag(TARGET, "stable"), Some(images.new.to_string()));
    let mut back = images.put_back(None);
    back.repo = target;
    done(run(OciCall::PutBack(back)).await);
    assert_eq!(images.tag(TARGET, "stable"), None, "this one takes tags away");
    let attach =
        reconciler_domain::step::OciAttach { repo: source, ..images.attach("src/values.yaml") };
    let attached = match record(run(OciCall::Attach(attach)).await) {
        OciRecord::Attached(attached) => attached,
        other => panic!("{other:?}"),
    };
    let list = images.new.as_str().replace(':', "-");
    assert_eq!(images.tag(SOURCE, &list), None, "the registry keeps the list");
    assert_eq!(record_of(run(OciCall::Detach(attached)).await), Record::None);
    let scopes = front.scopes.lock().unwrap().join("\n");
    insta::assert_snapshot!(scopes, @r"
    repository:prod/api:pull
    repository:shop/api:pull
    repository:prod/api:pull,push
    repository:shop/api:pull
    repository:prod/api:pull,push
    repository:prod/api:pull,push,delete
    repository:shop/api:pull,push
    repository:shop/api:pull,push,delete
    ");
}

fn record_of(outcome: StepOutcome) -> Record {
    done(outcome).1
}
