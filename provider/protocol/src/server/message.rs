//! What the messages of the RPCs have in common.

use crate::diagnostic::Diagnostics;
use crate::provider::Capabilities;
use crate::secret::mask;
use crate::wire::tfplugin6 as wire;

/// A request.
pub(super) trait Ask: Send + 'static {
    /// The resource type or function that it is about; empty when it is about the provider.
    fn subject(&self) -> &str {
        ""
    }

    /// What the client says that it can do; none when the request has no place for it.
    fn capabilities(&self) -> Option<Capabilities> {
        None
    }
}

macro_rules! asks {
    ($($message:ident $(of $subject:ident)? $(with $capabilities:ident)?),+ $(,)?) => {$(
        impl Ask for wire::$message::Request {
            $(fn subject(&self) -> &str {
                &self.$subject
            })?

            $(fn capabilities(&self) -> Option<Capabilities> {
                Some(capabilities(self.$capabilities.as_ref()))
            })?
        }
    )+};
}

asks!(
    get_metadata,
    get_provider_schema,
    get_resource_identity_schemas,
    get_functions,
    validate_provider_config,
    validate_resource_config of type_name with client_capabilities,
    validate_data_resource_config of type_name,
    validate_ephemeral_resource_config of type_name,
    validate_list_resource_config of type_name,
    validate_action_config of type_name,
    validate_state_store of type_name,
    configure_provider with client_capabilities,
    stop_provider,
    upgrade_resource_state of type_name,
    upgrade_resource_identity of type_name,
    read_resource of type_name with client_capabilities,
    plan_resource_change of type_name with client_capabilities,
    apply_resource_change of type_name,
    import_resource_state of type_name with client_capabilities,
    move_resource_state of target_type_name,
    generate_resource_config of type_name,
    list_resource of type_name,
    read_data_source of type_name with client_capabilities,
    call_function of name,
    open_ephemeral_resource of type_name with client_capabilities,
    renew_ephemeral_resource of type_name,
    close_ephemeral_resource of type_name,
    plan_action of action_type with client_capabilities,
    invoke_action of action_type with client_capabilities,
    configure_state_store of type_name,
    read_state_bytes of type_name,
    lock_state of type_name,
    unlock_state of type_name,
    get_states of type_name,
    delete_state of type_name,
);

/// A client that says nothing can do nothing.
fn capabilities(said: Option<&wire::ClientCapabilities>) -> Capabilities {
    said.map_or_else(Capabilities::default, |said| Capabilities {
        write_only: said.write_only_attributes_allowed,
        planned_private: said.store_planned_private,
    })
}

/// An answer that can say what went wrong. Its default is one that says nothing else.
pub(super) trait Reply: Default + Send {
    fn tell(&mut self, diags: &Diagnostics);
}

macro_rules! replies {
    ($($message:ident),+ $(,)?) => {$(
        impl Reply for wire::$message::Response {
            fn tell(&mut self, diags: &Diagnostics) {
                self.diagnostics = diags.to_wire();
            }
        }
    )+};
}

replies!(
    get_metadata,
    get_provider_schema,
    get_resource_identity_schemas,
    get_functions,
    validate_provider_config,
    validate_resource_config,
    validate_data_resource_config,
    validate_ephemeral_resource_config,
    validate_list_resource_config,
    validate_action_config,
    validate_state_store,
    configure_provider,
    upgrade_resource_state,
    upgrade_resource_identity,
    read_resource,
    plan_resource_change,
    apply_resource_change,
    import_resource_state,
    move_resource_state,
    generate_resource_config,
    read_data_source,
    open_ephemeral_resource,
    renew_ephemeral_resource,
    close_ephemeral_resource,
    plan_action,
    configure_state_store,
    write_state_bytes,
    lock_state,
    unlock_state,
    get_states,
    delete_state,
);

impl Reply for wire::stop_provider::Response {
    fn tell(&mut self, diags: &Diagnostics) {
        self.error = texts(diags);
    }
}

impl Reply for wire::call_function::Response {
    fn tell(&mut self, diags: &Diagnostics) {
        // A function that fails says so in its own error; what is told here is told beside it.
        if diags.has_errors() {
            let error = wire::FunctionError { text: texts(diags), function_argument: None };
            self.error = Some(error);
        }
    }
}

fn texts(diags: &Diagnostics) -> String {
    let texts: Vec<String> =
        diags.iter().map(|diag| format!("{}: {}", diag.summary, diag.detail)).collect();
    mask(&texts.join("\n")).into_owned()
}

/// One of a stream of answers.
pub(super) trait Event: Send + 'static {
    /// What is said at the end, after everything else.
    fn last(diags: &Diagnostics) -> Option<Self>
    where
        Self: Sized;
}

/// A client skips an event with neither an identity nor an error.
impl Event for wire::list_resource::Event {
    fn last(diags: &Diagnostics) -> Option<Self> {
        (!diags.is_empty()).then(|| Self { diagnostic: diags.to_wire(), ..Self::default() })
    }
}

/// A stream that ends without this is an action that nobody knows the end of.
impl Event for wire::invoke_action::Event {
    fn last(diags: &Diagnostics) -> Option<Self> {
        use wire::invoke_action::event::{Completed, Type};
        let completed = Completed { diagnostics: diags.to_wire() };
        Some(Self { r#type: Some(Type::Completed(completed)) })
    }
}

impl Event for wire::read_state_bytes::Response {
    fn last(diags: &Diagnostics) -> Option<Self> {
        Some(Self { diagnostics: diags.to_wire(), ..Self::default() })
    }
}
