//! What the story is played on, and how it is looked at.

use std::path::PathBuf;
use std::time::Duration;

use acceptance::cli::Cli;
use acceptance::git::Commit;
use acceptance::terraform::{Tool, Workspace};
use acceptance::world::{MODULE, PROJECT, World};
use acceptance::{Failure, Outcome};
use reconciler_api::client::Client;
use reconciler_api::v1::{Freight, Phase, Promotion};
use serde_json::{Map, Value};

/// How long any one thing may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that runs, and everybody who acts.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) tool: Tool,
    pub(crate) workspace: Workspace,
    /// The first administrator.
    pub(crate) cli: Cli,
    pub(crate) client: Client,
    /// People of the group `sre`.
    pub(crate) approvers: Vec<Person>,
}

/// Somebody with a token of their own.
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) token_file: PathBuf,
    pub(crate) cli: Cli,
}

impl Stage {
    /// Starts everything; the root module is the quickstart's.
    pub(crate) async fn set_up() -> Outcome<Self> {
        let world = World::start().await?;
        let tool = Tool::preferred()?;
        let workspace = Workspace::of_example(&tool, &world.lockstepd, "quickstart")?;
        workspace.set_variables(&world.variables())?;
        let (cli, client) = (world.lockstepd.cli(PROJECT)?, world.lockstepd.client()?);
        Ok(Self { world, tool, workspace, cli, client, approvers: Vec::new() })
    }

    /// Gives somebody a token, by the command line.
    pub(crate) async fn add_approver(&mut self, name: &'static str) -> Outcome {
        let token_file = self.world.lockstepd.token(PROJECT, name, &["sre"]).await?;
        let cli = self.cli.as_bearer_of(&token_file);
        self.approvers.push(Person { name, token_file, cli });
        Ok(())
    }

    /// The promotion of a freight to an environment once it is in a phase. It is found by its
    /// freight: a look at the sources between two pushes makes freight, and promotions, of its own.
    pub(crate) async fn promotion(
        &self,
        environment: &str,
        freight: &Freight,
        phase: Phase,
    ) -> Outcome<Promotion> {
        let lockstepd = &self.world.lockstepd;
        let id = lockstepd.promotion_of(PATIENCE, PROJECT, environment, &freight.id).await?;
        lockstepd.promotion(PATIENCE, PROJECT, &id, &[phase]).await
    }

    /// The outputs of the infra state of an environment.
    pub(crate) async fn outputs(&self, environment: &str) -> Outcome<Map<String, Value>> {
        let module = format!("infra/{MODULE}");
        let state = self.world.lockstepd.state_file(PROJECT, environment, &module);
        self.workspace.outputs_of(&state).await
    }

    /// The commits with which a promotion changed the GitOps repository.
    pub(crate) async fn commits_of(&self, promotion: &Promotion) -> Outcome<Vec<Commit>> {
        self.marked("Lockstep-Promotion", promotion).await
    }

    /// The commits with which it undid that.
    pub(crate) async fn reverts_of(&self, promotion: &Promotion) -> Outcome<Vec<Commit>> {
        self.marked("Lockstep-Undo", promotion).await
    }

    async fn marked(&self, trailer: &str, promotion: &Promotion) -> Outcome<Vec<Commit>> {
        let marks = |commit: &Commit| {
            let of_it = |mark: &str| mark.split('/').any(|part| part == promotion.id);
            commit.trailer(trailer).is_some_and(of_it)
        };
        let log = self.world.gitops.log("main").await?;
        Ok(log.into_iter().filter(marks).collect())
    }

    /// A commit of the GitOps repository as `git show` has it.
    pub(crate) async fn shown(&self, commit: &Commit) -> Outcome<String> {
        let Commit { id, author, subject, trailers } = commit;
        let trailers = trailers.iter().map(|(name, value)| format!("    {name}: {value}\n"));
        let trailers: String = trailers.collect();
        let diff = self.world.gitops.diff(id).await?;
        Ok(format!("commit {id}\nAuthor: {author}\n\n    {subject}\n\n{trailers}\n{diff}"))
    }
}

/// The digest of what a promotion will do.
pub(crate) fn digest(promotion: &Promotion) -> Outcome<&str> {
    let digest = promotion.change_set.as_ref().map(|it| it.digest.as_str());
    digest.ok_or_else(|| Failure::new(format!("promotion {} has no change set", promotion.id)))
}

/// The beginning of an id.
pub(crate) fn short(id: &str) -> &str {
    &id[..id.len().min(10)]
}

/// Outputs as `terraform output` has them.
pub(crate) fn lines(outputs: &Map<String, Value>) -> String {
    outputs.iter().map(|(name, value)| format!("{name} = {value}\n")).collect()
}
