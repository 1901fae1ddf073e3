//! The story up to a good release in prod, act by act.

use acceptance::app::values_file;
use acceptance::world::{IMAGE, MODULE, PROJECT};
use acceptance::{Failure, Outcome};
use reconciler_api::v1::{self, Artifact, Freight, GateKind, Phase, Policy, Promotion, Verdict};
use serde_json::Value;

use crate::show::Show;
use crate::stage::{PATIENCE, Stage, digest, lines, short};
use crate::undo;

/// Plays it all.
pub(crate) async fn perform(show: &mut Show) -> Outcome<Stage> {
    let mut stage = servers(show).await?;
    pipeline(show, &stage).await?;
    let freight = release(show, &stage, "1.0.0").await?;
    dev(show, &stage, &freight).await?;
    staging(show, &stage, &freight).await?;
    prod_waits(show, &mut stage, &freight).await?;
    preview(show, &stage, &freight).await?;
    prod_lands(show, &stage, &freight).await?;
    undo::perform(show, &stage, &freight).await?;
    Ok(stage)
}

async fn servers(show: &mut Show) -> Outcome<Stage> {
    show.act("Servers: real ones, each on a free port of loopback");
    let stage = Stage::set_up().await?;
    let world = &stage.world;
    for (what, place) in [
        ("infra repository", &world.infra.url),
        ("GitOps repository", &world.gitops.url),
        ("image repository", &world.registry.repo(IMAGE)),
        ("Prometheus", &world.prometheus.url()),
        ("lockstepd", &world.lockstepd.endpoint()),
    ] {
        show.say(format_args!("{what:<18} {place}"));
    }
    show.say(format_args!(
        "{:<18} http://{}, which is ours: it reports the version that the GitOps repository asks for",
        "deployed app",
        world.app.target()
    ));
    stage.client.health().await?;
    show.holds("they are up");
    Ok(stage)
}

async fn pipeline(show: &mut Show, stage: &Stage) -> Outcome {
    let Stage { workspace, tool, client, cli, .. } = stage;
    show.act("The pipeline is code: examples/terraform/quickstart");
    let run = workspace.apply().await?;
    let mut said = run.stdout.lines().map(str::trim);
    let applied = said.find(|line| line.starts_with("Apply complete")).unwrap_or_default();
    show.excerpt(&format!("{} apply   # {}", tool.name, tool.version().await?), applied);
    show.claim(!applied.is_empty(), "it is applied", run.said())?;
    workspace.unchanged().await?;
    show.holds("the plan after it is empty");
    let stages: Vec<v1::Stage> = client.list_all(PROJECT).await?;
    let names: Vec<&str> = stages.iter().map(|stage| stage.meta.name.as_str()).collect();
    let there = names == ["dev", "prod", "staging"];
    show.excerpt("lockstep get stages", &cli.ok(&["get", "stages"]).await?);
    show.claim(there, "lockstepd has the three stages", names.join(", "))
}

/// An image and an infra commit, and the freight that is made of them.
pub(crate) async fn release(show: &mut Show, stage: &Stage, version: &str) -> Outcome<Freight> {
    show.act(&format!("A release: image {version} and a commit of the infra module are pushed"));
    let world = &stage.world;
    let commit = world.touch_infra(&format!("shop: infra for {version}")).await?;
    let digest = world.release(version).await?;
    let fits = |freight: &Freight| {
        freight.artifacts.values().all(|artifact| match artifact {
            Artifact::Image(image) => image.tag == version && image.digest == digest,
            Artifact::Git(git) => git.commit == commit,
        })
    };
    let what = format!("freight of image {version} and commit {}", short(&commit));
    let freight = world.lockstepd.freight(PATIENCE, PROJECT, &what, fits).await?;
    show.excerpt("lockstep get freight", &stage.cli.ok(&["get", "freight"]).await?);
    show.holds(format_args!(
        "freight {}: exactly image {version} and commit {}",
        freight.short_id,
        short(&commit)
    ));
    Ok(freight)
}

async fn dev(show: &mut Show, stage: &Stage, freight: &Freight) -> Outcome {
    show.act("Dev: automatic");
    let promotion = stage.promotion("dev", freight, Phase::Succeeded).await?;
    let (id, requester) = (&promotion.id, &promotion.requester);
    show.claim(
        requester == "automation",
        format_args!("promotion {id} was started by automation, and succeeded"),
        requester,
    )?;
    let change_set = promotion.change_set.as_ref();
    let deferred = change_set.map(|it| it.deferred.as_slice()).unwrap_or_default();
    show.claim(
        deferred.iter().any(|it| it.step == "values"),
        "the queue's id was known only after the apply: the edit of the values waited for it",
        format!("{deferred:?}"),
    )?;
    landed(show, stage, &promotion).await
}

async fn staging(show: &mut Show, stage: &Stage, freight: &Freight) -> Outcome {
    show.act("Staging: gated, once the freight has been good in dev for 3 s");
    show.excerpt("lockstep explain staging", &stage.cli.ok(&["explain", "staging"]).await?);
    let promotion = stage.promotion("staging", freight, Phase::Succeeded).await?;
    let seen = stage.client.freight(PROJECT, &freight.id).await?;
    let verified = seen.stages.get("dev").and_then(|it| it.verified_at);
    let verified = verified.ok_or_else(|| Failure::new("dev does not vouch for the freight"))?;
    let committed = promotion.committed_at;
    let committed = committed.ok_or_else(|| Failure::new("it ended without a commit"))?;
    let soaked = committed.duration_since(verified).as_secs_f64();
    show.claim(
        soaked >= 3.0,
        format_args!("{} committed {soaked:.1} s after dev vouched for it", promotion.id),
        format!("{promotion:?}"),
    )?;
    landed(show, stage, &promotion).await
}

async fn prod_waits(show: &mut Show, stage: &mut Stage, freight: &Freight) -> Outcome {
    show.act("Prod: two people must approve exactly what it will do");
    let promotion = stage.promotion("prod", freight, Phase::Waiting).await?;
    let (id, digest) = (promotion.id.as_str(), digest(&promotion)?);
    show.excerpt(&format!("lockstep diff {id}"), &stage.cli.ok(&["diff", id]).await?);
    show.holds(format_args!("{id} is prepared: what it will do is known, and none of it is done"));
    stage.add_approver("ada").await?;
    stage.add_approver("bob").await?;
    show.say("lockstep token create --as ada --group sre, and the same for bob");
    let ada = &stage.approvers[0].cli;
    let other = format!("sha256:{}", "0".repeat(64));
    let said = ada.refused(1, &["approve", id, "--digest", &other]).await?;
    show.excerpt(&format!("lockstep approve {id} --digest {}…   # as ada", short(&other)), &said);
    show.holds("an approval of anything else is refused");
    ada.ok(&["approve", id, "--digest", digest, "--comment", "read the plan"]).await?;
    let again = ada.refused(1, &["approve", id, "--digest", digest]).await?;
    show.claim(again.contains("ada"), "ada approves; her second approval is refused", &again)?;
    let gate = approvals(&stage.promotion("prod", freight, Phase::Waiting).await?)?;
    let waits = gate.verdict == Verdict::Fail;
    show.claim(waits, format_args!("{id} still waits: {}", gate.message), "")
}

fn approvals(promotion: &Promotion) -> Outcome<v1::Gate> {
    let found = promotion.gates.iter().find(|gate| gate.gate == GateKind::Approvals).cloned();
    found.ok_or_else(|| Failure::new(format!("no gate asks for approvals: {:?}", promotion.gates)))
}

/// A change of policy, planned and not applied.
async fn preview(show: &mut Show, stage: &Stage, freight: &Freight) -> Outcome {
    show.act("What if one approval were enough? The plan says what that would do to live freight");
    let Stage { workspace, client, tool, .. } = stage;
    let before: Policy = client.get(PROJECT, "prod").await?;
    let plan = workspace.plan(&["-var", "approvals=1"]).await?;
    show.excerpt(&format!("{} plan -var approvals=1", tool.name), &excerpt(&plan.text));
    let promotion = stage.promotion("prod", freight, Phase::Waiting).await?;
    let change = plan.change("lockstep_promotion_policy.prod")?;
    let impact = change["after"]["impact"].as_array().map(Vec::as_slice).unwrap_or_default();
    let promotes = |effect: &Value| {
        effect["effect"] == "would_promote" && effect["promotion"] == promotion.id.as_str()
    };
    show.claim(
        impact.iter().any(promotes),
        format_args!("`impact` is known in the plan: {} would go on by itself", promotion.id),
        &plan.text,
    )?;
    show.claim(plan.text.contains("Warning:"), "a warning says the same in words", &plan.text)?;
    let after: Policy = client.get(PROJECT, "prod").await?;
    let same = before.meta.generation == after.meta.generation && promotion.committed_at.is_none();
    let text = format!("nothing was applied: the policy is the same, and {} waits", promotion.id);
    show.claim(same, text, format!("{after:?}"))
}

/// The change of the policy, and the warnings.
fn excerpt(plan: &str) -> String {
    let mut lines = plan.lines();
    let change: Vec<&str> = lines
        .by_ref()
        .skip_while(|line| !line.contains("will be updated in-place"))
        .take_while(|line| !line.starts_with("Plan:"))
        .collect();
    let rest = lines.skip_while(|line| !line.contains("Warning:"));
    let warnings: Vec<&str> = rest.take_while(|line| !line.starts_with('─')).collect();
    format!("{}\n\n{}", change.join("\n").trim_end(), warnings.join("\n").trim_end())
}

async fn prod_lands(show: &mut Show, stage: &Stage, freight: &Freight) -> Outcome {
    show.act("The second approval: both halves land in prod");
    let waiting = stage.promotion("prod", freight, Phase::Waiting).await?;
    let (id, digest) = (waiting.id.as_str(), digest(&waiting)?);
    let said = stage.approvers[1].cli.ok(&["approve", id, "--digest", digest]).await?;
    show.excerpt(&format!("lockstep approve {id}   # as bob"), &said);
    let promotion = stage.promotion("prod", freight, Phase::Succeeded).await?;
    let bound = promotion.approvals.iter().all(|it| it.digest == digest && !it.void);
    let people: Vec<&str> = promotion.approvals.iter().map(|it| it.by.as_str()).collect();
    show.claim(
        bound && people == ["ada", "bob"],
        format_args!("{id} succeeded, with what ada and bob approved"),
        format!("{:?}", promotion.approvals),
    )?;
    landed(show, stage, &promotion).await?;
    let seen = stage.client.freight(PROJECT, &freight.id).await?;
    let verified = seen.stages.get("prod").and_then(|it| it.verified_at);
    let text = "prod vouches for the freight: health and error rate were good";
    show.claim(verified.is_some(), text, format!("{seen:?}"))
}

/// Both halves of an environment are there: the state has the image, and git has one commit.
async fn landed(show: &mut Show, stage: &Stage, promotion: &Promotion) -> Outcome {
    let (world, environment) = (&stage.world, promotion.stage.as_str());
    let outputs = stage.outputs(environment).await?;
    let text = |name: &str| outputs.get(name).and_then(Value::as_str).unwrap_or_default();
    let (image, queue) = (text("image"), text("queue_id"));
    let tool = stage.tool.name;
    show.excerpt(&format!("{tool} output   # of {environment}"), &lines(&outputs));
    show.claim(
        image.starts_with(&world.registry.repo(IMAGE)) && !queue.is_empty(),
        format_args!("infrastructure: {MODULE} is applied in {environment}"),
        lines(&outputs),
    )?;
    let commits = stage.commits_of(promotion).await?;
    let [commit] = &commits[..] else {
        return Err(Failure::new(format!("not one commit of {}: {commits:#?}", promotion.id)));
    };
    show.excerpt(&format!("git show {}", short(&commit.id)), &stage.shown(commit).await?);
    let values = world.gitops.read("main", &values_file(environment)).await?;
    show.claim(
        values.contains("\"1.0.0\"   # the release") && values.contains(queue),
        "application: one commit sets the tag and the queue's id, and nothing else",
        &values,
    )
}
