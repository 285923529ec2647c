//! [`GrpcType`]: the content types of gRPC.

use http::{HeaderMap, HeaderValue, header};

/// The content types of gRPC and gRPC-Web, without suffixes and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrpcType {
    Native,
    Web,
    WebText,
}

impl GrpcType {
    const ALL: [Self; 3] = [Self::Native, Self::Web, Self::WebText];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "application/grpc",
            Self::Web => "application/grpc-web",
            Self::WebText => "application/grpc-web-text",
        }
    }

    /// Reads a value of `Content-Type`: the name alone, or followed by `+` or `;`.
    pub(crate) fn read(value: &HeaderValue) -> Option<Self> {
        let value = value.as_bytes();
        Self::ALL.into_iter().find(|one| {
            let (name, rest) = value.split_at_checked(one.as_str().len()).unwrap_or_default();
            name.eq_ignore_ascii_case(one.as_str().as_bytes())
                && matches!(rest.trim_ascii_start().first(), None | Some(b'+' | b';'))
        })
    }

    /// Tells whether any of the content types of a request is one of these.
    pub(crate) fn is_in(headers: &HeaderMap) -> bool {
        let Some(first) = headers.get(header::CONTENT_TYPE) else { return false };
        Self::read(first).is_some()
            || headers
                .get_all(header::CONTENT_TYPE)
                .iter()
                .skip(1)
                .any(|other| Self::read(other).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let read = |content_type: &str| GrpcType::read(&content_type.parse().unwrap());
        assert_eq!(read("application/grpc"), Some(GrpcType::Native));
        assert_eq!(read("Application/GRPC+proto"), Some(GrpcType::Native));
        assert_eq!(read("application/grpc;x=y"), Some(GrpcType::Native));
        assert_eq!(read("application/grpc ; x=y"), Some(GrpcType::Native));
        assert_eq!(read("application/grpc-web+proto"), Some(GrpcType::Web));
        assert_eq!(read("application/grpc-web-text"), Some(GrpcType::WebText));
        for other in ["application/grpcx", "application/grpc, x", "application/json", "", "grpc"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_type_counts_wherever_it_is_among_several() {
        let mut headers = HeaderMap::new();
        assert!(!GrpcType::is_in(&headers));
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert!(!GrpcType::is_in(&headers));
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        assert!(GrpcType::is_in(&headers));
    }
}
