//! Functions over texts: versions, images, lengths of time.

use provider_protocol::cty::{Number, Type, Value};
use provider_protocol::provider::{Function, FunctionError, Parameter, Signature};
use reconciler_domain::duration;
use reconciler_domain::image::ImageReference;
use reconciler_domain::version::{Constraint, Version};

use crate::words::sentence;

/// `semver_match(constraint, version)`.
pub(crate) struct SemverMatch;

/// `parse_image(ref)`.
pub(crate) struct ParseImage;

/// `parse_duration(text)`.
pub(crate) struct ParseDuration;

fn text(arguments: &[Value], at: usize) -> Result<&str, FunctionError> {
    let text = arguments.get(at).and_then(Value::as_str);
    text.ok_or_else(|| FunctionError::new("Its arguments are texts."))
}

fn refused(at: usize, error: impl std::fmt::Display) -> FunctionError {
    FunctionError::argument(at, sentence(&error.to_string()))
}

impl Function for SemverMatch {
    fn name(&self) -> &'static str {
        "semver_match"
    }

    fn signature(&self) -> Signature {
        let constraint = Parameter::new("constraint", Type::String)
            .describe("A range of versions, as in a warehouse: `^1.4`, `>=1 <2`, `1.x`.");
        let version = Parameter::new("version", Type::String)
            .describe("A version or tag: `1.4.2`, `v1.5.0-rc.1`.");
        Signature::new([constraint, version], Type::Bool).describe(
            "Whether a version is in a range.",
            "Whether a version is in a range, by the rules by which warehouses choose tags: a \
             pre-release is in a range only if the range names one.",
        )
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let constraint: Constraint =
            text(arguments, 0)?.parse().map_err(|error| refused(0, error))?;
        let version = Version::loose(text(arguments, 1)?).map_err(|error| refused(1, error))?;
        Ok(constraint.matches(&version).into())
    }
}

impl Function for ParseImage {
    fn name(&self) -> &'static str {
        "parse_image"
    }

    fn signature(&self) -> Signature {
        let reference = Parameter::new("ref", Type::String)
            .describe("A reference such as `registry.example.com/shop/api:1.4.2@sha256:…`.");
        let fields = ["repo", "registry", "repository", "tag", "digest"];
        let result = Type::object(fields.map(|name| (name, Type::String)));
        Signature::new([reference], result).describe(
            "Takes the reference of an image apart.",
            "Takes the reference of an image apart.\n\nThe result has `registry` (`docker.io` \
             where none is written), `repository` (the path below it), `repo` (both, as warehouses \
             and steps name it), `tag` and `digest`; what is not written is null.",
        )
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let parsed: ImageReference =
            text(arguments, 0)?.parse().map_err(|error| refused(0, error))?;
        let ImageReference { registry, repository, tag, digest } = parsed;
        Ok(Value::object([
            ("repo", Value::from(format!("{registry}/{repository}"))),
            ("registry", registry.into()),
            ("repository", repository.into()),
            ("tag", tag.into()),
            ("digest", digest.into()),
        ]))
    }
}

impl Function for ParseDuration {
    fn name(&self) -> &'static str {
        "parse_duration"
    }

    fn signature(&self) -> Signature {
        let parameter = Parameter::new("text", Type::String)
            .describe("A length of time: `30s`, `1h30m`, `2d`, `1w`, `PT90S`.");
        Signature::new([parameter], Type::Number).describe(
            "The seconds of a length of time.",
            "The seconds of a length of time, as policies and steps read it. A day has 24 hours, a \
             week seven days; months and years have no length and are refused.",
        )
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let length = duration::parse(text(arguments, 0)?).map_err(|error| refused(0, error))?;
        if length.subsec_nanos() == 0 {
            return Ok(length.as_secs().into());
        }
        let seconds = Number::from_f64(length.as_secs_f64()).map_err(|error| refused(0, error))?;
        Ok(seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(function: &dyn Function, arguments: &[&str], expect: &str) {
        let arguments: Vec<Value> = arguments.iter().map(|text| Value::from(*text)).collect();
        let found = match function.call(&arguments) {
            Ok(value) => provider_protocol::cty::json::to_plain(&value).to_string(),
            Err(error) => format!("{:?}: {}", error.argument, error.text),
        };
        assert_eq!(found, expect);
    }

    #[test]
    fn texts_are_read_as_everywhere() {
        check(&SemverMatch, &["^1.4", "v1.5.0"], "true");
        check(&SemverMatch, &["^1.4", "2.0.0"], "false");
        check(&SemverMatch, &["^1.4", "1.5.0-rc.1"], "false");
        check(&ParseDuration, &["1h30m"], "5400");
        check(&ParseDuration, &["1.5s"], "1.5");
        check(
            &ParseImage,
            &["nginx:1"],
            r#"{"digest":null,"registry":"docker.io","repo":"docker.io/library/nginx","repository":"library/nginx","tag":"1"}"#,
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_at_its_argument() {
        let error = |function: &dyn Function, arguments: &[&str]| {
            let arguments: Vec<Value> = arguments.iter().map(|text| Value::from(*text)).collect();
            function.call(&arguments).expect_err("it is refused")
        };
        assert_eq!(error(&SemverMatch, &["=~1", "1.0.0"]).argument, Some(0));
        assert_eq!(error(&SemverMatch, &["^1", "latest"]).argument, Some(1));
        assert_eq!(error(&ParseImage, &["https://x/y"]).argument, Some(0));
        check(
            &ParseDuration,
            &["1y"],
            "Some(0): `1y` counts months or years, which have no fixed length: write days or weeks.",
        );
    }
}
