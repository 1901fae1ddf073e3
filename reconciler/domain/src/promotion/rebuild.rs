//! The working directories of a promotion, and what fills them again when they are lost.

use super::{Node, State};
use crate::id::StepName;
use crate::step::{
    Call, CheckoutAt, OciCall, Record, Step, StepOutcome, Workdir, seen_by, workdir,
};

impl State {
    /// The working directory of a step.
    #[must_use]
    pub fn workdir(&self, step: &StepName) -> Workdir {
        workdir(self.steps(), step)
    }

    /// The working directory of a node.
    #[must_use]
    pub fn workdir_of(&self, node: &Node) -> Workdir {
        match node {
            Node::Step(step) | Node::Replan(step) | Node::Excess(step) => self.workdir(step),
            Node::UndoPlan(_) | Node::Undo(_) => Workdir::Undo,
        }
    }

    /// The local calls that fill the lost working directory of a step again, in order, with every
    /// branch pinned to the commit that it meant when it was first looked up.
    #[must_use]
    pub fn rebuild(&self, step: &StepName) -> Vec<(StepName, Call)> {
        self.rebuild_of(seen_by(self.steps(), step))
    }

    pub(super) fn rebuild_of<'a>(
        &self,
        steps: impl Iterator<Item = &'a Step>,
    ) -> Vec<(StepName, Call)> {
        let mut calls = Vec::new();
        for step in steps {
            let run = self.nodes.get(&Node::Step(step.name.clone()));
            let committed =
                run.filter(|run| matches!(run.outcome, Some((_, StepOutcome::Done { .. }))));
            let call = committed
                .map(|run| &run.call)
                .or_else(|| self.prepared.get(&step.name).and_then(|done| done.call.as_ref()));
            let record = self.done(&step.name).map(|(_, record)| record);
            match call {
                Some(Call::GitClone(clone)) => {
                    let mut clone = clone.clone();
                    let found = record.and_then(Record::as_clone);
                    for checkout in &mut clone.checkouts {
                        pin(&mut checkout.at, found.and_then(|f| f.commits.get(&checkout.dir)));
                    }
                    calls.push((step.name.clone(), Call::GitClone(clone)));
                }
                Some(Call::Oci(call @ OciCall::Pull(_))) => {
                    let found = record.and_then(Record::as_oci);
                    calls.push((step.name.clone(), Call::Oci(call.clone().pinned(found))));
                }
                Some(Call::Chart(call)) => {
                    let call =
                        record.map_or_else(|| call.clone(), |record| call.clone().pinned(record));
                    calls.push((step.name.clone(), Call::Chart(call)));
                }
                Some(
                    call @ (Call::YamlUpdate(_)
                    | Call::GitCommit(_)
                    | Call::File(_)
                    | Call::Download(_)
                    | Call::Render(_)),
                ) => {
                    calls.push((step.name.clone(), call.clone()));
                }
                Some(call @ Call::Run(run)) if run.effect.is_none() => {
                    calls.push((step.name.clone(), call.clone()));
                }
                Some(
                    Call::GitPush(_)
                    | Call::GitRevert(_)
                    | Call::GitTag(_)
                    | Call::GitUntag(_)
                    | Call::TfPlan(_)
                    | Call::TfApply(_)
                    | Call::TfOutput(_)
                    | Call::TfImport(_)
                    | Call::Http(_)
                    | Call::Oci(
                        OciCall::Look(_)
                        | OciCall::Push(_)
                        | OciCall::PutBack(_)
                        | OciCall::Attach(_)
                        | OciCall::Detach(_),
                    )
                    | Call::Parse(_)
                    | Call::PullRequest(_)
                    | Call::Run(_)
                    | Call::Compose { .. }
                    | Call::Fail { .. }
                    | Call::Ask(_)
                    | Call::Keep(_)
                    | Call::Wait(_),
                )
                | None => {}
            }
        }
        calls
    }
}

fn pin(at: &mut CheckoutAt, commit: Option<&String>) {
    if let (CheckoutAt::Branch(branch), Some(commit)) = (&*at, commit) {
        *at = CheckoutAt::Pinned { branch: branch.clone(), commit: commit.clone() };
    }
}
