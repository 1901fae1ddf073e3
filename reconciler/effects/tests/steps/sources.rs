//! Looks at a real git server and a real registry.

use std::process::Command;

use http::Method;
use jiff::Timestamp;
use reconciler_domain::artifact::Artifact;
use reconciler_domain::warehouse::{Discovery, GitSource, ImageSource, Source};
use reconciler_effects::http::{EgressPolicy, HttpClient, Request};
use reconciler_effects::oci::Digest;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::support::{Server, free_port, program, serve};
use crate::world::{REPO, World, git, shop};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn summaries(found: &Discovery) -> Vec<String> {
    assert_eq!(found.error, None);
    let name = |artifact: &Artifact| match artifact {
        Artifact::Git(commit) => commit.subject.clone(),
        Artifact::Image(image) => image.tag.clone(),
    };
    found.versions.iter().map(name).collect()
}

#[tokio::test]
async fn commits_count_by_their_paths_and_a_still_branch_costs_one_question() {
    let world = World::new().await;
    for (file, subject) in [("infra/a.tf", "infra"), ("docs.md", "docs"), ("infra/b.md", "notes")] {
        world.write(file, subject);
        world.publish(subject);
    }
    let source = Source::Git(GitSource {
        repo: world.server.url(REPO),
        branch: "main".to_owned(),
        include_paths: vec!["infra".to_owned()],
        exclude_paths: vec!["glob:**/*.md".to_owned()],
        discovery_limit: 20,
    });
    let effects = world.open();
    let first = effects.discover(&shop(), &source, &Discovery::default(), at(10)).await;
    assert_eq!(summaries(&first), ["infra", "first"]);
    world.server.take_hits();
    let second = effects.discover(&shop(), &source, &first, at(20)).await;
    assert_eq!((&second.versions, second.newest_seen_at), (&first.versions, Some(at(10))));
    let asked = world.server.take_hits();
    assert!(asked.iter().all(|hit| hit.answered < 2_000), "{asked:?}");
    assert!(asked.len() <= 2, "{asked:?}");

    world.write("infra/c.tf", "c");
    world.publish("more");
    let third = effects.discover(&shop(), &source, &second, at(30)).await;
    assert_eq!(summaries(&third), ["more", "infra", "first"]);
    assert_eq!(third.newest_seen_at, Some(at(30)));

    git(&world.path("served/app.git"), &["branch", "-m", "main", "trunk"]);
    let gone = effects.discover(&shop(), &source, &third, at(40)).await;
    assert_eq!((&gone.versions, gone.newest_seen_at), (&third.versions, Some(at(30))));
    let error = gone.error.unwrap();
    assert!(error.message.contains("no branch \"main\""), "{}", error.message);
    assert_eq!(error.failures, 1);
}

struct Registry {
    server: Server,
    http: HttpClient,
}

impl Registry {
    async fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: data}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n"
        );
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let mut command = Command::new(program("docker-registry"));
        let server = serve(dir, port, command.args(["serve", "config.yml"])).await;
        Self { server, http: HttpClient::new(EgressPolicy::with_private()).unwrap() }
    }

    async fn send(&self, method: Method, url: Url, kind: &str, body: Vec<u8>) -> Option<String> {
        let request = Request::new(method, url).header("content-type", kind).body(body);
        let answer = self.http.send(request, &CancellationToken::new()).await.unwrap();
        assert!(answer.is_success(), "{}: {}", answer.status, answer.text());
        answer.header("location").map(str::to_owned)
    }

    /// Puts an image without layers under a tag.
    async fn push(&self, tag: &str, arch: &str, created: &str) -> Digest {
        let url = |path: &str| self.server.url.join(path).unwrap();
        let config = json!({
            "os": "linux", "architecture": arch, "created": created,
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let blob = serde_json::to_vec(&config).unwrap();
        let (digest, size) = (Digest::of(&blob), blob.len());
        let upload = self.send(Method::POST, url("/v2/team/api/blobs/uploads/"), CONFIG, vec![]);
        let mut upload = url(&upload.await.unwrap());
        upload.query_pairs_mut().append_pair("digest", digest.as_str());
        self.send(Method::PUT, upload, "application/octet-stream", blob).await;
        let manifest: Value = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": { "mediaType": CONFIG, "digest": digest, "size": size },
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let digest = Digest::of(&manifest);
        let place = url(&format!("/v2/team/api/manifests/{tag}"));
        self.send(Method::PUT, place, MANIFEST, manifest).await;
        digest
    }

    fn source(&self) -> ImageSource {
        ImageSource {
            repo: format!("{}/team/api", self.server.url.authority()),
            constraint: Some(">=1.1".to_owned()),
            strict_semver: true,
            allow_tags: Vec::new(),
            ignore_tags: vec!["-debug".to_owned()],
            platform: Some("linux/amd64".to_owned()),
            insecure: true,
            discovery_limit: 3,
        }
    }
}

fn digest_of(found: &Discovery, tag: &str) -> String {
    let image = found.versions.iter().find_map(|artifact| match artifact {
        Artifact::Image(image) if image.tag == tag => Some(image.digest.clone()),
        Artifact::Image(_) | Artifact::Git(_) => None,
    });
    image.unwrap()
}

#[tokio::test]
async fn tags_are_versions_newest_first_and_a_moved_tag_is_seen() {
    let (world, registry) = (World::new().await, Registry::start().await);
    for tag in ["1.0.0", "1.1.0", "1.2.0", "1.10.0", "1.3.0-debug", "latest"] {
        registry.push(tag, "amd64", "2026-01-01T00:00:00Z").await;
    }
    registry.push("1.11.0", "arm64", "2026-01-01T00:00:00Z").await;
    let effects = world.open();
    let source = Source::Image(registry.source());
    let first = effects.discover(&shop(), &source, &Discovery::default(), at(10)).await;
    assert_eq!(summaries(&first), ["1.10.0", "1.2.0"], "the newest is for another platform");
    let moved = registry.push("1.2.0", "amd64", "2026-01-02T00:00:00Z").await;
    let second = effects.discover(&shop(), &source, &first, at(20)).await;
    assert_eq!(digest_of(&second, "1.2.0"), moved.as_str());
    assert_eq!(second.newest_seen_at, Some(at(10)), "the newest one did not change");
    registry.push("1.12.0", "amd64", "2026-01-03T00:00:00Z").await;
    let third = effects.discover(&shop(), &source, &second, at(30)).await;
    assert_eq!(summaries(&third), ["1.12.0", "1.10.0"]);

    let none = Source::Image(ImageSource { constraint: Some(">=9".into()), ..registry.source() });
    assert_eq!(summaries(&effects.discover(&shop(), &none, &third, at(40)).await), [""; 0]);
    let authority = registry.server.url.authority().to_owned();
    drop(registry);
    let down = effects.discover(&shop(), &source, &third, at(50)).await;
    assert_eq!(down.versions, third.versions);
    let error = down.error.unwrap();
    assert!(error.message.contains(authority.split(':').next().unwrap()), "{}", error.message);
}

#[tokio::test]
async fn a_definition_that_cannot_be_read_is_an_error_with_the_reason() {
    let world = World::new().await;
    let effects = world.open();
    let mut source = GitSource {
        repo: world.server.url(REPO),
        branch: "main".to_owned(),
        include_paths: vec!["regex:(".to_owned()],
        exclude_paths: Vec::new(),
        discovery_limit: 20,
    };
    let look = async |source: &GitSource| {
        let source = Source::Git(source.clone());
        let found = effects.discover(&shop(), &source, &Discovery::default(), at(10)).await;
        found.error.unwrap().message
    };
    insta::assert_snapshot!(look(&source).await, @"`include` pattern 0 (`regex:(`): unclosed group");
    source.repo = "https://user:secret@git.example.com/x".to_owned();
    insta::assert_snapshot!(look(&source).await, @"a repository URL must not contain credentials; put them into a secret");
}
