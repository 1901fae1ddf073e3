//! The outside: repositories, infra states and receivers of requests, and a fake executor that looks
//! before it acts. It counts how often each effect really happened.

mod pulls;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::infra::{Action, Plan, PlanSummary};
use reconciler_domain::plan::Base;
use reconciler_domain::promotion::Node;
use reconciler_domain::step::{
    Applied, ApplyCall, Asks, Call, ChartsRecord, CheckoutAt, CloneCall, CloneRecord, CommitCall,
    CommitRecord, FileChange, HttpCall, OciAttach, OciCall, OciDetach, OciLook, OciPush,
    OciPutBack, OciRecord, PlanCall, PlanGoal, PlanRecord, PlannedOutput, PushCall, PushRecord,
    RanRecord, Record, RevertCall, RunCall, Seen, SkipUnchanged, StepOutcome, TagCall, TagMove,
    TagRecord, Unseen, UntagCall,
};
use reconciler_domain::verification::{FrozenCheck, Measured, Measurement};
use serde_json::{Map, Value, json};

/// Values by `file#key`.
pub(crate) type Tree = BTreeMap<String, String>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {
    /// Commits by id.
    commits: BTreeMap<String, Commit>,
    /// Commits of the main branch, oldest first, by repository.
    branches: BTreeMap<String, Vec<String>>,
    pub(crate) states: BTreeMap<String, State>,
    /// What a plan leads to, by the digest of its file.
    plans: BTreeMap<String, (String, State)>,
    /// Applies that ended, by run and plan.
    applies: BTreeMap<String, StepOutcome>,
    requests: BTreeSet<String>,
    /// What tags are at, by repository and name.
    pub(crate) tags: BTreeMap<String, String>,
    /// What tags of registries are at, by `REPO:TAG`.
    pub(crate) registry: BTreeMap<String, String>,
    /// What is attached to artifacts, by the step that did.
    attached: BTreeSet<String>,
    /// Whether registries keep what was put there.
    pub(crate) nothing_removed: bool,
    /// How often each effect really happened.
    pub(crate) effects: BTreeMap<String, u32>,
    /// How often a receiver was asked whether it had heard before.
    pub(crate) asked_first: u32,
    pulls: Vec<pulls::Pull>,
    /// What others write into states, each just before an apply.
    pub(crate) meddling: VecDeque<Option<(String, Tree)>>,
    /// What was changed outside, by the state's name and the address; the next plan of that state finds it.
    pub(crate) drifted: Vec<(String, String)>,
    /// Nodes whose next runs fail: by name, how often, and whether that may pass.
    pub(crate) failures: BTreeMap<String, (u32, bool)>,
    /// Nodes whose next runs do what they are to and fail all the same: by name, how often, and whether that may
    /// pass. Only then does what else they were told count.
    pub(crate) late: BTreeMap<String, (u32, bool)>,
    /// Nodes whose next runs send what they are to, and hear nothing of it: by name, how often, and whether it
    /// arrives. Only then does what else they were told count.
    pub(crate) lost: BTreeMap<String, (u32, bool)>,
    /// Nodes whose next runs hang: by name, how often, and who aborts the promotion meanwhile.
    pub(crate) hanging: BTreeMap<String, (u32, Option<String>)>,
    /// What the next measurements of a check show; when there is nothing left: a pass.
    pub(crate) measures: BTreeMap<String, VecDeque<Measured>>,
    /// Why nothing can be looked at, if so.
    pub(crate) unreachable: Option<String>,
    /// Whether a plan with changes does not know the output `url`.
    pub(crate) url_unknown_at_plan: bool,
    /// Resources that fall when another one is destroyed.
    pub(crate) dependents: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Commit {
    parent: Option<String>,
    tree: Tree,
    mark: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) serial: u64,
    pub(crate) resources: Tree,
}

struct Checkout {
    repo: String,
    tree: Tree,
}

impl Outside {
    /// Someone pushes values to the main branch of a repository.
    pub(crate) fn push(&mut self, repo: &str, values: &[(String, String)]) {
        let repo = url(repo);
        let mut tree =
            self.tip(&repo).map(|tip| self.commits[&tip].tree.clone()).unwrap_or_default();
        tree.extend(values.iter().cloned());
        let parent = self.tip(&repo);
        let id = self.commit_id(Commit { parent, tree, mark: "someone".to_owned() });
        self.branches.entry(repo).or_default().push(id);
    }

    fn commit_id(&mut self, commit: Commit) -> String {
        let known = self.commits.iter().find(|(_, known)| **known == commit);
        if let Some((id, _)) = known {
            return id.clone();
        }
        let id = format!("c{}", self.commits.len() + 1);
        self.commits.insert(id.clone(), commit);
        id
    }

    fn tip(&self, repo: &str) -> Option<String> {
        self.branches.get(repo).and_then(|log| log.last()).cloned()
    }

    /// What is outside, in words.
    pub(crate) fn describe(&self) -> Vec<String> {
        let print = |tree: &Tree| {
            let pairs: Vec<String> =
                tree.iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.join(" ")
        };
        let mut lines = Vec::new();
        for repo in self.branches.keys() {
            let tip = self.tip(repo).expect("a branch has a commit");
            lines.push(format!("{repo}: {}", print(&self.commits[&tip].tree)));
        }
        for (name, state) in &self.states {
            lines.push(format!("state {name}: {}", print(&state.resources)));
        }
        lines.extend(self.tags.iter().map(|(name, object)| format!("tag {name}: {object}")));
        lines.extend(self.registry.iter().map(|(name, digest)| format!("image {name}: {digest}")));
        lines.extend(self.attached.iter().map(|name| format!("attached {name}")));
        lines.extend(self.describe_pulls());
        lines.extend(self.requests.iter().map(|key| format!("request {key}")));
        lines
    }

    pub(crate) fn run(
        &mut self,
        node: &Node,
        call: &Call,
        rebuild: &[(reconciler_domain::id::StepName, Call)],
    ) -> StepOutcome {
        let name = node_name(node);
        let is_sent = call.unseen() != Unseen::Nothing && !call.only_asks();
        let lost = self.lost.get(&name).filter(|(times, _)| *times > 0 && is_sent);
        if let Some((_, arrives)) = lost {
            if *arrives {
                self.carry_out(call, rebuild);
            }
            let (message, retry, retry_after) = (format!("{name} was not answered"), true, None);
            let (record, seen) = (Record::None, Seen::Perhaps);
            return StepOutcome::Failed { message, retry, retry_after, record, seen };
        }
        let late = self.late.get(&name).copied().filter(|(times, _)| *times > 0);
        if late.is_none()
            && let Some((_, retry)) = self.failures.get(&name).filter(|(times, _)| *times > 0)
        {
            // What fails for good was looked for, and refused in plain words.
            let seen = if *retry { Seen::Unsaid } else { Seen::No };
            let (message, retry_after) = (format!("{name} was told to fail"), None);
            let (retry, record) = (*retry, Record::None);
            return StepOutcome::Failed { message, retry, retry_after, record, seen };
        }
        let outcome = match call {
            Call::Http(_) => self.carry_out(call, rebuild),
            call if call.only_asks() => return self.look_for(call, rebuild),
            call => self.carry_out(call, rebuild),
        };
        let Some((_, retry)) = late else { return outcome };
        let StepOutcome::Done { record, .. } = outcome else { return outcome };
        let sent = record == Record::None && matches!(call, Call::Http(_));
        let message = format!("{name} answered otherwise");
        let record = if sent { Record::Sent } else { record };
        StepOutcome::Failed { message, retry, retry_after: None, record, seen: Seen::Unsaid }
    }

    /// What is there as the call makes it: making it changes nothing.
    fn look_for(
        &self,
        call: &Call,
        rebuild: &[(reconciler_domain::id::StepName, Call)],
    ) -> StepOutcome {
        let mut copy = self.clone();
        let outcome = copy.carry_out(&call.asking(Asks::No), rebuild);
        if copy.describe() == self.describe() && matches!(outcome, StepOutcome::Done { .. }) {
            return outcome;
        }
        let (message, retry, retry_after) = ("it is not there".to_owned(), false, None);
        let (record, seen) = (Record::None, Seen::No);
        StepOutcome::Failed { message, retry, retry_after, record, seen }
    }

    fn carry_out(
        &mut self,
        call: &Call,
        rebuild: &[(reconciler_domain::id::StepName, Call)],
    ) -> StepOutcome {
        let rebuild: Vec<&Call> = rebuild.iter().map(|(_, call)| call).collect();
        match call {
            Call::GitClone(clone) => self.clone_trees(clone),
            Call::YamlUpdate(_) => done(json!({ "changed": true }), Record::None),
            Call::GitCommit(commit) => self.commit(commit, &rebuild),
            Call::GitPush(push) => self.push_commit(push),
            Call::GitRevert(revert) => self.revert(revert),
            Call::GitTag(tag) => self.tag(tag),
            Call::GitUntag(tag) => self.untag(tag),
            Call::TfPlan(plan) => self.plan(plan, &rebuild),
            Call::TfApply(apply) => self.apply(apply),
            Call::TfImport(import) => done(json!({}), Record::Imports(import.clone())),
            Call::TfOutput(output) => {
                let state = self.states.get(&named(&output.plan)).cloned().unwrap_or_default();
                done(json!({ "url": url_of(&state.resources) }), Record::None)
            }
            Call::Http(http) => self.send(http),
            Call::File(_) | Call::Render(_) => done(json!({ "changed": true }), Record::None),
            Call::Chart(chart) => {
                let fetched =
                    chart.versions.keys().map(|name| (format!("{name}.tgz"), "0".to_owned()));
                let record = ChartsRecord { sha256: fetched.collect() };
                done(json!({ "changed": true }), Record::Charts(record))
            }
            Call::Download(_) => done(json!({ "size": 1 }), Record::None),
            Call::Oci(oci) => self.oci(oci),
            Call::Parse(parse) => {
                let outputs: Map<String, Value> =
                    parse.outputs.keys().map(|name| (name.clone(), json!("read"))).collect();
                done(Value::Object(outputs), Record::None)
            }
            Call::PullRequest(call) => self.pull_request(call),
            Call::Run(call) => self.run_program(call),
            Call::Compose { outputs } => done(json!(outputs), Record::None),
            Call::Fail { message } => failed(message.clone(), false),
            Call::Wait(_) | Call::Ask(_) | Call::Keep(_) => panic!("nobody carries it out"),
        }
    }

    /// Whether a run of the node hangs, and who asks for its end.
    pub(crate) fn hangs(&self, node: &Node) -> Option<Option<String>> {
        let name = node_name(node);
        let told = [&self.late, &self.lost];
        if told.iter().any(|told| told.get(&name).is_some_and(|(times, _)| *times > 0)) {
            return None;
        }
        let (times, person) = self.hanging.get(&node_name(node))?;
        (*times > 0).then(|| person.clone())
    }

    /// A run of a node is on record: what it was told counts as heard.
    pub(crate) fn recorded(&mut self, node: &Node) {
        for told in [&mut self.lost, &mut self.late] {
            if let Some((times, _)) = told.get_mut(&node_name(node)).filter(|(times, _)| *times > 0)
            {
                *times -= 1;
                return;
            }
        }
        if let Some((times, _)) = self.failures.get_mut(&node_name(node)) {
            *times = times.saturating_sub(1);
        }
        if let Some((times, _)) = self.hanging.get_mut(&node_name(node)) {
            *times = times.saturating_sub(1);
        }
    }

    /// A measurement is on record.
    pub(crate) fn measured(&mut self, check: &str) {
        if let Some(next) = self.measures.get_mut(check) {
            next.pop_front();
        }
    }

    fn clone_trees(&self, call: &CloneCall) -> StepOutcome {
        let mut commits = IndexMap::new();
        let mut branches = IndexMap::new();
        for checkout in &call.checkouts {
            let commit = match &checkout.at {
                CheckoutAt::Commit(commit) | CheckoutAt::Pinned { commit, .. } => commit.clone(),
                CheckoutAt::Branch(_) => self.tip(&call.repo).expect("the repository has a branch"),
            };
            if let CheckoutAt::Branch(branch) | CheckoutAt::Pinned { branch, .. } = &checkout.at {
                branches.insert(checkout.dir.clone(), branch.clone());
            }
            commits.insert(checkout.dir.clone(), commit);
        }
        let outputs = json!({ "commits": commits });
        done(
            outputs,
            Record::Clone(CloneRecord {
                repo: call.repo.clone(),
                commits,
                branches,
                paths: BTreeMap::new(),
            }),
        )
    }

    /// The working directory that these calls lead to.
    fn workdir(&self, calls: &[&Call]) -> BTreeMap<String, Checkout> {
        let mut dirs: BTreeMap<String, Checkout> = BTreeMap::new();
        for call in calls {
            match call {
                Call::GitClone(clone) => {
                    let StepOutcome::Done { record, .. } = self.clone_trees(clone) else {
                        panic!("a clone is done")
                    };
                    let record = record.as_clone().expect("a clone leaves trees").clone();
                    for (dir, commit) in record.commits {
                        let tree = self.commits[&commit].tree.clone();
                        dirs.insert(dir, Checkout { repo: record.repo.clone(), tree });
                    }
                }
                Call::YamlUpdate(update) => {
                    let (dir, file) = update.path.split_once('/').expect("a file in a checkout");
                    let checkout = dirs.get_mut(dir).expect("the directory is checked out");
                    for (key, value) in &update.updates {
                        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        checkout.tree.insert(format!("{file}#{key}"), value);
                    }
                }
                Call::GitCommit(_)
                | Call::GitPush(_)
                | Call::GitRevert(_)
                | Call::GitTag(_)
                | Call::GitUntag(_)
                | Call::PullRequest(_)
                | Call::TfPlan(_)
                | Call::TfApply(_)
                | Call::TfOutput(_)
                | Call::TfImport(_)
                | Call::Http(_)
                | Call::File(_)
                | Call::Download(_)
                | Call::Oci(_)
                | Call::Render(_)
                | Call::Chart(_)
                | Call::Parse(_)
                | Call::Run(_)
                | Call::Compose { .. }
                | Call::Fail { .. }
                | Call::Ask(_)
                | Call::Keep(_)
                | Call::Wait(_) => {}
            }
        }
        dirs
    }

    fn commit(&mut self, call: &CommitCall, rebuild: &[&Call]) -> StepOutcome {
        let checkout = self.workdir(rebuild).remove(&call.dir).expect("the checkout is there");
        assert_eq!(checkout.repo, call.repo);
        let base = self.commits[&call.base].tree.clone();
        let mut files: BTreeMap<String, FileChange> = BTreeMap::new();
        for (key, value) in &checkout.tree {
            if base.get(key) != Some(value) {
                let (path, _) = key.split_once('#').expect("a key in a file");
                let blob = |tree: &Tree| {
                    let in_file = tree.iter().filter(|(k, _)| k.starts_with(path));
                    in_file.map(|(k, v)| format!("{k}={v}")).reduce(|a, b| format!("{a} {b}"))
                };
                let change = FileChange {
                    path: path.to_owned(),
                    old_blob: blob(&base),
                    new_blob: blob(&checkout.tree),
                    patch: String::new(),
                };
                files.insert(path.to_owned(), change);
            }
        }
        let commit = (!files.is_empty()).then(|| {
            let (parent, mark) = (Some(call.base.clone()), call.mark.clone());
            self.commit_id(Commit { parent, tree: checkout.tree, mark })
        });
        let outputs = json!({ "changed": commit.is_some(), "commit": commit });
        let record = CommitRecord {
            dir: call.dir.clone(),
            repo: call.repo.clone(),
            base: call.base.clone(),
            commit,
            message: call.message.clone(),
            files: files.into_values().collect(),
        };
        done(outputs, Record::Commit(record))
    }

    fn push_commit(&mut self, call: &PushCall) -> StepOutcome {
        let Some(commit) = &call.commit else { return pushed(call, None) };
        let log = self.branches.get(&call.repo).cloned().unwrap_or_default();
        if let Some(there) = log.iter().find(|id| self.commits[*id].mark == call.mark) {
            return pushed(call, Some(there));
        }
        let tip = self.tip(&call.repo).expect("the branch is there");
        let own = self.commits[commit].clone();
        let base = own.parent.clone().expect("ours have a parent");
        let id = if base == tip {
            commit.clone()
        } else {
            // Others pushed before: the same changes on top of theirs.
            let mut tree = self.commits[&tip].tree.clone();
            for (key, value) in
                own.tree.iter().filter(|(k, v)| self.commits[&base].tree.get(*k) != Some(*v))
            {
                tree.insert(key.clone(), value.clone());
            }
            self.commit_id(Commit { parent: Some(tip), tree, mark: own.mark })
        };
        self.count(format!("push {}", call.mark));
        self.branches.get_mut(&call.repo).expect("the branch is there").push(id.clone());
        pushed(call, Some(&id))
    }

    fn tag(&mut self, call: &TagCall) -> StepOutcome {
        let (repo, tag) = (call.repo.clone(), call.tag.clone());
        let object = match &call.note {
            Some(note) => format!("annotation {}", note.mark),
            None => call.commit.clone(),
        };
        let name = format!("{repo} {tag}");
        let made = match self.tags.get(&name) {
            Some(there) if *there != object => {
                return failed(format!("tag {tag} is at {there}"), false);
            }
            Some(_) => call.note.is_some(),
            None => {
                self.count(format!("tag {tag}"));
                self.tags.insert(name, object.clone());
                true
            }
        };
        let record = TagRecord { repo, tag, object, made };
        done(json!({ "tag": call.tag, "made": made }), Record::Tag(record))
    }

    fn untag(&mut self, call: &UntagCall) -> StepOutcome {
        let name = format!("{} {}", call.repo, call.tag);
        match self.tags.get(&name) {
            Some(there) if *there != call.object => {
                failed(format!("tag {} is at {there} now", call.tag), false)
            }
            Some(_) | None => {
                self.tags.remove(&name);
                done(json!({}), Record::None)
            }
        }
    }

    fn oci(&mut self, call: &OciCall) -> StepOutcome {
        let name = |repo: &str, tag: &str| format!("{repo}:{tag}");
        match call {
            OciCall::Pull(_) => done(json!({ "size": 1 }), Record::None),
            OciCall::Look(OciLook { digest, repo, tag, .. }) => {
                let before = self.registry.get(&name(repo, tag)).cloned();
                let (repo, tag, digest) = (repo.clone(), tag.clone(), digest.clone());
                moved(&TagMove { repo, tag, digest, before }, OciRecord::Looked)
            }
            OciCall::Push(OciPush { wanted, digest, before, .. }) => {
                let (repo, tag) = (wanted.repo.clone(), wanted.tag.clone());
                let at = self.registry.get(&name(&repo, &tag)).cloned();
                if at.as_ref() != Some(digest) {
                    if at != *before {
                        return failed(format!("tag {tag} is at {at:?} now"), false);
                    }
                    self.count(format!("tag {tag}"));
                    self.registry.insert(name(&repo, &tag), digest.clone());
                }
                let (digest, before) = (digest.clone(), before.clone());
                moved(&TagMove { repo, tag, digest, before }, OciRecord::Pushed)
            }
            OciCall::PutBack(OciPutBack { repo, tag, before, .. }) => {
                match before {
                    Some(before) => {
                        self.registry.insert(name(repo, tag), before.clone());
                    }
                    None if self.nothing_removed => {
                        let what = format!("tag {tag} of {repo} stays");
                        return done(json!({}), Record::Oci(OciRecord::Left { what }));
                    }
                    None => {
                        self.registry.remove(&name(repo, tag));
                    }
                }
                done(json!({}), Record::None)
            }
            OciCall::Attach(OciAttach { repo, subject, mark, .. }) => {
                if self.attached.insert(mark.clone()) {
                    self.count(format!("attach {mark}"));
                }
                let (repo, subject, digest) = (repo.clone(), subject.clone(), mark.clone());
                let attached = OciDetach { repo, subject, digest, asks: Asks::No };
                done(json!({}), Record::Oci(OciRecord::Attached(attached)))
            }
            OciCall::Detach(OciDetach { digest, .. }) => {
                self.attached.remove(digest);
                done(json!({}), Record::None)
            }
        }
    }

    fn revert(&mut self, call: &RevertCall) -> StepOutcome {
        let mark = format!("undo {}", call.mark);
        let log = self.branches[&call.repo].clone();
        if log.iter().any(|id| self.commits[id].mark == mark) {
            return done(json!({}), Record::None);
        }
        let ours = self.commits[&call.commit].clone();
        let before = self.commits[ours.parent.as_ref().expect("ours have a parent")].tree.clone();
        let tip = self.tip(&call.repo).expect("the branch is there");
        let mut tree = self.commits[&tip].tree.clone();
        for (key, value) in ours.tree.iter().filter(|(k, v)| before.get(*k) != Some(*v)) {
            if tree.get(key) != Some(value) {
                let message = format!("others changed {key} since");
                return failed(message, false);
            }
            match before.get(key) {
                Some(value) => tree.insert(key.clone(), value.clone()),
                None => tree.remove(key),
            };
        }
        let id = self.commit_id(Commit { parent: Some(tip), tree, mark: mark.clone() });
        self.count(mark);
        self.branches.get_mut(&call.repo).expect("the branch is there").push(id);
        done(json!({}), Record::None)
    }

    /// What the module in a directory wants: a resource per variable, and one per value of its file
    /// `module`.
    fn wanted(&self, call: &PlanCall, rebuild: &[&Call], before: &Tree) -> Tree {
        if !call.destroy.is_empty() {
            let mut left = before.clone();
            for address in &call.destroy {
                left.remove(address);
                left.retain(|other, _| self.dependents.get(other) != Some(address));
            }
            return left;
        }
        if call.options.goal == PlanGoal::Destruction {
            let targets = &call.options.targets;
            let is_left = |(address, _): &(&String, &String)| {
                !targets.is_empty() && !targets.contains(*address)
            };
            let left = before.iter().filter(is_left);
            return left.map(|(address, value)| (address.clone(), value.clone())).collect();
        }
        let workdir = self.workdir(rebuild);
        let checkout = workdir.get(&call.dir).expect("the module is checked out");
        let of_file = checkout.tree.iter().filter_map(|(key, value)| {
            Some((format!("x.{}", key.strip_prefix("module#")?), value.clone()))
        });
        let of_vars = call.vars.iter().map(|(name, value)| {
            (format!("x.{name}"), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        });
        of_file.chain(of_vars).collect()
    }

    fn plan(&mut self, call: &PlanCall, rebuild: &[&Call]) -> StepOutcome {
        let name = named(call);
        let before = self.states.get(&name).cloned().unwrap_or_default();
        let wanted = self.wanted(call, rebuild, &before.resources);
        let mut changes = Vec::new();
        let addresses: BTreeSet<&String> = before.resources.keys().chain(wanted.keys()).collect();
        for address in addresses {
            let (old, new) = (before.resources.get(address), wanted.get(address));
            let import = call.options.imports.get(address).filter(|_| old.is_none());
            let old = if import.is_some() { new } else { old };
            let action = match (old, new) {
                (None, _) => "create",
                (_, None) => "delete",
                (Some(old), Some(new)) if old == new => "no-op",
                (Some(_), Some(_)) => "update",
            };
            changes.push(json!({ "address": address, "mode": "managed", "change": {
                "actions": [action], "before": old, "after": new,
                "importing": import.map(|id| json!({ "id": id })),
            }}));
        }
        let drifted = self.drifted.extract_if(.., |(state, _)| *state == call.state);
        let drifted = drifted.map(|(_, address)| {
            let change = json!({ "actions": ["update"], "before": "is", "after": "other" });
            json!({ "address": address, "mode": "managed", "change": change })
        });
        let drifted: Vec<Value> = drifted.collect();
        let changed = before.resources != wanted;
        let unknown = changed && self.url_unknown_at_plan;
        let (old, new) = (url_of(&before.resources), url_of(&wanted));
        let action = if old == new { "no-op" } else { "update" };
        let document = json!({
            "format_version": "1.2",
            "resource_changes": changes,
            "resource_drift": drifted,
            "output_changes": { "url": {
                "actions": [action], "before": old, "after": new, "after_unknown": unknown,
            }},
        });
        let plan = Plan::from_value(&document).expect("a plan");
        let outputs = plan.outputs().into_iter().map(|(name, output)| {
            (name, output.value.map_or(PlannedOutput::Unknown, PlannedOutput::Known))
        });
        let file_digest = format!("{name}@{}:{document}", before.serial);
        let after = State { serial: before.serial + 1, resources: wanted };
        self.plans.insert(file_digest.clone(), (name.clone(), after));
        let left_out = call.options.skip_unchanged == SkipUnchanged::Always && !changed;
        let unchanged = left_out.then(|| "as it was left".to_owned());
        let record = PlanRecord {
            call: call.clone(),
            file_digest,
            file: "plan".to_owned(),
            summary: PlanSummary { unchanged, ..plan.summary() },
            inputs: None,
            semantic_digest: plan.semantic_digest(b"key"),
            outputs: outputs.collect(),
            state: (before.serial > 0).then_some((name, before.serial)),
            text: None,
        };
        let outputs = json!({ "has_changes": record.summary.has_changes });
        done(outputs, Record::Plan(Box::new(record)))
    }

    fn apply(&mut self, call: &ApplyCall) -> StepOutcome {
        let key = format!("apply {} {}", call.run, call.plan.call.state);
        let run = format!("{key} {}", call.plan.file_digest);
        if let Some(ended) = self.applies.get(&run) {
            return ended.clone();
        }
        if let Some((name, values)) = self.meddling.pop_front().flatten() {
            let state = self.states.entry(name).or_default();
            state.serial += 1;
            state.resources.extend(values);
        }
        let (name, after) = self.plans[&call.plan.file_digest].clone();
        let state = self.states.entry(name).or_default();
        if state.serial + 1 != after.serial {
            let message = "the state was changed after the plan was made".to_owned();
            let (retry, retry_after, record, seen) = (false, None, Record::Stale, Seen::Unsaid);
            let ended = StepOutcome::Failed { message, retry, retry_after, record, seen };
            self.applies.insert(run, ended.clone());
            return ended;
        }
        *state = after;
        let created = call.plan.summary.addresses.get(&Action::Create);
        let created = created.into_iter().flatten().map(ToString::to_string).collect();
        let ended = done(json!({ "applied": true }), Record::Applied(Applied { created }));
        self.applies.insert(run, ended.clone());
        self.count(key);
        ended
    }

    fn send(&mut self, call: &HttpCall) -> StepOutcome {
        let key = call.headers["Idempotency-Key"].clone();
        let first = self.requests.insert(key.clone());
        // The receiver knows the key; what must be sent at most once is counted each time that it is sent.
        let asks = call.asks != Asks::No;
        self.asked_first += u32::from(asks);
        if call.asks == Asks::Only && first {
            self.requests.remove(&key);
            return StepOutcome::Failed {
                message: "it has not happened".to_owned(),
                retry: false,
                retry_after: None,
                record: Record::None,
                seen: Seen::Unsaid,
            };
        }
        if first || call.at_most_once && !asks {
            self.count(format!("{} {} {key}", call.method, call.url));
        }
        let outputs = call.outputs.keys().map(|name| (name.clone(), json!(format!("the {name}"))));
        let outputs: Map<String, Value> = outputs.collect();
        StepOutcome::Done { outputs, record: Record::None }
    }

    /// A program that looks for its key, and does nothing twice unless it must be run at most once.
    fn run_program(&mut self, call: &RunCall) -> StepOutcome {
        let Some(effect) = &call.effect else {
            return done(json!({ "stdout": "made" }), Record::None);
        };
        let first = self.requests.insert(call.key.clone());
        if first || effect.at_most_once {
            self.count(format!("{} {}", call.program(), call.key));
        }
        let record = RanRecord { ended: "exit code 0".to_owned(), output: String::new() };
        done(json!({ "stdout": "done" }), Record::Ran(record))
    }

    fn count(&mut self, effect: String) {
        *self.effects.entry(effect).or_default() += 1;
    }

    fn tag_moved(&self, base: &TagMove) -> Option<String> {
        let now = self.registry.get(&format!("{}:{}", base.repo, base.tag));
        (now != base.before.as_ref()).then(|| format!("tag {} moved", base.tag))
    }

    pub(crate) fn probe(&self, bases: &[Base]) -> Vec<String> {
        let moved = bases.iter().filter_map(|base| match base {
            Base::Branch { repo, branch, commit } => {
                let tip = self.tip(repo)?;
                (tip != *commit)
                    .then(|| format!("branch {branch} of {repo} moved from {commit} to {tip}"))
            }
            Base::Tag(base) => self.tag_moved(base),
            Base::State { plan, .. } => {
                let serial = self.states.get(&plan.call.state).map_or(0, |state| state.serial);
                let planned = plan.state.as_ref().map_or(0, |(_, serial)| *serial);
                (serial != planned).then(|| format!("state {} moved", plan.call.state))
            }
        });
        moved.collect()
    }

    pub(crate) fn measure(&self, check: &FrozenCheck, at: Timestamp) -> Measurement {
        let next = self.measures.get(&check.name).and_then(VecDeque::front);
        let measured = next.copied().unwrap_or(Measured::Pass);
        let detail = match measured {
            Measured::Pass => "as it should be",
            Measured::Fail => "too many errors",
            Measured::Unknown => "no sample",
        };
        let (check, detail) = (check.name.clone(), detail.to_owned());
        Measurement { check, at, measured, detail, evidence: Value::Null }
    }
}

fn node_name(node: &Node) -> String {
    match node {
        Node::Step(step) => step.to_string(),
        Node::Replan(step) => format!("replan-{step}"),
        Node::UndoPlan(step) => format!("undo-plan-{step}"),
        Node::Excess(step) => format!("excess-{step}"),
        Node::Undo(step) => format!("undo-{step}"),
    }
}

/// The URL of a repository.
pub(crate) fn url(repo: &str) -> String {
    format!("https://git.example/{repo}")
}

/// The state that a plan is made against: one for each workspace.
fn named(call: &PlanCall) -> String {
    match &call.options.workspace {
        Some(workspace) => format!("{} in {workspace}", call.state),
        None => call.state.clone(),
    }
}

fn url_of(resources: &Tree) -> Option<String> {
    resources.get("x.version").map(|version| format!("https://v{version}.example"))
}

fn done(outputs: Value, record: Record) -> StepOutcome {
    let Value::Object(outputs) = outputs else { panic!("outputs are an object") };
    StepOutcome::Done { outputs, record }
}

fn moved(moved: &TagMove, record: impl Fn(TagMove) -> OciRecord) -> StepOutcome {
    let TagMove { repo, tag, digest, .. } = moved;
    let outputs = json!({ "digest": digest, "pinned": format!("{repo}@{digest}"),
        "ref": format!("{repo}:{tag}"), "repo": repo, "tag": tag });
    done(outputs, Record::Oci(record(moved.clone())))
}

fn pushed(call: &PushCall, commit: Option<&String>) -> StepOutcome {
    let record = PushRecord {
        repo: call.repo.clone(),
        branch: call.branch.clone(),
        commit: commit.cloned(),
        mark: call.mark.clone(),
        created: false,
    };
    done(json!({ "branch": call.branch, "commit": commit }), Record::Push(record))
}

fn failed(message: String, retry: bool) -> StepOutcome {
    let (retry_after, record, seen) = (None, Record::None, Seen::Unsaid);
    StepOutcome::Failed { message, retry, retry_after, record, seen }
}
