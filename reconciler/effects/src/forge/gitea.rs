//! Gitea and Forgejo.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use reconciler_domain::step::MergeMethod;
use serde::Deserialize;
use serde_json::json;

use super::link::Link;
use super::{
    Comment, Forge, ForgeError, Merging, NewPullRequest, PullRequest, Readiness, Standing,
};

pub(super) struct Gitea<'a> {
    pub(super) link: Link<'a>,
    pub(super) owner: String,
    pub(super) name: String,
}

/// Of a pull request, what matters.
#[derive(Deserialize)]
struct Pull {
    number: u64,
    html_url: String,
    state: String,
    body: Option<String>,
    #[serde(default)]
    merged: bool,
    merge_commit_sha: Option<String>,
    /// False, too, while it is being found out.
    #[serde(default)]
    mergeable: bool,
    head: End,
    base: End,
}

/// One end of a pull request.
#[derive(Deserialize)]
struct End {
    /// The branch's name; `ref` is another once the branch is gone.
    #[serde(rename = "label")]
    branch: String,
    sha: Option<String>,
    repo_id: Option<i64>,
}

#[derive(Deserialize)]
struct Label {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct Said {
    html_url: String,
    body: Option<String>,
}

#[async_trait]
impl Forge for Gitea<'_> {
    async fn find(&self, source: &str, target: &str) -> Result<Vec<PullRequest>, ForgeError> {
        // It has no filter by branches that every version knows.
        let query = [("state", "all"), ("sort", "recentupdate"), ("limit", "50")];
        let pulls: Vec<Pull> = self.link.list(&self.path(&["pulls"]), &query).await?;
        let wanted = |pull: &Pull| {
            pull.head.branch == source
                && pull.base.branch == target
                && pull.head.repo_id.is_some()
                && pull.head.repo_id == pull.base.repo_id
        };
        let mut found: Vec<PullRequest> =
            pulls.into_iter().filter(wanted).map(Pull::known).collect();
        found.sort_by_key(|pull| std::cmp::Reverse(pull.number));
        Ok(found)
    }

    async fn read(&self, number: u64) -> Result<PullRequest, ForgeError> {
        let pull: Pull = self.link.get(&self.path(&["pulls", &number.to_string()])).await?;
        Ok(pull.known())
    }

    async fn open(&self, new: &NewPullRequest<'_>) -> Result<Option<PullRequest>, ForgeError> {
        let title = if new.draft { format!("WIP: {}", new.title) } else { new.title.to_owned() };
        let body = json!({
            "title": title, "head": new.source, "base": new.target, "body": new.body,
        });
        match self.link.tell::<Pull>(Method::POST, &self.path(&["pulls"]), &body).await {
            Ok(pull) => Ok(Some(pull.known())),
            Err(error) => match error.refused() {
                Some((409, _)) => Ok(None),
                Some(_) | None => Err(error),
            },
        }
    }

    async fn label(&self, number: u64, labels: &[String]) -> Result<(), ForgeError> {
        let known = self.labels().await?;
        let id = |name: &String| {
            known.get(name).copied().ok_or_else(|| ForgeError::NoLabel { name: name.clone() })
        };
        let ids: Vec<u64> = labels.iter().map(id).collect::<Result<_, _>>()?;
        let number = number.to_string();
        let path = self.path(&["issues", &number, "labels"]);
        self.link.order(Method::POST, &path, &json!({ "labels": ids })).await
    }

    async fn merge(
        &self,
        number: u64,
        method: MergeMethod,
        head: &str,
    ) -> Result<Merging, ForgeError> {
        let number = number.to_string();
        let path = self.path(&["pulls", &number, "merge"]);
        let body = json!({ "Do": method.word(), "head_commit_id": head });
        match self.link.order(Method::POST, &path, &body).await {
            Ok(()) => Ok(Merging::Accepted),
            Err(error) => match error.refused() {
                Some((405 | 409, said)) => Ok(Merging::NotNow(said.to_owned())),
                Some(_) | None => Err(error),
            },
        }
    }

    async fn close(&self, number: u64) -> Result<(), ForgeError> {
        let number = number.to_string();
        let path = self.path(&["pulls", &number]);
        self.link.order(Method::PATCH, &path, &json!({ "state": "closed" })).await
    }

    async fn comments(&self, number: u64) -> Result<Vec<Comment>, ForgeError> {
        let number = number.to_string();
        let path = self.path(&["issues", &number, "comments"]);
        let said: Vec<Said> = self.link.get(&path).await?;
        Ok(said.into_iter().map(Said::known).collect())
    }

    async fn comment(&self, number: u64, text: &str) -> Result<Comment, ForgeError> {
        let number = number.to_string();
        let path = self.path(&["issues", &number, "comments"]);
        let said: Said = self.link.tell(Method::POST, &path, &json!({ "body": text })).await?;
        Ok(said.known())
    }
}

impl Gitea<'_> {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        [&["repos", self.owner.as_str(), self.name.as_str()][..], below].concat()
    }

    /// The labels that may be given here, by name: the repository's, and its organisation's if it is of
    /// one.
    async fn labels(&self) -> Result<BTreeMap<String, u64>, ForgeError> {
        let query = [("limit", "50")];
        let of_all = self.link.list::<Label>(&["orgs", &self.owner, "labels"], &query).await;
        let of_all = match of_all {
            Err(ForgeError::NotFound { .. } | ForgeError::Forbidden { .. }) => Vec::new(),
            other => other?,
        };
        let own: Vec<Label> = self.link.list(&self.path(&["labels"]), &query).await?;
        Ok(of_all.into_iter().chain(own).map(|label| (label.name, label.id)).collect())
    }
}

impl Pull {
    fn known(self) -> PullRequest {
        let standing = match (self.merged, self.state.as_str(), self.mergeable) {
            (true, ..) => Standing::Merged { commit: self.merge_commit_sha },
            (false, "open", true) => Standing::Open(Readiness::Ready),
            (false, "open", false) => Standing::Open(Readiness::not_yet(
                "it cannot be merged as it is, or that is still being found out",
                false,
            )),
            (false, _, _) => Standing::Closed,
        };
        PullRequest {
            number: self.number,
            url: self.html_url,
            body: self.body.unwrap_or_default(),
            target: self.base.branch,
            head: self.head.sha,
            standing,
        }
    }
}

impl Said {
    fn known(self) -> Comment {
        Comment { url: self.html_url, body: self.body.unwrap_or_default() }
    }
}
