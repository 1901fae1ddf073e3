//! A small stand-in for the daemon: keeps objects and generations, and answers previews as told.
//!
//! It judges nothing. What a test is about is set through [`Daemon::world`]; everything else is
//! the contract of the API, in its own types.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use axum::{Json, Router};
use reconciler_api::problem::{Conflict, FieldProblem, PROBLEM_MEDIA_TYPE, Problem};
use reconciler_api::v1::{
    Effect, Kind, ListQuery, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Precondition, PreviewQuestion,
    PreviewSet, PreviewWarning, RenamePolicy, Whoami, WorldToken,
};
use reconciler_api::{VERSION, VERSION_HEADER};
use serde_json::{Value, json};

/// The token that it accepts.
pub(crate) const TOKEN: &str = "test-token";

/// The freight of its only promotion.
pub(crate) const FREIGHT: &str = "11988a65630e4ac3b8a6bf96aca80276371b02c5";

/// What the daemon holds, and what it answers.
#[derive(Default)]
pub(crate) struct World {
    /// The number of the newest event.
    pub(crate) token: u64,
    /// Effects that a preview answers, by the token from which on they do.
    pub(crate) effects: BTreeMap<u64, Vec<Effect>>,
    /// Warnings that every preview answers.
    pub(crate) warnings: Vec<PreviewWarning>,
    /// Problems that every preview answers, by name of the object.
    pub(crate) problems: BTreeMap<String, Vec<FieldProblem>>,
    /// Warnings and problems that previews of several changes answer.
    pub(crate) together: (Vec<PreviewWarning>, Vec<FieldProblem>),
    /// Requests that are never answered, by how they begin, and who is told that one arrived.
    pub(crate) hang: Option<(String, Sender<()>)>,
    /// Requests that take long, by how they begin, and how long.
    pub(crate) slow: Option<(String, Duration)>,
    /// Whether previews are refused for now.
    pub(crate) busy: bool,
    /// Every request: method and path.
    pub(crate) requests: Vec<String>,
    /// The previews that were asked for.
    pub(crate) asked: Vec<(String, Option<u64>)>,
    /// The changes of each preview of several: kinds and names.
    pub(crate) sets: Vec<Vec<String>>,
    /// What was sent to start or steer promotions: path and body.
    pub(crate) steered: Vec<(String, Value)>,
    /// The generations that names go on from which a policy had before.
    pub(crate) retired: BTreeMap<(Kind, String, String), u64>,
    /// Objects by kind, project and name.
    pub(crate) objects: BTreeMap<(Kind, String, String), Object>,
}

/// An object.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) generation: u64,
    pub(crate) token: u64,
    pub(crate) changed_by: String,
    pub(crate) spec: Value,
}

/// A stand-in that listens.
pub(crate) struct Daemon {
    world: Arc<Mutex<World>>,
    pub(crate) endpoint: String,
    _runtime: tokio::runtime::Runtime,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let world = Arc::new(Mutex::new(World { token: 1, ..World::default() }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = router(world.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { world, endpoint, _runtime: runtime }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Changes an object as somebody else would.
    pub(crate) fn edit(&self, kind: Kind, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut world = self.world();
        let object = world.objects.get_mut(&(kind, "shop".to_owned(), name.to_owned())).unwrap();
        object.generation += 1;
        "bob".clone_into(&mut object.changed_by);
        edit(&mut object.spec);
    }

    /// Puts an object there as somebody else would.
    pub(crate) fn put(&self, kind: Kind, name: &str, spec: Value) {
        let object = Object { generation: 1, token: 1, changed_by: "bob".to_owned(), spec };
        let project = match kind {
            Kind::Project => name,
            Kind::Token | Kind::InstanceFreeze => "",
            _ => "shop",
        };
        self.world().objects.insert((kind, project.to_owned(), name.to_owned()), object);
    }

    /// Removes an object as somebody else would.
    pub(crate) fn remove(&self, kind: Kind, name: &str) {
        self.world().objects.remove(&(kind, "shop".to_owned(), name.to_owned()));
    }

    /// The spec of an object.
    pub(crate) fn spec(&self, kind: Kind, name: &str) -> Option<Value> {
        let key = (kind, "shop".to_owned(), name.to_owned());
        self.world().objects.get(&key).map(|object| object.spec.clone())
    }

    /// An event that matters to the policies happens.
    pub(crate) fn event(&self) -> u64 {
        let mut world = self.world();
        world.token += 1;
        let token = world.token;
        let policies = world.objects.iter_mut().filter(|((kind, ..), _)| *kind == Kind::Policy);
        policies.for_each(|(_, object)| object.token = token);
        token
    }
}

type Shared = State<Arc<Mutex<World>>>;

fn router(world: Arc<Mutex<World>>) -> Router {
    Router::new()
        .route("/v1/whoami", get(whoami))
        .route("/v1/whoami/tokens", post(mint))
        .route("/v1/whoami/tokens/{name}", delete(end))
        .route("/v1/whoami/tokens/{name}/renew", post(renew))
        .route("/v1/tokens", get(tokens))
        .route("/v1/tokens/{name}", any(token))
        .route("/v1/freezes", get(instance_freezes))
        .route("/v1/freezes/{name}", any(instance_freeze))
        .route("/v1/projects", get(projects))
        .route("/v1/projects/{project}", any(project))
        .route("/v1/projects/{project}/preview", post(preview))
        .route("/v1/projects/{project}/pipeline", get(pipeline))
        .route("/v1/projects/{project}/policies/{name}/rename", post(rename))
        .route("/v1/projects/{project}/freight", get(no_freight))
        .route("/v1/projects/{project}/promotions", post(steer))
        .route("/v1/projects/{project}/promotions/{id}", get(promotion))
        .route("/v1/projects/{project}/promotions/{id}/events", get(events))
        .route("/v1/projects/{project}/promotions/{id}/approve", post(steer))
        .route("/v1/projects/{project}/promotions/{id}/abort", post(steer))
        .route("/v1/projects/{project}/stages/{name}/reverify", post(steer))
        .route("/v1/projects/{project}/warehouses/{name}/refresh", post(refresh))
        .route("/v1/projects/{project}/{collection}", get(list))
        .route("/v1/projects/{project}/{collection}/{name}", any(object))
        .layer(from_fn_with_state(world.clone(), guard))
        .with_state(world)
}

/// Says which version it is, and lets nobody in without the token.
async fn guard(State(world): Shared, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let (hangs, slow) = {
        let mut world = world.lock().unwrap();
        let slow = world.slow.as_ref().filter(|(request, _)| line.starts_with(request.as_str()));
        let slow = slow.map(|(_, takes)| *takes);
        let hang = world.hang.as_ref().filter(|(request, _)| line.starts_with(request.as_str()));
        let hangs = hang.map(|(_, arrived)| arrived.send(()).is_ok());
        world.requests.push(line);
        (hangs.is_some(), slow)
    };
    if let Some(takes) = slow {
        tokio::time::sleep(takes).await;
    }
    if hangs {
        std::future::pending::<()>().await;
    }
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let mut response = if token == Some(&format!("Bearer {TOKEN}")) {
        next.run(request).await
    } else {
        refuse(Problem::unauthenticated("the token is not known"))
    };
    response.headers_mut().insert(VERSION_HEADER, VERSION.parse().unwrap());
    response
}

fn refuse(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap();
    let mut response = (status, Json(problem)).into_response();
    response.headers_mut().insert("content-type", PROBLEM_MEDIA_TYPE.parse().unwrap());
    response
}

async fn whoami() -> Json<Whoami> {
    Json(Whoami { name: "alice".to_owned(), groups: Vec::new(), admin: true })
}

/// The only promotion that there is: it came to its end, whatever is asked of it.
async fn promotion() -> Json<Value> {
    Json(json!({
        "id": "dev.1", "project": "shop", "stage": "dev", "freight": FREIGHT, "collection": {},
        "phase": "succeeded", "requester": "alice", "reason": "released with the platform",
        "bypass": null, "change_set": null, "gates": [], "approvals": [], "steps": [],
        "measurements": [], "waiting": [], "error": null, "remaining": [], "token": "1",
        "created_at": "2026-01-02T03:04:05Z", "committed_at": null, "finished_at": null,
    }))
}

async fn events() -> Json<Value> {
    Json(json!([]))
}

async fn steer(State(world): Shared, uri: Uri, Json(body): Json<Value>) -> Json<Value> {
    world.lock().unwrap().steered.push((uri.path().to_owned(), body));
    promotion().await
}

async fn refresh(
    State(world): Shared,
    uri: Uri,
    Path((project, name)): Path<(String, String)>,
) -> Response {
    let mut world = world.lock().unwrap();
    world.steered.push((uri.path().to_owned(), Value::Null));
    let key = (Kind::Warehouse, project, name);
    match world.objects.get(&key) {
        Some(object) => Json(wire(&key, object)).into_response(),
        None => refuse(Problem::not_found("warehouse", &id(&key))),
    }
}

async fn no_freight() -> Json<Value> {
    Json(json!({ "items": [], "next": null }))
}

async fn project(
    State(world): Shared,
    Path(project): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    answer(&world, (Kind::Project, project.clone(), project), headers, request).await
}

async fn token(
    State(world): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    answer(&world, (Kind::Token, String::new(), name), headers, request).await
}

async fn instance_freeze(
    State(world): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    answer(&world, (Kind::InstanceFreeze, String::new(), name), headers, request).await
}

async fn instance_freezes(State(world): Shared, Query(query): Query<ListQuery>) -> Response {
    page(&world.lock().unwrap(), &query, |(kind, ..)| *kind == Kind::InstanceFreeze)
}

async fn mint(State(world): Shared, Json(wish): Json<Value>) -> Response {
    let mut world = world.lock().unwrap();
    let name = format!("alice~{}", world.objects.len());
    let spec = json!({
        "groups": wish["groups"].as_array().cloned().unwrap_or_default(), "admin": wish["admin"],
        "expires_at": "2026-01-02T03:14:05Z",
    });
    let object = Object { generation: 1, token: 1, changed_by: "alice".to_owned(), spec };
    let key = (Kind::Token, String::new(), name);
    let mut minted = wire(&key, &object);
    minted["secret"] = TOKEN.into();
    world.objects.insert(key, object);
    (StatusCode::CREATED, Json(minted)).into_response()
}

async fn renew(State(world): Shared, Path(name): Path<String>) -> Response {
    let key = (Kind::Token, String::new(), name);
    match world.lock().unwrap().objects.get(&key) {
        Some(object) => Json(wire(&key, object)).into_response(),
        None => refuse(Problem::not_found("token", &key.2)),
    }
}

async fn end(State(world): Shared, Path(name): Path<String>) -> Response {
    match world.lock().unwrap().objects.remove(&(Kind::Token, String::new(), name.clone())) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => refuse(Problem::not_found("token", &name)),
    }
}

async fn object(
    State(world): Shared,
    Path((project, collection, name)): Path<(String, String, String)>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let kind = kind_of(&collection);
    if !exists(&world, &project) {
        return refuse(Problem::not_found("project", &project));
    }
    answer(&world, (kind, project, name), headers, request).await
}

fn kind_of(collection: &str) -> Kind {
    Kind::ALL.iter().copied().find(|kind| kind.collection() == collection).unwrap()
}

fn exists(world: &Mutex<World>, project: &str) -> bool {
    let key = (Kind::Project, project.to_owned(), project.to_owned());
    world.lock().unwrap().objects.contains_key(&key)
}

async fn answer(
    world: &Mutex<World>,
    key: (Kind, String, String),
    headers: HeaderMap,
    request: Request,
) -> Response {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let condition =
        Precondition::from_headers(header("if-match"), header("if-none-match")).unwrap();
    let method = request.method().clone();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let mut world = world.lock().unwrap();
    let present = world.objects.get(&key).cloned();
    let id = id(&key);
    match (method.as_str(), present) {
        ("GET" | "DELETE", None) => refuse(Problem::not_found(key.0.as_str(), &id)),
        ("GET", Some(object)) => Json(wire(&key, &object)).into_response(),
        (_, Some(_)) if condition == Precondition::Absent => {
            refuse(Problem::already_exists(key.0, &id))
        }
        (_, present) if !met(condition, present.as_ref()) => {
            let Precondition::Generation(seen) = condition else { unreachable!() };
            let object = present.unwrap();
            let conflict = Conflict {
                generation: object.generation,
                changed_by: object.changed_by,
                changed_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            };
            refuse(Problem::generation_conflict(key.0, &id, seen, conflict))
        }
        ("DELETE", Some(object)) if object.spec["deletion_protection"] == true => {
            let at = "2026-01-02T03:04:05Z".parse().unwrap();
            refuse(Problem::deletion_protected(key.0, &id, &object.changed_by, at))
        }
        ("DELETE", Some(_)) => {
            world.objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        (_, present) => {
            let spec = serde_json::from_slice(&body).unwrap();
            let generation = present.map_or(0, |object| object.generation) + 1;
            let token = world.token;
            let object = Object { generation, token, changed_by: "alice".to_owned(), spec };
            let answer = Json(wire(&key, &object));
            world.objects.insert(key, object);
            answer.into_response()
        }
    }
}

fn met(condition: Precondition, present: Option<&Object>) -> bool {
    match condition {
        Precondition::None | Precondition::Absent => true,
        Precondition::Generation(seen) => present.is_none_or(|object| object.generation == seen),
    }
}

fn id((kind, project, name): &(Kind, String, String)) -> String {
    if kind.is_in_project() { format!("{project}/{name}") } else { name.clone() }
}

fn wire(key: &(Kind, String, String), object: &Object) -> Value {
    let (kind, project, name) = key;
    let mut wire = json!({
        "project": project, "name": name, "id": id(key), "generation": object.generation,
        "token": WorldToken(object.token), "conditions": [],
        "created_at": "2026-01-01T00:00:00Z", "changed_at": "2026-01-02T03:04:05Z",
        "changed_by": object.changed_by, "spec": object.spec,
    });
    match kind {
        Kind::Warehouse => {
            wire["status"] =
                json!({ "checked_at": null, "next_check_at": null, "newest_freight": null });
        }
        Kind::Stage => {
            wire["conditions"] = json!([{ "type": "Moving", "status": "false",
                "reason": "NoFreight", "message": "no freight is available" }]);
            let there = json!({ "freight": FREIGHT, "promotion": "dev.1",
                "entered_at": "2026-01-02T03:04:05Z", "verified_at": null });
            let current = if name == "dev" { json!({ "shop": there }) } else { json!({}) };
            wire["status"] = json!({
                "current": current, "promotion": null, "holds": [], "downstream": [],
                "waiting": [{ "subject": format!("stage/{name}"), "reason": "NoFreight",
                    "message": "no freight is available", "until": null }],
            });
        }
        Kind::Freeze => {
            wire["status"] =
                json!({ "active": true, "begins_at": null, "ends_at": null, "waiting": [] });
        }
        Kind::InstanceFreeze => {
            wire["status"] = json!({
                "active": true, "begins_at": null, "ends_at": null, "waiting": [],
                "waiting_total": 0,
            });
        }
        Kind::Hold => wire["status"] = json!({ "active": true, "running": [], "waiting": [] }),
        Kind::Credential => {
            let data = wire["spec"]["data"].take();
            wire["spec"].as_object_mut().unwrap().remove("data");
            let keys: Vec<&String> =
                data.as_object().into_iter().flatten().map(|it| it.0).collect();
            let print = |key: &&String| ((*key).clone(), format!("print of {}", data[*key]));
            let prints: BTreeMap<String, String> = keys.iter().map(print).collect();
            wire["status"] = json!({ "keys": keys, "fingerprints": prints, "stored_at": null });
        }
        Kind::Token => {
            let spec = wire["spec"].as_object_mut().unwrap();
            spec.remove("secret");
            wire["status"] = json!({ "minted_from": null, "last_used_at": null });
        }
        Kind::Project | Kind::Verification | Kind::Task | Kind::Policy => {}
    }
    wire
}

async fn list(
    State(world): Shared,
    Path((project, collection)): Path<(String, String)>,
    Query(query): Query<ListQuery>,
) -> Response {
    let kind = kind_of(&collection);
    page(&world.lock().unwrap(), &query, |(k, p, _)| *k == kind && *p == project)
}

async fn tokens(State(world): Shared, Query(query): Query<ListQuery>) -> Response {
    page(&world.lock().unwrap(), &query, |(kind, ..)| *kind == Kind::Token)
}

async fn projects(State(world): Shared, Query(query): Query<ListQuery>) -> Response {
    page(&world.lock().unwrap(), &query, |(kind, ..)| *kind == Kind::Project)
}

fn page(
    world: &World,
    query: &ListQuery,
    wanted: impl Fn(&(Kind, String, String)) -> bool,
) -> Response {
    let after = query.page.as_deref().unwrap_or_default();
    let rest = world.objects.iter().filter(|(key, _)| wanted(key) && key.2.as_str() > after);
    let mut items: Vec<Value> = rest.map(|(key, object)| wire(key, object)).collect();
    let limit = query.limit.unwrap_or(PAGE_LIMIT_DEFAULT).min(PAGE_LIMIT_MAX) as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|item| item["name"].clone());
    Json(json!({ "items": items, "next": next })).into_response()
}

async fn rename(
    State(world): Shared,
    Path((project, name)): Path<(String, String)>,
    Json(rename): Json<RenamePolicy>,
) -> Response {
    let mut world = world.lock().unwrap();
    let to = (Kind::Policy, project.clone(), rename.to);
    if world.objects.contains_key(&to) {
        return refuse(Problem::already_exists(Kind::Policy, &id(&to)));
    }
    let mut object = world.objects.remove(&(Kind::Policy, project, name)).unwrap();
    let retired = world.retired.get(&to).copied().unwrap_or_default();
    object.generation = object.generation.max(retired) + 1;
    let answer = Json(wire(&to, &object));
    world.objects.insert(to, object);
    answer.into_response()
}

/// The same question as of the same token has the same answer.
async fn preview(
    State(world): Shared,
    Path(project): Path<String>,
    Json(question): Json<PreviewQuestion>,
) -> Response {
    if !exists(&world, &project) {
        return refuse(Problem::not_found("project", &project));
    }
    let mut world = world.lock().unwrap();
    if world.busy {
        return refuse(Problem::unavailable("the preview took longer than 60 seconds"));
    }
    let request = match question {
        PreviewQuestion::One(request) => request,
        PreviewQuestion::Set(set) => return together(&mut world, &set),
    };
    world.asked.push((request.name.clone(), request.token.map(|token| token.0)));
    let as_of = request.token.map_or(world.token, |token| token.0);
    let effects = world.effects.range(..=as_of).next_back().map(|(_, effects)| effects.clone());
    Json(json!({
        "as_of": WorldToken(as_of), "known": true, "effects": effects.unwrap_or_default(),
        "warnings": world.warnings,
        "problems": world.problems.get(&request.name).cloned().unwrap_or_default(),
    }))
    .into_response()
}

fn together(world: &mut World, set: &PreviewSet) -> Response {
    let changes = set.changes.iter().map(|it| format!("{} {}", it.definition.kind(), it.name));
    world.sets.push(changes.collect());
    let (warnings, problems) = &world.together;
    let nothing: [Value; 0] = [];
    Json(json!({
        "as_of": WorldToken(world.token), "known": true, "effects": nothing, "warnings": warnings,
        "problems": problems,
    }))
    .into_response()
}

async fn pipeline(State(world): Shared, Path(project): Path<String>) -> Response {
    if !exists(&world, &project) {
        return refuse(Problem::not_found("project", &project));
    }
    let world = world.lock().unwrap();
    let mut edges = Vec::new();
    for ((kind, _, name), object) in &world.objects {
        if *kind != Kind::Stage {
            continue;
        }
        for request in object.spec["requests"].as_array().into_iter().flatten() {
            for from in request["from"].as_array().into_iter().flatten() {
                edges.push(json!({ "warehouse": request["warehouse"], "from": from, "to": name }));
            }
        }
    }
    let nothing: [Value; 0] = [];
    let pipeline =
        json!({ "warehouses": nothing, "stages": nothing, "policies": nothing, "edges": edges });
    Json(pipeline).into_response()
}
