//! Every example of the pages, applied: a new one is covered by being there.

use std::fs;
use std::path::{Path, PathBuf};

use acceptance::lockstepd::Settings;
use acceptance::registry::Registry;
use acceptance::terraform::{Tool, Workspace};
use acceptance::{At as _, Failure, Outcome};
use jiff::Timestamp;
use reconciler_api::v1::{
    Precondition, Project, ProjectSpec, Stage, StageSpec, Warehouse, WarehouseSpec,
};
use serde_json::{Value, json};

use super::{HEAD, with_each_tool};
use crate::pipeline::{call, direct};
use crate::site::{SOON, Site};

/// The kinds of examples that every tool which is tested with can apply. Lists and actions need a
/// newer one; the quickstart is a scenario of its own.
const KINDS: [&str; 4] = ["resources", "data-sources", "functions", "ephemeral-resources"];

/// What examples need of the daemon.
const CONFIG: &str = r#"
secret_dirs      = ["/etc/lockstep/secrets"]
secret_variables = ["SHOP_*"]
"#;

/// The folders with examples, as paths below `examples/terraform`.
fn examples() -> Outcome<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/terraform");
    let mut found = Vec::new();
    for kind in KINDS {
        for entry in fs::read_dir(root.join(kind)).at(kind)? {
            let name = entry.at(kind)?.file_name();
            found.push(Path::new(kind).join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// What examples refer to by name: a project with a warehouse, its stages, and freight.
async fn surroundings(site: &Site, registry: &Registry, project: &str) -> Outcome {
    let client = site.client()?;
    let any = Precondition::None;
    client.put::<Project>(project, project, &ProjectSpec::default(), any).await?;
    let image = json!({ "name": "api", "repo": registry.repo("shop/api"), "insecure": true, "discovery_limit": 5 });
    let warehouse = json!({ "git": [site.subscription()], "image": [image], "interval": "1h" });
    let warehouse: WarehouseSpec = serde_json::from_value(warehouse).at("a warehouse")?;
    client.put::<Warehouse>(project, "shop", &warehouse, any).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    for stage in ["dev", "staging", "staging-eu", "staging-us", "prod"] {
        let spec: Value = json!({ "requests": direct(), "steps": steps });
        let spec: StageSpec = serde_json::from_value(spec).at("a stage")?;
        client.put::<Stage>(project, stage, &spec, any).await?;
    }
    client.refresh_warehouse(project, "shop").await?;
    site.lockstepd.freight(SOON, project, "there is freight", |_| true).await.map(drop)
}

/// The names of the input variables of a root module.
fn variables(folder: &Path) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).at(folder.display())? {
        let path = entry.at(folder.display())?.path();
        let text = fs::read_to_string(&path).at(path.display())?;
        let begins = text.lines().filter_map(|line| line.strip_prefix("variable \""));
        names.extend(begins.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    Ok(names)
}

async fn apply(tool: &Tool, site: &Site, registry: &Registry, example: &Path) -> Outcome {
    let name = example.display().to_string();
    let project: String =
        name.chars().map(|c| if c.is_ascii_lowercase() { c } else { '-' }).collect();
    surroundings(site, registry, &project).await?;
    let mut root = Workspace::of_example(tool, &site.lockstepd, &name)?;
    root.set_env("LOCKSTEP_PROJECT", &project);
    // Examples define what others of them refer to.
    root.set_env("LOCKSTEP_ADOPT_EXISTING", "true");
    root.write("head.tf", HEAD)?;
    for variable in variables(&root.folder())? {
        root.set_env(&format!("TF_VAR_{variable}"), "an example of a value");
    }
    root.apply().await?;
    root.unchanged().await?;
    comes_back_by_its_script(&root, &project).await
}

/// Takes an object out of the state and runs what `import.sh` says.
async fn comes_back_by_its_script(root: &Workspace, project: &str) -> Outcome {
    let Ok(script) = fs::read_to_string(root.folder().join("import.sh")) else { return Ok(()) };
    let words: Vec<&str> = script.split_whitespace().collect();
    let ["terraform", "import", address, written] = words[..] else {
        return Err(Failure::new(format!("an import is one command: {script:?}")));
    };
    let id = id_of(root, address).await?;
    // Promotions are numbered as they come; everything else has the name that the example gives it.
    let expected = written.replacen("shop/", &format!("{project}/"), 1);
    if !address.starts_with("lockstep_promotion.") && id != expected {
        return Err(Failure::new(format!("{address} is {id}, and not {expected}")));
    }
    root.run(&["state", "rm", address]).await?.ok()?;
    root.import(address, &id).await?;
    let plan = root.plan(&[]).await?;
    let remade = ["create", "delete"];
    match plan.actions().iter().find(|(_, action)| remade.iter().any(|it| action.contains(it))) {
        None => Ok(()),
        Some((address, action)) => {
            let text = format!("after the import of {address} there is something to {action}");
            Err(Failure::new(text).with("plan", &plan.text))
        }
    }
}

/// What `import` takes for an object, as its state has it.
async fn id_of(root: &Workspace, address: &str) -> Outcome<String> {
    let state = root.state().await?;
    let resources = state["values"]["root_module"]["resources"].as_array();
    let found = resources.into_iter().flatten().find(|it| it["address"] == address);
    let id = found.and_then(|it| it["values"]["id"].as_str()).map(str::to_owned);
    id.ok_or_else(|| Failure::new(format!("{address} has no id: {found:?}")))
}

#[tokio::test]
async fn every_example_is_applied_and_leaves_nothing_to_do() -> Outcome {
    let registry = Registry::start().await?;
    registry.push("shop/api", "1.4.0", Timestamp::UNIX_EPOCH).await?;
    let found = examples()?;
    assert!(found.len() > 10, "{found:?}");
    with_each_tool(async |tool| {
        let config = Some(CONFIG.to_owned());
        let site = Site::start_with(Settings { config, ..Settings::default() }, &[]).await?;
        let mut failed = Vec::new();
        for example in &found {
            if let Err(failure) = apply(tool, &site, &registry, example).await {
                failed.push(format!("{}: {failure}", example.display()));
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Failure::new(failed.join("\n\n"))) }
    })
    .await
}
