//! Who may ask: a browser shows pages of anybody, and these must not reach a server that listens to this machine alone.
//!
//! A page of another origin may send requests to a server of this machine, and a name of its own may lead there after a while
//! (DNS rebinding), so that the browser takes the answer for that page's own. Programs that are no browser say what they like.
//! Pages of origins that were named may ask and read; browsers are told so as CORS has it
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::net::IpAddr;

use hyper::StatusCode;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Uri};

use crate::serve::refusal::Refusal;

/// How long a browser may remember that a page may ask, in seconds.
const REMEMBERED: &str = "600";

/// Who may ask.
#[derive(Debug)]
pub(super) struct Guard {
    /// Whether the server listens to this machine alone.
    pub(super) local: bool,
    /// The other origins whose pages may ask, as browsers send them.
    pub(super) origins: Vec<String>,
}

impl Guard {
    /// Refuses a request that names no host, from a page of another origin that may not ask, or, to a server of this machine
    /// alone, for a host that is not this machine. Tells the other origin if its pages may ask.
    ///
    /// # Errors
    /// Which of these it is.
    pub(super) fn check(&self, parts: &Parts) -> Result<Option<HeaderValue>, Refusal> {
        let host = host(&parts.uri, &parts.headers)?;
        if self.local && !is_this_machine(&host) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!("the request is for the host `{host}`, which is not this machine"),
                "ask at `localhost` or `127.0.0.1`; to be reached from elsewhere, the server begins with `--host`",
            ));
        }
        let Some(origin) = parts.headers.get(ORIGIN) else { return Ok(None) };
        let from = origin.to_str().ok().and_then(|it| it.parse::<Uri>().ok());
        let own = from.as_ref().and_then(Uri::authority).is_some_and(|it| *it == host);
        if own {
            return Ok(None);
        }
        if self.origins.iter().any(|it| origin == it.as_str()) {
            return Ok(Some(origin.clone()));
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "the request comes from a page of another origin",
            "ask from the server's own page or from a program; for another page the server begins with `--allow-origin`",
        ))
    }
}

/// Whether a browser asks if a page of another origin may ask.
pub(super) fn asks_for_leave(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Adds that pages may ask by these `methods`, with a body of any type.
pub(super) fn let_ask(headers: &mut HeaderMap, methods: &'static str) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
}

/// Adds that pages of `origin` may read the answer, and when to ask again.
pub(super) fn let_read(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    headers.insert(VARY, HeaderValue::from_static("origin"));
}

/// The host that a request is for.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let mut named = headers.get_all(HOST).iter();
    let header = named.next().and_then(|it| it.to_str().ok()?.parse::<Authority>().ok());
    // The target of a request may hold the host as well, and then counts alone (RFC 9112, 3.2.2).
    let host = uri.authority().cloned().or(header);
    match (host, named.next()) {
        (Some(host), None) => Ok(host),
        _ => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "the request does not say once for which host it is",
            "send one header `Host`",
        )),
    }
}

fn is_this_machine(host: &Authority) -> bool {
    let name = host.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    /// The other origin that may read the answer to a request with these headers, or how it is refused.
    fn checked(
        guard: &Guard,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<Option<HeaderValue>, u16> {
        let request = Request::builder().uri(uri);
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        guard.check(&parts).map_err(|it| it.status.as_u16())
    }

    /// How a request with these headers is refused where no other origin may ask; 200 if it is not.
    fn status(local: bool, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let guard = Guard { local, origins: Vec::new() };
        checked(&guard, uri, headers).err().unwrap_or(200)
    }

    #[test]
    fn a_server_of_this_machine_answers_for_no_other_host() {
        for host in
            ["localhost", "localhost:8000", "LocalHost", "127.0.0.1:9", "127.1.2.3", "[::1]:8000"]
        {
            assert_eq!(status(true, "/", &[("host", host)]), 200, "{host}");
        }
        for host in ["example.org", "localhost.example.org:8000", "192.168.0.1", "0.0.0.0", "[::2]"]
        {
            assert_eq!(status(true, "/", &[("host", host)]), 403, "{host}");
            assert_eq!(status(false, "/", &[("host", host)]), 200, "{host}");
        }
        let twice = [("host", "localhost"), ("host", "example.org")];
        for headers in [&[][..], &[("host", "")], &[("host", "a b")], &twice] {
            assert_eq!(status(true, "/", headers), 400, "{headers:?}");
            assert_eq!(status(false, "/", headers), 400, "{headers:?}");
        }
        // What the target names goes before the header.
        assert_eq!(status(true, "http://example.org/", &[("host", "localhost")]), 403);
        assert_eq!(status(true, "http://localhost/", &[("host", "localhost")]), 200);
    }

    #[test]
    fn a_page_of_another_origin_is_not_answered() {
        let from = |origin: &str| {
            [true, false]
                .map(|local| status(local, "/", &[("host", "localhost:8000"), ("origin", origin)]))
        };
        assert_eq!(from("http://localhost:8000"), [200; 2]);
        for origin in ["http://localhost:8001", "http://example.org", "null", "file://", ""] {
            assert_eq!(from(origin), [403; 2], "{origin}");
        }
    }

    #[test]
    fn a_page_of_an_origin_that_was_named_may_ask_and_none_that_looks_like_it() {
        let named = ["https://example.org", "http://localhost:5173"];
        let guard = Guard { local: true, origins: named.map(str::to_owned).into() };
        let from =
            |origin: &str| checked(&guard, "/", &[("host", "localhost:8000"), ("origin", origin)]);
        for origin in named {
            assert_eq!(from(origin), Ok(Some(HeaderValue::from_str(origin).unwrap())));
        }
        assert_eq!(from("http://localhost:8000"), Ok(None), "its own page");
        for other in [
            "http://example.org",
            "https://example.org:8443",
            "https://example.org.evil.net",
            "https://sub.example.org",
            "https://example.org, http://localhost:5173",
            "http://localhost",
            "null",
            "*",
        ] {
            assert_eq!(from(other), Err(403), "{other}");
        }
        // A name that was made to lead here does not help it.
        let rebound = [("host", "example.org"), ("origin", "https://example.org")];
        assert_eq!(checked(&guard, "/", &rebound), Err(403));
    }
}
