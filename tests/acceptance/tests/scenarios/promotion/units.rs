//! Freight of two warehouses that goes as one unit: an infra module, and the application that goes with it.

use acceptance::git::Repo;
use acceptance::{Failure, Outcome};
use reconciler_api::client::Client;
use reconciler_api::v1::{Freight, Phase, Promotion, PromotionQuery};
use serde_json::json;

use crate::pipeline::{apply, clone_gitops, commit, push, step, update};
use crate::site::{PROJECT, SOON, Site, approve, is_of};

/// A site with a second warehouse, whose application and the module are promoted to dev, once somebody approves.
struct Pair {
    site: Site,
    app: Repo,
    /// Who may approve.
    ada: Client,
}

impl Pair {
    async fn start() -> Outcome<Self> {
        let site = Site::start(&["dev"]).await?;
        let app = site.repo("app").await?;
        app.commit("app: begin", &[("version", "1\n")]).await?;
        let subscription = json!({ "name": "app", "repo": app.url, "branch": "main" });
        site.warehouse("app", &json!({ "git": [subscription] })).await?;
        let module = json!({ "infra": { "commit": "{{ freight_from('shop').infra.commit }}" } });
        let vars = json!({
            "environment": "{{ stage.name }}",
            "release": "{{ freight_from('shop').infra.commit }}",
            "marks": site.marks().display().to_string(),
        });
        let updates = json!({
            "release": "{{ freight_from('app').app.commit }}",
            "database.url": "{{ steps.outputs.database_url }}",
        });
        let steps = [
            step("infra", "git_clone", &json!({ "repo": site.infra.url, "checkout": module })),
            step("plan", "tf_plan", &json!({ "dir": "infra/modules/shop", "vars": vars })),
            apply(),
            step("outputs", "tf_output", &json!({ "dir": "infra/modules/shop" })),
            clone_gitops(&site),
            update(&updates),
            commit(),
            push(),
        ];
        let requests = json!([{ "warehouse": "shop" }, { "warehouse": "app" }]);
        site.stage("dev", &json!({ "requests": requests, "steps": steps })).await?;
        let approval = json!([{ "group": "sre", "count": 1 }]);
        let stages = json!({ "names": ["dev"] });
        let policy = json!({ "mode": "gated", "stages": stages, "approvals": approval });
        site.policy("agreed", &policy).await?;
        let ada = site.person("ada", &["sre"]).await?;
        Ok(Self { site, app, ada })
    }

    async fn application(&self, commit: &str) -> Outcome<Freight> {
        self.site.client()?.refresh_warehouse(PROJECT, "app").await?;
        let what = format!("there is freight of commit {commit}");
        let is_it = |freight: &Freight| is_of(freight, "app", commit);
        self.site.lockstepd.freight(SOON, PROJECT, &what, is_it).await
    }

    /// Waits for the promotion that brings both as one unit, and waits at its gates.
    async fn brings(&self, module: &Freight, app: &Freight) -> Outcome<Promotion> {
        let client = self.site.client()?;
        let stage = Some("dev".to_owned());
        let query = PromotionQuery { stage, ..PromotionQuery::default() };
        let both = self.site.lockstepd.eventually(SOON, "both go as one unit", async || {
            let page = client.list_promotions(PROJECT, &query).await?;
            let is_it = |it: &&Promotion| {
                it.freight == module.id && it.along == [app.id.clone()] && !it.phase.is_finished()
            };
            let found = page.items.iter().find(is_it).map(|promotion| promotion.id.clone());
            found.ok_or_else(|| Failure::new(format!("there is: {:#?}", page.items)))
        });
        let id = both.await?;
        Ok(self.site.waits(&id).await?.0)
    }

    /// Approves what a promotion would do, and waits for its end.
    async fn agreed(&self, promotion: &Promotion) -> Outcome<Promotion> {
        let (_, digest) = self.site.waits(&promotion.id).await?;
        approve(&self.ada, &promotion.id, &digest).await?;
        self.site.is(&promotion.id, Phase::Succeeded).await
    }

    /// The commits of module and application that are in dev: in the state, and in the values.
    async fn in_dev(&self) -> Outcome<(String, String)> {
        let state = self.site.state("dev")?.unwrap_or_default();
        let release = state["outputs"]["release"]["value"].as_str().unwrap_or_default().to_owned();
        let values = self.site.values_of("dev").await?;
        let line = values.lines().find_map(|line| line.strip_prefix("release: "));
        Ok((release, line.unwrap_or_default().trim_matches('"').to_owned()))
    }
}

#[tokio::test]
async fn module_and_application_of_two_warehouses_go_and_go_back_as_one_unit() -> Outcome {
    let pair = Pair::start().await?;
    let old = (pair.site.infra.tip("main").await?, pair.app.tip("main").await?);
    let (module, app) = (pair.site.first_freight().await?, pair.application(&old.1).await?);
    let first = pair.brings(&module, &app).await?;
    pair.agreed(&first).await?;
    assert_eq!(pair.in_dev().await?, old);

    // The module comes first and waits for its approval; the application that goes with it joins it.
    let newer_module = pair.site.freight("the second").await?;
    let alone = pair.site.on_its_way("dev", &newer_module).await?;
    pair.site.waits(&alone).await?;
    let commit = pair.app.commit("app: next", &[("version", "2\n")]).await?;
    let newer_app = pair.application(&commit).await?;
    let unit = pair.brings(&newer_module, &newer_app).await?;
    let ended = pair.site.is(&alone, Phase::Superseded).await?;
    assert!(ended.error.unwrap_or_default().contains(&unit.id), "it says where it goes on");
    let done = pair.agreed(&unit).await?;
    assert_eq!(done.collection["shop"], newer_module.id);
    assert_eq!(done.collection["app"], newer_app.id);
    let new = (pair.site.infra.tip("main").await?, commit);
    assert_eq!(pair.in_dev().await?, new);

    // Going back is one promotion, too.
    let said = pair.site.cli()?.ok(&["rollback", "dev", "--reason", "people complain"]).await?;
    let short = |freight: &Freight| freight.id[..10].to_owned();
    let back = format!("dev goes back to freight {} with {}", short(&module), short(&app));
    assert!(said.contains(&back), "{said}");
    pair.agreed(&pair.brings(&module, &app).await?).await?;
    assert_eq!(pair.in_dev().await?, old);

    // And so is going forth again, where a person names both.
    let arguments = ["promote", "dev", "--freight", &newer_module.id, "--freight", &newer_app.id];
    pair.site.cli()?.ok(&arguments).await?;
    pair.agreed(&pair.brings(&newer_module, &newer_app).await?).await?;
    assert_eq!(pair.in_dev().await?, new);
    Ok(())
}
