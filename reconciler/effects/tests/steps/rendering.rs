//! Rendering, with small programs that stand in for `kustomize` and `helm`: they take the arguments that
//! those take, and give what they were given. What the real ones make of their input is theirs; what they
//! are given, what they cannot reach, and what becomes of what they give is shown here. `renderers.rs` has the real ones.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use reconciler_domain::step::{Call, HelmTemplate, RenderCall, Renderer, StepOutcome};
use reconciler_effects::{Effects, EffectsConfig, Workdir};
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use crate::world::{World, cx, done, name};

/// Gives the files that a kustomization lists, and those of directories that it lists.
const KUSTOMIZE: &str = r#"#!/bin/sh
[ "$1" = build ] || exit 2
dir=$2 out=
shift 2
while [ $# -gt 0 ]; do
  case $1 in
    --output) out=$2; shift 2;;
    --load-restrictor=LoadRestrictionsRootOnly) shift;;
    *) echo "unknown flag: $1" >&2; exit 1;;
  esac
done
text() { while IFS= read -r line; do printf '%s\n' "$line"; done < "$1"; }
build() (
  cd "$1" || exit 1
  while read -r dash entry; do
    [ "$dash" = - ] || continue
    if [ -d "$entry" ]; then build "$entry"; else text "$entry"; fi
  done < kustomization.yaml
)
if [ -n "$out" ]; then build "$dir" > "$out/all.yaml"; else build "$dir"; fi
"#;

/// Gives its arguments and the values, in their order.
const HELM: &str = r#"#!/bin/sh
[ "$1" = template ] || exit 2
release=$2 chart=$3 out=/dev/stdout
shift 3
[ -e "$chart/Chart.yaml" ] || { echo "Error: Chart.yaml file is missing" >&2; exit 1; }
text() { while IFS= read -r line || [ -n "$line" ]; do printf '%s\n' "$line"; done < "$1"; }
given="release: $release"
values=
while [ $# -gt 0 ]; do
  case $1 in
    --values) values="$values
$(text "$2")"; shift 2;;
    --namespace|--kube-version|--api-versions) given="$given $1 $2"; shift 2;;
    --include-crds|--no-hooks|--skip-tests) given="$given $1"; shift;;
    --output-dir) /bin/mkdir -p "$2/shop/templates"; out=$2/shop/templates/all.yaml; shift 2;;
    *) echo "Error: unknown flag: $1" >&2; exit 1;;
  esac
done
{ echo "$given"; echo "$values"; text "$chart/templates/a.yaml"; } > "$out"
"#;

/// Installs the programs that stand in, in a directory of their own; gives a search path with it.
pub(crate) fn installed(bin: &Path) -> OsString {
    if !bin.exists() {
        std::fs::create_dir(bin).unwrap();
        for (name, text) in [("kustomize", KUSTOMIZE), ("helm", HELM)] {
            install(bin, name, text);
        }
    }
    let path = std::env::var_os("PATH").unwrap();
    let paths = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(paths).unwrap()
}

fn install(bin: &Path, name: &str, text: &str) {
    // Not written from here: a process that is forked meanwhile would keep the file open, and what is open
    // for writing cannot be executed.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(bin.join(name))
        .stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Publishes an overlay with its base, and a chart, and clones.
pub(crate) async fn sources(world: &mut World) {
    for dir in ["base", "overlay", "chart/templates"] {
        std::fs::create_dir_all(world.path("people").join(dir)).unwrap();
    }
    world.write("base/kustomization.yaml", "resources:\n- a.yaml\n");
    world.write("base/a.yaml", "kind: A\n");
    world.write("overlay/kustomization.yaml", "resources:\n- ../base\n- b.yaml\n");
    world.write("overlay/b.yaml", "kind: B\n");
    world.write("chart/Chart.yaml", "name: shop\nversion: 1.0.0\n");
    world.write("chart/templates/a.yaml", "kind: A\n");
    world.write("chart/values.yaml", "replicas: 1\n");
    world.publish("manifests");
    world.checkout().await;
}

pub(crate) fn kustomize(path: &str, to: &str) -> RenderCall {
    let (path, to) = (path.to_owned(), to.to_owned());
    RenderCall { by: Renderer::Kustomize, path, to, timeout: Duration::from_secs(60) }
}

pub(crate) fn helm(to: &str) -> RenderCall {
    let template = HelmTemplate {
        release: "shop".to_owned(),
        namespace: Some("prod".to_owned()),
        values_files: vec!["src/chart/values.yaml".to_owned()],
        values: Map::from_iter([("replicas".to_owned(), json!(3))]),
        kube_version: None,
        api_versions: vec!["v1/Thing".to_owned()],
        include_crds: true,
        hooks: false,
        tests: true,
    };
    RenderCall { by: Renderer::Helm(template), ..kustomize("src/chart", to) }
}

async fn changed(world: &World, call: &RenderCall) -> bool {
    let (outputs, _) = done(world.run(&world.task("render", Call::Render(call.clone()))).await);
    outputs["changed"].as_bool().unwrap()
}

async fn failure(world: &World, call: RenderCall) -> String {
    match world.run(&world.task("render", Call::Render(call))).await {
        StepOutcome::Failed { message, retry: false, .. } => message,
        other => panic!("{other:?}"),
    }
}

fn held(world: &World, file: &str) -> String {
    std::fs::read_to_string(world.held(file)).unwrap()
}

#[tokio::test]
async fn manifests_become_one_file_or_several() {
    let mut world = World::new().await;
    sources(&mut world).await;
    assert!(changed(&world, &kustomize("src/overlay", "src/all.yaml")).await);
    assert_eq!(held(&world, "src/all.yaml"), "kind: A\nkind: B\n");
    assert!(changed(&world, &kustomize("src/overlay", "src/out")).await);
    assert_eq!(held(&world, "src/out/all.yaml"), "kind: A\nkind: B\n");
    assert!(!world.held(".rendered").exists(), "nothing is left beside it");
    assert!(changed(&world, &helm("src/out")).await);
    insta::assert_snapshot!(held(&world, "src/out/shop/templates/all.yaml"), @r#"
    release: shop --namespace prod --api-versions v1/Thing --include-crds --no-hooks

    replicas: 1
    {"replicas":3}
    kind: A
    "#);
    world.write("all.yaml", "kind: A\nkind: B\n");
    world.publish("what is there already");
    world.checkout().await;
    assert!(!changed(&world, &kustomize("src/overlay", "src/all.yaml")).await);
}

#[tokio::test]
async fn nothing_that_is_elsewhere_is_rendered() {
    let mut world = World::new().await;
    let mut told = Vec::new();
    for (at, text) in [
        "resources:\n- https://example.com/all.yaml\n",
        "resources:\n- github.com/example/repo//base?ref=v1\n",
        "bases:\n- git@example.com:repo.git\n",
        "components:\n- ../../elsewhere\n",
        "resources:\n- ../../../../elsewhere\n",
        "resources:\n- /etc/passwd\n",
        "patches:\n- path: https://example.com/patch.yaml\n",
        "configMapGenerator:\n- name: a\n  files:\n  - a=https://example.com/a\n",
        "transformers:\n- local.yaml\n",
        "resources:\n- ../inner\n",
        "helmCharts:\n- name: redis\n  repo: https://charts.example.com\n",
        "resources: [\n",
        "transformers:\n- |-\n  kind: PatchTransformer\n  path: http://example.com/p.yaml\n",
        "generators:\n- ../configuring\n",
        "Re\u{17f}ources:\n- https://example.com/all.yaml\n",
        "<<:\n  resources:\n  - github.com/example/repo\n",
    ]
    .into_iter()
    .enumerate()
    {
        let dir = world.path("people").join(format!("k{at}"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("kustomization.yaml"), text).unwrap();
        let local = "kind: PatchTransformer\npath: http://example.com/p.yaml\n";
        std::fs::write(dir.join("local.yaml"), local).unwrap();
    }
    std::fs::create_dir(world.path("people/inner")).unwrap();
    world.write("inner/kustomization.yaml", "resources:\n- ssh://example.com/repo\n");
    std::fs::create_dir(world.path("people/configuring")).unwrap();
    world.write("configuring/kustomization.yaml", "resources:\n- two.yaml\n");
    world.write("configuring/two.yaml", "kind: A\n---\nkind: B\npath: http://example.com/p.yaml\n");
    world.publish("addresses");
    world.checkout().await;
    for at in 0..16 {
        let call = kustomize(&format!("src/k{at}"), "src/all.yaml");
        told.push(failure(&world, call).await);
    }
    told.push(failure(&world, kustomize("src/none", "src/all.yaml")).await);
    insta::assert_snapshot!(told.join("\n"), @r#"
    src/k0/kustomization.yaml: resources: "https://example.com/all.yaml" is an address, and nothing is fetched: check it out, pull or download it by a step before
    src/k1/kustomization.yaml: resources: "github.com/example/repo//base?ref=v1" is not in the working directory; nothing is fetched: check it out, pull or download it by a step before
    src/k2/kustomization.yaml: bases: "git@example.com:repo.git" is an address, and nothing is fetched: check it out, pull or download it by a step before
    src/k3/kustomization.yaml: components: "../../elsewhere" leads out of the directory that is rendered from; nothing is fetched: check it out, pull or download it by a step before
    src/k4/kustomization.yaml: resources: "../../../../elsewhere" leads out of the working directory; nothing is fetched: check it out, pull or download it by a step before
    src/k5/kustomization.yaml: resources: "/etc/passwd" leads out of the working directory; nothing is fetched: check it out, pull or download it by a step before
    src/k6/kustomization.yaml: path: "https://example.com/patch.yaml" is an address, and nothing is fetched: check it out, pull or download it by a step before
    src/k7/kustomization.yaml: files: "a=https://example.com/a" is an address, and nothing is fetched: check it out, pull or download it by a step before
    src/k8/local.yaml: path: "http://example.com/p.yaml" is an address, and nothing is fetched: check it out, pull or download it by a step before
    src/inner/kustomization.yaml: resources: "ssh://example.com/repo" is an address, and nothing is fetched: check it out, pull or download it by a step before
    src/k10/kustomization.yaml: helmCharts would be fetched; render the chart by a `helm_template` step before
    src/k11/kustomization.yaml: the text is not usable YAML at line 1, column 12: unclosed bracket '['
    src/k12/kustomization.yaml: path: "http://example.com/p.yaml" is an address, and nothing is fetched: check it out, pull or download it by a step before
    src/configuring/two.yaml: path: "http://example.com/p.yaml" is an address, and nothing is fetched: check it out, pull or download it by a step before
    src/k14/kustomization.yaml: Reſources: "https://example.com/all.yaml" is an address, and nothing is fetched: check it out, pull or download it by a step before
    src/k15/kustomization.yaml: << is not looked into: write it out
    src/none has no kustomization.yaml
    "#);
}

#[tokio::test]
async fn a_text_in_place_may_hold_addresses() {
    let mut world = World::new().await;
    sources(&mut world).await;
    let text = "resources:\n- a.yaml\nconfigMapGenerator:\n- name: a\n  literals:\n  - URL=https://example.com\npatches:\n- patch: |-\n    url: https://example.com\n";
    world.write("base/kustomization.yaml", text);
    world.publish("literals");
    world.checkout().await;
    assert!(changed(&world, &kustomize("src/overlay", "src/all.yaml")).await);
}

#[tokio::test]
async fn a_chart_with_links_is_not_rendered() {
    let mut world = World::new().await;
    sources(&mut world).await;
    symlink("../Chart.yaml", world.path("people/chart/templates/link.yaml")).unwrap();
    world.publish("a link");
    world.checkout().await;
    insta::assert_snapshot!(failure(&world, helm("src/all.yaml")).await, @"src/chart/templates/link.yaml is a symbolic link or a special file, which helm would follow: not rendered");
}

#[tokio::test]
async fn a_program_sees_nothing_of_ours_and_its_end_is_told() {
    let mut world = World::new().await;
    sources(&mut world).await;
    let (bin, none) = (world.path("other"), world.path("none"));
    std::fs::create_dir(&bin).unwrap();
    std::fs::create_dir(&none).unwrap();
    let run = async |bin: &Path, call: RenderCall| {
        let search_path = bin.as_os_str().to_owned();
        let config = EffectsConfig { search_path, ..world.config() };
        let task = world.task("render", Call::Render(call));
        let rebuild: Vec<_> =
            task.rebuild.iter().map(|(step, call)| (name(step), call.clone())).collect();
        let (cx, never) = (cx(Workdir::Main), CancellationToken::new());
        let effects = Effects::open(config).unwrap();
        effects.run(&cx, &name("render"), &task.call, &rebuild, &never).await.unwrap()
    };
    let one = || kustomize("src/overlay", "src/all.yaml");
    let told = |outcome: StepOutcome| match outcome {
        StepOutcome::Failed { message, retry, .. } => format!("{message} (retry: {retry})"),
        other => panic!("{other:?}"),
    };
    insta::assert_snapshot!(told(run(&none, one()).await), @"there is no `kustomize` and no `kubectl` on the PATH of lockstepd: install it on the daemon's host (retry: false)");
    install(&bin, "kustomize", "#!/bin/sh\necho 'Error: no matches' >&2\nexit 1\n");
    insta::assert_snapshot!(told(run(&bin, one()).await), @"`kustomize build` of src/overlay ended with exit code 1: Error: no matches (retry: false)");
    install(&bin, "kustomize", "#!/bin/sh\nwhile :; do :; done\n");
    let short = RenderCall { timeout: Duration::from_millis(200), ..one() };
    let told = told(run(&bin, short).await);
    assert!(
        told.contains("was stopped after its deadline") && told.contains("retry: true"),
        "{told}"
    );
    install(&bin, "kustomize", "#!/bin/sh\n/usr/bin/env\n");
    done(run(&bin, one()).await);
    let seen = held(&world, "src/all.yaml");
    let ours = world.folder.path().to_string_lossy().into_owned();
    let mut names: Vec<&str> = Vec::new();
    for line in seen.lines() {
        let (name, value) = line.split_once('=').unwrap();
        assert!(
            name == "PWD" || name == "_" || value.starts_with(&ours) || value.ends_with(":9"),
            "{line}"
        );
        names.push(name);
    }
    names.sort_unstable();
    insta::assert_snapshot!(names.join(" "), @"HELM_CACHE_HOME HELM_CONFIG_HOME HELM_DATA_HOME HELM_PLUGINS HOME HTTPS_PROXY HTTP_PROXY KUBECONFIG KUSTOMIZE_PLUGIN_HOME PATH PWD TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME http_proxy https_proxy");
}
