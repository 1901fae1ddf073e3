//! `lockstep_promotion`: declares that freight be in a stage, and waits until it is.
//!
//! It is no definition of the daemon, so it is none of [`crate::managed`]: what it stands for is an
//! event. The daemon is asked to *ensure* that the freight is in the stage, which starts nothing
//! where it is there already or on its way. To destroy the resource is to forget it.

mod wish;

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Change, Context, Destroy, Plan, Reader, Resource, State};
use provider_protocol::schema::{Attribute, Block, NestedBlock, Schema};
use reconciler_api::client::ClientError;
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1;
use reconciler_domain::id::{ProjectName, StageName};
use serde::{Deserialize, Serialize};

use crate::attribute::{checked, filled, parsed, span, text_map};
use crate::failure::{detail, tell_unreadable};
use crate::references::{Reference, tell_unknown};
use crate::session::{Identity, Session};
use crate::stop::or_now;
use wish::{Outcome, Wish};

/// A declared promotion.
pub(crate) struct Promotion;

/// What only an apply finds out.
const FOUND: [&str; 5] = ["id", "promotion", "freight_id", "phase", "digest"];

/// What makes an update promote again, besides other freight.
const STARTS: [&str; 2] = ["newest", "triggers"];

/// What is kept beside a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    v: u32,
    /// The freight that was promoted.
    freight: String,
    /// Whether it was imported and nothing was applied since: the configuration then says how it
    /// came about, and asks for nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    imported: bool,
}

impl Kept {
    fn new(freight: &str) -> Self {
        Self { v: 1, freight: freight.to_owned(), imported: false }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|kept: &Self| kept.v == 1)
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts are JSON")
    }
}

fn schema_block() -> Block {
    let project = parsed::<ProjectName>()
        .optional_computed()
        .stable()
        .force_new()
        .describe("The project that owns it. Default: the provider's.");
    let freight = checked(|text| {
        let digits = text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        if digits && (4..=40).contains(&text.len()) {
            return Ok(());
        }
        Err(format!("{text:?} is not the id of freight, or at least 4 digits of its beginning."))
    });
    let found = |text: &str| Attribute::string().computed().describe(text);
    Block::new()
        .describe(
            "Declares that a freight, or the newest one that may go there, be in a stage: asks for \
             a promotion unless it is there already, and waits until that ends. Later promotions \
             by others are no drift, unless `enforce` is set. Destroying the resource forgets it, \
             and undoes nothing. A wait that is interrupted or runs out of time leaves the \
             promotion on its way; the next apply goes on with the same one.",
        )
        .attribute("project", project)
        .attribute("stage", parsed::<StageName>().required().force_new().describe("Where to."))
        .attribute(
            "freight",
            freight.describe(
                "The freight: its id, or a beginning of it that is unique. Give this or `newest`.",
            ),
        )
        .attribute(
            "newest",
            Attribute::bool().describe(
                "Whether to promote the newest freight that is available to the stage and not \
                 held. It is looked up at create, and whenever `triggers` change. After an import \
                 it is taken over first, which promotes nothing.",
            ),
        )
        .attribute(
            "triggers",
            text_map().describe(
                "Free names and values; when they change, it promotes again. After an import they \
                 are taken over first, which promotes nothing.",
            ),
        )
        .attribute("reason", filled().describe("Why; recorded with the promotion."))
        .attribute(
            "enforce",
            Attribute::bool().default(false).describe(
                "Whether other freight in the stage is drift: the next apply then promotes this \
                 one again.",
            ),
        )
        .attribute("id", found("`PROJECT/PROMOTION`; what `import` takes."))
        .attribute("promotion", found("The promotion that brought the freight, such as `prod.12`."))
        .attribute(
            "freight_id",
            found("The id of the freight that was promoted; with `enforce`, of what is there now."),
        )
        .attribute("phase", found("How far the promotion is, `succeeded` after an apply."))
        .attribute("digest", found("Names what the promotion did: its change set."))
        .block(
            "timeouts",
            NestedBlock::single(
                Block::new()
                    .describe("How long to wait for the promotion to end.")
                    .attribute("create", span().describe("At create. Default: `30m`."))
                    .attribute("update", span().describe("At update. Default: `30m`.")),
            ),
        )
}

/// Plans what was promoted as it is in the state, where the configuration has more or less of the
/// same id; whether it asks for other freight.
fn plan_freight(kept: Option<&Kept>, prior: &Value, plan: &mut Plan<'_>) -> bool {
    let text = |value: &Value| value.get("freight").and_then(Value::as_str).map(str::to_owned);
    if let (Some(kept), Some(before), Some(now)) = (kept, text(prior), text(&plan.planned))
        && [&before, &now].iter().all(|id| kept.freight.starts_with(id.as_str()))
    {
        plan.set("freight", before);
    }
    // An import knows the freight, and a configuration that takes the newest does not name it.
    let unnamed = plan.planned.get("freight").is_none_or(Value::is_null);
    let imported = kept.is_some_and(|kept| kept.imported);
    plan.changes("freight") && !(imported && unnamed)
}

/// Tells that a change that would promote does not, because it comes with an import.
fn tell_taken_over(name: &str, diags: &mut Diagnostics) {
    let text = format!(
        "The promotion was imported, so `{name}` says how it came about: it is taken over as it is \
         here, and nothing is promoted. Changed after that, it promotes."
    );
    diags.warning_at(Path::attribute(name), "Nothing is promoted after an import", text);
}

#[async_trait]
impl Resource<Session> for Promotion {
    fn type_name(&self) -> &'static str {
        "lockstep_promotion"
    }

    fn schema(&self) -> Schema {
        Schema::new(schema_block())
    }

    async fn validate(&self, _: &Context<Session>, config: &Value, diags: &mut Diagnostics) {
        let config = Reader::root(config);
        let newest = config.bool("newest");
        let freight = config.get("freight");
        if !freight.is_null() && newest.known() == Some(true) {
            let text = "Leave out `freight` or `newest`: the newest freight is looked up.";
            diags.error_at(config.path_of("newest"), "Conflicting settings", text);
        }
        if freight.is_null() && !newest.is_unknown() && newest.known() != Some(true) {
            let text = "Set `freight` to an id, or `newest = true`.";
            diags.error("Missing freight", text);
        }
    }

    async fn plan(&self, cx: &Context<Session>, plan: &mut Plan<'_>, diags: &mut Diagnostics) {
        plan_project(cx, plan, diags);
        let Some(prior) = plan.prior else { return tell_unknown_stage(cx, plan, diags).await };
        let enforced = plan.planned.get("enforce").and_then(Value::as_bool) == Some(true);
        let there = prior.get("freight_id").and_then(Value::as_str);
        let kept = Kept::from_bytes(&plan.private);
        let kept = kept.as_ref();
        let drifted = enforced && kept.is_some_and(|kept| there != Some(&kept.freight));
        let other = plan_freight(kept, prior, plan);
        let asked = STARTS.into_iter().find(|name| plan.changes(name));
        let imported = kept.is_some_and(|kept| kept.imported);
        let starts = drifted || other || (asked.is_some() && !imported);
        if let Some(name) = asked.filter(|_| !starts) {
            tell_taken_over(name, diags);
        }
        if starts {
            tell_unknown_stage(cx, plan, diags).await;
        }
        for name in FOUND {
            let value = match prior.get(name) {
                Some(value) if !starts => value.clone(),
                Some(_) | None => Value::unknown(),
            };
            plan.set(name, value);
        }
    }

    async fn create(
        &self,
        cx: &Context<Session>,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let session = cx.client(diags)?;
        let wish = Wish::of(change.planned, "create", diags)?;
        let outcome = wish.fulfil(&session, &cx.cancel, diags).await?;
        Some(state(change.planned.clone(), &outcome))
    }

    async fn read(
        &self,
        cx: &Context<Session>,
        state: &State,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let Some(session) = &cx.client else {
            if state.private.is_empty() {
                let id = state.value.get("id").and_then(Value::as_str).unwrap_or_default();
                tell_unreadable(&format!("import promotion {id}"), diags);
                return None;
            }
            return Some(state.clone());
        };
        let was_read = Kept::from_bytes(&state.private).is_some();
        if was_read && session.reach.goes_without(diags) {
            return Some(state.clone());
        }
        let (project, id) = place(&state.value)?;
        let what = format!("read promotion {project}/{id}");
        match or_now(&cx.cancel, look(session, &project, &id, state)).await {
            Ok(Ok(read)) => Some(read),
            Ok(Err(error)) if error.code() == Some(ProblemCode::NotFound) => None,
            Ok(Err(error)) => {
                if was_read && session.reach.goes_on_without(&error, diags) {
                    return Some(state.clone());
                }
                session.reach.noticed(&error);
                diags.error(format!("Cannot {what}"), detail(&error));
                None
            }
            Err(stopped) => {
                stopped.tell(&what, "", diags);
                None
            }
        }
    }

    async fn update(
        &self,
        cx: &Context<Session>,
        change: Change<'_>,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        if change.planned.is_wholly_known() {
            // Nothing that promotes again has changed; from now on it does.
            let kept =
                Kept::from_bytes(change.private).map(|kept| Kept { imported: false, ..kept });
            let private = kept.map_or_else(|| change.private.to_vec(), |kept| kept.to_bytes());
            return Some(State::new(change.planned.clone()).private(private));
        }
        let session = cx.client(diags)?;
        let wish = Wish::of(change.planned, "update", diags)?;
        let outcome = wish.fulfil(&session, &cx.cancel, diags).await?;
        if diags.has_errors() {
            // What was asked for is not so: the next plan has to ask for it again.
            return Some(state(change.prior?.clone(), &outcome));
        }
        Some(state(change.planned.clone(), &outcome))
    }

    /// Forgets it: what was promoted stays.
    async fn delete(&self, _: &Context<Session>, _: Destroy<'_>, _: &mut Diagnostics) {}

    async fn import(
        &self,
        _: &Context<Session>,
        id: &str,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let parts = id.split_once('/').and_then(|(project, promotion)| {
            let promotion: reconciler_domain::id::PromotionId = promotion.parse().ok()?;
            Some((project.parse::<ProjectName>().ok()?, promotion))
        });
        let Some((project, promotion)) = parts else {
            let text = format!(
                "{id:?} is not the id of a promotion. It has the form PROJECT/PROMOTION, such as \
                 shop/prod.12."
            );
            diags.error_at(Path::root(), "Invalid import id", text);
            return None;
        };
        Some(State::new(Value::object([
            ("id", Value::from(id)),
            ("project", project.as_str().into()),
            ("promotion", promotion.as_str().into()),
            ("enforce", false.into()),
        ])))
    }
}

/// Sets the project, as far as it is known.
fn plan_project(cx: &Context<Session>, plan: &mut Plan<'_>, diags: &mut Diagnostics) {
    let configured = plan.config.get("project").is_some_and(|project| !project.is_null());
    let Some(session) = cx.client.as_deref().filter(|_| !configured) else { return };
    match &session.project {
        Some(project) => plan.set("project", project),
        None => diags.error_at(
            Path::attribute("project"),
            "Missing project",
            "Set `project` here or in the provider's configuration, or the environment variable \
             LOCKSTEP_PROJECT.",
        ),
    }
    if plan.prior.is_some() && plan.changes("project") {
        plan.requires_replace.push(Path::attribute("project"));
    }
}

/// Tells a stage that is neither there nor planned: the apply would find that out in the end.
async fn tell_unknown_stage(cx: &Context<Session>, plan: &Plan<'_>, diags: &mut Diagnostics) {
    let text = |name| plan.planned.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(session), Some(project), Some(name)) = (&cx.client, text("project"), text("stage"))
    else {
        return;
    };
    if session.reach.goes_without(diags) {
        return;
    }
    let stage = Reference { kind: v1::Kind::Stage, name, path: Path::attribute("stage") };
    let told = tell_unknown(session, &project, v1::Kind::Stage, vec![stage], diags);
    // An interrupt is told by whatever the plan waits for.
    drop(or_now(&cx.cancel, told).await);
}

/// The state as it is now. Without the daemon, and with any other refusal of it, there is none.
async fn look(
    session: &Session,
    project: &str,
    id: &str,
    state: &State,
) -> Result<State, ClientError> {
    let promotion = session.api.promotion(project, id).await?;
    let kept = Kept::from_bytes(&state.private);
    let kept = kept.unwrap_or_else(|| Kept { imported: true, ..Kept::new(&promotion.freight) });
    let mut read = refreshed(&state.value, &promotion);
    if read.get("enforce").and_then(Value::as_bool) == Some(true) {
        read.set("freight_id", in_stage(session, &promotion).await?);
    }
    Ok(State::new(read).private(kept.to_bytes()))
}

/// Which promotion a state is about.
fn place(state: &Value) -> Option<(String, String)> {
    let text = |name| state.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((text("project")?, text("promotion")?))
}

/// A state with what came of the promotion.
fn state(value: Value, outcome: &Outcome) -> State {
    let promotion = &outcome.promotion;
    let value = with_found(value, promotion).with("project", promotion.project.as_str());
    State::new(value).private(Kept::new(&promotion.freight).to_bytes())
}

fn with_found(value: Value, promotion: &v1::Promotion) -> Value {
    let digest = promotion.change_set.as_ref().map(|set| set.digest.clone());
    value
        .with("id", format!("{}/{}", promotion.project, promotion.id))
        .with("promotion", promotion.id.as_str())
        .with("freight_id", promotion.freight.as_str())
        .with("phase", promotion.phase.as_str())
        .with("digest", digest)
}

/// A state as it is now. One that was just imported gets what it was made from, too.
fn refreshed(state: &Value, promotion: &v1::Promotion) -> Value {
    let imported = state.get("phase").is_none_or(Value::is_null);
    let mut value = with_found(state.clone(), promotion);
    if imported {
        value.set("stage", promotion.stage.as_str());
        value.set("reason", promotion.reason.clone());
        value.set("freight", promotion.freight.as_str());
    }
    value
}

/// The freight of the promotion's warehouse that is in its stage now: its own freight while it is on
/// its way there.
async fn in_stage(session: &Session, promotion: &v1::Promotion) -> Result<Value, ClientError> {
    let v1::Promotion { project, stage, freight, collection, .. } = promotion;
    if !promotion.phase.is_finished() {
        return Ok(freight.as_str().into());
    }
    let (kind, project, name) = (v1::Kind::Stage, project.clone(), stage.clone());
    let identity = Identity { kind, project, name };
    let found = session.reads.see::<v1::Stage>(&session.api, &identity).await?;
    let current = found.map(|stage| stage.status.current).unwrap_or_default();
    if current.values().any(|current| current.freight == *freight) {
        return Ok(freight.as_str().into());
    }
    let warehouse = collection.iter().find(|(_, id)| *id == freight);
    let other = warehouse.and_then(|(warehouse, _)| current.get(warehouse));
    Ok(other.map(|other| other.freight.clone()).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::damaged::damaged;

    proptest! {
        #[test]
        fn what_is_read_of_anything_is_what_is_written(
            bytes in damaged(Kept { imported: true, ..Kept::new("c0ffee") }.to_bytes()),
        ) {
            if let Some(kept) = Kept::from_bytes(&bytes) {
                prop_assert_eq!(Kept::from_bytes(&kept.to_bytes()), Some(kept));
            }
        }
    }
}
