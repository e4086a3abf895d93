# Sourced by the testnet's scripts and by developers: where things are built and found.
# Everything that is not the checkout lives in one cache folder, so that CI's clone and yours
# share what was built once.
JIGGABLEND_CACHE="${JIGGABLEND_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jiggablend}"
export JIGGABLEND_CACHE
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$JIGGABLEND_CACHE/target}"
# The prebuilt libduckdb (see testnet/setup); a plain `cargo build --release` compiles it instead.
export DUCKDB_LIB_DIR="${DUCKDB_LIB_DIR:-$JIGGABLEND_CACHE/duckdb-1.5.6}"
export RUSTFLAGS="${RUSTFLAGS:--C link-arg=-Wl,-rpath,$DUCKDB_LIB_DIR}"
# The Node that setup brought, where the machine has none that is new enough.
if [ -x "$JIGGABLEND_CACHE/node/bin/node" ]; then
    case ":$PATH:" in
        *":$JIGGABLEND_CACHE/node/bin:"*) ;;
        *) export PATH="$JIGGABLEND_CACHE/node/bin:$PATH" ;;
    esac
fi
# A Python with Blender 4.5 LTS as a module, for the tests that want a second Blender.
if [ -z "${JIGGABLEND_TEST_BPY:-}" ] && [ -x "$JIGGABLEND_CACHE/bpy-4.5.15/bin/python" ]; then
    export JIGGABLEND_TEST_BPY="$JIGGABLEND_CACHE/bpy-4.5.15/bin/python"
fi
# Goes through the API by its OpenAPI document.
if [ -z "${JIGGABLEND_SCHEMATHESIS:-}" ] && [ -x "$JIGGABLEND_CACHE/schemathesis-4.32.5/bin/st" ]; then
    export JIGGABLEND_SCHEMATHESIS="$JIGGABLEND_CACHE/schemathesis-4.32.5/bin/st"
fi
