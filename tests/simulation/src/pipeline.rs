//! The definitions that a run begins with, and those that people put in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use reconciler_domain::id::{ProjectName, StepName};
use reconciler_domain::infra::InfraRules;
use reconciler_domain::policy::{Approvals, Bypass, Excluded, GateKind, Mode, Policy, RollbackOn};
use reconciler_domain::stage::{Choose, Matching, Request, Stage, VerificationUse};
use reconciler_domain::step::{Control, Step, StepKind, split_control};
use reconciler_domain::verification::{Check, PrometheusCheck, Verification};
use reconciler_domain::warehouse::{GitSource, ImageSource, Source, Warehouse};
use serde_json::{Value, json};

use crate::fate::Fate;

/// The definitions of a project.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) project: ProjectName,
    pub(crate) warehouses: Vec<Warehouse>,
    pub(crate) verification: Verification,
    pub(crate) stages: Vec<Stage>,
    /// Policies under which everything can get through.
    pub(crate) policies: Vec<Policy>,
}

impl Pipeline {
    /// A pipeline at random.
    pub(crate) fn drawn(index: usize, fate: &mut Fate) -> Self {
        let project = project_name(index);
        let shop = warehouse(&project, "shop", "api", fate.strikes(0.5));
        let mut warehouses = vec![shop];
        let shapes: &[&[&str]] = &[
            &["dev shop", "qa shop<dev", "prod shop<qa"],
            &["dev shop", "eu shop<dev", "us shop<dev", "prod shop<eu&us"],
            &["dev shop", "eu shop<dev", "us shop<dev", "prod shop<eu|us"],
            &["dev shop", "gate shop<dev", "prod shop<gate"],
            &["dev shop data", "prod shop<dev data<dev"],
            &["dev shop", "base data", "prod shop<dev data<base"],
        ];
        let shape = *fate.one_of(shapes);
        if shape.iter().any(|stage| stage.contains("data")) {
            warehouses.push(warehouse(&project, "data", "db", false));
        }
        let mut stages = Vec::new();
        let mut policies = Vec::new();
        for text in shape {
            let stage = drawn_stage(&project, text, &warehouses[0], fate);
            policies.push(sane_policy(stage.name.as_str(), fate));
            stages.push(stage);
        }
        policies.push(rollback_policy());
        let verification = verification(fate.number(1..=3));
        Self { project, warehouses, verification, stages, policies }
    }

    /// The plain pipeline of the benchmark: two warehouses, five stages each.
    pub(crate) fn plain(index: usize) -> Self {
        let project = project_name(index);
        let names = ["dev", "test", "qa", "staging", "prod"];
        let mut warehouses = Vec::new();
        let mut stages = Vec::new();
        let mut policies = vec![rollback_policy()];
        for (which, subscription) in [("shop", "api"), ("data", "db")] {
            warehouses.push(warehouse(&project, which, subscription, which == "shop"));
            for (at, name) in names.iter().enumerate() {
                let name = format!("{which}-{name}");
                let from = at.checked_sub(1).map(|before| format!("{which}-{}", names[before]));
                let request =
                    from.map_or_else(|| which.to_owned(), |from| format!("{which}<{from}"));
                let steps = match (which, at) {
                    ("shop", 2..) => ["infra", "linked"].as_slice(),
                    ("data", 4) => ["app", "hook"].as_slice(),
                    _ => ["app"].as_slice(),
                };
                stages.push(stage(&project, &name, &request, steps, subscription, at >= 2));
                let mut policy = open_policy(&name);
                policy.mode = if at == 0 { Mode::Automatic } else { Mode::Gated };
                policy.soak = (at > 0).then(|| Duration::from_secs(600));
                policies.push(policy);
            }
        }
        Self { project, warehouses, verification: verification(2), stages, policies }
    }
}

fn project_name(index: usize) -> ProjectName {
    format!("p{index}").parse().expect("a project's name")
}

/// The repository that stages write to.
pub(crate) fn gitops(project: &ProjectName) -> String {
    format!("https://git.example/{project}/gitops")
}

/// The repository of infra modules.
pub(crate) fn infra(project: &ProjectName) -> String {
    format!("https://git.example/{project}/infra")
}

fn warehouse(project: &ProjectName, name: &str, image: &str, with_module: bool) -> Warehouse {
    let image_source = Source::Image(ImageSource {
        repo: format!("registry.example/{project}/{image}"),
        constraint: None,
        strict_semver: true,
        allow_tags: Vec::new(),
        ignore_tags: Vec::new(),
        platform: None,
        insecure: false,
        discovery_limit: 5,
    });
    let mut subscriptions =
        IndexMap::from([(image.parse().expect("a subscription"), image_source)]);
    if with_module {
        let module = Source::Git(GitSource {
            repo: infra(project),
            branch: "main".to_owned(),
            include_paths: Vec::new(),
            exclude_paths: Vec::new(),
            discovery_limit: 5,
        });
        subscriptions.insert("module".parse().expect("a subscription"), module);
    }
    Warehouse {
        name: name.parse().expect("a warehouse"),
        interval: Duration::from_secs(600),
        subscriptions,
        require: None,
        deletion_protection: false,
    }
}

fn verification(count: u64) -> Verification {
    let check = Check::Prometheus(PrometheusCheck {
        address: "http://prometheus.example".to_owned(),
        query: "errors of {{ stage.name }} {{ args.version }}".to_owned(),
        timeout: Duration::from_secs(10),
        success: "result.value < 1.0".to_owned(),
    });
    Verification {
        name: "errors".parse().expect("a verification"),
        description: String::new(),
        initial_delay: Duration::from_secs(5),
        interval: Duration::from_secs(30),
        count: u32::try_from(count).unwrap_or(1),
        failure_limit: 0,
        deadline: Duration::from_secs(600),
        checks: IndexMap::from([("rate".to_owned(), check)]),
    }
}

fn drawn_stage(project: &ProjectName, text: &str, first: &Warehouse, fate: &mut Fate) -> Stage {
    let (name, requests) = text.split_once(' ').expect("a stage has a request");
    if name == "gate" {
        return stage(project, name, requests, &[], "api", false);
    }
    let has_module = first.subscriptions.len() > 1;
    let presets: &[&[&str]] = if requests.starts_with("data") || !has_module {
        &[
            &["app"],
            &["app"],
            &["app", "hook"],
            &["once", "app"],
            &["fan", "app"],
            &["noted", "app"],
            &["asked", "hook"],
        ]
    } else {
        &[
            &["app"],
            &["infra", "app"],
            &["infra", "linked"],
            &["app", "hook"],
            &["once", "infra"],
            &["infra", "fan"],
            &["noted", "infra", "asked", "app"],
        ]
    };
    let preset = *fate.one_of(presets);
    let subscription = if requests.starts_with("data") { "db" } else { "api" };
    let verified = fate.strikes(0.6);
    let mut stage = stage(project, name, requests, preset, subscription, verified);
    stage.choose =
        *fate.one_of(&[Choose::Latest, Choose::Latest, Choose::Queue, Choose::MatchUpstream]);
    stage
}

/// A stage from `shop<a|b data`.
fn stage(
    project: &ProjectName,
    name: &str,
    requests: &str,
    presets: &[&str],
    subscription: &str,
    verified: bool,
) -> Stage {
    let requests: Vec<Request> = requests.split_whitespace().map(request).collect();
    let artifact = match requests.as_slice() {
        [_] => format!("freight.{subscription}"),
        [..] => format!("freight_from('{}').{subscription}", requests[0].warehouse),
    };
    let version = format!("{{{{ {artifact}.tag }}}}");
    let steps = presets.iter().flat_map(|preset| steps(project, preset, &version, requests.len()));
    let arguments = BTreeMap::from([("version".to_owned(), version.clone())]);
    let used = VerificationUse {
        name: "errors".to_owned(),
        template: "errors".parse().expect("a verification"),
        args: arguments,
    };
    Stage {
        name: name.parse().expect("a stage"),
        labels: BTreeMap::new(),
        vars: BTreeMap::from([("note".to_owned(), "none".to_owned())]),
        settable_vars: [].into(),
        steps: steps.collect(),
        verifications: if verified && !presets.is_empty() { vec![used] } else { Vec::new() },
        choose: Choose::Latest,
        requests,
        deletion_protection: false,
        drift: None,
    }
}

fn request(word: &str) -> Request {
    let (warehouse, from) = word.split_once('<').unwrap_or((word, ""));
    let matching = if from.contains('&') { Matching::All } else { Matching::Any };
    let from = from.split(['|', '&']).filter(|name| !name.is_empty());
    Request {
        warehouse: warehouse.parse().expect("a warehouse"),
        direct: !word.contains('<'),
        from: from.map(|name| name.parse().expect("a stage")).collect(),
        matching,
    }
}

fn steps(project: &ProjectName, preset: &str, version: &str, requests: usize) -> Vec<Step> {
    let app = |updates: Value| {
        json!([
            ["clone", "git_clone", { "repo": gitops(project), "checkout": { "gitops": { "branch": "main" } } }],
            ["set", "yaml_update", { "path": "gitops/{{ stage.name }}.yaml", "updates": updates }],
            ["commit", "git_commit", { "dir": "gitops", "message": "{{ promotion.id }}" }],
            ["push", "git_push", { "dir": "gitops" }],
        ])
    };
    let module = if requests == 1 { "freight" } else { "freight_from('shop')" };
    let parts = match preset {
        "app" => app(json!({ "tag": version, "note": "{{ vars.note }}" })),
        "linked" => app(json!({ "tag": version, "url": "{{ steps.out.url }}" })),
        "infra" => json!([
            ["src", "git_clone", { "repo": infra(project), "checkout": { "infra": { "commit": format!("{{{{ {module}.module.commit }}}}") } } }],
            ["plan", "tf_plan", { "dir": "infra", "vars": { "version": version } }],
            ["apply", "tf_apply", { "plan": "plan" }],
            ["out", "tf_output", { "dir": "infra" }],
        ]),
        "hook" | "once" => {
            let delivery = if preset == "once" { "at_most_once" } else { "at_least_once" };
            json!([["call", "http", {
                "url": "https://hook.example/{{ stage.name }}", "method": "POST",
                "delivery": delivery, "body": { "tag": version },
            }]])
        }
        "fan" => {
            let call = |name: &str, delivery: &str| {
                json!([name, "http", {
                    "url": format!("https://hook.example/{{{{ stage.name }}}}/{name}"),
                    "method": "POST", "delivery": delivery, "body": { "tag": version },
                    "control": { "parallel": "fan" },
                }])
            };
            json!([
                call("east", "at_least_once"),
                call("once", "at_most_once"),
                call("west", "at_least_once"),
            ])
        }
        "noted" => json!([
            ["note", "set_metadata", { "stage": { "tag": version }, "freight": { "seen": "{{ stage.name }}" } }],
            ["name", "set_alias", { "alias": "stable" }],
        ]),
        "asked" => json!([
            ["pause", "wait", { "duration": "20s" }],
            ["ok", "wait_for_approval", { "message": "go on?", "groups": { "sre": 1 }, "timeout": "30m" }],
            ["size", "get_input", {
                "message": "how many?", "timeout": "30m", "at_timeout": "continue",
                "schema": { "properties": { "count": { "type": "integer", "default": 1 } } },
            }],
        ]),
        other => unreachable!("no preset {other}"),
    };
    let parts = parts.as_array().expect("a list of steps").clone();
    parts.iter().map(step).collect()
}

fn step(step: &Value) -> Step {
    let name = step[0].as_str().and_then(|name| name.parse::<StepName>().ok());
    let uses = step[1].as_str().and_then(StepKind::from_name).expect("a kind of step");
    let (config, control) = split_control(&step[2]);
    let control = control.map(|control| Control::read(&control).expect("a control"));
    let step = Step::new(name.expect("a step's name"), uses, config);
    Step { control: control.unwrap_or_default(), ..step }
}

// Policies.

fn open_policy(stage: &str) -> Policy {
    let name = format!("of-{stage}").parse().expect("a policy");
    let settle = Some(Duration::from_secs(10));
    Policy { settle, ..Policy::new(name, Mode::Automatic, vec![stage.to_owned()]) }
}

fn rollback_policy() -> Policy {
    Policy {
        name: "undo".parse().expect("a policy"),
        stages: vec!["*".to_owned()],
        rollback: [RollbackOn::PromotionFailed, RollbackOn::VerificationFailed].into(),
        ..open_policy("all")
    }
}

/// A policy under which freight gets through, if people do their part.
fn sane_policy(stage: &str, fate: &mut Fate) -> Policy {
    let mut policy = open_policy(stage);
    policy.max_wait = fate.strikes(0.5).then(|| fate.millis(7_200_000..=43_200_000));
    if fate.strikes(0.4) {
        return policy;
    }
    policy.mode = if fate.strikes(0.2) { Mode::Manual } else { Mode::Gated };
    policy.soak = fate.strikes(0.4).then(|| fate.millis(60_000..=1_800_000));
    if fate.strikes(0.5) {
        let count = u32::try_from(fate.number(1..=2)).unwrap_or(1);
        let exclude = [Excluded::Requester].into();
        policy.approvals.push(Approvals { group: "sre".to_owned(), count, exclude });
    }
    policy.bypass.push(Bypass {
        name: "oncall".to_owned(),
        groups: ["oncall".to_owned()].into(),
        gates: [GateKind::Soak, GateKind::Approvals, GateKind::Upstream].into(),
        expires: None,
    });
    policy
}

/// A policy that somebody puts in place of another, sensible or not.
pub(crate) fn edited(policy: &Policy, fate: &mut Fate) -> Policy {
    let mut edited = policy.clone();
    match fate.number(0..=6) {
        0 => edited.mode = Mode::Manual,
        1 => {
            edited.mode = Mode::Gated;
            let rules = InfraRules { max_changes: Some(0), ..InfraRules::default() };
            edited.infra = Some(rules);
        }
        2 => {
            edited.mode = Mode::Gated;
            edited.soak = Some(fate.millis(1000..=3_600_000));
        }
        3 => {
            edited.mode = Mode::Gated;
            let exclude = [Excluded::Requester].into();
            edited.approvals = vec![Approvals { group: "sre".to_owned(), count: 1, exclude }];
        }
        4 => edited.rollback = BTreeSet::new(),
        5 => edited.max_wait = Some(fate.millis(30_000..=1_800_000)),
        _ => edited.settle = Some(fate.millis(0..=120_000)),
    }
    edited
}
