//! What a configuration wishes for, and how the daemon is asked for it.

use std::time::Duration;

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::Reader;
use reconciler_api::client::ClientError;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{self, CreatePromotion, FreightSelector, Phase};
use reconciler_domain::duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::failure::detail;
use crate::follow::{Advice, Followed, Patience, follow, tell};
use crate::form::Read as _;
use crate::session::Session;

/// How long to wait where the configuration does not say.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// What to do about a promotion.
const ADVICE: Advice = Advice {
    again: "Apply again to wait on: no second promotion is started.",
    another: "apply again for another promotion",
    superseded: "Name that freight, or set `newest`.",
};

/// Of a wish without an answer.
const UNSURE: &str =
    "A promotion may have begun nevertheless. Apply again: no second one is started.";

/// Freight that is to be in a stage.
#[derive(Debug)]
pub(super) struct Wish {
    project: String,
    request: CreatePromotion,
    timeout: Duration,
}

/// What came of a wish.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The promotion as it was last seen.
    pub(super) promotion: v1::Promotion,
}

impl Wish {
    /// The wish of a planned value, in which everything but what is found out is known.
    pub(super) fn of(planned: &Value, operation: &str, diags: &mut Diagnostics) -> Option<Self> {
        let reader = Reader::root(planned);
        let Some(project) = reader.text("project") else {
            diags.error_at(Path::attribute("project"), "Missing project", "It is not known.");
            return None;
        };
        let timeout = reader.block("timeouts").and_then(|timeouts| timeouts.text(operation));
        let timeout = timeout.and_then(|text| duration::parse(&text).ok());
        Some(Self {
            project,
            request: CreatePromotion {
                stage: reader.required("stage"),
                freight: reader
                    .text("freight")
                    .map_or(FreightSelector::Newest, FreightSelector::Id),
                along: Vec::new(),
                reason: reader.text("reason"),
                vars: [].into(),
                bypass: None,
                ensure: true,
                rehearsal: false,
            },
            timeout: timeout.unwrap_or(TIMEOUT),
        })
    }

    /// Asks for it, and waits until it is so. None if nothing was started; whatever else is not so is
    /// told beside the promotion.
    pub(super) async fn fulfil(
        &self,
        session: &Session,
        cancel: &CancellationToken,
        diags: &mut Diagnostics,
    ) -> Option<Outcome> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let what = format!("promote to stage {}/{}", self.project, self.request.stage);
            let call = session.api.promote(&self.project, &self.request);
            let begun = match session.order(cancel, (&what, UNSURE), call, diags).await? {
                Ok(begun) => begun,
                Err(error) => {
                    self.tell_refused(&error, &what, diags);
                    return None;
                }
            };
            let timeout = deadline.saturating_duration_since(Instant::now());
            let patience = Patience { timeout, cancel, progress: None };
            let followed = follow(session, begun, patience).await;
            // What is newest changed meanwhile; the wish did not.
            if self.is_superseded(&followed) && Instant::now() < deadline {
                continue;
            }
            tell(&followed, self.timeout, &ADVICE, diags);
            return Some(Outcome { promotion: followed.promotion() });
        }
    }

    fn is_superseded(&self, followed: &Followed) -> bool {
        let Followed::Ended(ended) = followed else { return false };
        self.request.freight == FreightSelector::Newest && ended.phase == Phase::Superseded
    }

    fn tell_refused(&self, error: &ClientError, what: &str, diags: &mut Diagnostics) {
        let attribute = match (&self.request.freight, error.code()) {
            (_, Some(ProblemCode::NotFound | ProblemCode::Invalid)) => "stage",
            (FreightSelector::Newest, _) => "newest",
            (FreightSelector::Previous | FreightSelector::Id(_), _) => "freight",
        };
        let named = error.code().is_some();
        let path = if named { Path::attribute(attribute) } else { Path::root() };
        diags.error_at(path, format!("Cannot {what}"), detail(error));
    }
}
