//! GitLab, where a pull request is a merge request.

use async_trait::async_trait;
use http::Method;
use reconciler_domain::step::MergeMethod;
use serde::Deserialize;
use serde_json::json;

use super::link::Link;
use super::{
    Comment, Forge, ForgeError, Merging, NewPullRequest, PullRequest, Readiness, Standing,
};

pub(super) struct GitLab<'a> {
    pub(super) link: Link<'a>,
    /// The project with its groups.
    pub(super) project: String,
}

/// Of a merge request, what matters.
#[derive(Deserialize)]
struct MergeRequest {
    iid: u64,
    web_url: String,
    state: String,
    description: Option<String>,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    target_project_id: Option<u64>,
    /// The source's commit; null while it is being found out.
    sha: Option<String>,
    merge_commit_sha: Option<String>,
    squash_commit_sha: Option<String>,
    detailed_merge_status: Option<String>,
}

#[derive(Deserialize)]
struct Note {
    id: u64,
    body: String,
}

#[async_trait]
impl Forge for GitLab<'_> {
    async fn find(&self, source: &str, target: &str) -> Result<Vec<PullRequest>, ForgeError> {
        let query = [
            ("scope", "all"),
            ("state", "all"),
            ("source_branch", source),
            ("target_branch", target),
            ("order_by", "created_at"),
            ("sort", "desc"),
            ("per_page", "100"),
        ];
        let path = self.path(&[]);
        let found: Vec<MergeRequest> = self.link.list(&path, &query).await?;
        let wanted = |found: &MergeRequest| {
            found.source_branch == source
                && found.target_branch == target
                && found.source_project_id.is_some()
                && found.source_project_id == found.target_project_id
        };
        Ok(found.into_iter().filter(wanted).map(MergeRequest::known).collect())
    }

    async fn read(&self, number: u64) -> Result<PullRequest, ForgeError> {
        let found: MergeRequest = self.link.get(&self.path(&[&number.to_string()])).await?;
        Ok(found.known())
    }

    async fn open(&self, new: &NewPullRequest<'_>) -> Result<Option<PullRequest>, ForgeError> {
        let title = if new.draft { format!("Draft: {}", new.title) } else { new.title.to_owned() };
        let body = json!({
            "title": title, "source_branch": new.source, "target_branch": new.target,
            "description": new.body,
        });
        match self.link.tell::<MergeRequest>(Method::POST, &self.path(&[]), &body).await {
            Ok(opened) => Ok(Some(opened.known())),
            Err(error) => match error.refused() {
                Some((409, _)) => Ok(None),
                Some(_) | None => Err(error),
            },
        }
    }

    async fn label(&self, number: u64, labels: &[String]) -> Result<(), ForgeError> {
        let body = json!({ "add_labels": labels.join(",") });
        self.link.order(Method::PUT, &self.path(&[&number.to_string()]), &body).await
    }

    async fn merge(
        &self,
        number: u64,
        method: MergeMethod,
        head: &str,
    ) -> Result<Merging, ForgeError> {
        let body = json!({ "sha": head, "squash": method == MergeMethod::Squash });
        let number = number.to_string();
        match self.link.order(Method::PUT, &self.path(&[&number, "merge"]), &body).await {
            Ok(()) => Ok(Merging::Accepted),
            Err(error) => match error.refused() {
                Some((405 | 406 | 409 | 422, said)) => Ok(Merging::NotNow(said.to_owned())),
                Some(_) | None => Err(error),
            },
        }
    }

    async fn close(&self, number: u64) -> Result<(), ForgeError> {
        let body = json!({ "state_event": "close" });
        self.link.order(Method::PUT, &self.path(&[&number.to_string()]), &body).await
    }

    async fn comments(&self, number: u64) -> Result<Vec<Comment>, ForgeError> {
        let found = self.read(number).await?;
        let number = number.to_string();
        let path = self.path(&[&number, "notes"]);
        let notes: Vec<Note> = self.link.list(&path, &[("per_page", "100")]).await?;
        Ok(notes.into_iter().map(|note| note.known(&found.url)).collect())
    }

    async fn comment(&self, number: u64, text: &str) -> Result<Comment, ForgeError> {
        let found = self.read(number).await?;
        let number = number.to_string();
        let path = self.path(&[&number, "notes"]);
        let note: Note = self.link.tell(Method::POST, &path, &json!({ "body": text })).await?;
        Ok(note.known(&found.url))
    }
}

impl GitLab<'_> {
    fn path<'a>(&'a self, below: &[&'a str]) -> Vec<&'a str> {
        [&["projects", self.project.as_str(), "merge_requests"][..], below].concat()
    }
}

impl MergeRequest {
    fn known(self) -> PullRequest {
        let standing = match self.state.as_str() {
            // Without a merge commit its own commits became the target's.
            "merged" => Standing::Merged {
                commit: [&self.merge_commit_sha, &self.squash_commit_sha, &self.sha]
                    .into_iter()
                    .find_map(Option::clone),
            },
            "opened" => Standing::Open(self.readiness()),
            "locked" => Standing::Open(Readiness::not_yet("it is being merged", false)),
            _ => Standing::Closed,
        };
        PullRequest {
            number: self.iid,
            url: self.web_url,
            body: self.description.unwrap_or_default(),
            target: self.target_branch,
            head: self.sha,
            standing,
        }
    }

    fn readiness(&self) -> Readiness {
        match self.detailed_merge_status.as_deref() {
            None | Some("mergeable") => Readiness::Ready,
            Some(status @ ("checking" | "unchecked" | "preparing" | "approvals_syncing")) => {
                Readiness::not_yet(format!("GitLab is still finding out ({status})"), false)
            }
            Some(status) => Readiness::not_yet(format!("GitLab says {status}"), true),
        }
    }
}

impl Note {
    fn known(self, of: &str) -> Comment {
        Comment { url: format!("{of}#note_{}", self.id), body: self.body }
    }
}
