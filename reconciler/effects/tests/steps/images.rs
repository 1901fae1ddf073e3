//! A real registry with an artifact in it, and what happened there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use http::Method;
use reconciler_domain::step::{
    ArtifactAt, ArtifactLayer, Asks, Call, OciAttach, OciCall, OciLook, OciPull, OciPush,
    OciPutBack,
};
use reconciler_effects::http::{EgressPolicy, HttpClient, Request};
use reconciler_effects::oci::Digest;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::support::{self, Server};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const LAYER: &str = "application/vnd.example.layer.v1+text";
pub(crate) const SOURCE: &str = "shop/api";
pub(crate) const TARGET: &str = "prod/api";
/// What the layer of version 2 holds.
pub(crate) const TEXT: &str = "version 2\n";

/// A registry with versions 1 and 2 in [`SOURCE`].
pub(crate) struct Images {
    server: Server,
    http: HttpClient,
    data: PathBuf,
    pub(crate) old: Digest,
    pub(crate) new: Digest,
}

impl Images {
    pub(crate) async fn start() -> Self {
        Self::start_with("storage: {delete: {enabled: true}, filesystem: {rootdirectory: data}}")
            .await
    }

    /// The same, with its own word on where and how it stores.
    pub(crate) async fn start_with(storage: &str) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), support::free_port());
        let data = dir.path().join("data/docker/registry/v2");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\n{storage}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        );
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let mut command = Command::new(support::program("docker-registry"));
        let server = support::serve(dir, port, command.args(["serve", "config.yml"])).await;
        let http = HttpClient::new(EgressPolicy::with_private()).unwrap();
        let none = Digest::of(b"");
        let mut images = Self { server, http, data, old: none.clone(), new: none };
        images.old = images.artifact(SOURCE, "1", &[("notes.txt", "version 1\n")]).await;
        images.new = images.artifact(SOURCE, "2", &[("notes.txt", TEXT)]).await;
        images
    }

    /// A repository by its whole name.
    pub(crate) fn repo(&self, path: &str) -> String {
        format!("{}/{path}", self.server.url.authority())
    }

    /// Puts an artifact of these files under a tag.
    pub(crate) async fn artifact(&self, path: &str, tag: &str, files: &[(&str, &str)]) -> Digest {
        let config = self.blob(path, "{}").await;
        let mut layers = Vec::new();
        for (name, text) in files {
            let digest = self.blob(path, text).await;
            layers.push(json!({ "mediaType": LAYER, "digest": digest, "size": text.len(),
                "annotations": { "org.opencontainers.image.title": name } }));
        }
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
        });
        self.manifest(path, tag, &manifest).await
    }

    pub(crate) async fn manifest(&self, path: &str, reference: &str, content: &Value) -> Digest {
        let text = content.to_string();
        let media_type = content["mediaType"].as_str().unwrap();
        let url = self.url(&format!("/v2/{path}/manifests/{reference}"));
        self.send(Method::PUT, url, media_type, &text).await;
        Digest::of(text.as_bytes())
    }

    pub(crate) async fn blob(&self, path: &str, text: &str) -> Digest {
        let digest = Digest::of(text.as_bytes());
        let start = self.url(&format!("/v2/{path}/blobs/uploads/"));
        let location = self.send(Method::POST, start, LAYER, "").await.unwrap();
        let mut upload = self.server.url.join(&location).unwrap();
        upload.query_pairs_mut().append_pair("digest", digest.as_str());
        self.send(Method::PUT, upload, "application/octet-stream", text).await;
        digest
    }

    fn url(&self, path: &str) -> Url {
        self.server.url.join(path).unwrap()
    }

    async fn send(&self, method: Method, url: Url, media_type: &str, body: &str) -> Option<String> {
        let request = Request::new(method, url).header("content-type", media_type);
        // Everything else is tried at the same time.
        let request = request.body(body.to_owned()).timeout(Duration::from_secs(120));
        let answer = self.http.send(request, &CancellationToken::new()).await.unwrap();
        assert!(answer.is_success(), "{}: {}", answer.status, answer.text());
        answer.header("location").map(str::to_owned)
    }

    /// Reads something of the API as JSON.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let accept = format!("{MANIFEST}, {INDEX}");
        let request = Request::get(self.url(path)).header("accept", accept);
        let answer = self.http.send(request, &CancellationToken::new()).await.unwrap();
        assert!(answer.is_success(), "{path}: {}: {}", answer.status, answer.text());
        answer.json().unwrap()
    }

    /// What a tag is at, as the registry has it on its disk.
    pub(crate) fn tag(&self, path: &str, tag: &str) -> Option<String> {
        let link = self.tags(path).join(tag).join("current/link");
        std::fs::read_to_string(link).ok()
    }

    pub(crate) fn tags(&self, path: &str) -> PathBuf {
        self.data.join("repositories").join(path).join("_manifests/tags")
    }

    /// How many tags of [`TARGET`] are at version 2, and how many things are attached in [`SOURCE`].
    pub(crate) fn happened(&self) -> usize {
        let moved = names(&self.tags(TARGET));
        let new = Some(self.new.as_str());
        let moved = moved.iter().filter(|tag| self.tag(TARGET, tag).as_deref() == new).count();
        let lists = names(&self.tags(SOURCE));
        let lists = lists.iter().filter(|tag| tag.starts_with("sha256-"));
        moved + lists.filter_map(|list| self.listed(&self.tag(SOURCE, list)?)).sum::<usize>()
    }

    fn listed(&self, digest: &str) -> Option<usize> {
        let hex = digest.strip_prefix("sha256:")?;
        let file = self.data.join("blobs/sha256").join(&hex[..2]).join(hex).join("data");
        let list: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        list["manifests"].as_array().map(Vec::len)
    }
}

/// Calls of steps on it.
impl Images {
    pub(crate) fn pull(&self) -> OciPull {
        OciPull {
            repo: self.repo(SOURCE),
            at: ArtifactAt::Tag("2".to_owned()),
            platform: None,
            layer: ArtifactLayer::Only,
            to: "pulled/notes.txt".to_owned(),
            max_bytes: 1024,
        }
    }

    pub(crate) fn look(&self) -> OciLook {
        OciLook {
            from: self.repo(SOURCE),
            digest: self.new.to_string(),
            repo: self.repo(TARGET),
            tag: "stable".to_owned(),
            annotations: [].into(),
        }
    }

    pub(crate) fn push(&self, before: Option<&Digest>) -> OciPush {
        OciPush {
            wanted: self.look(),
            digest: self.new.to_string(),
            before: before.map(ToString::to_string),
            max_bytes: 1 << 20,
            asks: Asks::No,
        }
    }

    pub(crate) fn put_back(&self, before: Option<&Digest>) -> OciPutBack {
        OciPutBack {
            repo: self.repo(TARGET),
            tag: "stable".to_owned(),
            digest: self.new.to_string(),
            before: before.map(ToString::to_string),
            asks: Asks::No,
        }
    }

    pub(crate) fn attach(&self, path: &str) -> OciAttach {
        OciAttach {
            repo: self.repo(SOURCE),
            subject: self.new.to_string(),
            artifact_type: "application/vnd.example.note".to_owned(),
            path: path.to_owned(),
            media_type: "text/plain".to_owned(),
            annotations: [("by".to_owned(), "ann".to_owned())].into(),
            mark: "prod.1/attach".to_owned(),
            asks: Asks::No,
        }
    }
}

pub(crate) fn call(call: OciCall) -> Call {
    Call::Oci(call)
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
