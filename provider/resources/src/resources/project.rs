//! `lockstep_project`.

use provider_protocol::cty::Value;
use provider_protocol::provider::Reader;
use provider_protocol::schema::Attribute;
use reconciler_api::v1::{self, ProjectSpec};
use reconciler_domain::id::ProjectName;

use crate::attribute::text_map;
use crate::form::{self, Read as _};
use crate::managed::{Definition, Item};

pub(crate) struct Project;

impl Definition for Project {
    type Object = v1::Project;
    type Name = ProjectName;

    const TYPE_NAME: &'static str = "lockstep_project";
    const DESCRIPTION: &'static str = "A tenant: owns warehouses, stages, verifications, policies, \
        freight and promotions.";
    const PROTECTED: bool = true;

    fn fields() -> Vec<(&'static str, Item)> {
        vec![
            ("description", Attribute::string().describe("What it is for, in a sentence.").into()),
            ("labels", text_map().describe("Free names and values.").into()),
        ]
    }

    fn spec(value: &Reader<'_>) -> ProjectSpec {
        ProjectSpec {
            description: value.text("description").unwrap_or_default(),
            labels: value.text_map("labels"),
            deletion_protection: value.flag("deletion_protection"),
        }
    }

    fn value(object: &v1::Project) -> Value {
        let ProjectSpec { description, labels, deletion_protection } = &object.spec;
        Value::object([
            ("description", form::text(description)),
            ("labels", form::text_map(labels)),
            ("deletion_protection", (*deletion_protection).into()),
        ])
    }
}
