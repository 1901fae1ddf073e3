//! Dependencies of charts, from a repository of files and from a real registry.

use std::collections::BTreeMap;
use std::path::Path;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use reconciler_domain::step::{Call, ChartCall, StepOutcome};
use serde_json::json;

use crate::images::{MANIFEST, TEXT};
use crate::world::{World, done};

const LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// Publishes a chart that holds the archive of its dependency, whose repository has a newer one, and clones.
pub(crate) async fn sources(world: &mut World) {
    let shelf = world.path("shelf");
    std::fs::create_dir(&shelf).unwrap();
    let index = "entries:\n  redis:\n  - {version: 2.0.0, urls: [archives/redis-2.0.0.tgz]}\n";
    std::fs::write(shelf.join("index.yaml"), index).unwrap();
    std::fs::create_dir(shelf.join("archives")).unwrap();
    std::fs::write(shelf.join("archives/redis-2.0.0.tgz"), "redis 2").unwrap();
    let url = serve(&shelf).await;
    chart(world, &format!("- {{name: redis, version: 1.0.0, repository: \"{url}\"}}\n")).await;
}

/// Publishes a chart whose dependency is in this repository, and clones.
pub(crate) async fn depending_on(world: &mut World, repository: &str) {
    chart(world, &format!("- {{name: redis, version: 1.0.0, repository: \"{repository}\"}}\n"))
        .await;
}

/// The call that sets the newer one.
pub(crate) fn update() -> Call {
    call(&[("redis", "2.0.0")], false)
}

fn call(versions: &[(&str, &str)], vendor: bool) -> Call {
    let owned = |(name, version): &(&str, &str)| ((*name).to_owned(), (*version).to_owned());
    let versions = versions.iter().map(owned).collect();
    let path = "src/chart".to_owned();
    Call::Chart(ChartCall { path, versions, vendor, sha256: BTreeMap::new() })
}

/// Serves the files of a directory.
async fn serve(dir: &Path) -> String {
    let give = |State(dir): State<std::path::PathBuf>, uri: Uri| async move {
        match std::fs::read(dir.join(uri.path().trim_start_matches('/'))) {
            Ok(bytes) => Response::new(bytes.into()),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        }
    };
    let router = Router::new().fallback(give).with_state(dir.to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

async fn chart(world: &mut World, dependencies: &str) {
    std::fs::create_dir_all(world.path("people").join("chart/charts")).unwrap();
    let chart =
        format!("apiVersion: v2\nname: shop\nversion: 1.0.0\ndependencies:\n{dependencies}");
    world.write("chart/Chart.yaml", &chart);
    world.write("chart/charts/redis-1.0.0.tgz", "redis 1");
    world.publish("chart");
    world.checkout().await;
}

fn held(world: &World) -> Vec<String> {
    let listed = std::fs::read_dir(world.held("src/chart/charts")).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn read(world: &World, file: &str) -> String {
    std::fs::read_to_string(world.held("src/chart").join(file)).unwrap()
}

async fn failure(world: &World, call: Call) -> String {
    match world.run(&world.task("chart", call)).await {
        StepOutcome::Failed { message, retry: false, .. } => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_archive_is_replaced_by_that_of_the_new_version() {
    let mut world = World::new().await;
    sources(&mut world).await;
    let (outputs, record) = done(world.run(&world.task("chart", update())).await);
    assert_eq!(json!(outputs), json!({ "changed": true }));
    assert!(read(&world, "Chart.yaml").contains("version: 2.0.0"));
    assert_eq!(held(&world), ["redis-2.0.0.tgz"]);
    assert_eq!(read(&world, "charts/redis-2.0.0.tgz"), "redis 2");
    // By the same version the repository gives something else now: that is not what was prepared.
    std::fs::write(world.path("shelf/archives/redis-2.0.0.tgz"), "another").unwrap();
    let Call::Chart(call) = update() else { unreachable!() };
    let said = failure(&world, Call::Chart(call.pinned(&record))).await;
    assert!(said.contains("its repository gives something else by the same version"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_with_a_repository_is_said() {
    let mut world = World::new().await;
    sources(&mut world).await;
    let told = async |version: &str| failure(&world, call(&[("redis", version)], false)).await;
    assert!(told("3.0.0").await.contains("chart redis has no version 3.0.0"));
    let index =
        "entries:\n  redis:\n  - {version: 2.0.0, digest: abc, urls: [archives/redis-2.0.0.tgz]}\n";
    std::fs::write(world.path("shelf/index.yaml"), index).unwrap();
    assert!(told("2.0.0").await.contains("its index says sha256:abc"));
    std::fs::write(world.path("shelf/index.yaml"), "entries: {}").unwrap();
    assert!(told("2.0.0").await.contains("there is no chart \"redis\""));
    std::fs::write(world.path("shelf/index.yaml"), "<html>").unwrap();
    assert!(told("2.0.0").await.contains("index.yaml: it holds no map"));
    std::fs::remove_file(world.path("shelf/index.yaml")).unwrap();
    assert!(told("2.0.0").await.contains("answered 404"));
    assert_eq!(held(&world), ["redis-1.0.0.tgz"], "nothing was changed");
}

#[tokio::test]
async fn all_are_fetched_if_asked_for() {
    let mut world = World::new().await;
    let repo = world.images().await.repo("charts");
    let images = world.images().await;
    let layer = images.artifact("charts/redis", "draft", &[("chart", TEXT)]).await;
    let content = images.get(&format!("/v2/charts/redis/manifests/{layer}")).await;
    let mut layer = content["layers"][0].clone();
    layer["mediaType"] = json!(LAYER);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": content["config"], "layers": [layer],
    });
    images.manifest("charts/redis", "2.0.0_build.1", &manifest).await;
    let oci = format!("oci://{repo}");
    let list = format!(
        "- {{name: redis, version: 1.0.0, repository: \"{oci}\"}}\n\
         - {{name: redis, version: ^2, repository: \"{oci}\", alias: cache}}\n\
         - {{name: library, version: 0.1.0}}\n"
    );
    chart(&mut world, &list).await;
    let said = failure(&world, call(&[("redis", "2.0.0+build.1")], true)).await;
    assert!(said.contains("asks for a range, and no Chart.lock says"), "{said}");
    let both = call(&[("redis", "2.0.0+build.1"), ("cache", "2.0.0+build.1")], true);
    done(world.run(&world.task("chart", both)).await);
    assert_eq!(held(&world), ["redis-2.0.0+build.1.tgz"]);
    assert_eq!(read(&world, "charts/redis-2.0.0+build.1.tgz"), TEXT);
    let said = failure(&world, call(&[("library", "0.2.0")], false)).await;
    assert!(said.contains("is taken from files beside the chart"), "{said}");
    let said = failure(&world, call(&[("cache", "2.1.0")], false)).await;
    assert!(said.contains("has no tag 2.1.0"), "{said}");
}
