//! GitHub and GitHub Enterprise Server.

use async_trait::async_trait;
use http::Method;
use reconciler_domain::step::MergeMethod;
use serde::Deserialize;
use serde_json::json;

use super::link::Link;
use super::{
    Comment, Forge, ForgeError, Merging, NewPullRequest, PullRequest, Readiness, Standing,
};

pub(super) struct GitHub<'a> {
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
    merged_at: Option<String>,
    merge_commit_sha: Option<String>,
    #[serde(default)]
    draft: bool,
    /// Null while it is being found out; not in lists.
    mergeable: Option<bool>,
    mergeable_state: Option<String>,
    head: End,
    base: End,
}

/// One end of a pull request.
#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    /// Null where the repository is gone.
    repo: Option<Repository>,
}

#[derive(Deserialize, PartialEq)]
struct Repository {
    id: u64,
}

#[derive(Deserialize)]
struct Said {
    html_url: String,
    body: Option<String>,
}

#[async_trait]
impl Forge for GitHub<'_> {
    async fn find(&self, source: &str, target: &str) -> Result<Vec<PullRequest>, ForgeError> {
        let head = format!("{}:{source}", self.owner);
        let query = [
            ("state", "all"),
            ("head", &head),
            ("base", target),
            ("sort", "created"),
            ("direction", "desc"),
            ("per_page", "100"),
        ];
        let pulls: Vec<Pull> = self.link.list(&self.path(&["pulls"]), &query).await?;
        let wanted = |pull: &Pull| {
            pull.head.branch == source
                && pull.base.branch == target
                && pull.head.repo.is_some()
                && pull.head.repo == pull.base.repo
        };
        Ok(pulls.into_iter().filter(wanted).map(Pull::known).collect())
    }

    async fn read(&self, number: u64) -> Result<PullRequest, ForgeError> {
        let pull: Pull = self.link.get(&self.path(&["pulls", &number.to_string()])).await?;
        Ok(pull.known())
    }

    async fn open(&self, new: &NewPullRequest<'_>) -> Result<Option<PullRequest>, ForgeError> {
        let body = json!({
            "title": new.title, "head": new.source, "base": new.target, "body": new.body,
            "draft": new.draft,
        });
        match self.link.tell::<Pull>(Method::POST, &self.path(&["pulls"]), &body).await {
            Ok(pull) => Ok(Some(pull.known())),
            Err(error) => match error.refused() {
                Some((422, said)) if said.contains("already exists") => Ok(None),
                Some(_) | None => Err(error),
            },
        }
    }

    async fn label(&self, number: u64, labels: &[String]) -> Result<(), ForgeError> {
        let number = number.to_string();
        let path = self.path(&["issues", &number, "labels"]);
        self.link.order(Method::POST, &path, &json!({ "labels": labels })).await
    }

    async fn merge(
        &self,
        number: u64,
        method: MergeMethod,
        head: &str,
    ) -> Result<Merging, ForgeError> {
        let number = number.to_string();
        let path = self.path(&["pulls", &number, "merge"]);
        let body = json!({ "merge_method": method.word(), "sha": head });
        match self.link.order(Method::PUT, &path, &body).await {
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
        let said: Vec<Said> = self.link.list(&path, &[("per_page", "100")]).await?;
        Ok(said.into_iter().map(Said::known).collect())
    }

    async fn comment(&self, number: u64, text: &str) -> Result<Comment, ForgeError> {
        let number = number.to_string();
        let path = self.path(&["issues", &number, "comments"]);
        let said: Said = self.link.tell(Method::POST, &path, &json!({ "body": text })).await?;
        Ok(said.known())
    }
}

impl GitHub<'_> {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        [&["repos", self.owner.as_str(), self.name.as_str()][..], below].concat()
    }
}

impl Pull {
    fn known(self) -> PullRequest {
        let standing = if self.merged_at.is_some() {
            Standing::Merged { commit: self.merge_commit_sha.clone() }
        } else if self.state == "open" {
            Standing::Open(self.readiness())
        } else {
            Standing::Closed
        };
        PullRequest {
            number: self.number,
            url: self.html_url,
            body: self.body.unwrap_or_default(),
            target: self.base.branch,
            head: Some(self.head.sha),
            standing,
        }
    }

    fn readiness(&self) -> Readiness {
        match (self.draft, self.mergeable, self.mergeable_state.as_deref()) {
            (true, ..) => Readiness::not_yet("it is a draft", true),
            (_, Some(false), _) => Readiness::not_yet("it conflicts with its target", true),
            (_, None, _) => {
                Readiness::not_yet("GitHub is still finding out whether it conflicts", false)
            }
            (_, Some(true), Some("blocked")) => {
                Readiness::not_yet("checks or reviews that its target asks for are missing", true)
            }
            (_, Some(true), Some(_) | None) => Readiness::Ready,
        }
    }
}

impl Said {
    fn known(self) -> Comment {
        Comment { url: self.html_url, body: self.body.unwrap_or_default() }
    }
}
