//! The canned world: a shop with one warehouse, two stages, one policy.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{
    AccessToken, ActivePromotion, ApprovalRule, Artifact, ArtifactSelector, AttestationRule,
    BypassGate, BypassRule, Candidate, ChangeSet, Choose, Condition, ConditionStatus,
    CurrentFreight, DeferredStep, Definition, Effect, EffectKind, Exclusion, Explain,
    ExplainedPolicy, FileChange, Forecast, ForecastDelay, ForecastNeed, ForecastStage, Freeze,
    FreezeExceptions, FreezeScope, FreezeSpec, FreezeStatus, Freight, FreightStage, FullPlan, Gate,
    GateKind, GitArtifact, GitSubscription, HeldFreight, Hold, HoldSpec, HoldStatus, HttpCheck,
    ImageArtifact, ImageSubscription, InfraAction, InfraPlan, InfraRule, InfraRules,
    InstanceFreeze, InstanceFreezeSpec, InstanceFreezeStatus, Measurement, Meta, Mode, NeedKind,
    Phase, Pipeline, PipelineEdge, PipelinePolicy, PipelineStage, PlannedCall, Policy, PolicySpec,
    Preview, PreviewQuestion, PreviewWarning, Project, ProjectSpec, PrometheusCheck, Promotion,
    PromotionApproval, PromotionEvent, RateRule, RateScope, Replay, Request, RequestMatch, Stage,
    StageFreeze, StageHold, StageSelector, StageSpec, StageStatus, Step, StepRun, StepState,
    StoppedPromotion, Task, TaskInput, TaskInputType, TaskSpec, TicketRule, TokenOutline,
    TokenStatus, UndoDescription, Verdict, Verification, VerificationSpec, Waiting, Warehouse,
    WarehouseSpec, WarehouseStatus, WindowAction, WindowRule, Witness, WorldToken,
};

const NEW: &str = "3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d";
const OLD: &str = "3fd00dfeed3fd00dfeed3fd00dfeed3fd00dfeed";

/// Makes the objects, their instants counted from `now`.
#[derive(Clone, Copy)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
}

pub(crate) fn access(
    world: World,
    name: &str,
    groups: Vec<String>,
    admin: bool,
    expires_at: Option<Timestamp>,
) -> AccessToken {
    let meta = Meta {
        project: String::new(),
        id: name.to_owned(),
        created_at: world.ago(50),
        ..world.meta("", name, Vec::new())
    };
    let (version, secret_sha256) = (None, None);
    let spec = TokenOutline { groups, admin, expires_at, version, secret_sha256 };
    let status = TokenStatus { minted_from: None, last_used_at: Some(world.ago(3)) };
    AccessToken { meta, spec, status }
}

impl World {
    /// So many hours ago, with half a minute to spare for a slow test.
    pub(crate) fn ago(self, hours: i64) -> Timestamp {
        self.now - SignedDuration::from_hours(hours) - SignedDuration::from_secs(30)
    }

    pub(crate) fn ahead(self, hours: i64) -> Timestamp {
        self.now + SignedDuration::from_hours(hours) + SignedDuration::from_secs(30)
    }

    fn meta(self, project: &str, name: &str, conditions: Vec<Condition>) -> Meta {
        let id = if project == name { name.to_owned() } else { format!("{project}/{name}") };
        Meta {
            project: project.to_owned(),
            name: name.to_owned(),
            id,
            generation: 3,
            token: WorldToken(17),
            conditions,
            created_at: self.ago(72),
            changed_at: self.ago(5),
            changed_by: "ana".to_owned(),
        }
    }

    pub(crate) fn tokens(self) -> Vec<AccessToken> {
        let groups = vec!["sre".to_owned(), "dev".to_owned()];
        vec![
            access(self, "root", Vec::new(), true, None),
            access(self, "ana", groups, false, Some(self.ahead(30 * 24))),
        ]
    }

    pub(crate) fn project(self) -> Project {
        let spec = ProjectSpec { description: "The shop".to_owned(), ..ProjectSpec::default() };
        Project { meta: self.meta("shop", "shop", Vec::new()), spec }
    }

    pub(crate) fn warehouse(self) -> Warehouse {
        let git = GitSubscription {
            name: "infra".to_owned(),
            repo: "https://git.example.com/infra.git".to_owned(),
            branch: "main".to_owned(),
            include_paths: vec!["modules/shop/".to_owned()],
            exclude_paths: Vec::new(),
            discovery_limit: 20,
        };
        let image = ImageSubscription {
            name: "api".to_owned(),
            repo: "registry.example.com/shop/api".to_owned(),
            constraint: Some("^1.4".to_owned()),
            strict_semver: true,
            allow_tags: Vec::new(),
            ignore_tags: Vec::new(),
            platform: None,
            insecure: false,
            discovery_limit: 20,
        };
        let message = "registry.example.com refuses the connection";
        let failed = condition("Discovered", ConditionStatus::False, "Unreachable", message);
        let status = WarehouseStatus {
            checked_at: Some(self.ago(0)),
            next_check_at: Some(self.ahead(0)),
            newest_freight: Some(NEW.to_owned()),
        };
        let require = Some("freight.api.version.major == 1".to_owned());
        let (git, image) = (vec![git], vec![image]);
        Warehouse {
            meta: self.meta("shop", "main", vec![failed]),
            spec: WarehouseSpec { git, image, require, ..WarehouseSpec::default() },
            status,
        }
    }

    pub(crate) fn stages(self) -> Vec<Stage> {
        ["dev", "prod"].into_iter().filter_map(|name| self.stage(name)).collect()
    }

    /// A gated policy blocks, now and in the past; an automatic one does nothing; another is wrong.
    pub(crate) fn preview(self, asked: &PreviewQuestion) -> Preview {
        let PreviewQuestion::Set(set) = asked else { panic!("a plan is a set of changes") };
        assert_eq!(set.replay, Some(200));
        let mut preview = Preview {
            as_of: WorldToken(7),
            known: true,
            effects: Vec::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
            replay: None,
        };
        let Definition::Policy(policy) = &set.changes[0].definition else { return preview };
        let replay = Replay {
            judged: 3,
            passed: 3,
            blocked: 0,
            unknown: 0,
            complete: true,
            witnesses: Vec::new(),
        };
        let witness = |promotion: &str, verdict, reason: &str| Witness {
            promotion: promotion.to_owned(),
            stage: "prod".to_owned(),
            freight: OLD.to_owned(),
            at: far("2026-11-01T08:00:00Z"),
            gate: Some(GateKind::Soak),
            policies: vec!["prod".to_owned()],
            verdict,
            reason: reason.to_owned(),
        };
        match policy.mode {
            Mode::Gated => {
                preview.effects.push(Effect {
                    stage: "prod".to_owned(),
                    freight: Some(NEW.to_owned()),
                    promotion: Some("prod.12".to_owned()),
                    effect: EffectKind::GateBlocks,
                    reason: "has to soak for 1d upstream".to_owned(),
                    until: Some(far("2030-01-01T08:00:00Z")),
                });
                preview.warnings.push(PreviewWarning {
                    path: "changes[0].stages".to_owned(),
                    summary: "A stage is let go".to_owned(),
                    detail: "Policy prod would no longer hold for qa.".to_owned(),
                });
                preview.replay = Some(Replay {
                    passed: 1,
                    blocked: 1,
                    unknown: 1,
                    complete: false,
                    witnesses: vec![
                        witness("prod.11", Verdict::Fail, "has to soak for 1d upstream"),
                        witness("prod.9", Verdict::Unknown, "it is no longer recorded"),
                    ],
                    ..replay
                });
            }
            Mode::Automatic => preview.replay = Some(replay),
            Mode::Manual => {
                let path = "changes[0].stages.names";
                let problem = FieldProblem::new(path, FieldCode::Missing, "name a stage");
                preview.problems.push(problem);
            }
        }
        preview
    }

    pub(crate) fn pipeline(self) -> Pipeline {
        let node = |stage: Stage| PipelineStage {
            control_flow: false,
            mode: Mode::Gated,
            policies: if stage.meta.name == "prod" { vec!["prod".to_owned()] } else { vec![] },
            conditions: match stage.status.waiting.first() {
                Some(it) => {
                    vec![condition("UpToDate", ConditionStatus::False, &it.reason, &it.message)]
                }
                None => Vec::new(),
            },
            name: stage.meta.name,
            current: stage.status.current,
            promotion: stage.status.promotion,
        };
        let edge = |from: Option<&str>, to: &str| PipelineEdge {
            warehouse: "main".to_owned(),
            from: from.map(str::to_owned),
            to: to.to_owned(),
        };
        Pipeline {
            warehouses: vec!["main".to_owned()],
            stages: self.stages().into_iter().map(node).collect(),
            policies: vec![PipelinePolicy {
                name: "prod".to_owned(),
                mode: Mode::Gated,
                stages: vec!["prod".to_owned()],
            }],
            edges: vec![edge(None, "dev"), edge(Some("dev"), "prod")],
        }
    }

    pub(crate) fn stage(self, name: &str) -> Option<Stage> {
        let (from, current, promotion, waiting, holds) = match name {
            "dev" => (Vec::new(), NEW, None, Vec::new(), Vec::new()),
            "prod" => (
                vec!["dev".to_owned(), "qa".to_owned()],
                OLD,
                Some(active(Phase::Waiting)),
                self.waiting(),
                vec![self.hold()],
            ),
            _ => return None,
        };
        let request = Request {
            warehouse: "main".to_owned(),
            from,
            matching: RequestMatch::All,
            at_least: None,
        };
        let ready = condition("Ready", ConditionStatus::True, "Defined", "the definition stands");
        Some(Stage {
            meta: self.meta("shop", name, vec![ready]),
            spec: StageSpec {
                requests: vec![request],
                steps: vec![step("plan", "tf_plan"), step("apply", "tf_apply")],
                choose: Choose::Latest,
                ..StageSpec::default()
            },
            status: StageStatus {
                current: self.current(current),
                promotion,
                holds,
                waiting,
                downstream: Vec::new(),
                metadata: BTreeMap::new(),
                drift: None,
            },
        })
    }

    fn current(self, freight: &str) -> BTreeMap<String, CurrentFreight> {
        let current = CurrentFreight {
            freight: freight.to_owned(),
            promotion: Some("prod.11".to_owned()),
            entered_at: self.ago(30),
            verified_at: Some(self.ago(29)),
        };
        BTreeMap::from([("main".to_owned(), current)])
    }

    fn hold(self) -> StageHold {
        StageHold {
            name: None,
            reason: "ana promoted older freight".to_owned(),
            author: "ana".to_owned(),
            since: far("2020-01-01T00:00:00Z"),
            until: None,
        }
    }

    fn waiting(self) -> Vec<Waiting> {
        vec![Waiting {
            subject: "promotion/prod.12".to_owned(),
            reason: "Approvals".to_owned(),
            message: "1 of 2 people of sre approved".to_owned(),
            until: None,
        }]
    }

    pub(crate) fn task(self) -> Task {
        let input = |name: &str, holds, default, description: &str| TaskInput {
            name: name.to_owned(),
            holds,
            default,
            description: description.to_owned(),
        };
        let step = |name: &str, uses: &str, config| Step {
            name: name.to_owned(),
            uses: uses.to_owned(),
            config,
            control: None,
        };
        let spec = TaskSpec {
            description: "Writes the image, and pushes that".to_owned(),
            inputs: vec![
                input("cluster", TaskInputType::String, None, "below apps"),
                input("replicas", TaskInputType::Number, Some(serde_json::json!(2)), ""),
            ],
            steps: vec![
                step("values", "yaml_update", serde_json::json!({ "path": "x" })),
                step("tell", "task", serde_json::json!({ "task": "tell-all" })),
            ],
        };
        Task { meta: self.meta("shop", "release", Vec::new()), spec }
    }

    pub(crate) fn verification(self) -> Verification {
        let http = HttpCheck {
            name: "alive".to_owned(),
            url: "https://shop.example.com/healthz".to_owned(),
            method: HttpCheck::METHOD_DEFAULT.to_owned(),
            headers: BTreeMap::new(),
            body: None,
            timeout: HttpCheck::TIMEOUT_DEFAULT.to_owned(),
            success: "response.status == 200".to_owned(),
        };
        let prometheus = PrometheusCheck {
            name: "rate".to_owned(),
            address: "http://prometheus.example.com".to_owned(),
            query: "sum(rate(errors[5m]))".to_owned(),
            success: "result[0].value < 0.01".to_owned(),
        };
        let (http, prometheus) = (vec![http], vec![prometheus]);
        let spec = VerificationSpec { count: 3, http, prometheus, ..VerificationSpec::default() };
        Verification { meta: self.meta("shop", "errors", Vec::new()), spec }
    }

    pub(crate) fn policy(self) -> Policy {
        let approval =
            ApprovalRule { group: "sre".to_owned(), count: 2, exclude: vec![Exclusion::Requester] };
        let infra = InfraRules {
            forbid: vec![InfraAction::Delete, InfraAction::Replace],
            protect: vec!["aws_db_instance.*".to_owned()],
            max_changes: Some(20),
            on_drift: None,
            max_deletes: Some(3),
            max_monthly_cost: Some(500),
            max_cost_increase: None,
            rules: vec![InfraRule {
                name: "no_iam".to_owned(),
                when: "changes.all(c, c.type != \"aws_iam_role\")".to_owned(),
                message: Some("roles are security's".to_owned()),
            }],
        };
        let bypass = BypassRule {
            name: "emergency".to_owned(),
            groups: vec!["oncall".to_owned()],
            gates: vec![BypassGate::Soak, BypassGate::Upstream],
            expires: None,
        };
        let window = WindowRule {
            name: "office".to_owned(),
            allow: Some("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYHOUR=9".to_owned()),
            deny: None,
            duration: "7h".to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            start: None,
            actions: vec![WindowAction::Promote],
            groups: Vec::new(),
            exempt: vec!["oncall".to_owned()],
        };
        let rate = RateRule {
            name: "calm".to_owned(),
            max: Some(3),
            per: Some("1d".to_owned()),
            cooldown: None,
            concurrent: Some(1),
            across: RateScope::Policy,
        };
        let ticket = TicketRule {
            name: "change".to_owned(),
            url: "https://tickets.example.com/{{ vars.ticket }}".to_owned(),
            method: TicketRule::METHOD_DEFAULT.to_owned(),
            headers: BTreeMap::new(),
            body: None,
            timeout: TicketRule::TIMEOUT_DEFAULT.to_owned(),
            success: "response.json.approved".to_owned(),
            failure: Some("response.json.rejected".to_owned()),
            every: TicketRule::EVERY_DEFAULT.to_owned(),
        };
        let attestation = AttestationRule {
            name: "scan".to_owned(),
            artifact: Some("api".to_owned()),
            kind: Some("https://example.com/scan/v1".to_owned()),
            key: Some("-----BEGIN PUBLIC KEY-----".to_owned()),
            url: None,
            headers: BTreeMap::new(),
            timeout: TicketRule::TIMEOUT_DEFAULT.to_owned(),
            success: "payload.predicate.criticals == 0".to_owned(),
            every: "5m".to_owned(),
        };
        let spec = PolicySpec {
            mode: Mode::Gated,
            stages: StageSelector { names: vec!["prod*".to_owned()] },
            soak: Some("24h".to_owned()),
            soak_in: BTreeMap::from([("canary".to_owned(), "1h".to_owned())]),
            settle: None,
            max_age: None,
            max_wait: Some("7d".to_owned()),
            max_undo_wait: None,
            conditions: Vec::new(),
            windows: vec![window],
            rates: vec![rate],
            tickets: vec![ticket],
            attestations: vec![attestation],
            approvals: vec![approval],
            infra: Some(infra),
            rollback: None,
            bypass: vec![bypass],
        };
        Policy { meta: self.meta("shop", "prod", Vec::new()), spec }
    }

    pub(crate) fn held(self) -> Hold {
        let artifacts = ArtifactSelector {
            subscription: Some("api".to_owned()),
            version: Some(">=1.4.0 <1.4.3".to_owned()),
            ..ArtifactSelector::default()
        };
        let spec = HoldSpec {
            reason: "CVE-2026-1 in libfoo".to_owned(),
            artifacts: Some(artifacts),
            expires: Some(far("2030-01-01T00:00:00Z")),
            ..HoldSpec::default()
        };
        let running = HeldFreight { stage: "dev".to_owned(), freight: NEW.to_owned() };
        let waiting = vec!["prod.12".to_owned()];
        let status = HoldStatus { active: true, running: vec![running], waiting };
        Hold { meta: self.meta("shop", "cve", Vec::new()), spec, status }
    }

    pub(crate) fn freeze(self) -> Freeze {
        let except = FreezeExceptions {
            stages: vec!["dev".to_owned()],
            principals: Vec::new(),
            groups: vec!["oncall".to_owned()],
        };
        let spec = FreezeSpec {
            reason: "books close".to_owned(),
            until: Some(far("2099-01-02T00:00:00Z")),
            except,
            ..FreezeSpec::default()
        };
        let status = FreezeStatus {
            active: true,
            begins_at: None,
            ends_at: spec.until,
            waiting: vec!["prod.12".to_owned()],
        };
        Freeze { meta: self.meta("shop", "year-end", Vec::new()), spec, status }
    }

    pub(crate) fn instance_freeze(self) -> InstanceFreeze {
        let spec = FreezeSpec { reason: "an outage".to_owned(), ..FreezeSpec::default() };
        let spec = InstanceFreezeSpec::new(spec, vec!["lab-*".to_owned()]);
        let stopped = |project: &str, promotion: &str| StoppedPromotion {
            project: project.to_owned(),
            promotion: promotion.to_owned(),
        };
        let status = InstanceFreezeStatus {
            active: true,
            begins_at: None,
            ends_at: None,
            waiting: vec![stopped("blog", "live.3"), stopped("shop", "prod.12")],
            waiting_total: 7,
        };
        let meta = self.meta("", "outage", Vec::new());
        InstanceFreeze { meta: Meta { id: "outage".to_owned(), ..meta }, spec, status }
    }

    pub(crate) fn forecast(self) -> Forecast {
        let at = far("2099-01-01T00:00:00Z");
        let dev = ForecastStage {
            stage: "dev".to_owned(),
            since: Some(far("2020-01-01T00:00:00Z")),
            earliest: None,
            delays: Vec::new(),
            needs: Vec::new(),
        };
        let soak = ForecastDelay {
            gate: GateKind::Soak,
            policies: vec!["prod".to_owned()],
            from: far("2020-01-01T00:00:00Z"),
            until: at,
            message: "has to soak for 24h upstream".to_owned(),
        };
        let approvals = ForecastNeed {
            gate: Some(GateKind::Approvals),
            kind: NeedKind::Person,
            message: "needs 2 approvals of group sre".to_owned(),
        };
        let prod = ForecastStage {
            stage: "prod".to_owned(),
            since: None,
            earliest: Some(at),
            delays: vec![soak],
            needs: vec![approvals],
        };
        let path = vec![dev, prod];
        Forecast { freight: NEW.to_owned(), stage: "prod".to_owned(), earliest: Some(at), path }
    }

    fn stage_freeze(self) -> StageFreeze {
        StageFreeze {
            name: "year-end".to_owned(),
            scope: FreezeScope::Project,
            reason: "books close".to_owned(),
            author: "ana".to_owned(),
            actions: FreezeSpec::default().actions,
            until: Some(far("2099-01-02T00:00:00Z")),
        }
    }

    pub(crate) fn explain(self) -> Explain {
        let candidate = Candidate {
            freight: NEW.to_owned(),
            warehouse: "main".to_owned(),
            available: true,
            gates: self.gates(),
            promotion: Some("prod.12".to_owned()),
            waits_until: Some(far("2099-01-02T00:00:00Z")),
            passed_over: None,
        };
        let policy =
            ExplainedPolicy { name: "prod".to_owned(), mode: Mode::Gated, verdict: Verdict::Fail };
        Explain {
            stage: "prod".to_owned(),
            policies: vec![policy],
            mode: Mode::Gated,
            current: self.current(OLD),
            holds: vec![self.hold()],
            freezes: vec![self.stage_freeze()],
            promotion: Some(active(Phase::Waiting)),
            candidates: vec![candidate],
            waiting: self.waiting(),
            next_wake: Some(self.ahead(3)),
        }
    }

    fn gates(self) -> Vec<Gate> {
        let gate = |gate, verdict, message: &str, until| Gate {
            gate,
            policy: Some("prod".to_owned()),
            verdict,
            message: message.to_owned(),
            until,
            bypassed: false,
        };
        let soak_ends = Some(far("2099-01-01T00:00:00Z"));
        vec![
            Gate {
                policy: None,
                ..gate(GateKind::Upstream, Verdict::Pass, "verified in dev", None)
            },
            Gate {
                bypassed: true,
                ..gate(GateKind::Soak, Verdict::Fail, "verified 20h ago, not 24h", soak_ends)
            },
            gate(GateKind::Approvals, Verdict::Fail, "1 of 2 people of sre approved", None),
            gate(GateKind::Infra, Verdict::Unknown, "the plan is not made yet", None),
        ]
    }

    pub(crate) fn freight(self) -> Vec<Freight> {
        vec![self.one_freight(NEW, "1.4.2", 2), self.one_freight(OLD, "1.4.1", 80)]
    }

    pub(crate) fn freight_matching(self, query: &str) -> Vec<Freight> {
        assert!(query.contains("limit="), "{query}");
        let mut freight = self.freight();
        if query.contains("stage=prod") {
            freight.truncate(1);
        }
        freight
    }

    fn one_freight(self, id: &str, tag: &str, hours: i64) -> Freight {
        let git = Artifact::Git(GitArtifact {
            repo: "https://git.example.com/infra.git".to_owned(),
            branch: "main".to_owned(),
            commit: "8c1f5e0b7a8c1f5e0b7a8c1f5e0b7a8c1f5e0b7a".to_owned(),
            subject: "widen the pool".to_owned(),
            author: "Ben <ben@example.com>".to_owned(),
            committed_at: self.ago(hours + 1),
        });
        let image = Artifact::Image(ImageArtifact {
            repo: "registry.example.com/shop/api".to_owned(),
            tag: tag.to_owned(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            created_at: None,
        });
        let dev = FreightStage {
            entered_at: Some(self.ago(hours)),
            verified_at: Some(self.ago(hours - 1)),
            ..FreightStage::default()
        };
        let prod = FreightStage { approved_at: Some(self.ago(1)), ..FreightStage::default() };
        Freight {
            id: id.to_owned(),
            short_id: id[..10].to_owned(),
            project: "shop".to_owned(),
            warehouse: "main".to_owned(),
            artifacts: BTreeMap::from([("api".to_owned(), image), ("infra".to_owned(), git)]),
            created_at: self.ago(hours),
            stages: BTreeMap::from([("dev".to_owned(), dev), ("prod".to_owned(), prod)]),
            aliases: Vec::new(),
            metadata: BTreeMap::new(),
        }
    }

    pub(crate) fn full_plan(self, step: &str) -> FullPlan {
        let text = "Terraform will perform the following actions:\n\n  # terraform_data.cache will be created\n";
        FullPlan {
            step: step.to_owned(),
            dir: "infra/live/prod".to_owned(),
            workspace: Some("blue".to_owned()),
            digest: "sha256:9a1c".to_owned(),
            text: Some(text.to_owned()),
            text_bytes: 200_000,
            cut: true,
            summary: serde_json::json!({ "create": 1 }),
        }
    }

    pub(crate) fn promotion(self, id: &str) -> Promotion {
        let (phase, error) = match id {
            "prod.10" => (Phase::Preparing, None),
            "prod.14" => (Phase::RolledBack, Some("verification errors failed".to_owned())),
            "prod.15" => (Phase::Committing, None),
            "prod.16" => (Phase::Stuck, Some("the undo of apply was refused".to_owned())),
            _ => (Phase::Waiting, None),
        };
        let waiting = if phase == Phase::Waiting { self.waiting() } else { Vec::new() };
        let remaining = match phase {
            Phase::Stuck => vec!["terraform_data.app is at 1.4.2, not at 1.4.1".to_owned()],
            _ => Vec::new(),
        };
        Promotion {
            id: id.to_owned(),
            project: "shop".to_owned(),
            stage: "prod".to_owned(),
            freight: NEW.to_owned(),
            along: Vec::new(),
            collection: BTreeMap::from([("main".to_owned(), NEW.to_owned())]),
            phase,
            requester: "ben".to_owned(),
            reason: Some("the campaign begins".to_owned()),
            vars: [].into(),
            bypass: None,
            rollback: false,
            rehearsal: false,
            change_set: (phase != Phase::Preparing).then(change_set),
            gates: self.gates(),
            approvals: vec![self.approval()],
            steps: self.steps(phase),
            measurements: self.measurements(phase),
            waiting,
            waits_until: (phase == Phase::Waiting).then(|| far("2099-01-02T00:00:00Z")),
            error,
            remaining,
            token: WorldToken(17),
            created_at: self.ago(3),
            committed_at: None,
            finished_at: None,
        }
    }

    /// A promotion that only shows what it would do.
    pub(crate) fn rehearsal(self, phase: Phase) -> Promotion {
        let promotion = self.promotion("prod.18");
        let change_set = promotion.change_set.clone().filter(|_| phase != Phase::Preparing);
        Promotion { phase, change_set, rehearsal: true, ..promotion }
    }

    fn approval(self) -> PromotionApproval {
        PromotionApproval {
            by: "cleo".to_owned(),
            groups: vec!["sre".to_owned()],
            digest: "sha256:d16e57".to_owned(),
            comment: Some("looks right".to_owned()),
            at: self.ago(2),
            void: false,
        }
    }

    fn steps(self, phase: Phase) -> Vec<StepRun> {
        let run = |name: &str, state, error: Option<&str>| StepRun {
            name: name.to_owned(),
            uses: format!("tf_{name}"),
            state,
            started_at: Some(self.ago(3)),
            finished_at: error.map(|_| self.ago(2)),
            outputs: BTreeMap::new(),
            error: error.map(str::to_owned),
            question: None,
        };
        let apply = match phase {
            Phase::Stuck => run("apply", StepState::UndoFailed, Some("protected address")),
            _ => run("apply", StepState::Pending, None),
        };
        vec![run("plan", StepState::Prepared, None), apply]
    }

    fn measurements(self, phase: Phase) -> Vec<Measurement> {
        if phase != Phase::Stuck {
            return Vec::new();
        }
        vec![Measurement {
            verification: "errors".to_owned(),
            check: "rate".to_owned(),
            at: self.ago(2),
            verdict: Verdict::Fail,
            value: Some("0.2".to_owned()),
            message: "result[0].value < 0.01 does not hold".to_owned(),
        }]
    }

    /// The events after the one that the query names.
    pub(crate) fn events(self, query: &str) -> Vec<PromotionEvent> {
        let after = query.split('&').find_map(|it| it.strip_prefix("after="));
        let after: u64 = after.map_or(0, |it| it.parse().unwrap());
        let event = |(seq, step, message): (u64, Option<&str>, &str)| PromotionEvent {
            seq,
            at: far("2026-01-02T03:04:05Z"),
            kind: "step_finished".to_owned(),
            step: step.map(str::to_owned),
            message: message.to_owned(),
            epoch: None,
        };
        [(1, None, "took the slot of prod"), (4, Some("apply"), "applied 2 changes")]
            .into_iter()
            .filter(|(seq, ..)| *seq > after)
            .map(event)
            .collect()
    }
}

fn condition(kind: &str, status: ConditionStatus, reason: &str, message: &str) -> Condition {
    let (kind, reason, message) = (kind.to_owned(), reason.to_owned(), message.to_owned());
    Condition { kind, status, reason, message }
}

fn step(name: &str, uses: &str) -> Step {
    Step {
        name: name.to_owned(),
        uses: uses.to_owned(),
        config: serde_json::json!({}),
        control: None,
    }
}

fn active(phase: Phase) -> ActivePromotion {
    let (freight, along) = (NEW.to_owned(), Vec::new());
    ActivePromotion { id: "prod.12".to_owned(), freight, along, phase }
}

fn far(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn change_set() -> ChangeSet {
    let file = FileChange {
        repo: "https://git.example.com/gitops.git".to_owned(),
        branch: "main".to_owned(),
        path: "apps/prod/values.yaml".to_owned(),
        old_blob: Some("a1".to_owned()),
        new_blob: Some("b2".to_owned()),
        patch: Some("@@ -1 +1 @@\n-tag: 1.4.1\n+tag: 1.4.2\n".to_owned()),
    };
    let infra = InfraPlan {
        step: "plan".to_owned(),
        dir: "infra/live/prod".to_owned(),
        create: 1,
        update: 1,
        replace: 0,
        delete: 0,
        lines: vec!["+ terraform_data.cache".to_owned(), "~ terraform_data.app".to_owned()],
        digest: "sha256:9e9e".to_owned(),
    };
    let undo = |step: &str, description: &str, possible| UndoDescription {
        step: step.to_owned(),
        description: description.to_owned(),
        possible,
    };
    ChangeSet {
        digest: "sha256:d16e57".to_owned(),
        files: vec![file],
        infra: vec![infra],
        calls: vec![PlannedCall {
            step: "tell".to_owned(),
            method: "POST".to_owned(),
            url: "https://chat.example.com/hook".to_owned(),
        }],
        deferred: vec![DeferredStep {
            step: "values".to_owned(),
            uses: "yaml_update".to_owned(),
            arguments: vec![
                "path = gitops/values.yaml".to_owned(),
                "updates.endpoint = {{ steps.out.url }}".to_owned(),
            ],
            expressions: vec!["steps.out.url".to_owned()],
        }],
        undo: vec![
            undo("tell", "a sent message stays sent", false),
            undo("apply", "apply the infra of freight 3fd00dfeed", true),
        ],
    }
}
