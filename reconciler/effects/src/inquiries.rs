//! Asking somebody else whether a promotion may go on.
//!
//! What is not an answer is unknown: no connection, no time, a redirect, a login that is missing, no JSON, a signature
//! that does not hold, a condition that cannot be evaluated. Nothing that is told holds a secret.

use std::time::Duration;

use http::Method;
use reconciler_domain::id::ProjectName;
use reconciler_domain::inquiry::{Inquiry, Source, VerifyingKey, WebRequest};
use reconciler_domain::secret::SecretRef;
use reconciler_domain::verification::Measured;
use url::Url;

use crate::http::{Request, Response};
use crate::oci::{Attached, Digest, ImageRepo};
use crate::scoped::Scoped;
use crate::steps::Revealed;
use crate::{Effects, answer, dsse, fault};

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// How it was judged.
    pub measured: Measured,
    /// What was said, in words, without secrets.
    pub detail: String,
}

/// Characters of what is told.
const DETAIL_CHARS: usize = 1_000;

/// Asks; none: the process is stopping, and nothing was heard.
pub(crate) async fn ask(
    effects: &Effects,
    project: &ProjectName,
    inquiry: &Inquiry,
) -> Option<Heard> {
    let heard = asked(effects, project, inquiry).await;
    (!effects.cancel().is_cancelled()).then_some(heard)
}

async fn asked(effects: &Effects, project: &ProjectName, inquiry: &Inquiry) -> Heard {
    let source = inquiry.source.describe();
    let unknown = |detail| Heard { measured: Measured::Unknown, detail };
    let scoped = match Scoped::open(effects, project).await {
        Ok(scoped) => scoped,
        Err(why) => return unknown(why),
    };
    let heard = fault::held(heard(&scoped, inquiry)).await;
    let heard = heard.unwrap_or_else(|said| Err(fault::told(&said)));
    let Heard { measured, detail } = heard.unwrap_or_else(unknown);
    let detail = scoped.clean(&format!("{source}: {detail}"));
    Heard { measured, detail: answer::capped(&detail, DETAIL_CHARS) }
}

async fn heard(effects: &Scoped, inquiry: &Inquiry) -> Result<Heard, String> {
    match &inquiry.source {
        Source::Response { request, secrets } => {
            let response = response(effects, request, secrets).await?;
            let scope = answer::scope(&response, inquiry.conditions());
            let excerpt = answer::excerpt(&response);
            let (measured, detail) = inquiry.judge_response(response.status, scope, &excerpt);
            Ok(Heard { measured, detail })
        }
        Source::Document { request, secrets } => {
            let response = response(effects, request, secrets).await?;
            let excerpt = answer::excerpt(&response);
            if response.status != 200 {
                return Err(format!("{excerpt}; a document comes with status 200"));
            }
            let payload = response.json().map_err(|_| format!("{excerpt}; that is no JSON"))?;
            let (measured, detail) = inquiry.judge_payload(payload);
            Ok(Heard { measured, detail })
        }
        Source::Referrer { repo, digest, artifact_type, key, timeout } => {
            let look = attached(effects, repo, digest, artifact_type);
            let attached = within(*timeout, look).await??;
            Ok(of_attached(inquiry, &attached, (artifact_type, digest), key.as_ref()))
        }
    }
}

async fn within<T>(timeout: Duration, look: impl Future<Output = T>) -> Result<T, String> {
    let told = |_| format!("there was no complete answer within {timeout:?}");
    tokio::time::timeout(timeout, look).await.map_err(told)
}

/// Sends a request that is for its address alone: what answers elsewhere was not asked.
async fn response(
    effects: &Scoped,
    asked: &WebRequest,
    secrets: &[SecretRef],
) -> Result<Response, String> {
    // The text itself may hold a secret in its query.
    let url: Url = asked.url.parse().map_err(|error| format!("the address is no URL: {error}"))?;
    let method = Method::from_bytes(asked.method.as_bytes())
        .map_err(|_| format!("{:?} is not an HTTP method", asked.method))?;
    let secrets = Revealed::opened(effects, secrets, &url)?;
    let headers = secrets.headers(&asked.headers);
    let is_signed = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    let login = if is_signed { None } else { effects.own_authorization(&url)? };
    let mut request = Request::new(method, url).timeout(asked.timeout).not_sent_on();
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    if let Some(login) = &login {
        request = request.header("Authorization", login);
    }
    if let Some(body) = &asked.body {
        request = request.body(secrets.text(body));
    }
    let sent = effects.http().send(request, effects.cancel()).await;
    sent.map_err(|error| crate::explain(&error))
}

async fn attached(
    effects: &Scoped,
    repo: &str,
    digest: &str,
    artifact_type: &str,
) -> Result<Vec<Attached>, String> {
    let told = |error: crate::oci::OciError| crate::explain(&error);
    let repo: ImageRepo = repo.parse().map_err(told)?;
    let digest: Digest = digest.parse().map_err(told)?;
    let login = effects.image_login(&repo)?;
    let registry = effects.registries().reader(&repo, false, login);
    let registry = registry.map_err(|error| crate::explain(&error))?;
    registry.attached(&repo, &digest, artifact_type, effects.cancel()).await.map_err(told)
}

/// Everything that counts has to hold: nobody can say which of several is the last word.
///
/// What is not by whoever has the key is passed over: whoever may write to the registry can attach anything.
fn of_attached(
    inquiry: &Inquiry,
    attached: &[Attached],
    (kind, image): (&str, &str),
    key: Option<&VerifyingKey>,
) -> Heard {
    let unknown = |detail| Heard { measured: Measured::Unknown, detail };
    if attached.is_empty() {
        return unknown("there is none".to_owned());
    }
    let (mut counting, mut passed_over) = (Vec::new(), Vec::new());
    for Attached { by, by_artifact_type, bytes } in attached {
        match dsse::said(bytes, key, image) {
            // An annotation is signed by nobody.
            Ok(payload)
                if key.is_some()
                    && !by_artifact_type
                    && payload["predicateType"].as_str() != Some(kind) =>
            {
                passed_over.push(format!("{by}: its predicate is of another type"));
            }
            Ok(payload) => counting.push((by, inquiry.judge_payload(payload))),
            // Without a key there is nobody to tell what counts.
            Err(why) if key.is_none() => {
                counting.push((by, (Measured::Unknown, why)));
            }
            Err(why) => passed_over.push(format!("{by}: {why}")),
        }
    }
    if counting.is_empty() {
        let first = passed_over.first().map_or("", String::as_str);
        return unknown(format!(
            "of {} that are attached none counts; the first, {first}",
            attached.len()
        ));
    }
    let worst = [Measured::Fail, Measured::Unknown, Measured::Pass];
    let said = |wanted| counting.iter().find(|(_, (measured, _))| *measured == wanted);
    let found = worst.into_iter().find_map(said);
    found.map_or_else(
        || unknown("there is none".to_owned()),
        |(by, (measured, why))| {
            let count = counting.len();
            Heard { measured: *measured, detail: format!("{by} (of {count}): {why}") }
        },
    )
}
