//! `lockstep_warehouse`.

use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Field, Reader};
use provider_protocol::schema::{Attribute, NestedBlock};
use reconciler_api::v1::{
    self, DISCOVERY_LIMIT_DEFAULT, GitSubscription, ImageSubscription, WarehouseSpec,
};
use reconciler_domain::expression::{Names, Shape};
use reconciler_domain::id::{SubscriptionName, WarehouseName};
use reconciler_domain::scope;
use reconciler_domain::warehouse::{GitSource, ImageSource, Source};

use crate::attribute::{
    check_condition, count, filled, git_repository, image_repository, parsed, path_patterns,
    platform, span, tag_patterns, version_range,
};
use crate::form::{self, Keyed, Read as _};
use crate::managed::{Definition, Item, block};
use crate::place::Moved;

pub(crate) struct Warehouse;

impl Definition for Warehouse {
    type Object = v1::Warehouse;
    type Name = WarehouseName;

    const TYPE_NAME: &'static str = "lockstep_warehouse";
    const DESCRIPTION: &'static str = "A named set of subscriptions to artifact sources, and the \
        rule for making freight of what they find: freight has exactly one version of each \
        subscription.";
    const PROTECTED: bool = true;
    const KEYED: Keyed = &[(&["git", "image"], "name")];
    const MOVED: Moved = &[("require", "freight[0].require")];

    fn fields() -> Vec<(&'static str, Item)> {
        let interval = span()
            .default(WarehouseSpec::INTERVAL_DEFAULT)
            .describe("How often the sources are asked, a duration such as `30s` or `1h30m`.");
        let freight = block(vec![(
            "require",
            Attribute::string()
                .required()
                .describe(
                    "CEL over `freight.<subscription>`: what must hold across the subscriptions, \
                     such as `freight.api.version.major == freight.infra.version.major`. The \
                     newest combination that satisfies it becomes freight.",
                )
                .into(),
        )])
        .describe("The rule for making freight. Without it any combination will do.");
        vec![
            ("interval", interval.into()),
            ("git", NestedBlock::list(git()).into()),
            ("image", NestedBlock::list(image()).into()),
            ("freight", NestedBlock::list(freight).max(1).into()),
        ]
    }

    fn validate(config: &Reader<'_>, diags: &mut Diagnostics) {
        let known = !config.get("git").is_unknown() && !config.get("image").is_unknown();
        if known && config.blocks("git").is_empty() && config.blocks("image").is_empty() {
            let text = "A warehouse needs at least one `git` or `image` block.";
            diags.error_at(Path::root(), "Missing subscription", text);
        }
        if let Some(freight) = config.block("freight")
            && let Field::Known(require) = freight.string("require")
            && let Err(problem) = check_condition(require, &names(config))
        {
            diags.error_at(freight.path_of("require"), "Invalid condition", problem);
        }
    }

    fn spec(value: &Reader<'_>) -> WarehouseSpec {
        WarehouseSpec {
            interval: value
                .text("interval")
                .unwrap_or_else(|| WarehouseSpec::INTERVAL_DEFAULT.to_owned()),
            git: value.blocks("git").iter().map(git_spec).collect(),
            image: value.blocks("image").iter().map(image_spec).collect(),
            require: value.block("freight").and_then(|freight| freight.text("require")),
            deletion_protection: value.flag("deletion_protection"),
        }
    }

    fn value(object: &v1::Warehouse) -> Value {
        let WarehouseSpec { interval, git, image, require, deletion_protection } = &object.spec;
        let freight = require.iter().map(|require| Value::object([("require", require.into())]));
        Value::object([
            ("interval", interval.into()),
            ("git", Value::list(git.iter().map(git_value))),
            ("image", Value::list(image.iter().map(image_value))),
            ("freight", Value::list(freight)),
            ("deletion_protection", (*deletion_protection).into()),
        ])
    }

    fn definition(spec: WarehouseSpec) -> Option<v1::Definition> {
        Some(v1::Definition::Warehouse(spec))
    }
}

fn subscription_name() -> Attribute {
    parsed::<SubscriptionName>().required().describe(
        "Its name in this warehouse, across all kinds of subscriptions; expressions address it \
         as `freight.<name>`. Lower-case letters, digits and `_`.",
    )
}

fn discovery_limit() -> Attribute {
    count(1)
        .default(DISCOVERY_LIMIT_DEFAULT)
        .describe("How many of the newest versions are kept in view.")
}

fn git() -> provider_protocol::schema::Block {
    block(vec![
        ("name", subscription_name().into()),
        ("repo", git_repository().required().describe("The address of the repository.").into()),
        ("branch", filled().required().describe("The branch.").into()),
        (
            "include_paths",
            path_patterns()
                .describe(
                    "Only commits that touch one of these paths count: a path and everything \
                     below it, or a pattern after `glob:` or `regex:`. Default: every path.",
                )
                .into(),
        ),
        (
            "exclude_paths",
            path_patterns().describe("Paths that do not count, even if included.").into(),
        ),
        ("discovery_limit", discovery_limit().into()),
    ])
    .describe(
        "A branch of a git repository: each commit that touches the wanted paths is a version.",
    )
}

fn image() -> provider_protocol::schema::Block {
    block(vec![
        ("name", subscription_name().into()),
        (
            "repo",
            image_repository()
                .required()
                .describe("The repository, such as `registry.example.com/shop/api`.")
                .into(),
        ),
        (
            "constraint",
            version_range()
                .describe("Which versions count, a range such as `^1.4`. Default: every version.")
                .into(),
        ),
        (
            "strict_semver",
            Attribute::bool()
                .default(ImageSubscription::STRICT_SEMVER_DEFAULT)
                .describe(
                    "Whether a tag must be a full `major.minor.patch`; a leading `v` is fine.",
                )
                .into(),
        ),
        (
            "allow_tags",
            tag_patterns()
                .describe(
                    "Regular expressions, not anchored, of which a tag must match one. Default: \
                     every tag.",
                )
                .into(),
        ),
        (
            "ignore_tags",
            tag_patterns()
                .describe("Regular expressions, not anchored, of which a tag may match none.")
                .into(),
        ),
        (
            "platform",
            platform()
                .describe(
                    "The platform that an image must have, such as `linux/amd64`. Default: any.",
                )
                .into(),
        ),
        (
            "insecure",
            Attribute::bool()
                .default(false)
                .describe("Whether the registry is spoken to without TLS.")
                .into(),
        ),
        ("discovery_limit", discovery_limit().into()),
    ])
    .describe("A repository of container images: each tag that passes the filters is a version.")
}

fn git_spec(git: &Reader<'_>) -> GitSubscription {
    GitSubscription {
        name: git.required("name"),
        repo: git.required("repo"),
        branch: git.required("branch"),
        include_paths: git.texts("include_paths"),
        exclude_paths: git.texts("exclude_paths"),
        discovery_limit: git.count("discovery_limit").unwrap_or(DISCOVERY_LIMIT_DEFAULT),
    }
}

fn git_value(git: &GitSubscription) -> Value {
    let GitSubscription { name, repo, branch, include_paths, exclude_paths, discovery_limit } = git;
    Value::object([
        ("name", name.into()),
        ("repo", repo.into()),
        ("branch", branch.into()),
        ("include_paths", form::texts(include_paths)),
        ("exclude_paths", form::texts(exclude_paths)),
        ("discovery_limit", (*discovery_limit).into()),
    ])
}

fn image_spec(image: &Reader<'_>) -> ImageSubscription {
    ImageSubscription {
        name: image.required("name"),
        repo: image.required("repo"),
        constraint: image.text("constraint"),
        strict_semver: image
            .bool("strict_semver")
            .unwrap_or(ImageSubscription::STRICT_SEMVER_DEFAULT),
        allow_tags: image.texts("allow_tags"),
        ignore_tags: image.texts("ignore_tags"),
        platform: image.text("platform"),
        insecure: image.flag("insecure"),
        discovery_limit: image.count("discovery_limit").unwrap_or(DISCOVERY_LIMIT_DEFAULT),
    }
}

fn image_value(image: &ImageSubscription) -> Value {
    let ImageSubscription {
        name,
        repo,
        constraint,
        strict_semver,
        allow_tags,
        ignore_tags,
        platform,
        insecure,
        discovery_limit,
    } = image;
    Value::object([
        ("name", name.into()),
        ("repo", repo.into()),
        ("constraint", constraint.clone().into()),
        ("strict_semver", (*strict_semver).into()),
        ("allow_tags", form::texts(allow_tags)),
        ("ignore_tags", form::texts(ignore_tags)),
        ("platform", platform.clone().into()),
        ("insecure", (*insecure).into()),
        ("discovery_limit", (*discovery_limit).into()),
    ])
}

/// The names that the condition may use. With a subscription that is not known yet, anything
/// below `freight` may come to be.
fn names(config: &Reader<'_>) -> Names {
    subscriptions(config).map_or_else(
        || Names::new().name("freight", Shape::Any),
        |warehouse| scope::warehouse_names(&warehouse),
    )
}

/// The subscriptions by name and kind; nothing else of them matters to the names.
fn subscriptions(config: &Reader<'_>) -> Option<reconciler_domain::warehouse::Warehouse> {
    if config.get("git").is_unknown() || config.get("image").is_unknown() {
        return None;
    }
    let name = |block: &Reader<'_>| block.string("name").known()?.parse().ok();
    let git = config.blocks("git").into_iter().map(|it| Some((name(&it)?, empty_git())));
    let image = config.blocks("image").into_iter().map(|it| Some((name(&it)?, empty_image())));
    Some(reconciler_domain::warehouse::Warehouse {
        name: "warehouse".parse().expect("a name by its rule"),
        interval: std::time::Duration::ZERO,
        subscriptions: git.chain(image).collect::<Option<_>>()?,
        require: None,
        deletion_protection: false,
    })
}

fn empty_git() -> Source {
    Source::Git(GitSource {
        repo: String::new(),
        branch: String::new(),
        include_paths: Vec::new(),
        exclude_paths: Vec::new(),
        discovery_limit: 0,
    })
}

fn empty_image() -> Source {
    Source::Image(ImageSource {
        repo: String::new(),
        constraint: None,
        strict_semver: true,
        allow_tags: Vec::new(),
        ignore_tags: Vec::new(),
        platform: None,
        insecure: false,
        discovery_limit: 0,
    })
}
