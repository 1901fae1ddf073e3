//! Mistakes in a configuration: each is told where it is made, before anything is changed.

use acceptance::Outcome;
use acceptance::terraform::Workspace;

use super::{Mistake, planned, root, validated, with_each_tool};
use crate::pipeline::{after, direct};
use crate::site::{PROJECT, Site};

/// Marks a line on which a mistake is to be told, with a part of what is told.
const MARK: &str = "#! ";

/// Makes sure that exactly the marked lines are told, each with its text.
fn check(config: &str, told: &[Mistake]) {
    let marked = config
        .lines()
        .zip(1..)
        .filter_map(|(line, number)| line.split_once(MARK).map(|(_, text)| (Some(number), text)));
    let marked: Vec<(Option<u64>, &str)> = marked.collect();
    let lines: Vec<String> =
        told.iter().map(|it| format!("{} at `{}`, line {:?}", it.text, it.code, it.line)).collect();
    let shown = lines.join("\n");
    for (line, text) in &marked {
        let fits = |it: &&Mistake| it.line == *line && it.text.contains(text);
        assert!(told.iter().any(|it| fits(&it)), "line {line:?}: {text}\nis not in\n{shown}");
    }
    assert_eq!(told.len(), marked.len(), "{shown}");
}

const GATES: &str = r#"
resource "lockstep_promotion_policy" "misspelt_argument" {
  name = "a"
  mode = "gated"
  stages { names = ["prod"] }
  approval {
    group = "sre"
    cuont = 2 #! An argument named "cuont" is not expected here. Did you mean "count"?
  }
}
resource "lockstep_promotion_policy" "misspelt_block" {
  name = "b"
  mode = "gated"
  stages { names = ["prod"] }
  aproval { #! Blocks of type "aproval" are not expected here. Did you mean "approval"?
    group = "sre"
  }
}
resource "lockstep_promotion_policy" "bad_values" {
  name = "c"
  mode = "gated"
  soak = "a while" #! `a while` is not a duration
  stages {
    names = ["pr[od"] #! Invalid value
  }
  approval {
    group   = "sre"
    exclude = ["requestor"] #! Did you mean "requester"?
  }
  infra {
    forbid = ["destroy"] #! is none of the allowed words
  }
}
resource "lockstep_promotion_policy" "automatic" {
  name = "d"
  mode = "automatic"
  soak = "1h" #! Mode automatic has no gates
  stages { names = ["dev"] }
}
"#;

const SOURCES: &str = r#"
resource "lockstep_warehouse" "bad_values" {
  name     = "a"
  interval = "-5m" #! `-5m` is negative
  git {
    name   = "infra"
    repo   = "not a repository" #! Invalid value
    branch = "main"
    include_paths = ["regex:("] #! `regex:(`
  }
  image {
    name       = "api"
    repo       = "example.com/api:1" #! Invalid value
    constraint = "=~1" #! `=~1` is not a version range
    allow_tags = ["["] #! Invalid value
  }
  freight {
    require = "freight.infra.comit == 'x'" #! `freight.infra` has no field `comit`, did you mean `commit`?
  }
}
resource "lockstep_verification" "bad_values" {
  name = "b"
  http {
    name    = "health"
    url     = "localhost:80/health" #! begins with neither http:// nor https://
    success = "response.stauts == 200" #! `response` has no field `stauts`, did you mean `status`?
  }
  prometheus {
    name    = "errors"
    address = "http://127.0.0.1:9090"
    query   = "up"
    success = "result.value <" #! Invalid
  }
}
"#;

const STEPS: &str = r#"
resource "lockstep_stage" "misspelt_argument" {
  name = "a"
  steps = [
    provider::lockstep::tf_plan("plan", { dri = "infra", dir = "infra" }), #! dri: There is no argument "dri"; did you mean "dir"?
  ]
  request { warehouse = "shop" }
}
resource "lockstep_stage" "nested_argument" {
  name = "b"
  steps = [
    provider::lockstep::git_clone("src", { repo = "http://127.0.0.1:1/x.git", checkout = { src = { comit = "a" } } }), #! checkout.src.comit: There is no argument "comit"; did you mean "commit"?
  ]
  request { warehouse = "shop" }
}
resource "lockstep_stage" "missing_argument" {
  name = "c"
  steps = [
    provider::lockstep::tf_apply("apply", {}), #! plan: Is required.
  ]
  request { warehouse = "shop" }
}
resource "lockstep_stage" "wrong_type" {
  name = "d"
  steps = [
    provider::lockstep::http("call", { url = "http://127.0.0.1:1/", timeout = "soon" }), #! `soon` is not a duration
  ]
  request { warehouse = "shop" }
}
resource "lockstep_stage" "unknown_function" {
  name = "e"
  steps = [
    provider::lockstep::tf_aply("apply", { plan = "plan" }), #! Unknown provider function
  ]
  request { warehouse = "shop" }
}
resource "lockstep_stage" "by_hand" {
  name = "f"
  steps = [
    { name = "out", uses = "tf_output", config = jsonencode({ dri = "x", dir = "x" }) }, #! dri: There is no argument "dri"; did you mean "dir"?
    { name = "clone", uses = "git_clon", config = "{}" }, #! There is no kind of step "git_clon". Did you mean "git_clone"?
  ]
  request { warehouse = "shop" }
}
resource "lockstep_stage" "bad_reference" {
  name = "g"
  vars = { region = "eu" }
  steps = [
    provider::lockstep::tf_plan("plan", { dir = "{{ vars.regoin }}" }), #! `vars` has no field `regoin`, did you mean `region`?
    provider::lockstep::tf_apply("apply", { plan = "pln" }), #! Did you mean "plan"?
  ]
  request { warehouse = "shop" }
}
"#;

#[tokio::test]
async fn validate_tells_every_mistake_at_its_line() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        for config in [GATES, SOURCES, STEPS] {
            let root = root(tool, &site.lockstepd, config)?;
            check(config, &validated(&root).await?);
        }
        Ok(())
    })
    .await
}

/// Plans, and makes sure that exactly the marked lines are told.
async fn check_plan(root: &Workspace, config: &str) -> Outcome {
    root.write("main.tf", config)?;
    check(config, &planned(root).await?);
    Ok(())
}

const UNKNOWN: &str = r#"
resource "lockstep_stage" "prod" {
  name = "prod"
  request {
    warehouse = "shop"
    from      = ["stagin"] #! There is no stage "stagin" in project "shop". Did you mean "staging"?
  }
}
resource "lockstep_stage" "dev" {
  name = "dev"
  request {
    warehouse = "shpo" #! There is no warehouse "shpo" in project "shop". Did you mean "shop"?
  }
}
resource "lockstep_stage" "late" {
  name = "late"
  steps = [
    provider::lockstep::http("a", { url = "http://127.0.0.1:1/" }),
    provider::lockstep::http("b", { url = "http://127.0.0.1:1/{{ freight.infra.comit }}" }), #! `freight.infra` has no field `comit`
  ]
  request { warehouse = "shop" }
}
resource "lockstep_stage" "test" {
  name = "test"
  request {
    warehouse = "shop"
  }
  verification {
    name     = "errors"
    template = "erors" #! There is no verification "erors"
  }
}
"#;

/// Staging is there and takes from dev; this lets dev take from staging.
const CIRCLE: &str = r#"
import {
  to = lockstep_stage.dev
  id = "shop/dev"
}
resource "lockstep_stage" "dev" {
  name = "dev"
  request {
    warehouse = "shop"
    from      = ["staging"] #! The stages would wait for each other in a circle: dev -> staging -> dev.
  }
}
"#;

/// Upstreams that this run itself creates: they are planned first, so they count.
const REFERRED: &str = r#"
resource "lockstep_stage" "one" {
  name = "one"
  request { warehouse = "shop" }
}
resource "lockstep_stage" "two" {
  name = "two"
  request {
    warehouse = "shop"
    from      = [lockstep_stage.one.name]
  }
}
"#;

#[tokio::test]
async fn plan_tells_names_of_nothing_and_circles_at_their_line() -> Outcome {
    with_each_tool(async |tool| {
        let site = Site::start(&[]).await?;
        let root = root(tool, &site.lockstepd, "")?;
        site.stage("dev", &serde_json::json!({ "requests": direct() })).await?;
        site.stage("staging", &serde_json::json!({ "requests": after(&["dev"]) })).await?;
        check_plan(&root, UNKNOWN).await?;
        check_plan(&root, CIRCLE).await?;
        root.write("main.tf", REFERRED)?;
        root.apply().await?;
        root.unchanged().await?;
        let names: Vec<String> =
            site.client()?.pipeline(PROJECT).await?.stages.into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["dev", "one", "staging", "two"]);
        Ok(())
    })
    .await
}
