//! Files from elsewhere, taken only if they are what the checksum says.

use http::Method;
use reconciler_domain::step::{DownloadCall, Record};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::http::{introduced, retry_after, shown};
use super::revealed::Revealed;
use super::vault::hex;
use super::workspace::rel_path;
use super::{Done, Halt, RunContext, blocking};
use crate::http::Request;
use crate::scoped::Scoped;
use crate::workdir::{WorkDir, WorkdirError};

/// Fetches a file and writes it.
pub(super) async fn fetch(
    effects: &Scoped,
    cx: &RunContext,
    dir: &WorkDir,
    call: &DownloadCall,
) -> Result<Done, Halt> {
    let bytes = answer(effects, cx, call).await?;
    let size = bytes.len();
    let found = hex(&Sha256::digest(&bytes));
    if found != call.sha256 {
        return Err(Halt::never(format_args!(
            "{} holds sha256:{found}, and the checksum asks for sha256:{}: it is not what was meant, \
             or it was changed",
            shown(&call.url),
            call.sha256,
        )));
    }
    let (dir, path) = (dir.clone(), rel_path(&call.to)?);
    let written = blocking(move || dir.write(&path, &bytes)).await;
    written.map_err(|error| Halt::of(&error, matches!(error, WorkdirError::Io { .. })))?;
    Ok(Done::new([("size", Value::from(size))], Record::None))
}

async fn answer(effects: &Scoped, cx: &RunContext, call: &DownloadCall) -> Result<Vec<u8>, Halt> {
    let url: Url = call
        .url
        .parse()
        .map_err(|error| Halt::never(format_args!("URL {}: {error}", shown(&call.url))))?;
    let limit = usize::try_from(call.max_bytes).unwrap_or(usize::MAX);
    let secrets = Revealed::open(effects, &call.secrets, &url)?;
    let request = introduced(effects, Method::GET, url, &secrets.headers(&call.headers))?;
    let request = if secrets.is_some() { request.held_here() } else { request };
    received(effects, cx, request.timeout(call.timeout).max_body(limit), &call.url).await
}

/// What the other side gives, if that is what was asked for.
pub(super) async fn received(
    effects: &Scoped,
    cx: &RunContext,
    request: Request,
    url: &str,
) -> Result<Vec<u8>, Halt> {
    let sent = effects.http().send(request, effects.cancel()).await;
    let response = sent.map_err(|error| Halt::of(&error, error.is_retryable()))?;
    if response.status == 200 {
        return Ok(response.body);
    }
    let message = format!("GET {} answered {}, not 200", shown(url), response.status);
    let may_pass = response.status >= 500 || matches!(response.status, 408 | 429);
    Err(match may_pass {
        true => Halt::later_after(message, retry_after(&response, cx.now)),
        false => Halt::never(message),
    })
}
