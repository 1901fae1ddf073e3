//! `lockstep_instance_freeze`.

use provider_protocol::Diagnostics;
use provider_protocol::cty::Value;
use provider_protocol::provider::Reader;
use reconciler_api::v1::{self, InstanceFreezeSpec};
use reconciler_domain::id::FreezeName;

use super::freeze;
use crate::attribute::stage_globs;
use crate::form::{self, Keyed, Read as _};
use crate::managed::{Definition, Item};
use crate::place::Moved;

const EXCEPTIONS: [&str; 4] = ["projects", "stages", "principals", "groups"];

pub(crate) struct InstanceFreeze;

impl Definition for InstanceFreeze {
    type Object = v1::InstanceFreeze;
    type Name = FreezeName;

    const TYPE_NAME: &'static str = "lockstep_instance_freeze";
    const DESCRIPTION: &'static str = "A time in which nothing happens in any project of the \
        daemon, also in those that are made while it lasts. It belongs to no project, and takes an \
        administrator's token to manage. Else it is as `lockstep_freeze`: promotions are prepared \
        and approved, and wait; no right to skip gates skips it; what fails is undone all the same, \
        unless the freeze is about `rollback`. Destroying the resource ends the freeze.";
    const KEYED: Keyed = &[];
    const MOVED: Moved = &[("window", "window[0]"), ("except", "except[0]")];

    fn fields() -> Vec<(&'static str, Item)> {
        let projects = stage_globs().describe("Names or globs of projects.");
        freeze::fields(freeze::except(vec![("projects", projects.into())]))
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        freeze::validate(config, &EXCEPTIONS, diags);
    }

    fn spec(value: &Reader<'_>) -> InstanceFreezeSpec {
        let except = value.block("except");
        let projects = except.map(|except| except.texts("projects")).unwrap_or_default();
        InstanceFreezeSpec::new(freeze::spec(value), projects)
    }

    fn value(object: &v1::InstanceFreeze) -> Value {
        let (spec, except) = (object.spec.in_project(), &object.spec.except);
        let excepts = *except != v1::InstanceFreezeExceptions::default();
        let values = excepts.then(|| {
            let projects = ("projects", form::texts(&except.projects));
            Value::object(std::iter::once(projects).chain(freeze::except_values(&spec.except)))
        });
        freeze::value(&spec, values)
    }
}
