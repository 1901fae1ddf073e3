//! A daemon, a repository with an infra module, a GitOps repository, and a desk that is called:
//! what most scenarios need. Definitions go through the API here; `provider` has them from
//! terraform.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptance::cli::Cli;
use acceptance::git::{GitServer, Repo};
use acceptance::lockstepd::{Lockstepd, Settings};
use acceptance::process;
use acceptance::{At as _, Failure, Outcome};
use reconciler_api::client::{Client, ClientError};
use reconciler_api::v1::{
    ApprovePromotion, CreatePromotion, Freight, FreightSelector, Phase, Policy, PolicySpec,
    Precondition, Project, ProjectSpec, Promotion, Secret, Stage, StageSpec, Verification,
    VerificationSpec, Warehouse, WarehouseSpec,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::desk::Desk;
use crate::pipeline::{module_text, values_text};

/// The project of every site.
pub(crate) const PROJECT: &str = "shop";
/// How long anything may take that is waited for; what takes longer does not come.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    pub(crate) lockstepd: Lockstepd,
    pub(crate) desk: Desk,
    pub(crate) infra: Repo,
    pub(crate) gitops: Repo,
    git: GitServer,
    marks: TempDir,
}

impl Site {
    /// Starts a site with the project, the warehouse `shop` of the infra repository, and values
    /// for these environments in the GitOps repository.
    pub(crate) async fn start(environments: &[&str]) -> Outcome<Self> {
        Self::start_with(Settings::default(), environments).await
    }

    pub(crate) async fn start_with(settings: Settings, environments: &[&str]) -> Outcome<Self> {
        let git = GitServer::start().await?;
        let infra = git.create("infra").await?;
        infra.commit("shop: begin", &[("modules/shop/main.tf", module_text())]).await?;
        let gitops = git.create("gitops").await?;
        let marks = process::open_folder("marks")?;
        let mut settings = settings;
        settings.writable.push(marks.path().to_owned());
        let lockstepd = Lockstepd::start_with(settings).await?;
        let desk = Desk::open().await?;
        let site = Self { lockstepd, desk, infra, gitops, git, marks };
        site.values(environments).await?;
        let client = site.client()?;
        let spec = ProjectSpec::default();
        client.put::<Project>(PROJECT, PROJECT, &spec, Precondition::Absent).await?;
        site.warehouse("shop", &json!({ "git": [site.subscription()] })).await?;
        Ok(site)
    }

    /// Puts the first values of environments into the GitOps repository.
    async fn values(&self, environments: &[&str]) -> Outcome {
        let files: Vec<(String, String)> = environments
            .iter()
            .map(|environment| (values_file(environment), values_text(environment)))
            .collect();
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        let all: Vec<(&str, &str)> = files.chain([("README", "The shop.\n")]).collect();
        self.gitops.commit("apps: values of each environment", &all).await.map(drop)
    }

    /// Another repository.
    pub(crate) async fn repo(&self, name: &str) -> Outcome<Repo> {
        self.git.create(name).await
    }

    /// A subscription to the infra repository.
    pub(crate) fn subscription(&self) -> Value {
        json!({ "name": "infra", "repo": self.infra.url, "branch": "main" })
    }

    /// A client with every right.
    pub(crate) fn client(&self) -> Outcome<Client> {
        self.lockstepd.client()
    }

    /// The command line with every right.
    pub(crate) fn cli(&self) -> Outcome<Cli> {
        self.lockstepd.cli(PROJECT)
    }

    /// A client in the hands of a person.
    pub(crate) async fn person(&self, name: &str, groups: &[&str]) -> Outcome<Client> {
        let file = self.lockstepd.token(PROJECT, name, groups).await?;
        let secret = fs::read_to_string(&file).at(file.display())?;
        self.lockstepd.client_with(&Secret::new(secret.trim()))
    }

    pub(crate) async fn warehouse(&self, name: &str, spec: &Value) -> Outcome<Warehouse> {
        let mut spec: WarehouseSpec = serde_json::from_value(spec.clone()).at("a warehouse")?;
        // The tests say when to look.
        "1h".clone_into(&mut spec.interval);
        Ok(self.client()?.put(PROJECT, name, &spec, Precondition::None).await?)
    }

    pub(crate) async fn stage(&self, name: &str, spec: &Value) -> Outcome<Stage> {
        let spec: StageSpec = serde_json::from_value(spec.clone()).at("a stage")?;
        Ok(self.client()?.put(PROJECT, name, &spec, Precondition::None).await?)
    }

    pub(crate) async fn verification(&self, name: &str, spec: &Value) -> Outcome<Verification> {
        let spec: VerificationSpec = serde_json::from_value(spec.clone()).at("a verification")?;
        Ok(self.client()?.put(PROJECT, name, &spec, Precondition::None).await?)
    }

    /// Defines a policy; unless it says otherwise, automation acts on changes at once.
    pub(crate) async fn policy(&self, name: &str, spec: &Value) -> Outcome<Policy> {
        let mut spec: PolicySpec = serde_json::from_value(spec.clone()).at("a policy")?;
        spec.settle.get_or_insert_with(|| "0s".to_owned());
        Ok(self.client()?.put(PROJECT, name, &spec, Precondition::None).await?)
    }

    /// Changes the infra module, so that there is new freight; answers with it.
    pub(crate) async fn freight(&self, what: &str) -> Outcome<Freight> {
        let path = "modules/shop/main.tf";
        let text = self.infra.read("main", path).await?;
        self.commit_infra(what, &[(path, &format!("{text}# {what}\n"))]).await
    }

    /// Changes files of the infra repository, so that there is new freight; answers with it.
    pub(crate) async fn commit_infra(
        &self,
        message: &str,
        files: &[(&str, &str)],
    ) -> Outcome<Freight> {
        let commit = self.infra.commit(message, files).await?;
        self.freight_of(&commit).await
    }

    /// Has the warehouse looked at until there is freight of this commit.
    pub(crate) async fn freight_of(&self, commit: &str) -> Outcome<Freight> {
        self.client()?.refresh_warehouse(PROJECT, "shop").await?;
        let is_it = |freight: &Freight| is_of(freight, "infra", commit);
        let what = format!("there is freight of commit {commit}");
        self.lockstepd.freight(SOON, PROJECT, &what, is_it).await
    }

    /// The freight of the commit that the infra repository began with.
    pub(crate) async fn first_freight(&self) -> Outcome<Freight> {
        self.freight_of(&self.infra.tip("main").await?).await
    }

    /// Asks for a promotion with every right; answers with its id.
    pub(crate) async fn promote(&self, stage: &str, freight: &Freight) -> Outcome<String> {
        Ok(ask(&self.client()?, stage, freight).await?.id)
    }

    /// Waits until a promotion is in this phase.
    pub(crate) async fn is(&self, id: &str, phase: Phase) -> Outcome<Promotion> {
        self.lockstepd.promotion(SOON, PROJECT, id, &[phase]).await
    }

    /// Waits until a promotion waits at its gates with a change set; answers with its digest too.
    pub(crate) async fn waits(&self, id: &str) -> Outcome<(Promotion, String)> {
        let promotion = self.is(id, Phase::Waiting).await?;
        let change_set = promotion.change_set.as_ref();
        let digest = change_set.map(|set| set.digest.clone());
        let digest = digest.ok_or_else(|| Failure::new(format!("{id} has no change set")))?;
        Ok((promotion, digest))
    }

    /// Waits until a promotion waits at its gates with another change set than this; answers with the
    /// digest of that.
    pub(crate) async fn prepared_anew(&self, id: &str, before: &str) -> Outcome<String> {
        self.lockstepd
            .eventually(SOON, &format!("{id} is prepared anew"), async || {
                let (_, digest) = self.waits(id).await?;
                if digest == before { Err(Failure::new("it is as before")) } else { Ok(digest) }
            })
            .await
    }

    /// Waits until there is a promotion of this freight; answers with its id.
    pub(crate) async fn on_its_way(&self, stage: &str, freight: &Freight) -> Outcome<String> {
        self.lockstepd.promotion_of(SOON, PROJECT, stage, &freight.id).await
    }

    /// Promotes and waits for the end.
    pub(crate) async fn promoted(&self, stage: &str, freight: &Freight) -> Outcome<Promotion> {
        let id = self.promote(stage, freight).await?;
        self.is(&id, Phase::Succeeded).await
    }

    /// A file that a module of this site can write marks to.
    pub(crate) fn mark_file(&self, name: &str) -> PathBuf {
        self.marks.path().join(name)
    }

    /// The folder of the marks.
    pub(crate) fn marks(&self) -> &Path {
        self.marks.path()
    }

    /// How often each environment marked something, such as `created`.
    pub(crate) fn marked(&self, name: &str) -> BTreeMap<String, usize> {
        let text = fs::read_to_string(self.mark_file(name)).unwrap_or_default();
        let mut counted = BTreeMap::new();
        for line in text.lines() {
            *counted.entry(line.to_owned()).or_default() += 1;
        }
        counted
    }

    /// The infra state of a stage; none if it was never written.
    pub(crate) fn state(&self, stage: &str) -> Outcome<Option<Value>> {
        let path = self.lockstepd.state_file(PROJECT, stage, "infra/modules/shop");
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).at(path.display())?;
        serde_json::from_str(&text).map(Some).at(path.display())
    }

    /// The values of an environment, as the GitOps repository has them.
    pub(crate) async fn values_of(&self, environment: &str) -> Outcome<String> {
        self.gitops.read("main", &values_file(environment)).await
    }
}

/// Whether a subscription's artifact of the freight is this commit.
pub(crate) fn is_of(freight: &Freight, subscription: &str, commit: &str) -> bool {
    match freight.artifacts.get(subscription) {
        Some(reconciler_api::v1::Artifact::Git(git)) => git.commit == commit,
        Some(reconciler_api::v1::Artifact::Image(_)) | None => false,
    }
}

/// The file of the GitOps repository with an environment's values.
pub(crate) fn values_file(environment: &str) -> String {
    format!("apps/{environment}/values.yaml")
}

/// Asks for a promotion as whoever has the client.
pub(crate) async fn ask(
    client: &Client,
    stage: &str,
    freight: &Freight,
) -> Result<Promotion, ClientError> {
    let wish = CreatePromotion {
        stage: stage.to_owned(),
        freight: FreightSelector::Id(freight.id.clone()),
        along: Vec::new(),
        reason: None,
        vars: [].into(),
        bypass: None,
        ensure: false,
        rehearsal: false,
    };
    client.promote(PROJECT, &wish).await
}

/// Approves as whoever has the client.
pub(crate) async fn approve(
    client: &Client,
    id: &str,
    digest: &str,
) -> Result<Promotion, ClientError> {
    let approval = ApprovePromotion { digest: digest.to_owned(), comment: None };
    client.approve(PROJECT, id, &approval).await
}

/// What the daemon says when it refuses.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Outcome<ClientError> {
    match answer {
        Ok(answer) => Err(Failure::new(format!("this should be refused: {answer:#?}"))),
        Err(error) if error.problem().is_some() => Ok(error),
        Err(error) => Err(error.into()),
    }
}
