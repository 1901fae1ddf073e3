//! A refresh of many objects is few requests, and shows what is there.

use std::fs;
use std::time::Duration;

use reconciler_api::v1::Kind;
use serde_json::{Value as Json, json};

use crate::daemon::Daemon;
use crate::terraform::Terraform;

/// The requests since the last look.
fn requests(daemon: &Daemon) -> Vec<String> {
    std::mem::take(&mut daemon.world().requests)
}

const NO_CHANGES: &str = "No changes.";

fn config(projects: usize, verifications: usize) -> String {
    format!(
        r#"
        resource "lockstep_project" "many" {{
          count = {projects}
          name  = "p${{count.index}}"
        }}
        resource "lockstep_verification" "many" {{
          count   = {verifications}
          project = "shop"
          name    = "v${{count.index}}"
          http {{
            name    = "health"
            url     = "http://127.0.0.1:1/"
            success = "response.status == 200"
          }}
        }}
        "#
    )
}

/// Multiplies the only instance of a resource, in the state and at the daemon.
fn multiply(daemon: &Daemon, resource: &mut Json, kind: Kind, count: usize) {
    let first = resource["instances"][0].clone();
    let name = first["attributes"]["name"].as_str().unwrap().to_owned();
    let project = first["attributes"]["project"].as_str().map(str::to_owned);
    let key = |name: &str| (kind, project.as_deref().unwrap_or(name).to_owned(), name.to_owned());
    let object = daemon.world().objects[&key(&name)].clone();
    let instances = (0..count).map(|index| {
        let name = format!("{}{index}", &name[..1]);
        let mut instance = first.clone();
        instance["index_key"] = index.into();
        instance["attributes"]["name"] = name.as_str().into();
        let id = project.as_ref().map_or(name.clone(), |project| format!("{project}/{name}"));
        instance["attributes"]["id"] = id.into();
        daemon.world().objects.insert(key(&name), object.clone());
        instance
    });
    resource["instances"] = instances.collect();
}

#[test]
fn a_refresh_of_a_thousand_objects_is_few_requests() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let terraform = Terraform::at(&daemon.endpoint, &config(1, 1));
    terraform.apply();
    let mut state = terraform.state();
    for resource in state["resources"].as_array_mut().unwrap() {
        let (kind, count) = match resource["type"].as_str().unwrap() {
            "lockstep_project" => (Kind::Project, 700),
            _ => (Kind::Verification, 300),
        };
        multiply(&daemon, resource, kind, count);
    }
    fs::write(terraform.path().join("terraform.tfstate"), state.to_string()).unwrap();
    terraform.write(&config(700, 300));
    requests(&daemon);
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains(NO_CHANGES), "{}", plan.text);
    let asked = requests(&daemon);
    assert!(asked.len() <= 10, "{} requests: {asked:?}", asked.len());

    // What others did is seen all the same, in lists and beside them.
    daemon.put(Kind::Project, "p5", json!({ "description": "other" }));
    daemon.edit(Kind::Verification, "v5", |spec| spec["count"] = json!(7));
    let gone = (Kind::Project, "p6".to_owned(), "p6".to_owned());
    daemon.world().objects.remove(&gone);
    let plan = terraform.plan(&[]);
    assert!(plan.text.contains("Plan: 1 to add, 2 to change, 0 to destroy"), "{}", plan.text);
}

#[test]
fn one_object_is_one_request() {
    let daemon = Daemon::start();
    let terraform =
        Terraform::at(&daemon.endpoint, "resource \"lockstep_project\" \"one\" { name = \"one\" }");
    terraform.apply();
    requests(&daemon);
    assert!(terraform.plan(&[]).text.contains(NO_CHANGES));
    assert_eq!(requests(&daemon), ["GET /v1/whoami", "GET /v1/projects/one"]);
}

#[test]
fn a_list_that_takes_long_is_asked_for_once() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let terraform = Terraform::at(&daemon.endpoint, &config(0, 1));
    terraform.apply();
    let mut state = terraform.state();
    for resource in state["resources"].as_array_mut().unwrap() {
        multiply(&daemon, resource, Kind::Verification, 30);
    }
    fs::write(terraform.path().join("terraform.tfstate"), state.to_string()).unwrap();
    terraform.write(&config(0, 30));
    let lists = "GET /v1/projects/shop/verifications?";
    daemon.world().slow = Some((lists.to_owned(), Duration::from_secs(6)));
    requests(&daemon);
    assert!(terraform.plan(&[]).text.contains(NO_CHANGES));
    let asked = requests(&daemon);
    let listed = asked.iter().filter(|request| request.starts_with(lists)).count();
    assert!(listed == 1 && asked.len() <= 32, "{listed} lists, {asked:?}");
}

#[test]
fn what_names_of_stages_mean_is_asked_once_for_many() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Stage, "dev", json!({ "requests": [{ "warehouse": "shop" }] }));
    let holds = r#"
        resource "lockstep_hold" "many" {
          count  = 30
          name   = "h${count.index}"
          reason = "a test"
          stage  = "dev"
        }
    "#;
    let terraform = Terraform::at(&daemon.endpoint, holds);
    assert_eq!(terraform.plan(&[]).code, 2);
    let lists = |request: &&String| request.starts_with("GET /v1/projects/shop/stages?");
    // Another one where the machine takes longer than an answer is fresh.
    let listed = requests(&daemon).iter().filter(lists).count();
    assert!((1..=3).contains(&listed), "{listed} lists");
}

#[test]
fn what_is_in_the_stages_of_promotions_is_few_requests() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Stage, "dev", json!({ "requests": [{ "warehouse": "shop" }] }));
    let promotions = r#"
        resource "lockstep_promotion" "many" {
          count   = 12
          stage   = "dev"
          newest  = true
          enforce = true
        }
    "#;
    let terraform = Terraform::at(&daemon.endpoint, promotions);
    terraform.apply();
    requests(&daemon);
    terraform.plan(&["-refresh-only"]);
    let of_stages = |request: &&String| request.starts_with("GET /v1/projects/shop/stages");
    let asked = requests(&daemon);
    let count = asked.iter().filter(of_stages).count();
    assert!((2..=4).contains(&count), "{asked:?}");
}
