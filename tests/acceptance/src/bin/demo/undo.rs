//! The story of a release that turns out bad in prod.

use acceptance::app::values_file;
use acceptance::world::PROJECT;
use acceptance::{Failure, Outcome};
use reconciler_api::v1::{self, Freight, Phase, Promotion};
use serde_json::{Map, Value};

use crate::acts::release;
use crate::show::Show;
use crate::stage::{Stage, digest, lines, short};

const VERSION: &str = "1.1.0";

/// How prod was before.
struct Before {
    values: String,
    outputs: Map<String, Value>,
}

/// Plays it; `good` is what prod holds before.
pub(crate) async fn perform(show: &mut Show, stage: &Stage, good: &Freight) -> Outcome {
    stage.world.app.break_version("prod", VERSION);
    let bad = release(show, stage, VERSION).await?;
    show.act("It is good in dev and in staging, and bad in prod: there both halves are undone");
    for environment in ["dev", "staging"] {
        let promotion = stage.promotion(environment, &bad, Phase::Succeeded).await?;
        show.holds(format_args!("{} succeeded", promotion.id));
    }
    let waiting = stage.promotion("prod", &bad, Phase::Waiting).await?;
    let before = Before {
        values: stage.world.gitops.read("main", &values_file("prod")).await?,
        outputs: stage.outputs("prod").await?,
    };
    for person in &stage.approvers {
        person.cli.ok(&["approve", &waiting.id, "--digest", digest(&waiting)?]).await?;
        show.holds(format_args!("{} approves {}", person.name, waiting.id));
    }
    let promotion = stage.promotion("prod", &bad, Phase::RolledBack).await?;
    let id = promotion.id.as_str();
    show.excerpt(
        &format!("lockstep get promotions {id}"),
        &stage.cli.ok(&["get", "promotions", id]).await?,
    );
    show.holds(format_args!("{id} landed, its verification failed, and it was rolled back"));
    application(show, stage, &promotion, &before).await?;
    infrastructure(show, stage, &before).await?;
    prod_after(show, stage, good, &bad).await
}

async fn application(
    show: &mut Show,
    stage: &Stage,
    promotion: &Promotion,
    before: &Before,
) -> Outcome {
    let (landed, reverts) =
        (stage.commits_of(promotion).await?, stage.reverts_of(promotion).await?);
    let ([landed], [revert]) = (&landed[..], &reverts[..]) else {
        let text = format!("not one commit and one revert: {landed:#?} {reverts:#?}");
        return Err(Failure::new(text));
    };
    show.excerpt(&format!("git show {}", short(&revert.id)), &stage.shown(revert).await?);
    let values = stage.world.gitops.read("main", &values_file("prod")).await?;
    show.claim(
        values == before.values,
        format_args!("application: commit {} is reverted", short(&landed.id)),
        &values,
    )
}

async fn infrastructure(show: &mut Show, stage: &Stage, before: &Before) -> Outcome {
    let outputs = stage.outputs("prod").await?;
    show.excerpt(&format!("{} output   # of prod", stage.tool.name), &lines(&outputs));
    let text = "infrastructure: the state is back at the image and the queue of before";
    show.claim(outputs == before.outputs, text, lines(&outputs))
}

async fn prod_after(show: &mut Show, stage: &Stage, good: &Freight, bad: &Freight) -> Outcome {
    show.excerpt("lockstep explain prod", &stage.cli.ok(&["explain", "prod"]).await?);
    let prod: v1::Stage = stage.client.get(PROJECT, "prod").await?;
    let holds_good = prod.status.current.values().all(|it| it.freight == good.id);
    let text = format!("prod holds freight {} again", good.short_id);
    show.claim(holds_good, text, format!("{:?}", prod.status))?;
    let seen = stage.client.freight(PROJECT, &bad.id).await?;
    let verified = seen.stages.get("prod").and_then(|it| it.verified_at);
    let text = format!("prod does not vouch for freight {}", bad.short_id);
    show.claim(verified.is_none(), text, format!("{seen:?}"))
}
