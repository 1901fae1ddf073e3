//! Aborts in the middle of a change on a server: it is looked for, and the end says what is so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use acceptance::git::Repo;
use acceptance::{At as _, Failure, Outcome};
use reconciler_api::v1::Phase;
use serde_json::{Value, json};

use super::abort::abort;
use crate::pipeline::{app_steps, direct, step};
use crate::site::{SOON, Site};

/// What a server does with a change that it holds.
#[derive(Debug, Clone, Copy)]
enum Server {
    /// It has made it, and does not say so.
    Made,
    /// It thinks about it, and says no in the end.
    Thinks,
    /// It is gone by then.
    Gone,
}

impl Server {
    /// When git asks the hook, and what that says in the end.
    fn hook(self) -> (&'static str, &'static str) {
        match self {
            Self::Made => ("reference-transaction", "[ \"$1\" = committed ] || exit 0"),
            Self::Thinks | Self::Gone => ("pre-receive", "no=1"),
        }
    }

    fn ends(self) -> Phase {
        match self {
            Self::Made | Self::Thinks => Phase::Aborted,
            Self::Gone => Phase::Stuck,
        }
    }
}

/// A server's repository in which a change is held, and let go at the end, whatever happens.
struct Held {
    hook: PathBuf,
    begun: PathBuf,
    go: PathBuf,
}

impl Held {
    fn at(site: &Site, repo: &Repo, stage: &str, server: Server) -> Outcome<Self> {
        let (name, first) = server.hook();
        let (begun, go) =
            (site.mark_file(&format!("{stage}-begun")), site.mark_file(&format!("{stage}-go")));
        let hook = repo.folder().join("hooks").join(name);
        let script = format!(
            "#!/bin/sh\n{first}\ntouch '{}'\ni=0\nwhile [ ! -e '{}' ] && [ $i -lt 600 ]; do sleep 0.1; \
             i=$((i+1)); done\nexit ${{no:-0}}\n",
            begun.display(),
            go.display(),
        );
        fs::create_dir_all(hook.parent().unwrap_or(Path::new("/"))).at("the hooks")?;
        fs::write(&hook, script).at("a hook")?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).at("a hook")?;
        Ok(Self { hook, begun, go })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _gone = (fs::write(&self.go, ""), fs::remove_file(&self.hook));
    }
}

/// Aborts a promotion whose last step is held by its server, and sees what is said of it.
async fn check(site: &Site, repo: &Repo, stage: &str, steps: &[Value], server: Server) -> Outcome {
    site.stage(stage, &json!({ "requests": direct(), "steps": steps })).await?;
    let held = Held::at(site, repo, stage, server)?;
    let freight = site.first_freight().await?;
    let id = site.promote(stage, &freight).await?;
    site.lockstepd
        .eventually(SOON, &format!("{stage} has begun"), async || match held.begun.exists() {
            true => Ok(()),
            false => Err(Failure::new("the server was not asked")),
        })
        .await?;
    let away = repo.folder().with_extension("away");
    if let Server::Gone = server {
        fs::rename(repo.folder(), &away).at("a server that goes away")?;
    }
    let ended = abort(site, &id, server.ends()).await;
    if let Server::Gone = server {
        fs::rename(&away, repo.folder()).at("a server that comes back")?;
    }
    let ended = ended.map_err(|failure| failure.with("stage", stage))?;
    let told = format!("{:?} {:?}", ended.error, ended.remaining);
    match server {
        Server::Made => {
            assert_eq!(ended.remaining.len(), 1, "{stage}: {told}");
            assert!(told.contains(&repo.url), "{stage}: {told}");
        }
        Server::Thinks => {
            assert_eq!(ended.remaining, Vec::<String>::new(), "{stage}: {told}");
            assert!(told.contains("it was looked for"), "{stage}: {told}");
        }
        Server::Gone => {
            assert_eq!(ended.remaining.len(), 1, "{stage}: {told}");
            assert!(told.contains("it is not known whether it happened"), "{stage}: {told}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_an_abort_breaks_off_on_a_server_is_looked_for() -> Outcome {
    let site = Site::start(&["made", "thinks", "gone"]).await?;
    for (stage, server) in
        [("made", Server::Made), ("thinks", Server::Thinks), ("gone", Server::Gone)]
    {
        let before = site.gitops.tip("main").await?;
        check(&site, &site.gitops, stage, &app_steps(&site), server).await?;
        let moved = site.gitops.tip("main").await? != before;
        assert_eq!(moved, matches!(server, Server::Made), "{stage}");
        let tag = format!("{stage}-1");
        let config = json!({
            "repo": site.infra.url, "tag": tag, "commit": "{{ freight.infra.commit }}", "message": "it is",
        });
        let tags = [step("tag", "git_tag", &config)];
        check(&site, &site.infra, &format!("{stage}-tag"), &tags, server).await?;
        let there = site.infra.tag(&tag).await?.is_some();
        assert_eq!(there, matches!(server, Server::Made), "{stage}");
    }
    Ok(())
}
