//! Rendering by the real `helm`, `kustomize` and `kubectl`, as far as they are installed: what is not on the PATH is
//! named in the test's output, and shown by `rendering.rs` with programs that stand in.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use reconciler_domain::step::{Call, HelmTemplate, RenderCall, Renderer, StepOutcome};
use reconciler_effects::{Effects, EffectsConfig, Workdir};
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use crate::rendering::{helm, kustomize};
use crate::world::{World, cx, done, name};

const DEPLOYMENT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
spec:
  replicas: {{ .Values.replicas }}
  template:
    spec:
      containers:
      - name: api
        image: "{{ .Values.image }}"
{{- if .Capabilities.APIVersions.Has "v1/Thing" }}
      priorityClassName: thing
{{- end }}
# outside: [{{ .Files.Get "/etc/passwd" }}{{ .Files.Get "../values.yaml" }}]
"#;
const HOOK: &str =
    "kind: Job\nmetadata:\n  name: hook\n  annotations:\n    helm.sh/hook: pre-install\n";
const CRD: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: things.example.com\n";

#[expect(clippy::print_stdout, reason = "for whoever reads what was tried")]
fn real(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|at| at.is_file());
    if found.is_none() {
        println!("`{program}` is not installed here: not tried");
    }
    found
}

/// A search path with this program and nothing else that renders.
fn alone(world: &World, program: &Path) -> OsString {
    let named = program.file_name().unwrap();
    let bin = world.path("real").join(named);
    std::fs::create_dir_all(&bin).unwrap();
    let link = bin.join(named);
    if !link.exists() {
        symlink(program, link).unwrap();
    }
    bin.into_os_string()
}

async fn run(world: &World, program: &Path, call: RenderCall) -> StepOutcome {
    let config = EffectsConfig { search_path: alone(world, program), ..world.config() };
    let task = world.task("render", Call::Render(call));
    let rebuild: Vec<_> =
        task.rebuild.iter().map(|(step, call)| (name(step), call.clone())).collect();
    let (cx, never) = (cx(Workdir::Main), CancellationToken::new());
    let effects = Effects::open(config).unwrap();
    effects.run(&cx, &name("render"), &task.call, &rebuild, &never).await.unwrap()
}

fn refusal(outcome: StepOutcome) -> String {
    match outcome {
        StepOutcome::Failed { message, retry: false, .. } => message,
        other => panic!("{other:?}"),
    }
}

async fn manifests() -> World {
    let mut world = World::new().await;
    for dir in ["base", "overlay", "exec", "chart/templates", "chart/crds"] {
        std::fs::create_dir_all(world.path("people").join(dir)).unwrap();
    }
    world.write("base/kustomization.yaml", "resources:\n- map.yaml\n");
    world.write(
        "base/map.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: shop\nspec:\n  containers:\n  - name: api\n    image: shop/api:1.0.0\n",
    );
    world.write(
        "overlay/kustomization.yaml",
        "resources:\n- ../base\nnamePrefix: prod-\nimages:\n- name: shop/api\n  newTag: 1.2.0\nconfigMapGenerator:\n- name: settings\n  literals: [a=b]\n",
    );
    world.write("exec/kustomization.yaml", "generators:\n- run.yaml\n");
    world.write(
        "exec/run.yaml",
        "apiVersion: v1\nkind: Run\nmetadata:\n  name: run\n  annotations:\n    config.kubernetes.io/function: |\n      exec:\n        path: ./run.sh\n",
    );
    world.write("exec/run.sh", "#!/bin/sh\ntouch ran\n");
    world.write("chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n");
    world.write("chart/values.yaml", "replicas: 1\nimage: shop/api:1.0.0\n");
    world.write("chart/templates/deployment.yaml", DEPLOYMENT);
    world.write("chart/templates/hook.yaml", HOOK);
    world.write("chart/crds/things.yaml", CRD);
    world.publish("manifests");
    world.checkout().await;
    world
}

#[tokio::test]
async fn helm_renders_a_chart() {
    let Some(program) = real("helm") else { return };
    let world = manifests().await;
    done(run(&world, &program, helm("src/all.yaml")).await);
    let all = std::fs::read_to_string(world.held("src/all.yaml")).unwrap();
    insta::assert_snapshot!(all, @r#"
    ---
    # Source: shop/crds/things.yaml
    apiVersion: apiextensions.k8s.io/v1
    kind: CustomResourceDefinition
    metadata:
      name: things.example.com
    
    ---
    # Source: shop/templates/deployment.yaml
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: shop
      namespace: prod
    spec:
      replicas: 3
      template:
        spec:
          containers:
          - name: api
            image: "shop/api:1.0.0"
          priorityClassName: thing
    # outside: []
    "#);
    done(run(&world, &program, helm("src/out")).await);
    let one =
        std::fs::read_to_string(world.held("src/out/shop/templates/deployment.yaml")).unwrap();
    assert!(one.contains("replicas: 3") && all.contains(one.trim()), "{one}");
}

#[tokio::test]
async fn helm_says_what_is_wrong_with_a_chart() {
    let Some(program) = real("helm") else { return };
    let mut world = manifests().await;
    world.write("chart/templates/deployment.yaml", "replicas: {{ .Values.replicas | nosuch }}\n");
    world.publish("a misspelt function");
    world.checkout().await;
    let told = refusal(run(&world, &program, helm("src/all.yaml")).await);
    assert!(told.starts_with("`helm template` of src/chart ended with exit code 1"), "{told}");
    assert!(told.contains(r#"function "nosuch" not defined"#), "{told}");
    let call = helm("src/all.yaml");
    let Renderer::Helm(template) = call.by else { unreachable!() };
    let values = Map::from_iter([("replicas".to_owned(), json!({"a": [1, "two", null]}))]);
    let by =
        Renderer::Helm(HelmTemplate { values, kube_version: Some("no".to_owned()), ..template });
    let told = refusal(
        run(&world, &program, RenderCall { by, ..kustomize("src/chart", "src/all.yaml") }).await,
    );
    assert!(told.contains("kube"), "{told}");
}

#[tokio::test]
async fn kustomize_builds_an_overlay_by_either_program() {
    let mut rendered = Vec::new();
    for program in ["kustomize", "kubectl"].into_iter().filter_map(real) {
        let world = manifests().await;
        done(run(&world, &program, kustomize("src/overlay", "src/all.yaml")).await);
        rendered.push(std::fs::read_to_string(world.held("src/all.yaml")).unwrap());
        done(run(&world, &program, kustomize("src/overlay", "src/out")).await);
        let pod = std::fs::read_to_string(world.held("src/out/v1_pod_prod-shop.yaml")).unwrap();
        assert!(pod.contains("image: shop/api:1.2.0"), "{pod}");
        let told = refusal(run(&world, &program, kustomize("src/exec", "src/none.yaml")).await);
        assert!(told.contains("of src/exec ended with exit code 1"), "{told}");
        assert!(!world.held("src/exec/ran").exists());
    }
    for text in rendered {
        insta::allow_duplicates! { insta::assert_snapshot!(text, @"
        apiVersion: v1
        data:
          a: b
        kind: ConfigMap
        metadata:
          name: prod-settings-4h2mbtbbt6
        ---
        apiVersion: v1
        kind: Pod
        metadata:
          name: prod-shop
        spec:
          containers:
          - image: shop/api:1.2.0
            name: api
        "); }
    }
}
