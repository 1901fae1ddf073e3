//! Defining credentials: the one definition with a part that is never given back.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use reconciler_api::problem::{FieldCode, FieldProblem, Problem};
use reconciler_api::v1::{self, CredentialSpec, Kind};
use reconciler_domain::credential::{Credential, Origin, SIGNING_KEY, check_credential, kept};
use reconciler_domain::id::{CredentialName, ProjectName};
use reconciler_domain::snapshot::Definitions;
use reconciler_effects::git::Signer;
use reconciler_store::{Change, Outcome, Put, PutError, SecretChange};

use super::Server;
use super::answer::{
    Answer, ConfidentialJson, Json, busy, name, precondition, put_refusal, store_precondition,
};
use super::auth::Caller;
use super::definitions::{ATTEMPTS_MAX, Answering, Definition, definitions};
use crate::convert::{field_problems, parse_credential};
use crate::secrets::{LENGTH_MAX, LENGTH_MIN};

pub(super) async fn write(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    headers: HeaderMap,
    ConfidentialJson(spec): ConfidentialJson<CredentialSpec>,
) -> Answer<(StatusCode, Json<v1::Credential>)> {
    let (project, wanted): (ProjectName, CredentialName) = (name(&project)?, name(&wanted)?);
    let precondition = precondition(&headers)?;
    let by = caller.principal();
    let _turn = server.turns.take(&project).await;
    for _ in 0..ATTEMPTS_MAX {
        let Some(snapshot) = server.store.definitions(&project).await? else {
            return Err(Problem::not_found("project", project.as_str()).into());
        };
        let drafted = draft(&server, &project, &wanted, &spec, &snapshot.value);
        let invalid = |errors| Problem::invalid(Kind::Credential, wanted.as_str(), errors);
        let credential = drafted.map_err(invalid)?;
        let secrets = secrets(&server, &project, &credential, &spec)?;
        let change = Change::by(&by, server.clock.now())
            .precondition(store_precondition(precondition))
            .revision(snapshot.revision);
        match server.store.put_credential(&project, &credential, secrets, &change).await {
            Ok(put) => return answer(&server, &project, put).await,
            Err(PutError::Moved { .. }) => {}
            Err(error) => {
                let id = format!("{project}/{wanted}");
                return Err(put_refusal(Kind::Credential, &id, precondition, error));
            }
        }
    }
    Err(busy())
}

/// The credential that was asked for, with what is kept of the one before.
fn draft(
    server: &Server,
    project: &ProjectName,
    name: &CredentialName,
    spec: &CredentialSpec,
    definitions: &Definitions,
) -> Result<Credential, Vec<FieldProblem>> {
    let stored = |key: &str, secret: &str| {
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&secret.len()) {
            return Err(format!(
                "a secret has between {LENGTH_MIN} and {LENGTH_MAX} bytes, this has {}",
                secret.len()
            ));
        }
        if key == SIGNING_KEY {
            // Its author is here now; whoever promotes with it is not.
            Signer::parse(&reconciler_effects::git::Secret::new(secret))?;
        }
        Ok(Origin::Stored(server.safe.fingerprint(project, name, key, secret)))
    };
    let mut credential = parse_credential(name.clone(), spec, stored)?;
    if spec.data.is_none() {
        let before = definitions.credentials.get(name).map(|before| &before.spec);
        let kept = kept(before, &credential).map_err(|problem| field_problems(vec![problem]))?;
        credential.secrets.extend(kept);
    }
    let mut problems = field_problems(check_credential(&credential));
    for (at, from) in spec.from.iter().enumerate() {
        let origin = credential.secrets.get(&from.key);
        let refusal = origin.and_then(|origin| server.safe.allowed().refusal(origin));
        let place = format!("from[{at}].{}", if from.env.is_some() { "env" } else { "file" });
        problems.extend(refusal.map(|why| FieldProblem::new(place, FieldCode::Invalid, why)));
    }
    problems.extend(credential.check(definitions));
    if problems.is_empty() { Ok(credential) } else { Err(problems) }
}

/// What becomes of the stored secrets.
fn secrets(
    server: &Server,
    project: &ProjectName,
    credential: &Credential,
    spec: &CredentialSpec,
) -> Answer<SecretChange> {
    let is_stored = |origin: &Origin| matches!(origin, Origin::Stored(_));
    if !credential.secrets.values().any(is_stored) {
        return Ok(SecretChange::Remove);
    }
    let Some(data) = &spec.data else { return Ok(SecretChange::Keep) };
    let values: BTreeMap<String, String> =
        data.iter().map(|(key, secret)| (key.clone(), secret.expose().to_owned())).collect();
    let sealed = server.safe.seal(project, credential, &values);
    let sealed = sealed.map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok(SecretChange::Replace(sealed))
}

async fn answer(
    server: &Server,
    project: &ProjectName,
    put: Put<Credential>,
) -> Answer<(StatusCode, Json<v1::Credential>)> {
    let status = match put.outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Changed | Outcome::Unchanged => StatusCode::OK,
    };
    let definitions = definitions(server, project).await?;
    let answering = Answering::new(server, project, &definitions);
    Ok((status, Json(answering.object(&put.stored).await?)))
}
