//! What every operation works with once the provider is configured.

use std::fmt;

use provider_protocol::cty::Value;
use reconciler_api::client::{Client, ClientError};
use reconciler_api::v1::{Kind, Object};

use crate::overlay::Overlay;
use crate::reach::Reach;
use crate::reads::Reads;

/// A configured provider: what resources and data sources work with.
#[derive(Debug)]
pub struct Session {
    /// The daemon.
    pub(crate) api: Client,
    /// The project of objects that name none.
    pub(crate) project: Option<String>,
    /// Whether new objects are protected from deletion where they do not say; none: as they are.
    pub(crate) deletion_protection: Option<bool>,
    /// Whether creating something that exists takes it over.
    pub(crate) adopt_existing: bool,
    /// Whether the daemon answers. If not, that is told once, and plans do without it.
    pub(crate) reach: Reach,
    /// What was read in this process.
    pub(crate) reads: Reads,
    /// Who the bearer of the token is, if the daemon could say.
    pub(crate) principal: Option<String>,
    /// What this run has planned so far.
    pub(crate) overlay: Overlay,
}

impl Session {
    /// Reads an object, if it is there. Many reads are few requests.
    pub(crate) async fn find<T: Object>(
        &self,
        identity: &Identity,
    ) -> Result<Option<T>, ClientError> {
        let found = self.reads.find(&self.api, identity).await;
        if found.is_ok() {
            self.reach.answered();
        }
        found
    }
}

/// Which object: a project's own project is itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) kind: Kind,
    pub(crate) project: String,
    pub(crate) name: String,
}

impl Identity {
    /// The identity that a planned value or a state has, if it is known.
    pub(crate) fn of(kind: Kind, value: &Value) -> Option<Self> {
        let text = |name| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let name = text("name")?;
        let project = match kind {
            Kind::Project => name.clone(),
            Kind::Token | Kind::InstanceFreeze => String::new(),
            Kind::Warehouse
            | Kind::Stage
            | Kind::Verification
            | Kind::Task
            | Kind::Policy
            | Kind::Hold
            | Kind::Freeze
            | Kind::Credential => text("project")?,
        };
        Some(Self { kind, project, name })
    }

    /// Reads an id. None if it is not of the form that ids of the kind have.
    pub(crate) fn parse(kind: Kind, id: &str) -> Option<Self> {
        let (project, name) = match kind {
            Kind::Project => (id, id),
            Kind::Token | Kind::InstanceFreeze => ("", id),
            Kind::Warehouse
            | Kind::Stage
            | Kind::Verification
            | Kind::Task
            | Kind::Policy
            | Kind::Hold
            | Kind::Freeze
            | Kind::Credential => id.split_once('/')?,
        };
        let is_name = |text: &str| !text.is_empty() && !text.contains('/');
        let has_project = !kind.is_in_project() || is_name(project);
        (has_project && is_name(name)).then(|| Self {
            kind,
            project: project.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The form that ids of a kind have.
    pub(crate) const fn form(kind: Kind) -> &'static str {
        match kind {
            Kind::Project => "NAME, such as shop",
            Kind::Warehouse => "PROJECT/NAME, such as shop/artifacts",
            Kind::Stage => "PROJECT/NAME, such as shop/prod",
            Kind::Verification => "PROJECT/NAME, such as shop/errors",
            Kind::Task => "PROJECT/NAME, such as shop/deploy",
            Kind::Policy => "PROJECT/NAME, such as shop/prod-gates",
            Kind::Hold => "PROJECT/NAME, such as shop/cve-2026-1234",
            Kind::Freeze => "PROJECT/NAME, such as shop/year-end",
            Kind::Credential => "PROJECT/NAME, such as shop/git",
            Kind::Token => "NAME, such as terraform-ci",
            Kind::InstanceFreeze => "NAME, such as year-end",
        }
    }
}

/// The id.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.is_in_project() {
            write!(f, "{}/{}", self.project, self.name)
        } else {
            f.write_str(&self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_printed() {
        let read = |kind, id| Identity::parse(kind, id).map(|identity| identity.to_string());
        for (kind, id, good) in [
            (Kind::Stage, "shop/prod", true),
            (Kind::Project, "shop", true),
            (Kind::Stage, "prod", false),
            (Kind::Stage, "shop/", false),
            (Kind::Stage, "a/b/c", false),
            (Kind::Project, "shop/prod", false),
            (Kind::Project, "", false),
            (Kind::Token, "ada@example.com", true),
            (Kind::Token, "shop/ada", false),
        ] {
            assert_eq!(read(kind, id), good.then(|| id.to_owned()), "{kind} {id}");
        }
    }
}
