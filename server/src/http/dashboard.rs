//! The web dashboard and the stock client's bundles, from the binary itself.
//!
//! `build.rs` makes the table of files; where it could not, the routes say why and how to get them. What is
//! served is known at the start: no request reads a file, and none changes what another gets.

use std::hash::{DefaultHasher, Hasher as _};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

use super::problem::Problem;
use crate::config::{AuthMode, Config};
use crate::demo;

/// One file of the dashboard as it was built.
struct File {
    path: &'static str,
    /// Changes when the file does.
    tag: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// The page itself, which is served as `/`.
const PAGE: &str = "/index.html";

/// Below this every name has a hash of what is in the file.
const HASHED: &str = "/assets/";

/// The bundle that pages of a Socket.IO server load by habit.
const CLIENT: &str = "/socket.io/socket.io.js";
const CLIENT_MIN: &str = "/socket.io/socket.io.min.js";

/// The page runs its own script and style, speaks to its own host, and is nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page's settings in its sources, which stand for a server by itself.
const AUTH_META: &str = r#"<meta name="tradewire-auth" content="trust""#;
const USERS_META: &str = r#"<meta name="tradewire-users" content="""#;

/// What is answered for one path.
#[derive(Clone)]
struct Served {
    content_type: &'static str,
    cache: &'static str,
    etag: HeaderValue,
    plain: Bytes,
    gzip: Option<Bytes>,
    is_page: bool,
}

/// The dashboard's routes.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(config: &Config) -> Router<S> {
    if let Some(why) = MISSING {
        return without(why);
    }
    let mut router = Router::new();
    for file in FILES {
        let served = serve(file, config);
        let path = if served.is_page { "/" } else { file.path };
        let answer = move |headers: HeaderMap| async move { served.answer(&headers) };
        router = router.route(path, get(answer).fallback(only_get));
    }
    router
}

async fn only_get() -> Problem {
    Problem::method_not_allowed("GET, HEAD")
}

/// A binary that was built without the dashboard says so.
fn without<S: Clone + Send + Sync + 'static>(why: &'static str) -> Router<S> {
    let page = move || async move {
        format!(
            "Tradewire is running, and was built without its dashboard: {why}.\n\
             To get it, install Node.js 22 with npm and build again: touch server/build.rs && cargo build --release\n"
        )
    };
    let client = move || async move {
        let detail = format!("Built without the stock client: {why}; mend that and build again");
        Problem::new(StatusCode::NOT_FOUND, detail)
    };
    Router::new()
        .route("/", get(page).fallback(only_get))
        .route(CLIENT, get(client).fallback(only_get))
        .route(CLIENT_MIN, get(client).fallback(only_get))
}

fn serve(file: &File, config: &Config) -> Served {
    let is_page = file.path == PAGE;
    let cache = if file.path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let (plain, tag) = if is_page {
        let page = page(file.plain, config);
        let mut hasher = DefaultHasher::new();
        hasher.write(&page);
        (page, format!("{:016x}", hasher.finish()))
    } else {
        (Bytes::from_static(file.plain), file.tag.to_owned())
    };
    let etag = HeaderValue::try_from(format!("W/\"{tag}\""));
    Served {
        content_type: content_type(file.path),
        cache,
        etag: etag.unwrap_or(HeaderValue::from_static("W/\"0\"")),
        plain,
        gzip: file.gzip.map(Bytes::from_static),
        is_page,
    }
}

/// The page with this server's settings in its head.
fn page(built: &[u8], config: &Config) -> Bytes {
    let auth = match config.auth_mode {
        AuthMode::Trust => "trust",
        AuthMode::Session => "session",
    };
    let users = if config.demo {
        demo::USERS.join(" ")
    } else {
        String::new()
    };
    let page = String::from_utf8_lossy(built)
        .replace(AUTH_META, &AUTH_META.replace("trust", auth))
        .replace(
            USERS_META,
            &USERS_META.replace("\"\"", &format!("\"{users}\"")),
        );
    Bytes::from(page)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("map") => "application/json; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "application/octet-stream",
    }
}

impl Served {
    fn answer(&self, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache));
        headers.insert(ETAG, self.etag.clone());
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if is_current(asked, &self.etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.is_page {
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            // The address names the user.
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        let body = match &self.gzip {
            Some(gzip) if takes_gzip(asked) => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                gzip
            }
            Some(_) | None => &self.plain,
        };
        *response.body_mut() = Body::from(body.clone());
        response
    }
}

/// Whether the client has this version already.
fn is_current(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(mine) = etag.to_str().map(opaque) else {
        return false;
    };
    let given = asked.get_all(IF_NONE_MATCH).iter();
    let mut tags = given.filter_map(|value| value.to_str().ok());
    tags.any(|value| {
        value
            .split(',')
            .any(|tag| tag.trim() == "*" || opaque(tag) == mine)
    })
}

/// Whether `Accept-Encoding` names gzip, and not to refuse it.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let given = asked.get_all(ACCEPT_ENCODING).iter();
    let mut values = given.filter_map(|value| value.to_str().ok());
    values.any(|value| {
        value.split(',').any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
            name.trim().eq_ignore_ascii_case("gzip") && weight.parse::<f32>().is_ok_and(|q| q > 0.0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use tower::ServiceExt as _;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (value, takes) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("gzip;q=x", false),
            ("", false),
        ] {
            assert_eq!(
                takes_gzip(&headers(ACCEPT_ENCODING, value)),
                takes,
                "{value}"
            );
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_version_is_current_however_it_is_quoted() {
        let etag = HeaderValue::from_static("W/\"12\"");
        for (value, current) in [
            ("W/\"12\"", true),
            ("\"12\"", true),
            ("\"1\", W/\"12\"", true),
            ("*", true),
            ("\"1\"", false),
            ("", false),
        ] {
            assert_eq!(
                is_current(&headers(IF_NONE_MATCH, value), &etag),
                current,
                "{value}"
            );
        }
    }

    #[test]
    fn the_page_says_how_users_are_known() {
        let built = format!("<head>{AUTH_META} />{USERS_META}></head>");
        let shown = |args: &[&str]| {
            let args = args.iter().map(|arg| (*arg).into());
            let config = crate::config::parse(args, |_| None).unwrap();
            String::from_utf8(page(built.as_bytes(), &config).to_vec()).unwrap()
        };
        assert_eq!(shown(&[]), built);
        let demo = shown(&["--demo"]);
        assert!(demo.contains(r#"content="demo-1 demo-2 demo-3""#), "{demo}");
        let session = shown(&[
            "--auth-mode=session",
            "--redis-url=redis://127.0.0.1:1",
            "--session-secret=s",
        ]);
        assert!(session.contains(r#"content="session""#), "{session}");
    }

    #[tokio::test]
    async fn a_binary_without_the_dashboard_says_why_and_what_to_do() {
        let get = async |path: &str| {
            let request = http::Request::get(path).body(Body::empty()).unwrap();
            let response = without::<()>("npm was not found")
                .oneshot(request)
                .await
                .unwrap();
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), 10_000)
                .await
                .unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        let (status, page) = get("/").await;
        assert_eq!(
            (status, page.lines().count()),
            (StatusCode::OK, 2),
            "{page}"
        );
        assert!(
            page.contains("npm was not found") && page.contains("cargo build"),
            "{page}"
        );
        for bundle in [CLIENT, CLIENT_MIN] {
            let (status, problem) = get(bundle).await;
            assert_eq!(status, StatusCode::NOT_FOUND);
            assert!(problem.contains("npm was not found"), "{problem}");
        }
    }

    #[test]
    fn the_built_page_has_places_for_the_settings() {
        if MISSING.is_none() {
            let page = FILES.iter().find(|file| file.path == PAGE).unwrap();
            let page = String::from_utf8(page.plain.to_vec()).unwrap();
            assert!(
                page.contains(AUTH_META) && page.contains(USERS_META),
                "{page}"
            );
        }
    }
}
