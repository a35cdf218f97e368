//! The web page at `/`: static files that are embedded in the program.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{Embed, EmbeddedFile};

/// The files of the page.
#[derive(Embed)]
#[folder = "src/serve/page"]
struct Files;

/// The content security policy of the page: nothing but its own files and this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the routes `/` and `/page/NAME`, which need no key.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| answer("index.html", &headers)))
        .route("/page/{name}", get(async |Path(name): Path<String>, headers: HeaderMap| answer(&name, &headers)))
}

/// Returns the file `name`, or 304 if the browser has it already.
fn answer(name: &str, asked: &HeaderMap) -> Response {
    let Some(file) = Files::get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = tag(&file);
    let is_known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let headers = [
        (header::CONTENT_TYPE, format!("{}; charset=utf-8", file.metadata.mimetype())),
        (header::CONTENT_SECURITY_POLICY, POLICY.into()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
        (header::REFERRER_POLICY, "no-referrer".into()),
        (header::CACHE_CONTROL, "no-cache".into()),
        (header::ETAG, tag),
    ];
    if is_known { (StatusCode::NOT_MODIFIED, headers).into_response() } else { (headers, file.data).into_response() }
}

/// Returns an entity tag, which changes with the contents of `file`.
fn tag(file: &EmbeddedFile) -> String {
    let sum = file.metadata.sha256_hash();
    let digits: Vec<_> = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{}\"", digits.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use regex::Regex;
    use tower::ServiceExt;

    async fn get(path: &str, known: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(known) = known {
            request = request.header(header::IF_NONE_MATCH, known);
        }
        routes::<()>().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn text(path: &str) -> String {
        let response = get(path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn files_have_a_type_a_policy_and_a_tag() {
        for (path, kind) in [("/", "text/html"), ("/page/app.js", "text/javascript"), ("/page/style.css", "text/css")] {
            let response = get(path, None).await;
            let header = |name| response.headers()[name].to_str().unwrap();
            assert!(header(header::CONTENT_TYPE).starts_with(kind), "{path}");
            assert!(header(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
            let again = get(path, Some(header(header::ETAG))).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(get(path, Some("\"another\"")).await.status(), StatusCode::OK);
        }
        for path in ["/page/none.js", "/page/..%2Fpage.rs", "/page/"] {
            assert_eq!(get(path, None).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn every_file_exists_and_is_used() {
        let names = Regex::new(r#"(?:src|href)="page/([^"]+)"|from '\./([^']+)'"#).unwrap();
        let mut waiting = vec![String::from("/")];
        let mut seen = Vec::new();
        while let Some(path) = waiting.pop() {
            let text = text(&path).await;
            for found in names.captures_iter(&text) {
                let name = found.get(1).or(found.get(2)).unwrap().as_str();
                if !seen.iter().any(|known| known == name) {
                    seen.push(name.to_owned());
                    waiting.push(format!("/page/{name}"));
                }
            }
        }
        let mut all: Vec<_> = Files::iter().filter(|name| name != "index.html").map(String::from).collect();
        all.sort();
        seen.sort();
        assert_eq!(seen, all, "every file is used, and every used file exists");
    }

    #[tokio::test]
    async fn there_are_no_external_resources_and_no_inline_scripts() {
        let inline = Regex::new(r#"<script(?:>| type="[^"]*">)|<style|\s(?:style|on[a-z]+)=""#).unwrap();
        for name in Files::iter() {
            let text = text(&format!("/page/{name}")).await;
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://"), "{name}");
            assert!(!inline.is_match(&text), "{name}");
        }
    }
}
