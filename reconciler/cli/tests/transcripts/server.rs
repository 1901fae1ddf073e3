//! A stand-in for lockstepd at the level of the wire: it takes exactly the operations of the
//! contract, reads requests as the contract's types, and answers canned objects.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawPathParams, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use jiff::Timestamp;
use reconciler_api::operation::{Auth, Method, OPERATIONS, Operation};
use reconciler_api::problem::{FieldCode, FieldProblem, PROBLEM_MEDIA_TYPE, Problem};
use reconciler_api::v1::{
    AbortPromotion, AccessToken, ApprovePromotion, CreateAccessToken, CreatePromotion,
    CreatedAccessToken, FreightApproval, FreightSelector, Kind, LiftHold, MintToken, Page, Phase,
    Secret, ServerVersion,
};
use reconciler_api::{VERSION, VERSION_HEADER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::drift;
use crate::objects::{self, World};
use crate::states;

/// The token that the stand-in accepts.
pub(crate) const TOKEN: &str = "lst_good";

/// A running stand-in; it ends with the test process.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) now: Timestamp,
}

impl Server {
    pub(crate) fn start() -> Self {
        let now = Timestamp::now();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, router(World { now })).await.unwrap();
            });
        });
        Self { endpoint: format!("http://{}", receiver.recv().unwrap()), now }
    }
}

/// What every handler sees.
#[derive(Clone)]
struct Canned {
    operation: &'static Operation,
    world: World,
    /// How often the promotion that moves was looked at.
    looks: Arc<AtomicUsize>,
}

fn router(world: World) -> Router {
    let looks = Arc::new(AtomicUsize::new(0));
    OPERATIONS.iter().fold(Router::new(), |router, operation| {
        let canned = Canned { operation, world, looks: Arc::clone(&looks) };
        let filter = match operation.method {
            Method::Get => MethodFilter::GET,
            Method::Put => MethodFilter::PUT,
            Method::Post => MethodFilter::POST,
            Method::Delete => MethodFilter::DELETE,
        };
        router.route(operation.path, on(filter, handle).with_state(canned))
    })
}

async fn handle(
    State(canned): State<Canned>,
    path: RawPathParams,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path: Vec<String> = path.iter().map(|(_, value)| value.to_owned()).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let answer = authorize(canned.operation, &headers)
        .and_then(|()| canned.answer(&path, uri.query().unwrap_or(""), &body));
    let (status, media_type, text) = match answer {
        Ok(Value::Null) => (canned.operation.status, "text/plain", String::new()),
        Ok(value) => (canned.operation.status, "application/json", value.to_string()),
        Err(problem) => (problem.status, PROBLEM_MEDIA_TYPE, json(&problem).to_string()),
    };
    let headers = [(header::CONTENT_TYPE.as_str(), media_type), (VERSION_HEADER, VERSION)];
    (StatusCode::from_u16(status).unwrap(), headers, text).into_response()
}

pub(crate) type Answer = Result<Value, Box<Problem>>;

fn authorize(operation: &Operation, headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let token = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    match operation.auth {
        Auth::Public => Ok(()),
        Auth::Bearer | Auth::Admin | Auth::States if token == Some(&format!("Bearer {TOKEN}")) => {
            Ok(())
        }
        Auth::Bearer | Auth::Admin | Auth::States => {
            Err(Box::new(Problem::unauthenticated("the token is not known")))
        }
    }
}

pub(crate) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn page<T: Serialize>(items: Vec<T>) -> Answer {
    Ok(json(&Page { items, next: None }))
}

pub(crate) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Box<Problem>> {
    serde_json::from_slice(body).map_err(|error| Box::new(Problem::malformed(error.to_string())))
}

impl Canned {
    fn answer(&self, path: &[&str], query: &str, body: &Bytes) -> Answer {
        let world = self.world;
        match (self.operation.id, path) {
            ("version", []) => {
                Ok(json(&ServerVersion { version: "0.1.0".into(), api: vec!["v1".into()] }))
            }
            ("listTokens", []) => page(world.tokens()),
            ("createToken", []) => self.create_token(body),
            ("mintToken", []) => self.mint_token(body),
            ("rotateToken", ["ana"]) => self.created(world.tokens().remove(1)),
            ("endToken", ["ana~1"]) => Ok(Value::Null),
            ("endToken", [name]) => Err(Box::new(Problem::not_found("token", name))),
            ("revokeToken", ["ana"]) => Ok(Value::Null),
            ("revokeToken", [id]) => Err(Box::new(Problem::not_found("token", id))),
            ("listProjects", []) => page(vec![world.project()]),
            ("getProject", ["shop"]) => Ok(json(&world.project())),
            ("listWarehouses", ["shop"]) => page(vec![world.warehouse()]),
            ("getWarehouse" | "refreshWarehouse", ["shop", "main"]) => Ok(json(&world.warehouse())),
            ("listStages", ["shop"]) => page(world.stages()),
            ("getStage", ["shop", name]) => found("stage", name, world.stage(name)),
            ("preview", ["shop"]) => Ok(json(&world.preview(&read(body)?))),
            ("getPipeline", ["shop"]) => Ok(json(&world.pipeline())),
            ("listTasks", ["shop"]) => page(vec![world.task()]),
            ("getTask", ["shop", "release"]) => Ok(json(&world.task())),
            ("listVerifications", ["shop"]) => page(vec![world.verification()]),
            ("getVerification", ["shop", "errors"]) => Ok(json(&world.verification())),
            ("listPolicies", ["shop"]) => page(vec![world.policy()]),
            ("getPolicy", ["shop", "prod"]) => Ok(json(&world.policy())),
            ("listHolds", ["shop"]) => page(vec![world.held()]),
            ("getHold", ["shop", "cve"]) => Ok(json(&world.held())),
            ("putHold", ["shop", name]) => self.put_hold(name, body),
            ("deleteHold", ["shop", "cve"]) => Ok(Value::Null),
            ("listFreezes", ["shop"]) => page(vec![world.freeze()]),
            ("getFreeze", ["shop", "year-end"]) => Ok(json(&world.freeze())),
            ("putFreeze", ["shop", name]) => self.put_freeze(name, body),
            ("deleteFreeze", ["shop", "year-end"]) => Ok(Value::Null),
            ("listInstanceFreezes", []) => page(vec![world.instance_freeze()]),
            ("getInstanceFreeze", ["outage"]) => Ok(json(&world.instance_freeze())),
            ("putInstanceFreeze", [name]) => self.put_instance_freeze(name, body),
            ("deleteInstanceFreeze", ["outage"]) => Ok(Value::Null),
            ("liftStageHold", ["shop", "prod"]) => self.lift_stage_hold(body),
            ("reverifyStage", ["shop", "prod"]) => Ok(json(&world.promotion("prod.12"))),
            ("reverifyStage", ["shop", name]) => {
                Err(Box::new(Problem::not_found("stage", &format!("shop/{name}"))))
            }
            ("explainStage", ["shop", "prod"]) => Ok(json(&world.explain())),
            ("forecastStage", ["shop", "prod"]) => Ok(json(&world.forecast())),
            ("listFreight", ["shop"]) => page(world.freight_matching(query)),
            ("getFreight", ["shop", prefix]) => self.one_freight(prefix),
            ("approveFreight", ["shop", prefix]) => self.approve_freight(prefix, body),
            ("listPromotions", ["shop"]) => page(vec![world.promotion("prod.12")]),
            ("createPromotion", ["shop"]) => self.create_promotion(body),
            ("getPromotion", ["shop", id]) => self.promotion(id),
            ("approvePromotion", ["shop", id]) => self.approve_promotion(id, body),
            ("abortPromotion", ["shop", id]) => self.abort_promotion(id, body),
            ("listDrift", ["shop"]) => Ok(json(&drift::all(world.now))),
            ("getStageDrift" | "lookForDrift", ["shop", stage]) => {
                Ok(json(&drift::of(world.now, stage)))
            }
            ("listStates", ["shop"]) => Ok(json(&states::all(world.now))),
            ("listStateVersions", ["shop", "prod", "modules/db"]) => {
                Ok(json(&states::versions(world.now)))
            }
            ("readState", ["shop", "prod", "modules/db"]) => Ok(states::content(12)),
            ("readStateVersion", ["shop", "prod", "modules/db", "1"]) => Ok(states::content(10)),
            ("restoreState", ["shop", "prod", "modules/db"]) => states::restored(world.now, body),
            ("unlockState", ["shop", "prod", "modules/db"]) => states::unlocked(world.now, body),
            ("getPlan", ["shop", _, step]) => Ok(json(&world.full_plan(step))),
            ("getEvidence", ["shop", "prod.12"]) => Ok(super::evidence::canned()),
            ("listSigningKeys", []) => Ok(super::evidence::keys()),
            ("listPromotionEvents", ["shop", _]) => Ok(json(&world.events(query))),
            (id, path) => Err(Box::new(Problem::not_found(id, &path.join("/")))),
        }
    }

    fn create_token(&self, body: &Bytes) -> Answer {
        let CreateAccessToken { name, groups, admin, expires_at } = read(body)?;
        self.created(objects::access(self.world, &name, groups, admin, expires_at))
    }

    fn mint_token(&self, body: &Bytes) -> Answer {
        let MintToken { lifetime, groups, admin } = read(body)?;
        assert_eq!(lifetime.as_deref(), Some("30m"));
        let expires_at = Some(self.world.ahead(1));
        let groups = groups.unwrap_or_default();
        self.created(objects::access(self.world, "ana~1", groups, admin, expires_at))
    }

    fn created(&self, access: AccessToken) -> Answer {
        Ok(json(&CreatedAccessToken { access, secret: Secret::new("lst_new") }))
    }

    fn one_freight(&self, prefix: &str) -> Answer {
        let freight: Vec<_> =
            self.world.freight().into_iter().filter(|it| it.id.starts_with(prefix)).collect();
        match freight.as_slice() {
            [] => Err(Box::new(Problem::not_found("freight", prefix))),
            [one] => Ok(json(one)),
            several => {
                let ids = several.iter().map(|it| it.id.clone()).collect();
                Err(Box::new(Problem::ambiguous_freight(prefix, ids)))
            }
        }
    }

    fn approve_freight(&self, prefix: &str, body: &Bytes) -> Answer {
        let FreightApproval { reason, .. } = read(body)?;
        assert_eq!(reason, "fixes the outage");
        self.one_freight(prefix)
    }

    fn put_freeze(&self, name: &str, body: &Bytes) -> Answer {
        let mut freeze = self.world.freeze();
        (freeze.meta.name, freeze.spec) = (name.to_owned(), read(body)?);
        Ok(json(&freeze))
    }

    fn put_instance_freeze(&self, name: &str, body: &Bytes) -> Answer {
        let mut freeze = self.world.instance_freeze();
        (freeze.meta.name, freeze.spec) = (name.to_owned(), read(body)?);
        Ok(json(&freeze))
    }

    fn put_hold(&self, name: &str, body: &Bytes) -> Answer {
        let mut hold = self.world.held();
        (hold.meta.name, hold.spec) = (name.to_owned(), read(body)?);
        Ok(json(&hold))
    }

    fn lift_stage_hold(&self, body: &Bytes) -> Answer {
        let LiftHold { reason } = read(body)?;
        assert_eq!(reason, "all is well");
        found("stage", "prod", self.world.stage("prod"))
    }

    fn create_promotion(&self, body: &Bytes) -> Answer {
        let CreatePromotion { stage, freight, along, reason, bypass, rehearsal, .. } = read(body)?;
        if let FreightSelector::Id(prefix) = freight {
            self.one_freight(&prefix)?;
        }
        if stage != "prod" {
            let problem = FieldProblem::new("stage", FieldCode::Invalid, "no such stage")
                .with_hint("did you mean prod?");
            return Err(Box::new(Problem::invalid(Kind::Stage, &stage, vec![problem])));
        }
        if rehearsal {
            return Ok(json(&self.world.rehearsal(Phase::Preparing)));
        }
        let mut promotion = self.world.promotion("prod.13");
        (promotion.reason, promotion.bypass) = (reason, bypass);
        promotion.along = along;
        Ok(json(&promotion))
    }

    /// Two promotions move with every look, one of them through an outage; the others stand still.
    fn promotion(&self, id: &str) -> Answer {
        let look = self.looks.fetch_add(1, Ordering::SeqCst);
        if id == "prod.18" {
            let phase = if look == 0 { Phase::Preparing } else { Phase::Waiting };
            return Ok(json(&self.world.rehearsal(phase)));
        }
        let phase = match (id, look) {
            ("prod.13", 0) => Phase::Waiting,
            ("prod.13", 1) | ("prod.17", 0) => Phase::Verifying,
            ("prod.17", 1..=4) => {
                return Err(Box::new(Problem::unavailable("lockstepd is about to stop")));
            }
            ("prod.13" | "prod.17", _) => Phase::Succeeded,
            _ => return Ok(json(&self.world.promotion(id))),
        };
        let mut promotion = self.world.promotion(id);
        promotion.phase = phase;
        if phase != Phase::Waiting {
            promotion.waiting.clear();
        }
        Ok(json(&promotion))
    }

    fn approve_promotion(&self, id: &str, body: &Bytes) -> Answer {
        let ApprovePromotion { digest, .. } = read(body)?;
        let promotion = self.world.promotion(id);
        let current = promotion.change_set.as_ref().map_or("", |it| it.digest.as_str());
        if digest != current {
            return Err(Box::new(Problem::digest_mismatch(id, current)));
        }
        Ok(json(&promotion))
    }

    fn abort_promotion(&self, id: &str, body: &Bytes) -> Answer {
        let AbortPromotion { reason } = read(body)?;
        let seen = "lockstep plan";
        assert_eq!(reason, if id == "prod.18" { seen } else { "wrong freight" });
        let mut promotion = self.world.promotion(id);
        if promotion.phase.is_finished() {
            return Err(Box::new(Problem::wrong_phase(id, promotion.phase, "aborted")));
        }
        promotion.phase = Phase::Aborted;
        Ok(json(&promotion))
    }
}

fn found<T: Serialize>(what: &str, id: &str, object: Option<T>) -> Answer {
    object.map(|it| json(&it)).ok_or_else(|| Box::new(Problem::not_found(what, id)))
}
