//! The language of scenarios. One line is one definition or one thing that happens; `+1h` lets time
//! pass. After each line the world does whatever it can.
//!
//! ```text
//! warehouse shop api db              # image subscriptions; `require EXPRESSION` at the end
//! stage prod shop<dev|qa: app        # straight from shop, or from one of dev and qa (`&`: all, `<2/a|b|c`: two)
//! policy gate prod gated soak=1h approve=sre:2:requester
//! verification errors count=2
//! found shop api 1.1.0               # a new version at the source; several in one moment: `and data db 1.1.0`
//! promote prod f1 by ann bypass soak as oncall   # several as one unit: f1+f2
//! rehearse prod f1 by ann            # shows what it would do
//! hold cve api >=1.1.0 until 1h      # or: stage prod, freight f1
//! freeze audit until 1h about promote but dev but =ann   # or: but @GROUP; `unfreeze audit`
//! freeze audit reach instance but /lab                   # `unfreeze instance audit`
//! answer prod.1 ask by ann in sre yes  # or no, or values as JSON
//! ensured prod f1                    # prints whether it is there or on its way
//! meddle prod x.size=2               # others write the state before the next apply; `meddle not`: not yet
//! drift prod deleted x.size           # what a look at the infra of a `watched` stage finds; or lost, computed, clean, unknown; or slowly clean
//! changed dev x.size                  # somebody changes it outside: the next plan of the state finds that
//! unreachable it is down             # nothing that a change set was made against can be looked at
//! sleep 1h                           # time passes, and nobody looks
//! says change pass                    # what those say whom `ticket=change` or `attest=scan` of a policy asks
//! until prod.1                       # prints until when it waits at most
//! why prod                           # prints why nothing moves
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::artifact::{Artifact, ImageVersion};
use reconciler_domain::drift::Watch;
use reconciler_domain::duration;
use reconciler_domain::freeze::Reach;
use reconciler_domain::hold::{ArtifactMatch, Hold, Target};
use reconciler_domain::id::{FreightId, PromotionId, StageName, StepName};
use reconciler_domain::infra::{AddressGlob, InfraRules, PlanRule};
use reconciler_domain::inquiry::{Attestation, Origin, Ticket, WebRequest};
use reconciler_domain::plan::{self, RequestFacts};
use reconciler_domain::policy::{
    Across, Approvals, Bypass, Condition, Excluded, GateKind, Mode, Most, Policy, Rate, RollbackOn,
};
use reconciler_domain::promotion::{Approval, BypassRequest};
use reconciler_domain::stage::{Choose, Matching, Request, Stage, VerificationUse};
use reconciler_domain::step::{Answer, Control, Said, Step, StepKind, split_control};
use reconciler_domain::verification::{Check, Measured, PrometheusCheck, Verification};
use reconciler_domain::warehouse::{ImageSource, Source, Warehouse};
use reconciler_domain::window::{Action, Window, WindowKind, WindowSpec};
use serde_json::{Value, json};

use super::freeze::freeze;
use super::world::{Crash, World};

/// Plays a script in a new world and gives its story.
pub(crate) fn run(script: &str) -> String {
    let mut world = World::new();
    play(&mut world, script).expect("nothing crashes");
    world.story.join("\n")
}

/// Plays a script.
pub(crate) fn play(world: &mut World, script: &str) -> Result<(), Crash> {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        line_of(world, line)?;
    }
    Ok(())
}

pub(crate) fn line_of(world: &mut World, line: &str) -> Result<(), Crash> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let Some(time) = line.strip_prefix('+') {
        world.story.push(format!("-- {line}"));
        let until = world.now + duration::parse(time).expect("a duration");
        return world.wait_until(until);
    }
    match words.as_slice() {
        ["warehouse", name, rest @ ..] => warehouse(world, name, rest),
        ["stage", rest @ ..] => stage(world, &rest.join(" ")),
        ["policy", name, stages, mode, rest @ ..] => {
            world.set_policy(policy(name, stages, mode, rest));
        }
        ["drop", "policy", name] => world.drop_policy(name),
        ["drop", "stage", name] => {
            world.definitions.stages.remove(*name);
        }
        ["verification", name, rest @ ..] => verification(world, name, rest),
        ["found", warehouse, subscription, version] => {
            found(world, warehouse, subscription, version);
        }
        ["found", warehouse, subscription, version, "and", rest @ ..] => {
            found(world, warehouse, subscription, version);
            return line_of(world, &format!("found {}", rest.join(" ")));
        }
        ["promote", stage, freight, "by", who, rest @ ..] => {
            let (stage, freight) = (stage_name(stage), freight_ids(world, freight));
            match rest {
                ["set", vars @ ..] => {
                    let pairs = vars.iter().filter_map(|var| var.split_once('='));
                    let vars = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
                    world.request(&stage, &freight, who, None, vars.collect());
                }
                rest => world.request(&stage, &freight, who, bypass_of(rest), [].into()),
            }
        }
        ["rehearse", stage, freight, "by", who] => {
            let freight = freight_ids(world, freight);
            world.rehearse(&stage_name(stage), &freight, who);
        }
        ["rollback", stage, "by", who] => world.roll_back(&stage_name(stage), who),
        ["approve", id, "by", who, "in", groups, rest @ ..] => {
            approve(world, id, who, groups, rest.first().copied());
        }
        ["answer", id, step, "by", who, "in", groups, said @ ..] => {
            answer(world, &promotion_id(id), step, who, groups, &said.join(" "));
        }
        ["ensured", stage, freight] => {
            let freight = freight_ids(world, freight);
            let stage = world.stage_snapshot(&stage_name(stage));
            let vars = [].into();
            let (freight, along, bypass) = (&freight[0], &freight[1..], None);
            let (stage, vars) = (&stage, &vars);
            let facts = RequestFacts { stage, freight, along, requester: "ann", vars, bypass };
            world.tell(format!("  = {:?}", plan::ensured(&facts)));
        }
        ["hold", name, rest @ ..] => {
            let hold = hold(world, name, rest);
            world.put_hold(hold);
        }
        ["lift", "stage", stage] => {
            world.automatic_holds.remove(&stage_name(stage));
        }
        ["freeze", name, rest @ ..] => {
            let freeze = freeze(world, name, rest);
            world.put_freeze(freeze);
        }
        ["unfreeze", "instance", name] => world.end_freeze(Reach::Instance, name),
        ["unfreeze", name] => world.end_freeze(Reach::Project, name),
        ["lift", name] => world.holds.retain(|hold| hold.spec.name.as_str() != *name),
        ["reverify", id, "by", who] => world.reverify(&promotion_id(id), who),
        ["abort", id, "by", who] => world.abort(&promotion_id(id), who),
        ["open", stage, freight] => {
            let (now, freight) = (world.now, freight_id(world, freight));
            world.facts_mut(&freight).approved_for.insert(stage_name(stage), now);
        }
        ["push", repo, rest @ ..] => {
            let values: Vec<(String, String)> =
                rest.iter().filter_map(|v| v.split_once('=')).map(pair).collect();
            world.outside.push(repo, &values);
        }
        ["image", name, digest] => {
            world.outside.registry.insert((*name).to_owned(), (*digest).to_owned());
        }
        ["keep", "images"] => world.outside.nothing_removed = true,
        ["state", name, rest @ ..] => {
            let state = world.outside.states.entry((*name).to_owned()).or_default();
            state.serial += 1;
            state.resources.extend(rest.iter().filter_map(|v| v.split_once('=')).map(pair));
        }
        ["drift", stage, what @ ..] => super::drift::looked(world, &stage_name(stage), what),
        // Time passes, and nobody looks.
        ["sleep", time] => {
            world.now += duration::parse(time).expect("a duration");
            return Ok(());
        }
        ["says", name, "nothing"] => {
            world.sayings.remove(*name);
        }
        ["says", name, what] => {
            let what = serde_json::from_value(json!(what)).expect("pass, fail or unknown");
            world.sayings.insert((*name).to_owned(), what);
        }
        ["changed", state, address] => {
            let drifted = ((*state).to_owned(), (*address).to_owned());
            world.outside.drifted.push(drifted);
        }
        ["meddle", "not"] => world.outside.meddling.push_back(None),
        ["meddle", name, rest @ ..] => {
            let values = rest.iter().filter_map(|v| v.split_once('=')).map(pair).collect();
            world.outside.meddling.push_back(Some(((*name).to_owned(), values)));
        }
        ["fail", node, rest @ ..] => {
            let times = rest.first().map_or(1, |times| times.parse().expect("a number"));
            world.outside.failures.insert((*node).to_owned(), (times, rest.contains(&"retry")));
        }
        ["late", node, times, rest @ ..] => {
            let times = times.parse().expect("a number");
            world.outside.late.insert((*node).to_owned(), (times, rest.contains(&"retry")));
        }
        ["lost", node, times, rest @ ..] => {
            let times = times.parse().expect("a number");
            let arrives = !rest.contains(&"before");
            world.outside.lost.insert((*node).to_owned(), (times, arrives));
        }
        ["hang", node, "until", who] => {
            world.outside.hanging.insert((*node).to_owned(), (1, Some((*who).to_owned())));
        }
        ["hang", node, times] => {
            let times = times.parse().expect("a number");
            world.outside.hanging.insert((*node).to_owned(), (times, None));
        }
        ["measure", check, rest @ ..] => {
            let measured = rest.iter().map(|word| measured(word)).collect();
            world.outside.measures.insert((*check).to_owned(), measured);
        }
        ["unreachable", why @ ..] => world.outside.unreachable = Some(why.join(" ")),
        ["unknown", "url"] => world.outside.url_unknown_at_plan = true,
        ["dependent", address, "of", other] => {
            world.outside.dependents.insert((*address).to_owned(), (*other).to_owned());
        }
        ["why", stage] => return why(world, &stage_name(stage)),
        ["until", id] => until(world, &promotion_id(id)),
        ["gates", id] => return gates(world, &promotion_id(id)),
        ["undo-plan", id] => undo_plan(world, &promotion_id(id)),
        ["outside"] => {
            let lines = world.outside.describe();
            world.story.extend(lines.into_iter().map(|line| format!("  | {line}")));
        }
        other => panic!("unknown line {other:?}"),
    }
    world.settle().map(drop)
}

fn pair((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn measured(word: &str) -> Measured {
    match word {
        "pass" => Measured::Pass,
        "fail" => Measured::Fail,
        "unknown" => Measured::Unknown,
        other => panic!("unknown measurement {other}"),
    }
}

pub(crate) fn stage_name(name: &str) -> StageName {
    name.parse().expect("a stage")
}

pub(crate) fn promotion_id(id: &str) -> PromotionId {
    id.parse().expect("a promotion")
}

pub(crate) fn freight_ids(world: &World, names: &str) -> Vec<FreightId> {
    names.split('+').map(|name| freight_id(world, name)).collect()
}

fn freight_id(world: &World, name: &str) -> FreightId {
    let sequence: i64 = name.strip_prefix('f').expect("f1, f2, …").parse().expect("a number");
    let found = world.freight.iter().find(|facts| facts.freight.sequence == sequence);
    found.unwrap_or_else(|| panic!("there is no {name}")).freight.id.clone()
}

// Definitions.

fn warehouse(world: &mut World, name: &str, rest: &[&str]) {
    let at = rest.iter().position(|word| *word == "require").unwrap_or(rest.len());
    let source = |subscription: &&str| {
        let source = Source::Image(ImageSource {
            repo: format!("registry.example/{subscription}"),
            constraint: None,
            strict_semver: true,
            allow_tags: Vec::new(),
            ignore_tags: Vec::new(),
            platform: None,
            insecure: false,
            discovery_limit: 20,
        });
        (subscription.parse().expect("a subscription"), source)
    };
    let warehouse = Warehouse {
        name: name.parse().expect("a warehouse"),
        interval: Duration::from_secs(10 * 365 * 24 * 3600),
        subscriptions: rest[..at].iter().map(source).collect(),
        require: (at < rest.len()).then(|| rest[at + 1..].join(" ")),
        deletion_protection: false,
    };
    let warehouse = world.defined(warehouse, None);
    world.definitions.warehouses.insert(warehouse.spec.name.clone(), warehouse);
}

fn found(world: &mut World, warehouse: &str, subscription: &str, version: &str) {
    let repo = format!("registry.example/{subscription}");
    let artifact = Artifact::Image(ImageVersion {
        repo,
        tag: version.to_owned(),
        digest: format!("sha256:{version}"),
        created_at: None,
    });
    let now = world.now;
    let of_warehouse = world.discovered.entry(warehouse.parse().expect("a warehouse")).or_default();
    let found = of_warehouse.entry(subscription.parse().expect("a subscription")).or_default();
    found.versions.insert(0, artifact);
    found.newest_seen_at = Some(now);
    found.looked_at = Some(now);
}

/// `prod shop<a|b data: app verify=errors queue`.
fn stage(world: &mut World, text: &str) {
    let (head, tail) = text.split_once(':').unwrap_or((text, ""));
    let mut head = head.split_whitespace();
    let name = stage_name(head.next().expect("a stage has a name"));
    let mut stage = Stage {
        name: name.clone(),
        labels: BTreeMap::new(),
        vars: BTreeMap::new(),
        settable_vars: [].into(),
        requests: head.map(request).collect(),
        steps: Vec::new(),
        verifications: Vec::new(),
        choose: Choose::Latest,
        deletion_protection: false,
        drift: None,
    };
    for word in tail.split_whitespace() {
        match word.split_once('=') {
            Some(("verify", template)) => stage.verifications.push(VerificationUse {
                name: template.to_owned(),
                template: template.parse().expect("a verification"),
                args: BTreeMap::new(),
            }),
            Some(("settable", var)) => stage.settable_vars.push(var.to_owned()),
            Some((var, value)) => {
                stage.vars.insert(var.to_owned(), value.to_owned());
            }
            None => match word {
                "watched" => stage.drift = Some(Watch { every: Duration::from_secs(3600) }),
                "queue" => stage.choose = Choose::Queue,
                "match_upstream" => stage.choose = Choose::MatchUpstream,
                preset => stage.steps.extend(steps(preset)),
            },
        }
    }
    set_stage(world, stage);
}

pub(crate) fn set_stage(world: &mut World, stage: Stage) {
    let before = world.definitions.stages.get(&stage.name).map(|stage| stage.generation);
    let stage = world.defined(stage, before);
    world.definitions.stages.insert(stage.spec.name.clone(), stage);
}

fn request(word: &str) -> Request {
    let (warehouse, from) = word.split_once('<').unwrap_or((word, ""));
    let (matching, from) = match from.split_once('/') {
        Some((count, from)) => (Matching::AtLeast(count.parse().expect("a number")), from),
        None if from.contains('&') => (Matching::All, from),
        None => (Matching::Any, from),
    };
    let from = from.split(['|', '&']).filter(|name| !name.is_empty());
    Request {
        warehouse: warehouse.parse().expect("a warehouse"),
        direct: !word.contains('<'),
        from: from.map(stage_name).collect(),
        matching,
    }
}

/// Prints until when a promotion waits at most, and when it is looked at again.
fn until(world: &mut World, id: &PromotionId) {
    let next = plan::promotion(&world.promotion_snapshot(id), world.now);
    let tell = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let (most, again) = (tell(next.waits_until), tell(next.wake_at));
    world.tell(format!("  ! waits until {most}, looked at again {again}"));
}

/// Well-known steps.
pub(crate) fn steps(preset: &str) -> Vec<Step> {
    let gitops = |updates: Value| {
        json!([
            ["clone", "git_clone", { "repo": "https://git.example/gitops", "checkout": { "gitops": { "branch": "main" } } }],
            ["set", "yaml_update", { "path": "gitops/{{ stage.name }}.yaml", "updates": updates }],
            ["commit", "git_commit", { "dir": "gitops", "message": "Promote {{ promotion.id }}" }],
            ["push", "git_push", { "dir": "gitops" }],
        ])
    };
    let tag = "{{ freight.api.tag }}";
    let infra = json!([
        ["src", "git_clone", { "repo": "https://git.example/infra", "checkout": { "infra": { "branch": "main" } } }],
        ["plan", "tf_plan", { "dir": "infra", "state": "{{ stage.name }}", "vars": { "version": tag } }],
        ["apply", "tf_apply", { "plan": "plan" }],
    ]);
    let out = json!([["out", "tf_output", { "dir": "infra" }]]);
    let hook = |delivery: &str| {
        json!([["call", "http", {
            "url": "https://hook.example/{{ stage.name }}", "method": "POST",
            "delivery": delivery, "body": { "tag": tag }, "outputs": { "ticket": "response.json.id" },
        }]])
    };
    let program = |delivery: &str| {
        json!([["program", "run_effect", {
            "command": ["migrate", tag], "undo": ["migrate", "--back"], "delivery": delivery,
        }]])
    };
    let asked = json!([
        ["pause", "wait", { "duration": "30s" }],
        ["ok", "wait_for_approval", { "message": "go on?", "groups": { "sre": 1 }, "timeout": "1h" }],
        ["size", "get_input", {
            "message": "how many?", "timeout": "1h",
            "schema": { "properties": { "replicas": { "type": "integer" } }, "required": ["replicas"] },
        }],
    ]);
    let noted = json!([
        ["note", "set_metadata", { "stage": { "tag": tag }, "freight": { "seen": true } }],
        ["name", "set_alias", { "alias": "stable" }],
        ["tell", "audit_event", { "message": "{{ freight.api.tag }} is next" }],
    ]);
    let parts = match preset {
        "asked" => vec![asked],
        "noted" => vec![noted],
        "program" => vec![program("at_least_once")],
        "program-once" => vec![program("at_most_once")],
        "app" => vec![gitops(json!({ "tag": tag }))],
        "sized" => vec![gitops(json!({ "tag": tag, "size": "{{ vars.size }}" }))],
        "pair" => vec![gitops(json!({
            "api": "{{ freight_from('shop').api.tag }}", "db": "{{ freight_from('data').db.tag }}",
        }))],
        "infra" => vec![infra],
        "both" => vec![infra, gitops(json!({ "tag": tag }))],
        "linked" => vec![infra, out, gitops(json!({ "tag": tag, "url": "{{ steps.out.url }}" }))],
        "hook" => vec![hook("at_least_once")],
        "once" => vec![hook("at_most_once")],
        "confirmed" => {
            let mut hook = hook("at_most_once");
            hook[0][2]["confirm"] = json!({
                "url": "https://hook.example/seen/{{ stage.name }}",
                "failure": "response.status == 404",
            });
            vec![hook]
        }
        "ticket" => {
            vec![hook("at_least_once"), gitops(json!({ "ticket": "{{ steps.call.ticket }}" }))]
        }
        other => panic!("unknown steps {other}"),
    };
    parts.iter().flat_map(steps_of).collect()
}

/// Steps from `[[name, uses, config], …]`.
pub(crate) fn steps_of(steps: &Value) -> Vec<Step> {
    let step = |step: &Value| {
        let name = step[0].as_str().and_then(|name| name.parse::<StepName>().ok());
        let uses = step[1].as_str().and_then(StepKind::from_name).expect("a kind of step");
        let (config, control) = split_control(&step[2]);
        let control = control.map(|control| Control::read(&control).expect("a control"));
        Step {
            control: control.unwrap_or_default(),
            ..Step::new(name.expect("a step name"), uses, config)
        }
    };
    steps.as_array().expect("a list of steps").iter().map(step).collect()
}

/// A policy of the words `soak=1h soak_in=qa:2h settle=30s max_age=1d max_wait=7d max_undo_wait=1h when=CEL allow=RULE/DURATION[/ACTION…]
/// deny=… rate=COUNT/PER|cooldown/TIME|concurrent/COUNT[/policy] approve=GROUP:COUNT[:EXCLUDED+…]
/// forbid=delete protect=GLOB max=3 rollback bypass=GROUP:GATE+…`.
pub(crate) fn policy(name: &str, stages: &str, mode: &str, rest: &[&str]) -> Policy {
    let mode = match mode {
        "automatic" => Mode::Automatic,
        "gated" => Mode::Gated,
        "manual" => Mode::Manual,
        other => panic!("unknown mode {other}"),
    };
    let stages = stages.split(',').map(str::to_owned).collect();
    let mut policy = Policy::new(name.parse().expect("a policy"), mode, stages);
    policy.settle = Some(Duration::ZERO);
    for word in rest {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "soak" => policy.soak = Some(duration::parse(value).expect("a duration")),
            "soak_in" => {
                let (stage, soak) = value.split_once(':').expect("a stage and a duration");
                let soak = duration::parse(soak).expect("a duration");
                policy.soak_in.insert(stage_name(stage), soak);
            }
            "settle" => policy.settle = Some(duration::parse(value).expect("a duration")),
            "max_age" => policy.max_age = Some(duration::parse(value).expect("a duration")),
            "max_wait" => policy.max_wait = Some(duration::parse(value).expect("a duration")),
            "max_undo_wait" => {
                policy.max_undo_wait = Some(duration::parse(value).expect("a duration"));
            }
            "when" => policy.conditions.push(condition(value)),
            "allow" => policy.windows.push(window(WindowKind::Allow, value)),
            "deny" => policy.windows.push(window(WindowKind::Deny, value)),
            "rate" => policy.rates.push(rate(value)),
            "ticket" => policy.tickets.push(ticket(value)),
            "attest" => policy.attestations.push(attestation(value)),
            "approve" => policy.approvals.push(approvals(value)),
            "rollback" => {
                policy.rollback =
                    BTreeSet::from([RollbackOn::PromotionFailed, RollbackOn::VerificationFailed]);
            }
            "bypass" => policy.bypass.push(bypass(value)),
            "forbid" | "protect" | "max" | "deletes" | "cost" | "rule" | "drift" => {
                rule(policy.infra.get_or_insert_default(), key, value);
            }
            other => panic!("unknown word {other} of a policy"),
        }
    }
    policy
}

/// `NAME` or `NAME:EVERY`.
fn paced(value: &str) -> (String, Duration) {
    let (name, every) = value.split_once(':').unwrap_or((value, "1m"));
    (name.to_owned(), duration::parse(every).expect("a duration"))
}

fn ticket(value: &str) -> Ticket {
    let (name, every) = paced(value);
    let request = WebRequest {
        url: "https://tickets.example.com/{{ vars.ticket }}?for={{ promotion.id }}".to_owned(),
        method: "GET".to_owned(),
        headers: BTreeMap::new(),
        body: None,
        timeout: Duration::from_secs(10),
    };
    let success = "response.json.approved".parse().expect("an expression");
    Ticket { name, request, success, failure: None, every }
}

fn attestation(value: &str) -> Attestation {
    let (name, every) = paced(value);
    let origin = Origin::Referrer {
        artifact: "api".parse().expect("a name"),
        kind: "https://example.com/scan".to_owned(),
        key: None,
        timeout: Duration::from_secs(10),
    };
    let success = "payload.critical == 0".parse().expect("an expression");
    Attestation { name, origin, success, every }
}

fn condition(value: &str) -> Condition {
    let when = value.parse().expect("an expression");
    Condition { name: "condition".to_owned(), when }
}

/// `RULE/DURATION[/ACTION|@GROUP|-GROUP…]`, in UTC; `-`: exempt.
fn window(kind: WindowKind, value: &str) -> Window {
    let mut parts = value.split('/');
    let rule = parts.next().expect("a rule").parse().expect("a rule");
    let duration = duration::parse(parts.next().expect("a duration")).expect("a duration");
    let (mut actions, mut groups, mut exempt) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for part in parts {
        match (part, part.split_at(1)) {
            ("promote", _) => drop(actions.insert(Action::Promote)),
            ("rollback", _) => drop(actions.insert(Action::Rollback)),
            ("bypass", _) => drop(actions.insert(Action::Bypass)),
            (_, ("@", group)) => drop(groups.insert(group.to_owned())),
            (_, ("-", group)) => drop(exempt.insert(group.to_owned())),
            (other, _) => panic!("unknown action {other}"),
        }
    }
    if actions.is_empty() {
        actions.insert(Action::Promote);
    }
    let name = match kind {
        WindowKind::Allow => "open",
        WindowKind::Deny => "shut",
    };
    Window::new(WindowSpec {
        name: name.to_owned(),
        kind,
        rule,
        start: None,
        duration,
        timezone: "UTC".parse().expect("a zone"),
        actions,
        groups,
        exempt,
    })
    .expect("a window")
}

fn rate(value: &str) -> Rate {
    let parts: Vec<&str> = value.split('/').collect();
    let across = if parts.last() == Some(&"policy") { Across::Policy } else { Across::Stage };
    let mut rate =
        Rate { name: parts[0].to_owned(), most: None, cooldown: None, concurrent: None, across };
    let time = || duration::parse(parts[1]).expect("a duration");
    match parts[0] {
        "cooldown" => rate.cooldown = Some(time()),
        "concurrent" => rate.concurrent = Some(parts[1].parse().expect("a number")),
        count => rate.most = Some(Most { count: count.parse().expect("a number"), per: time() }),
    }
    rate
}

fn rule(rules: &mut InfraRules, key: &str, value: &str) {
    match key {
        "forbid" => {
            let actions: Vec<&str> = value.split('+').collect();
            rules.forbid = serde_json::from_value(json!(actions)).expect("actions");
        }
        "protect" => rules.protect.push(value.parse::<AddressGlob>().expect("a glob")),
        "max" => rules.max_changes = Some(value.parse().expect("a number")),
        "cost" => rules.max_monthly_cost = Some(value.parse().expect("a number")),
        "deletes" => rules.max_deletes = Some(value.parse().expect("a number")),
        "rule" => {
            let when = value.parse().expect("an expression");
            let name = format!("r{}", rules.rules.len() + 1);
            rules.rules.push(PlanRule { name, when, message: None });
        }
        "drift" => rules.on_drift = serde_json::from_value(json!(value)).expect("a word"),
        other => panic!("unknown rule {other}"),
    }
}

fn approvals(value: &str) -> Approvals {
    let mut parts = value.split(':');
    let group = parts.next().expect("a group").to_owned();
    let count = parts.next().map_or(1, |count| count.parse().expect("a count"));
    let exclude = parts.next().into_iter().flat_map(|names| names.split('+'));
    let exclude = exclude.map(|name| match name {
        "requester" => Excluded::Requester,
        "commit_author" => Excluded::CommitAuthor,
        "policy_author" => Excluded::PolicyAuthor,
        other => panic!("unknown exclusion {other}"),
    });
    Approvals { group, count, exclude: exclude.collect() }
}

fn gate_kinds(names: &str, separator: char) -> BTreeSet<GateKind> {
    names.split(separator).map(|name| GateKind::bypassable(name).expect("a gate")).collect()
}

fn bypass(value: &str) -> Bypass {
    let (group, gates) = value.split_once(':').expect("GROUP:GATE");
    let groups = BTreeSet::from([group.to_owned()]);
    let (gates, expires) = gates
        .split_once('@')
        .map_or((gates, None), |(gates, end)| (gates, Some(end.parse().expect("an instant"))));
    Bypass { name: group.to_owned(), groups, gates: gate_kinds(gates, '+'), expires }
}

/// `bypass GATE,GATE as GROUP [until INSTANT]`.
fn bypass_of(words: &[&str]) -> Option<BypassRequest> {
    let request = |gates: &str, group: &str, end: Option<&str>| BypassRequest {
        gates: gate_kinds(gates, ','),
        groups: BTreeSet::from([group.to_owned()]),
        reason: "the site is down".to_owned(),
        expires: end.map(|end| end.parse().expect("an instant")),
    };
    match words {
        ["bypass", gates, "as", group] => Some(request(gates, group, None)),
        ["bypass", gates, "as", group, "until", end] => Some(request(gates, group, Some(end))),
        [] => None,
        other => panic!("unknown words {other:?}"),
    }
}

fn verification(world: &mut World, name: &str, rest: &[&str]) {
    let mut template = template(name);
    for word in rest {
        match word.split_once('=') {
            Some(("count", count)) => template.count = count.parse().expect("a count"),
            Some(("failures", limit)) => template.failure_limit = limit.parse().expect("a limit"),
            Some(("deadline", time)) => {
                template.deadline = duration::parse(time).expect("a duration");
            }
            other => panic!("unknown word {other:?} of a verification"),
        }
    }
    let template = world.defined(template, None);
    world.definitions.verifications.insert(template.spec.name.clone(), template);
}

/// A verification with one query: every minute, for ten minutes.
pub(crate) fn template(name: &str) -> Verification {
    let query = Check::Prometheus(PrometheusCheck {
        address: "https://metrics.example".to_owned(),
        query: "errors{stage='{{ stage.name }}'}".to_owned(),
        timeout: Duration::from_secs(10),
        success: "result.value < 1.0".to_owned(),
    });
    Verification {
        name: name.parse().expect("a verification"),
        description: String::new(),
        initial_delay: Duration::ZERO,
        interval: Duration::from_secs(60),
        count: 1,
        failure_limit: 0,
        deadline: Duration::from_secs(600),
        checks: IndexMap::from([("rate".to_owned(), query)]),
    }
}

/// A hold of the words `stage NAME`, `freight f1` or `SUBSCRIPTION RANGE`, then maybe `until 1h`.
pub(crate) fn hold(world: &World, name: &str, words: &[&str]) -> Hold {
    let at = words.iter().position(|word| *word == "until").unwrap_or(words.len());
    let target = match &words[..at] {
        ["stage", stage] => Target::Stage(stage_name(stage)),
        ["freight", freight] => Target::Freight(freight_id(world, freight)),
        [subscription, range @ ..] => Target::Artifacts(ArtifactMatch {
            subscription: Some(subscription.parse().expect("a subscription")),
            version: Some(range.join(" ").parse().expect("a range")),
            ..ArtifactMatch::default()
        }),
        [] => panic!("a hold stops something"),
    };
    let time = words.get(at + 1).map(|time| duration::parse(time).expect("a duration"));
    Hold {
        name: name.parse().expect("a name"),
        target,
        reason: "it leaks".to_owned(),
        expires: time.map(|time| world.now + time),
    }
}

// What people do and ask.

fn approve(world: &mut World, id: &str, who: &str, groups: &str, digest: Option<&str>) {
    let id = promotion_id(id);
    let present = world.sagas[&id].state.change_set.as_ref().map(|set| set.digest.clone());
    let digest = match digest {
        Some(digest) => digest.to_owned(),
        None => present.unwrap_or_else(|| "none".to_owned()),
    };
    let approval = Approval {
        by: who.to_owned(),
        groups: groups.split(',').map(str::to_owned).collect(),
        digest,
        comment: None,
        signed: None,
    };
    world.approve(&id, approval);
}

/// Says `yes`, `no` or values to what the step asks now.
fn answer(world: &mut World, id: &PromotionId, step: &str, who: &str, groups: &str, said: &str) {
    let step: StepName = step.parse().expect("a step");
    let question = world.sagas[id].state.question(&step);
    world.answer(
        id,
        Answer {
            question: question.map_or_else(|| "none".to_owned(), |(_, question)| question),
            step,
            by: who.to_owned(),
            groups: groups.split(',').map(str::to_owned).collect(),
            said: match said {
                "yes" => Said::Approved,
                "no" => Said::Refused,
                values => Said::Given(serde_json::from_str(values).expect("an object")),
            },
            comment: None,
            signed: None,
        },
    );
}

/// Why a stage and its promotions do not move.
fn why(world: &mut World, stage: &StageName) -> Result<(), Crash> {
    world.settle()?;
    let mut lines = plan::stage(&world.stage_snapshot(stage), world.now).waiting;
    let of_stage = world.sagas.values().filter(|saga| saga.promotion.stage == *stage);
    for id in of_stage.map(|saga| saga.promotion.id.clone()).collect::<Vec<_>>() {
        lines.extend(plan::promotion(&world.promotion_snapshot(&id), world.now).waiting);
    }
    for line in lines {
        let until = line.until.map_or_else(String::new, |at| format!(" [{at}]"));
        world.tell(format!("  ? {}: {}: {}{until}", line.subject, line.reason, line.message));
    }
    Ok(())
}

/// Every gate of a promotion.
fn gates(world: &mut World, id: &PromotionId) -> Result<(), Crash> {
    world.settle()?;
    for gate in plan::promotion(&world.promotion_snapshot(id), world.now).gates {
        let skipped = if gate.bypassed { " (skipped)" } else { "" };
        let line =
            format!("  # {} {:?}{skipped}: {}", gate.kind.name(), gate.verdict, gate.message);
        world.tell(line);
    }
    Ok(())
}

fn undo_plan(world: &mut World, id: &PromotionId) {
    let undo = world.sagas[id].state.change_set.as_ref().expect("it is prepared").undo.clone();
    for step in undo {
        let possible = if step.possible { "" } else { " (not all)" };
        world.tell(format!("  < {}{possible}: {}", step.step, step.description));
    }
}
