//! Who may ask: a browser shows pages of anybody, and these must not reach a server that listens to this machine alone.
//!
//! A page of another origin may send requests to a server of this machine, and a name of its own may lead there after a while
//! (DNS rebinding), so that the browser takes the answer for that page's own. Programs that are no browser say what they like.

use std::net::IpAddr;

use hyper::StatusCode;
use hyper::Uri;
use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;

use crate::serve::refusal::Refusal;

/// Refuses a request that names no host, from a page of another origin, or, where `local`, for a host that is not this
/// machine.
///
/// # Errors
/// Which of these it is.
pub(super) fn check(parts: &Parts, local: bool) -> Result<(), Refusal> {
    let host = host(&parts.uri, &parts.headers)?;
    if local && !is_this_machine(&host) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            format!("the request is for the host `{host}`, which is not this machine"),
            "ask at `localhost` or `127.0.0.1`; to be reached from elsewhere, the server begins with `--host`",
        ));
    }
    let Some(origin) = parts.headers.get(ORIGIN) else { return Ok(()) };
    let from = origin.to_str().ok().and_then(|it| it.parse::<Uri>().ok());
    let own = from.as_ref().and_then(Uri::authority).is_some_and(|it| *it == host);
    if own {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "the request comes from a page of another origin",
        "ask from the server's own page or from a program; another page asks through its own server",
    ))
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

    /// How a request with these headers is refused; 200 if it is not.
    fn status(local: bool, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let request = Request::builder().uri(uri);
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, local).err().map_or(200, |it| it.status.as_u16())
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
}
