//! Releases, and the kills among them.

use std::path::Path;
use std::time::Duration;

use acceptance::lockstepd::Settings;
use acceptance::process;
use acceptance::terraform::{Tool, Workspace};
use acceptance::wait::eventually;
use acceptance::world::{MODULE, PROJECT, World};
use acceptance::{Failure, Outcome};
use reconciler_api::v1::{Artifact, Phase, Promotion, PromotionQuery};

use crate::audit::{Site, Tally};
use crate::orders::Orders;
use crate::say;

/// How long a release may take to arrive, with the daemon killed in between.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a kill waits for a promotion to be under way.
const BUSY_WITHIN: Duration = Duration::from_secs(5);
/// The longest time from then to the kill: about what a promotion takes.
const UNTIL_KILL: Duration = Duration::from_secs(3);
/// The most kills in one release, so that it arrives at all.
const KILLS_PER_RELEASE: u64 = 4;
/// The stages of the shop that need nobody's approval.
const STAGES: [&str; 2] = ["dev", "staging"];
/// The stage whose effects are calls.
const CALLS: &str = "calls";
/// Where its images go.
pub(crate) const RELEASED: &str = "shop/released";

/// Kills the daemon so many times while it promotes; what came of it.
pub(crate) async fn torture(lane: u32, kills: u32, seed: u64) -> Outcome<Tally> {
    let folder = process::open_folder("made")?;
    let writable = vec![folder.path().to_owned()];
    let mut world = World::start_with(Settings { writable, ..Settings::default() }).await?;
    let made = folder.path().join("made");
    world
        .infra
        .commit("shop: leave a line", &[(&format!("{MODULE}/main.tf"), &module(&made))])
        .await?;
    let orders = Orders::open().await?;
    let workspace = Workspace::of_example(&Tool::preferred()?, &world.lockstepd, "quickstart")?;
    workspace.write("calls.tf", include_str!("calls.tf"))?;
    let mut variables = world.variables();
    variables.insert("orders_url".to_owned(), orders.url().into());
    variables.insert("released_repo".to_owned(), world.registry.repo(RELEASED).into());
    variables.insert("soak".to_owned(), "1s".into());
    workspace.set_variables(&variables)?;
    workspace.apply().await?;

    let (mut random, mut tally) = (Random(seed), Tally::default());
    while tally.kills < kills && tally.is_clean() {
        let version = format!("1.0.{}", tally.releases);
        world.release(&version).await?;
        tally.releases += 1;
        for _ in 0..=random.below(KILLS_PER_RELEASE) {
            if tally.kills == kills {
                break;
            }
            // Where all promotions wait or none is there, the kill comes at any other moment.
            let _idle = eventually(BUSY_WITHIN, "a promotion is under way", async || {
                if is_busy(&world).await? { Ok(()) } else { Err(Failure::new("none is")) }
            })
            .await;
            tokio::time::sleep(random.up_to(UNTIL_KILL)).await;
            tally.busy += u32::from(is_busy(&world).await?);
            world.lockstepd.kill().await?;
            tally.kills += 1;
            world.lockstepd.restart().await?;
        }
        let site = Site { world: &world, workspace: &workspace, orders: &orders, made: &made };
        arrive(&site, &version, &mut tally).await?;
        say(&format!("lane {lane}: {version} arrived after {} kills in all", tally.kills));
    }
    world.lockstepd.stop().await?;
    if let Err(failure) = world.lockstepd.verify_ledger().await {
        tally.lost.push(format!("lane {lane}: the ledger: {failure}"));
    }
    Ok(tally)
}

/// Whether a promotion is under way.
async fn is_busy(world: &World) -> Outcome<bool> {
    let query = PromotionQuery { active: Some(true), ..PromotionQuery::default() };
    let active = world.lockstepd.client()?.list_promotions(PROJECT, &query).await?;
    let waits = |it: &Promotion| it.phase == Phase::Waiting;
    Ok(active.items.iter().any(|it| !waits(it)))
}

/// Waits until a release is in every stage, and looks at what it left there.
async fn arrive(site: &Site<'_>, version: &str, tally: &mut Tally) -> Outcome {
    let lockstepd = &site.world.lockstepd;
    let is_it = |artifact: &Artifact| match artifact {
        Artifact::Image(image) => image.tag == version,
        Artifact::Git(_) => true,
    };
    let what = format!("freight of {version}");
    let found = lockstepd
        .freight(PATIENCE, PROJECT, &what, |freight| freight.artifacts.values().all(is_it))
        .await;
    let freight = match found {
        Ok(freight) => freight,
        Err(failure) => {
            tally.lost.push(failure.to_string());
            return Ok(());
        }
    };
    for stage in STAGES.into_iter().chain([CALLS]) {
        let ended = async {
            let id = lockstepd.promotion_of(PATIENCE, PROJECT, stage, &freight.id).await?;
            lockstepd.promotion(PATIENCE, PROJECT, &id, &[Phase::Succeeded]).await
        };
        match ended.await {
            Ok(promotion) if stage == CALLS => site.audit_calls(&promotion, version, tally).await?,
            Ok(promotion) => site.audit(&promotion, version, tally).await?,
            Err(failure) => tally.lost.push(failure.to_string()),
        }
    }
    Ok(())
}

/// An infra module that leaves a line outside whenever it makes a release, and takes its time, so
/// that kills hit it.
fn module(made: &Path) -> String {
    format!(
        r#"variable "environment" {{
  type = string
}}

variable "image" {{
  type = string
}}

resource "terraform_data" "queue" {{
  input = var.environment
}}

resource "terraform_data" "service" {{
  triggers_replace = var.image
  input            = var.image

  provisioner "local-exec" {{
    command = "sleep 0.5; echo '${{var.environment}} ${{var.image}}' >> '{}'"
  }}
}}

output "queue_id" {{
  value = terraform_data.queue.id
}}

output "image" {{
  value = terraform_data.service.output
}}
"#,
        made.display()
    )
}

/// `SplitMix64`: small, and the same everywhere for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.below(millis))
    }
}
