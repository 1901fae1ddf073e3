//! Reading what is there.

use provider_protocol::Diagnostics;
use provider_protocol::provider::State;

use super::kept::Kept;
use super::{Definition, Managed};
use crate::failure::tell;
use crate::session::{Identity, Session};

impl<D: Definition> Managed<D> {
    /// What is there now; none without an error if the object is gone. Without the daemon a state
    /// that was read before stays as it is; an import has none.
    pub(super) async fn read_object(
        session: &Session,
        state: &State,
        diags: &mut Diagnostics,
    ) -> Option<State> {
        let identity = Identity::of(Self::KIND, &state.value)?;
        session.reads.refreshes(&identity);
        let was_read = Kept::from_bytes(&state.private).is_some();
        if was_read && session.reach.goes_without(diags) {
            return Some(state.clone());
        }
        match session.find::<D::Object>(&identity).await {
            Ok(object) => object.map(|object| {
                State::new(Self::state(&object, &state.value)).private(Self::kept(&object))
            }),
            Err(error) => {
                if was_read && session.reach.goes_on_without(&error, diags) {
                    return Some(state.clone());
                }
                session.reach.noticed(&error);
                let what = format!("read {} {identity}", Self::KIND);
                tell(&error, &what, &Self::places(), diags);
                None
            }
        }
    }
}
