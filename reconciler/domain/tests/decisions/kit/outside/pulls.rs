//! Pull requests of the world outside. People are quick there: who waits for one finds it merged.

use reconciler_domain::step::{
    CloseCall, MergeMethod, MergedRecord, OpenCall, OpenedRecord, PullRequestAt, PullRequestCall,
    PullRequestRecord, Record, StepOutcome,
};
use serde_json::json;

use super::{Commit, Outside, done, failed};

/// A pull request.
#[derive(Debug, Clone)]
pub(super) struct Pull {
    repo: String,
    target: String,
    mark: String,
    state: &'static str,
    /// The commit by which it was merged.
    commit: Option<String>,
}

impl Outside {
    pub(super) fn pull_request(&mut self, call: &PullRequestCall) -> StepOutcome {
        match call {
            PullRequestCall::Open(call) => self.open(call),
            PullRequestCall::Await(call) => self.merged(&call.at, true),
            PullRequestCall::Merge(call) => {
                assert!(call.at.number.is_none() || call.head.is_some(), "the head is pinned");
                self.merged(&call.at, call.method != MergeMethod::Rebase)
            }
            PullRequestCall::Close(call) => self.close(call),
            PullRequestCall::Comment(call) => {
                self.count(format!("comment {}", call.mark));
                done(json!({ "url": "https://git.example/comment" }), Record::None)
            }
        }
    }

    pub(super) fn describe_pulls(&self) -> impl Iterator<Item = String> {
        let pulls = self.pulls.iter().zip(1..);
        pulls.map(|(pull, number)| format!("pull request {number}: {}", pull.state))
    }

    fn open(&mut self, call: &OpenCall) -> StepOutcome {
        if call.nothing_pushed {
            return done(json!({ "number": null, "url": null, "state": "none" }), Record::None);
        }
        let known = self.pulls.iter().position(|pull| pull.mark == call.mark);
        let at = known.unwrap_or_else(|| {
            self.count(format!("pull request {}", call.mark));
            self.pulls.push(Pull {
                repo: call.repo.clone(),
                target: call.target.clone(),
                mark: call.mark.clone(),
                state: "open",
                commit: None,
            });
            self.pulls.len() - 1
        });
        let number = u64::try_from(at).expect("a small number") + 1;
        let record = OpenedRecord {
            target: call.target.clone(),
            forge: call.forge,
            repo: call.repo.clone(),
            number,
            source: call.source.clone(),
            head: self.tip(&call.repo).expect("the repository has a branch"),
            made: true,
            mark: call.mark.clone(),
        };
        let outputs = json!({ "number": number, "url": format!("https://git.example/{number}"),
            "state": self.pulls[at].state });
        done(outputs, Record::PullRequest(PullRequestRecord::Opened(record)))
    }

    fn merged(&mut self, at: &PullRequestAt, whole: bool) -> StepOutcome {
        let Some(number) = at.number else {
            return done(json!({ "commit": null, "merged": false }), Record::None);
        };
        let index = usize::try_from(number).expect("a small number") - 1;
        let Pull { repo, target, commit, .. } = self.pulls[index].clone();
        let commit = commit.unwrap_or_else(|| {
            let parent = self.tip(&repo);
            let mut tree =
                parent.as_ref().map(|tip| self.commits[tip].tree.clone()).unwrap_or_default();
            tree.insert("merged#number".to_owned(), number.to_string());
            let id = self.commit_id(Commit { parent, tree, mark: format!("merge {number}") });
            self.branches.entry(repo.clone()).or_default().push(id.clone());
            id
        });
        self.pulls[index].state = "merged";
        self.pulls[index].commit = Some(commit.clone());
        let outputs = json!({ "commit": commit, "merged": true });
        let record = MergedRecord { repo, number, target, commit: Some(commit), whole };
        done(outputs, Record::PullRequest(PullRequestRecord::Merged(record)))
    }

    fn close(&mut self, call: &CloseCall) -> StepOutcome {
        let Some(number) = call.at.number else { return done(json!({}), Record::None) };
        let pull = &mut self.pulls[usize::try_from(number).expect("a small number") - 1];
        if pull.state == "merged" {
            return failed(format!("pull request {number} is merged"), false);
        }
        assert!(call.mark.as_ref().is_none_or(|mark| *mark == pull.mark), "it is ours");
        pull.state = "closed";
        done(json!({}), Record::None)
    }
}
