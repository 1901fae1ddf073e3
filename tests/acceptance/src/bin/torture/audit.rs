//! What must have happened exactly once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use acceptance::app::values_file;
use acceptance::terraform::Workspace;
use acceptance::world::{IMAGE, MODULE, PROJECT, World};
use acceptance::{At as _, Outcome};
use reconciler_api::v1::Promotion;

use crate::orders::Orders;
use crate::run::RELEASED;

/// What was counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) kills: u32,
    /// Those that hit a promotion that was under way.
    pub(crate) busy: u32,
    pub(crate) releases: u32,
    pub(crate) promotions: u32,
    /// What happened more than once.
    pub(crate) duplicates: Vec<String>,
    /// What should have happened and did not.
    pub(crate) lost: Vec<String>,
}

impl Tally {
    pub(crate) fn is_clean(&self) -> bool {
        self.duplicates.is_empty() && self.lost.is_empty()
    }

    /// Adds what another lane counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.busy += other.busy;
        self.releases += other.releases;
        self.promotions += other.promotions;
        self.duplicates.extend(other.duplicates);
        self.lost.extend(other.lost);
    }

    fn count(&mut self, times: usize, what: impl FnOnce() -> String) {
        match times {
            0 => self.lost.push(what()),
            1 => {}
            more => self.duplicates.push(format!("{} happened {more} times", what())),
        }
    }
}

/// Where the effects of a run are seen.
pub(crate) struct Site<'a> {
    pub(crate) world: &'a World,
    pub(crate) workspace: &'a Workspace,
    pub(crate) orders: &'a Orders,
    /// The file in which the infra module writes a line for each release that it makes.
    pub(crate) made: &'a Path,
}

impl Site<'_> {
    /// Looks at what a promotion of the calls that succeeded has left.
    pub(crate) async fn audit_calls(
        &self,
        promotion: &Promotion,
        version: &str,
        tally: &mut Tally,
    ) -> Outcome {
        tally.promotions += 1;
        let (id, world) = (&promotion.id, self.world);
        let orders = self.orders.taken(&format!("/order/{id}"));
        tally.count(orders.len(), || format!("the order of {id}"));
        let announced = self.orders.taken(&format!("/announce/{id}"));
        let keys: BTreeSet<&str> = announced.iter().flatten().map(String::as_str).collect();
        tally.count(keys.len(), || format!("the announcement of {id}"));
        if announced.iter().any(Option::is_none) {
            tally.lost.push(format!("the key of an announcement of {id}"));
        }

        let puts = world.registry.puts(RELEASED, version);
        tally.count(puts, || format!("the manifest of {version} by {id}"));
        let (from, to) = (world.registry.at(IMAGE, version), world.registry.at(RELEASED, version));
        let (from, to) = (from.await?, to.await?);
        if from.is_none() || from != to {
            tally.lost.push(format!("{version} released as it is: {to:?}, not {from:?}"));
        }
        let (tagged, released) = (world.infra.tag(id).await?, world.infra.tip("main").await?);
        if tagged.as_ref() != Some(&released) {
            tally.lost.push(format!("the git tag of {id} on {released}: {tagged:?}"));
        }
        Ok(())
    }

    /// Looks at what a promotion of the shop that succeeded has left.
    pub(crate) async fn audit(
        &self,
        promotion: &Promotion,
        version: &str,
        tally: &mut Tally,
    ) -> Outcome {
        tally.promotions += 1;
        let (id, environment) = (&promotion.id, promotion.stage.as_str());
        let log = self.world.gitops.log("main").await?;
        let marks = |mark: &str| mark.split('/').any(|part| part == id);
        let commits = log.iter().filter(|it| it.trailer("Lockstep-Promotion").is_some_and(marks));
        tally.count(commits.count(), || format!("the commit of {id}"));

        let image = format!("{}:{version}", self.world.registry.repo(IMAGE));
        let line = format!("{environment} {image}");
        let made = fs::read_to_string(self.made).at(self.made.display())?;
        let lines = made.lines().filter(|it| **it == line);
        tally.count(lines.count(), || format!("the infra change of {id}"));

        let values = self.world.gitops.read("main", &values_file(environment)).await?;
        if !values.contains(&format!("tag: \"{version}\"")) {
            tally.lost.push(format!("{version} in the values of {environment}:\n{values}"));
        }
        let module = format!("infra/{MODULE}");
        let state = self.world.lockstepd.state_file(PROJECT, environment, &module);
        let outputs = self.workspace.outputs_of(&state).await?;
        if outputs.get("image").is_none_or(|it| *it != image.as_str()) {
            tally.lost.push(format!("{image} in the state of {environment}: {outputs:?}"));
        }
        Ok(())
    }
}
