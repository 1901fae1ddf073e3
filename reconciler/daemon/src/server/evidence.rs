//! What people agreed to, signed, for whoever checks it without the daemon.

use axum::extract::{Path, State};
use jiff::Timestamp;
use reconciler_api::problem::Problem;
use reconciler_api::v1::{self, Evidence, EvidencedChangeSet, SigningKey, SigningKeys};
use reconciler_domain::id::ProjectName;
use reconciler_domain::promotion::{Event, Promotion, Signed, State as Folded};

use super::Server;
use super::answer::{Answer, Json, name, promotion_id};
use super::promotions::damaged;
use crate::convert;

/// The event with its statement, signed, if somebody states something by it.
pub(super) fn signed(
    server: &Server,
    project: &ProjectName,
    promotion: &Promotion,
    state: &Folded,
    event: Event,
    now: Timestamp,
) -> Event {
    let change_set = state.change_set.as_ref().map_or("", |set| &set.digest);
    // The log keeps microseconds, and both are to say the same.
    let at = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    match event.statement(project, promotion, change_set, at) {
        Some(statement) => event.with_signed(server.signer.sign(&statement)),
        None => event,
    }
}

pub(super) async fn keys(State(server): State<Server>) -> Json<SigningKeys> {
    let keys = server.signer.public_keys();
    let keys = keys.iter().map(|key| SigningKey { id: key.id(), pem: key.to_pem() });
    Json(SigningKeys { keys: keys.collect() })
}

pub(super) async fn read(
    State(server): State<Server>,
    Path((project, wanted)): Path<(String, String)>,
) -> Answer<Json<Evidence>> {
    let (project, id): (ProjectName, _) = (name(&project)?, promotion_id(&wanted)?);
    let Some((promotion, log)) = server.store.promotion(&project, &id).await? else {
        return Err(Problem::not_found("promotion", &format!("{project}/{id}")).into());
    };
    let state = Folded::fold(&log).map_err(|error| damaged(&id, &error))?;
    let change_set = state
        .change_set
        .as_ref()
        .map(|set| EvidencedChangeSet { digest: set.digest.clone(), content: set.content() });
    Ok(Json(Evidence {
        project: project.to_string(),
        promotion: id.to_string(),
        stage: promotion.stage.to_string(),
        freight: promotion.freight.to_string(),
        phase: convert::phase(state.phase()),
        change_set,
        statements: log.iter().filter_map(|entry| entry.event.signed()).map(wire).collect(),
    }))
}

fn wire(signed: &Signed) -> v1::SignedStatement {
    let signature = |signature: &reconciler_domain::promotion::Signature| v1::StatementSignature {
        keyid: signature.keyid.clone(),
        sig: signature.sig.clone(),
    };
    v1::SignedStatement {
        payload_type: signed.payload_type.clone(),
        payload: signed.payload.clone(),
        signatures: signed.signatures.iter().map(signature).collect(),
    }
}
