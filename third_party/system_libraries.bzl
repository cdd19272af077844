"""The libraries Baton takes from the system, under the labels that their own
Bazel builds (and the Bazel Central Registry) give them."""

load(":pkg_config.bzl", "pkg_config")

def system_libraries():
    """Declares one repository for each library.

    What a message passes through is linked statically: where a pass over the weights comes between
    any two messages, each call from one shared library to the next misses the cache twice more. One
    answer over two local workers waits a fifth less for its messages.
    """
    pkg_config(
        name = "abseil-cpp",
        apt = "libabsl-dev",
        libraries = {
            "//absl/container:flat_hash_map": "absl_flat_hash_map",
            "//absl/status:status": "absl_status",
            "//absl/status:statusor": "absl_statusor",
            "//absl/strings:strings": "absl_strings",
            "//absl/strings:str_format": "absl_str_format",
            "//absl/synchronization:synchronization": "absl_synchronization",
            "//absl/time:time": "absl_time",
            "//absl/types:span": "absl_span",
        },
        static = True,
    )
    pkg_config(
        name = "protobuf",
        apt = "libprotobuf-dev protobuf-compiler",
        libraries = {"//:protobuf": "protobuf >= 3.21"},
        programs = {"//:protoc": "protoc"},
        static = True,
    )
    pkg_config(
        name = "grpc",
        apt = "libgrpc++-dev protobuf-compiler-grpc",
        libraries = {"//:grpc++": "grpc++ >= 1.51"},
        programs = {"//src/compiler:grpc_cpp_plugin": "grpc_cpp_plugin"},
        static = True,
    )
    pkg_config(
        name = "googletest",
        apt = "libgtest-dev libgmock-dev",
        libraries = {
            "//:gtest": "gmock",
            "//:gtest_main": "gmock_main",
        },
    )
    pkg_config(
        name = "google_benchmark",
        apt = "libbenchmark-dev",
        libraries = {
            "//:benchmark": "benchmark",
            "//:benchmark_main": "-lbenchmark_main benchmark",
        },
    )
    # Headers alone, which pkg-config does not know.
    pkg_config(name = "boost", apt = "libboost1.81-dev", libraries = {"//:beast": "-pthread"})
    pkg_config(
        name = "prometheus-cpp",
        apt = "prometheus-cpp-dev",
        libraries = {"//core:core": "prometheus-cpp-core"},
    )
    pkg_config(name = "cli11", apt = "libcli11-dev", libraries = {"//:cli11": "CLI11"})
    pkg_config(name = "nlohmann_json", apt = "nlohmann-json3-dev", libraries = {"//:json": "nlohmann_json"})
    pkg_config(name = "openssl", apt = "libssl-dev", libraries = {"//:crypto": "libcrypto"})
    pkg_config(name = "pcre2", apt = "libpcre2-dev", libraries = {"//:pcre2": "libpcre2-8"})
    pkg_config(name = "simde", apt = "libsimde-dev", libraries = {"//:simde": ""})
    pkg_config(name = "spdlog", apt = "libspdlog-dev", libraries = {"//:spdlog": "spdlog"})
