//! The whole of it: `examples/terraform/quickstart`, from a new image to prod and back.

use std::fs;
use std::path::PathBuf;

use acceptance::app::values_file;
use acceptance::cli::Cli;
use acceptance::terraform::{Workspace, installed};
use acceptance::world::{ENVIRONMENTS, MODULE, PROJECT, World};
use acceptance::{At as _, Failure, Outcome};
use reconciler_api::v1::{Artifact, Freight, Phase, Promotion};
use serde_json::{Map, Value};

use crate::site::SOON;

/// A shop that terraform has set up, and two people who may approve.
struct Shop {
    world: World,
    root: Workspace,
    approvers: [Cli; 2],
}

impl Shop {
    async fn release(&self, version: &str) -> Outcome<Freight> {
        self.world.release(version).await?;
        self.world
            .lockstepd
            .freight(SOON, PROJECT, &format!("there is freight of {version}"), |freight| {
                matches!(&freight.artifacts["api"], Artifact::Image(image) if image.tag == version)
            })
            .await
    }

    /// Waits until freight is promoted to a stage, and that has come to this.
    async fn is(&self, stage: &str, freight: &Freight, phase: Phase) -> Outcome<Promotion> {
        let lockstepd = &self.world.lockstepd;
        let id = lockstepd.promotion_of(SOON, PROJECT, stage, &freight.id).await?;
        lockstepd.promotion(SOON, PROJECT, &id, &[phase]).await
    }

    /// Lets both people approve what a promotion to prod would do.
    async fn approve(&self, freight: &Freight) -> Outcome {
        let waiting = self.is("prod", freight, Phase::Waiting).await?;
        let digest = waiting.change_set.map(|set| set.digest);
        let digest = digest.ok_or_else(|| Failure::new("there is no change set"))?;
        for person in &self.approvers {
            person.ok(&["approve", &waiting.id, "--digest", &digest]).await?;
        }
        Ok(())
    }

    fn state(&self, environment: &str) -> PathBuf {
        self.world.lockstepd.state_file(PROJECT, environment, &format!("infra/{MODULE}"))
    }

    async fn outputs(&self, environment: &str) -> Outcome<Map<String, Value>> {
        self.root.outputs_of(&self.state(environment)).await
    }

    async fn values(&self, environment: &str) -> Outcome<String> {
        self.world.gitops.read("main", &values_file(environment)).await
    }

    /// Makes sure that both halves of an environment are of this version, and of one another.
    async fn holds(&self, environment: &str, version: &str) -> Outcome {
        let outputs = self.outputs(environment).await?;
        let image = outputs["image"].as_str().unwrap_or_default();
        assert!(image.ends_with(&format!(":{version}")), "{environment}: {outputs:?}");
        let queue = outputs["queue_id"].as_str().unwrap_or_default();
        let values = self.values(environment).await?;
        assert!(values.contains(version) && values.contains(queue), "{outputs:?}\n{values}");
        assert!(values.contains("replicas: 2"), "what is not ours stays: {values}");
        Ok(())
    }
}

#[tokio::test]
async fn infrastructure_and_application_go_from_dev_to_prod_as_one() -> Outcome {
    for tool in installed()? {
        let world = World::start().await?;
        let root = Workspace::of_example(&tool, &world.lockstepd, "quickstart")?;
        root.set_variables(&world.variables())?;
        root.apply().await?;
        root.unchanged().await?;
        let cli = world.lockstepd.cli(PROJECT)?;
        let ann = world.lockstepd.token(PROJECT, "ann", &["sre"]).await?;
        let bob = world.lockstepd.token(PROJECT, "bob", &["sre"]).await?;
        let approvers = [cli.as_bearer_of(&ann), cli.as_bearer_of(&bob)];
        let shop = Shop { world, root, approvers };
        there_and_back(&shop).await.map_err(|failure| failure.with("with", tool.name))?;
    }
    Ok(())
}

async fn there_and_back(shop: &Shop) -> Outcome {
    let first = shop.release("1.0.0").await?;
    shop.is("dev", &first, Phase::Succeeded).await?;
    shop.is("staging", &first, Phase::Succeeded).await?;
    assert!(!shop.state("prod").exists(), "prod waits for people");
    shop.approve(&first).await?;
    let done = shop.is("prod", &first, Phase::Succeeded).await?;
    for environment in ENVIRONMENTS {
        shop.holds(environment, "1.0.0").await?;
    }
    let log = shop.world.gitops.log("main").await?;
    let trailers: Vec<&str> =
        log.iter().filter_map(|commit| commit.trailer("Lockstep-Promotion")).collect();
    assert_eq!(trailers.len(), 3, "{trailers:?}");
    assert!(trailers[0].contains(&done.id), "{trailers:?}");

    // A version that is bad in prod only: both halves go back.
    let before = (shop.outputs("prod").await?, shop.values("prod").await?);
    shop.world.app.break_version("prod", "1.1.0");
    let second = shop.release("1.1.0").await?;
    shop.approve(&second).await?;
    shop.is("prod", &second, Phase::RolledBack).await?;
    assert_eq!((shop.outputs("prod").await?, shop.values("prod").await?), before);
    shop.holds("staging", "1.1.0").await?;
    shop.holds("prod", "1.0.0").await?;
    // What the world did is no drift of the definitions.
    shop.root.unchanged().await?;
    let state = fs::read_to_string(shop.root.folder().join("terraform.tfstate")).at("the state")?;
    assert!(!state.contains("token"), "no secret is in the state");
    Ok(())
}
