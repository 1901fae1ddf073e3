//! Requests and answers in the three dialects.

use std::collections::HashMap;

use axum::extract::Query;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::{Dialect, How, Inner, No, Pull, REPOSITORY, Standing};

/// Entries of a page, whatever was asked for.
const PAGE: usize = 2;
/// Labels that Gitea's repository has.
const LABELS: [&str; 3] = ["one", "two", "lockstep"];

impl Inner {
    pub(super) fn speak(&self, method: &Method, uri: &Uri, body: &Value) -> Response {
        let query = Query::<HashMap<String, String>>::try_from_uri(uri);
        let query = query.map(|Query(query)| query).unwrap_or_default();
        let (owner, name) = REPOSITORY.split_once('/').unwrap_or_default();
        let project = REPOSITORY.replace('/', "%2F");
        let path: Vec<&str> = uri.path().trim_start_matches("/api/").split('/').collect();
        match (self.dialect, path.as_slice()) {
            (Dialect::GitHub, ["v3", "repos", o, n, rest @ ..]) if (*o, *n) == (owner, name) => {
                self.github(method, rest, &query, body)
            }
            (Dialect::GitLab, ["v4", "projects", id, "merge_requests", rest @ ..])
                if *id == project =>
            {
                self.gitlab(method, rest, &query, body)
            }
            (Dialect::Gitea, ["v1", "repos", o, n, rest @ ..]) if (*o, *n) == (owner, name) => {
                self.gitea(method, rest, &query, body)
            }
            _ => says(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn github(
        &self,
        method: &Method,
        path: &[&str],
        query: &HashMap<String, String>,
        body: &Value,
    ) -> Response {
        match (method.as_str(), path) {
            ("GET", ["pulls"]) => {
                let wanted = |pull: &Pull| {
                    let head =
                        format!("{}:{}", REPOSITORY.split('/').next().unwrap_or(""), pull.source);
                    query.get("head").is_none_or(|wanted| *wanted == head)
                        && query.get("base").is_none_or(|wanted| *wanted == pull.target)
                };
                self.list(query, wanted)
            }
            ("POST", ["pulls"]) => {
                let ends = (text(body, "head"), text(body, "base"));
                let words = (text(body, "title"), text(body, "body"));
                let draft = body["draft"] == true;
                match self.open(ends, words, draft) {
                    Ok(number) => self.shown(StatusCode::CREATED, number),
                    Err(No::Exists(_)) => {
                        invalid(&format!("A pull request already exists for shop:{}.", ends.0))
                    }
                    Err(No::Empty) => invalid("No commits between these branches"),
                    Err(no) => refused(&no, StatusCode::UNPROCESSABLE_ENTITY),
                }
            }
            ("GET", ["pulls", number]) => self.shown(StatusCode::OK, index(number)),
            ("PATCH", ["pulls", number]) if body["state"] == "closed" => {
                self.close(index(number));
                self.shown(StatusCode::OK, index(number))
            }
            ("PUT", ["pulls", number, "merge"]) => {
                let how = how(text(body, "merge_method"));
                match self.merge(index(number), how, body["sha"].as_str()) {
                    Ok(sha) => axum::Json(json!({ "sha": sha, "merged": true })).into_response(),
                    Err(No::Moved) => says(StatusCode::CONFLICT, "Head branch was modified."),
                    Err(no) => refused(&no, StatusCode::METHOD_NOT_ALLOWED),
                }
            }
            ("POST", ["issues", number, "labels"]) => {
                self.label(index(number), texts(&body["labels"]));
                axum::Json(json!([])).into_response()
            }
            (_, ["issues", number, "comments"]) => {
                self.comments(method, index(number), query, body)
            }
            _ => says(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn gitlab(
        &self,
        method: &Method,
        path: &[&str],
        query: &HashMap<String, String>,
        body: &Value,
    ) -> Response {
        match (method.as_str(), path) {
            ("GET", []) => {
                let wanted = |pull: &Pull| {
                    query.get("source_branch").is_none_or(|wanted| *wanted == pull.source)
                        && query.get("target_branch").is_none_or(|wanted| *wanted == pull.target)
                };
                self.list(query, wanted)
            }
            ("POST", []) => {
                let ends = (text(body, "source_branch"), text(body, "target_branch"));
                let title = text(body, "title");
                let draft = title.starts_with("Draft: ");
                match self.open(ends, (title, text(body, "description")), draft) {
                    Ok(number) => self.shown(StatusCode::CREATED, number),
                    Err(No::Exists(number)) => {
                        let said = format!("Another open merge request already exists: !{number}");
                        let said = json!({ "message": [said] });
                        (StatusCode::CONFLICT, axum::Json(said)).into_response()
                    }
                    Err(no) => refused(&no, StatusCode::BAD_REQUEST),
                }
            }
            ("GET", [number]) => self.shown(StatusCode::OK, index(number)),
            ("PUT", [number]) => {
                if body["state_event"] == "close" {
                    self.close(index(number));
                }
                let labels = text(body, "add_labels").split(',').filter(|label| !label.is_empty());
                self.label(index(number), labels.map(str::to_owned).collect());
                self.shown(StatusCode::OK, index(number))
            }
            ("PUT", [number, "merge"]) => {
                let how = if body["squash"] == true { How::Squash } else { How::Merge };
                match self.merge(index(number), how, body["sha"].as_str()) {
                    Ok(_) => self.shown(StatusCode::OK, index(number)),
                    Err(No::Moved) => {
                        says(StatusCode::CONFLICT, "SHA does not match HEAD of source branch")
                    }
                    Err(no) => refused(&no, StatusCode::METHOD_NOT_ALLOWED),
                }
            }
            (_, [number, "notes"]) => self.comments(method, index(number), query, body),
            _ => says(StatusCode::NOT_FOUND, "404 Not Found"),
        }
    }

    fn gitea(
        &self,
        method: &Method,
        path: &[&str],
        query: &HashMap<String, String>,
        body: &Value,
    ) -> Response {
        match (method.as_str(), path) {
            ("GET", ["labels"]) => {
                let known = LABELS.iter().zip(1..);
                let known = known.map(|(name, id)| json!({ "id": id, "name": name }));
                paged(&known.collect::<Vec<_>>(), query)
            }
            ("GET", ["pulls"]) => self.list(query, |_| true),
            ("POST", ["pulls"]) => {
                let ends = (text(body, "head"), text(body, "base"));
                let title = text(body, "title");
                let draft = title.starts_with("WIP: ");
                match self.open(ends, (title, text(body, "body")), draft) {
                    Ok(number) => self.shown(StatusCode::CREATED, number),
                    Err(No::Exists(_)) => {
                        says(StatusCode::CONFLICT, "pull request already exists for these targets")
                    }
                    Err(no) => refused(&no, StatusCode::UNPROCESSABLE_ENTITY),
                }
            }
            ("GET", ["pulls", number]) => self.shown(StatusCode::OK, index(number)),
            ("PATCH", ["pulls", number]) if body["state"] == "closed" => {
                self.close(index(number));
                self.shown(StatusCode::CREATED, index(number))
            }
            ("POST", ["pulls", number, "merge"]) => {
                let wanted = body["head_commit_id"].as_str();
                match self.merge(index(number), how(text(body, "Do")), wanted) {
                    Ok(_) => StatusCode::OK.into_response(),
                    Err(No::Moved) => says(StatusCode::CONFLICT, "head out of date"),
                    Err(no) => refused(&no, StatusCode::METHOD_NOT_ALLOWED),
                }
            }
            ("POST", ["issues", number, "labels"]) => {
                let ids = body["labels"].as_array().into_iter().flatten();
                let names =
                    ids.filter_map(|id| LABELS.get(usize::try_from(id.as_u64()?).ok()? - 1));
                self.label(index(number), names.map(|name| (*name).to_owned()).collect());
                axum::Json(json!([])).into_response()
            }
            (_, ["issues", number, "comments"]) => {
                self.comments(method, index(number), query, body)
            }
            _ => says(StatusCode::NOT_FOUND, "The target couldn't be found."),
        }
    }

    /// The wanted ones, the newest first, page by page.
    fn list(&self, query: &HashMap<String, String>, wanted: impl Fn(&Pull) -> bool) -> Response {
        let pulls = self.desk().pulls.clone();
        let wanted = pulls.iter().rev().filter(|pull| wanted(pull));
        let all: Vec<Value> = wanted.map(|pull| self.show(pull)).collect();
        paged(&all, query)
    }

    fn shown(&self, status: StatusCode, number: usize) -> Response {
        let pull = self.desk().pull(number).cloned();
        match pull {
            Some(pull) => (status, axum::Json(self.show(&pull))).into_response(),
            None => says(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn label(&self, number: usize, labels: Vec<String>) {
        if let Some(pull) = self.desk().pull(number) {
            pull.labels.extend(labels);
            pull.labels.sort();
            pull.labels.dedup();
        }
    }

    fn comments(
        &self,
        method: &Method,
        number: usize,
        query: &HashMap<String, String>,
        body: &Value,
    ) -> Response {
        let mut desk = self.desk();
        let Some(pull) = desk.pull(number) else { return says(StatusCode::NOT_FOUND, "Not Found") };
        let show = |(at, text): (usize, &String)| {
            let url = format!("https://forge.example/{number}#{at}");
            json!({ "id": at, "html_url": url, "body": text })
        };
        if *method == Method::GET {
            let all: Vec<Value> = pull.comments.iter().enumerate().map(show).collect();
            // Gitea gives all of them at once.
            return match self.dialect {
                Dialect::Gitea => axum::Json(all).into_response(),
                Dialect::GitHub | Dialect::GitLab => paged(&all, query),
            };
        }
        pull.comments.push(text(body, "body").to_owned());
        let shown = show((pull.comments.len() - 1, &pull.comments[pull.comments.len() - 1]));
        desk.said += 1;
        (StatusCode::CREATED, axum::Json(shown)).into_response()
    }

    fn show(&self, pull: &Pull) -> Value {
        let Pull { number, title, body, source, target, draft, .. } = pull;
        let url = format!("https://forge.example/{REPOSITORY}/{number}");
        let held = self.desk().held.is_some();
        let (head, commit) = match &pull.standing {
            Standing::Open | Standing::Closed => (self.tip(source), None),
            Standing::Merged { commit, head } => (Some(head.clone()), Some(commit)),
        };
        let is_open = pull.standing == Standing::Open;
        let ready = is_open && !held && !draft;
        match self.dialect {
            Dialect::GitHub => json!({
                "number": number, "html_url": url, "title": title, "body": body, "draft": draft,
                "state": if is_open { "open" } else { "closed" },
                "merged_at": commit.map(|_| "2026-01-02T03:04:05Z"), "merge_commit_sha": commit,
                "mergeable": is_open.then_some(true),
                "mergeable_state": if held { "blocked" } else { "clean" },
                "head": { "ref": source, "sha": head.unwrap_or_default(), "repo": { "id": 1 } },
                "base": { "ref": target, "sha": "", "repo": { "id": 1 } },
            }),
            Dialect::GitLab => json!({
                "iid": number, "web_url": url, "title": title, "description": body,
                "state": match &pull.standing {
                    Standing::Open => "opened",
                    Standing::Closed => "closed",
                    Standing::Merged { .. } => "merged",
                },
                "source_branch": source, "target_branch": target,
                "source_project_id": 1, "target_project_id": 1,
                "sha": head, "merge_commit_sha": commit, "squash_commit_sha": null,
                "detailed_merge_status": if ready { "mergeable" } else { "ci_must_pass" },
            }),
            Dialect::Gitea => json!({
                "number": number, "html_url": url, "title": title, "body": body,
                "state": if is_open { "open" } else { "closed" },
                "merged": commit.is_some(), "merge_commit_sha": commit, "mergeable": ready,
                "head": { "label": source, "ref": source, "sha": head, "repo_id": 1 },
                "base": { "label": target, "ref": target, "sha": "", "repo_id": 1 },
            }),
        }
    }
}

fn paged(all: &[Value], query: &HashMap<String, String>) -> Response {
    let page: usize = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    let from = (page - 1) * PAGE;
    let some: Vec<&Value> = all.iter().skip(from).take(PAGE).collect();
    let mut response = axum::Json(&some).into_response();
    if from + PAGE < all.len() {
        let next = format!("<https://forge.example/?page={}>; rel=\"next\"", page + 1);
        if let Ok(next) = next.parse() {
            response.headers_mut().insert("link", next);
        }
    }
    response
}

fn index(text: &str) -> usize {
    text.parse().unwrap_or_default()
}

fn how(word: &str) -> How {
    match word {
        "squash" => How::Squash,
        "rebase" => How::Rebase,
        _ => How::Merge,
    }
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_default()
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn says(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({ "message": message }))).into_response()
}

/// As GitHub says that a request cannot be.
fn invalid(message: &str) -> Response {
    let said = json!({ "message": "Validation Failed", "errors": [{ "message": message }] });
    (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(said)).into_response()
}

fn refused(no: &No, status: StatusCode) -> Response {
    match no {
        No::Later(why) => says(status, why),
        No::Branchless => says(StatusCode::UNPROCESSABLE_ENTITY, "there is no such branch"),
        No::Unknown => says(StatusCode::NOT_FOUND, "Not Found"),
        No::Broken(error) => says(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        No::Exists(_) | No::Empty | No::Moved => says(status, "it cannot be"),
    }
}
