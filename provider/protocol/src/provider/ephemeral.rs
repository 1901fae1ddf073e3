//! Ephemeral resources.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Context;
use crate::cty::Value;
use crate::diagnostic::Diagnostics;
use crate::schema::Schema;

/// An ephemeral resource: open for as long as a run needs it, and kept in no plan or state.
///
/// It is opened once while planning and once more while applying, each time as if anew.
#[async_trait]
pub trait EphemeralResource<C: Send + Sync + 'static>: Send + Sync + 'static {
    /// Name as in `ephemeral "…"`, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// What its block holds. It has no state, so nothing in it is write-only.
    fn schema(&self) -> Schema;

    /// Checks the configuration further than its schema does. No network: values may be unknown.
    async fn validate(&self, cx: &Context<C>, config: &Value, diags: &mut Diagnostics) {
        let _ = (cx, config, diags);
    }

    /// Opens. The configuration is wholly known, with its defaults. The result holds every
    /// attribute, those of the configuration unchanged; those left out are null. None needs an
    /// error diagnostic.
    async fn open(
        &self,
        cx: &Context<C>,
        config: &Value,
        diags: &mut Diagnostics,
    ) -> Option<Opened>;

    /// Keeps it open longer; called only when the time came that [`Opened::renew_at`] named.
    /// `private` is what was kept last. None, with an error diagnostic, when it cannot be.
    async fn renew(
        &self,
        cx: &Context<C>,
        private: &[u8],
        diags: &mut Diagnostics,
    ) -> Option<Renewed> {
        let _ = (cx, private);
        diags.error(
            "Bug in the provider: nothing to renew",
            format!(
                "Opening {} named a time to renew it, and it cannot be renewed. Please report this.",
                self.type_name()
            ),
        );
        None
    }

    /// Closes. Called at the end of the run, after failures too; one that is closed already is a
    /// success.
    async fn close(&self, cx: &Context<C>, private: &[u8], diags: &mut Diagnostics) {
        let _ = (cx, private, diags);
    }
}

/// An ephemeral resource that is open. What it holds is never logged.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// The attributes.
    pub value: Value,
    /// Bytes that renewing and closing get back. The client keeps them in memory only.
    pub private: Vec<u8>,
    /// When to renew it; none when it lasts. A time that has passed asks for it at once.
    pub renew_at: Option<Timestamp>,
}

impl Opened {
    /// One that lasts, with nothing beside it.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self { value, ..Self::default() }
    }

    /// With these bytes beside it.
    #[must_use]
    pub fn private(self, private: impl Into<Vec<u8>>) -> Self {
        Self { private: private.into(), ..self }
    }

    /// To be renewed at this time.
    #[must_use]
    pub fn renew_at(self, at: Timestamp) -> Self {
        Self { renew_at: Some(at), ..self }
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("renew_at", &self.renew_at).finish_non_exhaustive()
    }
}

/// An ephemeral resource that stays open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Bytes that the next renewing, or closing, gets back.
    pub private: Vec<u8>,
    /// When to renew it again; none when it lasts to the end.
    pub renew_at: Option<Timestamp>,
}
