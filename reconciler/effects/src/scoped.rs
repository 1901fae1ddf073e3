//! The effects in the hands of one project, for one operation: its logins, its mirrors, and what it
//! must not tell.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use reconciler_domain::credential::{CredentialKind, SIGNING_KEY};
use reconciler_domain::id::ProjectName;
use reconciler_domain::secret::SecretRef;
use reconciler_domain::step::{Record, StepOutcome};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::Effects;
use crate::credentials::{Held, Login, Logins, git_target, image_target};
use crate::git::{self, CredentialSource, Git, KeyFile, RepoUrl, Secret};
use crate::layout::Layout;
use crate::oci::{self, ImageRepo};
use crate::redact::Redactor;

/// The effects for one project.
pub(crate) struct Scoped {
    effects: Effects,
    wallet: Arc<Wallet>,
    git: Git,
}

/// What a project holds, and what is configured for all.
struct Wallet {
    held: Vec<Held>,
    shared: Arc<Logins>,
    layout: Layout,
    redactor: Redactor,
}

/// Shortest value of a variable that is hidden: shorter ones stand in texts by chance.
const HIDDEN_MIN: usize = 8;

/// Whether a variable of this name holds a secret, by the words that tools give such names.
fn is_secret(name: &str) -> bool {
    let words = ["SECRET", "TOKEN", "PASSWORD", "PASSPHRASE", "KEY", "CREDENTIAL"];
    let names_a_place = ["_FILE", "_PATH", "_DIR", "_ID", "_NAME", "_URL"];
    let name = name.to_ascii_uppercase();
    words.iter().any(|word| name.contains(word))
        && !names_a_place.iter().any(|end| name.ends_with(end))
}

impl Scoped {
    /// Opens what the project holds.
    ///
    /// # Errors
    /// Why that cannot be done now.
    pub(crate) async fn open(effects: &Effects, project: &ProjectName) -> Result<Self, String> {
        let held = effects.holdings().of(project).await?;
        let shared = Arc::clone(effects.logins());
        let mut redactor = Redactor::default();
        for secret in shared.secrets() {
            redactor.hide(secret, "[secret of the daemon]");
        }
        for (name, value) in effects.infra_env() {
            if is_secret(name) && value.len() >= HIDDEN_MIN {
                redactor.hide(&Secret::new(value.clone()), "[secret of the daemon]");
            }
        }
        for credential in &held {
            for (key, secret) in &credential.secrets {
                let Ok(secret) = secret else { continue };
                let words = format!("[secret {}/{key}]", credential.name);
                redactor.hide(secret, &words);
                if let Some(username) = &credential.username {
                    // As it is in the header of a request.
                    let pair = format!("{username}:{}", secret.expose());
                    redactor.hide(&Secret::new(pair), &words);
                }
            }
        }
        let layout = effects.layout().clone();
        let wallet = Arc::new(Wallet { held, shared, layout, redactor });
        // What one project may read, another must not find in a mirror.
        let git = effects.all_git().scoped(project.as_str(), wallet.clone());
        Ok(Self { effects: effects.clone(), wallet, git })
    }

    /// A handle whose work ends with this token, too.
    pub(crate) fn until(&self, cancel: CancellationToken) -> Self {
        Self {
            git: self.git.until(cancel.clone()),
            effects: self.effects.until(cancel),
            wallet: Arc::clone(&self.wallet),
        }
    }

    /// Git, with the project's logins and mirrors.
    pub(crate) fn git(&self) -> &Git {
        &self.git
    }

    /// The login for a repository of images.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub(crate) fn image_login(&self, repo: &ImageRepo) -> Result<Option<oci::Credentials>, String> {
        let login = self.wallet.find(CredentialKind::Image, &image_target(repo))?;
        Ok(login.and_then(|login| login.for_image(repo)))
    }

    /// The `Authorization` header for a request of a step or a check: the project's own only, for
    /// whoever writes steps sees what comes back.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub(crate) fn own_authorization(&self, url: &url::Url) -> Result<Option<String>, String> {
        let login = self.wallet.own(CredentialKind::Http, url.as_str())?;
        Ok(login.and_then(|login| login.for_web()))
    }

    /// A secret that a request to this address holds.
    ///
    /// # Errors
    /// There is none, it cannot be used, or it is for another address.
    pub(crate) fn secret_for(&self, wanted: &SecretRef, url: &url::Url) -> Result<Secret, String> {
        let SecretRef { credential, key } = wanted;
        if key == SIGNING_KEY {
            return Err(format!("{credential}/{key} signs commits, and is sent nowhere"));
        }
        let held = self.wallet.held.iter().find(|held| held.name == *credential);
        let held = held.ok_or_else(|| format!("there is no credential {credential}"))?;
        let address = held.address.as_ref().filter(|_| held.kind == CredentialKind::Http);
        if !address.is_some_and(|address| address.covers(url.as_str())) {
            let host = url.host_str().unwrap_or_default();
            return Err(format!("credential {credential} is not for this address of {host}"));
        }
        let secret = held.secrets.get(key);
        let secret = secret.ok_or_else(|| format!("credential {credential} has no {key:?}"))?;
        usable(held, secret)
    }

    /// The `Authorization` header for what a forge is asked about a repository: with the token that git
    /// uses there, or, of a repository that git reaches by ssh, would use on the web; else with that of
    /// the project for web addresses. Git's is sent to the forge of the repository only, which `api` is of.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub(crate) fn forge_authorization(
        &self,
        repo: &RepoUrl,
        api: &url::Url,
    ) -> Result<Option<String>, String> {
        let web = repo.web().map(String::from);
        for target in std::iter::once(git_target(repo)).chain(web.as_deref()) {
            let login = self.wallet.find(CredentialKind::Git, target)?;
            if let Some(header) = login.and_then(|login| login.for_forge()) {
                return Ok(Some(header));
            }
        }
        self.own_authorization(api)
    }

    /// The `Authorization` header for Prometheus.
    ///
    /// # Errors
    /// There is one that cannot be used.
    pub(crate) fn authorization(&self, url: &url::Url) -> Result<Option<String>, String> {
        let login = self.wallet.find(CredentialKind::Http, url.as_str())?;
        Ok(login.and_then(|login| login.for_web()))
    }

    /// A secret that the project holds itself, as `CREDENTIAL/KEY`.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub(crate) fn secret(&self, reference: &str) -> Result<Secret, String> {
        let (name, key) = reference.split_once('/').unwrap_or((reference, ""));
        if key == SIGNING_KEY {
            return Err(format!(
                "secrets: {reference:?} signs commits, and is given to no program"
            ));
        }
        let held = self.wallet.held.iter().find(|held| held.name.as_str() == name);
        let held = held.ok_or_else(|| {
            format!(
                "secrets: the project holds no credential {name:?}; define it, or correct the name"
            )
        })?;
        let secret = held.secrets.get(key).ok_or_else(|| {
            let keys: Vec<&str> = held.secrets.keys().map(String::as_str).collect();
            format!("secrets: credential {name:?} has no key {key:?}; it has {}", keys.join(", "))
        })?;
        usable(held, secret)
    }

    /// The text without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.wallet.redactor.text(text)
    }

    /// The value without secrets.
    pub(crate) fn clean_json(&self, value: Value) -> Value {
        self.wallet.redactor.json(value)
    }

    /// The outcome of a step without secrets. How a module was planned, and what the plan would do, stay as they are:
    /// the one never had any, the other has been cleaned, and rules and undos go by both.
    pub(crate) fn clean_outcome(&self, outcome: StepOutcome) -> StepOutcome {
        let judged = match &outcome {
            StepOutcome::Done { record: Record::Plan(plan), .. } => {
                Some((plan.call.clone(), plan.summary.clone()))
            }
            StepOutcome::Done { .. }
            | StepOutcome::Failed { .. }
            | StepOutcome::Uncertain { .. }
            | StepOutcome::Interrupted { .. } => None,
        };
        let mut clean = self.cleaned(outcome);
        if let Some((call, summary)) = judged
            && let StepOutcome::Done { record: Record::Plan(plan), .. } = &mut clean
        {
            (plan.call, plan.summary) = (call, summary);
        }
        clean
    }

    fn cleaned(&self, outcome: StepOutcome) -> StepOutcome {
        let is_done = matches!(outcome, StepOutcome::Done { .. });
        self.wallet.redactor.data(outcome).unwrap_or_else(|| StepOutcome::Uncertain {
            message: format!(
                "the step {}, but what it left behind holds a secret where none may be, so it \
                 was not recorded; look what it did",
                if is_done { "is done" } else { "failed" }
            ),
        })
    }
}

impl Deref for Scoped {
    type Target = Effects;

    fn deref(&self) -> &Effects {
        &self.effects
    }
}

impl Wallet {
    /// The project's login for an address, else the configured one.
    fn find(&self, kind: CredentialKind, target: &str) -> Result<Option<Login>, String> {
        Ok(match self.own(kind, target)? {
            Some(login) => Some(login),
            None => self.shared.find(target).cloned(),
        })
    }

    fn own(&self, kind: CredentialKind, target: &str) -> Result<Option<Login>, String> {
        let Some(held) = self.covering(kind, target, &["password", "token"]) else {
            return Ok(None);
        };
        if let Some(password) = held.secrets.get("password") {
            let username = held.username.clone().unwrap_or_default();
            return Ok(Some(Login::Basic { username, password: usable(held, password)? }));
        }
        if let Some(token) = held.secrets.get("token") {
            return Ok(Some(Login::Bearer(usable(held, token)?)));
        }
        Ok(None)
    }

    /// The credential with the most exact address, of those that have one of the secrets.
    fn covering(&self, kind: CredentialKind, target: &str, keys: &[&str]) -> Option<&Held> {
        let able =
            self.held.iter().filter(|held| keys.iter().any(|key| held.secrets.contains_key(*key)));
        let fits = able.filter_map(|held| {
            let address = held.address.as_ref().filter(|address| address.covers(target))?;
            (held.kind == kind).then_some((address.length(), held))
        });
        fits.max_by_key(|(length, _)| *length).map(|(_, held)| held)
    }
}

fn usable(held: &Held, secret: &Result<Secret, String>) -> Result<Secret, String> {
    secret.clone().map_err(|why| format!("credential {} cannot be used: {why}", held.name))
}

#[async_trait]
impl CredentialSource for Wallet {
    async fn credentials(&self, repo: &RepoUrl) -> Result<git::Credentials, String> {
        let target = git_target(repo);
        if let Some(held) = self.covering(CredentialKind::Git, target, &["ssh_key"])
            && let Some(key) = held.secrets.get("ssh_key")
        {
            let file = KeyFile::write(&self.layout.keys(), &usable(held, key)?);
            let failed = |error| format!("the key of {} cannot be written: {error}", held.name);
            return Ok(git::Credentials::SshKey(file.map_err(failed)?));
        }
        let login = self.find(CredentialKind::Git, target)?;
        Ok(login.map_or(git::Credentials::Anonymous, |login| login.for_git()))
    }

    async fn signer(&self, repo: &RepoUrl) -> Result<Option<git::Signer>, String> {
        let held = self.covering(CredentialKind::Git, git_target(repo), &[SIGNING_KEY]);
        let found = held.and_then(|held| Some((held, held.secrets.get(SIGNING_KEY)?)));
        let Some((held, key)) = found else { return Ok(None) };
        let signer = git::Signer::parse(&usable(held, key)?);
        signer.map(Some).map_err(|why| format!("credential {}: {why}", held.name))
    }
}
