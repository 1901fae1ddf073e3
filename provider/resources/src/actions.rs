//! Actions: what is done once, where the client has them. Each may be invoked again without harm: what
//! is so already is told, and not done twice.

mod approve;
mod promote;
mod refresh;
mod reverify;

pub(crate) use approve::{Abort, Approve};
pub(crate) use promote::Promote;
pub(crate) use refresh::Refresh;
pub(crate) use reverify::Reverify;

use provider_protocol::Diagnostics;
use provider_protocol::cty::Path;
use provider_protocol::provider::Reader;
use provider_protocol::schema::Attribute;
use reconciler_domain::id::ProjectName;

use crate::attribute::parsed;
use crate::form::Read as _;
use crate::session::Session;

/// Of an action without an answer.
const UNSURE: &str = "It may have been done nevertheless. To invoke the action again does no harm.";

/// The project of what is acted on.
fn project_attribute() -> Attribute {
    parsed::<ProjectName>().describe("The project that owns it. Default: the provider's.")
}

fn project(config: &Reader<'_>, session: &Session, diags: &mut Diagnostics) -> Option<String> {
    let project = config.text("project").or_else(|| session.project.clone());
    if project.is_none() {
        diags.error_at(
            Path::attribute("project"),
            "Missing project",
            "Set `project` here or in the provider's configuration, or the environment variable \
             LOCKSTEP_PROJECT.",
        );
    }
    project
}
