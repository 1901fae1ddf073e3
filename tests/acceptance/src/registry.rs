//! A container registry: Debian's docker-registry, and images put into it over HTTP.

use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use reqwest::{Client, Method, Response, Url};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::process::{self, Process};
use crate::{At as _, Failure, Outcome};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A running registry with its images in a temporary folder.
pub struct Registry {
    process: Process,
    port: u16,
    http: Client,
    login: Option<Login>,
    dir: TempDir,
}

/// Who a private registry lets in.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// The user name.
    pub username: &'static str,
    /// The password.
    pub password: &'static str,
    /// Its bcrypt hash.
    hash: &'static str,
}

/// The user of private registries.
pub const LOGIN: Login = Login {
    username: "puller",
    password: "registry-password-1",
    hash: "$2y$05$abcdefghijklmnopqrstuurll8UgPLh3aedURAqZbpEzxSpQrnxse",
};

impl Registry {
    /// Starts an empty registry that speaks plain HTTP and lets everybody push.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start() -> Outcome<Self> {
        Self::start_as(None).await
    }

    /// Starts one that wants [`LOGIN`].
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn start_private() -> Outcome<Self> {
        Self::start_as(Some(LOGIN)).await
    }

    async fn start_as(login: Option<Login>) -> Outcome<Self> {
        let program = process::program("docker-registry")?;
        let dir = process::folder("registry")?;
        let config = dir.path().join("config.yml");
        let (process, port) = Process::listening(&dir.path().join("registry.log"), |port| {
            let mut text = settings(port, dir.path());
            if let Some(login) = &login {
                let users = dir.path().join("users");
                let line = format!("{}:{}\n", login.username, login.hash);
                fs::write(&users, line).at("the registry's users")?;
                text.push_str(&format!(
                    "auth: {{htpasswd: {{realm: r, path: {}}}}}\n",
                    users.display()
                ));
            }
            fs::write(&config, text).at("the registry's configuration")?;
            let mut command = Command::new(&program);
            command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
            Ok(command)
        })
        .await?;
        let http = Client::builder().no_proxy().build().at("an HTTP client")?;
        Ok(Self { process, port, http, login, dir })
    }

    /// The name by which a repository in it is known, such as `127.0.0.1:5000/shop/api`.
    #[must_use]
    pub fn repo(&self, path: &str) -> String {
        format!("127.0.0.1:{}/{path}", self.port)
    }

    /// Puts a small image, built at `created`, under a tag; answers with its digest.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn push(&self, path: &str, tag: &str, created: Timestamp) -> Outcome<String> {
        let layer = self.blob(path, format!("{path} {tag}\n").as_bytes()).await?;
        let config = json!({
            "os": "linux", "architecture": "amd64", "created": created,
            "config": { "Labels": { "org.opencontainers.image.version": tag } },
            "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
        });
        let mut config = self.blob(path, &serde_json::to_vec(&config).at("a config")?).await?;
        config["mediaType"] = json!(CONFIG);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let bytes = serde_json::to_vec(&manifest).at("a manifest")?;
        let digest = digest(&bytes);
        let url = self.url(&format!("/v2/{path}/manifests/{tag}"))?;
        self.send(Method::PUT, url, MANIFEST, bytes).await?;
        Ok(digest)
    }

    /// What a tag or digest names now; none: nothing.
    ///
    /// # Errors
    /// The registry does not say.
    pub async fn at(&self, path: &str, reference: &str) -> Outcome<Option<String>> {
        let url = self.url(&format!("/v2/{path}/manifests/{reference}"))?;
        let accept = format!("{MANIFEST}, application/vnd.oci.image.index.v1+json");
        let what = format!("HEAD {url}");
        let request = self.http.request(Method::HEAD, url).header("accept", accept);
        let answer = request.send().await.at(&what)?;
        let digest = answer.headers().get("docker-content-digest");
        let digest = digest.and_then(|digest| digest.to_str().ok()).map(str::to_owned);
        match answer.status().as_u16() {
            200 => Ok(digest),
            404 => Ok(None),
            status => Err(Failure::new(format!("{what}: {status}"))),
        }
    }

    /// How often a manifest was put under a tag, by the registry's own log.
    #[must_use]
    pub fn puts(&self, path: &str, tag: &str) -> usize {
        let put = format!("\"PUT /v2/{path}/manifests/{tag} HTTP/1.1\" 201 ");
        self.process.log().lines().filter(|line| line.contains(&put)).count()
    }

    /// How many things of a kind are attached to what is at a digest: listed in the index that stands for
    /// them where a registry does not list them itself.
    ///
    /// # Errors
    /// The registry does not say.
    pub async fn attached(&self, path: &str, digest: &str, kind: &str) -> Outcome<usize> {
        let list = digest.replace(':', "-");
        if self.at(path, &list).await?.is_none() {
            return Ok(0);
        }
        let url = self.url(&format!("/v2/{path}/manifests/{list}"))?;
        let what = format!("GET {url}");
        let request =
            self.http.get(url).header("accept", "application/vnd.oci.image.index.v1+json");
        let answer = request.send().await.at(&what)?.bytes().await.at(&what)?;
        let index: Value = serde_json::from_slice(&answer).at(&what)?;
        let listed = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(listed.iter().filter(|entry| entry["artifactType"] == kind).count())
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// Where it keeps everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Uploads a blob; answers with its descriptor.
    async fn blob(&self, path: &str, bytes: &[u8]) -> Outcome<Value> {
        let octets = "application/octet-stream";
        let start = self.url(&format!("/v2/{path}/blobs/uploads/"))?;
        let begun = self.send(Method::POST, start, octets, Vec::new()).await?;
        let place = begun.headers().get("location").and_then(|value| value.to_str().ok());
        let place =
            place.ok_or_else(|| Failure::new("the registry names no place to upload to"))?;
        let mut upload = self.url("/")?.join(place).at(place)?;
        let digest = digest(bytes);
        upload.query_pairs_mut().append_pair("digest", &digest);
        self.send(Method::PUT, upload, octets, bytes.to_vec()).await?;
        let media_type = "application/vnd.oci.image.layer.v1.tar";
        Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
    }

    fn url(&self, path: &str) -> Outcome<Url> {
        format!("http://127.0.0.1:{}{path}", self.port).parse().at(path)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        media_type: &str,
        body: Vec<u8>,
    ) -> Outcome<Response> {
        let what = format!("{method} {url}");
        let request = self.http.request(method, url).header("accept", media_type);
        let mut request = request.header("content-type", media_type);
        if let Some(Login { username, password, .. }) = self.login {
            request = request.basic_auth(username, Some(password));
        }
        let answer = request.body(body).send().await.at(&what)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        Err(Failure::new(format!("{what}: {status}: {text}")).with("its log", &self.log_tail()))
    }
}

fn settings(port: u16, dir: &Path) -> String {
    let data = dir.join("data");
    format!(
        "version: 0.1\n\
         log: {{level: warn}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\n\
         http: {{addr: '127.0.0.1:{port}'}}\n",
        data.display()
    )
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pushed_image_is_listed_and_has_its_digest() -> Outcome {
        let registry = Registry::start().await?;
        let digest = registry.push("shop/api", "1.0.0", Timestamp::UNIX_EPOCH).await?;
        let get = async |path: &str| {
            let url = registry.url(path)?;
            registry.send(Method::GET, url, MANIFEST, Vec::new()).await
        };
        let tags: Value = get("/v2/shop/api/tags/list").await?.json().await.at("the tags")?;
        assert_eq!(tags["tags"], json!(["1.0.0"]));
        let manifest = get(&format!("/v2/shop/api/manifests/{digest}")).await?;
        assert_eq!(manifest.headers()["docker-content-digest"].to_str().ok(), Some(&*digest));
        Ok(())
    }
}
