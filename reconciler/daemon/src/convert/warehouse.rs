//! Warehouses.

use indexmap::IndexMap;
use reconciler_api::problem::{FieldCode, FieldProblem};
use reconciler_api::v1::{GitSubscription, ImageSubscription, WarehouseSpec};
use reconciler_domain::duration;
use reconciler_domain::expression::Expression;
use reconciler_domain::filter::{FilterError, PathFilter, TagFilter};
use reconciler_domain::id::{SubscriptionName, WarehouseName};
use reconciler_domain::version::Constraint;
use reconciler_domain::warehouse::{GitSource, ImageSource, Source, Warehouse};
use reconciler_effects::git::RepoUrl;
use reconciler_effects::oci::{ImageRepo, Platform};

use super::Fields;

/// Reads a warehouse.
pub(crate) fn parse_warehouse(
    name: WarehouseName,
    spec: &WarehouseSpec,
) -> Result<Warehouse, Vec<FieldProblem>> {
    let mut fields = Fields::default();
    let interval = fields.duration("interval", &spec.interval);
    if interval.is_some_and(|interval| interval.is_zero()) {
        fields.add("interval", FieldCode::OutOfBounds, "the interval must be longer than nothing");
    }
    if let Some(require) = &spec.require {
        let parsed = Expression::parse(require);
        if let Err(error) = parsed {
            fields.add("require", FieldCode::BadExpression, error.to_string());
        }
    }
    let mut subscriptions = IndexMap::new();
    for (at, git) in spec.git.iter().enumerate() {
        let path = format!("git[{at}]");
        let source = parse_git(&mut fields, &path, git);
        insert(&mut fields, &mut subscriptions, &path, &git.name, source.map(Source::Git));
    }
    for (at, image) in spec.image.iter().enumerate() {
        let path = format!("image[{at}]");
        let source = parse_image(&mut fields, &path, image);
        insert(&mut fields, &mut subscriptions, &path, &image.name, source.map(Source::Image));
    }
    let warehouse = interval.map(|interval| Warehouse {
        name,
        interval,
        subscriptions,
        require: spec.require.clone(),
        deletion_protection: spec.deletion_protection,
    });
    fields.finish(warehouse)
}

fn insert(
    fields: &mut Fields,
    subscriptions: &mut IndexMap<SubscriptionName, Source>,
    path: &str,
    name: &str,
    source: Option<Source>,
) {
    let path = format!("{path}.name");
    let Some(name) = fields.name::<SubscriptionName>(&path, name) else { return };
    if subscriptions.contains_key(&name) {
        fields.add(&path, FieldCode::Duplicate, format!("two subscriptions are named {name}"));
    } else if let Some(source) = source {
        subscriptions.insert(name, source);
    }
}

fn parse_git(fields: &mut Fields, path: &str, git: &GitSubscription) -> Option<GitSource> {
    let repo = fields.parse::<RepoUrl>(&format!("{path}.repo"), FieldCode::BadUrl, &git.repo);
    if git.branch.is_empty() {
        fields.add(&format!("{path}.branch"), FieldCode::Missing, "name the branch to watch");
    }
    let filter = PathFilter::new(&git.include_paths, &git.exclude_paths);
    let filter = pattern(fields, path, "paths", filter);
    let limit = discovery_limit(fields, path, git.discovery_limit);
    repo.and(filter)?;
    Some(GitSource {
        repo: git.repo.clone(),
        branch: git.branch.clone(),
        include_paths: git.include_paths.clone(),
        exclude_paths: git.exclude_paths.clone(),
        discovery_limit: limit?,
    })
}

fn parse_image(fields: &mut Fields, path: &str, image: &ImageSubscription) -> Option<ImageSource> {
    let repo = fields.parse::<ImageRepo>(&format!("{path}.repo"), FieldCode::BadUrl, &image.repo);
    if let Some(constraint) = &image.constraint {
        fields.parse::<Constraint>(
            &format!("{path}.constraint"),
            FieldCode::BadConstraint,
            constraint,
        );
    }
    let filter = TagFilter::new(&image.allow_tags, &image.ignore_tags);
    let filter = pattern(fields, path, "tags", filter);
    if let Some(platform) = &image.platform {
        fields.parse::<Platform>(&format!("{path}.platform"), FieldCode::BadPlatform, platform);
    }
    let limit = discovery_limit(fields, path, image.discovery_limit);
    repo?;
    filter?;
    Some(ImageSource {
        repo: image.repo.clone(),
        constraint: image.constraint.clone(),
        strict_semver: image.strict_semver,
        allow_tags: image.allow_tags.clone(),
        ignore_tags: image.ignore_tags.clone(),
        platform: image.platform.clone(),
        insecure: image.insecure,
        discovery_limit: limit?,
    })
}

/// Takes a filter; the problem of a pattern that is none is told at its place in its list.
fn pattern<T>(
    fields: &mut Fields,
    path: &str,
    of: &str,
    filter: Result<T, FilterError>,
) -> Option<T> {
    let error = match filter {
        Ok(filter) => return Some(filter),
        Err(error) => error,
    };
    let FilterError { list, index, pattern, reason } = error;
    let is_glob = of == "paths" && !pattern.starts_with("regex:");
    let code = if is_glob { FieldCode::BadGlob } else { FieldCode::BadRegex };
    fields.add(&format!("{path}.{list}_{of}[{index}]"), code, format!("`{pattern}`: {reason}"));
    None
}

fn discovery_limit(fields: &mut Fields, path: &str, limit: u32) -> Option<u32> {
    if (1..=100).contains(&limit) {
        return Some(limit);
    }
    let message = format!("keep between 1 and 100 versions, not {limit}");
    fields.add(&format!("{path}.discovery_limit"), FieldCode::OutOfBounds, message);
    None
}

/// Says a warehouse on the wire.
pub(crate) fn warehouse_spec(warehouse: &Warehouse) -> WarehouseSpec {
    let mut spec = WarehouseSpec {
        interval: duration::print(warehouse.interval),
        require: warehouse.require.clone(),
        deletion_protection: warehouse.deletion_protection,
        ..WarehouseSpec::default()
    };
    for (name, source) in &warehouse.subscriptions {
        match source {
            Source::Git(git) => spec.git.push(GitSubscription {
                name: name.to_string(),
                repo: git.repo.clone(),
                branch: git.branch.clone(),
                include_paths: git.include_paths.clone(),
                exclude_paths: git.exclude_paths.clone(),
                discovery_limit: git.discovery_limit,
            }),
            Source::Image(image) => spec.image.push(ImageSubscription {
                name: name.to_string(),
                repo: image.repo.clone(),
                constraint: image.constraint.clone(),
                strict_semver: image.strict_semver,
                allow_tags: image.allow_tags.clone(),
                ignore_tags: image.ignore_tags.clone(),
                platform: image.platform.clone(),
                insecure: image.insecure,
                discovery_limit: image.discovery_limit,
            }),
        }
    }
    spec
}
