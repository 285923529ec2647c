#!/usr/bin/env bash
# rustdoc of Rust 1.95.0 (format 57 of its JSON; nightly of 2026-05-19 likewise): a type that the root re-exports
# from a module where its own `pub use` is `#[doc(hidden)]` has a page in the HTML of the root, and is missing in
# the JSON: neither the re-export nor the type's path is there. Re-exported from where it is defined, it is in both.
#
# It matters to crates that move a name to one path and hide the old one for compatibility: cargo-public-api,
# cargo-semver-checks and cargo-check-external-types read the JSON, so they find nothing to say of that type,
# whatever becomes of it, while users see it in the documentation.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"
TOML
cat >rust-toolchain.toml <<'TOML'
[toolchain]
channel = "1.95.0"
profile = "minimal"
TOML
cat >src/lib.rs <<'RUST'
pub mod store {
    pub(crate) mod kept {
        pub struct Through;
        pub struct Direct;
    }
    #[doc(hidden)]
    pub use self::kept::{Direct, Through};
}

#[doc(inline)]
pub use store::kept::Direct;
#[doc(inline)]
pub use store::Through;
RUST
rustc --version | tee version
if ! grep -q '^rustc 1\.95\.0 ' version; then
    echo "run it with Rust 1.95.0: the format of the JSON is another in other versions" >&2
    exit 1
fi
# The JSON is not stable yet.
RUSTC_BOOTSTRAP=1 cargo rustdoc --quiet -- -Z unstable-options --output-format json
cp target/doc/finding.json .
cargo doc --quiet
python3 - <<'PYTHON'
import json, pathlib, sys

crate = json.load(open("finding.json"))
root = crate["index"][str(crate["root"])]
items = (crate["index"].get(str(number)) for number in root["inner"]["module"]["items"])
names = {item["inner"]["use"]["name"] if "use" in item["inner"] else item["name"] for item in items if item}
in_json = {name: name in names for name in ("Direct", "Through")}
in_html = {name: pathlib.Path(f"target/doc/finding/struct.{name}.html").exists() for name in in_json}
print(f"at the root of the HTML: {in_html}; of the JSON (format {crate['format_version']}): {in_json}")
if not all(in_html.values()) or in_json != {"Direct": True, "Through": False}:
    sys.exit("this has changed: what rustdoc's JSON has of re-exports")
PYTHON
