//! The OpenAPI 3.1 document, made from the route table, and the page that shows it.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterIn};
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder,
    PathItem, Paths, Ref, RefOr, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::access::{Access, PLAIN_COOKIE};
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::routes::{Route, table};

const SESSION: &str = "session";
const TOKEN: &str = "token";
const DESCRIPTION: &str = "Every node of a JiggaBlend farm answers all of this. \
Errors are RFC 9457 problems. docs/api.md in the source describes the API in prose.";

/// Nothing from elsewhere. The page sets styles on elements.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// The document does not change while the process runs.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let document = document_of(table());
    Bytes::from(document.to_json().expect("the document is plain JSON"))
});

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "documentation",
    responses((status = 200, content_type = "application/json", body = serde_json::Value)),
)]
pub(crate) async fn document() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], DOCUMENT.clone()).into_response()
}

/// The page that shows this document.
#[utoipa::path(
    get, path = "/api/docs", tag = "documentation",
    responses((status = 307, description = "The page's address", headers(("location" = String)))),
)]
pub(crate) async fn docs() -> Redirect {
    Redirect::temporary("/api/docs/index.html")
}

/// A file of that page; nothing of it comes from elsewhere.
#[utoipa::path(
    get, path = "/api/docs/{file}", tag = "documentation", params(("file" = String, Path)),
    responses((status = 200, content(
        (String = "text/html"), (String = "text/css"), (String = "text/javascript"),
        (String = "image/png"),
    ))),
)]
pub(crate) async fn docs_file(Path(file): Path<String>) -> Result<Response, Problem> {
    let config = Config::new(["/api/openapi.json"]).validator_url("none");
    match utoipa_swagger_ui::serve(&file, Arc::new(config)) {
        Ok(Some(SwaggerFile {
            bytes,
            content_type,
            ..
        })) => {
            let headers = [
                (header::CONTENT_TYPE, content_type),
                (header::CONTENT_SECURITY_POLICY, PAGE_POLICY.to_owned()),
            ];
            Ok((headers, bytes.into_owned()).into_response())
        }
        Ok(None) => Err(Problem::new(
            ProblemKind::NotFound,
            "the documentation has no such file; it starts at /api/docs",
        )),
        Err(error) => {
            tracing::error!(%error, "cannot show the API's documentation");
            let why = "the documentation cannot be shown; /api/openapi.json is there";
            Err(Problem::new(ProblemKind::Internal, why))
        }
    }
}

fn document_of(routes: Vec<Route>) -> OpenApi {
    let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(PLAIN_COOKIE)));
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let mut components = ComponentsBuilder::new()
        .security_scheme(SESSION, cookie)
        .security_scheme(TOKEN, bearer)
        .schema(ProblemBody::name(), ProblemBody::schema());
    let mut paths = Paths::new();
    for mut route in routes {
        for (name, schema) in std::mem::take(&mut route.schemas) {
            components = components.schema(name, schema);
        }
        let item = PathItem::new(http_method(&route.method), operation_of(&route));
        match paths.paths.get_mut(&route.path) {
            Some(known) => known.merge_operations(item),
            None => {
                paths.paths.insert(route.path, item);
            }
        }
    }
    let license = LicenseBuilder::new().name("MIT").identifier(Some("MIT"));
    let info = InfoBuilder::new()
        .title("JiggaBlend")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license.build()));
    OpenApiBuilder::new()
        .info(info.build())
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

/// The handler's own words, and what the route's rule and the layers around it add to them.
fn operation_of(route: &Route) -> Operation {
    let mut operation = route.operation.clone();
    if route.access != Access::Public {
        let schemes: &[&str] = match route.access {
            Access::Runner => &[TOKEN],
            _ => &[SESSION, TOKEN],
        };
        let nothing = Vec::<String>::new;
        let requirement = |scheme: &&str| SecurityRequirement::new(*scheme, nothing());
        operation.security = Some(schemes.iter().map(requirement).collect());
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        // A header that may be left out is none that may be null.
        if let RefOr::T(parameter) = parameter
            && parameter.parameter_in == ParameterIn::Header
            && let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
            && let SchemaType::Array(types) = &mut object.schema_type
        {
            types.retain(|of| *of != Type::Null);
        }
    }
    // Handlers of different modules may have one name; ids must not.
    let tag = operation.tags.as_deref().and_then(<[_]>::first);
    if let (Some(id), Some(tag)) = (&operation.operation_id, tag) {
        operation.operation_id = Some(format!("{}_{id}", tag.replace('-', "_")));
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = reason(status);
        }
    }
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name())));
    let any_problem = ResponseBuilder::new()
        .description("A problem; its type says which")
        .content("application/problem+json", problem.build());
    let responses = &mut operation.responses.responses;
    responses.insert("default".to_owned(), any_problem.build().into());
    operation
}

/// What the status says by itself, where the handler's annotation adds nothing.
fn reason(status: &str) -> String {
    let status = status.parse::<u16>().ok();
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let reason = status.and_then(|status| status.canonical_reason());
    reason.unwrap_or("The answer").to_owned()
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        Method::HEAD => HttpMethod::Head,
        Method::OPTIONS => HttpMethod::Options,
        _ => HttpMethod::Get,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_slice(&DOCUMENT).unwrap()
    }

    #[test]
    fn the_document_has_every_route_of_the_table_and_no_other() {
        let document = document();
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                documented.insert((method.to_uppercase(), path.clone()));
            }
        }
        let routes = table();
        let served: BTreeSet<_> = routes
            .iter()
            .map(|route| (route.method.to_string(), route.path.clone()))
            .collect();
        assert_eq!(served.len(), routes.len(), "each route once");
        assert_eq!(documented, served);
    }

    #[test]
    fn whatever_needs_a_sign_in_says_so_and_everything_says_how_it_fails() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        for route in table() {
            let method = route.method.as_str().to_lowercase();
            let operation = &document["paths"][&route.path][method];
            let needs_sign_in = operation["security"].is_array();
            assert_eq!(
                needs_sign_in,
                route.access != Access::Public,
                "{}",
                route.path
            );
            let problem = &operation["responses"]["default"]["content"];
            assert!(
                problem["application/problem+json"].is_object(),
                "{}",
                route.path
            );
        }
    }

    #[test]
    fn what_makes_something_names_its_idempotency_key() {
        // Files and sign-ins have what makes them safe to repeat of their own.
        const OTHERS: [&str; 3] = [
            "/api/auth/register",
            "/api/jobs/{id}/upload",
            "/api/runner/files/{jobId}/upload",
        ];
        let document = document();
        let mut takes_one = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let post = &item["post"];
            if !post["responses"]["201"].is_object() || OTHERS.contains(&path.as_str()) {
                continue;
            }
            let parameters = post["parameters"].as_array().unwrap();
            let is_named = parameters.iter().any(|parameter| {
                let name = parameter["name"].as_str().unwrap();
                parameter["in"] == "header" && name.eq_ignore_ascii_case("idempotency-key")
            });
            assert!(is_named, "{path}");
            takes_one.insert(path.as_str());
        }
        assert!(takes_one.contains("/api/tickets") && takes_one.contains("/api/jobs"));
    }

    #[test]
    fn headers_that_a_route_reads_are_in_the_document() {
        let document = document();
        let upload = "/api/jobs/{id}/upload";
        let piece = "/api/jobs/{id}/uploads/{upload}";
        let download = "/api/jobs/{id}/files/{file}/download";
        for (path, method, header) in [
            (upload, "post", "Tus-Resumable"),
            (upload, "post", "Upload-Length"),
            (upload, "post", "Upload-Metadata"),
            (piece, "patch", "Tus-Resumable"),
            (piece, "patch", "Upload-Offset"),
            (piece, "head", "Tus-Resumable"),
            (piece, "delete", "Tus-Resumable"),
            (download, "get", "Range"),
            (download, "get", "If-Range"),
            (download, "get", "If-Match"),
            (download, "get", "If-None-Match"),
            ("/api/events", "get", "Last-Event-ID"),
        ] {
            let parameters = &document["paths"][path][method]["parameters"];
            let is_there = parameters
                .as_array()
                .unwrap()
                .iter()
                .any(|parameter| parameter["in"] == "header" && parameter["name"] == header);
            assert!(is_there, "{header} of {method} {path}");
        }
        let body = &document["paths"][upload]["post"]["requestBody"];
        assert_ne!(
            body["required"], true,
            "a tus upload is created without one"
        );
    }

    #[test]
    fn no_two_shapes_have_one_name() {
        let mut shapes = BTreeMap::new();
        for route in table() {
            for (name, schema) in route.schemas {
                let shape = serde_json::to_value(schema).unwrap();
                let known = shapes.entry(name.clone()).or_insert_with(|| shape.clone());
                assert_eq!(
                    *known, shape,
                    "{name}; say #[schema(as = …)] for one of them"
                );
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let document = document();
        let mut ids = BTreeSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                assert!(ids.insert(id.clone()), "{id}");
            }
        }
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(reference)) = map.get("$ref") {
                        found.insert(reference.clone());
                    }
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
